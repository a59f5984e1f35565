"""Laws that every method must keep, on lines and on volumes with two accelerated axes."""

from functools import cache
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from raki.data.blocks import Box
from raki.data.equispaced import Equispaced
from raki.data.lattice import Lattice
from raki.data.masks import Pattern, pattern_of
from raki.data.sampling import Sampling
from raki.errors import CalibrationError
from raki.grappa.method import USUAL, Grappa
from raki.interpolation.calibration import Method, Refining
from raki.interpolation.fit import Interpolator, ZeroFilling, fit
from raki.interpolation.neighbours import Kernel
from raki.interpolation.patterns import Gapwise
from tests.toys import METHODS, lattice_with_acs, lines_at, measured_only, point_sources, random_kspace, sampled_volume

EVERY_METHOD = [pytest.param(method, id=name) for name, method in METHODS.items()]
LINEAR = [pytest.param(METHODS[name], id=name) for name in ('grappa', 'grappa-2x3')]


class Geometry(NamedTuple):
    """Size of k-space without coils, and where its ACS is."""

    shape: tuple[int, ...]
    acs: Box


LINES = Geometry((54, 31), (range(15, 40),))
VOLUME = Geometry((13, 30, 27), (range(2, 11), range(7, 23)))
LATTICES = [
    pytest.param(LINES, Lattice.of((2,)), id='R=2'),
    pytest.param(LINES, Lattice.of((4,), first=(3,)), id='R=4'),
    pytest.param(VOLUME, Lattice.of((2, 2), 1, (1, 0)), id='R=2x2-shift-1'),
    pytest.param(VOLUME, Lattice.of((1, 3), 2, (0, 1)), id='R=1x3-shift-2'),
]
GEOMETRIES = [
    pytest.param(LINES, Lattice.of((3,), first=(1,)), id='lines'),
    pytest.param(VOLUME, Lattice.of((2, 2), 1), id='volume'),
]
GAPS = [pytest.param(LINES, None, id='gaps')]
"""Without a lattice: lines whose gaps differ, for those that take them."""
every_method = pytest.mark.parametrize('method', EVERY_METHOD)
GATED = ('gated', 'spirit', 'sparse', 'rraki')
"""Methods that are, or start from, gates that open with the power of k-space."""
both_geometries = pytest.mark.parametrize(('geometry', 'lattice'), GEOMETRIES)
every_geometry = pytest.mark.parametrize(('geometry', 'lattice'), GEOMETRIES + GAPS)


@pytest.fixture(autouse=True)
def _only_what_is_taken(request: pytest.FixtureRequest) -> None:
    """Skip gaps that differ where a method sees further than a cell, and so refuses them."""
    asked = {
        name: request.getfixturevalue(name) for name in ('lattice', 'method', 'name') if name in request.fixturenames
    }
    method = asked.get('method', METHODS.get(asked.get('name', ''), METHODS['grappa']))
    if asked.get('lattice', LINES) is None and not isinstance(method, Gapwise | Refining):
        pytest.skip('refuses gaps that differ, see test_equispaced')


@cache
def noisy(geometry: Geometry = LINES) -> Tensor:
    """Structured k-space with noise."""
    return point_sources(9, 4, *geometry.shape) + 0.1 * random_kspace(4, *geometry.shape)


def sampled(geometry: Geometry, lattice: Lattice | None) -> Pattern:
    if lattice is None:
        return pattern_of(lines_at(geometry.shape[0], 0, 3, 7, 11, 14, *geometry.acs[0], 42, 46, 49, 53))
    return sampled_volume(geometry.shape[:-1], lattice, geometry.acs)


def nowhere(geometry: Geometry, lattice: Lattice | None) -> Pattern:
    """Without ACS."""
    if lattice is None:
        return pattern_of(lines_at(geometry.shape[0], *range(0, 24, 3), *range(25, 54, 4)))
    return sampled_volume(geometry.shape[:-1], lattice, (range(0),) * len(geometry.acs))


@cache
def fitted(method: Method, geometry: Geometry, lattice: Lattice | None) -> Interpolator:
    return fit(method, noisy(geometry), sampled(geometry, lattice))


@cache
def filled_in(method: Method, geometry: Geometry, lattice: Lattice | None) -> Tensor:
    return fitted(method, geometry, lattice).fill(noisy(geometry))


@every_method
@pytest.mark.parametrize(('geometry', 'lattice'), LATTICES + GEOMETRIES + GAPS)
def test_measured_samples_come_back_bit_for_bit_and_all_others_are_filled_from_them(
    method: Method, geometry: Geometry, lattice: Lattice | None
) -> None:
    full, interpolator = noisy(geometry), fitted(method, geometry, lattice)
    mask, filled = interpolator.sampling.mask, filled_in(method, geometry, lattice)
    assert torch.equal(filled[:, mask], full[:, mask])
    assert bool((filled != 0).any(0).any(-1).all())
    assert torch.equal(filled, interpolator.fill(measured_only(full, interpolator.sampling)))


