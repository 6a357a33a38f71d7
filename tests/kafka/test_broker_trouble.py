"""kroute's own ground gives way: changelogs, the local store, the disk, the clock. Detected or mended, never silent nonsense."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kroute.contracts.topics import TABLES
from kroute.stream.changelog import changelog
from tests.kafka.compared import end
from tests.kafka.crashes import Estate, Feed, fed, program
from tests.kafka.helpers import admin_client, wait_for
from tests.kafka.outage import alerts_flow
from tests.kafka.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def feed(bootstrap: str, tmp_path: Path) -> Iterator[Feed]:
    with fed(Estate(bootstrap, tmp_path), 7) as out:
        yield out


@pytest.fixture
def estate(feed: Feed) -> Estate:
    return feed.estate


def ended(worker: Worker, code: int, saying: str) -> None:
    """Wait until a worker ended by itself, saying why."""
    assert worker.process.wait(90) == code, worker.text()[-2000:]
    assert saying in worker.text(), worker.text()[-2000:]


def delete(estate: Estate, *tables: str) -> None:
    """Delete changelogs, as by a tool in a wrong hand; the next worker makes empty ones."""
    client = admin_client(estate.bootstrap)
    names = {changelog(estate.settings, table) for table in tables}
    for future in client.delete_topics(sorted(names)).values():
        future.result(30)
    wait_for(lambda: not names & set(client.list_topics(timeout=10).topics), 30, "the changelogs to be gone")


def test_an_emptied_changelog_is_refused_and_the_way_out_it_names_loses_nothing(estate: Estate, feed: Feed) -> None:
    worker = estate.ready()
    alerts_flow(estate)
    assert worker.stop() == 0
    delete(estate, "entities")
    ended(estate.worker(), 1, "is higher")  # its store knows more than the changelog, and is thrown away
    for datadir in ("w1", "elsewhere"):
        refused = estate.worker(datadir)
        ended(refused, 2, f"delete every topic {estate.app_id}-*-changelog")
        assert f"{estate.app_id}-entities-changelog" in refused.text()
        assert "Traceback" not in refused.text()
    delete(estate, *TABLES)
    estate.ready("elsewhere")
    alerts_flow(estate)
    outcome = end(feed)
    assert outcome.wrong == [], str(outcome)
    assert outcome.repeats > 0, "what was told before is told again, with the same ids"


def _garbage(store: Path) -> None:
    for path in sorted(store.rglob("*")):
        if path.is_file() and path.stat().st_size and path.name not in ("LOCK", "LOG"):
            path.write_bytes(b"\xde\xad" * (path.stat().st_size // 2))


def _half_deleted(store: Path) -> None:
    for n, folder in enumerate(sorted(store.glob("*.db"))):
        if n % 2:
            shutil.rmtree(folder)
        else:
            for path in folder.glob("*.log"):
                path.unlink()


def test_a_harmed_local_store_is_built_again_from_the_changelogs(estate: Estate, feed: Feed) -> None:
    """A worker that cannot open its store ends, and begins without one when it is started again."""
    for harm in (_garbage, _half_deleted, shutil.rmtree):
        worker = estate.ready()
        alerts_flow(estate)
        assert worker.stop() == 0
        (store,) = (estate.folder / "w1").glob("v*/tables")
        harm(store)
    estate.ready()
    outcome = end(feed)
    assert outcome.wrong == [], str(outcome)


SMALL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))  # writes of the store fail as on a full disk
"""


def test_a_full_disk_ends_the_worker_with_the_reason_and_with_room_again_nothing_is_lost(estate: Estate, feed: Feed) -> None:
    full = estate.run(program(first=SMALL), "w1")
    feed.ask("burst")
    ended(full, 1, "the local store cannot be written")
    assert "File too large" in full.text()
    estate.evict(full)
    estate.ready()
    outcome = end(feed)
    assert outcome.wrong == [], str(outcome)


JUMPING = """
import sys, time
from pathlib import Path
real, shift = time.time, Path(sys.argv.pop(1))
time.time = lambda: real() + float(shift.read_text())
time.time_ns = lambda: int(time.time() * 1e9)
"""


def test_a_wall_clock_that_jumps_changes_nothing(estate: Estate, feed: Feed, tmp_path: Path) -> None:
    shift = tmp_path / "shift"
    shift.write_text("0")
    estate.run(program(str(shift), first=JUMPING), "w1").wait_ready()
    for seconds in (7200, -7200, 0):
        alerts_flow(estate)
        (tmp_path / "new").write_text(str(seconds))
        (tmp_path / "new").replace(shift)
        alerts_flow(estate)
    outcome = end(feed)
    assert outcome.wrong == [], str(outcome)
    latest = max(f["ts"] for f in estate.progress())
    assert latest < time.time() * 1000 + 1000, "time of the engine is the broker's"
