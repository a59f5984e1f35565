"""Where training fails: exit code 4 and no file, or what was asked to fill in, which is told everywhere."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from raki.cli import main
from raki.commands import fallback
from raki.commands.batch.one import run_one
from raki.commands.batch.records import Records
from raki.commands.batch.tasks import Task
from raki.commands.catalogue import METHODS
from raki.commands.job import Job
from raki.commands.settings import Settings
from raki.errors import TrainingError
from raki.networks.training import Recipe
from raki.pipeline import Reconstruction, reconstruct
from tests.toys import RAKI_QUICK, attributes, stored

Capture = pytest.CaptureFixture[str]

HOPELESS = replace(RAKI_QUICK, recipe=Recipe(n_iterations=10, learning_rate=1e6))
"""At every rate that is tried."""


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two undersampled slices, on which `raki` learns nothing."""
    monkeypatch.setitem(METHODS, 'raki', HOPELESS)
    path = tmp_path / 'scan.h5'
    words = ['--matrix', '32x28', '--coils', '4', '--slices', '2', '--rate', '2', '--acs', '14']
    assert main(['simulate', '-o', str(path), *words]) == 0
    return path


ALONE = """
import sys
from raki.cli import main
from raki.commands.catalogue import METHODS
from tests.test_fallback import HOPELESS
METHODS['raki'] = HOPELESS
sys.exit(main(sys.argv[1:]))
"""


def run(scan: Path, output: Path, *words: str) -> int:
    return main(['reconstruct', str(scan), '-o', str(output), *words])


def run_alone(scan: Path, output: Path, *words: str) -> 'subprocess.CompletedProcess[str]':
    """In a process of its own: torch does not train in forks of one that has trained before."""
    line = [sys.executable, '-c', ALONE, 'reconstruct', str(scan), '-o', str(output), *words]
    root = Path(__file__).parents[1]
    return subprocess.run(line, cwd=root, capture_output=True, text=True, check=False, timeout=120)


