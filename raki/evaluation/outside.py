"""Outside references: SENSE and wavelet reconstructions of the image, by sigpy and by BART.

They look for the image x that explains the measured lines through ESPIRiT sensitivities s, y = F (s x). What they
return as k-space is F (s x), measured lines included. How strong they regularise follows from the noise power, which
the ACS tells, and never from a reference. With independent Gaussian noise of power n per sample, the most probable
image minimises 1/2 ||y - F (s x)||^2 + n / (2 S) ||x||^2 if pixels are Gaussian of power S, and
1/2 ||y - F (s x)||^2 + n / (2 b) ||W x||_1 if wavelet coefficients have the density exp(-|w| / b) / (2 pi b^2), whose
mean magnitude is 2 b.
"""

import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from raki.data.sampling import Sampling
from raki.errors import CalibrationError, ResourceError
from raki.fourier import kspace_from_image
from raki.interpolation.kernel import Kernel
from raki.interpolation.noise_power import NOISE_KERNEL, noise_power

CALIBRATION_WIDTH = 24
"""Largest side of the square of k-space that ESPIRiT learns from, as sigpy and BART have it by default."""

ESPIRIT_KERNEL = 6
"""Side of ESPIRiT's kernel, as sigpy and BART have it by default."""


class Filler(Protocol):
    """Anything fitted that fills k-space in."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the result may be worse than usual."""
        ...

    def fill(self, kspace: Tensor) -> Tensor:
        """From k-space (coil, ky, kx) to filled k-space."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ImageModel:
    """A calibrated reconstruction of the image."""

    sampling: Sampling
    """The pattern it is for."""

    sensitivities: Tensor
    """ESPIRiT maps, axes (coil, y, x); zero where there is no object."""

    solve: Callable[[Tensor], Tensor]
    """From measured k-space (coil, ky, kx), zero elsewhere, to the image (y, x)."""

    warnings: tuple[str, ...] = ()
    """Why the result may be worse than usual."""

    def fill(self, kspace: Tensor) -> Tensor:
        """K-space (coil, ky, kx) of the image that explains the measured lines, within the acquired range."""
        measured = torch.where(self.sampling.mask[:, None], kspace.cpu(), 0)
        inside = torch.zeros(len(self.sampling.mask), 1, dtype=torch.bool)
        inside[self.sampling.filled_range.start : self.sampling.filled_range.stop] = True
        model = kspace_from_image(self.sensitivities * self.solve(measured))
        return torch.where(inside, model, 0).to(kspace.device)


@dataclass(frozen=True, slots=True)
class Baseline(ABC):
    """An outside reference for comparisons."""

    @property
    def smallest_kernel(self) -> Kernel:
        """What an ACS must hold for its noise power to be estimated."""
        return NOISE_KERNEL

    @abstractmethod
    def calibrate(self, acs: Tensor, sampling: Sampling, kspace: Tensor) -> ImageModel:
        """Learn sensitivities and the strength of the regularisation.

        Parameters
        ----------
        acs
            Autocalibration lines in the centre of k-space, axes (coil, line, readout).
        sampling
            The pattern of the k-space to fill.
        kspace
            The k-space to fill, axes (coil, ky, kx); only measured lines are looked at.

        Raises
        ------
        CalibrationError
            If the ACS is too small.
        ResourceError
            If a program that is needed is not installed.
        """


@dataclass(frozen=True, slots=True)
class Espirit(Baseline):
    """SENSE with ESPIRiT sensitivities by sigpy, conjugate gradients.

    References
    ----------
    Uecker et al. 2014, Magn Reson Med 71:990 (https://doi.org/10.1002/mrm.24751).
    """

    n_iterations: int = 30
    """Conjugate-gradient iterations."""

    def calibrate(self, acs: Tensor, sampling: Sampling, kspace: Tensor) -> ImageModel:
        """See `Baseline.calibrate`."""
        maps, measured = _espirit_maps(acs, sampling, kspace.shape), _measured(kspace, sampling)
        ridge = _noise(acs) / _signal_power(measured, sampling)
        return ImageModel(sampling, maps, lambda lines: self._image(lines, maps, ridge, sampling))

    def _image(self, lines: Tensor, maps: Tensor, ridge: float, sampling: Sampling) -> Tensor:
        return _by_sigpy('SenseRecon', lines, maps, ridge, sampling, max_iter=self.n_iterations)


@dataclass(frozen=True, slots=True)
class Wavelet(Baseline):
    """L1-wavelet reconstruction with ESPIRiT sensitivities by sigpy, Daubechies-4, accelerated proximal gradients.

    References
    ----------
    Lustig et al. 2007, Magn Reson Med 58:1182 (https://doi.org/10.1002/mrm.21391).
    """

    n_iterations: int = 100
    """Proximal gradient iterations."""

    def calibrate(self, acs: Tensor, sampling: Sampling, kspace: Tensor) -> ImageModel:
        """See `Baseline.calibrate`; the scale of wavelet coefficients is that of the SENSE image."""
        sense = Espirit().calibrate(acs, sampling, kspace)
        strength = _noise(acs) / _mean_wavelet(sense.solve(_measured(kspace, sampling)))
        maps = sense.sensitivities
        return ImageModel(sampling, maps, lambda lines: self._image(lines, maps, strength, sampling))

    def _image(self, lines: Tensor, maps: Tensor, strength: float, sampling: Sampling) -> Tensor:
        return _by_sigpy('L1WaveletRecon', lines, maps, strength, sampling, max_iter=self.n_iterations)


@dataclass(frozen=True, slots=True)
class BartPics(Baseline):
    """SENSE with ESPIRiT sensitivities, `ecalib` and `pics -l2` of the BART toolbox, where it is installed.

    References
    ----------
    Uecker et al. 2015, Proc Intl Soc Mag Reson Med 23:2486 (https://mrirecon.github.io/bart).
    """

    n_iterations: int = 100
    """Conjugate-gradient iterations at most."""

    def calibrate(self, acs: Tensor, sampling: Sampling, kspace: Tensor) -> ImageModel:
        """See `Baseline.calibrate`."""
        width = _calibration_width(acs, sampling, kspace.shape)
        arguments = ('-m', '1', '-r', f'{width}:{width}:1')
        maps = bart('ecalib', arguments, {'kspace': _as_bart(_acs_only(acs, sampling, kspace.shape))})
        ridge = _noise(acs) / _signal_power(_measured(kspace, sampling), sampling)
        maps = _from_bart(maps)
        return ImageModel(sampling, maps, lambda lines: self._image(lines, maps, ridge, sampling))

    def _image(self, lines: Tensor, maps: Tensor, ridge: float, sampling: Sampling) -> Tensor:
        pattern = sampling.mask[:, None].expand(lines.shape[1:]).to(lines)[None]
        arguments = ('-l2', '-r', f'{ridge:.6e}', '-w', '1', '-i', str(self.n_iterations))
        inputs = {'kspace': _as_bart(lines), 'maps': _as_bart(maps), 'pattern': _as_bart(pattern)}
        return _from_bart(bart('pics', (*arguments, '-p', '{pattern}'), inputs))[0]


BASELINES: Mapping[str, Baseline] = {'espirit': Espirit(), 'l1-wavelet': Wavelet(), 'bart-pics': BartPics()}
"""Outside references by the names that `raki compare --methods` knows."""


def _measured(kspace: Tensor, sampling: Sampling) -> Tensor:
    return torch.where(sampling.mask[:, None], kspace.cpu(), 0)


def _noise(acs: Tensor) -> float:
    """Noise power of a sample, never zero, so that noise-free data are regularised as little as numbers allow."""
    acs = acs.cpu()
    return max(noise_power(acs), 1e-10 * float(acs.abs().square().mean()))


def _signal_power(measured: Tensor, sampling: Sampling) -> float:
    """Mean |x|^2 over pixels by Parseval: every line outside the ACS stands for R of them."""
    weights = torch.where(sampling.mask, float(sampling.acceleration), 0.0)
    weights[sampling.acs.start : sampling.acs.stop] = 1
    energy = measured.abs().square().sum((0, 2)) @ weights
    return float(energy) / measured[0].numel()


def _calibration_width(acs: Tensor, sampling: Sampling, shape: torch.Size) -> int:
    """Largest square in the centre of k-space that lies within the ACS, but no more than is usual."""
    centre = shape[1] // 2
    half = min(centre - sampling.acs.start, sampling.acs.stop - centre)
    width = min(CALIBRATION_WIDTH, 2 * half, acs.shape[2])
    if width < ESPIRIT_KERNEL + 2:
        raise CalibrationError(
            f'ESPIRiT needs an ACS of at least {ESPIRIT_KERNEL + 2} lines around the centre of k-space, '
            f'got lines {sampling.acs.start} to {sampling.acs.stop - 1} of {shape[1]}: acquire more ACS'
        )
    return width


def _acs_only(acs: Tensor, sampling: Sampling, shape: torch.Size) -> Tensor:
    kspace = torch.zeros(shape, dtype=torch.complex64)
    kspace[:, sampling.acs.start : sampling.acs.stop] = acs.cpu()
    return kspace


def _espirit_maps(acs: Tensor, sampling: Sampling, shape: torch.Size) -> Tensor:
    """ESPIRiT sensitivities of sigpy with its default settings, axes (coil, y, x)."""
    from sigpy.mri import app  # its import takes seconds

    width = _calibration_width(acs, sampling, shape)
    kspace = _acs_only(acs, sampling, shape).numpy()
    return torch.from_numpy(app.EspiritCalib(kspace, calib_width=width, show_pbar=False).run())


def _by_sigpy(name: str, lines: Tensor, maps: Tensor, strength: float, sampling: Sampling, **settings: Any) -> Tensor:
    """Image (y, x) of an app of sigpy; samples that happen to be zero count as measured."""
    from sigpy.mri import app

    weights = sampling.mask[:, None].expand(lines.shape[1:]).float().numpy()
    solver = getattr(app, name)
    image = solver(lines.numpy(), maps.numpy(), strength, weights=weights, show_pbar=False, **settings).run()
    return torch.from_numpy(np.ascontiguousarray(image))


def _mean_wavelet(image: Tensor) -> float:
    """Mean magnitude of the wavelet coefficients of an image (y, x), per pixel."""
    import sigpy

    transform = sigpy.linop.Wavelet(tuple(image.shape), wave_name='db4')
    return float(np.abs(transform(image.numpy())).sum()) / image.numel()


def bart(command: str, arguments: tuple[str, ...], inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Run a command of the BART toolbox on arrays in its order of axes, and read what it writes.

    An argument `{name}` is replaced by the file of that input; inputs not named so are positional.

    Raises
    ------
    ResourceError
        If BART is not installed.
    """
    program = shutil.which('bart')
    if program is None:
        raise ResourceError('the BART toolbox is not installed: leave bart-pics out, or put `bart` on the path')
    with TemporaryDirectory(prefix='raki-bart-') as folder:
        files = {name: str(Path(folder) / name) for name in inputs}
        for name, array in inputs.items():
            write_cfl(files[name], array)
        options = [argument.format(**files) for argument in arguments]
        positional = [path for path in files.values() if path not in options]
        output = str(Path(folder) / 'output')
        done = subprocess.run(
            [program, command, *options, *positional, output], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CalibrationError(f'bart {command} failed: {" ".join((done.stderr or done.stdout).split())[-300:]}')
        return read_cfl(output)


def write_cfl(path: str, array: np.ndarray) -> None:
    """Write a BART file pair: `.hdr` with the sizes, `.cfl` with complex64 in Fortran order."""
    Path(f'{path}.hdr').write_text('# Dimensions\n' + ' '.join(map(str, array.shape)) + '\n', encoding='ascii')
    array.astype(np.complex64).ravel(order='F').tofile(f'{path}.cfl')


def read_cfl(path: str) -> np.ndarray:
    """Read a BART file pair."""
    sizes = Path(f'{path}.hdr').read_text(encoding='ascii').splitlines()[1].split()
    return np.fromfile(f'{path}.cfl', dtype=np.complex64).reshape([int(size) for size in sizes], order='F')


def _as_bart(array: Tensor) -> np.ndarray:
    """(coil, y, x) to BART's (read, phase 1, phase 2, coil)."""
    return array.permute(2, 1, 0)[:, :, None].numpy()


def _from_bart(array: np.ndarray) -> Tensor:
    """BART's (read, phase 1, phase 2, coil, ...) with one of the others, to (coil, y, x)."""
    full = array.reshape(*array.shape, *(1,) * (4 - array.ndim))
    return torch.from_numpy(np.ascontiguousarray(full.reshape(full.shape[0], full.shape[1], -1).transpose(2, 1, 0)))
