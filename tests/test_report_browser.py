"""Reports and views as people use them: in Debian's chromium, without a window, driven by playwright."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from raki.cli import main
from raki.commands.compare import compare_file
from raki.data.load import open_scan
from raki.data.masks import Drawn
from raki.data.save import write_scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation import web_page
from raki.evaluation.plan import Plan, Rate
from raki.evaluation.verdict import COLUMNS, verdict_of
from raki.grappa.method import Grappa
from raki.interpolation.calibration import silent
from raki.interpolation.fit import ZeroFilling
from tests.toys import RAKI_QUICK

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as BrowserPage

CHROMIUM = shutil.which('chromium')
LAYERS = ('image', 'error', 'gfactor', 'retention')
FLAT = {('retention', 'zero-filled'), ('gfactor', 'zero-filled')}
"""Tiles that show the same everywhere, as nothing comes back, or nothing at all."""


@pytest.fixture(scope='module')
def browser() -> 'Iterator[Browser]':
    api = pytest.importorskip('playwright.sync_api', reason='needs the package playwright')
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield browser
        browser.close()


@pytest.fixture(scope='module')
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slices, two rates, two seeds; the network has too few equations, so there are warnings."""
    folder = tmp_path_factory.mktemp('report')
    write_scan(folder / 'scan.h5', simulate(Simulation(matrix=(48, 40), n_coils=6, n_slices=2)), {})
    methods = {'zero-filled': ZeroFilling(), 'grappa': Grappa(), 'raki': RAKI_QUICK}
    plan = Plan(methods, (Rate((2,)), Rate((3,))), ((16,),), (0, 1), n_replicas=3)
    compare_file(open_scan(folder / 'scan.h5'), folder, plan, (0, 1), lambda _name: silent)
    return folder / 'report.html'


