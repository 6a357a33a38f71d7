"""Three owners of an incident: the role words of its cause, walked from the root to the rows that answer."""

from __future__ import annotations

import re
from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.diagnosis.model import OwnerRole
from kroute.incidents.model import Incident
from kroute.routing.impact import Affected
from kroute.routing.ownership import Match, OwnershipIndex, sink_connectors
from kroute.signals.estate import Estate

UNOWNED = "unowned"
"""Team of the last fallback; give it destinations by a row ``team/*/unowned``."""
PLATFORM_FALLBACK = "fallback:platform"
DEFAULT_FALLBACK = "fallback:default"

_TOPIC = re.compile(r"\bTopic:(?:LITERAL:)?([\w.-]+)$", re.IGNORECASE)
READING_OLD = ("catching-up", "reading-fast", "offset-rewound")
_LINKS: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {
    "group": {
        "connector": (("group",),),
        "topic": (("consumers",),),
        "partition": (("consumers",),),
        "system": (("connectors", "group"),),
        "connect-worker": (("worker-connectors", "group"),),
        "principal": (("principal-groups",),),
        "transaction": (("transaction-topics", "consumers"),),
        "service": (("service-groups",),),
    },
    "connector": {
        "group": (("connector",),),
        "system": (("connectors",),),
        "topic": (("topic-connectors",),),
        "connect-worker": (("worker-connectors",),),
    },
    "system": {
        "connector": (("system",),),
        "group": (("connector", "system"),),
        "topic": (("topic-connectors", "system"),),
        "connect-worker": (("worker-connectors", "system"),),
    },
    "topic": {
        "connector": (("connector-topics",),),
        "group": (("topics",),),
        "principal": (("principal-topics",),),
        "transaction": (("transaction-topics",),),
    },
    "principal": {
        "topic": (("topic-principals",),),
        "group": (("group-principals",),),
    },
}
"""Kind wanted → kind of the root → paths of relations that lead there (closed list: ``kroute.signals.estate``)."""


class Found(NamedTuple):
    """An owner. ``via``: the row's ``kind/cluster/name``, or the fallback's name. ``match``: the row; None for a fallback."""

    team: str
    via: str
    match: Match | None = None
    runbook: str | None = None
    escalation: str | None = None


