"""Everything on a device that is not the CPU: tensors stay together, and bits are the CPU's."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.coils.combine import (
    espirit,
    espirit_combination,
    root_sum_of_squares,
    rss_combination,
    walsh,
    walsh_combination,
)
from raki.coils.noise import noise_covariance
from raki.coils.transform import coil_transform
from raki.data.lattice import Lattice
from raki.data.masks import pattern_of
from raki.data.sampling import Sampling, undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation.fidelity import point_response
from raki.evaluation.lesions import lesion_responses
from raki.evaluation.noise_maps import NoiseMap, analytic_noise_map, jvp_noise_map, replica_noise_map
from raki.evaluation.retention import retention_map
from raki.fourier import image_from_kspace
from raki.interpolation.calibration import Method
from raki.interpolation.fit import ZeroFilling, fit
from raki.networks.gated import Gated
from raki.networks.iterative import IterativeRaki
from raki.networks.raki import Raki
from raki.networks.residual import ResidualRaki
from raki.partial_fourier.acquired import Acquired
from raki.partial_fourier.complete import complete
from raki.partial_fourier.methods import Homodyne, PartialFourier, Pocs
from raki.pipeline import COMBINATIONS, reconstruct
from tests.pretended import DEVICE, elsewhere, here, pretending
from tests.toys import (
    METHODS,
    lattice_with_acs,
    lines_at,
    measured_only,
    point_sources,
    random_kspace,
    relative_error,
    sampled_volume,
)


def quick(method: Method) -> Method:
    if isinstance(method, ResidualRaki | IterativeRaki):
        return method.with_iterations(2 if isinstance(method, ResidualRaki) else 10)
    return method.with_iterations(20) if isinstance(method, Raki) else method


LINES = point_sources(9, 4, 54, 31) + 0.1 * random_kspace(4, 54, 31)
VOLUME = point_sources(9, 4, 11, 18, 23) + 0.1 * random_kspace(4, 11, 18, 23)
GEOMETRIES = [
    pytest.param(LINES, lattice_with_acs(54, 3, 1, range(15, 40)), id='lines'),
    pytest.param(VOLUME, sampled_volume((11, 18), Lattice.of((2, 2), 1), (range(1, 9), range(2, 14))), id='volume'),
]
both_geometries = pytest.mark.parametrize(('full', 'sampling'), GEOMETRIES)
QUICK = {name: quick(method) for name, method in METHODS.items()}
EVERY_METHOD = [pytest.param(method, id=name) for name, method in {**QUICK, 'zero-filled': ZeroFilling()}.items()]
SEVERAL = [pytest.param(QUICK[name], id=name) for name in ('grappa', 'gated', 'raki-complex')]
NOISE = random_kspace(4, 200, seed=7)


@pytest.mark.parametrize('method', EVERY_METHOD)
@both_geometries
def test_a_method_gives_the_bits_of_the_cpu_on_another_device(method: Method, full: Tensor, sampling: Sampling) -> None:
    expected = fit(method, full, sampling).fill(full)
    with pretending():
        there = elsewhere(full)
        filled = here(fit(method, there, sampling).fill(there))
    assert_equal(filled, expected)


@pytest.mark.parametrize('method', SEVERAL)
@both_geometries
def test_separate_calibration_and_virtual_coils_stay_there(method: Method, full: Tensor, sampling: Sampling) -> None:
    """Whitened and compressed; the covariance is small, and lives on the CPU."""
    acs = sampling.acs_block(full).contiguous()
    expected = fit(method, full, sampling, acs, transform=coil_transform(acs, NOISE, 3)).fill(full)
    with pretending():
        there, own = elsewhere(full), elsewhere(acs)
        filled = here(fit(method, there, sampling, own, transform=coil_transform(own, NOISE, 3)).fill(there))
    assert_equal(filled, expected)


def scan_of(n_axes: int) -> Scan:
    full = simulate(Simulation((12, 24, 20) if n_axes > 1 else (36, 30), n_coils=4, n_slices=1))
    sampling = undersample(full.mask, (2, 2)[:n_axes], (8, 14)[:n_axes] if n_axes > 1 else (18,), n_axes - 1)
    return replace(full, kspace=measured_only(full.kspace, sampling), mask=sampling.mask)


@pytest.mark.parametrize('method', [*SEVERAL, pytest.param(ZeroFilling(), id='zero-filled')])
@pytest.mark.parametrize('n_axes', [1, 2], ids=['lines', 'volume'])
def test_the_pipeline_brings_everything_back(method: Method, n_axes: int) -> None:
    scan = scan_of(n_axes)
    combine = COMBINATIONS['walsh']
    expected = reconstruct(scan, method, device=torch.device('cpu'), combine=combine)
    with pretending():
        found = reconstruct(scan, method, device=DEVICE, combine=combine)
    assert_equal(found.image, expected.image)
    assert_equal(found.kspace, expected.kspace)


def assert_equal(found: Tensor, expected: Tensor) -> None:
    """The bits, but for the last ones of sums in memory that is aligned otherwise."""
    assert torch.equal(found, expected) or relative_error(found, expected) < 1e-6


def assert_same(found: NoiseMap, expected: NoiseMap) -> None:
    for name in ('std', 'gfactor', 'bias'):
        own, wanted = getattr(found, name), getattr(expected, name)
        assert (own is None) == (wanted is None)
        if own is not None:
            assert_equal(here(own), wanted)


@both_geometries
def test_analytic_maps_are_those_of_the_cpu(full: Tensor, sampling: Sampling) -> None:
    covariance, weights = noise_covariance(NOISE), random_kspace(*full.shape, seed=5)
    expected = analytic_noise_map(fit(METHODS['grappa'], full, sampling), covariance, weights)
    with pretending():
        found = analytic_noise_map(fit(METHODS['grappa'], elsewhere(full), sampling), covariance, elsewhere(weights))
    assert_same(found, expected)


@pytest.mark.parametrize('method', SEVERAL)
@both_geometries
def test_replica_and_derivative_maps_are_those_of_the_cpu(method: Method, full: Tensor, sampling: Sampling) -> None:
    covariance = noise_covariance(NOISE)

    def maps(kspace: Tensor) -> tuple[NoiseMap, ...]:
        """The pretended device cannot be differentiated forwards, as gates would have to be."""
        interpolator = fit(method, kspace, sampling)
        replicas = replica_noise_map(interpolator.fill, kspace, sampling, covariance, n_replicas=2)
        is_gated = isinstance(method, Gated)
        return replicas, *(() if is_gated else (jvp_noise_map(interpolator, kspace, covariance, n_probes=2),))

    expected = maps(full)
    with pretending():
        found = maps(elsewhere(full))
    for own, wanted in zip(found, expected, strict=True):
        assert_same(own, wanted)


@both_geometries
def test_what_becomes_of_signal_is_that_of_the_cpu(full: Tensor, sampling: Sampling) -> None:
    def judged(kspace: Tensor) -> tuple[list[Tensor], Tensor]:
        interpolator, inside = fit(METHODS['grappa'], kspace, sampling), kspace[0].abs() >= 0
        filled = interpolator.fill(kspace)
        discs = lesion_responses(interpolator.fill, kspace, filled, kspace, inside, diameters=(3.0,))
        points = point_response(interpolator.fill, kspace, filled, kspace, inside, sampling.mask)
        retained = retention_map(interpolator.derivative(kspace).fill, sampling, kspace, inside, n_probes=2).retained
        return [points.retained, *(each.kept for each in discs), *(each.snr for each in discs)], retained

    expected, expected_map = judged(full)
    with pretending():
        found, found_map = judged(elsewhere(full))
    for own, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-5)
    assert_equal(here(found_map), expected_map)


COMBINATIONS_AND_WEIGHTS = [
    *(root_sum_of_squares, walsh, espirit),
    *(rss_combination, walsh_combination, espirit_combination),
]


@pytest.mark.parametrize('combine', COMBINATIONS_AND_WEIGHTS)
@pytest.mark.parametrize('is_known', [True, False])
def test_combinations_are_those_of_the_cpu(combine, is_known: bool) -> None:
    images, covariance = image_from_kspace(LINES), noise_covariance(NOISE) if is_known else None
    with pretending():
        found = here(combine(elsewhere(images), covariance))
    assert torch.equal(found, combine(images, covariance))


@pytest.mark.parametrize('method', [Homodyne(), Pocs()])
def test_completed_k_space_is_that_of_the_cpu(method: PartialFourier) -> None:
    acquired = Acquired(tuple(LINES.shape[1:]), (range(LINES.shape[1] * 6 // 8), range(LINES.shape[2])))
    expected, completion = complete(method, LINES, acquired)
    with pretending():
        found, found_completion = complete(method, elsewhere(LINES), acquired)
    assert torch.equal(here(found), expected)
    assert found_completion == completion


def test_mixing_devices_is_noticed() -> None:
    with pretending(), pytest.raises(RuntimeError, match='expected all tensors to be on the same device'):
        torch.add(elsewhere(LINES), LINES)


@pytest.mark.parametrize('method', SEVERAL[:2])
def test_maps_for_gaps_that_differ_stay_there(method: Method) -> None:
    pattern = pattern_of(lines_at(54, 0, 3, 7, 11, 14, *range(17, 37), 40, 43, 47, 51))
    expected = fit(method, LINES, pattern).fill(LINES)
    with pretending():
        there = elsewhere(LINES)
        filled = here(fit(method, there, pattern).fill(there))
    assert_equal(filled, expected)
