"""Peak memory of `raki reconstruct` on volumes, and what `raki info` said before.

Every method in a process of its own, on simulated volumes of 8 coils, 2x2 shift 1; trained ones with few iterations, as
their memory does not grow with them.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/volume_memory.py --json OUT.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raki.commands.origin import versions

RAKI = (sys.executable, '-m', 'raki.cli')
MATRICES = ('48x96x96', '96x144x144')
METHODS = ('zero-filled', 'grappa', 'gated', 'raki-complex')


def peak(path: Path, method: str) -> dict[str, Any]:
    """Reconstruct a file and look at the largest memory of the process, beside what was told."""
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    told = subprocess.run(
        (*RAKI, 'info', str(path), '--json'), check=True, capture_output=True, text=True, env=environment
    )
    command = (*RAKI, 'reconstruct', str(path), '-o', str(path.with_suffix('.out.h5')), '--method', method)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, used = usage.ru_utime + usage.ru_stime, 1024 * usage.ru_maxrss / 1e9
    needed = json.loads(told.stdout)['memory_needed_gb']
    return {'method': method, 'exit': process.returncode, 'cpu_seconds': seconds, 'peak_gb': used, 'told_gb': needed}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument('--matrices', nargs='+', default=list(MATRICES))
    parser.add_argument('--methods', nargs='+', default=list(METHODS))
    parser.add_argument('--json', type=Path, help='where to store the result')
    options, rows = parser.parse_args(argv), []
    for matrix in options.matrices:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'volume.h5'
            pattern = ('--coils', '8', '--matrix', matrix, '--rate', '2x2', '--shift', '1', '--acs', '12x20')
            subprocess.run((*RAKI, 'simulate', '-o', str(path), *pattern), check=True, stdout=subprocess.DEVNULL)
            for method in options.methods:
                rows.append({'matrix': matrix, **peak(path, method)})
                print(rows[-1], flush=True)
    if options.json:
        options.json.write_text(json.dumps({'versions': versions(), 'cores': os.cpu_count(), 'rows': rows}, indent=1))


if __name__ == '__main__':
    main()
