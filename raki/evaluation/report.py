"""The report of a comparison: images, error and g-factor maps, curves and figures of all its cells on one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from torch import Tensor

from raki.evaluation.metrics import columns, sizes
from raki.evaluation.pictures import Picture, judged_picture, picture, quantile
from raki.evaluation.rows import Cell, merged_warnings
from raki.evaluation.verdict import Verdict, is_filled, verdict_of
from raki.evaluation.web_page import Page, Panel, Table, render

ERROR_QUANTILE = 0.995
"""Error maps end at this quantile of the errors of the baseline or of the best, the larger, where the page opens."""

WINDOW = 0.999
"""Images end at this quantile of the reference."""

STEPS_PER_STANDARD_ERROR = 4
"""Steps of a stored map per standard error of a pixel, of g-factors where they are 1."""

AXES = ('slice', 'rate', 'acs', 'seed')


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell of a comparison, ready for the page; its arrays are let go."""

    image: Picture
    """In units of the reference's maximum."""
    gfactor: Picture | None
    retention: Picture | None
    largest_error: float
    """Quantile of |image - reference| [reference's maximum]."""


@dataclass(frozen=True, slots=True)
class ShownSlice:
    """A slice of a comparison, ready for the page."""

    reference: Picture
    """In units of its maximum."""
    object: Picture
    """1 inside the object, 0 outside."""
    window: float
    """Quantile of the reference [its maximum]."""
    cells: Sequence[ShownCell]


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report shows."""

    results: Mapping[str, Any]
    """The content of `results.json`."""
    slices: Mapping[int, ShownSlice]
    """By slice; their cells, one after another, belong to the rows of `results`."""
    voxel_size: tuple[float, ...] | None = None
    """Size of a voxel along (y, x) [m], where it is known."""
    readout_is_rows: bool = False
    """Whether pictures have the readout along their rows' axis, and phase encoding horizontally."""

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Size of a pixel of the pictures along (y, x) [m], where it is known."""
        if self.voxel_size is None:
            return None
        height, width = self.voxel_size[:: -1 if self.readout_is_rows else 1]
        return height, width

    @property
    def cells(self) -> list[ShownCell]:
        """One for each row."""
        return [cell for each in self.slices.values() for cell in each.cells]


def shown_slice(
    reference: Tensor, inside: Tensor, cells: Sequence[ShownCell], *, readout_is_rows: bool = False
) -> ShownSlice:
    """Prepare a slice, from its reference image and its object, axes (y, x).

    Images of files whose `readout_is_rows` are shown with these axes exchanged, as such files hold them; so in
    `shown_cell` and `Report`.
    """
    relative, mask = (_turned(image, readout_is_rows) for image in (reference / _peak(reference), inside.double()))
    return ShownSlice(picture(relative), picture(mask, 1.0), quantile(relative, WINDOW), cells)


def shown_cell(cell: Cell, reference: Tensor, *, readout_is_rows: bool = False) -> ShownCell:
    """Prepare a cell, given the reference image (y, x) or (z, y, x) of its slab; without noise, the g-factor is 0.

    Of a volume the slice of the cell's row is shown.
    """

    def shown(image: Tensor) -> Tensor:
        return _turned(image if image.ndim == 2 else image[cell.row.slice], readout_is_rows)

    truth = shown(reference)
    image, truth = shown(cell.image) / _peak(truth), truth / _peak(truth)

    def stored(name: str, values: Tensor | None) -> Picture | None:
        step = float(cell.row.figures.get(f'{name}_standard_error') or 0) / STEPS_PER_STANDARD_ERROR
        return None if values is None else picture(shown(values).nan_to_num(0.0, 0.0, 0.0).clamp(min=0), step)

    maps = stored('gfactor', cell.gfactor), stored('retention', cell.retention)
    return ShownCell(judged_picture(image, truth), *maps, quantile((image - truth).abs(), ERROR_QUANTILE))


def _turned(image: Tensor, readout_is_rows: bool) -> Tensor:
    return image.mT if readout_is_rows else image


def _peak(reference: Tensor) -> float:
    return float(reference.max()) or 1.0


def render_report(report: Report) -> str:
    """HTML of a report; it needs no other file and no network."""
    results, rows = report.results, report.results['rows']
    verdict = verdict_of(rows)
    return render(
        Page(
            title=f'Comparison on {results["scan"]["file"]}',
            axes={name: _values(rows, name) for name in AXES if _values(rows, name)},
            panels=[
                Panel(row['method'], {name: row[name] for name in AXES}, cell.image, cell.gfactor, cell.retention, row)
                for row, cell in zip(rows, report.cells, strict=True)
            ],
            scales=_scales(report, verdict),
            facts=_facts(report),
            caption=[*_conditions(results), _defined(verdict), *_caption(results)],
            footer=results['versions'] | {'scan': results['scan'], 'settings': results['settings']},
            references={index: each.reference for index, each in report.slices.items()},
            objects={index: each.object for index, each in report.slices.items()},
            columns=columns(rows),
            tables=_lesion_tables(rows),
            verdict=verdict,
            warnings=merged_warnings(rows),
            pixel_size=report.pixel_size,
        )
    )


def _values(rows: Sequence[Mapping[str, Any]], name: str) -> list[int | str]:
    return sorted({row[name] for row in rows if row[name] is not None}, key=sizes)


def _scales(report: Report, verdict: Verdict) -> dict[str, float]:
    """Where scales end, common to all cells; methods that fill nothing in do not stretch them.

    That of the errors is for the cell at which the page opens: one for all rates would leave the first ones black. One
    bad method would leave the others black: it ends at the larger of the baseline's and the winner's, others are cut.
    """
    cells = list(zip(report.cells, report.results['rows'], strict=True))
    opening = [(cell, row) for cell, row in cells if (row['rate'], row['acs']) == (verdict.rate, verdict.acs)]
    filled = [(cell, row) for cell, row in opening if is_filled(row)] or opening
    told = [cell for cell, row in filled if row['method'] in (verdict.baseline, verdict.winner)]
    scales = {
        'image': max(each.window for each in report.slices.values()),
        'error': max(cell.largest_error for cell in told or [cell for cell, _ in filled]) or 1.0,
    }
    gfactors = [row['gfactor_p95'] for _, row in cells if row['gfactor_p95'] is not None and is_filled(row)]
    scales |= {'gfactor': max(1.5, *gfactors)} if gfactors else {}
    return scales | ({'retention': 1.0} if any(cell.retention for cell, _ in cells) else {})


def _lesion_tables(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Contrast and signal-to-noise ratio of discs of every kind in every cell; nothing where there are none."""
    kinds = list(dict.fromkeys((disc['diameter'], disc['contrast']) for row in rows for disc in row['lesions']))
    names = [f'{diameter:g} px {contrast:+.0%}' for diameter, contrast in kinds]
    note = (
        'Discs added in many places of the object: mean and, in brackets, the worst. Contrast: how much of it comes '
        'back, 1 is faithful. SNR: of the matched filter of the disc, on a background of unknown brightness, over its '
        'standard deviation on the total error in the object; errors are not white, so only its ratio between methods '
        'means something.'
    )
    place = ('method', 'rate', 'acs', 'slice', 'seed')
    lines = [
        ['–' if row[name] is None else str(row[name]) for name in place]
        + [_mean_and_worst(row['lesions'], kind, figure) for figure in ('contrast', 'snr') for kind in kinds]
        for row in rows
    ]
    headings = [
        'method',
        'R',
        'ACS',
        'slice',
        'seed',
        *(f'{of} {name}' for of in ('contrast', 'SNR') for name in names),
    ]
    return [Table('Small lesions', note, headings, lines)] if kinds else []


