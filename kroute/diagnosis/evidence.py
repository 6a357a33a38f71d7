"""Evidence of one moment: active symptoms as units, and what is known about any other symptom.

A *unit* is one entity's family of symptoms: functions of the same numbers, of which the strongest alone counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.diagnosis.load import Term
from kroute.diagnosis.paths import Walker
from kroute.signals.board import Board
from kroute.signals.changes import Changes
from kroute.signals.estate import Estate
from kroute.signals.model import Status, Symptom
from kroute.signals.table import BY_KIND, IMPACT_FAMILY

UnitKey = tuple[Entity, str]
"""(entity, family)."""


class Unit(NamedTuple):
    """Active symptoms of one family on one entity. ``cost``: nats that leaving it unexplained costs."""

    key: UnitKey
    kinds: Mapping[str, Symptom]
    leak: float
    cost: float
    since_ms: int


class Tally(NamedTuple):
    """Entities that show a symptom, and those observed healthy, both in order."""

    active: dict[Entity, Symptom]
    well: dict[Entity, None]


class Evidence:
    """The active symptoms of the board and of the running episodes, and the knowledge about the rest."""

    def __init__(
        self, board: Board, estate: Estate, episode: Mapping[tuple[Entity, str], Symptom], changes: Changes, now_ms: int
    ) -> None:
        self.board = board
        self._estate = estate
        self._census: dict[tuple[str, str, str], tuple[int, int]] = {}
        self.changes = changes
        self.now_ms = now_ms
        self._episode = episode
        grouped: dict[UnitKey, dict[str, Symptom]] = {}
        for s in self._active():
            grouped.setdefault((s.entity, BY_KIND[s.kind].family), {})[s.kind] = s
        self.units: dict[UnitKey, Unit] = {}
        self._symptoms: dict[tuple[Entity, str], Symptom] = {}
        self._kinds: dict[str, None] = {}
        self._tallies: dict[tuple[Entity, str, str, object], Tally] = {}
        for key in sorted(grouped):
            kinds = grouped[key]
            leak = min(BY_KIND[k].leak for k in kinds)
            since = min(s.since_ms for s in kinds.values())
            self.units[key] = Unit(key, kinds, leak, -math.log(leak), since)
            for kind, s in kinds.items():
                self._symptoms[(key[0], kind)] = s
                self._kinds[kind] = None

    def _active(self) -> Iterable[Symptom]:
        yield from self.board.evidence()
        for key in sorted(self._episode):
            if key not in self.board.active and BY_KIND[key[1]].family != IMPACT_FAMILY:
                yield self._episode[key]

    def symptom(self, entity: Entity, kind: str) -> Symptom | None:
        """The symptom when it is active, or was in a running episode."""
        return self._symptoms.get((entity, kind))

    def any_active(self, kind: str) -> bool:
        """True when any entity shows the symptom."""
        return kind in self._kinds

    def status(self, entity: Entity, kind: str) -> Status:
        """Active (over the episode), observed healthy, or not observed."""
        if self.symptom(entity, kind) is not None:
            return Status.ACTIVE
        return self.board.status(entity, kind, self.now_ms)

    def tally(self, start: Entity, term: Term, walker: Walker) -> Tally:
        """Who shows the term's symptom one step from ``start``, by the last relation of its path."""
        relation = term.steps[-1]
        key = (start, relation, term.kind, term.detail)
        found = self._tallies.get(key)
        if found is None:
            found = self._tallies[key] = Tally({}, {})
            for e in walker.walk(start, (relation,), term.on):
                s = self.symptom(e, term.kind)
                if s is not None and term.matches(s):
                    found.active[e] = s
                elif self.status(e, term.kind) is Status.HEALTHY:
                    found.well[e] = None
        return found

    def census(self, entity_kind: str, cluster: str, kind: str) -> tuple[int, int]:
        """How many entities of a cluster show the symptom, and how many were observed healthy."""
        key = (entity_kind, cluster, kind)
        found = self._census.get(key)
        if found is None:
            active = healthy = 0
            for e in self._estate.of_kind(entity_kind, cluster):
                status = self.status(e, kind)
                active += status is Status.ACTIVE
                healthy += status is Status.HEALTHY
            found = self._census[key] = (active, healthy)
        return found
