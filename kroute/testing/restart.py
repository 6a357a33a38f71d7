"""A worker that stops in mid-run and goes on from its rows: everything but the rows is lost."""

from __future__ import annotations

from kroute.contracts.facts import Envelope
from kroute.engine import Effects, Engine, PartitionState


class Restarting(Engine):
    """An engine whose states are thrown away and built again from their rows at given times (epoch ms of event time)."""

    def __init__(self, engine: Engine, at_ms: list[int]) -> None:
        super().__init__(engine.catalogue, engine.heartbeat_ms)
        self._at_ms = at_ms

    def new_state(self, partition: int) -> PartitionState:
        """A state that keeps its rows as the tables would."""
        return _Kept(self, partition, self._at_ms)


class _Kept(PartitionState):
    def __init__(self, engine: Engine, partition: int, at_ms: list[int]) -> None:
        super().__init__(engine, partition)
        self._made_by = engine
        self._due = sorted(at_ms)
        self._rows: dict[tuple[str, str], bytes] = {}
        self._inner = PartitionState(engine, partition)

    def step(self, offset: int, envelope: Envelope) -> Effects:
        if self._due and self._inner.now_ms >= self._due[0]:
            del self._due[0]
            self._inner = PartitionState(self._made_by, self.partition)
            for (table, key), row in sorted(self._rows.items()):
                self._inner.load(table, key, row)
            self._inner.loaded()
        effects = self._inner.step(offset, envelope)
        for at, value in effects.rows.items():
            if value is None:
                self._rows.pop(at, None)
            else:
                self._rows[at] = value
        return effects
