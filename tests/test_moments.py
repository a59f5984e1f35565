"""Second moments and the linear map: the quick ways give what cutting out every patch gives."""

import pytest
import torch

from raki.interpolation.kernel import Kernel, patches
from raki.interpolation.linear import LinearMap
from raki.interpolation.moments import Moments, added, calibration_targets, energies, mean_power
from tests.toys import random_kspace

KERNELS = [Kernel(2, 5), Kernel(4, 5), Kernel(3, 4), Kernel(2, 1), Kernel(4, 17)]
ACS = random_kspace(3, 19, 17)


@pytest.mark.parametrize('kernel', KERNELS, ids=str)
@pytest.mark.parametrize('acceleration', [2, 5])
def test_shifted_sums_are_the_sums_over_patches(kernel: Kernel, acceleration: int) -> None:
    sources = patches(ACS, kernel, acceleration).flatten(0, 1).to(torch.complex128)
    targets = calibration_targets(ACS, acceleration, kernel).flatten(0, 1).flatten(1).to(torch.complex128)
    found = Moments.of_acs(ACS, acceleration, kernel)
    torch.testing.assert_close(found.gram, sources.mH @ sources)
    torch.testing.assert_close(found.cross, sources.mH @ targets)
    torch.testing.assert_close(found.energy, targets.abs().square().sum(0))
    assert found.n_equations == len(sources)


@pytest.mark.parametrize('n_sources', [1, 2, 3, 7, 20])
def test_moments_of_patches_are_products_and_add_up(n_sources: int) -> None:
    samples = random_kspace(1, 30, n_sources + 2)[0].to(torch.complex128)
    sources, targets = samples[:, :n_sources], samples[:, n_sources:]
    halves = [Moments.of(sources[part], targets[part]) for part in (slice(11), slice(11, None))]
    for found in (Moments.of(sources, targets), added(*halves)):
        torch.testing.assert_close(found.gram, sources.mH @ sources)
        torch.testing.assert_close(found.cross, sources.mH @ targets)
        torch.testing.assert_close(found.energy, targets.abs().square().sum(0))
        assert found.n_equations == 30


def test_powers_are_means_and_sums_of_squared_magnitudes() -> None:
    values = random_kspace(1, 9, 4)[0]
    torch.testing.assert_close(mean_power(values), values.abs().square().mean(1).double())
    torch.testing.assert_close(energies(values), values.abs().square().sum(0))


@pytest.mark.parametrize('kernel', KERNELS, ids=str)
@pytest.mark.parametrize('dilation', [1, 3])
def test_the_linear_map_is_the_product_of_patches_and_weights(kernel: Kernel, dilation: int) -> None:
    """The Fourier transform along the readout wraps around only where there is no whole patch."""
    kspace = random_kspace(3, 14, 17)
    weights = random_kspace(1, 3 * kernel.lines * kernel.readout, 6)[0]
    expected = (patches(kspace, kernel, dilation) @ weights).unflatten(-1, (3, 2)).permute(2, 3, 0, 1)
    found = LinearMap(weights, kernel)(kspace, dilation)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
