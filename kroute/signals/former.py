"""What hung on a broker before it went: a dead broker leads nothing, yet its trouble is that of all it led."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kroute.contracts.common import Entity
from kroute.signals import rowkeys
from kroute.signals.model import Rows

HELD = frozenset({"leaders", "topic-leaders", "coordinator", "replicas"})
"""Relations to a broker that move away from it when it goes."""
BEFORE_MS = 120_000
"""What moved away so long before it was told gone moved because of it: a session has to expire, and sources differ."""
BACK_MS = 900_000
"""For so long after it came back what hung on it still has a backlog, and it is the same trouble when it goes again."""

Edge = tuple[str, Entity]
"""(relation, whose)."""


class Former:
    """Relations that brokers held when they went. Rows: ``former|…`` and ``went|…`` in the estate's table."""

    def __init__(self, rows: Rows, table: str) -> None:
        self._rows, self._table = rows, table
        self._lost: dict[Entity, dict[Edge, int]] = {}
        self._of: dict[tuple[Entity, str], dict[Entity, None]] = {}
        self._went: dict[Entity, tuple[int, int | None]] = {}
        """Broker → when it went (ms), and when it came back, None while it is gone."""

    def lost(self, e: Entity, relation: str, brokers: Iterable[Entity], at: int) -> None:
        """The relation of ``e`` does not name these brokers any more."""
        for b in brokers:
            self._set(b, relation, e, at)
            self._rows.put(self._table, rowkeys.join("former", relation, *b, *e), msgspec.msgpack.encode(at))

    def state(self, b: Entity, alive: bool, at: int) -> None:
        """The broker is in the cluster at ``at``, or is not; what is of no more use is forgotten."""
        went = self._went.get(b)
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
        return [e for (r, e), at in lost.items() if r == relation and self.counts(b, at)] if lost else []

    def holders(self, e: Entity, relation: str) -> list[Entity]:
        """Brokers that went, and to which ``e`` had this relation then."""
        of = self._of.get((e, relation)) if self._of else None
        return [b for b in of if self.counts(b, self._lost[b][relation, e])] if of else []

    def forget(self, e: Entity) -> None:
        """The entity is gone for good."""
        for relation in HELD:
            for b in list(self._of.get((e, relation), ())):
                self._drop(b, relation, e)

    def load(self, kind: str, rest: list[str], value: bytes) -> None:
        """One row at recovery."""
        if kind == "went":
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

    def _drop(self, b: Entity, relation: str, e: Entity) -> None:
        del self._lost[b][relation, e]
        if not self._lost[b]:
            del self._lost[b]
        of = self._of[e, relation]
        del of[b]
        if not of:
            del self._of[e, relation]
        self._rows.drop(self._table, rowkeys.join("former", relation, *b, *e))
