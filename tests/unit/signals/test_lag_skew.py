"""Where in a group the lag sits: rules L9–L11 where traffic is thin, commits are rare, or one broker is slow."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.unit.signals.lagbench import T0, Bench, Stated, member, poll


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


def test_who_reads_a_backlog_partition_by_partition_is_stuck_at_none() -> None:
    """Six partitions of 100 records/s; offsets are set back by an hour, and one partition after the other is read, at 3,000/s."""
    b = Bench()
    behind = [0] * 6
    for s in range(0, 3600, 10):
        if s == 1800:
            behind = [360_000] * 6
        if s > 1800:
            turn = next((i for i in range(6) if behind[i] > 0), None)
            for i in range(6):
                behind[i] = behind[i] + 1000 - 30_000 if i == turn else behind[i] + 1000 if behind[i] else 0
            behind = [max(0, x) for x in behind]
        end = 1_000_000 + 100 * s
        b.feed(poll(s, [end - x for x in behind], [end] * 6, interval_s=10))
    assert {"offset-rewound", "reading-fast"} <= b.ever()
    assert behind == [0] * 6
    assert "partition-stuck" not in b.ever()


@pytest.mark.parametrize("seed", range(4))
def test_where_every_record_takes_longer_than_its_reader_may_no_single_one_is_stuck(seed: int) -> None:
    """Four partitions of 10 records/s; from some minute on both members take 20 s for a record, and now and then one is committed."""
    rnd = random.Random(seed)
    b = Bench()
    done = [1000] * 4
    for s in range(0, 2400, 10):
        end = 1000 + 10 * s
        done = [end] * 4 if s < 1200 else [d + (rnd.random() < 0.25) for d in done]
        b.feed(poll(s, list(done), [end] * 4, interval_s=10))
    assert {"lag-growing"} <= b.ever()
    assert "partition-stuck" not in b.ever()


@pytest.mark.parametrize(("state", "stuck"), [("Stable", True), ("PreparingRebalance", False)])
def test_a_partition_of_a_group_that_keeps_rebalancing_may_wait_for_its_next_owner(state: str, stuck: bool) -> None:
    """Six partitions of 100 records/s; one of them is not read for three quarters of a minute."""
    b = Bench()
    told = False
    for s in range(0, 1800, 10):
        end = 1000 + 100 * s
        left = 1000 + 100 * 1500 if 1500 <= s <= 1545 else end
        b.feed(poll(s, [left, *[end] * 5], [end] * 6, interval_s=10, state=state if s >= 1400 and s % 20 else "Stable"))
        told = told or "partition-stuck" in b.active()
    assert told is stuck


def slow_leader(polls: int, *, broker: int | None, from_poll: int = 16, interval_s: int = 60, seed: int = 0, pace: float = 0.5,
                objective: float | None = None, **more: Any) -> Bench:  # fmt: skip
    """Twelve partitions led by brokers 0–2 in turn, 10 records/s each, commits every 5 s with jitter; what ``broker``
    leads is read at ``pace`` from ``from_poll`` on."""
    rnd = random.Random(seed)
    b = Bench(Stated(objective=objective))
    behind = [0.0] * 12
    for k in range(polls):
        end = 1000 + 10 * interval_s * k
        for i in range(12):
            if i % 3 == broker and k >= from_poll:
                behind[i] += 10 * interval_s * (1 - pace)
        b.feed(
            poll(interval_s * k, [int(end - x - rnd.randrange(60)) for x in behind], [end] * 12, interval_s=interval_s, **more)
        )
    return b


@pytest.mark.parametrize("interval_s", [15, 30, 60])
def test_l11_lag_in_the_partitions_of_one_leader_names_it_within_some_polls(interval_s: int) -> None:
    for seed in range(5):
        b = slow_leader(30, broker=1, interval_s=interval_s, seed=seed)
        first = b.first("partition-lagging")
        assert first is not None
        assert 17 <= first <= 16 + max(4, 60 // interval_s + 3)
        assert b.symptom_gone("partition-lagging") is None
        s = b.symptom("partition-lagging")
        assert s.detail["leader"] == 1
        assert s.detail["partitions"] == ["t/1", "t/4", "t/7", "t/10"]
        assert "partitions led by broker 1" in s.why


def test_l11_lag_in_the_partitions_of_one_leader_ends_when_it_is_read() -> None:
    b = slow_leader(24, broker=1)
    end, behind = 1000 + 600 * 23, 300 * 8
    for k in range(24, 34):
        end, behind = end + 600, max(0, behind - 600)
        b.feed(poll(60 * k, [end - 30 - (behind if i % 3 == 1 else 0) for i in range(12)], [end] * 12, interval_s=60))
    assert "partition-lagging" not in b.active()


def test_l11_a_healthy_group_or_one_that_lags_everywhere_names_no_leader() -> None:
    for seed in range(10):
        assert slow_leader(60, broker=None, seed=seed).ever() == set()
    b = Bench()
    for k in range(30):
        end = 1000 + 600 * k
        b.feed(poll(60 * k, [end - 20 - 300 * max(0, k - 15)] * 12, [end] * 12, interval_s=60))
    assert "partition-lagging" not in b.ever()


def test_l11_partitions_of_one_leader_that_one_member_reads_name_no_leader() -> None:
    members = tuple(member(f"m{j}", range(j, 12, 3)) for j in range(3))
    b = slow_leader(30, broker=1, members=members)
    assert "partition-lagging" not in b.ever()


def test_l1_a_group_that_nears_its_objective_by_a_steady_slope_is_growing_whatever_is_usual() -> None:
    """Of twelve partitions four fall behind: the mean stays small where the worst has reached the objective."""
    b = slow_leader(30, broker=1, objective=120.0)
    risk, grows = b.first("objective-at-risk"), b.first("lag-growing")
    assert risk is not None
    assert grows is not None
    assert grows <= risk + 1
    assert b.first("lag-growing") < (slow_leader(30, broker=1).first("lag-growing") or 99)  # type: ignore[operator]
    assert b.symptom_gone("lag-growing") is None


def test_l1_a_group_behind_a_hung_transaction_is_not_growing() -> None:
    b = Bench(Stated(objective=120))
    for k in range(40):
        stable = 600 * min(k, 15)
        b.feed(poll(60 * k, [stable] * 4, [600 * k] * 4, stable=[stable] * 4, interval_s=60))
    assert "objective-breached" in b.active()
    assert "lag-growing" not in b.ever()


@pytest.mark.parametrize(("more", "growing"), [(3, False), (60, True)])
def test_l1_of_a_group_behind_a_hung_transaction_what_it_leaves_unread_besides_has_to_be_a_part_of_what_comes(
    more: int, growing: bool
) -> None:
    """One partition of four hangs, and the lag of the others rises by so many of the 1,800 records of a poll."""
    b = Bench(Stated(objective=600))
    for k in range(26):
        end, stable = 1000 + 600 * k, 1000 + 600 * min(k, 15)
        lag = 100 + more * max(0, k - 15)
        b.feed(poll(60 * k, [stable, *[end - lag] * 3], [end] * 4, stable=[stable, *[end] * 3], interval_s=60))
    assert "objective-at-risk" in b.ever()
    assert ("lag-growing" in b.ever()) is growing


@pytest.mark.parametrize(("leader", "stuck"), [(1, True), (-1, False)])
def test_l9_a_partition_without_a_leader_cannot_be_read_and_is_not_stuck(leader: int, stuck: bool) -> None:
    b = Bench()
    for k in range(30):
        end = 1000 * (k + 1)
        gone = k >= 16
        left = 16_500 if gone else end
        b.feed(poll(30 * k, [left, end, end], [end] * 3, leaders=[leader if gone else 1, 2, 3]))
    assert ("partition-stuck" in b.ever()) is stuck
