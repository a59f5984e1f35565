"""Example workflows do what they say, where the programs that run them are installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from raki.cli import main

WORKFLOWS = Path(__file__).resolve().parents[1] / 'docs' / 'workflows'

COMMANDS = {
    'snakemake': ['snakemake', '--cores', '1', '--snakefile', str(WORKFLOWS / 'Snakefile')],
    'nextflow': ['nextflow', 'run', str(WORKFLOWS / 'main.nf')],
}

SIMULATION = ['--matrix', '48x40', '--coils', '4', '--rate', '2', '--acs', '16']


@pytest.mark.parametrize('program', COMMANDS)
def test_a_workflow_reconstructs_every_scan(program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f'{program} is not installed')
    (tmp_path / 'scans').mkdir()
    for name in ('one', 'two words'):
        scan = tmp_path / 'scans' / f'{name}.h5'
        assert main(['simulate', '-o', str(scan), *SIMULATION]) == 0
    search = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    done = subprocess.run(
        COMMANDS[program], cwd=tmp_path, env={**os.environ, 'PATH': search}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {each.name.partition('.')[0] for each in (tmp_path / 'images').iterdir()} == {'one', 'two words'}
