"""An estate that polls at a chosen pace on a real broker, one worker under it, and what both were like meanwhile."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson
from confluent_kafka import Producer

from kroute.contracts.facts import Envelope
from kroute.diagnosis.load import shipped
from kroute.engine import Engine
from kroute.local.estate import produce_policy, produce_rows
from kroute.stream import admin
from tests.kafka.test_scenarios import row, team
from tests.kafka.worker import Installation, Worker

RATE = 200
"""Records a second that are written to each partition of each topic."""
REAL = (sys.executable, "-c", "from kroute.cli.main import main; main()", "worker")


@dataclass
class Estate:
    """``clusters`` (a source each) × ``groups`` × ``partitions``. The first ``watched`` groups of each have an objective of
    30 s; ``slow``: groups that read a twentieth of what is written, since when (epoch ms)."""

    clusters: int
    groups: int
    partitions: int = 50
    watched: int = 2
    began_ms: int = field(default_factory=lambda: int(time.time() * 1000) - 3_600_000)
    slow: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [f"c{i}" for i in range(self.clusters)]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Ownership of all of it."""
        yield team("team-platform")
        yield team("team-a")
        for c in self.names:
            yield {"kind": "cluster", "cluster": c, "name": c, "owner": "team-platform"}
            for g in range(self.watched):
                yield {**row("group", f"g{g}", service=f"s{g}"), "cluster": c}
                yield {
                    **row("service", f"s{g}", owner="team-a", slo={"freshness_s": 30}, customer_function="people wait"),
                    "cluster": c,
                }

    def poll(self, cluster: str, group: str, now: int, interval_ms: int) -> bytes:
        """The message of one poll."""
        end = RATE * (now - self.began_ms) // 1000
        since = self.slow.get((cluster, group))
        committed = end - RATE // 2 if since is None else RATE * (since - self.began_ms) // 1000 + RATE * (now - since) // 20_000
        topic = f"t{group}"
        partitions = [
            {"topic": topic, "partition": p, "committed": committed - p, "end": end, "stable_end": end, "start": 0, "leader": p % 5,
             "committed_at_ms": now - 500}
            for p in range(self.partitions)
        ]  # fmt: skip
        return orjson.dumps({
            "cluster": cluster, "observed_at_ms": now, "interval_ms": interval_ms, "group": group, "state": "Stable",
            "protocol": "classic", "coordinator": 1, "partitions": partitions,
            "members": [{"member_id": f"{group}-1", "assignment": [[topic, list(range(self.partitions))]]}],
        })  # fmt: skip


class Load(threading.Thread):
    """Polls all groups each ``interval_s``, spread evenly; ``flood`` sends one poll again and again, so many a second."""

    def __init__(self, installation: Installation, estate: Estate, interval_s: float) -> None:
        super().__init__(daemon=True)
        self.estate = estate
        self.interval_s = interval_s
        self.flood = 0
        self.sent = 0
        self.flooded = 0
        self.done = threading.Event()
        self._topic = installation.settings.names.full("consumer-lag")
        self._producer = Producer({
            "bootstrap.servers": installation.bootstrap, "log_level": 0, "linger.ms": 20, "compression.type": "lz4",
            "queue.buffering.max.kbytes": 200_000,
        })  # fmt: skip

    def run(self) -> None:
        everyone = [(c, f"g{g}") for g in range(self.estate.groups) for c in self.estate.names]
        due, mad, at = 0.0, 0.0, time.monotonic()
        while not self.done.wait(0.05):
            now, passed = int(time.time() * 1000), time.monotonic() - at
            at += passed
            due += passed * len(everyone) / self.interval_s
            while due >= 1:
                cluster, group = everyone[self.sent % len(everyone)]
                self._put(self.estate.poll(cluster, group, now, int(self.interval_s * 1000)), group)
                self.sent += 1
                due -= 1
            mad += passed * self.flood
            if mad >= 1:
                value = self.estate.poll("mad", "g0", now, 30_000)
                for _ in range(int(mad)):
                    self._put(value, "mad")
                self.flooded += int(mad)
                mad -= int(mad)
        assert self._producer.flush(60) == 0

    def _put(self, value: bytes, key: str) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)


