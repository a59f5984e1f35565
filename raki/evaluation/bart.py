"""Commands of the BART toolbox, in processes of their own, on files in its order of axes.

Uecker et al. 2015, Proc Intl Soc Mag Reson Med 23:2486 (https://mrirecon.github.io/bart).
"""

import shutil
import subprocess
from collections.abc import Mapping
from math import pi
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from raki.errors import CalibrationError, ResourceError
from raki.fourier import spatial_axes


def require_bart(method: str = 'bart-pics') -> str:
    """Path of the program; a ResourceError, which names the method that needs it, if it is not installed."""
    program = shutil.which('bart')
    if program is None:
        raise ResourceError(f'the BART toolbox is not installed: leave {method} out, or put `bart` on the path')
    return program


def bart(command: str, arguments: tuple[str, ...], inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Run a command of the BART toolbox on arrays in its order of axes, and read what it writes.

    An argument `{name}` is replaced by the file of that input; inputs not named so are positional.

    Raises
    ------
    ResourceError
        If BART is not installed.
    """
    program = require_bart()
    with TemporaryDirectory(prefix='raki-bart-') as folder:
        files = {name: str(Path(folder) / name) for name in inputs}
        for name, array in inputs.items():
            write_cfl(files[name], array)
        options = [argument.format(**files) for argument in arguments]
        positional = [path for path in files.values() if path not in options]
        words = [program, command, *options, *positional, output := str(Path(folder) / 'output')]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
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


def as_pics_has_it(kspace: Tensor) -> Tensor:
    """K-space (coil, phase axes, kx) with the phases that BART's `pics` takes the Fourier transform to have.

    The transform with its centre c = n//2 in both domains is m F m with m_j = exp(2 pi i (j - c/2) c/n); `pics` (0.8)
    solves conj(m) F m (s x) = y. Both agree where 4 divides n; the sign is another where only 2 does, and an odd n
    would shift the image by a pixel against its sensitivities.
    """
    for axis in spatial_axes(kspace):
        size, centre = kspace.shape[axis], kspace.shape[axis] // 2
        turns = (2 * torch.arange(size, dtype=torch.float64) - centre) * centre / size
        phase = torch.polar(torch.ones_like(turns), -2 * pi * turns).to(kspace.dtype)
        kspace = kspace * phase.unflatten(0, (size, *(1,) * (-1 - axis)))
    return kspace


def as_bart(array: Tensor) -> np.ndarray:
    """(coil, z, y, x), or without z, to BART's (read, phase 1, phase 2, coil)."""
    volume = array if array.ndim == 4 else array[:, None]
    return volume.permute(3, 2, 1, 0).numpy()


def from_bart(array: np.ndarray, n_axes: int) -> Tensor:
    """BART's (read, phase 1, phase 2, coil, ...) with one of the others, to (coil, z, y, x), or without z."""
    volume = torch.from_numpy(np.ascontiguousarray(array.reshape(*array.shape[:3], -1).transpose(3, 2, 1, 0)))
    return volume if n_axes == 4 else volume[:, 0]
