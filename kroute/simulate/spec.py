"""What a simulated estate consists of. Rates are per second, sizes bytes, times seconds unless a name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field

CLUSTER = "sim"
SOURCE_CLUSTER = "sim-old"
"""The cluster a migration link reads from, where the estate has one."""
CONNECT = "connect-a"
LINK_ROOM = 2.5
"""What a migration link can copy, against the mean rate of its topics."""


@dataclass
class BrokerSpec:
    """One broker. Capacities are set by ``estate.build`` from the load it carries and its share of use."""

    id: int
    cluster: str
    rack: str
    voter: bool = False
    threads: int = 8
    disk_bw: float = 200e6
    disk_bytes: float = 2e12
    disk_used: float = 0.45
    net_bw: float = 600e6
    page_cache: float = 16e9
    heap: float = 6e9
    heap_live: float = 2e9
    wal_bw: float = 300e6
    cache_bytes: float = 4e9


@dataclass
class TopicSpec:
    """One topic: ``rate`` is its mean in records/s; the day's curve peaks at ``peak_hour`` (UTC) by ``swing`` (0–1)."""

    name: str
    cluster: str
    partitions: int
    rate: float
    record_bytes: float
    service: str
    owner: str
    producers: tuple[str, ...]
    peak_hour: float = 14.0
    swing: float = 0.4
    weekend: float = 0.7
    noise: float = 0.06
    skew: float = 0.05
    replicas: int = 3
    min_isr: int = 2
    compacted: bool = False
    txn_s: float = 0.0
    """Length of a transaction; 0: not transactional."""
    retention_s: float = 7 * 86_400.0
    data_class: str | None = None
    data_age_s: float | None = None
    batch_records: float = 20.0
    """Records in one produce request."""
    source: str | None = None
    """The source connector that feeds it."""
    link: bool = False
    """Filled by the migration link."""


@dataclass
class GroupSpec:
    """One consumer group. ``headroom``: capacity against the mean rate of what it reads."""

    name: str
    cluster: str
    topics: tuple[str, ...]
    members: int
    headroom: float
    service: str
    principal: str
    commit_s: float = 5.0
    batch_s: float = 0.0
    """Period of a batch reader: it works and commits once per period. 0: it streams."""
    read_committed: bool = False
    protocol: str = "classic"
    session_s: float = 45.0
    poll_interval_s: float = 300.0
    rebalance_s: float = 6.0
    static: bool = False
    coordinator: int = 0
    """Index of the broker that leads its offsets partition."""
    connector: str | None = None
    racks: tuple[str, ...] = ()
    follower_fetching: bool = True


@dataclass
class SystemSpec:
    """An outside system at the other end of connectors. ``base_ms``: latency of one batch when idle."""

    name: str
    owner: str
    base_ms: float
    kind: str
    capacity: float = 1.0


@dataclass
class WorkerSpec:
    """A Connect worker; ``capacity``: records/s that its processor can handle."""

    id: str
    capacity: float = 1.0

    @property
    def name(self) -> str:
        """The entity's public name."""
        return f"{CONNECT}/{self.id}"


@dataclass
class ConnectorSpec:
    """A connector; ``batch``: records in one put."""

    name: str
    type: str
    topic: str
    system: str
    tasks: int
    owner: str
    service: str
    batch: float = 500.0
    class_: str = ""

    @property
    def group(self) -> str:
        """The consumer group of a sink."""
        return f"connect-{self.name}"

    @property
    def entity(self) -> str:
        """The entity's public name."""
        return f"{CONNECT}/{self.name}"


@dataclass(frozen=True)
class ServiceSpec:
    """What people get out of a group."""

    name: str
    owner: str
    freshness_s: float
    function: str


@dataclass(frozen=True)
class PrincipalSpec:
    """A client identity; ``quota``: bytes/s it may produce, None: unlimited."""

    name: str
    owner: str
    quota: float | None = None


@dataclass
class LinkSpec:
    """A migration link from ``SOURCE_CLUSTER``; ``capacity`` in records/s."""

    name: str
    groups: tuple[str, ...]
    topics: tuple[str, ...]
    capacity: float = 1.0
    phase: str = "syncing"


@dataclass
class Estate:
    """All of it. The order of the lists is the order of the model's arrays."""

    platform: str
    brokers: list[BrokerSpec] = field(default_factory=list)
    topics: list[TopicSpec] = field(default_factory=list)
    groups: list[GroupSpec] = field(default_factory=list)
    services: list[ServiceSpec] = field(default_factory=list)
    principals: list[PrincipalSpec] = field(default_factory=list)
    systems: list[SystemSpec] = field(default_factory=list)
    workers: list[WorkerSpec] = field(default_factory=list)
    connectors: list[ConnectorSpec] = field(default_factory=list)
    link: LinkSpec | None = None
    refused: dict[str, str] = field(default_factory=dict)
    """Service → data class that it has no right to."""
    platform_team: str = "team-platform"
    governance_team: str = "team-governance"
    network_team: str = "team-network"

    @property
    def automq(self) -> bool:
        """True where brokers keep their data in an object store."""
        return self.platform == "automq"

    @property
    def racks(self) -> list[str]:
        """Racks of the main cluster, sorted."""
        return sorted({b.rack for b in self.brokers if b.cluster == CLUSTER})

    @property
    def clusters(self) -> list[str]:
        """Clusters in order of their first broker."""
        return list(dict.fromkeys(b.cluster for b in self.brokers))

    def service(self, name: str) -> ServiceSpec:
        """A service by its name."""
        return next(s for s in self.services if s.name == name)

    def topic(self, name: str, cluster: str = CLUSTER) -> TopicSpec:
        """A topic by its name."""
        return next(t for t in self.topics if t.name == name and t.cluster == cluster)

    def connector(self, name: str) -> ConnectorSpec:
        """A connector by its name."""
        return next(c for c in self.connectors if c.name == name)

    def system(self, name: str) -> SystemSpec:
        """An outside system by its name."""
        return next(s for s in self.systems if s.name == name)

    def principal(self, name: str) -> PrincipalSpec:
        """A principal by its name."""
        return next(p for p in self.principals if p.name == name)
