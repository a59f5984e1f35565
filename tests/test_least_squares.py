"""Second moments, ridge regression and the linear map: each against its definition."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration, silent
from raki.interpolation.fit import fit
from raki.interpolation.least_squares import LinearMap, NormalEquations, Part, energies, mean_power, pairs
from raki.interpolation.neighbours import Kernel
from tests.toys import lattice_with_acs, random_kspace

KERNELS = [Kernel(2, 5), Kernel(4, 5), Kernel(3, 4), Kernel(2, 1), Kernel(4, 17)]
ACS = random_kspace(3, 19, 17)
CASES = [
    *(pytest.param(ACS, Lattice.of((rate,)), kernel, id=f'R={rate}-{kernel}') for rate in (2, 5) for kernel in KERNELS),
    *(
        pytest.param(random_kspace(3, 9, 11, 7), Lattice.of((2, 2), shift), kernel, id=f'2x2-shift-{shift}-{kernel}')
        for shift in (0, 1)
        for kernel in (Kernel(2, 5), Kernel(3, 3))
    ),
]


def explicit(calibration: Calibration, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """All equations, axes (equation, source) and (equation, target), complex128."""
    cells = calibration.cells(calibration.neighbourhood(kernel))
    sources, targets = pairs(calibration.acs_lines, cells)
    return sources.to(torch.complex128), targets.to(torch.complex128)


def of(acs: Tensor, rate: int, kernel: Kernel) -> NormalEquations:
    calibration = Calibration(acs, Lattice.of((rate,)))
    return calibration.normal_equations(calibration.neighbourhood(kernel))


@pytest.mark.parametrize(('acs', 'lattice', 'kernel'), CASES)
def test_shifted_sums_are_the_sums_over_patches(acs: Tensor, lattice: Lattice, kernel: Kernel) -> None:
    calibration = Calibration(acs, lattice)
    sources, targets = explicit(calibration, kernel)
    found = calibration.normal_equations(calibration.neighbourhood(kernel))
    torch.testing.assert_close(found.gram, sources.mH @ sources)
    torch.testing.assert_close(found.cross, sources.mH @ targets)
    torch.testing.assert_close(found.energy, targets.abs().square().sum(0))
    assert found.n_equations == len(sources)


@pytest.mark.parametrize(('acs', 'lattice', 'kernel'), CASES[2::3])
def test_equations_are_weighted_by_the_power_of_their_sources(acs: Tensor, lattice: Lattice, kernel: Kernel) -> None:
    calibration = Calibration(acs, lattice)
    cells = calibration.cells(calibration.neighbourhood(kernel))
    found = NormalEquations.of(calibration.acs_lines, cells, lambda power: 1 / (0.5 + power))
    sources, targets = explicit(calibration, kernel)
    weighted = sources / (0.5 + sources.abs().square().mean(1, keepdim=True))
    torch.testing.assert_close(found.gram, weighted.mH @ sources, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.cross, weighted.mH @ targets, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('n_sources', [1, 2, 3, 7, 20])
def test_moments_of_patches_are_products_and_add_up(n_sources: int) -> None:
    samples = random_kspace(30, n_sources + 2).to(torch.complex128)
    sources, targets = samples[:, :n_sources], samples[:, n_sources:]
    around = Calibration(ACS, Lattice.of((2,))).neighbourhood(Kernel(2, 1))
    first, second = ([(sources[part], targets[part])] for part in (slice(11), slice(11, None)))
    whole = NormalEquations.from_pairs([*first, *second], around)
    added = NormalEquations.from_pairs(first, around) + NormalEquations.from_pairs(second, around)
    for found in (whole, added, whole + whole - added):
        torch.testing.assert_close(found.gram, sources.mH @ sources)
        torch.testing.assert_close(found.cross, sources.mH @ targets)
        torch.testing.assert_close(found.energy, targets.abs().square().sum(0))
        assert found.n_equations == 30


def test_powers_are_means_and_sums_of_squared_magnitudes() -> None:
    values = random_kspace(9, 4)
    torch.testing.assert_close(mean_power(values), values.abs().square().mean(1).double())
    torch.testing.assert_close(energies(values), values.abs().square().sum(0))


@pytest.mark.parametrize(('acs', 'lattice', 'kernel'), CASES)
def test_the_linear_map_is_the_product_of_patches_and_weights(acs: Tensor, lattice: Lattice, kernel: Kernel) -> None:
    """The Fourier transform along the readout wraps around only where there is no whole patch."""
    calibration = Calibration(acs, lattice)
    cells = calibration.cells(calibration.neighbourhood(kernel))
    around, lines = cells.neighbourhood, random_kspace(*calibration.acs_lines.shape, seed=1)
    weights = random_kspace(3 * len(around.sources) * len(around.samples), 3 * len(around.targets))
    expected = (cells.patches(lines) @ weights).unflatten(-1, (3, -1)).permute(2, 3, 0, 1)
    found = LinearMap(weights)(lines, cells)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize('regularization', [1e-6, 1e-2, 1.0])
def test_weights_are_those_of_the_augmented_least_squares_problem(regularization: float) -> None:
    sources, targets = explicit(Calibration(ACS, Lattice.of((3,))), Kernel(3, 4))
    strength = (regularization * sources.abs().square().sum(0).mean()).sqrt()
    rows = torch.cat([sources, strength * torch.eye(sources.shape[1], dtype=sources.dtype)])
    expected = torch.linalg.lstsq(rows, torch.cat([targets, torch.zeros(sources.shape[1], targets.shape[1])])).solution
    torch.testing.assert_close(of(ACS, 3, Kernel(3, 4)).solve(regularization), expected)


def test_a_part_of_the_kernel_is_solved_as_if_it_were_a_kernel_of_its_own() -> None:
    """Its first two lines and last three samples, from the positions of the full kernel."""
    equations = of(ACS, 3, Kernel(3, 5))
    short = of(ACS[:, :16, 1:], 3, Kernel(2, 4))
    cut = replace(short.neighbourhood, samples=range(-1, 3))
    calibration = Calibration(ACS[:, :16, 1:], Lattice.of((3,)))
    expected = calibration.normal_equations(cut).solve(1e-9)
    torch.testing.assert_close(equations.solve(1e-9, Part((0, 1), range(1, 5))), expected)


def test_unexplained_power_is_no_less_than_the_noise_on_average() -> None:
    """White noise of unit power cannot be predicted at all; 20 draws, within 3 standard errors of 1."""
    found = []
    for seed in range(20):
        equations = of(random_kspace(4, 24, 60, seed=seed), 3, Kernel(4, 5))
        found.append(equations.unexplained_power(equations.solve(1e-6)))
    assert torch.tensor(found).mean() == pytest.approx(1 / (1 + 80 / 720), abs=0.1)


def test_too_few_equations_are_said() -> None:
    full, sampling = random_kspace(8, 48, 20), lattice_with_acs(48, 4, 0, range(0))
    method = Grappa(Kernel(4, 5), 1e-3)
    assert fit(method, full, sampling, full[:, 16:30]).warnings == (
        '14 ACS lines give 32 equations for 160 unknowns: ghosts are possible; more ACS or a smaller kernel would help',
    )
    fed = method.learn(Calibration(full, sampling.lattice), silent)
    assert (fed.n_equations, fed.n_unknowns) == (36 * 16, 160)
    assert fit(method, full, sampling, full).warnings == ()


def test_too_few_equations_of_volumes_are_said() -> None:
    full, lattice = random_kspace(3, 6, 8, 9), Lattice.of((2, 2), 1)
    starved = Grappa(Kernel(2, 5), 1e-3).learn(Calibration(full, lattice), silent)
    extent = starved.neighbourhood.extent
    assert starved.n_equations == (6 - extent[0] + 1) * (8 - extent[1] + 1) * (9 - extent[2] + 1)
    assert starved.n_unknowns == 3 * len(starved.neighbourhood.sources) * 5
