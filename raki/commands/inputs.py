"""Words of a command line, as typer wants them."""

from collections.abc import Sequence

NUMBER_LISTS = ('--rates', '--acs', '--seeds', '--slices')
NAME_LISTS = ('--methods',)


def repeated(arguments: Sequence[str]) -> list[str]:
    """Let a list option take several values: --rates 2 3 becomes --rates 2 --rates 3."""
    result: list[str] = []
    option, n_values = '', 0
    for argument in arguments:
        if argument.startswith('-'):
            option, n_values = argument, 0
        elif n_values and _belongs_to(option, argument):
            result.append(option)
        n_values += not argument.startswith('-')
        result.append(argument)
    return result


def _belongs_to(option: str, argument: str) -> bool:
    """Whether a further word is one more value of a list option, rather than the scan."""
    return argument.isdigit() if option in NUMBER_LISTS else option in NAME_LISTS and '.' not in argument
