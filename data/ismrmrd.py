"""ISMRMRD (MRD version 1) HDF5: acquisitions with headers whose flags decide what they are.

Inati et al. 2017, Magn Reson Med 77:411. Read in bulk by h5py: the headers once, samples of one slice and repetition
at a time. What is not handled yet is refused by its name.
"""

from dataclasses import dataclass
from math import prod

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.acquisitions import Acquisitions
from raki.data.generic import DatasetLayout
from raki.data.hdf5 import COMPLEX64_BYTES, dataset, finite, opened, require_memory_of_slab
from raki.data.header import Header, header_of
from raki.data.measured import calibration_block, measured_lines
from raki.data.place import Frame
from raki.data.sampling import longest_run
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError
from raki.fourier import without_oversampling

MERGED_CALIBRATION = ('embedded', 'interleaved')
"""Calibration modes whose flagged lines belong to the image too; generators write `interleaved` for embedded lines."""

SEPARATE_CALIBRATION = ('separate', 'external', '')
"""Calibration modes whose calibration-only lines may have another contrast: they train, and never enter k-space."""


def is_ismrmrd(file: h5py.File) -> bool:
    """Whether the file has a group with acquisitions and a header."""
    return bool(_measurements(file))


def open_ismrmrd(path: str, _layout: DatasetLayout | None = None, mask: str | None = None) -> ScanFile:
    """Read the headers of the last measurement in the file.

    A ScanError if they are not those of one Cartesian scan that we can read, or a mask is given.
    """
    if mask is not None:
        raise ScanError(f'{path}: an ISMRMRD file tells itself which lines were measured: leave the mask {mask!r} out')
    with opened(path) as file:
        groups = _measurements(file)
        header = header_of(file, f'{groups[-1]}/xml')
        lines = Acquisitions.read(dataset(file, f'{groups[-1]}/data'), path)
    _require_handled(header, lines, path)
    reader = _Reader(path, groups[-1], header, lines)
    n_slabs = 1 if header.is_volume else len(lines.counters('slice'))
    shape = (n_slabs, lines.n_coils, *reader.phase_shape, reader.n_readout)
    memory = require_memory_of_slab(shape, COMPLEX64_BYTES * lines.n_coils * prod(header.encoded.matrix[:2]), path)
    return ScanFile(
        path=path,
        format='ISMRMRD HDF5',
        shape=shape,
        read_slab=reader.read_slab,
        frames=[Frame(repetition) for repetition in lines.counters('repetition')],
        image_shape=header.image_shape(reader.n_axes),
        facts=dict(header.facts),
        notes=_notes(groups, header, lines, reader.n_readout) + memory,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    path: str
    group: str
    header: Header
    lines: Acquisitions

    @property
    def n_axes(self) -> int:
        """Number of axes of an image."""
        return 3 if self.header.is_volume else 2

    @property
    def phase_shape(self) -> tuple[int, ...]:
        """Size (ky,) or (kz, ky)."""
        return self.header.encoded.matrix[self.n_axes - 1 : 0 : -1]

    @property
    def n_readout(self) -> int:
        """Readout samples after removal of oversampling."""
        return self.header.image_shape(2)[1]

    def read_slab(self, index: int, repetition: int) -> Scan:
        """Read one slice, or the volume, of one repetition."""
        lines, name = self.lines, f'{self.path}: slice {index}, repetition {repetition}'
        of_slab = lines.at('slice', index)
        here = of_slab & lines.at('repetition', repetition)
        if not (here & lines.is_image).any():
            raise ScanError(f'{name}: no image lines')
        is_separate = not (self.header.is_volume or (self._is_merged and (here & lines.is_calibration).any()))
        with opened(self.path) as file:
            data = dataset(file, f'{self.group}/data')
            kspace, mask = (
                self._partitions(data, here, repetition) if self.header.is_volume else self._lines(data, here, name)
            )
            return Scan(
                kspace=kspace[None],
                mask=mask,
                calibration=self._separate(data, of_slab, here, name) if is_separate else None,
                noise=self._noise(data),
                image_shape=self.header.image_shape(self.n_axes),
                voxel_size=self.header.voxel_size(self.n_axes),
            )

    def _partitions(self, data: h5py.Dataset, here: np.ndarray, repetition: int) -> tuple[Tensor, Tensor]:
        """K-space (coil, kz, ky, kx) of a volume, and which readouts (kz, ky) were measured."""
        lines, (n_partitions, n_lines) = self.lines, self.phase_shape
        kspace = torch.zeros(lines.n_coils, n_partitions, n_lines, self.n_readout, dtype=torch.complex64)
        mask = torch.zeros(n_partitions, n_lines, dtype=torch.bool)
        steps = lines.head['idx']['kspace_encode_step_2']
        for step in np.unique(steps[here & (lines.is_image | lines.is_calibration)]).tolist():
            name = f'{self.path}: partition {step}, repetition {repetition}'
            partition = step + n_partitions // 2 - self.header.kz_centre
            if not 0 <= partition < n_partitions:
                raise ScanError(f'{name} lies outside the encoded matrix of {n_partitions} partitions')
            kspace[:, partition], mask[partition] = self._lines(data, here & (steps == step), name)
        return kspace, mask

    def _lines(self, data: h5py.Dataset, here: np.ndarray, name: str) -> tuple[Tensor, Tensor]:
        """K-space (coil, ky, kx) of a slice or partition, and which lines (ky,) were measured.

        With calibration lines where these belong to the image.
        """
        kspace, held = self._matrix(data, here & self.lines.is_image, name)
        more = here & self.lines.is_calibration_only
        if self._is_merged and more.any():
            extra, extra_held = self._matrix(data, more, name)
            kspace, held = torch.where(held[:, None], kspace, extra), held | extra_held
        return without_oversampling(kspace, self.n_readout), measured_lines(kspace, held, name)

    @property
    def _is_merged(self) -> bool:
        return self.header.calibration_mode in MERGED_CALIBRATION

    def _matrix(self, data: h5py.Dataset, chosen: np.ndarray, name: str) -> tuple[Tensor, Tensor]:
        """Place the chosen acquisitions: k-space (coil, ky, kx) and which lines it holds."""
        (n_readout, n_lines, _), lines = self.header.encoded.matrix, self.lines
        kspace = torch.zeros(lines.n_coils, n_lines, n_readout, dtype=torch.complex64)
        held = torch.zeros(n_lines, dtype=torch.bool)
        for position, samples in zip(np.flatnonzero(chosen), lines.samples(data, chosen), strict=True):
            head = lines.head[position]
            row = int(head['idx']['kspace_encode_step_1']) + n_lines // 2 - self.header.ky_centre
            kept = samples[:, int(head['discard_pre']) : samples.shape[1] - int(head['discard_post'])]
            start = n_readout // 2 - int(head['center_sample']) + int(head['discard_pre'])
            stop = start + kept.shape[1]
            if not 0 <= row < n_lines or start < 0 or stop > n_readout:
                raise ScanError(
                    f'{name}: acquisition {position} (line {row}, samples {start} to {stop - 1}) '
                    f'lies outside the encoded matrix of {n_lines} lines x {n_readout} samples'
                )
            if held[row]:
                raise ScanError(f'{name}: line {row} was measured twice, and averaging is not handled yet')
            kspace[:, row, start:stop] = torch.from_numpy(kept)
            held[row] = True
        return finite(kspace, name), held

    def _separate(self, data: h5py.Dataset, of_slice: np.ndarray, here: np.ndarray, name: str) -> Tensor | None:
        """Calibration lines (slab, coil, line, kx) of this repetition, else of the first one that has any."""
        lines, calibration = self.lines, of_slice & self.lines.is_calibration
        if not calibration.any():
            return None
        repetitions = lines.head['idx']['repetition']
        chosen = calibration & here
        if not chosen.any():
            chosen = calibration & (repetitions == repetitions[calibration].min())
        kspace, held = self._matrix(data, chosen, name)
        run = longest_run(held)
        if len(run) != int(held.sum()):
            positions = held.nonzero().flatten().tolist()
            raise ScanError(f'{name}: the separate calibration lines {positions} are not one block')
        return calibration_block(kspace[:, run.start : run.stop], self.n_readout)[None]

    def _noise(self, data: h5py.Dataset) -> Tensor | None:
        """Noise samples with the variance that an image sample has.

        Variance goes with bandwidth, the inverse of the dwell time. A receiver's filter takes noise away from the outer
        part of the band, which is in noise samples, but not in image samples without their oversampling: hence the
        bandwidth in the header (Kellman and McVeigh 2005, Magn Reson Med 54:1439).
        """
        lines = self.lines
        if not lines.is_noise.any():
            return None
        samples = np.concatenate(lines.samples(data, lines.is_noise), axis=1)
        dwell = lines.head['sample_time_us']
        of_noise, of_image = float(dwell[lines.is_noise].mean()), float(dwell[lines.is_image].mean())
        ratio = of_noise / of_image if of_noise > 0 and of_image > 0 else 1.0
        noise = (ratio / (self.header.noise_bandwidth or 1.0)) ** 0.5 * torch.from_numpy(samples)
        return finite(noise[:, None], f'{self.path}: noise')[:, 0]


def _measurements(file: h5py.File) -> list[str]:
    """Names of the groups that hold acquisitions, in order of measurement."""
    groups = [name for name, item in file.items() if isinstance(item, h5py.Group) and {'data', 'xml'} <= set(item)]
    return sorted(groups, key=lambda name: (len(name), name))


def _require_handled(header: Header, lines: Acquisitions, path: str) -> None:
    image, is_volume = lines.is_image | lines.is_calibration, header.is_volume
    mode, has_own_calibration = header.calibration_mode, bool(lines.is_calibration_only.any())
    is_tgrappa = mode == 'interleaved' and header.acceleration > 1 and not lines.is_calibration.any()
    unhandled = {
        f'trajectory {header.trajectory}': header.trajectory != 'cartesian',
        'simultaneous multi-slice': header.is_multiband,
        'partitions of a two-dimensional matrix': not is_volume and len(lines.counters('kspace_encode_step_2')) > 1,
        'several slabs': is_volume and len(lines.counters('slice')) > 1,
        'separate calibration of a volume': is_volume and mode not in MERGED_CALIBRATION and has_own_calibration,
        f'calibration mode {mode}': mode not in MERGED_CALIBRATION + SEPARATE_CALIBRATION and has_own_calibration,
        'interleaved calibration (TGRAPPA)': is_tgrappa,
        'reversed readouts (EPI)': bool(lines.is_reversed[image].any()),
        'a second encoding space': bool(lines.head['encoding_space_ref'][image].any()),
    }
    unhandled |= {f'several {axis}s': len(lines.counters(axis)) > 1 for axis in ('average', 'contrast', 'phase', 'set')}
    for name, found in unhandled.items():
        if found:
            raise ScanError(f'{path}: {name} cannot be reconstructed yet: convert to a single Cartesian scan')


def _notes(groups: list[str], header: Header, lines: Acquisitions, n_readout: int) -> list[str]:
    mode, n_encoded, spacing = header.calibration_mode, header.encoded.matrix[0], _spacing(lines)
    calibrated = np.unique(lines.head['idx']['repetition'][lines.is_calibration]).tolist()
    embedded, unmerged = mode == 'interleaved' and calibrated, lines.is_calibration_only.any()
    is_shared = 1 == len(calibrated) < len(lines.counters('repetition'))
    is_denied = header.acceleration > 0 and spacing not in (header.acceleration, 0)
    notes = {f'{count} {name} acquisitions left out': True for name, count in lines.left_out.items()}
    notes |= {
        f'{len(groups)} measurements in the file, the last ({groups[-1]}) is read': len(groups) > 1,
        f'readout oversampling removed: {n_encoded} to {n_readout} samples': n_readout < n_encoded,
        'the header does not state relativeReceiverNoiseBandwidth: 1 is assumed, and if it is 0.79 as on many '
        'scanners, the noise is 12 % more than its samples tell': lines.is_noise.any() and not header.noise_bandwidth,
        'the header says interleaved calibration, but lines are flagged as calibration: taken as embedded': embedded,
        'the header does not say whether calibration lines belong to the image: they train, and do not enter it': mode
        == ''
        and unmerged,
        f'calibration was measured in repetition {calibrated[:1]} only, and serves all': is_shared,
        f'the header says R={header.acceleration}, the lines say R={spacing}: the lines are believed': is_denied,
    }
    return [note for note, is_due in notes.items() if is_due]


def _spacing(lines: Acquisitions) -> int:
    """Largest gap between neighbouring image lines of the first slice and repetition; 0 with fewer than two lines."""
    first = lines.is_image & lines.at('slice', 0) & lines.at('repetition', 0)
    return int(np.diff(np.unique(lines.head['idx']['kspace_encode_step_1'][first])).max(initial=0))
