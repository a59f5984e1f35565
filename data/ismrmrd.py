"""ISMRMRD (MRD version 1) HDF5: acquisitions with headers whose flags decide what they are.

Inati et al. 2017, Magn Reson Med 77:411. Read in bulk by h5py: the headers once, samples of one slice and repetition
at a time. What is not handled yet is refused by its name.
"""

from dataclasses import dataclass

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.acquisitions import Acquisitions
from raki.data.hdf5 import COMPLEX64_BYTES, dataset, opened, require_finite, require_memory, text_of, volume_bytes
from raki.data.header import Header, parse_header
from raki.data.measured import calibration_block, measured_lines
from raki.data.sampling import longest_run
from raki.data.scan import Scan, ScanFile
from raki.data.volume import Volume, slices_of
from raki.errors import ScanError
from raki.fourier import without_oversampling

MERGED_CALIBRATION = ('embedded', 'interleaved')
"""Calibration modes whose flagged lines belong to the image too; generators write `interleaved` for embedded lines."""

SEPARATE_CALIBRATION = ('separate', 'external', '')
"""Calibration modes whose calibration-only lines may have another contrast: they train, and never enter k-space."""


def is_ismrmrd(file: h5py.File) -> bool:
    """Whether the file has a group with acquisitions and a header."""
    return bool(_measurements(file))


