"""A worker on a changelog that an older version left behind, and on one that a newer version did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

from kroute.stream import journal
from kroute.stream.changelog import changelog, offset_header, stored_key
from kroute.stream.topics import create_topics
from kroute.upgrade import CLOCK, STATE_VERSION, migrate
from tests.kafka.helpers import wait_for
from tests.kafka.load import REAL
from tests.kafka.worker import Installation, installation
from tests.unit.test_upgrade import applied, fixture

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def kroute(bootstrap: str, tmp_path: Path) -> Iterator[Installation]:
    with installation(bootstrap, tmp_path) as out:
        out.facts_partitions = 1
        yield out


def leave(kroute: Installation, rows: dict[tuple[str, str], bytes], offset: int) -> None:
    """Changelogs and facts as a worker leaves them that stopped at an offset."""
    create_topics(kroute.settings)
    producer = Producer({"bootstrap.servers": kroute.bootstrap, "log_level": 0, "linger.ms": 20})
    headers = dict([offset_header(offset)])
    for (table, key), value in rows.items():
        producer.produce(changelog(kroute.settings, table), value, stored_key(0, key), 0, headers={**headers})
    for key, value in journal.encode(offset, {}, []):
        producer.produce(changelog(kroute.settings, "journal"), value, stored_key(0, key), 0, headers={**headers})
    for _ in range(offset + 1):
        producer.produce(kroute.settings.names.full("facts"), b'{"facts":[]}', partition=0)
    assert producer.flush(60) == 0


def stored(kroute: Installation) -> dict[tuple[str, str], bytes]:
    return {(table, key): value for (_, table, key), value in kroute.rows().items()}


def test_a_changelog_of_an_older_version_is_migrated_at_recovery_and_work_goes_on(kroute: Installation) -> None:
    old = fixture(1)
    clock = msgspec.msgpack.decode(old.rows[CLOCK])
    assert clock["version"] == 1
    rows = {**old.rows, CLOCK: msgspec.msgpack.encode({**clock, "progress": {}})}  # the fixture's one input is none of this Kafka
    leave(kroute, rows, old.offset)
    worker = kroute.run(list(REAL), "w1", KROUTE_HEARTBEAT_S="1").wait_ready()
    assert "rows are migrated" in worker.text()
    wait_for(lambda: len([i for i, _ in kroute.alerts() if i.startswith("heartbeat-prod-")]) > 1, 60, "heartbeats: it goes on")
    worker.kill()
    rows, migrated = stored(kroute), applied(rows, migrate(rows))
    assert msgspec.msgpack.decode(rows[CLOCK])["version"] == STATE_VERSION
    estate = [w for w in migrated if w[0] == "topology"]
    assert estate
    assert {w: rows.get(w) for w in estate} == {w: migrated[w] for w in estate}
    again = kroute.run(list(REAL), "w2").wait_ready()
    assert "rows are migrated" not in again.text()
    assert again.stop() == 0


def test_a_changelog_of_a_newer_version_is_refused_and_left_as_it_is(kroute: Installation) -> None:
    newest = fixture(STATE_VERSION)
    clock = msgspec.msgpack.decode(newest.rows[CLOCK])
    rows = {**newest.rows, CLOCK: msgspec.msgpack.encode({**clock, "version": STATE_VERSION + 1})}
    leave(kroute, rows, newest.offset)
    worker = kroute.run(list(REAL), "w1")
    assert worker.process.wait(90) == 2
    said = f"the stored state has version {STATE_VERSION + 1}, and this kroute reads up to version {STATE_VERSION}"
    assert said in worker.text()
    assert "under another KROUTE_APP_ID" in worker.text()
    assert "Traceback" not in worker.text()
    assert stored(kroute) == rows
