"""The rules of the table of symptoms, L1–L23, L25, as a proof: a short series, what must be said, and why."""

from __future__ import annotations

import random
from dataclasses import dataclass

import msgspec
import pytest

from kroute.contracts.common import Entity
from kroute.contracts.inputs import ConsumerLag, Member
from kroute.signals.lag.cutover import JUDGED as CUTOVER_KINDS
from kroute.signals.lag.group import GROUP_KINDS
from kroute.signals.lag.windows import TOPIC_KINDS
from kroute.signals.model import Status
from kroute.signals.table import KINDS, LAG
from tests.unit.signals.lagbench import T0, THE_GROUP, THE_TOPIC, Bench, Stated, member, poll, simulate

K = 1000


@dataclass(frozen=True)
class Row:
    """Committed offsets and log ends of one partition, every 30 s, after twelve polls at which the group kept up."""

    name: str
    committed: tuple[float, ...]
    end: tuple[int, ...]
    says: tuple[str, ...]
    because: str
    state: str = "Stable"


TABLE = (
    Row("keeps up", (13, 14, 15, 16), (13, 14, 15, 16), (), "committed = end"),
    Row("keeps up a poll behind", (12, 13, 14, 15), (13, 14, 15, 16), (), "lag is one poll's production (Burrow 1)"),
    Row("nothing is produced", (12, 12, 12, 12), (12, 12, 12, 12), (), "nothing to commit: silence is no stall"),
    Row("one poll late", (12, 12, 15, 16), (13, 14, 15, 16), (), "shorter than a missed commit period"),
    Row("stops", (12, 12, 12, 12), (13, 14, 15, 16), ("commits-stopped", "lag-growing"), "Burrow 3: ends moved, commits did not"),
    Row("stops and is Empty", (12, 12, 12, 12), (13, 14, 15, 16), ("commits-stopped", "group-empty", "lag-growing"),
        "had members, has none, the topic grows", "Empty"),
    Row("Empty, nothing produced", (12, 12, 12, 12), (12, 12, 12, 12), (), "nobody misses it", "Empty"),
    Row("half speed", (12.5, 13, 13.5, 14, 14.5), (13, 14, 15, 16, 17), ("commits-slow", "lag-growing"), "Burrow 5: lag never decreases"),
    Row("a burst that is read", (14, 18, 19, 20), (18, 19, 20, 21), (), "lag rose once and fell"),
    Row("goes back", (13, 14, 5, 16), (13, 14, 15, 16), ("offset-rewound",), "Burrow 2, shown until two polls say it was regained"),
)  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda r: r.name)
def test_a_series_says_what_it_says_because(row: Row) -> None:
    b = Bench()
    for k in range(13):
        b.feed(poll(30 * k, [K * k], [K * k]))
    for i, (c, e) in enumerate(zip(row.committed, row.end, strict=True), 13):
        b.feed(poll(30 * i, [int(K * c)], [int(K * e)], state=row.state))
    assert b.active() == row.says, row.because


def test_every_kind_of_the_table_is_judged_here() -> None:
    kinds = {k.kind for k in KINDS if k.reporter == LAG}
    assert kinds == GROUP_KINDS | TOPIC_KINDS | CUTOVER_KINDS


@pytest.mark.parametrize("interval", [1, 5, 15, 30, 60])
@pytest.mark.parametrize("commit", [1, 5, 7, 10])
def test_l1_commits_every_few_seconds_make_a_sawtooth_and_no_symptom(interval: float, commit: float) -> None:
    assert simulate(Bench(), 90, interval_s=interval, commit_s=commit, phase_s=0.3).ever() == set()


@pytest.mark.parametrize("interval", [5, 15, 30, 60])
def test_l1_l2_a_consumer_at_80_percent_is_told_within_five_polls(interval: float) -> None:
    onset = 60 * interval
    b = simulate(Bench(), 75, interval_s=interval, commit_s=5, speed=lambda t: 1e9 if t < onset else 80)
    first = b.first("lag-growing")
    assert first is not None
    assert 61 <= first <= 65
    assert {"lag-growing", "commits-slow"} <= set(b.active())
    assert abs(b.symptom("lag-growing").since_ms - b.seen[60][0]) <= 2 * interval * 1000
    assert "records behind" in b.symptom("lag-growing").why


