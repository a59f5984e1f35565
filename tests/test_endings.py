"""Every end of a command is an exit code and one line, whatever happened."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from raki.cli import main
from raki.errors import CalibrationError, ResourceError, ScanError, TrainingError


def singular() -> None:
    torch.linalg.solve(torch.zeros(2, 2), torch.ones(2))


def singular_for_numpy() -> None:
    np.linalg.solve(np.zeros((2, 2)), np.ones(2))


def too_large() -> None:
    torch.empty(1 << 50, dtype=torch.uint8)


def too_large_for_numpy() -> None:
    np.empty(1 << 50, np.uint8)


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ('happens', 'code', 'message'),
    [
        (singular, 4, 'have no solution .*raki info'),
        (singular_for_numpy, 4, 'have no solution .*raki info'),
        (too_large, 5, 'memory does not suffice'),
        (too_large_for_numpy, 5, 'memory does not suffice'),
        (raising(MemoryError()), 5, 'memory does not suffice'),
        (raising(ImportError('libx.so: failed to map segment from shared object')), 5, 'memory does not suffice'),
        (raising(ImportError('cannot allocate memory in static TLS block')), 5, 'memory does not suffice'),
        (raising(ResourceError('a.h5: too large')), 5, '^raki: a.h5: too large$'),
        (raising(RuntimeError("can't start new thread")), 5, 'memory does not suffice'),
        (raising(OSError(errno.ENOSPC, 'No space left on device')), 5, 'No space left on device: make room'),
        (raising(OSError(errno.EDQUOT, 'Disk quota exceeded')), 5, 'Disk quota exceeded: remove what is not needed'),
        (raising(OSError(errno.EIO, 'Input/output error')), 5, 'Input/output error: that disk fails'),
        (raising(OSError(errno.EFBIG, 'File too large')), 5, 'File too large: raise the limit'),
        (raising(ScanError('a.h5: bad')), 3, '^raki: a.h5: bad$'),
        (raising(CalibrationError('no ACS')), 3, '^raki: no ACS$'),
        (raising(TrainingError('not finite')), 4, '^raki: not finite$'),
        (raising(KeyError('kspace')), 70, "unexpected KeyError: 'kspace': run again with --debug"),
        (raising(ValueError('two\nlines\x1b[31m')), 70, r'unexpected ValueError: two lines\\x1b\[31m'),
        (raising(AssertionError()), 70, 'unexpected AssertionError: AssertionError'),
        (raising(ImportError('no module')), 70, 'unexpected ImportError'),
    ],
)
def test_what_happens_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    happens: Callable[[], None],
    code: int,
    message: str,
) -> None:
    monkeypatch.setattr('raki.commands.settings.Reading.open', lambda *_: happens())
    assert main(['info', 'a.h5']) == code
    said = capsys.readouterr()
    assert said.out == ''
    assert said.err.startswith('raki: ')
    assert said.err.count('\n') == 1
    assert pytest.RaisesExc(Exception, match=message).matches(Exception(said.err.strip()))


@pytest.mark.parametrize('error', [KeyError('kspace'), ScanError('a.h5: bad')])
def test_debug_lets_every_error_through(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr('raki.commands.settings.Reading.open', lambda *_: raising(error)())
    with pytest.raises(type(error)):
        main(['--debug', 'info', 'a.h5'])


def test_debug_shows_where_a_child_failed(tmp_path: Path) -> None:
    (tmp_path / 'a.h5').write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(100))
    words = [sys.executable, '-m', 'raki.cli', '--debug', 'info', str(tmp_path / 'a.h5')]
    found = subprocess.run(words, check=False, capture_output=True, text=True)
    assert found.returncode != 0
    assert 'in opened\n' in found.stderr


def test_names_in_no_coding_work_or_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b'/\xff\xfe'))
    odd.mkdir()
    scan, full = str(odd / 'a.h5'), str(odd / 'full.h5')
    base = ['--matrix', '32x24', '--coils', '4']
    assert main(['simulate', '-o', scan, *base, '--rate', '2', '--acs', '12']) == 0
    assert main(['simulate', '-o', full, *base]) == 0
    for words in (
        ['info', scan],
        ['info', scan, '--json'],
        ['reconstruct', scan, '-o', str(odd / 'o.h5'), '--method', 'zero-filled'],
        ['reconstruct', scan, '-o', str(odd / 'o.nii.gz'), '--method', 'zero-filled', '--json'],
        ['convert', scan, str(odd / 'c.mrd.h5')],
        ['view', str(odd / 'o.h5'), '-o', str(odd / 'v.html'), '--no-open'],
        ['compare', full, '-o', str(odd / 'cmp'), '--methods', 'zero-filled', '--rates', '2', '--replicas', '0'],
    ):
        assert main(words) == 0, words
    said = capsys.readouterr()
    (said.out + said.err).encode()
    assert r'\udcff\udcfe' in said.out
    assert main(['info', str(odd / 'none.h5')]) == 3
    assert main(['reconstruct', scan, '--mask', str(odd / 'none.npy'), '-o', str(odd / 'p.h5')]) == 3
    assert capsys.readouterr().err.count('\n') == 2
    assert not (odd / 'p.h5').exists()


@pytest.mark.parametrize(('kind', 'megabytes'), [(resource.RLIMIT_DATA, 100), (resource.RLIMIT_AS, 454)])
def test_a_limit_that_the_libraries_do_not_survive_is_refused_before_they_are_loaded(
    tmp_path: Path, kind: int, megabytes: int
) -> None:
    def limited() -> None:
        resource.setrlimit(kind, (megabytes * 1_000_000, megabytes * 1_000_000))

    words = [sys.executable, '-m', 'raki.cli', 'info', str(tmp_path / 'a.h5')]
    found = subprocess.run(words, check=False, capture_output=True, text=True, preexec_fn=limited)
    assert found.returncode == 5
    assert found.stderr.startswith(f'raki: memory of this process is limited to {megabytes} MB')
    assert found.stderr.count('\n') == 1
