"""Ridge regression against its definition; edges against the best that hindsight could choose."""

import pytest
import torch
from torch import Tensor

from raki.data.sampling import Sampling
from raki.data.simulate import Simulation, simulate
from raki.grappa.method import Grappa
from raki.interpolation.fit import Calibration, fit, silent
from raki.interpolation.kernel import Kernel, patches
from raki.interpolation.linear import KernelPart, NormalEquations, calibration_targets
from tests.toys import acs_of, lattice_with_acs, random_kspace

ACS = random_kspace(3, 17, 13)
KERNEL = Kernel(3, 4)


@pytest.mark.parametrize('regularization', [1e-6, 1e-2, 1.0])
def test_weights_are_those_of_the_augmented_least_squares_problem(regularization: float) -> None:
    sources = patches(ACS, KERNEL, dilation=3).flatten(0, 1).to(torch.complex128)
    targets = calibration_targets(ACS, 3, KERNEL).flatten(0, 1).flatten(1).to(torch.complex128)
    strength = (regularization * sources.abs().square().sum(0).mean()).sqrt()
    rows = torch.cat([sources, strength * torch.eye(sources.shape[1], dtype=sources.dtype)])
    expected = torch.linalg.lstsq(rows, torch.cat([targets, torch.zeros(sources.shape[1], targets.shape[1])])).solution
    torch.testing.assert_close(NormalEquations.from_acs(ACS, 3, KERNEL).solve(regularization), expected)


def test_patches_and_targets_are_the_samples_they_should_be() -> None:
    """Number every sample; the kernel 3 x 4 has one line before the gap, its column is the third."""
    numbered = torch.arange(2 * 17 * 13).reshape(2, 17, 13).to(torch.complex64)
    line, column, acceleration = 5, 6, 3
    patch = patches(numbered, KERNEL, acceleration)[line, column].reshape(2, 3, 4)
    assert torch.equal(patch, numbered[:, line : line + 7 : 3, column : column + 4])
    target = calibration_targets(numbered, acceleration, KERNEL)[line, column]
    assert torch.equal(target, numbered[:, line + 1 : line + 3, column + 2])


def test_a_part_of_the_kernel_is_solved_as_if_it_were_a_kernel_of_its_own() -> None:
    """Its first two lines, all samples, from the positions of the full kernel."""
    equations = NormalEquations.from_acs(ACS, 3, KERNEL)
    part = KernelPart(range(2), range(4))
    short = NormalEquations.from_acs(ACS[:, :14], 3, Kernel(2, 4))
    torch.testing.assert_close(equations.solve(1e-9, part), short.solve(1e-9))


def test_unexplained_power_is_no_less_than_the_noise_on_average() -> None:
    """White noise of unit power cannot be predicted at all; 20 draws, within 3 standard errors of 1."""
    found = []
    for seed in range(20):
        equations = NormalEquations.from_acs(random_kspace(4, 24, 60, seed=seed), 3, Kernel(4, 5))
        found.append(equations.unexplained_power(equations.solve(1e-6)))
    assert torch.tensor(found).mean() == pytest.approx(1 / (1 + 80 / 720), abs=0.1)


def noisy_scan() -> tuple[Tensor, Tensor]:
    scan = simulate(Simulation(matrix=(72, 64), n_coils=8, noise=0.01, seed=5))
    assert scan.reference is not None
    return scan.kspace[0], scan.reference[0]


def edge_error(filled: Tensor, truth: Tensor, sampling: Sampling) -> float:
    """Relative error of the lines beyond the last but one lattice line and before the second."""
    lattice = sampling.lattice
    edge = ~sampling.mask & ~torch.isin(torch.arange(72), torch.arange(lattice[1], lattice[-2]))
    return float((filled - truth)[:, edge].norm() / truth[:, edge].norm())


@pytest.mark.parametrize(('acceleration', 'first_line'), [(3, 2), (4, 1), (5, 4)])
def test_edges_are_as_strong_against_noise_as_the_measured_samples_ask_for(acceleration: int, first_line: int) -> None:
    """Better than edges fitted to the bright ACS alone, no worse than nothing, near the best in hindsight."""
    full, truth = noisy_scan()
    sampling = lattice_with_acs(72, acceleration, first_line, range(24, 48))
    acs = acs_of(full, sampling)
    method = Grappa(regularization=1e-3)
    aware = edge_error(fit(method, acs, sampling, full).fill(full), truth, sampling)
    sweep = [
        edge_error(fit(Grappa(regularization=10.0**power), acs, sampling).fill(full), truth, sampling)
        for power in range(-4, 3)
    ]
    naive = edge_error(fit(method, acs, sampling).fill(full), truth, sampling)
    assert aware < naive
    assert aware < 1.02
    assert aware < 1.15 * min(sweep)


@pytest.mark.parametrize('gain', [0.01, 100.0])
def test_the_receiver_gain_of_separate_calibration_does_not_matter(gain: float) -> None:
    full, _ = noisy_scan()
    sampling = lattice_with_acs(72, 4, 1, range(0))
    acs = full[:, 24:48]
    expected = fit(Grappa(), acs, sampling, full).fill(full)
    torch.testing.assert_close(fit(Grappa(), gain * acs, sampling, full).fill(full), expected, rtol=1e-3, atol=1e-5)


def test_too_few_equations_are_said() -> None:
    full = random_kspace(8, 48, 20)
    starved = fit(Grappa(Kernel(4, 5)), full[:, 16:30], lattice_with_acs(48, 4, 0, range(0)), full)
    assert starved.warnings == (
        '14 ACS lines give 32 equations for 160 unknowns: ghosts are possible; more ACS or a smaller kernel would help',
    )
    fed = Grappa(Kernel(4, 5)).learn(Calibration(full, 4), silent)
    assert (fed.n_equations, fed.n_unknowns) == (36 * 16, 160)
    assert fit(Grappa(), full, lattice_with_acs(48, 4, 0, range(0)), full).warnings == ()
