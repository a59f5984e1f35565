"""What `raki info` says of a scan: shape, lattice, coils, noise, memory, what GRAPPA chooses for it, and a verdict."""

from dataclasses import asdict
from itertools import chain
from math import prod
from typing import Any

import torch

from raki.coils.noise import noise_covariance
from raki.commands.inputs import sizes_by_axis
from raki.commands.outlook import Prospect, outlook
from raki.data.blocks import Box
from raki.data.equispaced import Equispaced
from raki.data.masks import Irregular, Pattern, pattern_of
from raki.data.memory import reconstruction_bytes
from raki.data.sampling import NAMES, Sampling
from raki.data.scan import Scan, ScanFile
from raki.errors import CalibrationError, SamplingError
from raki.interpolation.calibration import Calibration
from raki.interpolation.noise_power import noise_power
from raki.interpolation.tuning import kernels_for, tune
from raki.magnitude import in_unit
from raki.pipeline import Slab


def describe(file: ScanFile) -> dict[str, object]:
    """What is in a file; for every frame the lattice of its first slab, and what stands in its way; the verdict.

    A volume whose partitions were all measured alike is described as the slices that it is reconstructed as.
    """
    first = _first_slab(file, 0)
    others = (_first_slab(file, frame) for frame in range(1, file.n_frames))
    patterns, prospects = zip(*map(_found, chain([first], others)), strict=True)
    return {
        'file': file.path,
        'format': file.format,
        'shape': sizes_by_axis(file),
        'voxel_size_mm': None if first.voxel_size is None else [round(1000 * size, 4) for size in first.voxel_size],
        'image_shape': list(first.image_shape or first.kspace.shape[2:]),
        'noise_samples': 0 if first.noise is None else first.noise.shape[1],
        'has_reference': first.reference is not None,
        'memory_needed_gb': float(f'{reconstruction_bytes(file.shape) / 1e9:.2g}'),
        **_learnable(first),
        'repetitions': [
            {'frame': asdict(frame), **pattern} for frame, pattern in zip(file.frames, patterns, strict=True)
        ],
        'facts': dict(file.facts),
        'notes': list(file.notes),
        **outlook(file, first, prospects),
    }


def _first_slab(file: ScanFile, frame: int) -> Scan:
    scan = file.read([0], frame)
    return scan.as_slices() if scan.has_full_kz else scan


def _found(scan: Scan) -> tuple[dict[str, object], Prospect]:
    """The lattice of a frame, and what is to be expected of it."""
    pattern = _describe_sampling(scan)
    problem = pattern.get('problem')
    return pattern, Prospect.of(scan, None if problem is None else str(problem))


def _learnable(scan: Scan) -> dict[str, object]:
    """What is wrong with coils and what is done to them, noise, and what GRAPPA chooses; as much as can be told."""
    try:
        slab = Slab.of(scan, 0, torch.device('cpu'))
        transform = slab.transform
    except CalibrationError as error:
        return {'coils': [str(error)]}
    coils: dict[str, object] = {'coils': [*transform.warnings, *transform.notes]}
    sampling = slab.sampling
    if isinstance(sampling, Irregular) or (isinstance(sampling, Sampling) and sampling.acceleration == 1):
        return coils
    try:
        return coils | _noise(slab) | _of_grappa(calibration_of(slab))
    except CalibrationError:
        return coils


def calibration_of(slab: Slab) -> Calibration:
    """What methods learn from, as they see it; of lines whose gaps differ, for the first kind of them.

    CalibrationError if there is nothing to learn from; not for patterns without any order.
    """
    sampling, transform = slab.sampling, slab.transform
    assert not isinstance(sampling, Irregular)
    kind = sampling.alike(0, 0)[0] if isinstance(sampling, Equispaced) else sampling
    acs, lines = (transform.apply(in_unit(each, slab.unit)) for each in (slab.acs, slab.kspace.flatten(1, -2)))
    return Calibration(acs, kind.lattice, kind, lines, is_separate=slab.calibration is not None)


