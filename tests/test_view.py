"""`raki view`: reconstructions as they were written come back, on a page that needs no browser to be checked."""

import base64
import json
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from raki.cli import main
from raki.data.images.hdf5 import ReconstructionWriter
from raki.data.place import Place
from raki.data.result import open_reconstruction
from raki.data.save import OutputImage
from raki.errors import ScanError

MANIFEST: dict[str, object] = {
    'slice': [3, 5],
    'repetition': [0, 1],
    'method': 'grappa',
    'warnings': ['few <equations>'],
    'seed': 7,
    'virtual_coils': None,
}


def written(path: Path, images: torch.Tensor, manifest: dict[str, object], **more: Any) -> Path:
    """A reconstruction; g-factors are `gfactors`, what else is given belongs to every image."""
    gfactors = more.pop('gfactors', [None] * len(images))
    with ReconstructionWriter(path, len(images)) as writer:
        for index, (image, gfactor) in enumerate(zip(images, gfactors, strict=True)):
            writer.put(index, OutputImage(image, Place(index), gfactor=gfactor, **more))
        writer.describe(manifest)
    return path


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 40.0])[:, None, None]


def data_of(page: Path) -> tuple[dict[str, Any], str]:
    text = page.read_text(encoding='utf-8')
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL)
    assert found is not None
    return json.loads(found[1]), text


@pytest.mark.parametrize('readout_is_rows', [False, True])
def test_what_was_written_is_read_back(tmp_path: Path, images: torch.Tensor, readout_is_rows: bool) -> None:
    file = open_reconstruction(written(tmp_path / 'x.h5', images, MANIFEST, readout_is_rows=readout_is_rows))
    expected = images.transpose(1, 2) if readout_is_rows else images
    assert file.shape == tuple(expected.shape)
    assert file.places == [{'slice': 3, 'repetition': 0}, {'slice': 5, 'repetition': 1}]
    assert {name: file.manifest[name] for name in MANIFEST} == MANIFEST
    for index, image in enumerate(expected):
        assert torch.equal(file.read(index), image)


def test_images_without_a_manifest_are_slices(tmp_path: Path, images: torch.Tensor) -> None:
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        file['reconstruction'] = images.numpy()
    assert open_reconstruction(tmp_path / 'x.h5').places == [
        {'slice': 0, 'repetition': 0},
        {'slice': 1, 'repetition': 0},
    ]


def test_the_page_holds_every_image_to_12_bits(tmp_path: Path, images: torch.Tensor) -> None:
    path = written(tmp_path / 'x.h5', images, MANIFEST)
    assert main(['view', str(path), '--no-open']) == 0
    data, text = data_of(tmp_path / 'x.html')
    assert data['axes'] == {'slice': [3, 5], 'repetition': [0, 1]}
    assert 'few &lt;equations&gt;' in text
    assert '<dt>seed</dt><dd>7' in text
    for panel, image in zip(data['panels'], images, strict=True):
        [packed] = re.findall(f'id="{panel["image"]}">(.*?)</script>', text)
        high, low = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8).reshape(2, 5, 7).astype(int)
        step = data['pictures'][panel['image']]['step']
        assert step == pytest.approx(float(image.max()) / 4095)
        assert abs(step * (256 * high + low) - image.numpy()).max() <= 0.5001 * step


