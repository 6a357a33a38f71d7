"""Lag is not one condition: each row of that table (signals.md) as a behaviour, with the tool whose users taught it."""

from __future__ import annotations

import pytest
from msgspec import structs

from kroute.signals.model import Status
from tests.unit.signals.lagbench import GROUP, THE_GROUP, THE_TOPIC, TOPIC, Bench, Stated, member, poll, simulate

PACE = {"lag-growing", "commits-slow", "commits-stopped", "group-empty"}


def test_a_transaction_marker_leaves_lag_1_for_ever_and_is_no_lag() -> None:
    """librdkafka#2539, spring-kafka#1587, Burrow#651."""
    b = Bench(Stated(objective=60))
    for k in range(30):
        end = min(k, 10) * 1000
        b.feed(poll(30 * k, [end - 1], [end]))
    assert b.ever() == set()
    measure = b.lag.of_group(THE_GROUP, b.seen[-1][0])[0]
    assert (measure.lag, measure.lag_s, measure.state) == (0, 0.0, "fine")


def test_a_read_committed_group_is_measured_against_the_stable_end() -> None:
    b = Bench()
    for k in range(30):
        b.feed(poll(30 * k, [1000 * k], [1000 * k + 900], stable=[1000 * k]))
    assert b.ever() == set()
    assert b.lag.of_group(THE_GROUP, b.seen[-1][0])[0].lag == 0


def test_behind_a_hung_transaction_there_is_no_work_and_the_data_is_stale_all_the_same() -> None:
    """Rules L16 and L22."""
    b = Bench(Stated(objective=120))
    for k in range(30):
        stable = 1000 * min(k, 15)
        b.feed(poll(30 * k, [stable], [1000 * k], stable=[stable]))
    assert not b.ever() & PACE
    assert "objective-breached" in b.active()
    assert b.active(THE_TOPIC) == ("stable-end-stuck",)
    measure = b.lag.of_group(THE_GROUP, b.seen[-1][0])[0]
    assert measure.lag == 0
    assert measure.lag_s is not None
    assert 390 <= measure.lag_s <= 450
    assert measure.state == "breached"


def test_a_commit_below_the_log_start_is_clamped_and_tells_the_records_that_were_lost() -> None:
    """L8; redpanda#30624."""
    b = simulate(Bench(), 30)
    end = 30 * 29 * 100
    b.feed(poll(900, [end - 60_000] * 4, [end + 3000] * 4, start=[end - 10_000] * 4))
    s = b.symptom("records-lost")
    assert s.value == 200_000
    assert "200,000 records were deleted before they were read" in s.why
    assert b.lag.of_group(THE_GROUP, b.seen[-1][0])[0].lag == 4 * 13_000


def test_records_lost_between_two_polls_are_told_although_the_commit_stands_at_the_log_start_again() -> None:
    """L8: auto.offset.reset=earliest takes the reader to the log start at once."""
    b = simulate(Bench(), 30)
    end = 30 * 29 * 100
    for k in range(30, 34):
        b.feed(poll(30 * k, [end] * 4, [3000 * k] * 4))
    b.feed(poll(1020, [end + 9_000] * 4, [102_000] * 4, start=[end + 8_000] * 4))
    assert b.symptom("records-lost").value == 32_000


@pytest.mark.parametrize("used", [True, False])
def test_who_was_never_seen_to_read_loses_no_records(used: bool) -> None:
    """L8: the offsets of an abandoned group fall below the log start with time, and nobody is the worse for it."""
    b = simulate(Bench(), 30, members=(member("m", range(4)),)) if used else Bench()
    for k in range(30, 50):
        b.feed(poll(30 * k, [50_000] * 4, [3000 * k] * 4, state="Empty", members=(), start=[3000 * (k - 20)] * 4))
    assert ("records-lost" in b.ever()) == used


