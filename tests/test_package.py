"""The package as a user gets it, and the promises of the README."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import raki
from raki.commands.catalogue import METHODS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


@pytest.mark.parametrize('name', raki.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(raki, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match='grapa'):
        raki.grapa  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_that_of_the_package() -> None:
    assert raki.__version__ == version('raki')


def test_a_method_may_be_named() -> None:
    """Wherever one is taken."""
    scan = raki.simulate(raki.Simulation(matrix=(40, 32), n_coils=4))
    sampling = raki.undersample(scan.mask, (2,), (16,))
    expected = raki.fit(raki.Grappa(), scan.kspace[0], sampling).fill(scan.kspace[0])
    assert torch.equal(raki.fit('grappa', scan.kspace[0], sampling).fill(scan.kspace[0]), expected)
    half = replace(scan, mask=sampling.mask)
    assert np.array_equal(raki.reconstruct(half, 'grappa').image, raki.reconstruct(half, raki.Grappa()).image)
    assert np.array_equal(raki.reconstruct(half).image, raki.reconstruct(half, raki.Gated()).image)
    with pytest.raises(ValueError, match="no method 'grapa': choose from zero-filled, grappa"):
        raki.fit('grapa', scan.kspace[0], sampling)


def test_the_readmes_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a tiny scan, with fewer iterations; everything else as printed there."""
    scan = raki.simulate(raki.Simulation(matrix=(40, 32), n_coils=4))
    with h5py.File(tmp_path / 'scan.h5', 'w') as file:
        file['kspace'] = scan.kspace.transpose(2, 3).numpy()
        file['mask'] = raki.undersample(scan.mask, (2,), (16,)).mask.numpy()
    monkeypatch.chdir(tmp_path)
    code = re.findall(r'```python\n(.*?)```', README, flags=re.DOTALL)[0]
    exec(code, {})
    assert capsys.readouterr().out.count('(1, 40, 32)') == 2


def test_the_readme_names_every_method() -> None:
    for name in METHODS:
        assert f'`{name}`' in README


def test_a_wheel_holds_the_whole_package_once(tmp_path: Path) -> None:
    """Built without the network; the links inside raki/ must not put data and grappa into it twice."""
    copy = tmp_path / 'copy'
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns('.*', 'build', 'demo'))
    words = [
        '-m',
        'pip',
        'wheel',
        '--quiet',
        '--no-deps',
        '--no-build-isolation',
        '--wheel-dir',
        str(tmp_path),
        str(copy),
    ]
    built = subprocess.run([sys.executable, *words], check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob('*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    assert {'raki/py.typed', 'raki/__init__.pyi', 'raki/data/scan.py', 'raki/grappa/method.py'} <= set(names)
    pages = {f'raki/evaluation/page/{path.name}' for path in (ROOT / 'raki' / 'evaluation' / 'page').iterdir()}
    assert pages <= set(names)
    assert {f'raki/evaluation/page/{name}.html' for name in ('benchmark', 'contact', 'report')} <= pages
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith(('data/', 'grappa/', 'tests/'))]
    _require_comparing(wheel, tmp_path / 'elsewhere')


def _require_comparing(wheel: Path, folder: Path) -> None:
    """Outside the repository, from the wheel alone."""
    zipfile.ZipFile(wheel).extractall(folder / 'site')
    environment = {**os.environ, 'PYTHONPATH': str(folder / 'site')}

    def raki(*words: str) -> None:
        command = [sys.executable, '-m', 'raki.cli', *words]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)

    where = 'import raki.cli; print(raki.cli.__file__)'
    found = subprocess.run([sys.executable, '-c', where], check=True, capture_output=True, cwd=folder, env=environment)
    assert Path(found.stdout.decode().strip()).is_relative_to(folder)
    raki('simulate', '-o', 'scan.h5', '--matrix', '32x24', '--coils', '4')
    raki('compare', 'scan.h5', '-o', 'out', '--rates', '2', '--acs', '12', '--methods', 'grappa', '--replicas', '2')
    assert (folder / 'out' / 'report.html').is_file()


@pytest.mark.parametrize('name', ['quality', 'ceiling', 'raki'])
def test_benchmarks_find_the_package_beside_a_script_of_its_name(name: str) -> None:
    command = [sys.executable, str(ROOT / 'benchmarks' / f'{name}.py'), '--help']
    assert '--json' in subprocess.run(command, check=True, capture_output=True, text=True).stdout
