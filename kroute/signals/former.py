"""What hung on a broker before it went: a dead broker leads nothing, yet its trouble is that of all it led.

What moved away since its broker was told last hangs on it still: who reads from it is polled sooner than it is told gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from kroute.contracts.common import Entity
from kroute.signals import rowkeys
from kroute.signals.model import Rows

HELD = frozenset({"leaders", "topic-leaders", "coordinator", "replicas"})
"""Relations to a broker that move away from it when it goes."""
POLLED = frozenset({"leaders", "coordinator"})
"""Of these, those that are told without a word on the broker: by who reads from it."""
BEFORE_MS = 120_000
"""What moved away so long before it was told gone moved because of it: a session has to expire, and sources differ."""
BACK_MS = 900_000
"""For so long after it came back what hung on it still has a backlog, and it is the same trouble when it goes again."""

Edge = tuple[str, Entity]
"""(relation, whose)."""


class Former:
    """Relations that brokers held when they went. Rows: ``former|…``, ``left|…`` and ``went|…`` in the estate's table."""

    def __init__(self, rows: Rows, table: str) -> None:
        self._rows, self._table = rows, table
        self._lost: dict[Entity, dict[Edge, int]] = {}
        self._of: dict[tuple[Entity, str], dict[Entity, None]] = {}
        self._open: dict[Entity, dict[Edge, None]] = {}
        """Of what was lost: since when it was, nobody has told how the broker is."""
        self._went: dict[Entity, tuple[int, int | None]] = {}
        """Broker → when it went (ms), and when it came back, None while it is gone."""

    def lost(self, e: Entity, relation: str, brokers: Iterable[Entity], at: int, *, told: bool) -> None:
        """The relation of ``e`` does not name these brokers any more. ``told``: from time to time it is told how they are."""
        for b in brokers:
            self._set(b, relation, e, at)
            self._rows.put(self._table, rowkeys.join("former", relation, *b, *e), msgspec.msgpack.encode(at))
            if told and relation in POLLED:
                self._open.setdefault(b, {})[relation, e] = None
                self._rows.put(self._table, rowkeys.join("left", relation, *b, *e), msgspec.msgpack.encode(at))

    def states(self, alive: Mapping[Entity, bool], at: int) -> None:
        """What is told of brokers at ``at``: who is in the cluster, and who is not."""
        for b in alive:
            self._state(b, alive[b], at)

    def _state(self, b: Entity, alive: bool, at: int) -> None:
        """The broker is in the cluster at ``at``, or is not; what is of no more use is forgotten."""
        for relation, e in list(self._open.get(b, ())):
            if self._lost[b][relation, e] <= at:
                self._close(b, relation, e)
        went = self._went.get(b)
        if not alive and went is not None and went[1] is not None and at < went[1]:
            return  # told late: it has come back since
        if not alive and (went is None or went[1] is not None):
            self._save(b, (at, None) if went is None else (went[0], None))
        elif alive and went is not None:
            if went[1] is None:
                self._save(b, (went[0], at))
            elif at - went[1] > BACK_MS:
                del self._went[b]
                self._rows.drop(self._table, rowkeys.join("went", *b))
        if b in self._lost and b not in self._went:
            for (relation, e), lost in list(self._lost[b].items()):
                if at - lost > BEFORE_MS:
                    self._drop(b, relation, e)

    def held(self, b: Entity, relation: str) -> list[Entity]:
        """Who had this relation to the broker when it went; nobody when it is back for long."""
        lost = self._lost.get(b)
        return [e for (r, e), at in lost.items() if r == relation and self._hangs(b, (r, e), at)] if lost else []

    def lost_since(self, b: Entity, relation: str, since_ms: int) -> int:
        """How many had this relation to the broker and lost it since then, or shortly before."""
        return sum(r == relation and at >= since_ms - BEFORE_MS for (r, _), at in self._lost.get(b, {}).items())

    def holders(self, e: Entity, relation: str) -> list[Entity]:
        """Brokers that went, and to which ``e`` had this relation then."""
        of = self._of.get((e, relation)) if self._of else None
        return [b for b in of if self._hangs(b, (relation, e), self._lost[b][relation, e])] if of else []

    def _hangs(self, b: Entity, edge: Edge, lost: int) -> bool:
        return edge in self._open.get(b, ()) or self.counts(b, lost)

    def forget(self, e: Entity) -> None:
        """The entity is gone for good."""
        for relation in HELD:
            for b in list(self._of.get((e, relation), ())):
                self._drop(b, relation, e)

    def load(self, kind: str, rest: list[str], value: bytes) -> None:
        """One row at recovery."""
        if kind == "left":
            self._open.setdefault(Entity(*rest[1:4]), {})[rest[0], Entity(*rest[4:])] = None
        elif kind == "went":
            self._went[Entity(*rest)] = msgspec.msgpack.decode(value, type=tuple[int, int | None])
        else:
            self._set(Entity(*rest[1:4]), rest[0], Entity(*rest[4:]), msgspec.msgpack.decode(value, type=int))

    def counts(self, b: Entity, lost: int) -> bool:
        """True when what the broker lost at that time (ms) it lost because it went, and it is gone or not long back."""
        went = self._went.get(b)
        return went is not None and lost >= went[0] - BEFORE_MS and (went[1] is None or lost <= went[1] + BEFORE_MS)

    def _save(self, b: Entity, went: tuple[int, int | None]) -> None:
        self._went[b] = went
        self._rows.put(self._table, rowkeys.join("went", *b), msgspec.msgpack.encode(went))

    def _set(self, b: Entity, relation: str, e: Entity, at: int) -> None:
        self._lost.setdefault(b, {})[relation, e] = at
        self._of.setdefault((e, relation), {})[b] = None

    def _close(self, b: Entity, relation: str, e: Entity) -> None:
        still = self._open.get(b)
        if still is not None and still.pop((relation, e), 0) is None:
            self._rows.drop(self._table, rowkeys.join("left", relation, *b, *e))
            if not still:
                del self._open[b]

    def _drop(self, b: Entity, relation: str, e: Entity) -> None:
        self._close(b, relation, e)
        del self._lost[b][relation, e]
        if not self._lost[b]:
            del self._lost[b]
        of = self._of[e, relation]
        del of[b]
        if not of:
            del self._of[e, relation]
        self._rows.drop(self._table, rowkeys.join("former", relation, *b, *e))