@pytest.mark.parametrize("interval", [5, 15, 30, 60])
def test_l3_a_stopped_consumer_is_told_within_four_polls(interval: float) -> None:
    onset = 60 * interval
    b = simulate(Bench(), 75, interval_s=interval, commit_s=5, speed=lambda t: 1e9 if t < onset else 0)
    first = b.first("commits-stopped")
    assert first is not None
    assert 61 <= first <= 64


def test_l3_at_polls_of_a_second_a_stop_is_told_within_fifteen_seconds() -> None:
    b = simulate(Bench(), 120, interval_s=1, commit_s=1, speed=lambda t: 1e9 if t < 80 else 0)
    first = b.first("commits-stopped")
    assert first is not None
    assert first <= 95


def test_a_symptom_does_not_flap_while_its_fault_lasts() -> None:
    b = simulate(Bench(), 120, speed=lambda t: 1e9 if t < 1200 else 80, commit_s=10, interval_s=15)
    first = b.first("lag-growing")
    assert first is not None
    assert all("lag-growing" in ks for _, ks in b.seen[first:])


def test_l16_breaches_at_the_objective_and_clears_below_nine_tenths() -> None:
    b = simulate(Bench(Stated(objective=120)), 60, speed=lambda t: 1e9 if t < 600 else 0 if t < 900 else 1000)
    first = b.first("objective-breached")
    assert first in (24, 25)  # the last commit is of 600 s
    measures = b.lag.of_group(THE_GROUP, b.seen[-1][0])
    assert measures[0].state == "fine"
    assert "objective-breached" not in b.active()


def test_l17_a_breach_is_foreseen() -> None:
    b = simulate(Bench(Stated(objective=600)), 45, speed=lambda t: 1e9 if t < 600 else 0)
    risk, breach = b.first("objective-at-risk"), b.first("objective-breached")
    assert risk is not None
    assert breach is not None
    assert breach - risk >= 5
    at_risk = simulate(Bench(Stated(objective=600)), risk + 1, speed=lambda t: 1e9 if t < 600 else 0)
    m = at_risk.lag.of_group(THE_GROUP, at_risk.seen[-1][0])[0]
    assert m.state == "at-risk"
    assert m.breach_in_s is not None
    assert m.lag_s is not None
    assert abs(m.breach_in_s - (600 - m.lag_s)) < 30


def test_l17_a_group_that_commits_in_every_other_poll_does_not_flap() -> None:
    b = simulate(Bench(Stated(objective=300)), 60, commit_s=60, speed=lambda t: 1e9 if t < 600 else 60)
    risk, breach = b.first("objective-at-risk"), b.first("objective-breached")
    assert risk is not None
    assert breach is not None
    assert all("objective-at-risk" in ks for _, ks in b.seen[risk:breach])


def test_l12_a_group_that_is_not_stable_for_several_polls_is_rebalancing_until_it_is() -> None:
    b = Bench()
    for k in range(30):
        state = "PreparingRebalance" if k in (12, 13, 14, 15) else "Stable"
        b.feed(poll(30 * k, [K * k], [K * k], state=state))
    assert b.first("rebalancing") == 14
    assert b.symptom_gone("rebalancing") in range(17, 23)


def test_l12_an_epoch_that_keeps_moving_is_rebalancing() -> None:
    b = Bench()
    for k in range(16):
        b.feed(poll(30 * k, [K * k], [K * k], group_epoch=max(7, k)))
    assert "rebalancing" in b.active()


def test_l13_members_that_come_and_go() -> None:
    b = Bench()
    for k in range(20):
        who = f"m{k}" if k > 12 else "m0"
        b.feed(poll(30 * k, [K * k], [K * k], members=(member(who, [0]), member("steady", []))))
    assert "member-churn" in b.active()
    assert b.first("member-churn") == 15


def test_l15_reading_from_other_racks_counts_when_the_lag_sits_there() -> None:
    b = Bench()
    for i in range(3):
        b.estate.connect(Entity("broker", "c", str(i)), "rack", [Entity("rack", "c", f"r{i}")])
    members = (member("near", [0, 1], rack="r0"), member("far", [2, 3], rack="r2"))
    leaders = [0, 0, 1, 1]
    slow = 0
    for k in range(30):
        slow += K if k < 20 else 100
        b.feed(poll(30 * k, [K * k, K * k, slow - K, slow - K], [K * k] * 4, members=members, leaders=leaders))
    assert "reading-remote" in b.active()
    assert "reading-remote" not in {k for _, ks in b.seen[:20] for k in ks}


