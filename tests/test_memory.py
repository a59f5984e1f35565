"""How much memory there is, and what is refused before it is read."""

import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from raki.cli import main
from raki.data.boundary import reading
from raki.data.generic import DatasetLayout
from raki.data.load import open_scan
from raki.data.memory import memory_bytes, require_memory, require_stored, room_bytes
from raki.errors import ResourceError, ScanError

MACHINE = """
import resource, sys
from raki.data.memory import memory_bytes
before = memory_bytes()
resource.setrlimit(getattr(resource, sys.argv[1]), (int(sys.argv[2]), resource.RLIM_INFINITY))
print(before, memory_bytes())
"""


@pytest.mark.parametrize('name', ['RLIMIT_AS', 'RLIMIT_DATA'])
def test_limits_of_the_process_count(name: str) -> None:
    limit = 3_000_000_000
    words = [sys.executable, '-c', MACHINE, name, str(limit)]
    before, after = map(int, subprocess.run(words, check=True, capture_output=True, text=True).stdout.split())
    assert after < before
    assert 0 < after <= limit


@pytest.mark.parametrize(
    ('line', 'file'),
    [
        ('0::/job/step', 'memory.max'),
        ('0::/job/step', '../memory.max'),
        ('7:memory:/job/step', 'memory.limit_in_bytes'),
        ('3:cpu,memory:/job/step', '../memory.limit_in_bytes'),
    ],
)
def test_limits_of_control_groups_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, file: str) -> None:
    """Those of version 1 and 2, and of groups around the own one; `max` is none."""
    own = tmp_path / ('memory' if 'memory:' in line else '') / 'job' / 'step'
    own.mkdir(parents=True)
    (own / file).write_text('123456789\n', encoding='ascii')
    (tmp_path / 'memory.max').write_text('max\n', encoding='ascii')
    monkeypatch.setattr('raki.data.memory.GROUPS', tmp_path)
    monkeypatch.setattr(
        'raki.data.memory._text',
        lambda path: (
            f'{line}\n' if str(path) == '/proc/self/cgroup' else Path(path).read_text() if Path(path).is_file() else ''
        ),
    )
    assert memory_bytes() == 123456789


def test_what_is_in_use_leaves_less_room() -> None:
    assert 0 < room_bytes() < memory_bytes() - 50_000_000


def test_memory_is_refused_with_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('raki.data.memory.room_bytes', lambda: 10_000_000_000)
    require_memory(2_400_000_000, 'a.h5', 4)
    with pytest.raises(ResourceError, match=r'^a.h5 needs 2.6 GB at once, of 10.0 GB of memory: .*4 times as much'):
        require_memory(2_600_000_000, 'a.h5', 4)


def test_what_declares_more_than_it_stores_is_refused() -> None:
    require_stored(10**9, 10**7, 'a.h5')
    require_stored(10**7, 0, 'a.h5')
    with pytest.raises(ScanError, match=r'a\.h5 declares 1000000000 bytes, but the file holds 9999999'):
        require_stored(10**9, 10**7 - 1, 'a.h5')


def bomb(path: Path, name: str, shape: tuple[int, ...], dtype: str = 'c8') -> Path:
    """A small scan in which one dataset is declared large, and never written."""
    with h5py.File(path, 'w') as file:
        if name != 'kspace':
            file['kspace'] = np.ones((1, 4, 16, 12), 'c8')
        file.create_dataset(name, shape, dtype, chunks=tuple(min(8, size) for size in shape))
    return path


@pytest.mark.parametrize(
    ('name', 'shape', 'dtype'),
    [
        ('kspace', (1, 8, 4096, 4096), 'c8'),
        ('kspace', (1, 64, 32768, 32768), 'c8'),
        ('kspace', (1 << 40, 4, 16, 12), 'c8'),
        ('mask', (1 << 31,), 'u1'),
        ('noise', (4, 1 << 31), 'c8'),
        ('acs', (1, 4, 16, 1 << 24), 'c8'),
        ('ismrmrd_header', (1 << 31,), 'S8'),
    ],
)
def test_a_small_file_that_declares_much_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, shape: tuple[int, ...], dtype: str
) -> None:
    path = bomb(tmp_path / 'a.h5', name, shape, dtype)
    assert path.stat().st_size < 20_000
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert main(['info', str(path)]) in (3, 5)
    said = capsys.readouterr().err
    assert name.replace('kspace', '') in said
    assert str(path) in said
    assert time.monotonic() - start < 5  # less than 1 s by itself: this is for a machine at work
    grown = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before
    assert grown < 500_000, f'{grown} kB'


def test_the_smallest_bomb_takes_no_memory(tmp_path: Path) -> None:
    """A file of few kilobytes that declares 537 GB: refused by a process that stays below 500 MB above its imports."""
    path = bomb(tmp_path / 'a.h5', 'kspace', (1, 64, 32768, 32768))
    code = (
        'import resource, sys; import raki.data.load, raki.commands.info; from raki.cli import main\n'
        'peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
        'before = peak(); code = main(["info", sys.argv[1]]); print(code, peak() - before)'
    )
    words = [sys.executable, '-c', code, str(path)]
    code, grown = map(int, subprocess.run(words, check=True, capture_output=True, text=True).stdout.split())
    assert code == 5
    assert grown < 500_000


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.create_dataset(
            'kspace', data=np.zeros((1, 4, 1024, 1024), 'c8'), chunks=(1, 1, 1024, 1024), compression='gzip'
        )
    with pytest.raises(ScanError, match='kspace declares 33554432 bytes, but the file holds'):
        open_scan(tmp_path / 'a.h5')


def test_noise_that_compresses_as_noise_does_is_read(tmp_path: Path) -> None:
    kspace = np.random.default_rng(0).normal(size=(1, 2, 256, 256, 2)).astype('f4').view('c8')[..., 0]
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.create_dataset('kspace', data=kspace, compression='gzip')
    assert open_scan(tmp_path / 'a.h5').read_slab(0, 0).kspace.shape == (1, 2, 256, 256)


def test_a_bomb_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.npz'
    np.savez_compressed(path, kspace=np.zeros((1, 4, 1024, 1024), 'c8'))
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[0].compress_size < 100_000
    with pytest.raises(ScanError, match='declares 33554560 bytes, but the file holds'):
        open_scan(path, DatasetLayout('kspace', ('slice', 'coil', 'ky', 'kx')))


@pytest.mark.parametrize(
    'text',
    [
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory",
        "Can't synchronously read data (unable to allocate dataset buffer)",
        'Unable to allocate 8.00 GiB for an array',
        'not enough memory: you tried to allocate 8 bytes',
        'std::bad_alloc',
    ],
)
def test_a_lack_of_memory_is_not_called_damage(text: str) -> None:
    def read() -> None:
        with reading('a.h5'):
            raise RuntimeError(text)

    with pytest.raises(ResourceError, match=r'^a\.h5: cannot be read, memory does not suffice'):
        read()
