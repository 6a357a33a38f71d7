"""Real workers in processes of their own, with the small engine of the unit tests, and what they left in Kafka."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import orjson
from confluent_kafka import Producer
from confluent_kafka.cimpl import Message

from kroute.contracts.facts import Envelope
from kroute.contracts.topics import TABLES
from kroute.local.process import free_ports
from kroute.settings import Settings, load
from kroute.stream import admin
from kroute.stream.changelog import changelog, engine_key
from tests.kafka.helpers import unique, wait_for
from tests.unit.stream.fake_engine import FakeState

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "unit" / "stream" / "fake_engine.py"


@dataclass
class Worker:
    """One worker process. ``log`` is its standard error."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; (0, reason) where nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError as e:
            return 0, str(e)

    def metric(self, name: str) -> dict[str, float]:
        """Samples of one metric by their labels, as they stand in the text."""
        _, body = self.get("/metrics")
        out = {}
        for line in body.splitlines():
            if line.startswith((f"{name}{{", f"{name} ")):
                labels, value = line.removeprefix(name).rsplit(" ", 1)
                out[labels] = float(value)
        return out

    def wait_ready(self, timeout_s: float = 120) -> Worker:
        def ready() -> bool:
            assert self.process.poll() is None, f"the worker ended:\n{self.text()}"
            return self.get("/ready")[0] == 200

        wait_for(ready, timeout_s, "a ready worker")
        return self

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, timeout_s: float = 60) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


@dataclass
class Installation:
    """Topics, group and folders that no other test uses."""

    bootstrap: str
    folder: Path
    app_id: str = field(default_factory=lambda: unique("app"))
    workers: list[Worker] = field(default_factory=list)
    facts_partitions: int = 4

    def env(self, **more: str) -> dict[str, str]:
        return {
            "KROUTE_BOOTSTRAP": self.bootstrap,
            "KROUTE_APP_ID": self.app_id,
            "KROUTE_PREFIX": f"{self.app_id}.",
            "KROUTE_ALERTS_TOPIC": f"{self.app_id}-alerts",
            "KROUTE_FACTS_PARTITIONS": str(self.facts_partitions),
            **more,
        }

    @property
    def settings(self) -> Settings:
        return load(self.env())

    def start(self, datadir: str = "w1", *arguments: str, **env: str) -> Worker:
        """A worker with the small engine."""
        return self.run([sys.executable, str(PROGRAM), *arguments], datadir, **env)

    def run(self, command: list[str], datadir: str, **env: str) -> Worker:
        """A worker by a command of one's own."""
        port = free_ports(1)[0]
        log = self.folder / f"{datadir}-{len(self.workers)}.log"
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **self.env(KROUTE_DATADIR=str(self.folder / datadir), KROUTE_WEB_PORT=str(port)),
            **env,
        }
        with log.open("wb") as f:
            process = subprocess.Popen(command, env=environment, stdout=f, stderr=f)
        worker = Worker(process, port, log)
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()

    # -- records ---------------------------------------------------------------------------------------------

    def produce(self, short: str, records: Iterable[tuple[bytes | None, bytes | None]], partition: int | None = None) -> None:
        """Send (key, value) to an input topic and wait until all are durable."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "log_level": 0,
                "acks": "all",
                "message.max.bytes": 16 * 1024 * 1024,
                "linger.ms": 5,
            }
        )
        topic = self.settings.names.full(short)
        for key, value in records:
            if partition is None:
                producer.produce(topic, value, key)
            else:
                producer.produce(topic, value, key, partition)
            producer.poll(0)
        assert producer.flush(60) == 0

    def read(self, topic: str) -> list[Message]:
        """All records of a topic."""
        with admin.consumer(self.settings) as reader:
            return list(admin.records(reader, admin.spans(reader, [topic])))

    def dead_letters(self) -> list[dict[str, Any]]:
        return [orjson.loads(m.value() or b"") for m in self.read(self.settings.names.full("dead-letter"))]

    def facts(self) -> dict[int, list[Envelope]]:
        out: dict[int, list[Envelope]] = {p: [] for p in range(self.facts_partitions)}
        for m in self.read(self.settings.names.full("facts")):
            envelopes = out[m.partition() or 0]
            assert m.offset() == len(envelopes)
            envelopes.append(msgspec.json.decode(m.value() or b"", type=Envelope))
        return out

    def alerts(self) -> list[tuple[str, bytes]]:
        """(ce_id, value) in the order of each partition."""
        return [(dict(m.headers() or ())["ce_id"].decode(), m.value() or b"") for m in self.read(self.settings.names.alerts)]  # type: ignore[union-attr]

    def rows(self) -> dict[tuple[int, str, str], bytes]:
        """(partition, table, key) → value, from the changelogs; without the journal."""
        out: dict[tuple[int, str, str], bytes] = {}
        for table in TABLES:
            if table != "journal":
                for m in self.read(changelog(self.settings, table)):
                    where = (m.partition() or 0, table, engine_key(bytes(m.key() or b"")))
                    value = m.value()
                    if value is None:
                        out.pop(where, None)
                    else:
                        out[where] = value
        return out

    def pure_run(self) -> tuple[dict[str, bytes], dict[tuple[int, str, str], bytes]]:
        """Alerts by id and rows of the same engine over the dumped facts, in memory."""
        alerts: dict[str, bytes] = {}
        rows: dict[tuple[int, str, str], bytes] = {}
        for p, envelopes in self.facts().items():
            state = FakeState(p)
            for offset, envelope in enumerate(envelopes):
                for alert in state.step(offset, envelope).alerts:
                    alerts[dict(alert.headers)["ce_id"].decode()] = alert.value
            rows.update({(p, table, key): value for (table, key), value in state.rows.items()})
        return alerts, rows


@contextmanager
def installation(bootstrap: str, folder: Path) -> Iterator[Installation]:
    """An installation whose workers are ended whatever happens."""
    out = Installation(bootstrap, folder)
    try:
        yield out
    finally:
        out.close()