@every_method
@every_geometry
def test_the_same_seed_gives_the_same_bits_whatever_was_not_measured_and_progress_is_told(
    method: Method, geometry: Geometry, lattice: Lattice | None
) -> None:
    measured, sampling = measured_only(noisy(geometry), sampled(geometry, lattice)), sampled(geometry, lattice)
    told: list[tuple[int, int]] = []
    interpolator = fit(method, measured, sampling, progress=lambda *done: told.append(done))
    assert told[-1][0] == told[-1][1]
    assert [done / total for done, total in told] == sorted(done / total for done, total in told)
    assert torch.equal(interpolator.fill(measured), filled_in(method, geometry, lattice))


@every_method
@every_geometry
def test_fit_and_fill_leave_arguments_and_the_global_random_state_alone(
    method: Method, geometry: Geometry, lattice: Lattice | None
) -> None:
    full, sampling = noisy(geometry).clone(), sampled(geometry, lattice)
    acs = sampling.acs_block(full).clone()
    copies, state = (full.clone(), sampling.mask.clone(), acs.clone()), torch.random.get_rng_state()
    fit(method, full, sampling, acs).fill(full)
    assert all(map(torch.equal, (full, sampling.mask, acs), copies))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize('name', [name for name in METHODS if name not in GATED])
@every_geometry
def test_filling_is_positively_homogeneous(name: str, geometry: Geometry, lattice: Lattice | None) -> None:
    """No bias anywhere: fill(a k) = a fill(k) for a > 0 and a fixed fit; gates open with the power of k-space."""
    full, once = noisy(geometry), filled_in(METHODS[name], geometry, lattice)
    for factor in (1e-6, 3.0, 1e5):
        expected = factor * once
        found = fitted(METHODS[name], geometry, lattice).fill(factor * full)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@every_method
@every_geometry
@pytest.mark.parametrize('factor', [1e-12])
def test_the_unit_of_k_space_does_not_matter(
    method: Method, geometry: Geometry, lattice: Lattice | None, factor: float
) -> None:
    """Scanners deliver samples from 1e-6 to 1e5: fit and fill scale along."""
    scaled, expected = factor * noisy(geometry), filled_in(method, geometry, lattice)
    filled = fit(method, scaled, sampled(geometry, lattice)).fill(scaled) / factor
    assert float((filled - expected).norm() / expected.norm()) < 1e-3  # float32 training amplifies rounding


@every_method
@every_geometry
@pytest.mark.parametrize('power', [17])
def test_units_that_differ_by_a_power_of_two_change_no_bit(
    method: Method, geometry: Geometry, lattice: Lattice | None, power: int
) -> None:
    """Nothing is rounded then; other factors change last bits, which long training may amplify to per cents."""
    scaled, expected = 2.0**power * noisy(geometry), 2.0**power * filled_in(method, geometry, lattice)
    filled = fit(method, scaled, sampled(geometry, lattice)).fill(scaled)
    torch.testing.assert_close(filled, expected, rtol=1e-5, atol=0)


@every_method
@every_geometry
def test_what_cannot_teach_is_refused(method: Method, geometry: Geometry, lattice: Lattice | None) -> None:
    full, sampling = noisy(geometry), sampled(geometry, lattice)
    for wrong, message in [
        (full[:1], 'at least 2 coils, got 1'),
        (full * float('nan'), 'NaN or infinite'),
        (full * float('inf'), 'NaN or infinite'),
        (full * 0, 'nothing but zeros'),
    ]:
        with pytest.raises(CalibrationError, match=message):
            fit(method, wrong, sampling)
        with pytest.raises(CalibrationError, match=message):
            fit(method, wrong, nowhere(geometry, lattice), sampling.acs_block(wrong))


@every_method
@every_geometry
def test_other_precisions_are_refused(method: Method, geometry: Geometry, lattice: Lattice | None) -> None:
    full, sampling = noisy(geometry), sampled(geometry, lattice)
    with pytest.raises(ValueError, match='k-space must be complex64, got '):
        fit(method, full.to(torch.complex128), sampling)
    with pytest.raises(ValueError, match='k-space must be complex64'):
        fit(method, full, sampling, sampling.acs_block(full).to(torch.complex128))
    with pytest.raises(ValueError, match='k-space must be complex64'):
        fitted(method, geometry, lattice).fill(full.to(torch.complex128))


