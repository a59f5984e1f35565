"""Patterns that are no lattice."""

import pytest
import torch

from raki.data.masks import MASKS, Drawn, Irregular, equispaced_fraction, random_lines
from raki.data.sampling import Sampling, undersample
from raki.errors import SamplingError
from tests.toys import lines_at, random_kspace


def test_a_lattice_has_the_same_acs_and_range_whether_it_is_called_one_or_not() -> None:
    """Partial Fourier included; where margins are as wide as gaps, a lattice line would be missing."""
    for rate, first, start in ((2, 1, 0), (3, 0, 0), (4, 3, 0), (3, 1, 9)):
        there = torch.ones(50, dtype=torch.bool)
        there[:start] = False
        sampling = undersample(there, (rate,), (12,), first=(first,))
        pattern, kspace = Irregular(sampling.mask), random_kspace(2, 50, 7)
        assert pattern.acs == sampling.acs
        assert torch.equal(pattern.acs_block(kspace), sampling.acs_block(kspace))
        measured = sampling.mask.nonzero().flatten()
        assert bool(pattern.inside[measured[0] : measured[-1] + 1].all())
        assert torch.equal(pattern.inside[measured[0] :], sampling.inside[measured[0] :])


def test_margins_narrower_than_the_widest_gap_are_filled() -> None:
    mask = lines_at(20, 3, 4, 5, 9, 17)
    assert Irregular(mask).acs == (range(3, 6),)
    assert bool(Irregular(mask).inside.all())
    assert Irregular(lines_at(20, 3, 4, 5, 7, 12)).inside.nonzero().flatten().tolist() == list(range(13))
    assert Irregular(lines_at(20, 6, 7, 8)).inside.nonzero().flatten().tolist() == [6, 7, 8]


def test_partitions_and_lines_are_read_apart() -> None:
    mask = torch.zeros(7, 9, dtype=torch.bool)
    mask[2:5, 3:6] = True
    mask[0, 0] = mask[6, 8] = True
    pattern = Irregular(mask)
    assert pattern.acs == (range(2, 5), range(3, 6))
    assert bool(pattern.inside.all())
    nothing = Irregular(torch.zeros(4, 5, dtype=torch.bool))
    assert not bool(nothing.inside.any())


@pytest.mark.parametrize('name', ['equispaced_fraction', 'random'])
@pytest.mark.parametrize(('n_lines', 'rate', 'fraction'), [(128, 4, 0.08), (161, 4, 0.08), (320, 8, 0.04)])
def test_one_of_r_lines_is_measured_on_average_and_the_centre_always(
    name: str, n_lines: int, rate: int, fraction: float
) -> None:
    """Over 200 seeds, within five standard errors of random lines."""
    masks = torch.stack([MASKS[name](n_lines, rate, fraction, seed) for seed in range(200)])
    assert float(masks.sum(1).float().mean()) == pytest.approx(n_lines / rate, abs=5 * (n_lines / rate / 200) ** 0.5)
    n_centre = round(n_lines * fraction)
    start = (n_lines - n_centre + 1) // 2
    assert bool(masks[:, start : start + n_centre].all())
    assert start + n_centre // 2 == n_lines // 2
    assert torch.equal(MASKS[name](n_lines, rate, fraction, 3), masks[3])
    assert len(masks.unique(dim=0)) > 1


def test_random_lines_outside_the_centre_are_equally_probable() -> None:
    """Within five standard errors."""
    masks = torch.stack([random_lines(90, 3, 0.1, seed) for seed in range(1000)]).double()
    share = torch.cat([masks[:, :40], masks[:, 51:]], 1).mean(0)
    assert float((share - 21 / 81).abs().max()) < 5 * (21 / 81 * 60 / 81 / 1000) ** 0.5


@pytest.mark.parametrize(('n_lines', 'rate'), [(128, 4), (161, 3)])
def test_gaps_of_an_equispaced_fraction_differ_by_one_and_reach_both_ends(n_lines: int, rate: int) -> None:
    """Between two lines, and before the first and after the last, where rounding may move a line by half."""
    n_centre = round(0.08 * n_lines)
    spacing = (n_lines - n_centre) / (n_lines / rate - n_centre)
    for seed in range(8):
        mask = equispaced_fraction(n_lines, rate, seed=seed)
        measured = mask.nonzero().flatten()
        before = measured[measured < (n_lines - n_centre + 1) // 2]
        assert set(before.diff().tolist()) <= {int(spacing), int(spacing) + 1}
        assert int(before[0]) <= spacing
        assert n_lines - 1 - int(measured[-1]) <= spacing + 0.5


def test_a_centre_that_uses_up_all_lines_is_refused() -> None:
    with pytest.raises(SamplingError, match=r'R=16 allows 8 of 128 lines, but a centre of 0.08 has 10: use a smaller'):
        random_lines(128, 16)
    with pytest.raises(SamplingError, match='of 1 or more'):
        equispaced_fraction(128, 0.5)


@pytest.mark.parametrize('name', MASKS)
@pytest.mark.parametrize(('n_lines', 'rate', 'n_centre'), [(320, 4, 26), (320, 8, 13), (161, 4, 13)])
def test_drawn_masks_have_the_published_centre_and_depend_on_the_seed(
    name: str, n_lines: int, rate: int, n_centre: int
) -> None:
    """8 % of all lines at 4x, 4 % at 8x."""
    masks = torch.stack([Drawn(name, seed).lines(n_lines, rate) for seed in range(8)])
    start = (n_lines - n_centre + 1) // 2
    assert bool(masks[:, start : start + n_centre].all())
    assert start + n_centre // 2 == n_lines // 2
    assert torch.equal(Drawn(name, 3).lines(n_lines, rate), masks[3])
    assert len(masks.unique(dim=0)) > 1


def test_equispaced_lines_are_a_lattice_of_the_rate_that_is_named() -> None:
    firsts = set()
    for seed in range(20):
        mask = MASKS['equispaced'](150, 4, 0.08, seed)
        sampling = Sampling.from_mask(mask)
        assert sampling.lattice.spacing == (4,)
        assert int(mask.sum()) > 150 / 4
        firsts.add(sampling.lattice.first[0])
    assert firsts == {0, 1, 2, 3}


@pytest.mark.parametrize(('name', 'spacing'), [('magic', 6), ('magic_fraction', 11)])
def test_one_half_of_k_space_falls_between_the_mirrored_other(name: str, spacing: int) -> None:
    """Two lines apart in all of it: of 141 lines 24 are one of six, 11 of them the centre; 141 / 13 rounds to 11."""
    for seed in range(20):
        mask = MASKS[name](141, 6, 0.08, seed)
        distance = mask.nonzero().flatten() - 70
        positive, negative = distance[distance > 6], -distance[distance < -6]
        assert set(positive.diff().tolist()) == set(negative.flip(0).diff().tolist()) == {spacing}
        assert (int(positive[0]) - int(negative[-1])) % spacing in (2, spacing - 2)


def test_other_names_and_rates_are_refused() -> None:
    with pytest.raises(ValueError, match='one of equispaced_fraction, equispaced, magic, magic_fraction, random, got'):
        Drawn('poisson')
    with pytest.raises(SamplingError, match=r'a whole R of 1 or more, got 4\.5'):
        MASKS['equispaced'](128, 4.5)