@pytest.mark.parametrize(("slow", "others"), [({2, 3, 4}, (1, 2)), ({3, 4}, (1, 2)), ({2, 3, 4}, (1, 1))])
def test_l15_several_partitions_read_from_afar_that_alone_are_behind_tell_why(slow: set[int], others: tuple[int, int]) -> None:
    b = Bench()
    for i in range(3):
        b.estate.connect(Entity("broker", "c", str(i)), "rack", [Entity("rack", "c", f"r{i}")])
    members = (member("m", range(5), rack="r0"),)
    for k in range(30):
        at = [K * k - (K - 100) * max(0, k - 20) if p in slow else K * k for p in range(5)]
        b.feed(poll(30 * k, at, [K * k] * 5, members=members, leaders=[others[p % 2] if p in slow else 0 for p in range(5)]))
    assert b.symptom("reading-remote").detail.get("lag") == ("remote" if len(slow) > 2 and others == (1, 2) else None)


def test_l15_of_a_group_without_members_nobody_reads_from_afar() -> None:
    b = Bench()
    for i in range(3):
        b.estate.connect(Entity("broker", "c", str(i)), "rack", [Entity("rack", "c", f"r{i}")])
    members = (member("near", [0, 1], rack="r0"), member("far", [2, 3], rack="r2"))
    for k in range(30):
        slow = K * min(k, 20) + 100 * max(0, k - 20)
        b.feed(poll(30 * k, [K * k, K * k, slow, slow], [K * k] * 4, members=members, leaders=[0, 0, 1, 1]))
    assert "reading-remote" in b.active()
    for k in range(30, 33):
        b.feed(poll(30 * k, [K * 30, K * 30, slow, slow], [K * k] * 4, state="Empty", members=(), leaders=[0, 0, 1, 1]))
    assert "reading-remote" not in b.active()
    assert b.status("reading-remote") is Status.HEALTHY


def out_of_step(slope: float, objective: float | None = None, base_s: float = 0.0) -> Bench:
    """Commits every 45 s at polls of 30 s: two polls of three see one. From poll 80 on a part of what comes is left unread."""
    b = Bench(Stated(objective=objective))
    behind = base_s
    left = 0
    for s in range(0, 6000, 15):
        behind += 15 * slope if s > 2400 else 0.0
        if s % 45 == 0:
            left = int(10 * (s + 1000 - behind))
        if s % 30 == 0:
            b.feed(poll(s, [left], [10 * (s + 1000)]))
    return b


@pytest.mark.parametrize(("slope", "within"), [(0.04, 16), (0.06, 14), (0.1, 12), (0.3, 10)])
def test_l1_who_falls_behind_is_told_though_its_commits_and_the_polls_are_out_of_step(slope: float, within: int) -> None:
    b = out_of_step(slope)
    first = b.first("lag-growing")
    assert first is not None
    assert 81 < first <= 80 + within


@pytest.mark.parametrize("base_s", [0.0, 100.0, 150.0])
def test_l17_commits_out_of_step_with_the_polls_put_no_objective_at_risk(base_s: float) -> None:
    assert out_of_step(0.0, 300.0, base_s).ever() == set()


def test_l17_l1_and_a_steady_slope_does() -> None:
    b = out_of_step(0.1, 300.0, 100.0)
    risk, breach, grows = b.first("objective-at-risk"), b.first("objective-breached"), b.first("lag-growing")
    assert None not in (risk, breach, grows)
    assert grows < risk < breach  # type: ignore[operator]


def test_l20_a_topic_that_falls_silent_against_its_own_baseline() -> None:
    b = Bench()
    for k in range(60):
        end = K * min(k, 45)
        b.feed(poll(30 * k, [end], [end]))
    assert b.active(THE_TOPIC) == ("produce-stopped",)
    assert b.symptom("produce-stopped", THE_TOPIC).since_ms == b.seen[45][0]
    assert b.active() == ()


def test_l20_it_takes_three_polls_however_they_are_spaced() -> None:
    b = Bench()
    for k in range(49):
        end = K * min(k, 45)
        b.feed(poll(30 * k - 0.1 * (k % 3), [end], [end]))
    assert b.active(THE_TOPIC) == ("produce-stopped",)


