"""Steps around the interpolation from the command line: switches, what the manifest says, and the verdict of info."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

import raki
from raki.cli import main
from raki.commands.job import Job
from raki.commands.reconstruct import reconstruct_file
from raki.commands.settings import Settings
from raki.data.save import write_scan
from raki.data.scan import Scan, ScanFile
from raki.data.simulate import Simulation, simulate
from raki.fourier import centre_crop, image_from_kspace
from raki.interpolation.calibration import silent
from raki.pipeline import COMBINATIONS, INTENSITY
from tests.toys import attributes, random_kspace, stored

Capture = pytest.CaptureFixture[str]
CPU = torch.device('cpu')
ISMRMRD = Path(__file__).resolve().parents[2] / 'shared' / 'data' / 'ismrmrd_phantom8_R3_acs24.h5'


def lines(n_lines: int, rate: int, acs: range, filled: range | None = None) -> Tensor:
    """Boolean mask of every R-th line, within a range, and an ACS."""
    mask = torch.zeros(n_lines, dtype=torch.bool)
    filled = filled or range(n_lines)
    mask[filled.start : filled.stop : rate] = True
    mask[acs.start : acs.stop] = True
    return mask


def written(path: Path, mask: Tensor, **changes: Any) -> Path:
    """A simulated scan, of which these lines were measured."""
    write_scan(path, replace(simulate(Simulation((96, 40), 4)), mask=mask, reference=None, **changes), {})
    return path


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """R = 2 and 6/8."""
    return written(tmp_path / 'partial.h5', lines(96, 2, range(36, 60), range(24, 96)))


def told(path: Path, capsys: Capture) -> dict[str, Any]:
    """What `raki info` says for programs."""
    capsys.readouterr()
    assert main(['info', str(path), '--json']) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(('name', 'is_completed'), [('zero-fill', False), ('homodyne', False), ('pocs', True)])
def test_partial_fourier_is_chosen_and_stored(partial: Path, tmp_path: Path, name: str, is_completed: bool) -> None:
    """K-space is written after POCS, and before homodyne detection, which changes measured samples."""
    output = tmp_path / 'out.h5'
    words = ['--method', 'grappa', '--kspace', '--partial-fourier', name]
    assert main(['reconstruct', str(partial), '-o', str(output), *words]) == 0
    expected = raki.reconstruct(raki.load_scan(partial), 'grappa', device=CPU, partial_fourier=name)
    np.testing.assert_allclose(stored(output, 'reconstruction')[0], expected.image[0], rtol=1e-5, atol=1e-7)
    kspace, mask = stored(output, 'kspace'), stored(partial, 'mask')
    np.testing.assert_array_equal(kspace[..., mask], stored(partial, 'kspace')[..., mask])
    assert bool(kspace[..., :23].any()) == is_completed
    manifest = attributes(output)
    assert (manifest['partial_fourier'], manifest['intensity']) == (name, INTENSITY)
    assert 'partial Fourier along ky' in manifest['notes']


def test_a_scan_that_does_not_allow_it_is_warned_about(tmp_path: Path, capsys: Capture) -> None:
    path = written(tmp_path / 'noise.h5', lines(96, 1, range(0), range(24, 96)), kspace=random_kspace(1, 4, 96, 40))
    assert main(['reconstruct', str(path), '-o', str(tmp_path / 'out.h5'), '--partial-fourier', 'pocs']) == 0
    assert 'raki: warning: on hidden samples of the symmetric part, POCS along ky' in capsys.readouterr().err


def test_g_factors_say_that_they_are_those_before_completion(partial: Path, tmp_path: Path) -> None:
    words = ['--method', 'grappa', '--gfactor', '--partial-fourier', 'pocs']
    assert main(['reconstruct', str(partial), '-o', str(tmp_path / 'out.h5'), *words]) == 0
    assert 'g-factor: of what is filled in within the acquired range' in attributes(tmp_path / 'out.h5')['notes']


def test_whitening_can_be_left_out(partial: Path, tmp_path: Path) -> None:
    """As if there were no noise samples."""
    words = ['--method', 'grappa', '--combine', 'walsh', '--no-whiten']
    assert main(['reconstruct', str(partial), '-o', str(tmp_path / 'out.h5'), *words]) == 0
    scan, combine = raki.load_scan(partial), COMBINATIONS['walsh']
    expected = raki.reconstruct(replace(scan, noise=None), 'grappa', device=CPU, combine=combine)
    found = stored(tmp_path / 'out.h5', 'reconstruction')
    np.testing.assert_allclose(found[0], expected.image[0], rtol=1e-5, atol=1e-7)
    whitened = raki.reconstruct(scan, 'grappa', device=CPU, combine=combine)
    assert np.abs(found[0] - whitened.image[0]).max() > 1e-3 * found.max()
    assert attributes(tmp_path / 'out.h5')['whiten'] == 0


@pytest.mark.parametrize('shape', [(16, 20), (8, 16, 20)])
def test_crop_can_be_left_out_within_the_slice(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Slices that lie outside what the scan asks for stay out."""
    size = tuple(2 * side for side in shape)
    scan = Scan(random_kspace(1, 2, *size), torch.ones(size[:-1], dtype=torch.bool), image_shape=shape)
    file = ScanFile('toy', 'toy', tuple(scan.kspace.shape), lambda *_: scan, image_shape=shape)
    axes = tuple(range(-len(size), 0))
    for crop, wanted in ((True, shape), (False, (*shape[:-2], *size[-2:]))):
        reconstruct_file(file, tmp_path / 'out.h5', Job(Settings(method='zero-filled', crop=crop)), lambda _: silent)
        expected = centre_crop(image_from_kspace(scan.kspace[0], axes).norm(dim=0), wanted)
        found = stored(tmp_path / 'out.h5', 'reconstruction')
        np.testing.assert_allclose(found.reshape(expected.shape), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_info_ends_with_ready_and_lists_every_step(tmp_path: Path, capsys: Capture) -> None:
    path = written(tmp_path / 'a.h5', lines(96, 2, range(36, 60)))
    found = told(path, capsys)
    assert (found['verdict'], found['cautions']) == ('ready', [])
    assert list(found['steps']) == [
        *('flags', 'oversampling', 'averages', 'dead coils', 'whitening', 'compression', 'interpolation'),
        *('partial Fourier', 'combination', 'crop', 'intensity'),
    ]
    assert found['steps']['interpolation'] == '36 lines from 60 measured ones, by --method gated'
    assert '4096 noise samples (--no-whiten)' in found['steps']['whitening']
    assert main(['info', str(path)]) == 0
    *_, verdict, _ = capsys.readouterr().out.strip().splitlines()
    assert verdict.replace('│', ' ').split() == ['verdict', 'ready']


def test_info_is_cautious_about_what_is_missing_or_faulty(tmp_path: Path, capsys: Capture) -> None:
    kspace = simulate(Simulation((96, 40), 4)).kspace.clone()
    kspace[:, 2] *= 1e-9
    found = told(written(tmp_path / 'a.h5', lines(96, 2, range(36, 60), range(24, 96)), kspace=kspace), capsys)
    assert found['verdict'] == 'ready with 2 cautions'
    assert [caution[:14] for caution in found['cautions']] == ['coil 2 is dead', 'partial Fourie']
    assert found['cautions'][1].endswith('pocs or homodyne may complete it')
    assert found['steps']['dead coils'] == 'coil 2 is dead and left out: its missing lines stay zero'
    assert '24% of k-space is missing beyond one end and stays zero' in found['steps']['partial Fourier']


@pytest.mark.parametrize('n_acs', [0, 2, 3, 4])
def test_info_names_an_acs_that_is_too_short_instead_of_failing(tmp_path: Path, capsys: Capture, n_acs: int) -> None:
    """R = 4 takes at least five neighbouring lines, with the lattice lines that adjoin."""
    path = written(tmp_path / 'a.h5', lines(96, 4, range(50, 50 + n_acs)))
    found = told(path, capsys)
    wanted = 'no ACS' if n_acs == 0 else 'needs an ACS of at least that size'
    assert found['verdict'].startswith('not ready: ')
    assert wanted in found['verdict']
    assert main(['reconstruct', str(path), '-o', str(tmp_path / 'out.h5')]) == 3


def test_info_sends_lines_without_a_lattice_to_methods_that_take_them(tmp_path: Path, capsys: Capture) -> None:
    mask = torch.zeros(96, dtype=torch.bool)
    mask[torch.tensor([0, 3, 5, 11, 19, 30, 62, 63, 77, 90])] = mask[40:60] = True
    found = told(written(tmp_path / 'a.h5', mask), capsys)
    assert found['verdict'].startswith('not ready: ')
    assert 'spirit and sparse' in found['verdict']
    assert found['steps']['interpolation'].endswith('by --method spirit or sparse')


def series(path: Path, masks: np.ndarray) -> Path:
    """Repetitions of noise, each with its own lines: masks (repetition, ky)."""
    kspace = random_kspace(len(masks), 4, masks.shape[1], 32).numpy() * masks[:, None, :, None]
    with h5py.File(path, 'w') as file:
        file['kspace'], file['mask'] = kspace, masks
        file['kspace'].attrs['axes'] = 'repetition,coil,ky,kx'
    return path


def screen(path: Path, capsys: Capture) -> list[str]:
    assert main(['info', str(path)]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize('n_kinds', [1, 2, 3])
def test_info_describes_frames_that_are_alike_once(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, n_kinds: int
) -> None:
    """Sixty frames fill no more lines than as many as there are kinds; JSON has all of them."""
    monkeypatch.setenv('COLUMNS', '80')
    ky, frame = np.arange(48), np.arange(60)[:, None] % n_kinds
    masks = (ky % 4 == frame) | (abs(ky - 24) < 9)
    path = series(tmp_path / 'a.h5', masks)
    shown, found = screen(path, capsys), told(path, capsys)
    names = [f'repetitions {first}, {first + n_kinds} ... {60 - n_kinds + first}' for first in range(n_kinds)]
    named = [line.split('│')[2].strip() for line in shown if line.startswith('│ frames')]
    assert named == (['repetitions 0 to 59'] if n_kinds == 1 else names)
    assert max(map(len, shown)) <= 80
    assert len(shown) == len(screen(series(tmp_path / 'b.h5', masks[: 2 * n_kinds]), capsys))
    assert [each['frame']['repetition'] for each in found['repetitions']] == list(range(60))
    assert found['verdict'] == 'ready'


def test_info_of_a_series_of_random_lines_stays_on_a_screen(tmp_path: Path, capsys: Capture) -> None:
    """Every frame is of a kind of its own, and none is a lattice: one by one they would fill hundreds of lines."""
    masks = np.random.default_rng(0).random((60, 48)) < 0.3
    path = series(tmp_path / 'a.h5', masks)
    shown, found = screen(path, capsys), told(path, capsys)
    assert len(shown) < 100
    assert any('more kinds: --json lists all' in line for line in shown)
    assert len(found['repetitions']) == 60
    assert found['verdict'] == f'not ready: {found["missing"][0]}; and {len(found["missing"]) - 1} more'


def test_info_tells_what_the_reader_did(capsys: Capture) -> None:
    if not ISMRMRD.exists():
        pytest.skip('needs the shared scans')
    found = told(ISMRMRD, capsys)
    assert found['verdict'] == f'ready with {len(found["cautions"])} cautions'
    assert any('taken as embedded' in caution for caution in found['cautions'])
    assert found['steps']['oversampling'] == 'readout oversampling removed: 192 to 96 samples'


@pytest.mark.parametrize('name', ['walsh', 'espirit'])
@pytest.mark.parametrize('factor', [0, 2, 1e-3])
def test_images_have_the_unit_of_the_file_whatever_that_of_noise_samples(name: str, factor: float) -> None:
    """As `INTENSITY` says. Samples that are all zero tell nothing, and images are as bright as without any."""
    scan = raki.simulate(raki.Simulation((48, 40), n_coils=4, seed=2))
    assert scan.noise is not None
    others = (replace(scan, noise=factor * scan.noise), replace(scan, noise=None))
    expected, scaled, without = (raki.reconstruct(each, 'zero-filled', combine=name).image for each in (scan, *others))
    largest = float(expected.max())
    np.testing.assert_allclose(scaled, expected if factor else without, rtol=1e-4, atol=1e-4 * largest)
    assert expected.mean() == pytest.approx(without.mean(), rel=0.05)
