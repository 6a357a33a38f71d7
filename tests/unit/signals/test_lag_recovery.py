"""Recovery is exact, and order and repetition do not matter."""

from __future__ import annotations

import random

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kroute.contracts.inputs import ConsumerLag
from kroute.signals.lag import store
from kroute.signals.lag.windows import ORPHAN_MS
from kroute.signals.model import Status
from kroute.signals.table import LAG, judged_by
from tests.unit.signals.lagbench import T0, THE_GROUP, THE_TOPIC, Bench, Stated, member, poll

KNOWN = Stated(objective=90, age=200)


@st.composite
def messages(draw: st.DrawFn, least: int = 6, most: int = 40) -> list[ConsumerLag]:
    """A group's life: partitions come and go, commits stall and go back, polls fail, split and repeat."""
    n = draw(st.integers(least, most))
    rnd = random.Random(draw(st.integers(0, 2**32)))
    step = rnd.choice([2, 5, 15, 30])
    at, width = 0.0, rnd.randint(1, 4)
    end, committed = [0] * 6, [0] * 6
    mode = "run"
    out: list[ConsumerLag] = []
    for _ in range(n):
        at += step + rnd.choice([0, 0, 0.2, 3 * step if rnd.random() < 0.05 else 0])
        if rnd.random() < 0.15:
            mode = rnd.choice(["run", "stop", "slow", "back", "one", "quiet"])
        if rnd.random() < 0.08:
            width = rnd.randint(1, 6)
        for i in range(6):
            if mode != "quiet":
                end[i] += rnd.randint(0, 40) * step
            if mode in ("run", "one") and not (mode == "one" and i == 0):
                committed[i] = end[i] - rnd.choice([0, 0, 5])
            elif mode == "slow":
                committed[i] += (end[i] - committed[i]) // 3
        if mode == "back":
            committed, mode = [c // 2 for c in committed], "slow"
        kind = rnd.random()
        if kind < 0.03:
            out.append(poll(at, [], [], up=False, error="timeout"))
            continue
        if kind < 0.04:
            out.append(poll(at, [], [], state="Dead"))
            continue
        state = rnd.choice(["Stable"] * 9 + ["PreparingRebalance"]) if mode != "stop" else rnd.choice(["Stable", "Empty"])
        members = () if state == "Empty" else tuple(member(f"m{j}", range(j, width, 2)) for j in range(rnd.choice([2, 2, 2, 1])))
        stable = [e - (200 if mode == "one" and e > 200 else 0) for e in end]
        unknown = rnd.random() < 0.05
        m = poll(
            at, [None if rnd.random() < 0.02 else max(0, c) for c in committed[:width]],
            [-1 if unknown and i == 0 else e for i, e in enumerate(end[:width])], stable=None if unknown else stable[:width],
            start=[max(0, committed[0]) // 2] * width, state=state, members=members, interval_s=step,
        )  # fmt: skip
        if kind < 0.12 and width > 1:
            half = width // 2
            out.append(msgspec.structs.replace(m, partitions=m.partitions[:half], part=0, parts=2))
            out.append(msgspec.structs.replace(m, partitions=m.partitions[half:], part=1, parts=2))
        else:
            out.append(m)
        if kind > 0.95:
            out.append(rnd.choice(out))
        if kind > 0.90 and len(out) > 2:
            out[-1], out[-2] = out[-2], out[-1]
    return out


def goes_on_alike(ms: list[ConsumerLag], cut: int) -> Bench:
    """Recover from the rows after ``cut`` messages; from there on both instances say and store the same."""
    one = Bench(KNOWN)
    now = 0
    for m in ms[:cut]:
        now = max(now, m.observed_at_ms)
        one.feed(m, now)
    other = one.restored()
    one.reports.clear()
    for m in ms[cut:]:
        now = max(now, m.observed_at_ms)
        one.feed(m, now)
        other.feed(m, now)
        assert other.lag.of_group(THE_GROUP, now) == one.lag.of_group(THE_GROUP, now)
        assert other.lag.of_topic(THE_TOPIC, now) == one.lag.of_topic(THE_TOPIC, now)
    assert other.reports == one.reports
    assert other.table == one.table
    return other


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(messages(), st.integers(0, 39))
def test_a_fresh_instance_fed_with_the_rows_goes_on_exactly_alike(ms: list[ConsumerLag], cut: int) -> None:
    goes_on_alike(ms, min(cut, len(ms) - 1))


def test_a_former_position_that_a_late_poll_pushes_out_is_stored() -> None:
    """The poll of 160 s comes after that of 170 s, and with it leaves the one from which the group has gone back furthest."""
    before = [poll(0, [495], [1000]), poll(10, [500], [1000]), poll(20, [490], [1000])]
    since = [poll(t, [400 + t // 10], [1000]) for t in [*range(30, 160, 10), 170, 160, 180, 190]]
    for cut in range(16, 20):
        other = goes_on_alike(before + since, cut)
        assert "went back by 81 records" in other.symptom("offset-rewound").why


def test_a_former_position_in_a_topic_that_was_made_anew_is_forgotten_in_the_rows_too() -> None:
    """No poll leaves with the one that shows it: that takes the place of one of the same step of time."""
    ms = [poll(30 * k, [5000 if k < 2 else 3000 + k], [9000]) for k in range(20)]
    ms += [poll(571, [0], [1])] + [poll(30 * k, [k - 19], [k]) for k in range(20, 30)]
    for cut in range(18, 26):
        goes_on_alike(ms, cut)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from([5, 15, 30]), st.sampled_from(["run", "stop", "slow", "back", "one"]))
def test_any_order_within_a_minute_ends_in_the_same_judgement(seed: int, step: int, fault: str) -> None:
    rnd = random.Random(seed)
    ms = []
    end = committed = 0
    for k in range(40):
        end += 100 * step
        if k < 34 or fault == "run":
            committed = end
        elif fault == "slow":
            committed += 50 * step
        elif fault == "back" and k == 34:
            committed //= 2
        first = committed if not (fault == "one" and k >= 34) else 100 * step * 34
        ms.append(poll(step * k, [first, committed, committed], [end] * 3, interval_s=step))
    reach = min(6, 60 // step)
    keys = [k + rnd.uniform(0, reach - 0.01) for k in range(len(ms))]
    shuffled = sorted(range(len(ms)), key=keys.__getitem__)
    straight, mixed = Bench(KNOWN), Bench(KNOWN)
    for m in ms:
        straight.feed(m)
    now = 0
    for i in shuffled:
        now = max(now, ms[i].observed_at_ms)
        mixed.feed(ms[i], now)
        mixed.feed(ms[i], now)  # and again
    assert mixed.active() == straight.active()
    assert mixed.lag.of_group(THE_GROUP, now) == straight.lag.of_group(THE_GROUP, now)
    assert {k: s.why for k, s in mixed.board.of(THE_GROUP).items()} == {k: s.why for k, s in straight.board.of(THE_GROUP).items()}


def test_a_group_that_has_neither_commits_nor_assignments_is_still_known_after_a_recovery() -> None:
    b = Bench()
    for k in range(6):
        b.feed(poll(30 * k, [], [], state="PreparingRebalance"))
    other = b.restored()
    b.reports.clear()
    for k in range(6, 9):
        m = poll(30 * k, [], [], state="PreparingRebalance")
        b.feed(m)
        other.feed(m)
        assert other.active() == b.active() == ("rebalancing",)
    assert other.reports == b.reports
    assert other.table == b.table


def test_what_was_healthy_is_known_to_be_healthy_right_after_a_recovery() -> None:
    """Reports that say the same again are not stored: the polls tell when the last was."""
    b = Bench(KNOWN)
    for k in range(20):
        b.feed(poll(30 * k, [1000 * k] * 2, [1000 * k] * 2))
    other = b.restored()
    now = b.seen[-1][0]
    assert other.board.status(THE_GROUP, "commits-stopped", now) is Status.HEALTHY
    assert other.board.status(THE_TOPIC, "produce-stopped", now) is Status.HEALTHY
    for e in (THE_GROUP, THE_TOPIC):
        for kind in judged_by(LAG, e.kind):
            assert other.board.last_report(e, kind) == b.board.last_report(e, kind)


def test_how_often_a_topic_is_seen_is_what_its_stored_points_say() -> None:
    """A rarer poll that adds no point to the topic leaves no trace that a recovery would lack."""
    b = Bench(KNOWN)
    for k in range(6):
        b.feed(poll(10 * k, [100 * k], [100 * k], interval_s=10))
    b.feed(msgspec.structs.replace(poll(50, [500], [500], interval_s=60), group="rare"))
    now = b.seen[-1][0]
    for later in (0, 40_000, 100_000, 300_000):
        assert b.restored().lag.of_topic(THE_TOPIC, now + later) == b.lag.of_topic(THE_TOPIC, now + later)


def test_a_topic_that_nobody_reads_any_more_is_forgotten_as_long_after_its_newest_point_whoever_left_last() -> None:
    """``slow`` leaves after ``g``, and was last polled before it: the topic waits for its newest point's hour, no longer."""
    b = Bench()
    b.feed(msgspec.structs.replace(poll(0, [1], [1]), group="slow"))
    b.feed(poll(30, [2], [2]))
    b.feed(poll(60, [], [], state="Dead"))
    b.feed(msgspec.structs.replace(poll(60, [], [], state="Dead"), group="slow"))
    other = b.restored()
    for later in (30_000 + ORPHAN_MS - 1, 30_000 + ORPHAN_MS):
        for x in (b, other):
            x.lag.tick(T0 + later)
            x.commit()
        assert other.table == b.table
        assert any(k.startswith("|t|") for _, k in b.table) is (later < 30_000 + ORPHAN_MS)


def test_rows_stay_under_256_kib_with_twenty_thousand_partitions_and_come_back() -> None:
    b = Bench()
    for k in range(3):
        b.feed(poll(30 * k, [k * 2**40] * 20_000, [k * 2**40 + 2**33] * 20_000))
    assert max(len(v) for v in b.table.values()) <= 256 * 1024
    other = b.restored()
    m = poll(90, [3 * 2**40] * 20_000, [3 * 2**40] * 20_000)
    b.feed(m)
    other.feed(m)
    assert other.table == b.table
    b.feed(poll(120, [], [], state="Dead"))
    left = [k for t, k in b.table if t == store.TABLE and "|g|" in k]
    assert left == ["|g|c|g|x"]


def test_an_old_observation_is_ignored() -> None:
    b = Bench()
    for k in range(20):
        b.feed(poll(30 * k, [1000 * k], [1000 * k]))
    before = dict(b.table)
    b.feed(poll(100, [5], [5]))
    assert b.table == before


def test_parts_that_never_come_are_dropped() -> None:
    b = Bench()
    b.feed(poll(0, [1], [1], part=0, parts=2))
    assert [k for _, k in b.table if "|p" in k]
    b.lag.tick(b.seen[0][0] + 121_000)
    b.commit()
    assert not [k for _, k in b.table if "|p" in k]


def test_a_group_not_heard_of_for_a_week_is_forgotten() -> None:
    b = Bench()
    b.feed(poll(0, [1], [1]))
    b.lag.tick(b.seen[0][0] + 8 * 86_400_000)
    b.lag.tick(b.seen[0][0] + 9 * 86_400_000)
    b.commit()
    assert b.lag.of_group(THE_GROUP, 0) == ()
    assert not [k for t, k in b.table if t == store.TABLE]


def test_partitions_added_within_one_step_of_time_come_back_as_new_ones() -> None:
    """The point that they were filled into is stored with the knowledge that its past has holes."""
    b = Bench()
    for k in range(11):
        b.feed(poll(4 * k, [100 * k, 0, 0], [100 * k, 0, 0], interval_s=4))
    b.feed(poll(41, [1000] * 6, [1000, 0, 0, 5000, 5000, 5000], interval_s=4))
    other = b.restored()
    b.reports.clear()
    for k in range(11, 16):
        m = poll(4 * k, [100 * k] * 6, [100 * k, 0, 0, 5000, 5000, 5000], interval_s=4)
        b.feed(m)
        other.feed(m)
    assert other.reports == b.reports
    assert other.table == b.table