def test_without_one_there_is_an_error_that_names_the_option(scan: Path, tmp_path: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert run(scan, tmp_path / 'out.h5', '--method', 'raki') == 4
    captured = capsys.readouterr()
    assert captured.out == ''
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith('raki: slice 0, ')
    assert '3 restarts, each 10 times slower, did not help' in last
    assert last.endswith('; --fallback grappa fills in with that instead')
    assert not (tmp_path / 'out.h5').exists()


@pytest.mark.parametrize('words', [(), ('--workers', '2', '--device', 'cpu')], ids=['here', 'workers'])
@pytest.mark.parametrize('other', ['grappa', 'zero-filled'])
def test_it_fills_in_and_says_so(scan: Path, tmp_path: Path, other: str, words: tuple[str, ...]) -> None:
    """With what the other method gives by itself, bit for bit, in warnings, in the manifest and in the terminal."""
    assert run(scan, tmp_path / 'own.h5', '--method', other) == 0
    done = run_alone(scan, tmp_path / 'out.h5', '--method', 'raki', '--fallback', other.upper(), *words)
    assert done.returncode == 0
    found = attributes(tmp_path / 'out.h5')
    one, two = (stored(tmp_path / name, 'reconstruction') for name in ('out.h5', 'own.h5'))
    np.testing.assert_array_equal(one, two)
    assert f'2 image(s) by {other} (fallback)' in done.stdout
    warnings = list(json.loads(found['warnings']))
    for number in (0, 1):
        [told] = [text for text in warnings if text.startswith(f'slice {number}, ')]
        assert f' is filled in by {other} (--fallback), as raki failed: ' in told
        assert told in ' '.join(done.stderr.split())
    assert found['method'] == f'{other} (fallback)'
    assert json.loads(found['n_images_by_method']) == {other: 2}
    assert json.loads(found['options'])['fallback'] == other


def test_only_what_failed_is_filled_in_by_it(
    scan: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, 'raki', RAKI_QUICK)
    for name in ('raki', 'grappa'):
        assert run(scan, tmp_path / f'{name}.h5', '--method', name) == 0
    monkeypatch.setattr(fallback, 'reconstruct', failing_first(reconstruct))
    capsys.readouterr()
    assert run(scan, tmp_path / 'out.h5', '--method', 'raki', '--fallback', 'grappa') == 0
    assert '2 image(s) by raki and grappa (fallback)' in capsys.readouterr().out
    one, by_grappa, by_raki = (stored(tmp_path / f'{name}.h5', 'reconstruction') for name in ('out', 'grappa', 'raki'))
    np.testing.assert_array_equal(one[0], by_grappa[0])
    np.testing.assert_array_equal(one[1], by_raki[1])
    assert json.loads(attributes(tmp_path / 'out.h5')['n_images_by_method']) == {'grappa': 1, 'raki': 1}


def failing_first(how: Callable[..., Reconstruction]) -> Callable[..., Reconstruction]:
    """A reconstruction that ends in an error the first time."""
    left = [TrainingError('training left the finite range')]

    def failing(*arguments: Any, **named: Any) -> Reconstruction:
        if left:
            raise left.pop()
        return how(*arguments, **named)

    return failing


def test_where_nothing_fails_images_and_manifest_are_the_same(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the option."""
    monkeypatch.setitem(METHODS, 'raki', RAKI_QUICK)
    assert run(scan, tmp_path / 'a.h5', '--method', 'raki') == 0
    assert run(scan, tmp_path / 'b.h5', '--method', 'raki', '--fallback', 'grappa') == 0
    one, two = (attributes(tmp_path / name) for name in ('a.h5', 'b.h5'))
    assert {name for name in {*one, *two} if str(one.get(name)) != str(two.get(name))} <= {'options', 'sha256'}
    with h5py.File(tmp_path / 'a.h5') as first, h5py.File(tmp_path / 'b.h5') as second:
        np.testing.assert_array_equal(first['reconstruction'], second['reconstruction'])


def test_a_fit_remembers_by_whom_it_is(scan: Path, tmp_path: Path, capsys: Capture) -> None:
    """Whoever fills in with it later is warned, too."""
    fit = tmp_path / 'fit.safetensors'
    words = ('--method', 'raki', '--fallback', 'grappa', '--save-fit', str(fit))
    assert run(scan, tmp_path / 'out.h5', *words) == 0
    capsys.readouterr()
    assert run(scan, tmp_path / 'later.h5', '--fit', str(fit)) == 0
    captured = capsys.readouterr()
    assert 'is filled in by grappa (--fallback), as raki failed' in ' '.join(captured.err.split())
    assert '2 image(s) by grappa (fallback)' in captured.out


def test_a_batch_says_so_too(scan: Path, tmp_path: Path) -> None:
    """In the record of a scan, of which its summary is made."""
    job = Job(Settings(method='raki', fallback='grappa'))
    (tmp_path / 'out' / Records(tmp_path / 'out').path.name).mkdir(parents=True)
    outcome = run_one(job, Task(scan, tmp_path / 'out' / 'scan.h5'), lambda error: (1, str(error)))
    assert (outcome.exit_code, outcome.error, outcome.method) == (0, '', 'grappa (fallback)')
    assert sum('is filled in by grappa (--fallback)' in text for text in outcome.warnings) == 2


def test_a_file_with_settings_may_ask_for_it(scan: Path, tmp_path: Path) -> None:
    (tmp_path / 'settings.yaml').write_text('method: raki\nfallback: zero-filled\n')
    assert run(scan, tmp_path / 'out.h5', '--config', str(tmp_path / 'settings.yaml')) == 0
    assert attributes(tmp_path / 'out.h5')['method'] == 'zero-filled (fallback)'


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--fallback', 'iraki'], "no fallback 'iraki': choose from zero-filled, grappa, gated, spirit, sparse"),
        (['--fallback', 'gated'], '--fallback gated is --method gated, too: choose another one'),
        (['--method', 'grappa', '--gfactor', '--fallback', 'gated'], 'g-factors of gated need replicas'),
        (['--fit', 'scan.h5', '--fallback', 'grappa'], '--fallback is for what fails to learn, and --fit learns'),
    ],
)
def test_what_does_not_go_together_is_refused(
    scan: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'scan.safetensors').touch()
    words = [word.replace('scan.h5', 'scan.safetensors') for word in words]
    capsys.readouterr()
    assert run(scan, tmp_path / 'out.h5', *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out.h5').exists()
