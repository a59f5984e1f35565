"""What a child process reads: the same as here, and no fault of a file reaches the parent as anything but an error."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from raki.cli import main
from raki.data.apart import array_apart, reconstruction_apart, scan_apart
from raki.data.boundary import reading
from raki.data.child import Child, Patience
from raki.data.load import open_scan
from raki.data.result import open_reconstruction
from raki.data.scan import Scan, ScanFile
from raki.errors import ResourceError, SamplingError, ScanError

HASTY = Patience(0.5)
FIELDS = ('kspace', 'mask', 'calibration', 'noise', 'reference')
SHARED = (
    'iraki_prescan16.h5',
    'ismrmrd_phantom8_R3_acs24.h5',
    'ismrmrd_phantom8_full.h5',
    'pulseq_phantom32.h5',
    'twix_gre2.dat',
    'twix_gre2.h5',
    'xingkong_R2_16.h5',
)
WRITTEN = ('.h5', '.mrd.h5', '.cfl', '.npy', 'volume.h5')


@pytest.fixture(scope='module')
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('scan') / 'a.h5'
    words = ['--matrix', '48x40', '--coils', '4', '--slices', '2', '--rate', '2', '--acs', '16']
    assert main(['simulate', '-o', str(path), *words]) == 0
    return path


@pytest.fixture(scope='module')
def reconstruction(scan: Path) -> Path:
    output = scan.with_name('out.h5')
    assert main(['reconstruct', str(scan), '-o', str(output), '--method', 'zero-filled']) == 0
    return output


def written(scan: Path, suffix: str) -> Path:
    """The scan in another format, or a volume."""
    path = scan.with_name(f'b{suffix}')
    if suffix == '.h5':
        return scan
    if suffix == 'volume.h5':
        assert main(['simulate', '-o', str(path), '--matrix', '8x20x16', '--coils', '4', '--acs', '4x8']) == 0
    elif suffix == '.npy':
        with h5py.File(scan) as file:
            np.save(path, np.asarray(file['kspace']))
    else:
        assert main(['convert', str(scan), str(path)]) == 0
    return path


def opener(path: Path) -> Callable[[], ScanFile]:
    words = ('slice', 'coil', 'kx', 'ky')
    if path.suffix != '.npy':
        return lambda: open_scan(path)
    from raki.data.generic import DatasetLayout

    return lambda: open_scan(path, DatasetLayout('kspace', words), 'zeros')


def require_alike(apart: Scan, here: Scan) -> None:
    for name in FIELDS:
        one, other = getattr(apart, name), getattr(here, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert one.dtype == other.dtype
            assert one.numpy().tobytes() == other.numpy().tobytes(), name
            assert one.is_contiguous() == other.is_contiguous()
    nothing = dict.fromkeys(FIELDS[2:])
    empty = {'kspace': here.kspace[..., :0], 'mask': here.mask, **nothing}
    assert str(replace(apart, **empty)) == str(replace(here, **empty)) or apart.readout is not None


def require_same(open_here: Callable[[], ScanFile], path: Path) -> None:
    apart, here = scan_apart(path, open_here), open_here()
    for name in ('path', 'format', 'shape', 'image_shape', 'facts', 'identity', 'readout_is_rows'):
        assert getattr(apart, name) == getattr(here, name), name
    assert list(apart.frames) == list(here.frames)
    assert list(apart.geometries) == list(here.geometries)
    for one, other in zip(apart.notes, here.notes, strict=True):
        assert (str(one), one.step, one.is_caution) == (str(other), other.step, other.is_caution)
    for slab, frame in ((0, 0), (apart.shape[0] - 1, apart.n_frames - 1)):
        require_alike(apart.read_slab(slab, frame), here.read_slab(slab, frame))


@pytest.mark.parametrize('suffix', WRITTEN)
def test_what_a_child_reads_is_what_is_read_here(scan: Path, suffix: str) -> None:
    path = written(scan, suffix)
    require_same(opener(path), path)


@pytest.mark.parametrize('name', SHARED)
def test_real_scans_are_read_alike(shared_scan: Callable[[str], Path], name: str) -> None:
    path = shared_scan(name)
    if path.suffix == '.dat':
        pytest.importorskip('twixtools')
    require_same(lambda: open_scan(path), path)


def test_reconstructions_are_read_alike(reconstruction: Path) -> None:
    apart, here = (
        reconstruction_apart(reconstruction, lambda: open_reconstruction(reconstruction)),
        open_reconstruction(reconstruction),
    )
    assert (apart.path, apart.shape, apart.manifest, apart.pixel_size) == (
        here.path,
        here.shape,
        here.manifest,
        here.pixel_size,
    )
    assert all(torch.equal(apart.read(index), here.read(index)) for index in range(here.shape[0]))


def test_axes_keep_their_order_in_memory() -> None:
    """What sums along axes may give other last digits where memory runs another way."""
    array = torch.arange(2 * 3 * 5).reshape(2, 3, 5).transpose(0, 2).to(torch.complex64)
    found = array_apart('none', lambda: array)
    assert torch.equal(found, array)
    assert found.stride() == array.stride()


@pytest.mark.parametrize('array', [torch.zeros(0, 3), torch.tensor(2.5), torch.ones(2, 1, dtype=torch.bool)])
def test_small_arrays_arrive(array: torch.Tensor) -> None:
    found = array_apart('none', lambda: array)
    assert found.dtype == array.dtype
    assert torch.equal(found, array)


def test_an_array_outlives_its_child(scan: Path) -> None:
    file = scan_apart(scan, lambda: open_scan(scan))
    kspace = file.read_slab(0, 0).kspace
    del file
    assert torch.equal(kspace, open_scan(scan).read_slab(0, 0).kspace)


def failing(do: Callable[[], object], kind: type[Exception], message: str, patience: Patience = HASTY) -> None:
    def read() -> torch.Tensor:
        do()
        return torch.zeros(1)

    with pytest.raises(kind, match=message) as caught:
        array_apart('bad.h5', read, patience)
    assert str(caught.value).startswith('bad.h5: ')
    assert '\n' not in str(caught.value)
    assert no_children()


def no_children() -> bool:
    """Whether there is no child left, not even one that has ended and was not waited for."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def kill_self(number: int) -> Callable[[], object]:
    return lambda: os.kill(os.getpid(), number)


