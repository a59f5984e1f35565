"""Error against retained signal: the curve of a method passes through what it chose, and is exact at its ends."""

import dataclasses

import pytest
import torch

from raki.coils.transform import coil_transform
from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation import tradeoff
from raki.evaluation.compare import Bench
from raki.evaluation.plan import Plan, Rate
from raki.evaluation.tradeoff import FACTORS, SHARES, strengths
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method, silent
from raki.interpolation.fit import ZeroFilling, fit
from raki.interpolation.neighbours import Kernel
from raki.networks.gated import Blend, Gated
from tests.toys import RAKI_QUICK

SCAN = simulate(Simulation(matrix=(66, 50), n_coils=6, noise=0.03))
SAMPLING = undersample(SCAN.mask, (4,), (24,))


@pytest.mark.parametrize('method', [Grappa(), Grappa(Kernel(2, 3)), Grappa(Kernel(2, 3), 1e-3), Gated()])
@pytest.mark.parametrize('is_compressed', [False, True])
def test_the_curve_passes_through_what_was_chosen(method: Method, is_compressed: bool) -> None:
    kspace = SCAN.kspace[0]
    transform = coil_transform(SAMPLING.acs_block(kspace), SCAN.noise, 5) if is_compressed else None
    fitted = fit(method, kspace, SAMPLING, transform=transform)
    swept = dict(strengths(method, fitted, kspace))
    assert len(swept) == 7
    if isinstance(method, Grappa):
        middle = list(swept.values())[FACTORS.index(1)]
        if method.regularization != 'auto':
            assert list(swept)[FACTORS.index(1)] == method.regularization
    else:
        assert fitted.inner
        assert isinstance(fitted.inner[0].patch_map, Blend)
        middle = torch.lerp(*(swept[share].fill(kspace) for share in (0, 1)), fitted.inner[0].patch_map.share)  # type: ignore[arg-type]
        torch.testing.assert_close(middle, fitted.fill(kspace), rtol=1e-4, atol=1e-4 * float(kspace.abs().max()))
        return
    torch.testing.assert_close(middle.fill(kspace), fitted.fill(kspace), rtol=1e-4, atol=1e-6)


def test_a_share_of_nothing_is_grappa() -> None:
    """Of the same kernel and weights; edges are the same, too."""
    kspace = SCAN.kspace[0]
    none = next(
        each for share, each in strengths(Gated(), fit(Gated(), kspace, SAMPLING), kspace) if share == SHARES[0]
    )
    torch.testing.assert_close(none.fill(kspace), fit(Grappa(), kspace, SAMPLING).fill(kspace), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('method', [ZeroFilling(), RAKI_QUICK])
def test_what_has_no_strength_is_a_point(method: Method) -> None:
    assert not list(strengths(method, fit(method, SCAN.kspace[0], SAMPLING), SCAN.kspace[0]))


def test_k_space_that_is_too_large_is_not_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tradeoff, 'LARGEST', SCAN.kspace.numel() - 1)
    assert not list(strengths(Grappa(), fit(Grappa(), SCAN.kspace[0], SAMPLING), SCAN.kspace[0]))


def test_a_stronger_ridge_retains_less() -> None:
    """Down to nothing of what a kernel fills in the inner part of k-space."""
    bench = Bench(SCAN, 0, Plan({'grappa': Grappa()}, [Rate((4,))], [(24,)], n_replicas=0))
    row = bench.cell('grappa', Grappa(), SAMPLING, (4, 24), silent).row
    retained = [each['retention_mean'] for each in row.tradeoff]
    assert retained == sorted(retained, reverse=True)
    assert retained[-1] < 0.2 * retained[0]
    middle = row.tradeoff[FACTORS.index(1)]
    assert middle['nrmse_object'] == pytest.approx(row.figures['nrmse_object'], rel=1e-5)
    assert middle['retention_mean'] == pytest.approx(row.figures['retention_mean'], abs=0.05)  # one probe
    none = dataclasses.replace(bench, scan=SCAN).cell('zero', ZeroFilling(), SAMPLING, (4, 24), silent).row
    assert none.tradeoff == []
