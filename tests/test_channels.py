"""Virtual coils: laws of the way there and back, what GRAPPA sees of it, refusals."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.coils.combine import root_sum_of_squares
from raki.coils.noise import coloured_noise, noise_covariance, noise_factor
from raki.coils.transform import CoilTransform, coil_transform
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import image_metrics
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import fit
from raki.pipeline import reconstruct
from tests.toys import METHODS, RAKI_QUICK, acs_of, lattice_with_acs, point_sources, random_kspace

CPU = torch.device('cpu')
EVERY_METHOD = [pytest.param(method, id=name) for name, method in METHODS.items()]


def mixing(n_coils: int, seed: int = 0) -> Tensor:
    """Any invertible mixing of coils, condition about 20."""
    return torch.eye(n_coils) + 0.4 * random_kspace(n_coils, n_coils, seed=seed)


def toy(n_coils: int = 5) -> tuple[Tensor, Tensor]:
    """K-space (coil, ky, kx) of white noise and signal, and noise samples."""
    kspace = 5 * point_sources(30, n_coils, 44, 26) + random_kspace(n_coils, 44, 26, seed=1)
    return kspace, random_kspace(n_coils, 400, seed=2)


SAMPLING = lattice_with_acs(44, 3, 1, range(14, 34))


def filled_in(
    kspace: Tensor, noise: Tensor | None, n_virtual: int | None = None, method: Method | None = None
) -> Tensor:
    acs = acs_of(kspace, SAMPLING)
    transform = coil_transform(acs, noise, n_virtual)
    return fit(method or Grappa(), kspace, SAMPLING, transform=transform).fill(kspace)


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Relative error in the norm."""
    assert float((found - expected).norm() / expected.norm()) < tolerance


def test_noise_is_white_in_virtual_coils_and_compressed_ones() -> None:
    kspace, noise = toy()
    coloured = torch.tensordot(mixing(5), noise, dims=1)
    for n_virtual in (None, 5, 3, 2):
        transform = coil_transform(acs_of(kspace, SAMPLING), coloured, n_virtual)
        white = noise_covariance(transform.apply(coloured.to(torch.complex128)))
        torch.testing.assert_close(white, torch.eye(n_virtual or 5, dtype=torch.complex128))


def test_there_and_back_is_where_one_was() -> None:
    kspace, noise = toy()
    transform = coil_transform(acs_of(kspace, SAMPLING), torch.tensordot(mixing(5), noise, dims=1))
    assert_close(transform.invert(transform.apply(kspace)), kspace, 1e-6)
    assert transform.notes == ('coils whitened by the covariance of 400 noise samples',)
    assert transform.warnings == ()


@pytest.mark.parametrize('n_virtual', [None, 3])
@pytest.mark.parametrize('fault', ['none', 'dead', 'duplicate'])
@pytest.mark.parametrize('has_noise', [True, False])
def test_virtual_coils_come_back_as_they_were(n_virtual: int | None, fault: str, has_noise: bool) -> None:
    """Matrix @ inverse = 1, whatever was left out: nothing that is filled in gets lost on the way back."""
    kspace, noise = toy()
    for array in (kspace, noise):
        if fault != 'none':
            array[3] = 0 if fault == 'dead' else 1j * array[1]
    transform = coil_transform(acs_of(kspace, SAMPLING), noise if has_noise else None, n_virtual)
    expected = torch.eye(n_virtual or (5 if fault == 'none' else 4), dtype=torch.complex128)
    torch.testing.assert_close(transform.matrix @ transform.inverse, expected)


def test_without_noise_samples_and_faults_nothing_happens() -> None:
    kspace, _ = toy()
    transform = coil_transform(acs_of(kspace, SAMPLING))
    assert transform.is_identity
    assert (transform.notes, transform.warnings, transform.energy) == ((), (), 1)
    assert transform.apply(kspace) is kspace
    plain = fit(Grappa(), kspace, SAMPLING).fill(kspace)
    assert torch.equal(filled_in(kspace, None), plain)


@pytest.mark.parametrize('method', EVERY_METHOD)
@pytest.mark.parametrize('n_virtual', [None, 3])
def test_measured_samples_come_back_bit_for_bit_in_the_coils_of_the_scan(method: Method, n_virtual: int | None) -> None:
    kspace, noise = toy()
    kspace[4] = 2 * kspace[0]
    filled = filled_in(kspace, torch.tensordot(mixing(5), noise, dims=1), n_virtual, method)
    assert torch.equal(filled[:, SAMPLING.mask], kspace[:, SAMPLING.mask])
    assert bool((filled != 0).any(dim=-1).all())


