"""Paths of the catalogue: ``self/system/connectors`` walked over the estate, and walked back from a symptom.

Besides the estate's relations a path may use ``source``: the telemetry source of a broker, a Connect worker, a connector or
a link, or all sources of a cluster, told by their names; and ``mirrors``: topics on the target of a link that have one on
its source, under the same name or behind a prefix (``source.topic``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
_STATUS = "connector-status/"
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
        self._at_source: dict[Entity, frozenset[str]] = {}
        """Link → names of the topics on its source."""
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
                there = {o: None for e in there for o in self._sourced(e)}
            elif s == "cluster":
                there = {o: None for e in there for o in self._last(e, "members", kind if s is steps[0] else None)}
            else:
                there = self._all_steps(there, _INVERSES[s])
        return {o: None for o in there if o.kind == kind}

    def _all_steps(self, starts: Iterable[Entity], relation: str) -> dict[Entity, None]:
        """All that is one step from any of the entities."""
        by = self._steps.setdefault(relation, {})
        virtual, related = _VIRTUAL.get(relation), self._estate.related
        out: dict[Entity, None] = {}
        for e in starts:
            found = by.get(e)
            if found is None:
                found = by[e] = related(e, relation) if virtual is None else virtual(self, e)
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
            virtual = _VIRTUAL.get(relation)
            found = by[e] = self._estate.related(e, relation) if virtual is None else virtual(self, e)
        return found

    def _mirrors(self, link: Entity) -> list[Entity]:
        """Topics that a link mirrors."""
        topics = self._estate.of_kind("topic", link.cluster) if link.kind == "link" else []
        return [t for t in topics if self._is_mirror(t, link)]

    def _mirrored_by(self, topic: Entity) -> list[Entity]:
        """Links that mirror a topic."""
        links = self._step(Entity("cluster", topic.cluster, topic.cluster), "links") if topic.kind == "topic" else []
        return [k for k in links if k.cluster == topic.cluster and self._is_mirror(topic, k)]

    def _is_mirror(self, topic: Entity, link: Entity) -> bool:
        there = self._at_source.get(link)
        if there is None:
            sides = [c.name for c in self._step(link, "link-clusters") if c.name != link.cluster]
            there = self._at_source[link] = frozenset(t.name for c in sides for t in self._estate.of_kind("topic", c))
        # Of a source that nobody reports nothing is known: any topic of the target may come from there.
        return not there or not there.isdisjoint(mirrored_names(topic.name))

    def _sources_of(self, e: Entity) -> list[Entity]:
        head = _SOURCED.get(e.kind)
        if head is not None:
            return [Entity("source", e.cluster, head + e.name)]
        if e.kind == "connector":
            return [Entity("source", e.cluster, _STATUS + e.name.partition("/")[0])]
        if e.kind != "cluster":
            return []
        names = dict.fromkeys(_SHARED)
        for kind, head in _SOURCED.items():
            names.update({head + o.name: None for o in self._estate.of_kind(kind, e.cluster)})
        for o in self._estate.of_kind("connector", e.cluster):
            names[_STATUS + o.name.partition("/")[0]] = None
        return [Entity("source", e.cluster, n) for n in sorted(names)]

    def _sourced(self, source: Entity) -> list[Entity]:
        """What a telemetry source speaks of, and its cluster."""
        if source.kind != "source":
            return []
        whole = Entity("cluster", source.cluster, source.cluster)
        if source.name.startswith(_STATUS):
            connect = source.name[len(_STATUS) :] + "/"
            return [*(o for o in self._estate.of_kind("connector", source.cluster) if o.name.startswith(connect)), whole]
        for kind, head in _SOURCED.items():
            if source.name.startswith(head):
                return [Entity(kind, source.cluster, source.name[len(head) :]), whole]
        return [whole]


_VIRTUAL: dict[str, Callable[[Walker, Entity], list[Entity]]] = {
    SOURCE: Walker._sources_of, MIRRORS: Walker._mirrors, _MIRRORED_BY: Walker._mirrored_by,
}  # fmt: skip
"""Relations that the estate does not keep. Bound to no walker: one that holds itself is freed late."""
