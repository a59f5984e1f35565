"""Crafted values: NaN, coils, sampling, scales, contradictions between arrays."""

from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np

from attacks.crafts import Change, Craft, Scans, altering, array, changed, put

LINE = 33
"""A measured line in the middle of the ACS; k-space has axes (slice, coil, readout, line)."""


def _set(at: Any, value: complex) -> Change:
    def alter(kspace: np.ndarray) -> None:
        kspace[at] = value

    return altering('kspace', alter)


def not_finite(scans: Scans) -> Iterator[Craft]:
    """NaN and infinity in one sample, a line, a coil, everything, and beside k-space."""
    everything = slice(None)
    places: dict[str, Any] = {
        'sample': (0, 3, 24, LINE),
        'first sample': (0, 0, 0, 0),
        'line': (0, 3, everything, LINE),
        'line of all coils': (0, everything, everything, LINE),
        'coil': (0, 3),
        'everything': everything,
    }
    for name, value in {'NaN': np.nan, 'infinite': np.inf, 'minus infinite': -np.inf}.items():
        for place, at in places.items():
            yield Craft('not finite', f'{name} {place}', 'refused', changed(scans, _set(at, value)))
        imaginary = changed(scans, _set(places['sample'], complex(0, value)))
        yield Craft('not finite', f'{name} imaginary', 'refused', imaginary)
        unmeasured = changed(scans, _set((0, 3, 24, 1), value))
        yield Craft('not finite', f'{name} not measured', 'any', unmeasured)
        noise = changed(scans, altering('noise', lambda noise, value=value: noise * value))
        yield Craft('not finite', f'{name} noise', 'refused', noise)


def _coils(kspace: np.ndarray) -> Iterator[tuple[str, np.ndarray, str]]:
    """Name, k-space and what is expected."""
    spread, measured = kspace.std(), np.abs(kspace).sum((0, 1, 2)) > 0
    random = np.random.default_rng(0).standard_normal((2, *kspace[0, 3].shape))
    noise = (random[0] + 1j * random[1]) * spread * 0.01 * measured
    constant = np.where(measured, spread, 0) + np.zeros_like(kspace[0, 3])
    half = kspace[0, 3].copy()
    half[:24] = 0

    def with_third(values: np.ndarray) -> np.ndarray:
        changed = kspace.copy()
        changed[0, 3] = values
        return changed

    yield 'dead', with_third(np.zeros_like(half)), 'told'
    yield 'duplicate', with_third(kspace[0, 4]), 'any'
    yield 'noise only', with_third(noise), 'any'
    yield 'constant', with_third(constant), 'told'
    yield 'times 1e6', with_third(kspace[0, 3] * 1e6), 'told'
    yield 'times 1e-6', with_third(kspace[0, 3] * 1e-6), 'told'
    yield 'half zero', with_third(half), 'told'
    yield 'conjugate', with_third(kspace[0, 3].conj()), 'any'
    yield 'readout reversed', with_third(kspace[0, 3, ::-1]), 'any'
    yield 'all dead', kspace * 0, 'refused'
    yield 'all but one dead', kspace * (np.arange(8) == 3)[:, None, None], 'told'
    yield 'all alike', np.repeat(kspace[:, :1], 8, 1), 'any'
    yield 'two', kspace[:, :2], 'any'
    yield '32', np.concatenate([kspace * 1j**turn for turn in range(4)], 1), 'any'


def coils(scans: Scans) -> Iterator[Craft]:
    """Coils that are dead, alike, scaled, constant, too few or many; noise is left out where their number changes."""
    with h5py.File(scans['fastMRI'].files[0]) as file:
        kspace = array(file, 'kspace')

    def change(file: h5py.File, values: np.ndarray) -> None:
        put(file, 'kspace', values.astype('c8'))
        if values.shape[1] != 8:
            del file['noise']

    for variant, values, expected in _coils(kspace):
        make = changed(scans, lambda file, values=values: change(file, values))
        yield Craft('coils', variant, expected, make)


def faults_of_lines(scans: Scans) -> Iterator[Craft]:
    """Spikes, dropped samples, clipping, reversed and exchanged lines."""
    changes: dict[str, Callable[[np.ndarray], Any]] = {
        'spike in the ACS': lambda kspace: kspace.__setitem__((0, 3, 24, LINE), 1e30),
        'spike at the edge': lambda kspace: kspace.__setitem__((0, 3, 5, 6), np.abs(kspace).max()),
        'ten spikes': lambda kspace: kspace.__setitem__((0, slice(None), 4, [0, 3, 6]), np.abs(kspace).max()),
        'four zeros': lambda kspace: kspace.__setitem__((0, 3, slice(10, 14), LINE), 0),
        'line of zeros in a coil': lambda kspace: kspace.__setitem__((0, 3, slice(None), LINE), 0),
        'line of zeros': lambda kspace: kspace.__setitem__((0, slice(None), slice(None), LINE), 0),
        'half a line of zeros': lambda kspace: kspace.__setitem__((0, slice(None), slice(0, 24), LINE), 0),
        'reversed line': lambda kspace: kspace.__setitem__((0, ..., LINE), kspace[0, ..., ::-1, LINE].copy()),
        'half of the lines reversed': lambda kspace: kspace.__setitem__(
            (0, ..., slice(0, 32)), kspace[0, :, ::-1, :32]
        ),
        'exchanged lines': lambda kspace: kspace.__setitem__((0, ..., [32, 36]), kspace[0, ..., [36, 32]]),
        'conjugate': lambda kspace: kspace.conj(),
        'clipped': lambda kspace: _clipped(kspace, 0.1),
        'all of one value': lambda kspace: np.where(kspace == 0, 0, 1 + 1j).astype('c8'),
        'whole numbers': lambda kspace: np.round(kspace * 10 / np.abs(kspace).max()).astype('c8'),
    }
    for variant, alter in changes.items():
        expected = 'any' if variant in ('conjugate', 'whole numbers') else 'told'
        yield Craft('lines', variant, expected, changed(scans, altering('kspace', _in_place(alter))))


