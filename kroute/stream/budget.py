"""How much one source may say, and who waits when more comes than can be worked off. Pure; time is Kafka's append time.

Two things thin a source's polls to the pace kroute is planned for, one per entity and 30 s, and never below it:

- the source is *over its budget*: one that floods costs itself, not the others. Its domain is told (``Flood``), so that
  an incident names it;
- facts are *behind*: then each second of event time must cost less, or all that is told comes late. Polls of what an
  objective at stake hangs on are kept whole; those of all else are thinned.

A thinned poll says that it comes each 30 s, so that nothing takes the polls in between for missing. Offsets and states are
snapshots: what a slower collector would have shown is still shown. State inputs (ownership, policy, …) are never thinned.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from msgspec import Struct

from kroute.contracts.common import Entity
from kroute.contracts.facts import Flood
from kroute.contracts.inputs import BrokerMetrics, ConnectorStatus, ConsumerLag, Source, worker_name
from kroute.signals.model import DEFAULT_INTERVAL_MS
from kroute.signals.telemetry import Polled, source_name

PACE_MS = DEFAULT_INTERVAL_MS
"""The pace that thinned polls keep, per entity: the one kroute is planned for."""
URGENT_PACE_MS = 5_000
"""The pace of an entity that an objective at stake hangs on, where its source floods."""
DEPTH_S = 60
"""A source may send this many seconds of its budget at once: a collector that was cut off sends what it kept."""
RECORD_BYTES = 2048
"""A record counts as its bytes and this: a small one costs the engine too."""
ENTITY_BYTES = 4096
"""And an entity that was not heard before counts as this: it takes memory."""
MAX_ENTITIES = 50_000
"""More entities than this of one source within an hour are a flood; more are not taken."""
NEWCOMERS_S = 10
"""Entities not heard before that a source over its budget may still bring, each second."""
FORGET_MS = 3_600_000
TELL_MS = 10_000


def mark(entity: Entity) -> str:
    """A short name for an entity, for lists that have to be small."""
    return format(zlib.crc32(f"{entity.kind}|{entity.cluster}|{entity.name}".encode()), "08x")


class Poll(NamedTuple):
    """Who a message is from and about: its source's public name, and the entity that was polled."""

    cluster: str
    source: str
    entity: Entity
    observed_ms: int
    interval_ms: int
    part: int


def poll_of(m: Polled) -> Poll:
    """The poll a message is (a part of)."""
    source = source_name(m)
    if isinstance(m, ConsumerLag):
        kind, name = "group", m.group
    elif isinstance(m, ConnectorStatus):
        kind, name = "connector", f"{m.connect}/{m.connector}"
    elif isinstance(m, BrokerMetrics):
        kind, name = m.source.kind, _scraped(m.source)
    else:
        kind, name = "source", source
    return _poll(m, source, kind, name)


def _poll(m: Polled | _Peek, source: str, kind: str, name: str) -> Poll:
    return Poll(m.cluster, source, Entity(kind, m.cluster, name), m.observed_at_ms, m.interval_ms or 0, m.part)


def _scraped(source: Source | _PeekSource) -> str:
    return worker_name(source.connect, source.id) if source.connect else source.id


class _PeekSource(Struct):
    kind: str
    id: str
    connect: str | None = None


class _Peek(Struct):
    """What tells whose poll a signal is, without reading the rest of it."""

    cluster: str
    observed_at_ms: int
    interval_ms: int | None = None
    part: int = 0
    group: str | None = None
    connect: str | None = None
    connector: str | None = None
    source: _PeekSource | None = None


_PEEK = msgspec.json.Decoder(_Peek)


def peek(short: str, value: bytes) -> Poll | None:
    """The poll a record of an input topic is, read as cheaply as can be; None where that fails: then it is decoded in full."""
    try:
        m = _PEEK.decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    if short == "consumer-lag" and m.group is not None:
        return _poll(m, short, "group", m.group)
    if short == "connector-status" and m.connect is not None and m.connector is not None:
        return _poll(m, f"{short}/{m.connect}", "connector", f"{m.connect}/{m.connector}")
    if short == "broker-metrics" and m.source is not None:
        name = _scraped(m.source)
        return _poll(m, f"{short}/{m.source.kind}/{name}", m.source.kind, name)
    return None