class Moment(NamedTuple):
    """A worker at ``at_s`` since the beginning: memory (MB), own lag of ingest and of correlate (s), polls left out so far,
    partitions that are thinned, and entities that are not because an objective hangs on them."""

    at_s: float
    rss_mb: float
    ingest_lag_s: float
    lag_s: float
    left_out: float
    thinning: float
    urgent: float


class Watch(threading.Thread):
    """Looks at a worker each second."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(daemon=True)
        self.worker = worker
        self.again: Callable[[], Worker] = lambda: worker
        self.moments: list[Moment] = []
        self.done = threading.Event()
        self.began = time.monotonic()

    def run(self) -> None:
        while not self.done.wait(1.0):
            if self.worker.process.poll() is not None:
                continue
            status, text = self.worker.get("/metrics")
            if status != 200:
                continue
            self.moments.append(Moment(
                round(time.monotonic() - self.began, 1), round(rss_mb(self.worker), 1), largest(text, "kroute_ingest_lag_seconds"),
                largest(text, "kroute_correlate_lag_seconds"), largest(text, "kroute_ingest_left_out_total"),
                largest(text, "kroute_ingest_thinning_partitions"), largest(text, "kroute_ingest_urgent_entities"),
            ))  # fmt: skip

    @property
    def now(self) -> Moment:
        return self.moments[-1] if self.moments else Moment(0, 0, 0, 0, 0, 0, 0)

    def between(self, from_s: float, to_s: float) -> list[Moment]:
        return [m for m in self.moments if from_s <= m.at_s <= to_s]


def largest(text: str, name: str) -> float:
    """The largest sample of a metric in an exposition; 0 where there is none."""
    return max((float(v) for v in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)), default=0.0)


def rss_mb(worker: Worker) -> float:
    """Resident memory now."""
    text = Path(f"/proc/{worker.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found[1]) / 1024 if found else 0.0


def begin(installation: Installation, estate: Estate, **env: str) -> Worker:
    """Rows, and a ready worker with the real engine."""
    worker = installation.run(list(REAL), "w1", **env).wait_ready()
    produce_policy(installation.bootstrap, {"version": "load", "defaults": {"settle_s": 4.0}}, installation.settings.names)
    produce_rows(installation.bootstrap, estate.rows(), installation.settings.names)
    return worker


def reference(installation: Installation) -> dict[str, bytes]:
    """Alerts by id that the engine gives over the facts of the run: what ``kroute replay`` does, a record at a time."""
    engine = Engine(shipped(), installation.settings.heartbeat_s * 1000)
    decode = msgspec.json.Decoder(Envelope).decode
    out: dict[str, bytes] = {}
    settings = installation.settings
    with admin.consumer(settings) as reader:
        for span in admin.spans(reader, [settings.names.full("facts")]):
            state = engine.new_state(span.partition)
            for m in admin.records(reader, [span]):
                for alert in state.step(m.offset() or 0, decode(m.value() or b"")).alerts:
                    out.setdefault(dict(alert.headers)["ce_id"].decode(), alert.value)
    return out


def delivered(installation: Installation) -> dict[str, bytes]:
    """Alerts by id that came out; every repeat of one is the same bytes."""
    out: dict[str, bytes] = {}
    for ident, value in installation.alerts():
        assert out.setdefault(ident, value) == value, "a repeat says something else"
    return out


def opened(alerts: dict[str, bytes], cause: str) -> dict[tuple[str, str], float]:
    """(cluster, root's name) → event time (epoch s) at which an incident of a cause was opened."""
    from datetime import datetime  # noqa: PLC0415

    found: dict[tuple[str, str], float] = {}
    for value in alerts.values():
        a = orjson.loads(value)
        if a["type"] in ("opened", "revised") and a["cause"]["id"] == cause:
            where = (a["cluster"], a["cause"]["root"]["name"])
            at = datetime.fromisoformat(a["updated_at"]).timestamp()
            found[where] = min(at, found.get(where, at))
    return found


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for a condition; whether it came."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
