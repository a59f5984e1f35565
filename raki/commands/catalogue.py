"""Methods by name. A new one is one line here: the command line and the conformance suite find it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from raki.consistency.sparse import Sparse
from raki.consistency.spirit import Spirit
from raki.evaluation.outside import BASELINES, Baseline
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import ZeroFilling
from raki.interpolation.own import CalibrationFrom
from raki.interpolation.settings import has_setting, with_setting
from raki.networks.gated import Gated
from raki.networks.iterative import IterativeRaki
from raki.networks.raki import RAKI_2019, RAKI_COMPLEX
from raki.networks.residual import ResidualRaki

T = TypeVar('T')
AnyMethod = TypeVar('AnyMethod', bound=Method | Baseline)

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

PLAIN: dict[str, Method] = {'plain-grappa': Grappa(calibration='measured')}
"""What comparisons take besides, and tell prices against: GRAPPA that learns from the measured ACS alone, its ridge and
kernel chosen by it."""


def comparable() -> dict[str, Method | Baseline]:
    """All that can be compared, by name."""
    return {**METHODS, **PLAIN, **BASELINES}


FIXED = {('rraki', 'calibration'): "it always learns from the scan's own reconstruction"}
"""Why a method has no such setting, where a user may wonder."""


def known(every: Mapping[str, T], name: str, kind: str) -> T:
    """Look something up by name, in any case; a ValueError where there is none of that name tells those there are."""
    if name.lower() not in every:
        raise ValueError(f'no {kind} {name!r}: choose from {", ".join(every)}')
    return every[name.lower()]


def method_named(method: Method | str) -> Method:
    """Look a method up in METHODS, ValueError if there is none of that name; one that is no name is given back."""
    return known(METHODS, method, 'method') if isinstance(method, str) else method


def name_of(method: Method | Baseline) -> str:
    """Name of a method or an outside reference in METHODS or BASELINES; that of its class where it is not there."""
    every = {**METHODS, **BASELINES}
    return next((name for name, each in every.items() if each == method), type(method).__name__)


def methods_named(names: Sequence[str], n_iterations: int | None = None) -> dict[str, Method | Baseline]:
    """Look up what can be compared, in any case, ValueError if there is none of a name.

    They come by the names that all have in results. Those that are trained come with another number of iterations if it
    is given.
    """
    found = {name.lower(): known(comparable(), name, 'method') for name in names}
    if n_iterations is None:
        return found
    changes = {name: getattr(method, 'with_iterations', None) for name, method in found.items()}
    return found | {name: change(n_iterations) for name, change in changes.items() if change}


def with_settings(
    methods: Mapping[str, AnyMethod], calibration: str | None = None, faithful: float | None = None
) -> dict[str, AnyMethod]:
    """Change settings of those methods, by name, that have them.

    Parameters
    ----------
    calibration
        What they learn from, see `raki.interpolation.own.CalibrationFrom`; None as they are. Of methods that start from
        another one it is what that learns from. Those of `PLAIN` stay what they are called.
    faithful
        Least part, 0 to 1, of what was not measured of small points that must come back; None as they are [1].

    Raises
    ------
    ValueError
        If none of the methods has a setting that is asked for, or there is no such value.
    """
    if calibration is not None:
        calibration = known({each: each for each in get_args(CalibrationFrom)}, calibration, 'calibration')
    for name, value in (('calibration', calibration), ('faithful', faithful)):
        methods = methods if value is None else _changed(methods, name, value)
    return dict(methods)


def _changed(methods: Mapping[str, AnyMethod], setting: str, value: Any) -> dict[str, AnyMethod]:
    changed = {name: method for name, method in methods.items() if name not in PLAIN}
    if not any(has_setting(method, setting) for method in changed.values()):
        able = ', '.join(name for name, method in METHODS.items() if has_setting(method, setting))
        reasons = [f' ({FIXED[name, setting]})' for name in methods if (name, setting) in FIXED]
        raise ValueError(f'no setting {setting} of {", ".join(methods)}{"".join(reasons)}: choose from {able}')
    return {**methods, **{name: with_setting(method, setting, value) for name, method in changed.items()}}
