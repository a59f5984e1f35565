"""`raki view`: reconstructions as they were written come back, on a page that needs no browser to be checked."""

import base64
import json
import re
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
}


def written(path: Path, images: torch.Tensor, manifest: dict[str, object], *, readout_is_rows: bool = False) -> Path:
    with ReconstructionWriter(path, len(images)) as writer:
        for index, image in enumerate(images):
            writer.put(index, OutputImage(image, Place(index), readout_is_rows=readout_is_rows))
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
