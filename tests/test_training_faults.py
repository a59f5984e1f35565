"""Training never fails silently: injected faults lead to a restart that is told, or to an error."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from raki.errors import TrainingError
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import Interpolator, fit
from raki.networks import layers
from raki.networks import raki as real_networks
from raki.networks.fused import fused
from raki.networks.gated import Gated
from raki.networks.iterative import IterativeRaki
from raki.networks.raki import Raki
from raki.networks.residual import ResidualRaki
from raki.networks.training import N_RESTARTS, Recipe
from tests.toys import (
    COMPLEX_QUICK,
    IRAKI_QUICK,
    RAKI_QUICK,
    RRAKI_QUICK,
    lattice_with_acs,
    measured_only,
    point_sources,
    random_kspace,
    relative_error,
)

FULL = point_sources(9, 4, 54, 31) + 0.1 * random_kspace(4, 54, 31)
SAMPLING = lattice_with_acs(54, 3, 1, range(15, 40))
ZERO_FILLED = relative_error(measured_only(FULL, SAMPLING), FULL)
COMPLEX_FAST = replace(COMPLEX_QUICK, recipe=Recipe(n_iterations=60, learning_rate=1e-1))
"""Learns something even at a hundredth of its rate."""
TOO_FAST = 1000.0
"""Times the rate of a recipe."""

FAULTS = (float('nan'), float('inf'), float('-inf'), 1e38)
"""What a faulty iteration predicts; the last is finite, but not its square."""

NAMES = ['raki', 'raki-complex', 'rraki', 'iraki']

Forward = Callable[..., Tensor]


class Faulty:
    """The networks, whose predictions are spoilt in one iteration of the first attempts to train them."""

    def __init__(self, forward: Forward, seed: int, n_faulty_attempts: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.forward, self.n_left = forward, n_faulty_attempts
        self.iteration = int(torch.randint(15, (1,), generator=generator))
        self.value = FAULTS[seed % len(FAULTS)]
        self.start: Tensor | None = None
        self.done = 0

    def __call__(self, weights: tuple[Tensor, ...], *arguments: object, **named: object) -> Tensor:
        predicted = self.forward(weights, *arguments, **named)
        if not weights[0].requires_grad:
            return predicted
        first = weights[0].detach().clone()
        self.start = first if self.start is None else self.start
        self.done = 0 if torch.equal(first, self.start) else self.done + 1
        if self.done != self.iteration or not self.n_left:
            return predicted
        self.n_left -= 1
        return predicted * self.value


def fitted(method: Method, monkeypatch: pytest.MonkeyPatch, seed: int, n_faulty_attempts: int) -> Interpolator:
    def faulty(*arguments: Any) -> Faulty:
        return Faulty(fused(*arguments), seed, n_faulty_attempts)

    monkeypatch.setattr(layers, 'forward', Faulty(layers.forward, seed, n_faulty_attempts))
    monkeypatch.setattr(real_networks, 'fused', faulty)
    return fit(method, FULL, SAMPLING)


def told(interpolator: Interpolator) -> list[str]:
    return [text for text in interpolator.warnings if 'training' in text]


@pytest.mark.parametrize('seed', range(20))
@pytest.mark.parametrize('method', [RAKI_QUICK, COMPLEX_FAST], ids=['raki', 'raki-complex'])
def test_a_fault_leads_to_a_warning_or_an_error(method: Raki, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fault, no warning; faults that end, finite images and a warning; one in every attempt, an error.

    So is one in all attempts but the last, which learns too little in 60 iterations at a thousandth of the rate.
    """
    n_faulty = seed // len(FAULTS) % (N_RESTARTS + 2)
    if n_faulty >= N_RESTARTS:
        with pytest.raises(TrainingError, match=r'left the finite range .* 3 restarts, each 10 times slower'):
            fitted(method, monkeypatch, seed, n_faulty)
        return
    interpolator = fitted(method, monkeypatch, seed, n_faulty)
    assert bool(torch.view_as_real(interpolator.fill(FULL)).isfinite().all())
    assert len(told(interpolator)) == min(n_faulty, 1)
    assert all(
        f'training restarted at learning rate {method.recipe.learning_rate / 10**n_faulty:g}' in text
        for text in told(interpolator)
    )


