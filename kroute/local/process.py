"""A child process that logs to a file, dies with its parent, and is stopped only by its own group's signals."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kroute.errors import LocalKafkaError

_GUARD = Path(__file__).with_name("guard.py")
_TAIL_LINES = 25
_GUARD_GRACE_S = 5.0
# Below the range from which Linux takes client ports: a stopped broker's port is still free when it starts again.
_PORTS = range(15_000, 32_000)


class Child:
    """One process in a session of its own, so that Ctrl-C in a terminal reaches only us.

    ``argv``: the command; ``log``: the file that gets its output (appended). It ends when this process ends.
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self.env = dict(env) if env is not None else None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again if it ran before."""
        if self.alive:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), *self.argv],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self.env,
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def code(self) -> int | None:
        """Exit status; 128 + signal where a signal ended it; None while it runs or before it ran."""
        return None if self._process is None else self._process.poll()

    def wait(self, timeout_s: float) -> bool:
        """True when it is gone within ``timeout_s`` seconds."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def terminate(self) -> None:
        """Ask it to end (SIGTERM); returns at once."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL) and wait for it to be gone."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGUSR1)  # the guard kills its command and reaps it
            if not self.wait(_GUARD_GRACE_S):
                self._signal(signal.SIGKILL)
        self._reap()

    def stop(self, grace_s: float = 10.0) -> None:
        """End it in order, by force after ``grace_s`` seconds."""
        self.terminate()
        if not self.wait(grace_s):
            self.kill()
        self._reap()

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines of its log."""
        return tail(self.log, lines)

    def failure(self, what: str) -> LocalKafkaError:
        """An error that says what went wrong and ends with the log's last lines."""
        state = "is still running" if self.alive else f"ended with status {self.code}"
        return LocalKafkaError(f"{self.name}: {what} (it {state}). Last lines of {self.log}:\n{self.tail()}")

    def _signal(self, sig: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            # The group: guard and command at once. It exists while its leader is not reaped.
            os.killpg(self._process.pid, sig)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()


def stop_all(children: Sequence[Child], grace_s: float = 10.0) -> None:
    """Stop several at once: all are asked first, then awaited together."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + grace_s
    for child in children:
        child.stop(max(0.0, deadline - time.monotonic()))


def run(name: str, argv: Sequence[str], log: Path, timeout_s: float) -> None:
    """Run a command to its end.

    Raises:
        LocalKafkaError: a status other than 0, or not done in time.
    """
    child = Child(name, argv, log)
    child.start()
    try:
        if not child.wait(timeout_s):
            raise child.failure(f"not done in {timeout_s:.0f} s")
        if child.code != 0:
            raise child.failure("failed")
    finally:
        child.kill()


def await_ready(children: Sequence[Child], ready: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll ``ready`` until it holds, while all ``children`` live.

    Raises:
        LocalKafkaError: one of them ended, or ``timeout_s`` seconds passed.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        for child in children:
            if not child.alive:
                raise child.failure(f"{what}: failed")
        if time.monotonic() > deadline:
            raise children[0].failure(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.1)


def tail(path: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a text file; an empty text where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that nobody listens on right now.

    Raises:
        LocalKafkaError: none found.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, 400):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise LocalKafkaError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop} on 127.0.0.1")
