"""Volumes as users meet them: what a CAIPI shift is good for, the pipeline, a plane of hybrid space."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from raki.coils.combine import Combination, root_sum_of_squares, walsh
from raki.coils.transform import coil_transform
from raki.data.lattice import Lattice
from raki.data.sampling import Sampling, undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError
from raki.evaluation.metrics import nrmse
from raki.fourier import image_from_kspace
from raki.grappa.method import USUAL, Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import ZeroFilling, fit
from raki.interpolation.neighbours import Kernel
from raki.networks.raki import RAKI_COMPLEX
from raki.pipeline import reconstruct
from tests.toys import METHODS, measured_only, point_sources, random_kspace, relative_error

CPU = torch.device('cpu')
METHOD = Grappa(Kernel(2, 3))


def rss(kspace: Tensor) -> Tensor:
    return root_sum_of_squares(image_from_kspace(kspace, (-3, -2, -1)))


def undersampled(scan: Scan, rate: tuple[int, ...], acs: tuple[int, ...], shift: int = 0) -> Scan:
    sampling = undersample(scan.mask, rate, acs, shift)
    return replace(scan, kspace=measured_only(scan.kspace, sampling), mask=sampling.mask)


def volume_error(scan: Scan, rate: tuple[int, int], shift: int) -> float:
    sampling = undersample(scan.mask, rate, (12, 18), shift)
    assert scan.reference is not None
    return nrmse(rss(fit(Grappa(USUAL, 1e-3), scan.kspace[0], sampling).fill(scan.kspace[0])), rss(scan.reference[0]))


@pytest.mark.parametrize(('matrix', 'seed', 'noise'), [((24, 40, 36), 0, 0.01), ((24, 44, 32), 1, 0.003)])
def test_a_caipi_shift_beats_none_and_one_axis(matrix: tuple[int, int, int], seed: int, noise: float) -> None:
    """R=4 of a simulated scan, with one kernel and ridge for all, so that only the lattices differ."""
    scan = simulate(Simulation(matrix, noise=noise, seed=seed))
    shifted, rectangular, one_axis = (volume_error(scan, *at) for at in [((2, 2), 1), ((2, 2), 0), ((1, 4), 0)])
    assert 1.05 * shifted < rectangular
    assert 1.3 * shifted < one_axis


@pytest.mark.parametrize('combine', [root_sum_of_squares, walsh])
def test_a_volume_is_reconstructed_as_a_whole_and_shown_slice_by_slice(combine: Combination) -> None:
    """The image is that of the filled k-space, cropped along all axes as the scan says."""
    full = simulate(Simulation((16, 24, 20), n_coils=4))
    scan = replace(undersampled(full, (2, 2), (8, 12), 1), image_shape=(10, 22, 18))
    result = reconstruct(scan, METHOD, device=CPU, combine=combine)
    assert result.image.shape == (10, 22, 18)
    assert result.kspace.shape == (10, 4, 24, 20)
    sampling = Sampling.from_mask(scan.mask)
    transform = coil_transform(sampling.acs_block(scan.kspace[0]), full.noise)
    assert not transform.is_identity
    filled = fit(METHOD, scan.kspace[0], sampling, transform=transform).fill(scan.kspace[0])
    if combine is root_sum_of_squares:
        torch.testing.assert_close(result.image, rss(filled)[3:13, 1:23, 1:19])


def test_two_volumes_are_two_slabs() -> None:
    first, second = (simulate(Simulation((12, 24, 20), n_coils=4, seed=seed)) for seed in (0, 1))
    both = replace(first, kspace=torch.cat([first.kspace, second.kspace]), reference=None)
    scan = undersampled(both, (2, 2), (8, 12))
    result = reconstruct(scan, METHOD, device=CPU)
    assert (len(result.interpolators), len(result.image)) == (2, 24)
    assert torch.equal(reconstruct(scan.only(1), METHOD, device=CPU).image, result.image[12:])


def test_fully_sampled_kz_goes_the_way_of_slices() -> None:
    scan = undersampled(simulate(Simulation((6, 24, 20), n_coils=4)), (1, 2), (6, 12))
    expected = reconstruct(scan.as_slices(), METHOD, device=CPU)
    assert torch.equal(reconstruct(scan, METHOD, device=CPU).image, expected.image)


def test_zero_filling_needs_no_acs_and_everything_else_does() -> None:
    full = simulate(Simulation((6, 24, 20), n_coils=4))
    mask = Lattice.of((2, 2), 1).on((6, 24))
    scan = replace(full, kspace=full.kspace * mask[..., None], mask=mask)
    torch.testing.assert_close(reconstruct(scan, ZeroFilling(), device=CPU).image, rss(scan.kspace[0]))
    with pytest.raises(CalibrationError, match='the scan has R=2x2 shift 1 but no ACS'):
        reconstruct(scan, METHOD, device=CPU)


PLANE_METHODS = {name: METHODS[name] for name in ('grappa', 'gated', 'raki', 'raki-complex')}


@pytest.mark.parametrize('shift', [0, 1])
@pytest.mark.parametrize('name', PLANE_METHODS)
def test_a_plane_of_hybrid_space_is_filled(name: str, shift: int) -> None:
    """One sample along the readout, which was transformed before: kernels and networks see (kz, ky) alone."""
    full = 3 * point_sources(5, 8, 23, 18, 1) + 0.05 * random_kspace(8, 23, 18, 1)
    sampling = undersample(torch.ones(23, 18, dtype=torch.bool), (2, 2), (10, 10), shift)
    filled = fit(PLANE_METHODS[name], full, sampling).fill(full)
    assert torch.equal(filled[:, sampling.mask], full[:, sampling.mask])
    assert bool((filled != 0).any(0).all())
    assert relative_error(filled, full) < 0.5 * relative_error(measured_only(full, sampling), full)


@cache
def plane() -> tuple[Tensor, Tensor, Sampling]:
    """A plane (230, 180) of a simulated head of 8 coils as hybrid k-space, with its truth."""
    scan = simulate(Simulation((230, 180), 8, noise=0.005, seed=1))
    assert scan.reference is not None
    mask = torch.ones(230, 180, dtype=torch.bool)
    return scan.kspace[0][..., None], scan.reference[0][..., None], undersample(mask, (2, 2), (20, 20))


@pytest.mark.parametrize(
    ('method', 'most'),
    [(Grappa(), 0.5), (METHODS['gated'], 0.5), (RAKI_COMPLEX.with_iterations(100), 0.9)],
    ids=['grappa', 'gated', 'raki-complex'],
)
def test_a_plane_of_real_size_is_filled_far_better_than_with_zeros(method: Method, most: float) -> None:
    """A network has 256 positions in the ACS to learn from."""
    full, truth, sampling = plane()
    filled = fit(method, full, sampling).fill(full)
    assert torch.equal(filled[:, sampling.mask], full[:, sampling.mask])
    assert bool((filled[:, 6:-6, 6:-6] != 0).any(0).all())  # at the edges there may be nothing but noise
    images, zeros, expected = (rss(each) for each in (filled, measured_only(full, sampling), truth))
    assert nrmse(images[..., 0], expected[..., 0]) < most * nrmse(zeros[..., 0], expected[..., 0])
