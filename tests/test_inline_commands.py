"""`raki serve` and `raki stream` as programs of their own, and the container they are shipped in."""

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ismrmrd
import mrd
import numpy as np
import pytest
from ismrmrd.serialization import ConfigText, ProtocolDeserializer

from raki.cli import main
from raki.commands.catalogue import METHODS
from raki.commands.serve import Inline
from raki.inline.options import PARAMETERS
from tests.clients import Client, Series, offline, serving, stored_lines, stream_of

ROOT = Path(__file__).resolve().parents[1]
SERIES = Series(n_repetitions=2)
RAKI = [sys.executable, '-m', 'raki.cli']
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT)}
LABEL = 'com.siemens-healthineers.magneticresonance.openrecon.metadata:1.1.0'


def piped(data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*RAKI, 'stream', *arguments], input=data, capture_output=True, env=ENVIRONMENT, timeout=120, check=False
    )


def assert_as_offline(found: dict[tuple[int, int], np.ndarray], expected: dict[tuple[int, int], np.ndarray]) -> None:
    assert list(found) == list(expected)
    for place, image in found.items():
        assert np.array_equal(image, expected[place])


def test_a_stream_of_version_1_goes_through_pipes(shared_scan: Callable[[str], Path]) -> None:
    path = shared_scan('ismrmrd_phantom8_R3_acs24.h5')
    done = piped(stream_of(*stored_lines(path), config='grappa'))
    assert done.returncode == 0, done.stderr
    images: list[Any] = list(ProtocolDeserializer(io.BytesIO(done.stdout)).deserialize())
    found = {(image.slice, image.repetition): image.data[0] for image in images}
    assert_as_offline(found, offline(path, 'grappa'))
    assert done.stderr.decode().splitlines() == ['raki: 3 image(s)']


def version_2(series: Series) -> bytes:
    """The series as mrd-python writes it."""
    matrix = mrd.MatrixSizeType(x=series.n_samples, y=series.n_lines, z=1)
    half = mrd.MatrixSizeType(x=series.n_samples // 2, y=series.n_lines, z=1)
    encoding = mrd.EncodingType(
        encoded_space=mrd.EncodingSpaceType(matrix_size=matrix, field_of_view_mm=mrd.FieldOfViewMm(x=320, y=180, z=5)),
        recon_space=mrd.EncodingSpaceType(matrix_size=half, field_of_view_mm=mrd.FieldOfViewMm(x=160, y=180, z=5)),
        parallel_imaging=mrd.ParallelImagingType(
            acceleration_factor=mrd.AccelerationFactorType(kspace_encoding_step_1=2, kspace_encoding_step_2=1),
            calibration_mode=mrd.CalibrationMode.EMBEDDED,
        ),
    )
    patient = mrd.SubjectInformationType(patient_name='Jane Doe')
    header = mrd.Header(encoding=[encoding], subject_information=patient)
    target = io.BytesIO()
    with mrd.BinaryMrdWriter(target) as writer:
        writer.write_header(header)
        writer.write_data([mrd.StreamItem.Acquisition(converted(line)) for line in series.every()])
    return target.getvalue()


def converted(line: Any) -> mrd.Acquisition:
    names = ('slice', 'repetition', 'average')
    counters = mrd.EncodingCounters(
        kspace_encode_step_1=line.idx.kspace_encode_step_1, **{name: getattr(line.idx, name) for name in names}
    )
    head = mrd.AcquisitionHeader(
        flags=mrd.AcquisitionFlags(line.flags), idx=counters, center_sample=line.center_sample, sample_time_us=5.0
    )
    for name in ('position', 'read_dir', 'phase_dir', 'slice_dir'):
        getattr(head, name)[:] = list(getattr(line, name))
    return mrd.Acquisition(head=head, data=line.data.copy(), trajectory=np.zeros((0, 0), np.float32))


def test_a_stream_of_version_2_goes_through_pipes(tmp_path: Path) -> None:
    done = piped(version_2(SERIES), '--method', 'grappa')
    assert done.returncode == 0, done.stderr
    with mrd.BinaryMrdReader(io.BytesIO(done.stdout)) as reader:
        header = reader.read_header()
        items: list[Any] = list(reader.read_data())
    images = [item.value for item in items]
    found = {(image.head.slice, image.head.repetition): image.data[0] for image in images}
    assert_as_offline(found, offline(SERIES.write(tmp_path / 'a.h5'), 'grappa'))
    assert header is not None
    assert header.encoding[0].recon_space.matrix_size.x == SERIES.n_samples // 2
    assert b'Jane' not in done.stdout
    assert [str(each.value) for each in images[0].meta['ImageProcessingHistory']] == ['raki', 'grappa']
    assert list(images[1].head.position) == pytest.approx(list(SERIES.lines(1)[0].position))


def test_images_are_those_of_the_packages_own_reconstruction() -> None:
    """Of its own fully sampled phantom, scale and all, to the precision of float32."""
    phantom = run_tool('phantom', b'', '-c', '4', '-m', '48', '-n', '0')
    theirs, ours = images_of(run_tool('stream_recon', phantom)), images_of(piped(phantom).stdout)
    assert len(theirs) == len(ours) == 1
    np.testing.assert_allclose(ours[0].data, theirs[0].data, rtol=0, atol=1e-6 * float(theirs[0].data.max()))
    for name in ('field_of_view', 'position', 'col_dir', 'line_dir', 'slice_dir'):
        assert np.array_equal(getattr(ours[0].head, name), getattr(theirs[0].head, name))


def run_tool(name: str, data: bytes, *options: str) -> bytes:
    """What a program of mrd-python makes of a stream."""
    command = [sys.executable, '-m', f'mrd.tools.{name}', *options]
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=60).stdout


