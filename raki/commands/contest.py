"""What a benchmark compares: methods, peers that are installed, and methods of a user's own, all by name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from raki.commands.catalogue import METHODS, comparable, known, methods_named
from raki.commands.inputs import RATE, SIZES, UsageError, as_usage_error
from raki.commands.method_files import methods_in
from raki.data.digests import sum_of
from raki.evaluation.baseline import Baseline
from raki.evaluation.compare import has_seed
from raki.evaluation.peers import PEERS
from raki.evaluation.standings import BASELINE
from raki.interpolation.calibration import Method

ALL, NONE = 'all', 'none'
"""Words for every peer, and for no peer."""


@dataclass(frozen=True, slots=True)
class Contest:
    """What to measure on every scan."""

    methods: Mapping[str, Method | Baseline]
    """By name, the baseline first."""
    rates: Sequence[str] | None = None
    acs: Sequence[str] | None = None
    """Words for accelerations and sizes of the ACS; of every scan those count that have its number of phase axes."""
    seeds: Sequence[int] = (0,)
    """Of methods that have one."""
    n_replicas: int = 20
    """Of each noise map; 0 for none."""
    device: torch.device = torch.device('cpu')
    """Where methods compute; peers compute where they do."""
    absent: Sequence[str] = ()
    """Peers that were asked for and are not installed."""
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of methods of a user's own, by name: name of the file, and its sum."""

    def __post_init__(self) -> None:
        for option, words, pattern in (('--rates', self.rates, RATE.pattern), ('--acs', self.acs, SIZES)):
            for word in words or ():
                if not re.fullmatch(pattern, word):
                    raise UsageError(f'{option} needs numbers such as 4, of volumes such as 2x2, got {word}')
        if self.n_replicas < 0 or self.n_replicas == 1:
            raise UsageError(f'--replicas must be 0 or at least 2, got {self.n_replicas}')

    @property
    def runs(self) -> list[str]:
        """Methods in the order in which they reconstruct a cell: each once, or once per seed."""
        return [name for name, method in self.methods.items() for _ in (self.seeds if has_seed(method) else (0,))]


def methods_of(
    names: Sequence[str] | None, peers: Sequence[str], files: Sequence[Path]
) -> tuple[dict[str, Method | Baseline], list[str], dict[str, dict[str, str]]]:
    """Look up what is to be compared: methods by name, peers that are absent, and files by the names of their methods.

    Parameters
    ----------
    names
        Of methods, or of peers, in any case; None for all methods.
    peers
        Of `raki.evaluation.peers.PEERS`, or `all`, or `none`, in any case.
    files
        Python files with methods, which are run.

    Raises
    ------
    UsageError
        If there is nothing of a name, or two have the same.
    """
    names = [name.lower() for name in (METHODS if names is None else names)]
    with as_usage_error():
        chosen = methods_named([BASELINE, *(name for name in names if name not in PEERS)])
        others = [name for name in names if name in PEERS]
        asked = {name: known(PEERS, name, 'peer') for name in (*others, *_peers_named(peers))}
    absent = [name for name, peer in asked.items() if peer.version is None]
    found = {**chosen, **{name: asked[name].baseline for name in asked if name not in absent}}
    origins: dict[str, dict[str, str]] = {}
    for path in files:
        for name, method in methods_in(path).items():
            if name in {**found, **comparable(), **PEERS}:
                raise UsageError(f'{path} defines {name!r}, but there is a method of this name: choose another')
            found[name] = method
            origins[name] = {'file': path.name, 'sha256': sum_of(path)}
    return found, absent, origins


def _peers_named(words: Sequence[str]) -> list[str]:
    words = [word.lower() for word in words]
    if ALL in words:
        return list(PEERS)
    return [word for word in words if word != NONE]
