"""Settings from a file: YAML whose keys are the long options of `raki reconstruct`, with underscores."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from reprlib import Repr
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from raki.commands.inputs import UsageError, line_of, shown
from raki.data.boundary import require_regular
from raki.errors import ScanError

if TYPE_CHECKING:
    from raki.commands.choices import Plan

LARGEST = 1 << 16
"""Of a file with settings [byte]."""

DEEPEST = 9
"""Lists in each other, which no setting has; they would only be read before they are refused."""

PLAIN = str | int | float | bool | None


def settings_in(path: Path, model: type[BaseModel]) -> dict[str, Any]:
    """Read settings from a YAML file, as far as it names any.

    Parameters
    ----------
    path
        A mapping from fields of the model to their values; empty for none.
    model
        What can be set, such as `raki.commands.settings.Settings`. Nothing is converted: a text is no number.

    Raises
    ------
    UsageError
        If it cannot be read, or names an unknown setting, or a value of another kind: the message has all of them.
    """
    values = _mapping(path)
    unknown = [key for key in values if key not in model.model_fields]
    if unknown:
        allowed = ', '.join(model.model_fields)
        raise UsageError(f'{path}: no setting {", ".join(map(repr, unknown))}: choose from {allowed}')
    try:
        text = json.dumps(values, ensure_ascii=False).encode()
        checked = model.model_validate_json(text, strict=True)
    except ValidationError as error:
        wrong = '; '.join(f'{each["loc"][0]}: {_wanted(each)}' for each in error.errors())
        raise UsageError(f'{path}: {wrong}') from error
    except ValueError as error:  # more digits than are ever printed, or half a character
        raise UsageError(f'{path}: holds a number or text that cannot be printed ({error})') from error
    return {name: getattr(checked, name) for name in values}


def _wanted(error: Mapping[str, Any]) -> str:
    """What one value should have been, and what it is."""
    message = str(error['msg']).removeprefix('Input should be ')
    where = ''.join(f', entry {number}' for number in error['loc'][1:])
    return f'must be {message}{where}, got {shown(repr(error["input"])[:80])}'


def _short(value: object) -> str:
    """The beginning of a value; a few lines of YAML can name more than memory holds."""
    short = Repr()
    short.maxlevel = 2
    return shown(short.repr(value)[:80])


def _mapping(path: Path) -> dict[str, Any]:
    """Give the keys and values of a file, values being plain or lists of plain ones."""
    try:
        require_regular(path)
        with path.open('rb') as file:
            text = file.read(LARGEST + 1)
        values = _values(text) if len(text) <= LARGEST else text
    except ScanError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f'{path}: cannot be read ({error.strerror})') from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f'{path}: is not YAML ({" ".join(str(error).split())})') from error
    if not isinstance(values, Mapping | None):
        raise UsageError(f'{path}: must hold settings, one `name: value` a line, got {_short(values)}')
    for key, value in (values or {}).items():
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, PLAIN) for part in parts):
            raise UsageError(f'{path}: {key}: must be one value or a list, got {_short(value)}')
    return {str(key): value for key, value in (values or {}).items()}


def _values(text: bytes) -> object:
    """What YAML holds; a ValueError if it says something twice, or refers to itself, by which 1 kB can become 1 TB."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
            raise ValueError('settings are written out, without references such as *name, or lists in lists in lists')
    root = yaml.compose(text, yaml.SafeLoader)
    keys = [key.value for key, _ in root.value if key.id == 'scalar'] if isinstance(root, yaml.MappingNode) else []
    if twice := [name for name, number in Counter(keys).items() if number > 1]:
        raise ValueError(f'{", ".join(twice)} is there more than once')
    return yaml.safe_load(text)


WIDTH = 80
"""Columns of what is written."""


def written(plan: 'Plan') -> str:
    """A plan as a file with settings: reasons are comments, and so is what no setting can change."""
    source = line_of(shlex.quote(plan.source))
    head = [
        f'What raki reconstruct chooses for {source}, why, and what was held out to choose it.',
        f'To use it, edited or not: raki reconstruct {source} --config FILE, with this text in FILE; null: automatic.',
        f'Tuned values are those of {plan.learnt_from}; every slice or volume is tuned by itself.',
    ]
    parts = [_comment(head)]
    for choice in plan.choices:
        lines = [_comment(choice.reasons)]
        if choice.setting:
            lines.append(yaml.safe_dump({choice.setting: choice.value}, default_flow_style=False).strip())
        parts.append('\n'.join(lines))
    return '\n\n'.join(parts) + '\n'


def _comment(texts: Iterable[str]) -> str:
    """Texts in lines of their own, what goes on in another line set in."""
    own = {'initial_indent': '# ', 'subsequent_indent': '#   ', 'break_on_hyphens': False, 'break_long_words': False}
    return '\n'.join(line for text in texts for line in wrap(line_of(text), WIDTH, **own))
