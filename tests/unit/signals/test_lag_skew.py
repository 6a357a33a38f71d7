"""Where in a group the lag sits: rules L9–L11 where traffic is thin, commits are rare, or one broker is slow."""

from __future__ import annotations

import random

import pytest

from tests.unit.signals.lagbench import T0, Bench, poll


def trickle(every_s: float, seed: int, poison_s: float = 1e9) -> Bench:
    """Twelve partitions with a record every ``every_s`` or so, commits of each three by their member every 30 s, polls of 15 s.

    From ``poison_s`` on what partition 5 holds is not read any more.
    """
    rnd = random.Random(seed)
    b = Bench()
    end, done, left = [1000] * 12, [1000] * 12, [1000] * 12
    for s in range(3_600):
        for i in range(12):
            end[i] += rnd.random() < 1 / every_s
            if i != 5 or s < poison_s:
                done[i] = end[i]
            if s % 30 == 7 * (i // 3):
                left[i] = done[i]
        if s % 15 == 0:
            b.feed(poll(s, list(left), list(end), interval_s=15))
    return b


@pytest.mark.parametrize("every_s", [1, 5, 20, 40, 90])
def test_a_trickle_is_never_stuck_because_nothing_came(every_s: float) -> None:
    """L9: a record waits no longer than until its member's next commit, however long the offset stood before."""
    for seed in range(6):
        assert not {"partition-stuck", "commits-stopped"} & trickle(every_s, seed).ever()


@pytest.mark.parametrize("every_s", [1, 5, 20, 40])
def test_a_record_of_a_trickle_that_cannot_be_processed_is_found_within_some_commit_periods(every_s: float) -> None:
    for seed in range(6):
        b = trickle(every_s, seed, poison_s=1800)
        found = b.first("partition-stuck")
        assert found is not None
        assert 1830 < (b.seen[found][0] - T0) / 1000 < 1800 + 120 + 4 * every_s
        assert b.symptom("partition-stuck").detail["partitions"] == ["t/5"]
