"""Crafted files of other kinds: names, links, pipes and devices, NumPy, BART, Siemens, and what is no scan at all."""

import io
import os
import pickle
import socket
import stat
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from attacks.crafts import GRAPPA, SCAN, Craft, Scans, array, copied

NAMES = {
    'not UTF-8': os.fsdecode(b'caf\xe9\xff.h5'),
    'escape': 'a\x1b[31mred.h5',
    'title': 'a\x1b]0;title\x07.h5',
    'newline': 'a\nraki: done.h5',
    'carriage return': 'a\rb.h5',
    'dash': '-o.h5',
    'option': '--method=raki.h5',
    'blank': ' .h5',
    'long': 'x' * 240 + '.h5',
    'quote': '\'"`$(touch touched)`.h5',
    'percent': '%s%n{0}.h5',
    'markup': '[red]bold[reset].h5',
    'right to left': 'a\u202eb.h5',
    'emoji': '\N{BRAIN}.h5',
    'script': '<script>alert(1)</script>.h5'.replace('/', '\u2215'),
    'star': '*.h5',
    'tilde': '~.h5',
    'no suffix': 'scan',
    'hidden': '.scan.h5',
    'surrogates': '\udc80\udcff.h5',
}

OUTPUTS = ('../x.h5', 'no/x.h5', '/proc/x.h5', '/dev/null', '', '.', '/', 'x' * 300 + '.h5', 'a\0b.h5', 'x.txt')


def names(scans: Scans) -> Iterator[Craft]:
    """Odd names of inputs and outputs."""
    for variant, name in NAMES.items():
        yield Craft('names', f'input {variant}', 'right', partial(_named, scans, name), scan=name)
        if name.endswith('.h5'):
            output = f'out {name}' if variant != 'hidden' else '.out.h5'
            make = partial(_named, scans, SCAN)
            yield Craft('names', f'output {variant}', 'any', make, output=output, beside=('.out.h5',))
    for output in (
        '../x.h5',
        'no/x.h5',
        '/proc/x.h5',
        '/dev/null',
        '',
        '.',
        '/',
        'x' * 300 + '.h5',
        'a\0b.h5',
        'x.txt',
    ):
        word = output.replace('/', '_').replace('\0', '0')[:20]
        expected = 'any' if output == '../x.h5' else 'refused'
        yield Craft('names', f'output {word}', expected, partial(_named, scans, SCAN), output=output)
    for scan in ('', '.', '/', '/dev/null', '/dev/zero', '/proc/self/mem', '/proc/self/environ', 'a\0b', 'none.h5'):
        word = scan.replace('/', '_').replace('\0', '0')
        yield Craft('names', f'input at {word}', 'refused', partial(_named, scans, SCAN), scan=scan)


def _named(scans: Scans, name: str, folder: Path) -> None:
    copied(scans, target=name)(folder)


def _device(path: Path) -> None:
    """A null device where the machine lets us make one, a pipe elsewhere."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)
        made.bind(path.name)
        os.chdir(here)


def _link_to(target: str, path: Path) -> None:
    path.symlink_to(target)


KINDS: dict[str, Callable[[Path], None]] = {
    'pipe': os.mkfifo,
    'device': _device,
    'folder': lambda path: path.mkdir(),
    'socket': _socket,
    'link to a file': partial(_link_to, 'other.h5'),
    'link to nothing': partial(_link_to, 'nothing.h5'),
    'link to itself': lambda path: path.symlink_to(path.name),
    'link to a device': partial(_link_to, '/dev/zero'),
    'link to a folder': partial(_link_to, '.'),
    'link to a pipe': lambda path: (os.mkfifo(path.with_name('pipe')), path.symlink_to('pipe'))[1],
}


def kinds(scans: Scans) -> Iterator[Craft]:
    """Inputs and outputs that are no files, outputs that are the input."""

    def make(folder: Path, name: str, kind: Callable[[Path], None]) -> None:
        for each in {SCAN, 'other.h5'} - {name}:
            copied(scans, target=each)(folder)
        kind(folder / name)

    for variant, kind in KINDS.items():
        expected = 'right' if variant == 'link to a file' else 'refused'
        yield Craft('kinds', f'input {variant}', expected, partial(make, name=SCAN, kind=kind))
        output = partial(make, name='out.h5', kind=kind)
        yield Craft('kinds', f'output {variant}', 'refused', output, output='out.h5')
        mask = (*GRAPPA, '--mask', 'mask.h5')
        about = partial(make, name='mask.h5', kind=kind)
        yield Craft('kinds', f'mask {variant}', 'any', about, options=mask, reading=mask[2:])
    hard = partial(make, name='out.h5', kind=lambda path: os.link(path.with_name(SCAN), path))
    yield Craft('kinds', 'output hard link to the input', 'any', hard, output='out.h5')
    for output in (SCAN, f'./{SCAN}', f'../here/{SCAN}'):
        word = output.replace('/', '_')
        yield Craft('kinds', f'output is the input {word}', 'refused', partial(_named, scans, SCAN), output=output)


class _Payload:
    """Touches a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ('touch touched',)


