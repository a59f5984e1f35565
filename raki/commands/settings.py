"""What a user may ask for: one model for options of the command line, keys of a configuration file, and manifests."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from raki.commands import inputs

if TYPE_CHECKING:
    from raki.data.scan import ScanFile


IN_ANY_CASE = AfterValidator(lambda name: name and name.lower())
"""Of names, which are all written small in outputs."""

CoilsOption = Annotated[int | None, typer.Option(help='Compress to this many virtual coils before learning.')]
CalibrationOption = Annotated[
    str | None,
    IN_ANY_CASE,
    typer.Option(help='What to learn from: measured (lines only) or own (reconstructed ones, too).'),
]
FaithfulOption = Annotated[
    float | None, typer.Option(help='Least part of small points to give back, such as 0.9 (gated, rraki, sparse).')
]
PhiOption = Annotated[bool, typer.Option('--keep-phi', help='Write who the patient is, too, where the scan tells.')]
DeviceOption = Annotated[str | None, typer.Option(help='Such as cpu or cuda; default: the GPU where there is one.')]


def _several(value: object) -> object:
    """A number as a list of one; a tuple of what is a list, as nothing is converted afterwards."""
    return (value,) if type(value) is int else tuple(value) if isinstance(value, list) else value


class Reading(BaseModel):
    """How a scan is to be read. A field here is an option of every command that reads one."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    dataset: Annotated[str | None, typer.Option(help='K-space array of a file in no known format.')] = None
    axes: Annotated[str | None, typer.Option(help='Its axes in order, such as slice,coil,ky,kx.')] = None
    mask: Annotated[
        str | None,
        typer.Option(
            help='Dataset or file with the line mask, or "zeros" if lines of zeros are missing; compare also draws '
            'equispaced_fraction, equispaced, magic, magic_fraction, random (:N for another seed).'
        ),
    ] = None
    fft: Annotated[
        str | None, typer.Option(help='With --axes: zero frequency "centred" at n//2 (default) or "unshifted".')
    ] = None
    measurement: Annotated[
        str | None, typer.Option(help='Which of several in a file of raw data; default: the last.')
    ] = None
    centre: Annotated[str | None, typer.Option(help='Central line (and partition) of raw data: KY or KY,KZ.')] = None
    nan: Annotated[
        str,
        IN_ANY_CASE,
        typer.Option(help='What to do about NaN and infinite samples: refuse, or drop (replace them).'),
    ] = 'refuse'

    def open(self, scan: Path, coils: int | None = None) -> 'ScanFile':
        """Recognise the file; a UsageError if options do not fit together, or `coils` virtual coils not the scan."""
        how = self.fft, self.measurement, self.centre, self.nan
        return inputs.open_file(scan, self.dataset, self.axes, self.mask, coils, *how)

    def without_mask(self) -> Self:
        """The same, of a scan as its file says that it was measured."""
        return self.model_copy(update={'mask': None})


class Settings(Reading):
    """How a scan is to be read and reconstructed. A field here is an option of every command that reconstructs."""

    method: Annotated[
        str,
        IN_ANY_CASE,
        typer.Option(
            help='gated, grappa, spirit, sparse, zero-filled, raki, raki-complex, rraki or iraki.',
            autocompletion=inputs.own_methods_starting,
        ),
    ] = 'gated'
    fallback: Annotated[
        str | None,
        IN_ANY_CASE,
        typer.Option(
            help='What fills in, with a warning, where training fails: grappa, gated, spirit, sparse or zero-filled; '
            'default: nothing, which is an error.'
        ),
    ] = None
    slices: Annotated[
        tuple[int, ...] | None,
        BeforeValidator(_several),
        typer.Option('--slices', '--slice', help='Slices, counted from 0: --slices 0-3,7.'),
    ] = None
    repetition: Annotated[int | None, typer.Option(help='Only this repetition, by its counter.')] = None
    contrast: Annotated[int | None, typer.Option(help='Only this contrast (echo).')] = None
    phase: Annotated[int | None, typer.Option(help='Only this cardiac phase.')] = None
    set: Annotated[int | None, typer.Option(help='Only this set.')] = None
    combine: Annotated[str, IN_ANY_CASE, typer.Option(help='rss, walsh (adaptive) or espirit.')] = 'rss'
    partial_fourier: Annotated[
        str, IN_ANY_CASE, typer.Option(help='What to do beyond one end of k-space: zero-fill, homodyne or pocs.')
    ] = 'zero-fill'
    whiten: Annotated[bool, typer.Option(help='Whiten coils where the scan has noise samples.')] = True
    crop: Annotated[bool, typer.Option(help='Crop images to the matrix that the scan asks for.')] = True
    seed: Annotated[int, typer.Option(help='Seed of the networks.')] = 0
    kspace: Annotated[bool, typer.Option('--kspace', help='Write the filled k-space, too.')] = False
    gfactor: Annotated[bool, typer.Option('--gfactor', help='Write g-factor maps, too (grappa).')] = False
    coils: CoilsOption = None
    calibration: CalibrationOption = None
    faithful: FaithfulOption = None
    spikes: Annotated[
        str,
        IN_ANY_CASE,
        typer.Option(help='What to do about spikes and lost blocks of samples: warn, drop (replace them) or keep.'),
    ] = 'warn'
    fit: Annotated[
        Path | None, typer.Option(help='Fill in with what --save-fit wrote of a scan of the same lines; learn nothing.')
    ] = None
    keep_phi: PhiOption = False
    device: DeviceOption = None

    @property
    def labels(self) -> dict[str, int | None]:
        """Which frames are wanted, by the names of `raki.data.place.Frame`; None for any."""
        return {name: getattr(self, name) for name in ('repetition', 'contrast', 'phase', 'set')}


class Slurm(BaseModel):
    """What is asked of SLURM. A field here is an option of `raki batch`, called as sbatch calls it."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    slurm: Annotated[bool, typer.Option('--slurm', help='Submit to SLURM, from where -o is a shared folder.')] = False
    partition: Annotated[str | None, typer.Option(help='Partition of SLURM; default: its own.')] = None
    time: Annotated[int, typer.Option(help='Minutes that each element of the array may take.', min=2)] = 60
    gpus: Annotated[int, typer.Option(help='GPUs of each element.', min=0)] = 0
    memory: Annotated[int | None, typer.Option(help='Memory of each element [GB]; default: of SLURM.', min=1)] = None
    array_size: Annotated[int, typer.Option(help='The most elements that share the scans.', min=1)] = 64
    wait: Annotated[bool, typer.Option('--wait/--no-wait', help='Wait for all, or end when they are submitted.')] = True

    @property
    def is_asked(self) -> bool:
        """Whether to submit; a UsageError if something is asked of SLURM that gets nothing to do."""
        if not self.slurm and self.model_fields_set:
            names = ', '.join(f'--{name.replace("_", "-")}' for name in sorted(self.model_fields_set))
            raise inputs.UsageError(f'{names.replace("--wait", "--no-wait")}: only together with --slurm')
        return self.slurm
