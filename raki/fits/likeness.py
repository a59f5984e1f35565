"""Whether a fit is for a scan: it must be of the same lines, coils and readout, and should be of like coils and noise.

Weights hold for the coils and the noise that they were learnt with. A fit keeps the second moments of the samples that
it was learnt from; those of a later scan with the same coils at the same place are nearly the same, whatever the phase
of the heart or the contrast.
"""

import torch
from torch import Tensor

from raki.coils.agreement import disagreement
from raki.coils.noise import known_covariance
from raki.errors import ScanError
from raki.fits.stored import Fit
from raki.interpolation.neighbours import by
from raki.magnitude import in_unit

MUCH = 2.0
"""By which factor magnitudes, of signal or noise, may differ before gates and thresholds are taken not to hold [1]."""


def moments_of(kspace: Tensor, mask: Tensor) -> Tensor:
    """Second moments between coils of measured k-space (coil, phase axes, kx), see `raki.fits.stored.Fit`."""
    samples = kspace[:, mask.to(kspace.device)].flatten(1)
    samples = samples.to('cpu', torch.complex128)
    return samples @ samples.mH / max(1, samples.shape[1])


def require_same(fit: Fit, kspace: Tensor, mask: Tensor, name: str) -> None:
    """Raise a ScanError that names both unless a fit is for these lines, coils and this readout.

    Parameters
    ----------
    fit
        What is to fill in.
    kspace, mask
        Axes (coil, phase axes, kx), and which of its phase positions were measured.
    name
        The scan in words.
    """
    own, interpolator = fit.interpolator.sampling.mask, fit.interpolator
    sizes = (interpolator.n_coils or len(kspace), *own.shape, interpolator.n_readout)
    axes = ', '.join(('coil', *('kz', 'ky', 'kx')[1 - kspace.ndim :]))
    if sizes != tuple(kspace.shape):
        raise ScanError(f'{name} has {by(kspace.shape)} samples ({axes}), but the fit is for {by(sizes)}')
    if not torch.equal(own, mask.cpu()):
        differ = (own != mask.cpu()).nonzero().tolist()
        there, first = int(own.sum()), ', '.join(map(str, differ[0]))
        raise ScanError(
            f'{name} has other lines than the fit: {int(mask.sum())} of {mask.numel()} were measured, the fit is for '
            f'{there}, and {len(differ)} differ, first {first}; learn anew'
        )


def doubts(fit: Fit, kspace: Tensor, mask: Tensor, noise: Tensor | None) -> tuple[str, ...]:
    """Why a fit may not hold for a scan, one sentence each; arguments as of `require_same`, noise (coil, sample)."""
    return (*_about_coils(fit, kspace, mask), *_about_noise(fit, noise))


def _about_coils(fit: Fit, kspace: Tensor, mask: Tensor) -> tuple[str, ...]:
    if fit.moments is None:
        return ()
    own, seen = fit.moments, moments_of(kspace, mask)
    found = disagreement(_with_moments(own), _with_moments(seen), 'the scan that the fit is of')
    powers, tiny = torch.stack([each.diagonal().real for each in (seen, own)]), torch.finfo(torch.float64).tiny
    lives, ratios = (powers > 0).any(0), (powers[0].clamp(min=tiny) / powers[1].clamp(min=tiny)).sqrt()
    usual = float(ratios[lives].median()) if bool(lives.any()) else 1.0
    strange = (lives & ((ratios > MUCH * usual) | (MUCH * ratios < usual))).nonzero().flatten().tolist()
    said = [] if found is None else [found]
    if strange:
        named = ', '.join(f'{coil} ({float(ratios[coil]) / usual:.3g}x)' for coil in strange)
        said.append(f'coils differ in brightness from those that the fit is of, relative to the others: {named}')
    if not 1 / MUCH < usual < MUCH:
        said.append(f'the scan is {usual:.3g} times as bright as that of the fit: what depends on noise may not hold')
    return tuple(said)


def _about_noise(fit: Fit, noise: Tensor | None) -> tuple[str, ...]:
    """Noise that the fit's transform makes white should be white, and of unit power, in this scan too."""
    transform, unit = fit.interpolator.transform, fit.interpolator.unit
    covariance = known_covariance(None if noise is None else in_unit(noise, unit))
    if transform is None or covariance is None or not any('whitened' in note for note in transform.notes):
        return ()
    matrix = transform.matrix.to(covariance)
    levels = torch.linalg.eigvalsh(matrix @ covariance @ matrix.mH).clamp(min=0).sqrt()
    low, high = float(levels.min()), float(levels.max())
    if low > 1 / MUCH and high < MUCH:
        return ()
    return (f'in the virtual coils of the fit noise is {low:.3g} to {high:.3g} and not 1: it differs from that scan',)


def _with_moments(moments: Tensor) -> Tensor:
    """Samples (coil, sample), as few as can be, that have these second moments."""
    values, vectors = torch.linalg.eigh(moments)
    return vectors * values.clamp(min=0).sqrt()
