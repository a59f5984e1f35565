"""The Python face: arrays in, arrays out, results that show themselves, errors that restate the call."""

import json
import re
import sys
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
from raki.commands.reconstruct import NOT_FILLED
from raki.commands.verify import verify_paths
from raki.data.images.outputs import WRITERS
from raki.data.result import open_reconstruction
from raki.data.save import write_scan
from raki.errors import ExtraError
from raki.face.calls import in_python
from raki.interpolation.fit import fit
from raki.pipeline import COMBINATIONS, reconstruct
from tests.toys import random_kspace

FULL = raki.simulate(raki.Simulation(matrix=(40, 32), n_coils=4, n_slices=2))
KSPACE = FULL.kspace.numpy()
MASK = raki.undersample(FULL.mask, (2,), (16,)).mask.numpy()
HALF = raki.scan_of(KSPACE[0], MASK)
EXPECTED = reconstruct(HALF, raki.Grappa(), device=torch.device('cpu'))
VOLUME = raki.simulate(raki.Simulation(matrix=(8, 24, 20), n_coils=6))
LATTICE = raki.undersample(VOLUME.mask, (2, 2), (6, 12), shift=1)

Make = Callable[[np.ndarray], Any]


@pytest.mark.parametrize(
    'make',
    [
        lambda kspace: kspace,
        lambda kspace: kspace.astype(np.complex128),
        lambda kspace: kspace.astype(np.clongdouble),
        lambda kspace: kspace.astype('>c8'),
        lambda kspace: kspace.copy(order='F'),
        lambda kspace: kspace.tolist(),
        torch.from_numpy,
        lambda kspace: torch.from_numpy(kspace).to(torch.complex128).requires_grad_(),
        lambda kspace: torch.from_numpy(kspace.conj()).conj(),
        lambda kspace: torch.from_numpy(kspace).to_sparse(),
        lambda kspace: np.stack([kspace, kspace], -1)[..., 1],
        lambda kspace: np.frombuffer(kspace.tobytes(), kspace.dtype).reshape(kspace.shape),
    ],
    ids=[
        'single',
        'double',
        'long double',
        'big endian',
        'Fortran',
        'list',
        'torch',
        'torch double',
        'conjugate view',
        'sparse',
        'strided',
        'read-only',
    ],
)
def test_arrays_of_any_kind_give_the_same_image(make: Make) -> None:
    found = raki.reconstruct(make(KSPACE[0]), MASK, 'grappa', device='cpu')
    assert (type(found.image), found.image.dtype, found.image.shape) == (np.ndarray, np.float32, (40, 32))
    assert (found.kspace.dtype, found.kspace.shape) == (np.complex64, (4, 40, 32))
    assert np.array_equal(found.image, EXPECTED.image[0].numpy())
    assert np.array_equal(found.kspace[:, MASK], KSPACE[0][:, MASK])


@pytest.mark.parametrize(
    'mask',
    [
        MASK.tolist(),
        MASK.astype(np.uint8),
        MASK.astype(np.uint16),
        MASK.astype(np.float32),
        torch.from_numpy(MASK).double(),
        np.repeat(MASK[:, None], 32, 1),
        MASK[None, None, :, None],
        KSPACE[0] * MASK[:, None] != 0,
        raki.undersample(FULL.mask, (2,), (16,)),
    ],
    ids=['list', 'bytes', 'integers', 'single', 'torch double', 'with readout', 'broadcast', 'as k-space', 'sampling'],
)
def test_masks_of_any_kind_give_the_same_image(mask: Any) -> None:
    assert np.array_equal(raki.reconstruct(KSPACE[0], mask, 'grappa').image, EXPECTED.image[0].numpy())


def test_without_a_mask_lines_of_zeros_are_missing() -> None:
    measured = KSPACE[0] * MASK[:, None]
    for found in (
        raki.reconstruct(measured, 'grappa'),
        raki.reconstruct(measured, method='grappa'),
        raki.reconstruct(measured, None, raki.Grappa()),
        raki.reconstruct(measured, raki.Grappa()),
    ):
        assert np.array_equal(found.image, EXPECTED.image[0].numpy())


