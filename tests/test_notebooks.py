"""Notebooks run, and their own assertions hold; one of them as a notebook, whose cells say little and show pictures."""

import re
import runpy
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / 'notebooks').glob('*.py'))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In its short form, on simulated scans, without a window."""
    for name in ('RAKI_RESULTS', 'RAKI_SCAN', 'RAKI_SCANS'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('MPLBACKEND', 'agg')
    monkeypatch.syspath_prepend(path.parent)  # as for a script
    runpy.run_path(str(path))
    assert 'agree' in capsys.readouterr().out


def test_ten_cells_from_arrays_show_pictures_and_little_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Executed as Jupyter does; text is what is printed, and all text of outputs without the pictures in it."""
    jupytext, nbclient = pytest.importorskip('jupytext'), pytest.importorskip('nbclient')
    (path,) = (path for path in NOTEBOOKS if path.stem == '06_from_arrays')
    notebook = jupytext.read(path)
    assert len(notebook.cells) == 10
    assert not re.search(r'raki\.[A-Z](?!imulation)', path.read_text(encoding='utf-8'))  # names are strings
    monkeypatch.setenv('PYTHONPATH', str(path.parents[1]))
    monkeypatch.delenv('MPLBACKEND', raising=False)
    nbclient.NotebookClient(notebook, timeout=600, resources={'metadata': {'path': str(tmp_path)}}).execute()
    outputs = [cell.get('outputs', []) for cell in notebook.cells]
    assert max(sum(map(_n_characters, each)) for each in outputs) < 2000
    assert sum(any(map(_has_picture, each)) for each in outputs) == 4
    assert not [output for each in outputs for output in each if output.get('name') == 'stderr']


def _texts(output: Mapping[str, Any]) -> list[str]:
    if output['output_type'] == 'stream':
        return [output['text']]
    return [text for kind, text in output['data'].items() if kind.startswith('text/')]


def _n_characters(output: Mapping[str, Any]) -> int:
    return sum(len(re.sub('data:image/png;base64,[A-Za-z0-9+/=]+', '', text)) for text in _texts(output))


def _has_picture(output: Mapping[str, Any]) -> bool:
    return 'image/png' in output.get('data', {}) or any('data:image/png' in text for text in _texts(output))


@pytest.mark.parametrize('name', ['01_quickstart', '03_noise_maps', '05_your_own_method', '06_from_arrays'])
def test_the_first_cell_installs_wheels_where_there_is_no_raki(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Colab; nothing else of the repository is needed."""
    jupytext = pytest.importorskip('jupytext')
    (path,) = (path for path in NOTEBOOKS if path.stem == name)
    first, *others = (cell.source for cell in jupytext.read(path).cells if cell.cell_type == 'code')
    assert not re.search(r'__file__|laboratory|notebooks/|\.\./', '\n'.join(others))
    installed: list[list[str]] = []
    monkeypatch.setattr(subprocess, 'run', lambda words, check: installed.append(words) if check else None)
    monkeypatch.chdir(tmp_path)
    exec(first, {})
    monkeypatch.setattr('importlib.util.find_spec', lambda _name: None)
    with pytest.raises(SystemExit, match=r'^Upload the wheel of raki here first: raki-VERSION-py3-none-any\.whl'):
        exec(first, {})
    assert not installed
    (tmp_path / 'raki-1.0-py3-none-any.whl').touch()
    exec(first, {})
    assert installed[0][1:6] == ['-m', 'pip', 'install', '-q', 'raki-1.0-py3-none-any.whl']
