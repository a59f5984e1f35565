"""Commands whose standard streams are closed, full, or read by nobody do their work and end as they should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raki.cli import main

RAKI = [sys.executable, '-m', 'raki.cli']


def run(shell: str, *words: str, folder: Path) -> 'subprocess.CompletedProcess[bytes]':
    """Run a command with what a shell does to its streams."""
    line = ['bash', '-c', f'"$@" {shell}; exit ${{PIPESTATUS[0]}}', 'bash', *RAKI, *words]
    return subprocess.run(line, cwd=folder, capture_output=True, check=False, timeout=120)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp('streams')
    words = ['--matrix', '16x12', '--coils', '3', '--rate', '2', '--acs', '8']
    assert main(['simulate', '-o', str(found / 'scan.h5'), *words]) == 0
    return found


@pytest.mark.parametrize('shell', ['<&- >&- 2>&-', '>&-', '2>&-', '<&- >&-', '<&- 2>&-'])
def test_closed_streams_change_no_output(folder: Path, shell: str) -> None:
    """Without a file of their own in their place the output, or what a child says, would get their numbers."""
    words = ['reconstruct', 'scan.h5', '--method', 'zero-filled', '-o']
    assert run('', *words, 'whole.h5', folder=folder).returncode == 0
    done = run(shell, *words, 'closed.h5', folder=folder)
    assert (done.returncode, done.stderr) == (0, b'')
    assert (folder / 'closed.h5').read_bytes() == (folder / 'whole.h5').read_bytes()
    (folder / 'closed.h5').unlink()


@pytest.mark.parametrize('coding', ['ascii', 'latin-1'])
def test_what_a_stream_has_no_coding_for_is_escaped(folder: Path, coding: str) -> None:
    """Names, after all the work; arrows of a table are letters."""
    assert main(['simulate', '-o', str(folder / 'full.h5'), '--matrix', '24x20', '--coils', '3']) == 0
    line = [*RAKI, 'compare', 'full.h5', '-o', f'{coding}Ω', '--rates', '2', '--acs', '12', '--methods', 'zero-filled']
    environment = os.environ | {'PYTHONIOENCODING': coding}
    done = subprocess.run(
        [*line, '--replicas', '0'], cwd=folder, capture_output=True, check=False, timeout=120, env=environment
    )
    assert (done.returncode, done.stderr) == (0, b'')
    assert f'report: {coding}\\u03a9/report.html' in done.stdout.decode(coding)


def test_errors_are_never_printed_among_results(folder: Path) -> None:
    done = run('2>&-', 'info', 'nothing.h5', folder=folder)
    assert (done.returncode, done.stdout) == (3, b'')
    assert run('2>/dev/full', 'info', 'nothing.h5', folder=folder).returncode == 3


@pytest.mark.parametrize('words', [('info', 'scan.h5'), ('info', 'scan.h5', '--json'), ('--help',)])
def test_a_pipe_that_nobody_reads_ends_a_command_without_a_word(folder: Path, words: tuple[str, ...]) -> None:
    done = run('| (exec <&-; sleep 3)', *words, folder=folder)
    assert (done.returncode, done.stderr) == (141, b'')


def test_a_folder_that_is_gone_is_told_in_one_line(folder: Path) -> None:
    """Libraries look for themselves from where they are."""
    (folder / 'gone').mkdir()
    line = ['bash', '-c', 'cd gone && rmdir ../gone && exec "$@"', 'bash', *RAKI, 'info', str(folder / 'scan.h5')]
    line.insert(line.index('-m'), '-P')
    done = subprocess.run(line, cwd=folder, capture_output=True, check=False, timeout=120)
    assert done.returncode == 5
    assert b'is gone' in done.stderr.strip().splitlines()[-1]


def test_a_full_disk_behind_standard_output_is_told_once(folder: Path) -> None:
    done = run('>/dev/full', 'info', 'scan.h5', '--json', folder=folder)
    assert done.returncode == 5
    [line] = done.stderr.strip().splitlines()
    assert b'No space left' in line


def test_names_that_the_coding_of_the_output_lacks_are_escaped(folder: Path) -> None:
    """After the work, it must not fail for a letter."""
    (folder / 'schädel.h5').write_bytes((folder / 'scan.h5').read_bytes())
    for words in (['info', 'schädel.h5'], ['reconstruct', 'schädel.h5', '--method', 'zero-filled']):
        environment = os.environ | {'PYTHONIOENCODING': 'ascii'}
        done = subprocess.run([*RAKI, *words], cwd=folder, env=environment, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b'')
        assert b'sch\\xe4del' in done.stdout
