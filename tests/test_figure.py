"""Figures for papers: what is chosen, that it is drawn as it is said, and that files appear together or not at all."""

import json
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from raki.cli import main
from raki.data.save import write_scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation.pictures import image_of, picture
from raki.evaluation.report import Report, shown_cell, shown_slice
from raki.evaluation.rows import Cell, Row
from raki.evaluation.sheet import Region, Sheet, Strip, Written, sheet_of
from raki.evaluation.verdict import PRICE, PRICED, STAR

pytest.importorskip('matplotlib', reason='needs matplotlib')

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from raki.evaluation.figure import figure_of, figure_paths, round_down, write_figure

SHAPE = 30, 42
FIGURES: dict[str, float | None] = {
    'nrmse_object': 0.05, 'gfactor_mean': 1.5, 'gfactor_p95': 2.5, 'point_peak': 0.9, 'ghost_index': 0.1,
    'noise_bias': 0.001, 'energy_ratio': 0.9, 'seconds_fit': 0.25, 'seconds_fill': 0.25, 'net_acceleration': 2.0,
}  # fmt: skip


def random(seed: int) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


def inside() -> Tensor:
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[4:26, 5:37] = True
    return mask


REFERENCE = (0.5 + 0.5 * random(0)) * inside()


def cell(
    method: str, error: Tensor | float, rate: int = 3, index: int = 0, seed: int | None = None, **own: Any
) -> Cell:
    row = Row(method, rate, 24, index, seed, FIGURES | own)
    image = REFERENCE + error * torch.ones(SHAPE)
    return Cell(row, image, None if own.get('gfactor_mean', 0) is None else 1 + random(1))


def report_of(*cells: Cell, reference: Tensor = REFERENCE, **more: Any) -> Report:
    slices = {}
    for index in dict.fromkeys(each.row.slice for each in cells):
        turn = {'readout_is_rows': more.get('readout_is_rows', False)}
        shown = [shown_cell(each, reference, **turn) for each in cells if each.row.slice == index]
        slices[index] = shown_slice(reference, inside(), shown, **turn)
    scan = {'file': 'scan $x_1$ 脳.h5', 'reference': 'the fully sampled scan', 'shape': {'slice': 1}}
    rows = [each.row.flat() for each in cells]
    return Report({'scan': scan, 'settings': {'n_replicas': 100}, 'rows': rows}, slices, **more)


def sheet(n_methods: int, shape: tuple[int, int] = SHAPE, **more: Any) -> Sheet:
    """A sheet of arrays that mean nothing."""
    ones = torch.ones(shape)
    strips = [Strip('reference', ones)]
    for number in range(n_methods):
        figures = [Written('0.0123', STAR if number == 1 else PRICED), Written('0.86', PRICE), Written('–')]
        strips.append(Strip(f'raki-compl-{number}', ones, ones, ones, figures))
    words = ['A sentence of a note that says what is seen.'] * 9
    size, headings = (2e-3, 1e-3), ['small points ↑', 'ghosts ↓', 'g ↓']
    usual = Sheet(strips, 1.0, 30.0, zoom=Region(2, 3, 10, 12), headings=headings, pixel_size=size, note=words)
    return replace(usual, **more)


def test_pictures_come_back() -> None:
    image = 3 * random(2)
    stored = picture(image)
    assert float((image_of(stored) - image).abs().max()) <= 0.51 * stored.step


def test_the_cell_of_the_verdict_is_shown_in_the_middle_slice_with_the_first_seed() -> None:
    cells = []
    for index in (2, 5, 9):
        for rate, better in ((2, 0.049), (3, 0.02)):
            cells.append(cell('grappa', 0.05, rate, index))
            for seed in (0, 1):
                error = 0.01 * rate + 0.001 * index + 0.0001 * seed
                cells.append(cell('raki', error, rate, index, seed, nrmse_object=better + seed / 1000))
    shown = sheet_of(report_of(*cells))
    assert [strip.title for strip in shown.strips] == ['reference', 'grappa', 'raki']
    assert shown.strips[2].error is not None
    assert float(shown.strips[2].error.mean()) == pytest.approx(0.035 / float(REFERENCE.max()), rel=1e-3)
    assert shown.strips[2].figures[0] == Written('0.0200', STAR)
    assert 'slice 5, one of 3 compared, R = 3 with an ACS of 24 (net 2.00)' in ' '.join(shown.note)


