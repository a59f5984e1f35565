"""What a comparison comes to: the least error, and what it costs."""

from typing import Any

import pytest

from raki.evaluation.verdict import COLUMNS, PRICE, PRICED, STAR, Score, Verdict, verdict_of

ERROR = COLUMNS[0]


def row(method: str, error: float, rate: int | str = 4, **figures: Any) -> dict[str, Any]:
    usual = {'gfactor_mean': 2.0, 'point_peak': 0.9, 'ghost_index': 0.1, 'noise_bias': 0.001}
    usual |= {'energy_ratio': 0.9, 'seconds_fit': 0.25, 'seconds_fill': 0.25, 'acs': 24, 'seed': None, 'slice': 0}
    return {**usual, 'method': method, 'rate': rate, 'nrmse_object': error, **figures}


def score(verdict: Verdict, method: str, rate: int = 4) -> Score:
    return next(each for each in verdict.scores if (each.method, each.rate) == (method, rate))


def test_the_least_error_wins_and_the_baseline_is_named() -> None:
    verdict = verdict_of([row('grappa', 0.05), row('gated', 0.04, seconds_fit=1.75)])
    assert verdict.sentence == (
        'At R = 4 with an ACS of 24, gated has the least error, 0.0400 (0.80 of grappa), at no price in small points, '
        'ghosts or bias; 2 s a slice (grappa 0.5 s).'
    )
    assert score(verdict, 'gated').mark(ERROR) == STAR
    assert score(verdict, 'grappa').mark(ERROR) == ''


@pytest.mark.parametrize(
    ('figures', 'text'),
    [
        ({'point_peak': 0.79}, 'small points 0.79 (0.90)'),
        ({'ghost_index': 0.21}, 'ghosts 0.210 (0.100)'),
        ({'noise_bias': 0.0061}, 'bias 0.0061 (0.0010)'),
    ],
)
def test_what_is_worse_by_more_than_its_limit_is_the_price(figures: dict[str, Any], text: str) -> None:
    verdict = verdict_of([row('grappa', 0.05), row('gated', 0.04, **figures)])
    assert f'at a price: {text}, in brackets grappa' in verdict.sentence
    assert score(verdict, 'gated').mark(ERROR) == PRICED


@pytest.mark.parametrize('figures', [{'point_peak': 0.81}, {'ghost_index': 0.19}, {'noise_bias': 0.0059}])
def test_what_is_worse_by_less_is_none(figures: dict[str, Any]) -> None:
    verdict = verdict_of([row('grappa', 0.05), row('gated', 0.04, **figures)])
    assert score(verdict, 'gated').mark(ERROR) == STAR


def test_zero_filling_is_shown_and_never_the_best() -> None:
    rows = [row('zero-filled', 0.01, energy_ratio=0.0, noise_bias=0.0), row('grappa', 0.05), row('gated', 0.06)]
    verdict = verdict_of(rows)
    assert verdict.baseline == 'grappa'
    assert not score(verdict, 'zero-filled').best
    assert 'grappa has the least error' in verdict.sentence


@pytest.mark.parametrize('others', [[], [row('gated', 0.4)]], ids=['alone', 'one of two'])
def test_it_says_where_nothing_is_better_than_not_filling_in(others: list[dict[str, Any]]) -> None:
    for error, is_worse in ((0.05, False), (0.3, True)):
        found = verdict_of([row('zero-filled', 0.2, energy_ratio=0.0), row('grappa', error), *others])
        assert ('more than zero-filled (0.2000)' in found.sentence) == is_worse


def test_it_opens_where_methods_differ_visibly() -> None:
    rows = [row('grappa', 0.050, 2), row('gated', 0.049, 2), row('grappa', 0.08, 10), row('gated', 0.06, 10)]
    verdict = verdict_of(rows)
    assert verdict.rate == 10
    assert [each.rate for each in verdict.scores] == [2, 2, 10, 10]
    assert verdict.sentence.endswith(' It has the least at 2 of 2 rates.')


def test_cells_of_several_acs_are_no_rates() -> None:
    rows = [row(name, error, acs=acs) for acs in (16, 24) for name, error in (('grappa', 0.05), ('gated', 0.04))]
    assert verdict_of(rows).sentence.endswith(' It has the least in 2 of 2 cells (rate and ACS).')


@pytest.mark.parametrize(('least', 'is_visible'), [(0.04, True), (0.049, False)])
def test_it_says_where_no_difference_is_visible(least: float, is_visible: bool) -> None:
    rows = [row('grappa', 0.05), row('gated', least), row('raki', 0.09)]
    text = 'Nowhere is another visibly better than grappa, by a factor of 1.1'
    assert (text in verdict_of(rows).sentence) != is_visible


