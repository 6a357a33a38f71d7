"""Windows over placement and liveness (``kroute.topology``). Rules T1–T11.

Every poll is reduced to a tally of a few numbers per broker; parts of a split poll add up and are judged together
when the last has come. Rows: table ``topology``, keys ``place|<cluster>`` and, while parts are missing,
``place|parts|<cluster>``.
"""

from __future__ import annotations

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.inputs import Topology
from kroute.signals import rowkeys
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.metrics import MetricWindows
from kroute.signals.model import DEFAULT_INTERVAL_MS, Knowledge, Rows, Src, Symptom
from kroute.signals.placement_rules import Broken, Memory, judge_brokers, judge_cluster, judge_transactions
from kroute.signals.placement_tally import Tally, add, tally
from kroute.signals.ring import learnt_interval
from kroute.signals.table import TOPOLOGY

TABLE = "topology"


class _Parts(msgspec.Struct, array_like=True):
    """A split poll that is not complete: the sum of the parts that came, a bit for each."""

    cluster: str
    at_ms: int
    got: int
    sum: Tally


_MEMORY = msgspec.msgpack.Decoder(Memory)
_PARTS = msgspec.msgpack.Decoder(_Parts)


class PlacementWindows:
    """Brokers, replicas, leaders, quorum, reassignments and transactions of every cluster of one domain.

    ``metrics`` gets the disk ratio that log directories tell, and stands in where topology is not heard.
    """

    def __init__(
        self, estate: Estate, board: Board, rows: Rows, knowledge: Knowledge, metrics: MetricWindows | None = None
    ) -> None:
        self._estate = estate
        self._board = board
        self._rows = rows
        self._metrics = metrics
        if metrics is not None:
            metrics.stand_ins.placed = self
        self._memory: dict[str, Memory] = {}
        self._parts: dict[str, _Parts] = {}

    def observe(self, src: Src, m: Topology, now_ms: int) -> None:
        """Take one poll (or a part of one); what is not newer than the newest judged is ignored."""
        c = m.cluster
        memory = self._memory.get(c) or Memory(cluster=c)
        if m.observed_at_ms <= max(memory.at_ms, memory.down_ms):
            return
        if not m.up:
            if memory.at_ms >= 0:
                memory.down_ms = m.observed_at_ms
                for entity in self._entities(memory):
                    self._board.report(TOPOLOGY, entity, m.observed_at_ms, memory.interval_ms, frozenset())
                self._write(memory)
            return
        total = tally(m)
        if m.parts > 1:
            whole = self._collect(m, total)
            if whole is None:
                return
            total = whole
        self._memory[c] = memory
        memory.every_ms = m.interval_ms or memory.every_ms
        memory.times = [*memory.times[-3:], m.observed_at_ms]
        memory.interval_ms = memory.every_ms or learnt_interval(memory.times)
        self._judge(src, memory, total, m.observed_at_ms)
        self._write(memory)
        if self._metrics is not None and total.disks:
            self._metrics.observe_disks(src, c, total.disks, m.observed_at_ms, m.interval_ms, now_ms)

    def heard_ms(self, cluster: str) -> int:
        """Time of the newest poll that told anything; -1: never."""
        memory = self._memory.get(cluster)
        return -1 if memory is None else memory.at_ms

    def interval_ms(self, cluster: str) -> int:
        """Between two polls, as far as it is known."""
        memory = self._memory.get(cluster)
        return DEFAULT_INTERVAL_MS if memory is None else memory.interval_ms

    def tick(self, now_ms: int) -> None:
        """Nothing here moves with time alone: a silent topology goes stale by itself."""

    def load(self, table: str, key: str, value: bytes) -> None:
        """One row at recovery; other rows of the table are left alone."""
        if table != TABLE or not key.startswith("place|"):
            return
        if len(rowkeys.split(key)) == 2:
            memory = _MEMORY.decode(value)
            self._memory[memory.cluster] = memory
        else:
            parts = _PARTS.decode(value)
            self._parts[parts.cluster] = parts

    def loaded(self) -> None:
        """All rows are in."""
        for cluster in sorted(self._memory):
            memory = self._memory[cluster]
            for entity in self._entities(memory):
                told = self._board.reports(entity).get(TOPOLOGY)
                if told is not None and told.at_ms <= memory.at_ms:  # else stand-ins spoke after it
                    self._board.refresh(TOPOLOGY, entity, memory.at_ms)

    def _judge(self, src: Src, memory: Memory, t: Tally, at_ms: int) -> None:
        c = memory.cluster
        cluster = Entity("cluster", c, c)
        self._say(src, cluster, at_ms, memory.interval_ms, *judge_cluster(memory, t, at_ms, self._board.of(cluster)))
        brokers, left = judge_brokers(memory, t, at_ms, self._estate.platform(c))
        for broker, (judged, found) in brokers.items():
            self._say(src, Entity("broker", c, str(broker)), at_ms, memory.interval_ms, judged, found)
        for broker in left:
            self._board.forget(Entity("broker", c, str(broker)))
        open_now, ended = judge_transactions(memory, t, at_ms)
        for name, (judged, found) in open_now.items():
            self._say(src, Entity("transaction", c, name), at_ms, memory.interval_ms, judged, found)
        for name in ended:
            self._board.forget(Entity("transaction", c, name))
        memory.at_ms = at_ms

    def _say(self, src: Src, entity: Entity, at_ms: int, every_ms: int, judged: frozenset[str], found: list[Broken]) -> None:
        symptoms = [
            Symptom(
                kind=b.kind, entity=entity, since_ms=b.since_ms, last_ms=at_ms, value=b.value, why=b.why,
                topic_src=src.topic, partition_src=src.partition, offset_src=src.offset, detail=b.detail,
            )
            for b in found
        ]  # fmt: skip
        self._board.report(TOPOLOGY, entity, at_ms, every_ms, judged, symptoms)

    def _collect(self, m: Topology, part: Tally) -> Tally | None:
        """Add a part; the sum when it was the last one missing."""
        key = rowkeys.join("place", "parts", m.cluster)
        parts = self._parts.get(m.cluster)
        if parts is not None and parts.at_ms > m.observed_at_ms:
            return None
        if parts is None or parts.at_ms < m.observed_at_ms:
            parts = self._parts[m.cluster] = _Parts(m.cluster, m.observed_at_ms, 0, Tally())
        if parts.got >> m.part & 1 or m.part >= m.parts:
            return None
        parts.got |= 1 << m.part
        parts.sum = add(parts.sum, part)
        if parts.got == (1 << m.parts) - 1:
            del self._parts[m.cluster]
            self._rows.drop(TABLE, key)
            return parts.sum
        self._rows.put(TABLE, key, msgspec.msgpack.encode(parts))
        return None

    def _entities(self, memory: Memory) -> list[Entity]:
        c = memory.cluster
        return [
            Entity("cluster", c, c),
            *(Entity("broker", c, str(b)) for b in sorted(memory.brokers)),
            *(Entity("transaction", c, t) for t in sorted(memory.transactions)),
        ]

    def _write(self, memory: Memory) -> None:
        self._rows.put(TABLE, rowkeys.join("place", memory.cluster), msgspec.msgpack.encode(memory))