def test_slices_and_the_page_can_be_chosen(
    tmp_path: Path, images: torch.Tensor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr('webbrowser.open', opened.append)
    path, page = written(tmp_path / 'x.h5', images, MANIFEST), tmp_path / 'one.html'
    assert main(['view', str(path), '--slices', '5', '-o', str(page)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    assert opened == [page.as_uri()]
    data, _ = data_of(page)
    assert [panel['place'] for panel in data['panels']] == [{'slice': 5, 'repetition': 1}]


def test_every_label_is_an_axis_and_pixels_have_their_size(tmp_path: Path, images: torch.Tensor) -> None:
    """Of a fastMRI file, whose images have the readout along their rows."""
    labels = {'slice': [3, 3], 'repetition': [0, 0], 'contrast': [0, 1], 'set': [2, 2]}
    for is_turned in (False, True):
        path = tmp_path / f'{is_turned}.h5'
        with ReconstructionWriter(path, len(images)) as writer:
            for index, image in enumerate(images):
                size = (0.002, 0.00125)
                writer.put(index, OutputImage(image, Place(index), readout_is_rows=is_turned, voxel_size=size))
            writer.describe(MANIFEST | labels)
        assert main(['view', str(path), '--no-open']) == 0
        data, text = data_of(path.with_suffix('.html'))
        assert data['axes'] == {'slice': [3], 'contrast': [0, 1]}
        assert [panel['place'] for panel in data['panels']] == [
            {'slice': 3, 'repetition': 0, 'contrast': echo, 'set': 2} for echo in (0, 1)
        ]
        assert data['pixelAspect'] == pytest.approx(1.25 / 2 if is_turned else 2 / 1.25)
        assert ('pixels of 1.25 × 2 mm' if is_turned else 'pixels of 2 × 1.25 mm') in text


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        (
            {'kspace': np.zeros((1, 2, 3))},
            r"holds no dataset 'reconstruction': name a file that raki reconstruct wrote",
        ),
        ({'reconstruction': np.zeros((2, 3))}, r'must hold numbers with axes \(image, y, x\), got float64 \(2, 3\)'),
        ({'reconstruction': np.zeros((0, 2, 3))}, r'must hold numbers with axes'),
    ],
)
def test_other_files_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        for name, array in arrays.items():
            file[name] = array
    with pytest.raises(ScanError, match=message):
        open_reconstruction(tmp_path / 'x.h5')


def test_a_manifest_of_other_images_is_refused(tmp_path: Path, images: torch.Tensor) -> None:
    path = written(tmp_path / 'x.h5', images, MANIFEST | {'slice': [3]})
    with pytest.raises(ScanError, match=r"attribute 'slice' must list a number per image \(2\), got \[3\]"):
        open_reconstruction(path)


def test_what_cannot_be_shown_leaves_no_page(
    tmp_path: Path, images: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    images[1, 2, 3] = float('nan')
    path = written(tmp_path / 'x.h5', images, MANIFEST)
    assert main(['view', str(path), '--no-open']) == 3
    assert 'image 1 holds NaN or infinite values: reconstruct the scan again' in capsys.readouterr().err
    assert main(['view', str(path), '--no-open', '--slices', '4']) == 3
    assert 'no slice 4; the file has 3, 5' in capsys.readouterr().err
    assert main(['view', str(path), '--no-open', '-o', str(path)]) == 2
    assert not list(tmp_path.glob('*.html'))


@pytest.mark.parametrize('stated', ['y', '', 'a, b', 'image, y, x, z', [1, 2], float('nan'), 3])
def test_axes_that_a_file_does_not_state_as_ours_are_y_and_x(
    tmp_path: Path, images: torch.Tensor, stated: object
) -> None:
    path = written(tmp_path / 'x.h5', images, MANIFEST)
    with h5py.File(path, 'r+') as file:
        file.attrs['image_axes'] = stated
    assert main(['view', str(path), '--no-open']) == 0
    assert 'vertical y, horizontal x.' in data_of(tmp_path / 'x.html')[1]


def test_text_that_no_coding_holds_is_escaped(tmp_path: Path, images: torch.Tensor) -> None:
    path = written(tmp_path / 'x.h5', images, MANIFEST)
    with h5py.File(path, 'r+') as file:
        for name in ('method', 'warnings', 'settings', 'own'):
            file.attrs[name] = '["\\ud800"]'
    assert main(['view', str(path), '--no-open']) == 0
    assert '\\ud800' in data_of(tmp_path / 'x.html')[1]


def stored(text: str, data: dict[str, Any], name: str) -> np.ndarray:
    """A picture of a page."""
    [packed] = re.findall(f'id="{name}">(.*?)</script>', text)
    shape = data['pictures'][name]['shape']
    high, low = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8).reshape(2, *shape).astype(float)
    return data['pictures'][name]['step'] * (256 * high + low)


@pytest.mark.parametrize('readout_is_rows', [False, True])
def test_g_factor_maps_are_shown_on_a_scale_of_their_own(
    tmp_path: Path, images: torch.Tensor, readout_is_rows: bool
) -> None:
    """Where there are none, 0; the scale ends at the 95 % quantile of the largest map."""
    maps = 1 + 2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(1))
    maps[0, 0, 0] = torch.nan
    path = written(tmp_path / 'x.h5', images, MANIFEST, gfactors=maps, readout_is_rows=readout_is_rows)
    assert main(['view', str(path), '--no-open']) == 0
    data, text = data_of(tmp_path / 'x.html')
    known = maps.nan_to_num(0.0)
    for panel, each in zip(data['panels'], known, strict=True):
        expected = each.mT if readout_is_rows else each
        assert abs(stored(text, data, panel['gfactor']) - expected.numpy()).max() <= 0.0026
    ends = [float(each.flatten().sort().values[round(0.95 * 34)]) for each in known]
    assert data['scales']['gfactor'] == pytest.approx(max(ends))
    assert 'g-factors: noise over that of a full scan' in text