def test_l20_a_quiet_topic_never_stops() -> None:
    b = Bench()
    for k in range(400):
        end = k // 40
        b.feed(poll(30 * k, [end], [end]))
        assert b.active(THE_TOPIC) == ()


def test_l20_needs_a_baseline() -> None:
    b = Bench()
    for k in range(40):
        end = K * min(k, 15)
        b.feed(poll(30 * k, [end], [end]))
        assert b.active(THE_TOPIC) == ()


def test_l21_a_topic_that_is_always_skewed_is_not_hot() -> None:
    b = Bench()
    for k in range(80):
        b.feed(poll(30 * k, [4 * K * k, K * k, K * k, K * k], [4 * K * k, K * k, K * k, K * k]))
    assert b.active(THE_TOPIC) == ()


@pytest.mark.parametrize(("times", "polls_before", "hot"), [(4, 60, True), (4, 5, False), (2, 60, False), (6, 5, True)])
def test_l21_four_times_its_siblings_is_hot_where_an_even_topic_is_usual(times: int, polls_before: int, hot: bool) -> None:
    b = Bench()
    ends = [0] * 6
    for k in range(polls_before + 12):
        for i in range(6):
            ends[i] += 30 * 100 * (times if i == 2 and k >= polls_before else 1)
        b.feed(poll(30 * k, list(ends), list(ends), interval_s=30))
    assert ("partition-hot" in {k for e, k in b.board.active if e == THE_TOPIC}) is hot


def test_l21_partitions_that_were_just_added_make_no_other_hot() -> None:
    """Producers write to them when they ask for the topic's partitions again, minutes later."""
    b = Bench()
    for k in range(60):
        n = 4 if k < 30 else 8
        ends = [3000 * k] * 4 + [max(0, 3000 * (k - 45))] * 4
        b.feed(poll(30 * k, ends[:n], ends[:n], interval_s=30))
        assert b.active(THE_TOPIC) == ()


def test_l21_before_its_usual_skew_is_known_a_partition_that_has_its_turn_is_not_hot() -> None:
    """Producers without keys write to one partition for a minute or two, then to the other."""
    b, ends = Bench(), [0, 0]
    for k in range(60):
        turn = k // 9 % 2
        ends[turn] += 100
        ends[1 - turn] += 15
        b.feed(poll(10 * k, list(ends), list(ends), interval_s=10))
        assert "partition-hot" not in b.active(THE_TOPIC), k


def test_l20_a_topic_with_a_hot_partition_may_fall_silent_too() -> None:
    b, ends = Bench(), [0] * 4
    for k in range(60):
        for i in range(4):
            ends[i] += 0 if k >= 50 else 30_000 if i == 1 else 1_000
        b.feed(poll(30 * k, list(ends), list(ends)))
        if k == 45:
            assert b.active(THE_TOPIC) == ("partition-hot",)
    assert "produce-stopped" in b.active(THE_TOPIC)


def test_l22_a_stable_end_that_moves_is_not_stuck() -> None:
    b = Bench()
    for k in range(30):
        b.feed(poll(30 * k, [K * k], [K * k + 500], stable=[K * k]))
        assert b.active(THE_TOPIC) == ()


def test_l23_data_older_than_its_objective() -> None:
    b = Bench(Stated(age=300))
    for k in range(30):
        end = K * min(k, 10)
        b.feed(poll(30 * k, [end], [end]))
    assert "data-stale" in b.active(THE_TOPIC)
    m = b.lag.of_topic(THE_TOPIC, b.seen[-1][0])
    assert m is not None
    assert (m.state, m.data_age_s, m.objective_s) == ("breached", 19 * 30.0, 300)


@pytest.mark.parametrize("times", [2, 6])
def test_l25_a_topic_of_which_far_more_is_written_than_ever(times: int) -> None:
    b, end = Bench(), 0
    for k in range(60):
        end += K * (times if 40 <= k < 50 else 1)
        b.feed(poll(30 * k, [end], [end]))
        if k in (40, 54):
            assert b.active(THE_TOPIC) == ()
        if 41 <= k < 50:
            assert b.active(THE_TOPIC) == ("produce-surge",)
            s = b.symptom("produce-surge", THE_TOPIC)
            assert (s.since_ms, s.detail.get("far")) == (b.seen[39][0], "yes" if times == 6 else None)
    assert b.active() == ()


