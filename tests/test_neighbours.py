"""Which samples predict which: numbered samples, symmetry, blocks of cells."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raki.data.lattice import Lattice
from raki.data.sampling import undersample
from raki.interpolation.calibration import Calibration
from raki.interpolation.least_squares import NormalEquations, pairs
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood
from tests.toys import calibration_of, point_sources, random_kspace, sampled_volume

NUMBERED = torch.arange(2 * 17 * 13).reshape(2, 17, 13).to(torch.complex64)


def test_patches_and_targets_of_lines_are_the_samples_they_should_be() -> None:
    """The kernel 3 x 4 has one line before the gap, its column is the third."""
    calibration = Calibration(NUMBERED, Lattice.of((3,)))
    around = calibration.neighbourhood(Kernel(3, 4))
    assert (around.sources, around.targets, around.samples) == (((0,), (3,), (6,)), ((1,), (2,)), range(-2, 2))
    cells, line, column = calibration.cells(around), 5, 6
    patch = cells.patches(NUMBERED)[line, column].reshape(2, 3, 4)
    assert torch.equal(patch, NUMBERED[:, line : line + 7 : 3, column : column + 4])
    assert torch.equal(cells.values(NUMBERED)[:, :, line, column], NUMBERED[:, line + 1 : line + 3, column + 2])


@pytest.mark.parametrize('kernel', [Kernel(2, 3), Kernel(2, 2, partitions=3), Kernel(3, 1)], ids=str)
def test_patches_and_targets_of_volumes_are_the_samples_they_should_be(kernel: Kernel) -> None:
    """Sample by sample, against the offsets."""
    numbered = torch.arange(2 * 9 * 11 * 5).reshape(2, 9, 11, 5).to(torch.complex64)
    calibration = Calibration(numbered, Lattice.of((2, 2), 1))
    around = calibration.neighbourhood(kernel)
    cells = calibration.cells(around)
    patches, values = cells.patches(calibration.acs_lines), cells.values(calibration.acs_lines)
    for cell in (0, len(cells) // 2, len(cells) - 1):
        z, y = cells.anchors[cell].tolist()
        for column, kx in enumerate(around.columns(5)):
            expected = [
                numbered[coil, z + dz, y + dy, kx + dx]
                for coil in range(2)
                for dz, dy in around.sources
                for dx in around.samples
            ]
            assert torch.equal(patches[cell, column], torch.stack(expected))
            targets = [[numbered[coil, z + dz, y + dy, kx] for dz, dy in around.targets] for coil in range(2)]
            assert torch.equal(values[:, :, cell, column], torch.tensor(targets))


def test_every_place_in_the_acs_is_a_cell_and_a_kernel_reaches_all_over_it() -> None:
    calibration = Calibration(random_kspace(2, 9, 12, 7), Lattice.of((2, 3), 1))
    around = calibration.neighbourhood(Kernel(2, 5))
    cells, (depth, width, n_samples) = calibration.cells(around), around.extent
    assert len(cells) == (9 - depth + 1) * (12 - width + 1)
    every = torch.cat([cells.sources, cells.targets], dim=1)
    assert int(every.min()) >= 0
    rows, columns = every.div(12, rounding_mode='floor'), every % 12
    assert [sorted(axis.unique().tolist()) for axis in (rows, columns)] == [list(range(9)), list(range(12))]
    assert len(around.columns(7)) == 7 - n_samples + 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rate=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    shift=st.integers(0, 3),
    kernel=st.builds(Kernel, st.integers(2, 4), st.just(1), st.integers(2, 4)),
)
def test_sources_surround_the_missing_positions_evenly(rate: tuple[int, int], shift: int, kernel: Kernel) -> None:
    """Turned by half a turn about a lattice point, a lattice is itself; so are a cell's missing positions and sources.

    Offset by offset: what is missing at m from a lattice point is missing at -m, up to another lattice point.
    """
    if rate == (1, 1):
        return
    lattice = undersample(torch.ones(40, 60, dtype=torch.bool), rate, (4, 4), shift).lattice
    around = Neighbourhood.around(lattice, kernel, (40, 60), 1)
    halves = [(n * size - 1) // 2 for n, size in zip((kernel.n_partitions, kernel.lines), lattice.cell, strict=True)]

    def near(missing: tuple[int, ...]) -> set[tuple[int, ...]]:
        """Steps from a missing position to the sources within half a kernel of it."""
        steps = {tuple(s - m for s, m in zip(source, missing, strict=True)) for source in around.sources}
        return {step for step in steps if all(abs(n) <= half for n, half in zip(step, halves, strict=True))}

    assert set(around.targets) == set(lattice.missing)
    assert bool(lattice.joins(torch.tensor(around.sources)).all())
    for missing in lattice.missing:
        [opposite] = [m for m in lattice.missing if bool(lattice.joins(torch.tensor(m) + torch.tensor(missing)))]
        assert near(opposite) == {tuple(-n for n in step) for step in near(missing)}
    assert set(around.sources) == {
        tuple(m + s for m, s in zip(missing, step, strict=True))
        for missing in lattice.missing
        for step in near(missing)
    }


def test_a_caipi_lattice_is_the_same_whichever_axis_it_is_told_along() -> None:
    """R=1x4 with shift 2 is R=2x2 with the shift along kz, and its kernel is as wide as that of R=2x2 with shift 1."""
    assert Lattice.of((1, 4), 2).cell == (2, 2)
    assert torch.equal(Lattice.of((1, 4), 2).on((20, 20)), Lattice.of((2, 2), 1).on((20, 20)).mT)
    assert [Lattice.of(rate).cell for rate in [(1, 4), (3, 2), (4, 1)]] == [(1, 4), (3, 2), (4, 1)]


@pytest.mark.parametrize(
    ('shape', 'lattice', 'acs'),
    [
        ((54,), Lattice.of((3,), first=(1,)), (range(15, 40),)),
        ((11, 28), Lattice.of((2, 2), 1), (range(2, 9), range(6, 22))),
        ((11, 28), Lattice.of((2, 2), 1), (range(11), range(10, 17))),
    ],
    ids=['lines', 'volume', 'flat'],
)
def test_blocks_of_the_acs_hold_every_equation_once(
    shape: tuple[int, ...], lattice: Lattice, acs: tuple[range, ...]
) -> None:
    full = point_sources(9, 3, *shape, 19) + 0.1 * random_kspace(3, *shape, 19)
    calibration = calibration_of(full, sampled_volume(shape, lattice, acs))
    around = calibration.neighbourhood(Kernel(2, 3))
    cells, folds = calibration.cells(around), calibration.folds(around)
    assert len(folds) == 4
    assert sorted(torch.cat(folds).tolist()) == list(range(len(cells)))
    total, *others = (NormalEquations.of(calibration.acs_lines, cells.at(fold)) for fold in folds)
    whole = calibration.normal_equations(around)
    total = sum(others, total)
    assert total.n_equations == whole.n_equations == len(pairs(calibration.acs_lines, cells)[0])
    torch.testing.assert_close(total.gram, whole.gram)
    torch.testing.assert_close(total.cross, whole.cross)


def test_cells_on_a_lattice_hold_every_missing_position_once() -> None:
    sampling = sampled_volume((11, 28), Lattice.of((3, 2), 1, (1, 1)), (range(2, 9), range(6, 22)))
    around = Neighbourhood.around(sampling.lattice, Kernel(2, 3), (11, 28), 19)
    targets = Cells.on(around, sampling).targets
    expected = (~sampling.points).flatten().nonzero().flatten()
    assert torch.equal(targets[targets >= 0].sort().values, expected)
