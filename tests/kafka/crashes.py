"""Workers that die at any moment: their installation, its feed, and the points at which they end."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from kafka.admin import KafkaAdminClient, MemberToRemove
from kafka.errors import KafkaError

from kroute.contracts.topics import TABLES
from kroute.local.estate import produce_policy
from kroute.stream import crash
from kroute.stream.process import EXIT_FAILED
from kroute.stream.topics import create_topics
from tests.kafka import thinned
from tests.kafka.helpers import wait_for
from tests.kafka.thinned import About, Position
from tests.kafka.worker import Installation, Worker

PROGRAM = """
import runpy
{first}
runpy.run_module("kroute.cli.main", run_name="__main__")
"""


WHOLE = """
from kroute.stream import budget
budget.BEHIND_MS = 10**12  # polls that kroute leaves out on purpose, as it is behind after deaths, would look like lost ones
"""
THINNED = """
from tests.kafka import thinned
thinned.arm({path!r})
"""


def program(*arguments: str, first: str = "", left_out: Path | None = None) -> list[str]:
    """A worker as a user starts it, that thins no polls, or thins them early and writes to ``left_out`` which.

    ``first``: what else is done before.
    """
    how = WHOLE if left_out is None else THINNED.format(path=str(left_out))
    return [sys.executable, "-c", PROGRAM.format(first=how + first), *arguments, "worker"]


POLICY = {"version": "test", "defaults": {"settle_s": 1.0, "hold_s": 2.0}, "realms": {"": ["silence"]}}
CLUSTERS = ("c1", "c2", "c3")
EVERY_S = 0.4
ASK_S = 4.0
KILLED = -signal.SIGKILL
logging.getLogger("kafka.admin").setLevel(logging.ERROR)  # it cannot read what Faust's members say of themselves


class Estate(Installation):
    """An installation with few partitions, a fast policy and a heartbeat alert each second.

    ``thin``: its workers leave polls out as early as they can, and say which.
    """

    def __init__(self, bootstrap: str, folder: Path, *, thin: bool = False) -> None:
        super().__init__(bootstrap, folder, facts_partitions=2)
        self.left_out = folder / "left-out.jsonl" if thin else None
        self._tended: dict[str, Worker] = {}
        """Datadir → its newest worker."""
        self.ended = threading.Event()
        """Set by ``close``: whoever feeds this installation stops."""

    def env(self, **more: str) -> dict[str, str]:
        budget = {} if self.left_out is None else {"KROUTE_SOURCE_BUDGET_KB": str(thinned.BUDGET_KB)}
        return super().env(**{"KROUTE_HEARTBEAT_S": "1", "PYTHONFAULTHANDLER": "1", **budget, **more})

    def close(self) -> None:
        self.ended.set()
        super().close()

    def prepare(self) -> None:
        """Topics and the policy."""
        create_topics(self.settings)
        produce_policy(self.bootstrap, dict(POLICY), self.settings.names)

    def worker(self, datadir: str = "w1", at: str = "", **env: str) -> Worker:
        """A worker with the engine; ``at`` arms a crash point."""
        worker = self.run(program(left_out=self.left_out), datadir, **{crash.VARIABLE: at, **env})
        self._tended[datadir] = worker
        return worker

    def ready(self, datadir: str = "w1", timeout_s: float = 180) -> Worker:
        """Start a worker that becomes ready; one that ends by itself before is started again."""
        self._tended = {d: w for d, w in self._tended.items() if w.process.poll() is None}  # the others were seen to
        found = self.worker(datadir)

        def one() -> bool:
            nonlocal found
            found = self._tended.get(datadir, found)
            return found.get("/ready")[0] == 200

        try:
            self.wait(one, timeout_s, f"a ready worker on {datadir}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{found.text()[-1500:]}") from None
        return found

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """As ``wait_for``, and start again what ends by itself meanwhile."""

        def attended() -> bool:
            self.tend()
            return condition()

        wait_for(attended, timeout_s, what)

    def tend(self) -> None:
        """Start again what ended by itself, as a service manager does: where a machine is slow, a worker's session may end."""
        for datadir, worker in list(self._tended.items()):
            if worker.process.poll() is not None:
                del self._tended[datadir]
                if worker.process.returncode == EXIT_FAILED:
                    self.worker(datadir)

    def evict(self, worker: Worker) -> None:
        """Take a dead worker's member out of the group, as the broker does when its session is over, 10 s later."""
        mark = f"-{worker.process.pid}:{worker.port}".encode()
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap.split(","))
        try:
            # What Faust's members say of themselves holds the address of their process.
            members = admin.describe_groups([self.app_id])[self.app_id]["members"]
            dead = [MemberToRemove(m["member_id"]) for m in members if mark in repr(m).encode()]
            if dead:
                admin.remove_group_members(self.app_id, dead)
        except KafkaError:
            return  # then its session runs out: a broker that was just started has no coordinator yet
        finally:
            admin.close()

    def progress(self) -> list[dict[str, Any]]:
        """What was told of how far the inputs are read."""
        messages = self.read(self.settings.names.full("facts"))
        return [f for m in messages for f in orjson.loads(m.value() or b"")["facts"] if f["topic"] == "progress"]

    def delete_topics(self) -> None:
        """Take all topics of this installation away."""
        with AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}) as admin:
            mine = [name for name in admin.list_topics(timeout=30).topics if name.startswith(self.app_id)]
            for future in admin.delete_topics(mine).values():
                future.result(30)


