"""Settings of a method by name, wherever they are: its own, or of the method that it starts with."""

from dataclasses import fields, replace
from typing import Any, TypeVar

OF_START = ('seed', 'calibration')
"""Settings that a method has through the one in its field `start`; others say something about the whole."""

AnyMethod = TypeVar('AnyMethod')
"""A frozen dataclass of settings."""


def has_setting(method: Any, name: str) -> bool:
    """Whether a method has a setting of this name."""
    return _is_own(method, name) or (_is_of_start(method, name) and has_setting(method.start, name))


def setting_of(method: Any, name: str) -> Any:
    """Value of a setting, None where there is none of this name."""
    if _is_own(method, name):
        return getattr(method, name)
    return setting_of(method.start, name) if _is_of_start(method, name) else None


def with_setting(method: AnyMethod, name: str, value: Any) -> AnyMethod:
    """Change a setting of a method that has it; of one that has not, nothing."""
    if _is_own(method, name):
        return replace(method, **{name: value})  # pyright: ignore[reportArgumentType]
    if not has_setting(method, name):
        return method
    return replace(method, start=with_setting(method.start, name, value))  # pyright: ignore


def _is_own(method: Any, name: str) -> bool:
    return any(field.name == name for field in fields(method))


def _is_of_start(method: Any, name: str) -> bool:
    return name in OF_START and _is_own(method, 'start')
