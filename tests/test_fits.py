"""Stored fits: what comes back fills in the same bits, and no file does anything but that or be refused."""

import json
import pickle
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import raki
from raki.cli import main
from raki.commands.job import Job
from raki.commands.reconstruct import reconstruct_file
from raki.commands.settings import Settings
from raki.data.blocks import Box
from raki.data.digests import PLACEHOLDER, Verdict, seal, verify
from raki.data.lattice import Lattice
from raki.data.masks import Pattern, pattern_of
from raki.data.place import Frame
from raki.data.save import write_scan
from raki.data.scan import Scan, ScanFile
from raki.data.simulate import Simulation, simulate
from raki.errors import SamplingError, ScanError
from raki.fits.likeness import require_same
from raki.fits.stored import Fit, opened, put, read_fits, write_fits
from raki.fourier import image_from_kspace
from raki.interpolation.calibration import Refining, silent
from raki.interpolation.fit import Interpolator, ZeroFilling, fit
from raki.interpolation.fitted import on_device
from raki.interpolation.patterns import Gapwise
from tests.toys import (
    METHODS,
    attributes,
    lines_at,
    point_sources,
    random_kspace,
    relative_error,
    sampled_volume,
)
from tests.toys import stored as dataset

LINES, VOLUME = (44, 27), (8, 20, 15)
ACS: dict[tuple[int, ...], Box] = {LINES: (range(12, 34),), VOLUME: (range(1, 8), range(4, 17))}
PATTERNS: dict[str, Callable[[], Pattern]] = {
    'lines': lambda: sampled_volume(LINES[:-1], Lattice.of((3,), first=(1,)), ACS[LINES]),
    'gaps': lambda: pattern_of(lines_at(LINES[0], 0, 3, 7, 11, *ACS[LINES][0], 36, 39, 43)),
    'volume': lambda: sampled_volume(VOLUME[:-1], Lattice.of((2, 2), 1), ACS[VOLUME]),
}


def cases() -> Iterator[Any]:
    for name, method in METHODS.items():
        for pattern in PATTERNS:
            if pattern != 'gaps' or isinstance(method, Gapwise | Refining):
                yield pytest.param(name, pattern, id=f'{name}-{pattern}')


@cache
def noisy(pattern: str) -> Tensor:
    shape = VOLUME if pattern == 'volume' else LINES
    return point_sources(9, 4, *shape) + 0.1 * random_kspace(4, *shape)


@cache
def fitted(name: str, pattern: str) -> Interpolator:
    return fit(METHODS[name], noisy(pattern), PATTERNS[pattern]())


def back(interpolator: Interpolator, path: Path) -> Interpolator:
    write_fits(path, [Fit(interpolator)], {})
    return read_fits(path).interpolators[0]


@pytest.mark.parametrize(('name', 'pattern'), list(cases()))
def test_what_comes_back_fills_in_the_same_bits(name: str, pattern: str, tmp_path: Path) -> None:
    found = back(fitted(name, pattern), tmp_path / 'fit.safetensors')
    assert torch.equal(found.fill(noisy(pattern)), fitted(name, pattern).fill(noisy(pattern)))
    assert (found.warnings, found.notes) == (fitted(name, pattern).warnings, fitted(name, pattern).notes)


@pytest.mark.parametrize('name', ['grappa', 'gated', 'spirit', 'raki-complex'])
def test_so_it_does_in_virtual_coils(name: str, tmp_path: Path) -> None:
    """Whitened and compressed ones, of which one is dead and one a copy."""
    kspace = torch.cat([noisy('lines'), 2 * noisy('lines')[:1], torch.zeros_like(noisy('lines')[:1])])
    noise = torch.cat([random_kspace(4, 200, seed=1), torch.zeros(2, 200, dtype=torch.complex64)])
    noise[4] = 2 * noise[0]
    scan = Scan(kspace[None], PATTERNS['lines']().mask, noise=noise)
    once = raki.reconstruct(scan, METHODS[name], coils=3)
    raki.save_fits(tmp_path / 'fit.safetensors', once, scan, METHODS[name])
    fits = raki.load_fits(tmp_path / 'fit.safetensors')
    again = raki.reconstruct(scan, METHODS[name], fitted=fits.interpolators)
    assert np.array_equal(again.kspace, once.kspace)
    assert np.array_equal(again.image, once.image)
    assert (again.notes, again.warnings) == (once.notes, once.warnings)


