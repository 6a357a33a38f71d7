"""Short windows of polled values, one ring per source, with the baselines of their series.

A source is one process or connector that is polled. A poll is reduced to features: entity → feature → value. The ring
holds the newest 16 in order of observation; one row is written per poll (its slot), baselines once in eight polls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from kroute.contracts.common import Entity
from kroute.signals import rowkeys
from kroute.signals.baseline import ILL_MS, Base, hour_of_week, median
from kroute.signals.model import DEFAULT_INTERVAL_MS, Rows, stale_after_ms

SLOTS = 16
BATCH = 8
"""Baselines are fed once in this many polls, with polls at least this many back."""
TOLD = "group:"
"""Values of a pseudo entity ``source`` that say which signals a scrape exports of groups at all. (Of topics only those
that fail are followed: of the others nothing is known.)"""
KEEP_BASE_MS = 7 * 86_400_000
"""A labelled entity's baseline is dropped when it has not been fed for this long."""

SourceKey = tuple[str, ...]
"""kind, cluster, and what tells the source from others of its kind."""
Frozen = Callable[[Entity], frozenset[str] | None]
"""None: the entity's baselines are fed; else they are held still, but for what has no usual yet and is not among these."""
Values = dict[Entity, dict[str, float]]


@dataclass(slots=True)
class Poll:
    """One poll of one source. ``got``: bit per part of a split message."""

    at_ms: int
    slot: int
    seq: int
    got: int
    interval_ms: int
    values: Values
    _totals: dict[str, float] | None = None

    @property
    def totals(self) -> dict[str, float]:
        """Sums over all principals, and what labelled signals the poll told of: the values of its pseudo entity ``source``."""
        if self._totals is None:
            self._totals = next((v for e, v in self.values.items() if e.kind == "source"), {})
        return self._totals


@dataclass(slots=True)
class Ring:
    """Polls in order of observation, the newest last; ``down_ms``: newest failed poll since the last good one."""

    polls: list[Poll] = field(default_factory=list)
    seq: int = 0
    down_ms: int | None = None
    fed_ms: int = -1
    base: dict[Entity, dict[str, Base]] = field(default_factory=dict)
    base_at: dict[Entity, int] = field(default_factory=dict)
    hours: dict[int, dict[Entity, dict[str, Base]]] = field(default_factory=dict)

    @property
    def newest(self) -> Poll | None:
        """The newest good poll."""
        return self.polls[-1] if self.polls else None

    @property
    def at_ms(self) -> int:
        """When the source was last read well, -1 when never."""
        return self.polls[-1].at_ms if self.polls else -1

    @property
    def interval_ms(self) -> int:
        """The poll interval that the source states, else the one learnt from its last gaps."""
        if self.polls and self.polls[-1].interval_ms:
            return self.polls[-1].interval_ms
        return learnt_interval([p.at_ms for p in self.polls[-4:]])

    def entities(self) -> dict[Entity, None]:
        """Every entity that a poll of the ring mentions."""
        out: dict[Entity, None] = {}
        for p in self.polls:
            out.update(dict.fromkeys(p.values))
        return out

    def fresh(self, now_ms: int) -> bool:
        """True when the newest poll was good and is not too old to tell the present."""
        if not self.polls or (self.down_ms is not None and self.down_ms > self.at_ms):
            return False
        return now_ms - self.at_ms <= stale_after_ms(self.interval_ms)


