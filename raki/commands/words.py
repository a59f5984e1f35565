"""Words of the command line: options that take several values become what the parser knows."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence

from raki.commands.inputs import RATE, UsageError

SIZE_LISTS = ('--rates', '--acs', '--seeds', '--slices', '--slice')
LISTS = (*SIZE_LISTS, '--methods', '--peers')
RANGE_LISTS = ('--seeds', '--slices', '--slice')
"""Of whole numbers, which may be given as 0-3."""
WITHOUT_LISTS = ('simulate',)
"""Commands that make one scan, of one rate and ACS."""

RANGE = re.compile(r'(\d{1,18})-(\d{1,18})')
LONGEST_RANGE = 10_000
"""The most numbers of one range, more than any file has slices."""


def repeated(arguments: Sequence[str], names: Callable[[], Collection[str]]) -> list[str]:
    """Let a list option take several values: --rates 2 3, or --rates 2,3, becomes --rates 2 --rates 3.

    Of whole numbers also ranges: --slices 0-2 becomes --slices 0 --slices 1 --slices 2.
    A further word belongs to a list of methods if one of `names()` is it, or it is neither a path nor one that exists.
    """
    if arguments[:1] and arguments[0] in WITHOUT_LISTS:
        return list(arguments)
    if '--' in arguments:  # no option comes after it
        number = list(arguments).index('--')
        return [*repeated(arguments[:number], names), *arguments[number:]]
    result: list[str] = []
    option, n_values = '', 0
    for argument in _without_equals(arguments):
        if argument.startswith('-'):
            option, n_values = argument, 0
            result.append(argument)
        elif option in LISTS and (not n_values or _belongs_to(option, argument, names)):
            for value in _spelt_out(option, argument):
                result += [option, value] if n_values else [value]
                n_values += 1
        else:
            result.append(argument)
            n_values += 1
    return result


def _without_equals(arguments: Sequence[str]) -> Iterator[str]:
    """Options of lists, and their values as words of their own."""
    for argument in arguments:
        option, sign, value = argument.partition('=')
        yield from (option, value) if sign and option in LISTS else (argument,)


def _listed(argument: str) -> list[str]:
    """Values that commas join."""
    return [value for value in argument.split(',') if value] or [argument]


def _spelt_out(option: str, argument: str) -> list[str]:
    """Values that commas join, and whole numbers from one to another."""
    values = _listed(argument)
    return [each for value in values for each in _numbers(option, value)] if option in RANGE_LISTS else values


def _numbers(option: str, value: str) -> list[str]:
    found = RANGE.fullmatch(value)
    if not found:
        return [value]
    first, last = map(int, found.groups())
    if not first <= last < first + LONGEST_RANGE:
        wanted = f'such as 0-3, of up to {LONGEST_RANGE} numbers'
        raise UsageError(f'{option} needs numbers, or a range from the least to the largest {wanted}, got {value}')
    return list(map(str, range(first, last + 1)))


def _belongs_to(option: str, argument: str, names: Callable[[], Collection[str]]) -> bool:
    values = _listed(argument)
    if option in SIZE_LISTS:
        return all(RATE.fullmatch(value) or (option in RANGE_LISTS and RANGE.fullmatch(value)) for value in values)
    return not looks_like_path(argument) or all(value.lower() in names() for value in values)


def looks_like_path(word: str) -> bool:
    """Whether a word names a file, or one that is not there."""
    return '.' in word or '/' in word or os.path.exists(word)  # noqa: PTH110 - never raises
