"""Facts are applied in units of work, each committed as a group: journal, rows, alerts, in that order.

A unit is one record of facts; where a backlog waits, some consecutive records, so that a row which changes in each is
written once. What the engine gives does not depend on that: it takes one record a step. While a unit is being written
the engine goes on with the next, which is written when the first is durable: nothing is ever written out of order.

The position lives in the journal. At recovery the newest journal unit is written once more, and reading begins at
its offset + 1. Any other offset, and any failed write, ends the process: starting again is the one recovery path.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import faust
import msgspec
from faust.types import TP

from kroute.contracts.alerts import HEARTBEAT, Alert
from kroute.contracts.facts import Envelope
from kroute.errors import StateError
from kroute.settings import Settings
from kroute.stream import crash, intact, journal, metrics
from kroute.stream.budget import write_note
from kroute.stream.flow import Flow
from kroute.stream.held import Held, Unit
from kroute.stream.interface import EngineLike, State
from kroute.stream.process import EXIT_STATE, Watchdog, die
from kroute.stream.tables import Tables
from kroute.stream.told import Failures, refusals
from kroute.upgrade import CLOCK

log = logging.getLogger(__name__)
EMPTY = Envelope()
GROUP = 8
"""Records of facts that one unit of work takes at most, where a backlog waits."""

TRIES = 5
"""So often a recovery that ended too early is told to go on, before the process ends."""
UNIT_S = 0.5
"""And no more records once it has taken this long: half the session timeout ends a worker."""


class Correlate:
    """Applies facts to the engine and makes the effects durable."""

    def __init__(
        self, app: faust.App, settings: Settings, engine: EngineLike, tables: Tables, watchdog: Watchdog, *, accept_gap: bool
    ) -> None:
        self._app: Any = app
        self._engine = engine
        self._tables = tables
        self._watchdog = watchdog
        self._accept_gap = accept_gap
        self.topic = settings.names.full("facts")
        self._dead_letters = settings.names.full("dead-letter")
        self._alerts_topic = settings.names.full("routed-alerts")
        self._decode = msgspec.json.Decoder(Envelope).decode
        self._recovering = asyncio.Lock()
        self._recovery: asyncio.Future[None] | None = None
        self._halted = False
        self.interrupted = False
        """True when a recovery was cut off in the middle: the local store may be behind its own bookkeeping."""
        self._queues: dict[int, asyncio.Queue[Any]] = {}
        self.flow = Flow()
        self.held: dict[int, Held] = {}
        self._outbox: dict[int, float] = {}
        self._unfinished = 0
        self._failures = Failures()

    @property
    def outbox_age_s(self) -> float:
        """Seconds since the oldest unit that is not durable yet, alerts included, began to be written; 0 where none is."""
        began = min(self._outbox.copy().values(), default=None)
        return 0.0 if began is None else time.monotonic() - began

    # -- the flow --------------------------------------------------------------------------------------------

    async def run(self, stream: Any) -> None:
        """Body of the agent on facts: hands each record to the task of its partition."""
        async for event in stream.events():
            message = event.message
            queue = self._queues.get(message.partition)
            if queue is None:
                queue = self._queues[message.partition] = asyncio.Queue(GROUP)
                self._app.add_future(self._work(queue))
            await queue.put(message)

    async def _work(self, queue: asyncio.Queue[Any]) -> None:
        """One partition: units of work, one after the other."""
        while True:
            messages = [await queue.get()]
            while len(messages) < GROUP and not queue.empty():
                messages.append(queue.get_nowait())
            while messages:
                messages = await self.flow.through(partial(self._unit, messages))

    async def _unit(self, messages: Sequence[Any]) -> list[Any]:
        """Apply consecutive records of one partition; their effects are then made durable together.

        Returns those that are left for the next unit: one that takes long on a busy machine is written before it is late.
        """
        # What was read before a rebalance is read again, by whoever owns the partition now.
        messages = [m for m in messages if m.generation_id == self._app.consumer_generation_id]
        if not messages:
            return []
        started = time.monotonic()
        taken = 0
        p = messages[0].partition
        held = self.held.get(p)
        self._watchdog.begin(p, messages[0].offset)
        rows: dict[tuple[str, str], bytes | None] = {}
        alerts: list[Alert] = []
        letters: list[bytes] = []
        facts = offset = 0
        try:
            for m in messages:
                offset = m.offset
                if held is None or offset != held.applied + 1:
                    expected = None if held is None else held.applied + 1
                    die(f"{self.topic}[{p}] gave offset {offset}, expected {expected}: starting again from the journal")
                began = time.perf_counter()
                envelope = self._envelope(p, offset, m.value)
                effects = held.state.step(offset, envelope)
                rows.update(effects.rows)
                alerts += effects.alerts
                letters += refusals(p, held.state)
                self._failures.tell(f"{self.topic}[{p}] offset {offset}", held.state)
                facts += len(envelope.facts)
                held.applied = offset
                taken += 1
                metrics.STEP.observe(time.perf_counter() - began)
                await asyncio.sleep(0)  # a step takes a while; ingest and /health shall not wait for all
                if time.monotonic() - started > UNIT_S:
                    break
        except Exception as e:  # whatever it is, nothing more may be written
            die(f"{self.topic}[{p}] offset {offset} could not be applied: {e!r}", error=e)
        assert held is not None
        if held.writing is not None:
            await held.writing
        at_ms = int(messages[taken - 1].timestamp * 1000)
        unit = Unit(messages[0].offset, offset, facts, rows, alerts, letters, at_ms)
        held.writing = self.flow.also(self._write(p, held, unit))
        return messages[taken:]

    async def _write(self, p: int, held: Held, unit: Unit) -> None:
        """Make a unit durable."""
        began = time.perf_counter()
        self._outbox[p] = time.monotonic()
        await crash.point("unit-stepped")
        try:
            # Before the journal commits the unit: after a stop in between they are written again, the same bytes.
            if unit.letters:
                await self._send("letters", self._dead_letters, ((None, letter, None) for letter in unit.letters))
            await self._write_journal(p, unit.offset, unit.rows, unit.alerts)
            await self._write_effects(p, unit.offset, unit.rows, unit.alerts)
        except Exception as e:
            die(f"{self.topic}[{p}] offset {unit.offset} could not be written: {e!r}", error=e)
        self._outbox.pop(p, None)
        await crash.point("unit-durable")
        held.offset, held.at_ms = unit.offset, unit.at_ms
        self._watchdog.end(p, unit.first)
        for via, n in held.state.take_fallbacks().items():
            metrics.FALLBACKS.labels(via).inc(n)
        partition = str(p)
        metrics.COMMIT.observe(time.perf_counter() - began)
        metrics.UNITS.labels(partition).inc()
        metrics.FACTS.labels(partition).inc(unit.facts)
        metrics.OFFSET.labels(partition).set(unit.offset)

    def _envelope(self, p: int, offset: int, value: bytes | None) -> Envelope:
        try:
            envelope = self._decode(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            log.warning("%s[%d] offset %d is not an envelope and is passed over: %s", self.topic, p, offset, e)
            metrics.UNREADABLE.inc()
            return EMPTY
        if envelope.v > 1:
            raise StateError(f"{self.topic}[{p}] offset {offset} has version {envelope.v}: run the newer kroute that wrote it")
        return envelope

    async def _write_journal(
        self, p: int, offset: int, rows: Mapping[tuple[str, str], bytes | None], alerts: Iterable[Alert]
    ) -> None:
        """The unit, committed by its last row: that one is sent when the others are durable."""
        *parts, head = journal.encode(offset, rows, alerts, marks=self._tables.marks(p))
        if parts:
            await self._watchdog.allow(p)
            await self._tables.write(p, offset, (("journal", key, value) for key, value in parts))
            await crash.point("journal-parts")
        await self._watchdog.allow(p)
        await self._tables.write(p, offset, [("journal", *head)])

    async def _write_effects(
        self, p: int, offset: int, rows: Mapping[tuple[str, str], bytes | None], alerts: Iterable[Alert]
    ) -> None:
        if rows:
            await self._watchdog.allow(p)
            await self._tables.write(p, offset, ((table, key, value) for (table, key), value in rows.items()))
        if alerts:
            await self._watchdog.allow(p)
            records = ((a.key.encode(), a.value, list(a.headers)) for a in alerts)
            metrics.ALERTS.inc(await self._send("alerts", self._alerts_topic, records))
            for a in alerts:
                if a.key.startswith(HEARTBEAT):
                    metrics.HEARTBEAT.labels(a.key.removeprefix(HEARTBEAT)).set(a.ts_ms / 1000)

    async def _send(self, what: str, topic: str, records: Iterable[tuple[bytes | None, bytes, Any]]) -> int:
        """Send (key, value, headers) in order and wait until all are durable; how many. ``what``: alerts or letters."""
        acks = []
        for key, value, headers in records:
            acks.append(await self._app.producer.send(topic, key, value, None, None, headers))
            await crash.point("output-sent", what)
        await asyncio.gather(*acks)
        await crash.point("output-acked", what)
        return len(acks)

    async def commit(self, now_ms: int | None) -> None:
        """Commit the durable offsets: the group's lag is then true. Where reading begins is told by the journal alone.

        Beside them stands what the ingest of every worker needs when not all can be had at once (``budget.Note``).
        ``now_ms``: the broker's time, for this worker's own lag.
        """
        positions = {TP(self.topic, p): h.offset + 1 for p, h in self.held.items()}
        if not (self.flow.is_open and positions):
            return
        for p, h in self.held.items():
            if h.at_ms and now_ms is not None:
                metrics.LAG.labels(str(p)).set(max(0, now_ms - h.at_ms) / 1000)
        for tp, end in (await self._app.consumer.highwaters(*positions)).items():
            metrics.BEHIND.labels(str(tp.partition)).set(max(0, end - positions[TP(*tp)]))
        if self.flow.is_open:
            await crash.point("facts-commit")
            await self._commit_noted()
            await crash.point("facts-committed")

    async def _commit_noted(self) -> None:
        positions = {TP(self.topic, p): h.offset + 1 for p, h in self.held.items()}
        notes = {TP(self.topic, p): write_note(h.at_ms, h.state.at_stake()) for p, h in self.held.items() if h.at_ms}
        await self._app.consumer.commit_noted(positions, notes)

    async def settle(self) -> None:
        """After the last unit before a stop: the journal tells that it is applied in full, so that none of it is repeated."""
        if self._app.rebalancing:  # partitions may be another's by now
            return
        mine = {tp.partition for tp in self._app.consumer.assignment() if tp.topic == self.topic}
        for p, held in self.held.items():
            if p in mine and held.offset >= 0:
                await self._write_journal(p, held.offset, {}, [])
        await self._commit_noted()

    # -- recovery --------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Called by Faust when the tables are recovered, before it seeks; whatever goes wrong ends the process."""
        generation, rebalance = self._app.consumer_generation_id, self._app.rebalancing_count
        async with self._recovering:
            try:
                if not self._halted:
                    self._recovery = asyncio.ensure_future(self._recover(generation))
                    await self._recovery
                    self._app.recovered = rebalance
            except asyncio.CancelledError:
                if not self.interrupted:
                    raise
            except StateError as e:
                die(str(e), code=EXIT_STATE)
            except Exception as e:
                if generation == self._app.consumer_generation_id:
                    die(f"recovery failed: {e!r}", error=e)
                log.warning("recovery was overtaken by another rebalance: %r", e)
            if self._halted:  # Faust would go on to let records flow
                await asyncio.Event().wait()

    async def halt(self) -> None:
        """Before a stop: end a recovery under way. Faust does not, and one that goes on asks a consumer that is gone."""
        self._halted = True
        if self._recovery is not None and not self._recovery.done():
            self.interrupted = True
            self._recovery.cancel()
            await asyncio.wait([self._recovery])

    async def _recover(self, generation: int) -> None:
        app = self._app
        partitions = sorted(tp.partition for tp in app.consumer.assignment() if tp.topic == self.topic)
        self.held = {p: h for p, h in self.held.items() if p in partitions}
        for figure in (metrics.OFFSET, metrics.BEHIND, metrics.LAG):  # those of partitions that went elsewhere are told there
            figure.clear()
        if not partitions:
            return
        unread = await self._tables.unread(partitions)
        if unread and generation == app.consumer_generation_id:
            what = f"recovery ended with {sum(unread.values())} changelog records unread ({next(iter(unread))}, …)"
            self._unfinished += 1
            if self._unfinished > TRIES:
                die(f"{what}: starting again")
            log.warning("%s: it goes on", what)
            app.tables.recovery.signal_recovery_start.set()  # what Faust does at a rebalance: it begins where it stands
            return
        self._unfinished = 0
        tps = [TP(self.topic, p) for p in partitions]
        earliest = await app.consumer.earliest_offsets(*tps)
        ends = await app.consumer.highwaters(*tps)
        for p in partitions:
            if generation != app.consumer_generation_id:
                return
            await crash.point("recovery-begun")
            unit = journal.decode(dict(self._tables.by_name["journal"].stored(p)))
            intact.check(unit, await self._tables.spans(p), app.conf.id)
            offset = -1 if unit is None else unit.offset
            held = self.held.get(p)
            if held is None or not held.offset == held.applied == offset:
                if unit is not None:
                    self._outbox[p] = time.monotonic()
                    await self._write_effects(p, offset, unit.rows, unit.alerts)
                    self._outbox.pop(p, None)
                    await crash.point("recovery-written")
                if offset >= 0:
                    await self._upgrade(p, offset)
                held = self.held[p] = Held(self._load(p), offset)
            self._check_gap(held, p, earliest[TP(self.topic, p)], ends[TP(self.topic, p)], begun=unit is not None)
            metrics.OFFSET.labels(str(p)).set(held.offset)
            log.info("%s[%d]: state is at offset %d", self.topic, p, held.offset)
        if generation != app.consumer_generation_id:
            return
        positions = {TP(self.topic, p): self.held[p].offset + 1 for p in partitions}
        if not await app.consumer._commit(positions) and generation == app.consumer_generation_id:
            die(f"the position of {self.topic} could not be set to {positions}")
        await crash.point("recovery-placed")

    async def _upgrade(self, p: int, offset: int) -> None:
        """Bring the rows of an older version up to date: one unit of work at the offset they stand at.

        The journal forgets the former unit first: its parts would be taken for those of this one, which has the same offset.
        """
        tables = self._tables.by_name
        if not self._engine.outdated(tables[CLOCK[0]].row(p, CLOCK[1])):
            return
        rows = {(name, key): value for name, t in tables.items() if name != "journal" for key, value in t.stored(p)}
        changes = self._engine.migrate(rows)
        log.warning("%s[%d]: state of an older version, %d of %d rows are migrated", self.topic, p, len(changes), len(rows))
        await self._write_journal(p, offset, {}, [])
        await self._write_journal(p, offset, changes, [])
        await self._write_effects(p, offset, changes, [])

    def _load(self, p: int) -> State:
        began = time.perf_counter()
        state = self._engine.new_state(p)
        n = 0
        for name, table in self._tables.by_name.items():
            if name != "journal":
                for key, value in table.stored(p):
                    state.load(name, key, value)
                    n += 1
        state.loaded()
        metrics.LOADED.labels(str(p)).set(n)
        log.info("%s[%d]: %d rows loaded in %.2f s", self.topic, p, n, time.perf_counter() - began)
        return state

    def _check_gap(self, held: Held, p: int, earliest: int, end: int, *, begun: bool) -> None:
        """Facts between the journal and the log's start were deleted before they were applied.

        Raises:
            StateError: unless the operator accepted the gap, or nothing was applied before.
        """
        following = held.offset + 1
        if earliest <= following <= end:
            metrics.GAP.labels(str(p)).set(0)
            return
        missing = earliest - following if following < earliest else following - end
        metrics.GAP.labels(str(p)).set(missing)
        what = (
            f"{missing} facts were deleted by retention before they were applied"
            if following < earliest
            else "the topic was deleted and made again"
        )
        problem = f"{self.topic}[{p}]: the state is at offset {held.offset}, the log holds {earliest} to {end}: {what}"
        if begun and not self._accept_gap:
            raise StateError(
                f"{problem}. Start once with --accept-gap to go on from {earliest} (incidents may have missed their end), "
                f"or stop all workers and delete the changelogs to begin with empty state"
            )
        log.warning("%s; going on from %d", problem, earliest)
        held.offset = held.applied = earliest - 1
