"""A collector whose client library aborts is started again, ends when told, and never outlives the one that keeps it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

CHILD = """
import os, pathlib, signal, sys, time
from kroute.collect.keep import follow
runs = pathlib.Path(sys.argv[1])
with runs.open("a") as f: f.write(f"{os.getpid()}\\n")
n = len(runs.read_text().split())
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
follow()
if n <= int(sys.argv[2]): os.abort()
if sys.argv[3] != "stay": sys.exit(int(sys.argv[3]))
time.sleep(60)
"""
KEEPER = (
    "import sys; from kroute.collect import keep; keep.PAUSE_S = 0.05; sys.exit(keep.keep([sys.executable, '-c', *sys.argv[1:]]))"
)


def start(runs: Path, aborts: int, then: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", KEEPER, CHILD, str(runs), str(aborts), then], stderr=subprocess.DEVNULL)


def pids(runs: Path) -> list[int]:
    return [int(x) for x in runs.read_text().split()] if runs.exists() else []


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split(") ")[1][0] != "Z"


def test_an_abort_starts_it_again_and_any_other_end_is_the_end(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert start(runs, 2, "3").wait(30) == 3
    assert len(pids(runs)) == 3


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    keeper = start(runs, 1, "stay")
    wait_for(lambda: len(pids(runs)) == 2)
    time.sleep(0.3)  # its handler is in place
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(30) == 7
    wait_for(lambda: not alive(pids(runs)[-1]))


def test_it_does_not_outlive_the_one_that_keeps_it(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    keeper = start(runs, 0, "stay")
    wait_for(lambda: len(pids(runs)) == 1)
    keeper.kill()
    keeper.wait(30)
    wait_for(lambda: not alive(pids(runs)[0]))
