"""ISMRMRD files written by the standard's own Python package, by its own generator, and the real ones."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pytest
import torch

from raki.cli import main
from raki.coils.combine import root_sum_of_squares
from raki.coils.noise import noise_covariance
from raki.data.load import load_scan, open_scan
from raki.errors import ScanError
from raki.fourier import centre_crop, image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.fit import ZeroFilling
from raki.interpolation.noise_power import noise_power
from raki.pipeline import reconstruct
from tests.toys import random_kspace, stored

N_COILS, N_LINES, N_SAMPLES = 3, 12, 16
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<acquisitionSystemInformation><systemVendor>Acme</systemVendor>{system}
<encoding><trajectory>{trajectory}</trajectory>
<encodedSpace><matrixSize><x>16</x><y>12</y><z>{z}</z></matrixSize>
<fieldOfView_mm><x>320</x><y>240</y><z>{depth}</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{recon_x}</x><y>12</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{recon_width}</x><y>240</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>11</maximum><center>{center}</center>
</kspace_encoding_step_1></encodingLimits>
<parallelImaging><accelerationFactor><kspace_encoding_step_1>{rate}</kspace_encoding_step_1>
<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>
<calibrationMode>{mode}</calibrationMode></parallelImaging></encoding></ismrmrdHeader>"""
DEFAULTS = {
    'system': '</acquisitionSystemInformation>',
    'trajectory': 'cartesian',
    'z': 1,
    'depth': 5,
    'recon_x': 16,
    'recon_width': 320,
    'center': 6,
    'mode': 'embedded',
    'rate': 1,
}
FULL = random_kspace(N_COILS, N_LINES, N_SAMPLES)


@dataclass(frozen=True)
class Line:
    """One acquisition to write."""

    ky: int
    flags: tuple[int, ...] = ()
    samples: np.ndarray | None = None
    center_sample: int = N_SAMPLES // 2
    counters: tuple[tuple[str, int], ...] = ()
    dwell: float = 5.0
    discard: tuple[int, int] = (0, 0)
    encoding_space: int = 0


def write(path: Path, lines: Iterable[Line], group: str = 'dataset', **header: object) -> Path:
    dataset = ismrmrd.Dataset(str(path), group)
    dataset.write_xml_header(HEADER.format(**(DEFAULTS | header)).encode())
    for line in lines:
        samples = FULL[:, line.ky].numpy() if line.samples is None else line.samples
        acquisition: Any = ismrmrd.Acquisition.from_array(np.ascontiguousarray(samples, np.complex64))
        acquisition.idx.kspace_encode_step_1 = line.ky
        acquisition.center_sample = line.center_sample
        acquisition.sample_time_us = line.dwell
        acquisition.discard_pre, acquisition.discard_post = line.discard
        acquisition.encoding_space_ref = line.encoding_space
        for name, value in line.counters:
            setattr(acquisition.idx, name, value)
        for flag in line.flags:
            acquisition.set_flag(flag)
        dataset.append_acquisition(acquisition)
    dataset.close()
    return path


FULLY = [Line(ky) for ky in range(N_LINES)]
HALF = [Line(ky) for ky in range(0, N_LINES, 2)]


def test_lines_are_placed_by_their_counter(tmp_path: Path) -> None:
    shuffled = [FULLY[index] for index in np.random.default_rng(0).permutation(N_LINES)]
    file = open_scan(write(tmp_path / 'a.h5', shuffled))
    assert file.shape == (1, N_COILS, N_LINES, N_SAMPLES)
    assert file.facts == {'vendor': 'Acme'}
    scan = file.read()
    assert torch.equal(scan.kspace[0], FULL)
    assert scan.voxel_size == pytest.approx((0.02, 0.02))
    assert not file.readout_is_rows


def test_the_centre_line_of_the_header_decides_where_lines_go(tmp_path: Path) -> None:
    """Partial Fourier: counter 2 is the centre, so counter 0 lies at row 12 // 2 - 2."""
    scan = load_scan(write(tmp_path / 'a.h5', [Line(ky) for ky in range(8)], center=2))
    assert scan.mask.nonzero().flatten().tolist() == list(range(4, 12))
    assert torch.equal(scan.kspace[0, :, 4:12], FULL[:, :8])


