"""Keeps the collector running where a client library in C ends its process instead of raising an error.

librdkafka aborts now and then when a broker leaves its cluster while groups or offsets are being asked for (its issue 5397 is
one such case): just when the collector is needed. So it runs in a child, which is started again.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

log = logging.getLogger(__name__)
ABORTS = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
PAUSE_S = 1.0


def keep(argv: Sequence[str]) -> int:
    """Run a command until it ends by itself or is told to (SIGTERM, SIGINT); its exit status, 128 + signal where one ended it.

    Its standard input ends when this process does, however that comes about (see ``follow``).
    """
    told: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def tell(number: int, _: object) -> None:
        told.append(number)
        if child is not None and child.poll() is None:
            child.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    while True:
        child = subprocess.Popen(argv, stdin=subprocess.PIPE)
        if told:
            child.send_signal(signal.SIGTERM)
        code = child.wait()
        if told or -code not in ABORTS:
            return code if code >= 0 else 128 - code
        log.error("the collector was ended by %s, as a client library does, and is started again", signal.Signals(-code).name)
        time.sleep(PAUSE_S)


def follow() -> None:
    """In the child: end as by SIGTERM when the one that keeps it is gone."""

    def wait() -> None:
        while os.read(0, 1024):  # not through sys.stdin: its lock would be held when the interpreter ends, which aborts it
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="follow", daemon=True).start()