def test_a_log_start_above_the_log_end_is_none() -> None:
    b = Bench()
    for k in range(30):
        b.feed(poll(30 * k, [3000 * k] * 4, [3000 * k + 50] * 4, start=[90_000_000] * 4))
    assert "records-lost" not in b.ever()
    assert b.lag.of_group(THE_GROUP, b.seen[-1][0])[0].lag == 200


def test_a_log_that_is_purged_behind_its_reader_loses_nothing() -> None:
    """Kafka Streams deletes what its repartition topics have given: the start follows the commit."""
    b = Bench()
    for k in range(40):
        b.feed(poll(30 * k, [3000 * k] * 4, [3000 * k + 50] * 4, start=[max(0, 3000 * k - 500)] * 4))
    assert "records-lost" not in b.ever()


def test_no_commit_yet_is_unknown_and_not_everything() -> None:
    """kafka-lag-exporter#37, #45."""
    b = Bench(Stated(objective=60))
    for k in range(20):
        b.feed(poll(30 * k, [None, None], [10_000 * k, 500]))
    assert b.ever() == set()
    assert b.status("lag-growing") is Status.UNOBSERVED
    measure = b.lag.of_group(THE_GROUP, b.seen[-1][0])[0]
    assert (measure.lag, measure.lag_s, measure.state) == (None, None, "unknown")


def test_a_stale_log_end_gives_no_negative_lag() -> None:
    """kafka_exporter#169, kminion#27."""
    b = Bench()
    for k in range(20):
        b.feed(poll(30 * k, [1000 * k + 50, 1000 * k], [1000 * k, 1000 * k + 30]))
    assert b.ever() == set()
    assert b.lag.of_group(THE_GROUP, b.seen[-1][0])[0].lag == 30


def test_a_group_that_lost_its_members_is_stopped_while_its_topics_grow() -> None:
    """L3 and L4; kafka_exporter#226, #463."""
    b = simulate(Bench(), 20, members=(member("m", range(4)),))
    for k in range(20, 26):
        b.feed(poll(30 * k, [3000 * 19] * 4, [3000 * k] * 4, state="Empty", members=()))
    assert {"group-empty", "commits-stopped"} <= set(b.active())
    assert b.first("group-empty") in range(22, 24)
    assert b.symptom("group-empty").since_ms == b.seen[20][0]
    assert b.lag.of_group(THE_GROUP, b.seen[-1][0])[0].lag == 4 * 18_000


@pytest.mark.parametrize(("interval_s", "missed", "after"), [(30, 0, 2), (60, 0, 2), (10, 0, 3), (30, 15, 4)])
def test_who_is_seen_to_commit_in_every_poll_has_stopped_after_two_without(interval_s: int, missed: int, after: int) -> None:
    """L3: but where one was ``missed`` lately, or polls come fast, only after more."""
    b = Bench()
    for k in range(40):
        at = min(k, 30) if k != missed else k - 1
        b.feed(poll(interval_s * k, [3000 * at] * 4, [3000 * k + 10] * 4, interval_s=interval_s))
    assert b.first("commits-stopped") == 30 + after
    assert b.symptom("commits-stopped").since_ms == b.seen[30][0]


def test_an_empty_group_whose_topics_do_not_grow_is_healthy() -> None:
    b = simulate(Bench(), 20, commit_s=0.5, members=(member("m", range(4)),))
    end = 3000 * 19
    for k in range(20, 60):
        b.feed(poll(30 * k, [end] * 4, [end] * 4, state="Empty", members=()))
    assert b.ever() == set()
    assert b.status("group-empty") is Status.HEALTHY


def test_a_group_that_was_never_seen_with_members_never_alarms() -> None:
    """Abandoned groups: Burrow#589, #797."""
    b = Bench()
    for k in range(200):
        b.feed(poll(60 * k, [500], [1000 * k + 500], state="Empty", members=(), interval_s=60))
    assert b.ever() == set()