@pytest.mark.parametrize('method', [Grappa(), Grappa(regularization=1e-2)], ids=['chosen', 'fixed'])
def test_in_whitened_coils_grappa_does_not_care_how_coils_were_mixed(method: Method) -> None:
    """fill(M k) = M fill(k) for every invertible M, if the noise is mixed, too: gains, phases, other coils."""
    kspace, noise = toy()
    changed = [torch.tensordot(mixing(5), array, dims=1) for array in (kspace, noise)]
    expected = torch.tensordot(mixing(5), filled_in(kspace, noise, method=method), dims=1)
    assert_close(filled_in(changed[0], changed[1], method=method), expected, 1e-4)
    plain = filled_in(changed[0], None, method=method)
    assert float((plain - expected).norm() / expected.norm()) > 1e-2  # without whitening it does


def test_compressed_coils_do_not_depend_on_how_coils_were_mixed() -> None:
    """The same directions hold most of the signal, in units of noise."""
    kspace, noise = toy()
    changed = [torch.tensordot(mixing(5), array, dims=1) for array in (kspace, noise)]
    expected = torch.tensordot(mixing(5), filled_in(kspace, noise, 3), dims=1)
    assert_close(filled_in(changed[0], changed[1], 3), expected, 1e-4)


@pytest.mark.parametrize('factor', [1e-12, 1e-6, 1e6, 1e12])
def test_the_unit_of_k_space_does_not_matter(factor: float) -> None:
    kspace, noise = toy()
    assert_close(filled_in(factor * kspace, factor * noise, 4) / factor, filled_in(kspace, noise, 4), 1e-3)


@pytest.mark.parametrize('has_noise', [True, False])
def test_as_many_virtual_coils_as_coils_lose_nothing(has_noise: bool) -> None:
    kspace, noise = toy()
    noise = torch.tensordot(mixing(5), noise, dims=1) if has_noise else None
    assert_close(filled_in(kspace, noise, 5), filled_in(kspace, noise), 1e-5)


def test_grappa_does_not_see_rotations_of_the_virtual_coils() -> None:
    kspace, _ = toy()
    rotation = torch.linalg.qr(random_kspace(5, 5).to(torch.complex128)).Q
    turned = fit(Grappa(), kspace, SAMPLING, transform=CoilTransform(rotation, rotation.mH)).fill(kspace)
    assert_close(turned, filled_in(kspace, None), 1e-4)


def test_signal_of_few_directions_needs_no_more_virtual_coils() -> None:
    """Four points seen by six coils, without noise: four virtual coils hold everything, three do not."""
    kspace = point_sources(4, 6, 44, 26)
    acs = acs_of(kspace, SAMPLING)
    energies = [coil_transform(acs, None, n).energy for n in range(2, 7)]
    assert energies == sorted(energies)
    assert energies[2:] == pytest.approx([1, 1, 1], abs=1e-12)
    assert energies[1] < 0.999
    transform = coil_transform(acs, None, 4)
    assert_close(transform.invert(transform.apply(kspace)), kspace, 1e-5)


def test_virtual_coils_share_the_energy_as_coils_do() -> None:
    """Principal components would not: networks learn weak ones badly."""
    kspace = simulate(Simulation((48, 40), 12)).kspace[0]
    virtual = coil_transform(kspace, None, 6).apply(kspace)
    powers = virtual.abs().square().mean((1, 2))
    assert float(powers.max() / powers.min()) < 5
    moments = torch.linalg.eigvalsh(noise_covariance(kspace.flatten(1)))[-6:]
    assert float(moments.max() / moments.min()) > 30


@pytest.mark.parametrize('n_virtual', [0, 1, 6])
def test_impossible_numbers_of_virtual_coils_are_refused(n_virtual: int) -> None:
    scan = simulate(Simulation((48, 40), n_coils=5))
    with pytest.raises(ValueError, match=f'5 coils can be compressed to 2 to 5 virtual coils, got {n_virtual}'):
        reconstruct(scan, Grappa(), coils=n_virtual, device=CPU)