@pytest.mark.parametrize('name', ['grappa', 'gated', 'raki', 'rraki', 'spirit', 'sparse'])
def test_what_comes_back_fills_in_on_another_device(name: str) -> None:
    reason = 'this torch cannot pretend to have another device'
    pretended = pytest.importorskip('tests.pretended', reason=reason, exc_type=ImportError)
    expected = fitted(name, 'lines').fill(noisy('lines'))
    with pretended.pretending() as device:
        found = on_device(fitted(name, 'lines'), device).fill(noisy('lines').to(device)).cpu()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_what_fills_nothing_in_comes_back_too(tmp_path: Path) -> None:
    zeros = fit(ZeroFilling(), noisy('lines'), PATTERNS['lines']())
    found = back(zeros, tmp_path / 'fit.safetensors')
    assert torch.equal(found.fill(noisy('lines')), zeros.fill(noisy('lines')))


@pytest.mark.parametrize('name', ['gated', 'sparse'])
def test_the_same_fit_is_the_same_file_and_a_file_read_and_written_is_itself(name: str, tmp_path: Path) -> None:
    path, manifest = tmp_path / 'fit.safetensors', {'method': name, 'a': [1, {'b': None}], 'c': 0.1}
    write_fits(path, [Fit(fitted(name, 'lines'), 3, torch.eye(4, dtype=torch.complex128))], manifest)
    content, found = path.read_bytes(), read_fits(path)
    assert (found.manifest, found.name) == (manifest, 'fit.safetensors')
    assert found.digest.encode() in content
    assert verify(path) == [Verdict(path)]
    for fits in ([Fit(fitted(name, 'lines'), 3, found.every[0].moments)], found.every):
        write_fits(path, fits, manifest)
        assert path.read_bytes() == content


@pytest.mark.parametrize('name', ['spirit', 'sparse'])
def test_measured_samples_are_not_stored(name: str, tmp_path: Path) -> None:
    """Refinements know the lines that they were learnt from: a file of weights needs none of them."""
    write_fits(tmp_path / 'fit.safetensors', [Fit(fitted(name, 'lines'))], {})
    content = (tmp_path / 'fit.safetensors').read_bytes()
    line = noisy('lines')[0, ACS[LINES][0].start]
    assert line.numpy().tobytes()[8:64] not in content


@pytest.mark.parametrize('name', ['grappa', 'gated'])
def test_a_fit_of_one_frame_fills_another_nearly_as_well_as_its_own(name: str) -> None:
    """Weights of p unknowns from n equations add at most about p / n of the error's power to the least that there is.

    So do those of either frame, whose noise is drawn anew; so one cannot be worse by more than this.
    """
    truth = simulate(Simulation((64, 48), 6, noise=0.0)).kspace[0]
    sampling = sampled_volume((64,), Lattice.of((3,)), (range(24, 40),))
    scale = 0.01 * float(truth.abs().square().mean().sqrt())
    frames = [truth + scale * random_kspace(*truth.shape, seed=seed) for seed in (0, 1)]
    fits, missing = [fit(METHODS[name], frame, sampling) for frame in frames], ~sampling.mask
    (inner,) = fits[0].inner
    around = inner.cells.neighbourhood
    n_unknowns = 6 * len(around.sources) * len(around.samples)
    n_equations = (16 - around.extent[0] + 1) * (48 - around.extent[1] + 1)
    for own, other in ((0, 1), (1, 0)):
        errors = [relative_error(fits[each].fill(frames[own])[:, missing], truth[:, missing]) for each in (own, other)]
        assert errors[1] <= errors[0] * (1 + n_unknowns / n_equations) ** 0.5


