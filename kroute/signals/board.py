"""The board: for every entity, what its reporters last said. Stage two reads nothing else of stage one.

A report replaces the reporter's former one for that entity: kinds in ``judged`` are healthy or active, kinds left
out are not observed. A symptom that was active and is no longer judged stays active (it never resolves by silence)
until it is judged healthy or its entity is forgotten.

Recovery is exact. An entity's row holds its symptoms and its reports and is written when a symptom is touched or when
a report says something else than before; the one thing that moves with every poll, the time of the newest report, is
told again by the reporters' windows, which know it anyway (``refresh``, from their ``loaded``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from kroute.contracts.common import Entity
from kroute.signals import rowkeys
from kroute.signals.model import Rows, Status, Symptom, stale_after_ms
from kroute.signals.table import BY_KIND, IMPACT_FAMILY

NONE: tuple[Symptom, ...] = ()


class Report(NamedTuple):
    """A reporter's last word on an entity: event time, poll interval (ms) and the kinds it could judge."""

    at_ms: int
    interval_ms: int
    judged: frozenset[str]


class _Row(msgspec.Struct, array_like=True):
    """An entity's row: its active symptoms by kind, and ``reporter, at_ms, interval_ms, judged kinds`` per report."""

    entity: Entity
    symptoms: list[Symptom]
    reports: list[tuple[str, int, int, list[str]]]


_DECODER = msgspec.msgpack.Decoder(_Row)


