"""Laws of filling in volumes with two accelerated axes, and what a CAIPI shift is good for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raki.coils.combine import Combination, root_sum_of_squares, walsh
from raki.coils.transform import coil_transform
from raki.data.lattice import Lattice, VolumeSampling, undersample_volume
from raki.data.simulate_volume import VolumeSimulation, simulate_volume
from raki.data.volume import Volume
from raki.errors import CalibrationError, SamplingError
from raki.evaluation.metrics import nrmse
from raki.fourier import image_from_kspace
from raki.grappa.method import USUAL, Grappa
from raki.interpolation.fit import Method
from raki.interpolation.kernel import Kernel
from raki.interpolation.neighbourhood import Neighbourhood
from raki.interpolation.volume import VolumeInterpolator, fit_volume
from raki.pipeline import reconstruct
from raki.volume_pipeline import reconstruct_volume
from tests.toys import COMPLEX_QUICK, RAKI_QUICK, point_sources_volume, random_kspace, sampled_volume

SHAPE = (13, 30, 19)
ACS = (range(2, 11), range(7, 23))
LATTICES = [Lattice((2, 2), 1), Lattice((1, 4), 3, (0, 2)), Lattice((3, 2), 0, (1, 1)), Lattice((2, 3), 2, (1, 0))]
METHOD = Grappa(Kernel(2, 3, partitions=2))


def noisy() -> Tensor:
    """Structured k-space with noise."""
    return point_sources_volume(9, 3, SHAPE) + 0.1 * random_kspace(3, *SHAPE)


def fitted(full: Tensor, lattice: Lattice, method: Method = METHOD) -> VolumeInterpolator:
    sampling = sampled_volume(SHAPE, lattice, ACS)
    return fit_volume(method, sampling.acs_block(full), sampling, full)


@pytest.mark.parametrize('lattice', LATTICES, ids=str)
def test_measured_samples_come_back_bit_for_bit_and_all_others_are_filled_from_them(lattice: Lattice) -> None:
    full = noisy()
    interpolator = fitted(full, lattice)
    mask, filled = interpolator.sampling.mask, interpolator.fill(full)
    assert torch.equal(filled[:, mask], full[:, mask])
    assert bool((filled != 0).all(0).any(-1).all())
    assert torch.equal(filled, interpolator.fill(torch.where(mask[..., None], full, 0)))


@pytest.mark.parametrize('lattice', LATTICES, ids=str)
def test_every_missing_position_is_filled_by_one_kernel(lattice: Lattice) -> None:
    count = torch.zeros(SHAPE, dtype=torch.int)
    for part in fitted(noisy(), lattice).maps:
        for region in part.regions:
            count[tuple(slice(side.start, side.stop, side.step) for side in region)] += 1
    assert torch.equal(count == 0, lattice.on(SHAPE[:2])[..., None].expand(SHAPE))
    assert int(count.max()) == 1


def test_filling_is_linear() -> None:
    full, other = noisy(), random_kspace(3, *SHAPE, seed=1)
    fill = fitted(full, LATTICES[0]).fill
    expected = (2 - 3j) * fill(full) + fill(other)
    torch.testing.assert_close(fill((2 - 3j) * full + other), expected, rtol=1e-4, atol=1e-4)


def test_coil_order_does_not_matter() -> None:
    full, order = noisy(), torch.tensor([2, 0, 1])
    expected = fitted(full, LATTICES[0]).fill(full)[order]
    found = fitted(full[order], LATTICES[0]).fill(full[order])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('power', [-30, 17])
def test_units_that_differ_by_a_power_of_two_change_no_bit(power: int) -> None:
    full = noisy()
    scaled = 2.0**power * full
    expected = 2.0**power * fitted(full, LATTICES[3]).fill(full)
    torch.testing.assert_close(fitted(scaled, LATTICES[3]).fill(scaled), expected, rtol=1e-5, atol=0)


def test_a_volume_cut_along_kz_for_memory_is_filled_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    full = noisy()
    expected = fitted(full, LATTICES[1]).fill(full)
    monkeypatch.setattr('raki.interpolation.volume.SOURCES_AT_ONCE', 1)
    torch.testing.assert_close(fitted(full, LATTICES[1]).fill(full), expected, rtol=1e-5, atol=1e-5)


def test_arguments_are_not_changed_and_progress_is_told() -> None:
    full, told = noisy(), list[tuple[int, int]]()
    copy, sampling = full.clone(), sampled_volume(SHAPE, LATTICES[0], ACS)
    fit_volume(METHOD, sampling.acs_block(full), sampling, full, lambda *done: told.append(done)).fill(full)
    assert torch.equal(full, copy)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_rate_one_returns_the_input() -> None:
    full = noisy()
    sampling = VolumeSampling.from_mask(torch.ones(SHAPE[:2], dtype=torch.bool))
    assert torch.equal(fit_volume(METHOD, full, sampling).fill(full), full)


@given(
    rate=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    shift=st.integers(0, 3),
    kernel=st.builds(Kernel, st.integers(2, 5), st.just(1), st.integers(2, 4)),
)
def test_sources_surround_the_missing_position_evenly(rate: tuple[int, int], shift: int, kernel: Kernel) -> None:
    """Turned by half a turn about a lattice point, a lattice is itself; so are the sources of opposite positions."""
    sampling = undersample_volume(torch.ones(40, 60, dtype=torch.bool), rate, shift, (4, 4))
    points = {(z, y) for z, y in sampling.lattice.on((40, 60)).nonzero().tolist()}
    for z, y in sampling.lattice.missing:
        around = Neighbourhood.around((z, y), sampling, kernel).sources.offsets
        centre = 6 * rate[0], sampling.lattice.line(6) + 5 * rate[1]
        opposite = {
            (dz, dy)
            for dz in range(-9, 10)
            for dy in range(-19, 20)
            if (centre[0] - z + dz, centre[1] - y + dy) in points and (-dz, -dy) in around
        }
        assert {(-dz, -dy) for dz, dy in opposite} == set(around)
        assert {(centre[0] + z + dz, centre[1] + y + dy) for dz, dy in around} <= points
        assert len(around) <= kernel.partitions * kernel.lines


def test_a_caipi_lattice_is_the_same_whichever_axis_it_is_told_along() -> None:
    """R=1x4 with shift 2 is R=2x2 with the shift along kz, and its kernel is as wide as that of R=2x2 with shift 1."""
    assert Lattice((1, 4), 2).spacing == (2, 2)
    turned = Lattice((2, 2), 1).on((20, 20)).mT
    assert torch.equal(Lattice((1, 4), 2).on((20, 20)), turned)
    assert [Lattice(rate, 0).spacing for rate in [(1, 4), (3, 2), (4, 1)]] == [(1, 4), (3, 2), (4, 1)]


@pytest.mark.parametrize('method', [RAKI_QUICK, COMPLEX_QUICK])
def test_networks_refuse_two_axes_by_name(method: Method) -> None:
    with pytest.raises(SamplingError, match='Raki handles one accelerated axis so far, got R=2x2 shift 1: use GRAPPA'):
        fitted(noisy(), LATTICES[0], method)


def test_too_small_an_acs_says_how_much_is_needed() -> None:
    full, sampling = noisy(), sampled_volume(SHAPE, Lattice((2, 3), 1), ACS)
    with pytest.raises(CalibrationError, match=r'over 5 x 11 x 5 positions \(kz, ky, kx\) .* got 4 x 16 x 19'):
        fit_volume(Grappa(USUAL), full[:, 2:6, 7:23], sampling)


def test_what_cannot_teach_is_refused() -> None:
    full, sampling = noisy(), sampled_volume(SHAPE, LATTICES[0], ACS)
    acs = sampling.acs_block(full)
    for wrong, message in [
        (acs[:1], 'at least 2 coils, got 1'),
        (acs * float('nan'), 'NaN or infinite'),
        (acs * 0, 'nothing but zeros'),
        (acs[:, :0], 'learns from autocalibration lines'),
        (acs[0], 'learns from autocalibration lines'),
    ]:
        with pytest.raises(CalibrationError, match=message):
            fit_volume(METHOD, wrong, sampling)
    with pytest.raises(ValueError, match='k-space must be complex64'):
        fit_volume(METHOD, acs.to(torch.complex128), sampling)


def test_another_matrix_than_fitted_for_is_refused() -> None:
    interpolator = fitted(noisy(), LATTICES[0])
    with pytest.raises(ValueError, match=r'\(coil, kz, ky, kx\) of 3 x 13 x 30 x 19, got \(3, 13, 30, 18\)'):
        interpolator.fill(noisy()[..., :18])
    with pytest.raises(ValueError, match=r'of 3 x 13 x 30 x 19, got \(2, 13, 30, 19\)'):
        interpolator.fill(noisy()[:2])


def test_too_few_equations_are_said() -> None:
    starved = sampled_volume(SHAPE, LATTICES[0], (range(2, 8), range(7, 15)))
    full = noisy()
    warnings = fit_volume(Grappa(USUAL), starved.acs_block(full), starved, full).warnings
    assert warnings[0] == (
        'an ACS of 6 x 8 (kz, ky) gives 60 equations for 150 unknowns: ghosts are possible; '
        'more ACS or a smaller kernel would help'
    )


def rss(kspace: Tensor) -> Tensor:
    return image_from_kspace(kspace, (-3, -2, -1)).abs().square().sum(0).sqrt()


def volume_error(volume: Volume, rate: tuple[int, int], shift: int) -> float:
    sampling = undersample_volume(volume.mask, rate, shift, (12, 18))
    acs = sampling.acs_block(volume.kspace)
    filled = fit_volume(Grappa(USUAL, 1e-3), acs, sampling, volume.kspace).fill(volume.kspace)
    assert volume.reference is not None
    return nrmse(rss(filled), rss(volume.reference))


@pytest.mark.parametrize(('matrix', 'seed', 'noise'), [((24, 40, 36), 0, 0.003), ((28, 48, 40), 1, 0.001)])
def test_a_caipi_shift_beats_none_and_one_axis(matrix: tuple[int, int, int], seed: int, noise: float) -> None:
    """R=4 of a simulated scan: without the shift 15 % more error at least, along one axis twice as much.

    With one kernel and ridge for all, so that only the lattices differ.
    """
    volume = simulate_volume(VolumeSimulation(matrix, seed=seed, noise=noise))
    shifted, rectangular, one_axis = (volume_error(volume, *at) for at in [((2, 2), 1), ((2, 2), 0), ((1, 4), 0)])
    assert 1.15 * shifted < rectangular
    assert 2 * shifted < one_axis


@pytest.mark.parametrize('combine', [root_sum_of_squares, walsh])
def test_a_volume_is_reconstructed_slice_by_slice(combine: Combination) -> None:
    """The image is that of the filled k-space, cropped along all axes as the volume says."""
    full = simulate_volume(VolumeSimulation((16, 24, 20), n_coils=4))
    sampling = undersample_volume(full.mask, (2, 2), 1, (8, 12))
    kspace = torch.where(sampling.mask[..., None], full.kspace, 0)
    volume = Volume(kspace, sampling.mask, full.noise, image_shape=(10, 22, 18))
    result = reconstruct_volume(volume, METHOD, device=torch.device('cpu'), combine=combine)
    assert result.image.shape == (10, 22, 18)
    assert result.kspace.shape == (10, 4, 24, 20)
    acs = sampling.acs_block(kspace)
    transform = coil_transform(acs, full.noise)
    assert not transform.is_identity
    filled = fit_volume(METHOD, acs, sampling, kspace, transform=transform).fill(kspace)
    if combine is root_sum_of_squares:
        torch.testing.assert_close(result.image, rss(filled)[3:13, 1:23, 1:19])


def test_fully_sampled_kz_goes_the_way_of_slices() -> None:
    full = simulate_volume(VolumeSimulation((6, 24, 20), n_coils=4))
    mask = undersample_volume(full.mask, (1, 2), 0, (6, 12)).mask
    volume = Volume(torch.where(mask[..., None], full.kspace, 0), mask)
    cpu = torch.device('cpu')
    expected = reconstruct(volume.as_slices(), METHOD, device=cpu)
    assert torch.equal(reconstruct_volume(volume, METHOD, device=cpu).image, expected.image)


def test_zero_filling_needs_no_acs_and_everything_else_does() -> None:
    full, cpu = simulate_volume(VolumeSimulation((6, 24, 20), n_coils=4)), torch.device('cpu')
    mask = Lattice((2, 2), 1).on((6, 24))
    volume = Volume(torch.where(mask[..., None], full.kspace, 0), mask)
    torch.testing.assert_close(reconstruct_volume(volume, None, device=cpu).image, rss(volume.kspace))
    with pytest.raises(CalibrationError, match='the volume has R=2x2 shift 1 but no ACS'):
        reconstruct_volume(volume, METHOD, device=cpu)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_and_cpu_agree() -> None:
    full = noisy()
    sampling = sampled_volume(SHAPE, LATTICES[0], ACS)
    expected = fitted(full, LATTICES[0]).fill(full)
    there = full.cuda()
    filled = fit_volume(METHOD, sampling.acs_block(there), sampling, there).fill(there).cpu()
    assert float((filled - expected).norm() / expected.norm()) < 1e-3
