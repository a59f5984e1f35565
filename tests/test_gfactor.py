"""Analytic noise maps: laws, the explicit matrix of small reconstructions, pseudo replicas, Breuer's limit."""

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares, walsh_weights
from raki.coils.noise import coloured_noise, noise_covariance, noise_factor, whitening_matrix
from raki.coils.transform import coil_transform
from raki.data.sampling import Sampling, undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import object_mask
from raki.evaluation.noise_maps import analytic_noise_map, full_noise, replica_noise_map
from raki.fourier import image_from_kspace
from raki.grappa import gfactor
from raki.grappa.gfactor import coil_noise
from raki.grappa.method import Grappa
from raki.interpolation.fit import Interpolator, fit, leave_empty
from raki.interpolation.kernel import Kernel
from raki.interpolation.linear import LinearMap
from tests.toys import RAKI_QUICK, acs_of, lattice_with_acs, point_sources, random_kspace

N_COILS = 3


def toy_kspace(n_lines: int, n_readout: int, seed: int = 0) -> Tensor:
    signal = point_sources(40, N_COILS, n_lines, n_readout, seed)
    return 20 * (signal + random_kspace(N_COILS, n_lines, n_readout, seed=99 + seed))


def toy_covariance() -> Tensor:
    mixing = torch.randn(N_COILS, N_COILS, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    return mixing @ mixing.mH + torch.eye(N_COILS)


class Toy(NamedTuple):
    """A fitted reconstruction, with covariance and combination weights to judge it by."""

    interpolator: Interpolator
    covariance: Tensor
    weights: Tensor

    @property
    def gfactor(self) -> Tensor:
        """Analytic map, axes (y, x)."""
        return analytic_noise_map(*self).gfactor


def toy(kspace: Tensor | None = None) -> Toy:
    """Embedded ACS, an offset lattice, edges on all sides."""
    kspace = toy_kspace(33, 14) if kspace is None else kspace
    sampling = lattice_with_acs(33, 3, 1, range(10, 24))
    interpolator = fit(Grappa(regularization=1e-2), acs_of(kspace, sampling), sampling, kspace)
    return Toy(interpolator, toy_covariance(), random_kspace(N_COILS, 33, 14, seed=5))


def test_at_rate_one_g_is_one() -> None:
    sampling = Sampling.from_mask(torch.ones(33, dtype=torch.bool))
    kspace = toy_kspace(33, 14)
    found = toy()._replace(interpolator=fit(Grappa(), kspace, sampling, kspace)).gfactor
    torch.testing.assert_close(found, torch.ones(33, 14), rtol=2e-6, atol=0)


@pytest.mark.parametrize('acceleration', [2, 5])
def test_zero_filling_has_the_noise_of_the_lines_it_has(acceleration: int) -> None:
    """Fewer lines, less noise: std goes down by sqrt(R_net), so g = 1 / R_net by its definition."""
    sampling = lattice_with_acs(33, acceleration, 1, range(10, 24))
    found = analytic_noise_map(leave_empty(sampling, 14), toy_covariance(), toy().weights)
    assert found.net_acceleration == pytest.approx(33 / int(sampling.mask.sum()))
    torch.testing.assert_close(found.gfactor * found.net_acceleration, torch.ones(33, 14), rtol=2e-6, atol=0)


def test_units_and_scales_do_not_change_g() -> None:
    """Another unit of k-space, another level of noise, another scale and phase of the weights at every pixel."""
    first = toy()
    other = toy(2.0**-20 * toy_kspace(33, 14))
    scaled = first.weights * (1e-3 + random_kspace(33, 14, seed=6))
    torch.testing.assert_close(other._replace(covariance=2.0**-50 * first.covariance).gfactor, first.gfactor)
    torch.testing.assert_close(first._replace(weights=scaled).gfactor, first.gfactor, rtol=1e-4, atol=0)
    once = analytic_noise_map(*first).std
    torch.testing.assert_close(analytic_noise_map(*first._replace(covariance=9 * first.covariance)).std, 3 * once)
    torch.testing.assert_close(analytic_noise_map(*first._replace(weights=2j * first.weights)).std, 2 * once)


def test_the_order_of_coils_does_not_matter() -> None:
    order = torch.tensor([2, 0, 1])
    first, other = toy(), toy(toy_kspace(33, 14)[order])
    other = other._replace(covariance=first.covariance[order][:, order], weights=first.weights[order])
    torch.testing.assert_close(other.gfactor, first.gfactor, rtol=1e-4, atol=0)


def test_whitened_coils_with_unit_covariance_have_the_same_noise() -> None:
    """The same reconstruction told in other coils W k: weights W w W^-1, combination p W^-1, covariance W Psi W^H."""
    first = toy()
    whitening = whitening_matrix(first.covariance)
    back = torch.linalg.inv(whitening)
    weights = torch.einsum('cyx,cd->dyx', first.weights.to(back.dtype), back).to(torch.complex64)
    interpolator = in_other_coils(first.interpolator, whitening, back)
    whitened = Toy(interpolator, torch.eye(N_COILS, dtype=torch.complex128), weights)
    torch.testing.assert_close(whitened.gfactor, first.gfactor, rtol=1e-4, atol=0)


def in_other_coils(interpolator: Interpolator, mixing: Tensor, back: Tensor) -> Interpolator:
    def told(weights: Tensor) -> Tensor:
        tensor = weights.to(mixing.dtype).reshape(N_COILS, -1, N_COILS, interpolator.sampling.acceleration - 1)
        return torch.einsum('isjm,ik,lj->kslm', tensor, back, mixing).reshape(weights.shape).to(torch.complex64)

    inner = interpolator.patch_map
    assert isinstance(inner, LinearMap)
    edges = tuple(replace(edge, weights=told(edge.weights)) for edge in interpolator.edges)
    return replace(interpolator, patch_map=replace(inner, weights=told(inner.weights)), edges=edges)


EMBEDDED = [
    pytest.param(24, 10, 2, 0, range(8, 20), Kernel(4, 5), id='usual'),
    pytest.param(33, 9, 3, 1, range(10, 24), Kernel(4, 5), id='offset-lattice'),
    pytest.param(33, 8, 4, 3, range(9, 26), Kernel(4, 3), id='both-margins'),
    pytest.param(33, 8, 5, 2, range(9, 26), Kernel(3, 4), id='uneven-kernel'),
    pytest.param(24, 4, 2, 0, range(8, 20), Kernel(4, 5), id='readout-shorter-than-kernel'),
    pytest.param(30, 7, 3, 8, range(6, 19), Kernel(3, 3), id='acs-beyond-the-lattice'),
]
SEPARATE = [
    pytest.param(30, 7, 3, 0, range(0), Kernel(4, 5), id='no-acs'),
    pytest.param(30, 7, 4, 2, range(0), Kernel(2, 3), id='small-kernel'),
    pytest.param(30, 6, 3, 7, range(0), Kernel(2, 1), id='partial-fourier'),
    pytest.param(12, 9, 4, 1, range(0), Kernel(4, 5), id='lattice-shorter-than-kernel'),
]


@pytest.mark.parametrize(('n_lines', 'n_readout', 'acceleration', 'first_line', 'acs', 'kernel'), EMBEDDED + SEPARATE)
def test_the_map_is_the_diagonal_of_the_reconstructions_matrix(
    n_lines: int, n_readout: int, acceleration: int, first_line: int, acs: range, kernel: Kernel
) -> None:
    """Push every unit of noise through `fill`, and sum the squares: nothing is neglected, edges and ACS included."""
    kspace = toy_kspace(n_lines, n_readout)
    sampling = lattice_with_acs(n_lines, acceleration, first_line, acs)
    calibration = toy_kspace(24, 12, seed=3) if not acs else toy_kspace(n_lines, 12)[:, acs.start : acs.stop]
    interpolator = fit(Grappa(kernel, regularization=1e-2), calibration, sampling, kspace)
    assert_map_is_that_of_the_matrix(interpolator)


@pytest.mark.parametrize('n_virtual', [None, 2])
def test_a_reconstruction_in_virtual_coils_has_the_noise_of_its_matrix(n_virtual: int | None) -> None:
    """Measured samples keep the noise of their coils; filled ones have that of whitened or compressed ones."""
    kspace, sampling = toy_kspace(24, 8), lattice_with_acs(24, 3, 1, range(8, 20))
    noise = coloured_noise(noise_factor(toy_covariance()), (100,), torch.Generator().manual_seed(1))
    transform = coil_transform(acs_of(kspace, sampling), noise, n_virtual)
    assert not transform.is_identity
    acs, method = acs_of(kspace, sampling), Grappa(Kernel(2, 3), regularization=1e-2)
    assert_map_is_that_of_the_matrix(fit(method, acs, sampling, kspace, transform=transform))


def assert_map_is_that_of_the_matrix(interpolator: Interpolator) -> None:
    sampling, n_lines, n_readout = interpolator.sampling, len(interpolator.sampling.mask), interpolator.n_readout
    weights, factor = random_kspace(N_COILS, n_lines, n_readout, seed=5), noise_factor(toy_covariance())
    variance = torch.zeros(n_lines, n_readout)
    for line in sampling.mask.nonzero().flatten().tolist():
        for sample in range(n_readout):
            for coil in range(N_COILS):
                unit = torch.zeros(N_COILS, n_lines, n_readout, dtype=torch.complex64)
                unit[:, line, sample] = factor[:, coil]
                variance += (weights * image_from_kspace(interpolator.fill(unit))).sum(0).abs().square() / 2
    found = coil_noise(interpolator, toy_covariance()).std(weights)
    torch.testing.assert_close(found, variance.sqrt(), rtol=1e-4, atol=0)


@pytest.mark.parametrize('n_acs', [20, 0], ids=['embedded', 'separate'])
@pytest.mark.parametrize('acceleration', [2, 3, 4, 5])
def test_it_agrees_with_pseudo_replicas(acceleration: int, n_acs: int) -> None:
    """For a linear method, the real and the imaginary part of the noise's image are two of the 1000 replicas."""
    scan, n_fills = simulate(Simulation((48, 40), n_coils=6)), 500
    assert scan.noise is not None
    kspace, covariance = scan.kspace[0], noise_covariance(scan.noise)
    sampling = undersample(scan.mask, acceleration, n_acs)
    interpolator = fit(Grappa(), kspace[:, 14:34], sampling, kspace)
    images = image_from_kspace(interpolator.fill(kspace))
    combinations = torch.stack([matched_weights(images).conj(), walsh_weights(images).conj()])
    factor, generator = noise_factor(covariance), torch.Generator().manual_seed(0)
    squares = torch.zeros(2, 48, 40)
    for _ in range(n_fills):
        noise = image_from_kspace(interpolator.fill(coloured_noise(factor, (48, 40), generator)))
        squares += (combinations * noise).sum(1).abs().square() / 2
    inside = object_mask(root_sum_of_squares(image_from_kspace(kspace)))
    for weights, variance in zip(combinations, squares / n_fills, strict=True):
        ratio = (analytic_noise_map(interpolator, covariance, weights).std / variance.sqrt())[inside]
        assert float((ratio - 1).abs().median()) < 0.03
        assert float(ratio.median()) == pytest.approx(1, abs=0.01)
        assert float((ratio - 1).square().mean().sqrt()) == pytest.approx((2 * 2 * n_fills) ** -0.5, rel=0.15)


def test_it_is_what_replica_maps_tend_to() -> None:
    """Same definitions: std in phase, R_net, g."""
    interpolator, covariance, _ = toy()
    kspace, sampling = toy_kspace(33, 14), interpolator.sampling
    weights = matched_weights(image_from_kspace(interpolator.fill(kspace))).conj()
    replicas = replica_noise_map(interpolator.fill, kspace, sampling, covariance, n_replicas=300)
    analytic = analytic_noise_map(interpolator, covariance, weights)
    assert analytic.net_acceleration == replicas.net_acceleration
    assert (analytic.n_replicas, analytic.relative_standard_error) == (None, 0)
    for found, noisy in [(analytic.std, replicas.std), (analytic.gfactor, replicas.gfactor)]:
        assert float((noisy / found).median()) == pytest.approx(1, abs=0.02)
        assert float((noisy / found).std()) == pytest.approx(replicas.relative_standard_error, rel=0.15)


def test_far_from_acs_and_edges_it_is_breuers() -> None:
    """With W(r) the Fourier transform of the convolution kernel, g = sqrt(p W Psi W^H p^H) / (R sqrt(p Psi p^H)).

    The samples at the edges fill less than the others, hence the tolerance.
    """
    n_lines, n_readout, acceleration, kernel = 240, 150, 2, Kernel(2, 3)
    weights = 0.3 * random_kspace(N_COILS * 6, N_COILS, seed=1)
    sampling = lattice_with_acs(n_lines, acceleration, 0, range(0))
    interpolator = Interpolator(sampling, n_readout, N_COILS, kernel, LinearMap(weights, kernel))
    tensor = weights.reshape(N_COILS, 2, 3, N_COILS)
    convolution = torch.zeros(N_COILS, N_COILS, n_lines, n_readout, dtype=torch.complex64)
    convolution[:, :, n_lines // 2, n_readout // 2] = torch.eye(N_COILS)
    for line, offset in enumerate((1, -1)):
        for sample in range(3):
            convolution[:, :, n_lines // 2 + offset, n_readout // 2 + 1 - sample] = tensor[:, line, sample].T
    image_weights = (n_lines * n_readout) ** 0.5 * image_from_kspace(convolution)
    combination, covariance = random_kspace(N_COILS, n_lines, n_readout, seed=5), toy_covariance()
    through = torch.einsum('cyx,cdyx->dyx', combination, image_weights)
    breuer = full_noise(through, covariance) / (acceleration * full_noise(combination, covariance))
    found = analytic_noise_map(interpolator, covariance, combination).gfactor
    assert float((found - breuer).norm() / breuer.norm()) < 0.01


def test_blocks_of_rows_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    first = toy()
    whole = first.gfactor
    monkeypatch.setattr(gfactor, 'BLOCK_ELEMENTS', 2 * 14 * N_COILS**2)
    torch.testing.assert_close(first.gfactor, whole, rtol=1e-6, atol=0)


def test_what_does_not_fit_is_named() -> None:
    interpolator, covariance, weights = toy()
    with pytest.raises(ValueError, match='fitted for 3 coils, got a noise covariance of 2'):
        coil_noise(interpolator, covariance[:2, :2])
    with pytest.raises(ValueError, match=r'weights must have axes \(coil, y, x\) of \(3, 33, 14\), got \(3, 14, 33\)'):
        coil_noise(interpolator, covariance).std(weights.mT)
    kspace = toy_kspace(33, 14)
    network = fit(RAKI_QUICK, acs_of(kspace, interpolator.sampling), interpolator.sampling, kspace)
    with pytest.raises(
        ValueError, match=r'needs weights, a raki.interpolation.linear.LinearMap, got a .*: use replica_noise_map'
    ):
        analytic_noise_map(network, covariance, weights)
