"""How fast volumes are calibrated, against an older commit in the same run.

Both commits read the same k-space from one file and calibrate automatic GRAPPA in turn, each in a process of its own
that keeps nothing between calls; CPU time, medians. What each then fills in tells what the speed costs.
`volumes.py --against COMMIT` prints it.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def work(path: Path) -> None:
    """Calibrate once for every line on standard input, and answer with the CPU time [s]; then fill in, into a file.

    Of this commit or an older one.
    """
    import numpy as np
    import torch

    from raki.grappa.method import Grappa

    with np.load(path, allow_pickle=False) as case:
        kspace, mask = (torch.from_numpy(case[name]) for name in ('kspace', 'mask'))
        rate, acs, shift = tuple(case['rate'].tolist()), tuple(case['acs'].tolist()), int(case['shift'])
    torch.set_num_threads(1)
    try:
        from raki.data.sampling import undersample
        from raki.interpolation.fit import fit

        sampling = undersample(mask, rate, acs, shift)

        def calibrate() -> Any:
            return fit(Grappa(), kspace, sampling)
    except ImportError:
        from raki.volume import fit_volume  # type: ignore[import-not-found]

        from raki.data.lattice import undersample_volume  # type: ignore[attr-defined]

        sampling = undersample_volume(mask, rate, shift, acs)

        def calibrate() -> Any:
            return fit_volume(Grappa(), sampling.acs_block(kspace), sampling, kspace)

    for _ in sys.stdin:
        start = process_time()
        calibrate()
        print(process_time() - start, flush=True)
    np.save(filled_beside(path), calibrate().fill(kspace).numpy())


def filled_beside(case: Path) -> Path:
    """Where the filled k-space of a case goes."""
    return case.with_suffix('.filled.npy')


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that runs some version of the package."""

    process: subprocess.Popen[str]

    @classmethod
    def of(cls, root: Path, path: Path) -> 'Worker':
        """Of the checkout at `root`, for the case in a file."""
        environment = os.environ | {'PYTHONPATH': str(root), 'OMP_NUM_THREADS': '1', 'OMP_WAIT_POLICY': 'PASSIVE'}
        command = (sys.executable, '-P', __file__, str(path))
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
        return cls(subprocess.Popen(command, env=environment, text=True, **pipes))

    def __call__(self) -> float:
        """CPU seconds of one calibration."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """Let it end."""
        self.process.communicate()


def exported(commit: str, folder: str) -> Path:
    """The tree of a commit, in a folder."""
    archive = subprocess.run(('git', 'archive', commit), cwd=REPOSITORY, check=True, capture_output=True).stdout
    subprocess.run(('tar', 'x', '-C', folder), input=archive, check=True)
    return Path(folder)


def speeds(commit: str, cases: Sequence[dict[str, Any]], n_rounds: int) -> Iterator[dict[str, Any]]:
    """One row per case: kspace (coil, kz, ky, kx), truth (its image, axes (z, y, x)), mask, rate, shift, acs, label."""
    import numpy as np
    import torch
    from volume_extents import image

    from raki.evaluation.metrics import nrmse_object

    with ExitStack() as stack:
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)]
        old_root = exported(commit, folders[0])
        for case in cases:
            path = Path(folders[1]) / 'case.npz'
            np.savez(path, **{name: np.asarray(case[name]) for name in ('kspace', 'mask', 'rate', 'acs', 'shift')})
            new, old = Worker.of(REPOSITORY, path), Worker.of(old_root, path)
            times = [(new(), old()) for _ in range(n_rounds + 1)][1:]
            errors = []
            for worker in (new, old):
                worker.close()
                filled = torch.from_numpy(np.load(filled_beside(path), allow_pickle=False))
                errors.append(nrmse_object(image(filled), case['truth']))
            seconds = [median(spent) for spent in zip(*times, strict=True)]
            row = {'case': case['label'], 'new': seconds[0], 'old': seconds[1], 'faster': seconds[1] / seconds[0]}
            yield row | {'error': errors[0], 'error_over_old': errors[0] / errors[1]}


if __name__ == '__main__':
    work(Path(sys.argv[1]))