def test_a_hang_ends_in_time() -> None:
    start = time.monotonic()
    failing(lambda: time.sleep(600), ScanError, 'nothing came of it within 0 s')
    assert time.monotonic() - start < 5


HANGING_PAGE = 453
"""Of 4096 bytes in the file below: with zeros there, HDF5 looks for an object of its heap forever."""


def test_a_library_that_loops_is_ended(shared_scan: Callable[[str], Path], tmp_path: Path) -> None:
    content = bytearray(shared_scan('ismrmrd_phantom8_R3_acs24.h5').read_bytes())
    content[4096 * HANGING_PAGE : 4096 * (HANGING_PAGE + 1)] = bytes(4096)
    path = tmp_path / 'bad.h5'
    path.write_bytes(content)
    with pytest.raises(ScanError, match='nothing came of it within'):
        scan_apart(path, lambda: open_scan(path), HASTY)


def test_a_hang_that_hears_no_signal_ends_in_time() -> None:
    def deaf() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        while True:
            pass

    failing(deaf, ScanError, 'nothing came of it')


@pytest.mark.parametrize('number', [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE])
def test_a_crash_names_the_file(number: signal.Signals) -> None:
    failing(kill_self(number), ScanError, rf'the library for it crashed \({number.name}\): the file is damaged')


def test_a_killed_child_ran_out_of_memory() -> None:
    failing(kill_self(signal.SIGKILL), ResourceError, 'was killed, as systems do when memory runs out')


def test_an_exit_in_the_child_is_none_of_the_parent() -> None:
    failing(lambda: sys.exit(0), ScanError, 'the process that read it ended')


@pytest.mark.parametrize(
    'allocate',
    [
        lambda: np.empty(1 << 50, np.uint8),
        lambda: torch.empty(1 << 50, dtype=torch.uint8),
        lambda: [bytearray(1 << 25) for _ in range(64)],
    ],
    ids=['numpy', 'torch', 'python'],
)
def test_what_memory_cannot_hold_is_a_matter_of_resources(
    monkeypatch: pytest.MonkeyPatch, allocate: Callable[[], object]
) -> None:
    monkeypatch.setattr('raki.data.memory.memory_bytes', lambda: 400_000_000)
    failing(allocate, ResourceError, 'memory does not suffice', Patience(20))


