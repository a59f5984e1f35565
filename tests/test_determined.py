"""How well equations determine weights: against NumPy, and in manifests."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import raki
from raki.cli import main
from raki.data.lattice import Lattice
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration
from raki.interpolation.fit import ZeroFilling, fit
from raki.interpolation.fitted import DETERMINED, how_determined
from raki.interpolation.least_squares import NormalEquations
from raki.interpolation.neighbours import Kernel
from raki.interpolation.own import CalibrationFrom, relearnt
from raki.interpolation.tuning import cross_validated, tune
from raki.networks.raki import Raki
from tests.toys import attributes, lattice_with_acs, measured_only, point_sources, random_kspace

ACS = random_kspace(3, 19, 17)
LATTICE = Lattice.of((2,))
SAMPLING = lattice_with_acs(60, 3, 0, range(20, 40))
KSPACE = point_sources(6, 4, 60, 32) + 0.05 * random_kspace(4, 60, 32)


def hand_made(sources: np.ndarray, targets: np.ndarray) -> NormalEquations:
    """Equations (equation, source) and (equation, target) that belong nowhere."""
    around = Calibration(ACS, LATTICE).neighbourhood(Kernel(2, 5))
    return NormalEquations.from_pairs([(torch.from_numpy(sources), torch.from_numpy(targets))], around)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    numbers = np.random.default_rng(seed).standard_normal((2, *shape))
    return numbers[0] + 1j * numbers[1]


@pytest.mark.parametrize('spread', [0, 2, 6])
def test_condition_is_numpys(spread: float) -> None:
    sources = drawn(200, 30) * np.logspace(0, -spread, 30)
    equations = hand_made(sources, drawn(200, 4, seed=1) + 5 * sources[:, :4])
    ridge, _, condition = cross_validated(equations)
    gram = sources.conj().T @ sources
    shifted = gram + ridge * gram.trace().real / 30 * np.eye(30)
    assert condition == pytest.approx(np.linalg.cond(shifted), rel=1e-6)


@pytest.mark.parametrize('ridge', [1e-9, 1e-3, 1.0])
def test_residual_is_that_of_the_equations(ridge: float) -> None:
    sources, targets = drawn(200, 30), drawn(200, 4, seed=1)
    equations = hand_made(sources, targets)
    weights = equations.solve(ridge)
    missed = targets - sources @ weights.numpy()
    expected = np.linalg.norm(missed) / np.linalg.norm(targets)
    assert equations.residual(weights, ridge) == pytest.approx(expected, rel=1e-9)


def test_exactly_linear_equations_leave_nothing() -> None:
    sources = drawn(200, 30)
    equations = hand_made(sources, sources @ drawn(30, 4, seed=1))
    ridge = cross_validated(equations)[0]
    assert equations.residual(equations.solve(ridge), ridge) < 1e-6
    silence = hand_made(sources, np.zeros((200, 4), dtype=complex))
    assert silence.residual(silence.solve(ridge), ridge) == 0


@pytest.mark.parametrize('source', ['own', 'measured'])
def test_both_are_those_of_the_weights_that_are_used(source: CalibrationFrom) -> None:
    calibration = Calibration(SAMPLING.acs_block(KSPACE), SAMPLING.lattice, SAMPLING, measured_only(KSPACE, SAMPLING))
    tuned = tune(calibration)
    used = tuned if source == 'measured' else relearnt(calibration, tuned)
    assert (used is tuned) == (source == 'measured')
    told = how_determined(fit(Grappa(calibration=source), KSPACE, SAMPLING))
    equations, ridge = used.total, used.regularization
    shifted = equations.gram + ridge * equations.gram.diagonal().real.mean() * torch.eye(len(equations.gram))
    unexplained = equations.unexplained(equations.solve(ridge)).sum() / equations.energy.sum()
    assert told['fit_condition'] == pytest.approx(np.linalg.cond(shifted.numpy()), rel=1e-3)
    assert told['fit_residual'] == pytest.approx(float(unexplained.sqrt()), rel=1e-3)


def test_what_nobody_asked_is_none() -> None:
    given = how_determined(fit(Grappa(regularization=1e-3), KSPACE, SAMPLING))
    assert given['fit_residual'] is not None
    assert given['fit_condition'] is None
    for method in (ZeroFilling(), Raki().with_iterations(2)):
        assert how_determined(fit(method, KSPACE, SAMPLING)) == dict.fromkeys(DETERMINED)


def test_they_are_in_manifests_of_every_face(tmp_path: Path) -> None:
    path, out, stored, again = (tmp_path / name for name in ('scan.h5', 'out.h5', 'fits.safetensors', 'again.h5'))
    words = ['--matrix', '48x40', '--coils', '4', '--slices', '2', '--rate', '2', '--acs', '16']
    assert main(['simulate', '-o', str(path), *words]) == 0
    assert main(['reconstruct', str(path), '-o', str(out), '--save-fit', str(stored)]) == 0
    assert main(['reconstruct', str(path), '-o', str(again), '--fit', str(stored)]) == 0
    result = raki.reconstruct(raki.load_scan(path))
    for name in DETERMINED:
        told = json.loads(attributes(out)[name])
        assert len(told) == 2
        assert all(value > 0 for value in told)
        assert json.loads(attributes(again)[name]) == told
        assert result.manifest[name] == pytest.approx(told)
