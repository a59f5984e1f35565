"""How long idle threads wait for work before they sleep."""

from collections.abc import Mapping

POLICIES = ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')
"""Variables by which users decide that themselves; the GNU library of OpenMP reads them as it is loaded."""

SPINS = '3000'
"""Turns before an idle thread sleeps: tens of microseconds, longer than the gaps between the operations of training."""


def brief_waits(environment: Mapping[str, str]) -> dict[str, str]:
    """Give what makes idle threads sleep soon, but not at once; what is set there stays as it is.

    Threads that spin for long take a busy machine's cores from those who work; ones that sleep at once make training
    of small networks twice as long. `benchmarks/idle_threads.py` measures both.
    """
    decided = {name: environment[name] for name in POLICIES if environment.get(name)}
    return decided or {'GOMP_SPINCOUNT': SPINS}