def images_of(stream: bytes) -> list[Any]:
    with mrd.BinaryMrdReader(io.BytesIO(stream)) as reader:
        reader.read_header()
        items: list[Any] = list(reader.read_data())
    return [item.value for item in items]


@pytest.mark.parametrize('of', [1, 2])
def test_a_stream_that_is_cut_off_says_so(of: int) -> None:
    whole = version_2(SERIES) if of == 2 else stream_of(SERIES.xml, SERIES.every())
    done = piped(whole[: len(whole) * 2 // 3], '--method', 'zero-filled')
    assert done.returncode == 3
    (line,) = done.stderr.decode().splitlines()
    assert re.match(r'raki: the stream (of MRD version 2 is cut off|ended in the middle)', line)


def test_version_2_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr('raki.inline.stream.find_spec', lambda name: None)  # noqa: ARG005
    monkeypatch.setattr('sys.stdin', io.TextIOWrapper(io.BufferedReader(io.BytesIO(b'yardl'))))  # type: ignore[arg-type]
    assert main(['stream']) == 3
    assert capsys.readouterr().err == (
        "raki: this is a stream of MRD version 2, which needs mrd-python: pip install 'raki[mrd]'\n"
    )


STARTER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts tests in the background ignores it
from raki.cli import main
sys.exit(main())
"""


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """The program on a free port, once it says that it listens."""
    command = [sys.executable, '-c', STARTER, 'serve', '--port', '0', *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            match = re.match(r'listening on (127\.0\.0\.1):(\d+), method (\S+): research only', said)
            assert match, said
            yield process, (match[1], int(match[2]))
        finally:
            process.kill()


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_server_serves_until_it_is_told_to_end(number: int, code: int, tmp_path: Path) -> None:
    expected = offline(SERIES.write(tmp_path / 'a.h5'), 'grappa')
    with served('--method', 'grappa') as (process, address), Client(address) as client, Client(address) as silent:
        silent.begin(SERIES.xml)
        client.begin(SERIES.xml)
        client.send(*SERIES.every())
        client.end()
        assert_as_offline({(image.slice, image.repetition): image.data[0] for image in client.rest()}, expected)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert '4 image(s)' in errors
    assert 'Traceback' not in errors


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--method', 'magic'], "no method 'magic': choose from zero-filled, grappa"),
        (['--port', '70000'], '--port must be 0 to 65535, got 70000'),
        (['--memory', '0'], '--memory must be a positive number of GB, got 0'),
        (['--connections', '0'], 'must be positive, got 0 and 300 s'),
        (['--timeout', '-1'], 'must be positive, got 4 and -1 s'),
    ],
)
def test_options_of_a_server_are_checked_before_it_listens(arguments: list[str], said: str, capsys: Any) -> None:
    assert main(['serve', *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_port_in_use_is_named(capsys: Any) -> None:
    with serving() as ((_, port), _):
        assert main(['serve', '--port', str(port)]) == 5
    assert f'cannot listen on 127.0.0.1:{port} (Address already in use): choose another' in capsys.readouterr().err


def scanner_description() -> dict[str, Any]:
    return json.loads((ROOT / 'container' / 'openrecon.json').read_text(encoding='utf-8'))


def test_the_containers_label_is_its_readable_form() -> None:
    labels = re.findall(r'^LABEL "([^"]+)"="([^"]+)"$', (ROOT / 'container' / 'Dockerfile').read_text(), re.MULTILINE)
    assert [name for name, _ in labels] == [LABEL]
    assert json.loads(base64.b64decode(labels[0][1], validate=True)) == scanner_description(), 'run make label'


def test_the_container_is_what_scanners_ask_for() -> None:
    dockerfile, described = (ROOT / 'container' / 'Dockerfile').read_text(), scanner_description()
    reconstruction = described['reconstruction']
    assert reconstruction['transfer_protocol'] == {'protocol': 'ISMRMRD', 'version': '1.4.1'}
    assert reconstruction['port'] == 9002
    assert (reconstruction['emitter'], reconstruction['injector']) == ('raw', 'compleximage')
    assert reconstruction['content_qualification_type'] == 'RESEARCH'
    assert isinstance(reconstruction['can_process_adjustment_data'], bool)
    assert isinstance(reconstruction['can_use_gpu'], bool)
    assert reconstruction['min_required_memory'] >= 4096
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    assert re.fullmatch(r'\d+\.\d+\.\d+', described['general']['version'])
    assert re.match(r'\d+\.\d+\.\d+', project['version'])[0] == described['general']['version']  # type: ignore[index]
    assert re.search(r'^FROM python:3\.12-slim$', dockerfile, re.MULTILINE)
    assert re.search(r'^EXPOSE 9002$', dockerfile, re.MULTILINE)
    assert re.search(r'^USER (?!root)\w+$', dockerfile, re.MULTILINE)
    for path in re.findall(r'^COPY (.+) \S+$', dockerfile, re.MULTILINE):
        assert all((ROOT / each).exists() for each in path.split())


def test_parameters_of_the_scanners_card_keep_its_rules() -> None:
    parameters = scanner_description()['parameters']
    assert 1 <= len(parameters) <= 14
    assert len({each['id'] for each in parameters}) == len(parameters)
    assert [each['id'] for each in parameters if each['type'] == 'choice'] == ['config']
    for each in parameters:
        assert each['id'].isascii()
        assert each['id'].isalnum()
        assert each['type'] in {'boolean', 'int', 'double', 'string', 'choice'}
        assert each['label']['en']
        assert each['information']['en']
    (config,) = [each for each in parameters if each['id'] == 'config']
    assert config['default'] in {value['id'] for value in config['values']} <= set(METHODS)


def test_the_server_understands_every_parameter_of_the_scanners_card() -> None:
    parameters = scanner_description()['parameters']
    assert {each['id'] for each in parameters} == {'config', *PARAMETERS}
    series = replace(SERIES, n_slices=1, n_repetitions=1, n_lines=24, n_samples=16)
    choices = [{each['id']: each['default'] for each in parameters}]
    choices += [{'config': value['id']} for value in parameters[0]['values']]
    with serving('zero-filled') as (address, _):
        for choice in choices:
            with Client(address) as client:
                client.begin(series.xml, ConfigText(json.dumps({'parameters': choice})))
                client.send(*series.every())
                client.end()
                (image,) = client.rest()
            assert isinstance(image, ismrmrd.Image)
            assert image.meta['ImageProcessingHistory'] == ['raki', choice['config']]


def test_a_server_takes_names_of_methods_in_any_case() -> None:
    assert Inline.asked('GATED', reuse=False, device='cpu', gigabytes=1.0) == Inline('gated', gigabytes=1.0)
