"""Where messages go: kroute's Kafka, or standard output as recording lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any, Protocol, TextIO

import orjson
from confluent_kafka import KafkaException, Producer

from kroute.collect.lag import QUIET
from kroute.collect.message import Message
from kroute.collect.monitor import Monitor
from kroute.contracts.topics import MAX_INPUT_BYTES, Names
from kroute.reach import Refusals, failed
from kroute.settings import Kafka

log = logging.getLogger(__name__)
FLUSH_S = 10.0


class Sink(Protocol):
    """Takes messages in the order given."""

    def send(self, messages: Iterable[Message]) -> None:
        """Hand over; does not wait for delivery."""

    def close(self) -> int:
        """Wait for what is under way, some seconds at most; the number of messages that were lost."""


class ToKafka:
    """An idempotent producer: messages of one key stay in order, none twice. Blocks only while its queue is full."""

    def __init__(self, kafka: Kafka, names: Names, monitor: Monitor) -> None:
        self._names = names
        self._monitor = monitor
        self._refused: str | None = None
        self._refusals = Refusals()
        self._lost = 0
        self._kafka = kafka
        try:
            self._producer = Producer({
                **kafka.librdkafka(), "client.id": "kroute-collect", "logger": QUIET, "error_cb": self._trouble,
                "enable.idempotence": True, "compression.type": "zstd", "linger.ms": 50, "message.max.bytes": MAX_INPUT_BYTES,
                "queue.buffering.max.kbytes": 256 * 1024, "message.timeout.ms": 60_000,
            })  # fmt: skip
        except KafkaException as e:
            raise failed(kafka, e) from None

    def send(self, messages: Iterable[Message]) -> None:
        """Queue messages; a full queue is waited on for 5 s, then the message counts as lost."""
        for m in messages:
            topic = self._names.full(m.topic)
            until = time.monotonic() + 5
            while True:
                try:
                    self._producer.produce(topic, value=m.value, key=m.key.encode(), on_delivery=self._delivered)
                    break
                except BufferError:
                    if time.monotonic() > until:
                        self._lose(topic, "the producer's queue is full")
                        break
                    self._producer.poll(0.1)
            self._monitor.messages.labels(m.topic).inc()
            self._monitor.message_bytes.labels(m.topic).inc(len(m.value))
        self._producer.poll(0)

    def close(self) -> int:
        """Flush for 10 s."""
        return self._lost + int(self._producer.flush(FLUSH_S))

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            refused = error.name().endswith("AUTHORIZATION_FAILED")
            why = str(failed(self._kafka, error, f"Write on topic {message.topic()}")) if refused else error.str()
            self._lose(message.topic(), why)
        elif self._refused is not None:
            log.info("kroute's Kafka takes messages again")
            self._refused = None

    def _trouble(self, error: Any) -> None:
        """Messages time out a minute later and do not tell why."""
        before = self._refusals.last
        self._refusals.note(error)
        if self._refusals.last is not None and self._refusals.last != before:
            log.error("kroute's Kafka refuses the collector: %s", self._refusals.last)

    def _lose(self, topic: str, why: str) -> None:
        self._lost += 1
        self._monitor.undelivered.labels(self._names.short(topic) or topic).inc()
        if why != self._refused:
            log.error("kroute's Kafka does not take messages for %s: %s", topic, why)
        self._refused = why


class ToLines:
    """Recording lines, as ``kroute replay`` reads them: topic, key, timestamp, value."""

    def __init__(self, out: TextIO, names: Names) -> None:
        self._out = out
        self._names = names

    def send(self, messages: Iterable[Message]) -> None:
        """Write one line each."""
        now = time.time_ns() // 1_000_000
        for m in messages:
            line = {"topic": self._names.full(m.topic), "key": m.key, "timestamp_ms": now, "value": orjson.Fragment(m.value)}
            self._out.write(orjson.dumps(line).decode() + "\n")
        self._out.flush()

    def close(self) -> int:
        """Nothing is under way."""
        return 0
