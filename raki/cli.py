"""The `raki` command: options in, one line or one table out. No mathematics lives here."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from raki import benchmarking, many, serving, starting
from raki.commands import inputs
from raki.commands.idle import brief_waits
from raki.commands.inputs import as_usage_error, line_of, shown
from raki.commands.progress import progress_bars
from raki.commands.settings import (
    CalibrationOption,
    CoilsOption,
    DeviceOption,
    FaithfulOption,
    PhiOption,
    Reading,
    Settings,
)
from raki.commands.tables import show_comparison
from raki.commands.terminal import Stopped, terminable
from raki.commands.words import repeated
from raki.data.memory import require_start
from raki.endings import exit_code, one_line
from raki.options import Commands, JsonOption, ScanArgument, SlicesOption, with_settings
from raki.streams import UNREAD, flush_output, open_streams, say, warn

OUTPUT_HELP = 'A .h5, .nii.gz, .dcm, .png, .cfl or .mrd.h5; default: SCAN.raki.h5 here.'
VERSION = typer.Option('--version', help='Show the version and exit.', callback=starting.version, is_eager=True)
COMPARED = ['zero-filled', 'plain-grappa', 'grappa', 'gated', 'raki']


app = typer.Typer(
    cls=Commands,
    help='Reconstruct undersampled multi-coil MRI k-space from the scan itself, and say how well.',
    no_args_is_help=True,
    context_settings={'help_option_names': ['-h', '--help']},
    pretty_exceptions_enable=False,
)


@app.callback()
def common(
    debug: Annotated[bool, typer.Option('--debug', help='Show the traceback of an error.')] = False,
    version: Annotated[bool, VERSION] = False,
) -> None:
    """Options of all commands; `main` looks at --debug wherever it stands."""
    del debug, version


app.command()(starting.demo)
app.command()(starting.info)


@app.command()
@with_settings
def reconstruct(
    scan: ScanArgument,
    settings: Settings,
    output: Annotated[Path | None, typer.Option('-o', '--output', help=OUTPUT_HELP)] = None,
    save_fit: Annotated[Path | None, typer.Option(help='Store what is learnt, too: NAME.safetensors.')] = None,
    workers: Annotated[int, typer.Option(help='Slices at once, in processes with one thread each.', min=1)] = 1,
    as_json: JsonOption = False,
) -> None:
    """Fill in the missing lines of a scan, learning from its own ACS, and write the images."""
    from raki.commands.job import Job
    from raki.commands.reconstruct import reconstruct_file, told
    from raki.commands.workers import require_workers
    from raki.device import choose_device

    output = output or Path(f'{scan.stem}.raki.h5')
    inputs.require_output(output, scan, settings.mask, keeps_kspace=settings.kspace)
    inputs.require_fits(save_fit, settings.fit, scan)
    with as_usage_error():
        job = Job(settings, choose_device(settings.device))
    require_workers(workers, job.device.type)
    file = settings.open(scan, settings.coils)
    with progress_bars(say) as watch:
        manifest = reconstruct_file(file, output, job, watch, save_fit, n_workers=workers)
    warn(manifest['warnings'])
    print(json.dumps({'output': str(output), **manifest}, indent=1) if as_json else told(output, manifest))


app.command()(with_settings(many.batch))
app.command(hidden=True)(many.worker)
app.command(hidden=True)(many.batch_part)


@app.command()
@with_settings
def convert(
    scan: ScanArgument,
    reading: Reading,
    output: Annotated[Path, typer.Argument(help='A .h5 (fastMRI layout), .mrd.h5 (ISMRMRD) or .cfl (BART).')],
    keep_phi: PhiOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write raw data in another format, and say what that cannot hold."""
    from raki.commands.convert import convert_file, require_target, told

    require_target(output, scan, reading.mask)
    report = convert_file(reading.open(scan), output, reading, keep_phi=keep_phi)
    print(json.dumps(report, indent=1) if as_json else shown('\n'.join(told(report))))