class Board:
    """Current symptoms and health. Pure state; rows go to the table ``entities``, keys begin with ``sym|``."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.active: dict[tuple[Entity, str], Symptom] = {}
        self._by_entity: dict[Entity, dict[str, Symptom]] = {}
        self._reports: dict[Entity, dict[str, Report]] = {}
        self.changed: dict[tuple[Entity, str], None] = {}
        """Symptoms that began, ended or were revised since ``take_changed``; insertion-ordered."""
        self._late: list[Symptom] = []

    def report(
        self, reporter: str, entity: Entity, at_ms: int, interval_ms: int, judged: frozenset[str],
        active: Iterable[Symptom] = NONE,
    ) -> None:  # fmt: skip
        """Take a reporter's word on one entity at event time ``at_ms``. ``active`` symptoms must be in ``judged``.

        A symptom that goes on keeps the earliest ``since_ms`` it was given. A reporter that can judge nothing and
        could not before adds nothing: its former report stands.
        """
        reports = self._reports.get(entity)
        if reports is None:
            reports = self._reports[entity] = {}
        old = reports.get(reporter)
        if old is None or judged or old.judged:
            reports[reporter] = Report(at_ms, interval_ms, judged)
        touched = old is None or old.judged != judged or (bool(judged) and old.interval_ms != interval_ms)
        mine = self._by_entity.get(entity)
        if mine or active is not NONE:
            now_active = {s.kind: s for s in active}
            for kind in sorted(k for k in mine or () if k in judged and k not in now_active):
                self._end(entity, kind)
                touched = True
            for kind, symptom in now_active.items():
                self._begin(entity, kind, symptom)
                touched = True
        if touched:
            self._write(entity)

    def keep(self, entity: Entity) -> None:
        """Write the entity's row as it is now, with the times of its reports."""
        self._write(entity)

    def tell_late(self, symptom: Symptom) -> None:
        """A symptom that a late observation shows was there once, and that newer ones show is over."""
        self._late.append(symptom)

    def take_late(self) -> list[Symptom]:
        """What was told late since the last call; to be taken within the same step."""
        late, self._late = self._late, []
        return late

    def refresh(self, reporter: str, entity: Entity, at_ms: int) -> None:
        """After rows were loaded: when the reporter's last report on the entity was. Touches no row."""
        report = self._reports.get(entity, {}).get(reporter)
        if report is not None and report.judged:
            self._reports[entity][reporter] = report._replace(at_ms=at_ms)

    def retire(self, reporter: str, entity: Entity) -> None:
        """The reporter will not hear of the entity again: its report and its symptoms leave the board."""
        for kind in sorted(k for k in self._by_entity.get(entity, {}) if BY_KIND[k].reporter == reporter):
            self._end(entity, kind)
        if self._reports.get(entity, {}).pop(reporter, None) is not None:
            self._write(entity)

    def forget(self, entity: Entity) -> None:
        """The entity no longer exists: its symptoms and reports leave the board at once."""
        known = entity in self._by_entity or entity in self._reports
        for kind in sorted(self._by_entity.get(entity, ())):
            self._end(entity, kind)
        self._reports.pop(entity, None)
        if known:
            self._write(entity)

    def status(self, entity: Entity, kind: str, now_ms: int) -> Status:
        """Active, observed healthy, or not observed, at engine time ``now_ms``."""
        if (entity, kind) in self.active:
            return Status.ACTIVE
        report = self.last_report(entity, kind)
        if report is None or kind not in report.judged or now_ms - report.at_ms > stale_after_ms(report.interval_ms):
            return Status.UNOBSERVED
        return Status.HEALTHY

    def last_report(self, entity: Entity, kind: str) -> Report | None:
        """The newest report by the kind's reporter, whether or not it could judge the kind."""
        return self._reports.get(entity, {}).get(BY_KIND[kind].reporter)

    def reports(self, entity: Entity) -> Mapping[str, Report]:
        """The last report on the entity by each of its reporters."""
        return self._reports.get(entity, {})

    def is_stale(self, symptom: Symptom, now_ms: int) -> bool:
        """True when an active symptom has not been judged lately: its present state is not observed."""
        report = self.last_report(symptom.entity, symptom.kind)
        return (
            report is None
            or symptom.kind not in report.judged
            or now_ms - report.at_ms > stale_after_ms(report.interval_ms)
        )  # fmt: skip

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

    def _begin(self, entity: Entity, kind: str, symptom: Symptom) -> None:
        mine = self._by_entity.setdefault(entity, {})
        old = mine.get(kind)
        # Stored values come back as lists; what is held in memory must compare equal to them.
        detail = msgspec.msgpack.decode(msgspec.msgpack.encode(symptom.detail)) if symptom.detail else symptom.detail
        since = symptom.since_ms if old is None else min(old.since_ms, symptom.since_ms)
        symptom = msgspec.structs.replace(symptom, detail=detail, since_ms=since)
        mine[kind] = self.active[(entity, kind)] = symptom
        if old is None or old.detail != detail or old.since_ms != since:
            self.changed[(entity, kind)] = None

    def _end(self, entity: Entity, kind: str) -> None:
        mine = self._by_entity[entity]
        del mine[kind], self.active[(entity, kind)]
        if not mine:
            del self._by_entity[entity]
        self.changed[(entity, kind)] = None

    def _write(self, entity: Entity) -> None:
        mine, reports = self._by_entity.get(entity, {}), self._reports.get(entity, {})
        if not mine and not reports:
            self._reports.pop(entity, None)
            self._rows.drop("entities", rowkeys.join("sym", *entity))
            return
        row = _Row(
            entity,
            [mine[k] for k in sorted(mine)],
            [(r, reports[r].at_ms, reports[r].interval_ms, sorted(reports[r].judged)) for r in sorted(reports)],
        )
        self._rows.put("entities", rowkeys.join("sym", *entity), msgspec.msgpack.encode(row))

    def load(self, value: bytes) -> None:
        """One row of ``entities`` whose key begins with ``sym|``, at recovery."""
        row = _DECODER.decode(value)
        for s in row.symptoms:
            self._by_entity.setdefault(row.entity, {})[s.kind] = s
            self.active[(row.entity, s.kind)] = s
        if row.reports:
            self._reports[row.entity] = {r: Report(at, every, frozenset(judged)) for r, at, every, judged in row.reports}
