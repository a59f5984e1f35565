"""What fastMRI's public evaluation makes of our files, computed independently."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from raki.cli import main
from raki.data.simulate import Simulation, simulate
from tests.toys import stored

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>96</x><y>52</y><z>1</z></matrixSize>
<fieldOfView_mm><x>192</x><y>104</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>48</x><y>48</y><z>1</z></matrixSize>
<fieldOfView_mm><x>96</x><y>96</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>51</maximum><center>26</center>
</kspace_encoding_step_1></encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""


def cropped_rss(kspace: np.ndarray, side: int) -> np.ndarray:
    """Compute the target of fastMRI: centred orthonormal transform, central square, root sum of squares."""
    axes = (-2, -1)
    image = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace, axes=axes), axes=axes, norm='ortho'), axes=axes)
    top, left = ((n - side) // 2 for n in kspace.shape[-2:])
    return np.sqrt((np.abs(image[..., top : top + side, left : left + side]) ** 2).sum(1)).astype(np.float32)


def fastmri_scores(target: Path, prediction: Path) -> dict[str, float]:
    """What fastMRI's public evaluation computes of two files of the same name, from its description.

    `reconstruction_rss` of the target against `reconstruction`, both cropped to a square of the target's last axis; one
    figure per volume; SSIM slice by slice with the maximum of the volume as data range.
    """
    truth, image = stored(target, 'reconstruction_rss'), stored(prediction, 'reconstruction')
    side = truth.shape[-1]
    truth, image = (
        a[:, (a.shape[1] - side) // 2 :][:, :side, (a.shape[2] - side) // 2 :][:, :, :side] for a in (truth, image)
    )
    assert truth.shape == image.shape
    similarity = [structural_similarity(t, i, data_range=truth.max()) for t, i in zip(truth, image, strict=True)]
    return {
        'nmse': float(((truth - image) ** 2).sum() / (truth**2).sum()),
        'psnr': float(10 * np.log10(truth.max() ** 2 / ((truth - image) ** 2).mean())),
        'ssim': float(np.mean(similarity)),
    }


@pytest.mark.parametrize('acceleration', [1, 3])
def test_fastmris_evaluation_scores_our_files(tmp_path: Path, acceleration: int) -> None:
    """Oversampled readout, non-square matrix, cropped target; the prediction has the name of the target."""
    reference = simulate(Simulation((52, 96), n_coils=6, n_slices=2, noise=0.001)).kspace
    kspace = reference.transpose(2, 3).contiguous().numpy()
    folders = [tmp_path / name for name in ('target', 'input', 'predictions')]
    for folder in folders:
        folder.mkdir()
    target, scan, prediction = (folder / 'file1000001.h5' for folder in folders)
    mask = np.isin(np.arange(52), [*range(0, 52, acceleration), *range(17, 35)])
    with h5py.File(target, 'w') as file:
        file['reconstruction_rss'] = cropped_rss(kspace, 48)
        file.attrs.update({'acquisition': 'AXT2', 'acceleration': acceleration, 'max': 1.0})
    with h5py.File(scan, 'w') as file:
        file['kspace'] = np.where(mask, kspace, 0)
        file['mask'] = mask
        file['ismrmrd_header'] = HEADER
    assert main(['reconstruct', str(scan), '-o', str(prediction)]) == 0
    scores = fastmri_scores(target, prediction)
    if acceleration == 1:
        assert scores['nmse'] < 1e-10
        assert scores['ssim'] == pytest.approx(1, abs=1e-5)
    else:
        assert scores['nmse'] < 0.01
        assert scores['ssim'] > 0.9
        assert scores['psnr'] > 30
