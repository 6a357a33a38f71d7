"""Input topics → facts. No tables: a batch is validated, sent as envelopes, awaited, and only then its position moves.

Offsets are not acked through Faust, which can commit past a record that a rebalance cancelled: the position of
each input partition is kept here, moves when the sends are confirmed, and is committed each second, when
partitions are revoked, and at a stop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import faust
from faust.types import TP

from kroute.errors import BadMessage
from kroute.settings import Settings
from kroute.stream import crash, metrics
from kroute.stream.budget import Budget, Pressure, read_note
from kroute.stream.consumer import Batch
from kroute.stream.flow import Flow
from kroute.stream.forward import Forwarder, Record, dead_letter, envelopes, flood, progress
from kroute.stream.placement import Placement
from kroute.stream.process import die

log = logging.getLogger(__name__)
APPEND_TIME = 1
"""Kafka's timestamp type of a topic with LogAppendTime."""
TAKE = 8
"""Batches of one fetch and partition that are forwarded together; a fetch gives at most 500 records in all."""
WITHIN_S = 0.05


class BrokerClock:
    """A time that the broker's clock has certainly passed, whatever this machine's clock says.

    Facts have broker append times; the newest one known, plus the time since its ack came, is never ahead.
    """

    def __init__(self) -> None:
        self._anchor: float | None = None

    def saw(self, append_ms: float, at_s: float) -> None:
        """An ack with this append time came at ``at_s`` (monotonic seconds)."""
        anchor = append_ms - at_s * 1000
        self._anchor = anchor if self._anchor is None else max(self._anchor, anchor)

    def now_ms(self, at_s: float) -> int | None:
        """Epoch ms at monotonic ``at_s``; None before the first ack."""
        return None if self._anchor is None else int(self._anchor + at_s * 1000)