def test_slices_are_reconstructed_one_by_one() -> None:
    found = raki.reconstruct(KSPACE, MASK, 'grappa')
    assert (found.image.shape, found.kspace.shape) == ((2, 40, 32), (2, 4, 40, 32))
    for index, kspace in enumerate(KSPACE):
        assert np.array_equal(found.image[index], raki.reconstruct(kspace, MASK, 'grappa').image)


def test_a_volume_is_known_by_its_mask() -> None:
    """Also where a mask has the readout, too."""
    kspace = VOLUME.kspace[0].numpy()
    expected = reconstruct(raki.Scan(VOLUME.kspace * LATTICE.mask[..., None], LATTICE.mask), raki.Grappa())
    for given, mask in (
        (kspace, LATTICE.mask.numpy()),
        (kspace[None], LATTICE.mask.numpy()),
        (kspace, np.repeat(LATTICE.mask.numpy()[..., None], 20, -1)),
    ):
        found = raki.reconstruct(given, mask, 'grappa')
        assert found.image.shape == (8, 24, 20)
        assert np.array_equal(found.image, expected.image.numpy())


def test_a_scan_is_the_same_and_may_get_another_mask() -> None:
    assert np.array_equal(raki.reconstruct(HALF, 'grappa').image, EXPECTED.image.numpy())
    found = raki.reconstruct(replace(FULL, noise=None, reference=None).only(0), MASK, 'grappa')
    assert np.array_equal(found.image, EXPECTED.image.numpy())


def test_noise_and_separate_calibration_are_those_of_the_scan() -> None:
    every_other = np.arange(40) % 2 == 0
    assert FULL.noise is not None
    scan = raki.scan_of(
        KSPACE[0], every_other, noise=FULL.noise.numpy(), calibration=KSPACE[0][:, 12:28], voxel_size=(2e-3, 1e-3)
    )
    assert scan.calibration is not None
    assert repr(scan).endswith('20 of 40 lines, R = 2, separate ACS 16, noise)')
    assert 'R = 2, separate ACS 16' in repr(raki.reconstruct(scan, 'grappa'))
    assert tuple(scan.calibration.shape) == (1, 4, 16, 32)
    direct = raki.Scan(
        FULL.kspace[:1] * torch.from_numpy(every_other)[:, None],
        torch.from_numpy(every_other),
        FULL.kspace[:1, :, 12:28],
        FULL.noise,
    )
    assert np.array_equal(raki.reconstruct(scan, 'grappa').image, raki.reconstruct(direct, 'grappa').image)


def test_what_is_written_into_arrays_of_a_result_is_never_saved(tmp_path: Path) -> None:
    for scan in (HALF, raki.scan_of(KSPACE, MASK)):
        result = raki.reconstruct(scan, 'zero-filled')
        image = result.image
        before = image.copy(), result.kspace
        image[:], result.kspace[:] = 0, 0
        assert all(map(np.array_equal, before, (result.image, result.kspace)))
        result.save(tmp_path / 'out.h5')
        with h5py.File(tmp_path / 'out.h5') as saved:
            assert saved['reconstruction'][()].any()  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue]


def test_arguments_stay_as_they_are() -> None:
    kspace, mask = KSPACE[0].copy(), MASK.copy()
    result = raki.reconstruct(kspace, mask, 'grappa')
    result.image[:], result.kspace[:] = 0, 0
    assert np.array_equal(kspace, KSPACE[0])
    assert np.array_equal(mask, MASK)


@pytest.mark.parametrize('name', COMBINATIONS)
def test_a_way_to_combine_may_be_named(name: str) -> None:
    found = raki.reconstruct(KSPACE[0], MASK, 'zero-filled', combine=name)
    expected = raki.reconstruct(KSPACE[0], MASK, 'zero-filled', combine=COMBINATIONS[name])
    assert np.array_equal(found.image, expected.image)


