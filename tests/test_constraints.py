"""SPIRiT and AC-LORAKS of the benchmarks: what they learn, and a known answer."""

import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from raki.coils.espirit import patches
from raki.errors import CalibrationError
from raki.fourier import kspace_from_image
from tests.toys import random_kspace


@pytest.fixture(scope='module')
def constraints() -> ModuleType:
    """The module of the benchmarks, which are no package."""
    path = Path(__file__).parents[1] / 'benchmarks' / 'constraints.py'
    spec = util.spec_from_file_location('constraints', path)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules['constraints'] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def points(n_coils: int, shape: tuple[int, int], n_points: int) -> Tensor:
    """K-space of a few points in the middle of pixels, which wraps around its edges."""
    generator = torch.Generator().manual_seed(1)
    image = torch.zeros(n_coils, *shape, dtype=torch.complex64)
    places = torch.randperm(shape[0] * shape[1], generator=generator)[:n_points]
    image.view(n_coils, -1)[:, places] = random_kspace(n_coils, n_points)
    return kspace_from_image(image)


def test_spirit_weights_are_those_of_ridge_regression(constraints: ModuleType) -> None:
    """Of the middle sample of every coil on all others of its patch."""
    acs, ridge, n_coils = random_kspace(2, 20, 15), 0.1, 2
    [(_, form)] = constraints.spirit(acs, (ridge,))
    every = patches(acs, (7, 7))
    gram = every @ every.mH
    damped = gram + ridge * gram.diagonal().real.mean() * torch.eye(len(gram))
    expected = torch.zeros_like(form)
    for coil in range(n_coils):
        middle = coil * 49 + 24
        others = [number for number in range(len(gram)) if number != middle]
        combination = torch.zeros(len(gram), dtype=torch.complex128)
        combination[middle] = 1
        combination[others] = -torch.linalg.solve(damped[others][:, others], damped[others, middle])
        expected += torch.outer(combination, combination.conj())
    torch.testing.assert_close(form, expected)


@pytest.mark.parametrize('name', ['spirit', 'ac-loraks'])
def test_points_come_back_between_uneven_lines(constraints: ModuleType, name: str) -> None:
    """Without noise, combinations that vanish on the ACS vanish everywhere, and determine the missing lines."""
    n_points, n_coils, kspace = 6, 4, points(4, (40, 30), 6)
    mask = torch.zeros(40, dtype=torch.bool)
    mask[[0, 2, 5, 8, 9, 12, 28, 31, 34, 36, 39, *range(14, 27)]] = True
    measured = torch.where(mask[:, None], kspace, 0)
    learnt = {
        'spirit': lambda acs: constraints.spirit(acs, (1e-9,)),
        'ac-loraks': lambda acs: constraints.loraks(acs, (n_points / (n_coils * 25),)),
    }[name]

    def error(filled: Tensor) -> float:
        assert torch.equal(filled[:, mask], kspace[:, mask])
        return float((filled - kspace).norm() / kspace.norm())

    filled, chosen = constraints.best_solution(learnt, kspace[:, 14:27], measured, mask, error)
    assert error(filled) < 1e-3 * error(measured)
    assert 0 < chosen.n_steps <= max(constraints.STOPS)


def test_too_small_an_acs_is_refused(constraints: ModuleType) -> None:
    with pytest.raises(CalibrationError, match='needs an ACS of at least 7 x 7, got 6 x 20'):
        list(constraints.spirit(random_kspace(2, 6, 20)))
