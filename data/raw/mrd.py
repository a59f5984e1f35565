"""Raw data as MRD (version 1) has them: an acquisition for every measured readout, slab by slab.

Counters are rows of the matrix, and the header says that n//2 is the centre. Lines of the ACS are flagged as
calibration: on the lattice as calibration and image, between as calibration only of the mode `embedded`. Calibration
that was measured separately comes first, with the mode `separate`. Noise has the variance of image samples, so its
dwell time is theirs: 1, because the true one is not known any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.blocks import slices
from raki.data.masks import Pattern, pattern_of
from raki.data.mrd.description import MM, Description, header_xml, scanner_of
from raki.data.mrd.geometry import AXES, signs_of
from raki.data.mrd.layout import ACQUISITION, bit
from raki.data.place import Frame, Geometry
from raki.data.sampling import Sampling
from raki.data.save import NewFiles, describe_in, hdf5_in, reserve
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError

SAMPLES = h5py.vlen_dtype(np.dtype('<f4'))
RECORD = np.dtype([('head', ACQUISITION), ('traj', SAMPLES), ('data', SAMPLES)])

CHUNK = 64
"""Acquisitions that lie together in the file."""

HEAP = 1.5
"""Room that samples take: HDF5 keeps each acquisition's in pages of 4 KB of their own [1]."""

LARGEST = (1 << 16) - 1
"""Of the whole numbers in a header."""

NOISE_SAMPLES = 1024
"""Of one noise acquisition."""


@dataclass(slots=True, eq=False)
class _Raw:
    """An open file, to which acquisitions are appended."""

    path: Path
    data: h5py.Dataset
    signs: tuple[int, int, int]
    """As `signs_of`."""
    n_bytes: int = 0

    def append(self, heads: np.ndarray, samples: Tensor, geometry: Geometry | None = None) -> None:
        """Acquisitions with these headers and samples (acquisition, coil, sample)."""
        n_before, (n_new, n_coils, n_samples) = len(self.data), samples.shape
        if max(n_coils, n_samples) > LARGEST:
            raise ScanError(f'an acquisition has at most {LARGEST} coils and samples, got {n_coils} x {n_samples}')
        heads['version'] = 1
        heads['scan_counter'] = n_before + np.arange(n_new)
        heads['number_of_samples'], heads['center_sample'] = n_samples, n_samples // 2
        heads['available_channels'] = heads['active_channels'] = n_coils
        heads['sample_time_us'] = 1
        if geometry is not None:
            heads['position'] = np.multiply(MM, geometry.position)
            for name, sign in zip(AXES, self.signs, strict=True):
                heads[name] = np.multiply(sign, getattr(geometry, name))
        self.n_bytes += samples.numel() * samples.element_size() + heads.nbytes
        reserve(self.path, int(HEAP * self.n_bytes))
        records = np.empty(n_new, RECORD)
        records['head'] = heads
        numbers = np.ascontiguousarray(samples.numpy(), np.complex64).view('<f4').reshape(n_new, -1)
        for record, line in zip(records, numbers, strict=True):
            record['traj'], record['data'] = np.empty(0, '<f4'), line
        self.data.resize(n_before + n_new, 0)
        self.data[n_before:] = records


def write_mrd_raw(
    path: Path, scan: ScanFile, subject: Mapping[str, str], made: Mapping[str, object], new_file: NewFiles
) -> list[str]:
    """Write all frames and slabs, and say what an MRD file cannot hold."""
    temporary, found = new_file(path), _Found()
    with hdf5_in(temporary) as file:
        group = file.create_group('dataset')
        data = group.create_dataset('data', (0,), RECORD, maxshape=(None,), chunks=(CHUNK,))
        raw = _Raw(temporary, data, signs_of(scan.facts.get('vendor', ''), is_volume=len(scan.shape) == 5))
        for number, frame in enumerate(scan.frames):
            for slab in range(scan.shape[0]):
                read = scan.read([slab], number)
                if not len(data):
                    _append_noise(raw, read)
                geometry = scan.geometries[slab] if scan.geometries else None
                _append_slab(raw, read, frame, slab, geometry)
                found = found.with_slab(read)
        xml = header_xml(_description(scan, found, subject))
        group.create_dataset('xml', data=[xml], dtype=h5py.string_dtype())
        describe_in(file, made)
    return ['the fully sampled reference'] * found.has_reference


