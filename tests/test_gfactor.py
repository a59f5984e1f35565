"""Analytic noise maps: laws, the explicit matrix of small reconstructions, pseudo replicas, Breuer's limit."""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares, walsh_weights
from raki.coils.noise import coloured_noise, noise_covariance, noise_factor, whitening_matrix
from raki.coils.transform import coil_transform
from raki.data.blocks import Box
from raki.data.lattice import Lattice
from raki.data.sampling import Sampling, undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import object_mask
from raki.evaluation.noise_maps import analytic_noise_map, full_noise, replica_noise_map
from raki.fourier import image_from_kspace
from raki.grappa import gfactor
from raki.grappa.gfactor import coil_noise
from raki.grappa.method import Grappa
from raki.interpolation.fit import InnerMap, Interpolator, ZeroFilling, fit
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood
from raki.networks.raki import NetworkMap
from tests.toys import COMPLEX_QUICK, lattice_with_acs, point_sources, random_kspace, sampled_volume

N_COILS = 3
SMALL = Grappa(Kernel(2, 3), regularization=1e-2)
NOWHERE = (range(0), range(0))
MATRICES = {1: (33, 14), 2: (8, 12, 5)}
PATTERN = {
    1: lattice_with_acs(33, 3, 1, range(10, 24)),
    2: sampled_volume((8, 12), Lattice.of((2, 2), 1), (range(2, 7), range(3, 10))),
}
METHOD = {1: Grappa(regularization=1e-2), 2: SMALL}
both_geometries = pytest.mark.parametrize('n_axes', [1, 2], ids=['lines', 'volume'])


def toy_kspace(*shape: int, seed: int = 0) -> Tensor:
    return 20 * (point_sources(40, N_COILS, *shape, seed=seed) + random_kspace(N_COILS, *shape, seed=99 + seed))


