"""Beyond one end of the acquired range: known answers, laws, and what the scan itself says about trust."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import raki
from raki.data.sampling import Sampling
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import nrmse_object
from raki.fourier import image_from_kspace, kspace_from_image
from raki.interpolation.fit import ZeroFilling
from raki.partial_fourier.acquired import Acquired
from raki.partial_fourier.complete import LEAST_WEIGHT, complete, trust
from raki.partial_fourier.methods import Homodyne, PartialFourier, Pocs, ZeroFill
from raki.pipeline import Slab, reconstruct
from tests.toys import random_kspace, relative_error

METHODS = [pytest.param(Homodyne(), id='homodyne'), pytest.param(Pocs(), id='pocs')]
ENDS = [pytest.param(True, id='first'), pytest.param(False, id='last')]
SHAPES = [(32, 24), (33, 20), (40, 31), (29, 27)]
CPU = torch.device('cpu')


def first_or_last(size: int, part: float, *, is_first: bool) -> range:
    """What is left of an axis whose last, or first, end was not acquired; without the sample that has no partner."""
    cut = size - round(size * part)
    return range(size - cut) if is_first else range(cut + (size + 1) % 2, size)


def cut(kspace: Tensor, *sides: range) -> tuple[Tensor, Acquired]:
    """K-space with zeros outside a block, and the block."""
    acquired = Acquired(tuple(kspace.shape[1:]), sides)
    return torch.where(acquired.held(acquired.axes), kspace, 0), acquired


def blobs(*shape: int, n_coils: int = 3) -> Tensor:
    """Real, non-negative images (coil, *shape) without energy at the frequency n/2, which has no partner."""
    images = torch.rand((n_coils, *shape), generator=torch.Generator().manual_seed(3))
    kspace = kspace_from_image(images.to(torch.complex64), axes := tuple(range(-len(shape), 0)))
    for axis, size in zip(axes, shape, strict=True):
        if size % 2 == 0:
            kspace.movedim(axis, 0)[0] = 0
    images = image_from_kspace(kspace, axes).real
    return (images - images.amin()).to(torch.complex64)


def smooth_scan() -> Scan:
    """A head of smooth phase, clean."""
    return simulate(Simulation((96, 80), n_coils=4, noise=0.001, seed=1))


@pytest.mark.parametrize('is_first', ENDS)
@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('method', METHODS)
def test_an_image_without_phase_comes_back_from_five_eighths(
    method: PartialFourier, shape: tuple[int, int], is_first: bool
) -> None:
    """Exactly by homodyne; POCS leaves 2^-16 of the missing part, and its weight twice that."""
    full = kspace_from_image(blobs(*shape))
    known, acquired = cut(full, first_or_last(shape[0], 5 / 8, is_first=is_first), range(shape[1]))
    assert acquired.partial == (-2,)
    found, completion = complete(method, known, acquired)
    assert relative_error(known, full) > 0.1
    assert relative_error(found, full) < 5e-5
    assert completion.weight == pytest.approx(1, abs=1e-4)
    assert not completion.warnings


@pytest.mark.parametrize('axes', [(-2,), (-1,), (-3, -2), (-2, -1), (-3, -2, -1)])
def test_pocs_completes_all_whose_mirror_image_was_acquired_along_any_axes(axes: tuple[int, ...]) -> None:
    """Of a volume without phase; corners without a partner stay zero, which is less than was zero before."""
    shape = (19, 22, 17)
    full = kspace_from_image(blobs(*shape), (-3, -2, -1))
    sides = [
        first_or_last(size, 6 / 8, is_first=axis == -2) if axis in axes else range(size)
        for axis, size in zip((-3, -2, -1), shape, strict=True)
    ]
    known, acquired = cut(full, *sides)
    found, _ = complete(Pocs(), known, acquired)
    reached = acquired.held(acquired.axes) | acquired.missing(acquired.axes)
    assert bool(reached.all()) == (len(axes) == 1)
    assert relative_error(found, torch.where(reached, full, 0)) < (1e-4 if len(axes) == 1 else 0.05)
    assert not bool(found[:, ~reached].any())


def test_homodyne_completes_the_axis_of_which_most_is_missing() -> None:
    """As if there were no other; what is left is said."""
    full = kspace_from_image(blobs(33, 29))
    known, acquired = cut(full, range(6, 33), range(10, 29))
    found, completion = complete(Homodyne(), known, acquired)
    expected, _ = complete(Homodyne(), known, Acquired((33, 29), (range(33), range(10, 29))))
    assert torch.equal(found, expected)
    assert 'along kx: 34% of k-space is missing and was completed' in completion.notes[0]
    assert 'along ky: 18% of k-space is missing beyond one end and stays zero' in completion.notes[1]


@pytest.mark.parametrize('method', [*METHODS, pytest.param(ZeroFill(), id='zero-fill')])
@pytest.mark.parametrize('sides', [(range(20), range(17)), (range(3, 18), range(2, 15)), (range(3, 17), range(17))])
def test_without_a_missing_end_k_space_itself_comes_back(method: PartialFourier, sides: tuple[range, range]) -> None:
    """Full, or padded on both sides, with as many lines or one more before DC."""
    known, acquired = cut(random_kspace(2, 20, 17), *sides)
    found, completion = complete(method, known, acquired)
    assert found is known
    assert (completion.weight, completion.notes, completion.warnings) == (None, (), ())


def test_padding_on_both_sides_stays_zero() -> None:
    full = kspace_from_image(blobs(41, 24))
    known, acquired = cut(full, range(5, 30), range(24))
    reached = acquired.held([-2]) | acquired.missing([-2])
    assert reached.flatten().nonzero().flatten().tolist() == list(range(5, 36))
    found, _ = complete(Pocs(), known, acquired)
    assert not bool(torch.where(reached, 0, found).any())


@pytest.mark.parametrize('is_first', ENDS)
def test_acquired_samples_come_back_bit_for_bit_from_pocs(is_first: bool) -> None:
    """Of k-space with noise and a phase; and something is completed, nearer to the truth than zero."""
    full = smooth_scan().kspace[0]
    known, acquired = cut(full, first_or_last(96, 6 / 8, is_first=is_first), range(80))
    found, _ = complete(Pocs(), known, acquired)
    held, missing = acquired.held(acquired.axes), acquired.missing(acquired.axes)
    assert torch.equal(found[:, held], known[:, held])
    assert relative_error(found[:, missing], full[:, missing]) < 0.5


@pytest.mark.parametrize('method', METHODS)
def test_k_space_times_a_number_gives_the_result_times_it(method: PartialFourier) -> None:
    known, acquired = cut(smooth_scan().kspace[0], range(36, 96), range(80))
    factor = 3e4 * torch.exp(torch.tensor(0.7j))
    found, scaled = complete(method, known, acquired), complete(method, known * factor, acquired)
    assert relative_error(scaled[0], found[0] * factor) < 1e-5
    assert scaled[1].weight == pytest.approx(found[1].weight, rel=1e-4)


@pytest.mark.parametrize('method', METHODS)
def test_a_shifted_image_gives_the_shifted_result(method: PartialFourier) -> None:
    """By whole pixels, of unequal numbers along the axes; these are parts of pixels where the weight is found."""
    known, acquired = cut(smooth_scan().kspace[0], range(36, 96), range(80))
    moved = kspace_from_image(image_from_kspace(known).roll((3, -5), (-2, -1)))
    found, expected = (image_from_kspace(method(each, acquired)) for each in (moved, known))
    assert relative_error(found, expected.roll((3, -5), (-2, -1))) < 1e-5
    weights = [trust(method, each, acquired) for each in (moved, known)]
    assert weights[0] == pytest.approx(weights[1], rel=0.05)


@pytest.mark.parametrize('is_first', ENDS)
@pytest.mark.parametrize('part', [5 / 8, 6 / 8])
@pytest.mark.parametrize(('method', 'most'), [(Homodyne(), 0.75), (Pocs(), 0.5)])
def test_images_of_smooth_phase_are_better_than_zero_filled(
    method: PartialFourier, most: float, part: float, is_first: bool
) -> None:
    """In the object, against the noise-free truth, and trusted."""
    scan = smooth_scan()
    known, acquired = cut(scan.kspace[0], first_or_last(96, part, is_first=is_first), range(80))
    found, completion = complete(method, known, acquired)
    assert scan.reference is not None
    truth, image, zero = (image_from_kspace(each).norm(dim=0) for each in (scan.reference[0], found, known))
    assert nrmse_object(image, truth) < most * nrmse_object(zero, truth)
    assert completion.weight is not None
    assert completion.weight > (LEAST_WEIGHT if isinstance(method, Pocs) else 0.1)


@pytest.mark.parametrize('method', METHODS)
def test_noise_alone_stays_as_it_is_and_is_said_to(method: PartialFourier) -> None:
    """It has nothing to do with its mirror image, so that what is completed deserves no weight."""
    known, acquired = cut(random_kspace(4, 64, 60), range(24, 64), range(60))
    found, completion = complete(method, known, acquired)
    assert bool(found.isfinite().all())
    assert completion.weight is not None
    assert completion.weight < 0.1
    assert relative_error(found, known) < 0.1
    assert 'no better than zero filling' in completion.warnings[0]


@pytest.mark.parametrize('method', METHODS)
def test_a_dead_coil_and_nothing_at_all_stay_zero(method: PartialFourier) -> None:
    full = kspace_from_image(blobs(33, 24))
    full[1] = 0
    known, acquired = cut(full, range(12, 33), range(24))
    assert not bool(complete(method, known, acquired)[0][1].any())
    nothing, completion = complete(method, torch.zeros_like(known), acquired)
    assert not bool(nothing.any())
    assert completion.weight == 0


def test_trust_looks_at_nothing_outside_the_symmetric_part() -> None:
    known, acquired = cut(smooth_scan().kspace[0], range(36, 96), range(80))
    changed = known.clone()
    changed[:, 62:] *= -3j
    weights = [complete(Pocs(), each, acquired)[1].weight for each in (known, changed)]
    assert weights[0] == weights[1]
    assert [half.sides[0] for half in acquired.halves] == [range(6, 25), range(19)]


def test_less_than_half_of_k_space_stays_zero_and_is_said() -> None:
    known, acquired = cut(random_kspace(2, 32, 24), range(14, 32), range(24))
    found, completion = complete(Pocs(), known, acquired)
    assert found is known
    assert completion.notes == (
        'partial Fourier along ky: less than half of k-space was acquired, the rest stays zero',
    )


@pytest.mark.parametrize(('lines', 'is_told'), [(range(15), True), (range(17, 32), True), (range(16, 31), False)])
def test_without_the_centre_of_k_space_there_is_a_warning(lines: range, is_told: bool) -> None:
    known, acquired = cut(random_kspace(2, 32, 24), lines, range(24))
    warnings = complete(ZeroFill(), known, acquired)[1].warnings
    assert [text.startswith('the centre of k-space along ky was not acquired') for text in warnings] == [True] * is_told


def test_what_was_acquired_is_read_off_lines_and_samples() -> None:
    """R = 2 with ACS and partial Fourier, and an asymmetric echo, whatever stands in lines that were not measured."""
    mask = torch.zeros(40, dtype=torch.bool)
    mask[10::2] = mask[14:27] = True
    kspace = torch.where(mask[:, None], random_kspace(2, 40, 30), 0)
    kspace[..., :7] = 0
    kspace[:, 11, 2] = 1
    acquired = Acquired.of(kspace, Sampling.from_mask(mask))
    assert acquired.sides == (range(10, 40), range(7, 30))
    assert acquired.partial == (-2, -1)


def scan_of(kspace: Tensor, mask: Tensor) -> Scan:
    return Scan(kspace=torch.where(mask[:, None], kspace, 0), mask=mask)


@pytest.mark.parametrize('name', ['zero-fill', 'homodyne', 'pocs'])
def test_a_reconstruction_keeps_its_measured_samples_and_says_what_was_done(name: str) -> None:
    """R = 2 and 6/8 together: lines within the range are filled in, what lies beyond is completed from them."""
    full = smooth_scan()
    mask = torch.zeros(96, dtype=torch.bool)
    mask[24::2] = mask[36:61] = True
    scan = replace(scan_of(full.kspace, mask), noise=full.noise)
    result = raki.reconstruct(scan, 'grappa', device=CPU, partial_fourier=name).reconstruction
    assert torch.equal(result.kspace[0][:, mask], full.kspace[0][:, mask])
    assert bool(result.kspace[0][:, :23].any()) == (name == 'pocs')
    assert full.reference is not None
    truth = image_from_kspace(full.reference[0]).norm(dim=0)
    zero = raki.reconstruct(scan, 'grappa', device=CPU).reconstruction
    ratio = nrmse_object(result.image[0], truth) / nrmse_object(zero.image[0], truth)
    assert ratio == 1 if name == 'zero-fill' else ratio < 0.8
    assert any('partial Fourier along ky' in note for note in result.notes)


def test_volumes_are_completed_along_both_phase_axes() -> None:
    """With kz and ky at 6/8, before kz is transformed away, whose slices are the images."""
    full = simulate(Simulation((40, 48, 24), n_coils=4, noise=0.001))
    mask = torch.zeros(40, 48, dtype=torch.bool)
    mask[11:, :37] = True
    scan = Scan(kspace=torch.where(mask[..., None], full.kspace, 0), mask=mask)
    found, zero = (reconstruct(scan, ZeroFilling(), device=CPU, partial_fourier=each) for each in (Pocs(), ZeroFill()))
    truth = image_from_kspace(full.kspace[0], (-3, -2, -1)).norm(dim=0)
    assert relative_error(found.image, truth) < 0.85 * relative_error(zero.image, truth)
    assert 'along kz and ky' in found.notes[-1]


def test_an_acs_beyond_the_acquired_range_stays_measured() -> None:
    """It reaches over partitions that the lattice leaves to partial Fourier."""
    mask = torch.zeros(24, 32, dtype=torch.bool)
    mask[8:, ::2] = mask[4:20, 10:22] = True
    full = kspace_from_image(blobs(24, 32, 9), (-3, -2, -1))
    slab = Slab.of(Scan(kspace=torch.where(mask[..., None], full, 0)[None], mask=mask), 0, CPU)
    assert slab.acquired.sides[0] == range(8, 24)
    found, _ = slab.completed(Pocs(), slab.kspace)
    assert torch.equal(found[:, mask], slab.kspace[:, mask])
    assert bool(found[:, 4, :10].any())


def test_an_unknown_way_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no partial Fourier 'cs': choose from zero-fill, homodyne, pocs"):
        raki.reconstruct(smooth_scan(), 'grappa', partial_fourier='cs')


@pytest.mark.parametrize(('n_lines', 'is_warned'), [(1, True), (5, True), (6, False), (24, False)])
def test_an_image_of_hardly_any_lines_is_warned_of(n_lines: int, is_warned: bool) -> None:
    start = 12 - n_lines // 2
    kspace, acquired = cut(random_kspace(2, 24, 20), range(start, start + n_lines), range(20))
    _, completion = complete(ZeroFill(), kspace, acquired)
    expected = f'only {n_lines} of 24 positions along ky were acquired'
    assert any(expected in text for text in completion.warnings) is is_warned
