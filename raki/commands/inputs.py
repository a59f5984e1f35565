"""What a user names: files, methods, rates, ACS sizes. Nothing heavy is imported early."""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raki.data.masks import Drawn
    from raki.data.scan import ScanFile
    from raki.evaluation.plan import Rate

SIZES = r'\d+(?:x\d+)*'
RATE = re.compile(rf'{SIZES}(?:s\d+)?')

RATES = {1: ('2', '3', '4', '5'), 2: ('2x2', '2x3s1')}
"""What is compared where nobody says what, by the number of phase axes."""

ACS = {1: (24,), 2: (16, 24)}
"""Size of the ACS, where the scan is as large [line]."""

WANTED = {
    ('--rates', 1): 'slices need rates such as 4',
    ('--rates', 2): 'a volume needs rates such as 2x2 or 2x3s1 (Rz x Ry, s a CAIPI shift below Ry)',
    ('--acs', 1): 'slices need an ACS such as 24',
    ('--acs', 2): 'a volume needs an ACS such as 16x24',
}


SEEDS = range(-(1 << 63), 1 << 63)
"""What random numbers can be drawn from, everywhere."""


class UsageError(ValueError):
    """Options that do not fit together, or not this scan: the user's to mend."""


@contextmanager
def as_usage_error() -> Iterator[None]:
    """Take every ValueError for wrong usage."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def method_names() -> Collection[str]:
    """Names that --methods takes."""
    from raki.commands.catalogue import comparable

    return comparable().keys()


def methods_starting(incomplete: str) -> list[str]:
    """Names that a comparison takes, to complete a word with."""
    return sorted(name for name in method_names() if name.startswith(incomplete))


def own_methods_starting(incomplete: str) -> list[str]:
    """Names that a reconstruction takes, which knows no outside references, to complete a word with."""
    from raki.commands.catalogue import METHODS

    return sorted(name for name in METHODS if name.startswith(incomplete))


def sizes_of(option: str, text: str) -> tuple[int, ...]:
    """Numbers joined by x, such as 160x128; ValueError if it is something else."""
    if not re.fullmatch(SIZES, text):
        raise ValueError(f'{option} needs numbers joined by x, such as 32x96x80, got {text!r}')
    return tuple(map(int, text.split('x')))


def by(sizes: Sequence[int]) -> str:
    """Sizes as `sizes_of` reads them."""
    return 'x'.join(map(str, sizes))


def rates_for(file: 'ScanFile', words: Sequence[str] | None) -> list['Rate']:
    """Accelerations of a comparison: 3 for slices, 2x3s1 (Rz x Ry, CAIPI shift) for volumes; UsageError if not so."""
    from raki.evaluation.plan import Rate

    n_axes, rates = len(file.shape) - 3, list[Rate]()
    for word in words or RATES[n_axes]:
        spacing, _, shift = word.partition('s')
        _require('--rates', word, n_axes, RATE.fullmatch(word) is not None and spacing.count('x') == n_axes - 1)
        rate = Rate(sizes_of('--rates', spacing), int(shift or 0))
        _require('--rates', word, n_axes, not rate.shift or rate.shift < rate.spacing[-1] * (n_axes - 1))
        rates.append(rate)
    return rates


def acs_for(file: 'ScanFile', words: Sequence[str] | None) -> list[tuple[int, ...]]:
    """ACS sizes of a comparison: 24 lines of slices, 16x24 partitions x lines of volumes; UsageError if not so."""
    phase = file.shape[2:-1]
    if not words:
        return [tuple(min(wanted, size) for wanted, size in zip(ACS[len(phase)], phase, strict=True))]
    for word in words:
        _require('--acs', word, len(phase), bool(re.fullmatch(SIZES, word)) and word.count('x') == len(phase) - 1)
    return [sizes_of('--acs', word) for word in words]


def drawn_mask(word: str | None, acs: Sequence[str] | None) -> 'Drawn | None':
    """How a comparison draws lines: a name, or name:seed; None where the word names a dataset, as elsewhere.

    UsageError if an ACS is asked for, too.
    """
    from raki.data.masks import MASKS, Drawn

    name, _, seed = (word or '').partition(':')
    if name not in MASKS or not re.fullmatch(r'\d*', seed):
        return None
    if acs:
        raise UsageError(f'--mask {word} has a centre of its own, 8 % of all lines at R=4, 4 % at R=8: leave out --acs')
    return Drawn(name, seed_for(int(seed or 0)))


def seed_for(seed: int) -> int:
    """Give a seed; a UsageError unless random numbers can be drawn from it."""
    if seed not in SEEDS:
        raise UsageError(f'a seed is a number from {SEEDS.start} to {SEEDS.stop - 1}, got {seed}')
    return seed


def _require(option: str, word: str, n_axes: int, condition: bool) -> None:
    if not condition:
        raise UsageError(f'{WANTED[option, n_axes]}, got {option} {word}')


def open_file(
    scan: Path,
    dataset: str | None = None,
    axes: str | None = None,
    mask: str | None = None,
    coils: int | None = None,
    fft: str | None = None,
    measurement: str | None = None,
    centre: str | None = None,
    nan: str = 'refuse',
) -> 'ScanFile':
    """Recognise a file, in a process of its own.

    UsageError if options do not fit together, or not this file: more virtual coils than coils.
    """
    from raki.coils.transform import require_compressible
    from raki.data.apart import scan_apart
    from raki.data.convention import CONVENTIONS
    from raki.data.damage.holes import known_nan
    from raki.data.generic import DatasetLayout
    from raki.data.load import open_scan
    from raki.data.mrd.scan import RawChoice
    from raki.data.numpy_file import is_numpy

    if (dataset is None) != (axes is None) and not (axes and is_numpy(scan)):
        raise UsageError('--dataset and --axes belong together: --dataset NAME --axes slice,coil,ky,kx')
    if fft is not None and (axes is None or fft not in CONVENTIONS):
        raise UsageError(f'--fft is {" or ".join(CONVENTIONS)}, and goes with --axes, got --fft {fft}')
    with as_usage_error():
        known_nan(nan)
        words = axes.split(',') if axes else ()
        layout = DatasetLayout(dataset or 'kspace', tuple(words), CONVENTIONS[fft or 'centred']) if words else None
    if centre is not None and not re.fullmatch(r'\d{1,5}(,\d{1,5})?', centre):
        raise UsageError(f'--centre needs the counter of a line, or of line and partition, such as 64,32, got {centre}')
    choice = RawChoice(measurement, tuple(map(int, centre.split(','))) if centre else ())
    file = scan_apart(scan, lambda: open_scan(scan, layout, mask, choice, nan))
    with as_usage_error():
        require_compressible(coils, file.shape[1])
    return file


def require_writable(output: Path, *sources: Path | str | None) -> None:
    """Raise a UsageError unless a file can be put there, and it is none of those that are read."""
    from raki.data.save import kind_of

    if any(source is not None and _base(output) == _base(Path(source)) for source in sources):
        raise UsageError(f'the output {output} is the input: choose another name')
    if kind := kind_of(output):
        raise UsageError(f'-o must name a file, but {output} is {kind}')
    if not output.parent.is_dir():
        raise UsageError(f'cannot write {output}: there is no folder {output.parent}')


def _base(path: Path) -> Path:
    """Where a file really is; the files of BART that are written together are one."""
    found = Path(os.path.realpath(path))  # unlike resolve(), this takes links in a circle
    if found.suffix not in ('.cfl', '.hdr'):
        return found
    return found.with_name(re.sub('_(noise|acs|reference|gfactor)$', '', found.stem))


def require_output(output: Path, *sources: Path | str | None, keeps_kspace: bool) -> None:
    """Raise a UsageError unless a reconstruction can be put there, in the format that its suffix asks for."""
    from raki.data.images.outputs import WRITERS, output_of

    require_writable(output, *sources)
    with as_usage_error():
        found = output_of(output)
    if keeps_kspace and not found.can_hold_kspace:
        able = ', '.join(suffix for suffix, each in WRITERS.items() if each.can_hold_kspace)
        raise UsageError(f'{found.name} has no place for the filled k-space: leave --kspace out, or choose from {able}')
    if found.beside is not None:
        require_ours(found.beside(output))


def require_ours(path: Path) -> None:
    """Raise a UsageError if there is something that nobody named for replacing, and that carries no sum of raki."""
    from raki.data.digests import is_whole
    from raki.data.save import kind_of

    kind = kind_of(path)
    if kind or (path.exists() and is_whole(path) is None):
        raise UsageError(
            f'{path} is {kind or "there"}, and carries no sum of raki, so that it may be of others: choose another '
            'name for -o, or move it away'
        )


def require_fits(save: Path | None, given: Path | None, source: Path) -> None:
    """Raise a UsageError unless fits can be saved there, and there are any to save."""
    if save is None:
        return
    if given is not None:
        raise UsageError(f'--fit {given} learns nothing that --save-fit {save} could store: leave one of them out')
    if save.suffix != '.safetensors':
        raise UsageError(f'--save-fit writes a .safetensors file, got {save}: choose such a name')
    require_writable(save, source)


def shown(text: object) -> str:
    """Text as it may be printed and stored: what is not printable, such as bytes of a name in no coding, is escaped."""
    is_plain = {each: each.isprintable() or each == '\n' for each in set(str(text))}
    if all(is_plain.values()):
        return str(text)
    return ''.join(each if is_plain[each] else each.encode('unicode_escape').decode('ascii') for each in str(text))


def line_of(text: object) -> str:
    """Text as `shown`, in one line: names may have several, which would look like lines of ours."""
    return shown(text).replace('\n', '\\n')


def sizes_by_axis(file: 'ScanFile') -> dict[str, int]:
    """Size of k-space; the one volume of a file does not count as an axis."""
    names = ('slice', 'coil', 'ky', 'kx') if len(file.shape) == 4 else ('coil', 'kz', 'ky', 'kx')
    return dict(zip(names, file.shape[-4:], strict=True))