def _in_place(alter: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    def altered(values: np.ndarray) -> np.ndarray:
        result = alter(values)
        return values if result is None else result

    return altered


def _clipped(kspace: np.ndarray, part: float) -> np.ndarray:
    limit = part * np.abs(kspace).max()
    return (np.clip(kspace.real, -limit, limit) + 1j * np.clip(kspace.imag, -limit, limit)).astype('c8')


def sampling(scans: Scans) -> Iterator[Craft]:
    """Masks that do not fit the samples, ACS that are too short, none, or not in the centre."""
    with h5py.File(scans['fastMRI'].files[0]) as file:
        n_lines = len(array(file, 'mask'))
    every = np.arange(n_lines)
    stated = {'of another R': every % 4 == 0, 'all': every >= 0, 'none': every < 0, 'one line': every == 32}
    stated |= {'two lines': (every == 0) | (every == 32), 'shifted': (every % 3 == 1) | (abs(every - 32) < 10)}
    stated |= {'only the ACS': abs(every - 32) < 10, 'first half': every < 32}
    for variant, mask in stated.items():
        yield Craft('sampling', f'mask {variant}', 'told', changed(scans, _stating(mask)))
    for rate in (2, 3, 4, 6):
        for n_acs in (0, 1, rate, rate + 1, 12):
            mask = (every % rate == 0) | (abs(every - 32) <= n_acs // 2 if n_acs else every < 0)
            yield Craft('sampling', f'R={rate} ACS {n_acs}', 'any', changed(scans, _keeping(mask)))
        mask = (every % rate == 0) | (abs(every - 12) < 9)
        yield Craft('sampling', f'R={rate} ACS off centre', 'told', changed(scans, _keeping(mask)))
    random = np.random.default_rng(0).random(n_lines) < 0.3
    yield Craft('sampling', 'random', 'told', changed(scans, _keeping(random)))


def _stating(mask: np.ndarray) -> Change:
    return lambda file: put(file, 'mask', mask)


def _keeping(mask: np.ndarray) -> Change:
    """Samples of a full scan, made up from the measured ones, where a mask has them."""

    def change(file: h5py.File) -> None:
        kspace = array(file, 'kspace')
        there = np.flatnonzero(array(file, 'mask'))
        nearest = there[np.abs(there[:, None] - np.arange(kspace.shape[-1])).argmin(0)]
        put(file, 'kspace', kspace[..., nearest] * mask)
        put(file, 'mask', mask)

    return change


def contradictions(scans: Scans) -> Iterator[Craft]:
    """Attributes and arrays that say something else than the samples."""
    for name, value in {
        'acceleration': 7,
        'num_low_frequency': 3,
        'max': 1e9,
        'norm': -1.0,
        'patient_id': 'x' * 99,
    }.items():
        make = changed(scans, lambda file, name=name, value=value: file.attrs.__setitem__(name, value))
        yield Craft('contradictions', f'attribute {name}', 'any', make)
    with h5py.File(scans['fastMRI'].files[0]) as file:
        kspace, noise = array(file, 'kspace'), array(file, 'noise')
    acs = kspace[..., 24:44]
    beside: dict[str, tuple[str, np.ndarray, str]] = {
        'calibration of other coils': ('acs', acs[:, ::-1], 'told'),
        'calibration of noise': ('acs', np.random.default_rng(0).standard_normal(acs.shape).astype('c8'), 'told'),
        'calibration of 5 coils': ('acs', acs[:, :5], 'refused'),
        'calibration of zeros': ('acs', acs * 0, 'told'),
        'noise of zeros': ('noise', noise * 0, 'any'),
        'noise of one sample': ('noise', noise[:, :1], 'any'),
        'noise of 7 coils': ('noise', noise[:7], 'refused'),
        'noise alike in all coils': ('noise', np.repeat(noise[:1], 8, 0), 'any'),
        'noise spike': ('noise', np.where(np.arange(noise.shape[1]) == 9, 1e9, noise).astype('c8'), 'told'),
        'noise huge': ('noise', noise * 1e30, 'told'),
        'noise tiny': ('noise', noise * np.float32(1e-30), 'any'),
    }
    for variant, (name, values, expected) in beside.items():
        make = changed(scans, lambda file, name=name, values=values: put(file, name, values))
        yield Craft('contradictions', variant, expected, make)


def scales(scans: Scans) -> Iterator[Craft]:
    """K-space and noise of any scale are refused, or give an image, never infinite or zero."""
    for power in range(-45, 39, 4):
        scale = np.float32(10.0**power)

        def change(file: h5py.File, scale: np.float32 = scale) -> None:
            for name in ('kspace', 'noise'):
                put(file, name, array(file, name) * scale)

        yield Craft('scales', f'1e{power}', 'any', changed(scans, change))


FAMILIES = (not_finite, coils, faults_of_lines, sampling, contradictions, scales)
