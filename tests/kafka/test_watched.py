"""Who watches the watcher: readiness, a graceful stop, and a real Prometheus with the shipped rules beside a real worker."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from kroute.local.process import free_ports
from kroute.stream import journal
from kroute.stream.changelog import changelog, offset_header, stored_key
from kroute.stream.process import EXIT_FAILED
from kroute.stream.topics import create_topics
from tests.kafka.helpers import wait_for
from tests.kafka.load import REAL
from tests.kafka.messages import Pair, now_ms
from tests.kafka.worker import ROOT, Installation, Worker, installation

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
RULES = ROOT / "deploy" / "prometheus" / "kroute.rules.yaml"


@pytest.fixture
def kroute(bootstrap: str, tmp_path: Path) -> Iterator[Installation]:
    with installation(bootstrap, tmp_path) as out:
        yield out


def lag(group: str, end: int, cluster: str = "c1") -> Pair:
    message = {"cluster": cluster, "observed_at_ms": now_ms(), "group": group, "state": "Stable"}
    return group.encode(), orjson.dumps({**message, "partitions": [{"topic": "t", "partition": 0, "committed": 0, "end": end}]})


def test_a_worker_that_reads_a_large_changelog_is_not_ready_until_it_has_read_it(kroute: Installation) -> None:
    rows = 20_000
    create_topics(kroute.settings)
    producer = Producer({"bootstrap.servers": kroute.bootstrap, "log_level": 0, "linger.ms": 50, "compression.type": "lz4"})

    def put(table: str, partition: int, key: str, value: bytes) -> None:
        while True:
            try:
                producer.produce(
                    changelog(kroute.settings, table), value, stored_key(partition, key), partition, headers=[offset_header(0)]
                )
                return
            except BufferError:
                producer.poll(0.1)

    for i in range(rows):
        put("consumer_lag", i % 4, f"g{i}", b'{"messages":1,"total":%d}' % i)
    for p in range(4):
        for key, value in journal.encode(-1, {}, []):
            put("journal", p, key, value)
    assert producer.flush(60) == 0
    worker = kroute.start()
    said: list[tuple[int, str, float]] = []

    def ready() -> bool:
        nonlocal worker
        if worker.process.poll() == EXIT_FAILED:  # a machine so busy that the group gave it up meanwhile
            worker = kroute.start()
        status, text = worker.get("/ready")
        remaining = sum(worker.metric("faust_recovery_remaining").values())
        if status:
            said.append((status, text.strip(), remaining))
        assert worker.process.poll() in (None, EXIT_FAILED), worker.text()
        return status == 200

    wait_for(ready, 120, "a ready worker")
    assert any(remaining > 0 for *_, remaining in said), "it was looked at while it recovered"
    assert all(status == 503 for status, _, remaining in said[:-1])
    assert "recovering tables" in {text for _, text, remaining in said if remaining > 0}
    assert worker.get("/health")[0] == 200
    assert worker.metric("kroute_ready") == {"": 1.0}
    assert sum(worker.metric("kroute_recovery_rows").values()) == rows


def test_workers_that_are_stopped_and_started_again_lose_nothing_and_repeat_nothing(kroute: Installation) -> None:
    """Two graceful restarts under load: each unit in hand is finished, positions are committed, the exit is 0 and soon."""
    worker = kroute.start().wait_ready()
    done, sent = threading.Event(), 0

    def produce() -> None:
        nonlocal sent
        while not done.wait(0.05):
            kroute.produce("consumer-lag", [lag(f"g{i}", sent + i, f"c{i % 4}") for i in range(20)])
            sent += 20

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        for _ in range(2):
            before = len(kroute.alerts())
            wait_for(lambda before=before: len(kroute.alerts()) > before + 10, 60, "alerts to flow")  # type: ignore[misc]
            began = time.monotonic()
            assert worker.stop(30) == 0, worker.text()
            assert time.monotonic() - began < 20
            worker = kroute.start().wait_ready()
            assert worker.metric("kroute_recovery_store_discarded") == {"": 0.0}
    finally:
        done.set()
        producer.join()

    def applied() -> int:
        return sum(orjson.loads(v)["messages"] for (_, table, _), v in kroute.rows().items() if table == "consumer_lag")

    wait_for(lambda: applied() >= sent, 60, "all messages in the rows")
    assert applied() == sent
    assert worker.stop() == 0
    alerts, rows = kroute.pure_run()
    delivered = kroute.alerts()
    assert dict(delivered) == alerts
    assert kroute.rows() == rows
    assert len(delivered) == len(alerts), "nothing was said twice"


@contextmanager
def running_prometheus(program: str, folder: Path, worker: Worker) -> Iterator[int]:
    """A real Prometheus that scrapes the worker each second, with the shipped rules and shorter waits; its port."""
    text = RULES.read_text(encoding="utf-8")
    quick = re.sub(r"for: \w+", "for: 2s", text).replace("[6h])) > 300", "[6h])) > 10")
    assert quick.count("for: 2s") >= 8
    (folder / "rules.yaml").write_text(quick, encoding="utf-8")
    (folder / "prometheus.yml").write_text(
        json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "kroute", "static_configs": [{"targets": [f"127.0.0.1:{worker.port}"]}]}],
        }),
        encoding="utf-8",
    )  # fmt: skip
    (port,) = free_ports(1)
    command = [program, "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.path=tsdb"]
    with (folder / "prometheus.log").open("wb") as f:
        process = subprocess.Popen(command, cwd=folder, stdout=f, stderr=f)
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def ask(port: int, path: str, **parameters: str) -> Any:
    """The data of an answer of Prometheus's API; None where it does not answer yet."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}{query}", timeout=5) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None