def test_of_another_pattern_or_size_nothing_is_filled_in() -> None:
    kspace, mask, found = noisy('lines'), PATTERNS['lines']().mask, Fit(fitted('grappa', 'lines'))
    require_same(found, kspace, mask, 'slice 0')
    with pytest.raises(ScanError, match=r'slice 0 has 4 x 44 x 26 samples \(coil, ky, kx\), but the fit is for 4 x 44'):
        require_same(found, kspace[..., 1:], mask, 'slice 0')
    with pytest.raises(ScanError, match=r'other lines than the fit: \d+ of 44 .* for \d+, and \d+ differ, first 0'):
        require_same(found, kspace, PATTERNS['gaps']().mask, 'slice 0')
    with pytest.raises(SamplingError, match=r'fitted for \d+ of 44 measured lines, but of the scan other lines'):
        raki.reconstruct(Scan(kspace[None], PATTERNS['gaps']().mask), fitted=[found.interpolator])
    with pytest.raises(ValueError, match='need what was fitted of each of 1 slices'):
        raki.reconstruct(Scan(kspace[None], mask), fitted=[found.interpolator] * 2)


# Files that nobody should trust


class Payload:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def header_of(length: int, text: bytes) -> bytes:
    return length.to_bytes(8, 'little') + text


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    'nothing': lambda _: b'',
    'pickle': lambda mark: pickle.dumps(Payload(mark)),
    'oversized header': lambda _: header_of(2**62, b'{}'),
    'header of another size': lambda _: header_of(10**6, b'{}'),
    'nested': lambda _: header_of(10**5, b'[' * 10**5 + PLACEHOLDER.encode()),
    'no metadata': lambda _: header_of(2, b'{}' + PLACEHOLDER.encode()),
    'nested metadata': lambda _: crafted(metadata='[' * 10**5),
    'long numbers': lambda _: crafted(metadata='9' * 10**5),
    'NaN': lambda _: crafted(metadata='{"format": NaN}'),
    'not JSON': lambda _: crafted(metadata='{"format"'),
    'a list': lambda _: crafted(metadata='[]'),
}


SEALED = ('nested', 'no metadata', 'nested metadata', 'long numbers', 'NaN', 'not JSON', 'a list')


def crafted(metadata: str) -> bytes:
    text = json.dumps({'__metadata__': {'raki': metadata, 'sha256': PLACEHOLDER}}).encode()
    return header_of(len(text), text)


@pytest.mark.parametrize('kind', list(HOSTILE))
def test_other_files_are_refused_and_nothing_in_them_is_run(kind: str, tmp_path: Path) -> None:
    path, mark = tmp_path / 'fit.safetensors', tmp_path / 'mark'
    path.write_bytes(HOSTILE[kind](mark))
    if kind in SEALED:
        seal(path)
    with pytest.raises(ScanError, match=r'fit\.safetensors: [^\n]+$'):
        read_fits(path)
    assert not mark.exists()


def test_other_things_than_files_are_refused(tmp_path: Path) -> None:
    for path, what in ((tmp_path / 'no', 'no such file'), (tmp_path, 'is a folder'), (Path('/dev/zero'), 'a device')):
        with pytest.raises(ScanError, match=what):
            read_fits(path)


def test_every_truncation_and_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path, generator = tmp_path / 'fit.safetensors', Random(0)
    write_fits(path, [Fit(fitted('grappa-2x3', 'lines'), 0)], {'method': 'grappa'})
    content = path.read_bytes()
    for _ in range(60):
        at, changed = generator.randrange(len(content)), bytearray(content)
        changed[at] ^= 1 << generator.randrange(8)
        for damaged in (content[:at], bytes(changed)):
            path.write_bytes(damaged)
            with pytest.raises(ScanError, match='is damaged, or not of raki'):
                read_fits(path)


def forged(path: Path, change: Callable[[dict[str, Any], list[Tensor]], None]) -> Path:
    """A stored fit, changed by somebody who knows how to compute its digest."""
    about, tensors = opened(path)
    del about['sha256']
    change(about, tensors)
    target = path.with_name('forged.safetensors')
    put(target, about, tensors)
    return target


def test_classes_that_are_not_known_are_not_made(tmp_path: Path) -> None:
    path = tmp_path / 'fit.safetensors'
    write_fits(path, [Fit(fitted('grappa', 'lines'))], {})

    def change(about: dict[str, Any], _: list[Tensor]) -> None:
        about['fits'][0]['fields']['interpolator'] = {'class': 'os.system', 'fields': {'command': 'true'}}

    with pytest.raises(ScanError, match=r'a known class is wanted, got .*os\.system'):
        read_fits(forged(path, change))


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'fit.safetensors'
    write_fits(path, [Fit(fitted('grappa', 'lines'))], {})

    def change(_: dict[str, Any], tensors: list[Tensor]) -> None:
        next(each for each in tensors if each.dtype == torch.float32).view(-1)[5] = torch.nan

    with pytest.raises(ScanError, match=r'no field weights that holds NaN or infinite'):
        read_fits(forged(path, change))


