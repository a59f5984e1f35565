"""What GRAPPA chooses from the ACS: each piece against its definition, then all of it on simulated scans."""

import pytest
import torch
from torch import Tensor

from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import kspace_nrmse
from raki.grappa.method import Grappa
from raki.interpolation.fit import Calibration, fit, silent
from raki.interpolation.kernel import Kernel, patches
from raki.interpolation.linear import NormalEquations, calibration_targets
from raki.interpolation.tuning import (
    RIDGES,
    Misfit,
    estimated_misfit,
    held_out_error,
    least_gcv,
    left_out_residuals,
    tune,
)
from tests.toys import random_kspace

KERNEL, RATE = Kernel(2, 3), 3
ACS = random_kspace(3, 13, 17) * torch.linspace(0.2, 3, 17)


def weighting(power: Tensor) -> Tensor:
    return 1 / (0.5 + power)


def pairs(acs: Tensor) -> tuple[Tensor, Tensor]:
    """All equations of the toy, axes (equation, source) and (equation, target), complex128."""
    sources = patches(acs, KERNEL, RATE).flatten(0, 1)
    targets = calibration_targets(acs, RATE, KERNEL).flatten(0, 1).flatten(1)
    return sources.to(torch.complex128), targets.to(torch.complex128)


def ridge_fit(sources: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """Ridge regression by its definition; `ridge` absolute."""
    return torch.linalg.solve(sources.mH @ sources + ridge * torch.eye(sources.shape[1]), sources.mH @ targets)


@pytest.mark.parametrize('ridge', [1e-3, 0.3])
def test_residuals_are_those_of_fits_without_the_equation(ridge: float) -> None:
    sources, targets = pairs(ACS)
    power = sources.abs().square().mean(1)
    equations = NormalEquations.from_acs(ACS, RATE, KERNEL, weighting)
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
    equations = NormalEquations.from_acs(ACS, RATE, KERNEL)
    equations = type(equations)(
        equations.gram, sources.mH @ targets, targets.abs().square().sum(0), len(sources), KERNEL, 3, 13
    )
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
    blocks = [NormalEquations.from_acs(ACS[:, start : start + 6], RATE, KERNEL) for start in (0, 3, 6)]
    total = blocks[0] + blocks[1] + blocks[2]
    expected = 0.0
    for start in (0, 3, 6):
        others = [pairs(ACS[:, other : other + 6]) for other in (0, 3, 6) if other != start]
        sources, targets = (torch.cat(parts) for parts in zip(*others, strict=True))
        weights = ridge_fit(sources, targets, 0.1 * float(sources.abs().square().sum(0).mean()))
        here = pairs(ACS[:, start : start + 6])
        expected += float((here[1] - here[0] @ weights).abs().square().sum())
    assert held_out_error(blocks, total, 0.1) == pytest.approx(expected / total.n_equations, rel=1e-6)
    assert held_out_error(blocks[:1], blocks[0], 0.1) == float('inf')


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
    """Against ridges and kernels that no user could have known, all equations alike."""
    scan = simulate(SCANS[name])
    sampling = undersample(scan.mask, rate, n_acs)
    kspace, truth = scan.kspace[0], scan.reference[0]  # type: ignore[index]
    acs = kspace[:, sampling.acs.start : sampling.acs.stop]

    def error(method: Grappa) -> float:
        return kspace_nrmse(fit(method, acs, sampling, kspace).fill(kspace), truth, ~sampling.mask)

    sweep = [Grappa(Kernel(*size), 10.0**power) for size in ((2, 5), (4, 5)) for power in range(-5, 1)]
    assert error(Grappa()) < 1.15 * min(map(error, sweep))


@pytest.mark.parametrize('gain', [1e-9, 1e6])
def test_the_unit_of_k_space_does_not_matter(gain: float) -> None:
    scan = simulate(SCANS['usual'])
    acs = scan.kspace[0][:, 28:52]
    expected, found = (Grappa().learn(Calibration(factor * acs, 4), silent) for factor in (1.0, gain))
    assert found.kernel == expected.kernel
    lines = random_kspace(12, 9, 20)
    torch.testing.assert_close(found.patch_map(lines, 1), expected.patch_map(lines, 1), rtol=1e-2, atol=1e-3)


def test_equations_of_nothing_but_noise_count_alike() -> None:
    misfit = estimated_misfit(Calibration(random_kspace(4, 30, 60), 3), Kernel(2, 5))
    weights = misfit.weight(torch.tensor([0.8, 1.2]))
    assert float(weights[0] / weights[1]) == pytest.approx(1, abs=0.15)


def test_only_kernels_that_the_acs_holds_are_tried() -> None:
    calibration = Calibration(simulate(SCANS['usual']).kspace[0][:, 34:44], 4)
    assert tune(calibration, (Kernel(2, 5), Kernel(4, 5))).kernel == Kernel(2, 5)


@pytest.mark.parametrize('value', [0.0, -1.0])
def test_a_ridge_must_be_positive(value: float) -> None:
    with pytest.raises(ValueError, match='must be positive'):
        Grappa(regularization=value)
