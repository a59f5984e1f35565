"""How much of the unmeasured signal comes back, where the answer is known or can be computed without probes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares
from raki.data.lattice import Lattice
from raki.data.sampling import Sampling
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import object_mask
from raki.evaluation.retention import WANTED_ERROR, derivative_of, probes_for, retention_map
from raki.fourier import image_from_kspace, kspace_from_image, spatial_axes
from raki.grappa.method import Grappa
from raki.interpolation.fit import ZeroFilling, fit
from raki.interpolation.neighbours import Kernel
from tests.toys import RAKI_QUICK, lattice_with_acs, measured_only, random_kspace, sampled_volume

SAMPLING = lattice_with_acs(60, 3, 1, range(22, 38))


def truth() -> Tensor:
    """Noise-free k-space, axes (coil, ky, kx)."""
    reference = simulate(Simulation((60, 44), n_coils=5)).reference
    assert reference is not None
    return reference[0]


def inside(full: Tensor) -> Tensor:
    return object_mask(root_sum_of_squares(image_from_kspace(full, spatial_axes(full))))


def exact_diagonal(push: Callable[[Tensor], Tensor], sampling: Sampling, full: Tensor, pixels: Tensor) -> Tensor:
    """What comes back in each of some pixels, axes (pixel, 2), of a point that is put there, without probes."""
    weights, found = matched_weights(image_from_kspace(full)), []
    missing = sampling.inside & ~sampling.mask
    for y, x in pixels.tolist():
        point = torch.zeros(full.shape[1:])
        point[y, x] = 1
        filled = push(kspace_from_image(weights * point)) * missing[:, None]
        found.append(float((weights.conj() * image_from_kspace(filled)).sum(0).real[y, x]))
    return torch.tensor(found) / float(missing.double().mean())


def test_zero_filling_retains_nothing() -> None:
    full = truth()
    found = retention_map(fit(ZeroFilling(), full, SAMPLING).fill, SAMPLING, full, inside(full))
    assert not bool(found.retained.any())
    assert (found.mean, found.standard_error) == (0, 0)


def test_nothing_is_lost_where_all_is_measured() -> None:
    full, every = truth(), lattice_with_acs(60, 1, 0, range(0))
    found = retention_map(fit(Grappa(), full, every).fill, every, full, inside(full))
    assert torch.equal(found.retained, inside(full).float())
    assert found.mean == 1


def test_a_faithful_reconstruction_retains_all_within_its_error() -> None:
    full = truth()
    found = retention_map(lambda change: change, SAMPLING, full, inside(full), n_probes=40)
    deviation = (found.retained - 1)[inside(full)]
    assert float(deviation.square().mean().sqrt()) == pytest.approx(found.standard_error, rel=0.2)
    assert found.mean == pytest.approx(1, abs=0.01)
    half = retention_map(lambda change: change / 2, SAMPLING, full, inside(full), n_probes=40)
    torch.testing.assert_close(half.retained, found.retained / 2)


def test_as_many_probes_are_taken_as_the_wanted_error_needs() -> None:
    full = truth()
    found = retention_map(lambda change: change, SAMPLING, full, inside(full))
    assert found.n_probes == probes_for(float((~SAMPLING.mask).double().mean()), 2) > 2
    assert found.standard_error == pytest.approx(WANTED_ERROR, rel=0.4)
    assert probes_for(0.01, 2) == 16
    assert probes_for(0.9, 3) == 2


def test_probes_find_the_diagonal() -> None:
    """Of what a fitted method does with one point after another, smoothed like the map by an average over all."""
    full = truth()
    interpolator = fit(Grappa(Kernel(2, 3), 1e-2), full + 0.3 * random_kspace(*full.shape), SAMPLING)
    every = inside(full).nonzero()[::7]
    exact = exact_diagonal(interpolator.fill, SAMPLING, full, every)
    found = retention_map(interpolator.fill, SAMPLING, full, inside(full), n_probes=30)
    assert 0.1 < found.mean < 0.95
    assert float(exact.mean()) == pytest.approx(found.mean, abs=0.02)
    smooth = found.retained[tuple(every.T)]
    assert float(torch.corrcoef(torch.stack([exact, smooth]))[0, 1]) > 0.8


def test_a_scan_that_a_kernel_predicts_exactly_loses_nothing_where_it_is() -> None:
    """A plane wave is one point: the change of a point that coils see as they see it is predicted, too."""
    images = image_from_kspace(random_kspace(4, 60, 44))
    only = torch.zeros(60, 44, dtype=torch.bool)
    only[37, 12] = True
    exact = kspace_from_image(images * only)
    interpolator = fit(Grappa(Kernel(2, 3), 1e-6), exact, SAMPLING)
    assert float(exact_diagonal(interpolator.fill, SAMPLING, exact, only.nonzero())) == pytest.approx(1, abs=0.02)
    found = retention_map(interpolator.fill, SAMPLING, exact, only)
    assert found.mean == pytest.approx(1, abs=0.02)


def test_what_a_linear_method_retains_does_not_depend_on_the_object() -> None:
    """A network's does."""
    full = truth()
    other = measured_only(full.flip(2) + 0.5 * random_kspace(*full.shape), SAMPLING)
    for method, is_linear in ((Grappa(), True), (RAKI_QUICK, False)):
        fitted = fit(method, full, SAMPLING)
        maps = [
            retention_map(fitted.derivative(kspace).fill, SAMPLING, full, inside(full)).retained
            for kspace in (full, other)
        ]
        assert torch.allclose(maps[0], maps[1], atol=1e-5) == is_linear


def test_the_derivative_of_what_has_none_is_a_difference_quotient() -> None:
    """Of an outside reference, which only fills; of a network up to its curvature."""
    full = truth()
    for method, tolerance in ((Grappa(), 1e-3), (RAKI_QUICK, 0.05)):
        fitted = fit(method, full, SAMPLING)

        class Outside:
            warnings = ()
            fill = staticmethod(fitted.fill)

        change = random_kspace(*full.shape, seed=3)
        exact, found = (derivative_of(each, full)(change) for each in (fitted, Outside()))
        assert float((found - exact).norm() / exact.norm()) < tolerance


def test_lines_that_are_never_filled_do_not_count() -> None:
    """Partial Fourier: what is faithful within the acquired range retains all of it."""
    full, mask = truth(), torch.zeros(60, dtype=torch.bool)
    mask[13::3] = True
    mask[22:38] = True
    sampling = Sampling.from_mask(mask)
    assert sampling.filled[0].start > 2
    found = retention_map(lambda change: change, sampling, full, inside(full), n_probes=40)
    assert found.mean == pytest.approx(1, abs=0.02)


def test_volumes_are_alike() -> None:
    reference = simulate(Simulation((12, 26, 20), n_coils=4)).reference
    assert reference is not None
    full, sampling = reference[0], sampled_volume((12, 26), Lattice.of((2, 2), 1), (range(3, 9), range(8, 18)))
    found = retention_map(lambda change: change, sampling, full, inside(full), n_probes=20)
    assert found.retained.shape == (12, 26, 20)
    assert found.mean == pytest.approx(1, abs=0.02)
    fitted = fit(Grappa(), full, sampling)
    assert 0.3 < retention_map(fitted.fill, sampling, full, inside(full)).mean < 1.1