@every_method
@both_geometries
def test_too_small_an_acs_is_refused(method: Method, geometry: Geometry, lattice: Lattice) -> None:
    full, sampling = noisy(geometry), nowhere(geometry, lattice)
    with pytest.raises(CalibrationError, match=r'learns from autocalibration lines, got \(4, 0,'):
        fit(method, full, sampling)
    for acs in (full[:, :0], full[..., 0, :] if full.ndim > 3 else full[None]):
        with pytest.raises(CalibrationError, match='learns from autocalibration lines'):
            fit(method, full, sampling, acs)
    with pytest.raises(CalibrationError, match=r'needs an ACS of at least that size, got 1 x'):
        fit(method, full, sampling, full[:, :1])


def test_too_small_an_acs_says_how_much_is_needed() -> None:
    lines, volume = noisy(), noisy(VOLUME)
    with pytest.raises(CalibrationError, match=r'over 13 x 5 positions \(ky, kx\) .* that size, got 8 x 31'):
        fit(Grappa(USUAL), lines, lattice_with_acs(54, 4, 0, range(0)), lines[:, :8])
    with pytest.raises(CalibrationError, match=r'over 7 x 13 x 5 positions \(kz, ky, kx\) .* got 4 x 16 x 27'):
        fit(Grappa(USUAL), volume, nowhere(VOLUME, Lattice.of((2, 3), 1)), volume[:, 2:6, 7:23])


@every_method
@pytest.mark.parametrize('geometry', [LINES, VOLUME], ids=['lines', 'volume'])
def test_rate_one_returns_the_input(method: Method, geometry: Geometry) -> None:
    full = noisy(geometry)
    sampling = Sampling.from_mask(torch.ones(geometry.shape[:-1], dtype=torch.bool))
    assert torch.equal(fit(method, full, sampling).fill(full), full)


@both_geometries
def test_zero_filling_keeps_what_was_measured_and_nothing_else(geometry: Geometry, lattice: Lattice) -> None:
    full, sampling = noisy(geometry), sampled(geometry, lattice)
    assert torch.equal(fit(ZeroFilling(), full, sampling).fill(full), measured_only(full, sampling))


@every_geometry
def test_every_missing_position_is_filled_by_one_kernel(geometry: Geometry, lattice: Lattice | None) -> None:
    """Lattice points by none."""
    interpolator = fitted(METHODS['grappa-2x3'], geometry, lattice)
    assert interpolator.inner
    counts = torch.zeros(interpolator.sampling.mask.numel(), geometry.shape[-1], dtype=torch.int64)
    inner = [each.cells for each in interpolator.inner]
    for cells, columns in [
        *((cells, cells.neighbourhood.columns(geometry.shape[-1])) for cells in inner),
        *((edge.cells, edge.columns) for edge in interpolator.edges),
    ]:
        for line in cells.targets[cells.targets >= 0].tolist():
            counts[line, columns.start : columns.stop] += 1
    pattern = sampled(geometry, lattice)
    assert bool((counts[~pattern.mask.flatten()] == 1).all())
    assert isinstance(pattern, Sampling | Equispaced)
    points = pattern.points.flatten() if isinstance(pattern, Sampling) else list(pattern.lines)
    assert not bool(counts[points].any())