class Feed(threading.Thread):
    """Writes what collectors and people would, of three clusters; connectors fail and recover as ``seed`` has it."""

    def __init__(self, estate: Estate, seed: int) -> None:
        super().__init__(daemon=True, name="feed")
        self.estate = estate
        self._rng = random.Random(seed)
        self._producer = Producer({"bootstrap.servers": estate.bootstrap, "log_level": 0, "acks": "all", "linger.ms": 1})
        self._done = estate.ended
        self._asked: list[str] = []
        self._asked_s: dict[str, float] = {}
        self._fed: dict[Position, About] = {}
        self._versions = 0
        self._new = 0
        self._end = 0
        self.failed: dict[str, bool] = {}

    @property
    def fed(self) -> set[Position]:
        """Topic, partition and offset of every record that was acknowledged."""
        return set(self._fed)

    @property
    def about(self) -> dict[Position, About]:
        """What each of them is about."""
        return dict(self._fed)

    def ask(self, what: str) -> None:
        """``cluster``: a cluster nobody has heard of; ``burst``: rows that make a unit of several journal parts; ``refused``: a
        control that the policy does not let anybody give. Asked again within 4 s, it is there already."""
        if time.monotonic() - self._asked_s.get(what, -ASK_S) >= ASK_S:
            self._asked_s[what] = time.monotonic()
            self._asked.append(what)

    def finish(self) -> None:
        """Write no more; back when all is acknowledged."""
        self._done.set()
        self.join(30)
        assert self._producer.flush(60) == 0, "not all was acknowledged"

    def run(self) -> None:
        while not self._done.wait(EVERY_S):
            now = int(time.time() * 1000)
            self._end += 100
            for cluster in CLUSTERS:
                self._poll(cluster, now)
            self._state(now)
            while self._asked:
                what = self._asked.pop()
                if what == "cluster":
                    self._new += 1
                    self._poll(f"new-{self._new}", now)
                elif what == "refused":
                    ack = {"kind": "ack", "id": f"a{now}", "at_ms": now, "by": "me", "incident": "inc-none"}
                    self._put("controls", f"ack/a{now}", ack)
                else:
                    for n in range(60):
                        self._own("topic", f"burst-{n}", owner="team-a", labels={"why": f"{now}-" * 1500})
            self._producer.poll(0)

    def _poll(self, cluster: str, now: int) -> None:
        polled = {"cluster": cluster, "observed_at_ms": now, "interval_ms": int(EVERY_S * 1000)}
        part = {"topic": "t", "partition": 0, "committed": self._end - 10, "end": self._end, "start": 0}
        self._put("consumer-lag", "g", {**polled, "group": "g", "state": "Stable", "partitions": [part]})
        sample = {"signal": "request_handler_idle_ratio", "value": self._rng.random()}
        self._put("broker-metrics", "b", {**polled, "source": {"kind": "broker", "id": "1"}, "samples": [sample]})
        topic = {"name": "t", "partitions": [{"id": 0, "leader": 1, "replicas": [1], "isr": [1]}]}
        self._put("topology", cluster, {**polled, "brokers": [{"id": 1, "state": "alive"}], "topics": [topic]})
        for name in ("a", "b"):
            where = f"{cluster}/{name}"
            if self._rng.random() < 0.12:
                self.failed[where] = not self.failed.get(where, False)
            state = "FAILED" if self.failed.get(where) else "RUNNING"
            tasks = [{"id": 0, "state": state, "worker": "w:1", "trace": "org.apache.kafka.x: no" if state == "FAILED" else ""}]
            told = {"connect": "c", "connector": name, "type": "sink", "state": "RUNNING", "tasks": tasks}
            self._put("connector-status", name, {**polled, **told})

    def _state(self, now: int) -> None:
        self._own("connector", f"c/{self._rng.choice('ab')}", owner=f"team-{self._rng.choice('xy')}")
        n = self._rng.randrange(3)
        silence = {"kind": "silence", "id": f"s{n}", "at_ms": now, "by": "me", "why": "test", "matchers": {"service": "none"}}
        self._put("controls", f"silence/s{n}", {**silence, "until_ms": now + self._rng.randrange(100, 60_000)})
        target = {"kind": "connector", "name": "c/a"}
        change = {
            "id": f"d{n}",
            "kind": "deploy",
            "cluster": "c1",
            "target": target,
            "starts_at_ms": now,
            "ends_at_ms": now + 1000,
        }
        self._put("changes", f"d{n}", change)
        self._versions += 1
        if self._versions % 20 == 0:
            self._put("policy", "policy", {**POLICY, "version": f"test-{self._versions}"})

    def _own(self, kind: str, name: str, **row: Any) -> None:
        self._put("ownership", f"{kind}/c1/{name}", {"kind": kind, "cluster": "c1", "name": name, **row})

    def _put(self, short: str, key: str | None, value: Any) -> None:
        def noted(error: Any, message: Any) -> None:
            if error is None:
                self._fed[message.topic(), message.partition(), message.offset()] = (short, value.get("cluster", ""), key or "")

        self._producer.produce(self.estate.settings.names.full(short), orjson.dumps(value), key, on_delivery=noted)


