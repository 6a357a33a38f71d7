"""The cause ``unknown``: what is left when no named cause explains the symptoms, at their smallest common entity.

It has one p for every symptom and the lowest prior, so a stray symptom does not buy it.
"""

from __future__ import annotations

from collections.abc import Mapping

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import Candidate
from kroute.diagnosis.evidence import Unit, UnitKey
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


def unknown_candidates(
    compiled: Compiled, units: Mapping[UnitKey, Unit], walker: Walker, invalid: list[Candidate]
) -> list[Candidate]:
    """One candidate for each entity with symptoms, and one for the smallest entity common to all of them."""
    missing = tuple(sorted({m for c in invalid for m in c.missing}))
    own: dict[Entity, list[UnitKey]] = {}
    for u in units:
        own.setdefault(u[0], []).append(u)
    entities = list(own)
    if len(entities) > 1:
        own[_common(entities, walker)] = list(units)
    return [_candidate(compiled, root, keys, units, missing) for root, keys in own.items()]


def _candidate(
    compiled: Compiled, root: Entity, keys: list[UnitKey], units: Mapping[UnitKey, Unit], missing: tuple[str, ...]
) -> Candidate:
    c = Candidate(compiled, root, static=compiled.log_prior, missing=missing)
    for u in keys:
        c.cover[u] = P
        for kind in sorted(units[u].kinds):
            c.explained[(u[0], kind)] = None
    return c


def _common(entities: list[Entity], walker: Walker) -> Entity:
    """The entity that all share by one relation (or that all others hang on), else their cluster."""
    reach: list[dict[Entity, None]] = []
    for e in entities:
        near: dict[Entity, None] = {e: None}
        for steps in COMMON.get(e.kind, ()):
            near.update(dict.fromkeys(walker.walk(e, steps)))
        reach.append(near)
    shared = [e for e in reach[0] if all(e in r for r in reach[1:])]
    if shared:
        order = ("group", "connector", "topic", "system", "connect-worker", "broker", "rack")
        return min(shared, key=lambda e: (order.index(e.kind) if e.kind in order else 99, e))
    cluster = min(e.cluster for e in entities)
    return Entity("cluster", cluster, cluster)
