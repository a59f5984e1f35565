"""Masks whose gaps differ at the command line: what files with them are told to be, filled in, and compared on."""

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from raki.cli import main
from raki.commands.inputs import UsageError, drawn_mask
from raki.data.masks import Drawn, equispaced_fraction
from tests.toys import point_sources, random_kspace, stored

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope='module')
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gaps that differ, in a k-space padded with zeros that the mask knows nothing of."""
    path = tmp_path_factory.mktemp('uneven') / 'uneven.h5'
    mask, kspace = equispaced_fraction(76, 3, 0.16, 2).numpy(), np.zeros((1, 6, 40, 76), dtype=np.complex64)
    kspace[..., 8:71] = point_sources(9, 6, 40, 63).numpy()
    with h5py.File(path, 'w') as file:
        file['kspace'], file['mask'] = np.where(mask, kspace, 0), mask
    return path


@pytest.fixture(scope='module')
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fully sampled scan."""
    path = tmp_path_factory.mktemp('full') / 'scan.h5'
    assert main(['simulate', '-o', str(path), '--matrix', '96x40', '--coils', '6', '--slices', '1']) == 0
    return path


def compared(scan: Path, folder: Path, *words: str) -> int:
    return main(['compare', str(scan), '-o', str(folder), '--replicas', '0', *words])


def test_info_tells_gaps_that_differ(uneven: Path, capsys: Capture) -> None:
    assert main(['info', str(uneven), '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    [repetition] = found['repetitions']
    assert re.fullmatch(r'(\d \(1x\), )*4 \(\dx\), 5 \(\dx\)', repetition['gaps'])
    assert repetition['acs'] == 'lines 32 to 43'
    assert repetition['problem'] is None
    assert 10 < repetition['empty_lines'] < 18
    assert found['grappa_kernel'] in {'2x5', '2x7'}


def test_info_names_what_takes_gaps_that_the_acs_does_not_hold(tmp_path: Path, capsys: Capture) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['kspace'] = random_kspace(1, 3, 20, 50).numpy()
        file['mask'] = np.isin(np.arange(50), [0, 7, 15, 22, 23, 24, 25, 32, 40, 47])
    assert main(['info', str(tmp_path / 'a.h5'), '--json']) == 0
    problem = json.loads(capsys.readouterr().out)['repetitions'][0]['problem']
    assert problem.startswith('a gap of 8 needs 9 ACS lines, got 4: the methods spirit and sparse')


@pytest.mark.parametrize('method', ['grappa', 'gated', 'spirit'])
def test_gaps_that_differ_and_padding_are_reconstructed(uneven: Path, tmp_path: Path, method: str) -> None:
    output = tmp_path / 'out.h5'
    assert main(['reconstruct', str(uneven), '-o', str(output), '--method', method, '--kspace']) == 0
    filled, kspace = stored(output, 'kspace'), stored(uneven, 'kspace')
    measured = (kspace != 0).any((0, 1, 2))
    np.testing.assert_array_equal(filled[..., measured], kspace[..., measured])
    is_filled = (filled != 0).any((0, 1, 2))
    assert is_filled[measured.argmax() : 76 - measured[::-1].argmax()].all()
    assert not is_filled[:3].any()


def test_a_comparison_says_which_mask_was_drawn(full: Path, tmp_path: Path) -> None:
    """0.32 / 3 of 96 lines are 10."""
    words = '--mask', 'equispaced_fraction:3', '--rates', '3', '--methods', 'zero-filled', 'grappa', 'gated', 'spirit'
    assert compared(full, tmp_path, *words) == 0
    results = json.loads((tmp_path / 'results.json').read_text())
    assert results['settings']['mask'] == {
        'name': 'equispaced_fraction', 'seed': 3, 'centre_fractions': {'3': 0.32 / 3}
    }  # fmt: skip
    assert results['settings']['acs'] == [10]
    assert 'equispaced_fraction' in results['settings']['lattice']
    rows = {row['method']: row for row in results['rows']}
    measured = Drawn('equispaced_fraction', 3).lines(96, 3)
    assert {(row['rate'], row['acs']) for row in rows.values()} == {(3, 10)}
    assert rows['grappa']['net_acceleration'] == pytest.approx(96 / int(measured.sum()))
    assert rows['grappa']['ghost_index'] is None
    assert rows['grappa']['nrmse_object'] < 0.8 * rows['zero-filled']['nrmse_object']
    assert 'equispaced_fraction' in (tmp_path / 'report.html').read_text()


def test_a_lattice_has_no_drawn_mask_in_its_results(full: Path, tmp_path: Path) -> None:
    assert compared(full, tmp_path, '--rates', '2', '--methods', 'zero-filled') == 0
    assert json.loads((tmp_path / 'results.json').read_text())['settings']['mask'] is None


@pytest.mark.parametrize(
    ('words', 'code', 'message'),
    [
        (
            ('--mask', 'random', '--rates', '4', '--methods', 'spirit', 'gated'),
            3,
            'gated at R=4, ACS 8: .* spirit',
        ),
        (('--mask', 'equispaced_fraction', '--rates', '8', '--methods', 'grappa'), 3, r'grappa at R=8, ACS 4: gaps of'),
        (
            ('--mask', 'equispaced_fraction', '--rates', '4', '--methods', 'raki'),
            3,
            'raki at R=4, ACS 8: .* grappa',
        ),
        (('--mask', 'magic', '--acs', '24', '--methods', 'grappa'), 2, '--mask magic has a centre of its own.*--acs'),
    ],
)
def test_what_a_drawn_mask_cannot_be_asked_is_named_before_any_work(
    full: Path, tmp_path: Path, capsys: Capture, words: tuple[str, ...], code: int, message: str
) -> None:
    assert compared(full, tmp_path / 'out', *words) == code
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / 'out').exists()


def test_random_lines_are_compared_by_methods_that_take_any(full: Path, tmp_path: Path) -> None:
    assert compared(full, tmp_path, '--mask', 'random', '--rates', '3', '--methods', 'zero-filled', 'spirit') == 0
    rows = {row['method']: row for row in json.loads((tmp_path / 'results.json').read_text())['rows']}
    assert rows['spirit']['nrmse_object'] < rows['zero-filled']['nrmse_object']


def test_words_that_draw_nothing_name_datasets() -> None:
    assert drawn_mask('random:12', None) == Drawn('random', 12)
    assert drawn_mask('magic', []) == Drawn('magic', 0)
    assert [drawn_mask(word, ['24']) for word in (None, 'zeros', '/masks/random', 'random:one')] == [None] * 4
    with pytest.raises(UsageError, match='leave out --acs'):
        drawn_mask('random', ['24'])


def test_volumes_are_not_drawn(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / 'volume.h5'
    assert main(['simulate', '-o', str(path), '--matrix', '12x24x20', '--coils', '4']) == 0
    assert compared(path, tmp_path / 'out', '--mask', 'random', '--rates', '2x2', '--methods', 'spirit') == 3
    assert 'random draws lines of slices at a rate such as 4, got 2x2 for 2 phase axes' in capsys.readouterr().err
