"""The command: what it writes, what it says, how it ends."""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from raki.cli import main
from raki.coils.noise import noise_covariance
from raki.commands.demo import FULL, QUICK, comparison
from raki.commands.inputs import method_names
from raki.commands.words import repeated
from raki.consistency.sparse import Sparse
from raki.consistency.spirit import Spirit
from raki.data.load import load_scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation.compare import has_seed, with_seed
from raki.evaluation.noise_maps import analytic_noise_map
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.settings import setting_of
from raki.networks.gated import Gated
from raki.networks.training import LOSSES
from raki.pipeline import COMBINATION_WEIGHTS, COMBINATIONS, reconstruct
from tests.toys import attributes, random_kspace, stored

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A small fully sampled scan with noise samples and truth."""
    path = tmp_path / 'scan.h5'
    assert main(['simulate', '-o', str(path), '--matrix', '48x40', '--coils', '6', '--slices', '2']) == 0
    return path


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """The same, undersampled."""
    path = tmp_path / 'half.h5'
    words = ['simulate', '-o', str(path), '--matrix', '48x40', '--coils', '6', '--slices', '2', '--rate', '2']
    assert main([*words, '--acs', '16']) == 0
    return path


def failure(words: list[str], capsys: Capture) -> tuple[int, str]:
    """Exit code and message of a command that must fail with one line and without output on stdout."""
    capsys.readouterr()
    code = main(words)
    captured = capsys.readouterr()
    assert captured.out == ''
    message = captured.err.strip().splitlines()[-1]
    assert message.startswith('raki: ')
    assert 'Traceback' not in captured.err
    return code, message


def test_help_comes_in_under_a_second() -> None:
    """Best of three: nothing heavy is imported for it."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        found = subprocess.run([sys.executable, '-m', 'raki.cli', '--help'], check=True, capture_output=True, text=True)
        times.append(time.perf_counter() - start)
        assert 'reconstruct' in found.stdout
    assert min(times) < 1


def test_help_imports_neither_torch_nor_h5py() -> None:
    heavy = {'torch', 'h5py', 'numpy', 'nibabel', 'pydicom'}
    code = f"import sys; from raki.cli import main; main(['--help']); assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True)


