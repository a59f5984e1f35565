"""Commands to start with, before anything is reconstructed: options in, one line or one table out."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raki.commands import inputs
from raki.commands.inputs import as_usage_error, shown
from raki.commands.progress import progress_bars
from raki.commands.settings import Reading, Settings
from raki.commands.tables import description_table, show, show_comparison
from raki.options import JsonOption, ScanArgument, with_settings
from raki.streams import say, warn

if TYPE_CHECKING:
    from raki.data.scan import ScanFile

MethodOption = Annotated[
    str | None,
    typer.Option(help='With --plan: method to plan for; default: gated.', autocompletion=inputs.own_methods_starting),
]


def version(is_asked: bool) -> None:
    """Print the version, and end, if it is asked for."""
    if is_asked:
        from importlib.metadata import version as version_of

        print(f'raki {version_of("raki")}')
        raise typer.Exit


@with_settings
def info(
    scan: ScanArgument,
    reading: Reading,
    plan: Annotated[
        bool, typer.Option('--plan', help='Print every choice of a reconstruction, as YAML for reconstruct --config.')
    ] = False,
    method: MethodOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is in a file: shape, lattice, R, ACS, noise, partial Fourier, problems, and whether it is ready."""
    if method and not plan:
        raise inputs.UsageError(f'--method {method} is planned for: add --plan, or leave it out')
    file = reading.open(scan)
    if plan:
        _plan(file, reading, method or 'gated', as_json=as_json)
        return
    from raki.commands.info import describe

    description = describe(file)
    if as_json:
        print(json.dumps(description, indent=1))
    else:
        show(description_table(description))


def simulate(
    output: Annotated[Path, typer.Option('-o', '--output', help='HDF5 to write.')],
    coils: Annotated[int, typer.Option(help='Number of coils.')] = 8,
    matrix: Annotated[str, typer.Option(help='Lines x samples; of a volume with partitions: 32x96x80.')] = '160x128',
    slices: Annotated[int, typer.Option(help='Number of slices.')] = 1,
    noise: Annotated[float, typer.Option(help='Noise per coil image over the brightest voxel.')] = 0.003,
    rate: Annotated[str | None, typer.Option(help='Undersample with this R; a volume with Rz x Ry: 2x2.')] = None,
    shift: Annotated[int, typer.Option(help='CAIPI shift of a volume, in lines.')] = 0,
    acs: Annotated[str | None, typer.Option(help='ACS lines to keep where R > 1: 24; of a volume 12x24.')] = None,
    seed: Annotated[int, typer.Option(help='Seed of texture, phase and noise.')] = 0,
    phantom: Annotated[str, typer.Option(help='head, bars (resolution) or compartments (sharp shapes).')] = 'head',
) -> None:
    """Simulate a multi-coil scan, or a volume with two phase-encoding axes, with noise samples and known truth."""
    inputs.require_writable(output)
    with as_usage_error():
        from raki.commands.simulate import simulate_file
        from raki.data.simulate import Simulation

        size = inputs.sizes_of('--matrix', matrix)
        seed, rates = inputs.seed_for(seed), inputs.sizes_of('--rate', rate or ('1x1' if len(size) == 3 else '1'))
        block = inputs.sizes_of('--acs', acs or ('12x24' if len(size) == 3 else '24'))
        what = simulate_file(output, Simulation(size, coils, slices, noise, seed, phantom), rates, block, shift)
    print(f'{shown(output)}: {what}')


def demo(
    output: Annotated[Path, typer.Option('-o', '--output', help='Folder for scan, results and report.')] = Path('demo'),
    full: Annotated[bool, typer.Option('--full', help='With the network of 2019, too, which takes minutes.')] = False,
) -> None:
    """Simulate a scan, say what is in it, compare methods at R = 2 to 5, and write the report."""
    from raki.commands import demo as steps
    from raki.commands.compare import compare_file, require_folder
    from raki.commands.info import describe

    require_folder(output)
    output.mkdir(parents=True, exist_ok=True)
    scan = output / 'scan.h5'
    steps.require_simulated(scan)
    inputs.require_writable(scan)
    print(shown(f'$ raki simulate -o {scan}\n{scan}: {steps.simulated(scan)}\n\n$ raki info {scan}'))
    file = inputs.open_file(scan)
    show(description_table(describe(file)))
    print(shown(f'\n$ {steps.comparison(scan, output, is_full=full)}'))
    with progress_bars(say) as watch:
        rows = compare_file(file, output, steps.plan(file, is_full=full), [0], watch)
    warn(f'{row.method}, R={row.rate}: {text}' for row in rows for text in row.warnings)
    show_comparison(rows, scan.name)
    print(shown(f'report: {output / "report.html"}'))


def _plan(file: 'ScanFile', reading: Reading, method: str, *, as_json: bool) -> None:
    """Print what a reconstruction would choose."""
    from raki.commands.choices import plan_of
    from raki.commands.config import written
    from raki.commands.job import Job

    with as_usage_error():
        job = Job(Settings(**reading.model_dump(exclude_unset=True), method=method))
    with progress_bars(say) as watch:
        found = plan_of(file, job, watch)
    print(json.dumps(asdict(found), indent=1) if as_json else written(found), end='\n' * as_json)
