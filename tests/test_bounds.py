"""Lower bounds: the versions that `make lowest` tests are those that `pyproject.toml` states."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
EXTRAS = PROJECT['optional-dependencies']
USERS = [
    *PROJECT['dependencies'],
    *(each for name in EXTRAS if name not in ('all', 'dev', 'docs', 'peers') for each in EXTRAS[name]),
]


def pins(name: str) -> dict[str, str]:
    """Versions that a file of constraints states, by the name of the library."""
    lines = (ROOT / name).read_text(encoding='utf-8').splitlines()
    return {_plain(line.split('==')[0]): line.split('==')[1] for line in lines if '==' in line}


def _plain(name: str) -> str:
    return re.sub('[-_.]+', '-', name).lower()


@pytest.mark.parametrize('requirement', USERS)
def test_a_bound_is_the_version_that_is_tested(requirement: str) -> None:
    name, bound = requirement.split('>=')
    if name == 'torch':  # its lowest is no build for the CPU alone: the Makefile has it
        assert f'make lowest TORCH={bound}' in (ROOT / 'Makefile').read_text(encoding='utf-8')
    else:
        assert pins('constraints-lowest.txt')[_plain(name)] == bound


@pytest.mark.parametrize('requirement', USERS)
def test_the_tested_set_is_not_below_a_bound(requirement: str) -> None:
    name, bound = requirement.split('>=')
    numbers = [[int(part) for part in version.split('.')] for version in (pins('constraints.txt')[_plain(name)], bound)]
    assert numbers[0] >= numbers[1]
