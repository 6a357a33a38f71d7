"""Windows over scrapes (``kroute.broker-metrics``): brokers, cluster, principals, racks, groups, topics, links, workers.

Rules M1–M62 of the table of symptoms. One odd scrape neither raises nor clears; what was not scraped is not judged.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from kroute.contracts.common import Entity
from kroute.contracts.inputs import BrokerMetrics
from kroute.signals.board import Board
from kroute.signals.connect import ConnectWindows
from kroute.signals.estate import Estate
from kroute.signals.metric_features import Names, connector_samples, extract
from kroute.signals.metric_rules import RULES, Finding, judge
from kroute.signals.metric_special import SPECIAL
from kroute.signals.model import Knowledge, Rows, Src, Symptom
from kroute.signals.ring import RingStore, SourceKey
from kroute.signals.standins import StandIns
from kroute.signals.table import METRICS
from kroute.signals.window_view import LABELLED, EntityView, frozen, symptom_of

TABLE = "broker_metrics"
HOURLY = frozenset({"bytes_in", "bytes_out"})
FORGET_MS = 7 * 86_400_000
"""A source that was silent for this long is no more: its windows and symptoms go."""
LOG_DIRS = "log-dirs"


class MetricWindows:
    """Short windows and baselines of every scraped process of one domain. Rows: table ``broker_metrics``.

    ``connect`` gets the connector signals that workers' scrapes carry.
    """

    def __init__(
        self, estate: Estate, board: Board, rows: Rows, knowledge: Knowledge, connect: ConnectWindows | None = None
    ) -> None:
        self._board = board
        self._known = knowledge
        self._connect = connect
        self._store = RingStore(rows, TABLE, HOURLY)
        self._deadlines: list[tuple[int, SourceKey]] = []
        self._estate = estate
        self.stand_ins = StandIns(estate, board, self._store)
        self.group_of: Callable[[str, str], str | None] = lambda _cluster, _client: None
        """The one group whose members have a client id (the lag windows know)."""

    def observe(self, src: Src, m: BrokerMetrics, now_ms: int) -> None:
        """Take one scrape."""
        s = m.source
        key: SourceKey = (s.kind, m.cluster, s.connect or "", s.id)
        if m.up:
            values = extract(m, Names(self.group_of, self._topics_of))
            if s.kind == "link" and self._phase(m.cluster, s.id) == "promoting":
                values[Entity("link", m.cluster, s.id)]["promoting"] = 1.0
            self._insert(src, key, m.observed_at_ms, m.interval_ms, values, now_ms, m.part)
        else:
            self._judge(src, self._store.failed(key, m.observed_at_ms), now_ms)
        if self._connect is not None:
            self._connect.observe_samples(src, m, connector_samples(m) if m.up else {}, now_ms)

    def _phase(self, cluster: str, link: str) -> str:
        stated = self._known.link(Entity("link", cluster, link))
        return stated.phase if stated is not None else ""

    def _topics_of(self, cluster: str, name: str) -> list[str]:
        """Topics that the row of a principal lists, by its name or that of its only client; one that is followed alone."""
        for principal in (name, f"User:{name}"):
            topics = self._estate.related(Entity("principal", cluster, principal), "principal-topics")
            if topics:
                return [e.name for e in topics if e in self._store.sources] or [e.name for e in topics]
        return []

    def promoted(self, link: Entity) -> bool:
        """True when the newest scrape of a link says that it is promoted as a whole."""
        rings = [self._store.rings[k] for k in sorted(self._store.sources.get(link, ()))]
        newest = [r.newest for r in rings if r.newest is not None]
        return any(p.values.get(link, {}).get("link_promoted") == 1.0 for p in newest)

    def observe_disks(
        self, src: Src, cluster: str, ratios: dict[int, float], at_ms: int, every_ms: int | None, now_ms: int
    ) -> None:
        """Used disk ratio per broker as its log directories told it; a scraped one is preferred."""
        for broker in sorted(ratios):
            entity = Entity("broker", cluster, str(broker))
            key: SourceKey = (LOG_DIRS, cluster, "", str(broker))
            self._insert(src, key, at_ms, every_ms, {entity: {"disk_ratio": ratios[broker]}}, now_ms, 0)

    def tick(self, now_ms: int) -> None:
        """Forget sources that were silent for a week."""
        while self._deadlines and self._deadlines[0][0] < now_ms:
            _, key = heapq.heappop(self._deadlines)
            ring = self._store.rings.get(key)
            if ring is None:
                continue
            due = max(ring.at_ms, ring.down_ms or -1) + FORGET_MS
            if due >= now_ms:
                heapq.heappush(self._deadlines, (due, key))
                continue
            for entity in self._store.forget(key):
                self._board.retire(METRICS, entity)

    def load(self, table: str, key: str, value: bytes) -> None:
        """One row at recovery; rows that are not of these windows are left alone."""
        if table == TABLE:
            self._store.load(key, value)

    def loaded(self) -> None:
        """All rows are in."""
        self._store.loaded()
        for key in sorted(self._store.rings):
            heapq.heappush(self._deadlines, (self._store.rings[key].at_ms + FORGET_MS, key))
        for entity in sorted(self._store.sources):
            self._board.refresh(METRICS, entity, max(self._store.rings[k].at_ms for k in self._store.sources[entity]))

    def _insert(
        self, src: Src, key: SourceKey, at_ms: int, every_ms: int | None, values: dict[Entity, dict[str, float]],
        now_ms: int, part: int,
    ) -> None:  # fmt: skip
        if key not in self._store.rings:
            heapq.heappush(self._deadlines, (at_ms + FORGET_MS, key))
        touched = self._store.insert(key, at_ms, every_ms, values, lambda e: frozen(self._board, e, at_ms), part)
        self._judge(src, touched, now_ms)

    def _judge(self, src: Src, entities: list[Entity], now_ms: int) -> None:
        for entity in entities:
            if entity.kind == "source":
                continue
            if entity not in self._store.sources:
                if entity.kind in LABELLED:
                    self._board.retire(METRICS, entity)  # no trace of it in a whole window: nothing happens there
                continue
            self._report(src, EntityView(self._store, self._board, entity, now_ms, first=("broker",)))

    def _report(self, src: Src, view: EntityView) -> None:
        entity = view.entity
        findings: dict[str, Finding] = {}
        special = SPECIAL.get(entity.kind, ())
        kinds = [k for k, _ in special]
        for rule in RULES.get(entity.kind, ()):
            if rule.kind not in kinds and (found := judge(rule, view)) is not None:
                findings[rule.kind] = found
        for kind, look in special:
            if (seen := look(view)) is not None:
                findings[kind] = seen
        if entity.kind == "group" and self._known.schedule_period_s(entity.cluster, entity.name):
            findings.pop("cross-zone-high", None)  # who reads in batches crosses zones in bursts: nothing to hold it against
        active: list[Symptom] = [symptom_of(k, entity, f, view.at_ms, src) for k, f in findings.items() if f.active]
        self._board.report(METRICS, entity, view.at_ms, view.interval_ms, frozenset(findings), active)
        self.stand_ins.report(src, view)
