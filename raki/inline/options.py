"""What a client may ask for: a configuration by its name, and a few parameters. Never a path, never code."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import torch

from raki.errors import StreamError
from raki.inline.messages import MessageId, Words
from raki.interpolation.calibration import Method

OWN_CHOICE = ('', 'default', 'openrecon')
"""Names of configurations that stand for the server's own choice."""

IGNORED = ('customconfig',)
"""Parameters that scanners' own interfaces add."""

TRUE, FALSE = ('true', '1'), ('false', '0')


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """How the images of one connection are made."""

    name: str
    """Of the method."""

    method: Method
    """What fills in what was not measured."""

    adaptive: bool = False
    """Whether coils are combined adaptively (Walsh), not by the root of the sum of squares."""

    coils: int | None = None
    """Number of virtual coils to learn in; None as many as there are."""

    reuse: bool = False
    """Whether what was learnt from a slice serves its later repetitions, too."""

    integers: bool = False
    """Whether images are whole numbers of 12 bits, as scanners' databases want, not floating-point ones."""

    complex: bool = False
    """Whether images are complex with zero phase, as scanners take them that work on complex images."""

    device: torch.device = field(default_factory=lambda: torch.device('cpu'))
    """Where to compute."""

    def __post_init__(self) -> None:
        if self.integers and self.complex:
            raise StreamError('images are whole numbers or complex, not both: leave integers or complex out')


@dataclass(frozen=True, slots=True, eq=False)
class Configurations:
    """All that may be asked for, and what is done where nothing is."""

    methods: Mapping[str, Method]
    """By their names."""

    default: Options
    """The server's own choice."""

    def asked(self, options: Options, words: Words) -> Options:
        """Options after a message with a configuration's name, or with JSON such as {"parameters": {"reuse": true}}.

        Parameters may be null, as scanners send it with adjustments. A StreamError if there is no such configuration or
        parameter, or a value is not of its type.
        """
        if words.kind == MessageId.CONFIG_NAME:
            return self._named(options, words.text)
        parameters = _parameters(words.text)
        options = self._named(options, str(parameters.pop('config', '')))
        changes = {name: _value(name, value) for name, value in parameters.items() if name not in IGNORED}
        return replace(options, **changes)

    def _named(self, options: Options, name: str) -> Options:
        name = name.strip()
        if name in OWN_CHOICE:
            return options
        if name not in self.methods:
            raise StreamError(f'no configuration {name[:80]!r}: choose from default, {", ".join(self.methods)}')
        return replace(options, name=name, method=self.methods[name])


def _parameters(text: str) -> dict[str, object]:
    """The parameters of a JSON text; none of an empty one."""
    if not text.strip():
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StreamError(f'a configuration must be a name or JSON with parameters, got {text[:40]!r} ...') from error
    found = content.get('parameters') if isinstance(content, dict) else content
    if found is not None and not isinstance(found, dict):
        raise StreamError(f'the parameters of a configuration must be an object or null, got {str(found)[:40]!r}')
    return dict(found or {})


def _flag(value: object) -> bool:
    if str(value).lower() not in TRUE + FALSE:
        raise ValueError(value)
    return str(value).lower() in TRUE


def _coils(value: object) -> int | None:
    number = int(str(value))
    if number < 0:
        raise ValueError(value)
    return number or None


PARAMETERS: Mapping[str, tuple[str, Callable[[object], object]]] = MappingProxyType(
    {
        'adaptive': ('true or false', _flag),
        'coils': ('a whole number, 0 for all', _coils),
        'reuse': ('true or false', _flag),
        'integers': ('true or false', _flag),
        'complex': ('true or false', _flag),
    }
)
"""Beside `config`: what a value must be, and how it is read."""


def _value(name: str, value: object) -> object:
    if name not in PARAMETERS:
        raise StreamError(f'no parameter {name[:80]!r}: choose from config, {", ".join(PARAMETERS)}')
    wanted, read = PARAMETERS[name]
    try:
        return read(value)
    except ValueError as error:
        raise StreamError(f'the parameter {name} must be {wanted}, got {str(value)[:40]!r}') from error
