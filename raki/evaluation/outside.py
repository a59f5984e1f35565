"""Outside references: SENSE and wavelet reconstructions of the image, by sigpy and by BART.

They look for the image x that explains the measured lines through ESPIRiT sensitivities s, y = F (s x). What they
return as k-space is F (s x) where nothing was measured, and elsewhere what was measured, bit for bit, as every method
of this package does: so they are judged by what they add. Any mask with an ACS will do.

Sensitivities are zero where ESPIRiT's eigenvalue is below CROP; sigpy's own default of 0.95 also removes pixels of the
object. They are learnt from a block of up to CALIBRATION_WIDTH samples along each axis, of as many lines as there are:
sigpy's own ESPIRiT, which takes squares only, fails on few lines; so sigpy gets them from `raki.coils.espirit`.

How strong they regularise follows from the noise power, which the ACS tells, and never from a reference. With
independent Gaussian noise of power n per sample, the most probable image minimises
1/2 ||y - F (s x)||^2 + n / (2 S) ||x||^2 if pixels are Gaussian of power S, and
1/2 ||y - F (s x)||^2 + n / (2 b) ||W x||_1 if wavelet coefficients have the density exp(-|w| / b) / (2 pi b^2), whose
mean magnitude is 2 b.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from raki.coils.espirit import KERNEL, espirit_maps
from raki.data.blocks import slices
from raki.data.masks import Pattern
from raki.errors import CalibrationError
from raki.evaluation.bart import as_bart, as_pics_has_it, bart, from_bart, require_bart
from raki.evaluation.baseline import Baseline
from raki.extras import require_extra
from raki.fourier import centre_crop, image_from_kspace, kspace_from_image, spatial_axes
from raki.interpolation.calibration import Calibration
from raki.interpolation.neighbours import Neighbourhood
from raki.interpolation.noise_power import noise_neighbourhood, noise_power

CALIBRATION_WIDTH = 24
"""Largest side of the block of k-space that ESPIRiT learns from, as sigpy and BART have it by default."""

CROP = 0.8
"""Eigenvalue of ESPIRiT below which there is no object, as BART has it by default [1]."""

MOST_LOST = 0.1
"""Share of the ACS's energy where there are no sensitivities, above which it is warned of [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageModel:
    """A calibrated reconstruction of the image."""

    sampling: Pattern
    """The pattern it is for."""
    sensitivities: Tensor
    """ESPIRiT maps, axes (coil, image axes); zero where there is no object."""
    solve: Callable[[Tensor], Tensor]
    """From measured k-space (coil, phase axes, kx), zero elsewhere, to the image."""
    warnings: tuple[str, ...] = ()
    """Why the result may be worse than usual."""

    def fill(self, kspace: Tensor) -> Tensor:
        """Missing lines of the image that explains the measured ones, which come back bit for bit; axes as `kspace`.

        Within the acquired range; beyond it lines are zero.
        """
        images = self.sensitivities * self.solve(_measured(kspace, self.sampling))
        model = torch.where(self.sampling.inside[..., None], kspace_from_image(images, spatial_axes(kspace)), 0)
        return torch.where(self.sampling.mask.to(kspace.device)[..., None], kspace, model.to(kspace.device))


@dataclass(frozen=True, slots=True)
class OfImage(Baseline):
    """An outside reference by sigpy: sensitivities, strength of the regularisation, solution."""

    n_iterations: int
    """At most."""
    app: ClassVar[str]
    """What solves in `sigpy.mri.app`."""

    def require_installed(self, name: str) -> None:
        """See `Baseline.require_installed`."""
        require_extra('references', name)

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """What an ACS must hold for its noise power to be estimated."""
        return noise_neighbourhood(calibration.acs)

    def calibrate(self, acs: Tensor, sampling: Pattern, kspace: Tensor) -> ImageModel:
        """Learn sensitivities and the strength of the regularisation; a CalibrationError if the ACS shows none."""
        lines, measured = torch.zeros(kspace.shape, dtype=torch.complex64), _measured(kspace, sampling)
        centre_crop(lines, tuple(acs.shape[1:])).copy_(acs.cpu())  # its place is a phase that all coils share
        maps = self.sensitivities(lines, _calibration_block(acs))
        if not bool(maps.any()):
            found = ' x '.join(map(str, acs.shape[1:]))
            raise CalibrationError(f'ESPIRiT finds no sensitivities in an ACS of {found}: acquire more ACS')
        strength = self.strength(_noise(acs.cpu()), measured, maps, sampling)
        solve = partial(self.image, maps=maps, strength=strength, sampling=sampling)
        return ImageModel(sampling, maps, solve, _cautions(maps, lines))

    def sensitivities(self, lines: Tensor, block: tuple[int, ...]) -> Tensor:
        """ESPIRiT maps (coil, image axes) of the central block of ACS lines (coil, phase axes, kx)."""
        return espirit_maps(centre_crop(lines, block), tuple(lines.shape[1:]), CROP)

    def strength(self, noise: float, measured: Tensor, maps: Tensor, sampling: Pattern) -> float:
        """Of the regularisation: noise power over signal power, the mean |x|^2 over pixels.

        By Parseval, every measured line outside the ACS stands for as many as there are to each of them.
        """
        del maps
        outside = sampling.inside.clone()
        outside[slices(sampling.acs)] = False
        weights = sampling.mask.float()
        weights[outside] *= float(outside.sum() / (outside & sampling.mask).sum().clamp(min=1))
        energy = (measured.abs().square().sum((0, -1)) * weights).sum()
        return noise / (float(energy) / measured[0].numel())

    def image(self, lines: Tensor, maps: Tensor, strength: float, sampling: Pattern) -> Tensor:
        """Solve for the image, given measured lines and sensitivities; samples that happen to be zero count, too."""
        from sigpy.mri import app  # its import takes seconds

        weights = sampling.mask[..., None].expand(lines.shape[1:]).float().numpy()
        settings = {'weights': weights, 'max_iter': self.n_iterations, 'show_pbar': False}
        image = getattr(app, self.app)(lines.numpy(), maps.numpy(), strength, **settings).run()
        return torch.from_numpy(np.ascontiguousarray(image))


