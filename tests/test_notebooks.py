"""Notebooks run, and their own assertions hold."""

import runpy
from pathlib import Path

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
