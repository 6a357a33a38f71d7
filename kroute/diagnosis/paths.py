"""Paths of the catalogue: ``self/system/connectors`` walked over the estate, and walked back from a symptom.

Besides the estate's relations a path may use ``source``: the telemetry source of a broker, a Connect cluster or a
whole cluster, told by its name.
"""

from __future__ import annotations

from kroute.contracts.common import Entity
from kroute.signals.estate import RELATIONS, Estate

SELF = "self"
SOURCE = "source"
_INVERSES = RELATIONS | {v: k for k, v in RELATIONS.items()}
_WORDS = frozenset(_INVERSES) | {SOURCE}
_SOURCED = {
    "broker": "broker-metrics/broker/",
    "connect-worker": "broker-metrics/connect-worker/",
    "link": "broker-metrics/link/",
}


def parse(path: str) -> tuple[str, ...]:
    """``self/group/topics`` → ``("group", "topics")``.

    Raises:
        ValueError: the path does not begin with ``self`` or names an unknown relation.
    """
    first, *steps = path.split("/")
    if first != SELF:
        raise ValueError(f"a path begins with 'self', not {first!r}")
    for s in steps:
        if s not in _WORDS:
            raise ValueError(f"unknown relation {s!r}; one of {', '.join(sorted(_WORDS))}")
    return tuple(steps)


class Walker:
    """Walks paths over one estate and remembers what it found; made anew for each diagnosis."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._steps: dict[tuple[Entity, str], list[Entity]] = {}
        self._walks: dict[tuple[Entity, tuple[str, ...]], list[Entity]] = {}

    def walk(self, start: Entity, steps: tuple[str, ...]) -> list[Entity]:
        """Entities at the end of the path, sorted; the start itself is left out of a path that leads back to it."""
        if not steps:
            return [start]
        found = self._walks.get((start, steps))
        if found is None:
            ends: dict[Entity, None] = {start: None}
            for s in steps:
                ends = {o: None for e in ends for o in self._step(e, s)}
            ends.pop(start, None)
            found = self._walks[(start, steps)] = sorted(ends)
        return found

    def back(self, end: Entity, steps: tuple[str, ...]) -> list[Entity]:
        """Roots from which the path leads to ``end``."""
        roots: dict[Entity, None] = {end: None}
        for s in reversed(steps):
            roots = {o: None for e in roots for o in self._back(e, s)}
        return sorted(roots)

    def _step(self, e: Entity, relation: str) -> list[Entity]:
        found = self._steps.get((e, relation))
        if found is None:
            found = _source_of(e) if relation == SOURCE else self._estate.related(e, relation)
            self._steps[(e, relation)] = found
        return found

    def _back(self, e: Entity, relation: str) -> list[Entity]:
        if relation == SOURCE:
            return _sourced(e)
        return self._step(e, _INVERSES[relation])


def _source_of(e: Entity) -> list[Entity]:
    head = _SOURCED.get(e.kind)
    return [Entity("source", e.cluster, head + e.name)] if head else []


def _sourced(source: Entity) -> list[Entity]:
    if source.kind != "source":
        return []
    for kind, head in _SOURCED.items():
        if source.name.startswith(head):
            return [Entity(kind, source.cluster, source.name[len(head) :])]
    return []