@dataclass(frozen=True, slots=True)
class Espirit(OfImage):
    """SENSE with ESPIRiT sensitivities, conjugate gradients.

    Uecker et al. 2014, Magn Reson Med 71:990 (https://doi.org/10.1002/mrm.24751).
    """

    n_iterations: int = 30
    app = 'SenseRecon'


@dataclass(frozen=True, slots=True)
class Wavelet(OfImage):
    """L1-wavelet reconstruction with ESPIRiT sensitivities, Daubechies-4, accelerated proximal gradients.

    Lustig et al. 2007, Magn Reson Med 58:1182 (https://doi.org/10.1002/mrm.21391).
    """

    n_iterations: int = 100
    app = 'L1WaveletRecon'

    def strength(self, noise: float, measured: Tensor, maps: Tensor, sampling: Pattern) -> float:
        """Noise power over the mean magnitude, per pixel, of the wavelet coefficients of the SENSE image."""
        import sigpy

        sense = Espirit()
        image = sense.image(measured, maps, sense.strength(noise, measured, maps, sampling), sampling)
        transform = sigpy.linop.Wavelet(tuple(image.shape), wave_name='db4')
        return noise / (float(np.abs(transform(image.numpy())).sum()) / image.numel())


@dataclass(frozen=True, slots=True)
class BartPics(OfImage):
    """SENSE with ESPIRiT sensitivities, `ecalib` and `pics -l2` of the BART toolbox, where it is installed.

    Uecker et al. 2015, Proc Intl Soc Mag Reson Med 23:2486 (https://mrirecon.github.io/bart).
    """

    n_iterations: int = 100

    def require_installed(self, name: str) -> None:
        """See `Baseline.require_installed`."""
        require_bart(name)

    def sensitivities(self, lines: Tensor, block: tuple[int, ...]) -> Tensor:
        """ESPIRiT maps of BART, with its default settings; CROP is one of them, said in case it changes."""
        sides = ':'.join(map(str, (*reversed(block), *(1,) * (3 - len(block)))))
        arguments = ('-m', '1', '-c', str(CROP), '-r', sides)
        return from_bart(bart('ecalib', arguments, {'kspace': as_bart(lines)}), lines.ndim)

    def image(self, lines: Tensor, maps: Tensor, strength: float, sampling: Pattern) -> Tensor:
        """See `OfImage.image`."""
        pattern = sampling.mask[..., None].expand(lines.shape[1:]).to(lines)[None]
        arguments = ('-l2', '-r', f'{strength:.6e}', '-w', '1', '-i', str(self.n_iterations), '-p', '{pattern}')
        inputs = {'kspace': as_bart(as_pics_has_it(lines)), 'maps': as_bart(maps), 'pattern': as_bart(pattern)}
        return from_bart(bart('pics', arguments, inputs), lines.ndim)[0]


BASELINES: Mapping[str, Baseline] = {'espirit': Espirit(), 'l1-wavelet': Wavelet(), 'bart-pics': BartPics()}
"""Outside references by the names that `raki compare --methods` knows."""


def _measured(kspace: Tensor, sampling: Pattern) -> Tensor:
    return torch.where(sampling.mask[..., None], kspace.cpu(), 0)


def _noise(acs: Tensor) -> float:
    """Noise power of a sample, never zero, so that noise-free data are regularised as little as numbers allow."""
    return max(noise_power(acs), 1e-10 * float(acs.abs().square().mean()))


def _cautions(maps: Tensor, lines: Tensor) -> tuple[str, ...]:
    """Whether maps are empty where the image of the ACS lines is not: a block of too few patches shows so."""
    energy = image_from_kspace(lines, spatial_axes(lines)).abs().square().sum(0)
    lost = float(energy[~maps.any(0)].sum() / energy.sum())
    text = f'ESPIRiT finds no sensitivities where the ACS has {100 * lost:.0f} % of its signal: acquire more ACS'
    return (text,) if lost > MOST_LOST else ()


def _calibration_block(acs: Tensor) -> tuple[int, ...]:
    """Sides of the middle of the ACS (coil, phase axes, readout) that sensitivities are learnt from."""
    sides = tuple(acs.shape[1:])
    if any(1 < side < KERNEL + 2 for side in sides):
        raise CalibrationError(
            f'ESPIRiT needs an ACS of at least {KERNEL + 2} samples along every axis, '
            f'got {" x ".join(map(str, sides))}: acquire more ACS'
        )
    return tuple(min(CALIBRATION_WIDTH, side) for side in sides)
