"""Siemens raw data: written here from known arrays in the layouts of VB and VD, and one real file."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import raki
from raki.commands.info import describe
from raki.data.generic import DatasetLayout
from raki.data.load import load_scan, open_scan
from raki.data.notes import cautions_of
from raki.data.twix.file import measurements
from raki.data.twix.translation import translated
from raki.errors import ScanError
from raki.fourier import READOUT, image_from_kspace, kspace_from_image, without_oversampling
from tests import siemens
from tests.siemens import Line, Scan, write_vb, write_vd
from tests.toys import random_kspace

pytest.importorskip('twixtools')

N_COILS, N_LINES, N_READOUT = 3, 16, 10
KSPACE = random_kspace(N_COILS, N_LINES, 2 * N_READOUT)
"""Axes (coil, ky, kx), readout oversampled twice."""
CENTRE = (N_READOUT, N_LINES // 2, 0)
VALUES: dict[str, object] = {
    'tProtocolName': '"gre"',
    'sKSpace.lBaseResolution': N_READOUT,
    'sKSpace.lPhaseEncodingLines': N_LINES,
    'sKSpace.ucDimension': 2,
    'sKSpace.ucTrajectory': 1,
    'sRXSPEC.alDwellTime[0]': 5000,
    'sSliceArray.asSlice[0].dReadoutFOV': 200.0,
    'sSliceArray.asSlice[0].dPhaseFOV': 320.0,
    'sSliceArray.asSlice[0].dThickness': 4.0,
}
PARAMETERS: dict[str, object] = {'iPEFTLength': N_LINES, 'flReadoutOSFactor': '<Precision> 16  2.0'}


def lines_of(kspace: torch.Tensor = KSPACE, chosen: range | list[int] = range(N_LINES), **fields) -> list[Line]:
    """Chosen lines of k-space (coil, ky, kx)."""
    return [Line(kspace[:, line].numpy(), line, centre=CENTRE, **fields) for line in chosen]


def scan_of(lines: list[Line], **values: object) -> Scan:
    return Scan(lines, VALUES | {name.replace('__', '.'): value for name, value in values.items()}, PARAMETERS)


def near(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


WRITERS = [pytest.param(write_vb, id='VB'), pytest.param(write_vd, id='VD')]
Write = Callable[[Path, Scan], Path]


@pytest.mark.parametrize('write', WRITERS)
def test_a_full_scan_loses_its_oversampling_and_nothing_else(tmp_path: Path, write: Write) -> None:
    file = open_scan(write(tmp_path / 'meas.dat', scan_of(lines_of())))
    assert file.shape == (1, N_COILS, N_LINES, N_READOUT)
    assert file.facts == {'vendor': 'SIEMENS', 'protocol': 'gre'}
    scan = file.read()
    near(scan.kspace[0], without_oversampling(KSPACE, N_READOUT))
    assert bool(scan.mask.all())
    assert scan.voxel_size == pytest.approx((0.02, 0.02))
    assert scan.image_shape == (N_LINES, N_READOUT)


@pytest.mark.parametrize('write', WRITERS)
@pytest.mark.parametrize('mode', [{}, {'sPat__ucRefScanMode': 2}], ids=['told by the lines', 'told by the protocol'])
def test_embedded_reference_lines_and_noise_are_told_apart(tmp_path: Path, write: Write, mode: dict) -> None:
    """R = 2; of the reference lines, those on the lattice are of the image, too; noise has another dwell time."""
    noise = [Line(values.numpy(), flags=(siemens.NOISE,)) for values in random_kspace(4, N_COILS, 256, seed=1)]
    lines = [
        *noise,
        *lines_of(chosen=[1, 3, 11, 13, 15]),
        *lines_of(chosen=[5, 7, 9], flags=(siemens.REFERENCE, siemens.REFERENCE_AND_IMAGE)),
        *lines_of(chosen=[6, 8, 10], flags=(siemens.REFERENCE,)),
    ]
    scan = load_scan(write(tmp_path / 'meas.dat', scan_of(lines, sPat__lAccelFactPE=2, **mode)))
    measured = [1, 3, 5, 6, 7, 8, 9, 10, 11, 13, 15]
    assert scan.mask.nonzero().flatten().tolist() == measured
    near(scan.kspace[0, :, measured], without_oversampling(KSPACE[:, measured], N_READOUT))
    assert scan.calibration is None
    assert scan.noise is not None
    samples = torch.cat([torch.from_numpy(line.samples) for line in noise], dim=1)
    near(scan.noise, samples * (7680 / 256 / 5 / 0.79) ** 0.5)


def test_separate_reference_lines_never_enter_kspace(tmp_path: Path) -> None:
    reference = random_kspace(N_COILS, N_LINES, 2 * N_READOUT, seed=2)
    lines = lines_of(chosen=list(range(1, N_LINES, 2)))
    lines += lines_of(reference, range(4, 12), flags=(siemens.REFERENCE,))
    scan = load_scan(write_vb(tmp_path / 'meas.dat', scan_of(lines, sPat__ucRefScanMode=4)))
    assert scan.mask.tolist() == (np.arange(N_LINES) % 2 == 1).tolist()
    assert scan.calibration is not None
    near(scan.calibration[0], without_oversampling(reference[:, 4:12], N_READOUT))


@pytest.mark.parametrize('n_cut', [4, 6])
def test_partial_fourier_is_placed_by_the_central_line(tmp_path: Path, n_cut: int) -> None:
    """Counters begin at the first line that was measured."""
    lines = [
        Line(KSPACE[:, line].numpy(), line - n_cut, centre=(N_READOUT, N_LINES // 2 - n_cut, 0))
        for line in range(n_cut, N_LINES)
    ]
    scan = load_scan(write_vb(tmp_path / 'meas.dat', scan_of(lines)))
    assert scan.mask.nonzero().flatten().tolist() == list(range(n_cut, N_LINES))
    near(scan.kspace[0, :, n_cut:], without_oversampling(KSPACE[:, n_cut:], N_READOUT))


def test_lines_read_backwards_are_flipped(tmp_path: Path) -> None:
    lines = lines_of(chosen=range(0, N_LINES, 2))
    lines += lines_of(KSPACE.flip(-1), range(1, N_LINES, 2), flags=(siemens.REFLECT,))
    near(load_scan(write_vb(tmp_path / 'meas.dat', scan_of(lines))).kspace[0], without_oversampling(KSPACE, N_READOUT))


def test_averages_are_averaged_and_their_noise_is_less(tmp_path: Path) -> None:
    noise = [Line(random_kspace(N_COILS, 256, seed=1).numpy(), flags=(siemens.NOISE,))]
    parts = random_kspace(3, N_COILS, N_LINES, 2 * N_READOUT)
    lines = [line for average, part in enumerate(parts) for line in lines_of(part, average=average)]
    scan = load_scan(write_vb(tmp_path / 'meas.dat', scan_of(noise + lines)))
    near(scan.kspace[0], without_oversampling(parts.mean(0), N_READOUT))
    assert scan.noise is not None
    near(scan.noise, torch.from_numpy(noise[0].samples) * (7680 / 256 / 5 / 0.79 / 3) ** 0.5)


def test_an_asymmetric_echo_is_placed_by_its_sample_and_cut_samples_are_left_out(tmp_path: Path) -> None:
    """Six samples before the echo in place of ten, of which two are ramp, and one more after."""
    short = [Line(KSPACE[:, line, 4:].numpy(), line, centre=(6, CENTRE[1], 0), cut=(2, 1)) for line in range(N_LINES)]
    kept = KSPACE.clone()
    kept[..., :6], kept[..., -1:] = 0, 0
    scan = load_scan(write_vb(tmp_path / 'meas.dat', scan_of(short)))
    near(scan.kspace[0], without_oversampling(kept, N_READOUT))
    assert scan.readout == range(3, N_READOUT)


@pytest.mark.parametrize('echo', [0, N_READOUT - 1])
def test_an_echo_that_is_not_stated_or_next_to_the_middle_is_in_it(tmp_path: Path, echo: int) -> None:
    lines = [replace(line, centre=(echo, *CENTRE[1:])) for line in lines_of()]
    scan = load_scan(write_vb(tmp_path / 'meas.dat', scan_of(lines)))
    near(scan.kspace[0], without_oversampling(KSPACE, N_READOUT))


def test_a_readout_as_long_as_the_matrix_is_not_oversampled(tmp_path: Path) -> None:
    lines = [replace(line, centre=(N_READOUT // 2, *CENTRE[1:])) for line in lines_of(KSPACE[..., :N_READOUT])]
    path = write_vb(tmp_path / 'meas.dat', Scan(lines, VALUES, {}))
    near(load_scan(path).kspace[0], KSPACE[..., :N_READOUT])


def test_oversampling_along_phase_encoding_is_cropped_from_images(tmp_path: Path) -> None:
    """And is no other voxel size."""
    file = open_scan(write_vb(tmp_path / 'a.dat', scan_of(lines_of(), sKSpace__dPhaseOversamplingForDialog=0.6)))
    scan = file.read()
    assert scan.image_shape == (10, N_READOUT)
    assert scan.voxel_size == pytest.approx((0.032, 0.02))


def test_partitions_are_a_volume(tmp_path: Path) -> None:
    kspace = random_kspace(N_COILS, 6, N_LINES, 2 * N_READOUT)
    lines = [
        replace(line, partition=partition, centre=(N_READOUT, N_LINES // 2, 3))
        for partition in range(6)
        for line in lines_of(kspace[:, partition])
    ]
    values: dict = {'sKSpace__ucDimension': 4, 'sKSpace__lPartitions': 6}
    file = open_scan(write_vd(tmp_path / 'meas.dat', scan_of(lines, **values)))
    assert file.shape == (1, N_COILS, 6, N_LINES, N_READOUT)
    near(file.read().kspace[0], without_oversampling(kspace, N_READOUT))


def test_slices_repetitions_and_contrasts_are_labelled(tmp_path: Path) -> None:
    kspace = random_kspace(2, 2, 2, N_COILS, N_LINES, 2 * N_READOUT)  # repetition, contrast, slice
    lines = [
        line
        for repetition, contrast, place in np.ndindex(2, 2, 2)
        for line in lines_of(kspace[repetition, contrast, place], repetition=repetition, contrast=contrast, slice=place)
    ]
    file = open_scan(write_vd(tmp_path / 'meas.dat', scan_of(lines)))
    assert file.shape == (2, N_COILS, N_LINES, N_READOUT)
    [frame] = file.frames_with(repetition=1, contrast=0)
    near(file.read(frame=frame).kspace, without_oversampling(kspace[1, 0], N_READOUT))


def test_slices_are_in_the_order_of_their_places(tmp_path: Path) -> None:
    """Scanners count slices as they measure them, every second one first."""
    kspace = random_kspace(4, N_COILS, N_LINES, 2 * N_READOUT)
    places = [-10.0, 10.0, -20.0, 0.0]
    lines = [
        line
        for counter, (part, place) in enumerate(zip(kspace, places, strict=True))
        for line in lines_of(part, slice=counter, place=(0, 0, place, 1, 0, 0, 0))
    ]
    file = open_scan(write_vd(tmp_path / 'meas.dat', scan_of(lines)))
    assert [geometry.position[2] for geometry in file.geometries] == pytest.approx([-0.02, -0.01, 0, 0.01])
    near(file.read().kspace, without_oversampling(kspace[[2, 0, 3, 1]], N_READOUT))
    assert 'slices are numbered by their place' in file.notes[0]


def test_what_is_no_line_of_the_image_is_left_out_and_counted(tmp_path: Path) -> None:
    others = [Line(np.ones((N_COILS, 20)), 3, flags=(flag,)) for flag in (siemens.PHASE_CORRECTION, siemens.FEEDBACK)]
    file = open_scan(write_vb(tmp_path / 'meas.dat', scan_of([*others, others[0], *lines_of()])))
    assert {'2 phase correction acquisitions left out', '1 real-time feedback acquisitions left out'} <= set(file.notes)
    near(file.read().kspace[0], without_oversampling(KSPACE, N_READOUT))


def test_without_a_protocol_the_lines_tell_their_matrix(tmp_path: Path) -> None:
    """What oversampling there is, nobody says, so none is removed."""
    scan = load_scan(write_vb(tmp_path / 'meas.dat', Scan(lines_of(), {}, {})))
    near(scan.kspace[0], KSPACE)


def test_noise_of_an_earlier_measurement_is_used_channel_by_channel(tmp_path: Path) -> None:
    """An adjustment with one more channel, in another order, and its own dwell time."""
    noise = random_kspace(4, 128, seed=1)
    adjustment = Scan(
        [Line(noise.numpy(), flags=(siemens.NOISE,), channels=(7, 2, 0, 1))],
        {'tProtocolName': '"AdjCoilSens"', 'sRXSPEC.alDwellTime[0]': 20000},
        {},
    )
    file = open_scan(write_vd(tmp_path / 'meas.dat', adjustment, scan_of(lines_of())))
    assert '2 measurements in the file, the last (gre) is read' in file.notes
    assert 'noise was measured before, in AdjCoilSens' in file.notes
    scan = file.read()
    near(scan.kspace[0], without_oversampling(KSPACE, N_READOUT))
    assert scan.noise is not None
    near(scan.noise, noise[[2, 3, 1]] * (20 / 5 / 0.79) ** 0.5)


def test_noise_of_other_channels_is_left_out_by_name(tmp_path: Path) -> None:
    adjustment = Scan([Line(np.ones((2, 128)), flags=(siemens.NOISE,), channels=(7, 8))], {}, {})
    file = open_scan(write_vd(tmp_path / 'meas.dat', adjustment, scan_of(lines_of())))
    assert any('noise was measured by channels [7, 8]' in note for note in cautions_of(file.notes))
    assert file.read().noise is None


def test_position_and_directions_are_those_of_the_slice(tmp_path: Path) -> None:
    """A quarter turn about the slice normal: quaternion (cos 45, 0, 0, sin 45), columns phase, read, slice."""
    half = 0.5**0.5
    lines = lines_of(place=(1.0, -2.0, 3.0, half, 0.0, 0.0, half))
    for write in (write_vb, write_vd):
        head = translated(str(write(tmp_path / 'meas.dat', scan_of(lines)))).lines.head[0]
        assert head['position'].tolist() == [1, -2, 3]
        for name, expected in {'phase_dir': (0, 1, 0), 'read_dir': (-1, 0, 0), 'slice_dir': (0, 0, 1)}.items():
            np.testing.assert_allclose(head[name], expected, atol=1e-6)


@pytest.mark.parametrize('write', WRITERS)
def test_a_file_that_ends_early_says_so(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / 'meas.dat', scan_of(lines_of()))
    at = int(measurements(str(path))[-1].offsets[-1])
    for end in (at, at + 100):
        (tmp_path / 'short.dat').write_bytes(path.read_bytes()[:end])
        file = open_scan(tmp_path / 'short.dat')
        assert any('ends before the measurement does' in note for note in cautions_of(file.notes))
        assert 'caution' in str(describe(file)['verdict'])
    assert not any('ends before' in note for note in open_scan(path).notes)


def test_damage_and_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_vb(tmp_path / 'meas.dat', scan_of([replace(line, flags=(siemens.NOISE,)) for line in lines_of()]))
    with pytest.raises(ScanError, match='none of the 16 lines of the last measurement is one of an image'):
        open_scan(path)
    radial = write_vb(tmp_path / 'radial.dat', scan_of(lines_of(), sKSpace__ucTrajectory=2))
    with pytest.raises(ScanError, match='trajectory radial cannot be reconstructed'):
        open_scan(radial)
    bands = write_vd(tmp_path / 'bands.dat', scan_of(lines_of(), sSliceAcceleration__lMultiBandFactor=2))
    with pytest.raises(ScanError, match='simultaneous multi-slice'):
        open_scan(bands)
    content = bytearray(radial.read_bytes())
    content[:4] = (len(content) - 1).to_bytes(4, 'little')
    (tmp_path / 'header.dat').write_bytes(content)
    with pytest.raises(ScanError, match='none of the 0 lines'):
        open_scan(tmp_path / 'header.dat')
    with pytest.raises(ScanError, match='leave --axes and --mask out'):
        open_scan(radial, DatasetLayout('kspace', ('coil', 'ky', 'kx')))
    monkeypatch.setitem(sys.modules, 'twixtools', None)
    with pytest.raises(ScanError, match=r"needs the extra twix: pip install 'raki\[twix\]'; or .* siemens_to_ismrmrd"):
        open_scan(radial)


@pytest.mark.filterwarnings('ignore:overflow')  # samples of damaged files may be as large as float32 can hold
@pytest.mark.parametrize('write', WRITERS)
def test_a_damaged_file_is_refused_or_read_but_never_worse(tmp_path: Path, write: Write) -> None:
    """Bytes of headers changed at random."""
    content = write(tmp_path / 'meas.dat', scan_of(lines_of())).read_bytes()
    generator = np.random.default_rng(0)
    n_refused = 0
    for trial in range(60):
        damaged = np.frombuffer(content, np.uint8).copy()
        start = 0 if trial % 2 else len(damaged) // 4
        where = generator.integers(start, start + len(damaged) // 4, 20)
        damaged[where] = generator.integers(0, 256, 20)
        (tmp_path / 'damaged.dat').write_bytes(damaged.tobytes())
        try:
            open_scan(tmp_path / 'damaged.dat').read([0])
        except (ScanError, MemoryError):
            n_refused += 1
    assert n_refused


@pytest.mark.skipif(shutil.which('bart') is None, reason='needs the program bart')
@pytest.mark.parametrize('write', WRITERS)
def test_bart_reads_the_same_samples(tmp_path: Path, write: Write) -> None:
    """Which says that files written for tests are laid out as others understand it."""
    path = write(tmp_path / 'meas.dat', scan_of(lines_of()))
    subprocess.run(['bart', 'twixread', '-A', path, tmp_path / 'k'], check=True, capture_output=True, timeout=60)
    near(load_scan(tmp_path / 'k').kspace[0], KSPACE)


def test_a_real_file_equals_its_conversion_to_hdf5(shared_scan) -> None:
    """To rounding; the converted one has its oversampling still."""
    file = open_scan(shared_scan('twix_gre2.dat'))
    scan, other = file.read(), load_scan(shared_scan('twix_gre2.h5'))
    assert file.format == 'Siemens raw data (VD/VE)'
    assert scan.kspace.shape == (1, 2, 160, 160)
    near(1000 * scan.kspace, 1000 * without_oversampling(other.kspace, 160))
    normal = translated(str(shared_scan('twix_gre2.dat'))).lines.head['slice_dir'][0]
    np.testing.assert_allclose(normal, (6.58423005e-09, 0.0383878015, 0.9992629886), atol=1e-6)


def test_an_accelerated_scan_gives_the_images_of_the_same_lines_in_an_array(tmp_path: Path) -> None:
    """R = 2 with embedded reference lines and noise, VB, partial Fourier, oversampled; to the pixel and to rounding."""
    full = raki.simulate(raki.Simulation(matrix=(48, 40), n_coils=6)).kspace[0]
    wide = kspace_from_image(torch.nn.functional.pad(image_from_kspace(full, READOUT), (20, 20)), READOUT)
    acs, first, centre = range(18, 30), 9, (40, 24 - 9, 0)
    lattice = [*range(first, 48, 2)]
    noise = [Line(0.02 * random_kspace(6, 512).numpy(), flags=(siemens.NOISE,))]
    kinds = {(siemens.REFERENCE, siemens.REFERENCE_AND_IMAGE): {*acs} & {*lattice}, (): {*lattice} - {*acs}}
    kinds[siemens.REFERENCE,] = {*acs} - {*lattice}
    lines = [
        Line(wide[:, line].numpy(), line - first, flags, centre)
        for flags, chosen in kinds.items()
        for line in sorted(chosen)
    ]
    values: dict[str, object] = {
        'sKSpace.lBaseResolution': 40,
        'sKSpace.lPhaseEncodingLines': 48,
        'sPat.lAccelFactPE': 2,
        'sPat.ucRefScanMode': 2,
        'sRXSPEC.alDwellTime[0]': 5000,
    }
    found = load_scan(write_vb(tmp_path / 'meas.dat', Scan(noise + lines, values, {'iPEFTLength': 48})))
    mask = torch.zeros(48, dtype=torch.bool)
    mask[[*lattice, *acs]] = True
    direct = raki.Scan(torch.where(mask[:, None], full, 0)[None], mask, noise=found.noise)
    images = [raki.reconstruct(scan, 'grappa').reconstruction.image for scan in (found, direct)]
    torch.testing.assert_close(images[0], images[1], rtol=0, atol=1e-4 * float(images[1].max()))
    assert images[0].shape == (1, 48, 40)
