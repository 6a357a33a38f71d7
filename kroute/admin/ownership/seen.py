"""What collectors saw lately: the groups, topics, connectors, systems and principals that rows should cover."""

from __future__ import annotations

from kroute.admin import log
from kroute.contracts import codec
from kroute.contracts.common import Entity
from kroute.contracts.inputs import Access, ConnectorStatus, ConsumerLag, Topology
from kroute.errors import BadMessage
from kroute.settings import Settings

BACK_MS = 15 * 60_000
_TOPICS = ("consumer-lag", "topology", "connector-status", "access")


def seen(settings: Settings, now_ms: int) -> list[Entity]:
    """Entities of the input topics' last 15 minutes; Kafka's internal topics and kroute's own are left out.

    Raises:
        StateError, SourceUnreachable: as ``kroute.admin.log``.
    """
    found: dict[Entity, None] = {}
    own = (settings.names.prefix, settings.app_id, settings.names.alerts, "__")
    for short in _TOPICS:
        for r in log.records(settings, [settings.names.full(short)], now_ms - BACK_MS):
            try:
                message = codec.decode(short, r.value)
            except BadMessage:
                continue
            found.update(dict.fromkeys(e for e in _entities(message) if not e.name.startswith(own)))
    return sorted(found)


def _entities(m: object) -> list[Entity]:
    if isinstance(m, ConsumerLag):
        return [Entity("group", m.cluster, m.group)] if m.state != "Dead" else []
    if isinstance(m, Topology):
        return [Entity("topic", m.cluster, t.name) for t in m.topics]
    if isinstance(m, ConnectorStatus):
        system = [Entity("system", m.cluster, m.system)] if m.system else []
        return [Entity("connector", m.cluster, f"{m.connect}/{m.connector}"), *system]
    if isinstance(m, Access):
        named = [r.get("principal") for r in (*m.acls, *m.quotas, *m.denials)]
        return [Entity("principal", m.cluster, p) for p in named if isinstance(p, str) and p]
    return []