def test_topics_that_are_no_longer_listed_leave_the_window_at_once() -> None:
    """kminion#5, Burrow#818."""
    b = simulate(Bench(), 20)
    for k in range(20, 26):
        b.feed(poll(30 * k, [3000 * 19] * 4, [3000 * k] * 4))
    assert "commits-stopped" in b.active()
    for k in range(26, 29):
        b.feed(poll(30 * k, [3000 * k], [3000 * k], topic="other"))
    assert b.active() == ()
    assert [m.topic for m in b.lag.of_group(THE_GROUP, b.seen[-1][0])] == ["other"]


def test_low_traffic_and_rare_commits_are_no_stall() -> None:
    """Judged by what was produced since the commit: Burrow#38, #123."""
    b = Bench(Stated(objective=900))
    for k in range(200):
        end = k // 12  # a record every six minutes
        b.feed(poll(30 * k, [end if k % 12 else max(0, end - 1)], [end]))
    assert b.ever() == set()


def test_a_consumer_that_commits_every_ten_minutes_is_no_stall() -> None:
    b = simulate(Bench(), 200, rate=1, commit_s=600)
    assert not b.ever() & PACE


def test_a_topic_nobody_is_subscribed_to_any_more_does_not_count() -> None:
    """Burrow#504, #701, #854."""
    b = Bench()
    for k in range(30):
        old = poll(30 * k, [100], [3000 * k + 100], topic="old").partitions
        new = poll(30 * k, [3000 * k], [3000 * k])
        b.feed(poll(30 * k, [], [], members=(member("m", [0]),)).__class__(
            cluster=new.cluster, observed_at_ms=new.observed_at_ms, group=GROUP, state="Stable", interval_ms=30_000,
            members=(member("m", [0]),), partitions=old + new.partitions,
        ))  # fmt: skip
    assert b.ever() == set()
    assert [m.topic for m in b.lag.of_group(THE_GROUP, b.seen[-1][0])] == [TOPIC]


def test_lag_that_is_large_and_falls_is_catching_up_and_says_when_it_ends() -> None:
    """L5; Burrow#155, #738."""
    b = simulate(Bench(), 60, speed=lambda t: 1e9 if t < 600 else 0 if t < 1000 else 300)
    caught = b.first("catching-up")
    assert caught is not None
    assert caught <= 1000 / 30 + 4
    kinds = {k for t, ks in b.seen[caught : caught + 4] for k in ks}
    assert not kinds & PACE
    assert b.active() == ()


def test_who_is_behind_by_hours_as_usual_catches_up_in_polls_of_its_run() -> None:
    """An export that runs now and then: what it reads is old, however usual that is, and it commits in every poll now."""
    b, rate, behind = Bench(), 1000, 3_000_000
    for k in range(60):
        b.feed(poll(30 * k, [0] * 2, [behind + rate * 30 * k] * 2, state="Empty", members=()))
    assert "catching-up" not in b.ever()
    end = behind + rate * 30 * 60
    for k in range(60, 64):
        at = [4 * rate * 30 * (k - 59)] * 2
        b.feed(poll(30 * k, at, [end + rate * 30 * (k - 60)] * 2, members=(member("m", range(2)),)))
    assert "catching-up" in b.active()


def test_catching_up_tells_an_end() -> None:
    b = simulate(Bench(), 38, speed=lambda t: 1e9 if t < 600 else 0 if t < 1000 else 200)
    s = b.symptom("catching-up")
    assert "caught up in about" in s.why
    left = (400 - (37 * 30 - 1000)) * 100 / 100  # 100/s are gained on each partition
    assert s.value is not None
    assert abs(s.value - left) < 0.25 * left


def test_a_new_group_that_starts_from_the_beginning_catches_up_and_is_not_growing() -> None:
    b = Bench()
    for k in range(30):
        end = 1_000_000 + 3000 * k
        b.feed(poll(30 * k, [min(end, 30_000 * k)], [end]))
    assert "catching-up" in b.active()
    assert not b.ever() & PACE


def test_constant_lag_that_is_small_against_throughput_is_healthy() -> None:
    b = Bench()
    for k in range(60):
        b.feed(poll(30 * k, [max(0, 30_000 * k - 20_000)] * 2, [30_000 * k] * 2))
    assert b.ever() == set()