@dataclass(frozen=True, slots=True)
class _Found:
    """What the slabs of a scan have in common, as far as they were read."""

    spacing: tuple[int, int] = (1, 1)
    """Of (kz, ky)."""
    is_separate: bool = False
    has_reference: bool = False
    has_noise: bool = False
    first: tuple[int, int] = (LARGEST, LARGEST)
    last: tuple[int, int] = (0, 0)
    """First and last (kz, ky) with a readout."""
    voxel_size: tuple[float, ...] | None = None

    def with_slab(self, scan: Scan) -> '_Found':
        """Together with one more slab."""
        (spacing_z, spacing_y), (first, last) = _spacing(scan.mask), _ends(scan)
        return replace(
            self,
            spacing=(max(self.spacing[0], spacing_z), max(self.spacing[1], spacing_y)),
            is_separate=self.is_separate or scan.calibration is not None,
            has_reference=self.has_reference or scan.reference is not None,
            has_noise=self.has_noise or scan.noise is not None,
            first=(min(self.first[0], first[0]), min(self.first[1], first[1])),
            last=(max(self.last[0], last[0]), max(self.last[1], last[1])),
            voxel_size=scan.voxel_size,
        )


def _spacing(mask: Tensor) -> tuple[int, int]:
    """Of measured lines along (kz, ky); the widest gap where they are no lattice."""
    pattern = pattern_of(mask)
    if isinstance(pattern, Sampling):
        return (1, *pattern.lattice.spacing)[-2:]  # type: ignore[return-value]
    places = mask.reshape(-1, mask.shape[-1]).any(0).nonzero().flatten()
    return 1, int(places.diff().max()) if len(places) > 1 else 1


def _ends(scan: Scan) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last position (kz, ky) that a slab has readouts at, those of separate calibration included."""
    places = _two(scan.mask).nonzero()
    first, last = places.amin(0), places.amax(0)
    if scan.calibration is not None:
        start = torch.tensor(_start_of_calibration(scan))
        stop = start + torch.tensor(_volume(scan.calibration[0]).shape[1:3]) - 1
        first, last = first.minimum(start), last.maximum(stop)
    return (int(first[0]), int(first[1])), (int(last[0]), int(last[1]))


def _two(mask: Tensor) -> Tensor:
    """A mask with axes (kz, ky)."""
    return mask.reshape(-1, mask.shape[-1])


def _volume(kspace: Tensor) -> Tensor:
    """K-space of a slab with axes (coil, kz, ky, kx)."""
    return kspace if kspace.ndim == 4 else kspace[:, None]


def _start_of_calibration(scan: Scan) -> tuple[int, int]:
    """Where a separate calibration block begins, (kz, ky), if its middle is that of k-space."""
    assert scan.calibration is not None
    matrix, block = _two(scan.mask).shape, _volume(scan.calibration[0]).shape[1:3]
    start = tuple(whole // 2 - part // 2 for whole, part in zip(matrix, block, strict=True))
    if min(start) < 0:
        raise ScanError(f'separate calibration of {tuple(block)} lines (kz, ky) is larger than k-space {tuple(matrix)}')
    return start[0], start[1]


def _append_noise(raw: _Raw, scan: Scan) -> None:
    if scan.noise is not None:
        for part in scan.noise.split(NOISE_SAMPLES, dim=1):
            head = np.zeros(1, ACQUISITION)
            head['flags'] = bit('noise')
            raw.append(head, part[None])


def _append_slab(raw: _Raw, scan: Scan, frame: Frame, slab: int, geometry: Geometry | None) -> None:
    if scan.calibration is not None:
        block, start = _volume(scan.calibration[0]), _start_of_calibration(scan)
        everywhere = torch.ones(block.shape[1:3], dtype=torch.bool)
        heads = _heads(everywhere, frame, slab, start)
        heads['flags'] = bit('calibration')
        raw.append(heads, _lines(block, everywhere), geometry)
    mask = _two(scan.mask)
    heads = _heads(mask, frame, slab)
    if scan.calibration is None:
        heads['flags'] = _calibration_flags(pattern_of(scan.mask))
    heads['flags'][0] |= bit('first in slice')
    heads['flags'][-1] |= bit('last in slice')
    raw.append(heads, _lines(_volume(scan.kspace[0]), mask), geometry)


def _lines(kspace: Tensor, mask: Tensor) -> Tensor:
    """Measured readouts of (coil, kz, ky, kx), axes (line, coil, kx)."""
    return kspace[:, mask].transpose(0, 1)


def _heads(mask: Tensor, frame: Frame, slab: int, start: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Headers with the counters of all measured positions (kz, ky) of a mask that begins at `start`."""
    places = mask.nonzero().numpy() + np.asarray(start)
    heads = np.zeros(len(places), ACQUISITION)
    counters = heads['idx']
    counters['kspace_encode_step_2'], counters['kspace_encode_step_1'] = places.T
    counters['slice'] = slab
    for name in ('repetition', 'contrast', 'phase', 'set'):
        counters[name] = getattr(frame, name)
    return heads