@pytest.mark.parametrize(
    'error',
    [
        KeyError('data'),
        TypeError('no'),
        OverflowError('x'),
        AssertionError(),
        UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'no'),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_any_class_become_one_line(error: Exception) -> None:
    def fail() -> None:
        raise error

    failing(fail, ScanError, rf'may be truncated or damaged \({type(error).__name__}')


def test_our_own_errors_keep_their_class_and_text() -> None:
    def fail() -> None:
        raise SamplingError('bad.h5: gaps')

    failing(fail, SamplingError, '^bad.h5: gaps$')


def test_what_is_no_data_does_not_leave_the_child() -> None:
    child = Child('bad.h5', lambda: os.path, {})
    with pytest.raises(ScanError, match='only data can be stored'):
        child.ask(seconds=5)


def test_a_class_that_nobody_knows_does_not_come_in() -> None:
    child = Child('bad.h5', Patience, {})
    with pytest.raises(ScanError, match='of a known class is wanted'):
        child.ask(seconds=5)


def test_a_failed_slab_does_not_end_the_file(scan: Path) -> None:
    file = scan_apart(scan, lambda: open_scan(scan))
    with pytest.raises(ScanError, match='damaged'):
        file.read_slab(99, 0)
    assert file.read_slab(1, 0).kspace.shape[0] == 1


def test_many_reads_leave_neither_descriptors_nor_children(scan: Path) -> None:
    count = lambda: len(list(Path('/proc/self/fd').iterdir()))  # noqa: E731
    before = count()
    file = scan_apart(scan, lambda: open_scan(scan))
    kept = [file.read_slab(each % 2, 0) for each in range(50)]
    assert count() == before + 1  # the socket; arrays hold no descriptor
    del file
    assert count() == before
    assert no_children()
    assert len({each.kspace.data_ptr() for each in kept}) == 50


def test_a_child_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    def noisy() -> torch.Tensor:
        os.write(1, b'out')
        os.write(2, b'HDF5-DIAG')
        sys.stdout.write('more')
        sys.stdout.flush()
        return torch.zeros(1)

    array_apart('a', noisy)
    assert capfd.readouterr() == ('', '')


PARENT = """
import sys, time, torch
from pathlib import Path
from raki.data.apart import array_apart
from raki.data.child import Patience
torch.ones(300, 300) @ torch.ones(300, 300)
def work():
    Path(sys.argv[1]).write_text(str(__import__('os').getpid()))
    torch.fft.fft2(torch.ones(16, 50, 50, dtype=torch.complex64)).sum()
    (torch.ones(300, 300) @ torch.ones(300, 300)).sum()
    while sys.argv[2] == 'hang': pass
    return torch.ones(3)
print(array_apart('a', work, Patience(60)).sum().item())
"""


def started(number: Path, what: str) -> subprocess.Popen[str]:
    environment = os.environ | {'OMP_NUM_THREADS': '2'}
    return subprocess.Popen(
        [sys.executable, '-c', PARENT, str(number), what], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_threads_of_the_parent_do_not_hold_up_the_child(tmp_path: Path) -> None:
    """The pool of OpenMP does not exist in a child; who waits for it there waits forever."""
    with started(tmp_path / 'number', 'end') as process:
        assert process.communicate(timeout=60)[0] == '3.0\n'


def test_a_child_goes_with_its_parent(tmp_path: Path) -> None:
    """Even where the parent is killed while the child hears nothing."""
    number = tmp_path / 'number'
    with started(number, 'hang') as process:
        eventually(lambda: number.is_file() and number.read_text(encoding='ascii') != '')
        child = Path('/proc', number.read_text(encoding='ascii'))
        assert child.exists()
        process.kill()
    eventually(lambda: not child.exists() or '\nState:\tZ' in (child / 'status').read_text(encoding='ascii'))


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, 'it did not come true'
        time.sleep(0.05)


@pytest.mark.parametrize('kind', ['pipe', 'link to a pipe', 'device', 'link to a device', 'folder', 'nothing'])
@pytest.mark.parametrize('command', ['info', 'reconstruct', 'convert', 'compare', 'view', 'object', 'mask'])
def test_what_is_no_file_is_refused_at_once(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, command: str
) -> None:
    bad, pipe = tmp_path / 'bad.h5', tmp_path / 'pipe'
    os.mkfifo(pipe)
    wanted = {'pipe': 'a pipe', 'device': 'a device', 'folder': 'a folder', 'nothing': 'no such file'}
    match kind:
        case 'folder':
            bad.mkdir()
        case 'link to a device' | 'device':
            bad.symlink_to('/dev/zero')
        case 'nothing':
            pass
        case _:
            bad.symlink_to(pipe)
    path = {'pipe': pipe, 'device': Path('/dev/zero')}.get(kind, bad)
    output = str(
        tmp_path / ('out' if command in ('compare', 'object') else 'out.html' if command == 'view' else 'o.h5')
    )
    words = {
        'info': ['info', str(path)],
        'convert': ['convert', str(path), output],
        'view': ['view', str(path), '--no-open', '-o', output],
        'object': ['compare', str(scan), '--object', str(path), '-o', output],
        'mask': ['reconstruct', str(scan), '--mask', str(path), '-o', output],
    }
    assert main(words.get(command, [command, str(path), '-o', output])) == 3
    said = capsys.readouterr().err.strip()
    assert said.count('\n') == 0
    assert str(path) in said
    assert command == 'mask' or wanted[kind.removeprefix('link to a ')] in said
    assert not Path(output).exists()


def test_a_limit_that_a_library_tells_in_words_is_one() -> None:
    """As torch does of the memory in which samples come from the child."""
    with pytest.raises(ResourceError, match='scan: cannot be read, a limit is in the way'), reading('scan'):
        raise RuntimeError('unable to open file </dev/fd/5> in read-only mode: Too many open files (24)')


@pytest.mark.parametrize('number', [errno.EFBIG, errno.ENOSPC, errno.EDQUOT, errno.EMFILE])
def test_a_limit_of_the_machine_is_no_damage_of_the_file(number: int) -> None:
    def fail() -> None:
        raise OSError(number, 'limit')

    failing(fail, ResourceError, 'a limit is in the way', Patience(20))


def test_arrays_beyond_the_largest_file_are_a_matter_of_resources() -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    failing(limit, ResourceError, r'a limit is in the way \(\[Errno 27\] File too large\)', Patience(20))


def test_more_images_than_a_file_can_hold_are_refused_before_they_are_counted(scan: Path) -> None:
    declared = replace(open_scan(scan), shape=(1 << 26, 1, 1, 1), image_shape=None)
    with pytest.raises(ScanError, match='the list of its images declares 17179869184 bytes'):
        scan_apart(scan, lambda: declared)
