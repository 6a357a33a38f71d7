"""Brokers of each partition besides its leader: who led it before that broker went, and who holds a copy.

What falls behind where a broker led is the doing of the broker that is gone; and consumers may read from the copy in their
own rack (KIP-392), so that one in trouble holds them up although it leads nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from kroute.contracts.common import Entity
from kroute.signals import rowkeys
from kroute.signals.model import Rows

KEEP_MS = 3_600_000
"""A leader that moved away longer ago is forgotten with the topic's next move, unless its broker is gone still."""
NOBODY: dict[int, int] = {}

Moves = dict[int, tuple[int, int]]
"""Partition → broker that led it, and when it was told to lead it no more (ms)."""


class PartitionBrokers:
    """The last leader of each partition that moved, and its replicas. Rows: ``moved|…``, ``hosts|…`` in the estate's table.

    ``went_with``: whether what a broker lost at a time it lost because it went (``Former.counts``).
    """

    def __init__(self, rows: Rows, table: str, went_with: Callable[[Entity, int], bool]) -> None:
        self._rows, self._table, self._went_with = rows, table, went_with
        self._moves: dict[tuple[str, str], Moves] = {}
        self._hosts: dict[tuple[str, str], tuple[int, tuple[tuple[int, ...], ...]]] = {}
        """Topic → when it was told (ms), and the replicas of each partition."""

    def hosted(self, cluster: str, topic: str, by_partition: Sequence[tuple[int, ...]], at: int) -> None:
        """Replicas by partition as told at ``at``."""
        key, hosts = (cluster, topic), tuple(by_partition)
        known = self._hosts.get(key)
        if known is None or (at >= known[0] and hosts != known[1]):
            self._hosts[key] = (at, hosts)
            self._rows.put(self._table, rowkeys.join("hosts", cluster, topic), msgspec.msgpack.encode((at, hosts)))

    def replicas(self, cluster: str, topic: str) -> tuple[tuple[int, ...], ...]:
        """Replicas by partition; empty where topology did not tell."""
        return self._hosts.get((cluster, topic), (0, ()))[1]

    def moved(self, cluster: str, topic: str, before: Sequence[int], now: Sequence[int], at: int) -> None:
        """Leaders by partition, -1 where there is none, as they were and as they are told at ``at``."""
        new = {p: (old, at) for p, (old, led) in enumerate(zip(before, now, strict=False)) if old >= 0 and led != old}
        if not new:
            return
        old_moves = self._moves.get((cluster, topic), {})
        kept = {
            p: m for p, m in old_moves.items()
            if at - m[1] <= KEEP_MS or self._went_with(Entity("broker", cluster, str(m[0])), m[1])
        }  # fmt: skip
        self._moves[(cluster, topic)] = kept | new
        row = [(p, *m) for p, m in sorted((kept | new).items())]
        self._rows.put(self._table, rowkeys.join("moved", cluster, topic), msgspec.msgpack.encode(row))

    def former(self, cluster: str, topic: str) -> dict[int, int]:
        """Partition → the broker that led it when it went, for brokers that are gone or not long back."""
        moves = self._moves.get((cluster, topic))
        if moves is None:
            return NOBODY
        return {p: b for p, (b, at) in moves.items() if self._went_with(Entity("broker", cluster, str(b)), at)}

    def forget(self, cluster: str, topic: str) -> None:
        """The topic is gone."""
        if self._moves.pop((cluster, topic), None) is not None:
            self._rows.drop(self._table, rowkeys.join("moved", cluster, topic))
        if self._hosts.pop((cluster, topic), None) is not None:
            self._rows.drop(self._table, rowkeys.join("hosts", cluster, topic))

    def load(self, kind: str, cluster: str, topic: str, value: bytes) -> None:
        """One row at recovery."""
        if kind == "hosts":
            self._hosts[(cluster, topic)] = msgspec.msgpack.decode(value, type=tuple[int, tuple[tuple[int, ...], ...]])
            return
        row = msgspec.msgpack.decode(value, type=list[tuple[int, int, int]])
        self._moves[(cluster, topic)] = {p: (b, at) for p, b, at in row}
