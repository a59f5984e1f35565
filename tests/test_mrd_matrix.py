"""Every combination of what a Cartesian scan in MRD can be, against the same data built directly as arrays.

Calibration mode, partial Fourier, asymmetric echo, oversampling, averages, parity of the matrix and acceleration:
432 files of what the standard's own package makes. What is read is compared sample by sample, images of fewer files.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import ismrmrd.hdf5
import numpy as np
import pytest
import torch
from torch import Tensor

from raki.data.load import open_scan
from raki.data.scan import Scan, ScanFile
from raki.fourier import cropped, image_from_kspace, kspace_from_image, without_oversampling
from raki.grappa.method import Grappa
from raki.pipeline import reconstruct

N_COILS, N_ACS = 4, 10
CONTRAST = 3 - 1j
"""Of separate calibration relative to the image."""

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<acquisitionSystemInformation><systemVendor>Acme</systemVendor></acquisitionSystemInformation>
<encoding><encodedSpace><matrixSize><x>{n_samples}</x><y>{n_lines}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{width}</x><y>{height}</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{n_readout}</x><y>{n_wanted}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{wanted_width}</x><y>{wanted_height}</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
</kspace_encoding_step_1></encodingLimits><trajectory>cartesian</trajectory>
<parallelImaging><accelerationFactor><kspace_encoding_step_1>{rate}</kspace_encoding_step_1>
<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor><calibrationMode>{mode}</calibrationMode>
<interleavingDimension>repetition</interleavingDimension></parallelImaging></encoding></ismrmrdHeader>"""


