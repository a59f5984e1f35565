"""Options of the command line that several commands share."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_type_hints

import typer

from raki.commands import inputs

if TYPE_CHECKING:
    from raki.data.scan import ScanFile

DeviceOption = Annotated[str | None, typer.Option(help='Such as cpu or cuda; default: the GPU where there is one.')]
JsonOption = Annotated[bool, typer.Option('--json', help='Print JSON for programs.')]
CoilsOption = Annotated[int | None, typer.Option(help='Compress to this many virtual coils before learning.')]
CalibrationOption = Annotated[
    str | None, typer.Option(help='What to learn from: measured (lines only) or own (reconstructed ones, too).')
]
FaithfulOption = Annotated[
    float | None, typer.Option(help='Least part of small points to give back, such as 0.9 (gated, rraki, sparse).')
]
ReuseOption = Annotated[
    bool, typer.Option('--reuse', help='Learn every slice once, for its later repetitions, too: quicker, less exact.')
]
MemoryOption = Annotated[float, typer.Option(help='The most that the samples of a connection may take [GB].')]
SlicesOption = Annotated[list[int] | None, typer.Option('--slices', '--slice', help='Slices, counted from 0.')]


@dataclass(frozen=True, slots=True)
class Source:
    """A scan on the command line, and how it is to be read. A field here is an option of every command that reads."""

    scan: Annotated[Path, typer.Argument(help='Scan: fastMRI-layout, ISMRMRD, Siemens .dat, BART, .npy, or any HDF5.')]
    dataset: Annotated[str | None, typer.Option('--dataset', help='K-space array of a file in no known format.')] = None
    axes: Annotated[str | None, typer.Option('--axes', help='Its axes in order, such as slice,coil,ky,kx.')] = None
    mask: Annotated[
        str | None,
        typer.Option(
            '--mask',
            help='Dataset or file with the line mask, or "zeros" if lines of zeros are missing; compare also draws '
            'equispaced_fraction, equispaced, magic, magic_fraction, random (:N for another seed).',
        ),
    ] = None
    fft: Annotated[
        str | None,
        typer.Option('--fft', help='With --axes: zero frequency "centred" at n//2 (default) or "unshifted".'),
    ] = None
    measurement: Annotated[
        str | None, typer.Option('--measurement', help='Which of several in a file of raw data; default: the last.')
    ] = None
    centre: Annotated[
        str | None, typer.Option('--centre', help='Central line (and partition) of raw data: KY or KY,KZ.')
    ] = None

    def open(self, coils: int | None = None) -> 'ScanFile':
        """Recognise the file; a UsageError if options do not fit together, or `coils` virtual coils not the scan."""
        how = self.fft, self.measurement, self.centre
        return inputs.open_file(self.scan, self.dataset, self.axes, self.mask, coils, *how)

    def without_mask(self) -> 'Source':
        """The same scan as its file says that it was measured."""
        return replace(self, mask=None)


def reading(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose first parameter is a `Source`, the options of one instead."""
    hints, own = get_type_hints(Source, include_extras=True), inspect.signature(command, eval_str=True)
    _, *others = own.parameters.values()
    kind = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(each.name, kind, annotation=hints[each.name], default=_default(each.default))
        for each in fields(Source)
    ]

    @wraps(command)
    def with_source(**values: object) -> None:
        source = Source(**{each.name: values.pop(each.name) for each in fields(Source)})  # pyright: ignore[reportArgumentType]
        command(source, **values)

    parameters = [options[0], *(each.replace(kind=kind) for each in others), *options[1:]]
    with_source.__signature__ = own.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return with_source


def _default(value: object) -> object:
    return inspect.Parameter.empty if value is MISSING else value
