"""How much of small points comes back: laws of the measure, and of the share that keeps a bound on it."""

from dataclasses import replace

import pytest
import torch

from raki.data.lattice import Lattice
from raki.data.sampling import Sampling
from raki.interpolation.calibration import Calibration, PatchMap
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Kernel, Neighbourhood
from raki.interpolation.points import Points, bounded_share, chosen_points
from tests.toys import calibration_of, lattice_with_acs, point_sources, random_kspace, sampled_volume

LINES = lattice_with_acs(54, 3, 1, range(15, 40))
VOLUME = sampled_volume((9, 26), Lattice.of((2, 2), 1), (range(1, 8), range(5, 21)))
both_patterns = pytest.mark.parametrize(
    ('pattern', 'shape'), [(LINES, (54, 31)), (VOLUME, (9, 26, 17))], ids=['lines', 'volume']
)


def learnt(pattern: Sampling, shape: tuple[int, ...]) -> tuple[Calibration, Neighbourhood, LinearMap, LinearMap]:
    """Noisy structured k-space, and linear maps with a weak and a strong ridge."""
    calibration = calibration_of(point_sources(9, 5, *shape) + 0.1 * random_kspace(5, *shape), pattern)
    around = calibration.neighbourhood(Kernel(2, 5))
    equations = calibration.normal_equations(around)
    weak, strong = (LinearMap(equations.solve(ridge).to(torch.complex64)) for ridge in (1e-3, 1.0))
    return calibration, around, weak, strong


@both_patterns
def test_what_comes_back_is_affine_in_the_map(pattern: Sampling, shape: tuple[int, ...]) -> None:
    """Nothing of nothing, and of a mixture what the mixture of both gives back."""
    calibration, around, weak, strong = learnt(pattern, shape)
    points = Points.of(calibration, around, weak)
    mixed = LinearMap(0.7 * weak.weights + 0.3 * strong.weights)
    first, last = points.retained(weak), points.retained(strong)
    assert points.retained(LinearMap(0 * weak.weights)) == 0
    assert points.retained(mixed) == pytest.approx(0.7 * first + 0.3 * last, abs=1e-5)
    assert last < first < 1.2


@both_patterns
def test_what_comes_back_does_not_depend_on_the_unit_of_k_space(pattern: Sampling, shape: tuple[int, ...]) -> None:
    calibration, around, weak, _ = learnt(pattern, shape)
    larger = replace(calibration, lines=8 * calibration.measured)
    assert Points.of(larger, around, weak).retained(weak) == Points.of(calibration, around, weak).retained(weak)


def test_points_lie_in_the_object_and_differ_from_draw_to_draw() -> None:
    magnitude = torch.linspace(0, 1, 97)[:, None].expand(97, 83)
    first, again, other = (chosen_points(magnitude, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert bool(first.any())
    assert not bool(first[magnitude <= 0.1].any())


@pytest.mark.parametrize('faithful', [None, 0.0])
def test_a_bound_that_is_not_in_force_changes_no_share(faithful: float | None) -> None:
    calibration, around, weak, strong = learnt(LINES, (54, 31))
    assert bounded_share(calibration, around, weak, strong, 0.5, faithful)[0] == 0.5


def test_a_share_is_as_large_as_the_bound_allows() -> None:
    calibration, around, weak, strong = learnt(LINES, (54, 31))
    first, last = (Points.of(calibration, around, weak).retained(each) for each in (weak, strong))

    def bounded(start: PatchMap, goal: PatchMap | None, faithful: float) -> tuple[float, float]:
        return bounded_share(calibration, around, start, goal, 0.9, faithful)

    assert bounded(weak, strong, 0.75 * first + 0.25 * last) == pytest.approx((0.25, 0.75 * first + 0.25 * last))
    assert bounded(weak, strong, first + 0.1) == pytest.approx((0.0, first))
    assert bounded(weak, None, first + 0.1) == pytest.approx((0.9, first))
    share, part = bounded(strong, weak, 2.0)
    assert share == 0.9
    assert part == pytest.approx(0.1 * last + 0.9 * first, abs=0.03)  # the points are those of another image
