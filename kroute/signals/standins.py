"""What scrapes tell of placement and liveness where topology is not heard: rules T1, T3–T7 by other means.

Who has broker metrics alone sees under-replicated and offline partitions by their gauges, and a broker that is gone by its
source that does not answer while the controller fences one, or while nobody reads from it any more. Said in topology's name,
so that whatever it says when it is heard again takes their place.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from kroute.contracts.common import Entity
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.metric_rules import Feature, Rule, judge
from kroute.signals.model import Src, Symptom, stale_after_ms
from kroute.signals.ring import RingStore
from kroute.signals.table import BY_KIND, REPLICATED, TOPOLOGY
from kroute.signals.window_view import EntityView, symptom_of

_F = Feature
RULES: dict[str, tuple[Rule, ...]] = {
    "cluster": (
        Rule("under-replicated", "T3", (_F("under_replicated", "under-replicated partitions", "", 0.0, add=True),)),
        Rule("under-min-isr", "T4", (_F("under_min_isr", "partitions below their min ISR", "", 0.0, add=True),), at_once=True),
        Rule("offline-partitions", "T5", (_F("offline", "partitions without a leader", "", 0.0),), at_once=True),
        Rule("reassigning", "T6", (_F("reassigning", "partitions being reassigned", "", 0.0, add=True),)),
    ),
    "broker": (
        Rule("log-dir-offline", "T7", (_F("offline_dirs", "log directories offline", "", 0.0),), at_once=True),
    ),
}  # fmt: skip
"""Entity kind → the rules that gauges of scrapes are judged by. Two polls each: a gauge may be of a moment."""
FENCED = "fenced"
GONE_POLLS = 1.5
"""A source of which so many polls failed does not answer."""


class Placed(Protocol):
    """When topology was last heard."""

    def heard_ms(self, cluster: str) -> int:
        """Time of its newest poll that told anything; -1: never."""

    def interval_ms(self, cluster: str) -> int:
        """Between two of its polls."""


class _Source(NamedTuple):
    """The scrapes of one broker: its newest good poll, its newest poll, and whether it answers."""

    heard_ms: int
    at_ms: int
    answers: bool


class StandIns:
    """Judges from the metric windows of one domain what topology does not tell. ``placed``: set by who knows."""

    def __init__(self, estate: Estate, board: Board, store: RingStore) -> None:
        self._estate, self._board, self._store = estate, board, store
        self.placed: Placed | None = None

    def report(self, src: Src, view: EntityView) -> None:
        """Say of a cluster or a broker what its scrapes tell, unless topology is heard."""
        e = view.entity
        if e.kind not in RULES:
            return
        if self._topology_tells(e.cluster, view.now_ms):
            self._end_untold(view)
            return
        source = self._source(e) if e.kind == "broker" else None
        at_ms = view.at_ms if source is None else source.at_ms
        if at_ms <= self._heard_ms(e.cluster):
            return
        judged: dict[str, list[Symptom]] = {}
        for rule in RULES[e.kind]:
            if rule.kind in REPLICATED and self._estate.platform(e.cluster) != "kafka":
                continue
            found = judge(rule, view)
            if found is not None:
                judged[rule.kind] = [symptom_of(rule.kind, e, found, at_ms, src)] if found.active else []
        if source is not None:
            judged["broker-gone"] = self._gone(src, e, source, view.now_ms)
        if judged:
            active = [s for found in judged.values() for s in found]
            self._board.report(TOPOLOGY, e, at_ms, view.interval_ms, frozenset(judged), active)
            self._board.keep(e)  # nobody else tells after a restart when that was

    def _end_untold(self, view: EntityView) -> None:
        """What was said while topology was not heard, and of which it says nothing now, ends by the gauge that began it."""
        e, told = view.entity, self._board.reports(view.entity).get(TOPOLOGY)
        there = self._board.of(e)
        if told is None or not there:
            return
        for rule in RULES[e.kind]:
            if rule.kind in there and rule.kind not in told.judged:
                found = judge(rule, view)
                if found is not None and not found.active:
                    others = [s for s in there.values() if s.kind != rule.kind and BY_KIND[s.kind].reporter == TOPOLOGY]
                    self._board.report(TOPOLOGY, e, told.at_ms, told.interval_ms, told.judged | {rule.kind}, others)

    def _heard_ms(self, cluster: str) -> int:
        return -1 if self.placed is None else self.placed.heard_ms(cluster)

    def _topology_tells(self, cluster: str, now_ms: int) -> bool:
        heard = self._heard_ms(cluster)
        return self.placed is not None and heard >= 0 and now_ms - heard <= stale_after_ms(self.placed.interval_ms(cluster))

    def _source(self, broker: Entity) -> _Source | None:
        ring = self._store.rings.get(("broker", broker.cluster, "", broker.name))
        if ring is None:
            return None
        down = -1 if ring.down_ms is None else ring.down_ms
        return _Source(ring.at_ms, max(ring.at_ms, down), down - ring.at_ms < GONE_POLLS * ring.interval_ms)

    def _gone(self, src: Src, broker: Entity, source: _Source, now_ms: int) -> list[Symptom]:
        """T1: it does not answer, and is fenced or leads nothing any more of what it led."""
        was = self._board.of(broker).get("broker-gone")
        if source.answers:
            if was is not None:
                self._estate.former.states({broker: True}, source.at_ms)
            return []
        if was is None:
            besides = self._left(broker, source.heard_ms) or self._fenced(broker.cluster, now_ms)
            if not besides:
                return []
            why = f"its metrics do not answer, and {besides}"
            self._estate.former.states({broker: False}, source.heard_ms)
        else:
            why = was.why
        return [
            Symptom(
                kind="broker-gone", entity=broker, since_ms=source.heard_ms, last_ms=source.at_ms, value=1.0, why=why,
                topic_src=src.topic, partition_src=src.partition, offset_src=src.offset, detail={"state": "unknown"},
            )
        ]  # fmt: skip

    def _left(self, broker: Entity, heard_ms: int) -> str:
        """What it leads no more, where nobody reads from it now and some did when it was last heard; else empty."""
        held = dict.fromkeys(self._estate.former.held(broker, "leaders"))
        if any(g not in held for g in self._estate.related(broker, "led-groups")):
            return ""
        lost = self._estate.former.lost_since(broker, "leaders", heard_ms)
        return f"{lost} groups that read from it read from others" if lost else ""

    def _fenced(self, cluster: str, now_ms: int) -> str:
        view = EntityView(self._store, self._board, Entity("cluster", cluster, cluster), now_ms)
        series = view.series(FENCED, False)
        return "the controller has fenced a broker" if series and series[-1][1] > 0 else ""


__all__ = ["RULES", "StandIns"]
