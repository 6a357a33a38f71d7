"""Seconds behind come from the history of log ends: exact where it reaches, bounded where it does not."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kroute.signals.history import AT_LEAST, ESTIMATE, EXACT, POINTS, EndHistory

HOUR = 3_600_000
NOW = 1_700_000_000_000


def ints(*xs: int) -> np.typing.NDArray[np.int64]:
    return np.array(xs, np.int64)


def steady(hours: float, every_s: int = 30, per_s: int = 10) -> EndHistory:
    """A topic that takes ``per_s`` records a second, polled for some hours up to NOW."""
    h = EndHistory(1)
    n = int(hours * 3600 / every_s)
    for k in range(n + 1):
        t = NOW - (n - k) * every_s * 1000
        h.add(t, ints((t - NOW + 400 * HOUR) // 1000 * per_s))
    return h


@pytest.mark.parametrize("behind_s", [10, 45, 600, 3 * 3600, 26 * 3600, 6 * 86_400])
def test_behind_by_seconds_hours_or_days_is_told_within_two_percent(behind_s: int) -> None:
    h = steady(24 * 8)
    end = 400 * 3600 * 10
    seconds, bound = h.seconds_behind(ints(0), ints(end - behind_s * 10), ints(end), NOW)
    assert bound[0] == EXACT
    assert seconds[0] == pytest.approx(behind_s, rel=0.02, abs=1)


def test_the_history_is_64_points_and_reaches_back_a_week() -> None:
    h = steady(24 * 12)
    assert h.n == POINTS
    assert h.t[-1] - h.t[0] > 7 * 24 * HOUR
    assert len(set(h.slots)) == POINTS
    assert max(h.slots) < POINTS


def test_a_rate_that_changes_is_followed_and_not_averaged() -> None:
    h = EndHistory(1)
    end = 0
    for k in range(60):
        end += 300 if k < 30 else 30_000
        h.add(NOW + 30_000 * k, ints(end))
    seconds, _ = h.seconds_behind(ints(0), ints(9_000), ints(end), NOW + 59 * 30_000)
    assert seconds[0] == pytest.approx(30 * 30, abs=31)


def test_a_commit_older_than_the_history_is_extrapolated_and_says_so() -> None:
    h = steady(1)
    end = 400 * 3600 * 10
    seconds, bound = h.seconds_behind(ints(0), ints(end - 10 * 7200), ints(end), NOW)
    assert bound[0] == ESTIMATE
    assert seconds[0] == pytest.approx(7200, rel=0.01)


def test_without_a_rate_the_age_of_the_history_is_the_bound() -> None:
    h = EndHistory(1)
    for k in range(5):
        h.add(NOW + 30_000 * k, ints(1000))
    seconds, bound = h.seconds_behind(ints(0), ints(10), ints(1000), NOW + 120_000)
    assert (seconds[0], bound[0]) == (120.0, AT_LEAST)


def test_a_topic_that_was_quiet_for_an_hour_dates_its_new_record_by_its_arrival() -> None:
    h = EndHistory(1)
    for k in range(121):
        h.add(NOW + 30_000 * k, ints(100))
    h.add(NOW + 30_000 * 121, ints(101))
    seconds, _ = h.seconds_behind(ints(0), ints(100), ints(101), NOW + 30_000 * 122)
    assert 30 <= seconds[0] <= 60


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 5000)), min_size=1, max_size=120), st.data())
def test_never_nan_never_negative_and_the_further_back_the_later(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    h = EndHistory(1)
    t, end = NOW, 1000
    for dt, grown in steps:
        t, end = t + dt * 1000, end + grown
        h.add(t, ints(end))
    asked = sorted(data.draw(st.lists(st.integers(0, end), min_size=2, max_size=8)))
    out = [float(h.seconds_behind(ints(0), ints(c), ints(end), t + 5000)[0][0]) for c in asked]
    assert all(math.isfinite(x) and x >= 0 for x in out)
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(out))


def test_two_hash_seeds_write_the_same_rows() -> None:
    code = (
        "import hashlib\n"
        "from tests.unit.signals.lagbench import *\n"
        "b = simulate(Bench(Stated(objective=60)), 60, speed=lambda t: 1e9 if t < 900 else 50, members=(member('m', range(4)),))\n"
        "d = hashlib.sha256(repr((sorted(b.table.items()), b.reports and b.board.take_changed())).encode())\n"
        "print(d.hexdigest())\n"
    )
    seen = [
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True,
                       check=True, timeout=60).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert seen[0] == seen[1] != ""