def _mean_and_worst(discs: Sequence[Mapping[str, Any]], kind: tuple[float, float], figure: str) -> str:
    of_kind = (disc for disc in discs if (disc['diameter'], disc['contrast']) == kind)
    return next((f'{_short(disc[f"{figure}_mean"])} ({_short(disc[f"{figure}_min"])})' for disc in of_kind), '–')


def _short(value: float | None) -> str:
    return '∞' if value is None else f'{value:.3g}'


def _facts(report: Report) -> list[str]:
    scan, shape = report.results['scan'], report.results['scan']['shape']
    axes = [name for name in ('kz', 'ky', 'kx') if name in shape]
    return [
        f'{scan["format"]}, {_compared(shape, sorted(report.slices))}; {shape["coil"]} coils, matrix '
        f'{" × ".join(str(shape[name]) for name in axes)} ({" × ".join(axes)}), phase encoding '
        f'{"horizontal" if report.readout_is_rows else "vertical"}.',
        f'Judged against {scan["reference"]}{_noise_floor(report.results["rows"])}.',
    ]


def _noise_floor(rows: Sequence[Mapping[str, Any]]) -> str:
    """How far the reference itself can be trusted, mean over slices; nothing of one without noise."""
    floors = {row['slice']: row['noise_floor'] for row in rows if row['noise_floor']}
    if not floors:
        return ''
    return (
        f'; its own noise is {mean(floors.values()):.4f} on the scale of the error, below which nothing can be judged'
    )


