"""Dumps facts as a recording that ``kroute replay`` takes, with a snapshot of the tables where it begins in mid-log.

A snapshot at facts offset X is exact: each changelog record carries the facts offset of its unit, a row of the
snapshot is the newest version up to X, and the unit X itself is taken from its journal row. Changelogs keep every
version of the last ten minutes, so X may lie that far back.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import msgspec
import orjson
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.cimpl import Message

from kroute.contracts.facts import Envelope
from kroute.contracts.topics import TABLES
from kroute.errors import ConfigError, StateError
from kroute.settings import Settings
from kroute.stream import admin, journal
from kroute.stream.changelog import OFFSET_HEADER, changelog, engine_key

KEPT_MS = 10 * 60_000
"""How long the changelogs keep every version (their ``min.compaction.lag.ms``)."""
_is_envelope = msgspec.json.Decoder(Envelope).decode


class Version(NamedTuple):
    """One changelog record: engine key, value (None deletes), facts offset of its unit, time written (epoch ms)."""

    key: str
    value: bytes | None
    unit: int
    ts: int


class Snapshot(NamedTuple):
    """All rows of one facts partition, (table, key) → value, after the unit at facts offset ``offset``."""

    partition: int
    offset: int
    rows: dict[tuple[str, str], bytes]


def snapshot(partition: int, journaled: list[Version], tables: Callable[[str], Iterator[Version]], at_ms: int) -> Snapshot | None:
    """The snapshot at the newest unit written up to ``at_ms``, else at the oldest unit the journal still holds.

    ``journaled``: the journal's changelog in log order; ``tables`` reads another table's. None: nothing was applied.
    """
    heads = [v for v in journaled if v.key == journal.HEAD_KEY and v.value is not None]
    if not heads:
        return None
    x0 = next((v.unit for v in reversed(heads) if v.ts <= at_ms), heads[0].unit)
    # Later versions of the parts belong to later units; the head's parts are those with its own offset.
    unit = journal.decode({v.key: v.value for v in journaled if v.unit == x0 and v.value is not None})
    assert unit is not None
    rows: dict[tuple[str, str], bytes | None] = {}
    for table in TABLES:
        if table != "journal":
            rows.update({(table, v.key): v.value for v in tables(table) if v.unit <= x0})
    rows.update(unit.rows)
    return Snapshot(partition, x0, {where: value for where, value in sorted(rows.items()) if value is not None})


def record(
    settings: Settings, *, since_ms: int | None, now_ms: int, until_end: bool, write: Callable[[bytes], object],
    say: Callable[[str], object],
) -> None:  # fmt: skip
    """Write recording lines: snapshots first, then facts; each partition in order, partitions merged by time.

    ``since_ms``: begin near this time (epoch ms); None: from the first record, or, where that is deleted, from as
    far back as a snapshot can be had. Without ``until_end`` it goes on until interrupted.

    Raises:
        ConfigError: ``since_ms`` lies further back than the changelogs keep versions.
        StateError: no snapshot can be had.
        SourceUnreachable: Kafka gave no answer.
    """
    if since_ms is not None and since_ms < now_ms - KEPT_MS:
        raise ConfigError(f"--since reaches back {KEPT_MS // 60_000} minutes at most; a log that is whole needs no --since")
    topic = settings.names.full("facts")
    with ExitStack() as stack:
        reader = stack.enter_context(admin.consumer(settings))
        spans = admin.spans(reader, [topic])
        if not spans:
            raise StateError(f"{topic} does not exist; a worker creates it")
        starts = {}
        for span in spans:
            starts[span.partition] = span.start
            if span.start > 0 or since_ms is not None:
                at_ms = now_ms - KEPT_MS * 9 // 10 if since_ms is None else since_ms
                shot = _snapshot(settings, reader, span.partition, at_ms)
                if shot is None and span.start == 0:
                    continue  # nothing was applied: the whole log is the recording
                if shot is None or shot.offset + 1 < span.start:
                    raise StateError(
                        f"{topic}[{span.partition}] begins at {span.start} and the state is at "
                        f"{'no offset' if shot is None else shot.offset}: what lies between is gone. Start the workers first"
                    )
                for line in snapshot_lines(settings, shot):
                    write(line)
                starts[span.partition] = shot.offset + 1
                say(f"{topic}[{span.partition}]: {len(shot.rows)} rows as of offset {shot.offset}")
        parts = [s._replace(start=starts[s.partition]) for s in spans]
        streams = [admin.records(stack.enter_context(admin.consumer(settings)), [p]) for p in parts]
        for message in heapq.merge(*streams, key=lambda m: m.timestamp()[1]):
            write(fact_line(message))
        if not until_end:
            for message in _follow(reader, parts):
                write(fact_line(message))


def snapshot_lines(settings: Settings, shot: Snapshot) -> Iterator[bytes]:
    """Lines of a snapshot, newline included."""
    for (table, key), value in shot.rows.items():
        yield orjson.dumps(
            {
                "topic": changelog(settings, table),
                "table": table,
                "partition": shot.partition,
                "offset": shot.offset,
                "key": key,
                "value_b64": base64.b64encode(value).decode(),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )


def fact_line(message: Message) -> bytes:
    """The line of one record of facts, newline included. What is no envelope was passed over: it becomes an empty one."""
    value = message.value() or b""
    key = message.key()
    try:
        _is_envelope(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = b'{"facts":[]}'
    return orjson.dumps(
        {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "key": None if key is None else bytes(key).decode("utf-8", "replace"),
            "timestamp_ms": message.timestamp()[1],
            # A raw newline in JSON can only be white space between tokens.
            "value": orjson.Fragment(value.replace(b"\n", b" ").replace(b"\r", b" ")),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def _snapshot(settings: Settings, reader: admin.Reader, partition: int, at_ms: int) -> Snapshot | None:
    def versions(table: str) -> Iterator[Version]:
        spans = admin.spans(reader, [changelog(settings, table)])
        for m in admin.records(reader, [s for s in spans if s.partition == partition]):
            header = dict(m.headers() or ()).get(OFFSET_HEADER)
            unit = int.from_bytes(header, "big", signed=True) if isinstance(header, bytes) else 0
            yield Version(engine_key(bytes(m.key() or b"")), m.value(), unit, m.timestamp()[1])

    return snapshot(partition, list(versions("journal")), versions, at_ms)


def _follow(reader: admin.Reader, parts: list[admin.Span]) -> Iterator[Message]:
    reader.assign([TopicPartition(p.topic, p.partition, max(p.start, p.end)) for p in parts])
    while True:
        message = reader.poll(1.0)
        if message is None:
            continue
        error = message.error()
        if error is None:
            yield message
        elif error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
