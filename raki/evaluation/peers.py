"""What others have made, by name, for benchmarks: whether it is installed, and how its settings were chosen."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from raki.data.masks import Pattern
from raki.data.sampling import Sampling
from raki.errors import CalibrationError, SamplingError
from raki.evaluation.baseline import Baseline, measured_of
from raki.evaluation.outside import BASELINES
from raki.interpolation.neighbours import Kernel

SMALLEST = float(np.finfo(np.float32).tiny)
"""Stands for measured samples that are zero [unit of k-space]: pygrappa takes zeros for what is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class PyGrappaFit:
    """Weights of pygrappa, and what it filled in as it learnt them: it does both at once."""

    sampling: Sampling
    settings: Mapping[str, object]
    acs: Tensor
    """Axes (coil, ky, kx)."""
    weights: Mapping[bytes, np.ndarray]
    """By its own keys of what is around a missing sample."""
    measured: Tensor
    filled: Tensor
    """K-space (coil, ky, kx) that it was calibrated for, and what it made of it."""
    warnings: tuple[str, ...] = ()

    def fill(self, kspace: Tensor) -> Tensor:
        """Filled k-space, axes as `kspace`; measured samples come back bit for bit."""
        measured = measured_of(kspace, self.sampling).cpu()
        if torch.equal(measured, self.measured):
            return self.filled.to(kspace.device)
        return _filled(measured, self.acs, self.sampling, self.settings, self.weights)[0].to(kspace.device)


@dataclass(frozen=True, slots=True)
class PyGrappa(Baseline):
    """GRAPPA of the package pygrappa, for slices.

    Source: https://github.com/mckib2/pygrappa (`mdgrappa`), where it is installed.
    """

    kernel: Kernel = Kernel(4, 5)
    """Acquired lines x readout samples; pygrappa counts lines of the full matrix."""
    lamda: float = 0.01
    """Its own ridge, as it calls it: its default [1]."""

    def calibrate(self, acs: Tensor, sampling: Pattern, kspace: Tensor) -> PyGrappaFit:
        """Learn weights for every pattern of neighbours; a SamplingError or CalibrationError where it cannot."""
        if not isinstance(sampling, Sampling) or kspace.ndim != 3:
            raise SamplingError('pygrappa is taken for slices with evenly spaced lines: leave it out')
        extent = (self.kernel.lines - 1) * sampling.acceleration + 1
        if acs.shape[1] < extent:
            raise CalibrationError(f'pygrappa needs {extent} ACS lines for {self.kernel}, got {acs.shape[1]}')
        settings = {'kernel_size': (extent, self.kernel.readout), 'coil_axis': 0, 'lamda': self.lamda}
        measured = measured_of(kspace, sampling).cpu()
        filled, weights = _filled(measured, acs, sampling, settings)
        return PyGrappaFit(sampling, settings, acs, weights, measured, filled)


def _filled(
    measured: Tensor,
    acs: Tensor,
    sampling: Sampling,
    settings: Mapping[str, object],
    weights: Mapping[bytes, np.ndarray] | None = None,
) -> tuple[Tensor, Mapping[bytes, np.ndarray]]:
    """Filled k-space (coil, ky, kx) and weights, learnt if none are given."""
    import pygrappa  # its import takes seconds

    measured, mask = measured.cpu(), sampling.mask[:, None]
    shown = torch.where(mask & (measured == 0), SMALLEST, measured).numpy()
    given = acs.cpu().contiguous().numpy()
    filled, learnt = pygrappa.mdgrappa(shown, given, **settings, weights=weights, ret_weights=True)  # pyright: ignore
    missing = torch.from_numpy(np.ascontiguousarray(filled)).to(torch.complex64)
    inside = sampling.inside[:, None]
    return torch.where(mask, measured, torch.where(inside, missing, 0)), learnt or {}


@dataclass(frozen=True, slots=True)
class Peer:
    """A reconstruction of others: what a reader of a benchmark must know about it."""

    baseline: Baseline
    package: str
    """Who made it: a Python package, or the program bart."""
    regularised: str
    """How its settings were chosen, in words."""
    noise: str
    """What it knows of the noise, in words."""
    is_program: bool = field(default=False, kw_only=True)

    @property
    def version(self) -> str | None:
        """Of what is installed; None where nothing is."""
        if not self.is_program:
            return version(self.package) if find_spec(self.package) else None
        program = shutil.which(self.package)
        if program is None:
            return None
        return subprocess.run([program, 'version'], capture_output=True, text=True, check=False).stdout.strip()


ACS_NOISE = 'its power, from what neighbours on the ACS leave unexplained'
SENSE_WEIGHT = 'weight: noise power over signal power of the measured lines'
MAPS = 'ESPIRiT from up to 24 x 24 samples of the ACS, one set of maps, zero where its eigenvalue is below 0.8'

PEERS: Mapping[str, Peer] = {
    'espirit': Peer(
        BASELINES['espirit'],
        'sigpy',
        f"SenseRecon, at most 30 iterations; {SENSE_WEIGHT}; maps: {MAPS} (BART's default; sigpy's 0.95 cuts into "
        'the object), computed by raki',
        ACS_NOISE,
    ),
    'l1-wavelet': Peer(
        BASELINES['l1-wavelet'],
        'sigpy',
        'L1WaveletRecon, Daubechies-4, at most 100 iterations; weight: noise power over the mean magnitude of the '
        'wavelet coefficients of the image of espirit; maps: as espirit',
        ACS_NOISE,
    ),
    'bart-pics': Peer(
        BASELINES['bart-pics'],
        'bart',
        f'pics -l2 -i 100 -w 1; {SENSE_WEIGHT}; maps: its own, by ecalib -m 1 -c 0.8 of the same block of the ACS, one '
        'set, else its defaults',
        ACS_NOISE,
        is_program=True,
    ),
    'pygrappa': Peer(
        PyGrappa(),
        'pygrappa',
        'mdgrappa, kernel of 4 lines x 5 samples; ridge: its own default, lamda = 0.01, whatever the scan',
        'none',
    ),
}
"""By the names that `raki benchmark --peers` knows."""
