"""The estate of one domain: which entities exist and how they hang together.

Fed by topology, consumer-lag and connector-status messages and by ownership rows; diagnosis walks its relations,
all of which are on a closed list, each with its inverse (signals.md, "Names and relations").
"""

from __future__ import annotations

from collections.abc import Iterable
import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.inputs import BrokerMetrics, ConnectorStatus, ConsumerLag, Topology
from kroute.signals.model import Rows

RELATIONS: dict[str, str] = {
    "topics": "consumers",             # group → topics it reads;            topic → consumers (groups)
    "leaders": "led-groups",           # group → brokers leading what it reads; broker → groups
    "coordinator": "coordinated",      # group → broker;                      broker → groups
    "racks": "rack-groups",            # group → racks of its members;        rack → groups
    "topic-leaders": "led-topics",     # topic → brokers leading a partition; broker → topics
    "replicas": "hosted-topics",       # topic → brokers with a replica;      broker → topics
    "system": "connectors",            # connector → outside system;          system → connectors
    "worker": "worker-connectors",     # connector → Connect workers;         worker → connectors
    "group": "connector",              # sink connector → its group;          group → connector
    "connector-topics": "topic-connectors",
    "rack": "brokers",                 # broker → rack;                       rack → brokers
    "cluster": "members",              # any entity → its cluster (virtual);  cluster → its entities
    "principal-topics": "topic-principals",
    "principal-groups": "group-principals",
    "link-clusters": "links",
    "services": "service-groups",      # group → services;                    service → groups
    "transaction-topics": "transactions",
}  # fmt: skip
"""Relation → its inverse."""

_INVERSE = RELATIONS | {v: k for k, v in RELATIONS.items()}