def _conditions(results: Mapping[str, Any]) -> list[str]:
    settings = results['settings']
    return [
        f'Sampling: {settings["lattice"]}. Coils are {settings["coils"]}. '
        'Every method learnt from the lines that were measured, and from nothing else.'
    ]


def _defined(verdict: Verdict) -> str:
    """What stands in the table at the top."""
    return f'Table at the top: {". ".join(f"{each.label}, {each.about}" for each in verdict.columns)}.'


def _compared(shape: Mapping[str, int], slices: Sequence[int]) -> str:
    """Which slices were compared, and whether any were left out."""
    if 'kz' in shape:
        return f'the volume judged as a whole and shown in slice {slices[0]}'
    if len(slices) == shape['slice']:
        return 'the only slice' if len(slices) == 1 else f'all {len(slices)} slices compared'
    return f'{len(slices)} of {shape["slice"]} slices compared: {_runs(slices)}; the others are left out'


def _runs(numbers: Sequence[int]) -> str:
    """Write increasing numbers such as 0–3, 7."""
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    return ', '.join(f'{start}' if start == end else f'{start}–{end}' for start, end in zip(starts, ends, strict=True))


def _caption(results: Mapping[str, Any]) -> list[str]:
    settings = results['settings']
    sentences = [
        f'Images: {settings["image"]}, 1 is the maximum of the reference of the slice; error maps: |image − reference| '
        'in the same unit, one scale for all methods, rates and slices, until it is changed. Where the page opens, it '
        'holds 99.5 % of the pixels of the baseline and of the method of the least error; larger errors are cut there.',
        f'Object, where NRMSE object and g-factors are taken: {settings["object"]}. Plain NRMSE counts the noise floor '
        'in air, which rewards reproducing it; k-space NRMSE is complex and over the missing lines only; SSIM and PSNR '
        'take the whole magnitude image, their range is the maximum of the reference.',
    ]
    errors = [row['gfactor_standard_error'] for row in results['rows'] if row['gfactor_standard_error'] is not None]
    if errors:
        sentences.append(
            f'g-factors: {settings["n_replicas"]} pseudo replicas with {settings.get("weights_of_replicas", "fixed")} '
            f'weights, relative standard error {100 * max(errors):.1f} % per pixel, net acceleration with the ACS '
            f'counted; noise from {results["scan"]["noise"]}. A g-factor below that of GRAPPA from a network may be '
            'shrinkage rather than less noise.'
        )
    errors = [row['retention_standard_error'] for row in results['rows'] if row['retention_standard_error'] is not None]
    if errors:
        sentences.append(
            'Retention: part of the signal that was not measured that comes back, in the object and in phase with it, '
            'from random probes of the derivative, smoothed over 1.5 pixels (standard deviation); 0 is zero filling, 1 '
            f'faithful; standard error {max(errors):.2f} per pixel. Low noise where little is retained is no gain.'
        )
    return sentences
