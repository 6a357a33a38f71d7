"""The local Kafka and Connect are real: they store, fail and report as the ones in production do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka import Producer

from kroute.errors import LocalKafkaError
from kroute.local.broker import LocalKafka
from kroute.local.choose import Chosen
from kroute.local.connect import LocalConnect
from tests.kafka.helpers import admin_client, create_topic, produce, read_all, unique, wait_for

pytestmark = pytest.mark.kafka


def test_what_is_produced_is_read_back(kafka: Chosen) -> None:
    topic = create_topic(kafka.bootstrap, "echo", partitions=2)
    produce(kafka.bootstrap, topic, [f"v{i}" for i in range(20)])
    assert sorted(value or b"" for _, value in read_all(kafka.bootstrap, topic, 20)) == sorted(
        f"v{i}".encode() for i in range(20)
    )


def test_a_topic_that_nobody_created_does_not_appear(kafka: Chosen) -> None:
    name = unique("nobody")
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0, "message.timeout.ms": 2000})
    producer.produce(name, b"x", on_delivery=lambda error, _: errors.append(error))
    producer.flush(20)
    assert errors
    assert errors[0] is not None
    assert name not in admin_client(kafka.bootstrap).list_topics(timeout=10).topics


@pytest.mark.connect
def test_a_sink_whose_file_cannot_be_written_runs_with_a_failed_task(
    connect: LocalConnect, kafka: Chosen, tmp_path: Path
) -> None:
    topic, name = create_topic(kafka.bootstrap, "orders"), unique("sink")
    connect.put_file_sink(name, topic, tmp_path / "missing" / "out.txt")
    try:

        def failed() -> dict[str, object] | None:
            status = connect.status(name)
            return status if status and [t["state"] for t in status["tasks"]] == ["FAILED"] else None

        status = wait_for(failed, 90, "a failed task")
        assert status is not None
        assert status["connector"]["state"] == "RUNNING"  # type: ignore[index]
        assert "NoSuchFileException" in status["tasks"][0]["trace"]  # type: ignore[index]

        assert connect.metrics_url is not None
        with urllib.request.urlopen(connect.metrics_url, timeout=10) as answer:
            metrics = answer.read().decode()
        assert f'kafka_connect_connector_task_status{{connector="{name}",status="failed",task="0"}} 1.0' in metrics
    finally:
        connect.delete_connector(name)
    wait_for(lambda: connect.status(name) is None, 90, "the connector gone")


@pytest.mark.connect
def test_a_sink_writes_what_its_topic_has(connect: LocalConnect, kafka: Chosen, tmp_path: Path) -> None:
    topic, name, out = create_topic(kafka.bootstrap, "orders"), unique("sink"), tmp_path / "out.txt"
    connect.put_file_sink(name, topic, out)
    try:
        produce(kafka.bootstrap, topic, ["one", "two"])
        wait_for(lambda: out.exists() and out.read_text().split() == ["one", "two"], 90, "both records in the file")
    finally:
        connect.delete_connector(name)


def test_a_broker_that_cannot_start_says_why_with_its_last_lines(tmp_path: Path) -> None:
    broken = LocalKafka(tmp_path, config={"log.segment.bytes": "not-a-number"})
    with pytest.raises(LocalKafkaError, match=r"(?s)broker 1.*Last lines of.*log\.segment\.bytes"):
        broken.start()
    assert not any(b.child.alive for b in broken.brokers.values())


_STARTS_ONE = """
import sys
from pathlib import Path
from kroute.local.broker import LocalKafka
kafka = LocalKafka(Path(sys.argv[1])).start()
print(kafka.bootstrap, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_brokers_end_with_the_process_that_started_them_even_when_it_is_killed(kafka: Chosen, tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", _STARTS_ONE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    address = starter.stdout.readline().decode().strip()
    assert address, "the broker did not start"
    os.kill(starter.pid, signal.SIGKILL)
    starter.communicate()

    def gone() -> bool:
        properties = str(tmp_path / "broker-1" / "server.properties").encode()
        return not any(properties in _command_line(p) for p in Path("/proc").glob("[0-9]*"))

    wait_for(gone, 60, "no process of the broker left")


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
