"""Outputs carry what made them and sums of their bytes; what was changed or mixed since they were written is found."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from raki.cli import main
from raki.data import digests
from raki.data.digests import BLOCK, MARK, PLACEHOLDER, is_whole, require_whole, seal, sealed, sealed_json, verify
from raki.data.images.outputs import WRITERS, reconstruction_writer
from raki.data.place import Frame, Place
from raki.data.raw.conversion import TARGETS, convert
from raki.data.save import OutputImage, replacing_all
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError
from tests.toys import attributes, random_kspace

N_FLIPS = 40


def everything(folder: Path) -> None:
    """An output of every kind."""
    folder.mkdir()
    simulation = ['simulate', '-o', str(folder / 'scan.h5'), '--matrix', '20x16', '--coils', '3', '--slices', '2']
    assert main([*simulation, '--rate', '2', '--acs', '12']) == 0
    assert main(['simulate', '-o', str(folder / 'volume.h5'), '--matrix', '8x20x16', '--coils', '3']) == 0
    for suffix in WRITERS:
        output = folder / f'{"plain" if suffix == ".nii" else "image"}{suffix}'
        words = ['reconstruct', str(folder / 'scan.h5'), '-o', str(output), '--gfactor', '--method', 'grappa']
        assert main(words) == 0
    words = ['reconstruct', str(folder / 'scan.h5'), '-o', str(folder / 'image.hdf5')]
    assert main([*words, '--save-fit', str(folder / 'fit.safetensors')]) == 0
    for suffix in TARGETS:
        assert main(['convert', str(folder / 'scan.h5'), str(folder / f'raw{suffix}')]) == 0
    assert main(['view', str(folder / 'image.h5'), '--no-open']) == 0


@pytest.fixture(scope='module')
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of all outputs, `a` and `b`, made seconds apart."""
    folder = tmp_path_factory.mktemp('outputs')
    everything(folder / 'a')
    time.sleep(1.1)
    everything(folder / 'b')
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def problems(path: Path) -> dict[str, str]:
    """What is found wrong, by names of files."""
    return {each.path.name: each.problem for each in verify(path) if each.problem}


def test_the_same_commands_give_the_same_bytes(outputs: Path) -> None:
    first, second = contents(outputs / 'a'), contents(outputs / 'b')
    assert [name for name in first if first[name] != second[name]] == []
    assert set(first) == set(second)


