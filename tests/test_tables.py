"""What a comparison looks like in a terminal: directions, marks, prices, slices, 80 columns."""

import re
from io import BytesIO, TextIOWrapper
from itertools import product
from typing import Any

import pytest

from raki.commands.tables import place_of, show_comparison
from raki.evaluation.rows import Row
from raki.evaluation.verdict import verdict_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('COLUMNS', '80')


def row(method: str, error: float, **others: Any) -> Row:
    """A cell with figures as they may be; `others` are fields or figures."""
    usual = {'energy_ratio': 0.9, 'gfactor_mean': 2.0, 'point_peak': 0.9, 'ghost_index': 0.1, 'noise_bias': 0.0}
    names = {'rate': 4, 'acs': 24, 'slice': 3, 'seed': None} | others
    cell = {name: names.pop(name) for name in ('rate', 'acs', 'slice', 'seed')}
    figures = {'nrmse_object': error, 'seconds_fit': 0.1, 'seconds_fill': 0.1, **usual, **names}
    return Row(method, figures=figures, **cell)


def shown(rows: list[Row], capsys: Capture) -> list[str]:
    show_comparison(rows, 'scan.h5')
    return capsys.readouterr().out.splitlines()


def test_the_sentence_stands_before_the_table_which_names_the_slice(capsys: Capture) -> None:
    rows = [row('grappa', 0.1), row('gated', 0.05)]
    lines = shown(rows, capsys)
    blank = lines.index('')
    assert ' '.join(line.strip() for line in lines[:blank]) == verdict_of([each.flat() for each in rows]).sentence
    assert lines[blank + 1].strip() == 'scan.h5, slice 3'


def test_columns_say_which_way_is_better_and_the_best_is_marked(capsys: Capture) -> None:
    lines = shown([row('grappa', 0.1), row('gated', 0.05, seconds_fit=0.4)], capsys)
    heads = next(line for line in lines if '↓' in line)
    assert re.findall('[↓↑]', heads) == ['↓', '↓', '↑', '↓', '↓', '↓']
    gated = next(line for line in lines if line.startswith(' gated'))
    assert gated.split() == ['gated', '4', '24', '0.0500★', '2.00★', '0.90★', '0.100★', '0.0000★', '0.50']
    assert any(line.startswith('↓ lower, ↑ higher is better; ★ best') for line in lines)


def test_a_best_value_at_a_price_is_hollow_and_the_price_stands_in_its_column(capsys: Capture) -> None:
    lines = shown([row('grappa', 0.1), row('sparse', 0.05, point_peak=0.5)], capsys)
    sparse = next(line for line in lines if line.startswith(' sparse'))
    assert '0.0500☆' in sparse
    assert '0.50†' in sparse
    assert any(line.startswith('☆: best at a price, compared with grappa') for line in lines)
    assert not any(mark in line for mark in '☆†' for line in shown([row('grappa', 0.1), row('sparse', 0.05)], capsys))


def test_the_widest_table_has_room_in_80_columns(capsys: Capture) -> None:
    """Volumes with long names, times and deviations."""
    cells = product(('raki-complex', 'bart-pics'), ('2x3s1', '2x2'), (0, 1))
    rows = [
        row(method, 0.1 + seed / 100, rate=rate, acs='16x24', seed=seed, seconds_fit=9000.0, gfactor_mean=10.0)
        for method, rate, seed in cells
    ]
    lines = shown(rows, capsys)
    assert max(map(len, lines)) <= 80
    assert not any('…' in line for line in lines)
    assert any(line.split()[:3] == ['raki-complex', '2x3s1', '16x24'] for line in lines)
    assert any('0.1050★ 0.0071' in line for line in lines)


def test_rates_and_acs_of_two_axes_are_sorted_by_their_numbers(capsys: Capture) -> None:
    lines = shown([row('grappa', 0.1, rate=rate, acs='16x24') for rate in ('10x1', '2x2s1', '2x2')], capsys)
    assert [line.split()[1] for line in lines if line.startswith(' grappa')] == ['2x2', '2x2s1', '10x1']


@pytest.mark.parametrize(
    ('slices', 'seeds', 'rate', 'expected'),
    [
        ([3], [None], 4, 'slice 3'),
        ([3], [0, 1], 4, 'slice 3, means of 2 seeds'),
        ([3, 5], [None], 4, 'means of 2 slices (3, 5)'),
        ([3, 5], [0, 1], 4, 'means of 2 slices (3, 5) and 2 seeds'),
        (list(range(9)), [None], 4, 'means of 9 slices (0 ... 8)'),
        ([6], [None], '2x2', 'the whole volume, shown in slice 6'),
    ],
)
def test_slices_are_named(slices: list[int], seeds: list[int | None], rate: int | str, expected: str) -> None:
    rows = [row('gated', 0.1, slice=index, seed=seed, rate=rate) for index, seed in product(slices, seeds)]
    assert place_of(rows) == expected


@pytest.mark.parametrize('coding', ['ascii', 'cp1252', 'latin-1'])
def test_marks_are_letters_where_the_coding_of_the_output_lacks_them(
    monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    """All of them, so that the table has one set; as of a pipe on Windows."""
    printed = BytesIO()
    monkeypatch.setattr('sys.stdout', TextIOWrapper(printed, coding, write_through=True))
    show_comparison([row('grappa', 0.1), row('sparse', 0.05, point_peak=0.5)], 'scan.h5')
    lines = printed.getvalue().decode(coding).splitlines()
    sparse = next(line for line in lines if line.startswith('|sparse')).strip('|').split('|')
    assert (sparse[3].strip(), sparse[5].strip()) == ('0.0500o', '0.50!')
    assert any(line.startswith('v lower, ^ higher is better; * best') for line in lines)
    assert any(line.startswith('o: best at a price, compared with grappa') for line in lines)
