"""What people and machines declared on purpose (``kroute.changes``), findable by entity and time."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.rows import Change
from kroute.signals.model import Rows

KEEP_MS = 30 * 86_400_000
"""A change is forgotten this long after its start (or its end, when that is later)."""
OPEN_END_MS = 4 * 3_600_000
"""A change without an end is taken to last this long at most; a declared replay is bounded too."""


def covers(target_kind: str, target_name: str, entity: Entity) -> bool:
    """True when a change's target (literal, or ending in ``*``) names the entity, whose metrics it is, or its whole cluster."""
    if target_kind == "cluster":
        return target_name in ("*", entity.cluster)
    metrics = f"broker-metrics/{target_kind}/"
    if entity.kind == "source" and entity.name.startswith(metrics):
        entity = Entity(target_kind, entity.cluster, entity.name[len(metrics) :])
    if target_kind != entity.kind:
        return False
    if target_name.endswith("*") and not target_name.endswith("\\*"):
        return entity.name.startswith(target_name[:-1])
    return entity.name == target_name.replace("\\*", "*")


class Changes:
    """Declared changes of one domain; rows go to the table ``controls``, key ``change|<id>``."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._by_id: dict[str, Change] = {}

    def put(self, change: Change) -> None:
        """Take a change, or a newer word on the same id."""
        self._by_id[change.id] = change
        self._rows.put("controls", f"change|{change.id}", msgspec.json.encode(change))

    def load(self, value: bytes) -> None:
        """One row at recovery."""
        change = msgspec.json.decode(value, type=Change)
        self._by_id[change.id] = change

    def expire(self, now_ms: int) -> None:
        """Forget what ended long ago."""
        for c in sorted(self._by_id.values(), key=lambda c: c.id):
            if max(c.starts_at_ms, c.ends_at_ms or 0) + KEEP_MS < now_ms:
                del self._by_id[c.id]
                self._rows.drop("controls", f"change|{c.id}")

    def touching(self, entity: Entity, kinds: Iterable[str] | None, from_ms: int, to_ms: int) -> list[Change]:
        """Changes of these kinds (None: any) on the entity whose time overlaps ``from_ms``–``to_ms``; oldest first."""
        words = None if kinds is None else frozenset(kinds)
        found = [
            c
            for c in self._by_id.values()
            if (words is None or c.kind in words)
            and c.cluster in ("*", entity.cluster)
            and covers(c.target.kind, c.target.name, entity)
            and c.starts_at_ms <= to_ms
            and end_ms(c) >= from_ms
        ]
        return sorted(found, key=lambda c: (c.starts_at_ms, c.id))

    def all(self) -> list[Change]:
        """Every change that is kept, by id."""
        return [self._by_id[k] for k in sorted(self._by_id)]


def end_ms(change: Change) -> int:
    """When a change is over at the latest."""
    return change.ends_at_ms if change.ends_at_ms is not None else change.starts_at_ms + OPEN_END_MS
