"""Streams over loopback: the images of a file, as soon as the lines of their slices are there."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import pytest
import torch
from ismrmrd.serialization import ConfigFile, ConfigText

from raki.commands.catalogue import method_named
from raki.data.load import open_scan
from raki.pipeline import reconstruct
from tests.clients import NORMAL, PHASE, READ, Client, Series, made, offline, serving, stored_lines, written

SERIES = Series()


def answers(address: tuple[str, int], series: Series, *configs: Any) -> list[Any]:
    with Client(address) as client:
        client.begin(series.xml, *configs)
        client.send(*series.every())
        client.end()
        return client.rest()


def place(image: Any) -> tuple[int, int]:
    return image.slice, image.repetition


def assert_as_offline(images: list[Any], expected: dict[tuple[int, int], np.ndarray]) -> None:
    """Bit for bit: the same code places the same lines."""
    assert [place(image) for image in images] == list(expected)
    for image in images:
        assert np.array_equal(image.data[0], expected[place(image)])


@pytest.mark.parametrize('method', ['grappa', 'gated'])
def test_images_of_a_real_series_are_those_of_its_file(shared_scan: Callable[[str], Path], method: str) -> None:
    path = shared_scan('ismrmrd_phantom8_R3_acs24.h5')
    xml, lines = stored_lines(path)
    with serving('zero-filled') as (address, log), Client(address) as client:
        client.begin(xml, ConfigFile(method))
        client.send(*lines)
        client.end()
        assert_as_offline(client.rest(), offline(path, method))
    assert '3 image(s)' in log[0]


@pytest.mark.parametrize(
    'series',
    [
        SERIES,
        replace(SERIES, n_repetitions=2, n_noise=40),
        replace(SERIES, n_averages=2),
        replace(SERIES, mode='separate'),
        replace(SERIES, acceleration=3, n_acs=17, n_lines=37),
    ],
    ids=['slices', 'repetitions and noise', 'averages', 'separate', 'R=3, odd'],
)
def test_images_of_a_generated_series_are_those_of_its_file(series: Series, tmp_path: Path) -> None:
    with serving() as (address, _):
        assert_as_offline(answers(address, series), offline(series.write(tmp_path / 'a.h5'), 'grappa'))


def test_an_image_comes_before_the_lines_of_the_next_slice_are_sent(tmp_path: Path) -> None:
    expected = offline(SERIES.write(tmp_path / 'a.h5'), 'grappa')
    with serving() as (address, _), Client(address) as client:
        client.begin(SERIES.xml)
        for slice_ in range(SERIES.n_slices):
            client.send(*SERIES.lines(slice_))
            image = client.next()
            assert place(image) == (slice_, 0)
            assert np.array_equal(image.data[0], expected[slice_, 0])
        client.end()
        assert client.rest() == []


def test_an_image_says_where_it_is_and_how_it_was_made() -> None:
    with serving() as (address, _):
        _, image = answers(address, SERIES)
    assert list(image.matrix_size) == [SERIES.n_samples // 2, SERIES.n_lines, 1]
    assert list(image.field_of_view) == pytest.approx([160, 180, 5])
    assert list(image.position) == pytest.approx((7 * NORMAL).tolist())
    assert list(image.read_dir) == pytest.approx(READ.tolist())
    assert list(image.phase_dir) == pytest.approx(PHASE.tolist())
    assert list(image.slice_dir) == pytest.approx(NORMAL.tolist())
    assert (image.image_index, image.image_series_index, image.acquisition_time_stamp) == (2, 1, 1001)
    assert (image.image_type, image.data_type) == (ismrmrd.IMTYPE_MAGNITUDE, ismrmrd.DATATYPE_FLOAT)
    assert image.meta['ImageProcessingHistory'] == ['raki', 'grappa']
    assert image.meta['Keep_image_geometry'] == '1'
    assert 'readout oversampling removed: 32 to 16 samples' in image.meta['RakiNote']
    assert 'research only' in image.meta['ImageComments']


def test_directions_are_those_of_the_lines_for_every_vendor(tmp_path: Path) -> None:
    """As vendors' containers expect them with plain pixels; files say which way pixels run, about the same middle."""
    vendor = '<acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor></acquisitionSystemInformation>'
    xml = SERIES.xml.replace('<experimentalConditions>', f'{vendor}<experimentalConditions>')
    geometry = open_scan(written(tmp_path / 'a.h5', xml, SERIES.every())).geometries[1]
    with serving() as (address, _), Client(address) as client:
        client.begin(xml)
        client.send(*SERIES.every())
        client.end()
        _, image = client.rest()
    assert list(image.read_dir) == pytest.approx(READ.tolist())
    assert list(image.phase_dir) == pytest.approx(PHASE.tolist())
    assert geometry.read_dir == pytest.approx((-READ).tolist())
    assert geometry.phase_dir == pytest.approx((-PHASE).tolist())
    assert list(image.position) == pytest.approx([1e3 * value for value in geometry.position])


