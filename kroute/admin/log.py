"""Reading and writing kroute's topics from a command: the newest row of each key, records since a time, sends that count.

Blocking (confluent-kafka). What is read is what stood in the topic when the call began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.cimpl import Message, NewTopic

from kroute.contracts.topics import TOPICS
from kroute.errors import SourceUnreachable, StateError
from kroute.reach import Reach, failed, lacks
from kroute.settings import Settings
from kroute.stream import admin

TIMEOUT_S = 30.0


class Kept(NamedTuple):
    """One record. ``at_ms``: its time (epoch ms; append time on kroute's topics). ``headers`` by name."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: str
    value: bytes | None
    headers: Mapping[str, bytes]
    also: tuple[int, ...] = ()
    """From ``compacted``: other partitions that hold an older record of the key."""


class Row(NamedTuple):
    """One record to send. ``value`` None deletes. ``partition`` None: by the key, as Kafka's Java clients do."""

    key: str
    value: bytes | None
    headers: Mapping[str, bytes] = {}
    partition: int | None = None


def ensure(settings: Settings, short: str) -> str:
    """The full name of a topic, created as ``kroute worker`` would where it is missing (``controls.<realm>`` too).

    Raises:
        SourceUnreachable: Kafka gave no answer, or refused the topic.
    """
    name = settings.names.full(short)
    spec = TOPICS["controls" if short.startswith("controls.") else short]
    reach = Reach(settings.kafka)
    client = reach.client
    held = reach.topics([name])[name]
    if held is not None:
        if not held:
            raise lacks(settings.kafka, f"Describe on topic {name}")
        return name
    try:
        new = NewTopic(
            name, num_partitions=spec.partitions or settings.facts_partitions,
            replication_factor=settings.replication_factor, config=dict(spec.config),
        )  # fmt: skip
        client.create_topics([new], request_timeout=TIMEOUT_S)[name].result()
        for _ in range(100):  # creation is asynchronous in Kafka
            found = client.list_topics(timeout=TIMEOUT_S).topics.get(name)
            if found is not None and found.partitions and all(p.leader >= 0 for p in found.partitions.values()):
                return name
            client.poll(0.1)
    except KafkaException as e:
        if e.args[0].name() == "TOPIC_ALREADY_EXISTS":
            return name
        raise failed(settings.kafka, e, f"Create on topic {name}, which does not exist: a worker creates it") from None
    raise SourceUnreachable(f"topic {name} has no leader 10 s after it was created")


def records(settings: Settings, topics: Iterable[str], since_ms: int | None = None) -> Iterator[Kept]:
    """Records of full topic names, each partition in order; ``since_ms``: only from that time on (epoch ms).

    Raises:
        StateError: a topic does not exist.
        SourceUnreachable: Kafka gave no answer.
    """
    names = list(topics)
    with admin.consumer(settings) as reader:
        spans = admin.spans(reader, names)
        missing = [n for n in names if all(s.topic != n for s in spans)]
        if missing:
            hidden = [n for n, held in Reach(settings.kafka).topics(missing).items() if held is not None and not held]
            if hidden:
                raise lacks(settings.kafka, "; ".join(f"Read on topic {n}" for n in hidden))
            raise StateError(f"topic {missing[0]} does not exist at {settings.kafka.bootstrap}; a worker creates it")
        if since_ms is not None:
            asked = [TopicPartition(s.topic, s.partition, since_ms) for s in spans]
            starts = {(t.topic, t.partition): t.offset for t in reader.offsets_for_times(asked, timeout=TIMEOUT_S)}
            found = [(s, starts.get((s.topic, s.partition), -1)) for s in spans]
            spans = [s._replace(start=max(s.start, o) if o >= 0 else s.end) for s, o in found]
        for message in admin.records(reader, spans):
            yield _kept(message)


def compacted(settings: Settings, topic: str) -> dict[str, Kept]:
    """The newest record of each key of a full topic name; deleted keys are left out.

    Clients hash keys differently, so that one key may stand in two partitions: the newer record counts.

    Raises:
        StateError, SourceUnreachable: as ``records``.
    """
    newest: dict[str, dict[int, Kept]] = {}
    for r in records(settings, [topic]):
        newest.setdefault(r.key, {})[r.partition] = r
    out: dict[str, Kept] = {}
    for key, by_partition in sorted(newest.items()):
        best = max(by_partition.values(), key=lambda r: (r.at_ms, r.partition))
        if best.value is not None:
            also = tuple(p for p, r in sorted(by_partition.items()) if p != best.partition and r.value is not None)
            out[key] = best._replace(also=also)
    return out


def produce(settings: Settings, topic: str, rows: Iterable[Row]) -> int:
    """Send rows to a full topic name and wait until all are stored; returns how many.

    Raises:
        NotAuthorized: this client may not write there.
        SourceUnreachable: not all were acknowledged; says how many were not, and why.
    """
    rows = list(rows)
    try:
        held = Reach(settings.kafka).topics([topic])[topic]
    except SourceUnreachable as e:
        raise SourceUnreachable(f"{len(rows)} of {len(rows)} records were not stored on {topic}: {e}") from None
    if held is not None and "WRITE" not in held:  # an idempotent producer would say that it lacks a right on the cluster
        raise lacks(settings.kafka, f"Write on topic {topic}")
    refused: list[Any] = []
    producer = Producer({
        **settings.kafka.librdkafka(),
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "message.max.bytes": 16 * 1024 * 1024,
        "message.timeout.ms": 30_000,
        "compression.type": "zstd",
        "log_level": 0,
        "error_cb": lambda _: None,  # without one, a fatal error ends in whatever callback runs next
    })  # fmt: skip

    def told(error: Any, _: Message) -> None:
        if error is not None:
            refused.append(error)

    count = 0
    for r in rows:
        partition = -1 if r.partition is None else r.partition  # -1: the partitioner's
        while True:
            try:
                producer.produce(topic, r.value, r.key, partition, headers=list(r.headers.items()), on_delivery=told)
            except BufferError:
                producer.poll(0.1)
            except KafkaException as e:
                refused.append(e.args[0])
                break
            else:
                break
        producer.poll(0)
        count += 1
    left = producer.flush(60)
    if left or refused:
        if refused and refused[0].name().endswith("AUTHORIZATION_FAILED"):
            raise failed(settings.kafka, refused[0], f"Write on topic {topic}")
        why = f": {refused[0].str()}" if refused else ""
        raise SourceUnreachable(f"{left + len(refused)} of {count} records were not stored on {topic}{why}")
    return count


def routed_alerts(settings: Settings, since_ms: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """Alerts that are kept, by incident and revision, each id once; heartbeats and what is no JSON left out.

    Raises:
        StateError, SourceUnreachable: as ``records``.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for r in records(settings, [settings.names.full("routed-alerts")], since_ms):
        try:
            alert = orjson.loads(r.value or b"")
            if alert["type"] != "heartbeat":
                found.setdefault(alert["incident"], {})[alert["id"]] = alert
        except (ValueError, KeyError, TypeError):
            continue
    return {i: sorted(by_id.values(), key=lambda a: int(a.get("revision", 0))) for i, by_id in sorted(found.items())}


def _kept(message: Message) -> Kept:
    key = message.key()
    text = "" if key is None else key if isinstance(key, str) else bytes(key).decode("utf-8", "replace")
    value = message.value()
    headers = {n: v for n, v in dict(message.headers() or ()).items() if isinstance(v, bytes)}
    return Kept(
        message.topic() or "", message.partition() or 0, message.offset() or 0, message.timestamp()[1], text,
        None if value is None else bytes(value) if not isinstance(value, str) else value.encode(), headers,
    )  # fmt: skip