@pytest.mark.parametrize('seed', range(20))
@pytest.mark.parametrize(('name', 'method'), [('rraki is gated', RRAKI_QUICK), ('iraki is GRAPPA', IRAKI_QUICK)])
def test_others_fall_back_to_closed_forms(
    name: str, method: Method, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a fault was met, there is a warning; where it was met in every attempt, the result is that of the start."""
    n_faulty = seed // len(FAULTS) % (N_RESTARTS + 2)
    interpolator = fitted(method, monkeypatch, seed, n_faulty)
    filled = interpolator.fill(FULL)
    start = Gated() if isinstance(method, ResidualRaki) else Grappa()
    has_failed = any(f'{name} here' in text for text in interpolator.warnings)
    assert has_failed == torch.equal(filled, fit(start, FULL, SAMPLING).fill(FULL))
    assert has_failed or bool(told(interpolator)) == (n_faulty > 0)
    assert n_faulty <= N_RESTARTS or any('left the finite range' in text for text in interpolator.warnings)


def test_a_restart_is_training_with_the_lower_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the attempt that failed is left over."""
    restarted = fitted(RAKI_QUICK, monkeypatch, 0, 1).fill(FULL)
    monkeypatch.undo()
    slower = replace(RAKI_QUICK, recipe=Recipe(RAKI_QUICK.recipe.n_iterations, 3e-4))
    assert torch.equal(restarted, fit(slower, FULL, SAMPLING).fill(FULL))


def faster(method: Any, times: float) -> Any:
    """The same method, whose learning rate is so many times as high."""
    if isinstance(method, ResidualRaki | IterativeRaki):
        return replace(method, network=faster(method.network, times))
    return replace(method, recipe=replace(method.recipe, learning_rate=times * method.recipe.learning_rate))


@pytest.mark.parametrize('seed', range(20))
@pytest.mark.parametrize(
    'method', [RAKI_QUICK, COMPLEX_QUICK, RRAKI_QUICK, replace(IRAKI_QUICK, n_rounds=1)], ids=NAMES
)
def test_a_rate_that_is_far_too_high_gives_no_bad_image_without_a_word(method: Method, seed: int) -> None:
    """Each is restarted, or what the method starts from; always with a warning, always better than zero filling."""
    found = fit(replace(faster(method, TOO_FAST), seed=seed), FULL, SAMPLING)
    assert any('training restarted' in text or 'is gated here' in text for text in found.warnings)
    assert relative_error(found.fill(FULL * SAMPLING.mask[:, None]), FULL) < ZERO_FILLED / 2


@pytest.mark.parametrize('method', [RAKI_QUICK, COMPLEX_QUICK], ids=NAMES[:2])
def test_a_rate_that_no_restart_mends_is_an_error(method: Method) -> None:
    with pytest.raises(TrainingError, match=r'no better than zero .* 3 restarts, each 10 times slower, did not help'):
        fit(faster(method, 1e6), FULL, SAMPLING)


def test_networks_that_learn_nothing_among_others_are_told() -> None:
    """Too high a rate switches some of them off for good; the others bring the loss of all below that of zero."""
    found = fit(faster(RAKI_QUICK, 30.0), FULL, SAMPLING)
    [text] = [text for text in found.warnings if 'networks predict the ACS no better than zero' in text]
    assert re.search(r'after 60 iterations at learning rate 0.09 [1-7] of 8 networks', text)
    assert not any('no better than zero' in text for text in fit(RAKI_QUICK, FULL, SAMPLING).warnings)
