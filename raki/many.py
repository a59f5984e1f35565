"""Commands for many scans: options in, one line or one table out."""

import json
import signal
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from raki.commands.inputs import shown
from raki.commands.settings import Settings, Slurm
from raki.commands.terminal import Stopped, batch_watcher
from raki.endings import exit_code, one_line
from raki.options import JsonOption
from raki.streams import say

COLLECT = (
    'when it is over, the same command with --resume instead of --no-wait submits what is left, if any, and sums up'
)


def batch(
    scans: Annotated[list[str], typer.Argument(help='Scans, quoted patterns such as "*.h5", or folders of scans.')],
    settings: Settings,
    slurm: Slurm,
    output: Annotated[Path, typer.Option('-o', '--output', help='Folder for images, summary.json and index.html.')],
    suffix: Annotated[str, typer.Option('--format', help='.h5, .nii.gz, .dcm, .png, .cfl or .mrd.h5.')] = '.h5',
    workers: Annotated[
        int | None, typer.Option(help='Processes, of each element with --slurm; default: one per core, or GPU.', min=1)
    ] = None,
    threads: Annotated[int, typer.Option(help='Threads of each; they decide the last bits of images.', min=1)] = 1,
    resume: Annotated[bool, typer.Option('--resume', help='Leave what is finished and unchanged as it is.')] = False,
    timeout: Annotated[float, typer.Option(help='Seconds that one scan may take.')] = 3600.0,
    as_json: JsonOption = False,
) -> None:
    """Reconstruct many scans: one that fails stops no other, and what was interrupted goes on with --resume."""
    from raki.commands.batch import cluster
    from raki.commands.batch.command import batch_files, here
    from raki.commands.batch.process import Work

    work = Work(settings, suffix, resume, threads, timeout)
    if slurm.is_asked and not slurm.wait:
        array = cluster.submit_files(scans, output, work, slurm, workers)
        print(json.dumps(array.told, indent=1) if as_json else f'{shown(output)}: {array.line}; {COLLECT}')
        return
    machine = partial(cluster.on_slurm, slurm, workers, say) if slurm.is_asked else partial(here, workers)
    try:
        with batch_watcher(say) as watcher:
            summary = batch_files(scans, output, work, machine, watcher)
    except Stopped as stopped:
        stopped.add_note(f'what is finished stays in {output}; the same command with --resume goes on')
        raise
    told = '{n_done} of {n_scans} scan(s) reconstructed, {n_failed} failed'.format_map(summary)
    print(json.dumps(summary, indent=1) if as_json else f'{shown(output)}: {told}, see {shown(output / "index.html")}')
    raise typer.Exit(summary['exit_code'])


def worker() -> None:
    """Reconstruct scans of a batch as standard input says."""
    from raki.commands.batch.worker import lines_of_worker, serve

    with lines_of_worker() as (source, reply):
        serve(source, reply, lambda error: (exit_code(error), one_line(error)))


def batch_part(
    folder: Annotated[Path, typer.Argument(help='Of the batch, as it was named for --output.')],
    number: Annotated[int, typer.Argument(help='Which element of the array this is, from 0.')],
) -> None:
    """Reconstruct the scans of one element of an array of a cluster."""
    from raki.commands.batch.part import run_part

    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # for submitit, which then has SLURM start the element again
    run_part(folder, number)