class Estate:
    """Relations between entities, kept as edges by their owner so that a new report replaces the old one."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._out: dict[tuple[Entity, str], dict[Entity, None]] = {}
        self._in: dict[tuple[Entity, str], dict[Entity, None]] = {}
        self._all: dict[tuple[str, str], dict[Entity, None]] = {}
        self._refs: dict[Entity, int] = {}
        self._kept: dict[Entity, None] = {}
        self.platforms: dict[str, str] = {}
        """Cluster → ``kafka`` | ``automq``."""
        self._leaders: dict[tuple[str, str], tuple[int, ...]] = {}
        """(cluster, topic) → leader by partition id, -1 where there is none."""
        self.brokers: dict[str, dict[int, str]] = {}
        """Cluster → broker id → ``alive`` | ``fenced`` | ``gone``."""

    # -- reading ---------------------------------------------------------------------------------------------

    def related(self, entity: Entity, relation: str) -> list[Entity]:
        """Entities at the other end of ``relation`` (a name of ``RELATIONS`` or an inverse), sorted."""
        if relation == "cluster":
            return [Entity("cluster", entity.cluster, entity.cluster)]
        if relation == "members":
            return sorted(e for (k, c), es in self._all.items() if c == entity.cluster for e in es)
        if relation in RELATIONS:
            return sorted(self._out.get((entity, relation), ()))
        return sorted(self._in.get((entity, _INVERSE[relation]), ()))

    def has(self, entity: Entity) -> bool:
        """True when a report or an edge has named the entity and none has removed it since."""
        return entity in self._all.get((entity.kind, entity.cluster), ())

    def of_kind(self, kind: str, cluster: str) -> list[Entity]:
        """All known entities of a kind in a cluster, sorted."""
        return sorted(self._all.get((kind, cluster), ()))

    def platform(self, cluster: str) -> str:
        """``kafka`` unless a source of the cluster says otherwise."""
        return self.platforms.get(cluster, "kafka")

    def leader(self, cluster: str, topic: str, partition: int) -> int | None:
        """Leader's broker id as topology last told it; None where not known, -1 where there is none."""
        ids = self._leaders.get((cluster, topic))
        return ids[partition] if ids is not None and 0 <= partition < len(ids) else None

    # -- feeding ---------------------------------------------------------------------------------------------

    def observe_topology(self, m: Topology) -> None:
        """Placement: leaders, replicas, racks. A broker that was listed and is absent is gone."""
        if not m.up:
            return
        c = m.cluster
        if m.platform:
            self._platform(c, m.platform)
        if m.brokers:
            known = dict(self.brokers.get(c, {}))
            if m.parts == 1:
                known = dict.fromkeys(known, "gone")
            for b in m.brokers:
                known[b.id] = b.state
                e = Entity("broker", c, str(b.id))
                self._keep(e)
                if b.rack:
                    self._edges(e, "rack", [Entity("rack", c, b.rack)])
                if b.platform:
                    self._platform(c, b.platform)
            if known != self.brokers.get(c):
                self.brokers[c] = known
                self._rows.put("topology", f"brokers|{c}", msgspec.msgpack.encode(sorted(known.items())))
        named: dict[str, None] = {}
        for t in m.topics:
            named[t.name] = None
            e = Entity("topic", c, t.name)
            width = max((p.id for p in t.partitions), default=-1) + 1
            ids = [-1] * width
            for p in t.partitions:
                ids[p.id] = -1 if p.leader is None else p.leader
            if self._leaders.get((c, t.name)) != tuple(ids):
                self._leaders[(c, t.name)] = tuple(ids)
                self._rows.put("topology", f"leaders|{c}|{t.name}", msgspec.msgpack.encode(ids))
            self._edges(e, "topic-leaders", [_broker(c, i) for i in ids if i >= 0])
            self._edges(e, "replicas", [_broker(c, i) for p in t.partitions for i in p.replicas])
        if m.topics and m.parts == 1:
            for e in [t for t in self.of_kind("topic", c) if t.name not in named]:
                self.forget(e)
        for x in m.transactions:
            e = Entity("transaction", c, x.id)
            self._edges(e, "transaction-topics", [Entity("topic", c, t) for t, _ in x.partitions])

    def observe_lag(self, m: ConsumerLag) -> None:
        """A group's topics, leaders, coordinator and the racks of its members. ``Dead`` removes it."""
        e = Entity("group", m.cluster, m.group)
        if not m.up:
            return
        if m.state == "Dead":
            self.forget(e)
            return
        c = m.cluster
        topics: dict[str, None] = {}
        leaders: dict[int, None] = {}
        for p in m.partitions:
            topics[p.topic] = None
            leader = p.leader if p.leader is not None else self.leader(c, p.topic, p.partition)
            if leader is not None and leader >= 0:
                leaders[leader] = None
        if m.parts == 1 or m.part == 0:
            self._edges(e, "topics", [Entity("topic", c, t) for t in topics])
            self._edges(e, "leaders", [_broker(c, i) for i in leaders])
        else:
            self._edges(e, "topics", [*self.related(e, "topics"), *(Entity("topic", c, t) for t in topics)])
            self._edges(e, "leaders", [*self.related(e, "leaders"), *(_broker(c, i) for i in leaders)])
        if m.coordinator is not None and m.coordinator >= 0:
            self._edges(e, "coordinator", [_broker(c, m.coordinator)])
        if m.members is not None:
            self._edges(e, "racks", [Entity("rack", c, x.rack) for x in m.members if x.rack])

    def observe_connector(self, m: ConnectorStatus) -> None:
        """A connector's system, workers, group and topics."""
        if not m.up:
            return
        c = m.cluster
        e = Entity("connector", c, f"{m.connect}/{m.connector}")
        if m.state == "DELETED":
            self.forget(e)
            return
        self._keep(e)
        if m.system:
            self.connect_system(e, m.system)
        workers = [w for w in (m.worker, *(t.worker for t in m.tasks)) if w]
        self._edges(e, "worker", [Entity("connect-worker", c, f"{m.connect}/{w}") for w in workers])
        group = m.group or (f"connect-{m.connector}" if m.type == "sink" else None)
        if group:
            self._edges(e, "group", [Entity("group", c, group)])
        self._edges(e, "connector-topics", [Entity("topic", c, t) for t in m.topics])

    def observe_metrics(self, m: BrokerMetrics) -> None:
        """The platform and rack that a scrape tells."""
        s = m.source
        if s.platform and s.kind in ("broker", "controller"):
            self._platform(m.cluster, s.platform)
        if s.kind == "broker":
            e = Entity("broker", m.cluster, s.id)
            self._keep(e)
            if s.rack:
                self._edges(e, "rack", [Entity("rack", m.cluster, s.rack)])

    def connect_system(self, connector: Entity, system: str) -> None:
        """A connector's outside system, from its status or its ownership row."""
        self._edges(connector, "system", [Entity("system", connector.cluster, system)])

    def connect(self, entity: Entity, relation: str, others: Iterable[Entity]) -> None:
        """Set a relation that a row states (services of a group, topics of a principal, clusters of a link)."""
        self._edges(entity, relation, others)

    def forget(self, entity: Entity) -> None:
        """The entity is gone: so are its edges."""
        if entity in self._kept:
            del self._kept[entity]
            self._ref(entity, -1)
            self._rows.drop("topology", f"entity|{entity.kind}|{entity.cluster}|{entity.name}")
        for relation in RELATIONS:
            if (entity, relation) in self._out:
                self._edges(entity, relation, ())
        if entity.kind == "topic" and self._leaders.pop((entity.cluster, entity.name), None) is not None:
            self._rows.drop("topology", f"leaders|{entity.cluster}|{entity.name}")

    # -- edges and rows --------------------------------------------------------------------------------------

    def _keep(self, e: Entity) -> None:
        """The entity exists even while nothing is related to it."""
        if e not in self._kept:
            self._kept[e] = None
            self._ref(e, 1)
            self._rows.put("topology", f"entity|{e.kind}|{e.cluster}|{e.name}", b"1")

    def _ref(self, e: Entity, by: int) -> None:
        n = self._refs.get(e, 0) + by
        if n > 0:
            self._refs[e] = n
            self._all.setdefault((e.kind, e.cluster), {})[e] = None
        else:
            self._refs.pop(e, None)
            self._all.get((e.kind, e.cluster), {}).pop(e, None)

    def _platform(self, cluster: str, platform: str) -> None:
        if self.platforms.get(cluster) != platform:
            self.platforms[cluster] = platform
            self._rows.put("topology", f"platform|{cluster}", platform.encode())

    def _edges(self, e: Entity, relation: str, others: Iterable[Entity]) -> None:
        new = sorted(set(others))
        if new == list(self._out.get((e, relation), ())):
            return
        self._set_edges(e, relation, new)
        row = f"edge|{relation}|{e.kind}|{e.cluster}|{e.name}"
        if new:
            self._rows.put("topology", row, msgspec.msgpack.encode(new))
        else:
            self._rows.drop("topology", row)

    def _set_edges(self, e: Entity, relation: str, new: list[Entity]) -> None:
        key = (e, relation)
        old = self._out.pop(key, {})
        for o in old:
            self._in[(o, relation)].pop(e, None)
            self._ref(o, -1)
        self._ref(e, bool(new) - bool(old))
        for o in new:
            self._in.setdefault((o, relation), {})[e] = None
            self._ref(o, 1)
        if new:
            self._out[key] = dict.fromkeys(new)

    def load(self, key: str, value: bytes) -> None:
        """One row of table ``topology`` at recovery; other rows of the table are left alone."""
        kind, _, rest = key.partition("|")
        if kind == "edge":
            relation, ekind, cluster, name = rest.split("|", 3)
            others: list[tuple[str, str, str]] = msgspec.msgpack.decode(value)
            self._set_edges(Entity(ekind, cluster, name), relation, [Entity(*o) for o in others])
        elif kind == "entity":
            e = Entity(*rest.split("|", 2))
            self._kept[e] = None
            self._ref(e, 1)
        elif kind == "leaders":
            cluster, name = rest.split("|", 1)
            self._leaders[(cluster, name)] = tuple(msgspec.msgpack.decode(value))
        elif kind == "platform":
            self.platforms[rest] = value.decode()
        elif kind == "brokers":
            self.brokers[rest] = dict(msgspec.msgpack.decode(value))


def _broker(cluster: str, i: int) -> Entity:
    return Entity("broker", cluster, str(i))
