"""What `raki demo` does: a simulated scan, and the comparison of methods on it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from raki.commands.catalogue import methods_named
from raki.commands.inputs import UsageError, acs_for, open_file, rates_for
from raki.commands.simulate import simulate_file
from raki.data.scan import ScanFile
from raki.data.simulate import Simulation
from raki.errors import ScanError
from raki.evaluation.plan import Plan

SCAN = Simulation((160, 128), n_coils=8, noise=0.003)
"""As `raki simulate` makes it by default."""

QUICK = ('zero-filled', 'plain-grappa', 'grappa', 'gated')
FULL = (*QUICK, 'raki')
"""Methods that are compared: what takes a minute, and what takes some."""

RATES, ACS = ('2', '3', '4', '5'), ('24',)


def require_simulated(path: Path) -> None:
    """Raise a UsageError where the scan would replace one that is not simulated."""
    if path.is_file() and not _is_simulated(path):
        raise UsageError(f'{path} is there, and was not simulated: choose another folder with -o')


def _is_simulated(path: Path) -> bool:
    try:
        return open_file(path).facts.get('source') == 'raki simulate'
    except ScanError:
        return False


def simulated(path: Path) -> str:
    """Write the scan, and say what it is."""
    return simulate_file(path, SCAN, (1,), (24,))


def comparison(scan: Path, folder: Path, *, is_full: bool) -> str:
    """The comparison as a command."""
    methods = _methods(is_full=is_full)
    return f'raki compare {scan} -o {folder} --rates {",".join(RATES)} --acs {ACS[0]} --methods {",".join(methods)}'


def plan(file: ScanFile, *, is_full: bool) -> Plan:
    """The same as a plan."""
    methods = methods_named(_methods(is_full=is_full))
    return Plan(methods, rates_for(file, RATES), acs_for(file, ACS), n_replicas=100, device=torch.device('cpu'))


def _methods(*, is_full: bool) -> Sequence[str]:
    return FULL if is_full else QUICK