def _noise(slab: Slab) -> dict[str, object]:
    """Standard deviation of the noise of a sample, by the ACS and by noise samples [units of k-space]."""
    noise = slab.noise
    measured = None if noise is None else float(noise_covariance(noise).diagonal().real.mean()) ** 0.5
    return {
        'noise_of_acs': float(f'{slab.unit * noise_power(in_unit(slab.acs, slab.unit)) ** 0.5:.4g}'),
        'noise_of_samples': None if measured is None else float(f'{measured:.4g}'),
    }


def _of_grappa(calibration: Calibration) -> dict[str, object]:
    """What GRAPPA chooses for this scan."""
    tuned = tune(calibration)
    kernels = {calibration.neighbourhood(kernel): str(kernel) for kernel in kernels_for(calibration)}
    return {
        'grappa_kernel': kernels[tuned.neighbourhood],
        'grappa_regularization': float(f'{tuned.regularization:.3g}'),
    }


def _describe_sampling(scan: Scan) -> dict[str, object]:
    """Lines, acceleration and ACS of a pattern, and its problem."""
    sampling = pattern_of(scan.mask)
    acs, net = acs_found(scan, sampling), {'net_acceleration': round(sampling.net_acceleration, 3)}
    empty = None if isinstance(sampling, Irregular) else scan.mask.numel() - prod(map(len, sampling.filled))
    return {
        'measured_lines': int(scan.mask.sum()),
        **_spacing(sampling),
        **net,
        **acs,
        **({} if empty is None else {'empty_lines': empty}),
        'problem': _problem(scan, sampling, acs['acs_lines']),
    }


def _spacing(sampling: Pattern) -> dict[str, object]:
    """How far measured lines are apart, where there is a rule."""
    if isinstance(sampling, Irregular):
        return {}
    if isinstance(sampling, Equispaced):
        return {'gaps': ', '.join(f'{size} ({count}x)' for size, count in sampling.gaps.items())}
    lattice = sampling.lattice
    if sampling.mask.ndim == 1:
        return {'acceleration': lattice.rate, 'first_line': lattice.first[0]}
    shift, first = lattice.shift, list(lattice.first)
    return {'acceleration': list(lattice.spacing), 'caipi_shift': shift, 'first_position': first}


def _problem(scan: Scan, sampling: Pattern, n_acs: int) -> str | None:
    """What is wrong with a pattern."""
    if isinstance(sampling, Irregular):
        return _why_irregular(scan)
    if isinstance(sampling, Equispaced):
        return _too_short(sampling, n_acs)
    return None if n_acs or sampling.lattice.rate == 1 else 'no ACS: nothing can be learnt'


def _too_short(sampling: Equispaced, n_acs: int) -> str | None:
    """Why there is too little to learn from."""
    widest = max(kind.lattice.rate for kind in sampling.alike(0, 0))
    if n_acs > widest:
        return None
    if not n_acs:
        return 'no ACS: nothing can be learnt'
    return f'a gap of {widest} needs {widest + 1} ACS lines, got {n_acs}: the methods spirit and sparse take any mask'


def _why_irregular(scan: Scan) -> str | None:
    try:
        Sampling.from_mask(scan.mask)
    except SamplingError as error:
        return str(error)
    return None


def acs_found(scan: Scan, pattern: Pattern) -> dict[str, Any]:
    """How many lines there are to learn from, and where."""
    if scan.calibration is not None:
        return {'acs_lines': prod(scan.calibration.shape[2:-1]), 'acs': 'separate'}
    n_acs = prod(map(len, pattern.acs))
    return {'acs_lines': n_acs, 'acs': _words(pattern.acs) if n_acs else 'none'}


def _words(box: Box) -> str:
    return ', '.join(
        f'{name} {side.start} to {side.stop - 1}' for name, side in zip(NAMES[-len(box) :], box, strict=True)
    )
