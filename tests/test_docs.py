"""The site says what the package does: `make docs` builds it without warnings, these tests hold its contents to it."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import typer

import raki
from raki.cli import app
from raki.commands.catalogue import METHODS
from tests.test_architecture import MODULES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / 'docs'
MADE = ('notebooks', 'commands')
"""Folders that the build fills; of the second, the index is written by hand."""

PAGES = {
    path.relative_to(DOCS).as_posix(): path.read_text(encoding='utf-8')
    for path in sorted(DOCS.rglob('*.md'))
    if path.relative_to(DOCS).parts[0] not in MADE or path == DOCS / 'commands' / 'index.md'
}

CELL = re.compile(r'```\{code-cell\}[^\n]*\n(?::[^\n]*\n)*(.*?)^```$', re.DOTALL | re.MULTILINE)
FIGURE = re.compile(r'!\[|plt\.show\(\)')

LONG = 1500
"""The most words of a page without a figure."""


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
    [code] = re.findall(
        r'```python\n(.*?)```', (DOCS / 'formats' / 'arrays.md').read_text(encoding='utf-8'), flags=re.DOTALL
    )
    exec(code, {})
    scan = raki.load_scan('scan.h5')
    assert bool((scan.mask == sampling.mask).all())
    assert bool((scan.kspace[0, :, scan.mask] == full.kspace[0, :, scan.mask]).all())


@pytest.mark.parametrize('page', PAGES)
def test_a_long_page_has_a_figure(page: str) -> None:
    prose = CELL.sub('', PAGES[page])
    assert len(prose.split()) <= LONG or FIGURE.search(PAGES[page])


@pytest.mark.parametrize('page', [page for page, text in PAGES.items() if CELL.search(text)])
def test_code_of_a_page_can_be_executed_and_says_where_its_numbers_come_from(page: str) -> None:
    """The build executes it; here only whether it is Python, with the front matter that a notebook needs."""
    text = PAGES[page]
    assert text.startswith('---\nfile_format: mystnb\n')
    for cell in CELL.findall(text):
        ast.parse(cell)
    if 'plt.show()' in text:
        assert re.search(r'python (benchmarks|notebooks)/\w+\.py|omputed when this page is built', text)


def test_files_that_pages_name_are_there() -> None:
    """Benchmarks, what they found, and modules: a number without its command is no number."""
    named = re.compile(r'\b(?:benchmarks|notebooks|raki|tests|data|grappa)/[\w/.]*\w\.(?:py|json|md)\b')
    lost = [(page, name) for page, text in PAGES.items() for name in named.findall(text) if not (ROOT / name).exists()]
    assert not lost


def test_every_command_is_in_the_table_of_commands() -> None:
    table = PAGES['commands/index.md']
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    visible = {name for name, command in commands.items() if not command.hidden}
    assert set(re.findall(r'\((\w+)\.md\)', table)) == visible


def test_every_method_is_in_the_table_of_methods() -> None:
    names = re.findall(r'^\| `([\w-]+)` \|', PAGES['methods.md'].split('## How good')[0], flags=re.MULTILINE)
    assert names == list(METHODS)
