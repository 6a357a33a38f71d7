"""Evidence of one moment: active symptoms as units, and what is known about any other symptom.

A *unit* is one entity's family of symptoms: functions of the same numbers, of which the strongest alone counts. Units
are numbered in the order of (entity, family), so a smaller number sorts first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.rows import Change
from kroute.diagnosis.load import Compiled, Term
from kroute.diagnosis.paths import Walker
from kroute.signals.board import Board
from kroute.signals.changes import Changes, covers, end_ms
from kroute.signals.estate import Estate
from kroute.signals.model import Status, Symptom, stale_after_ms
from kroute.signals.table import BY_KIND, IMPACT_FAMILY, REPLICATED

FAMILY = {k: row.family for k, row in BY_KIND.items()}
LEAK = {k: row.leak for k, row in BY_KIND.items()}
REPORTER = {k: row.reporter for k, row in BY_KIND.items()}
NOTHING: frozenset[str] = frozenset()
EXPECTED = {"rebalance": ("deploy", "scale", "config", "maintenance")}
"""Family of symptoms → kinds of declared changes that bring them when all goes well: members go and come."""
EXPECTED_LEAK = 0.5
OPEN_ENDED_MS = 60_000
FROM_START_LEAK = 0.1
"""What was so since it was first read may always have been."""
RARE, STAYS_MS, STAYS_NATS = 0.0005, 600_000, 4.0
"""D13: a symptom that is there by chance this rarely is so by another 4 nats less after 10 minutes: noise does not stay."""
EVENTS = frozenset({"position"})
"""Families of what happened once and is told for a while: that they stay says nothing."""
SHARED, SHARED_LEAK = frozenset({"traffic-high"}), 0.5
"""D15: what rises with the day rises everywhere: where one of a cluster shows it by chance, the others do so every other time."""
FED, STOPPED, DRY = "produce-stopped", ("commits-stopped", "group-empty"), ("produce-stopped", "stable-end-stuck")
STALE = "data-stale"
FED_LEAK, FED_MS = 0.5, 60_000
"""D16: who writes what it makes of what it reads falls silent as its group stops, or as what it reads does: that is no outage of
its own. How much sooner than the group the topic may be seen to be silent."""
AFTERMATH_MS = 120_000
"""Rules look back over some polls, so what a change brought is seen for a while after it."""


class Unit(NamedTuple):
    """Active symptoms of one family on one entity. ``leak``: how often it is there for no modelled reason."""

    entity: Entity
    kinds: tuple[str, ...]
    leak: float


class Shown(NamedTuple):
    """What one entity shows: its active symptoms by kind, and the number of the unit of each family."""

    symptoms: dict[str, Symptom]
    units: dict[str, int]


class Evidence:
    """The active symptoms of the board and of the running episodes, and the knowledge about the rest."""

    def __init__(
        self, board: Board, estate: Estate, episode: Mapping[tuple[Entity, str], Symptom], changes: Changes, now_ms: int,
        known: Mapping[tuple[str, Entity], None] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.board = board
        self.now_ms = now_ms
        self.known = known
        """D17: cause and root of the incidents that recover and of which nothing is left."""
        self.past = not episode.keys() <= board.active.keys()
        """True where something is over, and was there in a running episode."""
        self._estate = estate
        self._census: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._showing: dict[tuple[Entity, str, str, object], dict[Entity, Symptom]] = {}
        self._well: dict[tuple[Entity, str, str], dict[Entity, None]] = {}
        self._judged: dict[Entity, dict[str, frozenset[str]]] = {}
        self._declared = _Declared(changes)
        by_entity: dict[Entity, dict[str, Symptom]] = {}
        for (e, kind), s in episode.items():
            if FAMILY[kind] != IMPACT_FAMILY:
                by_entity.setdefault(e, {})[kind] = s
        for (e, kind), s in board.active.items():
            if FAMILY[kind] != IMPACT_FAMILY:
                there = by_entity.setdefault(e, {})
                before = there.get(kind)
                there[kind] = s if before is None else earlier(s, before.since_ms)
        self.units: list[Unit] = []
        self.shown: dict[Entity, Shown] = {}
        """Entities that show symptoms, in order."""
        kinds_seen: dict[str, None] = {}
        shared: dict[tuple[str, str, tuple[str, ...]], None] = {}
        shapes: dict[tuple[str, ...], list[tuple[str, tuple[str, ...], float]]] = {}
        for e in sorted(by_entity):
            symptoms = by_entity[e]
            kinds = tuple(sorted(symptoms))
            shape = shapes.get(kinds)
            if shape is None:
                shape = shapes[kinds] = _families(kinds)
                kinds_seen.update(dict.fromkeys(kinds))
            numbers = {}
            for family, of_family, leak in shape:
                usual = family in EXPECTED and self._expected(e, EXPECTED[family])
                fed = of_family == (FED,) and self._fed(e, symptoms[FED].since_ms, by_entity)
                numbers[family] = len(self.units)
                stayed = 0 if family in EVENTS else max(symptoms[k].last_ms - symptoms[k].since_ms for k in of_family)
                always = all(symptoms[k].detail.get("from_start") for k in of_family)
                by_chance = max(leak, FROM_START_LEAK) if always else _aged(leak, stayed)
                if SHARED.issuperset(of_family):
                    by_chance = max(by_chance, SHARED_LEAK if (e.kind, e.cluster, of_family) in shared else 0.0)
                    shared[(e.kind, e.cluster, of_family)] = None
                self.units.append(Unit(e, of_family, EXPECTED_LEAK if usual else FED_LEAK if fed else by_chance))
            self.shown[e] = Shown(symptoms, numbers)
        self.active_kinds = kinds_seen
        self._contradicting: dict[str, tuple[Term, ...]] = {}

    def _expected(self, e: Entity, kinds: tuple[str, ...]) -> bool:
        """True while a declared change is under way, or was so lately, that brings such symptoms when all goes well."""
        at = (e, *self._estate.related(e, "services"))
        return any(self._declared.under_way(x, kinds, self.now_ms - AFTERMATH_MS, self.now_ms) for x in at)

    def _fed(self, topic: Entity, since_ms: int, shown: Mapping[Entity, Mapping[str, Symptom]]) -> bool:
        """True for a topic of a principal whose group, which does not read it, had stopped by then, or got nothing any more; and
        for one that no group reads and no objective is about, as Kafka's own and Connect's."""

        if not self._estate.related(topic, "consumers"):
            return STALE not in self.board.of(topic)

        def had(e: Entity, kinds: tuple[str, ...], by: tuple[int, Entity]) -> bool:
            there = shown.get(e, {})
            return any(k in there and (there[k].since_ms, e) < by for k in kinds)

        for principal in self._estate.related(topic, "topic-principals"):
            for group in self._estate.related(principal, "principal-groups"):
                reads = self._estate.related(group, "topics")
                if topic in reads:
                    continue
                dry = sum(had(t, DRY, (since_ms, topic)) for t in reads)  # of two that feed each other the first is the outage
                if had(group, STOPPED, (since_ms + FED_MS, topic)) or (dry and 2 * dry >= len(reads)):
                    return True
        return False

    def symptom(self, entity: Entity, kind: str) -> Symptom | None:
        """The symptom when it is active, or was in a running episode."""
        shown = self.shown.get(entity)
        return shown.symptoms.get(kind) if shown is not None else None

    def poll_ms(self, entity: Entity, kind: str) -> int:
        """Between two polls that judge the symptom; 0 where it is not known."""
        report = self.board.last_report(entity, kind)
        return 0 if report is None else report.interval_ms

    def leader(self, topic: Entity, partition: int) -> str | None:
        """Name of the broker that leads the partition; None where it is not known, or there is none."""
        leader = self._estate.leader(topic.cluster, topic.name, partition)
        return None if leader is None or leader < 0 else str(leader)

    def any_active(self, kind: str) -> bool:
        """True when any entity shows the symptom."""
        return kind in self.active_kinds

    def contradicting(self, c: Compiled) -> tuple[Term, ...]:
        """The contradictions of a cause whose symptom is active anywhere."""
        found = self._contradicting.get(c.cause.id)
        if found is None:
            found = self._contradicting[c.cause.id] = tuple(t for t in c.contradicts if t.kind in self.active_kinds)
        return found

    def healthy(self, entity: Entity, kind: str) -> bool:
        """True when the symptom was observed healthy lately, and is not active over the episode."""
        shown = self.shown.get(entity)
        if shown is not None and kind in shown.symptoms:
            return False
        if kind in REPLICATED and self._estate.platform(entity.cluster) != "kafka":
            return False
        return kind in self._lately(entity).get(REPORTER[kind], NOTHING)

    def _lately(self, entity: Entity) -> dict[str, frozenset[str]]:
        """Reporter → the kinds that it could judge lately on the entity."""
        found = self._judged.get(entity)
        if found is None:
            found = self._judged[entity] = {
                reporter: report.judged
                for reporter, report in self.board.reports(entity).items()
                if self.now_ms - report.at_ms <= stale_after_ms(report.interval_ms)
            }
        return found

    def unseen(self, entities: Iterable[Entity], terms: Iterable[Term]) -> list[Entity]:
        """Of these entities those on which no symptom of the terms is active (over the episode) or observed healthy."""
        asked = [(t.kind, REPORTER[t.kind]) for t in terms]
        out = []
        for e in entities:
            shown = self.shown.get(e)
            active: Mapping[str, Symptom] = shown.symptoms if shown is not None else {}
            judged = self._lately(e)
            for kind, reporter in asked:
                if kind in active or (
                    kind in judged.get(reporter, NOTHING) and (kind not in REPLICATED or self.healthy(e, kind))
                ):
                    break
            else:
                out.append(e)
        return out

    def status(self, entity: Entity, kind: str) -> Status:
        """Active (over the episode), observed healthy, or not observed."""
        if self.symptom(entity, kind) is not None:
            return Status.ACTIVE
        return Status.HEALTHY if self.healthy(entity, kind) else Status.UNOBSERVED

    def showing(self, start: Entity, term: Term, walker: Walker) -> dict[Entity, Symptom]:
        """Who shows the term's symptom one step from ``start``, by the last relation of its path, in order."""
        ends = walker.walk(start, term.steps[-1:], term.on)
        if not ends:
            return {}
        key = (start, term.steps[-1], term.kind, term.detail)
        found = self._showing.get(key)
        if found is None:
            found = self._showing[key] = {}
            for e in ends:
                s = self.symptom(e, term.kind)
                if s is not None and term.matches(s):
                    found[e] = s
        return found

    def well(self, start: Entity, term: Term, walker: Walker) -> dict[Entity, None]:
        """Of whom the term's symptom was observed healthy one step from ``start``, in order."""
        key = (start, term.steps[-1], term.kind)
        found = self._well.get(key)
        if found is None:
            there = walker.walk(start, term.steps[-1:], term.on)
            found = self._well[key] = {e: None for e in there if self.healthy(e, term.kind)}
        return found

    def census(self, entity_kind: str, cluster: str, kind: str) -> tuple[int, int]:
        """How many entities of a cluster show the symptom, and how many were observed healthy."""
        key = (entity_kind, cluster, kind)
        found = self._census.get(key)
        if found is None:
            active = healthy = 0
            for e in self._estate.of_kind(entity_kind, cluster):
                if self.symptom(e, kind) is not None:
                    active += 1
                elif self.healthy(e, kind):
                    healthy += 1
            found = self._census[key] = (active, healthy)
        return found

    def declared(self, entity: Entity, kinds: tuple[str, ...], from_ms: int = 0, to_ms: int = 2**63) -> bool:
        """True when a change of one of these kinds on the entity overlaps ``from_ms``–``to_ms``; by default, at any time."""
        return self._declared.touches(entity, kinds, from_ms, to_ms)

    def any_declared(self, kinds: tuple[str, ...]) -> bool:
        """True when a change of one of these kinds is known at all."""
        return any(k in self._declared.kinds for k in kinds)


