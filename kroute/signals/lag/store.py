"""Rows of table ``consumer_lag``: packed, one per poll and group, one per history point, others only when they change.

Keys: ``g|cluster|group|s<slot>`` a poll, ``…|m`` columns and members, ``…|a`` log starts, leaders and former positions,
``…|d`` a failed poll, ``…|p<time>-<part>`` a part that waits for its siblings, ``…|x`` a group that is gone;
``t|cluster|topic|p<slot>`` a point of its log ends. A value above ``CHUNK`` bytes goes on under ``<key>.1``, ….
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from kroute.contracts.common import Entity
from kroute.contracts.inputs import Member
from kroute.errors import StateError
from kroute.signals import rowkeys
from kroute.signals.lag.group import Group, GroupHead
from kroute.signals.lag.ring import Poll
from kroute.signals.lag.topic import TopicHead, TopicWindow
from kroute.signals.lag.view import Usual
from kroute.signals.model import Rows

TABLE = "consumer_lag"
CHUNK = 192 * 1024
_ENCODE = msgspec.msgpack.Encoder().encode


class PollRow(msgspec.Struct, array_like=True):
    """A poll as stored. ``lag`` is stable end − committed, 4 bytes each where it fits; ``gap`` empty when all are 0."""

    head: GroupHead
    poll: Poll
    committed: bytes
    lag: bytes
    gap: bytes


class MetaRow(msgspec.Struct, array_like=True):
    """Columns as topic → partition ids, and the newest members with an assignment."""

    columns: list[tuple[str, list[int]]]
    members: tuple[Member, ...] | None


class PointRow(msgspec.Struct, array_like=True):
    """A point of a topic's history; the head is the topic's at that write."""

    head: TopicHead
    t: int
    ends: bytes


_POLL = msgspec.msgpack.Decoder(PollRow)
_META = msgspec.msgpack.Decoder(MetaRow)
_POINT = msgspec.msgpack.Decoder(PointRow)


def group_key(e: Entity) -> str:
    """Prefix of a group's rows."""
    return rowkeys.join("g", e.cluster, e.name) + "|"


def topic_key(e: Entity, kind: str = "t") -> str:
    """Prefix of a topic's rows; ``kind`` is ``u`` for one that no group reads."""
    return rowkeys.join(kind, e.cluster, e.name) + "|"


def put(rows: Rows, key: str, value: bytes, chunks: dict[str, int] | None = None) -> None:
    """Write a row; one that is too large is cut. ``chunks`` remembers how many pieces a key ever had."""
    if len(value) < CHUNK:
        rows.put(TABLE, key, b"\x01" + value)
        return
    pieces = [value[i : i + CHUNK] for i in range(0, len(value), CHUNK)]
    rows.put(TABLE, key, bytes([len(pieces)]) + pieces[0])
    for i, piece in enumerate(pieces[1:], 1):
        rows.put(TABLE, f"{key}.{i}", piece)
    if chunks is not None:
        name = key.rpartition("|")[2]
        chunks[name] = max(chunks.get(name, 1), len(pieces))


def joined(values: dict[str, bytes], name: str) -> bytes:
    """A row's value from its pieces."""
    first = values[name]
    try:
        return first[1:] + b"".join(values[f"{name}.{i}"] for i in range(1, first[0]))
    except KeyError as e:
        raise StateError(f"{TABLE}: row {name} lacks its piece {e}; restore the table from its changelog") from None


def poll_rows(rows: Rows, g: Group, positions: Iterable[int]) -> None:
    """Write polls at these positions."""
    head, ring = g.head, g.ring
    head.usual = g.usual.pack()
    head.holes, head.gaps = ring.holes, ring.gaps
    prefix = group_key(g.entity)
    for i in positions:
        c, poll = ring.committed[i], ring.polls[i]
        lag = ring.stable[i] - c
        small = lag.astype(np.int32)
        packed = lag.tobytes() if np.count_nonzero(small != lag) else small.tobytes()
        gap = ring.gap[i].tobytes() if ring.gaps and ring.gap[i].any() else b""
        put(rows, f"{prefix}s{poll.slot}", _ENCODE(PollRow(head, poll, c.tobytes(), packed, gap)), g.chunks)


def meta_row(rows: Rows, g: Group) -> None:
    """Write columns and members."""
    ring = g.ring
    columns = [(t, ring.ids[ring.slices[t]].tolist()) for t in ring.topics]
    put(rows, group_key(g.entity) + "m", _ENCODE(MetaRow(columns, g.members)), g.chunks)


def aux_row(rows: Rows, g: Group) -> None:
    """Write log starts, leaders and former positions."""
    r = g.ring
    value = [r.start.tobytes(), r.leader.tobytes(), r.high.tobytes() if r.high.any() else b""]
    put(rows, group_key(g.entity) + "a", _ENCODE(value), g.chunks)