def toy_covariance() -> Tensor:
    mixing = torch.randn(N_COILS, N_COILS, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    return mixing @ mixing.mH + torch.eye(N_COILS)


def images_of(kspace: Tensor) -> Tensor:
    return image_from_kspace(kspace, tuple(range(1, kspace.ndim)))


class Toy(NamedTuple):
    """A fitted reconstruction, with covariance and combination weights to judge it by."""

    interpolator: Interpolator
    covariance: Tensor
    weights: Tensor

    @property
    def gfactor(self) -> Tensor:
        """Analytic map, image axes."""
        return analytic_noise_map(*self).gfactor


def toy(n_axes: int, kspace: Tensor | None = None) -> Toy:
    """Embedded ACS, an offset or sheared lattice, edges on all sides."""
    kspace = toy_kspace(*MATRICES[n_axes]) if kspace is None else kspace
    interpolator = fit(METHOD[n_axes], kspace, PATTERN[n_axes])
    return Toy(interpolator, toy_covariance(), random_kspace(N_COILS, *MATRICES[n_axes], seed=5))


@both_geometries
def test_at_rate_one_g_is_one(n_axes: int) -> None:
    shape = MATRICES[n_axes]
    sampling = Sampling.from_mask(torch.ones(shape[:-1], dtype=torch.bool))
    first = toy(n_axes)
    full = first._replace(interpolator=fit(Grappa(), toy_kspace(*shape), sampling))
    assert analytic_noise_map(*full).net_acceleration == 1
    torch.testing.assert_close(full.gfactor, torch.ones(shape), rtol=2e-6, atol=0)


ZERO_FILLED = [
    pytest.param((33, 14), lattice_with_acs(33, 2, 1, range(10, 24)), 33, id='R=2'),
    pytest.param((33, 14), lattice_with_acs(33, 5, 1, range(10, 24)), 33, id='R=5'),
    pytest.param((8, 12, 5), PATTERN[2], 96, id='2x2'),
    pytest.param(
        (9, 14, 8),
        sampled_volume((9, 14), Lattice.of((2, 2), 1), (range(3, 6), range(5, 9)), (range(7), range(14))),
        98,
        id='2x2-padded',
    ),
]


@pytest.mark.parametrize(('shape', 'sampling', 'n_filled'), ZERO_FILLED)
def test_zero_filling_has_the_noise_of_the_lines_it_has(
    shape: tuple[int, ...], sampling: Sampling, n_filled: int
) -> None:
    """Fewer lines, less noise: std goes down by sqrt(R_net), so g = 1 / R_net, beyond the filled block, too."""
    weights, kspace = random_kspace(N_COILS, *shape, seed=5), toy_kspace(*shape)
    found = analytic_noise_map(fit(ZeroFilling(), kspace, sampling), toy_covariance(), weights)
    assert found.net_acceleration == pytest.approx(n_filled / int(sampling.mask.sum()))
    torch.testing.assert_close(found.gfactor * found.net_acceleration, torch.ones(shape), rtol=2e-6, atol=0)
    measured = float(sampling.mask.double().mean())
    expected = measured**0.5 * full_noise(weights, toy_covariance()).float()
    torch.testing.assert_close(found.std, expected, rtol=2e-6, atol=0)


@both_geometries
def test_units_and_scales_do_not_change_g(n_axes: int) -> None:
    """Another unit of k-space, another level of noise, another scale and phase of the weights at every pixel."""
    first, shape = toy(n_axes), MATRICES[n_axes]
    other = toy(n_axes, 2.0**-20 * toy_kspace(*shape))
    scaled = first.weights * (1e-3 + random_kspace(*shape, seed=6))
    torch.testing.assert_close(other._replace(covariance=2.0**-50 * first.covariance).gfactor, first.gfactor)
    torch.testing.assert_close(first._replace(weights=scaled).gfactor, first.gfactor, rtol=1e-4, atol=0)
    once = analytic_noise_map(*first).std
    torch.testing.assert_close(analytic_noise_map(*first._replace(covariance=9 * first.covariance)).std, 3 * once)
    torch.testing.assert_close(analytic_noise_map(*first._replace(weights=2j * first.weights)).std, 2 * once)


@both_geometries
def test_the_order_of_coils_does_not_matter(n_axes: int) -> None:
    order = torch.tensor([2, 0, 1])
    first, other = toy(n_axes), toy(n_axes, toy_kspace(*MATRICES[n_axes])[order])
    other = other._replace(covariance=first.covariance[order][:, order], weights=first.weights[order])
    torch.testing.assert_close(other.gfactor, first.gfactor, rtol=1e-4, atol=0)


@both_geometries
def test_whitened_coils_with_unit_covariance_have_the_same_noise(n_axes: int) -> None:
    """The same reconstruction told in other coils W k: weights W w W^-1, combination p W^-1, covariance W Psi W^H."""
    first = toy(n_axes)
    whitening = whitening_matrix(first.covariance)
    back = torch.linalg.inv(whitening)
    weights = torch.einsum('c...,cd->d...', first.weights.to(back.dtype), back).to(torch.complex64)
    interpolator = in_other_coils(first.interpolator, whitening, back)
    whitened = Toy(interpolator, torch.eye(N_COILS, dtype=torch.complex128), weights)
    torch.testing.assert_close(whitened.gfactor, first.gfactor, rtol=1e-4, atol=0)


def in_other_coils(interpolator: Interpolator, mixing: Tensor, back: Tensor) -> Interpolator:
    def told(weights: Tensor) -> Tensor:
        tensor = weights.to(mixing.dtype).unflatten(0, (N_COILS, -1)).unflatten(2, (N_COILS, -1))
        return torch.einsum('isjm,ik,lj->kslm', tensor, back, mixing).reshape(weights.shape).to(torch.complex64)

    (inner,) = interpolator.inner
    assert isinstance(inner.patch_map, LinearMap)
    edges = tuple(replace(edge, weights=told(edge.weights)) for edge in interpolator.edges)
    own = replace(inner, patch_map=LinearMap(told(inner.patch_map.weights)))
    return replace(interpolator, inner=(own,), edges=edges)


def explicit_std(interpolator: Interpolator, weights: Tensor) -> Tensor:
    """Push every unit of noise through `fill`, and sum the squares: nothing is neglected."""
    shape, factor = tuple(weights.shape[1:]), noise_factor(toy_covariance())
    variance = torch.zeros(shape)
    for position in interpolator.sampling.mask.nonzero().tolist():
        for sample in range(shape[-1]):
            for coil in range(N_COILS):
                unit = torch.zeros(N_COILS, *shape, dtype=torch.complex64)
                unit[(slice(None), *position, sample)] = factor[:, coil]
                variance += (weights * images_of(interpolator.fill(unit))).sum(0).abs().square() / 2
    return variance.sqrt()


def assert_map_is_that_of_the_matrix(interpolator: Interpolator) -> None:
    weights = random_kspace(N_COILS, *interpolator.sampling.mask.shape, interpolator.n_readout, seed=5)
    found = coil_noise(interpolator, toy_covariance()).std(weights)
    torch.testing.assert_close(found, explicit_std(interpolator, weights), rtol=1e-4, atol=0)


def lines(n_lines: int, n_readout: int, rate: int, first: int, acs: range, kernel: Kernel, name: str):
    return pytest.param((n_lines, n_readout), Lattice.of((rate,), first=(first,)), (acs,), None, kernel, id=name)


def volume(shape: tuple[int, ...], lattice: Lattice, acs: Box, name: str, filled: Box | None = None):
    return pytest.param(shape, lattice, acs, filled, Kernel(2, 3), id=name)


PATTERNS = [
    lines(24, 10, 2, 0, range(8, 20), Kernel(4, 5), 'usual'),
    lines(33, 9, 3, 1, range(10, 24), Kernel(4, 5), 'offset-lattice'),
    lines(33, 8, 4, 3, range(9, 26), Kernel(4, 3), 'both-margins'),
    lines(33, 8, 5, 2, range(9, 26), Kernel(3, 4), 'uneven-kernel'),
    lines(24, 4, 2, 0, range(8, 20), Kernel(4, 5), 'readout-shorter-than-kernel'),
    lines(30, 7, 3, 0, range(0), Kernel(4, 5), 'no-acs'),
    lines(30, 7, 4, 2, range(0), Kernel(2, 3), 'small-kernel'),
    lines(12, 9, 4, 1, range(0), Kernel(4, 5), 'lattice-shorter-than-kernel'),
    pytest.param(
        (30, 7), Lattice.of((3,), first=(2,)), (range(6, 19),), (range(8, 30),), Kernel(3, 3), id='acs-beyond'
    ),
    pytest.param(
        (30, 6), Lattice.of((3,), first=(1,)), (range(0),), (range(7, 30),), Kernel(2, 1), id='partial-fourier'
    ),
    volume((8, 12, 5), Lattice.of((2, 2)), (range(2, 6), range(4, 9)), '2x2'),
    volume((8, 12, 5), Lattice.of((2, 2), 1), (range(2, 6), range(4, 9)), '2x2-shift-1'),
    volume((7, 11, 4), Lattice.of((2, 2), 1, (1, 1)), (range(1, 5), range(3, 8)), 'margins'),
    volume((9, 10, 4), Lattice.of((3, 2), 1), (range(3, 6), range(4, 7)), '3x2-shift-1'),
    volume((4, 17, 5), Lattice.of((1, 4), 2, (0, 3)), (range(1, 3), range(6, 11)), '1x4-shift-2'),
    volume((8, 12, 4), Lattice.of((2, 2), 1), NOWHERE, 'separate-calibration'),
    volume((9, 14, 3), Lattice.of((2, 2)), (range(3, 6), range(5, 9)), 'kz-padded', (range(7), range(14))),
    volume((8, 15, 2), Lattice.of((2, 3), 2), (range(2, 5), range(4, 9)), 'ky-partial', (range(8), range(3, 15))),
    volume((9, 12, 1), Lattice.of((2, 2), 1), (range(2, 7), range(3, 9)), 'plane'),
]


@pytest.mark.parametrize(('shape', 'lattice', 'acs', 'filled', 'kernel'), PATTERNS)
def test_the_map_is_the_diagonal_of_the_reconstructions_matrix(
    shape: tuple[int, ...], lattice: Lattice, acs: Box, filled: Box | None, kernel: Kernel
) -> None:
    """Edges and ACS included."""
    sampling = sampled_volume(shape[:-1], lattice, acs, filled)
    calibration = toy_kspace(24, 12, seed=3) if len(acs) == 1 else toy_kspace(9, 14, 8, seed=3)
    method = Grappa(kernel, regularization=1e-2)
    interpolator = fit(method, toy_kspace(*shape), sampling, calibration[..., : max(shape[-1], 1)])
    assert interpolator.inner
    assert_map_is_that_of_the_matrix(interpolator)


def linear_network(*shape: int) -> Interpolator:
    """A complex network of slope 1 on lines (ky, kx) or a volume with a CAIPI shift, fitted to toy k-space."""
    method = replace(COMPLEX_QUICK, slope=1.0)
    lattice = Lattice.of((3,)) if len(shape) == 2 else Lattice.of((2, 2), 1)
    acs = (range(8, 20),) if len(shape) == 2 else (range(2, 8), range(3, 11))
    sampling = sampled_volume(shape[:-1], lattice, acs)
    return fit(method, toy_kspace(*shape), sampling)


@pytest.mark.parametrize('shape', [(27, 10), (9, 12, 8)])
def test_the_map_of_a_linear_network_is_that_of_its_matrix(shape: tuple[int, ...]) -> None:
    interpolator = linear_network(*shape)
    assert interpolator.inner
    assert isinstance(interpolator.inner[0].patch_map, NetworkMap)
    assert_map_is_that_of_the_matrix(interpolator)


def test_the_map_of_a_linear_network_on_a_volume_is_what_1000_replicas_tend_to() -> None:
    """On the mean over pixels, whose standard error is far below 3 %; whatever the object."""
    interpolator, covariance = linear_network(9, 12, 8), toy_covariance()
    kspace = toy_kspace(9, 12, 8, seed=4)
    weights = matched_weights(images_of(interpolator.fill(kspace))).conj()
    found = analytic_noise_map(interpolator, covariance, weights)
    replicas = replica_noise_map(interpolator.fill, kspace, interpolator.sampling, covariance, n_replicas=1000)
    ratio = replicas.std / found.std
    assert float(ratio.mean()) == pytest.approx(1, abs=0.03)
    assert float(ratio.std()) < 0.03


@both_geometries
@pytest.mark.parametrize('n_virtual', [None, 2])
def test_a_reconstruction_in_virtual_coils_has_the_noise_of_its_matrix(n_axes: int, n_virtual: int | None) -> None:
    """Measured samples keep the noise of their coils; filled ones have that of whitened or compressed ones."""
    shape = (24, 8) if n_axes == 1 else (8, 12, 4)
    sampling = lattice_with_acs(24, 3, 1, range(8, 20)) if n_axes == 1 else PATTERN[2]
    kspace = toy_kspace(*shape)
    noise = coloured_noise(noise_factor(toy_covariance()), (100,), torch.Generator().manual_seed(1))
    transform = coil_transform(sampling.acs_block(kspace), noise, n_virtual)
    assert not transform.is_identity
    assert_map_is_that_of_the_matrix(fit(SMALL, kspace, sampling, transform=transform))


def test_one_partition_has_the_noise_of_lines() -> None:
    """One accelerated axis is a lattice with one partition: the same map."""
    kspace, flat = toy_kspace(54, 13), lattice_with_acs(54, 4, 3, range(14, 38))
    method, weights = Grappa(regularization=1e-3), random_kspace(N_COILS, 54, 13, seed=5)
    expected = analytic_noise_map(fit(method, kspace, flat), toy_covariance(), weights)
    partition = fit(method, kspace[:, None], Sampling.from_mask(flat.mask[None]))
    found = analytic_noise_map(partition, toy_covariance(), weights[:, None])
    torch.testing.assert_close(found.std[0], expected.std, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.gfactor[0], expected.gfactor, rtol=1e-5, atol=0)


@cache
def scan_of(*matrix: int) -> tuple[Tensor, Tensor, Tensor]:
    """K-space, covariance of its noise, and its mask."""
    scan = simulate(Simulation(matrix, n_coils=6, noise=0.01))
    assert scan.noise is not None
    return scan.kspace[0], noise_covariance(scan.noise), scan.mask


@pytest.mark.parametrize(
    ('matrix', 'rate', 'acs', 'shift'),
    [((48, 40), (3,), (20,), 0), ((48, 40), (5,), (0,), 0), ((14, 30, 20), (2, 2), (8, 14), 1)],
    ids=['lines', 'separate', 'volume'],
)
def test_it_agrees_with_pseudo_replicas(
    matrix: tuple[int, ...], rate: tuple[int, ...], acs: tuple[int, ...], shift: int
) -> None:
    """For a linear method, the real and the imaginary part of the noise's image are two of the 400 replicas."""
    (kspace, covariance, mask), n_fills = scan_of(*matrix), 200
    sampling = undersample(mask, rate, acs, shift)
    interpolator = fit(Grappa(), kspace, sampling, None if all(acs) else kspace[:, 14:34])
    images = images_of(interpolator.fill(kspace))
    combinations = [matched_weights(images).conj()]
    combinations += [walsh_weights(images).conj()] if len(matrix) == 2 else []
    weights = torch.stack(combinations)
    factor, generator = noise_factor(covariance), torch.Generator().manual_seed(0)
    squares = torch.zeros(len(weights), *matrix)
    for _ in range(n_fills):
        noise = images_of(interpolator.fill(coloured_noise(factor, matrix, generator)))
        squares += (weights * noise).sum(1).abs().square() / 2
    inside = object_mask(root_sum_of_squares(images_of(kspace)))
    for own, variance in zip(weights, squares / n_fills, strict=True):
        ratio = (analytic_noise_map(interpolator, covariance, own).std / variance.sqrt())[inside]
        assert float((ratio - 1).abs().median()) < 0.045
        assert float(ratio.median()) == pytest.approx(1, abs=0.015)
        assert float((ratio - 1).square().mean().sqrt()) == pytest.approx((2 * 2 * n_fills) ** -0.5, rel=0.2)


@both_geometries
def test_it_is_what_replica_maps_tend_to(n_axes: int) -> None:
    """Same definitions: std in phase, R_net, g."""
    interpolator, covariance, _ = toy(n_axes)
    kspace, sampling = toy_kspace(*MATRICES[n_axes]), interpolator.sampling
    weights = matched_weights(images_of(interpolator.fill(kspace))).conj()
    replicas = replica_noise_map(interpolator.fill, kspace, sampling, covariance, n_replicas=200)
    analytic = analytic_noise_map(interpolator, covariance, weights)
    assert analytic.net_acceleration == replicas.net_acceleration
    assert (analytic.n_replicas, analytic.relative_standard_error) == (None, 0)
    for found, noisy in [(analytic.std, replicas.std), (analytic.gfactor, replicas.gfactor)]:
        assert float((noisy / found).median()) == pytest.approx(1, abs=0.03)
        assert float((noisy / found).std()) == pytest.approx(replicas.relative_standard_error, rel=0.2)


def test_far_from_acs_and_edges_it_is_breuers() -> None:
    """With W(r) the Fourier transform of the convolution kernel, g = sqrt(p W Psi W^H p^H) / (R sqrt(p Psi p^H)).

    The samples at the edges fill less than the others, hence the tolerance.
    """
    n_lines, n_readout = 240, 150
    weights = 0.3 * random_kspace(N_COILS * 6, N_COILS, seed=1)
    sampling = lattice_with_acs(n_lines, 2, 0, range(0))
    cells = Cells.on(Neighbourhood.around(sampling.lattice, Kernel(2, 3), (n_lines,), n_readout), sampling)
    inner = InnerMap(cells.at(cells.is_whole), LinearMap(weights))
    interpolator = Interpolator(sampling, n_readout, N_COILS, (inner,))
    tensor = weights.reshape(N_COILS, 2, 3, N_COILS)
    convolution = torch.zeros(N_COILS, N_COILS, n_lines, n_readout, dtype=torch.complex64)
    convolution[:, :, n_lines // 2, n_readout // 2] = torch.eye(N_COILS)
    for line, offset in enumerate((1, -1)):
        for sample in range(3):
            convolution[:, :, n_lines // 2 + offset, n_readout // 2 + 1 - sample] = tensor[:, line, sample].T
    image_weights = (n_lines * n_readout) ** 0.5 * image_from_kspace(convolution)
    combination, covariance = random_kspace(N_COILS, n_lines, n_readout, seed=5), toy_covariance()
    through = torch.einsum('cyx,cdyx->dyx', combination, image_weights)
    breuer = full_noise(through, covariance) / (2 * full_noise(combination, covariance))
    found = analytic_noise_map(interpolator, covariance, combination).gfactor
    assert float((found - breuer).norm() / breuer.norm()) < 0.01


@both_geometries
def test_blocks_of_pixels_and_situations_do_not_matter(n_axes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first = toy(n_axes)
    whole = first.gfactor
    for size in (1, 2 * 14 * N_COILS**2):
        monkeypatch.setattr(gfactor, 'BLOCK_ELEMENTS', size)
        torch.testing.assert_close(first.gfactor, whole, rtol=1e-5, atol=0)


@both_geometries
def test_what_does_not_fit_is_named(n_axes: int) -> None:
    interpolator, covariance, weights = toy(n_axes)
    with pytest.raises(ValueError, match='fitted for 3 coils, got a noise covariance of 2'):
        coil_noise(interpolator, covariance[:2, :2])
    wanted = {1: r'\(coil, y, x\) of \(3, 33, 14\), got \(3, 14, 33\)'}
    wanted[2] = r'\(coil, z, y, x\) of \(3, 8, 12, 5\), got \(3, 8, 5, 12\)'
    with pytest.raises(ValueError, match=f'weights must have axes {wanted[n_axes]}'):
        coil_noise(interpolator, covariance).std(weights.mT)


def test_a_network_has_no_analytic_map() -> None:
    kspace, method = toy_kspace(*MATRICES[1]), COMPLEX_QUICK
    network = fit(method, kspace, PATTERN[1])
    with pytest.raises(ValueError, match='needs weights, a LinearMap, got a NetworkMap: use replica_noise_map'):
        analytic_noise_map(network, toy_covariance(), toy(1).weights)