def test_readout_oversampling_is_removed(tmp_path: Path) -> None:
    file = open_scan(write(tmp_path / 'a.h5', FULLY, recon_x=8, recon_width=160))
    assert file.notes == ['readout oversampling removed: 16 to 8 samples']
    expected = centre_crop(image_from_kspace(FULL), (N_LINES, 8))
    torch.testing.assert_close(image_from_kspace(file.read().kspace[0]), expected, rtol=1e-4, atol=1e-5)


def test_an_asymmetric_echo_and_discarded_samples_are_placed_by_the_centre_sample(tmp_path: Path) -> None:
    short = [Line(ky, samples=FULL[:, ky, 5:].numpy(), center_sample=3, discard=(2, 1)) for ky in range(N_LINES)]
    kspace = load_scan(write(tmp_path / 'a.h5', short)).kspace[0]
    assert torch.equal(kspace[..., 7:15], FULL[..., 7:15])
    assert not bool(kspace[..., :7].any() | kspace[..., 15:].any())


def test_embedded_calibration_stays_in_k_space(tmp_path: Path) -> None:
    extra = [Line(ky, (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,)) for ky in (5, 7)]
    both = [Line(6, (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING,))]
    scan = load_scan(write(tmp_path / 'a.h5', [line for line in HALF if line.ky != 6] + extra + both))
    assert scan.calibration is None
    assert scan.mask.nonzero().flatten().tolist() == [0, 2, 4, 5, 6, 7, 8, 10]
    assert torch.equal(scan.kspace[0, :, scan.mask], FULL[:, scan.mask])


@pytest.mark.parametrize('mode', ['separate', 'external', ''])
def test_separate_calibration_is_never_merged(tmp_path: Path, mode: str) -> None:
    """Another contrast: calibration lines train, and do not enter k-space."""
    lines = [Line(ky, (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,), samples=3 * FULL[:, ky].numpy()) for ky in range(3, 9)]
    scan = load_scan(write(tmp_path / 'a.h5', HALF + lines, mode=mode))
    assert scan.mask.tolist() == [ky % 2 == 0 for ky in range(N_LINES)]
    assert torch.equal(scan.kspace[0, :, ::2], FULL[:, ::2])
    assert scan.calibration is not None
    assert torch.equal(scan.calibration[0], 3 * FULL[:, 3:9])


@pytest.mark.parametrize('mode', ['separate', 'embedded'])
def test_calibration_of_the_first_repetition_serves_those_without(tmp_path: Path, mode: str) -> None:
    second = (('repetition', 1),)
    lines = [Line(ky, (20 if ky % 2 else 21,)) for ky in range(3, 9)]
    others = [Line(ky, counters=second, samples=2 * FULL[:, ky].numpy()) for ky in range(0, N_LINES, 2)]
    image = [line for line in HALF if line.ky not in range(3, 9)]
    file = open_scan(write(tmp_path / 'a.h5', [*image, *lines, *others], mode=mode))
    assert 'calibration was measured in repetition [0] only, and serves all' in file.notes
    scan = file.read(frame=1)
    assert torch.equal(scan.kspace[0, :, ::2], 2 * FULL[:, ::2])
    assert scan.calibration is not None
    assert torch.equal(scan.calibration[0], FULL[:, 3:9])


def test_a_calibration_mode_that_says_nothing_is_fine_without_calibration_lines(tmp_path: Path) -> None:
    """Converters write `other` for scans without parallel imaging."""
    assert torch.equal(load_scan(write(tmp_path / 'a.h5', FULLY, mode='other')).kspace[0], FULL)


def test_lines_are_believed_more_than_the_header(tmp_path: Path) -> None:
    notes = open_scan(write(tmp_path / 'a.h5', [Line(ky) for ky in range(0, N_LINES, 3)], rate=2)).notes
    assert notes == ['the header says R=2, the lines say R=3: the lines are believed']


def test_counters_may_have_holes(tmp_path: Path) -> None:
    lines = [Line(ky, counters=(('slice', 4), ('repetition', 2))) for ky in range(N_LINES)]
    file = open_scan(write(tmp_path / 'a.h5', lines))
    assert (file.shape[0], file.n_frames) == (1, 1)
    assert torch.equal(file.read().kspace[0], FULL)


def test_a_file_that_only_looks_like_ismrmrd_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['dataset/xml'] = [HEADER.format(**DEFAULTS).encode()]
        file['dataset/data'] = np.zeros(3, [('head', 'i4'), ('data', 'f4')])
    with pytest.raises(ScanError, match='must hold acquisitions with head and data'):
        open_scan(tmp_path / 'a.h5')