def test_slices_that_nothing_marks_as_complete_come_at_the_end(tmp_path: Path) -> None:
    expected = offline(SERIES.write(tmp_path / 'a.h5'), 'grappa')
    with serving() as (address, _), Client(address) as client:
        client.begin(SERIES.xml)
        client.send(*SERIES.every(is_marked=False))
        client.end()
        assert_as_offline(client.rest(), expected)


@pytest.mark.parametrize('flag', [ismrmrd.ACQ_LAST_IN_REPETITION, ismrmrd.ACQ_LAST_IN_MEASUREMENT])
def test_the_last_line_of_more_than_a_slice_completes_it_too(flag: int) -> None:
    lines = SERIES.lines(0, is_marked=False)
    lines[-1].set_flag(flag)
    with serving() as (address, _), Client(address) as client:
        client.begin(SERIES.xml)
        client.send(*lines)
        assert place(client.next()) == (0, 0)


def test_separate_calibration_after_the_image_is_waited_for(tmp_path: Path) -> None:
    series = replace(SERIES, mode='separate', n_slices=1)
    lines = series.lines(0)
    acs = [line for line in lines if line.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]
    image = [line for line in lines if not line.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]
    acs += [made(np.array(line.data), kspace_encode_step_1=line.idx.kspace_encode_step_1) for line in image]
    acs = sorted(acs, key=lambda line: line.idx.kspace_encode_step_1)
    acs = [line for line in acs if line.idx.kspace_encode_step_1 in series.acs]
    for line in acs:
        line.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    for line in image:
        line.clear_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    acs[-1].set_flag(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    expected = offline(written(tmp_path / 'a.h5', series.xml, [*image, *acs]), 'grappa')
    with serving() as (address, _), Client(address) as client:
        client.begin(series.xml)
        client.send(*image, *acs)
        assert_as_offline([client.next()], expected)


def test_two_clients_at_once_get_their_own_images(tmp_path: Path) -> None:
    both = SERIES, replace(SERIES, seed=7, n_coils=3, n_lines=40)
    expected = [offline(series.write(tmp_path / f'{series.seed}.h5'), 'grappa') for series in both]
    with serving() as (address, log), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda series: answers(address, series), both))
    for images, own in zip(found, expected, strict=True):
        assert_as_offline(images, own)
    assert len(log) == 2


def test_a_later_repetition_may_be_filled_with_what_the_first_has_taught(tmp_path: Path) -> None:
    """On request only, and said so; the first one is as ever, the second close to its own."""
    series = replace(SERIES, n_slices=1, n_repetitions=2)
    expected = offline(series.write(tmp_path / 'a.h5'), 'grappa')
    with serving() as (address, _):
        first, second = answers(address, series, ConfigText('{"parameters": {"config": "grappa", "reuse": true}}'))
    assert np.array_equal(first.data[0], expected[0, 0])
    assert not np.array_equal(second.data[0], expected[0, 1])
    error = np.linalg.norm(second.data[0] - expected[0, 1]) / np.linalg.norm(expected[0, 1])
    assert error < 0.05
    assert 'earlier repetition' in str(second.meta['RakiNote'])
    assert 'earlier repetition' not in str(first.meta.get('RakiNote'))


@pytest.mark.parametrize('config', ['{"parameters": null}', '', '{}', '{"parameters": {"customconfig": ""}}'])
def test_configurations_without_parameters_are_taken(config: str, tmp_path: Path) -> None:
    expected = offline(SERIES.write(tmp_path / 'a.h5'), 'grappa')
    with serving() as (address, _):
        assert_as_offline(answers(address, SERIES, ConfigFile('openrecon'), ConfigText(config)), expected)


def test_a_scanner_may_send_its_parameters_as_a_text(tmp_path: Path) -> None:
    expected = offline(SERIES.write(tmp_path / 'a.h5'), 'grappa', 'walsh')
    asked = '{"parameters": {"config": "grappa", "adaptive": true, "coils": 0}}'
    with serving('zero-filled') as (address, _):
        assert_as_offline(answers(address, SERIES, ConfigFile('default'), asked), expected)


