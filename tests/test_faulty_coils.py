"""Dead and duplicate coils, one coil, many: reported, left out, and the rest as if they had never been there."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from raki.coils.combine import espirit, root_sum_of_squares, walsh
from raki.coils.transform import coil_transform
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError
from raki.evaluation.metrics import image_metrics
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import ZeroFilling
from raki.interpolation.neighbours import Kernel
from raki.pipeline import Reconstruction, reconstruct
from tests.toys import RAKI_QUICK, random_kspace

METHOD = Grappa(Kernel(2, 3))
CPU = torch.device('cpu')
FAULTS = {
    'zeros': (8, {5: None}),
    'far too weak': (8, {5: 1e-5}),
    'two dead': (8, {0: None, 7: 1e-7}),
    'identical': (8, {5: (2, 1)}),
    'another gain and phase': (8, {5: (2, 3j)}),
    'three alike': (8, {5: (2, 1), 6: (2, -0.5)}),
    'dead and identical': (8, {0: None, 5: (2, 1)}),
    '64 coils': (64, {3: None, 40: (39, 1)}),
}
"""Number of coils, and what is wrong: a gain (None: zeros) or (coil that is repeated, factor)."""

Faults = dict[int, float | tuple[int, complex] | None]


@cache
def scan_with(n_coils: int) -> Scan:
    full = simulate(Simulation((56, 48), n_coils, 1, 0.005, seed=2))
    return replace(full, mask=undersample(full.mask, (3,), (24,)).mask, image_shape=None)


def faulty(array: Tensor, faults: Faults) -> Tensor:
    """An array, axes (coil, ...), as these coils would have made it."""
    array = array.clone()
    for coil, fault in faults.items():
        if isinstance(fault, tuple):
            array[coil] = fault[1] * array[fault[0]]
        else:
            array[coil] *= fault or 0
    return array


def with_faults(scan: Scan, faults: Faults) -> Scan:
    assert scan.noise is not None
    return replace(scan, kspace=faulty(scan.kspace[0], faults)[None], noise=faulty(scan.noise, faults))


@cache
def reconstructed(name: str) -> Reconstruction:
    n_coils, faults = FAULTS[name]
    return reconstruct(with_faults(scan_with(n_coils), faults), METHOD, device=CPU)


def without_coils(scan: Scan, coils: set[int]) -> Scan:
    kept = [coil for coil in range(scan.n_coils) if coil not in coils]
    assert scan.noise is not None
    assert scan.reference is not None
    return replace(scan, kspace=scan.kspace[:, kept], noise=scan.noise[kept], reference=scan.reference[:, kept])


def error(result: Reconstruction, coils: list[int], scan: Scan) -> float:
    """NRMSE in the object of these coils' root sum of squares."""
    assert scan.reference is not None
    images = [root_sum_of_squares(image_from_kspace(k)) for k in (result.kspace[0][coils], scan.reference[0])]
    return image_metrics(*images)['nrmse_object']


@pytest.mark.parametrize('name', FAULTS)
@pytest.mark.parametrize('has_noise', [True, False])
def test_the_other_coils_are_reconstructed_as_if_the_faulty_ones_had_never_been(name: str, has_noise: bool) -> None:
    n_coils, faults = FAULTS[name]
    clean = scan_with(n_coils)
    broken, rest = with_faults(clean, faults), without_coils(clean, set(faults))
    if not has_noise:
        broken, rest = replace(broken, noise=None), replace(rest, noise=None)
    others = [coil for coil in range(n_coils) if coil not in faults]
    found = reconstructed(name) if has_noise else reconstruct(broken, METHOD, device=CPU)
    expected = reconstruct(rest, METHOD, device=CPU)
    assert bool(found.kspace.isfinite().all())
    assert bool(found.image.isfinite().all())
    change = error(found, others, rest) / error(expected, list(range(len(others))), rest)
    assert change == pytest.approx(1, abs=1e-3)  # far within the 10 % that are asked for: it is the same problem


@pytest.mark.parametrize('name', FAULTS)
def test_faults_are_reported_by_number_and_filled_accordingly(name: str) -> None:
    n_coils, faults = FAULTS[name]
    scan, result = with_faults(scan_with(n_coils), faults), reconstructed(name)
    [interpolator], kspace = result.interpolators, result.kspace[0]
    missing = ~scan.mask
    assert interpolator.transform is not None
    assert interpolator.transform.dead == tuple(c for c, fault in faults.items() if not isinstance(fault, tuple))
    for coil, fault in faults.items():
        if isinstance(fault, tuple):
            assert (coil, fault[0]) in interpolator.transform.duplicates
            assert f'coil {coil} repeats coil {fault[0]}: it counts once' in interpolator.warnings
            torch.testing.assert_close(
                kspace[coil, missing], fault[1] * kspace[fault[0], missing], rtol=1e-4, atol=1e-9
            )
        else:
            assert f'coil {coil} is dead and left out: its missing lines stay zero' in interpolator.warnings
            assert not bool(kspace[coil, missing].any())
    assert torch.equal(kspace[:, scan.mask], scan.kspace[0][:, scan.mask])


@pytest.mark.parametrize('method', [Grappa(regularization=1e-3), RAKI_QUICK], ids=['grappa', 'raki'])
@pytest.mark.parametrize('combine', [root_sum_of_squares, walsh, espirit])
def test_every_method_and_combination_survives(method: Method, combine) -> None:
    scan = with_faults(scan_with(8), {0: None, 5: (2, 1)})
    image = reconstruct(scan, method, combine=combine, device=CPU).image
    assert bool(image.isfinite().all())
    assert float(image.max()) > 0


def test_weak_and_similar_coils_are_no_faults() -> None:
    """A coil a hundred times weaker than the others, and two that differ by no more than their noise."""
    scan = with_faults(scan_with(8), {5: 0.01})
    kspace = scan.kspace[0].clone()
    noise = 1e-3 * float(kspace[2].abs().square().mean().sqrt()) * random_kspace(*kspace.shape[1:])
    kspace[3] = kspace[2] + noise
    transform = coil_transform(kspace, None)
    assert (transform.dead, transform.duplicates) == ((), ())


@pytest.mark.parametrize('faults', [{1: None}, {1: (0, 2j)}], ids=['dead', 'duplicate'])
def test_one_working_coil_is_refused(faults: Faults) -> None:
    scan = with_faults(scan_with(2), faults)
    with pytest.raises(CalibrationError, match='at least 2 coils, but of 2 only 1 can be used, the others are'):
        reconstruct(scan, METHOD, device=CPU)
    assert bool(reconstruct(scan, ZeroFilling(), device=CPU).image.any())


def test_one_coil_is_refused() -> None:
    with pytest.raises(CalibrationError, match='at least 2 coils, got 1: use zero filling'):
        reconstruct(scan_with(1), METHOD, device=CPU)


def test_noise_is_dead_where_signal_is_not() -> None:
    """A coil that gave nothing to the noise samples cannot be told from a perfect one: it is left out."""
    scan = scan_with(8)
    assert scan.noise is not None
    transform = coil_transform(scan.kspace[0], faulty(scan.noise, {4: None}))
    assert transform.dead == (4,)
    assert transform.n_virtual == 7