def test_a_mask_for_a_file_that_has_its_own_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="leave the mask 'zeros' out"):
        open_scan(write(tmp_path / 'a.h5', FULLY), mask='zeros')


def test_noise_is_kept_apart_and_scaled_to_the_dwell_time_of_the_image(tmp_path: Path) -> None:
    """White noise has a variance proportional to the bandwidth, the inverse of the dwell time."""
    noise = random_kspace(N_COILS, 400, seed=4).numpy()
    line = Line(0, (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,), samples=noise, center_sample=0, dwell=20.0)
    scan = load_scan(write(tmp_path / 'a.h5', [line, *FULLY]))
    assert scan.noise is not None
    np.testing.assert_allclose(scan.noise.numpy(), 2 * noise, rtol=1e-6)
    assert torch.equal(scan.kspace[0], FULL)


@pytest.mark.parametrize(('stated', 'bandwidth'), [('0.793', 0.793), ('1', 1), ('0', 1), ('wide', 1)])
def test_noise_is_scaled_to_the_bandwidth_of_the_receiver(tmp_path: Path, stated: str, bandwidth: float) -> None:
    """The receiver's filter leaves noise samples this part of the power; image samples come from its flat part."""
    noise = random_kspace(N_COILS, 400, seed=4).numpy()
    line = Line(0, (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,), samples=noise, center_sample=0)
    element = (
        f'<relativeReceiverNoiseBandwidth>{stated}</relativeReceiverNoiseBandwidth></acquisitionSystemInformation>'
    )
    path = write(tmp_path / 'a.h5', [line, *FULLY], system=element)
    scan = load_scan(path)
    assert scan.noise is not None
    np.testing.assert_allclose(scan.noise.numpy(), noise / bandwidth**0.5, rtol=1e-6)
    is_told = any('relativeReceiverNoiseBandwidth' in note for note in open_scan(path).notes)
    assert is_told == (stated in ('0', 'wide'))


def test_noise_samples_of_a_generated_scan_have_the_noise_of_its_acs(shared_scan) -> None:
    """Same dwell time, no filter: within 5 % of what neighbouring lines leave unexplained of the ACS."""
    scan = load_scan(shared_scan('ismrmrd_phantom8_R3_acs24.h5'), repetition=0)
    assert scan.noise is not None
    first = (len(scan.mask) - 24 + 1) // 2
    assert bool(scan.mask[first : first + 24].all())
    acs = scan.kspace[0][:, first : first + 24]
    told = float(noise_covariance(scan.noise).diagonal().real.mean())
    assert noise_power(acs) ** 0.5 == pytest.approx(told**0.5, rel=0.05)


@pytest.mark.parametrize('flag', [23, 24, 26, 27, 28, 29, 30, 31])
def test_acquisitions_that_are_no_image_are_left_out_and_reported(tmp_path: Path, flag: int) -> None:
    other = Line(3, (flag,), samples=np.ones((2, 7)))
    file = open_scan(write(tmp_path / 'a.h5', [*FULLY, other]))
    assert any(note.startswith('1 ') and note.endswith('acquisitions left out') for note in file.notes)
    assert torch.equal(file.read().kspace[0], FULL)


def test_slices_and_repetitions_are_kept_apart(tmp_path: Path) -> None:
    lines = [
        Line(
            ky,
            samples=(1 + index + 10 * repetition) * FULL[:, ky].numpy(),
            counters=(('slice', index), ('repetition', repetition)),
        )
        for repetition in range(2)
        for ky in range(repetition, N_LINES, 2)
        for index in range(3)
    ]
    file = open_scan(write(tmp_path / 'a.h5', lines))
    assert (file.shape[0], file.n_frames) == (3, 2)
    scan = file.read([2], frame=1)
    assert scan.mask.tolist() == [ky % 2 == 1 for ky in range(N_LINES)]
    torch.testing.assert_close(scan.kspace[0, :, 1::2], 13 * FULL[:, 1::2])


def test_the_last_measurement_of_a_file_is_read(tmp_path: Path) -> None:
    for group, factor in (('dataset', 1), ('dataset_1', 5)):
        write(tmp_path / 'a.h5', [Line(ky, samples=factor * FULL[:, ky].numpy()) for ky in range(N_LINES)], group)
    file = open_scan(tmp_path / 'a.h5')
    assert torch.equal(file.read().kspace[0], 5 * FULL)
    assert file.notes[0].startswith('2 measurements in the file, the last (dataset_1) is read')


