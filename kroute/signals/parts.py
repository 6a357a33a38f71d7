"""Polls that come in several messages: their parts are kept until the poll is whole."""

from __future__ import annotations

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.inputs import ConsumerLag, Topology
from kroute.signals import rowkeys
from kroute.signals.model import Rows


class Parts:
    """Parts of split polls that are not complete. Rows: ``open|…`` and ``whole|…`` in the estate's table."""

    def __init__(self, rows: Rows, table: str) -> None:
        self._rows, self._table = rows, table
        self._open: dict[Entity, dict[int, tuple[int, list[str], list[int]]]] = {}
        """Part → observed_at_ms, topics, broker ids."""
        self._whole_at: dict[Entity, int] = {}

    def collect(
        self, e: Entity, m: Topology | ConsumerLag, names: list[str], ids: list[int]
    ) -> tuple[list[str], list[int]] | None:
        """Names and ids of a whole poll; None while parts of it are missing."""
        if m.parts == 1:
            return names, ids
        at = m.observed_at_ms
        if at <= self._whole_at.get(e, -1):
            return None  # this poll is complete: the part is a repeat
        parts = self._open.setdefault(e, {})
        if m.part >= m.parts or any(p[0] > at for p in parts.values()):
            return None
        for old in [i for i, p in parts.items() if p[0] < at]:
            del parts[old]
            self._rows.drop(self._table, rowkeys.join("open", *e, str(old)))
        parts[m.part] = (at, names, ids)
        if len(parts) < m.parts:
            self._rows.put(self._table, rowkeys.join("open", *e, str(m.part)), msgspec.msgpack.encode(parts[m.part]))
            return None
        del self._open[e]
        for i in parts:
            self._rows.drop(self._table, rowkeys.join("open", *e, str(i)))
        self._whole_at[e] = at
        self._rows.put(self._table, rowkeys.join("whole", *e), msgspec.msgpack.encode(at))
        return [n for i in sorted(parts) for n in parts[i][1]], [x for i in sorted(parts) for x in parts[i][2]]

    def forget(self, e: Entity) -> None:
        """The entity is gone: so is what was told of it in part."""
        for part in self._open.pop(e, {}):
            self._rows.drop(self._table, rowkeys.join("open", *e, str(part)))
        if self._whole_at.pop(e, None) is not None:
            self._rows.drop(self._table, rowkeys.join("whole", *e))

    def load(self, kind: str, rest: list[str], value: bytes) -> None:
        """One row at recovery."""
        if kind == "open":
            part = msgspec.msgpack.decode(value, type=tuple[int, list[str], list[int]])
            self._open.setdefault(Entity(*rest[:-1]), {})[int(rest[-1])] = part
        else:
            self._whole_at[Entity(*rest)] = msgspec.msgpack.decode(value, type=int)
