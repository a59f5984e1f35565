"""Small lesions, where what becomes of them is known by construction."""

import math

import pytest
import torch
from torch import Tensor

from raki.coils.combine import root_sum_of_squares
from raki.data.simulate import Simulation, simulate
from raki.evaluation.lesions import (
    CONTRAST,
    DIAMETERS,
    LesionResponse,
    batches,
    correlated,
    disc_image,
    lesion_responses,
    matched_filter,
    spots,
)
from raki.evaluation.metrics import object_mask
from raki.fourier import centre_crop, image_from_kspace, kspace_from_image, spatial_axes
from tests.toys import random_kspace

FLAT = (130, 110)
SHAPES = [pytest.param((60, 44), id='slice'), pytest.param((24, 30, 20), id='volume')]


def truth(shape: tuple[int, ...]) -> Tensor:
    """Noise-free k-space, axes (coil, *phase, kx)."""
    reference = simulate(Simulation(shape, n_coils=4)).reference
    assert reference is not None
    return reference[0]


def seen(full: Tensor) -> tuple[Tensor, Tensor]:
    """Magnitude image, and where the object is."""
    image = root_sum_of_squares(image_from_kspace(full, spatial_axes(full)))
    return image, object_mask(image)


@pytest.mark.parametrize('diameter', [2.0, 5.0])
@pytest.mark.parametrize('shape', [(31, 44), (21, 24, 20), (1, 30, 25)])
def test_a_disc_is_what_the_centre_of_its_finer_k_space_shows(shape: tuple[int, ...], diameter: float) -> None:
    """Rendered with pixels 16 times smaller (5 times in volumes), whose staircase leaves an error of some per cent."""
    finer = 5 if len(shape) == 3 and shape[0] > 1 else 16
    fine = tuple(size if size == 1 else finer * size for size in shape)
    axes = [(torch.arange(size) - size // 2) / finer for size in fine]
    radius = torch.stack(torch.meshgrid(*axes, indexing='ij')).square().sum(0).sqrt()
    kspace = kspace_from_image((radius <= diameter / 2).to(torch.complex64), tuple(range(len(shape))))
    cut = centre_crop(kspace, shape) * math.sqrt(math.prod(shape) / math.prod(fine))
    expected = image_from_kspace(cut, tuple(range(len(shape)))).real
    found = disc_image(shape, diameter).float()
    assert float((found - expected).norm() / expected.norm()) < 0.05


def test_a_correlation_is_an_inner_product_at_every_place() -> None:
    image, disc = torch.rand(14, 9, generator=torch.Generator().manual_seed(0)), disc_image((14, 9), 3.0).float()
    found = correlated(image, disc)
    for y, x in ((7, 4), (3, 2), (0, 8)):
        assert float(found[y, x]) == pytest.approx(float((image * disc.roll((y - 7, x - 4), (0, 1))).sum()), rel=1e-5)


@pytest.mark.parametrize('shape', SHAPES)
def test_a_perfect_reconstruction_keeps_all_of_every_disc(shape: tuple[int, ...]) -> None:
    full = truth(shape)
    found = lesion_responses(lambda kspace: kspace, full, full, full, seen(full)[1])
    assert [(each.diameter, each.contrast) for each in found] == [
        (d, c) for d in DIAMETERS for c in (CONTRAST, -CONTRAST)
    ]
    for each in found:
        torch.testing.assert_close(each.kept, torch.ones_like(each.kept), rtol=1e-3, atol=0)
        assert bool(each.snr.isinf().all())
        assert each.summary()['snr_mean'] is None


@pytest.mark.parametrize('shape', SHAPES)
def test_what_shrinks_loses_contrast(shape: tuple[int, ...]) -> None:
    full = truth(shape)
    for each in lesion_responses(lambda kspace: 0.6 * kspace, full, 0.6 * full, full, seen(full)[1]):
        torch.testing.assert_close(each.kept, torch.full_like(each.kept, 0.6), rtol=1e-3, atol=0)
        assert bool((each.snr > 0).all())


def flat(noise: float, gain: float = 1.0) -> list[LesionResponse]:
    """Of a flat image of one coil that is `gain` everywhere, reconstructed with white errors."""
    ones = gain * torch.polar(torch.ones(FLAT), torch.full(FLAT, 0.3))
    full = kspace_from_image(ones[None])
    error = gain * noise * random_kspace(1, *FLAT)
    return lesion_responses(lambda kspace: kspace + error, full, full + error, full, torch.ones(FLAT).bool())


def test_the_ratio_in_white_errors_is_that_of_a_matched_filter() -> None:
    """Its norm is that of the disc on a constant; over the standard deviation of that part of the error in phase.

    Within three standard errors of that: as many places are independent as discs fit into the image.
    """
    for each in flat(0.1):
        disc, own = disc_image(FLAT, each.diameter), matched_filter(FLAT, each.diameter)
        norm, n_independent = float((own * disc).sum() / own.norm()), math.prod(FLAT) / each.diameter**2
        expected = CONTRAST * norm / (0.1 / math.sqrt(2))
        assert float(each.snr.mean()) == pytest.approx(expected, rel=3 / math.sqrt(2 * n_independent))


def test_the_ratio_has_no_unit_and_falls_as_errors_grow() -> None:
    for first, second, brighter in zip(flat(0.1), flat(0.2), flat(0.1, gain=1e3), strict=True):
        torch.testing.assert_close(second.snr, first.snr / 2, rtol=1e-3, atol=0)
        torch.testing.assert_close(brighter.snr, first.snr, rtol=1e-3, atol=0)


def test_smooth_shading_hides_no_disc() -> None:
    """An error that is linear over the surroundings of a disc does not reach the filter."""
    full = kspace_from_image(torch.ones(1, *FLAT, dtype=torch.complex64))
    ramp = kspace_from_image((0.3 + 0.002 * torch.arange(FLAT[1])).expand(1, *FLAT).to(torch.complex64))
    inside = torch.zeros(FLAT, dtype=torch.bool)
    inside[20:-20, 20:-20] = True  # at the ends of the field of view it is no ramp
    for each in lesion_responses(lambda kspace: kspace + ramp, full, full + ramp, full, inside):
        assert float(each.snr.min()) > 1e3


def test_bright_and_dark_discs_are_told_apart() -> None:
    """A reconstruction that cuts off what exceeds the image without discs loses the bright ones alone."""
    full = kspace_from_image(torch.ones(1, 70, 50, dtype=torch.complex64))

    def cut(kspace: Tensor) -> Tensor:
        return kspace_from_image(image_from_kspace(kspace).real.clamp(max=1).to(torch.complex64))

    for each in lesion_responses(cut, full, full, full, torch.ones(70, 50).bool()):
        expected = 0.0 if each.contrast > 0 else 1.0
        assert float(each.kept.mean()) == pytest.approx(expected, abs=0.15)  # the ringing of discs is cut, too


@pytest.mark.parametrize('diameter', DIAMETERS)
def test_discs_are_many_inside_the_object_and_none_touch_when_added_together(diameter: float) -> None:
    full = truth((90, 70))
    image, inside = seen(full)
    places = spots(image, inside, diameter)
    assert len(places) >= 40
    assert len(set(map(tuple, places.tolist()))) == len(places)
    y, x = torch.meshgrid(torch.arange(90), torch.arange(70), indexing='ij')
    for row, column in places.tolist():
        assert bool(inside[((y - row) ** 2 + (x - column) ** 2).sqrt() < diameter / 2].all())
    groups = batches(places, diameter + 1)
    assert sorted(number for group in groups for number in group) == list(range(len(places)))
    for group in groups:
        distances = torch.pdist(places[group].double())
        assert not len(distances) or float(distances.min()) >= diameter + 1


def test_spots_spread_over_the_object() -> None:
    """No place of a disc of 30 pixels across is farther from a spot than half the way that 48 of them leave."""
    y, x = torch.meshgrid(torch.arange(80) - 40, torch.arange(64) - 32, indexing='ij')
    inside = (y**2 + x**2).sqrt() < 30
    places = spots(inside.float(), inside, 2.0)
    distance = torch.cdist(inside.nonzero().double(), places.double()).min(1).values
    assert float(distance.max()) < 1.3 * math.sqrt(math.pi * 30**2 / 48)


def test_an_object_without_room_has_no_lesions() -> None:
    full = truth((60, 44))
    inside = torch.zeros(60, 44, dtype=torch.bool)
    inside[30:32, 20:22] = True
    assert {each.diameter for each in lesion_responses(lambda kspace: kspace, full, full, full, inside)} == {2.0}
    inside[30:33, 20:23] = True
    assert {each.diameter for each in lesion_responses(lambda kspace: kspace, full, full, full, inside)} == {2.0, 4.0}