def test_info_tells_what_is_in_a_file(half: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert main(['info', str(half), '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['shape'] == {'slice': 2, 'coil': 6, 'ky': 48, 'kx': 40}
    assert found['noise_samples'] == 4096
    [repetition] = found['repetitions']
    assert (repetition['acceleration'], repetition['acs'], repetition['problem']) == (2, 'lines 16 to 32', None)
    assert found['noise_of_acs'] == pytest.approx(found['noise_of_samples'], rel=0.1)
    assert found['grappa_kernel'] in {'2x5', '2x7'}
    assert found['grappa_regularization'] > 0
    assert main(['info', str(half)]) == 0
    table = capsys.readouterr().out
    assert re.search(r'acceleration\s*│ 2', table)


def test_info_tells_the_memory_that_a_reconstruction_needs(half: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert main(['info', str(half), '--json']) == 0
    assert 1 < json.loads(capsys.readouterr().out)['memory_needed_gb'] < 2


def test_info_names_a_problem_instead_of_failing(tmp_path: Path, capsys: Capture) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['kspace'] = random_kspace(1, 3, 20, 30).numpy()
        file['mask'] = np.isin(np.arange(30), [0, 3, 7, 12, 20])
    assert main(['info', str(tmp_path / 'a.h5'), '--json']) == 0
    assert 'evenly spaced' in json.loads(capsys.readouterr().out)['repetitions'][0]['problem']


@pytest.mark.parametrize('method', ['zero-filled', 'grappa'])
@pytest.mark.parametrize('combine', ['rss', 'walsh', 'espirit'])
def test_reconstruct_writes_images_and_how_they_came_about(
    half: Path, tmp_path: Path, method: str, combine: str
) -> None:
    output = tmp_path / 'out.h5'
    assert (
        main(['reconstruct', str(half), '-o', str(output), '--method', method, '--combine', combine, '--kspace']) == 0
    )
    assert stored(output, 'reconstruction').shape == (2, 48, 40)
    mask, found = stored(half, 'mask'), attributes(output)
    np.testing.assert_array_equal(stored(output, 'kspace')[..., mask], stored(half, 'kspace')[..., mask])
    assert found['image_axes'] == 'image, phase encode, readout'
    assert (found['method'], found['combine'], found['source_file']) == (method, combine, 'half.h5')
    assert json.loads(found['slice']) == [0, 1]
    assert set(json.loads(found['versions'])) >= {'raki', 'torch', 'python'}


@pytest.mark.parametrize('combine', ['rss', 'walsh', 'espirit'])
def test_gfactors_are_written_on_request_as_the_images_are(half: Path, tmp_path: Path, combine: str) -> None:
    """Exact maps of the combination that made the images."""
    output = tmp_path / 'out.h5'
    words = ['reconstruct', str(half), '-o', str(output), '--method', 'grappa', '--gfactor', '--combine', combine]
    assert main(words) == 0
    found = stored(output, 'gfactor')
    assert found.shape == stored(output, 'reconstruction').shape
    scan = load_scan(half)
    result = reconstruct(scan, Grappa(), device=torch.device('cpu'))
    assert scan.noise is not None
    covariance = noise_covariance(scan.noise)
    images = image_from_kspace(result.kspace[1])
    weights = COMBINATION_WEIGHTS[combine](images, covariance)
    torch.testing.assert_close((weights * images).sum(0).abs(), COMBINATIONS[combine](images, covariance))
    expected = analytic_noise_map(result.interpolators[1], covariance, weights).gfactor
    np.testing.assert_allclose(found[1], expected.numpy(), rtol=1e-4)
    assert 'g-factor' not in attributes(output)['notes']


def test_gfactors_without_noise_samples_say_what_they_assume(half: Path, tmp_path: Path) -> None:
    with h5py.File(half, 'r+') as file:
        del file['noise']
    output = tmp_path / 'out.h5'
    assert main(['reconstruct', str(half), '-o', str(output), '--gfactor', '--method', 'zero-filled']) == 0
    n_measured = int(stored(half, 'mask').sum())
    np.testing.assert_allclose(stored(output, 'gfactor'), n_measured / 48, rtol=1e-5)
    assert 'coils are taken to have equal and independent noise' in attributes(output)['notes']


def test_coils_are_compressed_on_request_and_come_back(half: Path, tmp_path: Path) -> None:
    output = tmp_path / 'out.h5'
    assert main(['reconstruct', str(half), '-o', str(output), '--coils', '4', '--kspace']) == 0
    mask, kspace = stored(half, 'mask'), stored(output, 'kspace')
    np.testing.assert_array_equal(kspace[..., mask], stored(half, 'kspace')[..., mask])
    assert np.abs(kspace[..., ~mask]).max(axis=(2, 3)).min() > 0
    values = np.linalg.svd(kspace[0][..., ~mask].reshape(6, -1), compute_uv=False)
    assert values[3] > 1e-3 * values[0]
    assert values[4] < 1e-5 * values[0]
    found = attributes(output)
    assert found['virtual_coils'] == 4
    assert all(0.9 < energy < 1 for energy in json.loads(found['energy_in_virtual_coils']))
    assert {
        'coils whitened by the covariance of 4096 noise samples',
        '6 coils compressed to 4 virtual coils',
    } <= set(json.loads(found['notes']))


def test_info_and_reconstruct_name_faulty_coils(half: Path, tmp_path: Path, capsys: Capture) -> None:
    with h5py.File(half, 'r+') as file:
        for name, axis in (('kspace', 1), ('noise', 0)):
            samples = np.moveaxis(stored(half, name), axis, 0)
            samples[2], samples[5] = 0, samples[4]
            file[name][...] = np.moveaxis(samples, 0, axis)  # type: ignore[index]
    expected = ['coil 2 is dead and left out: its missing lines stay zero', 'coil 5 repeats coil 4: it counts once']
    capsys.readouterr()
    assert main(['info', str(half), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['coils'][:2] == expected
    assert main(['reconstruct', str(half), '-o', str(tmp_path / 'out.h5'), '--method', 'grappa']) == 0
    assert [f'raki: warning: {text}' for text in expected] == capsys.readouterr().err.strip().splitlines()[-2:]
    assert json.loads(attributes(tmp_path / 'out.h5')['warnings']) == expected


def test_chosen_slices_come_in_the_order_asked_for(half: Path, tmp_path: Path) -> None:
    whole, one = tmp_path / 'whole.h5', tmp_path / 'one.h5'
    assert main(['reconstruct', str(half), '-o', str(whole)]) == 0
    assert main(['reconstruct', str(half), '-o', str(one), '--slices', '1', '0']) == 0
    np.testing.assert_array_equal(stored(whole, 'reconstruction')[::-1], stored(one, 'reconstruction'))


def test_a_network_reconstruction_repeats_bit_for_bit(half: Path, tmp_path: Path) -> None:
    found = []
    for name in ('a', 'b'):
        output = tmp_path / f'{name}.h5'
        words = ['reconstruct', str(half), '-o', str(output), '--method', 'raki-complex', '--slice', '0', '--seed', '3']
        assert main(words) == 0
        found.append(stored(output, 'reconstruction'))
    np.testing.assert_array_equal(found[0], found[1])


def test_the_default_output_lies_in_the_current_folder(
    half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['reconstruct', str(half), '--json']) == 0
    assert (tmp_path / 'half.raki.h5').is_file()


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        (['--methods', 'grappa', 'scan'], ['--methods', 'grappa', 'scan']),
        (['--methods', 'grappa', 'gated', 'scan'], ['--methods', 'grappa', '--methods', 'gated', 'scan']),
        (['--methods', 'grappa', 'raki'], ['--methods', 'grappa', '--methods', 'raki']),
        (['--methods', 'grappa', 'grapa'], ['--methods', 'grappa', '--methods', 'grapa']),
        (['--methods', 'grappa', 'no.h5'], ['--methods', 'grappa', 'no.h5']),
        (['--rates', '2x2', '2x3s1', 'scan'], ['--rates', '2x2', '--rates', '2x3s1', 'scan']),
        (['--acs', '24', '16x24', 'scan'], ['--acs', '24', '--acs', '16x24', 'scan']),
        (['--slices', '3', '4', '-o', 'out', 'scan'], ['--slices', '3', '--slices', '4', '-o', 'out', 'scan']),
        (['--slice', '3', '4', 'scan'], ['--slice', '3', '--slice', '4', 'scan']),
        (['--rates', '2,3', 'scan'], ['--rates', '2', '--rates', '3', 'scan']),
        (['--rates=2,3', 'scan'], ['--rates', '2', '--rates', '3', 'scan']),
        (['--rates', '2,', '3', 'scan'], ['--rates', '2', '--rates', '3', 'scan']),
        (['--rates', '2x2,2x3s1', '4', 'scan'], ['--rates', '2x2', '--rates', '2x3s1', '--rates', '4', 'scan']),
        (['--acs', '16,24', '--seeds', '0,1'], ['--acs', '16', '--acs', '24', '--seeds', '0', '--seeds', '1']),
        (['--methods', 'GRAPPA,Gated', 'RAKI'], ['--methods', 'GRAPPA', '--methods', 'Gated', '--methods', 'RAKI']),
        (['--methods', 'grappa', 'a,b'], ['--methods', 'grappa', 'a,b']),
        (['--slices', '0-2', 'scan'], ['--slices', '0', '--slices', '1', '--slices', '2', 'scan']),
        (['--slice=1-1', '4,6-7'], ['--slice', '1', '--slice', '4', '--slice', '6', '--slice', '7']),
        (['--seeds', '8', '0-1', 'scan'], ['--seeds', '8', '--seeds', '0', '--seeds', '1', 'scan']),
        (['--acs', '16-24', 'scan'], ['--acs', '16-24', 'scan']),
        (['--output', '2,3', 'scan'], ['--output', '2,3', 'scan']),
        (['--acs', '2,3', '--', '--rates=2,3'], ['--acs', '2', '--acs', '3', '--', '--rates=2,3']),
        (['simulate', '--acs', '16,24'], ['simulate', '--acs', '16,24']),
    ],
)
def test_a_scan_after_a_list_is_told_from_its_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: list[str]
) -> None:
    """A path that exists is one, dot or not; the name of a method stays one, whatever lies in the folder."""
    monkeypatch.chdir(tmp_path)
    for name in ('scan', 'raki', 'a,b'):
        (tmp_path / name).touch()
    assert repeated(words, method_names) == expected


@pytest.mark.parametrize('text', ['3-0', '0-99999999', '0-10000'])
def test_a_range_goes_up_and_has_an_end(text: str, half: Path, tmp_path: Path, capsys: Capture) -> None:
    code, said = failure(['reconstruct', str(half), '-o', str(tmp_path / 'out.h5'), '--slices', text], capsys)
    assert code == 2
    assert said.endswith(f'a range from the least to the largest such as 0-3, of up to 10000 numbers, got {text}')


@pytest.mark.parametrize(
    'words', [['compare', '--seeds', 'a'], ['compare', '--slices', '0,a'], ['benchmark', '--replicas', 'a']]
)
def test_what_is_no_number_is_repeated(words: list[str], tmp_path: Path, capsys: Capture) -> None:
    code, said = failure([*words, 'scan.h5', '-o', str(tmp_path / 'out')], capsys)
    assert code == 2
    assert "'a'" in said


def test_a_path_instead_of_a_command_is_told_what_describes_it(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path('my scan').touch()
    assert failure(['scan.h5'], capsys) == (2, 'raki: no command scan.h5: did you mean: raki info scan.h5')
    assert failure(['my scan', '--json'], capsys) == (2, "raki: no command my scan: did you mean: raki info 'my scan'")
    assert failure(['inf'], capsys)[1].endswith("Did you mean 'info'?")


def test_names_may_be_in_any_case_and_mean_the_same(half: Path, tmp_path: Path) -> None:
    """So that outputs have the same bytes."""
    words = ['--combine', 'walsh', '--partial-fourier', 'pocs', '--calibration', 'measured', '--spikes', 'drop']
    assert main(['reconstruct', str(half), '-o', str(tmp_path / 'a.h5'), '--method', 'gated', *words]) == 0
    words = [word if word.startswith('-') else word.upper() for word in words]
    assert main(['reconstruct', str(half), '-o', str(tmp_path / 'b.h5'), '--method', 'Gated', *words]) == 0
    assert (tmp_path / 'a.h5').read_bytes() == (tmp_path / 'b.h5').read_bytes()


def test_a_calibration_in_capitals_is_that_calibration(scan: Path, tmp_path: Path) -> None:
    words = ['--rates', '2', '--acs', '16', '--methods', 'grappa', '--replicas', '0', '--slice', '0']
    assert main(['compare', str(scan), '-o', str(tmp_path / 'out'), *words, '--calibration', 'Measured']) == 0
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert results['settings']['methods']['grappa']['calibration'] == 'measured'


def test_a_comparison_names_methods_as_the_catalogue_does(scan: Path, tmp_path: Path) -> None:
    words = ['--rates', '2', '--acs', '16', '--methods', 'GRAPPA,Zero-Filled', '--replicas', '0', '--slice', '0']
    assert main(['compare', str(scan), '-o', str(tmp_path / 'out'), *words]) == 0
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert [row['method'] for row in results['rows']] == ['grappa', 'zero-filled']
    assert list(results['settings']['methods']) == ['grappa', 'zero-filled']


@pytest.mark.parametrize('words', [[], ['reconstruct'], ['compare']])
def test_help_is_asked_for_by_a_letter_or_a_word(capsys: Capture, words: list[str]) -> None:
    capsys.readouterr()
    assert main([*words, '-h']) == 0
    short = capsys.readouterr().out
    assert main([*words, '--help']) == 0
    assert capsys.readouterr().out == short != ''


def test_the_version_is_printed_alone(capsys: Capture) -> None:
    capsys.readouterr()
    assert main(['--version']) == 0
    assert capsys.readouterr() == (f'raki {version("raki")}\n', '')


def test_shells_complete_commands_options_and_methods() -> None:
    """As bash asks: with the words so far in the environment, of the command by its name."""
    code = "import sys; sys.argv = ['raki']; from raki.cli import main; main()"
    for words, expected in (
        ('raki reco', ['reconstruct']),
        ('raki compare --rat', ['--rates']),
        ('raki reconstruct --method zero', ['zero-filled']),
        ('raki reconstruct --method e', []),
        ('raki compare --methods e', ['espirit']),
        ('raki serve --method ga', ['gated']),
        ('raki compare --methods raki', ['raki', 'raki-complex']),
        ('raki benchmark --methods plain', ['plain-grappa']),
    ):
        asked = {'_RAKI_COMPLETE': 'complete_bash', 'COMP_WORDS': words, 'COMP_CWORD': str(words.count(' '))}
        found = subprocess.run(
            [sys.executable, '-c', code], env=os.environ | asked, check=False, capture_output=True, text=True
        )
        assert found.stdout.split() == expected


def test_a_fully_sampled_scan_says_that_nothing_was_filled_in(
    scan: Path, half: Path, tmp_path: Path, capsys: Capture
) -> None:
    expected = 'nothing was filled in: all lines of the acquired range were measured'
    capsys.readouterr()
    assert main(['reconstruct', str(scan), '-o', str(tmp_path / 'out.h5')]) == 0
    assert capsys.readouterr().out.strip() == f'{tmp_path}/out.h5: 2 image(s); {expected}'
    assert expected in json.loads(attributes(tmp_path / 'out.h5')['notes'])
    assert main(['reconstruct', str(half), '-o', str(tmp_path / 'out.h5'), '--slice', '0']) == 0
    assert re.search(r'out.h5: 1 image\(s\) by gated, fit .* s, fill .* s$', capsys.readouterr().out.strip())
    assert expected not in json.loads(attributes(tmp_path / 'out.h5')['notes'])
    for path, is_whole in ((scan, True), (half, False)):
        assert main(['info', str(path), '--json']) == 0
        verdict = json.loads(capsys.readouterr().out)['verdict']
        assert verdict == 'ready' + ': nothing to fill in, all lines of the acquired range were measured' * is_whole


def test_frames_that_were_measured_whole_are_counted(tmp_path: Path, capsys: Capture) -> None:
    """Of two repetitions the first is fully sampled."""
    masks = np.stack([np.ones(48, bool), np.arange(48) % 2 == 0])
    masks[1, 16:32] = True
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['kspace'] = random_kspace(2, 4, 48, 32).numpy() * masks[:, None, :, None]
        file['mask'] = masks
        file['kspace'].attrs['axes'] = 'repetition,coil,ky,kx'
    assert main(['reconstruct', str(tmp_path / 'a.h5'), '-o', str(tmp_path / 'out.h5')]) == 0
    notes = json.loads(attributes(tmp_path / 'out.h5')['notes'])
    assert sum('were measured, in 1 of 2 slices or volumes' in note for note in notes) == 1
    assert 'by gated' in capsys.readouterr().out


def test_the_demo_compares_as_its_words_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Of a smaller scan, without --full; with it the network of 2019 is there, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('raki.commands.demo.SCAN', Simulation((32, 24), n_coils=4))
    monkeypatch.setattr('raki.commands.demo.RATES', ('2', '3'))
    monkeypatch.setattr('raki.commands.demo.ACS', ('12',))
    assert main(['demo']) == 0
    said = capsys.readouterr().out
    [command] = re.findall(r'^\$ raki (compare .*)$', said, flags=re.MULTILINE)
    methods = 'zero-filled,plain-grappa,grappa,gated'
    assert command == f'compare demo/scan.h5 -o demo --rates 2,3 --acs 12 --methods {methods}'
    assert '│ verdict' in said
    assert said.strip().endswith('report: demo/report.html')
    one = json.loads((tmp_path / 'demo' / 'results.json').read_text())
    assert main(command.split()) == 0
    two = json.loads((tmp_path / 'demo' / 'results.json').read_text())
    for results in (one, two):
        results['rows'] = [{name: row[name] for name in row if 'seconds' not in name} for row in results['rows']]
    assert (one['rows'], one['settings']) == (two['rows'], two['settings'])


def test_the_demo_replaces_no_scan_of_others(tmp_path: Path, capsys: Capture) -> None:
    """In a folder with data of a user, where it is asked to write."""
    for content in (b'', random_kspace(1, 3, 8, 8).numpy()):
        with h5py.File(tmp_path / 'scan.h5', 'w') as file:
            file['kspace'] = content
        before = (tmp_path / 'scan.h5').read_bytes()
        code, said = failure(['demo', '-o', str(tmp_path)], capsys)
        assert (code, 'was not simulated: choose another folder with -o' in said) == (2, True)
        assert (tmp_path / 'scan.h5').read_bytes() == before


def test_the_full_demo_has_the_network_of_2019() -> None:
    assert set(FULL) - set(QUICK) == {'raki'}
    assert 'raki' in comparison(Path('a.h5'), Path('out'), is_full=True).split('--methods ')[1].split(',')


def test_compare_takes_lists_of_values_after_one_option(scan: Path, tmp_path: Path, capsys: Capture) -> None:
    words = ['compare', '--rates', '2', '3', '--acs', '16', '20', '--methods', 'zero-filled', 'grappa', '-o']
    assert main([*words, str(tmp_path / 'out'), '--replicas', '3', '--slice', '1', str(scan)]) == 0
    rows = json.loads((tmp_path / 'out' / 'results.json').read_text())['rows']
    assert {(row['rate'], row['acs'], row['method'], row['slice']) for row in rows} == {
        (rate, acs, method, 1) for rate in (2, 3) for acs in (16, 20) for method in ('zero-filled', 'grappa')
    }
    shown = capsys.readouterr().out
    assert len(re.findall(r'^ grappa ', shown, flags=re.MULTILINE)) == 4
    assert 'report.html' in shown


def test_several_slices_are_one_line_with_their_mean_and_deviation(scan: Path, tmp_path: Path, capsys: Capture) -> None:
    words = ['compare', str(scan), '-o', str(tmp_path / 'out'), '--rates', '2', '--acs', '16', '--methods', 'grappa']
    assert main([*words, '--replicas', '0', '--slices', '0', '1']) == 0
    rows = json.loads((tmp_path / 'out' / 'results.json').read_text())['rows']
    errors = [row['nrmse_object'] for row in rows]
    shown = capsys.readouterr().out
    assert len(re.findall(r'^ grappa ', shown, flags=re.MULTILINE)) == 1
    assert re.search(f' {statistics.mean(errors):.4f} +{statistics.stdev(errors):.4f} ', shown)
    assert 'means of 2 slices (0, 1)' in shown


def test_the_scan_may_stand_after_a_list(scan: Path, tmp_path: Path) -> None:
    """Even if its name has no dot."""
    scan.rename(tmp_path / 'scan')
    words = ['compare', '-o', str(tmp_path / 'out'), '--replicas', '0', '--rates', '2', '--methods', 'grappa']
    assert main([*words, str(tmp_path / 'scan')]) == 0


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--rates', '2x2'], 'slices need rates such as 4, got --rates 2x2'),
        (['--rates', '2', '3s1'], 'slices need rates such as 4, got --rates 3s1'),
        (['--acs', '16x24'], 'slices need an ACS such as 24, got --acs 16x24'),
        (['--rates', 'two'], 'slices need rates such as 4, got --rates two'),
    ],
)
def test_rates_of_volumes_do_not_fit_slices(
    scan: Path, tmp_path: Path, capsys: Capture, words: list[str], message: str
) -> None:
    assert failure(['compare', str(scan), '-o', str(tmp_path / 'out'), *words], capsys) == (2, f'raki: {message}')


def undersampled(path: Path, change: str) -> Path:
    """A scan with one fault."""
    kspace = random_kspace(1, 6, 40, 48).numpy()
    mask = np.zeros(48, bool)
    mask[::4] = True
    mask[14:34] = change != 'no ACS'
    if change == 'no ACS':
        mask[::4] = True
    if change == 'short ACS':
        mask[14:34] = False
        mask[::4] = True
        mask[20:23] = True
    if change == 'uneven gaps':
        mask[40] = False
        mask[41] = True
    if change == 'NaN':
        kspace[0, 2, :, 16] = np.nan
    with h5py.File(path, 'w') as file:
        file['kspace'] = kspace.transpose(0, 2, 3, 1) if change == 'coil last' else np.where(mask, kspace, 0)
        if change != 'coil last':
            file['mask'] = mask
    if change == 'truncated':
        path.write_bytes(path.read_bytes()[:9000])
    return path


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('no ACS', 'the scan has R=4 but no ACS'),
        ('short ACS', r'over 5 x 5 positions \(ky, kx\) needs an ACS of at least that size, got 3 x 40'),
        ('uneven gaps', r'gaps of 4 .*first between lines 36 and 41'),
        ('NaN', 'in coil 2, line 16, sample 0'),
        ('truncated', 'truncated or damaged'),
        ('coil last', '--axes slice,kx,ky,coil'),
    ],
)
def test_bad_scans_get_one_line_exit_code_3_and_no_output(
    tmp_path: Path, capsys: Capture, change: str, message: str
) -> None:
    path, output = undersampled(tmp_path / 'bad.h5', change), tmp_path / 'out.h5'
    code, said = failure(['reconstruct', str(path), '-o', str(output)], capsys)
    assert code == 3
    assert re.search(message, said), said
    assert [item.name for item in tmp_path.iterdir()] == ['bad.h5']


