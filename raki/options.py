"""Options of the command line: those that several commands share, and those that a model of settings has."""

import inspect
import shlex
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.core import TyperGroup

from raki.commands.inputs import UsageError, shown
from raki.commands.settings import Settings
from raki.commands.words import looks_like_path

JsonOption = Annotated[bool, typer.Option('--json', help='Print JSON for programs.')]
SlicesOption = Annotated[
    list[int] | None, typer.Option('--slices', '--slice', help='Slices, counted from 0: --slices 0-3,7.')
]
ReuseOption = Annotated[
    bool, typer.Option('--reuse', help='Learn every slice once, for its later repetitions, too: quicker, less exact.')
]
MemoryOption = Annotated[float, typer.Option(help='The most that the samples of a connection may take [GB].')]
ScanArgument = Annotated[
    Path, typer.Argument(help='Scan: fastMRI-layout, ISMRMRD, Siemens .dat, BART, .npy, or any HDF5.')
]
ConfigOption = Annotated[
    Path | None,
    typer.Option('--config', help='YAML file with options by their long names, such as "partial_fourier: pocs".'),
]


class Commands(TyperGroup):
    """Commands by name; a path where one is expected gets the command that says what is in it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or raise a UsageError."""
        word = args[0]
        if self.get_command(ctx, word) is None and looks_like_path(word) and not word.startswith('-'):
            raise UsageError(f'no command {shown(word)}: did you mean: raki info {shown(shlex.quote(word))}')
        return super().resolve_command(ctx, args)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the models among its parameters, of `raki.commands.settings`.

    A model is made of the options that were given, so that it knows them from defaults (`model_fields_set`). `Settings`
    may also come from a file; what the command line says beats it.
    """
    own = inspect.signature(command, eval_str=True)
    models = {name: each.annotation for name, each in own.parameters.items() if _is_model(each.annotation)}
    options = {name: each for model in models.values() for name, each in _options(model).items()}
    is_configurable = Settings in models.values()

    @wraps(command)
    def with_models(context: typer.Context, **values: Any) -> None:
        config = values.pop('config', None) if is_configurable else None
        given = {name: values.pop(name) for name in options if name in values and _is_given(context, name)}
        rest = {name: value for name, value in values.items() if name not in options}
        made = {name: kind(**{**_from(config, kind), **_of(kind, given)}) for name, kind in models.items()}
        command(**rest, **made)

    others = [each.replace(kind=_BY_NAME) for name, each in own.parameters.items() if name not in models]
    context = inspect.Parameter('context', _BY_NAME, annotation=typer.Context)
    config = inspect.Parameter('config', _BY_NAME, annotation=ConfigOption, default=None)
    parameters = [context, *others, *[config] * is_configurable, *options.values()]
    with_models.__signature__ = own.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return with_models


_BY_NAME = inspect.Parameter.KEYWORD_ONLY


def _is_model(annotation: object) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)


def _options(model: type[BaseModel]) -> dict[str, inspect.Parameter]:
    """A parameter of the command line for every field: those of the model itself first, then what it inherits."""
    inherited = set(model.__mro__[1].__annotations__)
    names = sorted(model.model_fields, key=lambda name: name in inherited)
    every = {name: model.model_fields[name] for name in names}
    return {
        name: inspect.Parameter(name, _BY_NAME, annotation=_for_the_command_line(field), default=field.default)
        for name, field in every.items()
    }


def _for_the_command_line(field: FieldInfo) -> Any:
    """Give what click knows: lists, where a model has tuples of any length."""
    kind = list[int] | None if tuple[int, ...] in get_args(field.annotation) else field.annotation
    return Annotated[kind, *field.metadata]


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != 'DEFAULT'


def _of(model: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in model.model_fields}


def _from(config: Path | None, model: type[BaseModel]) -> dict[str, Any]:
    if config is None or model is not Settings:
        return {}
    from raki.commands.config import settings_in

    return settings_in(config, model)