def test_a_later_version_says_so(tmp_path: Path) -> None:
    path = tmp_path / 'fit.safetensors'
    write_fits(path, [Fit(fitted('grappa', 'lines'))], {})
    with pytest.raises(ScanError, match="format is 'raki fits 9', and this version reads 'raki fits 1'"):
        read_fits(forged(path, lambda about, _: about.update(format='raki fits 9')))


VALUES = (None, True, -1, 0, 1, 7, 10**6, -(10**9), 2**31 - 1, 10**12, 2**62, 10**30, 0.0, -1.5, 1e308, 'text', [], {})
VALUES += ({'tuple': []}, {'array': 0}, {'array': 10**9}, {'range': [0, 10**15, 1]}, {'range': [5, 0, -1]}, [[[]]])


def places(plain: Any) -> list[tuple[Any, Any]]:
    """Every place in JSON, as a container and a key."""
    if not isinstance(plain, dict | list):
        return []
    keys = list(plain) if isinstance(plain, dict) else range(len(plain))
    return [place for key in keys for place in ((plain, key), *places(plain[key]))]


def mutated(about: dict[str, Any], tensors: list[Tensor], generator: Random) -> None:
    for _ in range(generator.randrange(1, 3)):
        if generator.random() < 0.65:
            every = places(about['fits'] if generator.random() < 0.8 else about)
            container, key = generator.choice(every)
            others = every[generator.randrange(len(every))]
            value = generator.choice([*VALUES, deepcopy(others[0][others[1]])]) if others[0] else None
            container[key] = value
        else:
            number = generator.randrange(len(tensors))
            tensors[number] = mutated_array(tensors[number], generator).contiguous()
            if generator.random() < 0.7 and isinstance(about.get('arrays'), list):
                about['arrays'][number][1:] = [list(tensors[number].shape), list(range(tensors[number].ndim))]


def mutated_array(array: Tensor, generator: Random) -> Tensor:
    changes: list[Callable[[], Tensor]] = [
        array.flatten,
        lambda: array[:-1] if array.ndim else array,
        lambda: array[:0] if array.ndim else array,
        lambda: torch.cat([array, array]) if array.ndim else array,
        lambda: array.to(generator.choice([torch.bool, torch.int64, torch.float32, torch.float64, torch.int8])),
        lambda: torch.full_like(array, generator.choice([0, 1, 100])),
        lambda: torch.full_like(array.double(), torch.inf).to(array),
        lambda: -array if array.dtype != torch.bool else ~array,
        lambda: array * 10**9 if array.dtype == torch.int64 else array.flip(0) if array.ndim else array,
    ]
    return generator.choice(changes)()


@pytest.mark.parametrize('name', ['gated', 'raki', 'rraki', 'raki-high-pass', 'spirit', 'sparse'])
def test_a_forged_file_is_refused_or_fills_in_without_a_crash(name: str, tmp_path: Path) -> None:
    """The digest is no seal: whoever forges a file can compute it. 240 of them in all."""
    path, generator = tmp_path / 'fit.safetensors', Random(name)
    write_fits(path, [Fit(fitted(name, 'lines'), 0, torch.eye(4, dtype=torch.complex128))], {})
    kspace, mask = noisy('lines'), PATTERNS['lines']().mask
    n_refused = 0
    for _ in range(40):
        found = forged(path, lambda about, tensors: mutated(about, tensors, generator))
        try:
            for each in read_fits(found).every:
                require_same(each, kspace, mask, 'slice 0')
                assert each.interpolator.fill(kspace).shape == kspace.shape
        except ScanError:
            n_refused += 1
    assert n_refused > 10


# On the command line


def written(path: Path, scan: Scan, **changes: Any) -> Path:
    write_scan(path, replace(scan, **changes), {})
    return path