def test_arrays_are_undersampled_as_tensors_are() -> None:
    for measured in (np.ones(40), torch.ones(40, dtype=torch.bool), [1] * 40):
        assert np.array_equal(raki.undersample(measured, 2, 16).mask, MASK)
    with pytest.raises(raki.SamplingError, match=r'^raki\.undersample\(measured \(40,\), 2, 80\): an ACS of 80 lines'):
        raki.undersample(np.ones(40), 2, 80)


CHANGING = MASK[:, None] & (np.arange(32) != 3)
BY_COIL = np.array([True, True, True, False])[:, None, None] & MASK[:, None]
SQUARE = KSPACE[0, :, :32] * MASK[:32, None]
COILS_LAST = np.moveaxis(KSPACE[0], 0, -1)
CALL = r'raki\.reconstruct\(kspace \(4, 40, 32\), mask \(40,\), \'grappa\'\): '


@pytest.mark.parametrize(
    ('kspace', 'mask', 'message'),
    [
        (
            KSPACE[0],
            MASK[:36],
            r'^raki\.reconstruct\(kspace \(4, 40, 32\), mask \(36,\), \'grappa\'\): the mask has 36 ',
        ),
        (KSPACE[0], MASK[:32], r'entries for ky of 40: axes are \(coil, ky, kx\), the readout last; kspace\.swapaxes'),
        (KSPACE[0], CHANGING, r'the mask \(40, 32\) changes along kx, the readout, but lines are measured whole'),
        (KSPACE[0], np.broadcast_to(BY_COIL, (4, 40, 32)), r'the mask \(4, 40, 32\) changes .* from coil to coil'),
        (
            COILS_LAST,
            MASK,
            r'has 40 entries, the size of axis 0 of kspace, but ky, .*, has 32: .*kspace, -1, 0\) moves',
        ),
        (COILS_LAST, None, r'kspace would have 40 coils and 4 samples along kx, .*np\.moveaxis\(kspace, -1, 0\) moves'),
        (np.swapaxes(SQUARE, 1, 2), MASK[:32], r'exchange the last two, kspace\.swapaxes\(-2, -1\)$'),
        (KSPACE, np.ones((3, 5)), r'fits no lines: wanted are axes \(ky,\) of size 40, or \(kz, ky\) .*\(4, 40\)$'),
        (KSPACE[0], np.full(40, np.nan), 'the mask holds NaN'),
        (KSPACE[0], np.zeros(40), 'the mask calls no line measured that holds samples'),
        (KSPACE[:0], MASK, r'kspace is empty, its size is \(0, 4, 40, 32\)$'),
        (KSPACE[0].real, MASK, CALL + r'kspace must be complex, got float32: .* kspace\[\.\.\., 0\] \+ 1j \*'),
        (KSPACE[0, 0], MASK, r'kspace must have axes \(coil, ky, kx\) or .*, got 2 axes$'),
        (Path('scan.h5'), None, r'kspace must be an array, got a path: raki\.load_scan\(path\) reads a file'),
        (['k', 's'], MASK, r"^raki\.reconstruct\(\['k', 's'\], .*\): kspace must be an array of numbers, got list"),
        (KSPACE[0] * np.nan, MASK, CALL + 'kspace holds NaN or infinite values'),
        (1e-99 * KSPACE[0].astype(complex), MASK, r'kspace has samples up to \d\.\de-\d+, .* range of single'),
        (0 * KSPACE[0], MASK, 'kspace: k-space holds nothing but zeros'),
        (KSPACE[0] * MASK[:, None], np.ones(40), r'lines \[.*\] are marked as measured, but hold only zeros'),
        (np.swapaxes(KSPACE[0] * MASK[:, None], 1, 2), None, r'exchange the last two, kspace\.swapaxes\(-2, -1\)$'),
        (KSPACE * np.stack([MASK, ~MASK])[:, None, :, None], None, r'slices must have the same lines, but slice 0 has'),
        (VOLUME.kspace[0] * LATTICE.mask[..., None], None, r'if this is a volume .*, give its mask \(kz, ky\)$'),
        (
            np.ones((3, 6, 6, 6), complex),
            np.ones((6, 6)),
            r'give \(ky,\) for slices, of size 6, or \(kz, ky\) for a vol',
        ),
        (KSPACE[0], np.arange(40) % 4 == 0, r'no ACS.*give them by raki\.scan_of\(\.\.\., calibration=acs\)$'),
    ],
)
def test_what_does_not_fit_is_said_of_the_call(kspace: Any, mask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        raki.reconstruct(kspace, mask, 'grappa')
    assert str(caught.value).startswith('raki.reconstruct(')
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'method': 'grapa'}, r"mask \(40,\), 'grapa'\): no method 'grapa': choose from zero-filled, grappa"),
        ({'combine': 'sum'}, "no combination 'sum': choose from rss, walsh, espirit"),
        ({'combine': None}, 'no combination None: choose from rss, walsh, espirit'),
        ({'fitted': EXPECTED}, r'fitted is what load_fits gives, or \.interpolators of a result, got Reconstruction'),
        ({'spikes': 'no'}, "no way to treat spikes 'no': choose from warn, drop, keep"),
        ({'device': 'abacus'}, "no device 'abacus' .*: leave device out"),
        ({'device': torch.device('cuda:99')}, "no device 'cuda:99' .*: leave device out"),
        ({'method': raki.Grappa}, r'Grappa is a class: wanted is a method, such as raki\.Grappa\(\)'),
        ({'method': 4}, r'a method is its name, or an object such as raki\.Grappa\(\), got int'),
        ({'coils': 9}, r'can be compressed to 2 to 4 virtual coils, got 9'),
    ],
)
def test_options_that_there_are_not_are_said_of_the_call(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        raki.reconstruct(KSPACE[0], MASK, **options)
    assert str(caught.value).startswith('raki.reconstruct(kspace (4, 40, 32), mask (40,)')


def test_two_methods_and_no_mask_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^raki\.reconstruct\(kspace .*, 'gated', 'grappa'\): two methods, and no mask"
    ):
        raki.reconstruct(KSPACE[0], 'gated', 'grappa')


