"""Workers on a real broker: what they refuse, share, repeat after a kill, and throw away."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import orjson
import pytest
from confluent_kafka import Producer, TopicPartition

from kroute.contracts.facts import Envelope
from kroute.contracts.topics import TOPICS
from kroute.stream.recording import record
from tests.kafka.helpers import admin_client, wait_for
from tests.kafka.messages import Pair, now_ms
from tests.kafka.worker import Installation, installation
from tests.unit.stream.fake_engine import FakeState

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def kroute(bootstrap: str, tmp_path: Path) -> Iterator[Installation]:
    with installation(bootstrap, tmp_path) as out:
        yield out


def lag(group: str, end: int, cluster: str = "c1", **more: object) -> Pair:
    message = {"cluster": cluster, "observed_at_ms": now_ms(), "group": group, "state": "Stable", **more}
    partition = {"topic": "payments", "partition": 0, "committed": 0, "end": end}
    return group.encode(), orjson.dumps({**message, "partitions": [partition]})


def ownership(name: str, cluster: str = "c1", kind: str = "topic") -> Pair:
    return f"{kind}/{cluster}/{name}".encode(), orjson.dumps({"kind": kind, "cluster": cluster, "name": name, "owner": "team-a"})


def test_signals_wait_until_the_state_inputs_that_were_there_are_read(kroute: Installation) -> None:
    first = kroute.start().wait_ready()
    assert first.stop() == 0
    kroute.produce("consumer-lag", [lag(f"g{i % 7}", i) for i in range(300)])
    kroute.produce("ownership", [ownership(f"t{i}") for i in range(3000)])
    kroute.start().wait_ready()
    wait_for(
        lambda: sum(f.topic == "consumer-lag" for es in kroute.facts().values() for e in es for f in e.facts) == 300, 60, "300"
    )
    for envelopes in kroute.facts().values():
        kinds = [f.topic for e in envelopes for f in e.facts if f.topic != "progress"]
        if "consumer-lag" in kinds:
            assert kinds[:3000] == ["ownership"] * 3000


def test_a_partition_that_ends_in_a_transaction_marker_counts_as_read(kroute: Installation) -> None:
    assert kroute.start().wait_ready().stop() == 0
    producer = Producer({"bootstrap.servers": kroute.bootstrap, "log_level": 0, "transactional.id": kroute.app_id})
    producer.init_transactions(30)
    producer.begin_transaction()
    key, value = ownership("payments")
    producer.produce(kroute.settings.names.full("ownership"), value, key, 2)
    producer.commit_transaction(30)
    worker = kroute.start().wait_ready()
    reached = f'{{partition="2",topic="{kroute.settings.names.full("ownership")}"}}'
    ready_at = time.time()
    wait_for(lambda: worker.metric("kroute_ingest_reached_timestamp_seconds").get(reached, 0) > ready_at, 60, "time to move on")


def test_progress_never_overtakes_facts_of_its_partition(kroute: Installation) -> None:
    kroute.start().wait_ready()
    for _ in range(5):
        kroute.produce("consumer-lag", [lag(f"g{i}", i, cluster=f"c{i % 9}") for i in range(200)])
    sent_at = now_ms()

    def told_all() -> bool:
        return all({(f.src, f.p) for e in es for f in e.facts if f.ts > sent_at} >= everything for es in kroute.facts().values())

    counts = {s.short: s.partitions for s in TOPICS.values() if s.input}
    everything = {(kroute.settings.names.full(short), p) for short, n in counts.items() for p in range(n)}
    wait_for(told_all, 90, "time to pass on every input partition")
    for envelopes in kroute.facts().values():
        told: dict[tuple[str, int], int] = {}
        for fact in (f for e in envelopes for f in e.facts):
            if fact.topic == "progress":
                assert fact.of == len(everything) == 33
                assert fact.ts >= told.get((fact.src, fact.p), 0)
                told[fact.src, fact.p] = fact.ts
            else:
                assert fact.ts >= told.get((fact.src, fact.p), 0)


def test_two_workers_share_the_partitions_and_one_takes_over_what_the_other_leaves(kroute: Installation) -> None:
    first = kroute.start("w1").wait_ready()
    second = kroute.start("w2").wait_ready()
    facts = kroute.settings.names.full("facts")
    admin = admin_client(kroute.bootstrap)

    def owners() -> list[int]:
        group = admin.describe_consumer_groups([kroute.app_id])[kroute.app_id].result(10)
        return sorted(sum(tp.topic == facts for tp in m.assignment.topic_partitions) for m in group.members if m.assignment)

    wait_for(lambda: owners() == [2, 2], 90, "two partitions for each worker")
    groups = [lag(f"g{i % 12}", i, cluster=f"c{i % 6}") for i in range(600)]
    kroute.produce("consumer-lag", groups[:300])
    assert second.stop() == 0
    kroute.produce("consumer-lag", groups[300:])
    wait_for(lambda: len({i for i, _ in kroute.alerts()}) >= 192, 120, "all alerts")  # 12 groups: 50 messages, 16 alerts each
    assert first.stop() == 0
    alerts, rows = kroute.pure_run()
    assert dict(kroute.alerts()) == alerts
    assert kroute.rows() == rows


@pytest.mark.parametrize("same_datadir", [True, False], ids=["same datadir", "empty datadir"])
def test_a_killed_worker_loses_no_alert_and_repeats_only_identical_ones(kroute: Installation, same_datadir: bool) -> None:
    worker = kroute.start("w0").wait_ready()
    stop = threading.Event()
    sent: list[int] = []

    def produce() -> None:
        while not stop.wait(0.1):
            kroute.produce("consumer-lag", [lag(f"g{i % 20}", i, cluster=f"c{i % 5}") for i in range(40)])
            sent.append(40)

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        for life in (1, 2):
            before = len(kroute.alerts())
            wait_for(lambda before=before: len(kroute.alerts()) > before + 20, 60, "alerts to flow")  # type: ignore[misc]
            worker.kill()
            worker = kroute.start("w0" if same_datadir else f"w{life}").wait_ready()
            assert worker.metric("kroute_recovery_store_discarded") == {"": float(same_datadir)}
    finally:
        stop.set()
        producer.join()

    def messages() -> int:
        return sum(orjson.loads(v)["messages"] for (_, table, _), v in kroute.rows().items() if table == "consumer_lag")

    try:
        wait_for(lambda: messages() >= sum(sent), 90, "all messages in the rows")
    finally:
        print(f"{sum(sent)} messages sent, {messages()} in the rows", worker.get("/metrics")[1], worker.text())
    assert messages() == sum(sent)
    assert worker.stop() == 0
    alerts, rows = kroute.pure_run()
    delivered = kroute.alerts()
    assert {i for i, _ in delivered} == set(alerts)
    assert all(value == alerts[i] for i, value in delivered)
    assert kroute.rows() == rows


def test_a_clean_stop_keeps_the_store_and_repeats_nothing(kroute: Installation) -> None:
    worker = kroute.start().wait_ready()
    kroute.produce("consumer-lag", [lag("g", i) for i in range(30)])
    wait_for(lambda: len(kroute.alerts()) == 10, 90, "ten alerts")
    assert worker.stop() == 0
    worker = kroute.start().wait_ready()
    assert worker.metric("kroute_recovery_store_discarded") == {"": 0.0}
    assert sum(worker.metric("kroute_recovery_rows").values()) > 0
    kroute.produce("consumer-lag", [lag("g", i) for i in range(30, 60)])
    wait_for(lambda: len({i for i, _ in kroute.alerts()}) == 20, 90, "twenty alerts")
    assert len(kroute.alerts()) == 20
    alerts, _ = kroute.pure_run()
    assert dict(kroute.alerts()) == alerts


def test_another_partition_count_is_refused_with_what_to_do(kroute: Installation) -> None:
    assert kroute.start().wait_ready().stop() == 0
    kroute.facts_partitions = 2
    worker = kroute.start()
    assert worker.process.wait(90) == 2
    assert "has 4 partitions and KROUTE_FACTS_PARTITIONS is 2" in worker.text()
    assert "Traceback" not in worker.text()


def test_facts_deleted_before_they_were_applied_are_refused_unless_the_gap_is_accepted(kroute: Installation) -> None:
    worker = kroute.start().wait_ready()
    wait_for(
        lambda: worker.metric("kroute_correlate_offset").get('{partition="1"}', -1) >= 0, 60, "a unit of work in partition 1"
    )
    assert worker.stop() == 0
    facts = kroute.settings.names.full("facts")
    producer = Producer({"bootstrap.servers": kroute.bootstrap, "log_level": 0})
    for _ in range(10):
        producer.produce(facts, b'{"facts":[]}', partition=1)
    assert producer.flush(10) == 0
    admin = admin_client(kroute.bootstrap)
    end = TopicPartition(facts, 1, -1)
    admin.delete_records([end])[end].result(10)
    worker = kroute.start()
    assert worker.process.wait(90) == 2
    assert "10 facts were deleted by retention before they were applied" in worker.text()
    assert "--accept-gap" in worker.text()
    worker = kroute.start("w1", "--accept-gap").wait_ready()
    assert worker.metric("kroute_recovery_gap_records")['{partition="1"}'] == 10
    kroute.produce("consumer-lag", [lag("g", i) for i in range(30)])
    wait_for(lambda: len(kroute.alerts()) == 10, 90, "ten alerts")


def test_a_datadir_in_use_is_refused(kroute: Installation) -> None:
    kroute.start("w1").wait_ready()
    second = kroute.start("w1")
    assert second.process.wait(90) == 2
    assert "is in use by another worker" in second.text()


def test_a_recording_from_a_snapshot_goes_on_as_the_worker_did(kroute: Installation) -> None:
    kroute.start().wait_ready()
    kroute.produce("ownership", [ownership("a"), ownership("b")])
    kroute.produce("consumer-lag", [lag(f"g{i % 6}", i, cluster=f"c{i % 3}") for i in range(90)])
    kroute.produce("ownership", [(ownership("a")[0], None)])
    wait_for(lambda: len(kroute.alerts()) >= 28, 90, "alerts")
    middle = now_ms()
    kroute.produce("consumer-lag", [lag(f"g{i % 6}", i, cluster=f"c{i % 3}") for i in range(90)])
    wait_for(lambda: len(kroute.alerts()) == 60, 90, "all alerts")
    kroute.workers[0].stop()
    lines: list[bytes] = []
    record(kroute.settings, since_ms=middle, now_ms=now_ms(), until_end=True, write=lines.append, say=print)
    states = {p: FakeState(p) for p in range(4)}
    alerts: dict[str, bytes] = {}
    items = [orjson.loads(line) for line in lines]
    assert any("table" in i for i in items)
    for item in items:
        state = states[item["partition"]]
        if "table" in item:
            state.load(item["table"], item["key"], base64.b64decode(item["value_b64"]))
        else:
            envelope = msgspec.json.decode(orjson.dumps(item["value"]), type=Envelope)
            for alert in state.step(item["offset"], envelope).alerts:
                alerts[dict(alert.headers)["ce_id"].decode()] = alert.value
    everything, rows = kroute.pure_run()
    assert alerts.items() <= everything.items()
    assert len(alerts) >= 30
    assert {(p, t, k): v for p, s in states.items() for (t, k), v in s.rows.items()} == rows
