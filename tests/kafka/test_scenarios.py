"""Real faults on a real cluster: each ends in exactly one incident, with its cause, root and three routes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from kroute.local.choose import Chosen
from kroute.local.clients import Consumer, Producer, create_topics
from kroute.local.connect import LocalConnect
from tests.kafka.helpers import admin_client, unique, wait_for
from tests.kafka.stack import CLUSTER, Stack, open_deliveries, teams

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
RATE = 200.0
FRESHNESS_S = 8


def row(kind: str, name: str, cluster: str = CLUSTER, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "cluster": cluster, "name": name, **more}


def team(name: str) -> dict[str, Any]:
    return row("team", name, "*", page=f"pagerduty://{name}", ticket=f"jira://{name}", notify=f"slack://{name}")


class Flow:
    """A topic of two partitions with its producer, and a consumer group that keeps up until told otherwise."""

    def __init__(self, bootstrap: str, name: str, protocol: str = "classic") -> None:
        self.topic = unique(f"{name}-topic")
        self.group = unique(name)
        create_topics(bootstrap, {self.topic: 2})
        self.producer = Producer(bootstrap, self.topic, RATE).start()
        self.consumer = Consumer(bootstrap, self.group, [self.topic], RATE * 20, protocol=protocol).start()

    def rows(self, owner: str) -> list[dict[str, Any]]:
        return [
            row("group", self.group, service=f"svc-{self.group}"),
            row("service", f"svc-{self.group}", owner=owner, customer_function="people wait", slo={"freshness_s": FRESHNESS_S}),
        ]

    def stop(self) -> None:
        self.producer.stop()
        self.consumer.stop()


class Estate:
    """Every flow of this module, and the stack that watches them."""

    def __init__(self, bootstrap: str, connect: LocalConnect, workdir: Path) -> None:
        self.bootstrap = bootstrap
        self.connect = connect
        self.slow = Flow(bootstrap, "slow")
        self.stopped = Flow(bootstrap, "stopped")
        self.next = Flow(bootstrap, "kip848", protocol="consumer")
        self.replay = Flow(bootstrap, "replay")
        self.moved = Flow(bootstrap, "moved")
        self.healthy = Flow(bootstrap, "healthy")
        self.sink_topic = unique("sink-topic")
        create_topics(bootstrap, {self.sink_topic: 1})
        self.sink_producer = Producer(bootstrap, self.sink_topic, RATE).start()
        self.sink = unique("sink")
        self.sink_file = workdir / "sink.txt"
        connect.put_file_sink(self.sink, self.sink_topic, self.sink_file)
        self.connector = f"connect-t/{self.sink}"
        collect = {
            "groups": {"include": ["*-*"], "exclude": ["*-reader", "*-app", "k-*"]},
            "topology": {},
            "connect": [{"name": "connect-t", "url": connect.url, "systems": {"*": "archive"}}],
        }
        self.stack = Stack(bootstrap, workdir, collect)
        self.stack.start([
            *(team(t) for t in ("team-a", "team-b", "team-data", "team-archive", "team-platform")),
            row("cluster", CLUSTER, owner="team-platform"),
            row("connector", "connect-t/*", owner="team-data", service="archive-service", system="archive"),
            row("service", "archive-service", owner="team-b", customer_function="orders can be found later", slo={"freshness_s": FRESHNESS_S}),
            row("system", "archive", owner="team-archive"),
            *(r for f in (self.slow, self.stopped, self.next, self.replay, self.moved, self.healthy) for r in f.rows("team-a")),
        ])  # fmt: skip

    @property
    def flows(self) -> list[Flow]:
        return [self.slow, self.stopped, self.next, self.replay, self.moved, self.healthy]

    def stop(self) -> None:
        self.stack.stop()
        for f in self.flows:
            f.stop()
        self.sink_producer.stop()
        self.connect.delete_connector(self.sink)


@pytest.fixture(scope="module")
def estate(kafka: Chosen, connect: LocalConnect, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """A healthy estate that kroute has watched for a while."""
    e = Estate(kafka.bootstrap, connect, tmp_path_factory.mktemp("scenarios"))
    try:
        e.stack.wait_for_heartbeat()
        e.stack.wait_for_polls([*(f.group for f in e.flows), f"connect-{e.sink}"])
        yield e
    finally:
        e.stop()


def closed_by_the_book(stack: Stack, root: str) -> dict[str, Any]:
    """Exactly one incident at this root, resolved, with nothing left open; returns its opening alert."""
    (alerts,) = stack.incidents(root=root).values()
    assert [a["revision"] for a in alerts] == list(range(1, len(alerts) + 1))
    assert alerts[0]["type"] == "opened"
    assert alerts[-1]["type"] == "resolved"
    assert open_deliveries(alerts) == {}
    assert {r["role"] for a in alerts for r in a["routes"]} == {"impact", "diagnosis", "action"}
    return alerts[0]


def felt_by(estate: Estate, root: str, owner: str) -> None:
    """Wait until the incident at this root goes to who feels it."""

    def told() -> bool:
        return any(teams(a, "impact") == [owner] for alerts in estate.stack.incidents(root=root).values() for a in alerts)

    wait_for(told, 150, f"{owner} to be told what {root} does to it")


def test_a_consumer_that_really_is_slower_than_its_producer(estate: Estate) -> None:
    root = f"group/{estate.slow.group}"
    estate.slow.consumer.rate = RATE / 10
    opened = estate.stack.expect("opened", "slow-consumer", root)
    assert teams(opened, "diagnosis") == teams(opened, "action") == ["team-a"]
    felt_by(estate, root, "team-a")
    estate.slow.consumer.rate = RATE * 20
    estate.stack.expect("resolved", "slow-consumer", root)
    closed_by_the_book(estate.stack, root)


def test_a_consumer_that_stops_while_its_topic_grows(estate: Estate) -> None:
    root = f"group/{estate.stopped.group}"
    estate.stopped.consumer.stop()
    opened = estate.stack.expect("opened", "stopped-consumer", root)
    assert teams(opened, "action") == ["team-a"]
    felt_by(estate, root, "team-a")
    estate.stopped.consumer.start()
    estate.stack.expect("resolved", "stopped-consumer", root)
    closed_by_the_book(estate.stack, root)


def test_a_group_of_the_new_protocol_that_lags(estate: Estate) -> None:
    root = f"group/{estate.next.group}"
    estate.next.consumer.rate = RATE / 10
    opened = estate.stack.expect("opened", "slow-consumer", root)
    assert teams(opened, "action") == ["team-a"]
    felt_by(estate, root, "team-a")
    estate.next.consumer.rate = RATE * 20
    estate.stack.expect("resolved", "slow-consumer", root)
    closed_by_the_book(estate.stack, root)


def test_a_file_sink_whose_path_does_not_exist(estate: Estate) -> None:
    root = f"connector/{estate.connector}"
    estate.connect.put_file_sink(estate.sink, estate.sink_topic, estate.sink_file.parent / "missing" / "sink.txt")
    opened = estate.stack.expect("opened", "sink-failed", root)
    assert teams(opened, "diagnosis") == ["team-data"]
    assert teams(opened, "action") == ["team-data"], "a path that does not exist is the connector's own configuration"
    assert any(s["kind"] == "task-failed" for s in opened["symptoms"])
    status = estate.connect.status(estate.sink)
    assert status is not None
    assert (status["connector"]["state"], [t["state"] for t in status["tasks"]]) == ("RUNNING", ["FAILED"])
    felt_by(estate, root, "team-b")
    estate.connect.put_file_sink(estate.sink, estate.sink_topic, estate.sink_file)
    estate.stack.expect("resolved", "sink-failed", root)
    closed_by_the_book(estate.stack, root)


def test_a_replay_declared_beforehand_pages_nobody(estate: Estate) -> None:
    flow = estate.replay
    root = f"group/{flow.group}"
    now = int(time.time() * 1000)
    estate.stack.put(
        "changes", None,
        {"id": unique("replay"), "kind": "replay", "cluster": CLUSTER, "target": {"kind": "group", "name": flow.group},
         "starts_at_ms": now - 1000, "ends_at_ms": now + 600_000, "by": "ann", "why": "rebuild of the index"},
    )  # fmt: skip
    flow.consumer.stop()
    admin = admin_client(estate.bootstrap)
    back = [TopicPartition(flow.topic, p, 0) for p in range(2)]

    def rewound() -> bool:
        (future,) = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(flow.group, back)]).values()
        try:
            future.result(10)
        except Exception:  # the group has members until its last one has left
            return False
        return True

    wait_for(rewound, 30, "offsets to be reset")
    flow.consumer.rate = RATE * 3
    flow.consumer.start()
    opened = estate.stack.expect("opened", "planned-replay", root)
    assert all(r["urgency"] == "notify" for r in opened["routes"])
    flow.consumer.rate = RATE * 20
    estate.stack.expect("resolved", "planned-replay", root)
    closed_by_the_book(estate.stack, root)
    said = [a for alerts in estate.stack.incidents(root=root).values() for a in alerts]
    assert all(r["urgency"] != "page" for a in said for r in a["routes"])


def test_an_owner_changed_while_an_incident_is_open(estate: Estate) -> None:
    flow = estate.moved
    root = f"group/{flow.group}"
    flow.consumer.rate = RATE / 10
    first = estate.stack.expect("opened", "slow-consumer", root)
    assert teams(first, "action") == ["team-a"]
    new = row("service", f"svc-{flow.group}", owner="team-b", customer_function="people wait", slo={"freshness_s": FRESHNESS_S})
    estate.stack.put("ownership", f"service/{CLUSTER}/svc-{flow.group}", new)
    estate.stack.wait_for_row("ownership", lambda key, value: f"svc-{flow.group}".encode() in key and b"team-b" in (value or b""))
    flow.consumer.rate = RATE * 20
    estate.stack.expect("resolved", "slow-consumer", root)
    incident = first["incident"]
    alerts = estate.stack.incidents(root=root)[incident]
    assert open_deliveries(alerts) == {}
    assert {r["destination"] for a in alerts for r in a["routes"] if r["do"] == "close"} >= {
        r["destination"] for r in first["routes"] if r["do"] == "open"
    }
    # It is forgotten when it can no longer reopen; what comes then is another incident.
    estate.stack.wait_for_row("incidents", lambda key, value: key.endswith(f"inc|{incident}".encode()) and value is None)
    flow.consumer.rate = RATE / 10

    def next_one() -> dict[str, Any] | None:
        said = estate.stack.incidents(root=root).items()
        return next((a for i, al in said if i != incident for a in al if a["type"] == "opened"), None)

    second = wait_for(next_one, 150, "a second incident")
    assert second is not None
    assert teams(second, "action") == ["team-b"]
    flow.consumer.rate = RATE * 20
    wait_for(lambda: estate.stack.incidents()[second["incident"]][-1]["type"] == "resolved", 150, "the second to resolve")


def test_nothing_else_was_said(estate: Estate) -> None:
    """One fault, one incident: no other root, no other cause, nothing about the healthy group."""
    wanted = {f"group/{f.group}" for f in estate.flows if f is not estate.healthy} | {f"connector/{estate.connector}"}
    roots = {
        i: [(a["cause"]["id"], a["cause"]["root"]["name"]) for a in alerts] for i, alerts in estate.stack.incidents().items()
    }
    assert {
        f"{a['cause']['root']['kind']}/{a['cause']['root']['name']}" for al in estate.stack.incidents().values() for a in al
    } <= wanted, roots
    assert f"group/{estate.healthy.group}" not in {
        s for al in estate.stack.incidents().values() for a in al for s in [f"group/{m['entity']['name']}" for m in a["symptoms"]]
    }
