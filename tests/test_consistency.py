"""Self-consistency and sparsity: what all neighbours in all coils tell of a sample, on lattices and on any mask."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.consistency.evidence import Evidence
from raki.consistency.grid import Grid
from raki.consistency.kernel import SelfConsistency
from raki.consistency.sparse import Sparse, retained, shrunk
from raki.consistency.spirit import Spirit
from raki.consistency.wavelets import composed, decomposed
from raki.data.lattice import Lattice
from raki.data.masks import Irregular, Pattern
from raki.errors import CalibrationError, SamplingError
from raki.fourier import image_from_kspace, kspace_from_image
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration, Method, silent
from raki.interpolation.fit import fit
from tests.toys import (
    calibration_of,
    lattice_with_acs,
    measured_only,
    plane_wave,
    point_sources,
    random_kspace,
    relative_error,
    sampled_volume,
)

SPIRIT, SPARSE = Spirit(Grappa()), Sparse(Grappa())
both_methods = pytest.mark.parametrize('method', [SPIRIT, SPARSE], ids=['spirit', 'sparse'])


def object_kspace(n_coils: int, n_lines: int, n_readout: int, seed: int = 0) -> Tensor:
    """K-space (coil, ky, kx) of an ellipse with an edge, seen by coils of smooth sensitivity."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, n_lines), torch.linspace(-1, 1, n_readout), indexing='ij')
    inside = ((y / 0.7) ** 2 + (x / 0.6) ** 2 < 1).float() + 0.5 * ((y - 0.2) ** 2 + x**2 < 0.05).float()
    turns = torch.rand(n_coils, generator=torch.Generator().manual_seed(seed)) * 2 * torch.pi
    places = 2 * torch.pi * torch.arange(n_coils) / n_coils
    far = (y - places.sin()[:, None, None]) ** 2 + (x - places.cos()[:, None, None]) ** 2
    return kspace_from_image(inside * torch.exp(-far / 2) * torch.polar(torch.ones_like(turns), turns)[:, None, None])


def random_mask(shape: tuple[int, ...], acs: tuple[range, ...], part: float, seed: int = 0) -> Tensor:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < part
    mask[tuple(slice(side.start, side.stop) for side in acs)] = True
    return mask


PATTERNS: dict[str, tuple[Pattern, tuple[int, ...]]] = {
    'lattice': (lattice_with_acs(54, 3, 1, range(15, 40)), (54, 31)),
    'random lines': (Irregular(random_mask((54,), (range(15, 40),), 0.4)), (54, 31)),
    'volume': (sampled_volume((9, 26), Lattice.of((2, 2), 1), (range(1, 8), range(5, 21))), (9, 26, 17)),
    'random positions': (Irregular(random_mask((9, 26), (range(1, 8), range(5, 21)), 0.4)), (9, 26, 17)),
}
every_pattern = pytest.mark.parametrize(('pattern', 'shape'), PATTERNS.values(), ids=PATTERNS)


