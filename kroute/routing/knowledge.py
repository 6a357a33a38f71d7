"""What rows state, as the first stage asks for it."""

from __future__ import annotations

from kroute.contracts.common import Entity
from kroute.routing.ownership import OwnershipIndex, sink_connectors
from kroute.signals.estate import Estate
from kroute.signals.model import Link


class DomainKnowledge:
    """The first stage's questions, answered for one domain: a sink's group finds its service by its connector's row."""

    def __init__(self, ownership: OwnershipIndex, estate: Estate) -> None:
        self._ownership = ownership
        self._estate = estate

    def objective_s(self, cluster: str, group: str, topic: str | None) -> float | None:
        """Freshness objective in seconds."""
        connectors = sink_connectors(self._estate, Entity("group", cluster, group))
        return self._ownership.objective_s(cluster, group, topic, connectors)

    def data_age_objective_s(self, cluster: str, topic: str) -> float | None:
        """Longest time without a record, seconds."""
        return self._ownership.data_age_objective_s(cluster, topic)

    def isolation(self, cluster: str, group: str) -> str | None:
        """``read_committed`` | ``read_uncommitted``, where stated."""
        return self._ownership.isolation(cluster, group)

    def schedule_period_s(self, cluster: str, group: str) -> float | None:
        """Period of a batch consumer in seconds, where stated."""
        return self._ownership.schedule_period_s(cluster, group)

    def topic_period_s(self, cluster: str, topic: str) -> float | None:
        """Longest meant time between two records of a topic in seconds, where stated."""
        return self._ownership.topic_period_s(cluster, topic)

    def links_from(self, cluster: str) -> tuple[Link, ...]:
        """Migration links that have this cluster as their source."""
        return self._ownership.links_from(cluster)

    def link(self, entity: Entity) -> Link | None:
        """One link, where a row states both of its clusters."""
        return self._ownership.link(entity)

    def classed(self) -> bool:
        """True when any topic's row states a data class."""
        return self._ownership.classed()

    def data_class(self, cluster: str, topic: str) -> str | None:
        """Data class of a topic, where stated."""
        return self._ownership.data_class(cluster, topic)

    def outside_class(self, cluster: str, group: str, topic: str, principals: tuple[str, ...]) -> str | None:
        """Why the group has no right to the topic's data class; its principals may be stated by rows too."""
        e = Entity("group", cluster, group)
        stated = [p.name for p in self._estate.related(e, "group-principals")]
        return self._ownership.outside_class(cluster, group, topic, (*principals, *stated), sink_connectors(self._estate, e))
