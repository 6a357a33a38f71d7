"""Faust's consumer, with what kroute needs at the fetch and at the stop, and notes beside committed offsets.

- From the revocation until Faust has sought the start of each partition, only changelogs are fetched. Faust itself
  begins before it seeks, and then clears its queues: records in between would be lost, without a trace (measured).
- A fetch that began before the revocation is ended with it. In Faust it goes on in the thread of the consumer for as long
  as a second, through the rebalance; what it took after the start was sought was then read by nobody (measured).
- Topics can be held back: signals wait until the state inputs are read, and waiting in an agent would fill the queue.
- What was handed out is noted, so that "read to the end" can be told also where the last offsets of a partition have
  no record (transaction markers, compaction).
- A fetch waits 100 ms for data, not 1.5 s: a partition that was just drained is only asked for again when the fetch
  under way is over, and that one waits on partitions where nothing comes (a backlog was read twice as fast, measured).
- What a fetch gives of one input partition goes through Faust as one message, a ``Batch``: Faust takes about 0.1 ms of
  processor time for each message, whatever its size.
- What the group answers is told to the watchdog: it says for how long nobody else can have the partitions.
- A rebalance that meets a stop closes nothing: the thread does, as it ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import faust
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from kroute.stream.process import Watchdog, clock_s

log = logging.getLogger(__name__)
FETCH_WAIT_MS = 100


class Batch(ConsumerMessage):
    """Consecutive records of one input partition as one message: its offset is that of the last, ``records`` are all."""

    records: Sequence[Any]


class _Records(list[Any]):
    """The records of a batch on their way through Faust's scheduler, where they are one record."""