@pytest.mark.parametrize('method', LINEAR)
@every_geometry
def test_grappa_is_linear(method: Method, geometry: Geometry, lattice: Lattice | None) -> None:
    full, other = noisy(geometry), random_kspace(4, *geometry.shape, seed=1)
    fill = fitted(method, geometry, lattice).fill
    expected = (2 - 3j) * fill(full) + fill(other)
    torch.testing.assert_close(fill((2 - 3j) * full + other), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('method', [*LINEAR, pytest.param(METHODS['gated'], id='gated')])
@every_geometry
def test_coil_order_does_not_matter(method: Method, geometry: Geometry, lattice: Lattice | None) -> None:
    order = torch.tensor([2, 0, 3, 1])
    other = noisy(geometry)[order]
    filled, expected = fit(method, other, sampled(geometry, lattice)).fill(other), filled_in(method, geometry, lattice)
    torch.testing.assert_close(filled, expected[order], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('method', LINEAR)
def test_shifting_k_space_shifts_what_grappa_fills_in(method: Method) -> None:
    """One line further, one lattice line further: away from the edges, nothing else changes."""
    full = point_sources(9, 4, 60, 31) + 0.1 * random_kspace(4, 60, 31)
    sampling, moved = lattice_with_acs(60, 4, 0, range(16, 44)), lattice_with_acs(60, 4, 1, range(17, 45))
    filled, shifted = fit(method, full, sampling).fill(full), full.roll(1, dims=1)
    again = fit(method, shifted, moved).fill(shifted).roll(-1, dims=1)
    torch.testing.assert_close(again[:, 12:48], filled[:, 12:48], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', [name for name in METHODS if name not in GATED])
@both_geometries
def test_separate_calibration_may_have_another_readout(name: str, geometry: Geometry, lattice: Lattice) -> None:
    """Away from the ends of the readout, the same lines teach the same of a k-space that is longer.

    With one ridge: those that are chosen depend on the power of k-space, as do networks that it judges.
    """
    method = Grappa(regularization=1e-3) if name == 'grappa' else METHODS[name]
    full, sampling = noisy(geometry), nowhere(geometry, lattice)
    acs = full[(slice(None), *(slice(side.start, side.stop) for side in geometry.acs))][..., 2:17]
    wide = fit(method, full, sampling, acs)
    narrow = fit(method, full[..., 2:17].contiguous(), sampling, acs)
    assert wide.inner
    assert narrow.inner
    lines, cells = full.flatten(1, -2), wide.inner[0].cells
    width = len(cells.neighbourhood.samples) // 2
    found = wide.inner[0].patch_map(lines, cells)[..., 2 : 2 + 15 - 2 * width]
    expected = narrow.inner[0].patch_map(lines[..., 2:17], cells)
    if name == 'grappa-2x3':  # its ridge is the same, as equations are
        assert narrow.inner[0].cells.neighbourhood == cells.neighbourhood
    torch.testing.assert_close(found[..., : expected.shape[-1]], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ('geometry', 'message'),
    [(LINES, r'\(coil, ky, kx\) of 4 x 54 x 31'), (VOLUME, r'\(coil, kz, ky, kx\) of 4 x 13 x 30 x 27')],
    ids=['lines', 'volume'],
)
def test_another_matrix_than_fitted_for_is_refused(geometry: Geometry, message: str) -> None:
    interpolator = fitted(Grappa(), geometry, Lattice.of((2,) * len(geometry.acs)))
    for wrong in (noisy(geometry)[..., :-1], noisy(geometry)[:3], noisy(geometry)[:, 1:]):
        with pytest.raises(ValueError, match=rf'fitted for k-space {message}, got \({wrong.shape[0]}, '):
            interpolator.fill(wrong)


@pytest.mark.parametrize('kernel', [(1, 5), (4, 0), (2, 5, 1)])
def test_an_empty_kernel_is_refused(kernel: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='at least 2 lines x 1 sample'):
        Kernel(*kernel)


def test_arguments_in_memory_limits_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything cut into the smallest pieces gives the same."""
    for method in (METHODS['grappa'], METHODS['gated'], METHODS['raki-complex']):
        geometry, lattice = VOLUME, Lattice.of((2, 2), 1)
        expected = filled_in(method, geometry, lattice)
        with monkeypatch.context() as patch:
            patch.setattr('raki.interpolation.neighbours.ELEMENTS_AT_ONCE', 2**15)
            found = fit(method, noisy(geometry), sampled(geometry, lattice)).fill(noisy(geometry))
        assert float((found - expected).norm() / expected.norm()) < 1e-4


ONE_PARTITION: dict[str, Method] = {
    **{name: METHODS[name] for name in METHODS if name != 'grappa-2x3'},
    'grappa-3x4': Grappa(Kernel(3, 4), 1e-3),
    'grappa-5x7': Grappa(Kernel(5, 7), 1e-3),
}


@pytest.mark.parametrize('name', ONE_PARTITION)
@settings(max_examples=2, deadline=None, derandomize=True)
@given(rate=st.integers(2, 4), first=st.integers(0, 3), seed=st.integers(0, 9), is_embedded=st.booleans())
def test_one_partition_is_filled_in_as_lines_are(
    name: str, rate: int, first: int, seed: int, is_embedded: bool
) -> None:
    """K-space (coil, 1, ky, kx) is the k-space (coil, ky, kx): the same from every method."""
    method, acs = ONE_PARTITION[name], range(15, 40)
    full = point_sources(9, 4, 54, 31, seed=seed) + 0.1 * random_kspace(4, 54, 31, seed=seed)
    lines = lattice_with_acs(54, rate, first % rate, acs if is_embedded else range(0))
    volume = Sampling.from_mask(lines.mask[None])
    assert (volume.acceleration, volume.filled) == (rate, (range(1), range(54)))
    calibration = None if is_embedded else full[:, 15:40]
    expected = fit(method, full, lines, calibration)
    found = fit(method, full[:, None], volume, None if calibration is None else calibration[:, None])
    assert [text.split(': ')[-1] for text in found.warnings] == [text.split(': ')[-1] for text in expected.warnings]
    torch.testing.assert_close(found.fill(full[:, None])[:, 0], expected.fill(full), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@every_method
@both_geometries
def test_gpu_and_cpu_agree(method: Method, geometry: Geometry, lattice: Lattice) -> None:
    there, expected = noisy(geometry).cuda(), filled_in(method, geometry, lattice)
    filled = fit(method, there, sampled(geometry, lattice)).fill(there).cpu()
    assert float((filled - expected).norm() / expected.norm()) < 1e-3
