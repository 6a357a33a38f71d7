"""Paths of the catalogue: ``self/system/connectors`` walked over the estate, and walked back from a symptom.

Besides the estate's relations a path may use ``source``: the telemetry source of a broker, a Connect worker or a
link, or all sources of a cluster, told by their names; and ``mirrors``: topics on the target of a link that have one on
its source, under the same name or behind a prefix (``source.topic``).
"""

from __future__ import annotations

from collections.abc import Iterable

from kroute.contracts.common import Entity
from kroute.signals.estate import RELATIONS, Estate
from kroute.signals.mirrors import mirrored_names

SELF = "self"
SOURCE = "source"
MIRRORS = "mirrors"
_MIRRORED_BY = "mirrored-by"
_INVERSES = RELATIONS | {v: k for k, v in RELATIONS.items()} | {MIRRORS: _MIRRORED_BY, _MIRRORED_BY: MIRRORS}
_WORDS = frozenset(_INVERSES) | {SOURCE}
_SOURCED = {
    "broker": "broker-metrics/broker/",
    "connect-worker": "broker-metrics/connect-worker/",
    "link": "broker-metrics/link/",
}
_SHARED = (
    "access", "broker-metrics", "broker-metrics/broker", "broker-metrics/cluster", "broker-metrics/connect-worker",
    "broker-metrics/controller", "broker-metrics/link", "broker-metrics/probe", "collection", "consumer-lag", "topology",
)  # fmt: skip
"""Sources that speak of a whole cluster (``kroute.signals.telemetry``)."""


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


FEW = 4
"""So many neighbours are sooner looked through than looked up."""


class Walker:
    """Walks paths over one estate and remembers what it found; made anew for each diagnosis."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._steps: dict[str, dict[Entity, list[Entity]]] = {}
        self._backs: dict[tuple[Entity, tuple[str, ...], str], list[Entity]] = {}
        self._walks: dict[tuple[Entity, tuple[str, ...], str | None], list[Entity]] = {}

    def walk(self, start: Entity, steps: tuple[str, ...], kind: str | None = None) -> list[Entity]:
        """Entities (of ``kind``, where given) at the end of the path, sorted; a path that leads back leaves out its start."""
        if not steps:
            return [start] if kind is None or kind == start.kind else []
        if len(steps) == 1 and steps[0] != "members":
            near = self._step(start, steps[0])
            if len(near) <= FEW:
                return [e for e in near if (kind is None or e.kind == kind) and e != start]
        found = self._walks.get((start, steps, kind))
        if found is None:
            middles = {start: None}
            for s in steps[:-1]:
                middles = {o: None for e in middles for o in self._step(e, s)}
            if len(middles) == 1:  # one step leads to a sorted list
                ends = self._last(next(iter(middles)), steps[-1], kind)
            else:
                ends = sorted({o: None for e in middles for o in self._last(e, steps[-1], kind)})
            found = self._walks[(start, steps, kind)] = [e for e in ends if e != start]
        return found

    def back(self, end: Entity, steps: tuple[str, ...], kind: str) -> list[Entity]:
        """Roots of ``kind`` from which the path leads to ``end``."""
        found = self._backs.get((end, steps, kind))
        if found is None:
            found = self._backs[(end, steps, kind)] = sorted(self.back_all((end,), steps, kind))
        return found

    def back_all(self, ends: Iterable[Entity], steps: tuple[str, ...], kind: str) -> dict[Entity, None]:
        """Roots of ``kind`` from which the path leads to any of the ends, in no order."""
        there = dict.fromkeys(ends)
        for s in reversed(steps):
            if s == SOURCE:
                there = {o: None for e in there for o in _sourced(e)}
            elif s == "cluster":
                there = {o: None for e in there for o in self._last(e, "members", kind if s is steps[0] else None)}
            else:
                there = self._all_steps(there, _INVERSES[s])
        return {o: None for o in there if o.kind == kind}

    def _all_steps(self, starts: Iterable[Entity], relation: str) -> dict[Entity, None]:
        """All that is one step from any of the entities."""
        by = self._steps.setdefault(relation, {})
        related = self._mirrors if relation in (MIRRORS, _MIRRORED_BY) else self._estate.related
        out: dict[Entity, None] = {}
        for e in starts:
            found = by.get(e)
            if found is None:
                found = by[e] = related(e, relation)
            for o in found:
                out[o] = None
        return out

    def _last(self, e: Entity, relation: str, kind: str | None) -> list[Entity]:
        if kind is None:
            return self._step(e, relation)
        if relation == "members":
            return self._estate.of_kind(kind, e.cluster)
        return [o for o in self._step(e, relation) if o.kind == kind]

    def _step(self, e: Entity, relation: str) -> list[Entity]:
        by = self._steps.get(relation)
        if by is None:
            by = self._steps[relation] = {}
        found = by.get(e)
        if found is None:
            if relation == SOURCE:
                found = self._sources_of(e)
            elif relation in (MIRRORS, _MIRRORED_BY):
                found = self._mirrors(e, relation)
            else:
                found = self._estate.related(e, relation)
            by[e] = found
        return found

    def _mirrors(self, e: Entity, relation: str) -> list[Entity]:
        """Topics that a link mirrors, or the links that mirror a topic."""
        if relation == MIRRORS:
            if e.kind != "link":
                return []
            sides = [c for c in self._step(e, "link-clusters") if c.name != e.cluster]
            there = {t.name for c in sides for t in self._estate.of_kind("topic", c.name)}
            topics = self._estate.of_kind("topic", e.cluster)
            # Of a source that nobody reports nothing is known: any topic of the target may come from there.
            return [t for t in topics if not there.isdisjoint(mirrored_names(t.name))] if there else topics
        if e.kind != "topic":
            return []
        links = self._step(Entity("cluster", e.cluster, e.cluster), "links")
        return [k for k in links if k.cluster == e.cluster and e in dict.fromkeys(self._step(k, MIRRORS))]

    def _sources_of(self, e: Entity) -> list[Entity]:
        head = _SOURCED.get(e.kind)
        if head is not None:
            return [Entity("source", e.cluster, head + e.name)]
        if e.kind != "cluster":
            return []
        names = dict.fromkeys(_SHARED)
        for kind, head in _SOURCED.items():
            names.update({head + o.name: None for o in self._estate.of_kind(kind, e.cluster)})
        for o in self._estate.of_kind("connector", e.cluster):
            names["connector-status/" + o.name.partition("/")[0]] = None
        return [Entity("source", e.cluster, n) for n in sorted(names)]


def _sourced(source: Entity) -> list[Entity]:
    if source.kind != "source":
        return []
    whole = Entity("cluster", source.cluster, source.cluster)
    for kind, head in _SOURCED.items():
        if source.name.startswith(head):
            return [Entity(kind, source.cluster, source.name[len(head) :]), whole]
    return [whole]