def learnt_interval(times: list[int]) -> int:
    """Median gap of the last polls, rounded so that jitter does not change it (ms)."""
    gaps = [b - a for a, b in pairwise(times)]
    if not gaps:
        return DEFAULT_INTERVAL_MS
    gap = median(gaps)
    step = 5_000 if gap >= 10_000 else 1_000
    return max(1_000, int(gap + step // 2) // step * step)


class _PollRow(msgspec.Struct, array_like=True):
    at_ms: int
    seq: int
    got: int | bytes
    interval_ms: int
    values: list[tuple[Entity, dict[str, float]]]


class _BaseRow(msgspec.Struct, array_like=True):
    fed_ms: int
    entries: list[tuple[Entity, int, dict[str, Base]]]


_POLL = msgspec.msgpack.Decoder(_PollRow)
_BASE = msgspec.msgpack.Decoder(_BaseRow)
_HOUR = msgspec.msgpack.Decoder(list[tuple[Entity, dict[str, Base]]])


class RingStore:
    """All rings of one reporter. Rows: ``poll|source…|slot``, ``base|…``, ``hour|…|h``, ``down|…`` in ``table``.

    ``hourly`` names the features that also have a baseline per hour of week.
    """

    def __init__(self, rows: Rows, table: str, hourly: frozenset[str]) -> None:
        self._rows = rows
        self._table = table
        self._hourly = hourly
        self.rings: dict[SourceKey, Ring] = {}
        self.sources: dict[Entity, dict[SourceKey, None]] = {}
        """Entity → sources whose ring mentions it."""

    def insert(
        self, key: SourceKey, at_ms: int, interval_ms: int | None, values: Values, frozen: Frozen,
        part: int = 0,
    ) -> list[Entity]:  # fmt: skip
        """Put a good poll in its place; returns the entities whose series changed (none for a duplicate or a poll
        older than the ring). Entities that the ring mentions no more are among them."""
        ring = self.rings.setdefault(key, Ring())
        before = ring.entities()
        same = next((p for p in ring.polls if p.at_ms == at_ms), None)
        if same is not None:
            if same.got >> part & 1:
                return []
            same.got |= 1 << part
            same._totals = None
            for entity, features in values.items():
                mine = same.values.setdefault(entity, {})
                for name, value in features.items():
                    mine[name] = max(value, mine.get(name, value))
            self._write_poll(key, same)
        else:
            if len(ring.polls) == SLOTS and at_ms < ring.polls[0].at_ms:
                return []
            slot = ring.polls.pop(0).slot if len(ring.polls) == SLOTS else len(ring.polls)
            ring.seq += 1
            poll = Poll(at_ms, slot, ring.seq, 1 << part, interval_ms or 0, values)
            ring.polls.append(poll)
            ring.polls.sort(key=lambda p: p.at_ms)
            self._write_poll(key, poll)
            if ring.seq % BATCH == 0:
                self._feed(key, ring, frozen)
        if ring.down_ms is not None and ring.down_ms <= ring.at_ms:
            ring.down_ms = None
            self._rows.drop(self._table, rowkeys.join("down", *key))
        now = ring.entities()
        for entity in now:
            self.sources.setdefault(entity, {})[key] = None
        self._unlink(key, [e for e in before if e not in now])
        return sorted(now | before)

    def failed(self, key: SourceKey, at_ms: int) -> list[Entity]:
        """A poll that failed: what the source would have told is not observed. Entities concerned, sorted."""
        ring = self.rings.get(key)
        if ring is None or at_ms <= max(ring.at_ms, ring.down_ms or -1):
            return []
        ring.down_ms = at_ms
        self._rows.put(self._table, rowkeys.join("down", *key), msgspec.msgpack.encode(at_ms))
        return sorted(ring.entities())

    def forget(self, key: SourceKey) -> list[Entity]:
        """The source is no more: drop its rows. Entities that nothing else mentions, sorted."""
        ring = self.rings.pop(key, None)
        if ring is None:
            return []
        for p in ring.polls:
            self._rows.drop(self._table, rowkeys.join("poll", *key, str(p.slot)))
        for hour in sorted(ring.hours):
            self._rows.drop(self._table, rowkeys.join("hour", *key, str(hour)))
        if ring.fed_ms >= 0:
            self._rows.drop(self._table, rowkeys.join("base", *key))
        if ring.down_ms is not None:
            self._rows.drop(self._table, rowkeys.join("down", *key))
        return self._unlink(key, sorted(ring.entities()))

    def _unlink(self, key: SourceKey, entities: list[Entity]) -> list[Entity]:
        """These entities are not of this source any more; returns those that are of none."""
        gone = []
        for entity in entities:
            del self.sources[entity][key]
            if not self.sources[entity]:
                del self.sources[entity]
                gone.append(entity)
        return gone

    def _feed(self, key: SourceKey, ring: Ring, frozen: Frozen) -> None:
        """Feed the polls that are old enough and were not fed yet."""
        batch = [p for p in ring.polls[:-BATCH] if p.at_ms > ring.fed_ms]
        if not batch:
            return
        ring.fed_ms = batch[-1].at_ms
        series: dict[Entity, dict[str, list[float]]] = {}
        hourly: dict[int, dict[Entity, dict[str, list[float]]]] = {}
        for p in batch:
            for entity, values in p.values.items():
                for name, value in values.items():
                    if entity.kind == "source" and not name.startswith(TOLD):
                        continue  # totals have no usual of their own; for how long a signal is told does count
                    series.setdefault(entity, {}).setdefault(name, []).append(value)
                    if name in self._hourly:
                        by_hour = hourly.setdefault(hour_of_week(p.at_ms), {})
                        by_hour.setdefault(entity, {}).setdefault(name, []).append(value)
        still = {e: about for e in series if (about := frozen(e)) is not None}
        for entity, features in series.items():
            if entity not in still:
                _apply(ring.base.setdefault(entity, {}), features)
                ring.base_at[entity] = ring.fed_ms
                continue
            bases = ring.base.get(entity, {})
            learnt = {n: v for n, v in features.items() if n not in still[entity] and not bases.get(n, Base()).enough}
            if learnt:
                worth = -(-len(batch) * ring.interval_ms // ILL_MS)
                _apply(ring.base.setdefault(entity, {}), learnt, worth)
                ring.base_at[entity] = ring.fed_ms
        for entity in [e for e, at in ring.base_at.items() if at < ring.fed_ms - KEEP_BASE_MS and e not in series]:
            del ring.base[entity], ring.base_at[entity]
        entries = [(e, ring.base_at[e], ring.base[e]) for e in sorted(ring.base)]
        self._rows.put(self._table, rowkeys.join("base", *key), msgspec.msgpack.encode(_BaseRow(ring.fed_ms, entries)))
        for hour, of_hour in hourly.items():
            kept = ring.hours.setdefault(hour, {})
            for entity, features in of_hour.items():
                if entity not in still:
                    _apply(kept.setdefault(entity, {}), features)
            packed = msgspec.msgpack.encode([(e, kept[e]) for e in sorted(kept)])
            self._rows.put(self._table, rowkeys.join("hour", *key, str(hour)), packed)

    def _write_poll(self, key: SourceKey, p: Poll) -> None:
        # A message of more than 63 parts has more bits than an integer of MessagePack.
        got = p.got if p.got < 1 << 63 else p.got.to_bytes(p.got.bit_length() // 8 + 1, "little")
        row = _PollRow(p.at_ms, p.seq, got, p.interval_ms, list(p.values.items()))
        self._rows.put(self._table, rowkeys.join("poll", *key, str(p.slot)), msgspec.msgpack.encode(row))

    def load(self, key: str, value: bytes) -> bool:
        """One row at recovery; False when it is not one of a ring."""
        kind, *rest = rowkeys.split(key)
        if kind == "poll":
            r = _POLL.decode(value)
            source, slot = tuple(rest[:-1]), int(rest[-1])
            got = r.got if isinstance(r.got, int) else int.from_bytes(r.got, "little")
            self._ring(source).polls.append(Poll(r.at_ms, slot, r.seq, got, r.interval_ms, dict(r.values)))
        elif kind == "base":
            b = _BASE.decode(value)
            ring = self._ring(tuple(rest))
            ring.fed_ms = b.fed_ms
            ring.base = {e: features for e, _, features in b.entries}
            ring.base_at = {e: at for e, at, _ in b.entries}
        elif kind == "hour":
            self._ring(tuple(rest[:-1])).hours[int(rest[-1])] = dict(_HOUR.decode(value))
        elif kind == "down":
            self._ring(tuple(rest)).down_ms = msgspec.msgpack.decode(value, type=int)
        else:
            return False
        return True

    def loaded(self) -> None:
        """All rows are in: put polls in order and rebuild what hangs on them."""
        for key in sorted(self.rings):
            ring = self.rings[key]
            ring.polls.sort(key=lambda p: p.at_ms)
            ring.seq = max((p.seq for p in ring.polls), default=0)
            for p in ring.polls:
                for entity in p.values:
                    self.sources.setdefault(entity, {})[key] = None

    def _ring(self, key: SourceKey) -> Ring:
        return self.rings.setdefault(key, Ring())


def _apply(bases: dict[str, Base], features: dict[str, list[float]], worth: int | None = None) -> None:
    for name, values in features.items():
        bases[name] = bases.get(name, Base()).fed(values, worth)
