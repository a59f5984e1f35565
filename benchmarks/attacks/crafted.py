"""Hostile, contradictory and odd files, through every command that reads: no trace of a mistake, and the right answer.

What is expected: `refused` (any reason), `told` (refused, or with a warning that the clean scan does not get), `right`
(the image of the clean scan), `any` (nothing that no command may do).
"""

import os
import resource
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from attacks import crafted_files, crafted_hdf5, crafted_mrd, crafted_results, crafted_values
from attacks.cases import Case, Verdict
from attacks.crafts import Craft
from attacks.folders import fault_of, state_of
from attacks.running import Ending, run
from attacks.scans import RIGHT, Clean, image_in, nrmse
from attacks.warm import commands

NAME = 'crafted'

COUNT = 1000
"""At most; there are as many as the families have."""

MOST_MEMORY = 8 << 30
"""No command gets more, so that a size bomb does not take the machine down [byte]."""

MORE_MEMORY = 500
"""No crafted file, all of which are small, may take so much more than this process [MB]."""

READING = ('info', 'reconstruct', 'verify')
VIEWING = ('view', 'verify')

FAMILIES = (
    *crafted_hdf5.FAMILIES,
    *crafted_values.FAMILIES,
    *crafted_mrd.FAMILIES,
    *crafted_files.FAMILIES,
    *crafted_results.FAMILIES,
)


def cases(scans: Sequence[Clean], count: int, _seed: int) -> list[Case]:
    """As many, evenly over all that there are."""
    by_name = {scan.name: scan for scan in scans}
    crafts = list(chain.from_iterable(family(by_name) for family in FAMILIES))
    there, every = commands(), max(1, len(crafts) // count)
    return [_case(craft, by_name, there) for craft in crafts[::every]]


def _case(craft: Craft, scans: dict[str, Clean], there: set[str]) -> Case:
    group = f'{craft.family}: {craft.expected}'
    return Case(group, f'{NAME}/{craft.family}/{craft.variant}', lambda folder: _attack(folder, craft, scans, there))


def _attack(folder: Path, craft: Craft, scans: dict[str, Clean], there: set[str]) -> Verdict:
    """Every command that reads such a file; the worst that any of them does."""
    here = folder / 'here'
    here.mkdir()
    craft.make(here)
    found = Verdict('not read')
    for command in VIEWING if craft.is_result else READING:
        if command not in there:
            continue
        verdict = _through(command, here, craft, scans['fastMRI'])
        if verdict.outcome != 'fine' and (command != 'verify' or not verdict.outcome.startswith(('refused', 'right'))):
            found = Verdict(verdict.outcome, f'{command}: {verdict.detail}')
        if verdict.outcome not in ('fine', 'right', 'refused', 'warned', 'done'):
            return found
    return found


def _arguments(command: str, craft: Craft) -> tuple[list[str], list[str]]:
    """Words of the command line, and what they may write."""
    if command == 'reconstruct':
        return [command, '-o', craft.output, *craft.options, '--', craft.scan], [craft.output, *craft.beside]
    if command == 'view':
        return [command, '-o', 'page.html', '--no-open', '--', craft.scan], ['page.html']
    reading = [word for word in craft.options if word in craft.reading]
    return [command, *(reading if command == 'info' else []), '--', craft.scan], []


def _through(command: str, folder: Path, craft: Craft, clean: Clean) -> Verdict:
    """One command, and what came of it."""
    arguments, outputs = _arguments(command, craft)
    before = state_of(folder)
    ending = run(arguments, folder, before=_limited)
    fault = ending.fault or fault_of(before, state_of(folder), ending, outputs) or _improper(ending, folder, outputs)
    if fault:
        return Verdict(fault, ending.last)
    if command in ('info', 'verify'):
        return Verdict('fine')
    if craft.is_result or ending.code:
        outcome = 'refused wrongly' if craft.expected == 'right' else 'refused'
        return Verdict(outcome if ending.code else 'done', ending.last)
    return _as_expected(ending, folder / craft.output, craft, clean)


def _as_expected(ending: Ending, output: Path, craft: Craft, clean: Clean) -> Verdict:
    """What is to be said of an image that came of a crafted file."""
    image = image_in(output) if output.suffix == '.h5' else clean.image
    if not np.isfinite(image).all() or not image.any():
        return Verdict('no image', 'infinite or zero')
    news = [line for line in ending.warnings if line not in clean.warnings]
    if news:
        return Verdict('warned', news[0][:200])
    error = nrmse(image, clean.image)
    if error <= RIGHT and craft.expected != 'refused':
        return Verdict('right')
    return Verdict('done' if craft.expected == 'any' else 'untold', f'nrmse {error:.3g}')


def _improper(ending: Ending, folder: Path, outputs: Sequence[str]) -> str:
    """Escapes of a terminal in what is printed, scripts of the file in a page, or far too much memory."""
    if '\x1b' in ending.out + ending.err:
        return 'escapes'
    pages = (folder / name for name in outputs if name.endswith('.html') and (folder / name).is_file())
    if any('<script>alert' in page.read_text(errors='replace') for page in pages):
        return 'script'
    return 'memory' if ending.peak_mb > MORE_MEMORY + _own_peak() else ''


def _own_peak() -> float:
    """Largest memory of this process, which forked ones begin with [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    os.environ['COLUMNS'] = '120'