def test_without_g_factors_nothing_is_said_of_them(tmp_path: Path, images: torch.Tensor) -> None:
    assert main(['view', str(written(tmp_path / 'x.h5', images, MANIFEST)), '--no-open']) == 0
    data, text = data_of(tmp_path / 'x.html')
    assert set(data['scales']) == {'image'}
    assert 'g-factors: ' not in text


def test_maps_of_another_shape_are_refused(tmp_path: Path, images: torch.Tensor) -> None:
    path = written(tmp_path / 'x.h5', images, MANIFEST)
    with h5py.File(path, 'r+') as file:
        file['gfactor'] = np.ones((2, 7, 5))
    message = r'gfactor must have the shape of reconstruction, \(2, 5, 7\), got \(2, 7, 5\)'
    with pytest.raises(ScanError, match=message):
        open_reconstruction(path)


def test_several_files_stand_side_by_side(
    tmp_path: Path, images: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    """What all of them have, each with its name, its warnings and what made it."""
    about = {'acceleration': [3], 'source_file': 'scan.h5', 'versions': {'raki': '9.9'}, 'options': {'seed': 4}}
    one = written(tmp_path / 'one.h5', images, MANIFEST | about)
    two = written(
        tmp_path / 'two.h5',
        torch.cat([images.flip(0), images[:1]]),
        MANIFEST | {'slice': [5, 3, 4], 'repetition': [1, 0, 0], 'method': 'gated', 'warnings': ['spikes']},
        gfactors=torch.full((3, 5, 7), 1.2),
    )
    assert main(['view', str(one), str(two), '--no-open']) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(tmp_path / 'one.html')
    assert told.err == 'raki: warning: 1 image(s) that not all of these files have are left out\n'
    data, text = data_of(tmp_path / 'one.html')
    assert data['methods'] == ['one.h5: grappa', 'two.h5: gated']
    places = [{'slice': 3, 'repetition': 0}, {'slice': 5, 'repetition': 1}]
    assert [(panel['method'], panel['place']) for panel in data['panels']] == [
        (name, place) for place in places for name in data['methods']
    ]
    for panel, image in zip(data['panels'], images.repeat_interleave(2, dim=0), strict=True):
        assert abs(stored(text, data, panel['image']) - image.numpy()).max() <= 0.51 * float(image.max()) / 4095
    assert [panel['gfactor'] is None for panel in data['panels']] == [True, False, True, False]
    assert data['scales']['gfactor'] == 1.5
    for words in (
        '2 image(s) of 5 × 7 pixels',
        'one.h5: made by grappa, R = 3, from scan.h5, with raki 9.9.',
        'two.h5: made by gated.',
        '<li>one.h5: few &lt;equations&gt;</li>',
        '<li>two.h5: spikes</li>',
        '<dt>one.h5</dt>',
    ):
        assert words in text


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path, images: torch.Tensor) -> None:
    paths = [tmp_path / name / 'x.h5' for name in ('a', 'b')]
    for path in paths:
        path.parent.mkdir()
        written(path, images, MANIFEST)
    assert main(['view', *map(str, paths), str(paths[0]), '--no-open', '-o', str(tmp_path / 'x.html')]) == 0
    assert data_of(tmp_path / 'x.html')[0]['methods'] == [f'{path}: grappa' for path in paths]


