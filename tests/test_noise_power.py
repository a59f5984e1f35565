"""The noise that an ACS shows: the gain by its definition, laws of scale and coils, then simulated scans."""

import pytest
import torch
from torch import Tensor

from raki.coils.noise import coloured_noise, noise_covariance, noise_factor
from raki.data.simulate import Simulation, simulate
from raki.interpolation.noise_power import noise_gain, noise_power
from tests.toys import random_kspace

N_COILS = 4
COVARIANCE = torch.tensor([[3, 1.2j, 0, 0.4], [-1.2j, 2, 0.5, 0], [0, 0.5, 1, 0.3], [0.4, 0, 0.3, 2]]).to(
    torch.complex128
)


def random_weights(scale: float) -> Tensor:
    """Of 6 source positions, axes (source, coil)."""
    return scale * random_kspace(6 * N_COILS, N_COILS, seed=3).to(torch.complex128)


@pytest.mark.parametrize('scale', [0.01, 0.2, 0.5])
def test_gain_is_what_pushing_noise_through_the_weights_gives(scale: float) -> None:
    """C = E[r r^H] of r = n - sum of W_s^T n_s with independent n, n_s of covariance Psi."""
    weights = random_weights(scale)
    through = weights.reshape(N_COILS, 6, N_COILS)
    residual = COVARIANCE + torch.einsum('csd,ce,esf->df', through, COVARIANCE, through.conj())
    expected = float(residual.diagonal().real.sum() / COVARIANCE.diagonal().real.mean())
    assert noise_gain(weights, 7 * residual) == pytest.approx(expected, rel=1e-4)


def test_coils_with_the_same_noise_gain_what_the_norm_of_the_weights_says() -> None:
    weights = random_weights(0.2)
    through = weights.reshape(N_COILS, 6, N_COILS)
    residual = torch.eye(N_COILS) + torch.einsum('csd,csf->df', through, through.conj())
    assert noise_gain(weights, residual) == pytest.approx(N_COILS + float(weights.abs().square().sum()), rel=1e-4)


def test_gain_stays_within_what_any_noise_can_have() -> None:
    """Residuals of signal can have a covariance that no noise explains."""
    weights = random_weights(0.5)
    through = weights.reshape(N_COILS, 6, N_COILS)
    least, *_, most = torch.linalg.eigvalsh(torch.einsum('csd,esd->ce', through.conj(), through)).tolist()
    gains = [noise_gain(weights, torch.outer(row, row.conj())) for row in torch.eye(N_COILS, dtype=torch.complex128)]
    assert all(N_COILS * (1 + least) * 0.999 <= gain <= N_COILS * (1 + most) * 1.001 for gain in gains)


def test_noise_alone_is_noise() -> None:
    assert noise_power(3 * random_kspace(6, 24, 80)) == pytest.approx(9, rel=0.1)


def test_correlated_noise_alone_is_its_mean_power() -> None:
    noise = coloured_noise(noise_factor(COVARIANCE), (24, 90), torch.Generator().manual_seed(2))
    assert noise_power(noise) == pytest.approx(2, rel=0.1)


def test_no_noise_is_zero() -> None:
    acs = torch.zeros(N_COILS, 12, 16, dtype=torch.complex64)
    acs[:, :, 3] = 1
    assert noise_power(acs) < 1e-9


SCANS = {
    'noisy': Simulation((96, 80), 8, 1, 0.05, 1),
    'usual': Simulation((80, 96), 12, 1, 0.01, 2),
    'clean': Simulation((96, 80), 8, 1, 0.0005, 3),
    'very noisy': Simulation((128, 160), 8, 1, 0.2, 0),
    'very noisy, many coils': Simulation((64, 64), 32, 1, 0.2, 0),
    'very clean': Simulation((64, 64), 8, 1, 0.0002, 0),
}


@pytest.mark.parametrize('name', SCANS)
@pytest.mark.parametrize('n_acs', [16, 24])
def test_noise_is_found_in_the_acs_within_a_tenth(name: str, n_acs: int) -> None:
    scan = simulate(SCANS[name])
    assert scan.noise is not None
    truth = float(noise_covariance(scan.noise).diagonal().real.mean())
    middle = (len(scan.mask) - n_acs + 1) // 2
    for start in (middle, middle - 3):
        assert noise_power(scan.kspace[0][:, start : start + n_acs]) ** 0.5 == pytest.approx(truth**0.5, rel=0.1)


def test_another_unit_and_another_order_of_coils_change_nothing() -> None:
    acs = simulate(SCANS['usual']).kspace[0][:, 30:54]
    once = noise_power(acs)
    assert noise_power(2.0**-20 * acs) == pytest.approx(2.0**-40 * once, rel=1e-3)
    assert noise_power(acs.flip(0)) == pytest.approx(once, rel=1e-3)


@pytest.mark.parametrize('noise', [0.01, 0.05])
def test_noise_is_found_in_the_acs_of_a_volume(noise: float) -> None:
    """Within a quarter; signal that three partitions do not explain looks like noise, the more so the cleaner it is."""
    scan = simulate(Simulation((20, 40, 36), 6, 1, noise, 1))
    assert scan.noise is not None
    truth = float(noise_covariance(scan.noise).diagonal().real.mean())
    assert noise_power(scan.kspace[0][:, 4:16, 11:29]) ** 0.5 == pytest.approx(truth**0.5, rel=0.25)
