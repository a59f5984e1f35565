"""Pseudo replicas where the answer is known."""

import pytest
import torch
from torch import Tensor

from raki.coils import matched_weights
from raki.data.sampling import Sampling
from raki.evaluation.noise_maps import full_noise, replica_noise_map
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation import fit, leave_empty
from tests.toys import acs_of, lattice_with_acs, point_sources, random_kspace


def kspace_and_covariance() -> tuple[Tensor, Tensor]:
    mixing = torch.randn(4, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    kspace = 20 * (point_sources(40, 4, 40, 26) + random_kspace(4, 40, 26, seed=99))
    return kspace, mixing @ mixing.mH + torch.eye(4)


def test_at_rate_one_g_is_one() -> None:
    kspace, covariance = kspace_and_covariance()
    sampling = Sampling.from_mask(torch.ones(40, dtype=torch.bool))
    found = replica_noise_map(leave_empty(sampling, 26).fill, kspace, sampling, covariance, n_replicas=400)
    error = found.relative_standard_error
    assert error == pytest.approx(0.0354, abs=1e-4)
    assert float(found.gfactor.mean()) == pytest.approx(1, abs=5 * error / (40 * 26) ** 0.5)
    assert float((found.gfactor - 1).abs().max()) < 5 * error
    assert float(found.gfactor.std()) == pytest.approx(error, rel=0.15)


@pytest.mark.parametrize('acceleration', [2, 3])
def test_zero_filling_has_the_noise_of_the_lines_it_has(acceleration: int) -> None:
    """Fewer lines, less noise: std goes down by sqrt(R_net), so g = 1 / R_net by its definition."""
    kspace, covariance = kspace_and_covariance()
    sampling = lattice_with_acs(40, acceleration, 0, range(14, 26))
    found = replica_noise_map(leave_empty(sampling, 26).fill, kspace, sampling, covariance, n_replicas=200)
    assert found.net_acceleration == pytest.approx(40 / int(sampling.mask.sum()))
    assert float(found.gfactor.mean()) == pytest.approx(1 / found.net_acceleration, rel=0.02)


def test_grappas_map_is_that_of_its_matrix() -> None:
    """A linear method as an explicit matrix: std^2 is the diagonal of A Psi A^H in phase."""
    kspace, covariance = kspace_and_covariance()
    kspace = kspace[:, :24, :10]
    sampling = lattice_with_acs(24, 2, 0, range(8, 20))
    fill = fit(Grappa(regularization=1e-2), acs_of(kspace, sampling), sampling, kspace).fill
    weights = matched_weights(image_from_kspace(fill(kspace))).conj()
    factor = torch.linalg.cholesky(covariance).to(torch.complex64)
    variance = torch.zeros(24, 10)
    for coil in range(4):
        for line in sampling.mask.nonzero().flatten().tolist():
            for sample in range(10):
                unit = torch.zeros(4, 24, 10, dtype=torch.complex64)
                unit[:, line, sample] = factor[:, coil]
                response = (weights * image_from_kspace(fill(unit))).sum(0)
                variance += response.abs().square() / 2
    found = replica_noise_map(fill, kspace, sampling, covariance, n_replicas=1000)
    ratio = found.std / variance.sqrt()
    assert float((ratio - 1).abs().median()) < 0.03
    assert float((ratio - 1).abs().max()) < 5 * found.relative_standard_error


def test_lines_beyond_the_acquired_range_count_neither_as_noise_nor_as_acceleration() -> None:
    """A fully sampled partial-Fourier scan has R_net = 1 and g = 1."""
    kspace, covariance = kspace_and_covariance()
    sampling = Sampling.from_mask(torch.arange(40) >= 10)
    found = replica_noise_map(leave_empty(sampling, 26).fill, kspace, sampling, covariance, n_replicas=200)
    assert found.net_acceleration == 1
    assert float(found.gfactor.mean()) == pytest.approx(1, abs=0.01)


def test_noise_of_the_full_scan_is_that_of_its_weights() -> None:
    weights, covariance = random_kspace(4, 5, 6), kspace_and_covariance()[1]
    expected = torch.empty(5, 6, dtype=torch.float64)
    for y in range(5):
        for x in range(6):
            w = weights[:, y, x].to(torch.complex128)
            expected[y, x] = ((w @ covariance @ w.conj()).real / 2).sqrt()
    torch.testing.assert_close(full_noise(weights, covariance), expected)


def test_same_seed_same_map_and_one_replica_has_no_spread() -> None:
    kspace, covariance = kspace_and_covariance()
    sampling = lattice_with_acs(40, 2, 0, range(14, 26))
    fill = leave_empty(sampling, 26).fill
    first, second = (replica_noise_map(fill, kspace, sampling, covariance, n_replicas=3, seed=5) for _ in range(2))
    assert torch.equal(first.std, second.std)
    with pytest.raises(ValueError, match='at least 2 replicas, got 1'):
        replica_noise_map(fill, kspace, sampling, covariance, n_replicas=1)
