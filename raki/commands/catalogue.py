"""Methods by name. A new one is one line here: the command line and the conformance suite find it."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from raki.consistency.sparse import Sparse
from raki.consistency.spirit import Spirit
from raki.evaluation.outside import BASELINES, Baseline
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import ZeroFilling
from raki.networks.gated import Gated
from raki.networks.iterative import IterativeRaki
from raki.networks.raki import RAKI_2019, RAKI_COMPLEX
from raki.networks.residual import ResidualRaki

T = TypeVar('T')

METHODS: dict[str, Method] = {
    'zero-filled': ZeroFilling(),
    'grappa': Grappa(),
    'gated': Gated(),
    'spirit': Spirit(Gated()),
    'sparse': Sparse(Gated()),
    'raki': RAKI_2019,
    'raki-complex': RAKI_COMPLEX,
    'rraki': ResidualRaki(),
    'iraki': IterativeRaki(),
}


def known(every: Mapping[str, T], name: str, kind: str) -> T:
    """Look something up by name; a ValueError where there is nothing of that name tells those there are."""
    if name not in every:
        raise ValueError(f'no {kind} {name!r}: choose from {", ".join(every)}')
    return every[name]


def method_named(method: Method | str) -> Method:
    """Look a method up in METHODS, ValueError if there is none of that name; one that is no name is given back."""
    return known(METHODS, method, 'method') if isinstance(method, str) else method


def methods_named(names: Sequence[str], n_iterations: int | None = None) -> dict[str, Method | Baseline]:
    """Look methods and outside references up, ValueError if there is none of a name.

    Those that are trained come with another number of iterations if it is given.
    """
    found = {name: known({**METHODS, **BASELINES}, name, 'method') for name in names}
    if n_iterations is None:
        return found
    changes = {name: getattr(method, 'with_iterations', None) for name, method in found.items()}
    return found | {name: change(n_iterations) for name, change in changes.items() if change}
