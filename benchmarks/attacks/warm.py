"""Bring into memory what commands import, so that processes forked from this one start quickly."""

import contextlib
import os
from pathlib import Path

from raki.cli import main

COMMANDS = (
    'simulate -o a.h5 --coils 4 --matrix 32x24 --rate 2 --acs 14',
    'simulate -o b.h5 --coils 4 --matrix 32x24',
    'convert a.h5 a.mrd.h5',
    'convert a.h5 a.cfl',
    'info a.mrd.h5',
    *(f'reconstruct a.h5 -o r{suffix} --method grappa' for suffix in ('.h5', '.mrd.h5', '.nii', '.dcm', '.png')),
    'reconstruct a.cfl -o r.cfl --method gated --mask zeros',
    'view r.h5 --no-open',
    'compare b.h5 -o c --rates 2 --acs 16 --methods grappa --replicas 0',
    'verify r.h5',
    'batch a.h5 -o d --method grappa',
    'batch --help',
)
"""Those that do not exist are refused, which does no harm."""


def warm(folder: Path) -> None:
    """Run commands in this process, without a word."""
    here, stderr = Path.cwd(), os.dup(2)
    os.chdir(folder)
    try:
        with Path(os.devnull).open('w') as nowhere, contextlib.redirect_stdout(nowhere):
            os.dup2(nowhere.fileno(), 2)
            for command in COMMANDS:
                with contextlib.suppress(Exception, SystemExit):
                    main(command.split())
    finally:
        os.dup2(stderr, 2)
        os.chdir(here)


def commands() -> set[str]:
    """Names of all commands that there are."""
    import typer.main

    from raki.cli import app

    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def options_of(command: str) -> str:
    """What the help of a command says."""
    from attacks.running import run

    return run((command, '--help'), Path.cwd(), before=lambda: os.environ.update(COLUMNS='200')).out
