"""A new method, a new format and a new figure of merit are one entry in the list that architecture.md names."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import h5py
import numpy as np
import pytest
import torch

from raki.cli import main
from raki.commands.catalogue import METHODS
from raki.data import load
from raki.data.generic import DatasetLayout
from raki.data.load import Reader, in_hdf5, load_scan
from raki.data.scan import Scan, ScanFile
from raki.evaluation import metrics
from raki.evaluation.metrics import Figure
from raki.interpolation.calibration import Calibration, Learnt, Progress
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood
from tests.toys import attributes, stored


@dataclass(frozen=True)
class Nearest:
    """Every missing sample is the one next to it on the lattice, times a factor."""

    factor: float = 0.5

    def smallest(self, calibration: Calibration) -> Neighbourhood:
        """Two lines and one sample, on two partitions of a volume."""
        return calibration.neighbourhood(Kernel(lines=2, readout=1))

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Nothing: the factor is known."""
        progress(1, 1)
        around = self.smallest(calibration)
        return Learnt(self._nearest, around, regularization=1e-3, n_equations=1, n_unknowns=1)

    def _nearest(self, lines: torch.Tensor, cells: Cells) -> torch.Tensor:
        around = cells.neighbourhood
        source = lines[:, cells.sources[:, around.sources.index((0,) * len(around.sources[0]))]]
        return self.factor * source[:, None].expand(-1, len(around.targets), -1, -1)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A small fully sampled scan."""
    path = tmp_path / 'scan.h5'
    assert main(['simulate', '-o', str(path), '--matrix', '32x24', '--coils', '4']) == 0
    return path


@pytest.mark.parametrize(
    'words',
    [['--matrix', '32x24', '--rate', '2', '--acs', '12'], ['--matrix', '8x16x12', '--rate', '2x2', '--acs', '4x8']],
    ids=['slices', 'volume'],
)
def test_a_new_method_is_its_file_and_a_line_of_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """On every geometry, in both commands, in Python, and in the message that lists methods."""
    monkeypatch.setitem(METHODS, 'mine', Nearest())
    path, output = tmp_path / 'half.h5', tmp_path / 'out.h5'
    assert main(['simulate', '-o', str(path), '--coils', '4', *words]) == 0
    assert main(['reconstruct', str(path), '-o', str(output), '--method', 'mine', '--kspace']) == 0
    assert json.loads(attributes(output)['settings']) == {'factor': 0.5}
    found = load_scan(path)
    if found.n_phase_axes == 1:
        kspace, lines = stored(output, 'kspace')[0], found.kspace[0].mT
        np.testing.assert_allclose(kspace[..., 3], 0.5 * lines[..., 2].numpy(), rtol=1e-5)


def test_the_conformance_suite_finds_a_new_method() -> None:
    """Without a word of it in the tests."""
    command = """
        import sys, pytest
        from raki.commands.catalogue import METHODS
        from tests.test_extension import Nearest
        METHODS['mine'] = Nearest()
        del sys.modules['tests.toys']
        sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-k', 'mine', FILE]))
    """
    path = str(Path(__file__).with_name('test_conformance.py'))
    done = subprocess.run(
        [sys.executable, '-c', dedent(command).replace('FILE', repr(path))],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r'(\d+) passed', done.stdout)[0]) > 10


def test_a_new_method_is_compared(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(METHODS, 'mine', Nearest())
    words = ['--rates', '2', '--acs', '12', '--replicas', '2', '--methods', 'grappa', 'mine', str(scan)]
    assert main(['compare', '-o', str(tmp_path / 'out'), *words]) == 0
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert [row['method'] for row in results['rows']] == ['grappa', 'mine']
    assert results['settings']['methods']['mine'] == {'factor': 0.5}
    assert 'mine' in capsys.readouterr().out
    assert main(['reconstruct', str(scan), '-o', str(tmp_path / 'no.h5'), '--method', 'his']) == 2
    assert 'iraki, mine' in capsys.readouterr().err


def open_mine(path: str, _layout: DatasetLayout | None, _mask: str | None) -> ScanFile:
    """Real and imaginary part apart, axes (slice, coil, ky, kx); lines of zeros were not measured."""

    def read_slab(index: int, _repetition: int) -> Scan:
        with h5py.File(path) as file:
            kspace = torch.complex(*(torch.from_numpy(np.asarray(file[part])[index]) for part in ('real', 'imaginary')))
        return Scan(kspace[None], (kspace != 0).any(0).any(-1))

    with h5py.File(path) as file:
        shape = tuple(np.asarray(file['real']).shape)
    return ScanFile(path, 'two real datasets', shape, read_slab)


def test_a_new_format_is_its_reader_and_a_line_of_readers(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recognised by its content, and listed where a file is in no format."""
    path, kspace = tmp_path / 'mine.h5', load_scan(scan).kspace
    with h5py.File(path, 'w') as file:
        file['real'], file['imaginary'] = kspace.real.numpy(), kspace.imag.numpy()
    assert main(['info', str(path)]) == 3
    parts = {'real', 'imaginary'}
    mine = Reader('mine (datasets "real" and "imaginary")', in_hdf5(lambda file: parts <= set(file)), open_mine)
    monkeypatch.setattr(load, 'READERS', [*load.READERS, mine])
    assert torch.equal(load_scan(path).kspace, kspace)
    capsys.readouterr()
    assert main(['info', str(path), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['format'] == 'two real datasets'
    assert main(['reconstruct', str(path), '-o', str(tmp_path / 'out.h5')]) == 0
    with h5py.File(tmp_path / 'empty.h5', 'w'):
        pass
    assert main(['info', str(tmp_path / 'empty.h5')]) == 3
    assert 'mine (datasets "real" and "imaginary")' in capsys.readouterr().err


def test_a_new_figure_is_one_entry_of_metrics(scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON and page find it there."""
    largest = Figure(
        'largest_error',
        'largest error',
        lambda of: float((of.image - of.true_image).abs().max() / of.true_image.max()),
        'of all pixels, over the maximum of the reference',
        digits=5,
        best='low',
        under='error',
    )
    monkeypatch.setattr(metrics, 'FIGURES', (*metrics.FIGURES, largest))
    words = ['--rates', '2', '--acs', '12', '--replicas', '0', '--methods', 'zero-filled']
    assert main(['compare', str(scan), '-o', str(tmp_path / 'out'), *words]) == 0
    [row] = json.loads((tmp_path / 'out' / 'results.json').read_text())['rows']
    assert 0 < row['largest_error'] < 1
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert 'largest error' in page
    assert 'of all pixels, over the maximum of the reference' in page
    assert str(row['largest_error']) in page
