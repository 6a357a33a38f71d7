"""How a worker ends, and what it leaves behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from kroute.errors import StateError
from kroute.stream import consumer, process
from kroute.stream.consumer import told
from kroute.stream.process import Datadir, Watchdog


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    for module in (process, consumer):
        monkeypatch.setattr(module, "clock_s", lambda: now[0])
    return now


def test_an_idle_worker_is_never_overdue_while_its_watchdog_looks(clock: list[float]) -> None:
    dog = Watchdog(5)
    assert dog.overdue(104.9) is None


def test_a_process_that_stood_still_is_overdue_even_when_idle(clock: list[float]) -> None:
    dog = Watchdog(5)
    assert "stood still for 6.0 s" in (dog.overdue(106) or "")


def test_a_slow_unit_is_no_reason_to_end_while_the_group_answers(clock: list[float]) -> None:
    dog = Watchdog(5, stuck_s=60)
    dog.begin(0, 1)
    for at in range(101, 160, 3):  # a broker fails over: nothing is written, and another broker answers heartbeats
        clock[0] = dog._seen = float(at)
        dog.heard(at - 0.5)
        assert dog.overdue(at) is None
    clock[0] = dog._seen = 161.0
    dog.heard(160.5)
    assert "one unit of work takes 61.0 s" in (dog.overdue(161) or "")


def test_a_unit_under_way_that_the_group_does_not_vouch_for_is_overdue(clock: list[float]) -> None:
    dog = Watchdog(5)
    dog.heard(100)
    dog.begin(0, 1)
    dog._seen = 105.5
    assert "no heartbeat was acknowledged for 5.5 s" in (dog.overdue(105.5) or "")
    dog.end(0, 1)
    assert dog.overdue(105.5) is None, "nothing is under way that could land later"


def test_a_unit_under_way_when_the_group_does_not_know_the_worker_ends_it_at_once(clock: list[float]) -> None:
    dog = Watchdog(5)
    dog.heard(100)
    dog.lost()
    assert dog.overdue(100) is None, "an idle worker joins again"
    dog.begin(0, 1)
    assert "no member" in (dog.overdue(100) or "")
    dog.heard(100)  # it joined
    assert dog.overdue(100) is None


async def test_no_write_begins_until_the_group_was_heard(clock: list[float]) -> None:
    dog = Watchdog(5, period_s=0.01)
    dog.heard(100)
    dog.begin(0, 1)
    clock[0] = dog._seen = 130.0
    writer = asyncio.create_task(dog.allow(0))
    await asyncio.sleep(0.05)
    assert not writer.done()
    assert dog.overdue(130) is None, "it waits and has nothing under way"
    dog.heard(129.9)
    await asyncio.wait_for(writer, 1)


async def test_answers_of_the_group_reach_the_watchdog(clock: list[float]) -> None:
    class Coordinator:
        member_id = "m"
        answer = True

        async def _do_heartbeat(self) -> bool:
            clock[0] += 1.0
            return self.answer

        async def _on_join_complete(self, *_: object) -> str:
            return "joined"

    coordinator, dog = Coordinator(), Watchdog(5)
    told(coordinator, dog)
    assert await coordinator._do_heartbeat()
    assert dog._heard == 100.0, "it counts from when it was sent"
    coordinator.answer = False
    assert not await coordinator._do_heartbeat()
    assert (dog._heard, dog._lost) == (100.0, False), "no answer says nothing"
    coordinator.member_id = ""
    await coordinator._do_heartbeat()
    assert dog._lost
    assert await coordinator._on_join_complete() == "joined"
    assert (dog._heard, dog._lost) == (103.0, False)


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
