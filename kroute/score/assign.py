"""Which incident belongs to which fault, and which symptom.

1. An entity is *near* a fault: its root (3), one it affects (2), for a fault whose root is a cluster anything in that
   cluster (1), for one of a broker or rack its cluster as a whole, which shows their sums (1). A partition counts as its
   topic, a source as the process it is.
2. A symptom may belong to a fault whose time, with ``EARLY_MS`` before and ``TAIL_MS`` after, holds its beginning.
3. A symptom belongs to the fault it is nearest to; as near to two: to neither (it is left out of the pair measures).
4. An incident may belong to a fault when it was open during the fault or within ``TAIL_MS`` after, unless it opened before
   and names another root. It belongs to the one that most of its symptoms are near to, the root it names counting like two
   of them. Near to none: false.
"""

from __future__ import annotations

from typing import NamedTuple

from kroute.contracts.common import ENTITY_KINDS, Entity
from kroute.score.told import Incident, Symptom
from kroute.score.truth import Fault

EARLY_MS = 60_000
"""A window may begin before the onset that it shows."""
TAIL_MS = 600_000
"""Effects outlive their cause: a backlog is read, replicas catch up. The default hold."""
ROOT, AFFECTED, SAME_CLUSTER = 3, 2, 1
_WEIGHT = {ROOT: 1.0, AFFECTED: 1.0, SAME_CLUSTER: 0.1, 0: 0.0}
_ROOT_WEIGHT = {ROOT: 2.0, AFFECTED: 0.5, SAME_CLUSTER: 0.1, 0: 0.0}


class Scope(NamedTuple):
    """Where and when a fault may show."""

    root: Entity
    affected: frozenset[Entity]
    from_ms: int
    to_ms: int

    def near(self, entity: Entity) -> int:
        """3 the root, 2 affected, 1 by its cluster only, 0 elsewhere."""
        e = canonical(entity)
        if e == self.root:
            return ROOT
        if e in self.affected:
            return AFFECTED
        inside = e.cluster == self.root.cluster
        of_cluster = self.root.kind == "cluster" or (self.root.kind in ("broker", "rack") and e.kind == "cluster")
        return SAME_CLUSTER if inside and of_cluster else 0

    def during(self, ms: int) -> bool:
        """True when something that began at ``ms`` may come from this fault."""
        return self.from_ms - EARLY_MS <= ms <= self.to_ms + TAIL_MS


def canonical(e: Entity) -> Entity:
    """A partition as its topic, a source as the process it is; else itself."""
    if e.kind == "partition":
        return Entity("topic", e.cluster, e.name.rpartition("/")[0])
    if e.kind == "source":
        kind, slash, name = e.name.removeprefix("broker-metrics/").partition("/")
        if slash and kind in ENTITY_KINDS:
            return Entity(kind, e.cluster, name)
    return e


def scope(fault: Fault) -> Scope:
    """Where and when a fault may show."""
    affected = frozenset(canonical(fault.entity(a)) for a in fault.affected)
    return Scope(canonical(fault.entity()), affected, fault.from_ms, fault.to_ms)


def fault_of_symptom(s: Symptom, scopes: list[Scope]) -> int | None:
    """Index of the fault that a symptom belongs to; -1: to none; None: as near to two of them."""
    near = [sc.near(s.entity) if sc.during(s.since_ms) else 0 for sc in scopes]
    best = max(near, default=0)
    if best == 0:
        return -1
    return near.index(best) if near.count(best) == 1 else None


def fault_of_incident(incident: Incident, scopes: list[Scope], end_ms: int) -> int | None:
    """Index of the fault that an incident belongs to, or None: it is false."""
    spans = incident.firing_ms(end_ms)
    root = next((r for r in reversed(incident.revisions) if r.firing), incident.revisions[0]).candidates[0].root
    best: tuple[float, int, int] | None = None
    for i, sc in enumerate(scopes):
        if not any(a <= sc.to_ms + TAIL_MS and b >= sc.from_ms for a, b in spans):
            continue
        if incident.opened_ms < sc.from_ms - EARLY_MS and sc.near(root) != ROOT:
            continue  # something else was wrong there before
        weight = sum(_WEIGHT[sc.near(s.entity)] for s in incident.symptoms() if sc.during(s.since_ms))
        weight += _ROOT_WEIGHT[sc.near(root)]
        ranked = (weight, -abs(incident.opened_ms - sc.from_ms), -i)  # as heavy: the onset nearest to its opening
        if weight > 0 and (best is None or ranked > best):
            best = ranked
    return None if best is None else -best[2]