def test_the_faultless_version_of_these_scans_works(tmp_path: Path) -> None:
    """The faults above, and nothing else, are what is refused."""
    path = undersampled(tmp_path / 'good.h5', 'none')
    assert main(['reconstruct', str(path), '-o', str(tmp_path / 'out.h5')]) == 0


def test_the_proposed_axes_read_a_scan_with_the_coils_last(tmp_path: Path) -> None:
    path = undersampled(tmp_path / 'last.h5', 'coil last')
    words = ['--dataset', 'kspace', '--axes', 'slice,kx,ky,coil']
    assert main(['reconstruct', str(path), '-o', str(tmp_path / 'out.h5'), *words]) == 0


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--method', 'grapa'], "no method 'grapa': choose from zero-filled, grappa"),
        (['--combine', 'sum'], "no combination 'sum': choose from rss, walsh, espirit"),
        (['--device', 'tpu9'], "no device 'tpu9' on this machine"),
        (['--device', 'meta'], "no device 'meta' on this machine"),
        (['--axes', 'coil,ky,kx'], '--dataset and --axes belong together'),
        (['--dataset', 'kspace'], '--dataset and --axes belong together'),
        (['--fft', 'unshifted'], '--fft is centred or unshifted, and goes with --axes'),
        (['--dataset', 'kspace', '--axes', 'slice,coil,ky,kx', '--fft', 'odd'], 'centred or unshifted'),
        (['--dataset', 'kspace', '--axes', 'coil,ky'], 'axes must name coil, ky and kx'),
        (['-o', '/'], '-o must name a file, but / is a folder'),
        (['--nonsense'], '--nonsense'),
        (['--coils', '7'], '6 coils can be compressed to 2 to 6 virtual coils, got 7'),
        (['--calibration', 'acs'], "no calibration 'acs': choose from own, measured"),
        (
            ['--calibration', 'own', '--method', 'zero-filled'],
            'no setting calibration of zero-filled: choose from ',
        ),
        (['--calibration', 'own', '--method', 'rraki'], "rraki (it always learns from the scan's own reconstruction)"),
        (['--faithful', '0.9', '--method', 'spirit'], 'no setting faithful of spirit: choose from '),
        (['--faithful', '1.5', '--method', 'sparse'], 'faithful must be between 0 and 1, got 1.5'),
        (['--faithful', '0.9', '--method', 'raki'], 'no setting faithful of raki: choose from gated, sparse, rraki'),
        (['--gfactor'], 'g-factors of gated need replicas'),
        (['--gfactor', '--method', 'raki'], 'need replicas: use raki compare, or --method grappa'),
        (['--coils', '1'], '6 coils can be compressed to 2 to 6 virtual coils, got 1'),
        (['-o', 'nowhere/out.h5'], 'there is no folder nowhere'),
    ],
)
def test_wrong_usage_gets_one_line_and_exit_code_2(
    half: Path, tmp_path: Path, capsys: Capture, words: list[str], message: str
) -> None:
    base = [] if '-o' in words else ['-o', str(tmp_path / 'out.h5')]
    code, said = failure(['reconstruct', str(half), *base, *words], capsys)
    assert code == 2
    assert message in said
    assert not (tmp_path / 'out.h5').exists()


