"""Children log to their file, end when told, and never outlive the one who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kroute.errors import LocalKafkaError
from kroute.local.process import Child, await_ready, free_ports, run
from tests.kafka.helpers import wait_for

_LOOP = "import os, sys, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(60)"
_STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))\nprint('up', flush=True)\ntime.sleep(60)"


def started(log: Path, code: str, word: str) -> Child:
    child = Child("thing", [sys.executable, "-c", code], log)
    child.start()
    wait_for(lambda: word in child.tail(), 10, f"{word!r} in the log")
    return child


def pid_in(log: Path) -> int:
    return int(log.read_text().split()[1])


def exists(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")  # nobody may reap an orphan in a container


def test_a_child_ends_in_order_when_it_is_stopped(tmp_path: Path) -> None:
    child = started(tmp_path / "log", _LOOP, "pid")
    pid = pid_in(tmp_path / "log")
    child.stop(5)
    assert not child.alive
    assert child.code == 128 + signal.SIGTERM
    assert not exists(pid)


def test_a_child_that_will_not_end_is_ended_by_force(tmp_path: Path) -> None:
    child = started(tmp_path / "log", _STUBBORN, "up")
    child.stop(0.3)
    assert child.code == 128 + signal.SIGKILL


def test_a_killed_child_is_gone_at_once_and_can_be_started_again(tmp_path: Path) -> None:
    child = started(tmp_path / "log", _LOOP, "pid")
    child.kill()
    assert not exists(pid_in(tmp_path / "log"))
    child.start()
    assert child.alive
    child.kill()


def test_a_child_ends_with_its_starter_even_when_that_is_killed(tmp_path: Path) -> None:
    code = f"import sys\nfrom pathlib import Path\nfrom kroute.local.process import Child\nChild('x', [sys.executable, '-c', {_LOOP!r}], Path(sys.argv[1])).start()\nsys.stdin.read()"
    log = tmp_path / "log"
    starter = subprocess.Popen([sys.executable, "-c", code, str(log)], stdin=subprocess.PIPE)
    try:
        wait_for(lambda: log.exists() and log.read_text().endswith("\n"), 10, "the child's pid")
    finally:
        os.kill(starter.pid, signal.SIGKILL)
        starter.communicate()
    wait_for(lambda: not exists(pid_in(log)), 10, "the child gone")


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(LocalKafkaError, match=r"(?s)format: failed \(it ended with status 3\).*no disk"):
        run("format", [sys.executable, "-c", "import sys; print('no disk'); sys.exit(3)"], tmp_path / "log", 10)


def test_waiting_for_a_child_that_ends_does_not_wait_for_the_deadline(tmp_path: Path) -> None:
    child = Child("broker 1", [sys.executable, "-c", "print('bad property')"], tmp_path / "log")
    child.start()
    with pytest.raises(LocalKafkaError, match=r"(?s)broker 1: start: failed.*bad property"):
        await_ready([child], lambda: False, 60, "start")
    child.stop()


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(12))) == 12
