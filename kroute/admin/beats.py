"""The newest heartbeat of each cluster on ``routed-alerts``, read from outside the workers: the dead-man's switch's other end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
from confluent_kafka import TopicPartition

from kroute.contracts.alerts import HEARTBEAT, Heartbeat
from kroute.errors import StateError
from kroute.settings import Settings
from kroute.stream import admin

LOOK_BACK_MS = 6 * 3_600_000
"""A cluster whose newest heartbeat is older than this is not known any more, unless it is asked for by name."""
_decode = msgspec.json.Decoder(Heartbeat).decode


class Beat(NamedTuple):
    """A cluster's newest heartbeat. ``at``: the event time kroute had reached, RFC 3339, None where there is none;
    ``age_s``: seconds since then, None likewise; ``late``: missing, or older than is allowed."""

    cluster: str
    at: str | None
    age_s: float | None
    late: bool


def judge(found: Iterable[bytes], wanted: Iterable[str], now_ms: int, max_age_s: float) -> list[Beat]:
    """``found``: values of ``routed-alerts``; ``wanted``: clusters that must have a heartbeat.

    How old one is, is told by the event time in it: a kroute that is behind speaks of the past.
    """
    newest: dict[str, str] = {}
    for value in found:
        try:
            beat = _decode(value)
        except msgspec.MsgspecError:
            continue
        if beat.type == "heartbeat":
            newest[beat.cluster] = max(newest.get(beat.cluster, ""), beat.updated_at)
    out = []
    for cluster in sorted({*newest, *wanted}):
        at = newest.get(cluster)
        age = None if at is None else round((now_ms - _epoch_ms(at)) / 1000, 1)
        out.append(Beat(cluster, at, age, age is None or age > max_age_s))
    return out


def read(settings: Settings, now_ms: int) -> Iterator[bytes]:
    """The heartbeats of the last six hours.

    Raises:
        StateError: there is no such topic.
        SourceUnreachable: Kafka gave no answer.
    """
    topic = settings.names.full("routed-alerts")
    with admin.consumer(settings) as reader:
        spans = admin.spans(reader, [topic])
        if not spans:
            raise StateError(f"{topic} does not exist; a worker creates it")
        asked = [TopicPartition(topic, s.partition, now_ms - LOOK_BACK_MS) for s in spans]
        starts = {t.partition: t.offset for t in reader.offsets_for_times(asked, timeout=admin.TIMEOUT_S)}
        late = [s._replace(start=s.end if starts[s.partition] < 0 else max(s.start, starts[s.partition])) for s in spans]
        for m in admin.records(reader, late):
            if (m.key() or b"").startswith(HEARTBEAT.encode()) and m.value() is not None:
                yield m.value() or b""


def text(beats: Iterable[Beat]) -> Iterator[str]:
    """A line for each cluster."""
    for b in beats:
        age = "none in six hours" if b.age_s is None else f"{b.age_s:.0f} s old  {b.at}"
        yield f"{'LATE' if b.late else 'ok':<5} {b.cluster:<24} {age}"


def _epoch_ms(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)
