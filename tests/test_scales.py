"""Whatever the units of k-space: the same image, or a refusal; never an infinite one, or one of zeros."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from raki.cli import main
from raki.commands.catalogue import method_named
from raki.data.hdf5 import complex_tensor
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError, ScanError, TrainingError
from raki.evaluation.compare import Bench, compare_slab
from raki.evaluation.plan import Plan, Rate
from raki.interpolation.calibration import Method, silent
from raki.interpolation.fit import fit
from raki.magnitude import in_unit, out_of_unit, unit_of, usable
from raki.networks.gated import Gated
from raki.partial_fourier.methods import PARTIAL_FOURIER
from raki.pipeline import COMBINATIONS, Reconstruction, reconstruct
from tests.toys import COMPLEX_QUICK, RRAKI_QUICK, random_kspace, stored

CPU = torch.device('cpu')
SCALES = (1e-30, 1e-12, 1e20, 1e30)


def scaled(scan: Scan, factor: float) -> Scan:
    """Every array of a scan times a number."""
    names = ('kspace', 'calibration', 'noise', 'reference')
    return replace(scan, **{name: getattr(scan, name) * factor for name in names if getattr(scan, name) is not None})


def undersampled(matrix: tuple[int, ...] = (40, 32), first: int = 0) -> Scan:
    """A small scan with every third line from `first` on, and sixteen of ACS."""
    full = simulate(Simulation(matrix, 4, noise=0.01))
    rate, acs = ((3,), (16,)) if len(matrix) == 2 else ((2, 2), (8, 10))
    mask = undersample(full.mask, rate, acs).mask
    mask[:first] = False
    kspace = torch.where(mask[..., None], full.kspace, 0)
    return replace(full, kspace=kspace, mask=mask, reference=None)


def image(scan: Scan, method: str | Method = 'grappa', **options: Any) -> Tensor:
    """Its image, float64."""
    found = method_named(method) if isinstance(method, str) else method
    return reconstruct(scan, found, device=CPU, **options).image.double()


@pytest.mark.parametrize('size', [3e-38, 1e-30, 0.4, 1.0, 7.0, 3e38])
def test_a_unit_is_a_power_of_two_that_is_undone_exactly(size: float) -> None:
    samples = random_kspace(3, 5, 7)
    samples = samples * (size / float(torch.view_as_real(samples).abs().max()))
    unit = unit_of(samples)
    assert np.log2(unit) == round(np.log2(unit))
    assert 0.5 <= float(torch.view_as_real(in_unit(samples, unit)).abs().max()) <= 4
    assert torch.equal(out_of_unit(in_unit(samples, unit), unit), samples)


@pytest.mark.parametrize('samples', [torch.zeros(2, 3, dtype=torch.complex64), torch.full((2,), torch.nan + 0j)])
def test_what_has_no_size_has_the_unit_one(samples: Tensor) -> None:
    assert unit_of(samples) == 1


@pytest.mark.parametrize('method', ['grappa', 'gated', 'spirit', 'sparse', 'zero-filled'])
def test_the_image_scales_with_the_scan(method: str) -> None:
    """At any scale, of slices, with noise samples."""
    scan = undersampled()
    expected = image(scan, method)
    for scale in SCALES:
        error = (image(scaled(scan, scale), method) / scale - expected).norm() / expected.norm()
        assert error < 1e-5, (scale, float(error))


@pytest.mark.parametrize('method', [Gated(), COMPLEX_QUICK, RRAKI_QUICK])
def test_powers_of_two_change_no_bit(method: Method) -> None:
    scan = undersampled((30, 24))
    assert torch.equal(image(scaled(scan, 2.0**-80), method) * 2.0**80, image(scan, method))


def test_the_image_of_a_volume_and_of_partial_fourier_scales_too() -> None:
    halves: dict[str, Any] = {'partial_fourier': PARTIAL_FOURIER['pocs']}
    for scan, options in ((undersampled((16, 20, 12)), {}), (undersampled(first=12), halves)):
        expected = image(scan, **options)
        for scale in (1e-30, 1e30):
            assert (image(scaled(scan, scale), **options) / scale - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize('name', ['walsh', 'espirit'])
def test_combinations_that_whiten_scale_too(name: str) -> None:
    """With noise samples, and without."""
    scan = undersampled()
    for each in (scan, replace(scan, noise=None)):
        expected = image(each, combine=COMBINATIONS[name])
        for scale in (1e-30, 1e30):
            found = image(scaled(each, scale), combine=COMBINATIONS[name]) / scale
            assert (found - expected).norm() < 1e-4 * expected.norm()


def test_a_comparison_has_the_same_figures_at_any_scale() -> None:
    scan = simulate(Simulation((40, 32), 4, noise=0.01))
    plan = Plan({'gated': method_named('gated')}, [Rate((3,))], [(16,)], n_replicas=4)

    def figures(scale: float) -> dict[str, object]:
        [cell] = compare_slab(Bench(scaled(scan, scale), 0, plan), lambda _: silent)
        numbers = {name: value for name, value in cell.row.flat().items() if isinstance(value, float)}
        return {name: value for name, value in numbers.items() if not name.startswith('seconds')}

    expected = figures(1)
    assert len(expected) > 10
    for scale in (1e-30, 1e30):
        assert figures(scale) == pytest.approx(expected, rel=2e-3)


def test_a_fitted_interpolator_takes_k_space_in_the_units_of_its_scan() -> None:
    """Of another repetition, whose largest sample has another power of two."""
    scan = scaled(undersampled(), 1e-30)
    first = reconstruct(scan, method_named('gated'), device=CPU)
    again = reconstruct(scaled(scan, 2.5), method_named('gated'), device=CPU, fitted=first.interpolators)
    learnt_anew = reconstruct(scaled(scan, 2.5), method_named('gated'), device=CPU)
    filled = first.interpolators[0].fill(scan.kspace[0])
    assert torch.equal(filled, first.kspace[0])
    error = (again.image.double() - learnt_anew.image.double()).norm() / learnt_anew.image.double().norm()
    assert 0 < error < 0.3  # of another gate, not of another unit


def test_measured_samples_come_back_bit_for_bit_at_any_scale() -> None:
    for scale in SCALES:
        scan = scaled(undersampled(), scale)
        method = method_named('gated')
        sampling = reconstruct(scan, method, device=CPU).interpolators[0].sampling
        filled = fit(method, scan.kspace[0], sampling).fill(scan.kspace[0])
        assert torch.equal(filled[:, scan.mask], scan.kspace[0][:, scan.mask])


def test_calibration_of_another_gain_is_refused() -> None:
    full = simulate(Simulation((40, 32), 4, noise=0.01))
    scan = replace(undersampled(), calibration=full.kspace[:, :, 12:28])
    with pytest.raises(CalibrationError, match=r'different units; multiply one'):
        image(replace(scan, calibration=full.kspace[:, :, 12:28] * 1e-20))
    expected = image(scan)
    assert (image(scaled(scan, 1e-30)) / 1e-30 - expected).norm() < 1e-5 * expected.norm()


def test_what_single_precision_cannot_hold_is_refused_with_the_way_out() -> None:
    scan = undersampled()
    with pytest.raises(ScanError, match=r'multiply all samples by a constant'):
        image(scaled(scan, 1e-43 / unit_of(scan.kspace)))
    with pytest.raises(ScanError, match=r'leave the range of single precision.*divide all samples'):
        image(replace(scan, kspace=torch.full_like(scan.kspace, 1e38)), 'zero-filled')
    with pytest.raises(ScanError, match=r'samples go up to 1\.0e\+60, beyond single precision.*divide'):
        complex_tensor(np.full((2, 3), 1e60 + 0j), 'k')
    with pytest.raises(ScanError, match=r'samples go up to 1\.0e-60, beyond single precision.*multiply'):
        complex_tensor(np.full((2, 3), 1e-60 + 0j), 'k')


def test_an_image_is_finite_and_not_zero() -> None:
    kspace, good = random_kspace(2, 5, 4), torch.ones(5, 4)
    assert usable(good, kspace, 'image 3') is good
    assert usable(0 * good, 0 * kspace, 'image 3').sum() == 0
    with pytest.raises(TrainingError, match=r'image 3 is zero although k-space is not'):
        usable(0 * good, kspace, 'image 3')
    with pytest.raises(TrainingError, match=r'image 3 is not finite although k-space is'):
        usable(good * torch.inf, kspace, 'image 3')
    with pytest.raises(TrainingError, match=r'image 3: what was filled in is not finite'):
        usable(good * torch.inf, torch.full_like(kspace, torch.inf), 'image 3')


@pytest.mark.parametrize('scale', [1e-30, 1e30])
def test_the_command_line_reads_reconstructs_describes_and_views_any_scale(tmp_path: Path, scale: float) -> None:
    scan, output = undersampled(), tmp_path / 'out.h5'
    for name, factor in (('one', 1.0), ('other', scale)):
        with h5py.File(tmp_path / f'{name}.h5', 'w') as file:
            file['kspace'] = (scan.kspace * factor).numpy().swapaxes(-1, -2)
            file['mask'] = scan.mask.numpy()
    images = []
    for name in ('one', 'other'):
        path = str(tmp_path / f'{name}.h5')
        assert main(['info', path]) == 0
        assert main(['reconstruct', path, '-o', str(output), '--method', 'grappa', '--gfactor', '--device', 'cpu']) == 0
        assert main(['view', str(output), '--no-open']) == 0
        images.append((stored(output, 'reconstruction').astype(float), stored(output, 'gfactor').astype(float)))
    np.testing.assert_allclose(images[1][0] / scale, images[0][0], atol=1e-5 * images[0][0].max())
    np.testing.assert_allclose(images[1][1], images[0][1], rtol=1e-3)


def test_ten_repeats_are_the_same() -> None:
    """Bit for bit."""
    scan = scaled(undersampled((30, 24)), 1e-30)
    every: list[Reconstruction] = [reconstruct(scan, method_named('gated'), device=CPU) for _ in range(10)]
    assert all(torch.equal(each.image, every[0].image) for each in every)
