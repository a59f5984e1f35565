"""Volumes in files and on the command line: what is read, written, told and refused."""

import json
import re
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from raki.cli import main
from raki.coils.combine import matched_weights, rss_combination
from raki.coils.noise import noise_covariance
from raki.commands.gfactor import gfactor_maps
from raki.data.generic import DatasetLayout
from raki.data.lattice import undersample_volume
from raki.data.load import load_volume, open_scan
from raki.data.save import write_volume
from raki.data.simulate_volume import VolumeSimulation, simulate_volume
from raki.data.volume import Volume
from raki.errors import ResourceError, ScanError
from raki.evaluation.noise_maps import analytic_noise_map
from raki.fourier import centre_crop, image_from_kspace, kspace_from_image
from raki.grappa.method import Grappa
from raki.volume_pipeline import reconstruct_volume
from tests.test_cli import failure
from tests.test_ismrmrd import write as write_mrd
from tests.test_ismrmrd_volume import lines_of
from tests.test_ismrmrd_volume import positions as positions_of
from tests.toys import attributes, stored

AXES = ('coil', 'kz', 'ky', 'kx')
SETTINGS = VolumeSimulation((12, 26, 20), n_coils=4)
FULL = simulate_volume(SETTINGS)
SAMPLING = undersample_volume(FULL.mask, (2, 2), 1, (7, 12))
MEASURED = replace(FULL, kspace=torch.where(SAMPLING.mask[..., None], FULL.kspace, 0), mask=SAMPLING.mask)
Capture = pytest.CaptureFixture[str]


def numbers(volume: Tensor) -> np.ndarray[Any, Any]:
    return volume.numpy()


def plain(path: Path, **datasets: np.ndarray) -> Path:
    """A file that does not say what its axes are."""
    with h5py.File(path, 'w') as file:
        for name, values in datasets.items():
            file[name] = values
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """The undersampled volume as `raki simulate` writes it."""
    path = tmp_path / 'scan.h5'
    words = ['--matrix', '12x26x20', '--coils', '4', '--rate', '2x2', '--shift', '1', '--acs', '7x12']
    assert main(['simulate', '-o', str(path), *words]) == 0
    return path


def test_what_is_simulated_is_read_back_without_a_further_word(scan: Path) -> None:
    found = load_volume(scan)
    for name in ('kspace', 'mask', 'noise', 'reference'):
        assert torch.equal(getattr(found, name), getattr(MEASURED, name)), name


