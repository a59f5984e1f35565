"""Volumes on the command line: what is written, told and refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from raki.cli import main
from raki.coils.combine import matched_weights, rss_combination
from raki.coils.noise import noise_covariance
from raki.commands.catalogue import METHODS
from raki.commands.inputs import acs_for, rates_for
from raki.commands.job import Job
from raki.commands.parts import gfactor_maps
from raki.commands.reconstruct import reconstruct_file
from raki.commands.settings import Settings
from raki.data.load import load_scan, open_scan
from raki.data.sampling import undersample
from raki.data.save import write_scan
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import ResourceError
from raki.evaluation.noise_maps import analytic_noise_map
from raki.fourier import centre_crop, image_from_kspace, kspace_from_image
from raki.grappa.method import Grappa
from raki.interpolation.calibration import silent
from raki.interpolation.fit import ZeroFilling
from raki.networks.gated import Gated
from raki.pipeline import reconstruct
from tests.pretended import pretending
from tests.test_cli import failure
from tests.test_ismrmrd import write as write_mrd
from tests.test_ismrmrd_volume import lines_of
from tests.test_ismrmrd_volume import positions as positions_of
from tests.toys import attributes, stored

SETTINGS = Simulation((12, 26, 20), n_coils=4)
FULL = simulate(SETTINGS)
SAMPLING = undersample(FULL.mask, (2, 2), (7, 12), shift=1)
MEASURED = replace(FULL, kspace=torch.where(SAMPLING.mask[..., None], FULL.kspace, 0), mask=SAMPLING.mask)
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """The undersampled volume as `raki simulate` writes it."""
    path = tmp_path / 'scan.h5'
    words = ['--matrix', '12x26x20', '--coils', '4', '--rate', '2x2', '--shift', '1', '--acs', '7x12']
    assert main(['simulate', '-o', str(path), *words]) == 0
    return path


def test_what_is_simulated_is_read_back_without_a_further_word(scan: Path) -> None:
    found = load_scan(scan)
    for name in ('kspace', 'mask', 'noise', 'reference'):
        assert torch.equal(getattr(found, name), getattr(MEASURED, name)), name


def test_fully_sampled_kz_goes_the_way_of_slices(tmp_path: Path) -> None:
    """Read once, transformed along kz, and reconstructed slice by slice."""
    sampling = undersample(FULL.mask, (1, 2), (12, 12))
    half = replace(FULL, kspace=torch.where(sampling.mask[..., None], FULL.kspace, 0), mask=sampling.mask)
    write_scan(tmp_path / 'a.h5', half, {})
    words = ['reconstruct', str(tmp_path / 'a.h5'), '-o', str(tmp_path / 'out.h5'), '--method', 'grappa', '--gfactor']
    assert main([*words, '--device', 'cpu', '--slices', '9', '2']) == 0
    slices = half.as_slices()
    for number, index in enumerate([9, 2]):
        expected = reconstruct(slices.only(index), Grappa(), device=torch.device('cpu'))
        np.testing.assert_array_equal(stored(tmp_path / 'out.h5', 'reconstruction')[number], expected.image[0].numpy())
        maps = gfactor_maps(slices.only(index), expected, rss_combination)[0]
        np.testing.assert_allclose(stored(tmp_path / 'out.h5', 'gfactor')[number], maps.numpy(), rtol=1e-5)


def test_a_volume_is_compared_whole_and_shown_in_one_slice(tmp_path: Path, capsys: Capture) -> None:
    write_scan(tmp_path / 'a.h5', FULL, {})
    words = ['compare', str(tmp_path / 'a.h5'), '-o', str(tmp_path / 'out'), '--replicas', '2']
    assert main([*words, '--rates', '2x2', '2x2s1', '--acs', '8x14', '--methods', 'zero-filled', 'gated']) == 0
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    cells = [(row['method'], row['rate'], row['acs'], row['slice']) for row in results['rows']]
    assert cells == [(method, rate, '8x14', 6) for rate in ('2x2', '2x2s1') for method in ('zero-filled', 'gated')]
    assert all(row['gfactor_mean'] > 0 for row in results['rows'] if row['method'] == 'gated')
    assert results['scan']['shape'] == {'coil': 4, 'kz': 12, 'ky': 26, 'kx': 20}
    assert '2x2s1' in capsys.readouterr().out
    assert (tmp_path / 'out' / 'report.html').is_file()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--rates', '2'], 'a volume needs rates such as 2x2 or 2x3s1'),
        (['--rates', '2x2s2'], 's a CAIPI shift below Ry), got --rates 2x2s2'),
        (['--acs', '12'], 'a volume needs an ACS such as 16x24, got --acs 12'),
        (['--slices', '1', '2'], 'a volume is compared as a whole and shown in one slice'),
    ],
)
def test_rates_of_slices_do_not_fit_a_volume(tmp_path: Path, capsys: Capture, words: list[str], message: str) -> None:
    write_scan(tmp_path / 'a.h5', FULL, {})
    code, said = failure(['compare', str(tmp_path / 'a.h5'), '-o', str(tmp_path / 'out'), *words], capsys)
    assert code == 2
    assert message in said
    assert not (tmp_path / 'out').exists()


def test_what_is_compared_fits_the_scan(scan: Path, tmp_path: Path) -> None:
    """Without a word, the ACS is as large as usual, or as the scan."""
    write_scan(tmp_path / 'slices.h5', FULL.as_slices(), {})
    for path, rates, acs in [(scan, '2x2 2x3s1', (12, 24)), (tmp_path / 'slices.h5', '2 3 4 5', (24,))]:
        file = open_scan(path)
        assert ' '.join(map(str, rates_for(file, None))) == rates
        assert acs_for(file, None) == [acs]


def test_reconstruct_writes_the_images_of_a_volume(scan: Path, tmp_path: Path) -> None:
    """The same as from Python; the filled k-space holds what was measured."""
    output = tmp_path / 'out.h5'
    assert main(['reconstruct', str(scan), '-o', str(output), '--kspace', '--device', 'cpu']) == 0
    expected = reconstruct(load_scan(scan), Gated(), device=torch.device('cpu'))
    np.testing.assert_array_equal(stored(output, 'reconstruction'), expected.image.numpy())
    slices = torch.from_numpy(stored(output, 'kspace')).transpose(-1, -2)
    kspace = kspace_from_image(slices.transpose(0, 1), (-3,))
    torch.testing.assert_close(kspace[:, MEASURED.mask], MEASURED.kspace[0][:, MEASURED.mask], rtol=1e-4, atol=1e-5)
    found = attributes(output)
    assert found['image_axes'] == 'image, phase encode, readout'
    assert json.loads(found['slice']) == list(range(12))


@pytest.mark.parametrize('image_shape', [None, (9, 24, 18)])
def test_gfactor_maps_of_a_volume_are_the_exact_ones(image_shape: tuple[int, int, int] | None) -> None:
    """Of the same combination, cropped as the images."""
    assert FULL.noise is not None
    volume = replace(MEASURED, image_shape=image_shape)
    result = reconstruct(volume, Grappa(), device=torch.device('cpu'))
    found = gfactor_maps(volume, result, rss_combination)
    assert found.shape == result.image.shape
    fitted = result.interpolators[0]
    images = image_from_kspace(fitted.fill(MEASURED.kspace[0]), (-3, -2, -1))
    expected = analytic_noise_map(fitted, noise_covariance(FULL.noise), matched_weights(images).conj()).gfactor
    torch.testing.assert_close(found, centre_crop(expected, tuple(found.shape)), rtol=1e-4, atol=0)


def test_the_command_line_writes_gfactors_of_a_volume(scan: Path, tmp_path: Path) -> None:
    output = tmp_path / 'out.h5'
    assert (
        main(['reconstruct', str(scan), '-o', str(output), '--method', 'grappa', '--gfactor', '--slices', '9', '2'])
        == 0
    )
    volume = load_scan(scan)
    expected = gfactor_maps(volume, reconstruct(volume, Grappa()), rss_combination)[[9, 2]]
    np.testing.assert_allclose(stored(output, 'gfactor'), expected.numpy(), rtol=1e-5)
    assert not [note for note in json.loads(attributes(output)['notes']) if 'g-factor' in note]


@pytest.mark.parametrize('matrix', ['24x20', '12x26x20'], ids=['slices', 'volume'])
def test_images_and_gfactors_are_computed_on_the_device(tmp_path: Path, matrix: str) -> None:
    """With the bits of the CPU."""
    path, rate = tmp_path / 'scan.h5', ['2', '2x2'][matrix.count('x') - 1]
    words = ['--matrix', matrix, '--coils', '4', '--rate', rate, '--acs', ['12', '7x12'][matrix.count('x') - 1]]
    assert main(['simulate', '-o', str(path), *words]) == 0
    job, file = Job(Settings(method='grappa', combine='walsh', gfactor=True)), open_scan(path)
    reconstruct_file(file, tmp_path / 'here.h5', job, lambda _name: silent)
    with pretending() as device:
        reconstruct_file(file, tmp_path / 'there.h5', replace(job, device=device), lambda _name: silent)
    for name in ('reconstruction', 'gfactor'):
        np.testing.assert_array_equal(stored(tmp_path / 'there.h5', name), stored(tmp_path / 'here.h5', name))


def test_images_lie_as_the_file_does(tmp_path: Path) -> None:
    """A volume with axes coil, kz, kx, ky has its readout along the rows of an image, and so have its pictures."""
    found = []
    for name, kspace, axes in [('a', FULL.kspace[0], 'coil,kz,ky,kx'), ('b', FULL.kspace[0].mT, 'coil,kz,kx,ky')]:
        path, output = tmp_path / f'{name}.h5', tmp_path / f'{name}.out.h5'
        with h5py.File(path, 'w') as file:
            file['kspace'], file['mask'] = kspace.numpy(), SAMPLING.mask.numpy()
            file['kspace'].attrs['axes'] = axes
        assert main(['reconstruct', str(path), '-o', str(output), '--method', 'grappa', '--kspace']) == 0
        found.append(stored(output, 'reconstruction'))
        vertical = attributes(output)['image_axes'].split(', ')[1]
        assert main(['view', str(output), '--no-open']) == 0
        assert f'vertical {vertical}, horizontal' in output.with_suffix('.html').read_text()
    np.testing.assert_array_equal(found[0], found[1].swapaxes(1, 2))


def test_chosen_slices_of_a_volume_come_in_the_order_asked_for(scan: Path, tmp_path: Path) -> None:
    whole, some = tmp_path / 'whole.h5', tmp_path / 'some.h5'
    for output, words in [(whole, []), (some, ['--slices', '9', '2'])]:
        assert main(['reconstruct', str(scan), '-o', str(output), '--method', 'zero-filled', *words]) == 0
    np.testing.assert_array_equal(stored(some, 'reconstruction'), stored(whole, 'reconstruction')[[9, 2]])


def test_an_mrd_volume_with_repetitions_is_reconstructed(tmp_path: Path) -> None:
    """Two accelerated axes in the first repetition, one in the second."""
    sampling = undersample(torch.ones(6, 12, dtype=torch.bool), (2, 2), (6, 8), shift=1)
    one_axis = undersample(torch.ones(6, 12, dtype=torch.bool), (1, 2), (6, 8))
    acquisitions = [
        replace(line, counters=(*line.counters, ('repetition', repetition)))
        for repetition, mask in enumerate([sampling.mask, one_axis.mask])
        for line in lines_of(positions_of(mask))
    ]
    path, output = write_mrd(tmp_path / 'scan.h5', acquisitions, z=6), tmp_path / 'out.h5'
    assert main(['reconstruct', str(path), '-o', str(output), '--device', 'cpu', '--method', 'zero-filled']) == 0
    cpu, found = torch.device('cpu'), stored(output, 'reconstruction')
    assert found.shape == (12, 12, 16)
    for repetition in range(2):
        volume = load_scan(path, repetition=repetition)
        expected = image_from_kspace(volume.kspace[0], (-3, -2, -1)).abs().square().sum(0).sqrt().numpy()
        np.testing.assert_allclose(found[6 * repetition :][:6], expected, rtol=1e-4, atol=1e-5)
        image = reconstruct(volume, ZeroFilling(), device=cpu).image.numpy()
        np.testing.assert_allclose(found[6 * repetition :][:6], image, rtol=1e-6)


def test_info_tells_the_lattice_of_a_volume(scan: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert main(['info', str(scan), '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['shape'] == {'coil': 4, 'kz': 12, 'ky': 26, 'kx': 20}
    [repetition] = found['repetitions']
    assert (repetition['acceleration'], repetition['caipi_shift']) == ([2, 2], 1)
    assert (repetition['acs'], repetition['acs_lines']) == ('partitions 3 to 9, lines 7 to 18', 84)
    assert repetition['problem'] is None
    assert 'a volume is read whole and needs' in found['notes'][0]
    assert main(['info', str(scan)]) == 0
    assert re.search(r'acceleration\s*│ 2 x 2', capsys.readouterr().out)


def pattern(fault: str) -> Tensor:
    """A mask (kz, ky) with one fault."""
    lattice = SAMPLING.lattice.on(SAMPLING.mask.shape)
    mask = lattice if fault == 'no ACS' else SAMPLING.mask.clone()
    if fault == 'small ACS':
        mask = lattice | undersample(FULL.mask, (2, 2), (2, 4), shift=1).mask
    if fault == 'a point missing':
        mask[0, 4] = False
    if fault == 'a stray point':
        mask[0, 5] = True
    return mask


@pytest.mark.parametrize('method', ['raki', 'raki-complex', 'rraki', 'iraki'])
def test_networks_reconstruct_a_volume(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setitem(METHODS, method, METHODS[method].with_iterations(20))  # type: ignore[attr-defined]
    output = tmp_path / 'out.h5'
    assert main(['reconstruct', str(scan), '-o', str(output), '--method', method]) == 0
    assert stored(output, 'reconstruction').shape == (12, 26, 20)
    assert json.loads(attributes(output)['settings'])['seed'] == 0


@pytest.mark.parametrize(
    ('fault', 'message'),
    [
        ('no ACS', 'the scan has R=2x2 shift 1 but no ACS'),
        ('small ACS', r'needs an ACS of at least that size, got 2 x 4 x 20'),
        ('a point missing', 'must be a regular lattice outside the ACS'),
        ('a stray point', r'1 of them do not lie on R=2x2 shift 1, first \(kz, ky\) = \(0, 5\)'),
    ],
)
def test_a_volume_that_cannot_be_filled_gets_one_line_exit_code_3_and_no_output(
    tmp_path: Path, capsys: Capture, fault: str, message: str
) -> None:
    path, mask = tmp_path / 'scan.h5', pattern(fault)
    write_scan(path, Scan(FULL.kspace, mask), {})
    code, said = failure(['reconstruct', str(path), '-o', str(tmp_path / 'out.h5')], capsys)
    assert code == 3
    assert re.search(message, said), said
    assert [item.name for item in tmp_path.iterdir()] == ['scan.h5']
    capsys.readouterr()
    assert main(['info', str(path)]) == 0
    problem = {'no ACS': 'nothing can be learnt', 'a stray point': 'do not lie on'}.get(fault)
    assert problem is None or problem in capsys.readouterr().out


def test_comparing_needs_a_fully_sampled_volume(scan: Path, tmp_path: Path, capsys: Capture) -> None:
    code, said = failure(['compare', str(scan), '-o', str(tmp_path / 'out')], capsys)
    assert code == 3
    assert 'use raki reconstruct' in said


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--matrix', '12x26'], 'a matrix of 12x26 needs a rate such as 4, got 2x2'),
        (['--rate', '4'], 'a matrix of 12x26x20 needs a rate such as 2x2, got 4'),
        (['--acs', '12'], 'needs an ACS such as 12x24, got 12'),
        (['--rate', '0x2'], 'the rate must be 1 or more, got 0x2'),
        (['--rate', '2x'], '--rate needs numbers joined by x'),
        (['--slices', '2'], 'a volume has partitions instead of slices'),
        (['--matrix', '5'], 'the matrix must have 2 sizes (ky, kx), or 3 of a volume, got (5,)'),
        (['--acs', '13x12'], 'an ACS of 13 partitions does not fit'),
        (['--matrix', '12x26', '--rate', '2', '--acs', '12'], 'a CAIPI shift needs a volume'),
    ],
)
def test_what_cannot_be_simulated_is_wrong_usage(
    tmp_path: Path, capsys: Capture, words: list[str], message: str
) -> None:
    base = ['--matrix', '12x26x20', '--rate', '2x2', '--shift', '1', '--acs', '7x12', '--coils', '4']
    code, said = failure(['simulate', '-o', str(tmp_path / 'out.h5'), *base, *words], capsys)
    assert code == 2
    assert message in said
    assert list(tmp_path.iterdir()) == []


def test_a_volume_beyond_memory_ends_with_exit_code_5(tmp_path: Path, capsys: Capture) -> None:
    """Before any of it is read; what it needs is said."""
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.create_dataset('kspace', (64, 4096, 4096, 4096), 'c8')
        file['kspace'].attrs['axes'] = 'coil,kz,ky,kx'
    code, said = failure(['info', str(tmp_path / 'a.h5')], capsys)
    assert code == 5
    assert 'a volume of 64 x 4096 x 4096 x 4096 (coil, kz, ky, kx) is read whole and needs 281476.2 GB' in said
    with pytest.raises(ResourceError, match='is read whole'):
        load_scan(tmp_path / 'a.h5')
