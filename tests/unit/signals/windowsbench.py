"""A domain's first stage on the bench: estate, board and all windows but lag, fed by hand, reloadable from its rows."""

from __future__ import annotations

from typing import Any

from kroute.contracts.common import Entity
from kroute.contracts.inputs import (
    Access,
    BrokerInfo,
    BrokerMetrics,
    ConnectorStatus,
    ConsumerLag,
    PartitionInfo,
    Sample,
    Source,
    Task,
    TopicInfo,
    Topology,
)
from kroute.signals.access import AccessWindows
from kroute.signals.board import Board
from kroute.signals.connect import ConnectWindows
from kroute.signals.estate import Estate
from kroute.signals.metrics import MetricWindows
from kroute.signals.model import NoKnowledge, Rows, Src, Status, Symptom
from kroute.signals.placement import PlacementWindows
from kroute.signals.telemetry import TelemetryWindows

T0 = 1_795_427_340_000
STEP = 15_000
C = "prod-eu"


class Bench:
    """``feed`` takes any message at its own time; ``reloaded`` is a fresh bench from this one's rows."""

    def __init__(self, stored: dict[tuple[str, str], bytes | None] | None = None) -> None:
        self.rows = Rows("d", dict(stored or {}))
        self.estate = Estate(self.rows)
        self.board = Board(self.rows)
        known = NoKnowledge()
        self.connect = ConnectWindows(self.estate, self.board, self.rows, known)
        self.metrics = MetricWindows(self.estate, self.board, self.rows, known, self.connect)
        self.placement = PlacementWindows(self.estate, self.board, self.rows, known, self.metrics)
        self.telemetry = TelemetryWindows(self.estate, self.board, self.rows, known)
        self.access = AccessWindows(self.estate, self.board, self.rows, known)
        self.windows = (self.connect, self.metrics, self.placement, self.telemetry, self.access)
        self.now = 0
        self.offset = 0
        for (table, key), value in sorted(self.rows.changed.items(), reverse=True):
            if value is None:
                continue
            bare = key.removeprefix("d|")
            if table == "entities" and bare.startswith("sym|"):
                self.board.load(value)
            if table == "topology":
                self.estate.load(bare, value)
            for w in self.windows:
                w.load(table, bare, value)
        for w in self.windows:
            w.loaded()

    def feed(self, m: Any, now: int | None = None) -> None:
        self.now = max(self.now, m.observed_at_ms if now is None else now)
        self.offset += 1
        src = Src("kroute.x", 0, self.offset, self.now)
        self.telemetry.observe(src, m, self.now)
        if isinstance(m, BrokerMetrics):
            self.estate.observe_metrics(m)
            self.metrics.observe(src, m, self.now)
        elif isinstance(m, ConnectorStatus):
            self.estate.observe_connector(m)
            self.connect.observe(src, m, self.now)
        elif isinstance(m, Topology):
            self.estate.observe_topology(m)
            self.placement.observe(src, m, self.now)
        elif isinstance(m, ConsumerLag):
            self.estate.observe_lag(m)
        elif isinstance(m, Access):
            self.access.observe(src, m, self.now)

    def tick(self, now: int) -> None:
        self.now = max(self.now, now)
        for w in self.windows:
            w.tick(self.now)

    def stored(self) -> dict[tuple[str, str], bytes]:
        return {k: v for k, v in sorted(self.rows.changed.items()) if v is not None}

    def reloaded(self) -> Bench:
        other = Bench(dict(self.stored()))
        other.now, other.offset = self.now, self.offset
        return other

    def picture(self) -> Any:
        """All that diagnosis can see."""
        reports = {e: r for e, r in self.board._reports.items() if r}
        edges = {k: list(v) for k, v in self.estate._out.items()}
        return (
            self.board.active, reports, edges, self.estate._leaders, self.estate.brokers, self.estate.platforms,
            {k: sorted(v) for k, v in self.estate._all.items() if v},
        )  # fmt: skip

    def status(self, entity: Entity, kind: str) -> Status:
        return self.board.status(entity, kind, self.now)

    def symptom(self, entity: Entity, kind: str) -> Symptom:
        return self.board.of(entity)[kind]


def at(poll: int) -> int:
    return T0 + poll * STEP


def sample(signal: str, value: float, **labels: str) -> Sample:
    return Sample(signal, value, labels or None)


def scrape(poll: int, *samples: Sample, of: str = "1", kind: str = "broker", **more: Any) -> BrokerMetrics:
    source = Source(kind=kind, id=of, **{k: more.pop(k) for k in ("connect", "rack", "platform") if k in more})
    more.setdefault("interval_ms", STEP)
    return BrokerMetrics(cluster=C, observed_at_ms=at(poll), source=source, samples=samples, **more)


def status(poll: int, *tasks: Task, name: str = "sink", state: str = "RUNNING", of: str = "sink", **more: Any) -> ConnectorStatus:
    more.setdefault("interval_ms", STEP)
    return ConnectorStatus(
        cluster=C, observed_at_ms=at(poll), connect="ca", connector=name, type=of, state=state, tasks=tasks, **more
    )


def task(n: int = 0, state: str = "RUNNING", trace: str | None = None, **metrics: float) -> Task:
    return Task(id=n, state=state, worker="w1", trace=trace, metrics=metrics)


def part(n: int, leader: int | None, replicas: tuple[int, ...], isr: tuple[int, ...] | None = None, **more: Any) -> PartitionInfo:
    return PartitionInfo(id=n, leader=leader, replicas=replicas, isr=replicas if isr is None else isr, **more)


def topology(poll: int, brokers: tuple[int | BrokerInfo, ...], *parts: PartitionInfo, least: int = 2, **more: Any) -> Topology:
    more.setdefault("interval_ms", STEP)
    infos = tuple(b if isinstance(b, BrokerInfo) else BrokerInfo(id=b, rack=f"r{b}") for b in brokers)
    topics = more.pop(
        "topics", (TopicInfo(name="t", partitions=parts, config={"min.insync.replicas": str(least)}),) if parts else ()
    )
    return Topology(cluster=C, observed_at_ms=at(poll), brokers=infos, topics=topics, **more)


def broker(i: int = 1) -> Entity:
    return Entity("broker", C, str(i))


CLUSTER = Entity("cluster", C, C)


def entity(kind: str, name: str) -> Entity:
    return Entity(kind, C, name)
