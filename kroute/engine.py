"""The engine: one step per record of ``kroute.facts``. Pure: no I/O, clock, randomness or logging below it.

One ``PartitionState`` holds all domains of one facts partition. Rows that ``step`` returns, loaded again into a
fresh state, give a state that behaves the same to the byte.
"""

from __future__ import annotations

from typing import NamedTuple

from kroute.contracts.facts import Envelope


class Alert(NamedTuple):
    """One record for ``routed-alerts``: key (incident id), JSON value, CloudEvents headers, event time (epoch ms)."""

    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    ts_ms: int


class Effects(NamedTuple):
    """What a step changes outside: ``(table, key)`` → bytes, None deletes (keys without the partition); and alerts."""

    rows: dict[tuple[str, str], bytes | None]
    alerts: list[Alert]


class PartitionState:
    """State of one facts partition."""

    def load(self, table: str, key: str, value: bytes) -> None:
        """One stored row at recovery, in any order, before ``loaded`` is called once."""
        raise NotImplementedError

    def loaded(self) -> None:
        """All rows are in: build what is derived from them."""
        raise NotImplementedError

    def step(self, offset: int, envelope: Envelope) -> Effects:
        """Apply one record of ``kroute.facts`` at ``offset``."""
        raise NotImplementedError


class Engine:
    """The catalogue and the settings that all partitions share."""

    def new_state(self, partition: int) -> PartitionState:
        """An empty state for one facts partition."""
        raise NotImplementedError