@pytest.fixture(scope='module')
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slices, and the same with coils in another order, brighter, with one dim coil, and with other lines."""
    folder = tmp_path_factory.mktemp('scans')
    full = simulate(Simulation((48, 40), 6, 2))
    mask = sampled_volume((48,), Lattice.of((3,)), (range(16, 32),)).mask
    scan = replace(full, mask=mask, reference=None)
    noise = scan.noise
    assert noise is not None
    written(folder / 'scan.h5', scan)
    written(folder / 'shuffled.h5', scan, kspace=scan.kspace[:, [3, 0, 5, 1, 4, 2]], noise=None)
    written(folder / 'bright.h5', scan, kspace=10 * scan.kspace, noise=10 * noise)
    gains = torch.tensor([1, 1, 0.1, 1, 1, 1])[:, None]
    written(folder / 'dim.h5', scan, kspace=gains[..., None] * scan.kspace, noise=gains * noise)
    written(folder / 'other.h5', scan, mask=sampled_volume((48,), Lattice.of((2,)), (range(16, 32),)).mask)
    words = ['-o', str(folder / 'own.h5'), '--save-fit', str(folder / 'fit.safetensors')]
    assert main(['reconstruct', str(folder / 'scan.h5'), *words, '--method', 'grappa']) == 0
    return folder


def run(scans: Path, name: str, output: Path, *words: str) -> int:
    fits = ['--fit', str(scans / 'fit.safetensors')]
    return main(['reconstruct', str(scans / name), '-o', str(output), *fits, *words])


def test_a_stored_fit_gives_the_same_images(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(scans, 'scan.h5', tmp_path / 'out.h5') == 0
    told = capsys.readouterr()
    assert 'by grappa' in told.out
    assert told.err.strip() == ''
    images = [dataset(path, 'reconstruction') for path in (scans / 'own.h5', tmp_path / 'out.h5')]
    np.testing.assert_array_equal(*images)
    manifest, own = attributes(tmp_path / 'out.h5'), attributes(scans / 'own.h5')
    digest = read_fits(scans / 'fit.safetensors').digest
    assert json.loads(manifest['fit'])['sha256'] == digest
    assert (manifest['method'], manifest['settings']) == (own['method'], own['settings'])
    assert any('a fit from elsewhere' in note and digest[:12] in note for note in json.loads(manifest['notes']))


def test_slices_are_matched_by_number(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(scans, 'scan.h5', tmp_path / 'out.h5', '--slices', '1') == 0
    expected = dataset(scans / 'own.h5', 'reconstruction')[1:]
    np.testing.assert_array_equal(dataset(tmp_path / 'out.h5', 'reconstruction'), expected)
    words = ['-o', str(tmp_path / 'one.h5'), '--save-fit', str(tmp_path / 'one.safetensors'), '--slices', '1']
    assert main(['reconstruct', str(scans / 'scan.h5'), *words, '--method', 'grappa']) == 0
    assert run(scans, 'scan.h5', tmp_path / 'no.h5', '--fit', str(tmp_path / 'one.safetensors')) == 3
    assert 'there is no fit of slice 0, only of slice(s) 1' in capsys.readouterr().err
    assert not (tmp_path / 'no.h5').exists()


@pytest.mark.parametrize(
    ('name', 'warning'),
    [
        ('shuffled.h5', 'the scan that the fit is of resembles the scan hardly more than with its coils shuffled'),
        ('dim.h5', 'coils differ in brightness from those that the fit is of, relative to the others: 2 (0.1x)'),
        ('bright.h5', '10 times as bright as that of the fit'),
        ('bright.h5', 'in the virtual coils of the fit noise is'),
    ],
)
def test_what_looks_different_is_warned_of(
    scans: Path, tmp_path: Path, name: str, warning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(scans, name, tmp_path / 'out.h5') == 0
    assert warning in capsys.readouterr().err


@pytest.mark.parametrize(
    ('name', 'words', 'code', 'message'),
    [
        ('other.h5', [], 3, 'slice 0, repetition 0 has other lines than the fit'),
        ('scan.h5', ['--method', 'gated'], 2, 'is of method grappa, and --method asks for gated'),
        ('scan.h5', ['--coils', '3'], 2, 'is of coils None, and --coils asks for 3'),
        ('scan.h5', ['--calibration', 'measured'], 2, 'and --calibration asks for measured'),
        ('scan.h5', ['--save-fit', 'new.safetensors'], 2, 'learns nothing that --save-fit'),
    ],
)
def test_what_does_not_go_with_a_fit_is_said_in_one_line(
    scans: Path,
    tmp_path: Path,
    name: str,
    words: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(scans, name, tmp_path / 'out.h5', *words) == code
    told = capsys.readouterr().err
    assert message in told
    assert told.strip().count('\n') == 0
    assert not (tmp_path / 'out.h5').exists()


def test_the_same_settings_and_others_that_learn_nothing_go_with_a_fit(scans: Path, tmp_path: Path) -> None:
    words = ['--method', 'grappa', '--gfactor', '--combine', 'walsh', '--kspace']
    assert run(scans, 'scan.h5', tmp_path / 'out.h5', *words) == 0
    assert dataset(tmp_path / 'out.h5', 'gfactor').shape == (2, 48, 40)


@pytest.mark.parametrize('place', ['fit.pt', 'no/fit.safetensors', 'scan.h5'])
def test_where_a_fit_goes_is_checked_first(
    scans: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ['-o', str(tmp_path / 'out.h5'), '--save-fit', str(tmp_path / place)]
    assert main(['reconstruct', str(scans / 'scan.h5'), *words]) == 2
    assert place in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_images_there_is_no_fit(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a format that is written when all images are there, on a disk that fills up then."""

    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('raki.data.images.nifti._write', full)
    words = ['-o', str(tmp_path / 'out.nii'), '--save-fit', str(tmp_path / 'fit.safetensors'), '--method', 'grappa']
    assert main(['reconstruct', str(scans / 'scan.h5'), *words]) == 5
    assert not list(tmp_path.iterdir())


