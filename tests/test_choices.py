"""`raki info --plan`: every choice with its reason, as a file that `raki reconstruct --config` takes back."""

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml

import raki
from raki.cli import main
from raki.commands.settings import Settings
from raki.interpolation.harm import held_out
from raki.interpolation.tuning import tune
from raki.networks.gated import Blend
from raki.pipeline import Slab
from tests.toys import attributes

Capture = pytest.CaptureFixture[str]
CPU = torch.device('cpu')


def written(path: Path, mask: torch.Tensor, name: str = 'mask') -> Path:
    """A noisy scan of which these lines were measured."""
    scan = raki.simulate(raki.Simulation((len(mask), 40), n_coils=6, noise=0.02))
    assert scan.noise is not None
    with h5py.File(path, 'w') as file:
        file['kspace'] = (scan.kspace * mask[:, None]).mT.numpy()
        file['noise'] = scan.noise.numpy()
        if name:
            file[name] = mask.numpy()
    return path


def lines(n_lines: int, rate: int, first: int = 0) -> torch.Tensor:
    """Every so many, and an ACS of 20, from a line on."""
    ky = torch.arange(n_lines)
    return ((ky % rate == 0) | (abs(ky - n_lines // 2) < 10)) & (ky >= first)


def plan(capsys: Capture, *words: object) -> str:
    """What `raki info --plan` prints."""
    capsys.readouterr()
    assert main(['info', '--plan', *map(str, words)]) == 0
    return capsys.readouterr().out


def told(text: str) -> str:
    """Comments in one line."""
    return ' '.join(line.removeprefix('#').strip() for line in text.splitlines() if line.startswith('#'))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return written(tmp_path / 'scan.h5', lines(64, 3))


KINDS: dict[str, Callable[[Path], tuple[Path, list[str]]]] = {
    'lattice': lambda folder: (written(folder / 'a.h5', lines(64, 3)), []),
    'partial Fourier': lambda folder: (written(folder / 'a.h5', lines(64, 2, first=16)), []),
    'fully sampled': lambda folder: (written(folder / 'a.h5', torch.ones(48, dtype=torch.bool)), []),
    'zeros': lambda folder: (written(folder / 'a.h5', lines(64, 2), name=''), ['--mask', 'zeros']),
    'any lines': lambda folder: (
        written(folder / 'a.h5', lines(64, 64) | (torch.rand(64, generator=torch.Generator().manual_seed(0)) < 0.4)),
        ['--method', 'sparse'],
    ),
}


@pytest.mark.parametrize('kind', KINDS)
def test_an_unedited_plan_gives_the_same_bytes(tmp_path: Path, capsys: Capture, kind: str) -> None:
    path, words = KINDS[kind](tmp_path)
    text = plan(capsys, path, *words)
    (tmp_path / 'plan.yaml').write_text(text)
    assert main(['reconstruct', str(path), '-o', str(tmp_path / 'one.h5'), *words]) == 0
    assert (
        main(['reconstruct', str(path), '-o', str(tmp_path / 'two.h5'), '--config', str(tmp_path / 'plan.yaml')]) == 0
    )
    assert (tmp_path / 'one.h5').read_bytes() == (tmp_path / 'two.h5').read_bytes()


def test_a_volume_and_several_slices_come_back_from_their_plans(tmp_path: Path, capsys: Capture) -> None:
    simulated = {'volume': ['--matrix', '12x32x24', '--rate', '2x2'], 'slices': ['--matrix', '48x40', '--slices', '3']}
    for name, words in simulated.items():
        path, rate = tmp_path / f'{name}.h5', [] if name == 'volume' else ['--rate', '2']
        assert main(['simulate', '-o', str(path), '--coils', '4', *words, *rate]) == 0
        text = plan(capsys, path)
        assert ('slice 1 (of 3)' if name == 'slices' else 'the volume') in told(text)
        (tmp_path / 'plan.yaml').write_text(text)
        for output, more in (('one.h5', []), ('two.h5', ['--config', str(tmp_path / 'plan.yaml')])):
            assert main(['reconstruct', str(path), '-o', str(tmp_path / output), *more]) == 0
        assert (tmp_path / 'one.h5').read_bytes() == (tmp_path / 'two.h5').read_bytes()


def test_an_edited_plan_is_what_the_same_options_are(scan: Path, tmp_path: Path, capsys: Capture) -> None:
    text = plan(capsys, scan)
    edited = text.replace('method: gated', 'method: grappa').replace('coils: null', 'coils: 4')
    assert edited != text
    (tmp_path / 'plan.yaml').write_text(edited.replace('combine: rss', 'combine: walsh'))
    words = ['--method', 'grappa', '--coils', '4', '--combine', 'walsh']
    assert main(['reconstruct', str(scan), '-o', str(tmp_path / 'one.h5'), *words]) == 0
    assert (
        main(['reconstruct', str(scan), '-o', str(tmp_path / 'two.h5'), '--config', str(tmp_path / 'plan.yaml')]) == 0
    )
    assert (tmp_path / 'one.h5').read_bytes() == (tmp_path / 'two.h5').read_bytes()


def test_a_plan_names_settings_at_their_defaults_in_80_columns(scan: Path, capsys: Capture) -> None:
    text = plan(capsys, scan)
    values = yaml.safe_load(text)
    wanted = {'mask', 'slices', 'spikes', 'whiten', 'coils', 'method', 'calibration', 'faithful', 'seed'}
    assert set(values) == wanted | {'partial_fourier', 'combine', 'crop', 'device'}
    assert Settings(**values) == Settings()
    assert max(len(line) for line in text.splitlines() if str(scan) not in line) <= 80  # paths are not broken
    rest = [line for line in text.splitlines() if not line.startswith('#')]
    assert [line.partition(':')[0] for line in rest if line] == list(values)


def test_tuned_values_are_those_that_a_reconstruction_uses(scan: Path, capsys: Capture) -> None:
    """Share, kernel, ridge, and the correlation that guards against harm, each computed here once more."""
    from raki.commands.info import calibration_of

    said = told(plan(capsys, scan))
    slab = Slab.of(raki.load_scan(scan), 0, CPU)
    fitted = slab.fitted(raki.Gated())
    blend = fitted.inner[0].patch_map
    assert isinstance(blend, Blend)
    assert f'it goes {blend.share:.0%} of the way from grappa to the network' in said
    calibration = calibration_of(slab)
    tuned = tune(calibration)
    assert f'ridge {tuned.regularization:.2g} of the mean energy' in said
    assert f'{tuned.total.n_equations} equations for {len(tuned.total.gram)} unknowns' in said
    every = held_out(calibration, tuned)
    assert every is not None
    assert len(every) == 2
    assert f'a correlation of {every[0].correlation:.2f} by the rest of the ACS, {every[1].correlation:.2f} by' in said
    assert said.count('held out: ') == 4


def test_the_weights_of_partial_fourier_are_those_that_a_reconstruction_notes(tmp_path: Path, capsys: Capture) -> None:
    path = written(tmp_path / 'a.h5', lines(64, 2, first=16))
    said = told(plan(capsys, path))
    for name in ('homodyne', 'pocs'):
        words = ['--partial-fourier', name, '-o', str(tmp_path / 'out.h5')]
        assert main(['reconstruct', str(path), *words]) == 0
        [weight] = re.findall(r'weighted by (\d\.\d\d) as hidden', str(attributes(tmp_path / 'out.h5')['notes']))
        assert f'{name} {weight}' in said


def test_a_method_that_is_trained_is_not_trained_for_a_plan(scan: Path, capsys: Capture) -> None:
    said = told(plan(capsys, scan, '--method', 'RAKI'))
    assert 'not trained for this plan' in said
    assert "'n_iterations': 1000" in said


def test_a_fully_sampled_scan_has_nothing_to_fill_in(tmp_path: Path, capsys: Capture) -> None:
    path = written(tmp_path / 'a.h5', torch.ones(48, dtype=torch.bool))
    text = plan(capsys, path)
    assert '# nothing to fill in, all lines of the acquired range were measured\nmethod: gated' in text


def test_a_scan_that_cannot_be_reconstructed_has_no_plan(tmp_path: Path, capsys: Capture) -> None:
    mask = torch.from_numpy(np.isin(np.arange(64), [0, 3, 7, 12, 20, 31, 32, 33, 50]))
    path = written(tmp_path / 'a.h5', mask)
    capsys.readouterr()
    assert main(['info', '--plan', str(path)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ''
    assert 'the methods spirit and sparse take any' in captured.err


def test_names_of_files_stay_in_their_comment(scan: Path, tmp_path: Path, capsys: Capture) -> None:
    path = scan.rename(tmp_path / 'a\nmethod: raki\n\x1b[31m.h5')
    text = plan(capsys, path)
    assert Settings(**yaml.safe_load(text)) == Settings()
    assert '\x1b' not in text


def test_a_method_without_a_plan_is_asked_for_in_vain(scan: Path, capsys: Capture) -> None:
    assert main(['info', str(scan), '--method', 'sparse']) == 2
    assert 'add --plan' in capsys.readouterr().err


def test_one_slice_in_a_plan_needs_no_brackets(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / 'a.h5'
    words = ['--matrix', '48x40', '--coils', '4', '--slices', '3', '--rate', '2']
    assert main(['simulate', '-o', str(path), *words]) == 0
    text = plan(capsys, path)
    assert 'all slices: 0 to 2, such as [0] or [0, 1] for some' in told(text)
    (tmp_path / 'plan.yaml').write_text(text.replace('slices: null', 'slices: 1'))
    for output, words in (('one.h5', ['--config', str(tmp_path / 'plan.yaml')]), ('two.h5', ['--slice', '1'])):
        assert main(['reconstruct', str(path), '-o', str(tmp_path / output), *words]) == 0
    assert (tmp_path / 'one.h5').read_bytes() == (tmp_path / 'two.h5').read_bytes()
    (tmp_path / 'plan.yaml').write_text(text.replace('slices: null', 'slices: yes'))
    assert main(['reconstruct', str(path), '--config', str(tmp_path / 'plan.yaml')]) == 2


def test_a_plan_tells_whose_share_it_is(scan: Path, capsys: Capture) -> None:
    assert 'what it starts from, gated, goes ' in told(plan(capsys, scan, '--method', 'spirit'))
    assert 'it goes ' in told(plan(capsys, scan))
