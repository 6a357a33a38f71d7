"""The cause ``unknown``: what is left when no named cause explains the symptoms, at their smallest common entity.

It has one p for every symptom and the lowest prior, so a stray symptom does not buy it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import Candidate
from kroute.diagnosis.evidence import Unit
from kroute.diagnosis.load import Compiled
from kroute.diagnosis.paths import Walker

P = 0.3
COMMON: dict[str, tuple[tuple[str, ...], ...]] = {
    "group": (("connector",), ("topics",), ("coordinator",), ("leaders",), ("racks",)),
    "connector": (("group",), ("system",), ("worker",)),
    "topic": (("topic-leaders",),),
    "broker": (("rack",),),
}
"""Relations by which entities of a kind may share something smaller than their cluster."""
TELLING = 0.5
"""Share of what hangs on an entity that has to be in trouble for the entity to stand for it."""


def unknown_candidates(
    compiled: Compiled, numbers: Sequence[int], units: Sequence[Unit], walker: Walker, missing: tuple[str, ...]
) -> list[Candidate]:
    """For the units of these numbers: a candidate for each entity, and one for the smallest entity common to all."""
    own: dict[Entity, list[int]] = {}
    for u in numbers:
        own.setdefault(units[u].entity, []).append(u)
    entities = list(own)
    if len(entities) > 1:
        own[common(entities, walker)] = list(numbers)
    out = []
    for root, mine in own.items():
        c = Candidate(compiled, root, static=compiled.log_prior, cover=dict.fromkeys(mine, P), missing=missing)
        c.explained = [(units[u].entity, kind) for u in mine for kind in units[u].kinds]
        out.append(c)
    return out


def common(entities: list[Entity], walker: Walker) -> Entity:
    """The smallest entity that all share by one relation, or that all others hang on; else their cluster.

    What many others share that are well, or of which all share several alike (every broker), says nothing.
    """
    first = _near(entities[0], walker)
    for e in entities[1:]:
        if not first:
            break
        near = _near(e, walker)
        first = {o: steps for o, steps in first.items() if o in near}
    per_kind: dict[str, int] = {}
    for o in first:
        per_kind[o.kind] = per_kind.get(o.kind, 0) + 1
    shared = [
        o
        for o, steps in first.items()
        if o in entities or (per_kind[o.kind] == 1 and len(entities) >= TELLING * len(walker.back(o, steps, entities[0].kind)))
    ]
    if shared:
        order = ("group", "connector", "topic", "system", "connect-worker", "broker", "rack")
        return min(shared, key=lambda e: (order.index(e.kind) if e.kind in order else 99, e))
    cluster = min(e.cluster for e in entities)
    return Entity("cluster", cluster, cluster)


def _near(e: Entity, walker: Walker) -> dict[Entity, tuple[str, ...]]:
    near: dict[Entity, tuple[str, ...]] = {e: ()}
    for steps in COMMON.get(e.kind, ()):
        for o in walker.walk(e, steps):
            near.setdefault(o, steps)
    return near
