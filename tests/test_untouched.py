"""What a command is given it leaves as it is, and nothing beside its output changes."""

import json
import os
from hashlib import sha256
from pathlib import Path

import h5py
import pytest

from raki.cli import app, main
from raki.commands.job import Job
from raki.commands.reconstruct import reconstruct_file
from raki.commands.settings import Settings
from raki.data.load import open_scan
from raki.data.save import OutputImage
from raki.data.scan import Scan
from raki.data.simulate import Simulation
from raki.errors import ScanError
from raki.interpolation.calibration import silent

Capture = pytest.CaptureFixture[str]

NO_INPUT = {'batch_part', 'serve', 'stream', 'worker'}
"""Commands that read no file of their own: what a worker is told to read, its batch names."""

COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    'demo': (['demo', '-o', 'made/demo'], ['made/demo']),
    'info': (['info', 'half.h5'], []),
    'reconstruct': (['reconstruct', 'half.h5', '-o', 'made/out.h5', '--method', 'grappa'], ['made/out.h5']),
    'convert': (['convert', 'half.h5', 'made/out.mrd.h5'], ['made/out.mrd.h5']),
    'compare': (
        [
            'compare',
            'full.h5',
            '-o',
            'made/out',
            '--rates',
            '2',
            '--methods',
            'grappa',
            '--acs',
            '12',
            '--replicas',
            '0',
        ],
        ['made/out'],
    ),
    'benchmark': (
        [
            'benchmark',
            'full.h5',
            '-o',
            'made/out',
            '--rates',
            '2',
            '--acs',
            '12',
            '--methods',
            'grappa',
            '--peers',
            'none',
            '--replicas',
            '0',
        ],
        ['made/out'],
    ),
    'view': (['view', 'images.h5', '-o', 'made/out.html', '--no-open'], ['made/out.html']),
    'verify': (['verify', 'images.h5'], []),
    'batch': (['batch', 'half.h5', '-o', 'made/batch', '--method', 'zero-filled'], ['made/batch']),
    'simulate': (['simulate', '-o', 'made/out.h5', '--matrix', '32x24', '--coils', '4'], ['made/out.h5']),
}
"""Words of every command, and what it may make; in folders, anything."""


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a folder: kind and permissions, time of the last change, and content; of folders only that."""
    found = {}
    for path in folder.rglob('*'):
        status = path.lstat()
        content = sha256(path.read_bytes()).hexdigest() if path.is_file() else ''
        found[str(path.relative_to(folder))] = status.st_mode, content, status.st_mtime_ns if path.is_file() else 0
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with scans, images, and files that are nobody's business."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('raki.commands.demo.SCAN', Simulation((32, 24), n_coils=4))  # else it takes a minute
    monkeypatch.setattr('raki.commands.demo.RATES', ('2',))
    monkeypatch.setattr('raki.commands.demo.ACS', ('12',))
    size = ['--matrix', '32x24', '--coils', '4']
    assert main(['simulate', '-o', 'full.h5', *size]) == 0
    assert main(['simulate', '-o', 'half.h5', *size, '--rate', '2', '--acs', '12']) == 0
    assert main(['reconstruct', 'half.h5', '-o', 'images.h5', '--method', 'zero-filled']) == 0
    for name in ('other.txt', '.hidden', '.other.h5.part', 'made/mine.h5'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / 'link.h5').symlink_to('half.h5')
    (tmp_path / 'half.h5').chmod(0o640)
    (tmp_path / 'full.h5').chmod(0o400)
    return tmp_path


def test_every_command_is_here() -> None:
    names = {each.name or getattr(each.callback, '__name__', '') for each in app.registered_commands}
    assert names == set(COMMANDS) | NO_INPUT


def outermost(names: set[str]) -> set[str]:
    """Those that lie in no folder among them."""
    return {name for name in names if not any(str(folder) in names for folder in Path(name).parents)}


@pytest.mark.parametrize('command', COMMANDS)
def test_inputs_and_everything_beside_the_output_stay_as_they_are(place: Path, command: str) -> None:
    words, made = COMMANDS[command]
    before = state(place)
    assert main(words) == 0
    after = state(place)
    assert {name: after.get(name) for name in before} == before
    assert sorted(outermost(set(after) - set(before))) == sorted(made)
    assert main(words) == 0  # once more, over its own output
    assert outermost(set(state(place))) == outermost(set(after))
    assert {name: state(place)[name] for name in before} == before


@pytest.mark.parametrize('command', sorted(set(COMMANDS) - {'demo', 'simulate', 'batch'}))
def test_a_command_that_fails_changes_nothing(place: Path, command: str, capsys: Capture) -> None:
    """The scan is cut off in the middle of its samples."""
    words, _ = COMMANDS[command]
    damaged = place / words[1]
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:1500])
    before = state(place)
    capsys.readouterr()
    assert main(words) == 3
    said = capsys.readouterr().err.strip().splitlines()
    assert [line for line in said if line.startswith('raki: ')] == said[-1:]
    assert state(place) == before


HOSTILE = [
    '../../evil',
    '/tmp/evil',
    '..\\..\\evil',
    'a\x1b[31mb',
    'a\nb',
    '~/evil',
    '$(touch evil)',
    '<script>alert(1)</script>',
    'a' * 300,
]


@pytest.mark.parametrize('text', HOSTILE)
def test_texts_in_files_never_decide_where_something_is_written(place: Path, text: str) -> None:
    """Of a scan and of images that are viewed."""
    for name in ('half.h5', 'images.h5'):
        with h5py.File(place / name, 'r+') as file:
            for attribute in ('patient_id', 'source', 'source_file', 'acquisition', 'method', 'notes'):
                file.attrs[attribute] = json.dumps([text]) if attribute == 'notes' else text
    for command in ('reconstruct', 'convert', 'view'):
        words, made = COMMANDS[command]
        before, around = state(place), sorted(place.parent.iterdir())
        assert main(words) == 0
        after = state(place)
        assert sorted(set(after) - set(before)) == sorted(made)
        assert {name: after[name] for name in before} == before
        assert sorted(place.parent.iterdir()) == around


@pytest.mark.parametrize(
    'name', ['../out.h5', 'made/../out.h5', 'a\x1b[31mb.h5', '$(touch evil).h5', '-o.h5', 'a b\n.h5', '%s.h5']
)
def test_a_strange_name_of_a_scan_is_only_a_name(place: Path, capsys: Capture, name: str) -> None:
    """The output lies in the current folder, whatever the path of the scan."""
    folder = place / 'deep'
    folder.mkdir()
    os.chdir(folder)
    source = Path(name)
    (folder / 'made').mkdir()
    source.write_bytes((place / 'half.h5').read_bytes())
    capsys.readouterr()
    assert main(['reconstruct', '--method', 'zero-filled', '--', name]) == 0
    assert '\x1b' not in capsys.readouterr().out
    assert Path(f'{source.stem}.raki.h5').is_file()
    assert not list(place.rglob('evil'))


INTO_FOLDERS = {'batch', 'benchmark', 'compare', 'demo'}


@pytest.mark.parametrize('command', sorted(set(COMMANDS) - {'info', 'simulate', 'verify'} - INTO_FOLDERS))
@pytest.mark.parametrize('alias', ['same', 'link', 'hard link', 'dotted'])
def test_an_output_that_is_the_input_is_refused(place: Path, command: str, alias: str, capsys: Capture) -> None:
    words, [made] = COMMANDS[command]
    suffix = '.mrd.h5' if command == 'convert' else '.h5'
    source = place / f'source{suffix}'
    source.write_bytes((place / words[1]).read_bytes())
    names = {
        'same': source,
        'link': place / f'l{suffix}',
        'hard link': place / f'h{suffix}',
        'dotted': place / 'made' / '..' / source.name,
    }
    output = names[alias]
    if alias == 'link':
        output.symlink_to(source)
    elif alias == 'hard link':
        os.link(source, output)
    before = state(place)
    capsys.readouterr()
    code = main([str(output) if word == made else str(source) if word == words[1] else word for word in words])
    after = state(place)
    assert after[source.name] == before[source.name]
    if alias != 'hard link':  # another name, which may be put elsewhere without a change to the scan
        assert code == 2
        assert after == before


def test_a_mask_that_is_read_is_no_output(place: Path, capsys: Capture) -> None:
    with h5py.File(place / 'half.h5') as scan, h5py.File(place / 'lines.h5', 'w') as lines:
        lines['mask'] = scan['mask'][()]  # pyright: ignore[reportIndexIssue]
    before = state(place)
    for words in (['reconstruct', 'half.h5', '-o', 'lines.h5'], ['convert', 'half.h5', 'made/../lines.h5']):
        capsys.readouterr()
        assert main([*words, '--mask', 'lines.h5']) == 2
        assert 'lines.h5 is the input: choose another name' in capsys.readouterr().err
    assert state(place) == before


@pytest.mark.parametrize('suffix', ['.nii', '.nii.gz'])
def test_a_sidecar_of_somebody_else_stays(place: Path, suffix: str, capsys: Capture) -> None:
    """In data sets of BIDS a JSON of this name may be there, with what the scanner said; our own is replaced."""
    sidecar = place / 'made' / 'T1w.json'
    sidecar.write_text('{"EchoTime": 0.01}')
    words = ['reconstruct', 'half.h5', '-o', f'made/T1w{suffix}', '--method', 'zero-filled']
    before = state(place)
    capsys.readouterr()
    assert main(words) == 2
    assert 'T1w.json is there, and carries no sum of raki' in capsys.readouterr().err
    assert state(place) == before
    sidecar.unlink()
    assert main(words) == 0
    assert main(words) == 0


@pytest.mark.parametrize('command', ['compare', 'benchmark'])
def test_results_of_others_stay(place: Path, command: str, capsys: Capture) -> None:
    name = 'results.json' if command == 'compare' else 'benchmark.json'
    (place / 'made' / name).write_text('{"mine": 1}')
    before = state(place)
    words = ['made' if word == 'made/out' else word for word in COMMANDS[command][0]]
    assert main(words) == 2
    assert f'{name} is there, and carries no sum of raki' in capsys.readouterr().err
    assert state(place) == before


def test_a_demonstration_replaces_no_scan_of_others(place: Path, capsys: Capture) -> None:
    with h5py.File(place / 'made' / 'scan.h5', 'w') as file:
        file['kspace'] = 3
    before = state(place)
    assert main(['demo', '-o', 'made']) == 2
    assert 'scan.h5 is there, and was not simulated' in capsys.readouterr().err
    assert state(place) == before


@pytest.mark.parametrize('change', ['written', 'gone'])
def test_a_scan_that_changes_while_it_is_read_gives_no_image(place: Path, change: str) -> None:
    """Slices would be of two scans, and the sum in the manifest that of neither."""

    def watch(_scan: Scan, _image: OutputImage) -> None:
        os.utime(place / 'half.h5', ns=(0, 0)) if change == 'written' else (place / 'half.h5').unlink()

    job = Job(Settings(method='zero-filled'))
    with pytest.raises(ScanError, match=r'half.h5: was changed while it was read'):
        reconstruct_file(open_scan('half.h5'), Path('made/out.h5'), job, lambda _name: silent, watch=watch)
    assert [path.name for path in (place / 'made').iterdir()] == ['mine.h5']