class _Stream(Struct, gc=False):
    """Polls of one entity: append time of the newest heard and of the newest kept poll, and which parts of that."""

    heard_ms: int
    kept_ms: int
    observed_ms: int
    parts: int

    def lacks(self, poll: Poll) -> bool:
        """True for a part of the newest kept poll that did not come yet."""
        return poll.observed_ms == self.observed_ms and not self.parts & _bit(poll)


def _bit(poll: Poll) -> int:
    return 1 << min(poll.part, 4096)


class _Source(Struct):
    """``level``: what it sent beyond its budget, in bytes, at append time ``at_ms``; the rest is for telling."""

    domain: str
    cluster: str
    name: str
    at_ms: int
    level: float = 0.0
    over: bool = False
    since_ms: int = 0
    newcomers: float = 10.0 * NEWCOMERS_S
    streams: dict[tuple[str, str], _Stream] = {}
    left_out: int = 0
    sent_bytes: int = 0
    sent_records: int = 0
    told_ms: int = 0
    must_tell: bool = False


class Budget:
    """Decides about each poll. ``urgent``: marks of entities that an objective at stake hangs on."""

    def __init__(self, bytes_s: int) -> None:
        self._rate = bytes_s / 1000
        self._depth = float(bytes_s * DEPTH_S)
        self._bytes_s = bytes_s
        self._sources: dict[tuple[str, str], _Source] = {}
        self._purged_ms = 0
        self.urgent: frozenset[str] = frozenset()

    def admit(self, poll: Poll, size: int, ts: int, domain: str, *, behind: bool) -> int | None:
        """None: left out. 0: forwarded as it is. Else forwarded, saying that this is its interval (ms).

        ``size``: bytes of the record; ``ts``: its append time (epoch ms); ``behind``: facts of its domain are.
        """
        s = self._source(poll, ts, domain)
        where = (poll.entity.kind, poll.entity.name)
        stream = s.streams.get(where)
        s.sent_bytes += size
        s.sent_records += 1
        s.level = min(s.level + size + RECORD_BYTES + (ENTITY_BYTES if stream is None else 0), 2 * self._depth)
        crowded = stream is None and len(s.streams) >= MAX_ENTITIES
        self._judge(s, ts, crowded=crowded)
        pace = 0
        if s.over or behind:
            pace = self._pace(poll, URGENT_PACE_MS if s.over else 0)
        if stream is None:
            if s.over and (crowded or s.newcomers < 1):
                s.left_out += 1
                return None
            s.newcomers -= s.over
            s.streams[where] = _Stream(ts, ts, poll.observed_ms, _bit(poll))
            return max(pace, poll.interval_ms) if pace else 0
        stream.heard_ms = ts
        part = stream.lacks(poll)
        if pace and not part and ts < stream.kept_ms + pace:
            s.left_out += 1
            return None
        stream.parts = (stream.parts if part else 0) | _bit(poll)
        if not part:
            stream.kept_ms, stream.observed_ms = ts, poll.observed_ms
        return max(pace, poll.interval_ms) if pace else 0

    def leaves_out(self, poll: Poll, size: int, ts: int) -> bool:
        """Whether a poll of a source over its budget comes too soon after the last; counted when it does, else not.

        Told before the record is decoded: of a flood, nothing but this is done for most.
        """
        s = self._sources.get((poll.cluster, poll.source))
        stream = None if s is None else s.streams.get((poll.entity.kind, poll.entity.name))
        if s is None or stream is None or not s.over:
            return False
        if ts >= stream.kept_ms + self._pace(poll, URGENT_PACE_MS) or stream.lacks(poll):
            return False
        return self.admit(poll, size, ts, s.domain, behind=False) is None

    def _pace(self, poll: Poll, urgent_ms: int) -> int:
        """The pace that an entity is thinned to; ``urgent_ms``: of one that an objective at stake hangs on."""
        return urgent_ms if mark(poll.entity) in self.urgent else PACE_MS

    @property
    def any_over(self) -> bool:
        """Whether any source is over its budget."""
        return any(s.over for s in self._sources.values())

    def floods(self, now_ms: int) -> Iterator[tuple[str, Flood]]:
        """What is to be told of sources over their budget, with their domain: each 10 s, and once when it is over."""
        for s in self._sources.values():
            self._drain(s, now_ms)
            self._judge(s, now_ms)
            if s.must_tell or (s.over and now_ms - s.told_ms >= TELL_MS):
                seconds = max(now_ms - s.told_ms if s.told_ms else now_ms - s.since_ms, 1000) / 1000
                yield s.domain, Flood(
                    cluster=s.cluster, source=s.name, over=s.over, since_ms=s.since_ms, left_out=s.left_out,
                    bytes_s=round(s.sent_bytes / seconds), records_s=round(s.sent_records / seconds, 1), budget=self._bytes_s,
                )  # fmt: skip
                s.must_tell = False
            if now_ms - s.told_ms >= TELL_MS:
                s.told_ms, s.sent_bytes, s.sent_records = now_ms, 0, 0
        if now_ms - self._purged_ms > 60_000:
            self._purged_ms = now_ms
            self._purge(now_ms - FORGET_MS)

    @property
    def entities(self) -> int:
        """How many entities are remembered."""
        return sum(len(s.streams) for s in self._sources.values())

    def over(self) -> Iterator[tuple[str, str, bool]]:
        """(cluster, source, whether it is over its budget) of each source heard lately."""
        for s in self._sources.values():
            yield s.cluster, s.name, s.over

    def _source(self, poll: Poll, ts: int, domain: str) -> _Source:
        key = (poll.cluster, poll.source)
        s = self._sources.get(key)
        if s is None:
            s = self._sources[key] = _Source(domain, poll.cluster, poll.source, at_ms=ts)
        s.domain = domain
        self._drain(s, ts)
        return s

    def _drain(self, s: _Source, ts: int) -> None:
        if ts > s.at_ms:
            s.level = max(0.0, s.level - (ts - s.at_ms) * self._rate)
            s.newcomers = min(s.newcomers + (ts - s.at_ms) * NEWCOMERS_S / 1000, 10.0 * NEWCOMERS_S)
            s.at_ms = ts

    def _judge(self, s: _Source, ts: int, *, crowded: bool = False) -> None:
        if crowded:
            s.level = max(s.level, self._depth)
        if not s.over and (s.level > self._depth or crowded):
            s.over, s.since_ms, s.left_out, s.must_tell = True, ts, 0, True
        elif s.over and s.level < self._depth / 2:
            s.over, s.must_tell = False, True

    def _purge(self, before_ms: int) -> None:
        for key in list(self._sources):
            s = self._sources[key]
            s.streams = {k: v for k, v in s.streams.items() if v.heard_ms > before_ms}
            if not s.streams and not s.over and not s.must_tell and s.at_ms < before_ms:
                del self._sources[key]


