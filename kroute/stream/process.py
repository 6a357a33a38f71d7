"""How a worker ends, and who sees to it: starting again is the one recovery path.

``die`` ends the process at once, without an ack or a commit. The watchdog ends a worker whose group may have
given its partitions to another: after a stall it must not write over what the other wrote.
"""

from __future__ import annotations

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
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def clock_s() -> float:
    """Seconds that also pass while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Watchdog:
    """Ends the process when it stood still, or when one unit of work takes, longer than ``limit_s``.

    A thread looks every ``period_s``: an idle worker is alive as long as the thread runs. ``check`` is called
    before each write, because after a stall the writer may wake up before the thread does.
    """

    def __init__(self, limit_s: float, period_s: float = 0.25) -> None:
        self.limit_s = limit_s
        self._period_s = period_s
        self._seen = clock_s()
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
        since = min(self._units.copy().values(), default=now)  # a copy: the thread looks while the loop writes
        if now - since > self.limit_s:
            return f"one unit of work takes {now - since:.1f} s"
        return None

    def check(self) -> None:
        """End the process when it is overdue."""
        if self._thread.is_alive():
            why = self.overdue(clock_s())
            if why is not None:
                die(f"{why}, more than half the session timeout: another worker may own its partitions by now")

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
