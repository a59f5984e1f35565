"""Comparison over rates, its JSON, and the report a person opens."""

import base64
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from raki.cli import main
from raki.coils.combine import matched_weights
from raki.coils.noise import noise_covariance
from raki.commands.catalogue import methods_named, with_settings
from raki.commands.compare import compare_file
from raki.data.load import open_scan
from raki.data.sampling import undersample
from raki.data.save import write_scan
from raki.data.scan import Scan, ScanFile
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError, SamplingError, ScanError
from raki.evaluation import metrics
from raki.evaluation.compare import Bench, compare_slab
from raki.evaluation.noise_maps import analytic_noise_map, covariance_without_noise_scan
from raki.evaluation.pictures import picture
from raki.evaluation.plan import Plan, Rate, require_feasible
from raki.evaluation.report import ERROR_QUANTILE, Report, render_report, shown_cell, shown_slice
from raki.evaluation.verdict import verdict_of
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.calibration import silent
from raki.interpolation.fit import ZeroFilling, fit
from raki.interpolation.neighbours import Kernel
from raki.networks.gated import Gated
from raki.pipeline import reconstruct
from tests.toys import RAKI_QUICK

ROW = {
    'method', 'rate', 'acs', 'slice', 'seed', 'nrmse', 'nrmse_object', 'kspace_nrmse', 'ssim', 'psnr',
    'gfactor_mean', 'gfactor_p95', 'noise_std', 'noise_bias', 'ghost_index', 'point_peak', 'point_peak_min',
    'point_width', 'retention_mean', 'lesion_contrast', 'lesion_contrast_min', 'lesion_snr', 'lesion_snr_min',
    'noise_floor', 'lesions', 'tradeoff', 'seconds_fit', 'seconds_fill', 'seconds_cpu', 'device',
}  # fmt: skip
"""What architecture promises to programs; more may be there."""


@pytest.fixture
def file(tmp_path: Path) -> ScanFile:
    write_scan(tmp_path / 'scan.h5', simulate(Simulation(matrix=(48, 40), n_coils=6, n_slices=2)), {})
    return open_scan(tmp_path / 'scan.h5')


def planned(
    methods: dict[str, Any],
    rates: tuple[int, ...] = (2, 3, 4, 5),
    acs: tuple[int, ...] = (24,),
    seeds: tuple[int, ...] = (0,),
    **more: Any,
) -> Plan:
    """Plan for slices."""
    return Plan(methods, [Rate((rate,)) for rate in rates], [(size,) for size in acs], seeds, **more)


def compared(file: ScanFile, folder: Path, plan: Plan, slices: tuple[int, ...] = (0,)) -> dict:
    compare_file(file, folder, plan, slices, lambda _name: silent)
    return json.loads((folder / 'results.json').read_text())


def test_there_is_a_row_for_every_cell(file: ScanFile, tmp_path: Path) -> None:
    plan = planned(
        {'zero-filled': ZeroFilling(), 'grappa': Grappa(), 'raki': RAKI_QUICK}, (2, 3), (16, 20), (0, 1), n_replicas=3
    )
    results = compared(file, tmp_path / 'out', plan, (0, 1))
    rows = results['rows']
    assert set(results) == {'scan', 'versions', 'settings', 'rows', 'files', 'sha256'}
    assert all(set(row) >= ROW for row in rows)
    cells = [(row['slice'], row['rate'], row['acs'], row['method'], row['seed']) for row in rows]
    seeds = {'zero-filled': [None], 'grappa': [None], 'raki': [0, 1]}
    assert sorted(cells, key=str) == sorted(
        [
            (index, rate, acs, method, seed)
            for index in (0, 1) for rate in (2, 3) for acs in (16, 20) for method in seeds for seed in seeds[method]
        ],
        key=str,
    )  # fmt: skip
    assert results['scan']['reference'] == 'the noise-free truth in the file'
    assert results['settings']['methods']['raki']['recipe']['n_iterations'] == 60


def test_grappa_beats_zero_filling_and_rate_one_costs_nothing(file: ScanFile, tmp_path: Path) -> None:
    plan = planned({'zero-filled': ZeroFilling(), 'grappa': Grappa()}, (1, 2), (20,), n_replicas=50)
    rows = {(row['method'], row['rate']): row for row in compared(file, tmp_path / 'out', plan)['rows']}
    assert rows['grappa', 2]['nrmse_object'] < 0.5 * rows['zero-filled', 2]['nrmse_object']
    assert rows['zero-filled', 2]['kspace_nrmse'] == pytest.approx(1)
    assert rows['grappa', 1]['gfactor_mean'] == pytest.approx(1, abs=0.02)
    assert rows['grappa', 1]['nrmse'] == rows['zero-filled', 1]['nrmse']


