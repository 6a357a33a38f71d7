"""``kroute up``: one command shows a fault become a routed alert and go away again, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kroute.local.choose import Chosen
from tests.kafka.helpers import wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.connect, pytest.mark.slow]


def _in_a_terminal() -> None:
    """Where tests run in the background of a shell without job control, SIGINT is ignored by all that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Up:
    """A running ``kroute up`` with its output in a file."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.workdir = folder / "work"
        self.out = folder / "out.txt"
        env = {k: v for k, v in os.environ.items() if k != "KROUTE_BOOTSTRAP"} | {"COLUMNS": "120"}
        argv = [sys.executable, "-m", "kroute.cli.main", "up", "--workdir", str(self.workdir), *options]
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                argv,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
                preexec_fn=_in_a_terminal,  # noqa: PLW1509  (it sets one signal and takes no lock)
            )

    @property
    def text(self) -> str:
        return self.out.read_text(encoding="utf-8", errors="replace")

    def wait(self, timeout_s: float) -> int:
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"kroute up did not end in {timeout_s} s:\n{self.text}") from None

    def left_over(self) -> list[int]:
        """Processes that name the work folder: brokers, Connect, worker's and collector's guards."""
        marker = str(self.workdir).encode()
        return [int(p.name) for p in Path("/proc").glob("[0-9]*") if marker in _command_line(p)]


@pytest.fixture
def folder(kafka: Chosen, tmp_path: Path) -> Path:
    """A folder, once it is known that a local Kafka can be had here: up starts one of its own."""
    assert kafka.bootstrap
    return tmp_path


def test_a_fault_opens_one_incident_that_names_it_and_resolves_after_the_repair(folder: Path) -> None:
    up = Up(folder, "--once", "--fault", "sink-failed", "--timeout", "240")
    try:
        status = up.wait(560)
    finally:
        up.process.kill()
    text = up.text
    assert status == 0, text
    assert "sink-failed at connector connect-local/orders-archive" in text
    assert "NoSuchFileException" in text
    for team in ("team-books", "team-data"):
        assert team in text
    assert text.index(" opened ") < text.index("repairing sink-failed") < text.index(" resolved ")
    wait_for(lambda: up.left_over() == [], 60, "nothing left running")


def test_ctrl_c_stops_everything_in_order(folder: Path) -> None:
    up = Up(folder, "--fault", "none")
    try:
        wait_for(lambda: "every group keeps up" in up.text or up.process.poll() is not None, 300, "a running demonstration")
        assert up.process.poll() is None, up.text
        assert len(up.left_over()) >= 4
        up.process.send_signal(signal.SIGINT)
        assert up.wait(120) == 0, up.text
    finally:
        up.process.kill()
    assert "Traceback" not in up.text
    assert up.text.rstrip().endswith("stopped")
    wait_for(lambda: up.left_over() == [], 60, "nothing left running")


def test_a_fault_that_needs_three_brokers_says_so_before_anything_starts(tmp_path: Path) -> None:
    up = Up(tmp_path, "--fault", "broker-down", "--brokers", "1")
    assert up.wait(90) == 2
    assert "needs --brokers 3" in up.text
    assert not up.workdir.exists()


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