class Finder:
    """Finds owners in one domain: ownership rows, walked along the estate."""

    def __init__(self, ownership: OwnershipIndex, estate: Estate) -> None:
        self._ownership = ownership
        self._estate = estate

    def owner(self, words: tuple[OwnerRole, ...], incident: Incident) -> Found:
        """The first role word that has a row; else the platform team; else ``unowned``."""
        for word in words:
            found = self.of_role(word, incident)
            if found is not None:
                return found
        return self.fallback(incident.root.cluster)

    def fallback(self, cluster: str) -> Found:
        """Where no row answers: the cluster's platform team, else nobody's."""
        m = self._ownership.resolve("cluster", cluster, cluster)
        if m is not None and m.row.owner:
            return Found(m.row.owner, PLATFORM_FALLBACK, None, m.row.runbook, m.row.escalation)
        return Found(UNOWNED, DEFAULT_FALLBACK)

    def of_role(self, word: OwnerRole, incident: Incident) -> Found | None:
        """Who answers to one role word for this incident; None where no row does."""
        if word in ("platform", "governance", "network"):
            return self._of_cluster(word, incident.root.cluster)
        if word == "service":
            return self._of_service(incident)
        if word == "reader":
            return self._of_groups(self._named(incident) or _behind(incident))
        denied = _denied(incident) if word == "topic" else []
        for e in denied or self._walk(word, incident):
            m = self._ownership.resolve(e.kind, e.cluster, e.name)
            if m is not None and m.row.owner:
                return _found(m, m.row.owner)
            if word == "topic" and m is not None and m.row.service:
                found = self._service_row(e.cluster, m.row.service)
                if found is not None:
                    return found
        return None

    def of_affected(self, affected: Affected) -> Found:
        """Who feels it: the service's owner, else the group's or topic's own, else the connector's, else a fallback."""
        e = affected.entity
        if affected.service is not None:
            found = self._service_row(e.cluster, affected.service)
            if found is not None:
                return found
        topic = Entity("topic", e.cluster, affected.measure.topic)
        for x in (e, *sink_connectors(self._estate, e), topic):
            m = self._ownership.resolve(x.kind, x.cluster, x.name)
            if m is not None and m.row.owner:
                return _found(m, m.row.owner)
        return self.fallback(e.cluster)

    def service_of(self, entity: Entity) -> str | None:
        """The service that lives on an entity, by its row or its sink connector's."""
        return self._ownership.service_of(entity, sink_connectors(self._estate, entity))

    def service_owner(self, cluster: str, service: str) -> str | None:
        """Team of a service, by its row."""
        found = self._service_row(cluster, service)
        return found.team if found is not None else None

    def _of_cluster(self, word: str, cluster: str) -> Found | None:
        m = self._ownership.resolve("cluster", cluster, cluster)
        if m is None:
            return None
        named = {"governance": m.row.governance, "network": m.row.network}.get(word)
        team = named or m.row.owner
        return _found(m, team) if team else None

    def _of_service(self, incident: Incident) -> Found | None:
        root = incident.root
        if root.kind == "service":
            return self._service_row(root.cluster, root.name)
        if root.kind == "link":
            return self._of_groups(self._named(incident) or self._awaited(root))
        if root.kind in ("connector", "topic"):
            service = self._ownership.service_of(root)
            found = self._service_row(root.cluster, service) if service else None
            if found is not None:
                return found
        return self._of_groups(self._walk("group", incident) or [e for e in incident.affected if e.kind == "group"])

    def _awaited(self, link: Entity) -> list[Entity]:
        """Groups of a migration link that do not read on its target yet, in the row's order; all where none is left out."""
        stated = self._ownership.link(link)
        if stated is None:
            return []
        groups = [Entity("group", stated.target, name) for name in stated.groups]
        return [g for g in groups if not self._estate.related(g, "topics")] or groups

    @staticmethod
    def _named(incident: Incident) -> list[Entity]:
        """Groups that the evidence names in its detail (``groups``), in order."""
        found: dict[Entity, None] = {}
        for (e, _), evidence in sorted(incident.evidence.items()):
            found.update({Entity("group", e.cluster, str(n)): None for n in evidence.symptom.detail.get("groups", ())})
        return list(found)

    def _of_groups(self, groups: list[Entity]) -> Found | None:
        """The first of these groups whose service, or else whose own row, has an owner."""
        for g in groups:
            service = self._ownership.service_of(g, sink_connectors(self._estate, g))
            found = self._service_row(g.cluster, service) if service else None
            if found is not None:
                return found
            m = self._ownership.resolve("group", g.cluster, g.name)
            if m is not None and m.row.owner:
                return _found(m, m.row.owner)
        return None

    def _service_row(self, cluster: str, service: str) -> Found | None:
        m = self._ownership.resolve("service", cluster, service)
        return _found(m, m.row.owner) if m is not None and m.row.owner else None

    def _walk(self, kind: str, incident: Incident) -> list[Entity]:
        """Entities of a kind at or near the root: those that show symptoms first, then those affected, then by name."""
        root = incident.root
        if root.kind == kind:
            return [root]
        if root.kind == "partition":
            root = Entity("topic", root.cluster, root.name.rpartition("/")[0])
            if kind == "topic":
                return [root]
        near: dict[Entity, None] = {}
        for path in _LINKS.get(kind, {}).get(root.kind, ()):
            ends = [root]
            for relation in path:
                ends = list(dict.fromkeys(x for e in ends for x in self._estate.related(e, relation)))
                if relation == "topic-connectors":  # who feeds a topic answers for it, not the sinks that read it
                    ends = [x for x in ends if not self._estate.related(x, "group")]
            near.update(dict.fromkeys(ends))
        shown = {e: None for e, _ in incident.evidence}
        felt = dict.fromkeys(incident.affected)
        if not near:
            near.update(dict.fromkeys(e for e in (*shown, *felt) if e.kind == kind))
        return sorted(near, key=lambda e: (e not in shown, e not in felt, e))


def _behind(incident: Incident) -> list[Entity]:
    """Groups of the evidence that read old records: who falls behind for their sake last, and who does so still first."""
    found = [
        ((e, "lag-growing") in incident.evidence, evidence.cleared_ms is not None, evidence.symptom.since_ms, e)
        for (e, kind), evidence in incident.evidence.items()
        if e.kind == "group" and kind in READING_OLD
    ]
    return list(dict.fromkeys(e for *_, e in sorted(found)))


def _denied(incident: Incident) -> list[Entity]:
    """Topics that somebody was denied, as the evidence names them (``resources``: ``READ Topic:payments``, or as Kafka's own
    log spells it, ``READ Topic:LITERAL:payments``)."""
    found: dict[Entity, None] = {}
    for (e, _), evidence in sorted(incident.evidence.items()):
        for text in evidence.symptom.detail.get("resources", ()):
            if named := _TOPIC.search(str(text)):
                found[Entity("topic", e.cluster, named[1])] = None
    return list(found)


def _found(match: Match, team: str) -> Found:
    return Found(team, match.via, match, match.row.runbook, match.row.escalation)
