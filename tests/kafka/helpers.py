"""Small tools for tests on a real broker: waiting, names, topics, records."""

from __future__ import annotations

import atexit
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import Message, NewTopic

T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """The first true value of ``condition``; the test fails when none comes within ``timeout_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:.0f} s: {what} (last: {value!r})")
        time.sleep(0.1)


def unique(stem: str) -> str:
    """A name that no other test uses."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


def admin_client(bootstrap: str, **config: str | float) -> AdminClient:
    """An admin client that lives until the run ends: librdkafka aborts the process where one is collected as garbage in its
    own thread."""
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, **config})
    atexit.register(client.__exit__, None, None, None)
    return client


def create_topic(
    bootstrap: str, stem: str, partitions: int = 1, replicas: int = 1, config: Mapping[str, str] | None = None
) -> str:
    """Create a topic with a unique name; back when it has a leader for each partition."""
    name = unique(stem)
    new = NewTopic(name, num_partitions=partitions, replication_factor=replicas, config=dict(config or {}))
    with AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}) as admin:
        admin.create_topics([new])[name].result(30)

        def led() -> bool:
            found = admin.list_topics(name, timeout=10).topics[name].partitions.values()
            return len(found) == partitions and all(p.leader >= 0 for p in found)

        wait_for(led, 30, f"a leader for each partition of {name}")
    return name


def produce(bootstrap: str, topic: str, values: Iterable[bytes | str | None], key: str | None = None) -> None:
    """Produce values and wait until all are acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, "acks": "all"})
    failed: list[object] = []
    for value in values:
        producer.produce(topic, value, key, on_delivery=lambda error, _: failed.append(error) if error else None)
    assert producer.flush(30) == 0, "records were not acknowledged"
    assert not failed, failed


def read_all(bootstrap: str, topic: str, count: int, timeout_s: float = 30) -> list[tuple[bytes | None, bytes | None]]:
    """The first ``count`` records of a topic, from its beginning, as (key, value)."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "log_level": 0, "group.id": unique("read-all"), "enable.auto.commit": False}
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        found: list[tuple[bytes | None, bytes | None]] = []

        def enough() -> bool:
            for message in consumer.consume(count - len(found), timeout=0.5):
                if message.error() is not None:
                    raise KafkaException(message.error())
                found.append((message.key(), message.value()))
            return len(found) >= count

        wait_for(enough, timeout_s, f"{count} records on {topic}")
        return found
    finally:
        consumer.close()


class Follower:
    """All records of a topic, from its beginning, as they come; for waiting for one of them."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer({
            "bootstrap.servers": bootstrap, "log_level": 0, "group.id": unique("follow"), "enable.auto.commit": False,
            "fetch.message.max.bytes": 16_000_000,
        })  # fmt: skip
        partitions = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        self._records: list[Message] = []

    def records(self, wait_s: float = 0.3) -> list[Message]:
        """What has come so far; waits at most ``wait_s`` for more."""
        for message in self._consumer.consume(500, timeout=wait_s):
            if message.error() is not None:
                raise KafkaException(message.error())
            self._records.append(message)
        return self._records

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