def test_rates_at_which_every_line_is_measured_decide_nothing() -> None:
    """Not even zero filling leaves anything out there."""
    full = [row('zero-filled', 0.0, 1, energy_ratio=1.0), row('grappa', 0.0, 1, energy_ratio=1.0)]
    assert verdict_of(full).sentence == 'At R = 1 with an ACS of 24 nothing was left out: there is nothing to compare.'
    rows = [row('zero-filled', 0.5, energy_ratio=0.0), row('grappa', 0.05), row('gated', 0.04)]
    assert 'rates' not in verdict_of([*full, *rows]).sentence
    verdict = verdict_of([*full, *rows])
    assert (verdict.rate, verdict.baseline) == (4, 'grappa')
    assert not any(score.fills or score.best for score in verdict.scores if score.rate == 1)


@pytest.mark.parametrize(('seconds', 'text'), [(0.123, '0.12'), (7.0, '7'), (129.6, '130'), (4000.4, '4000')])
def test_seconds_are_read_without_exponents(seconds: float, text: str) -> None:
    rows = [row('grappa', 0.05), row('raki', 0.04, seconds_fit=seconds, seconds_fill=0.0)]
    assert f'; {text} s a slice (grappa 0.5 s).' in verdict_of(rows).sentence


def test_one_bad_method_does_not_make_a_difference_visible() -> None:
    rows = [row(name, error, rate) for rate in (2, 3) for name, error in (('grappa', 0.05), ('raki', 0.09))]
    rows += [row('gated', 0.049, 2), row('gated', 0.04, 3)]
    assert verdict_of(rows).rate == 3


def test_a_baseline_that_is_the_best_is_held_against_the_next() -> None:
    rows = [row('raki', error, rate) for rate, error in ((2, 0.051), (3, 0.06), (4, 0.05))]
    assert verdict_of([*rows, *(row('grappa', 0.05, rate) for rate in (2, 3, 4))]).rate == 3


def test_a_volume_is_no_slice() -> None:
    assert (
        's a volume (grappa' in verdict_of([row('grappa', 0.05, rate='2x2'), row('gated', 0.04, rate='2x2')]).sentence
    )


def test_figures_are_means_over_slices_and_seeds() -> None:
    rows = [row('grappa', 0.05), row('raki', 0.03, seed=0), row('raki', 0.06, seed=1, slice=3)]
    assert score(verdict_of(rows), 'raki').values['nrmse_object'] == pytest.approx(0.045)


def test_values_that_are_written_alike_share_the_star() -> None:
    verdict = verdict_of([row('grappa', 0.05001), row('gated', 0.05)])
    assert [each.mark(ERROR) for each in verdict.scores] == [STAR, STAR]


def test_points_that_come_back_higher_than_they_were_are_no_better() -> None:
    points = next(column for column in COLUMNS if column.name == 'point_peak')
    heights = {'grappa': 1.0, 'gated': 1.2, 'raki': 0.9}
    verdict = verdict_of([row(name, 0.05, point_peak=height) for name, height in heights.items()])
    assert [score(verdict, name).mark(points) for name in heights] == [STAR, STAR, '']


def test_what_was_not_measured_is_neither_best_nor_a_price() -> None:
    verdict = verdict_of([row('grappa', 0.05, noise_bias=None, gfactor_mean=None), row('gated', 0.04, noise_bias=0.01)])
    assert score(verdict, 'gated').mark(ERROR) == STAR
    assert not any(each.mark(COLUMNS[1]) for each in verdict.scores)


@pytest.mark.parametrize(
    ('figures', 'text'),
    [
        ({'noise_bias': None}, 'at no price in small points or ghosts (not measured: bias);'),
        ({'noise_bias': None, 'ghost_index': None}, 'at no price in small points (not measured: ghosts, bias);'),
        ({'noise_bias': None, 'point_peak': 0.5}, 'small points 0.50 (0.90), in brackets grappa (not measured: bias);'),
        ({'noise_bias': None, 'ghost_index': None, 'point_peak': None}, 'its price not measured;'),
    ],
)
def test_what_was_not_measured_may_be_a_price(figures: dict[str, Any], text: str) -> None:
    assert text in verdict_of([row('grappa', 0.05), row('gated', 0.04, **figures)]).sentence


@pytest.mark.parametrize(
    ('rows', 'text'),
    [
        ([row('zero-filled', 0.1, energy_ratio=0.0)], 'nothing was filled in'),
        ([row('grappa', 0.05)], 'grappa has an error of 0.0500; nothing else was compared'),
        (
            [row('zero-filled', 0.1, energy_ratio=0.0), row('grappa', 0.05), row('gated', 0.1, energy_ratio=0.0)],
            'grappa has an error of 0.0500; zero-filled and gated filled nothing in.',
        ),
    ],
)
def test_where_there_is_nothing_to_compare_it_says_so(rows: list[dict[str, Any]], text: str) -> None:
    assert text in verdict_of(rows).sentence


def test_the_price_is_marked_where_it_stands() -> None:
    """Also of a method that is the best in nothing."""
    points = next(column for column in COLUMNS if column.name == 'point_peak')
    rows = [row('grappa', 0.05), row('gated', 0.04, point_peak=0.7), row('raki', 0.06, point_peak=0.6)]
    marks = [each.mark(points) for each in verdict_of(rows).scores]
    assert marks == [STAR, PRICE, PRICE]
    assert verdict_of(rows).limits.endswith(f'({PRICE})')
