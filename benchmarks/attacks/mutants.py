"""Damaged copies of clean scans, reconstructed as a user would: what comes of each, by format, kind and place."""

from collections.abc import Sequence
from itertools import islice, product
from pathlib import Path

from attacks.cases import Case, Verdict, generator_of
from attacks.folders import state_of
from attacks.mutations import MUTATIONS
from attacks.places import places_of
from attacks.running import run
from attacks.scans import Clean, judged

NAME = 'mutants'

COUNT = 2400

N_ANEW = 24
"""Of them in processes started anew, which is slower, to show that forked ones hide nothing."""

PLACES = ('data', 'headers', 'heap', 'index', 'anywhere')


def cases(scans: Sequence[Clean], count: int, seed: int) -> list[Case]:
    """As many mutants, evenly over formats, kinds and places; names tell them."""
    there = {scan.name: set[str]().union(*map(places_of, scan.files)) for scan in scans}
    found = list[Case]()
    for number in range(count):
        every = max(50, count // N_ANEW)
        cells = [cell for cell in product(scans, MUTATIONS, PLACES) if cell[2] in there[cell[0].name]]
        found.append(_case(cells, number, seed, is_anew=number % every == every - 1))
    return list(islice(found, count))


def _case(cells: Sequence[tuple[Clean, str, str]], number: int, seed: int, *, is_anew: bool) -> Case:
    """Step through the cells with a stride that has no factor in common with their number, so that few reach all."""
    scan, kind, place = cells[number * 7919 % len(cells)]
    name = f'{NAME}/{scan.name}/{kind}/{place}/{number}{"/anew" if is_anew else ""}'
    return Case(scan.name, name, lambda folder: attack(folder, scan, kind, place, name, seed))


def attack(folder: Path, scan: Clean, kind: str, place: str, name: str, seed: int) -> Verdict:
    """Damage a copy and reconstruct it."""
    generator = generator_of(name, seed)
    files = [file for file in scan.copied(folder) if place in places_of(file)]
    file = files[int(generator.integers(len(files)))]
    ranges = places_of(file)[place]
    start, stop = ranges[int(generator.integers(len(ranges)))]
    position = int(generator.integers(start, max(start + 1, stop)))
    content = bytearray(file.read_bytes())
    MUTATIONS[kind](content, min(position, len(content) - 1), generator)
    file.write_bytes(content)
    before = state_of(folder)
    ending = run(scan.command(), folder, is_anew=name.endswith('/anew'))
    outcome, detail = judged(ending, (before, state_of(folder)), folder, scan)
    return Verdict(outcome, f'{file.name} at {position}: {detail}' if detail else '')