def _calibration_flags(pattern: Pattern) -> np.ndarray:
    """Flags of measured lines, in order: within the ACS they are calibration, on the lattice image as well."""
    mask, flags = pattern.mask, np.zeros(tuple(pattern.mask.shape), np.uint64)
    if all(pattern.acs) and _spacing(mask) != (1, 1):
        flags[slices(pattern.acs)] = bit('calibration and image')
        if isinstance(pattern, Sampling):
            within = np.zeros(flags.shape, bool)
            within[slices(pattern.acs)] = True
            flags[within & ~pattern.lattice.on(tuple(mask.shape)).numpy()] = bit('calibration')
    return flags[mask.numpy()]


def _description(scan: ScanFile, found: _Found, subject: Mapping[str, str]) -> Description:
    n_z, n_y, n_x = (1, *scan.shape[2:])[-3:]
    thickness = scan.geometries[0].voxel_size[0] if scan.geometries else 0.0
    voxel = (thickness, *(found.voxel_size or (0.0, 0.0)))[-3:]
    ends = zip((n_y, n_z), found.first[::-1], found.last[::-1], strict=True)
    limits = {f'kspace_encoding_step_{step}': (a, b, n // 2) for step, (n, a, b) in enumerate(ends, start=1)}
    limits['slice'] = (0, scan.shape[0] - 1, 0)
    for name in ('repetition', 'contrast', 'phase', 'set'):
        limits[name] = (0, max(getattr(frame, name) for frame in scan.frames), 0)
    wanted = None if scan.image_shape is None else (1, *scan.image_shape)[-3:]
    is_accelerated = found.is_separate or found.spacing != (1, 1)
    return Description(
        matrix=(n_z, n_y, n_x),
        voxel_size=(voxel[0], voxel[1], voxel[2]),
        image_shape=wanted,  # type: ignore[arg-type]
        limits=limits,
        acceleration=(found.spacing[1], found.spacing[0]),
        calibration_mode=('separate' if found.is_separate else 'embedded') if is_accelerated else '',
        noise_bandwidth=1.0 if found.has_noise else None,
        n_coils=scan.shape[1],
        scanner=scanner_of(scan),
        subject=subject,
    )
