"""Topics that no group reads: rules L20 and L23 from the brokers' scrapes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kroute.contracts.common import Entity
from kroute.contracts.inputs import BrokerInfo, BrokerMetrics, PartitionInfo, Sample, Source, TopicInfo, Topology
from kroute.signals.model import Src, Status
from tests.unit.signals.lagbench import CLUSTER, T0, THE_TOPIC, TOPIC, Bench, Stated, poll


def scrape(b: Bench, at_s: float, broker: int, *, signal: str = "messages_in_rate", **rates: float) -> None:
    samples = tuple(Sample(signal, r, {"topic": t}) for t, r in rates.items())
    m = BrokerMetrics(
        cluster=CLUSTER, observed_at_ms=T0 + int(at_s * 1000), interval_ms=15_000, source=Source(kind="broker", id=str(broker)), samples=samples
    )  # fmt: skip
    b.offset += 1
    b.lag.observe_metrics(Src("kroute.broker-metrics", 0, b.offset, m.observed_at_ms), m)
    b.commit()


def run(b: Bench, polls: range, rate: float, brokers: tuple[int, ...] = (1, 2, 3), **more: Any) -> Bench:
    for k in polls:
        for i in brokers:
            scrape(b, 15 * k + i, i, t=rate, other=50.0, **more)
    return b


@pytest.fixture
def bench() -> Bench:
    return run(Bench(Stated(age=120.0)), range(60), 40.0)


def placed(*topics: str) -> Topology:
    """The topology at the start; it lists the topic."""
    p = PartitionInfo(0, 1, (1,), (1,))
    return Topology(
        cluster=CLUSTER, observed_at_ms=T0, brokers=(BrokerInfo(id=1),),
        topics=tuple(TopicInfo(name=t, partitions=(p,)) for t in topics or (TOPIC,)),
    )  # fmt: skip


def now(k: int) -> int:
    return T0 + 15_000 * k


def test_a_topic_that_nobody_reads_stops_and_grows_stale(bench: Bench) -> None:
    assert bench.active(THE_TOPIC) == ()
    run(bench, range(60, 64), 0.0)
    assert bench.active(THE_TOPIC) == ("produce-stopped",)
    assert abs(bench.symptom("produce-stopped", THE_TOPIC).since_ms - now(59)) <= 20_000
    run(bench, range(64, 70), 0.0)
    assert bench.active(THE_TOPIC) == ("data-stale", "produce-stopped")
    measure = bench.lag.of_topic(THE_TOPIC, now(70))
    assert measure is not None
    assert (measure.state, measure.objective_s) == ("breached", 120.0)
    run(bench, range(70, 74), 40.0)
    assert bench.active(THE_TOPIC) == ()


def test_bytes_tell_where_records_are_not_told() -> None:
    b = run(Bench(Stated(age=120.0)), range(60), 400_000.0, signal="bytes_in_rate")
    run(b, range(60, 70), 0.0, signal="bytes_in_rate")
    assert "produce-stopped" in b.active(THE_TOPIC)


def test_a_broker_that_is_not_heard_leaves_it_open_whether_its_topic_is_silent(bench: Bench) -> None:
    run(bench, range(60, 80), 0.0, brokers=(1, 2))  # 3 brought a third of the records
    assert bench.board.status(THE_TOPIC, "produce-stopped", now(80)) is Status.UNOBSERVED


def test_a_topic_that_is_not_named_any_more_is_silent_only_where_the_topology_lists_it(bench: Bench) -> None:
    for k in range(60, 75):
        for i in (1, 2, 3):
            scrape(bench, 15 * k + i, i, other=50.0)
    assert bench.lag.of_topic(THE_TOPIC, now(75)) is None
    assert bench.active(THE_TOPIC) == ()
    listed = Bench(Stated(age=120.0))
    listed.estate.observe_topology(placed())
    run(listed, range(60), 40.0)
    for k in range(60, 75):
        for i in (1, 2, 3):
            scrape(listed, 15 * k + i, i, other=50.0)
    assert listed.active(THE_TOPIC) == ("data-stale", "produce-stopped")


def test_a_topic_that_was_deleted_has_not_stopped_though_rows_name_it() -> None:
    b = Bench(Stated(age=120.0))
    b.estate.observe_topology(placed(TOPIC, "other"))
    b.estate.connect(Entity("principal", CLUSTER, "svc"), "principal-topics", [THE_TOPIC])
    run(b, range(60), 40.0)
    b.estate.observe_topology(msgspec.structs.replace(placed("other"), observed_at_ms=now(60)))
    assert b.estate.has(THE_TOPIC)
    for k in range(60, 80):
        for i in (1, 2, 3):
            scrape(b, 15 * k + i, i, other=50.0)
    assert b.active(THE_TOPIC) == ()


def test_a_scrape_without_topics_says_nothing_of_them(bench: Bench) -> None:
    for k in range(60, 75):
        for i in (1, 2, 3):
            scrape(bench, 15 * k + i, i)
    assert bench.board.status(THE_TOPIC, "produce-stopped", now(75)) is Status.UNOBSERVED


def test_a_topic_that_is_read_is_judged_by_its_log_ends(bench: Bench) -> None:
    for k in range(60, 75):
        run(bench, range(k, k + 1), 0.0)
        bench.feed(poll(15 * k + 5, [1000 * k], [1000 * k], interval_s=15))
    assert bench.active(THE_TOPIC) == ()
    assert not any(key.startswith(f"|u|{CLUSTER}|{TOPIC}|") for _, key in bench.table)
    assert any(key.startswith(f"|u|{CLUSTER}|other|") for _, key in bench.table)


def test_rows_restore_it(bench: Bench) -> None:
    run(bench, range(60, 62), 0.0)
    other = bench.restored()
    run(bench, range(62, 70), 0.0)
    run(other, range(62, 70), 0.0)
    assert other.active(THE_TOPIC) == bench.active(THE_TOPIC) == ("data-stale", "produce-stopped")
    assert other.symptom("data-stale", THE_TOPIC).since_ms == bench.symptom("data-stale", THE_TOPIC).since_ms
    assert other.lag.unread._scraped == bench.lag.unread._scraped
