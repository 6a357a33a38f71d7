"""The few questions a worker asks Kafka outside its consumer: what a topic holds, what a group has committed.

Blocking (confluent-kafka, which never joins the group here): call from a thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.cimpl import Message

from kroute.errors import SourceUnreachable
from kroute.reach import Refusals, failed, metadata
from kroute.settings import Settings

TIMEOUT_S = 30.0


class Span(NamedTuple):
    """Offsets of one partition: the first record's, and the one after the last."""

    topic: str
    partition: int
    start: int
    end: int


class Reader(Consumer):
    """A consumer that is assigned by hand and remembers why it was turned away."""

    def __init__(self, settings: Settings, group: str) -> None:
        self.kafka = settings.kafka
        self._refusals = Refusals()
        super().__init__({
            **settings.kafka.librdkafka(),
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "log_level": 0,
            "error_cb": self._refusals.note,
        })  # fmt: skip

    def metadata(self) -> Any:
        """The cluster's metadata; raises SourceUnreachable."""
        return metadata(self, self.kafka, self._refusals, TIMEOUT_S)


@contextmanager
def consumer(settings: Settings, group: str | None = None) -> Iterator[Reader]:
    """A consumer that is assigned by hand; ``group`` only names whose commits are asked for.

    Raises:
        SourceUnreachable: Kafka gave no answer to what was asked inside.
        NotAuthorized: Kafka does not let this client; names the right.
    """
    name = group or f"{settings.app_id}-reader"
    try:
        out = Reader(settings, name)
    except KafkaException as e:
        raise failed(settings.kafka, e) from None
    try:
        yield out
    except KafkaException as e:
        of_group = e.args[0].name() == "GROUP_AUTHORIZATION_FAILED"
        raise failed(settings.kafka, e, f"Describe on group {name}" if of_group else None) from None
    finally:
        out.close()


def spans(reader: Reader, topics: Iterable[str]) -> list[Span]:
    """Start and end of every partition of ``topics``, by topic and partition."""
    found = reader.metadata().topics
    out: list[Span] = []
    for topic in topics:
        if topic not in found:
            continue
        parts = sorted(found[topic].partitions)
        out += [Span(topic, p, *_watermarks(reader, TopicPartition(topic, p))) for p in parts]
    return out


def _watermarks(reader: Consumer, tp: TopicPartition) -> tuple[int, int]:
    """A partition that was just created, or whose leader moves, is asked again for some seconds."""
    for wait_s in (0.1, 0.2, 0.5, 1, 2, 4):
        try:
            start, end = reader.get_watermark_offsets(tp, timeout=TIMEOUT_S)
        except KafkaException as e:
            if e.args[0].name() not in ("NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PART"):
                raise
            time.sleep(wait_s)
        else:
            return start, end
    start, end = reader.get_watermark_offsets(tp, timeout=TIMEOUT_S)
    return start, end


def records(reader: Consumer, parts: Sequence[Span]) -> Iterator[Message]:
    """All records of ``parts``, each partition in order, up to the ends given.

    Raises:
        SourceUnreachable: nothing came for 30 s.
    """
    ends = {(s.topic, s.partition): s.end for s in parts if s.start < s.end}
    reader.assign([TopicPartition(s.topic, s.partition, s.start) for s in parts if s.start < s.end])
    deadline = time.monotonic() + TIMEOUT_S
    while ends:
        batch = reader.consume(500, 0.05)
        if batch:
            deadline = time.monotonic() + TIMEOUT_S
        elif time.monotonic() > deadline:
            raise SourceUnreachable(f"no record of {', '.join(sorted({t for t, _ in ends}))} came for {TIMEOUT_S:.0f} s")
        for message in batch:
            where = (message.topic() or "", message.partition() or 0)
            offset = message.offset() or 0
            error = message.error()
            if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue  # librdkafka looks for the coordinator of a group that is never joined here
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error, f"Read on topic {where[0]}" if where[0] else None)
            if error is None and offset < ends.get(where, 0):
                yield message
            # The last offsets may have no record (compaction, transaction markers): then the end itself is told.
            if where in ends and offset + (error is None) >= ends[where]:
                del ends[where]
    reader.unassign()
