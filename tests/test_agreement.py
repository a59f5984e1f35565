"""Separate calibration is compared with the scan: coils in another order, or of another scan, are named."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import Tensor

from raki.coils.agreement import disagreement
from raki.data.load import load_scan
from raki.data.simulate import Simulation, simulate
from raki.grappa.method import Grappa
from raki.pipeline import reconstruct

N_ACS = 24


def parts(kspace: Tensor, rate: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """ACS and lattice lines of fully sampled k-space, axes (coil, sample)."""
    start = (kspace.shape[1] - N_ACS + 1) // 2
    return kspace[:, start : start + N_ACS].flatten(1), kspace[:, first::rate].flatten(1)


@pytest.fixture(scope='module')
def simulated() -> Tensor:
    return simulate(Simulation((60, 52), n_coils=6)).kspace[0]


@pytest.mark.parametrize('rate', [2, 3, 4, 6])
def test_own_calibration_agrees_whatever_its_gain(simulated: Tensor, rate: int) -> None:
    for first in range(rate):
        acs, lines = parts(simulated, rate, first)
        assert disagreement(acs, lines) is None
        assert disagreement(-1e-12j * acs, lines) is None


def test_every_exchange_of_two_coils_is_named(simulated: Tensor) -> None:
    acs, lines = parts(simulated, 3)
    for one, other in combinations(range(6), 2):
        order = list(range(6))
        order[one], order[other] = other, one
        found = disagreement(acs[order], lines)
        assert found is not None, (one, other)
        assert 'in another order' in found or f'coils {one}, {other} of' in found


def test_rotated_and_reversed_orders_are_found(simulated: Tensor) -> None:
    acs, lines = parts(simulated, 3)
    for order in ([1, 2, 3, 4, 5, 0], [5, 4, 3, 2, 1, 0]):  # half a turn of a head gives nearly the same head
        found = disagreement(acs[order], lines)
        assert found is not None, order
        assert 'order' in found


def test_calibration_of_nothing_resembles_nothing(simulated: Tensor) -> None:
    _, lines = parts(simulated, 3)
    strangers = torch.randn(6, 500, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    found = disagreement(strangers, lines)
    assert found is not None
    assert 'belongs to another scan' in found


def test_too_few_coils_tell_nothing(simulated: Tensor) -> None:
    acs, lines = parts(simulated[:3], 3)
    assert disagreement(acs.flip(0), lines) is None


@pytest.mark.parametrize('name', ['pulseq_brain16', 'pulseq_phantom16', 'pulseq_phantom32', 'iraki_prescan16'])
@pytest.mark.parametrize('rate', [2, 4, 6])
def test_real_scans_agree_with_their_own_lines(shared_scan: Callable[[str], Path], name: str, rate: int) -> None:
    kspace = load_scan(shared_scan(f'{name}.h5')).kspace[0]
    for first in range(rate):
        assert disagreement(*parts(kspace, rate, first)) is None


def test_a_real_separate_calibration_agrees(shared_scan: Callable[[str], Path]) -> None:
    scan = load_scan(shared_scan('xingkong_R2_16.h5'))
    assert scan.calibration is not None
    acs, lines = scan.calibration[0].flatten(1), scan.kspace[0].flatten(1)
    assert disagreement(acs, lines) is None
    assert disagreement(acs[[1, 0, *range(2, 16)]], lines) is not None


def test_a_reconstruction_warns_of_calibration_of_other_coils(shared_scan: Callable[[str], Path]) -> None:
    scan = load_scan(shared_scan('xingkong_R2_16.h5'))
    assert scan.calibration is not None
    assert reconstruct(scan, Grappa(calibration='measured')).warnings == ()
    rolled = replace(scan, calibration=scan.calibration.roll(1, 1))
    [warning] = reconstruct(rolled, Grappa(calibration='measured')).warnings
    assert 'order' in warning
