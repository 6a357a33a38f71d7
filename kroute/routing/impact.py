"""Who feels an incident: the groups and topics on its cause's impact paths, their services, and how far behind they are."""

from __future__ import annotations

from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.incidents.model import Incident
from kroute.routing.ownership import OwnershipIndex, sink_connectors
from kroute.signals.estate import Estate
from kroute.signals.model import Measure, Measures

STATES = ("breached", "at-risk", "unknown", "fine")
"""Worst first."""


class Affected(NamedTuple):
    """One measure of one affected group (or topic), with the service that lives on it."""

    entity: Entity
    service: str | None
    measure: Measure
    tier: str | None
    customer_function: str | None

    @property
    def suffers(self) -> bool:
        """Breached, or at risk."""
        return self.measure.state in ("breached", "at-risk")


class Felt(NamedTuple):
    """All that an incident does to services, worst first, and what is not known about it."""

    affected: tuple[Affected, ...]
    services: tuple[str, ...]
    """Services downstream of the root, sorted, whatever their state."""
    gaps: tuple[str, ...]
    """Why the impact is not fully known: services without owner or objective, groups without a service."""

    def states(self) -> tuple[str, ...]:
        """States that occur, worst first."""
        return tuple(s for s in STATES if any(a.measure.state == s for a in self.affected))

    def suffering(self) -> tuple[Affected, ...]:
        """Those that are breached or at risk."""
        return tuple(a for a in self.affected if a.suffers)


def felt(incident: Incident, ownership: OwnershipIndex, estate: Estate, measures: Measures, now_ms: int) -> Felt:
    """Measure the incident's impact now."""
    found: list[Affected] = []
    services: dict[str, None] = {}
    gaps: dict[str, None] = {}
    known: dict[tuple[str, str], tuple[str | None, str | None]] = {}
    topic = _topic(incident.root)
    for e in sorted(set(incident.affected)):
        if e.kind == "group":
            rows = measures.of_group(e, now_ms)
            if topic is not None and any(m.topic == topic for m in rows):
                rows = tuple(m for m in rows if m.topic == topic)
        elif e.kind == "topic":
            one = measures.of_topic(e, now_ms)
            rows = (one,) if one is not None else ()
        else:
            continue
        service = ownership.service_of(e, sink_connectors(estate, e))
        tier = function = None
        if service is not None:
            services[service] = None
            if (e.cluster, service) not in known:
                known[(e.cluster, service)] = _service(ownership, e.cluster, service, gaps)
            tier, function = known[(e.cluster, service)]
        elif e.kind == "group":
            gaps[f"{e} belongs to no service"] = None
        if e.kind == "group" and all(m.objective_s is None for m in rows):
            gaps[f"{e} has no objective"] = None
        found += [Affected(e, service, m, tier, function) for m in rows]
    if not incident.affected:
        gaps["nothing downstream of the root is known"] = None
    found.sort(key=lambda a: (_rank(a.measure.state), a.service or "~", a.entity, a.measure.topic))
    return Felt(tuple(found), tuple(sorted(services)), tuple(sorted(gaps)))


def _service(ownership: OwnershipIndex, cluster: str, service: str, gaps: dict[str, None]) -> tuple[str | None, str | None]:
    m = ownership.resolve("service", cluster, service)
    if m is None or not m.row.owner:
        gaps[f"service/{service} has no owner"] = None
    return (m.row.labels.get("tier"), m.row.customer_function) if m is not None else (None, None)


def _rank(state: str) -> int:
    return STATES.index(state) if state in STATES else len(STATES)


def _topic(root: Entity) -> str | None:
    if root.kind == "topic":
        return root.name
    return root.name.rpartition("/")[0] if root.kind == "partition" else None
