"""kroute itself as a user runs it: worker and collector processes on a real broker, and what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import confluent_kafka
import orjson
import yaml

from kroute.contracts.topics import Names
from kroute.local.estate import produce_policy, produce_rows
from kroute.local.process import free_ports
from kroute.settings import Kafka, Settings
from kroute.stream.changelog import changelog
from kroute.stream.process import EXIT_FAILED
from kroute.stream.topics import create_topics
from tests.kafka.helpers import Follower, unique, wait_for

T = TypeVar("T")
CLUSTER = "prod"
POLICY = {"version": "test", "defaults": {"settle_s": 4.0, "hold_s": 12.0}}


class Stack:
    """One installation with topic names of its own: processes, rows, and the alerts that came out.

    ``supervised``: what ended by itself is started again, as a service manager does it.
    """

    def __init__(
        self, bootstrap: str, workdir: Path, collect: Mapping[str, Any], *, interval: str = "2s", supervised: bool = False
    ) -> None:
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
        self.ports: dict[str, int] = {}
        self.supervised = supervised
        self._commands: dict[str, tuple[str, ...]] = {}
        self.alerts: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        config = {"interval": interval, "clusters": [{"name": CLUSTER, "kafka": {"bootstrap": bootstrap}, **collect}]}
        self.collect_file = workdir / "collect.yaml"
        self.collect_file.write_text(yaml.safe_dump(config))
        self._producer = confluent_kafka.Producer(
            {"bootstrap.servers": bootstrap, "log_level": 0, "acks": "all", "message.max.bytes": 16_000_000, "linger.ms": 0}
        )
        self._stop = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def start(self, rows: Iterable[dict[str, Any]], *, collect: bool = True) -> Stack:
        """Topics, rows and a worker; ``collect``: a collector too, else the test writes the signals."""
        create_topics(self.settings)
        produce_rows(self.bootstrap, rows, self.names)
        produce_policy(self.bootstrap, dict(POLICY), self.names)
        self._reader.start()
        self.spawn_worker("worker", "data")
        if collect:
            self.spawn("collect", "collect", "--config", str(self.collect_file))
        return self

    def wait_for_heartbeat(self, timeout_s: float = 180) -> None:
        """Wait until the worker works: its first heartbeat has come through the whole path."""
        self.wait(lambda: self.alerts, timeout_s, "the first heartbeat")

    def wait_for_polls(self, groups: Iterable[str], count: int = 10, timeout_s: float = 180) -> None:
        """Wait until each group was polled ``count`` times with offsets: a usual pace must be seen before an unusual one."""
        wanted = set(groups)
        with self.follow("consumer-lag") as lag:

            def enough() -> bool:
                told = [json.loads(m.value() or b"{}") for m in lag.records()]
                seen = Counter(t.get("group") for t in told if t.get("partitions") and t.get("state") == "Stable")
                return all(seen[g] >= count for g in wanted)

            self.wait(enough, timeout_s, f"{count} polls of each of {sorted(wanted)}")

    def wait_for_row(self, table: str, fits: Callable[[bytes, bytes | None], bool], timeout_s: float = 90) -> None:
        """Wait until the worker has stored a row that fits (its key, its value; None where it was deleted)."""
        with Follower(self.bootstrap, changelog(self.settings, table)) as rows:
            self.wait(lambda: any(fits(m.key() or b"", m.value()) for m in rows.records()), timeout_s, f"such a row in {table}")

    def follow(self, topic: str) -> Follower:
        """All records of one of this installation's topics, from its beginning, as they come."""
        return Follower(self.bootstrap, self.names.full(topic))

    def spawn_worker(self, name: str, datadir: str) -> None:
        """Start a worker on a folder of its own, as on a machine of its own."""
        (self.ports[name],) = free_ports(1)
        self.spawn(name, "worker", "--datadir", str(self.workdir / datadir), "--web-port", str(self.ports[name]))

    def wait_ready(self, name: str = "worker", timeout_s: float = 120) -> None:
        """Wait until a worker says that it is ready."""

        def ready() -> bool:
            assert self.processes[name].poll() is None, f"{name} ended:\n{self.log(name)}"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/ready", timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        self.wait(ready, timeout_s, f"{name} to be ready")

    def wait(self, condition: Callable[[], T], timeout_s: float, what: str) -> T:
        """As ``wait_for``; a failure tells what came and the ends of the logs."""

        def attended() -> T:
            for name, process in list(self.processes.items()):
                # A worker ends with EXIT_FAILED when it has lost its place.
                if self.supervised and process.poll() == EXIT_FAILED:
                    self.spawn(name, *self._commands[name])
            return condition()

        try:
            return wait_for(attended, timeout_s, what)
        except AssertionError as e:
            came = [
                (a["type"], a["status"], a["incident"], a["cause"]["id"], root_of(a))
                for a in self.alerts
                if a["type"] != "heartbeat"
            ]
            logs = "\n".join(f"-- {n}\n{self.log(n)}" for n in self.processes)
            raise AssertionError(f"{e}\ncame: {came}\n{logs}") from None

    def spawn(self, name: str, *args: str) -> None:
        """Start ``kroute …`` under a name; its log is ``<name>.log``."""
        self._commands[name] = args
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
        data = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
        self.put_pair(topic, (None if key is None else key.encode(), data))

    def put_pair(self, topic: str, pair: tuple[bytes | None, bytes | None]) -> tuple[str, int, int]:
        """Produce a key and a value to an input topic; where the record is: topic, partition, offset."""
        done: list[confluent_kafka.Message] = []
        key, value = pair
        self._producer.produce(self.names.full(topic), value, key, on_delivery=lambda error, m: None if error else done.append(m))
        assert self._producer.flush(60) == 0
        (m,) = done
        return m.topic() or "", m.partition() or 0, m.offset() or 0

    # -- what came out ---------------------------------------------------------------------------------------

    def _read(self) -> None:
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.bootstrap, "log_level": 0, "group.id": f"{self.uid}-reader", "auto.offset.reset": "earliest",
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

    def expect(self, kind: str, cause: str, root: str, timeout_s: float = 150) -> dict[str, Any]:
        """Wait for an alert of a type for a cause and root."""

        def found() -> dict[str, Any] | None:
            for a in list(self.alerts):
                if a["type"] == kind and a["cause"]["id"] == cause and root_of(a) == root:
                    return a
            return None

        got = self.wait(found, timeout_s, f"{kind} {cause} at {root}")
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
