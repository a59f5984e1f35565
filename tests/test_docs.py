"""The site says what the package does: `make docs` builds it without warnings, these tests hold its contents to it."""

import re
from pathlib import Path

import numpy as np
import pytest

import raki
from tests.test_architecture import MODULES

DOCS = Path(__file__).resolve().parents[1] / 'docs'


def test_the_reference_has_every_module_once() -> None:
    pages = '\n'.join(path.read_text(encoding='utf-8') for path in sorted((DOCS / 'api').glob('*.md')))
    listed = re.findall(r'automodule:: (\S+)', pages)
    assert sorted(listed) == sorted(name for name, path in MODULES.items() if path.name != '__init__.py')


def test_the_recipe_for_numpy_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a simulated scan of which every second line was measured, besides the ACS."""
    full = raki.simulate(raki.Simulation(matrix=(40, 32), n_coils=4))
    sampling = raki.undersample(full.mask, (2,), (16,))
    monkeypatch.chdir(tmp_path)
    np.save('kspace.npy', np.where(sampling.mask[:, None], full.kspace[0], 0))
    [code] = re.findall(r'```python\n(.*?)```', (DOCS / 'formats.md').read_text(encoding='utf-8'), flags=re.DOTALL)
    exec(code, {})
    scan = raki.load_scan('scan.h5')
    assert bool((scan.mask == sampling.mask).all())
    assert bool((scan.kspace[0, :, scan.mask] == full.kspace[0, :, scan.mask]).all())
