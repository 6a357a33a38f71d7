"""Runs one command and ends it when the process that started this one is gone. Run by path; standard library only.

Its standard input is a pipe whose other end the starter holds: end of file there means that the starter closed it or
died, however it died. (Linux's parent-death signal alone would not do: it fires when the starting *thread* ends.)
SIGTERM goes to the whole group; SIGUSR1 kills the command at once, and the guard then reaps it and ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1


def _die_with_guard() -> None:
    """Runs in the child: where Linux offers it, a killed guard takes its command along."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Run the command of ``sys.argv`` to its end; returns its exit status."""
    child: subprocess.Popen[bytes] | None = None
    doomed = False

    def crash(*_: object) -> None:
        nonlocal doomed
        doomed = True
        if child is not None:
            child.kill()

    # Handlers, not SIG_IGN: an ignored signal is inherited, and a JVM then ignores it too.
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, lambda *_: None)
    signal.signal(signal.SIGUSR1, crash)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=_die_with_guard)  # noqa: PLW1509
    if doomed:
        child.kill()
    command = child

    def watch() -> None:
        while os.read(0, 4096):
            pass
        command.terminate()
        try:
            command.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            command.kill()

    threading.Thread(target=watch, daemon=True).start()
    code = command.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
