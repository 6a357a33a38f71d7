"""A small estate with real clients, for demonstrations and tests: a shop with orders, payments and clicks.

Three producers, two consumer groups, one file sink, and the ownership rows that say whose they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import confluent_kafka
import orjson
from confluent_kafka import KafkaException

from kroute.contracts.topics import Names
from kroute.errors import LocalKafkaError, SourceUnreachable
from kroute.local.clients import Consumer, Producer, create_topics, group_lag
from kroute.local.connect import LocalConnect

CLUSTER = "local"
TOPICS = {"orders": 3, "payments": 3, "clicks": 3}
"""Topic → partitions."""
RATES = {"orders": 40.0, "payments": 30.0, "clicks": 50.0}
"""Topic → records per second produced."""
READERS = {"checkout": "orders", "fraud": "payments"}
"""Consumer group → the topic it reads, at up to ``SPARE`` times the producer's rate."""
SPARE = 5.0
SINK, SINK_TOPIC, SINK_SYSTEM = "orders-archive", "orders", "archive-disk"
TEAMS = ("team-checkout", "team-risk", "team-books", "team-shop", "team-data", "team-storage", "team-platform")
FRESHNESS_S = 15.0
_HEALTHY_S = 3.0


class Estate:
    """The demo estate. ``connect`` None: no sink. ``consumers`` and ``producers`` are by group and by topic.

    Raises:
        LocalKafkaError, SourceUnreachable: from ``start``, where a topic or the connector cannot be created.
    """

    def __init__(self, bootstrap: str, workdir: Path, *, connect: LocalConnect | None = None, replicas: int = 1) -> None:
        self.bootstrap = bootstrap
        self.connect = connect
        self.archive = workdir / "archive" / "orders.txt"
        self._replicas = replicas
        self.producers = {t: Producer(bootstrap, t, rate, TOPICS[t]) for t, rate in RATES.items()}
        protocols = {"checkout": "classic", "fraud": "consumer"}
        self.consumers = {g: Consumer(bootstrap, g, [t], RATES[t] * SPARE, protocols[g]) for g, t in READERS.items()}

    def start(self) -> None:
        """Create topics and the sink, start all clients."""
        create_topics(self.bootstrap, TOPICS, self._replicas)
        self.archive.parent.mkdir(parents=True, exist_ok=True)
        for client in (*self.producers.values(), *self.consumers.values()):
            client.start()
        if self.connect is not None:
            self.connect.put_file_sink(SINK, SINK_TOPIC, self.archive)

    def stop(self) -> None:
        """Stop all clients and delete the sink; errors of a cluster that is gone already are no news."""
        for client in (*self.consumers.values(), *self.producers.values()):
            client.stop()
        if self.connect is not None:
            with contextlib.suppress(SourceUnreachable):
                self.connect.delete_connector(SINK)

    def unhealthy(self) -> str | None:
        """What is not healthy yet, in words; None when every group keeps up and the sink's task runs."""
        for client in (*self.producers.values(), *self.consumers.values()):
            if not client.running:
                return f"{client.name} has ended: {client.error}"
        readers = dict(READERS)
        if self.connect is not None:
            status = self.connect.status(SINK)
            states = [] if status is None else [t["state"] for t in status["tasks"]]
            if states != ["RUNNING"]:
                return f"connector {SINK}: tasks {states}"
            readers[f"connect-{SINK}"] = SINK_TOPIC
        for group, topic in readers.items():
            try:
                behind = group_lag(self.bootstrap, group)
            except KafkaException as e:
                return f"group {group}: {e}"
            if len(behind) < TOPICS[topic]:
                return f"group {group} has committed {len(behind)} of {TOPICS[topic]} partitions"
            if sum(behind.values()) > _HEALTHY_S * RATES[topic]:
                return f"group {group} is {sum(behind.values())} records behind"
        return None


def ownership(connect: str = "connect-local") -> list[dict[str, Any]]:
    """The estate's ownership rows: who feels, who reads, who acts. ``connect``: name of the Connect cluster."""
    slo = {"freshness_s": FRESHNESS_S}
    return [
        *(_team(t) for t in TEAMS),
        _row("service", "checkout", owner="team-checkout", customer_function="people can pay for their basket", slo=slo),
        _row("service", "fraud", owner="team-risk", customer_function="stolen cards are stopped before goods leave", slo=slo),
        _row("service", "books", owner="team-books", customer_function="every order can be looked up later", slo=slo),
        _row("service", "shop", owner="team-shop", customer_function="people can browse and order"),
        _row("group", "checkout", service="checkout", owner="team-checkout"),
        _row("group", "fraud", service="fraud", owner="team-risk"),
        _row("group", f"connect-{SINK}", service="books"),
        *(_row("topic", t, service="shop", owner="team-shop") for t in TOPICS),
        _row("connector", f"{connect}/{SINK}", owner="team-data", service="books", system=SINK_SYSTEM),
        _row("system", SINK_SYSTEM, owner="team-storage"),
        _row("cluster", CLUSTER, owner="team-platform", governance="team-platform", network="team-platform"),
    ]


def policy(version: str = "demo") -> dict[str, Any]:
    """A policy with short times, so that a demonstration shows a whole incident in minutes; routes are the defaults."""
    return {"version": version, "defaults": {"settle_s": 5.0, "hold_s": 15.0}}


def produce_rows(bootstrap: str, rows: Iterable[dict[str, Any]], names: Names | None = None) -> None:
    """Write ownership rows to ``kroute.ownership``, keyed ``kind/cluster/name``, and wait until they are stored.

    Raises:
        LocalKafkaError: not all were acknowledged.
    """
    records = [(f"{r['kind']}/{r['cluster']}/{r['name']}", orjson.dumps(r)) for r in rows]
    _produce(bootstrap, (names or Names()).full("ownership"), records)


def produce_policy(bootstrap: str, value: dict[str, Any], names: Names | None = None) -> None:
    """Write the policy to ``kroute.policy`` and wait until it is stored.

    Raises:
        LocalKafkaError: it was not acknowledged.
    """
    _produce(bootstrap, (names or Names()).full("policy"), [("policy", orjson.dumps(value))])


def _produce(bootstrap: str, topic: str, records: Sequence[tuple[str, bytes]]) -> None:
    errors: list[str] = []
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0, "message.timeout.ms": 20_000}
    )
    for key, value in records:
        producer.produce(topic, value, key, on_delivery=lambda error, _: errors.append(str(error)) if error else None)
    left = producer.flush(30)
    if left or errors:
        raise LocalKafkaError(f"{left + len(errors)} of {len(records)} rows were not stored on {topic}: {errors[:1]}")


def _row(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "cluster": CLUSTER, "name": name, **fields}


def _team(name: str) -> dict[str, Any]:
    short = name.removeprefix("team-")
    return {
        "kind": "team", "cluster": "*", "name": name,
        "page": f"pagerduty://{short}", "ticket": f"jira://{short}", "notify": f"slack://{short}",
    }  # fmt: skip