def test_options_of_the_command_line_are_named_as_in_python() -> None:
    assert in_python('cannot write /a--b/--c/x.h5') == 'cannot write /a--b/--c/x.h5'
    advice = '--spikes drop replaces them, or use another --partial-fourier; leave --device out'
    assert in_python(advice) == "spikes='drop' replaces them, or use another partial_fourier; leave device out"


# At a glance


def seen(shown: Any) -> tuple[str, int]:
    """What an object shows as text, pictures left out, and how many pictures."""
    html = shown._repr_html_()
    return repr(shown) + re.sub(r'data:image/png;base64,[A-Za-z0-9+/=]+', '', html), html.count('data:image/png')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_scan(tmp_path / 'scan.h5', replace(FULL, mask=torch.from_numpy(MASK), reference=None), {})
    return tmp_path / 'scan.h5'


def test_scans_files_and_results_show_themselves_without_their_arrays(path: Path) -> None:
    for shown in (
        HALF,
        raki.open_scan(path),
        raki.reconstruct(HALF, 'grappa'),
        raki.scan_of(VOLUME.kspace[0], LATTICE),
    ):
        text, n_pictures = seen(shown)
        assert n_pictures == 1
        assert 'tensor' not in text
        assert 'R = 2' in text
        assert re.search(r'ACS \d', text)
        assert len(text) < 700
        assert len(repr(shown)) < 150
    assert repr(HALF) == 'Scan(1 slice, 4 coils, ky 40 x kx 32, 28 of 40 lines, R = 2, ACS 17)'
    assert repr(EXPECTED) == 'Reconstruction(image 1 x 40 x 32)'