class Ingest:
    """Forwards input records and tells how far each input partition is read."""

    def __init__(self, app: faust.App, settings: Settings, topics: Sequence[str]) -> None:
        self._app: Any = app
        self._partitions = range(settings.facts_partitions)
        self._facts = settings.names.full("facts")
        self._dead_letters = settings.names.full("dead-letter")
        self._placements = settings.names.full("placement")
        self.budget = Budget(settings.source_budget_kb * 1024)
        self._pressure = Pressure()
        self._forwarder = Forwarder(settings, self.budget, self._behind)
        self.topics = frozenset(topics)
        self.flow = Flow()
        self.clock = BrokerClock()
        self.placement = Placement({}, settings.facts_partitions, self._store_placement)
        self.positions: dict[TP, int] = {}
        """Next offset of each assigned input partition; all before it is confirmed in facts or the dead letters."""
        self.reached: dict[TP, int] = {}
        """Append time (epoch ms) up to which each input partition is confirmed."""
        self._committed: dict[TP, int] = {}
        self._suspected: dict[TP, tuple[int, int, int]] = {}

    def placed(self, rows: dict[str, int]) -> None:
        """The placement topic is read."""
        self.placement = Placement(rows, len(self._partitions), self._store_placement)

    def assigned(self, committed: dict[TP, int]) -> None:
        """After a rebalance: partitions assigned to this worker and where reading begins."""
        self.positions = committed
        self._committed = dict(committed)
        self.reached = {tp: ts for tp, ts in self.reached.items() if tp in committed}
        self._suspected.clear()
        metrics.REACHED.clear()

    # -- records ---------------------------------------------------------------------------------------------

    async def run(self, stream: Any) -> None:
        """Body of the agents on input topics."""
        async for events in stream.take_events(TAKE, within=WITHIN_S):
            await self.flow.through(partial(self._batch, [e.message for e in events]))

    async def _batch(self, batches: Sequence[Batch]) -> None:
        generation = self._app.consumer_generation_id
        # What was read before a rebalance is read again, by whoever owns the partition now.
        batches = [b for b in batches if b.generation_id == generation]
        await crash.point("input-taken")
        try:
            await self._forward([r for b in batches for r in b.records])
        except Exception as e:
            die(f"input records could not be forwarded to {self._facts}: {e!r}", error=e)
        for b in batches:
            tp = TP(b.topic, b.partition)
            self.positions[tp] = b.offset + 1
            times = [r.timestamp for r in b.records if r.timestamp_type == APPEND_TIME]
            if times:
                self.reached[tp] = max(self.reached.get(tp, 0), *times)

    def _append_ms(self, r: Any) -> int:
        """Append time (epoch ms). Where somebody made the topic with producers' times, the time it is read instead."""
        now = None if r.timestamp_type == APPEND_TIME else self.clock.now_ms(time.monotonic())
        return int(r.timestamp) if now is None else now

    async def _forward(self, records: Sequence[Any]) -> None:
        by_partition: dict[int, list[bytes]] = {p: [] for p in self._partitions}
        letters: list[bytes] = []
        forwarded: Counter[str] = Counter()
        for r in records:
            record = Record(r.topic, r.partition, r.offset, self._append_ms(r), r.key, r.value)
            try:
                addressed = self._forwarder.forward(record)
            except BadMessage as e:
                letters.append(dead_letter(record, e, int(time.time() * 1000)))
                metrics.REJECTED.labels(r.topic, e.reason).inc()
                continue
            if addressed is None:
                metrics.OWN.labels(r.topic).inc()
                continue
            if not addressed.fact:
                metrics.LEFT_OUT.labels(r.topic).inc()
                continue
            if addressed.domain is None:
                targets: Iterable[int] = self._partitions
            else:
                p = self.placement.known(addressed.domain)
                targets = (await self.placement.place(addressed.domain) if p is None else p,)
            for p in targets:
                by_partition[p].append(addressed.fact)
            forwarded[r.topic] += 1
        await self._send(by_partition, letters)
        for topic, n in forwarded.items():
            metrics.FORWARDED.labels(topic).inc(n)

    async def _send(self, by_partition: dict[int, list[bytes]], letters: Sequence[bytes] = ()) -> None:
        await self._produce(
            [(self._facts, value, p) for p, facts in by_partition.items() for value in envelopes(facts)]
            + [(self._dead_letters, letter, None) for letter in letters]
        )

    async def _produce(self, values: Iterable[tuple[str, bytes, int | None]]) -> None:
        """Send (topic, value, partition) and wait until all are durable."""
        send = self._app.producer.send
        acks = [await send(topic, None, value, p, None, None) for topic, value, p in values]
        await crash.point("ingest-sent")
        for ack in await asyncio.gather(*acks):
            if ack.topic == self._facts and ack.timestamp is not None:  # facts has the broker's append times
                self.clock.saw(ack.timestamp, time.monotonic())
        await crash.point("ingest-acked")

    async def _store_placement(self, key: bytes, value: bytes) -> None:
        await (await self._app.producer.send(self._placements, key, value, None, None, None))
        await crash.point("placement-acked")
        log.info("domain %s is placed in partition %s of %s", key.decode(), value.decode(), self._facts)

    # -- progress and positions ------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Each second: tell how far the input partitions are read, and commit their positions."""
        if self.flow.is_open:
            generation = self._app.consumer_generation_id
            try:
                await self.flow.through(self._tell)
                await self.commit()
            except Exception as e:
                if generation == self._app.consumer_generation_id and not self._app.should_stop:
                    die(f"progress could not be told: {e!r}", error=e)

    async def _tell(self) -> None:
        consumer = self._app.consumer
        tps = sorted(self.positions)
        if not tps:
            return
        now = self.clock.now_ms(time.monotonic())
        if now is None:  # the first ack tells the broker's time
            await self._produce([(self._facts, b'{"facts":[]}', self._partitions[0])])
            now = self.clock.now_ms(time.monotonic())
        ends = await consumer.highwaters(*tps)
        if now is not None:
            for tp in await self._at_end(tps, ends, now):
                self.reached[tp] = max(self.reached.get(tp, 0), now)
        of = sum(consumer.topic_partitions(t) or 0 for t in self.topics)
        facts = [
            progress(tp.topic, tp.partition, self.positions[tp] - 1, self.reached[tp], of) for tp in tps if tp in self.reached
        ]
        for tp, ts in self.reached.items():
            metrics.REACHED.labels(tp.topic, str(tp.partition)).set(ts / 1000)
        by_partition = {p: list(facts) for p in self._partitions}
        if now is not None:
            metrics.INGEST_LAG.set(max(0.0, max((now - ts for ts in self.reached.values()), default=0) / 1000))
            await self._look_ahead(now)
            for domain, told in self.budget.floods(now):
                by_partition[await self.placement.place(domain)].append(flood(domain, told, now))
                log.warning(
                    "source %s of %s %s: %s", told.source, told.cluster, "floods" if told.over else "floods no longer", told
                )
            for cluster, source, over in self.budget.over():
                metrics.FLOODING.labels(cluster, source).set(over)
        await self._send(by_partition)

    def _behind(self, domain: str) -> bool:
        """Whether facts of a domain are so far behind that polls must wait for what matters more."""
        return bool(self._pressure.behind) and self.placement.known(domain) in self._pressure.behind

    async def _look_ahead(self, now: int) -> None:
        """How far the workers on facts are, and what is urgent to them: beside the offsets they commit each second."""
        told = await self._app.consumer.notes([TP(self._facts, p) for p in self._partitions])
        notes = {tp.partition: note for tp, text in told.items() if (note := read_note(text)) is not None}
        was = self._pressure.behind
        self.budget.urgent = self._pressure.see(notes, now)
        if self._pressure.behind != was:
            log.warning("partitions of %s that are behind: %s", self._facts, sorted(self._pressure.behind) or "none any more")
        metrics.THINNING.set(len(self._pressure.behind))
        metrics.URGENT.set(len(self.budget.urgent))

    async def _at_end(self, tps: Sequence[TP], ends: dict[TP, int], now: int) -> list[TP]:
        """Partitions whose every record appended before ``now`` is confirmed; ``now`` was taken before ``ends``."""
        consumer = self._app.consumer
        behind = [tp for tp in tps if self.positions[tp] < ends[tp]]
        earliest = await consumer.earliest_offsets(*behind) if behind else {}
        for tp in behind:
            if earliest[tp] >= ends[tp]:  # retention emptied it
                self.positions[tp] = max(self.positions[tp], ends[tp])
                continue
            # The last offsets may hold no record. Then the consumer stands at the end, and after one more fetch
            # there is nothing that it handed out and that is not confirmed.
            suspected = self._suspected.pop(tp, None)
            if suspected is not None and consumer.fetches > suspected[1] and self.positions[tp] >= consumer.handed.get(tp, 0):
                self.positions[tp] = max(self.positions[tp], suspected[0])
                self.reached[tp] = max(self.reached.get(tp, 0), suspected[2])
            elif self.positions[tp] >= consumer.handed.get(tp, 0):
                position = await consumer.position(tp)
                if position is not None and position >= ends[tp]:
                    self._suspected[tp] = (ends[tp], consumer.fetches, now)
        return [tp for tp in tps if self.positions[tp] >= ends[tp]]

    async def commit(self) -> None:
        """Commit the positions that moved."""
        moved = {tp: o for tp, o in self.positions.items() if self._committed.get(tp) != o}
        if not moved:
            return
        await crash.point("ingest-commit")
        if await self._app.consumer._commit(moved):
            self._committed.update(moved)
            await crash.point("ingest-committed")