def test_a_price_is_marked_where_it_is_paid() -> None:
    paid = cell('gated', 0.04, nrmse_object=0.04, point_peak=0.7, gfactor_mean=1.0, seconds_fit=0.5)
    shown = sheet_of(
        report_of(cell('zero-filled', 0.2, energy_ratio=0.0, nrmse_object=0.01), cell('grappa', 0.05), paid)
    )
    empty, grappa, gated = ([written.mark for written in strip.figures] for strip in shown.strips[1:])
    assert set(empty) == {''}
    assert dict(zip(shown.headings, grappa, strict=True))['small points ↑'] == STAR
    assert dict(zip(shown.headings, gated, strict=True)) == {
        'error ↓': PRICED, 'noise (g) ↓': PRICED, 'small points ↑': PRICE, 'ghosts ↓': STAR, 'bias ↓': STAR,
        'seconds ↓': '',
    }  # fmt: skip


@pytest.mark.parametrize('error', [0.9, 0.4, 0.013, 0.0077, 2e-5])
def test_errors_are_amplified_by_a_round_factor_and_not_cut(error: float) -> None:
    """Of methods that fill something in; the scale is at most three times as long as their errors ask for."""
    shown = sheet_of(report_of(cell('zero-filled', 0.95, energy_ratio=0.0), cell('grappa', error)))
    end, largest = shown.window / shown.amplification, error / float(REFERENCE.max())
    assert largest <= 1.001 * end
    assert end <= 3 * largest
    assert shown.amplification == float(f'{shown.amplification:.1e}')


def test_without_any_error_there_is_a_figure_all_the_same() -> None:
    shown = sheet_of(report_of(cell('grappa', 0.0, rate=1)))
    assert shown.amplification == 1
    assert shown.zoom is not None


def test_the_frame_is_where_all_methods_err_most_in_the_object() -> None:
    """Neither air nor what zero filling lacks counts."""
    error = torch.full(SHAPE, 0.01)
    error[14:22, 20:30] = 0.1
    air = error.clone()
    air[26:, 37:] = 9.0
    missing = torch.zeros(SHAPE)
    missing[4:10, 5:15] = 0.9
    cells = cell('zero-filled', missing, energy_ratio=0.0), cell('grappa', air), cell('gated', 0.5 * error)
    zoom = sheet_of(report_of(*cells)).zoom
    assert zoom is not None
    assert (zoom.height, zoom.width) == (10, 14)
    covered = torch.zeros(SHAPE)
    zoom.of(covered).fill_(1)
    assert bool(covered[14:22, 20:30].all())


def test_g_factors_stand_in_the_object_on_a_scale_that_holds_them() -> None:
    shown = sheet_of(
        report_of(cell('zero-filled', 0.2, energy_ratio=0.0, gfactor_mean=None, gfactor_p95=None), cell('grappa', 0.05))
    )
    _, empty, grappa = shown.strips
    assert empty.gfactor is None
    assert grappa.gfactor is not None
    assert torch.equal(grappa.gfactor.isfinite(), inside())
    assert shown.gfactor_end == 2.5
    assert 'from 100 replicas' in ' '.join(shown.note)


def test_files_with_the_readout_along_rows_are_turned() -> None:
    shown = sheet_of(report_of(cell('grappa', 0.05), readout_is_rows=True, voxel_size=(0.002, 0.001)))
    assert all(tuple(strip.image.shape) == SHAPE[::-1] for strip in shown.strips)
    assert shown.pixel_size == (0.001, 0.002)


