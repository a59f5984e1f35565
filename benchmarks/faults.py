"""The fault table with large counts: damaged and crafted files, kills, flips of our own outputs, limits.

Everything is done with the command line, as a user would: forked from this process, which has all modules in memory,
some of it started anew. One thread each. Sections:

mutants     damaged copies of scans in every format, reconstructed
crafted     hostile, contradictory or odd files, through info, reconstruct, view and verify
kills       SIGKILL at a random moment, of a command with all its children or alone; then the same command again
flips       one byte of our own outputs inverted: `raki verify` must tell
limits      memory, full disks, folders that cannot be written, signals, writers of one file at once
steadiness  the same bits ten times; the same image from k-space of any scale

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 python benchmarks/faults.py --json benchmarks/results/faults.json
    python benchmarks/faults.py --sections mutants --scale 0.05 --only 'mutants/MRD/1 bit' --keep DIR

Exit code 1 if anything happened that must not.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any

os.environ['OMP_NUM_THREADS'] = '1'  # a process that has started threads cannot be forked

import torch
from attacks.cases import Case, Finding, carried_out, share
from attacks.scans import Clean, clean_scans
from attacks.tables import bad, print_silent, print_table, print_untold, summary
from quality import stored

from raki.commands.origin import versions

SECTIONS = ('mutants', 'crafted', 'kills', 'flips', 'limits', 'steadiness')

SHARED = Path(__file__).parents[2] / 'shared' / 'data'

SILENT_SHARE = 0.02
"""Of mutants, silently wrong images may be so many [1]."""


def warmed(folder: Path) -> None:
    """Import what commands import, by doing some of them in this process, silently."""
    from attacks.warm import warm

    warm(folder)


def cases_of(section: str, scans: Sequence[Clean], options: argparse.Namespace) -> list[Case]:
    """Attacks of a section, as many as are asked for."""
    module: Any = import_module(f'attacks.{section}')
    found = module.cases(scans, max(1, round(module.COUNT * options.scale)), options.seed)
    return [case for case in found if case.name.startswith(options.only)]


def attacked(section: str, scans: Sequence[Clean], options: argparse.Namespace) -> list[Finding]:
    """Carry out a section, and print what came of it."""
    started, cases = monotonic(), cases_of(section, scans, options)
    if options.keep:
        findings = [carried_out(case, options.keep / case.name.replace('/', '_').replace(' ', '_')) for case in cases]
    else:
        findings = list(share(cases, options.workers))
    findings.sort(key=lambda finding: finding.name)
    print_table(section, findings, monotonic() - started)
    print_untold(findings)
    if any(finding.outcome == 'silent' for finding in findings):
        print_silent(findings)
    if len(findings) < len(cases):
        print(f'  {len(cases) - len(findings)} cases have no finding: a worker ended early')
    sys.stdout.flush()
    return findings


def is_failed(found: dict[str, list[Finding]]) -> bool:
    """Whether anything happened that must not."""
    mutants = found.get('mutants', [])
    n_silent = sum(finding.outcome == 'silent' for finding in mutants)
    return any(map(bad, found.values())) or n_silent > SILENT_SHARE * len(mutants)


def main() -> int:
    """Attack, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sections', nargs='+', choices=SECTIONS, default=SECTIONS)
    parser.add_argument('--scale', type=float, default=1.0, help='part of the full counts')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--only', default='', metavar='NAME', help='cases whose name starts like this')
    parser.add_argument('--keep', type=Path, help='folder in which those are carried out, and left as they end')
    parser.add_argument('--scans', type=Path, default=SHARED, help='folder with shared scans')
    parser.add_argument('--json', type=Path, help='where to store it, such as benchmarks/results/faults.json')
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = monotonic()
    with tempfile.TemporaryDirectory(prefix='faults') as name:
        warmed(Path(name))
        scans = clean_scans(Path(name), options.scans if options.scans.is_dir() else None, options.seed)
        found = dict[str, list[Finding]]()
        for section in options.sections:
            found[section] = attacked(section, scans, options)
            if options.json:
                options.json.write_text(stored(content(found, options)), encoding='utf-8')
    print(f'\nall: {sum(map(len, found.values()))} in {monotonic() - started:.0f} s')
    return int(is_failed(found))


def content(found: Mapping[str, list[Finding]], options: argparse.Namespace) -> dict[str, object]:
    """What is stored of the sections that are over."""
    settings = {'seed': options.seed, 'scale': options.scale, 'workers': options.workers}
    machine = {'processor': platform.processor() or platform.machine(), 'cores': os.cpu_count()}
    machine |= {'threads': torch.get_num_threads(), 'system': platform.system()}
    rows = [{'section': section, **summary(findings)} for section, findings in found.items()]
    return {'settings': settings, 'versions': versions(), 'machine': machine, 'rows': rows}


if __name__ == '__main__':
    sys.exit(main())
