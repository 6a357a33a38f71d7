"""kroute itself as a user runs it: worker and collector processes on a real broker, and what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import confluent_kafka
import orjson
import yaml

from kroute.contracts.topics import Names
from kroute.local.estate import produce_policy, produce_rows
from kroute.settings import Kafka, Settings
from kroute.stream.topics import create_topics
from tests.kafka.helpers import unique, wait_for

CLUSTER = "prod"
POLICY = {"version": "test", "defaults": {"settle_s": 4.0, "hold_s": 12.0}}


class Stack:
    """One installation with topic names of its own: processes, rows, and the alerts that came out."""

    def __init__(self, bootstrap: str, workdir: Path, collect: Mapping[str, Any], *, interval: str = "2s") -> None:
        self.bootstrap = bootstrap
        self.workdir = workdir
        self.uid = unique("k")
        self.names = Names(prefix=f"{self.uid}.", alerts=f"{self.uid}.routed-alerts")
        self.settings = Settings(kafka=Kafka(bootstrap=bootstrap), names=self.names, app_id=f"{self.uid}-app", facts_partitions=2)
        self.env = os.environ | {
            "KROUTE_BOOTSTRAP": bootstrap,
            "KROUTE_PREFIX": self.names.prefix,
            "KROUTE_ALERTS_TOPIC": self.names.alerts,
            "KROUTE_APP_ID": self.settings.app_id,
            "KROUTE_FACTS_PARTITIONS": "2",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.alerts: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        config = {"interval": interval, "clusters": [{"name": CLUSTER, "kafka": {"bootstrap": bootstrap}, **collect}]}
        self.collect_file = workdir / "collect.yaml"
        self.collect_file.write_text(yaml.safe_dump(config))
        self._stop = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def start(self, rows: Iterable[dict[str, Any]]) -> Stack:
        create_topics(self.settings)
        produce_rows(self.bootstrap, rows, self.names)
        produce_policy(self.bootstrap, dict(POLICY), self.names)
        self._reader.start()
        self.spawn("worker", "worker", "--datadir", str(self.workdir / "data"), "--web-port", "0")
        self.spawn("collect", "collect", "--config", str(self.collect_file))
        return self

    def wait_for_heartbeat(self, timeout_s: float = 90) -> None:
        """Wait until the worker works: its first heartbeat has come through the whole path."""
        try:
            wait_for(lambda: self.alerts, timeout_s, "the first heartbeat")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log('worker')}") from None

    def spawn(self, name: str, *args: str) -> None:
        """Start ``kroute …`` under a name; its log is ``<name>.log``."""
        log = (self.workdir / f"{name}.log").open("ab")
        command = [sys.executable, "-m", "kroute.cli.main", *args]
        self.processes[name] = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        log.close()

    def kill(self, name: str) -> None:
        """SIGKILL, as a machine that is gone."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self._stop.set()
        self._reader.join(10)

    def log(self, name: str, last: int = 40) -> str:
        """The last lines of a process's log."""
        path = self.workdir / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-last:]) if path.exists() else ""

    def put(self, topic: str, key: str | None, value: Any) -> None:
        """Produce one value (bytes as they are, else JSON) to an input topic and wait for its acknowledgement."""
        producer = confluent_kafka.Producer({"bootstrap.servers": self.bootstrap, "acks": "all", "message.max.bytes": 16_000_000})
        data = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
        producer.produce(self.names.full(topic), data, key)
        assert producer.flush(30) == 0

    # -- what came out ---------------------------------------------------------------------------------------

    def _read(self) -> None:
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": f"{self.uid}-reader", "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        })  # fmt: skip
        consumer.subscribe([self.names.alerts])
        while not self._stop.is_set():
            message = consumer.poll(0.2)
            value = message.value() if message is not None and message.error() is None else None
            if value is not None:
                self.raw.append(value)
                self.alerts.append(json.loads(value))
        consumer.close()

    def incidents(self, cause: str | None = None, root: str | None = None) -> dict[str, list[dict[str, Any]]]:
        """Distinct alerts by incident, of this cause at this root (``kind/name``) at any time; heartbeats left out."""
        out: dict[str, dict[str, dict[str, Any]]] = {}
        for a in list(self.alerts):
            if a["type"] != "heartbeat":
                out.setdefault(a["incident"], {})[a["id"]] = a
        found = {i: sorted(by_id.values(), key=lambda a: a["revision"]) for i, by_id in out.items()}
        return {
            i: alerts
            for i, alerts in found.items()
            if any((cause in (None, a["cause"]["id"])) and root in (None, root_of(a)) for a in alerts)
        }

    def expect(self, kind: str, cause: str, root: str, timeout_s: float = 60) -> dict[str, Any]:
        """Wait for an alert of a type for a cause and root.

        On failure says what came instead, and the ends of the logs.
        """

        def found() -> dict[str, Any] | None:
            for a in list(self.alerts):
                if a["type"] == kind and a["cause"]["id"] == cause and root_of(a) == root:
                    return a
            return None

        try:
            got = wait_for(found, timeout_s, f"{kind} {cause} at {root}")
        except AssertionError as e:
            came = [(a["type"], a.get("incident"), a["cause"]["id"], root_of(a)) for a in self.alerts if a["type"] != "heartbeat"]
            logs = "\n".join(f"-- {n}\n{self.log(n)}" for n in ("worker", "collect"))
            raise AssertionError(f"{e}\ncame: {came}\n{logs}") from None
        assert got is not None
        return got

    def expect_phase(self, phase: str, cause: str, root: str, timeout_s: float = 90) -> dict[str, Any]:
        """Wait until the newest alert of the one incident at ``root`` has the status; ``firing`` or ``resolved``."""

        def newest() -> dict[str, Any] | None:
            for alerts in self.incidents(root=root).values():
                if alerts[-1]["status"] == phase and alerts[-1]["cause"]["id"] == cause:
                    return alerts[-1]
            return None

        try:
            got = wait_for(newest, timeout_s, f"{phase} {cause} at {root}")
        except AssertionError as e:
            came = [(a["type"], a["status"], a["cause"]["id"], root_of(a)) for a in self.alerts if a["type"] != "heartbeat"]
            raise AssertionError(f"{e}\ncame: {came}\n{self.log('worker')}") from None
        assert got is not None
        return got


def root_of(alert: Mapping[str, Any]) -> str:
    """``kind/name`` of an alert's root."""
    root = alert["cause"]["root"]
    return f"{root['kind']}/{root['name']}"


def teams(alert: Mapping[str, Any], role: str) -> list[str]:
    """Teams that hold a role in an alert."""
    return sorted({r["team"] for r in alert["routes"] if r["role"] == role})


def open_deliveries(alerts: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What a notifier that knows only ``delivery`` and ``do`` has open after these alerts: delivery → destination."""
    held: dict[str, str] = {}
    for a in alerts:
        for r in a["routes"]:
            if r["do"] == "open":
                assert r["delivery"] not in held, "opened twice"
                held[r["delivery"]] = r["destination"]
            elif r["do"] == "close":
                assert held.pop(r["delivery"]) == r["destination"], "closed elsewhere than it was opened"
            elif r["do"] == "update":
                assert held[r["delivery"]] == r["destination"]
    return held
