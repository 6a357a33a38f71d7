"""How a worker ends, and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kroute.errors import StateError
from kroute.stream import process
from kroute.stream.process import Datadir, Watchdog


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(process, "clock_s", lambda: now[0])
    return now


def test_an_idle_worker_is_never_overdue_while_its_watchdog_looks(clock: list[float]) -> None:
    dog = Watchdog(5)
    assert dog.overdue(104.9) is None


def test_a_process_that_stood_still_is_overdue_even_when_idle(clock: list[float]) -> None:
    dog = Watchdog(5)
    assert "stood still for 6.0 s" in (dog.overdue(106) or "")


def test_a_unit_of_work_that_takes_too_long_is_overdue_and_a_finished_one_is_not(clock: list[float]) -> None:
    dog = Watchdog(5)
    dog.begin(3, 70)
    clock[0] = 103.0
    dog.begin(3, 75)  # the next of the same partition, while the first is being written
    clock[0] = dog._seen = 106.0
    assert "one unit of work takes 6.0 s" in (dog.overdue(106) or "")
    dog.end(3, 70)
    assert dog.overdue(106) is None


def _store(folder: Path) -> tuple[Datadir, Path]:
    tables = folder / "v1" / "tables"
    return Datadir(folder, tables), tables


def test_the_store_of_an_unclean_stop_is_thrown_away_and_only_the_store(tmp_path: Path) -> None:
    datadir, tables = _store(tmp_path)
    assert datadir.open() is False
    tables.mkdir(parents=True)
    (tables / "row").touch()
    (tmp_path / "other").touch()
    datadir.close(clean=False)
    datadir, _ = _store(tmp_path)
    assert datadir.open() is True
    assert not tables.exists()
    assert (tmp_path / "other").exists()


def test_the_store_of_a_clean_stop_is_kept(tmp_path: Path) -> None:
    datadir, tables = _store(tmp_path)
    datadir.open()
    tables.mkdir(parents=True)
    (tables / "row").touch()
    datadir.close(clean=True)
    assert _store(tmp_path)[0].open() is False
    assert (tables / "row").exists()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    first, _ = _store(tmp_path)
    first.open()
    with pytest.raises(StateError, match="in use by another worker"):
        _store(tmp_path)[0].open()
    first.close(clean=True)
    assert _store(tmp_path)[0].open() is False


def test_a_stop_that_does_not_come_to_its_end_is_cut_short() -> None:
    program = "import time; from kroute.stream.app import stop_within; {} stop_within(0.3){}; time.sleep({})"
    late = [sys.executable, "-c", program.format("", "", 60)]
    done = subprocess.run(late, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert "not over within 0.3 s" in done.stderr
    in_time = [sys.executable, "-c", program.format("t =", "; t.cancel()", 1)]
    assert subprocess.run(in_time, capture_output=True, timeout=50, check=False).returncode == 0