def test_an_hourly_batch_consumer_alarms_only_when_it_misses_one() -> None:
    """Burrow#303."""
    b = Bench()
    last = 0
    for k in range(60 * 8):
        if k % 60 == 0 and k <= 300:
            last = k
        b.feed(poll(60 * k, [6000 * last], [6000 * k], interval_s=60))
    missed = b.first("commits-stopped")
    assert missed is not None
    assert 365 < missed <= 300 + 80
    assert not {k for t, ks in b.seen[:360] for k in ks} & PACE
    assert "usual is every 60 min" in b.symptom("commits-stopped").why


def test_a_stated_schedule_is_used_before_any_is_learnt() -> None:
    b = Bench(Stated(period=4 * 3600))
    for k in range(60 * 6):
        b.feed(poll(60 * k, [0], [6000 * k], interval_s=60))
    missed = b.first("commits-stopped")
    assert missed is not None
    assert 240 < missed < 310


def test_offsets_that_jump_back_are_a_rewind_and_then_read_fast() -> None:
    """L6, L14; Burrow rule 2."""
    b = simulate(Bench(), 30)
    end, c = 3000 * 29, 0
    for k in range(30, 40):
        end += 3000
        b.feed(poll(30 * k, [c] * 4, [end] * 4))
        c = min(end, c + 24_000)
    rewound, fast = b.first("offset-rewound"), b.first("reading-fast")
    assert rewound == 30
    assert fast is not None
    assert fast <= 33
    assert "catching-up" in b.ever()
    assert not b.ever() & PACE
    assert b.active() == ()


def test_a_few_records_back_after_a_rebalance_are_no_rewind() -> None:
    b = Bench()
    for k in range(40):
        b.feed(poll(30 * k, [3000 * k - (3020 if k == 25 else 0) if k else 0], [3000 * k]))
    assert b.ever() == set()


def test_a_backlog_that_is_jumped_over_while_nobody_reads_is_skipped() -> None:
    """L7."""
    b = simulate(Bench(), 20, members=(member("m", range(4)),))
    for k in range(20, 30):
        b.feed(poll(30 * k, [57_000] * 4, [3000 * k] * 4, state="Empty", members=()))
    b.feed(poll(900, [90_000] * 4, [90_000] * 4, state="Empty", members=()))
    assert "offset-skipped" in b.active()
    assert b.symptom("offset-skipped").value == 4 * 33_000


def test_a_position_that_jumped_before_the_first_generation_is_stable_was_reset() -> None:
    """L7: who only joins has read nothing yet."""
    b = simulate(Bench(), 20, members=(member("m", range(4)),))
    for k in range(20, 28):
        b.feed(poll(30 * k, [57_000] * 4, [3000 * k] * 4, state="Empty", members=()))
    b.feed(poll(840, [81_000] * 4, [84_000] * 4, state="PreparingRebalance", members=(member("m", ()),)))
    assert "offset-skipped" in b.active()


@pytest.mark.parametrize(("behind", "every"), [(40, 1), (3, 1), (40, 2)])
def test_a_reader_that_means_to_be_behind_and_is_at_the_end_at_once_was_reset(behind: int, every: int) -> None:
    """L7: it read on and on without catching up, so what lies between was not read; who is hardly behind may have been quick."""
    b = Bench()
    for k in range(60):
        late = behind + k % every if k < 50 else 0
        b.feed(poll(30 * k, [3000 * (k + 60 - late)] * 4, [3000 * (k + 60)] * 4, members=(member("m", range(4)),)))
    assert ("offset-skipped" in b.ever()) == (behind == 40)


