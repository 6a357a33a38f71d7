"""Three brokers with racks and exporters, of which one is killed and brought back: what Kafka shows, what the collector
tells, and what kroute makes of it: one incident at the broker, with the platform as its owner."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer as Confluent
from confluent_kafka import ElectionType, KafkaException, TopicPartition

from kroute.collect.aliases import load_aliases
from kroute.collect.config import Exposition
from kroute.collect.http import Http
from kroute.collect.lag import LagPoller
from kroute.collect.scrape import ExpositionPoller
from kroute.collect.topology import TopologyPoller
from kroute.contracts.codec import decode
from kroute.contracts.inputs import Topology
from kroute.errors import SourceUnreachable
from kroute.local.broker import LocalKafka
from kroute.local.clients import Consumer, Producer, create_topics
from kroute.settings import Kafka
from kroute.signals.coordinator import OFFSETS_TOPIC, coordinator_of
from tests.kafka.helpers import admin_client, create_topic, produce, read_all, unique, wait_for
from tests.kafka.messages import now_ms
from tests.kafka.stack import CLUSTER, Stack, open_deliveries, teams
from tests.kafka.test_collect import OWN, lags, until
from tests.kafka.test_scenarios import row, team

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
RATE = 100.0


def test_a_killed_broker_of_three_is_fenced_and_comes_back(kafka3: LocalKafka) -> None:
    admin = admin_client(kafka3.bootstrap)
    topic = create_topic(kafka3.bootstrap, "survives", partitions=3, replicas=3)

    def leaders() -> set[int]:
        return {p.leader for p in admin.list_topics(topic, timeout=10).topics[topic].partitions.values()}

    wait_for(lambda: leaders() == {1, 2, 3}, 30, "every broker to know the topic")
    kafka3.kill(2)
    try:
        wait_for(lambda: 2 not in leaders() and -1 not in leaders(), 90, "partitions of broker 2 led by others")
        assert set(admin.list_topics(timeout=10).brokers) == {1, 3}
        produce(kafka3.bootstrap, topic, ["while it is down"])
    finally:
        kafka3.restart(2)
    assert set(admin.list_topics(timeout=10).brokers) == {1, 2, 3}
    assert [value for _, value in read_all(kafka3.bootstrap, topic, 1)] == [b"while it is down"]


def test_groups_whose_coordinator_moves_are_read_again_at_the_next_poll(kafka3: LocalKafka) -> None:
    admin = admin_client(kafka3.bootstrap)
    topic = create_topic(kafka3.bootstrap, "moves", replicas=3)
    stem = unique("moves")
    for i in range(6):
        wait_for(lambda i=i: _commit(kafka3.bootstrap, f"{stem}-{i}", topic), 60, "a commit")  # type: ignore[misc]
    poller = LagPoller("c", Kafka(kafka3.bootstrap), OWN, interval_ms=1_000, include=[f"{stem}-*"])

    def coordinators() -> list[int]:
        """Of all groups, or none where one cannot be read."""
        found = [v.coordinator for v in lags(poller.poll()).values() if v.coordinator is not None]
        return found if len(found) == 6 else []

    admin.elect_leaders(ElectionType.PREFERRED, None).result(30)
    first = wait_for(coordinators, 60, "every group to be read")
    leads = {n: p.leader for n, p in admin.list_topics(OFFSETS_TOPIC, timeout=10).topics[OFFSETS_TOPIC].partitions.items()}
    by_place = [coordinator_of(f"{stem}-{i}", [leads[n] for n in sorted(leads)]) for i in range(6)]
    assert sorted(by_place) == sorted(first)  # where a poll does not tell it, it is worked out as Kafka does
    victim = max(first, key=first.count)
    kafka3.stop(victim)
    try:
        before = poller._admin
        wait_for(lambda: (c := coordinators()) and victim not in c, 40, "its groups to be read from others")
        assert poller._admin is not before
    finally:
        kafka3.restart(victim)
    wait_for(coordinators, 40, "every group to be read")  # no request that waited for it is left, which would end this process

    def back() -> bool:
        admin.elect_leaders(ElectionType.PREFERRED, None).result(30)  # in vain while its replicas are not in sync
        return sorted(coordinators()) == sorted(first)

    wait_for(back, 40, "its groups to be read from it again")
    poller.close()


def _commit(bootstrap: str, group: str, topic: str) -> bool:
    """Make an empty group with one commit; False where its coordinator is not ready."""
    consumer = Confluent({"bootstrap.servers": bootstrap, "log_level": 0, "group.id": group, "enable.auto.commit": False})
    try:
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True


def test_each_broker_has_a_rack_and_an_exporter(kafka3: LocalKafka) -> None:
    assert [b.rack for b in kafka3.brokers.values()] == ["rack-a", "rack-b", "rack-c"]
    assert set(kafka3.metrics_urls) == {1, 2, 3}

    def idle() -> float | None:
        with urllib.request.urlopen(kafka3.metrics_urls[1], timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith("kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent "):
                    return float(line.split()[1])
        return None

    value = wait_for(idle, 90, "an idle ratio of the request handlers above 0")
    assert value is not None
    assert 0 < value < 1.1


async def test_a_real_exporter_gives_the_idle_ratio_and_a_killed_broker_is_told(kafka3: LocalKafka) -> None:
    http = Http(timeout_s=10)
    urls = kafka3.metrics_urls
    victim = max(urls)
    config = Exposition(url=urls[victim], source="broker", id=str(victim), rack="r", aliases=("strimzi", "jvm"))
    scrape = ExpositionPoller("c", config, load_aliases(("strimzi", "jvm")), http, OWN, interval_ms=1_000)

    async def signals() -> dict[str, float]:
        return {s.signal: s.value for m in await scrape.poll() for s in decode(m.topic, m.value).samples}

    topology = TopologyPoller("c", Kafka(kafka3.bootstrap), OWN, interval_ms=1_000)
    try:
        got = await until(signals, lambda s: "request_handler_idle_ratio" in s, "the idle ratio")
        assert 0 <= got["request_handler_idle_ratio"] <= 1
        before = state_of(topology, victim)
        assert before == "alive"

        kafka3.kill(victim)
        try:
            wait_for(lambda: state_of(topology, victim) in ("fenced", "gone"), 120, "the killed broker to be told")
            with pytest.raises(SourceUnreachable):
                await scrape.poll()
            told = decode("broker-metrics", scrape.down("refused")[0].value)
            assert (told.up, told.source.id) == (False, str(victim))
        finally:
            kafka3.restart(victim)
        wait_for(lambda: state_of(topology, victim) == "alive", 120, "the broker to be back")
        wait_for(
            lambda: told_of(topology, victim, "log_dirs"), 30, "its log dirs to be read, which its client did not know again"
        )
    finally:
        topology.close()
        await http.close()


def state_of(topology: TopologyPoller, broker: int) -> Any:
    return told_of(topology, broker, "state")


def told_of(topology: TopologyPoller, broker: int, field: str) -> Any:
    try:
        values: list[Topology] = [decode(m.topic, m.value) for m in topology.poll()]
    except SourceUnreachable:
        return None
    return next((getattr(b, field) for b in values[0].brokers if b.id == broker), None)


@pytest.fixture
def stack(kafka3: LocalKafka, tmp_path: Path) -> Iterator[Stack]:
    """Three brokers with their JMX exporters, two groups that keep up, and kroute watching them."""
    metrics = [
        {"url": url, "source": "broker", "id": str(i), "rack": kafka3.brokers[i].rack, "aliases": ["strimzi", "jvm"]}
        for i, url in sorted(kafka3.metrics_urls.items())
    ]
    collect = {"groups": {"include": ["orders-*", "clicks-*"]}, "topology": {}, "metrics": metrics}
    running: list[Producer | Consumer] = []
    for name in ("orders", "clicks"):
        create_topics(kafka3.bootstrap, {name: 3}, replicas=3)
        running.append(Producer(kafka3.bootstrap, name, RATE).start())
        running.append(Consumer(kafka3.bootstrap, f"{name}-reader", [name], RATE * 20).start())
    s = Stack(kafka3.bootstrap, tmp_path, collect, supervised=True)
    s.settings = s.settings.__class__(
        kafka=s.settings.kafka, names=s.names, app_id=s.settings.app_id, facts_partitions=2, replication_factor=3
    )
    s.env["KROUTE_REPLICATION_FACTOR"] = "3"
    try:
        s.start([
            *(team(t) for t in ("team-orders", "team-clicks", "team-platform")),
            row("cluster", CLUSTER, owner="team-platform"),
            *(row("group", f"{n}-reader", service=n) for n in ("orders", "clicks")),
            *(row("service", n, owner=f"team-{n}", customer_function="people order", slo={"freshness_s": 60})
              for n in ("orders", "clicks")),
        ])  # fmt: skip
        s.wait_for_heartbeat()
        s.wait_for_polls([f"{n}-reader" for n in ("orders", "clicks")])
        yield s
    finally:
        s.stop()
        for r in running:
            r.stop()


def told(stack: Stack, cause: str) -> dict[str, Any] | None:
    """The first firing alert with this cause; what was told first may have been another."""
    return next(
        (a for al in stack.incidents().values() for a in al if (a["status"], a["cause"]["id"]) == ("firing", cause)), None
    )


def test_a_killed_broker_is_one_incident_of_the_platform(stack: Stack, kafka3: LocalKafka) -> None:
    kafka3.kill(2)
    opened = stack.wait(lambda: told(stack, "broker-down"), 180, "a broker that is down to be told")
    assert opened is not None
    assert teams(opened, "diagnosis") == teams(opened, "action") == ["team-platform"]
    assert any(s["kind"] == "broker-gone" for s in opened["symptoms"])
    kafka3.restart(2)
    stack.expect("resolved", "broker-down", "broker/2", 300)
    incidents = stack.incidents()
    assert len(incidents) == 1, {i: [(a["type"], a["cause"]["id"], a["summary"]) for a in al] for i, al in incidents.items()}
    (alerts,) = incidents.values()
    assert open_deliveries(alerts) == {}
    # Groups are asked for by the collector alone: librdkafka may abort the process that does while a coordinator goes.
    now = now_ms()
    with stack.follow("consumer-lag") as polls:

        def told_of() -> list[dict[str, Any]]:
            return [orjson.loads(m.value() or b"{}") for m in polls.records()]

        wait_for(lambda: len({r["group"] for r in told_of() if r["observed_at_ms"] >= now}) == 2, 60, "both groups, polled still")
        assert [r for r in told_of() if r.get("state") == "Dead"] == [], "a broker that is gone ends no group"