def test_the_truth_is_the_scan_itself_where_nothing_better_is_known(tmp_path: Path) -> None:
    scan = simulate(Simulation(matrix=(48, 40), n_coils=6))
    write_scan(tmp_path / 'scan.h5', type(scan)(scan.kspace, scan.mask), {})
    results = compared(
        open_scan(tmp_path / 'scan.h5'), tmp_path / 'out', planned({'grappa': Grappa()}, (1,), n_replicas=0)
    )
    assert results['scan']['reference'] == 'the fully sampled scan'
    assert results['rows'][0]['nrmse'] == 0
    assert results['rows'][0]['gfactor_mean'] is None


def bench(scan: Scan, **plan: Any) -> Bench:
    return Bench(scan, 0, planned({'grappa': Grappa()}, (3,), (20,), **plan))


def test_errors_are_measured_against_the_noise_free_truth_on_the_missing_lines() -> None:
    scan = replace(simulate(Simulation(matrix=(48, 40), n_coils=6, noise=0.05)), noise=None)
    sampling = undersample(scan.mask, (3,), (20,))
    row = bench(scan, n_replicas=0).cell('zero', ZeroFilling(), sampling, (3, 20), silent).row.flat()
    assert scan.reference is not None
    measured = torch.where(sampling.mask[:, None], scan.kspace[0], 0)
    images = [image_from_kspace(k).abs().square().sum(0).sqrt() for k in (measured, scan.reference[0])]
    assert row['nrmse'] == pytest.approx(float((images[0] - images[1]).norm() / images[1].norm()), rel=1e-5)
    filled = bench(scan, n_replicas=0).cell('grappa', Grappa(), sampling, (3, 20), silent).row.flat()
    ours = fit(Grappa(), scan.kspace[0], sampling).fill(scan.kspace[0])
    missing = ~sampling.mask
    error = (ours - scan.reference[0])[:, missing].norm() / scan.reference[0][:, missing].norm()
    assert filled['kspace_nrmse'] == pytest.approx(float(error), rel=1e-5)
    assert filled['acs_used'] == len(sampling.acs[0])


def test_lines_that_were_never_measured_are_not_judged() -> None:
    """Partial Fourier: the truth beyond the acquired range counts in no figure."""
    scan = simulate(Simulation(matrix=(48, 40), n_coils=6))
    partial = replace(scan, mask=torch.arange(48) >= 9)
    row = (
        bench(partial, n_replicas=0)
        .cell('x', Grappa(), undersample(partial.mask, (3,), (20,)), (3, 20), silent)
        .row.flat()
    )
    assert row['energy_ratio'] == pytest.approx(1, abs=0.2)
    assert row['kspace_nrmse'] < 0.5


def test_refitted_replicas_vary_the_weights_where_there_are_any() -> None:
    scan = simulate(Simulation(matrix=(48, 40), n_coils=6, noise=0.05))
    sampling = undersample(scan.mask, (3,), (20,))
    fixed, refitted = (bench(scan, n_replicas=20, is_refitted=value) for value in (False, True))
    noise = [
        each.cell('grappa', Grappa(), sampling, (3, 20), silent).row.figures['noise_std'] for each in (fixed, refitted)
    ]
    alike = [
        each.cell('zero', ZeroFilling(), sampling, (3, 20), silent).row.figures['noise_std']
        for each in (fixed, refitted)
    ]
    assert noise[0] is not None
    assert noise[1] is not None
    assert abs(noise[1] - noise[0]) > 0.02 * noise[0]
    assert alike[0] == alike[1]


def test_noise_comes_from_noise_samples_where_there_are_any() -> None:
    scan = simulate(Simulation(matrix=(48, 40), n_coils=6))
    assert scan.noise is not None
    unit = bench(scan).unit
    torch.testing.assert_close(unit**2 * bench(scan).covariance, noise_covariance(scan.noise))
    without = replace(scan, noise=None)
    expected = covariance_without_noise_scan(scan.kspace[0], scan.mask, scan.kspace[0][:, 8:40])
    torch.testing.assert_close(unit**2 * bench(without).covariance, expected)


def test_the_noise_floor_is_the_error_of_a_reference_without_reconstruction() -> None:
    """The noise of a fully sampled scan against its noise-free truth, over what else is known of neither."""
    scan = simulate(Simulation(matrix=(96, 80), n_coils=6, noise=0.005))
    assert scan.reference is not None
    judge = bench(replace(scan, reference=None))
    true = bench(scan).true_image
    error = float((judge.true_image - true)[judge.inside].norm() / true[judge.inside].norm())
    assert judge.noise_floor == pytest.approx(error, rel=0.05)
    estimated = bench(replace(scan, reference=None, noise=None))
    assert estimated.noise_floor == pytest.approx(error, rel=0.3)
    assert bench(scan).noise_floor == 0


