"""Writing all or nothing; simulated scans with known truth."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raki.coils.noise import noise_covariance
from raki.data.images.hdf5 import ReconstructionWriter
from raki.data.load import load_scan, open_scan
from raki.data.phantoms import BAR_WIDTHS, COMPARTMENTS, HEAD, bars, compartments, head
from raki.data.place import Place
from raki.data.save import (
    OutputImage,
    replacing,
    write_scan,
    write_text,
)
from raki.data.simulate import PHANTOMS, STRUCTURED, Simulation, simulate
from raki.fourier import image_from_kspace
from tests.toys import attributes, random_kspace, stored


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / 'a.txt'
    with replacing(target) as temporary:
        temporary.write_text('new')
        assert not target.exists()
    assert target.read_text() == 'new'
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


def test_an_error_leaves_what_was_there_before(tmp_path: Path) -> None:
    write_text(tmp_path / 'a.txt', 'old')
    with pytest.raises(KeyError), replacing(tmp_path / 'a.txt') as temporary:  # noqa: PT012
        temporary.write_text('half')
        raise KeyError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [('a.txt', 'old')]


def test_a_failed_reconstruction_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError), ReconstructionWriter(tmp_path / 'a.h5', 2) as writer:  # noqa: PT012
        writer.put(0, OutputImage(torch.ones(4, 5), Place(0)))
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('readout_is_rows', [True, False])
def test_images_are_written_in_the_orientation_of_the_input(tmp_path: Path, readout_is_rows: bool) -> None:
    image, kspace = torch.rand(4, 5), random_kspace(3, 4, 5)
    with ReconstructionWriter(tmp_path / 'a.h5', 1) as writer:
        writer.put(0, OutputImage(image, Place(0), kspace, readout_is_rows=readout_is_rows))
        writer.describe({'method': 'x', 'slice': [0]})
    images, filled = (stored(tmp_path / 'a.h5', name) for name in ('reconstruction', 'kspace'))
    assert (images.dtype, filled.dtype) == (np.float32, np.complex64)
    np.testing.assert_array_equal(images[0].T if readout_is_rows else images[0], image.numpy())
    np.testing.assert_array_equal(filled[0].swapaxes(1, 2), kspace.numpy())
    found = attributes(tmp_path / 'a.h5')
    assert found['image_axes'] == (
        'image, readout, phase encode' if readout_is_rows else 'image, phase encode, readout'
    )
    assert (found['method'], json.loads(found['slice'])) == ('x', [0])


def test_a_full_disk_is_noticed_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 crashes when a disk fills up under it, so room is taken first."""

    def full(_handle: int, _start: int, n_bytes: int) -> None:
        if n_bytes > 10**6:
            raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.posix_fallocate', full)
    with pytest.raises(OSError, match='No space left'), ReconstructionWriter(tmp_path / 'a.h5', 10**5) as writer:
        writer.put(0, OutputImage(torch.ones(4, 5), Place(0)))
    with pytest.raises(OSError, match='No space left'):
        write_scan(tmp_path / 'b.h5', simulate(Simulation()), {})
    assert list(tmp_path.iterdir()) == []


SMALL = Simulation(matrix=(36, 28), n_coils=5, n_slices=2, noise=0.02, seed=3)


def test_a_simulated_scan_is_read_back_as_it_was(tmp_path: Path) -> None:
    scan = simulate(SMALL)
    write_scan(tmp_path / 'a.h5', scan, {'notes': 'simulated'})
    again = load_scan(tmp_path / 'a.h5')
    for name in ('kspace', 'mask', 'noise', 'reference'):
        assert torch.equal(getattr(scan, name), getattr(again, name)), name


def test_an_undersampled_file_holds_its_mask_and_zeros_elsewhere(tmp_path: Path) -> None:
    scan = simulate(SMALL)
    mask = torch.tensor([line % 3 == 0 or line in range(12, 24) for line in range(36)])
    write_scan(tmp_path / 'a.h5', replace(scan, mask=mask), {})
    again = load_scan(tmp_path / 'a.h5')
    assert torch.equal(again.mask, mask)
    assert not bool(again.kspace[:, :, ~mask].any())


def test_same_seed_same_scan_and_another_seed_another() -> None:
    first, second, other = simulate(SMALL), simulate(SMALL), simulate(Simulation((36, 28), 5, 2, 0.02, seed=4))
    assert torch.equal(first.kspace, second.kspace)
    assert not torch.equal(first.kspace, other.kspace)


def test_noise_of_the_scan_has_the_covariance_of_the_noise_samples() -> None:
    """Both are drawn from one covariance, of correlated coils with unequal noise; within 5 standard errors."""
    scan = simulate(Simulation(matrix=(120, 100), n_coils=4, noise=0.05))
    assert scan.reference is not None
    assert scan.noise is not None
    in_scan = noise_covariance((scan.kspace - scan.reference)[0].flatten(1))
    in_samples = noise_covariance(scan.noise)
    largest = float(in_scan.diagonal().real.max())
    torch.testing.assert_close(in_scan, in_samples, rtol=0, atol=5 * largest / 4096**0.5)
    peak = float(image_from_kspace(scan.reference).abs().square().sum(1).sqrt().max())
    assert float(in_scan.diagonal().real.mean().sqrt()) == pytest.approx(0.05 * peak, rel=0.05)
    gains = in_scan.diagonal().real.sqrt()
    assert float(gains.max() / gains.min()) > 1.1
    assert float(in_scan[0, 1].abs() / (gains[0] * gains[1])) == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize('n_coils', [1, 3, 32])
