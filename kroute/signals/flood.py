"""Sources that send more than their budget and are thinned by ingest. Rule S2.

Ingest tells of each while it lasts and once when it is over; where it falls silent (its process is gone) it is over too.
"""

from __future__ import annotations

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.facts import Flood
from kroute.signals import rowkeys
from kroute.signals.board import Board
from kroute.signals.metric_rules import number
from kroute.signals.model import Rows, Symptom
from kroute.signals.table import FLOOD

KIND = "signals-flooding"
JUDGED = frozenset({KIND})
HEAD = "flood"
EVERY_MS = 10_000
"""Ingest tells this often while it lasts."""
SILENT_MS = 60_000
FORGET_MS = 3_600_000
"""A source that floods no longer is observed healthy for this long: longer than any hold."""


class _Told(msgspec.Struct, array_like=True):
    """``told_ms``: when ingest told last, or when it was over; ``report_ms``: of the newest report on the board."""

    cluster: str
    source: str
    over: bool
    told_ms: int
    report_ms: int


_DECODER = msgspec.msgpack.Decoder(_Told)


class FloodWindows:
    """What ingest told of floods. Rows: table ``entities``, keys ``flood|…``; none for a source that never floods."""

    def __init__(self, board: Board, rows: Rows) -> None:
        self._board = board
        self._rows = rows
        self._told: dict[tuple[str, str], _Told] = {}

    def observe(self, flood: Flood, now_ms: int) -> None:
        """Ingest tells of a source."""
        key = (flood.cluster, flood.source)
        told = self._told.get(key)
        if told is None:
            if not flood.over:
                return
            told = self._told[key] = _Told(*key, over=True, told_ms=now_ms, report_ms=now_ms)
        told.over, told.told_ms = flood.over, max(told.told_ms, now_ms)
        self._report(told, now_ms, [_symptom(flood, now_ms)] if flood.over else [])

    def tick(self, now_ms: int) -> None:
        """Once per second of event time."""
        for key in sorted(self._told):
            told = self._told[key]
            if told.over and now_ms - told.told_ms > SILENT_MS:
                told.over, told.told_ms = False, now_ms
            if told.over:
                continue
            if now_ms - told.told_ms > FORGET_MS:
                del self._told[key]
                self._rows.drop("entities", rowkeys.join(HEAD, *key))
                self._board.retire(FLOOD, Entity("source", *key))
            elif now_ms - told.report_ms >= EVERY_MS:
                self._report(told, now_ms, [])

    def load(self, value: bytes) -> None:
        """One row at recovery."""
        told = _DECODER.decode(value)
        self._told[told.cluster, told.source] = told

    def loaded(self) -> None:
        """All rows are in."""
        for key in sorted(self._told):
            self._board.refresh(FLOOD, Entity("source", *key), self._told[key].report_ms)

    def _report(self, told: _Told, now_ms: int, active: list[Symptom]) -> None:
        told.report_ms = now_ms
        self._board.report(FLOOD, Entity("source", told.cluster, told.source), now_ms, EVERY_MS, JUDGED, active)
        self._rows.put("entities", rowkeys.join(HEAD, told.cluster, told.source), msgspec.msgpack.encode(told))


def _symptom(flood: Flood, now_ms: int) -> Symptom:
    why = (
        f"{flood.source} sends {number(flood.records_s)} records and {number(flood.bytes_s / 1024)} KiB a second; "
        f"its budget is {number(flood.budget / 1024)} KiB, what is beyond is thinned"
    )
    return Symptom(
        kind=KIND, entity=Entity("source", flood.cluster, flood.source), since_ms=min(flood.since_ms, now_ms), last_ms=now_ms,
        value=float(flood.bytes_s), why=why, detail={"sources": [flood.source], "left_out": flood.left_out},
    )  # fmt: skip