def test_any_pattern_is_said_in_few_words() -> None:
    def words(mask: torch.Tensor) -> str:
        return repr(raki.Scan(random_kspace(1, 2, len(mask), 8), mask))

    mask = torch.zeros(40, dtype=torch.bool)
    assert '0 of 40 lines, no lattice' in words(mask)
    mask[[0, 4, 9, 14, 18, 23, 28]] = True
    assert 'no ACS' in words(mask)
    assert 'fully sampled' in words(torch.ones(40, dtype=torch.bool))


def test_a_file_that_cannot_be_read_says_so_where_it_is_shown(path: Path) -> None:
    with h5py.File(path, 'r+') as file:
        file['kspace'][1] = np.nan  # pyright: ignore[reportIndexIssue]
    text, n_pictures = seen(raki.open_scan(path))
    assert n_pictures == 0
    assert 'NaN' in text


def test_names_of_files_are_no_html(path: Path) -> None:
    odd = path.rename(path.with_name('<img>.h5'))
    assert '<img>' not in seen(raki.open_scan(odd))[0].removeprefix(repr(raki.open_scan(odd)))


def test_warnings_stand_below() -> None:
    kspace = KSPACE[0].copy()
    kspace[1, 6, 20] += 30 * np.abs(kspace).max() / 100
    result = raki.reconstruct(kspace, MASK, 'grappa')
    (warning,) = result.warnings
    assert "spikes='drop' replaces them" in warning
    assert '1 warning' in repr(result)
    assert 'spikes=&#x27;drop&#x27;' in result._repr_html_()


def test_a_result_draws_itself() -> None:
    pytest.importorskip('matplotlib')
    result = raki.reconstruct(KSPACE, MASK, 'zero-filled')
    for slices, n_panels in ((None, 2), ([1], 1)):
        figure = result.plot(slices)
        assert len(figure.axes) == n_panels
        assert figure._repr_png_().startswith(b'\x89PNG')
    (panel,) = raki.reconstruct(KSPACE[0], MASK, 'zero-filled').plot().axes
    np.testing.assert_array_equal(panel.images[0].get_array(), raki.reconstruct(KSPACE[0], MASK, 'zero-filled').image)
    with pytest.raises(ValueError, match=r'plot\(\[2\]\): no slice 2: there are slices 0 to 1'):
        result.plot([2])


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('matplotlib', 'pandas'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraError, match=r"plot\(\) needs matplotlib, .*: pip install 'raki\[figure\]'"):
        raki.reconstruct(HALF, 'zero-filled').plot()
    with pytest.raises(ExtraError, match=r"needs pandas, .*: pip install 'raki\[frame\]'"):
        raki.compare(KSPACE[0], 2, 'zero-filled', acs=12, replicas=0).to_frame()


# Files


@pytest.mark.parametrize('suffix', WRITERS)
def test_a_result_saves_itself_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f'images{suffix}'
    assert raki.reconstruct(KSPACE, MASK, 'grappa').save(path) == path
    assert list(tmp_path.glob(f'images*{suffix}'))
    assert all(not each.problem for each in verify_paths([tmp_path]))


def test_a_saved_result_is_what_the_command_line_writes(path: Path) -> None:
    """The same pixels, turned as the file's own images are, and a manifest with the same names."""
    words = ['--method', 'grappa', '--kspace']
    assert main(['reconstruct', str(path), '-o', str(path.with_name('command.h5')), *words]) == 0
    raki.reconstruct(raki.open_scan(path), 'grappa').save(path.with_name('python.h5'), kspace=True)
    with h5py.File(path.with_name('command.h5')) as command, h5py.File(path.with_name('python.h5')) as python:
        assert set(command) == set(python)
        for name in command:
            np.testing.assert_array_equal(command[name][()], python[name][()])  # pyright: ignore[reportIndexIssue]
        manifests = [dict(each.attrs) for each in (command, python)]
    assert set(manifests[0]) == set(manifests[1])
    for name in (
        'method',
        'settings',
        'notes',
        'warnings',
        'acceleration',
        'input',
        'source_file',
        'combine',
        'whiten',
    ):
        assert manifests[0][name] == manifests[1][name]
    assert open_reconstruction(path.with_name('python.h5'))