def firing(port: int) -> dict[str, dict[str, str]]:
    """Labels of the alerts that fire, by name."""
    data = ask(port, "alerts") or {"alerts": []}
    return {a["labels"]["alertname"]: a["labels"] for a in data["alerts"] if a["state"] == "firing"}


def test_a_real_prometheus_fires_on_dead_letters_and_when_the_worker_is_gone(
    kroute: Installation, prometheus: str, tmp_path: Path
) -> None:
    worker = kroute.run(list(REAL), "w1", KROUTE_HEARTBEAT_S="1").wait_ready()
    kroute.produce("consumer-lag", [lag("g", 1, "prod")])
    beats = wait_for(lambda: worker.metric("kroute_heartbeat_timestamp_seconds"), 60, "a heartbeat of prod")
    assert set(beats) == {'{cluster="prod"}'}
    heartbeats = [i for i, _ in kroute.alerts() if i.startswith("heartbeat-prod-")]
    assert heartbeats, "and it came out"
    with running_prometheus(prometheus, tmp_path, worker) as port:

        def value(query: str) -> float | None:
            data = ask(port, "query", query=query)
            return float(data["result"][0]["value"][1]) if data and data["result"] else None

        wait_for(lambda: value("kroute_ready"), 60, "a scrape")
        wait_for(lambda: (value("count_over_time(kroute_ready[1m])") or 0) >= 6, 60, "thrice as long as any rule waits here")
        assert firing(port) == {}, "a worker that is well raises nothing"
        kroute.produce("changes", [(None, b"this is not JSON")])
        letters = wait_for(lambda: firing(port).get("KrouteDeadLetters"), 60, "the rule of dead letters to fire")
        assert letters is not None
        assert letters["topic"] == kroute.settings.names.full("changes")
        assert letters["reason"] == "not-json"
        worker.kill()
        wait_for(
            lambda: firing(port).keys() >= {"KrouteNoWorker", "KrouteHeartbeatMissing"}, 60, "both rules of a worker that is gone"
        )
        assert firing(port)["KrouteHeartbeatMissing"]["cluster"] == "prod"