@pytest.mark.parametrize("rate", [100, 400])
def test_who_reads_its_backlog_in_one_poll_once_it_can_skips_nothing(rate: int) -> None:
    """L7: a slow sink reads a little in every poll; its system recovers."""
    b = Bench()
    read = 30.0 * rate * 40
    for k in range(40, 120):
        made = 30 * rate * k
        read = made if k < 80 or k >= 100 else read + 0.4 * 30 * rate
        b.feed(poll(30 * k, [int(read) // 2] * 2, [made // 2] * 2, members=(member("m", range(2)),)))
    assert "lag-growing" in b.ever()
    assert "offset-skipped" not in b.ever()


def test_a_batch_reader_that_comes_and_goes_between_two_polls_skips_nothing() -> None:
    b = Bench(Stated(period=600))
    c = 0
    for k in range(80):
        c = 3000 * k if k % 20 == 0 else c
        m = (member("m", range(4)),) if k == 0 else ()
        b.feed(poll(30 * k, [c] * 4, [3000 * k] * 4, state="Stable" if k == 0 else "Empty", members=m))
    assert "offset-skipped" not in b.ever()


def test_one_frozen_offset_while_siblings_move_is_a_poison_record() -> None:
    """L9, and neither hot nor a member."""
    b = simulate(Bench(), 20, partitions=6)
    for k in range(20, 30):
        c = [3000 * k] * 6
        c[2] = 3000 * 20
        b.feed(poll(30 * k, c, [3000 * k] * 6, members=tuple(member(f"m{i}", [2 * i, 2 * i + 1]) for i in range(3))))
    assert "partition-stuck" in b.active()
    assert not {"member-lagging", "partition-lagging", "commits-stopped"} & b.ever()
    s = b.symptom("partition-stuck")
    assert s.detail["partitions"] == ["t/2"]
    assert s.detail["offset"] == 60_000
    assert s.detail["leaders"] == [2]
    assert 0 <= s.since_ms - b.seen[20][0] < 100
    assert b.first("partition-stuck") in (22, 23)


def test_lag_in_one_partition_that_still_moves_is_not_stuck() -> None:
    """L11, and L21 on the topic: a hot key."""
    b = simulate(Bench(), 30, partitions=12)
    end, c = 3000 * 29, 3000 * 29
    for k in range(30, 42):
        end, c = end + 60_000, c + 12_000
        b.feed(poll(30 * k, [c] + [3000 * k] * 11, [end] + [3000 * k] * 11))
    assert {"partition-lagging"} <= set(b.active())
    assert not {"partition-stuck", "member-lagging"} & b.ever()
    assert b.symptom("partition-lagging").detail["partitions"] == ["t/0"]
    assert b.active(THE_TOPIC) == ("partition-hot", "produce-surge")
    assert b.symptom("partition-hot", THE_TOPIC).detail["partitions"] == [0]


def test_lag_in_all_partitions_of_one_member_is_that_member() -> None:
    """L10, slow or frozen."""
    for speed in (0, 600):
        members = tuple(member(f"m{i}", range(4 * i, 4 * i + 4)) for i in range(3))
        b = simulate(Bench(), 20, partitions=12, members=members)
        slow = 3000 * 19
        for k in range(20, 32):
            slow += speed
            b.feed(poll(30 * k, [3000 * k] * 4 + [slow] * 4 + [3000 * k] * 4, [3000 * k] * 12, members=members))
        assert "member-lagging" in b.active(), speed
        assert not {"partition-stuck", "partition-lagging"} & b.ever(), speed
        assert b.symptom("member-lagging").detail["member"] == "m1"


def test_a_topic_that_is_made_anew_is_no_rewind() -> None:
    b = simulate(Bench(), 20)
    for k in range(20, 40):
        b.feed(poll(30 * k, [100 * (k - 19)] * 4, [100 * (k - 19)] * 4))
    assert b.ever() == set()


def test_a_failed_poll_judges_nothing_and_resolves_nothing() -> None:
    b = simulate(Bench(), 25, speed=lambda t: 1e9 if t < 500 else 0)
    before = b.active()
    assert "commits-stopped" in before
    last = b.seen[-1][0]
    b.feed(poll(25 * 30, [], [], up=False, error="timed out"))
    assert b.active() == before
    assert b.status("offset-rewound") is Status.UNOBSERVED
    assert b.lag.of_group(THE_GROUP, last + 30_000)[0].state == "unknown"


def test_silence_is_unknown_and_not_health() -> None:
    b = simulate(Bench(), 25)
    last = b.seen[-1][0]
    assert b.board.status(THE_GROUP, "lag-growing", last) is Status.HEALTHY
    assert b.board.status(THE_GROUP, "lag-growing", last + 96_000) is Status.UNOBSERVED
    assert b.lag.of_group(THE_GROUP, last + 96_000)[0].state == "unknown"


def test_a_dead_group_is_forgotten_with_its_rows() -> None:
    b = simulate(Bench(), 25, speed=lambda t: 1e9 if t < 500 else 0)
    b.feed(poll(25 * 30, [], [], state="Dead"))
    assert b.active() == ()
    assert b.lag.of_group(THE_GROUP, b.seen[-1][0]) == ()
    b.feed(poll(24 * 30 + 1, [5], [5]))  # a late word on the dead does not raise it
    b.lag.tick(b.seen[-1][0] + 2 * 3_600_000)
    b.commit()
    assert [k for t, k in b.table if t == "consumer_lag"] == []


def test_share_groups_have_no_known_lag() -> None:
    b = Bench(Stated(objective=10))
    for k in range(12):
        m = poll(30 * k, [0], [3000 * k])
        b.feed(m.__class__(cluster=m.cluster, group=GROUP, observed_at_ms=m.observed_at_ms, state="Stable", protocol="share",
                           partitions=m.partitions))  # fmt: skip
    assert b.ever() == set()
    assert b.lag.of_group(THE_GROUP, b.seen[-1][0])[0].state == "unknown"


def test_a_reader_that_stops_at_one_topic_is_told_of_that_topic_until_it_is_over() -> None:
    """L3 of a topic; what it is about does not change at the poll at which it begins to end."""
    b = Bench()

    def both(k: int, stands: int | None) -> None:
        at = [3000 * k] * 2
        other = poll(30 * k, at, at, topic="other").partitions
        mine = poll(30 * k, at if stands is None else [3000 * stands] * 2, at)
        b.feed(structs.replace(mine, partitions=(*other, *mine.partitions)))

    for k in range(20):
        both(k, None)
    for k in range(20, 30):
        both(k, 20)
    said = b.symptom("commits-stopped")
    assert (said.detail["scope"], said.detail["topics"]) == ("topics", ["t"])
    both(30, 28)
    ending = b.symptom("commits-stopped")
    assert ending.why != said.why
    assert (ending.detail["scope"], ending.detail["topics"]) == ("topics", ["t"])


@pytest.mark.parametrize("gap", ["no partitions are told", "no poll is there"])
def test_a_time_in_which_nothing_was_seen_says_nothing_of_the_commit_period(gap: str) -> None:
    """A group commits in every poll; once nothing is told of it for minutes, then it goes on, and half an hour later it stops."""
    b = Bench()

    def feed(k: int, committed: int) -> None:
        b.feed(poll(10 * k, [committed], [100 * k + 15], members=(member("m", [0]),), interval_s=10))

    for k in range(60):
        feed(k, 100 * k)
    for k in range(60, 82):
        if gap == "no partitions are told":
            b.feed(poll(10 * k, [], [], members=(member("m", []),), interval_s=10))
    for k in range(82, 200):
        feed(k, 100 * k)
    assert b.ever() <= {"member-churn"}
    for k in range(200, 206):
        feed(k, 100 * 199)
    assert "commits-stopped" in b.active()
    assert b.symptom("commits-stopped").why.endswith("usual is every 10 s")


def test_commits_that_come_at_another_moment_of_the_poll_are_no_growing_lag() -> None:
    """L1, L2: commits every 5 s and polls every 10 s drift against each other: one step of half a poll's records, then none."""
    b = Bench()
    for k in range(80):
        late = 125 if 50 <= k < 56 else 0
        b.feed(poll(10 * k, [250 * k - late], [250 * k + k % 3], members=(member("m", [0]),), interval_s=10))
    assert b.ever() == set()
