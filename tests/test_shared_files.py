"""Every file beside the project is read, reconstructed and written by the command line, with nothing but its name."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

from raki.cli import main

SHAPES = {
    'iraki_prescan16.h5': (1, 64, 64),
    'ismrmrd_phantom8_R3_acs24.h5': (3, 96, 96),
    'ismrmrd_phantom8_full.h5': (1, 96, 96),
    'pulseq_brain16.h5': (1, 128, 128),
    'pulseq_phantom16.h5': (1, 128, 128),
    'pulseq_phantom32.h5': (1, 64, 64),
    'twix_gre2.dat': (1, 160, 160),
    'twix_gre2.h5': (1, 160, 320),
    'xingkong_R2_16.h5': (1, 64, 64),
}
"""Images of every file, axes (image, y, x) as the file has them."""


def images(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        values = file['reconstruction']
        assert isinstance(values, h5py.Dataset)
        return values[()]


@pytest.mark.parametrize('name', sorted(SHAPES))
def test_it_reconstructs(shared_scan: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    if name.endswith('.dat') and find_spec('twixtools') is None:
        pytest.skip('needs twixtools: pip install "raki[twix]"')
    output = tmp_path / 'images.h5'
    assert main(['reconstruct', str(shared_scan(name)), '-o', str(output), '--method', 'grappa']) == 0
    found = images(output)
    assert found.shape == SHAPES[name]
    assert bool(np.isfinite(found).all())
    assert float(found.max()) > 10 * float(np.quantile(found, 0.02))  # an object on air, and no fold-over everywhere


def test_no_file_is_forgotten(shared_scan: Callable[[str], Path]) -> None:
    there = {path.name for path in shared_scan('pulseq_brain16.h5').parent.iterdir() if path.suffix in ('.h5', '.dat')}
    assert there == set(SHAPES)
