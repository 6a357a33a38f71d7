"""Groups that commit in few of their polls (Connect: once a minute): who keeps up, and who does not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.unit.signals.lagbench import Bench, poll

KINDS = {"lag-growing", "commits-slow", "commits-stopped", "partition-lagging", "partition-stuck", "member-lagging"}
ONSET = 90
"""Polls after which a slow group becomes slow."""


def lived(seed: int, commit_s: float, interval_s: float, share: Callable[[int], float], polls: int = 160) -> Bench:
    """Six partitions of their own rates, written unevenly; commits come a tenth early or late; ``share`` of what is written
    on the average can be read at each poll, where healthy is 1.6."""
    r, b, parts = random.Random(seed), Bench(), range(6)
    end = [5000.0 + 1000 * r.random() for _ in parts]
    rate = [r.uniform(5, 20) for _ in parts]
    read, committed = list(end), list(end)
    commits, polled, level, t = r.uniform(0, commit_s), 0.0, 1.0, 0.0
    while len(b.seen) < polls:
        t += 1.0
        level = max(0.3, level - 0.01 * (level - 1) + 0.02 * r.gauss(0, 1))
        for i in parts:
            end[i] += max(0.0, r.gauss(rate[i] * level, rate[i] * 0.3))
            read[i] = max(read[i], min(end[i] - rate[i] * 0.5, read[i] + rate[i] * share(len(b.seen))))
        if t >= commits:
            committed, commits = list(read), t + commit_s * r.uniform(0.9, 1.1)
        if t >= polled:
            polled += interval_s
            b.feed(poll(t, [int(x) for x in committed], [int(x) for x in end], interval_s=interval_s))
    return b


PERIODS = [(5, 30), (45, 30), (60, 30), (90, 30), (120, 30), (60, 20), (60, 15), (60, 10), (300, 60)]


@pytest.mark.parametrize(("commit_s", "interval_s"), PERIODS)
def test_who_keeps_up_is_told_as_nothing(commit_s: float, interval_s: float) -> None:
    for seed in range(4):
        assert KINDS.isdisjoint(lived(seed, commit_s, interval_s, lambda _: 1.6).ever())


@pytest.mark.parametrize(("commit_s", "interval_s"), PERIODS)
def test_l1_l2_who_reads_three_quarters_is_told_within_a_few_commits(commit_s: float, interval_s: float) -> None:
    for seed in range(4):
        b = lived(seed, commit_s, interval_s, lambda k: 1.6 if k < ONSET else 0.72)
        told = [first for kind in ("lag-growing", "commits-slow") if (first := b.first(kind)) is not None]
        assert told, (seed, commit_s, interval_s)
        assert ONSET < min(told) <= ONSET + 6 + 4 * max(1.0, commit_s / interval_s)


@pytest.mark.parametrize("every", [1, 2, 3, 4])
def test_l1_l2_commits_in_step_with_the_polls(every: int) -> None:
    """A sixth of what comes is left unread; the newest commit is of every ``every``-th poll."""
    b = Bench()
    for k in range(70):
        done, since = max(0, k // every * every - 40), k % every
        b.feed(poll(60 * k, [10_000 + 600 * (k - since) - 100 * done] * 6, [10_000 + 600 * k] * 6, interval_s=60))
    assert {"lag-growing", "commits-slow"} <= set(b.active())


@pytest.mark.parametrize(("every", "after"), [(2, 0), (10, 10)])
def test_l3_who_comes_now_and_then_has_stopped_since_it_was_due(every: int, after: int) -> None:
    """What was wrong before the commit that did not come says nothing of it; of one that is due in every other poll either may."""
    b = Bench()
    for k in range(80):
        done = min(k // every * every, 60)
        b.feed(poll(60 * k, [10_000 + 600 * done] * 4, [10_000 + 600 * k] * 4, interval_s=60))
    assert b.symptom("commits-stopped").since_ms == b.seen[60 + after][0]


def test_l1_a_lag_has_risen_since_it_was_what_it_is_anyway() -> None:
    """It had chanced to be a little above its lowest for minutes before: that was not the beginning."""
    b, r = Bench(), random.Random(3)
    for k in range(104):
        lag = 380 + 400 * (k - 99) if k > 99 else r.choice((20, 380)) if k < 90 else 342 + r.randrange(20)
        b.feed(poll(30 * k, [100_000 + 1000 * k - lag] * 3, [100_000 + 1000 * k] * 3))
    assert b.symptom("lag-growing").since_ms >= b.seen[97][0]
