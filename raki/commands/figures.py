"""Figures that a command is asked to draw: whether it can, and drawing them."""

import os
from collections.abc import Sequence
from pathlib import Path

from raki.commands.inputs import UsageError, as_usage_error
from raki.data.save import NewFiles, kind_of
from raki.evaluation.figure import figure_of, figure_paths, write_figure
from raki.evaluation.report import Report
from raki.evaluation.sheet import sheet_of
from raki.extras import require_extra


def require_figures(names: Sequence[Path], folder: Path) -> list[Path]:
    """Give the files that names of figures ask for, if they can be drawn and put there; the folder may be made yet.

    Raises
    ------
    UsageError, ExtraError
        If they cannot.
    OSError
        If a folder may not be written.
    """
    with as_usage_error():
        paths = figure_paths(names)
    if paths:
        require_extra('figure', '--figure')
    for path in paths:
        if kind := kind_of(path):
            raise UsageError(f'--figure must name a file, but {path} is {kind}')
        if path.parent.absolute() != folder.absolute() and not path.parent.is_dir():
            raise UsageError(f'cannot write {path}: there is no folder {path.parent}')
        if path.parent.is_dir() and not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(f'{path.parent} may not be written: choose another folder for --figure')
    return paths


def draw_figures(new_files: NewFiles, report: Report, paths: Sequence[Path]) -> None:
    """Draw a comparison into new files, which will be put in place of these paths."""
    if paths:
        figure = figure_of(sheet_of(report))
        for path in paths:
            write_figure(figure, new_files(path), path.suffix)
