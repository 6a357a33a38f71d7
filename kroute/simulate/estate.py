"""A random estate of a wanted size: who owns what, who produces, who reads, and how much of each capacity is in use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kroute.simulate.spec import (
    CLUSTER,
    LINK_ROOM,
    SOURCE_CLUSTER,
    BrokerSpec,
    ConnectorSpec,
    Estate,
    GroupSpec,
    LinkSpec,
    PrincipalSpec,
    ServiceSpec,
    SystemSpec,
    TopicSpec,
    WorkerSpec,
)

TEAMS = (
    "payments",
    "search",
    "orders",
    "logistics",
    "pricing",
    "fraud",
    "crm",
    "ads",
    "billing",
    "catalog",
    "identity",
    "reports",
)
NOUNS = ("orders", "payments", "clicks", "prices", "stock", "shipments", "users", "sessions", "invoices", "events", "reviews",
         "carts", "refunds", "alerts", "routes", "offers")  # fmt: skip
KINDS = ("elasticsearch", "postgres", "s3", "snowflake", "mongodb", "redis")
CLASSES = {
    "elasticsearch": "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector",
    "postgres": "io.confluent.connect.jdbc.JdbcSinkConnector",
    "s3": "io.confluent.connect.s3.S3SinkConnector",
    "snowflake": "com.snowflake.kafka.connector.SnowflakeSinkConnector",
    "mongodb": "com.mongodb.kafka.connect.MongoSinkConnector",
    "redis": "com.github.jcustenborder.kafka.connect.redis.RedisSinkConnector",
}
SOURCE_CLASS = "io.debezium.connector.postgresql.PostgresConnector"
SPARE = {"small": (3, 6), "medium": (6, 24), "large": (12, 120)}
"""Size → (brokers, groups)."""


@dataclass(frozen=True)
class Size:
    """How many brokers and consumer groups (sinks' groups come on top)."""

    brokers: int
    groups: int


class _Builder:
    def __init__(self, rng: np.random.Generator, size: Size, platform: str, link: bool) -> None:
        self.rng = rng
        self.size = size
        self.estate = Estate(platform)
        self.racks = ["az-a", "az-b", "az-c"]
        self.link = link
        self.teams = [f"team-{t}" for t in TEAMS[: max(4, min(len(TEAMS), size.groups // 2))]]

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def pick(self, items: list[str]) -> str:
        return items[int(self.rng.integers(len(items)))]

    def build(self) -> Estate:
        self._brokers()
        self._topics()
        self._connect()
        self._groups()
        if self.link:
            self._link()
        return self.estate

    def _brokers(self) -> None:
        for i in range(self.size.brokers):
            self.estate.brokers.append(BrokerSpec(
                id=i + 1, cluster=CLUSTER, rack=self.racks[i % 3], voter=i < 3, disk_used=self.uniform(0.3, 0.62),
                page_cache=self.uniform(8e9, 24e9), heap_live=self.uniform(1.6e9, 2.8e9),
            ))  # fmt: skip

    def _principal(self, name: str, owner: str, quota: float | None = None) -> str:
        if all(p.name != name for p in self.estate.principals):
            self.estate.principals.append(PrincipalSpec(name, owner, quota))
        return name

    def _topics(self) -> None:
        n = max(4, round(self.size.groups * 0.6))
        for i in range(n):
            owner = self.teams[i % len(self.teams)]
            short = owner.removeprefix("team-")
            noun = NOUNS[i % len(NOUNS)]
            name = f"{short}.{noun}" + ("" if i < len(NOUNS) else f"-{i // len(NOUNS)}")
            writers = tuple(
                self._principal(
                    f"svc-{short}-{NOUNS[i % len(NOUNS)]}-{j}" if j else f"svc-{short}-{NOUNS[i % len(NOUNS)]}", owner
                )
                for j in range(1 if self.rng.random() < 0.6 else 2)
            )
            compacted = bool(self.rng.random() < 0.12) and i != 1
            transactional = (not compacted and bool(self.rng.random() < 0.2)) or i == 1
            self.estate.topics.append(TopicSpec(
                name=name, cluster=CLUSTER, partitions=int(self.rng.choice(np.array([3, 6, 6, 12] if i else [6, 12]))),
                rate=float(np.clip(self.rng.lognormal(np.log(400), 1.0), 20, 6000)), record_bytes=self.uniform(200, 2500),
                service=f"{short}-api", owner=owner, producers=writers, peak_hour=self.uniform(9, 20),
                swing=self.uniform(0.15, 0.5), weekend=self.uniform(0.5, 1.1), noise=self.uniform(0.03, 0.12),
                skew=self.uniform(0.02, 0.2), compacted=compacted, txn_s=self.uniform(1, 8) if transactional else 0.0,
                retention_s=float(self.rng.choice([86_400, 3 * 86_400, 7 * 86_400])), batch_records=self.uniform(10, 60),
                data_class=str(self.rng.choice(["pci", "pii"])) if self.rng.random() < 0.25 or i == 2 else None,
                data_age_s=self.uniform(120, 600) if self.rng.random() < 0.4 else None,
                replicas=1 if self.estate.automq else 3, min_isr=1 if self.estate.automq else 2,
            ))  # fmt: skip

    def _service(self, team: str, what: str, at_least: float = 0.0) -> str:
        name = f"{team.removeprefix('team-')}-{what}"
        if all(s.name != name for s in self.estate.services):
            self.estate.services.append(
                ServiceSpec(
                    name, team, max(at_least, float(self.rng.choice([60, 120, 180, 300, 600]))), f"people see current {what}"
                )
            )
        return name

    def _groups(self) -> None:
        topics = [t for t in self.estate.topics if t.cluster == CLUSTER]
        for i in range(self.size.groups):
            team = self.pick(self.teams)
            count = int(self.rng.choice([1, 1, 1, 2, 3]))
            # every topic gets a reader first, then readers go where they like
            first = i % len(topics)
            reads = sorted({first, *(int(x) for x in self.rng.integers(len(topics), size=count - 1))})
            chosen = [topics[x] for x in reads]
            short = team.removeprefix("team-")
            noun = chosen[0].name.split(".")[1]
            partitions = sum(t.partitions for t in chosen)
            batch = 0.0 if i < 3 or self.rng.random() > 0.08 else float(self.rng.choice([600, 900]))
            self.estate.groups.append(GroupSpec(
                name=f"{short}-{noun}-g{i}", cluster=CLUSTER, topics=tuple(t.name for t in chosen),
                members=min(partitions, int(self.rng.integers(2, 7))), headroom=self.uniform(2.2, 5.0) * (4 if batch else 1),
                service=self._service(team, f"{noun}-batch" if batch else noun, batch * 3),
                principal=self._principal(f"svc-{short}-{noun}-reader", team),
                commit_s=float(self.rng.choice([5, 5, 5, 1, 10])), batch_s=batch,
                read_committed=any(t.txn_s for t in chosen) and (bool(self.rng.random() < 0.8) or i == 1),
                protocol="consumer" if self.rng.random() < 0.3 else "classic",
                session_s=float(self.rng.choice([10, 30, 45, 45])), rebalance_s=self.uniform(3, 10),
                static=bool(self.rng.random() < 0.2), coordinator=int(self.rng.integers(self.size.brokers)),
                racks=tuple(self.racks), follower_fetching=bool(self.rng.random() < 0.5),
            ))  # fmt: skip

    def _connect(self) -> None:
        e = self.estate
        workers = 2 if self.size.groups < 12 else 3
        e.workers = [WorkerSpec(f"w{i + 1}:8083") for i in range(workers)]
        sinks = max(4, min(12, self.size.groups // 3))
        systems = max(2, sinks // 3)
        for i in range(systems):
            kind = KINDS[i % len(KINDS)]
            e.systems.append(SystemSpec(f"{kind}-{'prod' if i < len(KINDS) else i}", f"team-{kind}", self.uniform(25, 180), kind))
        topics = list(e.topics)
        for i in range(sinks):
            t = topics[int(self.rng.integers(len(topics)))]
            system = e.systems[i % systems]
            team = self.pick(self.teams)
            name = f"{t.name.split('.')[1]}-to-{system.kind}-{i}"
            tasks = min(t.partitions, int(self.rng.integers(1, 5)))
            e.connectors.append(ConnectorSpec(
                name=name, type="sink", topic=t.name, system=system.name, tasks=tasks, owner="team-data",
                service=self._service(team, f"{t.name.split('.')[1]}-view", 180.0),
                class_=CLASSES[system.kind],
            ))  # fmt: skip
            e.groups.append(GroupSpec(
                name=f"connect-{name}", cluster=CLUSTER, topics=(t.name,), members=tasks, headroom=self.uniform(2.0, 4.0),
                service=e.connectors[-1].service, principal=self._principal("svc-connect", "team-data"),
                commit_s=float(self.rng.choice([10, 30, 60])), session_s=30.0, rebalance_s=3.0,
                coordinator=int(self.rng.integers(self.size.brokers)), connector=name, racks=tuple(self.racks),
                read_committed=False,
            ))  # fmt: skip
        feeds = [t for t in topics if not t.txn_s and not t.compacted][:2] or topics[:1]
        for i, t in enumerate(feeds):
            db = SystemSpec(f"crm-db-{i}", f"team-db-{i}", self.uniform(5, 30), "postgres")
            e.systems.append(db)
            name = f"cdc-{t.name.replace('.', '-')}"
            e.connectors.append(ConnectorSpec(
                name=name, type="source", topic=t.name, system=db.name, tasks=1, owner="team-data", service=t.service,
                class_=SOURCE_CLASS,
            ))  # fmt: skip
            t.source = name
            t.producers = ("svc-connect",)

    def _link(self) -> None:
        e = self.estate
        for i in range(3):
            e.brokers.append(BrokerSpec(id=101 + i, cluster=SOURCE_CLUSTER, rack=f"old-{'abc'[i]}", voter=True))
        moved = ([t for t in e.topics if t.source is None and not t.txn_s] or e.topics)[:3]
        groups: list[str] = []
        for t in moved:
            owner, short = t.owner, t.owner.removeprefix("team-")
            name = f"migrated.{t.name}"
            common = {"partitions": t.partitions, "rate": t.rate, "record_bytes": t.record_bytes, "service": t.service,
                      "owner": owner, "producers": t.producers, "peak_hour": t.peak_hour, "swing": t.swing}  # fmt: skip
            e.topics.append(TopicSpec(name=name, cluster=SOURCE_CLUSTER, **common))  # type: ignore[arg-type]
            e.topics.append(TopicSpec(
                name=name, cluster=CLUSTER, link=True, replicas=t.replicas, min_isr=t.min_isr, **common,  # type: ignore[arg-type]
            ))  # fmt: skip
            group = f"{short}-migrated-{t.name.split('.')[1]}"
            service = self._service(owner, f"migrated-{t.name.split('.')[1]}")
            for cluster, coordinator in ((SOURCE_CLUSTER, self.size.brokers), (CLUSTER, 0)):
                e.groups.append(GroupSpec(
                    name=group, cluster=cluster, topics=(name,), members=2, headroom=self.uniform(2.5, 4.0), service=service,
                    principal=self._principal(f"svc-{short}-migrated", owner), coordinator=coordinator,
                    racks=tuple(sorted({b.rack for b in e.brokers if b.cluster == cluster})),
                ))  # fmt: skip
            groups.append(group)
        e.link = LinkSpec(
            "old-to-new",
            tuple(groups),
            tuple(f"migrated.{t.name}" for t in moved),
            capacity=sum(t.rate for t in moved) * LINK_ROOM,
        )


def size_of(name: str) -> Size:
    """``small`` | ``medium`` | ``large``."""
    return Size(*SPARE[name])


def build(rng: np.random.Generator, size: Size, platform: str, *, link: bool = False) -> Estate:
    """An estate of this size; the same generator state gives the same estate."""
    return _Builder(rng, size, platform, link).build()
