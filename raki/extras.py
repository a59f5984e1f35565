"""Optional parts of the package: which library each needs, and what to do where it is not installed."""

from importlib.util import find_spec

from raki.errors import ExtraError

LIBRARIES = {
    'references': 'sigpy',
    'curves': 'plotly',
    'figure': 'matplotlib',
    'frame': 'pandas',
    'slurm': 'submitit',
}
"""What `pip install 'raki[NAME]'` adds, by NAME: optional dependencies of `pyproject.toml`."""


def has_extra(extra: str) -> bool:
    """Whether the library of an optional part is installed; nothing is imported."""
    return find_spec(LIBRARIES[extra]) is not None


def require_extra(extra: str, what: str) -> None:
    """Raise an ExtraError, which says how to install it, unless the optional part that `what` needs is there."""
    if not has_extra(extra):
        raise ExtraError(f"{what} needs {LIBRARIES[extra]}, which is not installed: pip install 'raki[{extra}]'")