@pytest.fixture(scope='module')
def view(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('view')
    scan, images = folder / 'scan.h5', folder / 'images.h5'
    write_scan(scan, simulate(Simulation(matrix=(48, 40), n_coils=4, n_slices=3)), {})
    assert main(['reconstruct', str(scan), '-o', str(images)]) == 0
    assert main(['view', str(images), '--no-open']) == 0
    return folder / 'images.html'


class Visit:
    """A page that is open, and what it complained about or asked for."""

    def __init__(self, browser: 'Browser', path: Path, fragment: str = '', **context: Any) -> None:
        options: dict[str, Any] = {'viewport': {'width': 1400, 'height': 900}} | context
        self.context = browser.new_context(**options)
        self.page: BrowserPage = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on('console', lambda message: self.complaints.append(message.text))
        self.page.on('pageerror', lambda error: self.complaints.append(str(error)))
        self.page.on('request', lambda request: self._note(request.url))
        self.page.goto(path.as_uri() + fragment)
        self.page.wait_for_selector('html[data-ready]')

    def _note(self, url: str) -> None:
        if not url.startswith('blob:'):  # what the page has unpacked of itself
            self.requests.append(url)

    def pixels(self, layer: str, method: str) -> str:
        """What a canvas shows."""
        return self.page.locator(f'figure[data-layer={layer}][data-method="{method}"] canvas').evaluate(
            'canvas => canvas.toDataURL()'
        )

    def everything(self) -> dict[tuple[str, str], str]:
        tiles = self.page.locator('figure').evaluate_all(
            'all => all.map(one => [one.dataset.layer, one.dataset.method])'
        )
        return {(layer, method): self.pixels(layer, method) for layer, method in tiles}

    def wait_for(self, **place: int) -> None:
        for axis, value in place.items():
            self.page.wait_for_selector(f'html[data-shown*=\'"{axis}":{value}\']', timeout=5000)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that no selector tells."""
        for _ in range(100):
            if holds():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError('it never came true')

    def box(self, selector: str, number: int = 0) -> Mapping[str, float]:
        """Where something is in the window."""
        box = self.page.locator(selector).nth(number).bounding_box()
        assert box is not None, selector
        return {name: float(box[name]) for name in ('x', 'y', 'width', 'height')}

    def draw_curves(self) -> None:
        self.page.locator('#curves').scroll_into_view_if_needed()
        self.page.wait_for_selector('html[data-curves]')


@pytest.fixture
def visit(browser: 'Browser', report: Path) -> Iterator[Visit]:
    """The report, which must neither complain nor ask for anything, whatever a test does with it."""
    found = Visit(browser, report)
    yield found
    found.context.close()
    assert found.complaints == []
    assert found.requests == [report.as_uri()]


def panels(visit: Visit) -> list[dict[str, Any]]:
    return json.loads(visit.page.locator('#data').text_content() or '')['panels']


def table_of(visit: Visit) -> dict[str, list[str]]:
    """Of every method what the table at the top shows."""
    lines = visit.page.locator('#summary tbody tr')
    return {
        lines.nth(i).locator('th').inner_text(): lines.nth(i).locator('td span:visible').all_text_contents()
        for i in range(lines.count())
    }


def test_browser_opens_with_the_answer_above_the_fold(browser: 'Browser', report: Path) -> None:
    """Verdict, table and three images, in this order, in a window of 1280 x 720."""
    visit = Visit(browser, report, viewport={'width': 1280, 'height': 720})
    rows = json.loads(report.with_name('results.json').read_text())['rows']
    first = visit.page.locator('body > :first-child > :first-child')
    assert first.inner_text() == verdict_of(rows).sentence
    boxes = [visit.box('h1'), visit.box('#summary'), *(visit.box('[data-layer=image] canvas', i) for i in range(3))]
    assert all(box['width'] > 100 and box['height'] > 20 for box in boxes)
    assert all(box['y'] + box['height'] <= 720 and box['x'] + box['width'] <= 1280 for box in boxes)
    assert boxes[0]['y'] < boxes[1]['y'] < boxes[2]['y']
    assert all(box['width'] >= 200 for box in boxes[2:])
    visit.context.close()


@pytest.mark.parametrize('width', [1600, 1280, 400])
@pytest.mark.parametrize('name', ['report', 'view'])
def test_browser_fits_every_window(browser: 'Browser', request: pytest.FixtureRequest, name: str, width: int) -> None:
    visit = Visit(browser, request.getfixturevalue(name), viewport={'width': width, 'height': 860})
    if name == 'report':
        visit.draw_curves()
        table = visit.box('#summary')
        assert table['x'] + table['width'] <= width
        reference, winner = (visit.box(f'[data-layer=image]{name} canvas') for name in ('[data-method=""]', '.chosen'))
        assert reference['x'] + reference['width'] <= winner['x'] + 2
        assert winner['x'] - reference['x'] - reference['width'] < 15 or width > 400  # nothing shows between them
        figures = [visit.box(f'[data-layer=image][data-method="{name}"]')['height'] for name in ('', 'raki')]
        assert figures[0] >= figures[1] or width > 400  # nor below the reference, which stays where others scroll
        assert winner['x'] + winner['width'] <= width
    assert visit.page.evaluate('document.documentElement.scrollWidth') <= width
    assert visit.complaints == []
    visit.context.close()


def test_browser_shows_the_verdicts_table_at_the_rate_that_is_chosen(visit: Visit) -> None:
    verdict = verdict_of([panel['row'] for panel in panels(visit)])
    for rate in (verdict.rate, 3):
        visit.page.locator(f'#summary button[value="{rate}"]').click()
        visit.wait_for(rate=int(rate))
        assert visit.page.locator('#summary-where').inner_text() == f'at R = {rate}, ACS 16'
        shown = table_of(visit)
        errors = {(each.method, each.rate): each for each in verdict.scores}
        for method, texts in shown.items():
            own = [errors[method, 2], errors[method, 3]]
            error, *others = COLUMNS
            expected = [error.written(each.values[error.name]) + each.mark(error) for each in own]
            here = errors[method, rate]
            expected += [each.written(here.values[each.name]) + here.mark(each) for each in others]
            assert texts == expected
        assert list(shown) == ['zero-filled', 'grappa', 'raki']


def test_browser_says_beside_a_noise_map_what_it_costs(visit: Visit) -> None:
    """Amber, with the baseline's, where a limit is passed."""
    verdict = verdict_of([panel['row'] for panel in panels(visit)])
    [score] = [each for each in verdict.scores if (each.method, each.rate) == ('raki', verdict.rate)]
    assert score.prices, 'this network must have a price'
    costs = visit.page.locator('figure[data-layer=gfactor][data-method=raki] .cost')
    amber = visit.page.locator('figure[data-layer=gfactor][data-method=raki] .cost.priced').all_inner_texts()
    assert amber == [
        f'{column.label} {column.written(value)} (grappa {column.written(baseline)})'
        for column, value, baseline in ((each.column, each.value, each.baseline) for each in score.prices)
    ]
    assert costs.count() == 5
    assert costs.first.inner_text() == 'means over slices and seeds:'  # while the map is of one slice
    assert visit.page.locator('figure[data-layer=gfactor][data-method=grappa] .cost.priced').count() == 0


def test_browser_marks_what_is_best_at_a_price_everywhere(browser: 'Browser', report: Path, tmp_path: Path) -> None:
    """Under images and in the table of all figures, too: hollow and amber, with the price for who points at it.

    Zero filling is the best nowhere.
    """
    head, start, rest = report.read_text(encoding='utf-8').partition('<script type="application/json" id="data">')
    text, end, tail = rest.partition('</script>')
    data = json.loads(text)
    for panel in data['panels']:
        panel['row']['nrmse_object'] = {'raki': 1e-4, 'grappa': 2e-4}.get(panel['method'], 1e-5)
    (tmp_path / 'x.html').write_text(f'{head}{start}{json.dumps(data)}{end}{tail}', encoding='utf-8')
    visit = Visit(browser, tmp_path / 'x.html')
    best = visit.page.locator('figure[data-layer=image] .least', has_text='NRMSE object')
    assert best.all_inner_texts() == ['NRMSE object 0.0001\u00a0☆']
    assert 'at a price: ' in (best.get_attribute('title') or '')
    assert visit.page.locator('#table tr.best').evaluate_all(
        'all => all.every(row => row.cells[0].textContent.trim() === "raki ☆")'
    )
    colours = [
        visit.page.locator(each).first.evaluate('each => getComputedStyle(each).color')
        for each in ('.cost.priced', '.least.priced', '#table tr.best.priced td')
    ]
    assert len(set(colours)) == 1
    visit.context.close()


def test_browser_begins_with_the_verdict_for_who_reads_by_keyboard(browser: 'Browser', report: Path) -> None:
    """Nothing has the focus before; what has it shows it; letters choose in a list of figures, and do nothing else."""
    visit = Visit(browser, report)
    assert visit.page.evaluate('document.activeElement === document.body')
    for _ in range(30):
        visit.page.keyboard.press('Tab')
        if visit.page.evaluate("document.activeElement.id === 'viewer'"):
            break
    assert visit.page.locator('#viewer').evaluate('each => getComputedStyle(each).outlineStyle') == 'solid'
    visit.draw_curves()
    visit.page.get_by_label('figure of the large chart').focus()
    visit.page.keyboard.press('s')
    assert visit.page.get_by_label('figure of the large chart').input_value() == 'ssim'
    assert json.loads(visit.page.evaluate('document.documentElement.dataset.shown'))['seed'] == 0
    visit.context.close()


def test_browser_follows_a_link_and_writes_one(browser: 'Browser', report: Path) -> None:
    link = '#slice=1&rate=3&acs=16&seed=1&method=grappa&method=raki&zoom=2,0.25,0.3'
    visit = Visit(browser, report, link)
    visit.wait_for(slice=1, rate=3, seed=1)
    methods = visit.page.locator('figure[data-layer=image]').evaluate_all('all => all.map(one => one.dataset.method)')
    assert methods == ['', 'grappa', 'raki']
    assert visit.page.locator('.panels.zoomed').count() == 1
    linked = visit.everything()
    visit.page.keyboard.press('ArrowLeft')
    visit.wait_for(rate=2)
    visit.until(lambda: visit.page.evaluate('location.hash') == link.replace('rate=3', 'rate=2'))
    visit.page.evaluate(f'location.hash = {json.dumps(link)}')
    visit.wait_for(rate=3)
    assert visit.everything() == linked
    visit.page.keyboard.press('0')
    visit.until(lambda: 'zoom' not in visit.page.evaluate('location.hash'))
    visit.page.evaluate("location.hash = '#rate=7&zoom=x&method=none'")
    visit.page.wait_for_selector('figure[data-method="zero-filled"]')
    assert visit.complaints == []
    visit.context.close()


def test_browser_keeps_window_and_level_in_a_link(browser: 'Browser', report: Path) -> None:
    first = Visit(browser, report, '#slice=1&rate=3&acs=16&seed=1')
    first.wait_for(slice=1, rate=3, seed=1)
    opened = first.everything()
    for key in ('[', '[', ',', 'e'):
        first.page.keyboard.press(key)
    first.until(lambda: re.search('&image=[^&]+&error=0,', first.page.evaluate('location.hash')) is not None)
    link, shown = first.page.evaluate('location.hash'), first.everything()
    scale = first.page.locator('#legend-image .scale').inner_text()
    assert shown != opened
    first.page.keyboard.press('0')
    first.until(lambda: 'image=' not in first.page.evaluate('location.hash'))
    assert first.everything() == opened
    second = Visit(browser, report, link)
    second.wait_for(slice=1, rate=3, seed=1)
    assert second.page.locator('#legend-image .scale').inner_text() == scale
    second.page.evaluate("location.hash = '#slice=0&image=x,1&error=3'")
    second.wait_for(slice=0)
    assert second.page.locator('#legend-image .scale').inner_text() != scale
    assert first.complaints == second.complaints == []
    first.context.close()
    second.context.close()


def test_browser_scrolls_over_an_image(visit: Visit) -> None:
    """The wheel alone never zooms, not even where an image is zoomed already."""
    for is_zoomed in (False, True):
        if is_zoomed:
            visit.page.get_by_role('button', name='zoom in').click()
            visit.page.wait_for_selector('.panels.zoomed')
        visit.page.evaluate('scrollTo(0, 0)')
        before = visit.everything()
        box = visit.box('figure[data-layer=image][data-method=grappa] canvas')
        visit.page.mouse.move(box['x'] + box['width'] / 2, box['y'] + box['height'] / 2)
        visit.page.mouse.wheel(0, 200)
        visit.until(lambda: visit.page.evaluate('scrollY') > 100)
        assert visit.everything() == before
    visit.page.get_by_role('button', name='zoom out').click()


def test_browser_shows_every_layer_of_every_method(visit: Visit) -> None:
    shown = visit.everything()
    assert set(shown) == {
        *((layer, method) for layer in LAYERS for method in ('zero-filled', 'grappa', 'raki')),
        ('image', ''),
        ('error', ''),
    }
    assert len(set(shown.values())) == len(shown)


def test_browser_changes_the_rate_by_control_and_by_key(visit: Visit) -> None:
    before = visit.everything()
    visit.page.get_by_role('radiogroup', name='rate R').get_by_role('radio', name='3').check()
    visit.wait_for(rate=3)
    after = visit.everything()
    for layer in LAYERS:
        assert before[layer, 'grappa'] != after[layer, 'grappa']
    assert before['image', ''] == after['image', '']
    visit.page.locator('#viewer').focus()
    visit.page.keyboard.press('ArrowLeft')
    visit.wait_for(rate=2)
    assert visit.everything() == before


def test_browser_changes_slice_and_seed_by_key_and_says_so(visit: Visit) -> None:
    before = visit.everything()
    visit.page.keyboard.press('ArrowDown')
    visit.wait_for(slice=1)
    other = visit.everything()
    assert all(before[tile] != other[tile] for tile in before.keys() - FLAT)
    visit.page.keyboard.press('s')
    visit.wait_for(seed=1)
    reseeded = visit.everything()
    assert reseeded['image', 'raki'] != other['image', 'raki']
    assert reseeded['image', 'grappa'] == other['image', 'grappa']
    assert 'slice = 1' in (visit.page.get_by_role('status').text_content() or '')


def test_browser_writes_the_figures_of_the_cell_under_its_image(visit: Visit) -> None:
    [row] = [
        panel['row']
        for panel in panels(visit)
        if (panel['method'], panel['row']['rate'], panel['row']['slice']) == ('grappa', 2, 0)
    ]
    text = visit.page.locator('figure[data-layer=image][data-method=grappa] .metrics').text_content() or ''
    assert f'{row["nrmse_object"]:.4f}' in text
    assert f'{row["ssim"]:.4f}' in text


def test_browser_hides_a_method_everywhere(visit: Visit) -> None:
    visit.page.keyboard.press('1')
    visit.page.wait_for_selector('figure[data-method="zero-filled"]', state='detached')
    assert not visit.page.get_by_label('zero-filled', exact=True).is_checked()
    visit.page.keyboard.press('1')
    visit.page.wait_for_selector('figure[data-method="zero-filled"]')


def test_browser_windows_images_without_touching_errors(visit: Visit) -> None:
    before = visit.everything()
    visit.page.locator('[aria-label="image: window"]').fill('-2')
    after = visit.everything()
    assert before['image', 'grappa'] != after['image', 'grappa']
    assert before['error', 'grappa'] == after['error', 'grappa']
    visit.page.get_by_role('button', name='reset view').click()
    visit.page.keyboard.press('e')
    amplified = visit.everything()
    assert amplified['image', 'grappa'] == before['image', 'grappa']
    assert amplified['error', 'grappa'] != before['error', 'grappa']
    visit.page.keyboard.press('0')
    assert visit.everything() == before


def test_browser_zooms_and_pans_all_panels_together(visit: Visit) -> None:
    before = visit.everything()
    box = visit.page.locator('figure[data-layer=image][data-method=grappa] canvas').bounding_box()
    assert box is not None
    x, y = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2
    visit.page.mouse.move(x, y)
    visit.page.keyboard.down('Control')
    visit.page.mouse.wheel(0, -300)
    visit.page.keyboard.up('Control')
    visit.page.wait_for_selector('.panels.zoomed')
    zoomed = visit.everything()
    assert all(before[tile] != zoomed[tile] for tile in before.keys() - FLAT)
    visit.page.mouse.down()
    visit.page.mouse.move(x + 20, y + 10)
    visit.page.mouse.up()
    panned = visit.everything()
    assert all(zoomed[tile] != panned[tile] for tile in before.keys() - FLAT)
    visit.page.mouse.dblclick(x, y)
    assert visit.everything() == before


def test_browser_reads_off_values_under_the_pointer(visit: Visit) -> None:
    canvas = visit.page.locator('figure[data-layer=error][data-method=raki] canvas')
    canvas.hover()
    pixels = visit.page.locator('.pixel').all_text_contents()
    assert len(pixels) == 14
    assert pixels.count('') == 1  # there is no g-factor of zero filling
    assert len({text.rpartition(' ')[0] for text in pixels if text}) == 1  # one place in all panels
    image, reference, error = (
        float(
            (
                visit.page.locator(f'figure[data-layer={layer}][data-method="{method}"] .pixel').text_content() or ''
            ).split()[-1]
        )
        for layer, method in (('image', 'raki'), ('image', ''), ('error', 'raki'))
    )
    assert error == pytest.approx(abs(image - reference), abs=2e-3)  # three digits are written


def test_browser_holds_the_reference_in_place_of_images(visit: Visit) -> None:
    before = visit.pixels('image', 'raki')
    visit.page.keyboard.down('f')
    assert visit.pixels('image', 'raki') == visit.pixels('image', '')
    visit.page.keyboard.up('f')
    assert visit.pixels('image', 'raki') == before


def test_browser_finds_the_worst_region(visit: Visit) -> None:
    visit.page.locator('figure[data-layer=error][data-method=raki]').get_by_role('button', name='worst region').click()
    visit.page.wait_for_selector('.panels.zoomed')
    assert 'worst 5 × 5 pixels of raki' in (visit.page.get_by_role('status').text_content() or '')


def test_browser_sorts_the_table(visit: Visit) -> None:
    rows = [panel['row'] for panel in panels(visit)]
    heading = visit.page.get_by_role('columnheader', name='SSIM')
    for order in ('ascending', 'descending'):
        heading.get_by_role('button').click()
        assert heading.get_attribute('aria-sort') == order
        indices = visit.page.locator('#table tbody tr').evaluate_all('all => all.map(row => Number(row.dataset.index))')
        values = [rows[index]['ssim'] for index in indices]
        assert values == sorted(values, reverse=order == 'descending')


def test_browser_shows_small_lesions_of_the_cells_above(visit: Visit) -> None:
    table = visit.page.get_by_role('region', name='Small lesions')
    headings = table.locator('th').all_text_contents()
    assert headings[5:11] == [f'contrast {size} px {sign}20%' for size in (2, 4, 8) for sign in '+-']
    for rate in (2, 3):
        visit.page.locator('#viewer').focus()
        visit.page.keyboard.press('ArrowLeft' if rate == 2 else 'ArrowRight')
        visit.wait_for(rate=rate)
        shown = table.locator('tbody tr:visible').evaluate_all('all => all.map(row => Number(row.dataset.index))')
        rows = [panels(visit)[index]['row'] for index in shown]
        assert [(row['method'], row['rate']) for row in rows] == [
            (name, rate) for name in ('zero-filled', 'grappa', 'raki')
        ]
        disc = rows[1]['lesions'][2]
        assert (disc['diameter'], disc['contrast']) == (4, 0.2)
        cell = table.locator('tbody tr:visible').nth(1).locator('td').nth(7).text_content()
        assert cell == f'{disc["contrast_mean"]:.3g} ({disc["contrast_min"]:.3g})'


def test_browser_exports_the_rows_as_they_stand(visit: Visit, tmp_path: Path) -> None:
    def exported() -> list[dict[str, str]]:
        with visit.page.expect_download() as download:
            visit.page.get_by_role('button', name='Export CSV').click()
        download.value.save_as(tmp_path / 'figures.csv')
        with (tmp_path / 'figures.csv').open(newline='', encoding='utf-8') as file:
            return list(csv.DictReader(file))

    rows = [panel['row'] for panel in panels(visit)]
    for line, row in zip(exported(), rows, strict=True):
        for name, text in line.items():
            value = row[name]
            if name == 'warnings':
                assert text == '; '.join(value)
            elif isinstance(value, int | float):
                assert float(text) == value
            else:
                assert text == (value or '')
    visit.page.get_by_label('only the cells shown above').check()
    assert [(line['method'], line['rate'], line['slice']) for line in exported()] == [
        (method, '2', '0') for method in ('zero-filled', 'grappa', 'raki')
    ]


def test_browser_draws_few_curves_and_any_figure_on_demand(visit: Visit) -> None:
    """What the table at the top has, the error large; seconds on a logarithmic axis; zero filling is left out."""
    visit.draw_curves()
    names = [column.name for column in COLUMNS]
    drawn = visit.page.locator('.chart [id^=curve-]').evaluate_all('all => all.map(one => one.id)')
    assert drawn == [f'curve-{name}' for name in names]
    rows = [panel['row'] for panel in panels(visit)]
    figures = visit.page.get_by_label('figure of the large chart')
    for name in ('nrmse_object', 'ssim'):
        figures.select_option(name)
        visit.page.wait_for_selector('html[data-curves]')
        traces = visit.page.locator('#curve-nrmse_object').evaluate(
            'plot => plot.data.map(trace => [trace.name, trace.x, trace.y])'
        )
        assert [method for method, _, _ in traces] == ['grappa', 'raki']
        for method, rates, means in traces:
            for rate, mean in zip(rates, means, strict=True):
                own = [row[name] for row in rows if (row['method'], row['rate']) == (method, rate)]
                assert mean == pytest.approx(sum(own) / len(own))
    assert visit.page.locator('#curve-seconds').evaluate('plot => plot.layout.yaxis.type') == 'log'
    seconds = visit.page.locator('#curve-seconds').evaluate('plot => plot.data[0].y[0]')
    own = [row['seconds_fit'] + row['seconds_fill'] for row in rows if (row['method'], row['rate']) == ('grappa', 2)]
    assert seconds == pytest.approx(sum(own) / len(own))


def test_browser_draws_error_over_retained_signal_of_the_cells_above(visit: Visit) -> None:
    visit.draw_curves()
    drawn = visit.page.locator('#tradeoff').evaluate('plot => plot.data.map(trace => [trace.name, trace.x, trace.y])')
    rows = [panel['row'] for panel in panels(visit)]
    cell = {row['method']: row for row in rows if (row['rate'], row['slice'], row['seed'] or 0) == (2, 0, 0)}
    assert [name for name, _, _ in drawn] == ['grappa', 'grappa', 'raki', 'raki']
    for (name, *swept), (_, *chosen) in zip(drawn[::2], drawn[1::2], strict=True):
        assert chosen == [[cell[name]['retention_mean']], [cell[name]['nrmse_object']]]
        assert swept == [[each[key] for each in cell[name]['tradeoff']] for key in ('retention_mean', 'nrmse_object')]
    assert [len(x) for _, x, _ in drawn[::2]] == [7, 0]


def test_browser_shows_warnings_before_the_images(visit: Visit) -> None:
    warned = {text for panel in panels(visit) for text in panel['row']['warnings']}
    assert warned, 'this comparison must have warnings'
    alert = visit.page.get_by_role('alert')
    assert all(text in (alert.text_content() or '') for text in warned)
    below = visit.page.locator('#panels').bounding_box()
    above = alert.bounding_box()
    assert above is not None
    assert below is not None
    assert above['y'] < below['y']
    assert above['height'] < 40  # folded to one line, with their number
    assert re.search(r'⚠ \d+ warnings', alert.inner_text())
    alert.locator('summary').click()
    assert all(alert.get_by_text(text).last.is_visible() for text in warned)


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_browser_follows_the_colour_scheme_and_the_toggle(browser: 'Browser', report: Path, scheme: Any) -> None:
    visit = Visit(browser, report, color_scheme=scheme)

    def brightness() -> float:
        colour = visit.page.evaluate('getComputedStyle(document.body).backgroundColor')
        return sum(map(float, colour.partition('(')[2].rstrip(')').split(',')[:3])) / 765

    assert (brightness() > 0.5) == (scheme == 'light')
    images = visit.everything()
    visit.page.keyboard.press('t')
    assert (brightness() > 0.5) == (scheme == 'dark')
    assert visit.everything() == images
    visit.context.close()


def test_browser_prints_a_light_page_with_images_and_curves(browser: 'Browser', report: Path) -> None:
    visit = Visit(browser, report, color_scheme='dark')
    visit.page.emulate_media(media='print')
    assert visit.page.locator('#controls').is_hidden()
    assert visit.page.locator('#csv').is_hidden()
    assert visit.page.locator('figure[data-layer=gfactor][data-method=grappa] canvas').is_visible()
    assert visit.page.evaluate('getComputedStyle(document.body).backgroundColor') == 'rgb(251, 251, 250)'
    pages = re.findall(rb'/Type\s*/Page[^s]', visit.page.pdf(prefer_css_page_size=True))
    assert 2 <= len(pages) <= 3
    assert visit.page.locator('#curve-seconds svg.main-svg').count() > 0
    assert visit.complaints == []
    visit.context.close()


def test_browser_shows_a_report_without_plotly(
    browser: 'Browser', tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_page, '_plotly', lambda: None)
    write_scan(tmp_path / 'scan.h5', simulate(Simulation((48, 40), n_coils=4)), {})
    plan = Plan({'zero-filled': ZeroFilling()}, (Rate((2,)),), ((16,),), n_replicas=0)
    compare_file(open_scan(tmp_path / 'scan.h5'), tmp_path, plan, (0,), lambda _name: silent)
    visit = Visit(browser, tmp_path / 'report.html')
    assert visit.page.get_by_text('Curves over the rate are left out').count() == 1
    assert 'nothing was filled in' in visit.page.locator('h1').inner_text()
    visit.page.emulate_media(media='print')
    assert visit.page.pdf()
    assert visit.complaints == []
    visit.context.close()


def test_browser_takes_the_acs_that_a_rate_has(browser: 'Browser', tmp_path: Path) -> None:
    """As of masks of fastMRI, whose centres shrink as the rate grows."""
    write_scan(tmp_path / 'scan.h5', simulate(Simulation((96, 40), n_coils=4, n_slices=2)), {})
    drawn = Drawn('equispaced_fraction', 0)
    plan = Plan({'zero-filled': ZeroFilling()}, (Rate((2,)), Rate((3,))), n_replicas=0, drawn=drawn)
    rows = compare_file(open_scan(tmp_path / 'scan.h5'), tmp_path, plan, (0, 1), lambda _name: silent)
    acs = {row.rate: row.acs for row in rows}
    assert acs[2] != acs[3]
    visit = Visit(browser, tmp_path / 'report.html', '#slice=1&rate=2')
    for rate in (2, 3):
        visit.page.locator(f'#summary button[value="{rate}"]').click()
        visit.wait_for(slice=1, rate=rate, acs=int(acs[rate]))
        assert visit.page.locator('figure[data-layer=image] canvas.absent').count() == 0
        assert '' not in table_of(visit)['zero-filled']
    assert visit.complaints == []
    visit.context.close()


def test_browser_views_a_reconstruction(browser: 'Browser', view: Path) -> None:
    visit = Visit(browser, view)
    first = visit.everything()
    assert set(first) == {('image', 'gated')}
    visit.page.keyboard.press('ArrowRight')
    visit.wait_for(slice=1)
    assert visit.everything() != first
    assert 'combine' in (visit.page.locator('footer').text_content() or '')
    assert visit.page.locator('h1').inner_text() == 'images.h5'
    assert visit.page.locator('#summary').count() == 0
    assert visit.complaints == []
    assert visit.requests == [view.as_uri()]
    visit.context.close()


def test_browser_chooses_rates_and_acs_of_two_axes(browser: 'Browser', tmp_path: Path) -> None:
    """They are texts, such as 2x2s1 and 8x14, in controls, curves and table."""
    write_scan(tmp_path / 'scan.h5', simulate(Simulation((12, 26, 20), n_coils=4)), {})
    methods, rates = {'zero-filled': ZeroFilling(), 'none': ZeroFilling()}, (Rate((10, 1)), Rate((2, 2), 1))
    plan = Plan(methods, rates, ((8, 14),), n_replicas=0)
    compare_file(open_scan(tmp_path / 'scan.h5'), tmp_path, plan, (6,), lambda _name: silent)
    visit = Visit(browser, tmp_path / 'report.html')
    radios = visit.page.get_by_role('radiogroup', name='rate R').get_by_role('radio')
    assert radios.evaluate_all('all => all.map(one => one.value)') == ['2x2s1', '10x1']
    assert radios.nth(1).is_checked()  # nothing differs anywhere, so it opens at the last
    before = visit.pixels('image', 'none')
    visit.page.keyboard.press('ArrowLeft')
    visit.page.wait_for_selector('html[data-shown*=\'"rate":"2x2s1"\']')
    assert radios.nth(0).is_checked()
    assert visit.pixels('image', 'none') != before
    visit.draw_curves()
    x = visit.page.locator('#curve-nrmse_object').evaluate('plot => plot.data.map(trace => trace.x)')
    assert x == [['2x2s1', '10x1']] * 2
    visit.page.get_by_role('columnheader', name='R', exact=True).get_by_role('button').click()
    found = visit.page.locator('#table tbody tr td:nth-child(2)').all_text_contents()
    assert found == ['2x2s1', '2x2s1', '10x1', '10x1']
    assert visit.complaints == []
    visit.context.close()