def test_every_file_is_covered_and_whole(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(['verify', str(outputs / 'a')]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = contents(outputs / 'a')
    assert sorted(lines) == sorted(f'{outputs / "a" / name}: as it was written' for name in names)
    assert [path.name for path in (outputs / 'a').iterdir() if problems(path)] == []


def test_any_program_can_check_a_sum(outputs: Path) -> None:
    for name in ('image.h5', 'image.mrd.h5', 'raw.mrd.h5', 'scan.h5', 'image.html', 'image.json'):
        content = (outputs / 'a' / name).read_bytes()
        [digits] = re.findall(f'{MARK}([0-9a-f]{{64}})'.encode(), content)
        assert sha256(content.replace(digits, 64 * b'0')).hexdigest().encode() == digits, name
    assert attributes(outputs / 'a' / 'image.h5')['sha256'].startswith(MARK)


@pytest.mark.parametrize('number', range(N_FLIPS))
def test_a_flipped_byte_is_found(outputs: Path, number: int) -> None:
    """Wherever it is: in samples, headers, manifests, sums and what marks them."""
    random, paths = Random(number), sorted((outputs / 'b').iterdir())
    path = paths[number % len(paths)]
    content = bytearray(path.read_bytes())
    at = content.rfind(MARK.encode()) + random.randrange(len(PLACEHOLDER)) if number % 4 == 0 else -1
    at = at if MARK.encode() in content and at >= 0 else random.randrange(len(content))
    flipped = content.copy()
    flipped[at] ^= 1 << random.randrange(8)
    path.write_bytes(flipped)
    try:
        assert path.name in problems(path)
        assert problems(outputs / 'b')
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize('name', ['image.h5', 'image.mrd.h5', 'image.nii.gz', 'image_slice001.dcm', 'raw.hdr'])
@pytest.mark.parametrize('change', ['shorter', 'longer', 'empty', 'gone'])
def test_files_of_another_size_are_found(outputs: Path, name: str, change: str) -> None:
    path = outputs / 'b' / name
    content = path.read_bytes()
    try:
        if change == 'gone':
            path.unlink()
        else:
            path.write_bytes({'shorter': content[:-1], 'longer': content + b'\0', 'empty': b''}[change])
        assert name in problems(path)
    finally:
        path.write_bytes(content)


def test_what_is_changed_through_hdf5_is_found(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = outputs / 'b' / 'image.h5'
    content = path.read_bytes()
    try:
        with h5py.File(path, 'r+') as file:
            file.attrs['method'] = 'gated'
        assert main(['verify', str(path)]) == 3
        assert capsys.readouterr().out == f'{path}: changed since it was written\n'
        assert main(['view', str(path), '-o', str(outputs / 'page.html'), '--no-open']) == 0
        assert 'raki: warning: the file was changed since it was written' in capsys.readouterr().err
    finally:
        path.write_bytes(content)


def test_files_of_others_are_told_from_damaged_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'a.json').write_text('{}')
    (tmp_path / 'a.nii').write_bytes(b'mine')
    (tmp_path / 'empty').mkdir()
    names = ('a.json', 'a.nii', 'b.h5', 'empty')
    assert main(['verify', *(str(tmp_path / name) for name in names), '--json']) == 3
    found = {Path(each['path']).name: each['problem'] for each in json.loads(capsys.readouterr().out)}
    unknown = 'carries no digest, and no manifest beside it names it'
    assert found == {'a.json': unknown, 'a.nii': unknown, 'b.h5': 'is not there', 'empty': 'holds no files'}


def test_a_manifest_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / 'here').mkdir()
    (tmp_path / 'mine').write_bytes(b'mine')
    for number, name in enumerate(('../mine', str(tmp_path / 'mine'))):
        path = tmp_path / 'here' / f'{number}.json'
        path.write_text(sealed_json({}, {name: tmp_path / 'mine'}))
        assert problems(path) == {'mine': f'is not there, but {number}.json names it'}
    for number, text in enumerate(('[', '[]', '{"files": 3}', '{"files": {"a": 3}}')):
        path = tmp_path / 'here' / f'odd{number}.json'
        path.write_text(sealed(f'{text} {PLACEHOLDER}'))
        assert problems(path) == {}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe where manifests are looked for, one that a manifest names, and what a system makes up."""
    (tmp_path / 'mine').write_bytes(b'mine')
    os.mkfifo(tmp_path / 'pipe.json')
    (tmp_path / 'set.json').write_text(sealed_json({}, {'pipe.json': tmp_path / 'mine', 300 * 'x': tmp_path / 'mine'}))
    unknown = 'carries no digest, and no manifest beside it names it'
    assert problems(tmp_path / 'mine') == {'mine': unknown}
    found = {'pipe.json': 'is not there, but set.json names it', 300 * 'x': 'cannot be read (File name too long)'}
    assert problems(tmp_path / 'set.json') == found
    assert problems(tmp_path) == {'mine': unknown, **found}
    assert problems(Path('/proc/kmsg')) in ({'kmsg': 'is empty'}, {'kmsg': 'is not there'})


def test_folders_may_lie_deeper_than_the_stack_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        Path('d').mkdir()
        os.chdir('d')
    Path('x').write_bytes(b'x')
    os.chdir(tmp_path)
    found = list(problems(Path('d')))
    subprocess.run(['rm', '-r', 'd'], check=True)  # pytest's own way of doing so is recursive
    assert found == ['x']


def test_a_name_that_no_file_can_have_is_one_that_cannot_be_read() -> None:
    assert main(['verify', 'x' * 5000]) == 3


def test_folders_without_manifests_are_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (tmp_path / f'{number}.json').write_text('{}')
        (tmp_path / f'{number}.png').write_bytes(b'x')
    looked: list[Path] = []
    monkeypatch.setattr(digests, 'is_whole', looked.append)
    assert len(problems(tmp_path)) == 40 == len(looked)


@pytest.mark.parametrize('at', [0, 5, BLOCK - len(MARK), BLOCK - 7, BLOCK, BLOCK + 1])
def test_a_sum_is_found_wherever_it_stands(tmp_path: Path, at: int) -> None:
    path = tmp_path / 'a'
    path.write_bytes(at * b'.' + PLACEHOLDER.encode() + b'end')
    seal(path)
    assert is_whole(path)
    require_whole(path)
    with pytest.raises(ScanError, match='a: has no place for its sum'):
        seal(path)
    path.write_bytes(path.read_bytes() + b'.')
    with pytest.raises(ScanError, match='a: is damaged, or not of raki'):
        require_whole(path)
    assert sealed(f'{PLACEHOLDER} {PLACEHOLDER}').startswith(PLACEHOLDER)


def made(path: Path) -> dict[str, Any]:
    """What a file or its manifest tells of how it was made."""
    if path.suffix == '.json':
        told = json.loads(path.read_text())
        return told.get('Reconstruction') or told['manifest']
    told = attributes(path)
    told = json.loads(told['manifest']) if 'manifest' in told else told
    return {name: _plain(value) for name, value in told.items()}


def _plain(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value[:1] in ('[', '{') else value


@pytest.mark.parametrize(
    'name', ['image.h5', 'image.mrd.h5', 'image.json', 'image.png.json', 'image.dcm.json', 'raw.h5', 'raw.cfl.json']
)
def test_manifests_tell_enough_to_repeat(outputs: Path, name: str) -> None:
    told, content = made(outputs / 'a' / name), (outputs / 'a' / 'scan.h5').read_bytes()
    assert told['input'] == [{'name': 'scan.h5', 'bytes': len(content), 'sha256': sha256(content).hexdigest()}]
    assert told['command'] == ('convert' if name.startswith('raw') else 'reconstruct')
    assert {'python', 'raki', 'torch', 'numpy'} <= set(told['versions'])
    if told['command'] == 'reconstruct':
        assert told['options'] | {'method': 'grappa', 'gfactor': True, 'seed': 0} == told['options']
        assert {'n_threads', 'device', 'settings'} <= set(told)
    simulated = made(outputs / 'a' / 'scan.h5')
    assert simulated['options'] | {'seed': 0, 'rate': '2', 'acs': '12', 'phantom': 'head'} == simulated['options']


def test_every_file_that_is_read_is_named_and_no_folder(outputs: Path, tmp_path: Path) -> None:
    mask = tmp_path / 'lines.npy'
    np.save(mask, np.ones(20, bool))
    words = ['reconstruct', str(outputs / 'a' / 'raw.cfl'), '--method', 'zero-filled', '--mask', 'zeros']
    assert main([*words, '-o', str(tmp_path / 'a.h5')]) == 0
    names = [each['name'] for each in made(tmp_path / 'a.h5')['input']]
    assert names == ['raw.cfl', 'raw.hdr', 'raw_noise.cfl', 'raw_noise.hdr']
    words = ['reconstruct', str(outputs / 'a' / 'volume.h5'), '--method', 'zero-filled', '--dataset', 'kspace']
    np.save(mask, np.ones((8, 20), bool))
    words += ['--axes', 'coil,kz,ky,kx', '--mask', str(mask)]
    assert main([*words, '-o', str(tmp_path / 'b.h5')]) == 0
    told = made(tmp_path / 'b.h5')
    assert [each['name'] for each in told['input']] == ['volume.h5', 'lines.npy']
    assert told['options']['mask'] == 'lines.npy'
    folders = {str(tmp_path).encode(), str(outputs).encode()}
    for path in (*tmp_path.iterdir(), *(outputs / 'a').iterdir()):
        assert not [folder for folder in folders if folder in path.read_bytes()], path.name


def write_set(path: Path, value: float, n_images: int = 3) -> None:
    """A set of images of one value, with g-factors and k-space."""
    with reconstruction_writer(path, n_images) as writer:
        for number in range(n_images):
            image = torch.full((5, 4), value)
            kspace = random_kspace(2, 5, 4, seed=number) * value
            writer.put(number, OutputImage(image * (1 + number), Place(number), kspace, image + 1))
        writer.describe({'method': f'{value}'})


class Killed(BaseException):
    """Nothing is done after it, but to remove temporary files, which nobody looks at."""


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list of one number: how many files are put in place before the program is killed."""
    left, replace = [10**6], Path.replace

    def counted(path: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return replace(path, target)

    monkeypatch.setattr(Path, 'replace', counted)
    return left


@pytest.mark.parametrize('suffix', ['.nii.gz', '.dcm', '.png', '.cfl'])
def test_a_set_that_is_partly_new_is_found(tmp_path: Path, suffix: str, killed_at: list[int]) -> None:
    """Killed before any of its files is put in place: all as before, or nothing that passes for whole."""
    target, n_mixed = tmp_path / f'a{suffix}', 0
    for number in range(100):
        killed_at[0] = 10**6
        write_set(target, 1.0)
        before, killed_at[0] = contents(tmp_path), number
        try:
            write_set(target, 2.0)
        except Killed:
            is_mixed = contents(tmp_path) != before
            n_mixed += is_mixed
            assert bool(problems(tmp_path)) == is_mixed
            for path in tmp_path.iterdir():
                assert bool(problems(path)) == is_mixed
        else:
            break
    assert n_mixed >= 2
    assert problems(tmp_path) == {}


def test_frames_in_files_of_their_own_are_one_set(tmp_path: Path, killed_at: list[int]) -> None:
    read = Scan(random_kspace(1, 2, 6, 5), torch.ones(6, dtype=torch.bool))
    scan = ScanFile('toy', 'toy', (1, 2, 6, 5), lambda _slab, _frame: read, [Frame(0), Frame(1)])
    convert(scan, tmp_path / 'a.h5')
    assert {path.name for path in tmp_path.iterdir()} == {
        'a.h5.json', 'a_repetition000.h5', 'a_repetition001.h5',
    }  # fmt: skip
    assert problems(tmp_path) == {}
    killed_at[0] = 1
    with pytest.raises(Killed):
        convert(scan, tmp_path / 'a.h5', manifest={'options': 2})
    assert problems(tmp_path) == {'a_repetition000.h5': 'is not what a.h5.json names'}


@pytest.mark.parametrize('suffix', ['.h5', '.dcm', '.cfl'])
def test_writers_of_one_set_do_not_mix(tmp_path: Path, suffix: str) -> None:
    """Twenty at once; a whole set of one of them remains."""
    values, failed = [float(value) for value in range(1, 21)], []
    start = threading.Barrier(len(values))

    def write(value: float) -> None:
        try:
            start.wait()
            write_set(tmp_path / f'a{suffix}', value, 4)
        except Exception as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=write, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert problems(tmp_path) == {}
    assert not list(tmp_path.glob('.*'))


def test_a_manifest_of_another_name_covers_its_set(tmp_path: Path) -> None:
    """As those of comparisons and batches do; a damaged one covers nothing."""
    page, manifest = tmp_path / 'page.html', tmp_path / 'results.json'
    with replacing_all(manifest) as new_files:
        new_files(page).write_text('page')
        new_files.describe(manifest, {'command': 'compare'})
    (tmp_path / 'folder.json').mkdir()
    os.mkfifo(tmp_path / 'pipe.json')
    assert problems(page) == problems(manifest) == problems(tmp_path) == {}
    page.write_text('pale')
    assert problems(page)['page.html'] == 'is not what results.json names'
    page.write_text('page')
    manifest.write_text(manifest.read_text().replace('compare', 'compose'))
    assert problems(page) == {'page.html': 'carries no digest, and no manifest beside it names it'}
    assert set(problems(tmp_path)) == {'page.html', 'results.json'}


def test_a_folder_may_be_deep_and_is_not_searched_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path
    for _ in range(sys.getrecursionlimit() + 50):
        (folder := folder / 'a').mkdir()
    (folder / 'b.txt').write_text('mine')
    (folder / '.hidden').write_text('mine')
    assert [each.path for each in verify(tmp_path)] == [folder / 'b.txt']
    monkeypatch.setattr('raki.data.digests.MOST_FILES', 2)
    (tmp_path / 'wide').mkdir()
    for number in range(4):
        (tmp_path / 'wide' / str(number)).touch()
    with pytest.raises(ScanError, match='holds more than 2 files: name the folders'):
        verify(tmp_path / 'wide')
    for path in (folder / 'b.txt', folder / '.hidden'):
        path.unlink()
    while folder != tmp_path:  # pytest cannot remove it
        folder.rmdir()
        folder = folder.parent