def test_an_adjustment_after_the_image_is_not_what_is_read(tmp_path: Path) -> None:
    write(tmp_path / 'a.h5', FULLY)
    write(tmp_path / 'a.h5', [Line(0, (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,))], 'dataset_1')
    file = open_scan(tmp_path / 'a.h5')
    assert torch.equal(file.read().kspace[0], FULL)
    assert file.notes[0].startswith('2 measurements in the file, the last with an image (dataset) is read')


@pytest.mark.parametrize(
    ('lines', 'header', 'message'),
    [
        (FULLY, {'trajectory': 'radial'}, 'trajectory radial cannot be reconstructed yet'),
        (
            [*FULLY, Line(0, counters=(('kspace_encode_step_2', 1),))],
            {},
            'partitions of a two-dimensional matrix cannot',
        ),
        (
            [*(Line(ky, (ismrmrd.ACQ_IS_REVERSE,)) for ky in range(N_LINES)), Line(0, (24,))],
            {},
            r'reversed readouts with phase correction \(EPI\) cannot',
        ),
        ([*HALF, Line(5, (20,))], {'mode': 'other'}, 'calibration mode other cannot'),
        (HALF, {'mode': 'interleaved', 'rate': 2}, r'interleaved calibration \(TGRAPPA\) cannot'),
        ([*FULLY, Line(4)], {}, 'line 4 was measured twice'),
        ([*FULLY[:11], Line(11, center_sample=2)], {}, 'lies outside the encoded matrix of 12 lines x 16 samples'),
        ([*FULLY, Line(12, samples=FULL[:, 0].numpy())], {}, 'line 12.*lies outside the encoded matrix.*--centre KY'),
        ([*FULLY[:11], Line(11, samples=np.ones((2, N_SAMPLES)))], {}, r'different numbers of coils \[2, 3\]'),
        (
            [Line(0, (19,)), Line(0, (23,))],
            {},
            r'none of the 2 .* image line \(1 navigation, 1 noise\)',
        ),
        ([Line(4)], {}, 'one of 12 lines was measured, but an image needs many'),
        (
            FULLY,
            {'z': 30000, 'depth': 5000},
            r'encoded matrix 16 x 12 x 30000 \(readout, ky, kz\) declares 138240000 bytes, but the file holds 4608',
        ),
        ([Line(0, (19,), samples=np.full((3, 4), np.inf)), *FULLY], {}, 'noise: 12 samples are NaN or infinite'),
        ([*FULLY[:11], Line(11, samples=np.full((N_COILS, N_SAMPLES), np.nan))], {}, 'in coil 0, line 11, sample 0'),
        ([Line(ky, (20,)) for ky in (2, 3, 5)] + HALF, {'mode': 'separate'}, 'are not one block'),
    ],
)
def test_what_is_not_handled_is_refused_by_name(tmp_path: Path, lines: list[Line], header: dict, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        open_scan(write(tmp_path / 'a.h5', lines, **header)).read()


def test_an_acquisition_shorter_than_its_header_says_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / 'a.h5', FULLY)
    with h5py.File(path, 'r+') as file:
        acquisitions: Any = file['dataset/data']
        row = acquisitions[3]
        row['data'] = row['data'][:10]
        acquisitions[3] = row
    with pytest.raises(ScanError, match='acquisition 3 must hold 3 coils x 16 complex samples, got 10 numbers'):
        load_scan(path)


def nrmse_up_to_scale(image: np.ndarray, truth: np.ndarray) -> float:
    scale = (image * truth).sum() / (image**2).sum()
    return float(np.linalg.norm(scale * image - truth) / np.linalg.norm(truth))


def stored_truth(path: Path) -> np.ndarray:
    """Root sum of squares of what the coils of the generator see, axes (y, x)."""
    parts = [stored(path, f'dataset/{name}')[0] for name in ('csm', 'phantom')]
    maps, phantom = (part['real'] + 1j * part['imag'] for part in parts)
    return np.sqrt((np.abs(maps * phantom) ** 2).sum(0))


def test_the_fully_sampled_phantom_is_the_one_stored_beside_it(shared_scan) -> None:
    path = shared_scan('ismrmrd_phantom8_full.h5')
    image = root_sum_of_squares(image_from_kspace(load_scan(path).kspace[0])).numpy()
    assert nrmse_up_to_scale(image, stored_truth(path)) < 0.08