def test_a_damaged_fit_is_bad_input(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / 'damaged.safetensors'
    damaged.write_bytes((scans / 'fit.safetensors').read_bytes()[:-7])
    assert run(scans, 'scan.h5', tmp_path / 'out.h5', '--fit', str(damaged)) == 3
    assert 'damaged.safetensors: is damaged' in capsys.readouterr().err


def test_of_several_frames_the_first_is_kept_and_fills_all(tmp_path: Path) -> None:
    mask = PATTERNS['lines']().mask
    frames = [noisy('lines') + 0.1 * random_kspace(4, *LINES, seed=seed) for seed in (1, 2)]
    path, repetitions = tmp_path / 'scan.h5', [Frame(repetition) for repetition in (0, 1)]
    written(path, Scan(frames[0][None], mask))  # its manifest has the sum of a file
    file = ScanFile(
        str(path), 'toy', (1, 4, *LINES), lambda _, frame: Scan(frames[frame][None], mask), frames=repetitions
    )
    own, again, fits = (tmp_path / name for name in ('own.h5', 'again.h5', 'fit.safetensors'))
    reconstruct_file(file, own, Job(Settings(method='grappa')), lambda _: silent, fits)
    manifest = reconstruct_file(file, again, Job(Settings(fit=fits)), lambda _: silent)
    images = [dataset(output, 'reconstruction') for output in (own, again)]
    np.testing.assert_array_equal(images[0][0], images[1][0])
    expected = fit(METHODS['grappa'], frames[0], PATTERNS['lines']()).fill(frames[1])
    found = torch.from_numpy(images[1][1])
    torch.testing.assert_close(found, image_from_kspace(expected).norm(dim=0), rtol=1e-5, atol=1e-5)
    assert manifest['method'] == 'grappa'
    assert manifest['warnings'] == []


def test_a_volume_keeps_one_fit(tmp_path: Path) -> None:
    full = simulate(Simulation((12, 24, 20), 4))
    scan = replace(full, mask=sampled_volume((12, 24), Lattice.of((2, 2)), (range(3, 10), range(6, 18))).mask)
    path = written(tmp_path / 'volume.h5', scan, reference=None)
    outputs = [tmp_path / name for name in ('own.h5', 'again.h5')]
    fits = tmp_path / 'fit.safetensors'
    for output, words in zip(outputs, (['--method', 'grappa', '--save-fit'], ['--fit']), strict=True):
        assert main(['reconstruct', str(path), '-o', str(output), *words, str(fits)]) == 0
    np.testing.assert_array_equal(*(dataset(output, 'reconstruction') for output in outputs))
    assert [each.slice for each in read_fits(fits).every] == [None]