def test_images_and_g_factor_maps_are_cropped_alike() -> None:
    scan = replace(simulate(Simulation(matrix=(48, 40), n_coils=6)), image_shape=(32, 40))
    cell = bench(scan, n_replicas=3).cell('x', Grappa(), undersample(scan.mask, (3,), (20,)), (3, 20), silent)
    assert cell.gfactor is not None
    assert cell.image.shape == cell.gfactor.shape == (32, 40)


def test_a_comparison_whitens_and_compresses_as_a_reconstruction_does() -> None:
    full = simulate(Simulation(matrix=(48, 40), n_coils=6))
    sampling = undersample(full.mask, (3,), (20,))
    expected = reconstruct(replace(full, mask=sampling.mask), Grappa(), coils=4, device=torch.device('cpu'))
    judge = bench(full, n_replicas=50, coils=4)
    found = judge.cell('x', Grappa(), sampling, (3, 20), silent)
    assert torch.equal(judge.unit * found.image, expected.image[0])
    interpolator, noise = expected.interpolators[0], noise_covariance(full.noise)  # type: ignore[arg-type]
    weights = matched_weights(image_from_kspace(expected.kspace[0])).conj()
    exact = analytic_noise_map(interpolator, noise, weights).gfactor  # type: ignore[arg-type]
    assert found.gfactor is not None
    assert float((found.gfactor / exact).median()) == pytest.approx(1, abs=0.02)


def test_results_say_what_was_done_to_the_coils(file: ScanFile, tmp_path: Path) -> None:
    results = compared(file, tmp_path / 'out', planned({'grappa': Grappa()}, (2,), (16,), n_replicas=0, coils=4))
    expected = 'whitened where the scan has noise samples and compressed to 4 virtual coils of most energy in the ACS'
    assert results['settings']['coils'] == expected
    assert f'Coils are {expected}.' in (tmp_path / 'out' / 'report.html').read_text()


def test_a_faithful_reconstruction_pays_no_price_and_zero_filling_does() -> None:
    scan = simulate(Simulation(matrix=(48, 40), n_coils=6))
    full, zero = (
        bench(scan, n_replicas=20)
        .cell('x', ZeroFilling(), undersample(scan.mask, (rate,), (16,)), (rate, 16), silent)
        .row.flat()
        for rate in (1, 4)
    )
    assert (full['point_peak'], full['point_width']) == pytest.approx((1, 1), abs=0.02)
    assert full['ghost_index'] == 0
    assert full['noise_bias'] == pytest.approx(0, abs=0.1 * float(full['noise_std'] or 0))
    assert (zero['point_peak'], zero['point_peak_min'], zero['retention_mean']) == pytest.approx((0, 0, 0), abs=1e-3)
    assert full['retention_mean'] == 1
    assert (full['noise_floor'], zero['noise_floor']) == (0, 0)
    assert zero['noise_std'] is not None
    assert zero['gfactor_mean'] is None
    assert zero['gfactor_standard_error'] is None
    assert zero['point_width'] is not None
    assert zero['point_width'] > 1.2
    assert zero['ghost_index'] > 0.9


def test_without_noise_there_is_no_noise_map_and_the_results_are_json(tmp_path: Path) -> None:
    write_scan(tmp_path / 'scan.h5', simulate(Simulation(matrix=(48, 40), n_coils=6, noise=0)), {})
    plan = planned({'grappa': Grappa()}, (2,), (16,), n_replicas=3)
    row = compared(open_scan(tmp_path / 'scan.h5'), tmp_path / 'out', plan)['rows'][0]
    assert row['gfactor_mean'] is None
    assert row['noise_bias'] is None
    assert row['point_peak'] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize('fault', ['noise-free', 'dead coil', 'duplicate coil'])
def test_a_faulty_coil_or_missing_noise_stops_no_comparison(fault: str) -> None:
    scan = simulate(Simulation(matrix=(48, 40), n_coils=6, noise=0 if fault == 'noise-free' else 0.003))
    if fault != 'noise-free':
        for array in (scan.kspace, scan.reference):
            assert array is not None
            array[:, 5] = 0 if fault == 'dead coil' else array[:, 4]
        scan = replace(scan, noise=None)
    row = bench(scan, n_replicas=3).cell('x', Grappa(), undersample(scan.mask, (3,), (20,)), (3, 20), silent).row.flat()
    assert row['nrmse_object'] < 0.1


def test_too_little_acs_is_found_before_any_work(file: ScanFile, tmp_path: Path) -> None:
    plan = planned({'zero-filled': ZeroFilling(), 'grappa': Grappa(Kernel(4, 5))}, (2, 6), (16,))
    with pytest.raises(
        CalibrationError, match=r'grappa at R=6, ACS 16: .* 19 x 5 .*, got 16 x 40.*leave out that rate'
    ):
        compared(file, tmp_path / 'out', plan)
    assert not (tmp_path / 'out').exists()


