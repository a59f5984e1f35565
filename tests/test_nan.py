"""Samples that are no finite number are refused, or predicted from their neighbours where that is asked for."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import raki
from raki.cli import main
from raki.data.damage.holes import finite_noise, finite_slabs, reading_nan
from raki.data.hdf5 import dataset
from raki.data.load import load_scan
from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.errors import ScanError
from tests.toys import attributes, random_kspace

FULL = simulate(Simulation((48, 40), 4, noise=0.01))
MASK = undersample(FULL.mask, (3,), (16,)).mask
SCAN = replace(FULL, kspace=torch.where(MASK[..., None], FULL.kspace, 0), mask=MASK, reference=None)
KSPACE = SCAN.kspace[0].numpy()
LINES = MASK.nonzero().flatten().tolist()


def with_holes(*where: tuple[Any, ...], value: complex = complex('nan')) -> np.ndarray:
    """Axes (coil, ky, kx)."""
    kspace = KSPACE.copy()
    for each in where:
        kspace[each] = value
    return kspace


def as_fastmri(path: Path, kspace: np.ndarray) -> list[str]:
    with h5py.File(path / 'scan.h5', 'w') as file:
        file['kspace'], file['mask'] = kspace.swapaxes(-1, -2)[None], MASK.numpy()
    return [str(path / 'scan.h5')]


def as_generic(path: Path, kspace: np.ndarray) -> list[str]:
    with h5py.File(path / 'scan.h5', 'w') as file:
        file['lines'], file['mask'] = kspace, MASK.numpy()
    return [str(path / 'scan.h5'), '--dataset', 'lines', '--axes', 'coil,ky,kx']


def as_numpy(path: Path, kspace: np.ndarray) -> list[str]:
    np.save(path / 'scan.npy', kspace)
    return [str(path / 'scan.npy'), '--axes', 'coil,ky,kx', '--mask', 'zeros']


def as_mrd(path: Path, kspace: np.ndarray) -> list[str]:
    converted(path, 'scan.mrd.h5')
    with h5py.File(path / 'scan.mrd.h5', 'r+') as file:
        found = dataset(file, 'dataset/data')
        rows = found[()]
        for row in rows:
            line = int(row['head']['idx']['kspace_encode_step_1'])
            row['data'] = np.ascontiguousarray(kspace[:, line]).reshape(-1).view(np.float32)
        found[...] = rows
    return [str(path / 'scan.mrd.h5')]


def as_cfl(path: Path, kspace: np.ndarray) -> list[str]:
    converted(path, 'scan.cfl')
    np.ascontiguousarray(kspace).tofile(path / 'scan.cfl')
    return [str(path / 'scan.cfl')]


def converted(path: Path, name: str) -> None:
    """The clean scan in another format."""
    [source] = as_fastmri(path, KSPACE)
    assert main(['convert', source, str(path / name)]) == 0


HOLES = {
    'one sample': ([(2, 24, 17)], 2),
    'a run': ([(2, 24, slice(10, 20))], 30),
    'a run outside the ACS': ([(1, LINES[2], slice(10, 30))], 2),
    'a line of a coil': ([(1, 22)], 30),
    'a line': ([(slice(None), 23)], 5),
    'scattered': ([(coil, line, (7 * coil + 5 * line) % 40) for coil in range(4) for line in LINES], 8),
}
"""Where, and how many times nearer to the clean image that comes than zeros do, at least."""


FORMATS: dict[str, Callable[[Path, np.ndarray], list[str]]] = {
    'fastmri': as_fastmri,
    'generic': as_generic,
    'numpy': as_numpy,
    'mrd': as_mrd,
    'cfl': as_cfl,
}


def image_of(kspace: np.ndarray, **options: Any) -> np.ndarray:
    return raki.reconstruct(kspace, MASK, 'grappa', device='cpu', spikes='keep', **options).image


def far(image: np.ndarray, clean: np.ndarray) -> float:
    return float(np.linalg.norm(image - clean) / np.linalg.norm(clean))


@pytest.mark.parametrize('value', [complex('nan'), complex(1, float('-inf'))])
@pytest.mark.parametrize(('holes', 'gain'), HOLES.values(), ids=HOLES)
def test_images_come_near_the_clean_one(holes: list[tuple[Any, ...]], gain: float, value: complex) -> None:
    """Zeros are 1e-20 here: a line of true zeros was not measured."""
    clean = image_of(KSPACE)
    mended = raki.reconstruct(with_holes(*holes, value=value), MASK, 'grappa', device='cpu', nan='drop')
    assert far(mended.image, clean) * gain < far(image_of(with_holes(*holes, value=1e-20)), clean)
    assert far(mended.image, clean) < 0.02
    n_bad = int((with_holes(*holes) != with_holes(*holes)).sum())
    coil, line, sample = np.argwhere(np.isnan(with_holes(*holes)))[0].tolist()
    [told] = [each for each in mended.warnings if 'NaN' in each]
    assert f'{n_bad} samples are NaN or infinite, the first in coil {coil}, line {line}, sample {sample}: repl' in told


def test_what_is_finite_stays_bit_for_bit() -> None:
    with reading_nan('drop') as mended:
        kspace = with_holes((2, 24, 17))
        found = finite_slabs(torch.from_numpy(kspace)[None], 'k')[0]
    assert (found != torch.from_numpy(KSPACE)).nonzero().tolist() == [[2, 24, 17]]
    assert len(mended.findings) == 1
    assert np.isnan(kspace[2, 24, 17])


def test_a_lost_coil_is_a_dead_one_and_does_not_keep_others_from_being_mended() -> None:
    kspace = with_holes((3,), (1, 24, slice(5, 12)))
    result = raki.reconstruct(kspace, MASK, 'grappa', device='cpu', nan='drop')
    assert any('coil 3 is dead and left out' in each for each in result.warnings)
    without = KSPACE.copy()
    without[3] = 0
    assert far(result.image, image_of(without)) < 0.01


def test_a_line_that_nothing_tells_stays_zero_as_a_lost_block_does() -> None:
    hole = (slice(None), LINES[3])
    result = raki.reconstruct(with_holes(hole), MASK, 'grappa', device='cpu', nan='drop', spikes='keep')
    [told] = [each for each in result.warnings if 'NaN' in each]
    assert (
        f'160 are zero, because no line next to them tells them; all coils lost 1 line(s), the first is line {LINES[3]}'
        in told
    )
    assert torch.equal(result.scan.mask, MASK)
    assert far(result.image, image_of(with_holes(hole, value=1e-20))) < 1e-5


@pytest.mark.parametrize('make', FORMATS.values(), ids=FORMATS)
def test_every_format_refuses_and_drops(make: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan, output = make(tmp_path, with_holes((2, 24, slice(10, 20)), (1, LINES[1], 3))), tmp_path / 'out.h5'
    common = ['reconstruct', *scan, '-o', str(output), '--method', 'grappa', '--device', 'cpu']
    assert main(common) == 3
    error = capsys.readouterr().err
    assert '11 samples are NaN or infinite, the first in coil 1, line 3, sample 3' in error
    assert '--nan drop' in error
    assert main([*common, '--nan', 'Drop']) == 0
    assert 'are NaN or infinite, the first in coil 1, line 3, sample 3: replaced' in capsys.readouterr().err
    told = attributes(output)
    assert json.loads(told['options'])['nan'] == 'drop'
    assert any('NaN' in each and str(tmp_path) not in each for each in json.loads(told['warnings']))
    with h5py.File(output) as file:
        image = np.asarray(file['reconstruction'])[0]
    clean = image_of(KSPACE)
    assert min(far(each, clean) for each in (image, image.T) if each.shape == clean.shape) < 0.02
    assert main([*common, '--nan', 'no']) == 2
    assert "no way to treat NaN and infinite samples 'no': choose from refuse, drop" in capsys.readouterr().err


def test_a_configuration_info_compare_and_convert_know_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kspace, path, folder = FULL.kspace[0].numpy().copy(), tmp_path / 'scan.h5', tmp_path / 'result'
    kspace[2, 24, 10:20] = complex('inf')
    with h5py.File(path, 'w') as file:
        file['kspace'] = kspace.swapaxes(-1, -2)[None]
    (tmp_path / 'asked.yaml').write_text('method: grappa\nnan: Drop\ndevice: cpu\n')
    assert main(['reconstruct', str(path), '-o', str(tmp_path / 'o.h5'), '--config', str(tmp_path / 'asked.yaml')]) == 0
    assert main(['info', str(path), '--nan', 'drop', '--json']) == 0
    assert '10 samples are NaN or infinite' in capsys.readouterr().out
    shared = ['--rates', '2', '--acs', '16', '--methods', 'grappa', '--replicas', '0', '--device', 'cpu']
    assert main(['compare', str(path), '-o', str(folder), '--nan', 'drop', *shared]) == 0
    assert '10 samples are NaN or infinite' in (folder / 'results.json').read_text()
    assert main(['convert', str(path), str(tmp_path / 'new.h5'), '--nan', 'drop']) == 0
    assert 'as read: scan.h5: slice 0: 10 samples are NaN or infinite' in capsys.readouterr().out
    assert bool(load_scan(tmp_path / 'new.h5').kspace.isfinite().all())
    with pytest.raises(ScanError, match='--nan drop'):
        load_scan(path)
    assert load_scan(path, nan='drop').mended


def test_a_volume_is_mended_partition_by_partition() -> None:
    scan = simulate(Simulation((12, 24, 20), 4, noise=0.01))
    kspace = scan.kspace[0].clone()
    kspace[1, 6, 12, 4:9] = float('nan')
    with reading_nan('drop') as mended:
        found = finite_slabs(kspace[None], 'k-space')[0]
    assert mended.findings[0].startswith('k-space, partition 6: 5 samples are NaN or infinite')
    lost = scan.kspace[0, 1, 6, 12, 4:9]
    assert (found[1, 6, 12, 4:9] - lost).norm() < 0.5 * lost.norm()


def test_noise_goes_on_without_what_is_not_finite() -> None:
    noise = random_kspace(3, 1, 40)[:, 0]
    noise[1, 7], noise[2] = float('nan'), float('inf')
    with reading_nan('drop') as mended:
        found = finite_noise(noise, 'noise')
    assert found.shape == (3, 39)
    assert torch.equal(found[0], torch.cat([noise[0, :7], noise[0, 8:]]))
    assert not found[2].any()
    assert (
        'noise: 41 samples are NaN or infinite, the first in coil 1, line 0, sample 7: 39 of 40' in mended.findings[0]
    )
    with pytest.raises(ScanError, match=r'noise: 41 samples.*--nan drop'):
        finite_noise(noise, 'noise')


def test_nothing_is_invented_where_nothing_is_left(tmp_path: Path) -> None:
    [path] = as_fastmri(tmp_path, with_holes((slice(None),)))
    with pytest.raises(ScanError, match='nothing is left to predict them from'):
        load_scan(path, nan='drop')
    with pytest.raises(ValueError, match="'zero': choose from refuse, drop"):
        load_scan(path, nan='zero')
    with pytest.raises(ScanError, match=r"nan='drop'\) replaces them"):
        raki.reconstruct(with_holes((1, 2, 3)), MASK)