def test_l25_what_was_not_written_and_is_written_later_is_no_surge() -> None:
    b = Bench()
    for k in range(60):
        made = k if k < 40 else 40 if k < 48 else min(k, 40 + 4 * (k - 48))  # four times as fast until it is where it would be
        b.feed(poll(30 * k, [K * made], [K * made]))
        assert "produce-surge" not in b.active(THE_TOPIC)


def test_l25_what_lasts_for_hours_has_become_usual() -> None:
    b = Bench()
    for k in range(400):
        end = K * k + 2 * K * max(0, k - 60)
        b.feed(poll(30 * k, [end], [end]))
        if k == 250:
            assert b.active(THE_TOPIC) == ("produce-surge",)
    assert b.active(THE_TOPIC) == ()


def test_l25_a_topic_that_is_written_in_bursts_does_not_surge() -> None:
    b, end = Bench(), 0
    for k in range(200):
        end += K * (5 if k % 10 in (0, 1) else 1)
        b.feed(poll(30 * k, [end], [end]))
        assert k < 40 or "produce-surge" not in b.active(THE_TOPIC)


def test_a_topic_read_by_several_groups_is_judged_once_per_poll_time() -> None:
    b = Bench()
    for k in range(10):
        for i in range(3):
            m = poll(30 * k + i, [K * k], [K * k])
            b.feed(m.__class__(cluster="c", group=f"g{i}", observed_at_ms=m.observed_at_ms, state="Stable", interval_ms=30_000,
                               partitions=m.partitions))  # fmt: skip
    assert sum(1 for r in b.reports if r[1] == THE_TOPIC) == 10


def test_parts_of_a_message_are_judged_when_all_are_in() -> None:
    b = Bench()
    whole = poll(0, [5, 6, 7], [5, 6, 7])
    pieces = [poll(0, [5, 6, 7], [5, 6, 7], part=i, parts=3) for i in range(3)]
    pieces = [msgspec.structs.replace(p, partitions=whole.partitions[i : i + 1]) for i, p in enumerate(pieces)]
    b.feed(pieces[2])
    b.feed(pieces[0])
    b.feed(pieces[0])
    assert not [r for r in b.reports if r[1] == THE_GROUP]
    b.feed(pieces[1])
    assert len([r for r in b.reports if r[1] == THE_GROUP]) == 1
    assert b.lag.of_group(THE_GROUP, whole.observed_at_ms)[0].lag == 0


def test_a_poll_interval_that_is_not_told_is_learnt() -> None:
    b = simulate(Bench(), 20, interval_s=15)
    told = b.reports[-1][3]
    c = Bench()
    for k in range(20):
        c.feed(poll(15 * k, [K * k], [K * k], interval_s=None))
    assert c.reports[-1][3] == told == 15_000
    assert c.status("lag-growing") is Status.HEALTHY


def test_a_group_first_seen_before_its_first_commit_is_judged_like_any_other() -> None:
    b = Bench()
    for n in range(40):
        end = 1_000 * n + 500
        committed = None if n == 0 else end - 40 if n < 20 else 19_460 + 100 * (n - 20)
        b.feed(poll(30 * n, [committed], [end], members=(member("m", [0]),)))
    first = b.first("lag-growing")
    assert first is not None
    assert 21 <= first <= 25


def members_at(k: int, pods: int, restarts: tuple[int, ...]) -> tuple[Member, ...]:
    """All of a group's members have new ids from each of these polls on."""
    version = sum(k >= r for r in restarts)
    return tuple(member(f"pod{i}-{version}", [i]) for i in range(pods))


@pytest.mark.parametrize(("pods", "restarts", "churns"), [(3, (15, 17), True), (3, (15,), False), (1, (15, 17), False)])
def test_l13_all_members_replaced_twice_is_churn_where_polls_are_a_minute_apart(
    pods: int, restarts: tuple[int, ...], churns: bool
) -> None:
    """Once is a deployment as it should be; of a single member nothing is said before the third time."""
    b = Bench()
    for k in range(20):
        b.feed(poll(60 * k, [K * k] * 3, [K * k] * 3, interval_s=60, members=members_at(k, pods, restarts)))
    assert ("member-churn" in b.ever()) is churns