def test_an_undersampled_scan_has_no_truth(file: ScanFile, tmp_path: Path) -> None:
    scan = file.read()
    write_scan(tmp_path / 'half.h5', type(scan)(scan.kspace, undersample(scan.mask, (2,), (16,)).mask), {})
    with pytest.raises(SamplingError, match='needs a fully sampled scan as the truth'):
        compared(open_scan(tmp_path / 'half.h5'), tmp_path / 'out', planned({'grappa': Grappa()}))


@pytest.mark.parametrize(
    'settings', [{'rates': ()}, {'rates': (0,)}, {'acs': (-1,)}, {'n_replicas': 1}, {'methods': {}}, {'seeds': ()}]
)
def test_an_empty_or_impossible_plan_is_refused(settings: dict[str, Any]) -> None:
    defaults: dict[str, Any] = {'methods': {'grappa': Grappa()}}
    with pytest.raises(ValueError, match=r'at least one method|rates must be'):
        planned(**(defaults | settings))


class Page(HTMLParser):
    """Everything that a page would fetch, its scripts by id, and the cells of its table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts: dict[str, str] = {}
        self.cells: list[str] = []
        self._open: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.fetched += [value for name in ('src', 'href') if (value := found.get(name)) and not value.startswith('#')]
        self._open = found.get('id') if tag == 'script' else tag

    def handle_data(self, data: str) -> None:
        if self._open == 'td':
            self.cells.append(data)
        elif self._open in ('data', 'plotly') or str(self._open).startswith('picture-'):
            self.scripts[str(self._open)] = data
        self._open = None

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.scripts['data'])

    def picture(self, name: str) -> np.ndarray:
        """Values of a picture, as the page unpacks them."""
        described = self.data['pictures'][name]
        planes = np.frombuffer(zlib.decompress(base64.b64decode(self.scripts[name])), np.uint8)
        high, low = planes.reshape(2, *described['shape']).astype(float)
        return described['step'] * (256 * high + low)


def page(folder: Path) -> Page:
    return Page((folder / 'report.html').read_text(encoding='utf-8'))


def test_the_report_is_one_file_with_every_slice_rate_acs_and_seed(file: ScanFile, tmp_path: Path) -> None:
    plan = planned({'zero-filled': ZeroFilling(), 'raki': RAKI_QUICK}, (2, 3), (16, 20), (0, 1), n_replicas=3)
    results = compared(file, tmp_path / 'out', plan, (0, 1))
    found = page(tmp_path / 'out')
    assert found.fetched == []
    data = found.data
    assert [panel['row'] for panel in data['panels']] == results['rows']
    assert data['axes'] == {'slice': [0, 1], 'rate': [2, 3], 'acs': [16, 20], 'seed': [0, 1]}
    names = {panel[kind] for panel in data['panels'] for kind in ('image', 'gfactor', 'retention')} - {None}
    names |= {*data['references'].values(), *data['objects'].values()}
    assert len(names) == 3 * len(results['rows']) - 8 + 4  # there is no g-factor of zero filling
    assert all(found.picture(name).shape == (48, 40) for name in names)  # the readout is horizontal


def test_stored_images_tell_the_errors_that_were_measured(file: ScanFile, tmp_path: Path) -> None:
    """NRMSE of the page's own pictures is that of the row: rounding adds 1/(64 sqrt 12) of it in quadrature."""
    results = compared(
        file,
        tmp_path / 'out',
        planned({'grappa': Grappa(), 'none': ZeroFilling()}, (2, 3), (16,), n_replicas=0),
        (0, 1),
    )
    found = page(tmp_path / 'out')
    for panel, row in zip(found.data['panels'], results['rows'], strict=True):
        reference = found.picture(found.data['references'][str(row['slice'])])
        error = found.picture(panel['image']) - reference
        assert reference.max() == pytest.approx(1)
        assert np.linalg.norm(error) / np.linalg.norm(reference) == pytest.approx(row['nrmse'], rel=1e-3)


def test_scales_are_common_and_zero_filling_does_not_stretch_that_of_errors(file: ScanFile, tmp_path: Path) -> None:
    plan = planned({'zero-filled': ZeroFilling(), 'grappa': Grappa()}, (2, 3), (16,), n_replicas=3)
    compared(file, tmp_path / 'out', plan)
    found = page(tmp_path / 'out')
    data = found.data
    reference = found.picture(data['references']['0'])
    worst = {
        panel['method']: np.quantile(abs(found.picture(panel['image']) - reference), ERROR_QUANTILE, method='nearest')
        for panel in data['panels']
        if panel['row']['rate'] == 3
    }
    assert data['scales']['error'] == pytest.approx(worst['grappa'], rel=0.02)  # rounded to steps
    assert worst['zero-filled'] > 2 * worst['grappa']
    rows = [panel['row']['gfactor_p95'] for panel in data['panels'] if panel['method'] == 'grappa']
    assert data['scales']['gfactor'] == max(1.5, *rows)