def drop_group(rows: Rows, g: Group) -> None:
    """Delete all rows of a group."""
    prefix = group_key(g.entity)
    names = [f"s{p.slot}" for p in g.ring.polls]
    names += ["m", "a"] if g.ring.polls else []
    names += ["d"] if g.down_ms else []
    names += [f"p{t}-{part}" for t, parts in g.pending.items() for part in parts]
    for name in names:
        rows.drop(TABLE, prefix + name)
        for i in range(1, g.chunks.get(name, 1)):
            rows.drop(TABLE, f"{prefix}{name}.{i}")


def part_row(rows: Rows, g: Group, t: int, part: int, value: bytes) -> None:
    """Write a part that waits for its siblings."""
    put(rows, f"{group_key(g.entity)}p{t}-{part}", value, g.chunks)


def drop_part(rows: Rows, g: Group, t: int, part: int) -> None:
    """Delete a part's row."""
    key = f"{group_key(g.entity)}p{t}-{part}"
    rows.drop(TABLE, key)
    for i in range(1, g.chunks.pop(f"p{t}-{part}", 1)):
        rows.drop(TABLE, f"{key}.{i}")


def load_group(g: Group, values: dict[str, bytes]) -> None:
    """Rebuild a group from its rows by name (``s0``, ``m``, …)."""
    for name in sorted(values):
        if name == "d":
            g.down_ms = int(values[name])
        elif "." in name:
            base = name.partition(".")[0]
            g.chunks[base] = max(g.chunks.get(base, 1), int(name.partition(".")[2]) + 1)
        elif name[0] == "p":
            t, _, part = name[1:].partition("-")
            g.pending.setdefault(int(t), {})[int(part)] = joined(values, name)
    ring = g.ring
    if "m" in values:  # a group that has neither committed nor been assigned anything needs none
        meta = _META.decode(joined(values, "m"))
        ring.set_columns(meta.columns)
        g.members = meta.members
    found = [_POLL.decode(joined(values, n)) for n in sorted(values) if n[0] == "s" and "." not in n]
    found.sort(key=lambda r: r.poll.t)
    for i, r in enumerate(found):
        ring.polls.append(r.poll)
        c = np.frombuffer(r.committed, np.int64)
        if len(c) != ring.width:
            raise StateError(f"{TABLE}: {g.entity} has {ring.width} columns, a poll has {len(c)}")
        ring.committed[i] = c
        small = len(r.lag) == 4 * len(c)
        lag = np.frombuffer(r.lag, np.int32).astype(np.int64) if small else np.frombuffer(r.lag, np.int64)
        ring.stable[i] = c + lag
        if r.gap:
            ring.open_gaps()
            ring.gap[i] = np.frombuffer(r.gap, np.int64)
    if found:
        g.head = max(found, key=lambda r: r.head.seq).head
        ring.holes = g.head.holes
        if g.head.gaps:
            ring.open_gaps()
        g.usual = Usual(*g.head.usual)
    if "a" in values:
        start, leader, high = msgspec.msgpack.decode(joined(values, "a"), type=tuple[bytes, bytes, bytes])
        ring.start = np.frombuffer(start, np.int64).copy()
        ring.leader = np.frombuffer(leader, np.int32).copy()
        if high:
            ring.high = np.frombuffer(high, np.int64).copy()
    g.assigned()


def point_rows(rows: Rows, entity: Entity, w: TopicWindow, kind: str = "t") -> None:
    """Write the touched points of a topic."""
    prefix = topic_key(entity, kind)
    hist = w.history
    w.head.holes = hist.holes
    for slot in dict.fromkeys(w.touched):
        i = hist.slots.index(slot)
        put(rows, f"{prefix}p{slot}", _ENCODE(PointRow(w.head, hist.t[i], hist.row(i).tobytes())))
    w.touched = []


def drop_topic(rows: Rows, entity: Entity, w: TopicWindow, kind: str = "t") -> None:
    """Delete all rows of a topic."""
    prefix = topic_key(entity, kind)
    pieces = -(-w.history.width * 8 // CHUNK)
    for slot in w.history.slots:
        rows.drop(TABLE, f"{prefix}p{slot}")
        for i in range(1, pieces):
            rows.drop(TABLE, f"{prefix}p{slot}.{i}")


def load_topic(w: TopicWindow, values: dict[str, bytes]) -> None:
    """Rebuild a topic from its rows by name (``p0``, …)."""
    found = [(int(n[1:]), _POINT.decode(joined(values, n))) for n in sorted(values) if "." not in n]
    found.sort(key=lambda x: x[1].t)
    hist = w.history
    w.head = max((r for _, r in found), key=lambda r: r.head.seq).head
    hist.load([(r.t, slot, np.frombuffer(r.ends, np.int64)) for slot, r in found], w.head.holes)


__all__ = [
    "TABLE",
    "aux_row",
    "drop_group",
    "drop_part",
    "drop_topic",
    "group_key",
    "joined",
    "load_group",
    "load_topic",
    "meta_row",
    "part_row",
    "point_rows",
    "poll_rows",
    "put",
    "topic_key",
]  # fmt: skip
