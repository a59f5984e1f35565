"""Against independent tools on the same data, where they are installed."""

import pytest
import torch

from raki.data.load import load_scan
from raki.data.sampling import undersample
from raki.evaluation.metrics import kspace_nrmse
from raki.grappa.method import Grappa
from raki.interpolation.fit import fit
from raki.interpolation.neighbours import Kernel
from tests.toys import acs_of, lattice_with_acs, measured_only, point_sources


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    ('scan_name', 'acceleration', 'extent'),
    [('pulseq_brain16.h5', 2, 7), ('pulseq_brain16.h5', 4, 13), ('iraki_prescan16.h5', 3, 11)],
)
def test_grappa_is_as_good_as_pygrappas(shared_scan, scan_name: str, acceleration: int, extent: int) -> None:
    """Same ACS, same 4 lines x 5 samples; pygrappa counts all lines of the extent, and gets its best of lambdas.

    Eight coils are enough, and pygrappa takes its time.
    """
    pygrappa = pytest.importorskip('pygrappa', reason='needs the peer tool pygrappa')
    scan = load_scan(shared_scan(scan_name))
    full = scan.kspace[0, :8]
    sampling = undersample(scan.mask, (acceleration,), (28,))
    measured, acs = measured_only(full, sampling), acs_of(full, sampling)
    theirs = [
        pygrappa.mdgrappa(
            measured.numpy().copy(),
            acs.contiguous().numpy(),
            kernel_size=(extent, 5),
            coil_axis=0,
            lamda=strength,
        )
        for strength in (1e-4, 1e-3, 1e-2)
    ]
    ours = fit(Grappa(Kernel(4, 5)), measured, sampling).fill(measured)
    best = min(kspace_nrmse(torch.from_numpy(filled), full, ~sampling.mask) for filled in theirs)
    assert kspace_nrmse(ours, full, ~sampling.mask) < 1.05 * best


@pytest.mark.filterwarnings('ignore')
def test_grappa_and_pygrappa_agree_sample_by_sample() -> None:
    """Noise-free points have one solution, so a shifted line or a wrong order of coils would show.

    Within 5 %, for mdgrappa itself misses the truth here by about 2 % whatever its lambda; ours must miss it by less.
    """
    pygrappa = pytest.importorskip('pygrappa', reason='needs the peer tool pygrappa')
    full = point_sources(4, 8, 54, 31)
    sampling = lattice_with_acs(54, 2, 0, range(14, 44))
    measured, acs = measured_only(full, sampling), acs_of(full, sampling)
    settings = {'kernel_size': (7, 5), 'coil_axis': 0, 'lamda': 1e-9}
    theirs = torch.from_numpy(pygrappa.mdgrappa(measured.numpy().copy(), acs.contiguous().numpy(), **settings))
    ours = fit(Grappa(Kernel(4, 5), 1e-9), measured, sampling).fill(measured)
    missing = ~sampling.mask
    missing[[*range(6), *range(48, 54)]] = False
    assert kspace_nrmse(ours, theirs, missing) < 0.05
    assert kspace_nrmse(ours, full, missing) < 0.1 * kspace_nrmse(theirs, full, missing)