def test_one_bad_method_leaves_no_error_map_of_others_black(file: ScanFile, tmp_path: Path) -> None:
    """Its own is cut where the larger of those of the baseline and of the winner ends, and the page says so."""
    methods = {'grappa': Grappa(), 'gated': Gated(), 'bad': Grappa(regularization=1e3)}
    compared(file, tmp_path, planned(methods, (3,), (16,), n_replicas=0))
    found = page(tmp_path)
    reference = found.picture(found.data['references']['0'])
    ends = {
        panel['method']: np.quantile(abs(found.picture(panel['image']) - reference), ERROR_QUANTILE, method='nearest')
        for panel in found.data['panels']
    }
    assert ends['bad'] > 2 * max(ends['grappa'], ends['gated'])
    assert found.data['scales']['error'] == pytest.approx(max(ends['grappa'], ends['gated']), rel=0.02)
    assert 'larger errors are cut there' in (tmp_path / 'report.html').read_text(encoding='utf-8')


@pytest.mark.parametrize(
    ('slices', 'text'),
    [
        ((0, 1, 2, 3), 'all 4 slices compared'),
        ((3, 1, 0), '3 of 4 slices compared: 0–1, 3; the others are left out'),
        ((2,), '1 of 4 slices compared: 2; the others are left out'),
    ],
)
def test_the_report_says_which_slices_are_left_out(tmp_path: Path, slices: tuple[int, ...], text: str) -> None:
    write_scan(tmp_path / 'scan.h5', simulate(Simulation(matrix=(48, 40), n_coils=4, n_slices=4)), {})
    plan = planned({'zero-filled': ZeroFilling()}, (2,), (16,), n_replicas=0)
    compared(open_scan(tmp_path / 'scan.h5'), tmp_path, plan, slices)
    assert text in (tmp_path / 'report.html').read_text(encoding='utf-8')


def test_the_report_opens_with_the_verdict_and_at_its_rate(file: ScanFile, tmp_path: Path) -> None:
    plan = planned({'zero-filled': ZeroFilling(), 'grappa': Grappa()}, (2, 3), (16,), n_replicas=0)
    results = compared(file, tmp_path, plan)
    verdict = verdict_of(results['rows'])
    found = page(tmp_path).data
    assert found['summary']['opens'] == {'rate': verdict.rate, 'acs': verdict.acs} == {'rate': 3, 'acs': 16}
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    assert f'<h1>{verdict.sentence}</h1>' in text
    assert verdict.limits[1:] in text
    for column in verdict.columns:
        assert f'{column.label}, {column.about}' in text


def test_what_is_wrong_with_a_slice_is_one_warning(tmp_path: Path) -> None:
    """Not one for every method and rate; the page counts them."""
    scan = simulate(Simulation(matrix=(48, 40), n_coils=6, n_slices=2))
    kspace = scan.kspace.clone()
    kspace[1, 2, 5, 7] = 0.5 * kspace[1].abs().max()
    write_scan(tmp_path / 'scan.h5', replace(scan, kspace=kspace), {})
    plan = planned({'zero-filled': ZeroFilling(), 'grappa': Grappa()}, (2, 3), (16,), n_replicas=0)
    rows = compared(open_scan(tmp_path / 'scan.h5'), tmp_path / 'out', plan, (0, 1))['rows']
    [text] = {text for row in rows for text in row['warnings']}
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert re.findall('<li>(.*?)</li>', page) == [f'every method and rate, slice 1: {text}']
    assert '⚠ 1 warning<' in page


