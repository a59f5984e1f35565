"""Figures of the README are those of committed results, to the digits that it shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
RATE = '4'
"""At which prices are told."""


def summary(name: str) -> dict[str, Any]:
    return json.loads((ROOT / 'benchmarks' / 'results' / f'{name}.json').read_text(encoding='utf-8'))['summary']


def table() -> dict[str, dict[str, str]]:
    """The table of methods: by method and heading, what is written."""
    lines = [line for line in README.splitlines() if line.startswith('|')]
    start = next(number for number, line in enumerate(lines) if line.startswith('| method | error'))
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[start:]]
    headings = cells[0]
    rows = [row for row in cells[2:] if row[0].startswith('`') and len(row) == len(headings)]
    return {row[0].strip('`'): dict(zip(headings[1:], row[1:], strict=True)) for row in rows}


def expected(method: str) -> dict[str, tuple[float, ...] | None]:
    """What results say: a mean, and the worst of all cells or scans."""
    errors = summary('ceiling').get(method) or summary('ceiling_networks').get(method)
    lesions, price = summary('lesions').get(method), summary('price')[RATE].get(method)
    assert errors is not None
    return {
        'error': (errors['geomean_nrmse_object'], errors['worst_nrmse_object']),
        'lesion SNR': lesions and (lesions['geomean_snr'], lesions['worst_snr']),
        'lesion contrast': lesions and (lesions['mean_contrast'], lesions['worst_contrast']),
        'points kept': price and (price['mean_point_peak'], price['worst_point_peak']),
        'signal kept': price and (price['mean_retention_mean'], price['worst_retention_mean']),
        'CPU s': (errors['mean_seconds'],),
    }


@pytest.mark.parametrize('method', table())
def test_the_table_says_what_results_say(method: str) -> None:
    for heading, values in expected(method).items():
        written = re.findall(r'\d+(?:\.\d+)?', table()[method][heading])
        if method == 'plain-grappa' and heading not in ('points kept', 'signal kept', 'CPU s'):
            assert written == ['1'], heading
            continue
        if values is None:
            assert not written, heading
            continue
        digits = [len(number.partition('.')[2]) for number in written]
        assert written == [f'{value:.{n}f}' for value, n in zip(values, digits, strict=True)], heading


def test_it_is_short() -> None:
    assert len(README.split()) < 900