def words(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


@pytest.mark.parametrize(
    ('n_methods', 'shape', 'more'),
    [
        (1, (30, 42), {}),
        (4, (128, 128), {}),
        (4, (40, 30), {'pixel_size': None, 'zoom': None}),
        (7, (64, 20), {}),
        (12, (32, 64), {}),
        (3, (64, 64), {'headings': [], 'note': []}),
    ],
)
def test_text_is_legible_and_nothing_lies_over_anything_else(
    n_methods: int, shape: tuple[int, int], more: dict[str, Any]
) -> None:
    """At the printed size all text has 7 to 9 points."""
    shown = sheet(n_methods, shape, **more)
    if 'headings' in more:
        shown = replace(shown, strips=[replace(strip, figures=()) for strip in shown.strips])
    figure = figure_of(shown)
    figure.draw_without_rendering()
    every = [text for text in words(figure) if text.axes is None]
    assert all(7 <= float(text.get_fontsize()) <= 9 for text in words(figure))
    assert {strip.title for strip in shown.strips} <= {text.get_text() for text in every}
    boxes, page = [text.get_window_extent() for text in words(figure)], figure.bbox
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1 for box in boxes)
    for one, other in combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        along = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(across, along) <= 1, (one, other)  # [pixel] of 100 an inch


@pytest.mark.parametrize(('n_methods', 'width'), [(1, 95), (4, 180), (6, 180), (9, 235)])
def test_it_has_the_width_of_a_page_as_far_as_pictures_are_not_too_large_or_small(n_methods: int, width: float) -> None:
    figure = figure_of(sheet(n_methods, (64, 64), pixel_size=None))
    assert 25.4 * figure.get_figwidth() == pytest.approx(width, abs=1)


def test_it_is_no_higher_than_a_page() -> None:
    for n_methods in (1, 3, 5):
        assert 25.4 * figure_of(sheet(n_methods, (96, 64), pixel_size=None)).get_figheight() <= 235


def test_pixels_have_their_shape_and_scales_are_common() -> None:
    figure, scales = figure_of(sheet(3)), {}
    figure.draw_without_rendering()
    for image in (each for axes in figure.axes for each in axes.images):
        pixels = np.asarray(image.get_array())
        if pixels.shape in (SHAPE, (10, 12)):
            low, high = image.get_clim()
            scales.setdefault(str(image.get_cmap().name), []).append((low, round(high, 6)))
            box, (height, width) = image.get_window_extent(), pixels.shape
            assert box.height / box.width == pytest.approx(2 * height / width)
    assert scales == {'gray': 8 * [(0, 1)], 'inferno': 3 * [(0, 0.033333)], 'viridis': 3 * [(0, 1.5)]}


def test_the_frame_and_the_scale_bars_tell_the_truth() -> None:
    figure = figure_of(sheet(2))
    image, other, _, enlarged = figure.axes[:4]
    [frame] = [patch for patch in image.patches if isinstance(patch, Rectangle)]
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (2.5, 1.5, 12, 10)
    assert not other.lines
    for axes, width in ((image, 42.0), (enlarged, 12.0)):
        [line] = axes.lines
        [text] = axes.texts
        start, end = np.asarray(line.get_xdata())
        assert text.get_text() == f'{width * (end - start):g} mm'
    assert not figure_of(sheet(2, pixel_size=None)).axes[0].lines


@pytest.mark.parametrize(('length', 'rounded'), [(1.0, 1), (4.9, 2), (5.0, 5), (77, 50), (0.3, 0.2), (1000, 1000)])
def test_bars_have_round_lengths(length: float, rounded: float) -> None:
    assert round_down(length) == pytest.approx(rounded)


def test_a_pdf_holds_letters_and_the_pixels_as_they_are(tmp_path: Path) -> None:
    figure = figure_of(sheet_of(report_of(cell('grappa', 0.05))))
    for name in ('one', 'two'):
        write_figure(figure, tmp_path / name, '.PDF')
    content = (tmp_path / 'one').read_bytes()
    assert content == (tmp_path / 'two').read_bytes()
    assert b'/FontFile2' in content
    assert b'/Type3' not in content
    sizes = re.findall(rb'/Height (\d+).*?/Width (\d+)', content, flags=re.DOTALL)
    assert (b'30', b'42') in sizes