@pytest.mark.parametrize('matrix', [(33, 48), (48, 33)])
def test_any_matrix_and_number_of_coils(matrix: tuple[int, int], n_coils: int) -> None:
    scan = simulate(Simulation(matrix=matrix, n_coils=n_coils))
    assert scan.kspace.shape == (1, n_coils, *matrix)
    assert scan.reference is not None
    image = image_from_kspace(scan.reference[0]).abs().square().sum(0).sqrt()
    inside, outside = image[matrix[0] // 2 - 4 : matrix[0] // 2 + 4].mean(), image[:2].mean()
    assert float(inside) > 5 * float(outside)


@pytest.mark.parametrize('shape', [(90, 70), (48, 90, 70)])
def test_contrast_of_the_brain_fills_the_grey_scale(shape: tuple[int, ...]) -> None:
    """White matter is brightest, and most of the head's signal is brain, not skin."""
    image = head(shape)
    assert (image.shape, float(image.min()), float(image.max())) == (shape, 0, 1)
    inside = image[image > 0]
    assert len(set(inside.tolist())) >= 8
    assert float((inside == 1).float().mean()) > 0.2
    assert max(signal for signal, *_ in HEAD[:2]) < 0.6
    is_brain = inside >= 0.6
    assert float(inside[is_brain].sum()) > 2 * float(inside[~is_brain].sum())


@pytest.mark.parametrize('matrix', [(90, 70), (6, 90, 70)])
def test_the_head_is_upright_in_the_orientation_of_its_file(tmp_path: Path, matrix: tuple[int, ...]) -> None:
    """Its left and right half resemble each other more than its upper and lower half, and its fissure is vertical."""
    write_scan(tmp_path / 'a.h5', simulate(Simulation(matrix, 4, noise=0)), {})
    file = open_scan(tmp_path / 'a.h5')
    scan = file.read().as_slices()
    image = image_from_kspace(scan.kspace[scan.n_slabs // 2]).abs().square().sum(0).sqrt()
    image = image.mT if file.readout_is_rows else image
    assert image.shape == (90, 70)
    middle = image[30:60, 33:38].mean(0)
    assert float(middle.min()) < 0.8 * float(image[30:60, 20:30].mean())
    upside_down, mirrored = ((image[1:, 1:] - image[1:, 1:].flip(axis)).norm() for axis in (0, 1))
    assert float(mirrored) < float(upside_down)


@pytest.mark.parametrize('settings', [{'matrix': (0, 8)}, {'n_coils': 0}, {'noise': -1.0}])
def test_an_impossible_simulation_is_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match='must be positive'):
        Simulation(**settings)


def test_bars_alternate_with_every_width_along_both_axes() -> None:
    """Along a group, a bar and the gap beside it have different signals, and two bars further it is the same."""
    image = bars((220, 300))
    height = 1.6 / len(BAR_WIDTHS)
    for number, width in enumerate(BAR_WIDTHS):
        row = round((1 + -0.8 + (number + 0.5) * height) * 110)
        across, along = image[row, 160:250], image[row - 12 : row + 12, 80]
        for line in (across, along):
            assert torch.equal(line[2 * width :], line[: -2 * width])
            assert set((line[width:] + line[:-width]).tolist()) == {float(torch.tensor(1.0) + torch.tensor(0.1))}
        assert image[row, 60:130].unique().numel() == 1
        assert image[row - 8 : row + 8, 200].unique().numel() == 1


def test_compartments_are_sharp_and_every_one_is_seen() -> None:
    """Piecewise constant: neighbouring pixels differ at outlines only, and no shape is hidden by those after it."""
    image = compartments((192, 256))
    assert set(image.unique().tolist()) == {0.0, *torch.tensor([signal for signal, *_ in COMPARTMENTS]).tolist()}
    assert float((image.diff(dim=1) == 0).float().mean()) > 0.95
    for signal, x, y, width, length, _ in COMPARTMENTS[1:]:
        rim = image[round((1 + y - 0.9 * length) * 96), round((1 + x) * 128)]
        beside = image[round((1 + y) * 96), round((1 + x - 0.9 * width) * 128)]
        assert torch.tensor(signal) in (rim, beside)


@pytest.mark.parametrize('phantom', STRUCTURED)
@pytest.mark.parametrize('matrix', [(48, 64), (33, 20)])
def test_a_structured_phantom_lies_in_the_coils_as_it_was_drawn(phantom: str, matrix: tuple[int, int]) -> None:
    """Sensitivities have unit root sum of squares, so the image is the phantom, ringing at its edges apart."""
    scan = simulate(Simulation(matrix, 12, 2, 0.0, phantom=phantom))
    assert scan.reference is not None
    drawn = STRUCTURED[phantom]((2 * matrix[0], 2 * matrix[1])).unflatten(0, (-1, 2)).unflatten(2, (-1, 2)).mean((1, 3))
    for kspace in scan.reference:
        image = image_from_kspace(kspace).abs().square().sum(0).sqrt()
        correlation = torch.corrcoef(torch.stack([image.flatten(), drawn.flatten()]))[0, 1]
        assert float(correlation) > 0.9
        assert float((image * drawn).sum() / drawn.square().sum()) == pytest.approx(1, abs=0.05)
    assert not torch.equal(*scan.reference)


def test_a_phantom_is_chosen_by_name() -> None:
    assert torch.equal(simulate(replace(SMALL, phantom='head')).kspace, simulate(SMALL).kspace)
    with pytest.raises(ValueError, match=f"no phantom 'torso': choose from {', '.join(PHANTOMS)}"):
        Simulation(phantom='torso')
    with pytest.raises(ValueError, match="volumes are simulated of a head only, got the phantom 'bars'"):
        Simulation((8, 24, 20), phantom='bars')