def open_ismrmrd(path: str) -> ScanFile:
    """Read the headers of the last measurement in the file.

    Raises
    ------
    ScanError
        If the header or the acquisitions are not those of one Cartesian scan that we can read.
    """
    with opened(path) as file:
        groups = _measurements(file)
        header = parse_header(text_of(dataset(file, f'{groups[-1]}/xml')[()]), path)
        lines = Acquisitions.read(dataset(file, f'{groups[-1]}/data'), path)
    _require_handled(header, lines, path)
    reader = _Reader(path, groups[-1], header, lines)
    n_readout, n_lines, n_partitions = header.encoded.matrix
    notes = _notes(groups, header, lines, reader.n_readout)
    if reader.is_volume:
        n_bytes = volume_bytes((lines.n_coils, n_partitions, n_lines, reader.n_readout), path)
        notes.append(f'a volume is read whole and needs {n_bytes / 1e9:.2g} GB of memory')
    require_memory(COMPLEX64_BYTES * lines.n_coils * n_lines * n_readout, f'{path}: one slice')
    return ScanFile(
        path=path,
        format='ISMRMRD HDF5',
        shape=(reader.n_slices, lines.n_coils, n_lines, reader.n_readout),
        read_slice=slices_of(reader.read_volume) if reader.is_volume else reader.read_slice,
        n_repetitions=len(lines.counters('repetition')),
        facts=dict(header.facts),
        notes=notes,
        read_volume=reader.read_volume if reader.is_volume else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    path: str
    group: str
    header: Header
    lines: Acquisitions

    @property
    def is_volume(self) -> bool:
        """Whether there is a second phase-encoding axis."""
        return self.header.encoded.matrix[2] > 1

    @property
    def n_slices(self) -> int:
        """Number of slices, of a volume those within the wanted field of view."""
        return self.header.n_slices_of_volume if self.is_volume else len(self.lines.counters('slice'))

    @property
    def n_readout(self) -> int:
        """Readout samples after removal of oversampling."""
        return self.header.image_shape[1]

    def read_slice(self, index: int, repetition: int) -> Scan:
        """Read one slice of one repetition."""
        lines, name = self.lines, f'{self.path}: slice {index}, repetition {repetition}'
        of_slice = lines.at('slice', index)
        here = of_slice & lines.at('repetition', repetition)
        if not (here & lines.is_image).any():
            raise ScanError(f'{name}: no image lines')
        is_embedded = self._is_merged and (here & lines.is_calibration).any()
        with opened(self.path) as file:
            data = dataset(file, f'{self.group}/data')
            kspace, held = self._merged(data, here, name)
            acs = None if is_embedded else self._separate(data, of_slice, here, name)
            noise = self._noise(data)
        return Scan(
            kspace=without_oversampling(kspace, self.n_readout)[None],
            mask=measured_lines(kspace, held, name),
            calibration=None if acs is None else acs[None],
            noise=noise,
            image_shape=self.header.image_shape,
            voxel_size=self.header.voxel_size,
        )

    def read_volume(self, repetition: int) -> Volume:
        """Read all partitions of one repetition."""
        lines, (_, n_lines, n_partitions) = self.lines, self.header.encoded.matrix
        kspace = torch.zeros(lines.n_coils, n_partitions, n_lines, self.n_readout, dtype=torch.complex64)
        mask = torch.zeros(n_partitions, n_lines, dtype=torch.bool)
        here = lines.at('repetition', repetition) & (lines.is_image | lines.is_calibration)
        steps = lines.head['idx']['kspace_encode_step_2']
        with opened(self.path) as file:
            data = dataset(file, f'{self.group}/data')
            for step in np.unique(steps[here]).tolist():
                name = f'{self.path}: partition {step}, repetition {repetition}'
                partition = step + n_partitions // 2 - self.header.kz_centre
                if not 0 <= partition < n_partitions:
                    raise ScanError(f'{name} lies outside the encoded matrix of {n_partitions} partitions')
                samples, held = self._merged(data, here & (steps == step), name)
                kspace[:, partition] = without_oversampling(samples, self.n_readout)
                mask[partition] = measured_lines(samples, held, name)
            noise = self._noise(data)
        shape = (self.n_slices, *self.header.image_shape)
        return Volume(kspace, mask, noise, image_shape=shape, voxel_size=self.header.voxel_size_of_volume)

    @property
    def _is_merged(self) -> bool:
        return self.header.calibration_mode in MERGED_CALIBRATION

    def _merged(self, data: h5py.Dataset, here: np.ndarray, name: str) -> tuple[Tensor, Tensor]:
        """Image lines (coil, ky, kx), with calibration lines where these belong to the image, and which there are."""
        kspace, held = self._matrix(data, here & self.lines.is_image, name)
        more = here & self.lines.is_calibration & ~self.lines.is_image
        if not self._is_merged or not more.any():
            return kspace, held
        extra, extra_held = self._matrix(data, more, name)
        return torch.where(held[:, None], kspace, extra), held | extra_held

    def _matrix(self, data: h5py.Dataset, chosen: np.ndarray, name: str) -> tuple[Tensor, Tensor]:
        """Place the chosen acquisitions: k-space (coil, ky, kx) and which lines it holds."""
        (n_readout, n_lines, _), lines = self.header.encoded.matrix, self.lines
        kspace = torch.zeros(lines.n_coils, n_lines, n_readout, dtype=torch.complex64)
        held = torch.zeros(n_lines, dtype=torch.bool)
        for position, samples in zip(np.flatnonzero(chosen), lines.samples(data, chosen), strict=True):
            row = int(lines.head['idx']['kspace_encode_step_1'][position]) + n_lines // 2 - self.header.ky_centre
            start = n_readout // 2 - int(lines.head['center_sample'][position])
            discarded = int(lines.head['discard_pre'][position]), int(lines.head['discard_post'][position])
            kept = samples[:, discarded[0] : samples.shape[1] - discarded[1]]
            start += discarded[0]
            if not 0 <= row < n_lines or start < 0 or start + kept.shape[1] > n_readout:
                raise ScanError(
                    f'{name}: acquisition {position} (line {row}, samples {start} to {start + kept.shape[1] - 1}) '
                    f'lies outside the encoded matrix of {n_lines} lines x {n_readout} samples'
                )
            if held[row]:
                raise ScanError(f'{name}: line {row} was measured twice, and averaging is not handled yet')
            kspace[:, row, start : start + kept.shape[1]] = torch.from_numpy(kept)
            held[row] = True
        require_finite(kspace, name)
        return kspace, held

    def _separate(self, data: h5py.Dataset, of_slice: np.ndarray, here: np.ndarray, name: str) -> Tensor | None:
        """Calibration lines (coil, line, kx) of this repetition, else of the first one that has any."""
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
            raise ScanError(
                f'{name}: the separate calibration lines {held.nonzero().flatten().tolist()} are not one block'
            )
        return calibration_block(kspace[:, run.start : run.stop], self.n_readout)

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
        require_finite(noise[:, None], f'{self.path}: noise')
        return noise


def _measurements(file: h5py.File) -> list[str]:
    """Names of the groups that hold acquisitions, in order of measurement."""
    groups = [name for name, item in file.items() if isinstance(item, h5py.Group) and {'data', 'xml'} <= set(item)]
    return sorted(groups, key=lambda name: (len(name), name))


def _require_handled(header: Header, lines: Acquisitions, path: str) -> None:
    image = lines.is_image | lines.is_calibration
    mode, is_volume = header.calibration_mode, header.encoded.matrix[2] > 1
    unhandled = {
        f'trajectory {header.trajectory}': header.trajectory != 'cartesian',
        'simultaneous multi-slice': header.is_multiband,
        'partitions of a two-dimensional matrix': not is_volume and len(lines.counters('kspace_encode_step_2')) > 1,
        'several slabs': is_volume and len(lines.counters('slice')) > 1,
        'separate calibration of a volume': is_volume
        and mode not in MERGED_CALIBRATION
        and bool((lines.is_calibration & ~lines.is_image).any()),
        f'calibration mode {mode}': mode not in (*MERGED_CALIBRATION, *SEPARATE_CALIBRATION)
        and bool((lines.is_calibration & ~lines.is_image).any()),
        'interleaved calibration (TGRAPPA)': mode == 'interleaved'
        and header.acceleration > 1
        and not lines.is_calibration.any(),
        'reversed readouts (EPI)': bool(lines.is_reversed[image].any()),
        'a second encoding space': bool(lines.head['encoding_space_ref'][image].any()),
    }
    unhandled |= {f'several {axis}s': len(lines.counters(axis)) > 1 for axis in ('average', 'contrast', 'phase', 'set')}
    for name, found in unhandled.items():
        if found:
            raise ScanError(f'{path}: {name} cannot be reconstructed yet: convert to a single Cartesian scan')


def _notes(groups: list[str], header: Header, lines: Acquisitions, n_readout: int) -> list[str]:
    notes = [f'{int(count)} {name} acquisitions left out' for name, count in lines.left_out.items()]
    if len(groups) > 1:
        notes.append(f'{len(groups)} measurements in the file, the last ({groups[-1]}) is read')
    if n_readout < header.encoded.matrix[0]:
        notes.append(f'readout oversampling removed: {header.encoded.matrix[0]} to {n_readout} samples')
    if lines.is_noise.any() and header.noise_bandwidth is None:
        notes.append(
            'the header does not state relativeReceiverNoiseBandwidth: 1 is assumed, and if it is 0.79 as on many '
            'scanners, the noise is 12 % more than its samples tell'
        )
    notes += [note for note, is_due in _calibration_notes(header, lines).items() if is_due]
    found = _spacing(lines)
    if header.acceleration > 0 and found not in (header.acceleration, 0):
        notes.append(f'the header says R={header.acceleration}, the lines say R={found}: the lines are believed')
    return notes


def _calibration_notes(header: Header, lines: Acquisitions) -> dict[str, bool]:
    flagged, mode = bool(lines.is_calibration.any()), header.calibration_mode
    with_calibration = np.unique(lines.head['idx']['repetition'][lines.is_calibration])
    return {
        'the header says interleaved calibration, but lines are flagged as calibration: taken as embedded': flagged
        and mode == 'interleaved',
        'the header does not say whether calibration lines belong to the image: they train, and do not enter it': bool(
            (lines.is_calibration & ~lines.is_image).any()
        )
        and mode == '',
        f'calibration was measured in repetition {with_calibration[:1].tolist()} only, and serves all': flagged
        and 1 == len(with_calibration) < len(lines.counters('repetition')),
    }


def _spacing(lines: Acquisitions) -> int:
    """Largest gap between neighbouring image lines of the first slice and repetition; 0 with fewer than two lines."""
    first = lines.is_image & lines.at('slice', 0) & lines.at('repetition', 0)
    return int(np.diff(np.unique(lines.head['idx']['kspace_encode_step_1'][first])).max(initial=0))
