"""One domain: the four stages, one after the other, over the entities of its clusters. Pure."""

from __future__ import annotations

import traceback
from collections import Counter
from typing import Any

from kroute.contracts.alerts import Alert
from kroute.contracts.common import Entity
from kroute.contracts.facts import Flood
from kroute.contracts.inputs import Access, BrokerMetrics, ConnectorStatus, ConsumerLag, Topology
from kroute.contracts.rows import Ownership
from kroute.diagnosis.evidence import Evidence
from kroute.diagnosis.infer import diagnose
from kroute.diagnosis.load import Catalogue
from kroute.incidents.lifecycle import Lifecycle
from kroute.incidents.matching import standing
from kroute.incidents.timing import Timing
from kroute.routing.controls import Controls
from kroute.routing.knowledge import DomainKnowledge
from kroute.routing.ledger import Obligations
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.policy import PolicyBook
from kroute.routing.router import Router
from kroute.signals.access import AccessWindows
from kroute.signals.board import Board
from kroute.signals.changes import Changes
from kroute.signals.classes import HEAD as CLASSES
from kroute.signals.classes import ClassReaders
from kroute.signals.connect import ConnectWindows
from kroute.signals.estate import Estate
from kroute.signals.flood import HEAD as FLOODS
from kroute.signals.flood import FloodWindows
from kroute.signals.lag import LagWindows
from kroute.signals.metrics import MetricWindows
from kroute.signals.model import Rows, Src
from kroute.signals.placement import PlacementWindows
from kroute.signals.telemetry import TelemetryWindows

AT_STAKE = ("objective-breached", "data-stale", "objective-at-risk")
"""Symptoms of impact, the worst first."""