@pytest.mark.parametrize('shape', [(54, 31), (1, 20, 33), (7, 12, 18)])
def test_a_grid_gives_lines_back_and_shifts_no_pixel(shape: tuple[int, ...]) -> None:
    grid, kspace = Grid(shape), random_kspace(3, *shape)
    lines = kspace.flatten(1, -2)
    embedded = grid.embedded(lines)
    assert embedded.shape == (3, *grid.size)
    assert all(size % 2**depth == 0 for size, depth in zip(grid.size, grid.depth, strict=True))
    assert torch.equal(grid.cropped(embedded), lines)
    constant = torch.zeros_like(lines)
    constant.view(3, *shape)[(slice(None), *(size // 2 for size in shape))] = 1
    spread = grid.image(grid.embedded(constant))
    torch.testing.assert_close(spread, spread[:, :1].flatten(1)[:, :1].view(3, *(1,) * len(shape)).expand_as(spread))


@pytest.mark.parametrize('size', [(16, 24), (4, 16, 32)])
def test_wavelets_are_orthonormal(size: tuple[int, ...]) -> None:
    """Perfect reconstruction, equal energy, and nothing but the coarse image for a constant."""
    depth, image = tuple(2 if n > 8 else 1 for n in size), random_kspace(*size)
    bands = decomposed(image, depth)
    torch.testing.assert_close(composed(bands, depth), image, rtol=1e-5, atol=1e-5)
    assert sum(float(band.abs().square().sum()) for band in bands) == pytest.approx(float(image.abs().square().sum()))
    *details, coarse = decomposed(torch.ones(size, dtype=torch.complex64), depth)
    assert max(float(band.abs().max()) for band in details) < 1e-5
    assert coarse.numel() * 2 ** sum(depth) == image.numel()


def test_a_soft_threshold_shortens_by_itself_and_keeps_the_phase() -> None:
    values = torch.tensor([3 + 4j, 0.3 - 0.4j, 0])
    torch.testing.assert_close(shrunk(values, torch.tensor(1.0)), torch.tensor([2.4 + 3.2j, 0, 0]))


@pytest.mark.parametrize('shape', [(25, 31), (15, 18, 17)])
def test_points_are_consistent_and_noise_is_not(shape: tuple[int, ...]) -> None:
    """What is left of k-space of few points is nothing, in k-space and as a form of pixels."""
    lattice = Lattice.of((2,) * (len(shape) - 1))
    kernel = SelfConsistency.learnt(Calibration(point_sources(3, 4, *shape), lattice))
    grid = Grid(shape)
    squared = torch.cat(list(kernel.squared(grid)))

    def left(kspace: Tensor) -> float:
        image = grid.image(grid.embedded(kspace.flatten(1, -2))).flatten(1).mT[..., None]
        return float((image.mH @ squared @ image).real.sum() / image.abs().square().sum())

    points, noise = point_sources(3, 4, *shape), random_kspace(4, *shape)
    window = torch.ones(())  # k-space ends: what is left there is of the kernel's missing neighbours
    for size in shape:
        window = window[..., None] * torch.hann_window(size, periodic=False)
    assert left(points * window) < 0.02 * left(noise * window)


def test_sensitivities_are_found_up_to_a_phase() -> None:
    full = object_kspace(4, 48, 40)
    sampling = lattice_with_acs(48, 2, 0, range(12, 36))
    grid = Grid((48, 40))
    kernel = SelfConsistency.learnt(calibration_of(full, sampling))
    image = grid.image(grid.embedded(full))
    found = kernel.sensitivities(grid, image)
    torch.testing.assert_close(found.norm(dim=0), torch.ones(grid.size))
    energy = image.abs().square().sum(0)
    inside = energy > 0.05 * energy.max()
    seen = (found.conj() * image).sum(0).abs().square()[inside].sum() / energy[inside].sum()
    assert float(seen) > 0.999


@both_methods
@every_pattern
def test_measured_samples_come_back_bit_for_bit_and_only_they_are_looked_at(
    method: Method, pattern: Pattern, shape: tuple[int, ...]
) -> None:
    full = point_sources(9, 4, *shape) + 0.1 * random_kspace(4, *shape)
    interpolator = fit(method, full, pattern)
    filled = interpolator.fill(full)
    assert torch.equal(filled[:, pattern.mask], full[:, pattern.mask])
    assert bool((filled[:, pattern.inside] != 0).any())
    assert not bool(filled[:, ~pattern.inside & ~pattern.mask].any())
    measured = measured_only(full, pattern)
    assert torch.equal(filled, interpolator.fill(measured))
    assert torch.equal(filled, fit(method, measured, pattern).fill(measured))


@every_pattern
def test_spirit_is_linear_and_its_own_derivative(pattern: Pattern, shape: tuple[int, ...]) -> None:
    full, other = (point_sources(9, 4, *shape) + 0.1 * random_kspace(4, *shape, seed=n) for n in (0, 1))
    interpolator = fit(SPIRIT, full, pattern)
    expected = (2 - 3j) * interpolator.fill(full) + interpolator.fill(other)
    torch.testing.assert_close(interpolator.fill((2 - 3j) * full + other), expected, rtol=1e-3, atol=1e-3)
    pushed = interpolator.derivative(full).fill(other)
    torch.testing.assert_close(pushed, interpolator.fill(other), rtol=1e-4, atol=1e-4)


@every_pattern
def test_the_derivative_of_sparse_is_the_limit_of_differences(pattern: Pattern, shape: tuple[int, ...]) -> None:
    full, step = point_sources(9, 4, *shape) + 0.1 * random_kspace(4, *shape), random_kspace(4, *shape, seed=5)
    interpolator = fit(SPARSE, full, pattern)
    pushed = interpolator.derivative(full).fill(step)
    difference = (interpolator.fill(full + 2e-3 * step) - interpolator.fill(full - 2e-3 * step)) / 4e-3
    assert relative_error(difference, pushed) < 0.05  # coefficients that cross the threshold in between


@both_methods
def test_one_point_is_filled_in_without_error(method: Method) -> None:
    """A plane wave obeys every relation between neighbours.

    It ends with k-space at full strength, and the margins that continue it are damped: what that costs, half a per
    cent in the middle, fades inwards.
    """
    full, sampling = plane_wave(4, 54, 31), lattice_with_acs(54, 3, 1, range(15, 40))
    filled = fit(method, full, sampling).fill(full)
    assert relative_error(filled[:, 6:48, 4:27], full[:, 6:48, 4:27]) < 7e-3


@both_methods
def test_noise_free_objects_are_filled_in_better_than_by_interpolation_or_as_well(method: Method) -> None:
    full, sampling = object_kspace(6, 64, 48), lattice_with_acs(64, 3, 1, range(20, 44))
    start = fit(Grappa(), full, sampling).fill(full)
    assert relative_error(fit(method, full, sampling).fill(full), full) < 1.05 * relative_error(start, full)


@both_methods
@pytest.mark.parametrize('noise', [0.003, 0.03])
def test_random_lines_are_filled_in(method: Method, noise: float) -> None:
    """To a fraction of the error of zero filling."""
    full = object_kspace(8, 96, 48)
    noisy = full + noise * random_kspace(*full.shape)
    pattern = Irregular(random_mask((96,), (range(36, 60),), 0.4))
    missing = ~pattern.mask
    filled = fit(method, noisy, pattern).fill(noisy)
    assert float((filled - full)[:, missing].norm() / full[:, missing].norm()) < 0.6


@both_methods
def test_shifting_the_object_by_whole_pixels_of_the_grid_shifts_the_image(method: Method) -> None:
    """A phase ramp in k-space that is the same on image and grid: half of the field of view along the readout."""
    full = object_kspace(6, 64, 48) + 0.01 * random_kspace(6, 64, 48)
    sampling = lattice_with_acs(64, 3, 1, range(20, 44))
    ramp = torch.where(torch.arange(48) % 2 == 0, 1.0, -1.0)
    filled, moved = fit(method, full, sampling).fill(full), fit(method, full * ramp, sampling).fill(full * ramp)
    images = image_from_kspace(filled).roll(24, -1), image_from_kspace(moved)
    assert relative_error(*(image.abs() for image in images)) < 2e-3  # wavelets stand elsewhere


@every_pattern
def test_measured_samples_are_trusted_fully_and_margins_not_at_all(pattern: Pattern, shape: tuple[int, ...]) -> None:
    full = point_sources(9, 4, *shape) + 0.1 * random_kspace(4, *shape)
    lattice = Lattice.of((1,) * (len(shape) - 1))
    lines = measured_only(full, pattern).flatten(1, -2)
    evidence = Evidence.of(Calibration(pattern.acs_block(full), lattice, pattern, lines), None)
    trust = evidence.grid.cropped(evidence.trust)
    known = pattern.mask.flatten()
    assert bool((trust[known] == 1).all())
    assert bool(((trust[~known] > 0) & (trust[~known] < 1)).all())
    assert float(evidence.trust.sum()) == pytest.approx(float(trust.sum()))


@pytest.mark.parametrize('name', ['random lines', 'random positions'])
def test_interpolation_without_a_lattice_names_what_can_do_without(name: str) -> None:
    pattern, shape = PATTERNS[name]
    with pytest.raises(SamplingError, match='spirit and sparse'):
        fit(Grappa(), random_kspace(4, *shape), pattern)


@both_methods
def test_any_mask_needs_an_acs(method: Method) -> None:
    mask = torch.zeros(40, dtype=torch.bool)
    mask[[0, 3, 7, 9, 17, 30]] = True
    with pytest.raises(CalibrationError, match='learns from autocalibration lines'):
        fit(method, random_kspace(4, 40, 21), Irregular(mask))


def test_a_bound_on_what_comes_back_of_points_lowers_thresholds() -> None:
    """And nothing else: thresholds fall, more of the points comes back, none remain where all must."""
    full = object_kspace(6, 64, 48) + 0.05 * random_kspace(6, 64, 48)
    sampling = lattice_with_acs(64, 4, 1, range(20, 44))
    calibration = calibration_of(full, sampling)
    start = Grappa().learn(calibration, silent)
    bounds = (None, 0.0, 0.8, 1.0)
    free, unbound, bound, most = (replace(SPARSE, faithful=each).refinement(calibration, start) for each in bounds)
    assert 'of small points, not 100 %' in replace(SPARSE, faithful=1.0).learn(calibration, silent).warnings[-1]
    assert (free.strength, unbound.strength, most.strength) == (1, 1, 0)
    assert 0 <= bound.strength < 1
    shares = [retained(each, calibration, start) for each in (free, bound, most)]
    assert shares == sorted(shares)
    assert shares[0] < shares[2]
    with pytest.raises(ValueError, match='faithful must be between 0 and 1'):
        replace(SPARSE, faithful=1.5)


@pytest.mark.parametrize('method', [Spirit, Sparse])
def test_no_steps_are_refused(method: type[Spirit] | type[Sparse]) -> None:
    with pytest.raises(ValueError, match='at least one step'):
        method(Grappa(), n_steps=0)


@both_methods
@pytest.mark.parametrize('n_lines', [2, 4, 5])
def test_lines_that_do_not_show_what_is_next_to_them_teach_nothing(method: Method, n_lines: int) -> None:
    """A kernel is as wide as half of the ACS at most: from five lines on it reaches the next one."""
    mask = random_mask((40,), (range(18, 18 + n_lines),), 0.0)
    mask[[2, 9, 11, 27, 33]] = True
    kspace = torch.where(mask[:, None], random_kspace(4, 40, 21), 0)
    if n_lines == 5:
        assert fit(method, kspace, Irregular(mask)).refinement is not None
        return
    with pytest.raises(CalibrationError, match=f'5 lines or more .* got {n_lines}'):
        fit(method, kspace, Irregular(mask))