def test_what_cannot_be_saved_is_said_of_the_call(tmp_path: Path) -> None:
    result = raki.reconstruct(HALF, 'zero-filled')
    with pytest.raises(ValueError, match=r"save\('.*\): .*x\.jpg: no format has this suffix: choose from"):
        result.save(tmp_path / 'x.jpg')  # long paths are cut short in the call
    with pytest.raises(ValueError, match=r'PNG has no place for the filled k-space'):
        result.save(tmp_path / 'x.png', kspace=True)
    (tmp_path / 'x.png').mkdir()
    with pytest.raises(ValueError, match=r'x\.png.*\): wanted is a file, but .*x\.png is a folder$'):
        result.save(tmp_path / 'x.png')


def test_fits_of_a_result_fill_in_the_next_scan(tmp_path: Path) -> None:
    result = raki.reconstruct(HALF, 'grappa', coils=3)
    raki.save_fits(tmp_path / 'fit.safetensors', result)
    fits = raki.load_fits(tmp_path / 'fit.safetensors')
    for fitted in (fits, fits.interpolators):
        again = raki.reconstruct(HALF, fitted=fitted)
        assert np.array_equal(again.image, result.image)
        with pytest.raises(ValueError, match='save_fits needs the scan and the method'):
            raki.save_fits(tmp_path / 'again.safetensors', again)
    with pytest.raises(ValueError, match='save_fits needs the scan and the method'):
        raki.save_fits(tmp_path / 'fit.safetensors', result.reconstruction)


def test_what_fits_filled_in_tells_their_method_and_doubts(tmp_path: Path) -> None:
    """As `raki reconstruct --fit` does: nothing says that the default method was used."""
    raki.save_fits(tmp_path / 'fit.safetensors', raki.reconstruct(HALF, 'grappa'))
    fits = raki.load_fits(tmp_path / 'fit.safetensors')
    assert repr(raki.reconstruct(HALF, fitted=fits.interpolators)).startswith('Result(of an earlier scan, ')
    brighter = raki.reconstruct(3 * KSPACE[0], MASK, fitted=fits)
    assert repr(brighter).startswith('Result(grappa, ')
    assert 'the scan is 3 times as bright as that of the fit' in brighter.warnings[0]
    assert 'nothing was learnt from this scan: fit.safetensors' in brighter.notes[0]
    assert (brighter.manifest['method'], brighter.options['method']) == ('grappa', 'grappa')
    assert brighter.manifest['fit']['sha256'] == fits.digest
    assert json.dumps(brighter.manifest['settings']) == json.dumps(
        raki.reconstruct(HALF, 'grappa').manifest['settings']
    )
    with pytest.raises(
        ValueError, match=r'the fits fit\.safetensors are of grappa, not of gated: leave the method out$'
    ):
        raki.reconstruct(HALF, 'gated', fitted=fits)
    with pytest.raises(
        raki.ScanError, match=r'^raki\.reconstruct\(.*\): slice 0 has 3 x 40 x 32 .* the fit is for 4 x 40'
    ):
        raki.reconstruct(KSPACE[0, 1:], MASK, fitted=fits)


def test_a_full_scan_says_that_nothing_was_filled_in() -> None:
    assert raki.reconstruct(KSPACE[0]).notes == (NOT_FILLED,)


# Comparisons

TIMES = ('seconds_fit', 'seconds_fill', 'seconds_cpu')


@pytest.fixture(scope='module')
def two() -> raki.Comparison:
    """Of one slice at two rates."""
    return raki.compare(FULL.only(1), [2, 4], ['zero-filled', 'grappa', 'gated'], acs=16, replicas=4, device='cpu')


