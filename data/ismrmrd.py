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
from raki.data.hdf5 import dataset, opened, require_finite, require_memory
from raki.data.header import Header, parse_header
from raki.data.measured import measured_lines
from raki.data.sampling import longest_run
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError
from raki.fourier import without_oversampling

MERGED_CALIBRATION = ('', 'embedded', 'interleaved')
"""Calibration modes whose flagged lines belong to the image too; generators write `interleaved` for embedded lines."""

SEPARATE_CALIBRATION = ('separate', 'external')


def is_ismrmrd(file: h5py.File) -> bool:
    """Whether the file has a group with acquisitions and a header."""
    return bool(_measurements(file))


def open_ismrmrd(path: str) -> ScanFile:
    """Read the headers of the last measurement in the file.

    Raises
    ------
    ScanError
        If the header or the acquisitions are not those of one two-dimensional Cartesian scan that we can read.
    """
    with opened(path) as file:
        groups = _measurements(file)
        header = parse_header(_xml(file, groups[-1]), path)
        lines = Acquisitions.read(dataset(file, f'{groups[-1]}/data'), path)
    _require_handled(header, lines, path)
    reader = _Reader(path, groups[-1], header, lines)
    n_slices, n_repetitions = lines.count('slice'), lines.count('repetition')
    require_memory(8 * lines.n_coils * header.encoded.matrix[1] * header.encoded.matrix[0], f'{path}: one slice')
    return ScanFile(
        path=path,
        format='ISMRMRD HDF5',
        shape=(n_slices, lines.n_coils, header.encoded.matrix[1], reader.n_readout),
        read_slice=reader.read_slice,
        n_repetitions=n_repetitions,
        facts=dict(header.facts),
        notes=_notes(groups, header, lines, reader.n_readout),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    path: str
    group: str
    header: Header
    lines: Acquisitions

    @property
    def n_readout(self) -> int:
        """Readout samples after removal of oversampling."""
        header = self.header
        return (header.reconstructed if header.has_oversampled_readout else header.encoded).matrix[0]

    def read_slice(self, index: int, repetition: int) -> Scan:
        """Read one slice of one repetition."""
        lines, name = self.lines, f'{self.path}: slice {index}, repetition {repetition}'
        here = lines.at(index, repetition)
        calibration = here & lines.is_calibration
        if not (here & lines.is_image).any():
            raise ScanError(f'{name}: no image lines')
        with opened(self.path) as file:
            data = dataset(file, f'{self.group}/data')
            kspace, held = self._matrix(data, here & lines.is_image, name)
            acs = None
            if calibration.any() and self.header.calibration_mode in SEPARATE_CALIBRATION:
                acs = self._block(*self._matrix(data, calibration, name), name)
            elif calibration.any():
                extra, extra_held = self._matrix(data, calibration & ~lines.is_image, name)
                kspace, held = torch.where(held[:, None], kspace, extra), held | extra_held
            noise = self._noise(data)
        return Scan(
            kspace=kspace[None],
            mask=measured_lines(kspace, held, name),
            calibration=None if acs is None else acs[None],
            noise=noise,
            image_shape=(min(self.header.image_shape[0], kspace.shape[1]), self.n_readout),
            voxel_size=self.header.voxel_size,
        )

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
        return (without_oversampling(kspace, self.n_readout) if self.n_readout < n_readout else kspace), held

    def _block(self, kspace: Tensor, held: Tensor, name: str) -> Tensor:
        run = longest_run(held)
        if len(run) != int(held.sum()):
            raise ScanError(
                f'{name}: the separate calibration lines {held.nonzero().flatten().tolist()} are not one block'
            )
        return kspace[:, run.start : run.stop]

    def _noise(self, data: h5py.Dataset) -> Tensor | None:
        """Noise samples, scaled to the dwell time of the image: the variance goes with the bandwidth."""
        lines = self.lines
        if not lines.is_noise.any():
            return None
        samples = np.concatenate(lines.samples(data, lines.is_noise), axis=1)
        dwell = lines.head['sample_time_us']
        of_noise, of_image = float(dwell[lines.is_noise].mean()), float(dwell[lines.is_image].mean())
        scale = (of_noise / of_image) ** 0.5 if of_noise > 0 and of_image > 0 else 1.0
        return torch.from_numpy(samples * np.float32(scale))


def _measurements(file: h5py.File) -> list[str]:
    """Names of the groups that hold acquisitions, in order of measurement."""
    groups = [name for name, item in file.items() if isinstance(item, h5py.Group) and {'data', 'xml'} <= set(item)]
    return sorted(groups, key=lambda name: (len(name), name))


def _xml(file: h5py.File, group: str) -> bytes:
    xml = np.asarray(dataset(file, f'{group}/xml')[()]).ravel()[0]
    return xml if isinstance(xml, bytes) else str(xml).encode()


def _require_handled(header: Header, lines: Acquisitions, path: str) -> None:
    image = lines.is_image | lines.is_calibration
    if not lines.is_image.any():
        raise ScanError(f'{path}: none of the {len(lines.head)} acquisitions is an image line')
    unhandled = {
        f'trajectory {header.trajectory}': header.trajectory != 'cartesian',
        'simultaneous multi-slice': header.is_multiband,
        'a second phase-encoding axis': header.encoded.matrix[2] > 1 or lines.count('kspace_encode_step_2') > 1,
        f'calibration mode {header.calibration_mode}': header.calibration_mode
        not in (*MERGED_CALIBRATION, *SEPARATE_CALIBRATION),
        'reversed readouts (EPI)': bool(lines.is_reversed[image].any()),
        'a second encoding space': bool(lines.head['encoding_space_ref'][image].any()),
    }
    unhandled |= {f'several {axis}s': lines.count(axis) > 1 for axis in ('average', 'contrast', 'phase', 'set')}
    for name, found in unhandled.items():
        if found:
            raise ScanError(
                f'{path}: {name} cannot be reconstructed yet: convert to a single two-dimensional Cartesian scan'
            )


def _notes(groups: list[str], header: Header, lines: Acquisitions, n_readout: int) -> list[str]:
    notes = [f'{int(count)} {name} acquisitions left out' for name, count in lines.left_out.items()]
    if len(groups) > 1:
        notes.append(f'{len(groups)} measurements in the file, the last ({groups[-1]}) is read')
    if n_readout < header.encoded.matrix[0]:
        notes.append(f'readout oversampling removed: {header.encoded.matrix[0]} to {n_readout} samples')
    if header.calibration_mode == 'interleaved' and lines.is_calibration.any():
        notes.append('the header says interleaved calibration, but lines are flagged as calibration: taken as embedded')
    return notes
