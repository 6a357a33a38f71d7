"""Baselines: robust, decayed, in three numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kroute.signals.baseline import ENOUGH, MEMORY, Base, hour_of_week, median


def fed(*batches: list[float]) -> Base:
    base = Base()
    for b in batches:
        base = base.fed(b)
    return base


def test_under_twenty_samples_there_is_no_baseline() -> None:
    assert not fed([1.0] * 8, [1.0] * 8).enough
    assert fed([1.0] * 8, [1.0] * 8, [1.0] * 4).enough
    assert ENOUGH == 20


def test_a_constant_series_is_its_own_median_without_spread() -> None:
    base = fed(*[[90.0] * 8] * 10)
    assert (base.median, base.mad) == (90.0, 0.0)


def test_three_wild_values_of_eight_do_not_move_the_median() -> None:
    base = fed(*[[90.0, 90.0, 90.0, 90.0, 90.0, 9000.0, 9000.0, 9000.0]] * 10)
    assert base.median == 90.0


def test_the_spread_follows_the_series() -> None:
    base = fed(*[[80.0, 85.0, 90.0, 95.0, 100.0, 90.0, 85.0, 95.0]] * 20)
    assert base.median == pytest.approx(90.0)
    assert base.mad == pytest.approx(5.0)
    assert base.p90 == pytest.approx(90 + 1.2816 * 1.4826 * 5)


def test_a_new_usual_is_learnt_once_old_samples_fade() -> None:
    base = fed(*[[10.0] * 8] * 400)
    assert base.n == MEMORY
    for _ in range(2000):
        base = base.fed([20.0] * 8)
    assert base.median == pytest.approx(20.0, rel=0.01)


def test_an_empty_batch_changes_nothing() -> None:
    base = fed([1.0, 2.0])
    assert base.fed([]) == base


@given(st.lists(st.lists(st.floats(0, 1e12), min_size=1, max_size=16), min_size=1, max_size=30))
def test_the_estimate_never_leaves_the_range_of_what_was_fed(batches: list[list[float]]) -> None:
    base = fed(*batches)
    values = [v for b in batches for v in b]
    slack = 1e-9 * max(1.0, *values)
    assert min(values) - slack <= base.median <= max(values) + slack
    assert 0 <= base.mad <= max(values) - min(values) + slack


def test_median_of_even_and_odd() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5


def test_hours_of_the_week_repeat_after_a_week() -> None:
    assert hour_of_week(0) == 0
    assert hour_of_week(25 * 3_600_000) == 25
    assert hour_of_week(168 * 3_600_000) == 0
