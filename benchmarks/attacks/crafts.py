"""A crafted file, and the small helpers that make one."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from attacks.scans import OUTPUT, Clean

SCAN = 'scan.h5'

GRAPPA = ('--method', 'grappa')

Scans: TypeAlias = Mapping[str, Clean]
"""Clean scans by format."""

Change: TypeAlias = Callable[[h5py.File], None]
"""What is done to a copy of the clean scan."""


@dataclass(frozen=True, slots=True)
class Craft:
    """A crafted file."""

    family: str
    variant: str
    expected: str
    """One of refused, told, right, any."""
    make: Callable[[Path], None]
    """Writes it in an empty folder."""
    scan: str = SCAN
    """How it is named on the command line."""
    options: tuple[str, ...] = GRAPPA
    """Further words of reconstruct."""
    reading: tuple[str, ...] = ()
    """Those of them that info takes, too."""
    output: str = OUTPUT
    beside: tuple[str, ...] = ()
    """What else may be written."""
    is_result: bool = False
    """Whether it is a reconstruction, to be viewed."""


Family: TypeAlias = Callable[[Scans], Iterator[Craft]]


def copied(scans: Scans, name: str = 'fastMRI', target: str = SCAN) -> Callable[[Path], Path]:
    """What copies a clean scan into a folder."""
    return lambda folder: Path(shutil.copy2(scans[name].files[0], folder / target))


def changed(scans: Scans, change: Change, name: str = 'fastMRI') -> Callable[[Path], None]:
    """What writes a clean scan into a folder and changes it."""

    def make(folder: Path) -> None:
        with h5py.File(copied(scans, name)(folder), 'r+') as file:
            change(file)

    return make


def put(file: h5py.File | h5py.Group, name: str, value: Any, **how: Any) -> None:
    """Write a dataset in the stead of one."""
    if name in file:
        del file[name]
    file.create_dataset(name, data=value, **how)


def putting(name: str, value: Any) -> Change:
    """A change that writes a dataset."""
    return lambda file: put(file, name, value)


def array(file: h5py.File, name: str) -> np.ndarray:
    """What a dataset holds."""
    return np.asarray(file[name])  # type: ignore[arg-type]


def altering(name: str, alter: Callable[[np.ndarray], np.ndarray | None]) -> Change:
    """A change of values: in place, or to what is returned."""

    def change(file: h5py.File) -> None:
        values = array(file, name)
        result = alter(values)
        put(file, name, values if result is None else result)

    return change
