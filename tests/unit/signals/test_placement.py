"""Placement and liveness, rules T1–T11."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kroute.contracts.inputs import BrokerInfo, Controller, LogDir, TopicInfo, Topology, Transaction, Voter
from kroute.signals.model import Status
from tests.unit.effort import calls
from tests.unit.signals.windowsbench import CLUSTER, Bench, at, broker, entity, part, topology

R = (1, 2, 3)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def with_disk(poll: int, usable: int = 50, error: str | None = None) -> Topology:
    b = BrokerInfo(id=1, log_dirs=(LogDir(path="/d", total_bytes=100, usable_bytes=usable, error=error),))
    return topology(poll, (b, 2, 3), part(0, 1, R))


def healthy(poll: int, **more: Any) -> Topology:
    return topology(poll, R, *(part(i, R[i % 3], R) for i in range(15)), **more)


def without(gone: int, poll: int, brokers: tuple[int | BrokerInfo, ...] | None = None) -> Topology:
    isr = tuple(b for b in R if b != gone)
    return topology(poll, isr if brokers is None else brokers, *(part(i, isr[i % 2], R, isr) for i in range(15)))


def test_all_is_well(bench: Bench) -> None:
    bench.feed(healthy(0))
    assert not bench.board.active
    for kind in ("under-replicated", "under-min-isr", "offline-partitions", "reassigning"):
        assert bench.status(CLUSTER, kind) is Status.HEALTHY
    for kind in ("broker-gone", "replica-behind", "leaders-moved"):
        assert bench.status(broker(), kind) is Status.HEALTHY
    assert bench.status(CLUSTER, "controller-churn") is Status.UNOBSERVED
    assert bench.status(broker(), "log-dir-offline") is Status.UNOBSERVED


def test_t1_a_listed_broker_that_is_absent_is_gone(bench: Bench) -> None:
    bench.feed(healthy(0))
    bench.feed(without(3, 1))
    bench.feed(without(3, 2))
    s = bench.symptom(broker(3), "broker-gone")
    assert (s.since_ms, s.why) == (at(1), "broker 3 is gone for 15 s; 15 replicas on it")
    assert s.detail == {"state": "gone", "rack": "r3"}
    bench.feed(healthy(3))
    assert bench.status(broker(3), "broker-gone") is Status.HEALTHY


def test_t1_fenced(bench: Bench) -> None:
    bench.feed(healthy(0))
    bench.feed(without(3, 1, (1, 2, BrokerInfo(id=3, state="fenced"))))
    assert bench.symptom(broker(3), "broker-gone").detail["state"] == "fenced"


def test_t1_a_broker_that_was_emptied_before_it_left_is_forgotten(bench: Bench) -> None:
    bench.feed(topology(0, (1, 2, 3, 4), part(0, 1, R)))
    bench.feed(topology(1, R, part(0, 1, R)))
    assert not bench.board.active
    assert bench.status(broker(4), "broker-gone") is Status.UNOBSERVED


def test_t1_a_gone_broker_whose_replicas_were_moved_away_is_forgotten_after_an_hour(bench: Bench) -> None:
    bench.feed(healthy(0))
    for poll in range(1, 260):
        bench.feed(topology(poll, (1, 2), *(part(i, 1, (1, 2)) for i in range(15))))
        assert ("broker-gone" in bench.board.of(broker(3))) == (poll <= 241)


def test_t2_t3_replicas_missing_from_the_isr_count_at_the_second_poll(bench: Bench) -> None:
    bench.feed(healthy(0))
    bench.feed(without(3, 1, R))
    assert "replica-behind" not in bench.board.of(broker(3))
    assert "under-replicated" not in bench.board.of(CLUSTER)
    bench.feed(without(3, 2, R))
    s = bench.symptom(broker(3), "replica-behind")
    assert (s.since_ms, s.why) == (at(1), "15 of the 15 replicas on broker 3 are missing from the ISR")
    assert bench.symptom(CLUSTER, "under-replicated").why == "15 partitions under-replicated"
    assert bench.status(broker(1), "replica-behind") is Status.HEALTHY


def test_t4_below_min_isr_counts_at_once(bench: Bench) -> None:
    bench.feed(topology(0, R, part(0, 1, R, (1,)), part(1, 1, R, (1, 2))))
    s = bench.symptom(CLUSTER, "under-min-isr")
    assert (s.value, s.detail["topics"]) == (1.0, ["t"])


def test_t4_without_the_topics_setting_it_is_not_observed(bench: Bench) -> None:
    topics = (TopicInfo(name="t", partitions=(part(0, 1, R, (1,)),)),)
    bench.feed(topology(0, R, topics=topics))
    assert bench.status(CLUSTER, "under-min-isr") is Status.UNOBSERVED


def test_t5_partitions_without_a_leader_count_at_once(bench: Bench) -> None:
    bench.feed(topology(0, R, part(0, -1, R, (1,)), part(1, None, R, (1,)), part(2, 1, R)))
    assert bench.symptom(CLUSTER, "offline-partitions").why == "2 partitions without a leader"


def test_t6_reassignments_are_listed_and_their_new_replicas_are_not_behind(bench: Bench) -> None:
    for poll in range(3):
        bench.feed(topology(poll, (1, 2, 3, 4), part(0, 1, (1, 2, 3, 4), R, adding=(4,), removing=(3,))))
    assert bench.status(CLUSTER, "reassigning") is Status.ACTIVE
    assert bench.symptom(CLUSTER, "under-replicated").detail == {"topics": ["t"], "reassigning": True}
    assert bench.status(broker(4), "replica-behind") is Status.HEALTHY


def test_t7_a_log_directory_with_an_error(bench: Bench) -> None:
    bench.feed(with_disk(0))
    assert bench.status(broker(), "log-dir-offline") is Status.HEALTHY
    bench.feed(with_disk(1, error="KAFKA_STORAGE_ERROR"))
    assert (
        bench.symptom(broker(), "log-dir-offline").why == "1 log directories of broker 1 report an error: /d: KAFKA_STORAGE_ERROR"
    )


def test_t8_no_controller_for_two_polls(bench: Bench) -> None:
    bench.feed(healthy(0, controller=Controller(leader=1, epoch=4)))
    bench.feed(healthy(1, controller=Controller(leader=-1, epoch=4)))
    assert bench.status(CLUSTER, "controller-churn") is Status.HEALTHY
    bench.feed(healthy(2, controller=Controller(leader=-1, epoch=4)))
    assert bench.symptom(CLUSTER, "controller-churn").since_ms == at(1)
    bench.feed(healthy(3, controller=Controller(leader=2, epoch=5)))
    assert bench.status(CLUSTER, "controller-churn") is Status.HEALTHY


def test_t8_an_epoch_that_keeps_moving(bench: Bench) -> None:
    for poll in range(4):
        bench.feed(healthy(poll, controller=Controller(leader=1, epoch=4 + poll, voters=(1, 2))))
    s = bench.symptom(CLUSTER, "controller-churn")
    assert (s.why, s.detail) == ("3 new controller epochs within 10 min", {"leader": 1, "voters": [1, 2]})
    for poll in range(4, 50):
        bench.feed(healthy(poll, controller=Controller(leader=1, epoch=7)))
    assert bench.status(CLUSTER, "controller-churn") is Status.HEALTHY


def test_t8_epochs_that_brokers_made_by_going_do_not_count(bench: Bench) -> None:
    """A rolling restart: each of them leads the quorum until it goes."""
    for n, leader in enumerate((1, 2, 3)):
        bench.feed(healthy(10 * n, controller=Controller(leader=leader, epoch=4 + n)))
        down = tuple(b for b in R if b != leader)
        lost = topology(10 * n + 1, down, *(part(i, down[i % 2], R, down) for i in range(15)))
        bench.feed(msgspec.structs.replace(lost, controller=Controller(leader=down[0], epoch=5 + n)))
        bench.feed(healthy(10 * n + 2, controller=Controller(leader=down[0], epoch=5 + n)))
    assert bench.status(CLUSTER, "controller-churn") is Status.HEALTHY


def test_t8_elections_every_few_minutes_began_with_the_first(bench: Bench) -> None:
    for poll in range(25):
        bench.feed(healthy(poll, controller=Controller(leader=-1 if poll == 24 else 1, epoch=4 + (poll + 3) // 8)))
    found = bench.symptom(CLUSTER, "controller-churn")
    assert found.since_ms == at(5), "polls 5, 13 and 21"
    assert found.why == "3 new controller epochs within 10 min, and no leader now"


@pytest.mark.parametrize("voter", [Voter(id=2, lag=5000), Voter(id=2, lag=0, caught_up_at_ms=at(0) - 60_000)])
def test_t9_a_voter_behind_for_two_polls(bench: Bench, voter: Voter) -> None:
    quorum = (Voter(id=1, lag=0, caught_up_at_ms=at(9)), voter)
    bench.feed(healthy(0, controller=Controller(leader=1, epoch=4, quorum=quorum)))
    assert bench.status(CLUSTER, "quorum-lagging") is Status.HEALTHY
    bench.feed(healthy(1, controller=Controller(leader=1, epoch=4, quorum=quorum)))
    assert bench.symptom(CLUSTER, "quorum-lagging").detail == {"voters": [2]}


def test_t10_a_broker_that_lost_most_of_its_leaders(bench: Bench) -> None:
    bench.feed(healthy(0))
    bench.feed(topology(1, R, *(part(i, 1 + i % 2, R) for i in range(15))))
    s = bench.symptom(broker(3), "leaders-moved")
    assert s.why == "broker 3 leads 0 partitions, 5 before"
    assert bench.status(broker(1), "leaders-moved") is Status.HEALTHY
    bench.feed(healthy(2))
    assert bench.status(broker(3), "leaders-moved") is Status.HEALTHY


@pytest.mark.parametrize(
    ("isr", "leads", "away"),
    [((1, 2), False, "yes"), ((1, 2), True, None), ((1, 2, 3), False, None)],
    ids=["away", "leads on", "moved"],
)
def test_t10_a_broker_that_is_out_of_every_isr_at_once_and_leads_nothing_was_away(
    bench: Bench, isr: tuple[int, ...], leads: bool, away: str | None
) -> None:
    bench.feed(healthy(0))
    bench.feed(topology(1, R, *(part(i, 3 if leads and i == 0 else 1 + i % 2, R, isr) for i in range(15))))
    s = bench.symptom(broker(3), "leaders-moved")
    assert (s.detail.get("away"), "away" in s.why) == (away, away is not None)
    bench.feed(topology(2, R, *(part(i, 1 + i % 2, R, R) for i in range(15))))
    assert bench.symptom(broker(3), "leaders-moved").detail.get("away") == away


@pytest.mark.parametrize("leaves", [False, True])
def test_t10_a_broker_that_is_seen_gone_was_not_away_for_a_moment(bench: Bench, leaves: bool) -> None:
    """It gives its leaders away before it goes."""
    bench.feed(healthy(0))
    bench.feed(without(3, 1, R if leaves else None))
    bench.feed(without(3, 2))
    assert "away" not in bench.symptom(broker(3), "leaders-moved").detail


def test_t10_a_new_placement_is_the_usual_after_half_an_hour(bench: Bench) -> None:
    bench.feed(healthy(0))
    for poll in range(1, 130):
        bench.feed(topology(poll, R, *(part(i, 1 + i % 2, R) for i in range(15))))
    assert bench.status(broker(3), "leaders-moved") is Status.HEALTHY


def tx(poll: int, started: int | None) -> Topology:
    open_ = () if started is None else (Transaction(id="pay", state="Ongoing", started_at_ms=started, partitions=(("t", 0),)),)
    return healthy(poll, transactions=open_)


def test_t11_a_transaction_open_for_longer_than_coordinators_let_it_by_default(bench: Bench) -> None:
    pay = entity("transaction", "pay")
    for poll in range(7):
        bench.feed(tx(poll, at(0)))
    assert bench.status(pay, "transaction-open") is Status.HEALTHY
    bench.feed(tx(7, at(0)))
    s = bench.symptom(pay, "transaction-open")
    assert (s.since_ms, s.why, s.detail["topics"]) == (at(0), "transaction pay is open for 105 s", ["t"])
    bench.feed(tx(8, None))
    assert bench.status(pay, "transaction-open") is Status.UNOBSERVED


def test_t11_an_id_that_usually_takes_minutes_is_given_twice_as_long(bench: Bench) -> None:
    pay = entity("transaction", "pay")
    for poll in range(20):
        bench.feed(tx(poll, at(0)))
    bench.feed(tx(20, None))
    for poll in range(21, 56):
        bench.feed(tx(poll, at(21)))
    assert bench.status(pay, "transaction-open") is Status.HEALTHY
    for poll in range(56, 70):
        bench.feed(tx(poll, at(21)))
    assert bench.status(pay, "transaction-open") is Status.ACTIVE


def test_a_failed_poll_is_not_observed_and_ends_nothing(bench: Bench) -> None:
    bench.feed(healthy(0))
    bench.feed(without(3, 1))
    bench.feed(Topology(cluster=CLUSTER.name, observed_at_ms=at(2), up=False))
    assert bench.status(broker(3), "broker-gone") is Status.ACTIVE
    assert bench.status(CLUSTER, "offline-partitions") is Status.UNOBSERVED
    assert bench.status(broker(1), "broker-gone") is Status.UNOBSERVED


def test_a_late_poll_is_ignored(bench: Bench) -> None:
    bench.feed(healthy(0))
    bench.feed(healthy(5))
    bench.feed(without(3, 3))
    assert not bench.board.active


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_parts_of_a_poll_are_judged_together_in_any_order(bench: Bench, order: tuple[int, ...]) -> None:
    def split(poll: int, bad: bool) -> list[Topology]:
        out = []
        for i in range(3):
            topics = (
                TopicInfo(name=f"t{i}", partitions=(part(0, 1, R, (1,) if bad else R),), config={"min.insync.replicas": "2"}),
            )
            out.append(topology(poll, R if i == 0 else (), topics=topics, part=i, parts=3))
        return out

    for m in split(0, bad=False):
        bench.feed(m)
    parts = split(1, bad=True)
    for i in order[:2]:
        bench.feed(parts[i])
        bench.feed(parts[i])
        assert not bench.board.active
    bench = bench.reloaded()
    bench.feed(parts[order[2]])
    assert bench.symptom(CLUSTER, "under-min-isr").value == 3.0
    assert bench.symptom(CLUSTER, "under-min-isr").detail["topics"] == [f"t{i}" for i in sorted(order, key=order.index)]
    assert not [k for k in bench.stored() if k[1].startswith(("d|place|parts", "d|open"))]


def test_ten_thousand_partitions_cost_little_and_write_few_rows(bench: Bench) -> None:
    brokers = tuple(range(1, 31))

    def big(poll: int) -> Topology:
        topics = tuple(
            TopicInfo(
                name=f"topic-{t}",
                config={"min.insync.replicas": "2"},
                partitions=tuple(part(p, 1 + (t + p) % 30, tuple(1 + (t + p + k) % 30 for k in range(3))) for p in range(20)),
            )
            for t in range(500)
        )
        return topology(poll, brokers, topics=topics)

    polls = [big(i) for i in range(6)]
    bench.feed(polls[0])
    bench.rows.changed.clear()
    for m in polls[1:]:
        assert calls(lambda m=m: bench.feed(m)) < 16 * 10_000  # type: ignore[misc]
    assert len(bench.rows.changed) <= 3


def test_t10_a_broker_that_is_back_with_a_full_isr_has_come_through_although_others_keep_its_leaders(bench: Bench) -> None:
    bench.feed(healthy(0))
    bench.feed(topology(1, R, *(part(i, 1 + i % 2, R) for i in range(15))))
    assert bench.status(broker(3), "leaders-moved") is Status.ACTIVE
    for poll in range(2, 8):
        bench.feed(topology(poll, R, *(part(i, 1 + i % 2, R) for i in range(15))))
    assert bench.status(broker(3), "leaders-moved") is Status.HEALTHY