@dataclass(frozen=True)
class Case:
    """One kind of scan."""

    mode: str
    eighths: int
    is_asymmetric: bool
    oversampling: int
    n_averages: int
    is_odd: bool
    rate: int

    @property
    def n_lines(self) -> int:
        return 29 if self.is_odd else 28

    @property
    def n_readout(self) -> int:
        return 21 if self.is_odd else 20

    @property
    def n_wanted(self) -> int:
        """Lines of the image: two fewer than of the encoded matrix (phase oversampling)."""
        return self.n_lines - 2

    @property
    def first(self) -> int:
        """First row of the matrix that is measured: partial Fourier leaves out the beginning."""
        return self.n_lines - -(-self.n_lines * self.eighths // 8)

    @property
    def skipped(self) -> int:
        """Samples at the beginning of the readout that an asymmetric echo leaves out."""
        return self.n_readout * self.oversampling // 4 if self.is_asymmetric else 0

    @property
    def acs(self) -> list[int]:
        start = (self.n_lines - N_ACS) // 2
        return list(range(max(start, self.first), start + N_ACS))

    @property
    def truth(self) -> Tensor:
        return truth(self.n_lines, self.n_readout, self.oversampling, self.skipped)

    def lattice(self, frame: int) -> list[int]:
        """Rows of a frame, shifted from frame to frame."""
        return list(range(self.first + frame, self.n_lines, self.rate))

    @property
    def n_frames(self) -> int:
        return self.rate if self.mode == 'interleaved' else 1

    def __str__(self) -> str:
        echo, parity = ('full', 'asymmetric')[self.is_asymmetric], ('even', 'odd')[self.is_odd]
        return f'{self.mode}-{self.eighths}-{echo}-os{self.oversampling}-avg{self.n_averages}-{parity}-R{self.rate}'


MODES = ('embedded', 'separate', 'interleaved')
AXES = ((8, 6, 5), (False, True), (1, 2), (1, 3), (False, True), (2, 3, 4))
CASES = [Case(mode, *others) for mode in MODES for others in product(*AXES)]


@cache
def truth(n_y: int, n_x: int, oversampling: int, skipped: int) -> Tensor:
    """K-space (coil, ky, kx) of an object without any symmetry, seen by smooth coils, in the middle of the readout.

    One bright pixel lies where nothing else does, so that a flip or a shift by one pixel cannot hide.
    """
    image = torch.zeros(n_y, n_x)
    image[n_y // 5 : n_y // 2, n_x // 4 : n_x - 4] = 1.0
    image[n_y // 2 : n_y - 6, n_x // 2 : n_x - 5] = 0.6
    image[n_y - 4, 3] = 4.0
    y, x = torch.meshgrid(torch.linspace(-1, 1, n_y), torch.linspace(-1, 1, n_x), indexing='ij')
    corners = [(-1.0, -1.2), (-1.3, 1.0), (1.1, -0.9), (0.9, 1.4)]
    maps = [torch.exp(1j * (a * x - b * y)) / (0.6 + (y - a) ** 2 + (x - b) ** 2) for a, b in corners]
    seen = torch.stack(maps) * image
    n_samples = n_x * oversampling
    padded = torch.zeros(N_COILS, n_y, n_samples, dtype=torch.complex64)
    start = n_samples // 2 - n_x // 2
    padded[..., start : start + n_x] = seen
    kspace = kspace_from_image(padded)
    kspace[..., :skipped] = 0
    return kspace


def written(path: Path, case: Case, kspace: Tensor) -> Path:
    """The file, laid out as the standard's own package does it, but in one piece: its writer takes a line at a time."""
    sizes = {'n_lines': case.n_lines, 'n_wanted': case.n_wanted, 'n_readout': case.n_readout, 'rate': case.rate}
    sizes |= {'n_samples': kspace.shape[-1], 'centre': case.n_lines // 2 - case.first, 'mode': case.mode}
    sizes |= {'width': 10 * kspace.shape[-1], 'height': 10 * case.n_lines, 'wanted_width': 10 * case.n_readout}
    dataset = ismrmrd.Dataset(str(path))
    dataset.write_xml_header(
        HEADER.format(**sizes, wanted_height=10 * case.n_wanted, last=case.n_lines - case.first - 1).encode()
    )
    dataset.close()
    lines = acquisitions(case, kspace)
    records = np.zeros(len(lines), ismrmrd.hdf5.acquisition_dtype)
    for record, line in zip(records, lines, strict=True):
        record['head'] = np.frombuffer(bytes(line.getHead()), ismrmrd.hdf5.acquisition_header_dtype)[0]
        record['data'], record['traj'] = line.data.view(np.float32).ravel(), np.zeros(0, np.float32)
    with h5py.File(path, 'r+') as file:
        file.create_dataset('dataset/data', data=records, chunks=(1,), maxshape=(None,))
    return path


def acquisitions(case: Case, kspace: Tensor) -> list[Any]:
    """What the scanner sends, in order; averages differ and have the wanted mean."""
    lines: list[Any] = []
    samples = kspace[..., case.skipped :].numpy()
    for frame in range(case.n_frames):
        for average in range(case.n_averages):
            weight = (1.0, 1.5, 0.5)[average]
            for row, flags, factor in _lines(case, frame):
                line: Any = ismrmrd.Acquisition.from_array(
                    np.ascontiguousarray(samples[:, row] * np.complex64(weight * factor))
                )
                line.idx.kspace_encode_step_1, line.idx.average = row - case.first, average
                line.idx.repetition, line.center_sample = frame, kspace.shape[-1] // 2 - case.skipped
                for flag in flags:
                    line.set_flag(flag)
                lines.append(line)
    return lines


def _lines(case: Case, frame: int) -> list[tuple[int, tuple[int, ...], complex]]:
    """Row, flags and factor of what is measured of one frame and average."""
    image = case.lattice(frame)
    if case.mode == 'interleaved':
        return [(row, (), 1) for row in image]
    only = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
    if case.mode == 'separate':
        return [*((row, (only,), CONTRAST) for row in case.acs), *((row, (), 1) for row in image)]
    both = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING
    rows = sorted({*image, *case.acs})
    return [(row, (both if row in image else only,) if row in case.acs else (), 1) for row in rows]


def direct(case: Case, frame: int, kspace: Tensor) -> Scan:
    """The same as arrays."""
    mask = torch.zeros(case.n_lines, dtype=torch.bool)
    mask[case.lattice(frame)] = True
    mask[case.acs] |= case.mode == 'embedded'
    whole = {'separate': CONTRAST * kspace[:, case.acs], 'interleaved': kspace[:, case.first :]}.get(case.mode)
    scan, n_missing = (
        without_oversampling(kspace * mask[:, None], case.n_readout),
        -(-case.skipped // case.oversampling),
    )
    calibration = None if whole is None else without_oversampling(whole, case.n_readout)
    if calibration is not None:
        calibration = calibration[None, ..., n_missing:]
    return Scan(scan[None], mask, calibration, image_shape=(case.n_wanted, case.n_readout))


def require_equal(file: ScanFile, case: Case, kspace: Tensor) -> None:
    assert (file.n_frames, file.shape) == (case.n_frames, (1, N_COILS, case.n_lines, case.n_readout))
    for frame in range(case.n_frames):
        scan, expected = file.read(frame=frame), direct(case, frame, kspace)
        scale = float(kspace.abs().max())
        assert torch.equal(scan.mask, expected.mask)
        assert scan.image_shape == expected.image_shape
        torch.testing.assert_close(scan.kspace, expected.kspace, rtol=0, atol=2e-6 * scale)
        assert (scan.calibration is None) == (expected.calibration is None)
        if scan.calibration is not None:
            torch.testing.assert_close(scan.calibration, expected.calibration, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('eighths', [8, 6, 5])
@pytest.mark.parametrize('rate', [2, 3, 4])
def test_what_is_read_is_what_was_written(tmp_path: Path, mode: str, eighths: int, rate: int) -> None:
    """K-space, mask, separate calibration, crop and frames of 24 files each: echo, oversampling, averages, parity."""
    chosen = [case for case in CASES if (case.mode, case.eighths, case.rate) == (mode, eighths, rate)]
    assert len(chosen) == 16
    assert len(CASES) == 432
    for case in chosen:
        kspace = case.truth
        try:
            require_equal(open_scan(written(tmp_path / f'{case}.h5', case, kspace)), case, kspace)
        except AssertionError as error:
            raise AssertionError(f'{case}: {error}') from error


def nrmse(image: Tensor, expected: Tensor) -> float:
    return float((image - expected).norm() / expected.norm())


IMAGES = [
    case
    for case in CASES
    if case.n_averages == 1 and case.oversampling == 2 and case.is_odd == case.is_asymmetric and case.rate < 4
]


@pytest.mark.parametrize('case', IMAGES, ids=str)
def test_images_are_those_of_the_same_data_as_arrays(tmp_path: Path, case: Case) -> None:
    """Within 2 %, in the same place: the bright pixel is the brightest, and nowhere else."""
    kspace = case.truth
    scan = open_scan(written(tmp_path / 'a.h5', case, kspace)).read()
    image = reconstruct(scan, Grappa()).image[0]
    assert nrmse(image, reconstruct(direct(case, 0, kspace), Grappa()).image[0]) < 0.02
    full = cropped(image_from_kspace(without_oversampling(kspace, case.n_readout)), (case.n_wanted, case.n_readout))
    y, x = divmod(int(full.abs().square().sum(0).argmax()), case.n_readout)
    assert (y, x) == (case.n_lines - 4 - 1, 3)
    if case.eighths == 8 and not case.is_asymmetric and case.rate == 2:
        assert divmod(int(image.argmax()), case.n_readout) == (y, x)
