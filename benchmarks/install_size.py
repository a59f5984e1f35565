"""How much room an installation takes: what the base needs, and what each extra adds to it.

Requirements are those of pyproject.toml, and what they need in turn; their files are those that pip recorded in the
environment that runs this. What pip compiles of them (.pyc) is counted apart; Python, pip and raki itself are not.
Torch is most of it, and its builds differ: the version says which one.

    python benchmarks/install_size.py --json OUT.json
"""

import argparse
import json
import platform
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[1] / 'pyproject.toml').read_text(encoding='utf-8'))['project']
BASE: list[str] = PROJECT['dependencies']
EXTRAS: dict[str, list[str]] = {
    name: needs
    for name, needs in PROJECT['optional-dependencies'].items()
    if name not in ('all', 'dev', 'docs', 'peers')
}
ALL = [need for needs in EXTRAS.values() for need in needs]
MOST = 5
"""Packages that are named, of a part."""


def closure(requirements: Iterable[str]) -> dict[str, Distribution | None]:
    """All packages that are needed, directly or not, by name; None of those that are not installed."""
    found = dict[str, Distribution | None]()
    waiting = [each for each in map(Requirement, requirements) if _applies(each, ())]
    seen = set[tuple[str, frozenset[str]]]()
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) not in seen:
            seen.add((name, extras))
            found[name] = there = _installed(name)
            others = map(Requirement, (there and there.requires) or ())
            waiting += [each for each in others if _applies(each, extras)]
    return found


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({'extra': extra}) for extra in ('', *extras))


class Size(NamedTuple):
    """Of files, as long as they are."""

    bytes: int
    """Without what is compiled [byte]."""
    compiled: int
    """Compiled when they are installed, or imported for the first time [byte]."""


def size_of(package: Distribution) -> Size:
    """Size of what pip recorded of a package."""
    paths = [path for each in package.files or () if (path := Path(str(each.locate()))).is_file()]
    compiled = sum(path.stat().st_size for path in paths if path.suffix == '.pyc')
    return Size(sum(path.stat().st_size for path in paths) - compiled, compiled)


def measured() -> dict[str, Any]:
    """The base, and the base with each extra and with all."""
    parts = {name: closure([*BASE, *needs]) for name, needs in {'base': [], **EXTRAS, 'all': ALL}.items()}
    there = {name: package for part in parts.values() for name, package in part.items()}
    sizes = {name: size_of(package) for name, package in there.items() if package is not None}
    return {
        'parts': {name: _summary(packages, parts['base'], sizes) for name, packages in parts.items()},
        'packages': {
            name: {'version': package.version, **sizes[name]._asdict()}
            for name, package in sorted(there.items())
            if package is not None
        },
        'python': platform.python_version(),
        'machine': platform.machine(),
        'system': platform.system(),
    }


def _summary(packages: Iterable[str], base: Iterable[str], sizes: Mapping[str, Size]) -> dict[str, Any]:
    """Of a part, with the largest packages of the base, or of what it adds to that."""
    more = set(packages) - set(base) or set(packages)
    return {
        'packages': sum(name in sizes for name in packages),
        'bytes': sum(sizes[name].bytes for name in packages if name in sizes),
        'compiled': sum(sizes[name].compiled for name in packages if name in sizes),
        'largest': sorted(more & set(sizes), key=lambda name: -sizes[name].bytes)[:MOST],
        'not_installed': sorted(set(packages) - set(sizes)),
    }


def table(result: Mapping[str, Any]) -> list[str]:
    """One line for each part."""
    lines, base = (
        [f'{"":12s}{"packages":>9s}{"MB":>9s}{"added":>8s}{"compiled":>10s}  largest'],
        result['parts']['base']['bytes'],
    )
    for name, part in result['parts'].items():
        added = '' if name == 'base' else f'{(part["bytes"] - base) / 1e6:.1f}'
        missing = f' (not installed: {", ".join(part["not_installed"])})' if part['not_installed'] else ''
        largest = ', '.join(f'{each} {result["packages"][each]["bytes"] / 1e6:.0f}' for each in part['largest'])
        sizes = f'{part["bytes"] / 1e6:9.1f}{added:>8s}{part["compiled"] / 1e6:10.1f}'
        lines.append(f'{name:12s}{part["packages"]:9d}{sizes}  {largest}{missing}')
    return lines


def main() -> None:
    """Look at what is installed, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', type=Path, help='where to store what was found')
    options = parser.parse_args()
    result = measured()
    print('\n'.join(table(result)))
    print(f'torch {result["packages"]["torch"]["version"]}, Python {result["python"]}, {result["machine"]}')
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
