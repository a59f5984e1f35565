"""Outside references: the problem that they solve, and how strongly they regularise."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from raki.coils.combine import root_sum_of_squares
from raki.commands.catalogue import methods_named
from raki.data.load import load_scan
from raki.data.masks import Irregular
from raki.data.sampling import Sampling, undersample
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError, ResourceError
from raki.evaluation.bart import read_cfl, write_cfl
from raki.evaluation.metrics import nrmse_object, object_mask
from raki.evaluation.outside import BASELINES, BartPics, Baseline, Espirit, OfImage, Wavelet
from raki.fourier import image_from_kspace, kspace_from_image, spatial_axes
from raki.interpolation.noise_power import noise_power
from tests.toys import acs_of, measured_only, random_kspace

NEEDS_BART = pytest.mark.skipif(shutil.which('bart') is None, reason='needs the BART toolbox')
EVERY = [
    pytest.param(baseline, id=name, marks=NEEDS_BART if name == 'bart-pics' else ())
    for name, baseline in BASELINES.items()
]


def scan() -> tuple[Tensor, Tensor, Sampling]:
    """K-space, its noise-free truth, and a pattern."""
    simulated = simulate(Simulation((72, 60), n_coils=6, noise=0.01))
    assert simulated.reference is not None
    return simulated.kspace[0], simulated.reference[0], undersample(simulated.mask, (3,), (24,))


def volume(n_acs: tuple[int, ...]) -> tuple[Tensor, Tensor, Sampling]:
    """The same of a volume."""
    simulated = simulate(Simulation((24, 32, 26), n_coils=5, noise=0.003))
    assert simulated.reference is not None
    return simulated.kspace[0], simulated.reference[0], undersample(simulated.mask, (2, 2), n_acs, 1)


def error(kspace: Tensor, truth: Tensor) -> float:
    return nrmse_object(*(root_sum_of_squares(image_from_kspace(k, spatial_axes(k))) for k in (kspace, truth)))


@pytest.mark.parametrize('baseline', EVERY)
def test_a_baseline_beats_zero_filling_and_sees_measured_lines_only(baseline: Baseline) -> None:
    kspace, truth, sampling = scan()
    measured = measured_only(kspace, sampling)
    filled = baseline.calibrate(acs_of(kspace, sampling), sampling, kspace).fill(kspace)
    again = baseline.calibrate(acs_of(kspace, sampling), sampling, measured).fill(measured)
    torch.testing.assert_close(filled, again)
    assert error(filled, truth) < 0.7 * error(measured, truth)


@pytest.mark.parametrize('baseline', EVERY)
def test_measured_lines_come_back_bit_for_bit_and_nothing_beyond_the_acquired_range(baseline: Baseline) -> None:
    kspace, _, sampling = scan()
    mask = sampling.mask.clone()
    mask[:15] = False
    partial = Sampling.from_mask(mask)
    filled = baseline.calibrate(acs_of(kspace, partial), partial, kspace).fill(kspace)
    assert torch.equal(filled[:, mask], kspace[:, mask])
    assert bool(filled[:, 15:].any(-1).all())
    assert not bool(filled[:, ~partial.inside].any())


@pytest.mark.parametrize('baseline', EVERY)
def test_a_mask_need_not_be_a_lattice(baseline: Baseline) -> None:
    """Of a lattice nothing but its mask is used; lines anywhere beat zero filling, too."""
    kspace, truth, sampling = scan()
    acs = acs_of(kspace, sampling)
    both = [baseline.calibrate(acs, each, kspace).fill(kspace) for each in (sampling, Irregular(sampling.mask))]
    torch.testing.assert_close(*both)
    mask = torch.zeros_like(sampling.mask)
    mask[[0, 3, 5, 8, 12, 15, 17, 20, 22, 50, 53, 55, 57, 60, 63, 65, 68, 71, *range(24, 48)]] = True
    uneven = Irregular(mask)
    filled = baseline.calibrate(uneven.acs_block(kspace), uneven, kspace).fill(kspace)
    assert torch.equal(filled[:, mask], kspace[:, mask])
    assert error(filled, truth) < 0.7 * error(torch.where(mask[:, None], kspace, 0), truth)


@pytest.mark.parametrize('baseline', EVERY)
def test_sensitivities_reach_over_the_whole_object(shared_scan, baseline: OfImage) -> None:
    """BART loses one pixel of 5920; at sigpy's own crop of 0.95 one of 70 is gone."""
    scan = load_scan(shared_scan('pulseq_brain16.h5'))
    kspace, sampling = scan.kspace[0], undersample(scan.mask, (4,), (32,))
    model = baseline.calibrate(acs_of(kspace, sampling), sampling, kspace)
    inside = object_mask(root_sum_of_squares(image_from_kspace(kspace)))
    assert float((~model.sensitivities.any(0))[inside].float().mean()) < 1e-3


@pytest.mark.parametrize('baseline', EVERY)
def test_a_baseline_beats_zero_filling_on_a_volume(baseline: Baseline) -> None:
    kspace, truth, sampling = volume((18, 18))
    model = baseline.calibrate(acs_of(kspace, sampling), sampling, kspace)
    filled = model.fill(kspace)
    assert model.warnings == ()
    assert filled.shape == kspace.shape
    assert error(filled, truth) < 0.7 * error(measured_only(kspace, sampling), truth)


@pytest.mark.parametrize('baseline', EVERY)
def test_maps_that_miss_the_object_are_warned_of(baseline: Baseline) -> None:
    kspace, _, sampling = volume((8, 8))
    [warning] = baseline.calibrate(acs_of(kspace, sampling), sampling, kspace).warnings
    assert re.fullmatch(r'ESPIRiT finds no sensitivities where the ACS has \d+ % of its signal: .* more ACS', warning)
    kspace, _, sampling = scan()
    assert baseline.calibrate(acs_of(kspace, sampling), sampling, kspace).warnings == ()