class QuickFetchThread(AIOKafkaConsumerThread):
    """The thread of the consumer; Faust has no setting for the time a fetch waits."""

    _fetch: asyncio.Task[Any] | None = None

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109  (Faust's signature)
        """Records of one turn: none where the turn is over before they are there."""
        holding: Any = self.consumer
        return await self.call_thread(self._fetch_in, holding.turn, active_partitions, timeout)

    async def _fetch_in(self, turn: int, partitions: Any, wait_s: float) -> Any:
        holding: Any = self.consumer
        if turn != holding.turn:
            return {}
        consumer: Any = self._ensure_consumer()
        records = self._fetch_records(consumer, partitions, timeout=wait_s, max_records=consumer._max_poll_records)
        self._fetch = fetch = asyncio.ensure_future(records)
        try:
            await asyncio.wait([fetch])
        finally:
            fetch.cancel()
        return {} if fetch.cancelled() else fetch.result()

    def end_fetch(self) -> None:
        """From another thread: the fetch under way takes no more than it has by now, and whatever this thread is asked for
        later comes after its end."""
        if not self.thread_loop.is_closed():
            self.thread_loop.call_soon_threadsafe(self._end_fetch)

    def _end_fetch(self) -> None:
        if self._fetch is not None:
            self._fetch.cancel()

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    def close(self) -> None:
        """Nothing, where Faust closes client and coordinator in the loop of the main thread, while this thread's loop runs
        with them: that crashed uvloop, or the group could not be left and the stop took too long. They are closed in
        ``on_thread_stop``.
        """

    async def commit_noted(self, offsets: Mapping[TP, int], notes: Mapping[TP, str]) -> None:
        """Commit offsets with metadata; nothing where a rebalance was faster."""
        mine = {
            TopicPartition(*tp): OffsetAndMetadata(o, notes.get(tp, "")) for tp, o in offsets.items() if tp in self.assignment()
        }
        try:
            await self._ensure_consumer().commit(mine)
        except (CommitFailedError, IllegalStateError) as e:
            log.info("positions were not committed, the group rebalances: %r", e)

    async def notes(self, tps: Iterable[TP]) -> dict[TP, str]:
        """Metadata beside the group's committed offsets, of any partitions."""
        coordinator = self._ensure_consumer()._coordinator  # aiokafka's own committed() gives the offset alone
        found = await coordinator.fetch_committed_offsets([TopicPartition(*tp) for tp in tps])
        return {TP(tp.topic, tp.partition): o.metadata for tp, o in found.items()}

    async def on_start(self) -> None:
        """Start the consumer, and listen to its heartbeats from the first on."""
        await super().on_start()
        app: Any = self.consumer.app
        consumer: Any = self._consumer
        told(consumer._coordinator, app.watchdog)


def told(coordinator: Any, watchdog: Watchdog) -> None:
    """Let the watchdog know what the group answers to heartbeats, and when this worker joined."""
    beat, join = coordinator._do_heartbeat, coordinator._on_join_complete

    async def heartbeat() -> bool:
        sent_s = clock_s()
        known: bool = await beat()
        if known:
            watchdog.heard(sent_s)
        elif not coordinator.member_id:  # it was reset: the group does not know it
            watchdog.lost()
        return known

    async def joined(*args: Any, **kwargs: Any) -> Any:
        watchdog.heard(clock_s())  # the session begins with the answer
        return await join(*args, **kwargs)

    coordinator._do_heartbeat = heartbeat
    coordinator._on_join_complete = joined


class HoldingConsumer(Consumer):
    """``held``: topics not fetched now. ``handed``: offset after the last record handed out. ``fetches``: how many ended.
    ``batched``: topics whose records come as ``Batch``. ``turn``: goes up where inputs cease or begin to flow.

    ``handed`` outlives rebalances: too high only delays what is told, too low would tell of records still to come.
    """

    logger = logging.getLogger("faust.transport")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held: frozenset[str] = frozenset()
        self.batched: frozenset[str] = frozenset()
        self.handed: dict[TP, int] = {}
        self.fetches = 0
        self.turn = 0
        self._flows = False

    def _new_consumer_thread(self) -> QuickFetchThread:
        return QuickFetchThread(self, loop=self.loop, beacon=self.beacon)

    async def commit_noted(self, offsets: Mapping[TP, int], notes: Mapping[TP, str]) -> None:
        """Commit offsets with metadata (at most 4,096 bytes each)."""
        thread: Any = self._thread
        await thread.call_thread(thread.commit_noted, offsets, notes)

    async def notes(self, tps: Iterable[TP]) -> dict[TP, str]:
        """What stands beside the group's committed offsets, whichever worker committed them."""
        thread: Any = self._thread
        out: dict[TP, str] = await thread.call_thread(thread.notes, list(tps))
        return out

    def hold(self) -> None:
        """Fetch changelogs only; a fetch under way ends, and gives nothing."""
        self._flows = False
        self.turn += 1
        thread: Any = self._thread
        thread.end_fetch()

    def release(self) -> None:
        """Fetch all topics that are not held: positions are sought."""
        self._flows = True
        self.turn += 1

    def _wanted(self, tp: TP) -> bool:
        return (self._flows and tp.topic not in self.held) or self._is_changelog_tp(tp)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109  (Faust's signature)
        turn = self.turn
        wanted = {tp for tp in active_partitions or () if self._wanted(tp)}
        if not wanted:  # an empty set would mean all
            await self.sleep(0.1)
            return {}
        records = await super()._getmany(wanted, timeout)
        if turn != self.turn:  # it was taken before the start was sought anew
            return {tp: batch for tp, batch in (records or {}).items() if self._is_changelog_tp(tp)}
        for tp, batch in (records or {}).items():
            if batch:
                self.handed[TP(tp.topic, tp.partition)] = batch[-1].offset + 1
        self.fetches += 1
        return {tp: [_Records(batch)] if batch and tp.topic in self.batched else batch for tp, batch in (records or {}).items()}

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, _Records):
            return super()._to_message(tp, record)
        last = record[-1]
        message = Batch(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, last.timestamp_type, None, None, b"", None, -1, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip
        message.records = record
        return message


class HoldingTransport(Transport):
    """Faust's aiokafka transport with that consumer."""

    Consumer = HoldingConsumer


def transport(app: faust.App) -> HoldingTransport:
    """The transport for an app."""
    return HoldingTransport(app.conf.broker_consumer, app)