@pytest.mark.parametrize('repetition', [0, 1, 2])
def test_each_repetition_of_an_accelerated_phantom_loses_its_aliasing(shared_scan, repetition: int) -> None:
    path = shared_scan('ismrmrd_phantom8_R3_acs24.h5')
    scan = load_scan(path, repetition=repetition)
    assert bool(scan.mask[repetition::3].all())
    assert int(scan.mask.sum()) < 24 + len(scan.mask) / 3
    truth = stored_truth(path)
    zero_filled = nrmse_up_to_scale(reconstruct(scan, ZeroFilling()).image[0].numpy(), truth)
    filled = nrmse_up_to_scale(reconstruct(scan, Grappa()).image[0].numpy(), truth)
    assert zero_filled > 0.3
    assert filled < 0.15


GENERATOR = shutil.which('ismrmrd_generate_cartesian_shepp_logan')


@pytest.mark.skipif(GENERATOR is None, reason='needs Debian package ismrmrd-tools')
@pytest.mark.parametrize(('matrix', 'coils', 'acceleration'), [(64, 4, 2), (90, 6, 3), (128, 8, 4)])
def test_files_of_the_standards_own_generator_are_reconstructed(
    tmp_path: Path, matrix: int, coils: int, acceleration: int
) -> None:
    path = tmp_path / 'generated.h5'
    sizes = ['-m', str(matrix), '-c', str(coils), '-a', str(acceleration), '-w', '24', '-n', '0.01']
    subprocess.run([str(GENERATOR), *sizes, '-C', '-o', str(path)], check=True, capture_output=True)
    file = open_scan(path)
    assert file.n_frames == acceleration
    for repetition in range(acceleration):
        scan = file.read(frame=repetition)
        assert int(scan.mask.sum()) < 24 + matrix / acceleration
        errors = [
            nrmse_up_to_scale(reconstruct(scan, method).image[0].numpy(), stored_truth(path))
            for method in (ZeroFilling(), Grappa())
        ]
        assert errors[1] < 0.6 * errors[0]  # at R=4 noise remains, no aliasing


def test_a_measurement_and_the_centre_are_chosen_on_the_command_line(tmp_path: Path, capsys) -> None:
    lines = [Line(ky) for ky in range(8)]
    for group in ('dataset', 'dataset_1'):
        write(tmp_path / 'a.h5', lines, group, center=2)
    chosen = ['--measurement', 'dataset', '--centre', '4']
    assert main(['info', str(tmp_path / 'a.h5'), '--json', *chosen]) == 0
    notes = json.loads(capsys.readouterr().out)['notes']
    assert not any('measurements in the file' in note for note in notes)
    assert any('line 4 is taken as the centre of k-space, as asked for' in note for note in notes)
    for wrong, message in [
        (['--measurement', 'x'], "no measurement 'x'; the file has dataset, dataset_1"),
        (['--centre', 'x'], '--centre needs'),
    ]:
        assert main(['info', str(tmp_path / 'a.h5'), *wrong]) in (2, 3)
        assert message in ' '.join(capsys.readouterr().err.split())


def test_noise_of_an_earlier_measurement_serves_one_without(tmp_path: Path) -> None:
    noise = random_kspace(N_COILS, 40, seed=4).numpy()
    write(tmp_path / 'a.h5', [Line(0, (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,), samples=noise)])
    write(tmp_path / 'a.h5', FULLY, 'dataset_1')
    scan = load_scan(tmp_path / 'a.h5')
    assert scan.noise is not None
    np.testing.assert_array_equal(scan.noise.numpy(), noise)


@pytest.mark.skipif(GENERATOR is None, reason='needs Debian package ismrmrd-tools')
def test_a_generated_series_without_calibration_lines_trains_on_its_average(tmp_path: Path) -> None:
    """TGRAPPA: lines shift from repetition to repetition, and the header says interleaved."""
    path = tmp_path / 'generated.h5'
    sizes = ['-m', '64', '-c', '8', '-a', '3', '-n', '0.001']  # little noise, so that what is left is aliasing
    subprocess.run([str(GENERATOR), *sizes, '-C', '-o', str(path)], check=True, capture_output=True)
    for repetition in range(3):
        scan = load_scan(path, repetition=repetition)
        assert scan.calibration is not None
        assert scan.mask.tolist() == [ky % 3 == repetition for ky in range(64)]
        errors = [
            nrmse_up_to_scale(reconstruct(scan, method).image[0].numpy(), stored_truth(path))
            for method in (ZeroFilling(), Grappa())
        ]
        assert errors[1] < 0.3 * errors[0]