def test_sense_solves_its_normal_equations() -> None:
    """(A^H A + ridge) x = A^H y with A x = mask F (s x), ridge = noise power / signal power."""
    kspace, _, sampling = scan()
    model = Espirit(n_iterations=200).calibrate(acs_of(kspace, sampling), sampling, kspace)
    measured, maps, mask = measured_only(kspace, sampling), model.sensitivities, sampling.mask[:, None]
    image = model.solve(measured)

    def adjoint(lines: Tensor) -> Tensor:
        return (maps.conj() * image_from_kspace(lines)).sum(0)

    lines = measured.abs().square().sum((0, 2))
    energy = lines[list(sampling.acs[0])].sum() + 3 * (lines.sum() - lines[list(sampling.acs[0])].sum())
    ridge = noise_power(acs_of(kspace, sampling)) / (float(energy) / (72 * 60))
    left = adjoint(mask * kspace_from_image(maps * image)) + ridge * image - adjoint(measured)
    assert float(left.norm() / adjoint(measured).norm()) < 1e-3
    missing, scale = ~sampling.mask, float(kspace.abs().max())
    explained = kspace_from_image(maps * image)
    torch.testing.assert_close(model.fill(kspace)[:, missing], explained[:, missing], rtol=1e-4, atol=1e-4 * scale)


def test_the_wavelet_image_has_the_least_objective_nearby() -> None:
    """1/2 ||A x - y||^2 + strength ||W x||_1 at the solution, against SENSE's and against small changes of it."""
    sigpy = pytest.importorskip('sigpy')
    kspace, _, sampling = scan()
    acs, mask = acs_of(kspace, sampling), sampling.mask[:, None]
    sense, model = (each.calibrate(acs, sampling, kspace) for each in (Espirit(), Wavelet(n_iterations=300)))
    measured = measured_only(kspace, sampling)
    transform = sigpy.linop.Wavelet((72, 60), wave_name='db4')
    strength = noise_power(acs) / (np.abs(transform(sense.solve(measured).numpy())).sum() / (72 * 60))

    def objective(image: Tensor) -> float:
        missed = mask * kspace_from_image(model.sensitivities * image) - measured
        return float(missed.abs().square().double().sum()) / 2 + float(strength) * float(
            np.abs(transform(image.numpy())).sum()
        )

    image = model.solve(measured)
    others = [
        sense.solve(measured),
        1.01 * image,
        0.99 * image,
        image + 0.01 * image.abs().max() * random_kspace(72, 60),
    ]
    assert all(objective(image) < objective(other) for other in others)


@NEEDS_BART
@pytest.mark.parametrize('matrix', [(72, 60), (74, 62), (71, 62), (72, 61)])
def test_bart_and_sigpy_find_the_same_image_with_the_same_sensitivities(matrix: tuple[int, int]) -> None:
    """Sizes that are no multiples of four, too, for which BART's transform has other phases."""
    simulated = simulate(Simulation(matrix, n_coils=6, noise=0.01))
    kspace, sampling = simulated.kspace[0], undersample(simulated.mask, (3,), (24,))
    acs, measured = acs_of(kspace, sampling), measured_only(kspace, sampling)
    model = Espirit(n_iterations=200).calibrate(acs, sampling, kspace)
    ridge = 0.01
    ours, theirs = (
        each.image(measured, model.sensitivities, ridge, sampling) for each in (Espirit(n_iterations=200), BartPics())
    )
    assert float((ours - theirs).norm() / ours.norm()) < 0.01


def test_noise_free_data_are_hardly_regularised() -> None:
    kspace, truth, sampling = scan()
    filled = Espirit().calibrate(acs_of(truth, sampling), sampling, truth).fill(truth)
    noisy = Espirit().calibrate(acs_of(kspace, sampling), sampling, kspace).fill(kspace)
    assert error(filled, truth) < error(noisy, truth)


def test_files_of_bart_are_read_back(tmp_path: Path) -> None:
    array = random_kspace(3, 4, 1, 2).numpy()
    write_cfl(str(tmp_path / 'a'), array)
    np.testing.assert_array_equal(read_cfl(str(tmp_path / 'a')), array)
    assert (tmp_path / 'a.hdr').read_text().splitlines()[1].split() == ['3', '4', '1', '2']


def test_a_missing_bart_and_too_small_an_acs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    kspace, _, sampling = scan()
    monkeypatch.setattr('shutil.which', lambda _name: None)
    with pytest.raises(ResourceError, match='BART toolbox is not installed: leave bart-pics out'):
        BartPics().calibrate(acs_of(kspace, sampling), sampling, kspace)
    few = undersample(torch.ones(72, dtype=torch.bool), (3,), (5,))
    with pytest.raises(
        CalibrationError, match='ESPIRiT needs an ACS of at least 8 samples along every axis, got 7 x 60: acquire'
    ):
        Espirit().calibrate(acs_of(kspace, few), few, kspace)
    nothing = random_kspace(6, 72, 9)
    noise = undersample(torch.ones(72, dtype=torch.bool), (3,), (8,))
    with pytest.raises(CalibrationError, match='ESPIRiT finds no sensitivities in an ACS of 8 x 9: acquire more'):
        Espirit().calibrate(acs_of(nothing, noise), noise, nothing)


def test_baselines_are_looked_up_by_name() -> None:
    assert list(methods_named(list(BASELINES))) == ['espirit', 'l1-wavelet', 'bart-pics']