def test_a_comparison_is_what_the_command_line_finds(tmp_path: Path) -> None:
    """Row by row but for seconds, and in the same two files, which need no scan in a file."""
    write_scan(tmp_path / 'full.h5', FULL, {})
    words = ['--rates', '2', '4', '--acs', '16', '--methods', 'zero-filled', 'grappa', 'gated', '--replicas', '4']
    assert main(['compare', str(tmp_path / 'full.h5'), '-o', str(tmp_path / 'out'), *words, '--device', 'cpu']) == 0
    found = raki.compare(FULL, [2, '4'], ['zero-filled', 'grappa', raki.Gated()], acs=16, replicas=4, device='cpu')
    folder = found.save(tmp_path / 'python' / 'deep')
    command, python = (json.loads((each / 'results.json').read_text()) for each in (tmp_path / 'out', folder))
    for one, other in zip(command['rows'], python['rows'], strict=True):
        assert {**one, **dict.fromkeys(TIMES)} == {**other, **dict.fromkeys(TIMES)}
    assert command['settings'] == python['settings']
    assert python['scan']['file'] == 'k-space in memory'
    assert (folder / 'report.html').read_text() == found.report().html
    assert all(not each.problem for each in verify_paths([folder]))


def test_a_comparison_shows_verdict_table_and_picture(two: raki.Comparison) -> None:
    text, n_pictures = seen(two)
    assert n_pictures == 1
    assert text.count(two.verdict.sentence) == 2
    assert len(text) < 2000
    for score in two.verdict.scores:
        assert f'<td>{score.method}<td>{score.rate}<td>16' in text
    best = next(score for score in two.verdict.scores if score.best)
    assert '★' in text
    assert best.method != 'zero-filled'
    assert re.search(r'reference, zero-filled, grappa, gated; below \|error\| x \d+', text)


def test_the_picture_of_a_comparison_is_of_the_first_seed(two: raki.Comparison) -> None:
    (index, slab), rows = next(iter(two.made.slices.items())), two.rows
    seeds = [{**row, 'seed': seed} for row in rows for seed in (0, 1)]
    blank = slab.cells[0]
    cells = [each for cell in slab.cells for each in (cell, blank)]
    made = replace(two.made, results={**two.results, 'rows': seeds}, slices={index: replace(slab, cells=cells)})
    assert raki.Comparison(made)._repr_html_() == two._repr_html_()


def test_what_is_wrong_with_a_slice_is_one_warning_of_a_comparison() -> None:
    """Not one for every method and rate, as on the page."""
    kspace = KSPACE[0].copy()
    kspace[2, 5, 7] = 0.5 * abs(kspace).max()
    found = raki.compare(kspace, [2, 3], ['zero-filled', 'grappa'], acs=16, replicas=0)
    [text] = {text for row in found.rows for text in row['warnings']}
    assert found.warnings == (f'every method and rate, slice 0: {in_python(text)}',)
    assert '1 warning, see .warnings' in found._repr_html_()


def test_a_comparison_draws_the_figure_for_papers(two: raki.Comparison) -> None:
    pytest.importorskip('matplotlib')
    figure = two.plot()
    assert figure._repr_png_().startswith(b'\x89PNG')
    words = [text.get_text() for text in figure.texts]
    assert {'reference', 'zero-filled', 'grappa', 'gated'} <= set(words)


def test_the_report_is_shown_in_a_frame(two: raki.Comparison) -> None:
    page = two.report()
    assert repr(page).startswith('Page(')
    assert page._repr_html_().startswith('<iframe srcdoc="&lt;!')


def test_rows_are_a_frame_of_pandas(two: raki.Comparison) -> None:
    pandas = pytest.importorskip('pandas')
    frame = two.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame['method']) == 2 * ['zero-filled', 'grappa', 'gated']
    assert list(frame['nrmse_object']) == [row['nrmse_object'] for row in two.rows]
    assert 'lesions' not in frame


def test_a_volume_is_compared_at_rates_of_two_axes() -> None:
    found = raki.compare(VOLUME.kspace[0][None], '2x2s1', 'grappa', acs='6x12', replicas=0)
    assert [(row['rate'], row['acs']) for row in found.rows] == [('2x2s1', '6x12')]