def _npy(value: object, *, is_fortran: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asfortranarray(value) if is_fortran else np.asarray(value), allow_pickle=True)
    return buffer.getvalue()


def _header(text: str) -> bytes:
    body = text.encode().ljust(117) + b'\n'
    return b'\x93NUMPY\1\0' + len(body).to_bytes(2, 'little') + body


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _numpy_files(kspace: np.ndarray, mask: np.ndarray) -> Iterator[tuple[str, bytes, str]]:
    """Name, content and what is expected."""
    shape, good = '(8, 64, 48)', _npy(kspace)
    payload = np.empty((8, 64, 48), object)
    payload[0, 0, 0] = _Payload()
    yield 'good.npz', _zip({'kspace.npy': good, 'mask.npy': _npy(mask)}), 'right'
    yield 'objects.npy', _npy(payload), 'refused'
    yield 'objects.npz', _zip({'kspace.npy': _npy(payload)}), 'refused'
    yield 'pickle.npy', pickle.dumps(_Payload()), 'refused'
    yield 'pickle.npz', pickle.dumps(_Payload()), 'refused'
    yield (
        'mask objects.npz',
        _zip({'kspace.npy': good, 'mask.npy': _npy(np.array([_Payload()] * 64, object))}),
        'refused',
    )
    yield 'fortran.npy', _npy(kspace, is_fortran=True), 'any'
    yield 'half.npy', good[: len(good) // 2], 'refused'
    yield 'only magic.npy', b'\x93NUMPY', 'refused'
    yield 'version 9.npy', b'\x93NUMPY\x09' + good[7:], 'refused'
    huge = "{'descr': '<c8', 'fortran_order': False, 'shape': (8, 1000000000000, 48)}"
    yield 'huge.npy', _header(huge), 'refused'
    yield 'negative.npy', _header(huge.replace('1000000000000', '-64')) + bytes(999), 'refused'
    yield 'code.npy', _header(f"{{'descr': __import__('os').system('touch touched'), 'shape': {shape}}}"), 'refused'
    yield 'no dictionary.npy', _header('[1, 2]'), 'refused'
    yield 'bad type.npy', _header(f"{{'descr': 'x99', 'fortran_order': False, 'shape': {shape}}}"), 'refused'
    yield 'deep.npy', _header('(' * 110), 'refused'
    yield 'bomb.npz', _zip({'kspace.npy': _header(huge) + bytes(200_000_000)}), 'refused'
    yield 'path.npz', _zip({'../../kspace.npy': good}), 'refused'
    yield 'empty.npz', _zip({}), 'refused'
    yield 'text.npz', _zip({'kspace.npy': b'hello'}), 'refused'
    yield 'twice.npz', _zip({'kspace.npy': good, 'kspace': good}), 'any'
    yield 'half.npz', _zip({'kspace.npy': good})[:9999], 'refused'
    yield 'lzma.npz', _zip({'kspace.npy': good, 'mask.npy': _npy(mask)}, zipfile.ZIP_LZMA), 'any'


def numpy_files(scans: Scans) -> Iterator[Craft]:
    """Pickles, code, bombs and truncated arrays."""
    with h5py.File(scans['fastMRI'].files[0]) as file:
        kspace, mask = array(file, 'kspace')[0].swapaxes(1, 2), array(file, 'mask')
    for name, content, expected in _numpy_files(kspace * mask[:, None], mask):
        reading = ('--axes', 'coil,ky,kx', '--mask', 'mask' if name.endswith('npz') else 'zeros')

        def make(folder: Path, name: str = name, content: bytes = content) -> None:
            (folder / name).write_bytes(content)

        wanted = 'any' if expected == 'right' else expected  # noise, which whitens, is not in these
        yield Craft('NumPy', name, wanted, make, scan=name, options=(*GRAPPA, *reading), reading=reading)


HDRS = {
    'missing': None,
    'empty': b'',
    'too large': b'# Dimensions\n48 64 1 800 1\n',
    'too small': b'# Dimensions\n48 64 1 4 1\n',
    'negative': b'# Dimensions\n48 64 1 -8 1\n',
    'zero': b'# Dimensions\n48 0 1 8 1\n',
    'overflow': b'# Dimensions\n48 64 1 99999999999999999999 1\n',
    'product overflow': b'# Dimensions\n4294967296 4294967296 1 8 1\n',
    'text': b'# Dimensions\nfour eight\n',
    'float': b'# Dimensions\n48.0 64.0 1 8\n',
    '17 axes': b'# Dimensions\n48 64 1 8 ' + b'1 ' * 14 + b'\n',
    'other axes': b'# Dimensions\n48 8 1 1 8 8\n',
    'binary': bytes(range(256)),
    'no title': b'48 64 1 8\n',
    'escapes': b'# Dimensions\n\x1b[31m48 64 1 8\n',
    'long': b'# Dimensions\n' + b'1 ' * 1_000_000,
}


def bart(scans: Scans) -> Iterator[Craft]:
    """Wrong headers of BART."""
    for variant, content in HDRS.items():

        def make(folder: Path, content: bytes | None = content) -> None:
            scans['BART'].copied(folder)
            (folder / 'bart.hdr').unlink()
            if content is not None:
                (folder / 'bart.hdr').write_bytes(content)

        yield Craft('BART', variant, 'told', make, scan='bart.cfl')


def no_scans(scans: Scans) -> Iterator[Craft]:
    """What is no scan."""
    whole = scans['fastMRI'].files[0].read_bytes()
    contents = {
        'empty.h5': b'',
        'one byte.h5': b'\x89',
        'signature.h5': whole[:8],
        'superblock.h5': whole[:96],
        'text.h5': b'hello\n',
        'page.h5': b'<html><script>alert(1)</script></html>',
        'zip.h5': _zip({'a': b'b'}),
        'zeros.h5': bytes(100_000),
        'behind zeros.h5': bytes(512) + whole,
        'behind text.h5': b'text'.ljust(512) + whole,
        'twice.h5': whole + whole,
        'longer.h5': whole + bytes(4096),
        'scan.dat': np.random.default_rng(0).bytes(100_000),
        'zeros.dat': bytes(100_000),
        'two.dat': (0).to_bytes(4, 'little') + (2).to_bytes(4, 'little') + bytes(100_000),
        'many.dat': (0).to_bytes(4, 'little') + (64).to_bytes(4, 'little') + b'\xff' * 100_000,
        'picture.png': b'\x89PNG\r\n\x1a\n' + bytes(100),
        'picture.dcm': bytes(128) + b'DICM' + bytes(100),
        'volume.nii': (348).to_bytes(4, 'little') + bytes(400),
        'matlab.mat': b'MATLAB 5.0 MAT-file'.ljust(128) + bytes(100),
        'settings.yaml': b'a: !!python/object/apply:os.system ["touch touched"]\n',
    }
    for name, content in contents.items():

        def make(folder: Path, name: str = name, content: bytes = content) -> None:
            (folder / name).write_bytes(content)

        is_whole = name in ('behind zeros.h5', 'behind text.h5', 'twice.h5', 'longer.h5')
        yield Craft('no scan', name, 'any' if is_whole else 'refused', make, scan=name)


FAMILIES = (names, kinds, numpy_files, bart, no_scans)