@pytest.mark.parametrize('is_true', [False, True])
def test_the_report_says_how_noisy_its_reference_is(tmp_path: Path, is_true: bool) -> None:
    scan = simulate(Simulation(matrix=(48, 40), n_coils=6))
    write_scan(tmp_path / 'scan.h5', scan if is_true else replace(scan, reference=None), {})
    plan = planned({'grappa': Grappa()}, (2,), (16,), n_replicas=0)
    [row] = compared(open_scan(tmp_path / 'scan.h5'), tmp_path / 'out', plan)['rows']
    assert (row['noise_floor'] == 0) == is_true
    told = f'own noise is {row["noise_floor"]:.4f} on the scale of the error, below which nothing can be judged.'
    assert (told in (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')) != is_true


def test_a_report_without_noise_maps_says_nothing_about_them(file: ScanFile, tmp_path: Path) -> None:
    compared(file, tmp_path / 'out', planned({'grappa': Grappa()}, (2,), (16,), n_replicas=0))
    found = page(tmp_path / 'out')
    assert 'pseudo replicas' not in (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'gfactor' not in found.data['scales']
    assert 'gfactor_mean' not in found.data['columns']


def test_a_scan_without_noise_has_a_report_without_g_factors(tmp_path: Path) -> None:
    write_scan(tmp_path / 'scan.h5', simulate(Simulation(matrix=(48, 40), n_coils=6, noise=0)), {})
    plan = planned({'grappa': Grappa()}, (1, 2), (16,), n_replicas=3)
    results = compared(open_scan(tmp_path / 'scan.h5'), tmp_path / 'out', plan)
    assert [row['gfactor_mean'] for row in results['rows']] == [None, None]
    assert results['rows'][0]['psnr'] is None  # no error at all
    assert set(page(tmp_path / 'out').data['scales']) == {'image', 'error', 'retention'}


def test_the_report_says_how_uncertain_noise_maps_are(file: ScanFile, tmp_path: Path) -> None:
    compared(file, tmp_path / 'out', planned({'grappa': Grappa()}, (2,), (16,), n_replicas=4))
    text = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'relative standard error 40.8 % per pixel' in text  # 1 / sqrt(2 (4 - 1))


def test_the_report_says_whether_weights_of_replicas_were_learnt_anew(file: ScanFile, tmp_path: Path) -> None:
    for is_refitted, word in ((False, 'fixed'), (True, 'refitted')):
        plan = planned({'grappa': Grappa()}, (2,), (16,), n_replicas=2, is_refitted=is_refitted)
        compared(file, tmp_path / word, plan)
        text = (tmp_path / word / 'report.html').read_text(encoding='utf-8')
        assert f'2 pseudo replicas with {word} weights' in text


def test_a_new_figure_is_one_entry(file: ScanFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In results, page and, since that writes the page's columns, CSV."""
    figure = metrics.Figure(
        'peak_ratio', 'peak/true', lambda of: float(of.image.max() / of.true_image.max()), 'of maxima', 3
    )
    monkeypatch.setattr(metrics, 'FIGURES', (*metrics.FIGURES, figure))
    plan = planned({'grappa': Grappa()}, (2,), (16,), n_replicas=0)
    compare_file(file, tmp_path, plan, (0,), lambda _name: silent)
    value = json.loads((tmp_path / 'results.json').read_text())['rows'][0]['peak_ratio']
    assert value == pytest.approx(1, abs=0.1)
    found = page(tmp_path)
    assert found.data['columns']['peak_ratio'] == {
        'label': 'peak/true', 'about': 'of maxima', 'digits': 3, 'best': None, 'under': None, 'is_metric': True,
    }  # fmt: skip
    assert f'{value:.3f}' in found.cells


VOLUME = Simulation((12, 26, 20), n_coils=4)


def test_a_volume_has_a_row_with_every_figure_for_every_cell() -> None:
    methods = {'zero-filled': ZeroFilling(), 'grappa': Grappa()}
    plan = Plan(methods, (Rate((1, 2)), Rate((2, 2), 1)), ((8, 14), (8, 16)), n_replicas=3)
    volume = Bench(simulate(VOLUME), 6, plan)
    cells = list(compare_slab(volume, lambda _name: silent))
    rows = [cell.row.flat() for cell in cells]
    assert [(row['rate'], row['acs'], row['method']) for row in rows] == list(
        product(('1x2', '2x2s1'), ('8x14', '8x16'), methods)
    )
    for cell, row in zip(cells, rows, strict=True):
        none = {figure.name for figure in metrics.FIGURES if not isinstance(row[figure.name], float | int)}
        is_zero = row['method'] == 'zero-filled'
        assert none == ({figure for figure in row if figure.startswith('gfactor')} if is_zero else set())
        assert (cell.gfactor is None) == is_zero
        maps = cell.image, cell.gfactor, cell.retention
        assert all(each.shape == (12, 26, 20) for each in maps if each is not None)
        image, truth = cell.image, volume.true_image
        assert row['nrmse'] == pytest.approx(float((image - truth).norm() / truth.norm()), rel=1e-5)
    for zero, grappa in zip(rows[::2], rows[1::2], strict=True):
        assert grappa['nrmse_object'] < 0.8 * zero['nrmse_object']
        assert zero['kspace_nrmse'] == pytest.approx(1)
        assert zero['ghost_index'] > max(0.9, grappa['ghost_index'])


def test_a_volume_without_acceleration_is_its_reference() -> None:
    plan = Plan({'grappa': Grappa()}, (Rate((1, 1)),), ((8, 14),), n_replicas=20)
    [cell] = compare_slab(Bench(replace(simulate(VOLUME), reference=None), 6, plan), lambda _name: silent)
    figures = cell.row.figures
    assert (figures['nrmse'], figures['kspace_nrmse'], figures['ghost_index'], figures['ssim']) == (0, 0, 0, 1)
    assert figures['net_acceleration'] == 1
    assert (figures['point_peak'], figures['point_width']) == pytest.approx((1, 1), abs=0.02)
    assert figures['gfactor_mean'] == pytest.approx(1, abs=0.02)


def test_what_a_volume_cannot_be_asked_is_named() -> None:
    scan = simulate(VOLUME)
    with pytest.raises(SamplingError, match='a volume 2x2s1 and 16x24, got 2 and 16 for 2 phase axes'):
        require_feasible(planned({'grappa': Grappa()}, (2,), (16,)), scan)
    plan = Plan({'grappa': Grappa(Kernel(2, 3, partitions=2))}, (Rate((6, 2)),), ((4, 14),))
    with pytest.raises(CalibrationError, match=r'grappa at R=6x2, ACS 4x14: .*, got 4 x 14 x 20'):
        require_feasible(plan, scan)


def test_columns_are_what_rows_know_in_the_order_of_tables() -> None:
    rows = [{'device': 'cpu', 'rate': 2, 'method': 'x', 'ghost_index': 0.01, 'warnings': (), 'gfactor_mean': None}]
    assert [figure.name for figure in metrics.columns(rows)] == ['method', 'rate', 'ghost_index', 'device']


def test_the_plans_own_object_is_taken() -> None:
    scan = simulate(Simulation(matrix=(48, 40), n_coils=6))
    masks = torch.zeros(2, 48, 40, dtype=torch.bool)
    masks[0, 10:20, 12:30] = True
    sampling = undersample(scan.mask, (3,), (20,))
    for given in (masks, masks[0]):
        judge = bench(scan, n_replicas=0, object_mask=given)
        cell = judge.cell('x', Grappa(), sampling, (3, 20), silent)
        image, truth = (each[10:20, 12:30] for each in (cell.image, judge.true_image))
        assert cell.row.figures['nrmse_object'] == pytest.approx(float((image - truth).norm() / truth.norm()), rel=1e-5)
    for wrong in (masks[0].mT, masks[1], masks[:, :40]):
        with pytest.raises(ScanError, match=r'the object of slice 0 needs .* \(phase encode x readout: 48 x 40\)'):
            bench(scan, n_replicas=0, object_mask=wrong).inside  # noqa: B018


@pytest.mark.parametrize(('kind', 'readout_is_rows'), [('npy', True), ('npy', False), ('h5', True), ('h5', False)])
def test_the_object_of_the_user_has_the_orientation_of_the_file(
    tmp_path: Path, kind: str, readout_is_rows: bool
) -> None:
    """Files of fastMRI itself, whose images have the readout along their rows, hold such images."""
    scan, path = simulate(Simulation(matrix=(48, 40), n_coils=6)), tmp_path / f'mask.{kind}'
    write_scan(tmp_path / 'scan.h5', scan, {})
    mask = np.zeros((40, 48) if readout_is_rows else (48, 40), np.uint8)
    mask[12:30, 10:20] = 1
    if readout_is_rows:
        size = '<matrixSize><x>40</x><y>48</y><z>1</z></matrixSize>'
        space = f'{size}<fieldOfView_mm><x>40</x><y>48</y><z>5</z></fieldOfView_mm>'
        both = f'<encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace>'
        with h5py.File(tmp_path / 'scan.h5', 'a') as written:
            written['ismrmrd_header'] = f'<ismrmrdHeader><encoding>{both}</encoding></ismrmrdHeader>'
    if kind == 'npy':
        np.save(path, mask)
    else:
        with h5py.File(path, 'w') as written:
            written['object'] = mask
    words = ['compare', str(tmp_path / 'scan.h5'), '-o', str(tmp_path / 'out'), '--methods', 'grappa', '--rates', '2']
    assert main([*words, '--replicas', '0', '--object', str(path)]) == 0
    found = page(tmp_path / 'out')
    assert np.array_equal(found.picture(found.data['objects']['0']), mask)
    text = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'a mask of the user' in text
    np.save(tmp_path / 'bad.npy', 2 * mask)
    assert main([*words, '--object', str(tmp_path / 'bad.npy')]) == 3


def test_the_report_has_the_orientation_of_the_file() -> None:
    """Scans of fastMRI have the readout vertical, others horizontal."""
    scan = replace(simulate(Simulation(matrix=(48, 40), n_coils=6)), voxel_size=(0.002, 0.001))
    cell = bench(scan, n_replicas=3).cell('x', Grappa(), undersample(scan.mask, (3,), (20,)), (3, 20), silent)
    truth, inside = bench(scan).true_image, bench(scan).inside
    scanned = {'file': 'x', 'format': 'x', 'shape': dict.fromkeys(('slice', 'coil', 'ky', 'kx'), 1), 'reference': ''}
    settings = dict.fromkeys(('lattice', 'coils', 'image', 'object', 'n_replicas'), '')
    results = {'scan': scanned | {'noise': ''}, 'versions': {}, 'settings': settings, 'rows': [cell.row.flat()]}
    for readout_is_rows, words, aspect in ((False, 'vertical', 2), (True, 'horizontal', 0.5)):
        turn = {'readout_is_rows': readout_is_rows}
        shown = shown_slice(truth, inside, [shown_cell(cell, truth, **turn)], **turn)
        text = render_report(Report(results, {0: shown}, scan.voxel_size, **turn))
        found = Page(text)
        assert f'phase encoding {words}.' in text
        assert found.data['pixelAspect'] == pytest.approx(aspect)
        [panel] = found.data['panels']
        for name, wanted in (
            (panel['image'], cell.image / truth.max()),
            (panel['gfactor'], cell.gfactor),
            (panel['retention'], cell.retention),
            (found.data['references']['0'], truth / truth.max()),
            (found.data['objects']['0'], inside),
        ):
            assert wanted is not None
            expected = wanted.mT if readout_is_rows else wanted
            np.testing.assert_allclose(found.picture(name), expected.numpy(), atol=0.1)


@pytest.mark.parametrize('peak', [1.0, 3e-7, 2e5])
def test_pictures_come_back_within_half_a_step(peak: float) -> None:
    image = peak * torch.rand(5, 7, generator=torch.Generator().manual_seed(0))
    for step in (0.0, peak / 100):
        stored = picture(image, step)
        high, low = np.frombuffer(zlib.decompress(base64.b64decode(stored.data)), np.uint8).reshape(2, 5, 7).astype(int)
        assert stored.step == pytest.approx(step or float(image.max()) / 65535)
        assert abs(stored.step * (256 * high + low) - image.numpy()).max() <= 0.5001 * stored.step


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -1.0])
def test_what_is_no_magnitude_is_no_picture(value: float) -> None:
    with pytest.raises(ValueError, match=r'finite values of 0 or more on axes \(y, x\), got \(2, 3\)'):
        picture(torch.full((2, 3), value))


def test_methods_are_looked_up_by_name() -> None:
    found = methods_named(['grappa', 'raki', 'rraki', 'iraki', 'zero-filled'], n_iterations=7)
    assert list(found) == ['grappa', 'raki', 'rraki', 'iraki', 'zero-filled']
    assert found['iraki'].n_iterations == 7  # type: ignore[union-attr]
    assert found['rraki'].network.recipe.n_iterations == 7  # type: ignore[union-attr]
    assert found['raki'].recipe.n_iterations == 7  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="no method 'grapa': choose from zero-filled, grappa"):
        methods_named(['grapa'])


def test_plain_grappa_is_compared_by_name_and_stays_plain() -> None:
    """It is what prices are told against, so that no option for all methods may change it."""
    found = with_settings(methods_named(['Plain-Grappa', 'grappa', 'gated']), calibration='own')
    assert found['plain-grappa'] == Grappa(calibration='measured')
    assert found['grappa'] == Grappa()
    with pytest.raises(ValueError, match='no setting calibration of plain-grappa: choose from grappa'):
        with_settings(methods_named(['plain-grappa']), calibration='own')


def test_names_from_the_file_cannot_inject_markup(tmp_path: Path) -> None:
    scan = simulate(Simulation(matrix=(48, 40), n_coils=4))
    write_scan(tmp_path / '<b>x.h5', scan, {'source': '<script>alert(1)</script>'})
    compared(
        open_scan(tmp_path / '<b>x.h5'), tmp_path / 'out', planned({'grappa': Grappa()}, (2,), (16,), n_replicas=0)
    )
    text = (tmp_path / 'out' / 'report.html').read_text()
    assert '<script>alert' not in text
    assert '<b>x' not in text


def test_results_do_not_depend_on_which_other_cells_are_asked_for(file: ScanFile, tmp_path: Path) -> None:
    few = compared(file, tmp_path / 'few', planned({'raki': RAKI_QUICK}, (3,), (16,), n_replicas=3))
    many = compared(
        file, tmp_path / 'many', planned({'grappa': Grappa(), 'raki': RAKI_QUICK}, (2, 3), (16,), n_replicas=3)
    )
    wanted = next(row for row in many['rows'] if row['rate'] == 3 and row['method'] == 'raki')
    timings = {'seconds_fit', 'seconds_fill', 'seconds_cpu'}
    assert {key: value for key, value in few['rows'][0].items() if key not in timings} == {
        key: value for key, value in wanted.items() if key not in timings
    }
    assert torch.get_num_threads() == many['settings']['n_threads']