@app.command()
@with_settings
def compare(
    scan: ScanArgument,
    reading: Reading,
    output: Annotated[Path, typer.Option('-o', '--output', help='Folder for results.json and report.html.')],
    rates: Annotated[
        list[str] | None,
        typer.Option(help='Accelerations: --rates 2,3 or 2 3; of volumes (Rz x Ry, CAIPI shift): 2x2,2x3s1.'),
    ] = None,
    acs: Annotated[list[str] | None, typer.Option(help='ACS lines: --acs 24,40; of volumes: 16x24.')] = None,
    methods: Annotated[
        list[str], typer.Option(help='Methods: --methods grappa,gated.', autocompletion=inputs.methods_starting)
    ] = COMPARED,
    seeds: Annotated[list[int], typer.Option(help='Seeds of the networks: --seeds 0-3.')] = [0],  # noqa: B006
    slices: SlicesOption = None,
    replicas: Annotated[int, typer.Option(help='Replicas of each noise map; 0 for none.')] = 100,
    refit: Annotated[bool, typer.Option('--refit', help='Learn anew from every replica: slow for networks.')] = False,
    coils: CoilsOption = None,
    calibration: CalibrationOption = None,
    faithful: FaithfulOption = None,
    iterations: Annotated[int | None, typer.Option(help="Training iterations, instead of each preset's own.")] = None,
    own_object: Annotated[Path | None, typer.Option('--object', help='Object mask, .npy or HDF5.')] = None,
    figure: Annotated[
        list[Path],
        typer.Option(help='Picture for a paper, NAME.png or NAME.pdf, of the rate that the report opens at.'),
    ] = [],  # noqa: B006
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undersample a fully sampled scan, reconstruct it with several methods, and measure."""
    from raki.commands import catalogue
    from raki.commands.compare import compare_file, require_folder
    from raki.commands.figures import require_figures
    from raki.data.apart import array_apart
    from raki.data.hdf5 import read_mask
    from raki.device import choose_device
    from raki.evaluation.plan import Plan

    require_folder(output)
    figures = require_figures(figure, output)
    own = None if own_object is None else array_apart(own_object, lambda: read_mask(own_object))
    with as_usage_error():
        chosen = catalogue.with_settings(catalogue.methods_named(methods, iterations), calibration, faithful)
        where = choose_device(device)
    drawn, seeds = inputs.drawn_mask(reading.mask, acs), list(map(inputs.seed_for, seeds))
    file = (reading.without_mask() if drawn else reading).open(scan, coils)
    with as_usage_error():
        spacings, blocks = inputs.rates_for(file, rates), inputs.acs_for(file, acs)
        plan = Plan(chosen, spacings, blocks, seeds, replicas, where, coils, refit, own, drawn)
    with progress_bars(say) as watch:
        rows = compare_file(file, output, plan, slices or [file.n_slices // 2], watch, figures)
    warn([f'{row.method}, R={row.rate}: {text}' for row in rows for text in row.warnings])
    if as_json:
        print((output / 'results.json').read_text(encoding='utf-8'))
        return
    show_comparison(rows, scan.name)
    print(shown(f'report: {output / "report.html"}\nresults: {output / "results.json"}'))
    for path in figures:
        print(shown(f'figure: {path}'))


app.command()(benchmarking.benchmark)


@app.command()
def view(
    reconstructions: Annotated[
        list[Path], typer.Argument(help='HDF5 files that raki reconstruct wrote; several are shown side by side.')
    ],
    output: Annotated[Path | None, typer.Option('-o', '--output', help='Page; default: beside the first file.')] = None,
    slices: SlicesOption = None,
    no_open: Annotated[bool, typer.Option('--no-open', help='Only write the page, open no browser.')] = False,
) -> None:
    """Show reconstructions in the browser, several side by side, as one HTML file."""
    import webbrowser

    from raki.commands.view import view_files

    output = output or reconstructions[0].with_suffix('.html')
    for reconstruction in reconstructions:
        inputs.require_writable(output, reconstruction)
    warn(view_files(reconstructions, output, slices or None))
    print(shown(output))
    if not no_open:
        webbrowser.open(output.resolve().as_uri())


@app.command()
def verify(
    paths: Annotated[list[Path], typer.Argument(help='Files that raki wrote, or folders with nothing else in them.')],
    as_json: JsonOption = False,
) -> int:
    """Say of outputs whether they are as they were written; exit code 3 if one is not."""
    from raki.commands.verify import told, verify_paths

    verdicts = verify_paths(paths)
    found = [{'path': str(each.path), 'problem': each.problem} for each in verdicts]
    print(json.dumps(found, indent=1) if as_json else '\n'.join(map(line_of, told(verdicts))))
    return 3 if any(each.problem for each in verdicts) else 0


app.command()(starting.simulate)
app.command()(serving.serve)
app.command()(serving.stream)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 done, 2 usage, 3 bad input, 4 numerical failure, 5 resources, 70 a fault of this program, 129 hung up, 130
    interrupted, 141 nobody reads what is printed, 143 terminated.
    """
    arguments = list(sys.argv[1:] if argv is None else argv) or ['--help']
    is_debugging = '--debug' in arguments
    arguments = [argument for argument in arguments if argument != '--debug']
    os.environ.update(brief_waits(os.environ))
    open_streams()
    try:
        with terminable():
            require_start()
            code = app(repeated(arguments, inputs.method_names), standalone_mode=False) or 0
            flush_output()
            return code
    except Stopped as stopped:
        say(str(stopped))
        return stopped.exit_code
    except BrokenPipeError:
        return UNREAD
    except SystemExit as left:
        is_unread = isinstance(left.__context__, BrokenPipeError)  # how click takes it
        return UNREAD if is_unread else int(left.code or 0)
    except Exception as error:
        if is_debugging:
            raise
        say(one_line(error))
        with suppress(OSError):
            flush_output()
        return exit_code(error)


if __name__ == '__main__':
    sys.exit(main())
