"""The collector's schedule: every source polled on its own grid of time, none able to hold up another.

Kafka clients block, so they run in threads; HTTP is asynchronous. A source that does not answer is told as such at each
interval (``up: false``) and in the log once, then at growing intervals. Grids are multiples of the interval since the
epoch, shifted per source by a fixed part of it: regular for the detectors, and not all at one instant.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol
from zlib import crc32

from kroute.collect.access import HttpAccess
from kroute.collect.aliases import load_aliases
from kroute.collect.config import Loaded, duration_ms
from kroute.collect.connect import ConnectPoller, TaskMetrics
from kroute.collect.deliver import Sink
from kroute.collect.http import Http
from kroute.collect.lag import LagPoller, timeout_s
from kroute.collect.message import Message, Own
from kroute.collect.monitor import Monitor
from kroute.collect.scrape import ExpositionPoller
from kroute.collect.topology import TopologyPoller
from kroute.errors import BadFile, SourceUnreachable

log = logging.getLogger(__name__)
FIRST_SILENCE_S, LONGEST_SILENCE_S = 60.0, 3600.0


class Poller(Protocol):
    """What every source is: a name, an interval, and what to say when it cannot be reached."""

    name: str
    interval_ms: int

    def down(self, error: str) -> list[Message]:
        """``up: false`` for all this source has told of."""


class Source:
    """A poller with its schedule and its memory of trouble."""

    def __init__(self, poller: Poller, poll: Callable[[], Awaitable[list[Message]]]) -> None:
        self.name = poller.name
        self.interval_s = poller.interval_ms / 1000
        self.down = poller.down
        self.poll = poll
        self._poller = poller
        self._error: str | None = None
        self._say_at = 0.0
        self._silence_s = FIRST_SILENCE_S

    @property
    def unread(self) -> int:
        """How many groups, or parts of a topology, the last poll could not read."""
        return len(getattr(self._poller, "unable", ()))

    def delay_s(self, now_s: float) -> float:
        """Seconds to this source's next point on its grid; a point that is all but now is passed over, not polled twice."""
        shift = crc32(self.name.encode()) % 1000 / 1000 * self.interval_s
        delay = self.interval_s - (now_s - shift) % self.interval_s
        return delay if delay > self.interval_s / 10 else delay + self.interval_s

    def failed(self, error: str, now_s: float) -> None:
        """Log once when trouble begins or changes, then after 1 min, 2 min, … 1 h."""
        if self._error is None or now_s >= self._say_at:
            again = "still " if self._error is not None else ""
            self._silence_s = FIRST_SILENCE_S if self._error is None else min(self._silence_s * 2, LONGEST_SILENCE_S)
            self._say_at = now_s + self._silence_s
            log.warning("%s %sgives no answer: %s", self.name, again, error)
        self._error = error

    def answered(self) -> None:
        """Log the end of trouble."""
        if self._error is not None:
            log.info("%s answers again", self.name)
        self._error = None