class Domain:
    """Signals → diagnosis → incidents → routing for one domain."""

    def __init__(
        self, name: str, rows: Rows, catalogue: Catalogue, ownership: OwnershipIndex, policy: PolicyBook,
        controls: Controls, changes: Changes,
    ) -> None:  # fmt: skip
        self.name = name
        self.clusters: list[str] = []
        self.failures: Counter[str] = Counter()
        """Diagnoses that failed, by where and why (a traceback): how many."""
        self._topics: dict[str, int] = {}
        """How many topics a cluster had when patterns of rows were last matched."""
        self._catalogue = catalogue
        self._ownership = ownership
        self._changes = changes
        self.estate = Estate(rows)
        self.board = Board(rows)
        knowledge = DomainKnowledge(ownership, self.estate)
        self.lag = LagWindows(self.estate, self.board, rows, knowledge)
        self.connect = ConnectWindows(self.estate, self.board, rows, knowledge)
        self.metrics = MetricWindows(self.estate, self.board, rows, knowledge, self.connect)
        self.lag.cutovers.promoted = self.metrics.promoted
        self.metrics.group_of = self.lag.group_of_client
        self.placement = PlacementWindows(self.estate, self.board, rows, knowledge, self.metrics)
        self.telemetry = TelemetryWindows(self.estate, self.board, rows, knowledge)
        self.floods = FloodWindows(self.board, rows)
        self.access = AccessWindows(self.estate, self.board, rows, knowledge)
        self.classes = ClassReaders(self.board, rows, knowledge)
        self.lifecycle = Lifecycle(name, rows, self.board, self.estate, catalogue)
        self.router = Router(
            name, rows, ownership, policy, controls, changes, catalogue.causes, self.estate, self.lag, self.board
        )

    # -- recovery --------------------------------------------------------------------------------------------

    def load(self, table: str, key: str, value: bytes) -> None:
        """One stored row of this domain; ``key`` without the domain."""
        head = key.partition("|")[0]
        if table == "topology" and head == "place":
            self.placement.load(table, key, value)
        elif table == "topology":
            self.estate.load(key, value)
        elif table == "consumer_lag":
            self.lag.load(table, key, value)
        elif table == "broker_metrics":
            self.metrics.load(table, key, value)
        elif table == "connector_status":
            self.connect.load(table, key, value)
        elif table == "incidents" and head == "inc":
            self.lifecycle.load(value)
        elif table == "incidents":
            self.router.load(key, value)
        elif table == "entities" and head == "tele":
            self.telemetry.load(table, key, value)
        elif table == "entities" and head == FLOODS:
            self.floods.load(value)
        elif table == "entities" and head == "acc":
            self.access.load(table, key, value)
        elif table == "entities" and head == CLASSES:
            self.classes.load(key, value)
        elif table == "entities":
            self.board.load(value)

    def loaded(self, clusters: list[str]) -> None:
        """All rows are in."""
        self.clusters = clusters
        for windows in (self.lag, self.connect, self.metrics, self.placement, self.telemetry, self.floods, self.access):
            windows.loaded()

    # -- signals ---------------------------------------------------------------------------------------------

    def observe(self, topic: str, src: Src, m: Any, now_ms: int) -> None:
        """One validated signal."""
        self.telemetry.observe(src, m, now_ms)
        if isinstance(m, ConsumerLag):
            group = Entity("group", m.cluster, m.group)
            new = not self.estate.has(group)
            self.estate.observe_lag(m)
            if new:
                self._connect(group)
                self._match(m.cluster)
            self.lag.observe(src, m, now_ms)
            late = self.board.take_late()
            if late:
                self.lifecycle.amend(late)
            self.classes.observe(src, m, now_ms)
        elif isinstance(m, BrokerMetrics):
            self.estate.observe_metrics(m)
            self.metrics.observe(src, m, now_ms)
            self.lag.observe_metrics(src, m)
        elif isinstance(m, ConnectorStatus):
            connector = Entity("connector", m.cluster, f"{m.connect}/{m.connector}")
            new = not self.estate.has(connector)
            self.estate.observe_connector(m)
            if new:
                self._connect(connector)
                for group in self.estate.related(connector, "group"):
                    self._connect(group)
            self.connect.observe(src, m, now_ms)
        elif isinstance(m, Topology):
            self.estate.observe_topology(m)
            count = len(self.estate.of_kind("topic", m.cluster))
            if count != self._topics.get(m.cluster):
                self._topics[m.cluster] = count
                self._match(m.cluster)
            self.placement.observe(src, m, now_ms)
        elif isinstance(m, Access):
            self.access.observe(src, m, now_ms)

    def flooded(self, told: Flood, now_ms: int) -> None:
        """Ingest tells of a source over its budget."""
        self.floods.observe(told, now_ms)

    def ownership_changed(self, key: str, row: Ownership | None) -> None:
        """An ownership row came, changed or went: what it states about relations follows."""
        for entity in self._ownership.concerned(key, row, self.estate, self.clusters):
            self._connect(entity)

    def meet(self, cluster: str) -> None:
        """A cluster is heard for the first time: rows that were known before speak of it too."""
        self._relate(cluster, patterns=False)

    def _match(self, cluster: str) -> None:
        """Topics or groups are new: patterns of rows may mean them."""
        self._relate(cluster, patterns=True)

    def _relate(self, cluster: str, *, patterns: bool) -> None:
        for key, row in self._ownership.related(patterns=patterns):
            for entity in self._ownership.concerned(key, row, self.estate, [cluster]):
                self._connect(entity)

    def _connect(self, entity: Entity) -> None:
        for relation, others in self._ownership.estate_edges(entity, self.estate):
            self.estate.connect(entity, relation, others)

    def changed(self) -> bool:
        """True when symptoms changed since the last diagnosis."""
        return bool(self.board.changed)

    # -- time, diagnosis, incidents, routing -----------------------------------------------------------------

    def tick(self, now_ms: int, *, settled: bool) -> None:
        """A second of event time has passed. While not settled, silence is not judged."""
        for windows in (self.lag, self.connect, self.metrics, self.placement, self.access):
            windows.tick(now_ms)
        self.floods.tick(now_ms)
        if settled:
            self.telemetry.tick(now_ms)

    def obligations(self) -> Obligations:
        """What was opened at a destination and is not closed yet."""
        return self.router.obligations({i: inc.opened_ms or inc.started_ms for i, inc in self.lifecycle.live().items()})

    def at_stake(self) -> list[Entity]:
        """What objectives that are breached or at risk hang on: those who feel it, then the incidents' evidence."""
        felt: dict[Entity, None] = {}
        for kind in AT_STAKE:
            felt.update(dict.fromkeys(sorted(e for e, k in self.board.active if k == kind)))
        if not felt:
            return []
        out = dict(felt)
        for incident in self.lifecycle.live().values():
            seen = {e for e, _ in incident.evidence} | set(incident.affected)
            if not seen.isdisjoint(felt):
                out.update(dict.fromkeys((incident.root, *sorted(seen))))
        return list(out)

    def diagnose(self, now_ms: int, offset: int, timing: Timing, *, may_open: bool) -> list[Alert]:
        """Explain the active symptoms, move incidents on, and say what is new."""
        self.board.take_changed()
        if not self.board.active and not self.lifecycle.incidents:
            return []
        evidence = Evidence(self.board, self.estate, self.lifecycle.episode(), self._changes, now_ms, self.lifecycle.known())
        try:
            hypotheses = diagnose(self._catalogue, self.estate, evidence)
        except Exception:
            # The next worker would meet the same fact. A diagnosis changes nothing, so what was known stands: incidents stay
            # what they are, and an objective that is breached beside them is told as of unknown cause.
            self.failures[traceback.format_exc()] += 1
            hypotheses = standing(self.lifecycle.live())
        self.lifecycle.step(now_ms, offset, hypotheses, timing, may_open=may_open)
        alerts = self.router.route(now_ms, self.lifecycle.incidents)
        self.lifecycle.finish(now_ms, timing)
        return alerts
