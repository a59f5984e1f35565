"""The site says what the package does: `make docs` builds it without warnings, these tests hold its contents to it."""

import ast
import json
import math
import re
import tomllib
from itertools import takewhile
from pathlib import Path
from statistics import fmean
from typing import Any

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
GALLERY = sorted(path for path in (DOCS / 'gallery').glob('*.py') if path.name != 'scene.py')
LENGTHS = [
    *(DOCS / page for page in PAGES),
    *GALLERY,
    *sorted((ROOT / 'notebooks').glob('*.py')),
    *sorted((ROOT / 'notebooks' / 'results').glob('*.md')),
]

LONGEST_PROSE = 1500
"""Words that a page may have without a figure."""

LONGEST_SYMPTOM = 400
"""Words of a page of the gallery."""


def prose_of(path: Path) -> str:
    """What a page says, without its code and tables."""
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.md':
        return re.sub(r'^(`{3,}|:{3,}).*?^\1|^\|[^\n]*$', '', text, flags=re.DOTALL | re.MULTILINE)
    cells = re.split(r'^# %%(.*)\n', text, flags=re.MULTILINE)[1:]
    said = (cell for kind, cell in zip(cells[::2], cells[1::2], strict=True) if '[markdown]' in kind)
    return re.sub(r'^# ?', '', '\n'.join(said), flags=re.MULTILINE)


def has_figure(path: Path) -> bool:
    """Whether a page shows a picture: a file, or one that it draws when it is executed."""
    text = path.read_text(encoding='utf-8')
    return bool(
        re.search(
            r'!\[|<img |\{(figure|image)\}|plt\.show\(\)' if path.suffix == '.md' else r'panels\(|subplots\(', text
        )
    )


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
    assert sorted(re.findall(r'\((\w+)\.md\)', table)) == sorted(visible)


def test_every_extra_for_users_is_in_the_table_of_extras() -> None:
    extras = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']['optional-dependencies']
    table = PAGES['start.md'].split('## Extras')[1]
    told = re.findall(r'^\| `(\w+)` \|', table, flags=re.MULTILINE)
    assert sorted(told) == sorted(set(extras) - {'dev', 'docs'})
    [whole] = extras['all']
    before_all = told[: told.index('all')]
    assert sorted(before_all) == sorted(whole.removeprefix('raki[').removesuffix(']').split(','))


def test_every_method_is_in_the_table_of_methods() -> None:
    names = re.findall(r'^\| `([\w-]+)` \|', PAGES['methods.md'].split('## How good')[0], flags=re.MULTILINE)
    assert names == list(METHODS)


@pytest.mark.parametrize('path', LENGTHS, ids=lambda path: path.relative_to(DOCS.parent).as_posix())
def test_a_long_page_has_a_figure(path: Path) -> None:
    n_words = len(prose_of(path).split())
    assert n_words <= LONGEST_PROSE or has_figure(path), f'{n_words} words without a figure: split it, or draw one'


@pytest.mark.parametrize('path', GALLERY, ids=lambda path: path.stem)
def test_a_page_of_the_gallery_is_short_and_shows_what_it_is_about(path: Path) -> None:
    assert len(prose_of(path).split()) <= LONGEST_SYMPTOM
    assert has_figure(path)


def test_the_gallery_leads_to_every_page_from_a_picture_that_the_page_makes() -> None:
    index = (DOCS / 'gallery' / 'index.md').read_text(encoding='utf-8')
    linked = re.findall(r'<a href="(\w+)\.html"><img src="\.\./_static/(\w+)\.png"', index)
    made = {path.stem: re.findall(r"thumbnail\(\s*'(\w+)'", path.read_text(encoding='utf-8')) for path in GALLERY}
    assert dict(linked) == {page: names[0] for page, names in made.items() if names}
    listed = re.findall(r'^(\w+)$', index, flags=re.MULTILINE)
    assert sorted(listed) == sorted([*made, 'with_mrpro'])


def cells_of(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of a page's table that has this heading, by their first cell."""
    lines = PAGES[page].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(heading))
    table = takewhile(lambda line: line.startswith('|'), lines[start + 2 :])
    rows = [[cell.strip(' `') for cell in line.strip('|').split('|')] for line in table]
    return {name: others for name, *others in rows}


def stored(name: str) -> dict[str, Any]:
    return json.loads((ROOT / 'benchmarks' / 'results' / f'{name}.json').read_text(encoding='utf-8'))