@contextmanager
def fed(estate: Estate, seed: int) -> Iterator[Feed]:
    """The installation made ready for workers, and its feed; at the end all is closed."""
    try:
        estate.prepare()
        feed = Feed(estate, seed)
        feed.start()
        yield feed
    finally:
        estate.close()


def every_point(tables: Sequence[str] = TABLES) -> list[str]:
    """Every commit point, for each of these tables; what is sent has 150 ms to arrive while its unit stands.

    A local store is thrown away after a kill, so of ``rows-stored`` two tables do. Partitions are drained a first time
    as a worker joins, when it has none.
    """
    of = {"row-sent": tables, "rows-acked": tables, "rows-stored": ("journal", "incidents")}
    of |= dict.fromkeys(("output-sent", "output-acked"), ("alerts", "letters"))
    suffix = {"row-sent": "+150", "ingest-sent": "+150", "output-sent": "+150", "drained": ":2"}
    return [f"{name}{f'/{t}' if t else ''}{suffix.get(name, '')}" for name in crash.POINTS for t in of.get(name, ("",))]


def asked_for(at: str) -> str:
    """What has to be fed for a crash point to be reached: "" where it is reached as things are."""
    if "/letters" in at:
        return "refused"
    return {"placement-acked": "cluster", "journal-parts": "burst"}.get(at.partition(":")[0].partition("+")[0], "")


def die_at(feed: Feed, at: str, datadir: str, timeout_s: float = 120, tries: int = 4) -> None:
    """Start a worker that ends at this point, see to it that the point is reached, and wait until it is gone."""
    estate = feed.estate
    worker = estate.worker(datadir, at)
    deadline = time.monotonic() + timeout_s
    while worker.process.poll() is None:
        assert time.monotonic() < deadline, f"{at} was not reached:\n{worker.text()[-2000:]}"
        if wanted := asked_for(at):
            feed.ask(wanted)
        if at.startswith("drained") and worker.get("/ready")[0] == 200:
            worker.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    estate.evict(worker)
    if worker.process.returncode == EXIT_FAILED and tries > 1:
        die_at(feed, at, datadir, timeout_s, tries - 1)
        return
    assert worker.process.returncode == KILLED, f"{at}: the worker ended otherwise:\n{worker.text()[-2000:]}"


def environment(seed: int) -> dict[str, str]:
    """What a schedule adds to the environment of its workers."""
    return {"PYTHONHASHSEED": str(seed % 4096), "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2")}