def test_l1_of_a_group_that_commits_in_every_other_poll_began_with_the_commit_that_fell_short() -> None:
    """What a commit leaves differs by a third from time to time; from poll 21 on two fifths are left unread."""
    b, read = Bench(), 0
    for k in range(50):
        end = 1000 + 3000 * k
        if k <= 20 and k % 2 == 0:
            read = end - (2000, 3000, 3000, 2900)[k // 2 % 4]
        elif k > 20:
            read += 1800
        b.feed(poll(30 * k, [read], [end]))
    assert b.symptom("lag-growing").since_ms == T0 + 20 * 30_000


@pytest.mark.parametrize("seed", range(8))
def test_l1_who_is_always_behind_by_minutes_more_or_less_is_not_falling_behind(seed: int) -> None:
    """110 seconds behind since before it was first seen, ten in a hundred more or less: it never was otherwise."""
    rnd = random.Random(seed)
    b = Bench()
    read = 0
    for k in range(120):
        end = 1_000_000 + 30 * 1_700 * k + int(rnd.gauss(0, 900))
        read = max(read + 1_000, int(end - 1_700 * 110 * rnd.gauss(1, 0.06)))
        b.feed(poll(30 * k, [read // 4] * 4, [end // 4] * 4, interval_s=30))
    assert not {"lag-growing", "commits-slow", "commits-stopped"} & b.ever()


@pytest.mark.parametrize("seed", range(4))
def test_l1_and_when_it_really_falls_behind_it_is_told_within_some_polls(seed: int) -> None:
    rnd = random.Random(seed)
    b = Bench()
    behind = 1_700.0 * 110
    for k in range(80):
        behind += 30 * 1_700 * 0.4 if k >= 60 else 0
        end = 1_000_000 + 30 * 1_700 * k
        b.feed(poll(30 * k, [int((end - behind * rnd.gauss(1, 0.06)) / 4)] * 4, [end // 4] * 4, interval_s=30))
    found = b.first("lag-growing")
    assert found is not None
    assert 60 <= found <= 68


@pytest.mark.parametrize(("grows_to", "told"), [(1.25, False), (4.0, True)])
def test_l1_who_was_far_behind_when_it_was_first_seen_has_to_get_half_as_far_again(grows_to: float, told: bool) -> None:
    b = Bench()
    for k in range(15):
        end, behind = 1_000_000 + 30 * 1_000 * k, 60_000 * (1 + (grows_to - 1) * k / 14)
        b.feed(poll(30 * k, [end - int(behind)], [end], interval_s=30))
    assert ("lag-growing" in b.ever()) is told


@pytest.mark.parametrize(("gathered_s", "late"), [(600, False), (30, True)])
def test_l3_who_comes_once_and_reads_in_a_moment_what_gathered_stays_away_for_as_long(gathered_s: int, late: bool) -> None:
    """First seen while it is away: how long it stays away is what waited for it then, by the rate at which that comes."""
    b, rate = Bench(), 100

    def end(k: int) -> int:
        return 1_000_000 + rate * 30 * k

    for k in range(6):
        b.feed(poll(30 * k, [end(0) - rate * gathered_s] * 2, [end(k)] * 2, state="Empty", members=()))
    for k in (6, 7, 8):
        b.feed(poll(30 * k, [end(k)] * 2, [end(k)] * 2, members=(member("m", range(2)),)))
    for k in range(9, 25):
        b.feed(poll(30 * k, [end(8)] * 2, [end(k)] * 2, state="Empty", members=()))
    assert bool(b.ever() & {"commits-stopped", "group-empty", "lag-growing"}) is late
    for k in range(25, 55):
        b.feed(poll(30 * k, [end(8)] * 2, [end(k)] * 2, state="Empty", members=()))
    assert {"commits-stopped", "group-empty"} <= b.ever(), "it is missed when it does not come again"


def visits(b: Bench, moving: int, pause: int, polls: int) -> Bench:
    """A group that reads for so many polls and is away for so many."""
    done = 0
    for k in range(polls):
        done = k if k % (moving + pause) < moving else done
        b.feed(poll(30 * k, [K * done], [K * k]))
    return b


def test_l3_the_first_pause_of_who_was_seen_at_work_for_some_polls_only_may_be_its_custom() -> None:
    assert visits(Bench(), 5, 10, 60).ever() == set(), "it comes every seven minutes, and was met in the middle of a visit"
    first = visits(Bench(), 12, 10, 22).first("commits-stopped")
    assert first is not None, "who was at work for six minutes is missed at once"
    assert first <= 15


def test_l1_l2_who_comes_back_after_its_longest_pause_is_judged_when_it_goes_on() -> None:
    b = Bench()
    for k in range(5):
        b.feed(poll(30 * k, [K * k], [K * k]))
    for k in range(5, 15):
        b.feed(poll(30 * k, [K * 4], [K * k]))
    b.feed(poll(450, [K * 5], [K * 15]))
    assert b.active() == (), "the first commit after the pause covers little of what gathered"
    for k in range(16, 50):
        b.feed(poll(30 * k, [int(K * (k * 0.5 - 2.5))], [K * k]))
    assert "lag-growing" in b.active(), "it goes on at half the speed"


def crew(at_s: float, k: int, *ids: str, state: str = "Stable") -> ConsumerLag:
    return poll(at_s, [K * k], [K * k], state=state, members=tuple(member(i, (0,)) for i in ids))


def rolled(*crews: str) -> Bench:
    b = Bench()
    for k in range(12):
        b.feed(crew(30 * k, k, *crews[0]))
    for k, ids in enumerate(crews[1:], 12):
        b.feed(crew(30 * k, k, *ids, state="PreparingRebalance" if ids != crews[0] else "Stable"))
    return b


@pytest.mark.parametrize(
    ("crews", "storm"),
    [
        (("abcd", "bcd", "bcd1", "cd12", "d123", "1234", "1234"), False),
        (("abc", "abc1", "bc12", "c123", "123"), False),
        (("abcd", "bcd1", "cd12", "d123", "d234", "2345"), True),
        (("abcd", "bcd", "abcd", "acd", "abcd", "abd"), True),
        (("abcd", "abcd12", "cd1234", "1234", "1234"), True),
    ],
    ids=["each in turn", "one more meanwhile", "who came leaves", "who left is back", "many at once"],
)
def test_l12_l13_members_replaced_one_after_the_other_are_a_restart_of_all(crews: tuple[str, ...], storm: bool) -> None:
    assert bool({"rebalancing", "member-churn"} & rolled(*crews).ever()) is storm


def test_l3_commits_that_come_again_end_it_however_seldom_they_come() -> None:
    """Who commits in every fourth poll is seen at work in one of four polls only."""
    b, committed = Bench(), 0
    for k in range(150):
        if k % 4 == 0 and not 100 <= k < 120:
            committed = K * k
        b.feed(poll(30 * k, [committed], [K * k]))
        if k in (110, 119):
            assert "commits-stopped" in b.active()
    assert "commits-stopped" not in b.active()


def test_l3_a_group_of_whose_topic_nothing_was_seen_was_not_silent() -> None:
    """Its topic was deleted, and made anew; until its first commit there nothing is known of it."""
    b = Bench()
    for k in range(140):
        if k < 100:
            b.feed(poll(30 * k, [K * (k // 4 * 4)], [K * k]))
        elif k < 110:
            b.feed(poll(30 * k, [], []))
        else:
            made = K * (k - 110)
            b.feed(poll(30 * k, [K * ((k - 110) // 4 * 4) if k >= 113 else None], [made]))
        assert "commits-stopped" not in b.active(), k


def test_l1_a_rise_began_after_the_ups_and_downs_before_it() -> None:
    """The lowest lag of the window lies far back, by chance; what is usual is known by more than that one poll."""
    b, noise = Bench(), random.Random(2)
    for k in range(22):
        lag = int(noise.uniform(600, 3000)) if k != 12 else 20
        lag += 3 * K * max(0, k - 18)
        b.feed(poll(60 * k, [2 * K * k - lag], [2 * K * k], interval_s=60))
    assert b.symptom("lag-growing").since_ms == b.seen[18][0]


def test_l1_two_rises_in_a_row_beyond_all_that_was_are_no_jitter() -> None:
    """Usually up to 7 s behind, it reads 58 of 100 records a second: it is 13 s behind after a poll and 25 s after two."""
    b = simulate(Bench(), 50, commit_s=7, speed=lambda t: 1e9 if t < 900 else 58)
    assert b.first("lag-growing") == b.first("commits-slow") == 32
    once = simulate(Bench(), 50, commit_s=7, speed=lambda t: 58 if 900 <= t < 930 else 1e9)
    assert once.ever() == set()
