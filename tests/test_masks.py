"""Patterns that are no lattice."""

import torch

from raki.data.masks import Irregular
from raki.data.sampling import undersample
from tests.toys import random_kspace


def lines(n_lines: int, *measured: int) -> torch.Tensor:
    mask = torch.zeros(n_lines, dtype=torch.bool)
    mask[list(measured)] = True
    return mask


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
    mask = lines(20, 3, 4, 5, 9, 17)
    assert Irregular(mask).acs == (range(3, 6),)
    assert bool(Irregular(mask).inside.all())
    assert Irregular(lines(20, 3, 4, 5, 7, 12)).inside.nonzero().flatten().tolist() == list(range(13))
    assert Irregular(lines(20, 6, 7, 8)).inside.nonzero().flatten().tolist() == [6, 7, 8]


def test_partitions_and_lines_are_read_apart() -> None:
    mask = torch.zeros(7, 9, dtype=torch.bool)
    mask[2:5, 3:6] = True
    mask[0, 0] = mask[6, 8] = True
    pattern = Irregular(mask)
    assert pattern.acs == (range(2, 5), range(3, 6))
    assert bool(pattern.inside.all())
    nothing = Irregular(torch.zeros(4, 5, dtype=torch.bool))
    assert not bool(nothing.inside.any())