@pytest.mark.parametrize('order', [(0, 1, 2, 3), (1, 2, 3, 0), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_axes_may_come_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    assert order in set(permutations(range(4)))
    path = plain(tmp_path / 'a.h5', raw=numbers(MEASURED.kspace).transpose(order), mask=numbers(MEASURED.mask))
    found = load_volume(path, layout=DatasetLayout('raw', tuple(AXES[axis] for axis in order)))
    assert torch.equal(found.kspace, MEASURED.kspace)
    assert torch.equal(found.mask, MEASURED.mask)


def test_real_and_imaginary_parts_may_be_an_axis(tmp_path: Path) -> None:
    parts = torch.view_as_real(MEASURED.kspace).numpy()
    path = plain(tmp_path / 'a.h5', raw=parts, where=numbers(MEASURED.mask))
    for mask in ('where', 'zeros'):
        found = load_volume(path, layout=DatasetLayout('raw', (*AXES, 'complex')), mask=mask)
        assert torch.equal(found.kspace, MEASURED.kspace)
        assert torch.equal(found.mask, MEASURED.mask)


def test_zeros_around_a_volume_are_padding(tmp_path: Path) -> None:
    """Whatever the mask says, as of lines."""
    padded = torch.nn.functional.pad(torch.view_as_real(FULL.kspace), (0, 0, 0, 0, 2, 3, 1, 4))
    layout = DatasetLayout('raw', AXES)
    everything = np.ones((17, 31), bool)
    for others in ({}, {'mask': everything}):
        mask = load_volume(
            plain(tmp_path / 'a.h5', raw=numbers(torch.view_as_complex(padded)), **others), layout=layout
        )
        assert torch.equal(mask.mask, torch.nn.functional.pad(FULL.mask, (2, 3, 1, 4)))


def test_what_does_not_fit_a_volume_is_refused(tmp_path: Path) -> None:
    kspace, mask = numbers(MEASURED.kspace), numbers(MEASURED.mask)
    broken = kspace.copy()
    broken[2, 4, 6, 8] = np.nan
    for datasets, message in [
        ({'kspace': kspace}, r'lines \(kz, ky\) hold only zeros \(the first is line \[0, 1\]\) .* --mask zeros'),
        (
            {'kspace': kspace, 'mask': mask[:, :20]},
            r'must have axes \(kz, ky\) of size \(12, 26\), got \(12, 20',
        ),
        ({'kspace': kspace, 'mask': mask | True}, r'lines \(kz, ky\) \[\[0, 1\], .* are marked as measured'),
        ({'kspace': broken, 'mask': mask}, 'partition 4: 1 samples are NaN or infinite, the first in coil 2, line 6'),
        ({'kspace': kspace[0], 'mask': mask}, r'kspace has 3 axes \(12, 26, 20\), but 4 are named: coil,kz,ky,kx'),
    ]:
        with pytest.raises(ScanError, match=message):
            load_volume(plain(tmp_path / 'a.h5', **datasets), layout=DatasetLayout('kspace', AXES))


def test_a_volume_in_fastmri_layout_is_told_apart(tmp_path: Path) -> None:
    path = plain(tmp_path / 'a.h5', kspace=numbers(MEASURED.kspace), mask=numbers(MEASURED.mask))
    with pytest.raises(ScanError, match='if this is a volume, name its axes: --dataset NAME --axes coil,kz,ky,kx'):
        open_scan(path).read([0])


@pytest.mark.parametrize('axes', ['coil,kz,kx', 'slice,coil,kz,ky,kx', ''])
def test_axes_in_the_file_that_make_no_sense_are_refused(tmp_path: Path, axes: str) -> None:
    path = plain(tmp_path / 'a.h5', kspace=numbers(MEASURED.kspace))
    with h5py.File(path, 'r+') as file:
        file['kspace'].attrs['axes'] = axes
    with pytest.raises(ScanError, match='attribute axes of kspace: axes must name coil, ky and kx'):
        open_scan(path)


def test_a_reference_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.h5'
    write_volume(path, MEASURED, {})
    with h5py.File(path, 'r+') as file:
        del file['reference']
        file['reference'] = numbers(FULL.kspace)[:, :5]
    with pytest.raises(ScanError, match='reference must have the shape of kspace'):
        load_volume(path)


def test_fully_sampled_kz_goes_the_way_of_slices(tmp_path: Path) -> None:
    """With its truth, so that it can be compared."""
    write_volume(tmp_path / 'a.h5', FULL, {})
    file, slices = open_scan(tmp_path / 'a.h5'), FULL.as_slices()
    assert file.shape == (12, 4, 26, 20)
    one = file.read([7])
    assert torch.equal(one.kspace, slices.kspace[7:8])
    assert slices.reference is not None
    assert torch.equal(one.reference, slices.reference[7:8])  # type: ignore[arg-type]
    words = ['compare', str(tmp_path / 'a.h5'), '-o', str(tmp_path / 'out'), '--slice', '7', '--replicas', '0']
    assert main([*words, '--rates', '2', '--acs', '12', '--methods', 'grappa']) == 0


def test_reconstruct_writes_the_images_of_a_volume(scan: Path, tmp_path: Path) -> None:
    """The same as from Python; the filled k-space holds what was measured."""
    output = tmp_path / 'out.h5'
    assert main(['reconstruct', str(scan), '-o', str(output), '--kspace', '--device', 'cpu']) == 0
    expected = reconstruct_volume(load_volume(scan), Grappa(), device=torch.device('cpu'))
    np.testing.assert_array_equal(stored(output, 'reconstruction'), expected.image.numpy())
    slices = torch.from_numpy(stored(output, 'kspace')).transpose(-1, -2)
    kspace = kspace_from_image(slices.transpose(0, 1), (-3,))
    torch.testing.assert_close(kspace[:, MEASURED.mask], MEASURED.kspace[:, MEASURED.mask], rtol=1e-4, atol=1e-5)
    found = attributes(output)
    assert found['image_axes'] == 'image, phase encode, readout'
    assert json.loads(found['slice']) == list(range(12))


@pytest.mark.parametrize('image_shape', [None, (9, 24, 18)])
def test_gfactor_maps_of_a_volume_are_the_exact_ones(image_shape: tuple[int, int, int] | None) -> None:
    """Of the same combination, cropped as the images."""
    assert FULL.noise is not None
    volume = replace(MEASURED, image_shape=image_shape)
    result = reconstruct_volume(volume, Grappa(), device=torch.device('cpu'))
    found = gfactor_maps(volume, result, rss_combination)
    assert found.shape == result.image.shape
    fitted = result.interpolators[0]
    images = image_from_kspace(fitted.fill(MEASURED.kspace), (-3, -2, -1))
    expected = analytic_noise_map(fitted, noise_covariance(FULL.noise), matched_weights(images).conj()).gfactor
    torch.testing.assert_close(found, centre_crop(expected, tuple(found.shape)), rtol=1e-4, atol=0)


def test_the_command_line_writes_gfactors_of_a_volume(scan: Path, tmp_path: Path) -> None:
    output = tmp_path / 'out.h5'
    assert (
        main(['reconstruct', str(scan), '-o', str(output), '--method', 'grappa', '--gfactor', '--slices', '9', '2'])
        == 0
    )
    volume = load_volume(scan)
    expected = gfactor_maps(volume, reconstruct_volume(volume, Grappa()), rss_combination)[[9, 2]]
    np.testing.assert_allclose(stored(output, 'gfactor'), expected.numpy(), rtol=1e-5)
    assert not [note for note in json.loads(attributes(output)['notes']) if 'g-factor' in note]


def test_chosen_slices_of_a_volume_come_in_the_order_asked_for(scan: Path, tmp_path: Path) -> None:
    whole, some = tmp_path / 'whole.h5', tmp_path / 'some.h5'
    for output, words in [(whole, []), (some, ['--slices', '9', '2'])]:
        assert main(['reconstruct', str(scan), '-o', str(output), '--method', 'zero-filled', *words]) == 0
    np.testing.assert_array_equal(stored(some, 'reconstruction'), stored(whole, 'reconstruction')[[9, 2]])


def test_an_mrd_volume_with_repetitions_is_reconstructed(tmp_path: Path) -> None:
    """Two accelerated axes in the first repetition, one in the second."""
    sampling = undersample_volume(torch.ones(6, 12, dtype=torch.bool), (2, 2), 1, (6, 8))
    one_axis = undersample_volume(torch.ones(6, 12, dtype=torch.bool), (1, 2), 0, (6, 8))
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
        volume = load_volume(path, repetition=repetition)
        expected = image_from_kspace(volume.kspace, (-3, -2, -1)).abs().square().sum(0).sqrt().numpy()
        np.testing.assert_allclose(found[6 * repetition :][:6], expected, rtol=1e-4, atol=1e-5)
        image = reconstruct_volume(volume, None, device=cpu).image.numpy()
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
    lattice = SAMPLING.lattice.on(SAMPLING.shape)
    mask = lattice if fault == 'no ACS' else SAMPLING.mask.clone()
    if fault == 'small ACS':
        mask = lattice | undersample_volume(FULL.mask, (2, 2), 1, (2, 4)).mask
    if fault == 'a point missing':
        mask[0, 4] = False
    if fault == 'a stray point':
        mask[0, 5] = True
    return mask


@pytest.mark.parametrize(
    ('fault', 'words', 'message'),
    [
        ('none', ['--method', 'raki-2019'], 'Raki handles one accelerated axis so far, got R=2x2 shift 1: use GRAPPA'),
        ('no ACS', [], 'the volume has R=2x2 shift 1 but no ACS'),
        ('small ACS', [], r'needs an ACS of at least that size, got 2 x 4 x 20'),
        ('a point missing', [], 'must be a regular lattice outside the ACS'),
        ('a stray point', [], r'1 of them do not lie on R=2x2 shift 1, first \(kz, ky\) = \(0, 5\)'),
    ],
)
def test_a_volume_that_cannot_be_filled_gets_one_line_exit_code_3_and_no_output(
    tmp_path: Path, capsys: Capture, fault: str, words: list[str], message: str
) -> None:
    path, mask = tmp_path / 'scan.h5', pattern(fault)
    write_volume(path, Volume(FULL.kspace, mask), {})
    code, said = failure(['reconstruct', str(path), '-o', str(tmp_path / 'out.h5'), *words], capsys)
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
    assert 'two axes are accelerated; use raki reconstruct' in said


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--matrix', '12x26'], 'a matrix of 12x26 needs a rate such as 4, got 2x2'),
        (['--rate', '4'], 'a matrix of 12x26x20 needs a rate such as 2x2, got 4'),
        (['--acs', '12'], 'needs an ACS such as 12x24, got 12'),
        (['--rate', '0x2'], 'the rate must be 1 or more, got 0x2'),
        (['--rate', '2x'], '--rate needs numbers joined by x'),
        (['--slices', '2'], 'a volume has partitions instead of slices'),
        (['--matrix', '5'], 'the matrix needs 2 sizes such as 160x128, or 3 of a volume, got 5'),
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
    assert 'a volume of 64 x 4096 x 4096 x 4096 (coil, kz, ky, kx) is read whole and needs 246290.6 GB' in said
    with pytest.raises(ResourceError, match='is read whole'):
        load_volume(tmp_path / 'a.h5')