@pytest.mark.parametrize(
    ('shape', 'manifest', 'more', 'message'),
    [
        ((2, 7, 5), {}, {}, 'one size and orientation, got 5 × 7 pixels in one.h5 and 7 × 5 in two.h5'),
        ((2, 7, 5), {}, {'readout_is_rows': True}, "got ('phase encode', 'readout') (vertical, horizontal) in one.h5"),
        ((2, 5, 7), {'slice': [1, 2]}, {}, 'one.h5, two.h5 have none in common: view them one by one'),
    ],
)
def test_files_that_do_not_go_together_are_refused(
    tmp_path: Path,
    images: torch.Tensor,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    manifest: dict[str, object],
    more: dict[str, bool],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path('one.h5'), images, MANIFEST)
    written(Path('two.h5'), torch.ones(shape), MANIFEST | manifest, **more)
    assert main(['view', 'one.h5', 'two.h5', '--no-open']) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert message in error
    assert not list(tmp_path.glob('*.html'))
    assert main(['view', 'one.h5', 'two.h5', '--no-open', '-o', 'two.h5']) == 2


def test_what_one_window_or_one_scale_cannot_show_is_said(
    tmp_path: Path, images: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    one = written(tmp_path / 'one.h5', images, MANIFEST, voxel_size=(0.002, 0.001))
    two = written(tmp_path / 'two.h5', 10 * images, MANIFEST, voxel_size=(0.002, 0.002))
    with two.open('r+b') as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    assert main(['view', str(one), str(two), '--no-open']) == 0
    warned = capsys.readouterr().err
    for words in (
        'two.h5: the file was changed since it was written',
        'two.h5 is 10 times as bright as one.h5: change the window',
        'pixels of two.h5 have another size than those of one.h5',
    ):
        assert words in warned
        assert words in data_of(tmp_path / 'one.html')[1]


def test_a_scale_bar_has_a_round_length_at_every_zoom(tmp_path: Path) -> None:
    api = pytest.importorskip('playwright.sync_api', reason='needs the package playwright')
    if (chromium := shutil.which('chromium')) is None:
        pytest.skip("needs Debian's chromium")
    path = written(tmp_path / 'x.h5', torch.ones(1, 40, 60), {}, voxel_size=(0.003, 0.002))
    assert main(['view', str(path), '--no-open']) == 0
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        page = browser.new_page()
        page.goto((tmp_path / 'x.html').as_uri())
        page.wait_for_selector('html[data-ready]')
        for n_steps, text in ((0, '20 mm'), (3, '10 mm'), (1, '5 mm')):
            for _ in range(n_steps):
                page.keyboard.press('+')
            assert page.locator('.mm').text_content() == text
            zoom = re.search(r'zoom ([\d.]+)', page.locator('#where').text_content() or '')
            across = 60 * 2 / (float(zoom[1]) if zoom else 1)
            bar, frame = (page.locator(each).evaluate('each => each.offsetWidth') for each in ('.mm', '.frame'))
            assert bar / frame == pytest.approx(float(text.split()[0]) / across, rel=0.05)
        browser.close()