def test_settings_reach_the_method_and_the_one_that_it_starts_with(half: Path, tmp_path: Path) -> None:
    """What comes of them is what the method as an object makes of the scan; they are written down."""
    words = ['--method', 'sparse', '--calibration', 'measured', '--faithful', '0.8', '--seed', '3', '--slice', '0']
    assert main(['reconstruct', str(half), '-o', str(tmp_path / 'out.h5'), *words]) == 0
    wanted = Sparse(Gated(calibration='measured', seed=3), faithful=0.8)
    found = reconstruct(load_scan(half).only(0), wanted).image
    np.testing.assert_array_equal(stored(tmp_path / 'out.h5', 'reconstruction')[0], found[0].numpy())
    assert json.loads(attributes(tmp_path / 'out.h5')['settings']) == json.loads(json.dumps(asdict(wanted)))


def test_settings_of_a_comparison_are_those_of_the_methods_that_have_them(
    scan: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ['compare', str(scan), '-o', str(tmp_path / 'out'), '--rates', '2', '--acs', '16', '--replicas', '0']
    methods = ['--methods', 'zero-filled', 'spirit', '--calibration', 'measured']
    assert main([*words, *methods, '--seeds', '2', '5', '--slice', '0']) == 0
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert results['settings']['methods']['spirit']['start']['calibration'] == 'measured'
    assert [(row['method'], row['seed']) for row in results['rows']] == [
        ('zero-filled', None),
        ('spirit', 2),
        ('spirit', 5),
    ]
    code, said = failure([*words, '--methods', 'zero-filled', 'rraki', '--calibration', 'own'], capsys)
    assert code == 2
    assert 'no setting calibration of zero-filled, rraki' in said


@pytest.mark.parametrize('method', [Gated(), Spirit(Gated()), Sparse(Spirit(Gated()))])
def test_a_seed_reaches_the_method_that_has_it(method: Method) -> None:
    assert has_seed(method)
    assert not has_seed(Spirit(Grappa()))
    assert setting_of(with_seed(method, 7), 'seed') == 7
    assert with_seed(with_seed(method, 7), 0) == method
    assert with_seed(Spirit(Grappa()), 7) == Spirit(Grappa())


def test_a_structured_phantom_is_simulated_by_name(tmp_path: Path) -> None:
    words = ['simulate', '--matrix', '48x40', '--coils', '6', '-o']
    for name in ('head', 'bars'):
        assert main([*words, str(tmp_path / f'{name}.h5'), '--phantom', name]) == 0
    scans = [load_scan(tmp_path / f'{name}.h5').kspace for name in ('head', 'bars')]
    assert torch.equal(scans[1], simulate(Simulation((48, 40), 6, phantom='bars')).kspace)
    assert not torch.equal(*scans)


def test_other_wrong_usage(scan: Path, tmp_path: Path, capsys: Capture) -> None:
    assert failure(['reconstruct', str(scan), '-o', str(scan)], capsys)[0] == 2
    assert failure(['compare', str(scan), '-o', str(scan)], capsys)[0] == 2
    code, said = failure(['compare', str(scan), '-o', str(tmp_path / 'o'), '--rates', '0', '--acs', '16'], capsys)
    assert (code, said.endswith('got rates 0, ACS 16 and 100 replicas')) == (2, True)
    assert failure(['simulate', '-o', str(tmp_path / 's.h5'), '--matrix', '40'], capsys)[0] == 2
    assert failure(['simulate', '-o', str(tmp_path / 's.h5'), '--coils', '0'], capsys)[0] == 2
    assert failure(['simulate', '-o', str(tmp_path / 's.h5'), '--rate', '2', '--acs', '999'], capsys)[0] == 2
    assert failure(['simulate', '-o', str(tmp_path)], capsys)[0] == 2
    code, said = failure(['simulate', '-o', str(tmp_path / 's.h5'), '--phantom', 'torso'], capsys)
    assert (code, 'choose from head, bars, compartments' in said) == (2, True)
    assert failure(['reconstruct'], capsys)[0] == 2
    assert load_scan(scan).n_slabs == 2


def test_comparing_needs_a_truth(half: Path, tmp_path: Path, capsys: Capture) -> None:
    code, said = failure(['compare', str(half), '-o', str(tmp_path / 'out')], capsys)
    assert code == 3
    assert 'use raki reconstruct' in said
    assert not (tmp_path / 'out').exists()


def test_a_missing_file_and_a_missing_slice_are_bad_input(half: Path, tmp_path: Path, capsys: Capture) -> None:
    assert failure(['info', str(tmp_path / 'none.h5')], capsys) == (3, f'raki: {tmp_path}/none.h5: no such file')
    code, said = failure(['reconstruct', str(half), '-o', str(tmp_path / 'out.h5'), '--slice', '7'], capsys)
    assert code == 3
    assert 'no slice 7; the file has slices 0 to 1' in said


def test_the_slices_are_checked_before_the_first_is_computed(
    scan: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('raki.data.scan.ScanFile.read', lambda *_: pytest.fail('reads before it checks'))
    for command in ('reconstruct', 'compare'):
        words = [command, str(scan), '-o', str(tmp_path / 'out.h5'), '--slices', '0', '9']
        assert failure(words, capsys)[0] == 3


def test_a_mask_names_the_lines_of_a_file_without_one(tmp_path: Path, capsys: Capture) -> None:
    path = undersampled(tmp_path / 'a.h5', 'none')
    with h5py.File(path, 'r+') as file:
        file.move('mask', 'elsewhere')
    output = tmp_path / 'out.h5'
    assert '--mask zeros' in failure(['reconstruct', str(path), '-o', str(output)], capsys)[1]
    found = []
    for mask in ('zeros', 'elsewhere'):
        assert main(['reconstruct', str(path), '-o', str(output), '--mask', mask]) == 0
        found.append(stored(output, 'reconstruction'))
    np.testing.assert_array_equal(found[0], found[1])


def test_a_warning_is_told_and_kept(tmp_path: Path, capsys: Capture) -> None:
    """10 lines at R=4 are 6 x 36 equations, for 10 samples of 32 coils each."""
    path, output = tmp_path / 'a.h5', tmp_path / 'out.h5'
    words = ['--matrix', '64x40', '--coils', '32', '--rate', '4', '--acs', '10']
    assert main(['simulate', '-o', str(path), *words]) == 0
    assert main(['reconstruct', str(path), '-o', str(output), '--calibration', 'measured']) == 0
    expected = '10 ACS lines give 216 equations for 320 unknowns: ghosts are possible'
    assert f'raki: warning: {expected}' in capsys.readouterr().err
    assert json.loads(attributes(output)['warnings'])[0].startswith(expected)


def test_the_bare_command_helps(capsys: Capture) -> None:
    assert main([]) == 0
    captured = capsys.readouterr()
    assert 'reconstruct' in captured.out
    assert captured.err == ''


@pytest.mark.skipif(sys.platform == 'win32', reason='there is no SIGTERM')
def test_a_terminated_command_leaves_nothing_half_written(half: Path, tmp_path: Path) -> None:
    output = tmp_path / 'folder' / 'out.h5'
    output.parent.mkdir()
    words = [sys.executable, '-m', 'raki.cli', 'reconstruct', str(half), '-o', str(output), '--method', 'raki']
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        while not list(output.parent.iterdir()) and process.poll() is None:
            time.sleep(0.05)
        process.terminate()
        assert process.wait(timeout=30) == 143
    assert list(output.parent.iterdir()) == []


def test_a_diverging_training_ends_with_exit_code_4(
    scan: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSSES, 'norm', lambda predicted, _targets: predicted.sum() * float('nan'))
    words = ['compare', str(scan), '-o', str(tmp_path / 'out'), '--methods', 'raki', '--rates', '2']
    code, said = failure([*words, '--iterations', '30'], capsys)
    assert code == 4
    assert 'left the finite range' in said
    assert not (tmp_path / 'out').exists()


def test_a_giant_ends_with_exit_code_5(tmp_path: Path, capsys: Capture) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.create_dataset('kspace', (2, 64, 65536, 65536), 'c8')
    assert failure(['info', str(tmp_path / 'a.h5')], capsys)[0] == 5


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    words = [sys.executable, '-m', 'raki.cli', '--debug', 'info', str(tmp_path / 'none.h5')]
    found = subprocess.run(words, check=False, capture_output=True, text=True)
    assert found.returncode != 0
    assert 'Traceback' in found.stderr