def test_more_virtual_coils_than_working_ones_are_as_many_as_these() -> None:
    kspace, _ = toy()
    kspace[2] = 0
    assert coil_transform(acs_of(kspace, SAMPLING), None, 5).n_virtual == 4


@pytest.mark.parametrize(
    ('n_samples', 'change', 'message'),
    [
        (49, 'none', '49 noise samples do not tell the covariance of 5 coils, 10 per coil would'),
        (400, 'zero', '400 noise samples do not tell the covariance'),
        (400, 'same noise', 'they have signal in directions where they have no noise'),
    ],
)
def test_noise_samples_that_tell_nothing_are_not_used(n_samples: int, change: str, message: str) -> None:
    kspace, noise = toy()
    noise = noise[:, :n_samples]
    if change == 'zero':
        noise = torch.zeros_like(noise)
    if change == 'same noise':
        noise[4] = noise[3]
    transform = coil_transform(acs_of(kspace, SAMPLING), noise)
    assert transform.is_identity
    [said] = transform.warnings
    assert said.startswith('coils are not whitened: ')
    assert message in said
    assert fit(Grappa(), kspace, SAMPLING, transform=transform).warnings == (said,)


def test_a_transform_that_does_not_fit_its_inverse_is_refused() -> None:
    matrix = torch.ones(2, 3, dtype=torch.complex128)
    with pytest.raises(ValueError, match=r'got \(2, 3\) and \(2, 3\)'):
        CoilTransform(matrix, matrix)


def unequal_noise(seed: int) -> Scan:
    """Twelve coils, noise of which differs by a factor of 5, undersampled; its truth in `reference`."""
    scan = simulate(Simulation((64, 80), 12, 1, 0, seed))
    truth = scan.reference
    assert truth is not None
    level = 0.1 * float(image_from_kspace(truth).abs().max())
    gains = level * 5 ** torch.linspace(-0.5, 0.5, 12, dtype=torch.float64)[torch.randperm(12, generator=seeded(seed))]
    factor = noise_factor(torch.diag(gains**2).to(torch.complex128))
    noise = coloured_noise(factor, (64, 80), seeded(seed))
    samples = coloured_noise(factor, (2000,), seeded(seed + 1))
    return replace(scan, kspace=truth + noise, noise=samples, mask=undersample(scan.mask, (3,), (20,)).mask)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def error_in_object(scan: Scan, method: Method | None = None, coils: int | None = None) -> float:
    assert scan.reference is not None
    truth = root_sum_of_squares(image_from_kspace(scan.reference[0]))
    image = reconstruct(scan, method or Grappa(), coils=coils, device=CPU).image[0]
    return image_metrics(image, truth)['nrmse_object']


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_whitening_pays_where_coils_have_unequal_noise(seed: int) -> None:
    scan = unequal_noise(seed)
    plain = Grappa(calibration='measured')
    assert error_in_object(scan, plain) < 0.98 * error_in_object(replace(scan, noise=None), plain)


def test_images_keep_their_scale() -> None:
    """What is filled in in whitened coils is combined in the coils of the scan: R = 2 of clean data is the truth."""
    full = simulate(Simulation((64, 80), 8, 1, 0.001))
    scan = replace(full, mask=undersample(full.mask, (2,), (24,)).mask)
    assert error_in_object(scan) < 0.02


@pytest.mark.parametrize('rate', [3, 4])
def test_thirty_two_coils_compress_to_twelve(rate: int) -> None:
    """No more than 5 % more error in the object: the 20 directions left out hold next to nothing but noise."""
    full = simulate(Simulation((64, 80), 32, 1, 0.005))
    scan = replace(full, mask=undersample(full.mask, (rate,), (24,)).mask)
    assert error_in_object(scan, coils=12) < 1.05 * error_in_object(scan)


def test_a_network_learns_compressed_coils_as_well() -> None:
    full = simulate(Simulation((48, 64), 16, 1, 0.005))
    scan = replace(full, mask=undersample(full.mask, (3,), (20,)).mask)
    assert error_in_object(scan, RAKI_QUICK, coils=8) < 1.1 * error_in_object(scan, RAKI_QUICK)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('n_virtual', [None, 3])
def test_gpu_and_cpu_agree(n_virtual: int | None) -> None:
    kspace, noise = toy()
    kspace[4] = 2 * kspace[0]
    assert_close(filled_in(kspace.cuda(), noise, n_virtual).cpu(), filled_in(kspace, noise, n_virtual), 1e-3)
