"""One of three brokers killed and brought back: one incident at the broker, with the platform as its owner."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kroute.local.broker import LocalKafka
from kroute.local.clients import Consumer, Producer, create_topics
from tests.kafka.stack import CLUSTER, Stack, open_deliveries, teams
from tests.kafka.test_scenarios import row, team

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
RATE = 100.0


@pytest.fixture
def stack(kafka3: LocalKafka, tmp_path: Path) -> Iterator[Stack]:
    """Three brokers with their JMX exporters, two groups that keep up, and kroute watching them."""
    metrics = [
        {"url": url, "source": "broker", "id": str(i), "rack": f"rack-{i}", "aliases": ["strimzi", "jvm"]}
        for i, url in sorted(kafka3.metrics_urls.items())
    ]
    collect = {"groups": {"include": ["orders-*", "clicks-*"]}, "topology": {}, "metrics": metrics}
    running: list[Producer | Consumer] = []
    for name in ("orders", "clicks"):
        create_topics(kafka3.bootstrap, {name: 3}, replicas=3)
        running.append(Producer(kafka3.bootstrap, name, RATE).start())
        running.append(Consumer(kafka3.bootstrap, f"{name}-reader", [name], RATE * 20).start())
    s = Stack(kafka3.bootstrap, tmp_path, collect)
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
        time.sleep(20)
        yield s
    finally:
        s.stop()
        for r in running:
            r.stop()


def test_a_killed_broker_is_one_incident_of_the_platform(stack: Stack, kafka3: LocalKafka) -> None:
    kafka3.kill(2)
    opened = stack.expect("opened", "broker-down", "broker/2", 90)
    assert teams(opened, "diagnosis") == teams(opened, "action") == ["team-platform"]
    assert any(s["kind"] == "broker-gone" for s in opened["symptoms"])
    kafka3.restart(2)
    stack.expect("resolved", "broker-down", "broker/2", 180)
    incidents = stack.incidents()
    assert len(incidents) == 1, {i: [(a["type"], a["cause"]["id"], a["summary"]) for a in al] for i, al in incidents.items()}
    (alerts,) = incidents.values()
    assert open_deliveries(alerts) == {}
