"""The worker as any other Faust worker is run: ``faust -A kroute.stream.app worker``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.kafka.helpers import admin_client, wait_for
from tests.kafka.messages import good, now_ms
from tests.kafka.worker import Installation, Worker, installation

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
FAUST = [sys.executable, "-m", "faust", "-A", "kroute.stream.app", "worker"]
KROUTE = [sys.executable, "-m", "kroute.cli.main", "worker"]


@pytest.fixture
def kroute(bootstrap: str, tmp_path: Path) -> Iterator[Installation]:
    with installation(bootstrap, tmp_path) as out:
        yield out


def facts_of(kroute: Installation) -> list[int]:
    """How many partitions of facts each member of the group has."""
    admin = admin_client(kroute.bootstrap)
    facts = kroute.settings.names.full("facts")
    group = admin.describe_consumer_groups([kroute.app_id])[kroute.app_id].result(10)
    return sorted(sum(tp.topic == facts for tp in m.assignment.topic_partitions) for m in group.members if m.assignment)


def ended_well(worker: Worker) -> None:
    assert worker.stop() == 0, worker.text()
    assert "Traceback" not in worker.text(), worker.text()


def test_a_plain_faust_worker_shares_the_partitions_with_another_and_ends_in_order(kroute: Installation) -> None:
    plain = kroute.run(FAUST, "plain", KROUTE_HEARTBEAT_S="1").wait_ready()
    assert facts_of(kroute) == [4]
    other = kroute.run(KROUTE, "other", KROUTE_HEARTBEAT_S="1").wait_ready()
    wait_for(lambda: facts_of(kroute) == [2, 2], 120, "two partitions for each")
    for n in range(8):
        key, value = good("consumer-lag")
        assert value is not None
        kroute.produce(
            "consumer-lag", [(key, orjson.dumps({**orjson.loads(value), "cluster": f"c{n}", "observed_at_ms": now_ms()}))]
        )
    wanted = {f"heartbeat/c{n}" for n in range(8)}

    def beating() -> set[str]:
        return {(m.key() or b"").decode() for m in kroute.read(kroute.settings.names.alerts)}

    wait_for(lambda: beating() >= wanted, 120, "a heartbeat of every cluster, whichever worker has it")
    assert sum(plain.metric("kroute_correlate_alerts_total").values()) > 0
    assert sum(other.metric("kroute_correlate_alerts_total").values()) > 0
    ended_well(plain)
    ended_well(other)


def test_a_plain_faust_worker_says_in_a_line_what_it_cannot_be_started_with(kroute: Installation) -> None:
    kroute.run(KROUTE, "taken").wait_ready()
    mistakes = (
        ({"KROUTE_FACTS_PARTITIONS": "many"}, "KROUTE_FACTS_PARTITIONS is 'many'; it must be a whole number"),
        ({"KROUTE_FACTS_PARTITIONS": "2"}, "has 4 partitions and KROUTE_FACTS_PARTITIONS is 2"),
        ({"KROUTE_DATADIR": str(kroute.folder / "taken")}, "is in use by another worker"),
    )
    for env, said in mistakes:
        worker = kroute.run(FAUST, "plain", **env)
        assert worker.process.wait(90) == 2
        assert said in worker.text()
        assert "Traceback" not in worker.text()
