"""What GRAPPA chooses from the ACS: each piece against its definition, then all of it on simulated scans."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError
from raki.evaluation.metrics import kspace_nrmse, nrmse_object
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration, silent
from raki.interpolation.fit import fit
from raki.interpolation.least_squares import NormalEquations, Weighting
from raki.interpolation.least_squares import pairs as pairs_of
from raki.interpolation.neighbours import Kernel
from raki.interpolation.tuning import (
    LINE_KERNELS,
    RIDGES,
    VOLUME_KERNELS,
    Misfit,
    _held_out_error,
    estimated_misfit,
    kernels_for,
    least_gcv,
    left_out_residuals,
    tune,
)
from tests.toys import calibration_of, point_sources, random_kspace, sampled_volume

KERNEL, RATE = Kernel(2, 3), 3
NO_ACS = (range(0), range(0))
ACS = random_kspace(3, 13, 17) * torch.linspace(0.2, 3, 17)


def of(acs: Tensor, rate: int = RATE) -> Calibration:
    return Calibration(acs, Lattice.of((rate,)))


def equations_of(acs: Tensor, weighting: Weighting | None = None) -> NormalEquations:
    calibration = of(acs)
    return NormalEquations.of(acs, calibration.cells(calibration.neighbourhood(KERNEL)), weighting)


def weighting(power: Tensor) -> Tensor:
    return 1 / (0.5 + power)


def pairs(acs: Tensor) -> tuple[Tensor, Tensor]:
    """All equations of the toy, axes (equation, source) and (equation, target), complex128."""
    calibration = of(acs)
    sources, targets = pairs_of(acs, calibration.cells(calibration.neighbourhood(KERNEL)))
    return sources.to(torch.complex128), targets.to(torch.complex128)


def ridge_fit(sources: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """Ridge regression by its definition; `ridge` absolute."""
    return torch.linalg.solve(sources.mH @ sources + ridge * torch.eye(sources.shape[1]), sources.mH @ targets)


@pytest.mark.parametrize('ridge', [1e-3, 0.3])
def test_residuals_are_those_of_fits_without_the_equation(ridge: float) -> None:
    sources, targets = pairs(ACS)
    power = sources.abs().square().mean(1)
    equations = equations_of(ACS, weighting)
    absolute = ridge * float(equations.gram.diagonal().real.mean())
    found = left_out_residuals(equations, ridge, sources, targets, weighting(power))
    scale = weighting(power).sqrt()[:, None]
    for index in (0, 7, 40):
        others = torch.arange(len(sources)) != index
        weights = ridge_fit((scale * sources)[others], (scale * targets)[others], absolute)
        expected = targets[index] - sources[index] @ weights
        torch.testing.assert_close(found[index], expected, rtol=1e-6, atol=0)


def test_the_ridge_has_the_least_cross_validation_score() -> None:
    """GCV by its definition, with the explicit hat matrix."""
    sources, targets = pairs(ACS)
    targets = targets + sources[:, :1]
    equations = equations_of(ACS)
    equations = replace(equations, cross=sources.mH @ targets, energy=targets.abs().square().sum(0))
    unit = float(equations.gram.diagonal().real.mean())

    def score(ridge: float) -> float:
        inverse = torch.linalg.inv(equations.gram + ridge * unit * torch.eye(len(equations.gram)))
        hat = sources @ inverse @ sources.mH
        missed = (targets - hat @ targets).abs().square().sum()
        return float(missed / (len(sources) - hat.diagonal().real.sum()).square())

    scores = [score(float(ridge)) for ridge in RIDGES]
    assert least_gcv(equations) == pytest.approx(float(RIDGES[scores.index(min(scores))]))
    assert 0 < scores.index(min(scores)) < len(RIDGES) - 1


def test_the_held_out_error_is_that_of_blocks_that_were_left_out() -> None:
    blocks = [equations_of(ACS[:, start : start + 6]) for start in (0, 3, 6)]
    total = blocks[0] + blocks[1] + blocks[2]
    expected = 0.0
    for start in (0, 3, 6):
        others = [pairs(ACS[:, other : other + 6]) for other in (0, 3, 6) if other != start]
        sources, targets = (torch.cat(parts) for parts in zip(*others, strict=True))
        weights = ridge_fit(sources, targets, 0.1 * float(sources.abs().square().sum(0).mean()))
        here = pairs(ACS[:, start : start + 6])
        expected += float((here[1] - here[0] @ weights).abs().square().sum())
    assert _held_out_error(blocks, total, 0.1) == pytest.approx(expected / total.n_equations, rel=1e-6)
    assert _held_out_error(blocks[:1], blocks[0], 0.1) == float('inf')


@pytest.mark.parametrize(('noise', 'share'), [(2.0, 0.5), (1e-3, 4.0), (3.0, 0.0)])
@pytest.mark.parametrize('unit', [1e-12, 1.0, 1e9])
def test_noise_and_misfit_are_told_apart(noise: float, share: float, unit: float) -> None:
    """Exponentially distributed residuals of known mean, in any unit."""
    generator = torch.Generator().manual_seed(0)
    power = torch.logspace(-3, 3, 20000, dtype=torch.float64)
    residual = (noise + share * power) * torch.empty(20000, dtype=torch.float64).exponential_(generator=generator)
    found = Misfit.from_residuals(unit * power, unit * residual)
    assert found.noise / unit == pytest.approx(noise, rel=0.1)
    assert found.share == pytest.approx(share, rel=0.1, abs=0.01)
    torch.testing.assert_close(found.weight(unit * power) * found.at(unit * power), torch.ones(20000).double())


def test_residuals_of_zero_or_of_one_patch_are_no_error() -> None:
    assert Misfit.from_residuals(torch.ones(30), torch.zeros(30)).share == 0
    assert Misfit.from_residuals(torch.ones(1), torch.ones(1)).noise == pytest.approx(1)


SCANS = {
    'noisy': Simulation((96, 80), 8, 1, 0.05, 1),
    'usual': Simulation((80, 96), 12, 1, 0.01, 2),
    'clean': Simulation((96, 80), 8, 1, 0.0005, 3),
}


@pytest.mark.parametrize('name', SCANS)
@pytest.mark.parametrize(('rate', 'n_acs'), [(2, 20), (3, 24), (5, 30)])
def test_what_is_chosen_is_near_the_best_in_hindsight_or_beats_it(name: str, rate: int, n_acs: int) -> None:
    """Against ridges and kernels that no user could have known, all equations alike.

    Without noise that matters, four lines of sources are a quarter better than the two that are offered.
    """
    scan = simulate(SCANS[name])
    sampling = undersample(scan.mask, (rate,), (n_acs,))
    kspace, truth = scan.kspace[0], scan.reference[0]  # type: ignore[index]

    def error(method: Grappa) -> float:
        return kspace_nrmse(fit(method, kspace, sampling).fill(kspace), truth, ~sampling.mask)

    sweep = [Grappa(Kernel(*size), 10.0**power) for size in ((2, 5), (4, 5)) for power in range(-5, 1)]
    assert error(Grappa()) < (1.3 if name == 'clean' else 1.15) * min(map(error, sweep))


VOLUMES = [(0.03, 1, (2, 2), 1), (0.003, 2, (1, 4), 0), (0.003, 2, (3, 2), 0)]


@pytest.mark.parametrize(('noise', 'seed', 'rate', 'shift'), VOLUMES)
def test_what_is_chosen_for_a_volume_is_near_the_best_in_hindsight_or_beats_it(
    noise: float, seed: int, rate: tuple[int, int], shift: int
) -> None:
    scan = simulate(Simulation((22, 44, 36), 6, 1, noise, seed))
    sampling = undersample(scan.mask, rate, (12, 18), shift)
    kspace, truth = scan.kspace[0], scan.reference[0]  # type: ignore[index]

    def error(method: Grappa) -> float:
        filled = fit(method, kspace, sampling).fill(kspace)
        images = [image_from_kspace(each, (-3, -2, -1)).abs().square().sum(0).sqrt() for each in (filled, truth)]
        return nrmse_object(*images)

    assert error(Grappa()) < 1.12 * min(error(Grappa(VOLUME_KERNELS[-1], 10.0**power)) for power in range(-4, 1))


@pytest.mark.parametrize('gain', [1e-9, 1e6])
def test_the_unit_of_k_space_does_not_matter(gain: float) -> None:
    acs = simulate(SCANS['usual']).kspace[0][:, 28:52]
    expected, found = (Grappa().learn(of(factor * acs, 4), silent) for factor in (1.0, gain))
    assert found.neighbourhood == expected.neighbourhood
    cells = of(acs, 4).cells(found.neighbourhood)
    torch.testing.assert_close(found.patch_map(acs, cells), expected.patch_map(acs, cells), rtol=1e-2, atol=1e-3)


def test_one_partition_is_tuned_as_lines_are() -> None:
    full = point_sources(9, 4, 54, 31) + 0.3 * random_kspace(4, 54, 31)
    lines = sampled_volume((54,), Lattice.of((3,)), (range(15, 40),))
    volume = sampled_volume((1, 54), Lattice.of((1, 3)), (range(1), range(15, 40)))
    expected, found = tune(calibration_of(full, lines)), tune(calibration_of(full[:, None], volume))
    assert found.regularization == expected.regularization
    assert found.misfit.noise == pytest.approx(expected.misfit.noise, rel=1e-6)
    assert found.expected_error == pytest.approx(expected.expected_error, rel=1e-6)
    torch.testing.assert_close(found.linear.weights, expected.linear.weights, rtol=1e-5, atol=1e-6)


def test_equations_of_nothing_but_noise_count_alike() -> None:
    calibration = of(random_kspace(4, 30, 60))
    misfit = estimated_misfit(calibration, calibration.neighbourhood(Kernel(2, 5)))
    weights = misfit.weight(torch.tensor([0.8, 1.2]))
    assert float(weights[0] / weights[1]) == pytest.approx(1, abs=0.15)


def test_only_kernels_that_the_acs_holds_are_tried() -> None:
    """The first one must fit; of an ACS of three partitions the others do not."""
    lines = of(simulate(SCANS['usual']).kspace[0][:, 34:44], 4)
    assert tune(lines, (Kernel(2, 5), Kernel(4, 5))).neighbourhood == lines.neighbourhood(Kernel(2, 5))
    lattice = Lattice.of((2, 2), 1)
    flat, flatter = (Calibration(random_kspace(3, n, 20, 19), lattice) for n in (4, 2))
    assert tune(flat).neighbourhood == flat.neighbourhood(VOLUME_KERNELS[0])
    with pytest.raises(CalibrationError, match='needs an ACS of at least that size, got 2 x 20 x 19'):
        tune(Calibration(flatter.acs, lattice, sampled_volume((9, 20), lattice, NO_ACS)))


def test_kernels_to_choose_from_follow_the_axes_that_are_accelerated() -> None:
    assert kernels_for(of(ACS)) == LINE_KERNELS
    assert kernels_for(Calibration(random_kspace(3, 1, 13, 17), Lattice.of((1, 3)))) == LINE_KERNELS
    assert kernels_for(Calibration(random_kspace(3, 9, 13, 17), Lattice.of((2, 2)))) == VOLUME_KERNELS


@pytest.mark.parametrize(('rate', 'accelerated'), [((1, 4), 1), ((3, 1), 0)])
def test_where_one_axis_alone_is_accelerated_kernels_grow_along_the_other(
    rate: tuple[int, int], accelerated: int
) -> None:
    calibration = Calibration(random_kspace(3, 13, 15, 17), Lattice.of(rate))
    small, large = (calibration.neighbourhood(kernel).extent for kernel in kernels_for(calibration))
    assert small[accelerated] == large[accelerated]
    assert (small[1 - accelerated], large[1 - accelerated]) == (1, 3)


@pytest.mark.parametrize('value', [0.0, -1.0])
def test_a_ridge_must_be_positive(value: float) -> None:
    with pytest.raises(ValueError, match='must be positive'):
        Grappa(regularization=value)
