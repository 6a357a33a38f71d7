"""The estate of one domain: which entities exist and how they hang together.

Fed by topology, consumer-lag and connector-status messages and by ownership rows; diagnosis walks its relations,
all of which are on a closed list, each with its inverse (README, "Names and relations"). What was observed before the
last change of a relation does not change it back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import attrgetter

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.inputs import BrokerMetrics, ConnectorStatus, ConsumerLag, Topology, worker_name
from kroute.signals import rowkeys
from kroute.signals.coordinator import OFFSETS_TOPIC, coordinator_of
from kroute.signals.ended import Ended
from kroute.signals.former import HELD, Former
from kroute.signals.model import Rows
from kroute.signals.partition_brokers import PartitionBrokers
from kroute.signals.parts import Parts

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
    "probed-rack": "probes",           # source (a probe) → the rack it runs in; rack → sources
    "cluster": "members",              # any entity → its cluster (virtual);  cluster → its entities
    "principal-topics": "topic-principals",
    "principal-groups": "group-principals",
    "link-clusters": "links",
    "services": "service-groups",      # group → services;                    service → groups
    "transaction-topics": "transactions",
}  # fmt: skip
"""Relation → its inverse."""

_INVERSE = RELATIONS | {v: k for k, v in RELATIONS.items()}
TABLE = "topology"
_TOPIC, _LEADER = attrgetter("topic"), attrgetter("leader")
MOST_GONE = 1000
"""Groups and connectors whose end is remembered, so that a message from before it does not bring them back."""


class Estate:
    """Relations between entities, kept as edges by their owner so that a new report replaces the old one."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._out: dict[tuple[Entity, str], tuple[Entity, ...]] = {}
        self._in: dict[tuple[Entity, str], dict[Entity, None]] = {}
        self._all: dict[tuple[str, str], dict[Entity, None]] = {}
        self._refs: dict[Entity, int] = {}
        self._kept: dict[Entity, None] = {}
        self.platforms: dict[str, str] = {}
        """Cluster → ``kafka`` | ``automq``."""
        self._leaders: dict[tuple[str, str], tuple[int, ...]] = {}
        """(cluster, topic) → leader by partition id, -1 where there is none."""
        self._leaders_at: dict[tuple[str, str], int] = {}
        self._brokers_at: dict[str, int] = {}
        self._edges_at: dict[tuple[Entity, str], int] = {}
        """When what is known was observed first; statements of people have no time."""
        self._placed: dict[tuple[str, str], tuple[tuple[int, int | None, tuple[int, ...]], ...]] = {}
        """Cache: (cluster, topic) → the placement that relations were last set from; the same again changes nothing."""
        self._gone: dict[Entity, int] = {}
        self._ended = Ended(rows, TABLE)
        self.former = Former(rows, TABLE)
        self.partitions = PartitionBrokers(rows, TABLE, self.former.counts)
        self._parts = Parts(rows, TABLE)
        self.brokers: dict[str, dict[int, str]] = {}
        """Cluster → broker id → ``alive`` | ``fenced`` | ``gone``."""

    # -- reading ---------------------------------------------------------------------------------------------

    def related(self, entity: Entity, relation: str) -> list[Entity]:
        """Entities at the other end of ``relation`` (a name of ``RELATIONS`` or an inverse), sorted.

        A broker that is gone keeps what it led and coordinated when it went.
        """
        if relation == "cluster":
            return [Entity("cluster", entity.cluster, entity.cluster)]
        if relation == "members":
            return sorted(e for (k, c), es in self._all.items() if c == entity.cluster for e in es)
        now: Collection[Entity]
        if relation in RELATIONS:
            now, before = self._out.get((entity, relation), ()), self.former.holders(entity, relation)
        else:
            inverse = _INVERSE[relation]
            now, before = self._in.get((entity, inverse), ()), self.former.held(entity, inverse)
        return sorted({*now, *before} if before else now) if before or len(now) > 1 else list(now)

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
        c, at = m.cluster, m.observed_at_ms
        if m.platform:
            self._platform(c, m.platform)
        for b in m.brokers:
            e = Entity("broker", c, str(b.id))
            self._keep(e)
            if b.rack:
                self._edges(e, "rack", [Entity("rack", c, b.rack)], at)
            if b.platform:
                self._platform(c, b.platform)
        for t in m.topics:
            placed = tuple((p.id, p.leader, p.replicas) for p in t.partitions)
            if self._placed.get((c, t.name)) == placed:
                continue
            e = Entity("topic", c, t.name)
            ids = [-1] * (max((p.id for p in t.partitions), default=-1) + 1)
            copies: list[tuple[int, ...]] = [()] * len(ids)
            hosts: dict[int, None] = {}
            for p in t.partitions:
                ids[p.id], copies[p.id] = -1 if p.leader is None else p.leader, p.replicas
                hosts.update(dict.fromkeys(p.replicas))
            key = (c, t.name)
            if self._leaders.get(key) != tuple(ids) and at >= self._leaders_at.get(key, -1):
                self.partitions.moved(c, t.name, self._leaders.get(key, ()), ids, at)
                self._leaders[key], self._leaders_at[key] = tuple(ids), at
                self._rows.put(TABLE, rowkeys.join("leaders", c, t.name), msgspec.msgpack.encode((at, ids)))
            self.partitions.hosted(c, t.name, copies, at)
            self._edges(e, "topic-leaders", [_broker(c, i) for i in dict.fromkeys(ids) if i >= 0], at)
            self._edges(e, "replicas", [_broker(c, i) for i in hosts], at)
            known = (self._leaders_at.get(key, -1), *(self._edges_at.get((e, r), -1) for r in ("topic-leaders", "replicas")))
            if at >= max(known):
                self._placed[key] = placed
            else:
                self._placed.pop(key, None)  # late: what it said was not all taken
        for x in m.transactions:
            topics = dict.fromkeys(t for t, _ in x.partitions)
            self._edges(Entity("transaction", c, x.id), "transaction-topics", [Entity("topic", c, t) for t in topics], at)
        self._brokers(c, {b.id: b.state for b in m.brokers}, [], at)
        whole = self._parts.collect(Entity("cluster", c, c), m, [t.name for t in m.topics], [b.id for b in m.brokers])
        if whole is not None:
            self._absent(m, *whole)

    def _absent(self, m: Topology, topics: list[str], brokers: list[int]) -> None:
        """What a complete poll does not list is gone: brokers, deleted topics, ended transactions."""
        c, at = m.cluster, m.observed_at_ms
        if brokers:
            self._brokers(c, {}, brokers, at)
        if topics:
            named = dict.fromkeys(topics)
            for e in self.of_kind("topic", c):
                if e.name not in named and at >= self._leaders_at.get((c, e.name), -1):
                    self.forget(e)
        if m.parts == 1:
            listed = dict.fromkeys(x.id for x in m.transactions)
            for e in self.of_kind("transaction", c):
                since = self._edges_at.get((e, "transaction-topics"), -1)
                if e.name in listed:
                    self._ended.runs(e)
                elif at >= since and self._ended.over(e, since, at):
                    self.forget(e)

    def _brokers(self, c: str, states: dict[int, str], only: list[int], at: int) -> None:
        """Set states that are told; ``only``, where given, is every broker there is."""
        old = self.brokers.get(c, {})
        new = {**old, **states}
        if only:
            there = dict.fromkeys(only)
            new = {i: state if i in there else "gone" for i, state in new.items()}
        if at >= self._brokers_at.get(c, -1):
            self.former.states({_broker(c, i): state == "alive" for i, state in new.items()}, at)
        if new != old and at >= self._brokers_at.get(c, -1):
            self.brokers[c], self._brokers_at[c] = new, at
            self._rows.put(TABLE, rowkeys.join("brokers", c), msgspec.msgpack.encode((at, sorted(new.items()))))

    def observe_lag(self, m: ConsumerLag) -> None:
        """A group's topics, leaders, coordinator and the racks of its members. ``Dead`` removes it."""
        c, at, e = m.cluster, m.observed_at_ms, Entity("group", m.cluster, m.group)
        if not m.up or not self._alive(e, at):
            return
        if m.state == "Dead":
            if at >= self._edges_at.get((e, "topics"), -1):
                self.forget(e)
                self._bury(e, at)
            return
        topics = dict.fromkeys(map(_TOPIC, m.partitions))
        told = dict.fromkeys(map(_LEADER, m.partitions))
        if None in told:
            told = dict.fromkeys(self.leader(c, p.topic, p.partition) if p.leader is None else p.leader for p in m.partitions)
        leaders = [i for i in told if i is not None and i >= 0]
        whole = self._parts.collect(e, m, list(topics), leaders)
        if whole is not None:
            self._named(e, "topics", "topic", whole[0], at)
            self._named(e, "leaders", "broker", [str(i) for i in whole[1]], at)
        by = coordinator_of(m.group, self._leaders.get((c, OFFSETS_TOPIC), ())) if m.coordinator is None else m.coordinator
        if by >= 0:
            self._named(e, "coordinator", "broker", [str(by)], at)
        if m.members is not None and m.part == 0:
            self._edges(e, "racks", [Entity("rack", c, x.rack) for x in m.members if x.rack], at)

    def observe_connector(self, m: ConnectorStatus) -> None:
        """A connector's system, workers, group and topics."""
        c, at = m.cluster, m.observed_at_ms
        e = Entity("connector", c, f"{m.connect}/{m.connector}")
        if not m.up or not self._alive(e, at):
            return
        if m.state == "DELETED":
            if at >= self._edges_at.get((e, "worker"), -1):
                self.forget(e)
                self._bury(e, at)
            return
        self._keep(e)
        if m.system:
            self._edges(e, "system", [Entity("system", c, m.system)], at)
        workers = [w for w in (m.worker, *(t.worker for t in m.tasks)) if w]
        self._edges(e, "worker", [Entity("connect-worker", c, worker_name(m.connect, w)) for w in workers], at)
        group = m.group or (f"connect-{m.connector}" if m.type == "sink" else None)
        if group:
            self._edges(e, "group", [Entity("group", c, group)], at)
        self._edges(e, "connector-topics", [Entity("topic", c, t) for t in m.topics], at)

    def observe_metrics(self, m: BrokerMetrics) -> None:
        """The platform and rack that a scrape tells."""
        s = m.source
        if s.platform and s.kind in ("broker", "controller"):
            self._platform(m.cluster, s.platform)
        if s.kind == "broker":
            e = Entity("broker", m.cluster, s.id)
            self._keep(e)
            if s.rack:
                self._edges(e, "rack", [Entity("rack", m.cluster, s.rack)], m.observed_at_ms)
        if s.kind == "probe" and s.rack:
            probe = Entity("source", m.cluster, f"broker-metrics/probe/{s.id}")
            self._edges(probe, "probed-rack", [Entity("rack", m.cluster, s.rack)], m.observed_at_ms)

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
            self._rows.drop(TABLE, rowkeys.join("entity", *entity))
        for relation in RELATIONS:
            if (entity, relation) in self._out:
                self._edges(entity, relation, ())
        self.former.forget(entity)
        self._parts.forget(entity)
        self._placed.pop((entity.cluster, entity.name), None)
        if entity.kind == "topic" and self._leaders.pop((entity.cluster, entity.name), None) is not None:
            self._leaders_at.pop((entity.cluster, entity.name), None)
            self.partitions.forget(entity.cluster, entity.name)
            self._rows.drop(TABLE, rowkeys.join("leaders", entity.cluster, entity.name))

    # -- edges and rows --------------------------------------------------------------------------------------

    def _keep(self, e: Entity) -> None:
        """The entity exists even while nothing is related to it."""
        if e not in self._kept:
            self._kept[e] = None
            self._ref(e, 1)
            self._rows.put(TABLE, rowkeys.join("entity", *e), b"1")

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
            self._rows.put(TABLE, rowkeys.join("platform", cluster), platform.encode())

    def _alive(self, e: Entity, at: int) -> bool:
        """False for what was observed before the entity was told to be gone."""
        gone = self._gone.get(e)
        if gone is None:
            return True
        if at <= gone:
            return False
        del self._gone[e]
        self._rows.drop(TABLE, rowkeys.join("gone", *e))
        return True

    def _bury(self, e: Entity, at: int) -> None:
        self._gone[e] = at
        self._rows.put(TABLE, rowkeys.join("gone", *e), msgspec.msgpack.encode(at))
        if len(self._gone) > MOST_GONE:
            oldest = min(self._gone, key=lambda g: (self._gone[g], g))
            del self._gone[oldest]
            self._rows.drop(TABLE, rowkeys.join("gone", *oldest))

    def _named(self, e: Entity, relation: str, kind: str, names: list[str], at: int) -> None:
        """``_edges`` to entities of one kind in the cluster; most polls say what the last one said."""
        old = self._out.get((e, relation), ())
        if len(old) == len(names) == 1:
            same = old[0].name == names[0]
        else:
            same = len(old) == len(names) and [o.name for o in old] == sorted(names)
        if not same:
            self._edges(e, relation, [Entity(kind, e.cluster, n) for n in names], at)

    def _edges(self, e: Entity, relation: str, others: Iterable[Entity], at: int | None = None) -> None:
        new = sorted(dict.fromkeys(others))
        key = (e, relation)
        if new == list(self._out.get(key, ())) or (at is not None and at < self._edges_at.get(key, -1)):
            return
        if at is not None and relation in HELD:
            gone = [o for o in self._out.get(key, ()) if o not in new]
            self.former.lost(e, relation, gone, at, told=e.cluster in self.brokers)
        self._set_edges(e, relation, new)
        row = rowkeys.join("edge", relation, *e)
        if new:
            since = self._edges_at[key] = at if at is not None else self._edges_at.get(key, -1)
            self._rows.put(TABLE, row, msgspec.msgpack.encode((since, new)))
        else:
            self._edges_at.pop(key, None)
            self._rows.drop(TABLE, row)

    def _set_edges(self, e: Entity, relation: str, new: list[Entity]) -> None:
        key = (e, relation)
        old = self._out.pop(key, ())
        for o in old:
            inward = self._in[(o, relation)]
            del inward[e]
            if not inward:
                del self._in[(o, relation)]
            self._ref(o, -1)
        self._ref(e, bool(new) - bool(old))
        for o in new:
            self._in.setdefault((o, relation), {})[e] = None
            self._ref(o, 1)
        if new:
            self._out[key] = tuple(dict.fromkeys(new))

    def load(self, key: str, value: bytes) -> None:
        """One row of table ``topology`` at recovery; other rows of the table are left alone."""
        kind, *rest = rowkeys.split(key)
        if kind == "edge":
            e = Entity(*rest[1:])
            self._edges_at[(e, rest[0])], others = msgspec.msgpack.decode(value, type=tuple[int, list[Entity]])
            self._set_edges(e, rest[0], others)
        elif kind == "entity":
            e = Entity(*rest)
            self._kept[e] = None
            self._ref(e, 1)
        elif kind == "leaders":
            at, ids = msgspec.msgpack.decode(value, type=tuple[int, list[int]])
            self._leaders[(rest[0], rest[1])], self._leaders_at[(rest[0], rest[1])] = tuple(ids), at
        elif kind in ("moved", "hosts"):
            self.partitions.load(kind, rest[0], rest[1], value)
        elif kind == "platform":
            self.platforms[rest[0]] = value.decode()
        elif kind == "brokers":
            self._brokers_at[rest[0]], states = msgspec.msgpack.decode(value, type=tuple[int, list[tuple[int, str]]])
            self.brokers[rest[0]] = dict(states)
        elif kind == "ended":
            self._ended.load(Entity(*rest), value)
        elif kind in ("former", "left", "went"):
            self.former.load(kind, rest, value)
        elif kind == "gone":
            self._gone[Entity(*rest)] = msgspec.msgpack.decode(value, type=int)
        elif kind in ("open", "whole"):
            self._parts.load(kind, rest, value)


def _broker(cluster: str, i: int) -> Entity:
    return Entity("broker", cluster, str(i))