def test_a_png_shows_every_pixel_as_it_is(tmp_path: Path) -> None:
    """In dots of one colour, a whole number along both axes, at 300 dots per inch or more."""
    shown = sheet_of(report_of(cell('grappa', 0.05)))
    figure = figure_of(shown)
    for name in ('one', 'two'):
        write_figure(figure, tmp_path / name, '.png')
    assert (tmp_path / 'one').read_bytes() == (tmp_path / 'two').read_bytes()
    with Image.open(tmp_path / 'one') as written:
        dots, per_inch = np.asarray(written.convert('RGB')).astype(float), written.info['dpi'][0]
    assert 300 <= per_inch < 600
    assert dots.shape[1] == pytest.approx(per_inch * figure.get_figwidth(), abs=1)
    box = figure.axes[0].get_position()
    left, top = round(box.x0 * dots.shape[1]), round((1 - box.y1) * dots.shape[0])
    size = round(box.width * dots.shape[1] / SHAPE[1])
    grey = 255 * (shown.strips[0].image / shown.window).clamp(max=1).numpy()
    middles = dots[top + size // 2 :: size, left + size // 2 :: size][: SHAPE[0], : SHAPE[1]]
    assert abs(middles - grey[..., None]).max() <= 8


def test_names_ask_for_files() -> None:
    every = [Path('a.png'), Path('b/c'), Path('d.PDF'), Path('a.png')]
    assert figure_paths(every) == [Path('a.png'), Path('b/c.png'), Path('b/c.pdf'), Path('d.PDF')]
    with pytest.raises(
        ValueError, match=r'a figure is a \.png or \.pdf, or both of a name without suffix, got x\.tiff'
    ):
        figure_paths([Path('x.tiff')])


@pytest.mark.parametrize('name', ['', '.', '..', 'folder/..'])
def test_what_has_no_name_is_no_figure(name: str) -> None:
    with pytest.raises(ValueError, match=r'a figure needs a name such as brain\.png, got '):
        figure_paths([Path(name)])


@pytest.fixture
def words_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    write_scan('scan.h5', simulate(Simulation(matrix=(48, 40), n_coils=6)), {})
    return ['compare', 'scan.h5', '-o', 'out', '--rates', '2', '--methods', 'zero-filled', 'grappa', '--replicas', '3']


def test_the_command_writes_figures_and_says_so(words_of: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words_of, '--figure', 'brain', '--figure', 'out/panel.pdf']) == 0
    told = capsys.readouterr().out
    for name, start in (('brain.png', b'\x89PNG'), ('brain.pdf', b'%PDF'), ('out/panel.pdf', b'%PDF')):
        assert f'figure: {name}\n' in told
        assert Path(name).read_bytes().startswith(start)
    assert set(json.loads(Path('out/results.json').read_text())['files']) == {'report.html', 'panel.pdf'}
    assert main(['verify', 'out']) == 0


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('x.tiff', 'a figure is a .png or .pdf'),
        ('nowhere/x.png', 'cannot write nowhere/x.png: there is no folder nowhere'),
        ('folder.png', '--figure must name a file, but folder.png is a folder'),
    ],
)
def test_what_cannot_be_written_is_said_before_any_work(
    words_of: list[str], capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    Path('folder.png').mkdir()
    assert main([*words_of, '--figure', name]) == 2
    assert message in capsys.readouterr().err
    assert not Path('out').exists()


def test_without_matplotlib_one_line_says_so_before_any_work(
    words_of: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('raki.extras.find_spec', lambda name: None)  # noqa: ARG005
    assert main([*words_of, '--figure', 'x.png']) == 2
    assert capsys.readouterr().err == (
        "raki: --figure needs matplotlib, which is not installed: pip install 'raki[figure]'\n"
    )
    assert not Path('out').exists()


def test_a_figure_that_cannot_be_written_leaves_nothing_and_keeps_the_cells(
    words_of: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Figure, file: Path, **options: Any) -> None:
        del self, options
        file.write_bytes(b'half')
        raise OSError('the disk is full')

    with monkeypatch.context() as patched:
        patched.setattr(Figure, 'savefig', fails)
        assert main([*words_of, '--figure', 'x.pdf']) == 5
    assert 'the disk is full' in capsys.readouterr().err
    assert not list(Path().rglob('x.pdf*'))
    assert not [each for each in Path('out').iterdir() if each.name != '.raki-compare']
    assert main([*words_of, '--figure', 'x.pdf']) == 0
    assert Path('x.pdf').is_file()