@pytest.mark.parametrize(
    ('arguments', 'options', 'message'),
    [
        (['2x2'], {}, r"^raki\.compare\(kspace \(4, 40, 32\), '2x2'\): .*slices need rates such as 4, got rates 2x2"),
        ([2, 'grapa'], {}, "no method 'grapa'"),
        ([2, raki.Grappa], {}, 'Grappa is a class'),
        ([2, 'grappa'], {'slices': []}, 'no slice was asked for'),
        ([[], 'grappa'], {}, 'an empty list of rates or ACS'),
        ([2, [raki.Gated(), raki.Gated(faithful=0.9), raki.Gated(faithful=0.8)]], {}, 'two methods are called Gated'),
        ([2, 'grappa'], {'acs': 80}, r"'grappa', acs=80\): an ACS of 80 lines does not fit"),
        ([4, 'grappa'], {'acs': 3}, r'needs an ACS of at least .*leave out that rate$'),
        ([2, 'spirit'], {'mask': 'radial'}, "no way to draw lines 'radial': choose from equispaced_fraction"),
        ([2, 'spirit'], {'mask': MASK}, r'mask \(40,\)\): mask is the name of a way to draw lines: choose from equi'),
        ([2, 'spirit'], {'mask': 'random', 'acs': 16}, 'has a centre of its own.*: leave out acs'),
        ([2, 'grappa'], {'slices': [7]}, 'no slice 7; the file has slices 0 to 0'),
    ],
)
def test_what_cannot_be_compared_is_said_of_the_call(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        raki.compare(KSPACE[0], *arguments, **options)
    assert str(caught.value).startswith('raki.compare(kspace (4, 40, 32), ')


def test_one_or_several_of_anything_may_be_compared() -> None:
    """Numbers of NumPy, names in any case."""
    found = raki.compare(
        FULL, np.int64(2), 'GRAPPA', acs=list(np.arange(16, 17)), slices=np.int64(1), seeds=np.int64(3), replicas=0
    )
    assert [(row['method'], row['rate'], row['acs'], row['slice']) for row in found.rows] == [('grappa', 2, 16, 1)]
    json.dumps(found.results)
    mine = raki.compare(KSPACE[0], [2], {'mine': raki.Grappa(), 'theirs': 'gated'}, acs=16, replicas=0)
    assert [row['method'] for row in mine.rows] == ['mine', 'theirs']


def test_seeds_are_whole_numbers() -> None:
    """Others were looked for among all that there are, without an end."""
    with pytest.raises(TypeError, match=r"^raki\.compare\(.*\): 'str' object cannot be interpreted as an integer"):
        raki.compare(KSPACE[0], 2, 'grappa', acs=16, seeds='a')  # type: ignore[arg-type]


def test_a_missing_reference_is_said_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'sigpy', None)
    with pytest.raises(raki.ExtraError, match=r"^raki\.compare\(.*\): espirit needs sigpy, .*'raki\[references\]'$"):
        raki.compare(KSPACE[0], 2, 'espirit', acs=16)


def test_an_undersampled_scan_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r'fully sampled scan as the truth, .*: use raki\.reconstruct$'):
        raki.compare(HALF, 2, 'grappa')


def test_drawn_masks_and_objects_of_ones_own_are_taken() -> None:
    inside = np.zeros((40, 32), bool)
    inside[10:30, 8:24] = True
    found = raki.compare(KSPACE[0], 3, 'zero-filled', mask='random:1', object_mask=inside, replicas=0)
    assert found.results['settings']['mask']['seed'] == 1
    assert found.results['settings']['object'] == "a mask of the user's own"


def test_fitting_by_hand_is_still_there() -> None:
    sampling = raki.undersample(FULL.mask, (2,), (16,))
    torch.testing.assert_close(
        raki.fit('grappa', FULL.kspace[0], sampling).fill(FULL.kspace[0]),
        fit(raki.Grappa(), FULL.kspace[0], sampling).fill(FULL.kspace[0]),
        rtol=0,
        atol=0,
    )