def earlier(s: Symptom, since_ms: int) -> Symptom:
    """The symptom with the begin of its episode: one that went and came back has not begun anew."""
    return s if since_ms >= s.since_ms else msgspec.structs.replace(s, since_ms=since_ms)


def _aged(leak: float, stayed_ms: int) -> float:
    """D13: what chance leaves of a symptom that chance rarely shows, the longer it stays."""
    if leak > RARE:
        return leak
    return leak * math.exp(-STAYS_NATS * min(max(stayed_ms, 0), STAYS_MS) / STAYS_MS)


def _families(kinds: tuple[str, ...]) -> list[tuple[str, tuple[str, ...], float]]:
    """(family, its kinds, the smallest of their leaks), by family."""
    by: dict[str, list[str]] = {}
    for k in kinds:
        by.setdefault(FAMILY[k], []).append(k)
    return [(f, tuple(by[f]), min(LEAK[k] for k in by[f])) for f in sorted(by)]


class _Declared:
    """Declared changes, indexed by their literal target: there may be a month of them, and thousands of suspects."""

    def __init__(self, changes: Changes) -> None:
        self._literal: dict[tuple[str, str], list[Change]] = {}
        self._wide: list[Change] = []
        self.kinds: dict[str, None] = {}
        for c in changes.all():
            self.kinds[c.kind] = None
            if c.target.kind == "cluster" or "*" in c.target.name:
                self._wide.append(c)
            else:
                self._literal.setdefault((c.target.kind, c.target.name), []).append(c)

    def under_way(self, entity: Entity, kinds: tuple[str, ...], from_ms: int, to_ms: int) -> bool:
        """As ``touches``, but one whose end was not told is taken to be a short one."""
        return self.touches(entity, kinds, from_ms, to_ms, OPEN_ENDED_MS)

    def touches(
        self, entity: Entity, kinds: tuple[str, ...], from_ms: int, to_ms: int, open_ended_ms: int | None = None
    ) -> bool:  # fmt: skip
        for some in (self._literal.get((entity.kind, entity.name), ()), self._wide):
            for c in some:
                if (
                    c.kind in kinds
                    and c.cluster in ("*", entity.cluster)
                    and c.starts_at_ms <= to_ms
                    and (end_ms(c) if c.ends_at_ms is not None or open_ended_ms is None else c.starts_at_ms + open_ended_ms)
                    >= from_ms
                    and covers(c.target.kind, c.target.name, entity)
                ):
                    return True
        return False
