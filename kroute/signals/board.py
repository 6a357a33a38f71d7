"""The board: for every entity, what its reporters last said. Stage two reads nothing else of stage one.

A report replaces the reporter's former one for that entity: kinds in ``judged`` are healthy or active, kinds left
out are not observed. A symptom that was active and is no longer judged stays active (it never resolves by silence)
until it is judged healthy or its entity is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from kroute.contracts.common import Entity
from kroute.signals.model import Rows, Status, Symptom, stale_after_ms
from kroute.signals.table import BY_KIND, IMPACT_FAMILY

NONE: tuple[Symptom, ...] = ()


class Report(NamedTuple):
    """A reporter's last word on an entity: event time, poll interval (ms) and the kinds it could judge."""

    at_ms: int
    interval_ms: int
    judged: frozenset[str]


class Board:
    """Current symptoms and health. Pure state; rows go to the table ``entities``."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.active: dict[tuple[Entity, str], Symptom] = {}
        self._by_entity: dict[Entity, dict[str, Symptom]] = {}
        self._reports: dict[tuple[str, Entity], Report] = {}
        self.changed: dict[tuple[Entity, str], None] = {}
        """Symptoms that began, ended or were revised since ``take_changed``; insertion-ordered."""

    def report(
        self, reporter: str, entity: Entity, at_ms: int, interval_ms: int, judged: frozenset[str],
        active: Iterable[Symptom] = NONE,
    ) -> None:  # fmt: skip
        """Take a reporter's word on one entity. ``active`` symptoms must be in ``judged``."""
        self._reports[(reporter, entity)] = Report(at_ms, interval_ms, judged)
        mine = self._by_entity.get(entity)
        if not active and not mine:
            return
        now_active = {s.kind: s for s in active}
        touched = False
        for kind in [k for k in (mine or ()) if k in judged and k not in now_active]:
            del self.active[(entity, kind)]
            del mine[kind]  # type: ignore[union-attr]
            self.changed[(entity, kind)] = None
            touched = True
        if now_active:
            if mine is None:
                mine = self._by_entity[entity] = {}
            for kind, symptom in now_active.items():
                old = mine.get(kind)
                if old is not None and old.since_ms < symptom.since_ms:
                    symptom = msgspec.structs.replace(symptom, since_ms=old.since_ms)
                mine[kind] = symptom
                self.active[(entity, kind)] = symptom
                if old is None or old.detail != symptom.detail:
                    self.changed[(entity, kind)] = None
                touched = True
        if touched:
            self._write(entity)

    def forget(self, entity: Entity) -> None:
        """The entity no longer exists: its symptoms leave the board at once."""
        for kind in self._by_entity.pop(entity, {}):
            del self.active[(entity, kind)]
            self.changed[(entity, kind)] = None
            self._rows.drop("entities", _key(entity))
        for key in [(k.reporter, entity) for k in BY_KIND.values() if k.entity == entity.kind]:
            self._reports.pop(key, None)

    def status(self, entity: Entity, kind: str, now_ms: int) -> Status:
        """Active, observed healthy, or not observed, at engine time ``now_ms``."""
        if (entity, kind) in self.active:
            return Status.ACTIVE
        report = self._reports.get((BY_KIND[kind].reporter, entity))
        if report is None or kind not in report.judged or now_ms - report.at_ms > stale_after_ms(report.interval_ms):
            return Status.UNOBSERVED
        return Status.HEALTHY

    def last_report(self, entity: Entity, kind: str) -> Report | None:
        """The newest report by the kind's reporter, whether or not it could judge the kind."""
        return self._reports.get((BY_KIND[kind].reporter, entity))

    def is_stale(self, symptom: Symptom, now_ms: int) -> bool:
        """True when an active symptom has not been judged lately: its present state is not observed."""
        report = self._reports.get((BY_KIND[symptom.kind].reporter, symptom.entity))
        return (
            report is None
            or symptom.kind not in report.judged
            or now_ms - report.at_ms > stale_after_ms(report.interval_ms)
        )

    def of(self, entity: Entity) -> dict[str, Symptom]:
        """Active symptoms of one entity by kind."""
        return self._by_entity.get(entity, {})

    def evidence(self) -> Iterator[Symptom]:
        """Active symptoms that can be evidence (all but impact), sorted."""
        for key in sorted(self.active):
            if BY_KIND[key[1]].family != IMPACT_FAMILY:
                yield self.active[key]

    def take_changed(self) -> list[tuple[Entity, str]]:
        """Symptoms that changed since the last call."""
        out = list(self.changed)
        self.changed.clear()
        return out

    def _write(self, entity: Entity) -> None:
        mine = self._by_entity.get(entity)
        if mine:
            self._rows.put("entities", _key(entity), msgspec.msgpack.encode([mine[k] for k in sorted(mine)]))
        else:
            self._by_entity.pop(entity, None)
            self._rows.drop("entities", _key(entity))

    def load(self, value: bytes) -> None:
        """One row of ``entities`` whose key begins with ``sym|``, at recovery."""
        for s in msgspec.msgpack.decode(value, type=list[Symptom]):
            entity = Entity(*s.entity)
            s = msgspec.structs.replace(s, entity=entity)
            self._by_entity.setdefault(entity, {})[s.kind] = s
            self.active[(entity, s.kind)] = s


def _key(entity: Entity) -> str:
    return f"sym|{entity.kind}|{entity.cluster}|{entity.name}"