def test_images_of_12_bits_have_one_scale_for_all(tmp_path: Path) -> None:
    expected = offline(SERIES.write(tmp_path / 'a.h5'), 'grappa')
    with serving() as (address, _):
        images = answers(address, SERIES, ConfigText('{"parameters": {"integers": "True"}}'))
    assert {image.data.dtype for image in images} == {np.dtype('uint16')}
    assert int(images[0].data.max()) == 2047
    for image in images:
        exact = expected[place(image)] / float(image.meta['RescaleSlope'])
        np.testing.assert_allclose(image.data[0], exact.clip(max=4095), atol=0.51)


def test_complex_images_have_the_magnitude_and_no_phase(tmp_path: Path) -> None:
    expected = offline(SERIES.write(tmp_path / 'a.h5'), 'grappa')
    with serving() as (address, _):
        images = answers(address, SERIES, ConfigText('{"parameters": {"complex": true}}'))
        (told,) = answers(address, SERIES, ConfigText('{"parameters": {"complex": true, "integers": true}}'))
    assert_as_offline(images, expected)
    assert {(image.data_type, image.image_type) for image in images} == {(7, ismrmrd.IMTYPE_COMPLEX)}
    assert 'not both' in told


def test_virtual_coils_are_learnt_in_on_request() -> None:
    with serving() as (address, _):
        images = answers(address, SERIES, ConfigText('{"parameters": {"coils": 2}}'))
        assert 'virtual coils' in str(images[0].meta)
        (told,) = answers(address, SERIES, ConfigText('{"parameters": {"coils": 9}}'))
    assert 'raki: ' in told
    assert '9' in told


def test_shifted_repetitions_train_together_at_the_end(tmp_path: Path) -> None:
    """TGRAPPA: no repetition has neighbouring lines, all of them together do."""
    series = replace(SERIES, mode='interleaved', n_slices=2, n_repetitions=4, n_acs=0)
    lines = []
    for line in series.every():
        counter = line.idx.kspace_encode_step_1 + line.idx.repetition % 2
        kspace = series.kspace(line.idx.slice, line.idx.repetition).numpy()
        shifted = made(np.ascontiguousarray(kspace[:, counter]), line.idx.slice, repetition=line.idx.repetition)
        shifted.idx.kspace_encode_step_1 = counter
        shifted.flags = line.flags
        lines.append(shifted)
    expected = offline(written(tmp_path / 'a.h5', series.xml, lines), 'grappa')
    with serving() as (address, _), Client(address) as client:
        client.begin(series.xml)
        client.send(*lines)
        client.end()
        found = {place(image): image.data[0] for image in client.rest()}
    assert sorted(found) == sorted(expected)
    for where, image in found.items():
        assert np.array_equal(image, expected[where])


def test_a_volume_comes_as_one_image_with_all_its_slices(tmp_path: Path) -> None:
    """The last line of a partition does not complete it; the last one of the repetition does."""
    n_partitions, series = 6, replace(SERIES, n_lines=20, n_samples=16, n_slices=1, n_acs=20)
    xml = series.xml.replace('<z>1</z>', f'<z>{n_partitions}</z>').replace('<z>5</z>', '<z>30</z>')
    lines = []
    for partition in range(n_partitions):
        for line in series.lines(0, partition):
            line.idx.kspace_encode_step_2, line.idx.repetition = partition, 0
            lines.append(line)
    lines[-1].set_flag(ismrmrd.ACQ_LAST_IN_REPETITION)
    expected = offline(written(tmp_path / 'a.h5', xml, lines), 'grappa')
    with serving() as (address, _), Client(address) as client:
        client.begin(xml)
        client.send(*lines)
        image = client.next()
        client.end()
        assert client.rest() == []
    assert list(image.matrix_size) == [8, 20, n_partitions]
    assert list(image.field_of_view) == pytest.approx([160, 180, 30])
    assert np.array_equal(image.data[0], expected[0, 0])


@pytest.mark.parametrize('method', ['grappa', 'gated'])
def test_what_a_scan_has_taught_fills_it_in_as_before(method: str, tmp_path: Path) -> None:
    scan = open_scan(replace(SERIES, n_slices=2).write(tmp_path / 'a.h5')).read()
    first = reconstruct(scan, method_named(method))
    again = reconstruct(scan, method_named(method), fitted=first.interpolators)
    assert torch.equal(first.kspace, again.kspace)
    assert torch.equal(first.image, again.image)


def test_an_adjustment_that_sends_no_lines_gets_no_images() -> None:
    with serving() as (address, log):
        for configs, xml in (((ConfigText('{"parameters": null}'),), ''), ((), SERIES.xml)):
            with Client(address) as client:
                client.send(*configs)
                if xml:
                    client.begin(xml)
                client.end()
                assert client.rest() == []
    assert all('0 image(s)' in line for line in log)
    assert len(log) == 2
