"""How a worker ends, and who sees to it: starting again is the one recovery path.

``die`` ends the process at once, without an ack or a commit. The watchdog ends a worker whose group may have
given its partitions to another: after a stall it must not write over what the other wrote.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import IO, NoReturn

from kroute.errors import StateError

log = logging.getLogger(__name__)
EXIT_FAILED = 1
EXIT_STATE = 2


def die(message: str, *, error: BaseException | None = None, code: int = EXIT_FAILED) -> NoReturn:
    """Log why, flush, and end the process with ``code``; nothing is acked, committed or closed."""
    log.critical("%s", message, exc_info=error)
    leave(code)


def leave(code: int) -> NoReturn:
    """Flush, and end the process at once, whatever threads still run."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def clock_s() -> float:
    """Seconds that also pass while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Watchdog:
    """Ends the process where what it has under way could land on what another worker writes by now.

    1. The process stood still for longer than ``limit_s``.
    2. A unit of work is under way for longer than that, and so long the group has not said either that this worker is a
       member. A broker that fails over makes a unit slow; while heartbeats are acknowledged nobody else has its partitions.
    3. The group says that it is no member any more, and a unit is under way.
    4. A unit of work takes longer than ``stuck_s``, whatever the group says.

    A thread looks every ``period_s``: an idle worker is alive as long as the thread runs. ``allow`` is awaited
    before each write: after a stall the writer may wake up before the thread does, and a worker that has not heard
    from its group writes nothing until it has.
    """

    def __init__(self, limit_s: float, period_s: float = 0.25, stuck_s: float = 60.0) -> None:
        self.limit_s = limit_s
        self._stuck_s = stuck_s
        self._period_s = period_s
        self._seen = clock_s()
        self._heard: float | None = None
        self._lost = False
        self._units: dict[tuple[int, int], float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._seen = clock_s()
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; for a clean stop."""
        self._stop.set()

    def heard(self, sent_s: float) -> None:
        """The group acknowledged a heartbeat that was sent at this time (its session counts from there), or a join."""
        self._heard = sent_s
        self._lost = False

    def lost(self) -> None:
        """The group answered that this worker is no member."""
        self._lost = True

    def begin(self, partition: int, offset: int) -> None:
        """A unit of work begins, with the record at this offset."""
        self._units[partition, offset] = clock_s()

    def end(self, partition: int, offset: int) -> None:
        """The unit of work is durable."""
        self._units.pop((partition, offset), None)

    def overdue(self, now: float) -> str | None:
        """Why the process must end at ``now``; None where it may go on."""
        if now - self._seen > self.limit_s:
            return f"the process stood still for {now - self._seen:.1f} s"
        units = self._units.copy().values()  # a copy: the thread looks while the loop writes
        if not units:
            return None
        took = now - min(units)
        if self._lost:
            return "the group says that this worker is no member, with a unit of work under way"
        if took > self._stuck_s:
            return f"one unit of work takes {took:.1f} s"
        if took > self.limit_s and self._unheard(now, took) > self.limit_s:
            return f"one unit of work takes {took:.1f} s, and no heartbeat was acknowledged for {self._unheard(now, took):.1f} s"
        return None

    def check(self) -> None:
        """End the process when it is overdue."""
        if self._thread.is_alive():
            why = self.overdue(clock_s())
            if why is not None:
                die(f"{why}: another worker may own its partitions by now")

    async def allow(self, partition: int) -> None:
        """Before a write: wait until the group has lately said that this worker is a member; nothing is under way so long."""
        self.check()
        while self._unheard(clock_s(), 0.0) > self.limit_s:
            for unit in [u for u in self._units if u[0] == partition]:
                self._units[unit] = clock_s()
            await asyncio.sleep(self._period_s / 2)
            self.check()

    def _unheard(self, now: float, otherwise: float) -> float:
        """Seconds since the last acknowledged heartbeat was sent; before the first, ``otherwise``."""
        return otherwise if self._heard is None else now - self._heard

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            self.check()
            self._seen = clock_s()


class Datadir:
    """A worker's folder: used by one worker at a time; the store in it is thrown away after an unclean stop.

    After an unclean stop the store can be ahead of or behind the changelog in ways its own bookkeeping does not
    tell; the changelog is the truth.
    """

    def __init__(self, path: Path, store: Path) -> None:
        self.path = path
        self._store = store
        self._marker = path / "unclean"
        self._lock: IO[bytes] | None = None

    def open(self) -> bool:
        """Take the folder; True where a store of an unclean stop was thrown away.

        Raises:
            StateError: another worker uses the folder.
        """
        import fcntl  # noqa: PLC0415  (absent on Windows, where Kafka and rocksdict are not supported here either)

        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateError(f"{self.path} is in use by another worker; give each its own --datadir") from None
        unclean = self._marker.exists()
        if unclean and self._store.exists():
            shutil.rmtree(self._store)
        self._marker.touch()
        return unclean

    def close(self, *, clean: bool) -> None:
        """Leave the folder; ``clean``: everything in the store is in the changelog and closed."""
        if clean:
            self._marker.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None
