"""What a report costs: its size and how long it takes to open, for the largest comparison that it is made for.

Five methods, five rates and three slices of 320 x 320, images, g-factor and retention maps; their noise, which does not
compress, is drawn anew in every cell and grows with the rate. The page is opened from disk by Debian's chromium without
a window.

    python benchmarks/report.py --json OUT.json
"""

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from playwright.sync_api import Browser, Page, sync_playwright
from scipy.ndimage import gaussian_filter
from torch import Tensor

from raki.coils.combine import root_sum_of_squares
from raki.commands.origin import versions
from raki.data.simulate import Simulation, simulate
from raki.evaluation.lesions import DIAMETERS, LesionResponse
from raki.evaluation.metrics import FIGURES, image_metrics, object_mask
from raki.evaluation.report import Report, ShownSlice, render_report, shown_cell, shown_slice
from raki.evaluation.retention import WANTED_ERROR, WIDTH
from raki.evaluation.rows import Cell, Row
from raki.evaluation.tradeoff import FACTORS
from raki.fourier import image_from_kspace

CHROMIUM = '/usr/bin/chromium'
METHODS = ('zero-filled', 'grappa', 'raki', 'raki-complex', 'gated')
RATES, N_SLICES, MATRIX = (2, 3, 4, 5, 6), 3, (320, 320)
NOISE, N_REPLICAS = 0.01, 100
N_OPENED = 5
LOOK = 3.0
"""How long somebody looks at the images before scrolling [s]."""


def cells(reference: Tensor, index: int, generator: torch.Generator) -> Iterator[Cell]:
    """Cells of one slice, with noise that grows with the rate and along one axis."""
    gain = 1 + torch.linspace(0, 1, MATRIX[1])
    for rate, method in product(RATES, METHODS):
        noise = torch.randn(2, *MATRIX, generator=generator) * NOISE * rate**0.5 * gain * reference.max()
        image = torch.hypot(reference + noise[0], noise[1])
        sampled = torch.randn(MATRIX, generator=generator) * (2 * (N_REPLICAS - 1)) ** -0.5
        gfactor = gain * rate**0.5 * (1 + sampled).clamp(min=0)
        probes = gaussian_filter(torch.randn(MATRIX, generator=generator).numpy(), WIDTH)
        retained = 1 - 0.1 * gain + WANTED_ERROR / probes.std() * torch.from_numpy(probes)
        yield Cell(row(method, rate, index, image_metrics(image, reference)), image, gfactor, retained)


def row(method: str, rate: int, index: int, metrics: dict[str, float]) -> Row:
    """A row with what cannot be measured here set to something."""
    figures: dict[str, Any] = dict.fromkeys((figure.name for figure in FIGURES), 1.0) | {
        'gfactor_standard_error': (2 * (N_REPLICAS - 1)) ** -0.5,
        'retention_standard_error': WANTED_ERROR,
        'gfactor_mean': 1.5 * rate**0.5,
        'gfactor_p95': 2.0 * rate**0.5,
    }
    values = torch.ones(len(FACTORS))
    lesions = [
        LesionResponse(diameter, sign, values, values).summary() for diameter in DIAMETERS for sign in (0.2, -0.2)
    ]
    swept = [{'strength': factor, 'nrmse_object': 0.1 / rate, 'retention_mean': 0.9} for factor in FACTORS]
    return Row(method, rate, 24, index, None, figures | metrics, lesions=lesions, tradeoff=swept)


def report() -> Report:
    """The worst case."""
    generator = torch.Generator().manual_seed(0)
    scan = simulate(Simulation(MATRIX, 8, N_SLICES, NOISE))
    assert scan.reference is not None
    rows, slices = [], dict[int, ShownSlice]()
    for index, truth in enumerate(scan.reference):
        reference = root_sum_of_squares(image_from_kspace(truth))
        shown = []
        for cell in cells(reference, index, generator):
            rows.append(cell.row.flat())
            shown.append(shown_cell(cell, reference))
        slices[index] = shown_slice(reference, object_mask(reference), shown)
    shape = {'slice': N_SLICES, 'coil': 8, 'ky': MATRIX[0], 'kx': MATRIX[1]}
    described = {'file': 'worst case', 'format': 'simulated', 'shape': shape, 'reference': 'itself', 'noise': 'drawn'}
    settings = {
        'image': 'root sum of squares',
        'object': 'bright',
        'lattice': 'none',
        'coils': 'as they are',
        'n_replicas': N_REPLICAS,
    }
    return Report({'scan': described, 'versions': versions(), 'settings': settings, 'rows': rows}, slices)


def shown(browser: Browser, path: Path) -> Page:
    """A page whose images are there."""
    page = browser.new_page(viewport={'width': 1400, 'height': 900})
    page.goto(path.as_uri(), wait_until='commit')
    page.wait_for_selector('html[data-ready]')
    return page


def moment(page: Page, name: str) -> float:
    """When something happened [s]."""
    return page.evaluate(f"performance.getEntriesByName('{name}')[0].startTime") / 1000


def curves_after_scrolling(page: Page) -> float:
    """Seconds from scrolling to the curves until all are drawn."""
    scrolled = page.evaluate('performance.now()') / 1000
    page.locator('#curves').scroll_into_view_if_needed()
    page.wait_for_selector('html[data-curves]')
    return moment(page, 'curves') - scrolled


def opened(browser: Browser, path: Path) -> dict[str, float]:
    """Seconds until the images are there, until another rate asked for at once is, and from scrolling to curves."""
    start = perf_counter()
    page = shown(browser, path)
    page.keyboard.press('ArrowLeft')  # the methods differ nowhere, so the page opens at the last rate
    page.wait_for_selector(f'html[data-shown*=\'"rate":{RATES[-2]}\']')
    responded = perf_counter() - start
    found = {
        'images': moment(page, 'interactive'),
        'next_rate': responded,
        'curves_after_scrolling_at_once': curves_after_scrolling(page),
    }
    page.close()
    page = shown(browser, path)
    page.wait_for_timeout(1000 * LOOK)
    found['curves_after_scrolling_later'] = curves_after_scrolling(page)
    page.close()
    return found


def measure(path: Path) -> dict[str, Any]:
    """Open a page several times; medians, and the worst."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        times = [opened(browser, path) for _ in range(N_OPENED)]
        chromium = browser.version
        browser.close()
    seconds = {
        name: {
            'median': round(median(each[name] for each in times), 3),
            'most': round(max(each[name] for each in times), 3),
        }
        for name in times[0]
    }
    return {'seconds': seconds, 'chromium': chromium}


def main() -> None:
    """Write the page, open it, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', type=Path, help='where to store what was measured')
    parser.add_argument('--keep', type=Path, help='where to keep the page')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.keep or Path(folder) / 'report.html'
        load, start = round(os.getloadavg()[0], 1), perf_counter()
        path.write_text(render_report(report()), encoding='utf-8')
        written = perf_counter() - start
        result = {
            'case': {'methods': len(METHODS), 'rates': len(RATES), 'slices': N_SLICES, 'matrix': MATRIX},
            'megabytes': round(path.stat().st_size / 1e6, 2),
            'seconds_written': round(written, 2),
            **measure(path),
            'machine': platform.machine(),
            'cores': os.cpu_count(),
            'load_before': load,
            'versions': versions(),
        }
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