class Collector:
    """All sources of a configuration, and where their messages go."""

    def __init__(self, loaded: Loaded, own: Own, sink: Sink, monitor: Monitor) -> None:
        self._sink = sink
        self._monitor = monitor
        self._https: list[Http] = []
        self._threads = ThreadPoolExecutor(max_workers=2 * len(loaded.config.clusters) + 1, thread_name_prefix="collect")
        self.sources = self._build(loaded, own)

    async def once(self) -> int:
        """Each source polled once, all at the same time; the number that gave no answer."""
        try:
            return sum(not ok for ok in await asyncio.gather(*(self._poll(s) for s in self.sources)))
        finally:
            await self.close()

    async def forever(self) -> None:
        """Poll until SIGTERM or SIGINT; what is under way is finished."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, stop.set)
        log.info("collecting from %d sources", len(self.sources))
        try:
            await asyncio.gather(*(self._keep(s, stop) for s in self.sources))
        finally:
            await self.close()

    async def close(self) -> None:
        """Close HTTP sessions and let threads end."""
        for http in self._https:
            await http.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _keep(self, source: Source, stop: asyncio.Event) -> None:
        while not stop.is_set():
            begun = time.monotonic()
            await self._poll(source)
            missed = int((time.monotonic() - begun) / source.interval_s)
            if missed:
                self._monitor.missed.labels(source.name).inc(missed)
            try:
                await asyncio.wait_for(stop.wait(), source.delay_s(time.time()))
            except TimeoutError:
                continue

    async def _poll(self, source: Source) -> bool:
        self._monitor.polls.labels(source.name).inc()
        begun = time.monotonic()
        error: str | None = None
        try:
            messages = await source.poll()
        except SourceUnreachable as e:
            error = str(e)
        except Exception as e:
            # One source's surprise must not end the others; it is a gap like any other, and told with its trace.
            log.exception("%s: the poll failed", source.name)
            error = f"{type(e).__name__}: {e}"
        if error is not None:
            messages = source.down(error)
            source.failed(error, time.monotonic())
            self._monitor.failures.labels(source.name).inc()
        else:
            source.answered()
        self._monitor.up.labels(source.name).set(error is None)
        self._monitor.unread.labels(source.name).set(source.unread)
        self._monitor.seconds.labels(source.name).observe(time.monotonic() - begun)
        await self._in_thread(lambda: self._sink.send(messages))
        return error is None

    async def _in_thread(self, call: Callable[[], object]) -> object:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    # -- building --------------------------------------------------------------------------------------------

    def _build(self, loaded: Loaded, own: Own) -> Sequence[Source]:
        out: list[Source] = []
        for i, c in enumerate(loaded.config.clusters):
            if c.groups is not None:
                lag = LagPoller(
                    c.name, loaded.kafka(i), own, interval_ms=loaded.interval_ms(c.groups.interval), include=c.groups.include,
                    exclude=c.groups.exclude, racks=c.groups.racks,
                )  # fmt: skip
                out.append(self._threaded(lag, lag.poll))
            if c.topology is not None:
                topology = TopologyPoller(
                    c.name, loaded.kafka(i), own, interval_ms=loaded.interval_ms(c.topology.interval),
                    config_interval_ms=duration_ms(c.topology.config_interval),
                )  # fmt: skip
                out.append(self._threaded(topology, topology.poll))
            tasks = TaskMetrics()
            for j, m in enumerate(c.metrics):
                at = f".clusters[{i}].metrics[{j}]"
                interval = loaded.interval_ms(m.interval)
                try:
                    aliases = load_aliases(m.aliases, loaded.folder)
                except BadFile as e:
                    raise BadFile(e.file, e.line, e.field, f"{e.problem} (asked for by {at.lstrip('.')})") from None
                http = self._http(loaded, m.auth, at, interval)
                scrape = ExpositionPoller(c.name, m, aliases, http, own, interval_ms=interval, metrics=tasks)
                out.append(Source(scrape, scrape.poll))
            for j, k in enumerate(c.connect):
                interval = loaded.interval_ms(k.interval)
                http = self._http(loaded, k.auth, f".clusters[{i}].connect[{j}]", interval)
                connect = ConnectPoller(c.name, k.name, k.url, http, interval_ms=interval, systems=k.systems, metrics=tasks)
                out.append(Source(connect, connect.poll))
        return out

    def _threaded(self, poller: Poller, poll: Callable[[], list[Message]]) -> Source:
        async def in_thread() -> list[Message]:
            return await asyncio.get_running_loop().run_in_executor(self._threads, poll)

        return Source(poller, in_thread)

    def _http(self, loaded: Loaded, auth: HttpAccess | None, at: str, interval_ms: int) -> Http:
        http = loaded.http(auth, at, timeout_s(interval_ms))
        self._https.append(http)
        return http