class Note(NamedTuple):
    """What a worker writes beside the committed offset of a facts partition, for the ingest of every worker.

    ``at_ms``: append time of the newest durable facts record; ``marks``: entities that an objective at stake hangs on.
    """

    at_ms: int
    marks: tuple[str, ...] = ()


MAX_MARKS = 440
"""So many fit a note: Kafka takes 4,096 bytes of metadata with a committed offset (``offset.metadata.max.bytes``)."""


def write_note(at_ms: int, entities: Iterable[Entity]) -> str:
    """The metadata of a committed offset; entities beyond what fits are left out, so the worst come first."""
    return ",".join([str(at_ms), *list(dict.fromkeys(mark(e) for e in entities))[:MAX_MARKS]])


def read_note(text: str) -> Note | None:
    """The inverse; None where it is no note (a worker of an older version, another client)."""
    at, *marks = text.split(",")
    return Note(int(at), tuple(marks)) if at.isdecimal() else None


BEHIND_MS = 60_000
CAUGHT_UP_MS = 15_000


class Pressure:
    """Which facts partitions are behind, from the notes: over 60 s, until it is under 15 s again."""

    def __init__(self) -> None:
        self.behind: frozenset[int] = frozenset()

    def see(self, notes: dict[int, Note], now_ms: int) -> frozenset[str]:
        """Take the newest notes by partition; the marks of all."""
        self.behind = frozenset(
            p for p, note in notes.items() if now_ms - note.at_ms > (CAUGHT_UP_MS if p in self.behind else BEHIND_MS)
        )
        return frozenset(m for note in notes.values() for m in note.marks)
