"""Optional parts of the package: what a base install does without them, and what it says."""

import runpy
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from raki.cli import main
from raki.errors import ExtraError
from raki.evaluation.outside import BASELINES
from raki.extras import LIBRARIES, has_extra, require_extra

SETTINGS = tomllib.loads((Path(__file__).parents[1] / 'pyproject.toml').read_text(encoding='utf-8'))['project']
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with a scan, where no library of an optional part is installed."""
    for library in LIBRARIES.values():
        for name in [name for name in sys.modules if name.partition('.')[0] == library]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.chdir(tmp_path)
    assert main(['simulate', '-o', 'scan.h5', '--matrix', '32x24', '--coils', '4']) == 0
    return tmp_path


@pytest.mark.parametrize('extra', LIBRARIES)
def test_a_missing_part_is_named_with_what_installs_it(bare: Path, extra: str) -> None:
    del bare
    with pytest.raises(ExtraError, match=rf"^this needs {LIBRARIES[extra]}, .*: pip install 'raki\[{extra}\]'$"):
        require_extra(extra, 'this')
    assert any(each.startswith(LIBRARIES[extra]) for each in SETTINGS['optional-dependencies'][extra])
    assert not any(each.startswith(LIBRARIES[extra]) for each in SETTINGS['dependencies'])


@pytest.mark.parametrize('name', sorted(set(BASELINES) - {'bart-pics'}))
def test_references_that_are_not_installed_are_told_before_any_work(bare: Path, name: str, capsys: Capture) -> None:
    capsys.readouterr()
    assert main(['compare', 'scan.h5', '-o', 'out', '--rates', '2', '--acs', '12', '--methods', 'grappa', name]) == 2
    assert capsys.readouterr().err == (
        f"raki: {name} needs sigpy, which is not installed: pip install 'raki[references]'\n"
    )
    assert not (bare / 'out').exists()


def test_a_missing_bart_is_told_before_any_work(bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv('PATH', str(bare))
    capsys.readouterr()
    words = ['--rates', '2', '--acs', '12', '--methods', 'grappa', 'bart-pics']
    assert main(['compare', 'scan.h5', '-o', 'out', *words]) == 5
    assert capsys.readouterr().err.startswith('raki: the BART toolbox is not installed: leave bart-pics out')
    assert not (bare / 'out').exists()


def test_the_main_job_needs_no_optional_part(bare: Path) -> None:
    """Without plotly the report has everything but curves, and says so."""
    for words in (
        ['info', 'scan.h5'],
        ['compare', 'scan.h5', '-o', 'out', '--rates', '2', '--acs', '12', '--methods', 'grappa', '--replicas', '2'],
        ['simulate', '-o', 'half.h5', '--matrix', '32x24', '--coils', '4', '--rate', '2', '--acs', '12'],
        ['reconstruct', 'half.h5', '-o', 'images.h5', '--method', 'grappa'],
        ['view', 'images.h5', '--no-open'],
        ['simulate', '-o', 'volume.h5', '--matrix', '8x16x12', '--coils', '4'],
    ):
        assert main(words) == 0
    page = (bare / 'out' / 'report.html').read_text(encoding='utf-8')
    assert "pip install 'raki[curves]'" in page
    assert 'id="plotly"' not in page
    assert 'id="table"' in page


def test_a_part_that_is_installed_is_found_without_importing_it() -> None:
    pytest.importorskip('sigpy')
    assert has_extra('references')


def test_the_extra_of_everything_names_all_that_users_may_want() -> None:
    extras = SETTINGS['optional-dependencies']
    assert extras['all'] == [f'raki[{",".join(sorted(set(extras) - {"all", "dev", "docs", "peers"}))}]']


def test_the_size_of_an_installation_counts_what_requirements_need_in_turn() -> None:
    script = runpy.run_path(str(Path(__file__).parents[1] / 'benchmarks' / 'install_size.py'))
    found = script['closure'](
        ['h5py>=3', 'there-is-no-such-package; python_version > "3"', 'torch; python_version < "3"']
    )
    assert set(found) == {'h5py', 'numpy', 'there-is-no-such-package'}
    assert found['there-is-no-such-package'] is None
    assert script['size_of'](found['numpy']).bytes > Path(np.__file__).stat().st_size
    assert set(script['EXTRAS']) == set(SETTINGS['optional-dependencies']) - {'all', 'dev', 'docs', 'peers'}
