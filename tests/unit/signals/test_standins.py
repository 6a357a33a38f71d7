"""What scrapes tell of placement and liveness where topology is not heard."""

from __future__ import annotations

import pytest

from kroute.contracts.inputs import BrokerInfo, ConsumerLag, LogDir, PartitionLag
from kroute.signals.model import Status
from tests.unit.signals.windowsbench import CLUSTER, Bench, C, at, broker, part, sample, scrape, topology

GAUGES = [
    ("under-replicated", "under_replicated_partitions", "7 under-replicated partitions"),
    ("under-min-isr", "under_min_isr_partitions", "7"),
    ("offline-partitions", "offline_partitions", "7"),
    ("reassigning", "reassigning_partitions", "7"),
]


@pytest.mark.parametrize(("kind", "signal", "_"), GAUGES)
def test_gauges_of_partitions_are_believed_while_topology_is_not_heard(kind: str, signal: str, _: str) -> None:
    b = Bench()
    for poll in range(12):
        b.feed(scrape(poll, sample(signal, 7.0 if 4 <= poll < 8 else 0.0)))
        if poll == 3:
            assert b.status(CLUSTER, kind) is Status.HEALTHY
        if poll == 7:
            found = b.symptom(CLUSTER, kind)
            assert (found.since_ms, found.value) == (at(4), 7.0)
    assert b.status(CLUSTER, kind) is Status.HEALTHY


def test_of_one_poll_a_gauge_is_of_a_moment() -> None:
    b = Bench()
    for poll in range(8):
        b.feed(scrape(poll, sample("offline_partitions", 3.0 if poll == 4 else 0.0)))
        assert b.status(CLUSTER, "offline-partitions") is not Status.ACTIVE


def test_what_several_brokers_miss_adds_up_and_only_the_controller_knows_who_leads_nothing() -> None:
    b = Bench()
    for poll in range(6):
        for of, n in (("1", 2.0), ("2", 3.0)):
            b.feed(scrape(poll, sample("under_replicated_partitions", n), sample("offline_partitions", n), of=of))
    assert b.symptom(CLUSTER, "under-replicated").value == 5.0
    assert b.symptom(CLUSTER, "offline-partitions").value == 3.0


def test_topology_has_the_last_word_while_it_is_heard() -> None:
    b = Bench()
    for poll in range(30):
        b.feed(scrape(poll, sample("under_replicated_partitions", 7.0)))
        if poll < 10 or poll >= 20:
            b.feed(topology(poll, (1, 2), part(0, 1, (1, 2))))
        told = b.status(CLUSTER, "under-replicated")
        assert told is not Status.ACTIVE or 10 <= poll < 22
        if poll == 19:
            assert told is Status.ACTIVE


def test_what_topology_says_nothing_of_when_it_is_heard_again_ends_by_its_gauge() -> None:
    b = Bench()
    for poll in range(20):
        b.feed(scrape(poll, sample("offline_log_dirs", float(poll < 12)), sample("cpu_ratio", 0.2)))
        if poll >= 8:
            b.feed(topology(poll, (1, 2), part(0, 1, (1, 2), (1,))))
        assert (b.status(broker(), "log-dir-offline") is Status.ACTIVE) is (1 <= poll < 13)
    assert b.status(broker(2), "replica-behind") is Status.ACTIVE, "what topology tells stays"


def test_a_log_directory_that_is_offline() -> None:
    b = Bench()
    for poll in range(6):
        b.feed(scrape(poll, sample("offline_log_dirs", float(poll > 2))))
    assert b.symptom(broker(), "log-dir-offline").since_ms == at(3)


def test_replicas_are_no_matter_where_storage_is_shared() -> None:
    b = Bench()
    for poll in range(6):
        b.feed(scrape(poll, sample("under_replicated_partitions", 3.0), platform="automq"))
    assert b.status(CLUSTER, "under-replicated") is not Status.ACTIVE


def lag(poll: int, *leaders: int) -> ConsumerLag:
    parts = tuple(PartitionLag(topic="t", partition=n, end=5, leader=leader) for n, leader in enumerate(leaders))
    return ConsumerLag(cluster=C, observed_at_ms=at(poll), group="g", state="Stable", partitions=parts)


def gone(*, fenced: float = 0.0, leaders: tuple[int, ...] = (1, 2), answers: bool = False) -> Bench:
    """Broker 1 leads and is scraped for ten polls; from then on it is not, save where it answers."""
    b = Bench()
    for poll in range(20):
        b.feed(lag(poll, *((1, 2) if poll < 11 else leaders)))
        b.feed(scrape(poll, sample("fenced_brokers", fenced if poll >= 11 else 0.0), of="2"))
        if poll < 10 or answers:
            b.feed(scrape(poll, sample("bytes_in_rate", 1e6)))
        else:
            b.feed(scrape(poll, up=False, error="connection refused"))
    return b


@pytest.mark.parametrize("how", [{"fenced": 1.0}, {"leaders": (2, 2)}])
def test_a_broker_that_does_not_answer_and_is_fenced_or_led_something_is_gone(how: dict[str, object]) -> None:
    b = gone(**how)  # type: ignore[arg-type]
    found = b.symptom(broker(), "broker-gone")
    assert found.since_ms == at(9)
    assert found.why.startswith("its metrics do not answer, and ")
    assert [e.name for e in b.estate.related(broker(), "led-groups")] == ["g"], "what it led is its impact"
    assert b.reloaded().picture() == b.picture()
    for poll in (20, 21):
        b.feed(scrape(poll, sample("bytes_in_rate", 1e6)))
    assert b.status(broker(), "broker-gone") is Status.HEALTHY


def test_who_does_not_answer_and_is_read_from_is_not_gone() -> None:
    assert gone().status(broker(), "broker-gone") is not Status.ACTIVE


def test_who_answers_and_leads_nothing_is_not_gone() -> None:
    assert gone(leaders=(2, 2), fenced=1.0, answers=True).status(broker(), "broker-gone") is Status.HEALTHY


def test_log_directories_that_topology_lists_tell_how_full_a_disk_is() -> None:
    b = Bench()
    for poll in range(6):
        dirs = (LogDir(path="/d", total_bytes=100, usable_bytes=60 if poll < 3 else 1),)
        b.feed(topology(poll, (BrokerInfo(id=1, log_dirs=dirs),), part(0, 1, (1,))))
    assert b.symptom(broker(), "disk-full").since_ms == at(3)
