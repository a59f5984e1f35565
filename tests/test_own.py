"""Learning once more from the scan's own reconstruction: what the equations must be, and when there are none."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.data.sampling import Sampling, undersample
from raki.data.simulate import Simulation, simulate
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration
from raki.interpolation.fit import fit
from raki.interpolation.least_squares import NormalEquations
from raki.interpolation.own import NOT_ANEW, NOTE, Outside, doubled, relearnt
from raki.interpolation.tuning import Tuned, tune
from raki.networks.gated import Gated
from tests.toys import lattice_with_acs, point_sources, random_kspace

LINES = point_sources(9, 4, 63, 31) + 0.1 * random_kspace(4, 63, 31), lattice_with_acs(63, 3, 1, range(20, 44))
VOLUME_FULL = point_sources(9, 3, 18, 22, 21) + 0.1 * random_kspace(3, 18, 22, 21)
VOLUME = VOLUME_FULL, undersample(torch.ones(18, 22, dtype=torch.bool), (2, 2), (9, 12), 1)
both_geometries = pytest.mark.parametrize(('full', 'sampling'), [LINES, VOLUME], ids=['lines', 'volume'])


def known(full: Tensor, sampling: Sampling) -> tuple[Calibration, Tuned]:
    lines = torch.where(sampling.mask[..., None], full, 0).flatten(1, -2)
    calibration = Calibration(sampling.acs_block(full), sampling.lattice, sampling, lines)
    return calibration, tune(calibration)


def without_errors(outside: Outside) -> Outside:
    return replace(outside, errors=torch.zeros_like(outside.errors))


def equations(outside: Outside) -> NormalEquations:
    found = outside.equations()
    assert found is not None
    return found


@both_geometries
def test_with_a_perfect_first_map_equations_are_those_of_the_whole_scan(full: Tensor, sampling: Sampling) -> None:
    """Lines as they would have been measured, and no errors: every cell that is not all ACS, and nothing else."""
    calibration, tuned = known(full, sampling)
    outside = Outside.of(calibration, tuned)
    columns = tuned.neighbourhood.columns(full.shape[-1])
    truth = full.flatten(1, -2)[..., columns.start : columns.stop] * outside.is_known[:, None]
    perfect = replace(outside, lines=truth, errors=torch.zeros_like(outside.errors))
    cells = replace(calibration, acs=full).cells(tuned.neighbourhood)
    numbers = torch.cat([cells.sources, cells.targets], dim=1)
    chosen = outside.is_known[numbers].all(1) & ~calibration.known[numbers].all(1)
    expected, found = NormalEquations.of(truth, cells.at(chosen)), perfect.equations()
    assert found is not None
    assert found.n_equations == expected.n_equations
    torch.testing.assert_close(found.gram, expected.gram)
    torch.testing.assert_close(found.cross, expected.cross)


@both_geometries
def test_scatter_is_the_mean_of_what_draws_add(full: Tensor, sampling: Sampling) -> None:
    """The diagonal of the Gram matrix, to which errors of single samples add; 60 draws and their opposites, 5 %."""
    calibration, tuned = known(full, sampling)
    outside = Outside.of(calibration, tuned)
    found, without = equations(outside), equations(without_errors(outside))
    generator, total = torch.Generator().manual_seed(1), torch.zeros_like(found.gram)
    for _ in range(60):
        drawn = outside.drawn(generator)
        for lines in (drawn, 2 * outside.lines - drawn):
            total += equations(without_errors(replace(outside, lines=lines))).gram / 120
    added, found = (float((gram - without.gram).diagonal().real.sum()) for gram in (found.gram, total))
    assert found == pytest.approx(added, rel=0.05)


@both_geometries
def test_scatter_never_takes_away(full: Tensor, sampling: Sampling) -> None:
    calibration, tuned = known(full, sampling)
    outside = Outside.of(calibration, tuned)
    found, without = equations(outside), equations(without_errors(outside))
    least = torch.linalg.eigvalsh(found.gram - without.gram)
    assert float(least[0]) > -1e-9 * float(least[-1])


@both_geometries
def test_the_unit_of_k_space_does_not_matter(full: Tensor, sampling: Sampling) -> None:
    first = relearnt(*known(full, sampling)).linear.weights
    second = relearnt(*known(1e6 * full, sampling)).linear.weights
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4)


def test_without_noise_the_weights_stay_exact() -> None:
    full, sampling = point_sources(4, 6, 63, 31), lattice_with_acs(63, 3, 1, range(20, 44))
    filled = fit(Grappa(), full, sampling).fill(full)
    torch.testing.assert_close(filled, full, rtol=0, atol=1e-4 * float(full.abs().max()))


@pytest.mark.parametrize('rate', [3, 4])
def test_where_noise_matters_own_lines_bring_the_truth_closer(rate: int) -> None:
    """A simulation whose noise-free k-space is known; the margin is half of what is found."""
    scan = simulate(Simulation((96, 80), 8, 1, 0.02, 3))
    assert scan.reference is not None
    full, truth = scan.kspace[0], scan.reference[0]
    sampling = undersample(scan.mask, (rate,), (20,))
    own, measured = (
        float((fit(Grappa(calibration=source), full, sampling).fill(full) - truth)[:, ~sampling.mask].norm())
        for source in ('own', 'measured')
    )
    assert own < 0.9 * measured


def test_what_was_done_is_noted() -> None:
    full, sampling = LINES
    assert NOTE in fit(Grappa(), full, sampling).notes
    assert fit(Grappa(calibration='measured'), full, sampling).notes == ()
    assert NOTE in fit(Gated(), full, sampling).notes
    assert fit(Gated(calibration='measured'), full, sampling).notes == ()


def test_a_separate_acs_is_not_extended() -> None:
    full, sampling = LINES[0], lattice_with_acs(63, 3, 1, range(0))
    own, measured = (fit(Grappa(calibration=source), full, sampling, full[:, 20:44]) for source in ('own', 'measured'))
    assert torch.equal(own.fill(full), measured.fill(full))
    assert NOT_ANEW in own.notes


def test_errors_make_no_more_of_a_prediction_than_is_missed_in_all() -> None:
    """Errors that are a hundred times too large are scaled to the bound, and those within it stay."""
    calibration, tuned = known(*LINES)
    outside = Outside.of(calibration, tuned)
    torch.testing.assert_close(outside.bounded(tuned).errors, outside.errors)
    larger = replace(outside, errors=100 * outside.errors)
    once = larger.bounded(tuned)
    assert float(once.errors.sum()) < 0.5 * float(larger.errors.sum())
    torch.testing.assert_close(once.bounded(tuned).errors, once.errors)
    torch.testing.assert_close(replace(outside, errors=1e4 * outside.errors).bounded(tuned).errors, once.errors)


def test_a_block_of_twice_the_lines_keeps_what_was_measured() -> None:
    full, sampling = LINES
    calibration, _ = known(full, sampling)
    wider = doubled(calibration)
    n_acs = len(sampling.acs[0])
    assert wider.acs_shape == (2 * n_acs,)
    lines = slice(sampling.acs[0].start - n_acs // 2, sampling.acs[0].start - n_acs // 2 + 2 * n_acs)
    margin, measured = (full.shape[-1] - wider.acs.shape[-1]) // 2, sampling.mask[lines]
    assert torch.equal(wider.acs[:, measured], full[:, lines][:, measured, margin:-margin])
