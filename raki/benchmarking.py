"""The command that makes a table of many methods over many scans: options in, a table out."""

import json
from pathlib import Path
from typing import Annotated

import typer

from raki.commands.inputs import as_usage_error, methods_starting, seed_for, shown
from raki.commands.progress import progress_bars
from raki.commands.settings import DeviceOption
from raki.commands.tables import show, show_text
from raki.endings import one_line
from raki.options import JsonOption
from raki.streams import say

METHOD_FILE_HELP = 'Python file with METHOD, or METHODS by name. It is RUN, with all your rights: name only your own.'


def benchmark(
    scans: Annotated[list[str], typer.Argument(help='Fully sampled scans, patterns such as "*.h5", or folders.')],
    output: Annotated[Path, typer.Option('-o', '--output', help='Folder for benchmark.html and benchmark.json.')],
    rates: Annotated[
        list[str] | None, typer.Option(help='Accelerations: --rates 3 4 5; of volumes (Rz x Ry): 2x2.')
    ] = None,
    acs: Annotated[list[str] | None, typer.Option(help='Lines of the ACS: --acs 24; of volumes: 16x24.')] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(help='Methods of raki; default: all, networks too.', autocompletion=methods_starting),
    ] = None,
    peers: Annotated[
        list[str], typer.Option(help='Of others: espirit, l1-wavelet (sigpy), bart-pics, pygrappa; all or none.')
    ] = ['all'],  # noqa: B006
    method_file: Annotated[list[Path] | None, typer.Option(help=METHOD_FILE_HELP)] = None,
    seeds: Annotated[list[int], typer.Option(help='Seeds of the networks: --seeds 0-3.')] = [0],  # noqa: B006
    replicas: Annotated[int, typer.Option(help='Replicas of each noise map; 0 for none, and no bias.')] = 20,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure every method, and installed tools of others, on fully sampled scans: one page, error with price."""
    from raki.commands.benchmark import FILES, Listener, benchmark_scans
    from raki.commands.benchmark_results import table
    from raki.commands.contest import Contest, methods_of
    from raki.device import choose_device

    with as_usage_error():
        where = choose_device(device)
    found, absent, files = methods_of(methods, peers, method_file or [])
    for name in absent:
        say(f'not installed: {name}')
    contest = Contest(found, rates, acs, list(map(seed_for, seeds)), replicas, where, absent, files)
    with progress_bars(say) as progress_for:
        results, standings = benchmark_scans(scans, output, contest, Listener(progress_for, say, one_line))
    if as_json:
        print(json.dumps(results, indent=1))
        return
    show(table(standings))
    show_text(standings.sentence)
    print(shown('\n'.join(f'{kind}: {output / name}' for kind, name in zip(('page', 'results'), FILES, strict=True))))