@pytest.mark.parametrize('method', ['grappa', 'gated', 'sparse'])
def test_the_table_of_lesions_is_what_was_measured(method: str) -> None:
    row = stored('lesions')['summary'][method]
    found = cells_of('science/fidelity.md', '| | `geomean_snr` | `worst_snr`')[method]
    assert found == [f'{row[each]:.3f}' for each in ('geomean_snr', 'worst_snr', 'mean_contrast', 'worst_contrast')]


@pytest.mark.parametrize('method', ['gated', 'spirit', 'sparse', 'l1-wavelet', 'espirit'])
def test_the_table_of_duels_is_what_was_measured(method: str) -> None:
    every = stored('ceiling')
    pairs = [every['duels'][method][other] for other in ('plain-grappa', 'gated', 'l1-wavelet', 'gated or l1-wavelet')]
    ratios = ['1' if each == worst == 1 else f'{each:.3f} ({worst:.3g})' for each, worst in pairs]
    found = cells_of('science/self_consistency.md', '| | over plain GRAPPA')[method]
    assert found == [*ratios, f'{every["summary"][method]["mean_seconds"]:.2f}']


@pytest.mark.parametrize(
    ('cells', 'file'),
    [('six scans, R = 3 to 6, ACS 16 to 32 (144)', 'ceiling'), ('structured phantoms', 'ceiling_structured')],
)
def test_the_table_of_own_calibration_is_what_was_measured(cells: str, file: str) -> None:
    summary = stored(file)['summary']
    table = cells_of('science/own_calibration.md', '| cells | `grappa`')
    [found] = [row for name, row in table.items() if name.startswith(cells)]
    errors = [
        (summary[each]['geomean_nrmse_object'], summary[each]['worst_nrmse_object']) for each in ('grappa', 'gated')
    ]
    assert found == [f'{each:.3f} ({worst:.3f})' for each, worst in errors]


def geometric_mean(ratios: list[float]) -> float:
    return math.exp(fmean(map(math.log, ratios)))


@pytest.mark.parametrize(
    ('cells', 'rate', 'eighths'),
    [('R = 1, 6/8', 1, 6), ('R = 1, 5/8', 1, 5), ('gated` R = 3, 6/8', 3, 6), ('gated` R = 3, 5/8', 3, 5)],
)
def test_the_table_of_partial_fourier_is_what_was_measured(cells: str, rate: int, eighths: int) -> None:
    rows = [row for row in stored('partial_fourier')['rows'] if (row['rate'], row['eighths']) == (rate, eighths)]
    groups = [[row for row in rows if row['method'] == each] for each in ('pocs', 'homodyne')]
    expected = []
    for group in groups:
        real = [row for row in group if not row['scan'].startswith('simulated')]
        ratios, plain = ([row[name] for row in real] for name in ('ratio', 'ratio_unweighted'))
        n_worse = sum(ratio >= 1 for ratio in ratios)
        both = [f'{geometric_mean(each):.3f} ({max(each):.3f})' for each in (ratios, plain)]
        expected += [str(len(real))] * (not expected) + [both[0], str(n_worse), both[1]]
    assert cells_of('around.md', '| | cells | `pocs`')[cells] == expected


@pytest.mark.parametrize(
    ('cells', 'scan', 'rate'),
    [
        ('brain, 4x, 10 ACS lines', 'pulseq_brain16', 4),
        ('brain, 8x, 5 ACS lines', 'pulseq_brain16', 8),
        ('simulated, 320 lines, 4x, 26 ACS lines', 'simulated_320', 4),
        ('simulated, 320 lines, 8x, 13 ACS lines', 'simulated_320', 8),
    ],
)
def test_the_table_of_masks_is_what_was_measured(cells: str, scan: str, rate: int) -> None:
    rows = {row['method']: row for row in stored('masks')['rows'] if (row['scan'], row['rate']) == (scan, rate)}
    told = {
        name: 'refused' if 'refused' in row else f'{row["ratio"]:.2f} ({row["worst_ratio"]:.2f})'
        for name, row in rows.items()
    }
    found = cells_of('formats/masks.md', '| | `grappa` | `gated` | `spirit`')[cells]
    assert found == [told.get(name, '') for name in ('grappa', 'gated', 'spirit', 'sparse')]


@pytest.mark.parametrize('method', ['gated', 'grappa'])
def test_the_table_of_latency_is_what_was_measured(method: str) -> None:
    [row] = [row for row in stored('serve')['latency'] if row['method'] == method]
    names = ('reuse [s]', 'fill [s]', 'fill to image [s]', 'anew [s]', 'learn to image [s]')
    assert cells_of('inline.md', '| [ms] | learnt before')[method] == [
        f'{1000 * row[name]:.2g}' if row[name] < 0.1 else f'{1000 * row[name]:.0f}' for name in names
    ]
