"""Transactions that have ended: how long what is known of them is kept."""

from __future__ import annotations

import msgspec

from kroute.contracts.common import Entity
from kroute.signals import rowkeys
from kroute.signals.model import Rows

LONG_MS, AFTERWARDS_MS = 60_000, 1_800_000
"""A transaction that was seen for so long is known for so long after its end: its readers have its backlog before them."""


class Ended:
    """When long transactions ended. Rows: ``ended|…`` in the estate's table."""

    def __init__(self, rows: Rows, table: str) -> None:
        self._rows, self._table = rows, table
        self._at: dict[Entity, int] = {}

    def runs(self, e: Entity) -> None:
        """It is listed, or forgotten: no end is known of it."""
        if self._at.pop(e, None) is not None:
            self._rows.drop(self._table, rowkeys.join("ended", *e))

    def over(self, e: Entity, since: int, at: int) -> bool:
        """It was first seen at ``since`` and is not listed at ``at``: True when nothing needs to be known of it now."""
        if at - since < LONG_MS or at - self._at.get(e, at) > AFTERWARDS_MS:
            self.runs(e)
            return True
        if e not in self._at:
            self._at[e] = at
            self._rows.put(self._table, rowkeys.join("ended", *e), msgspec.msgpack.encode(at))
        return False

    def load(self, e: Entity, value: bytes) -> None:
        """One row at recovery."""
        self._at[e] = msgspec.msgpack.decode(value, type=int)
