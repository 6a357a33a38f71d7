"""Kafka brokers on this machine: one or three, in KRaft combined mode, on free loopback ports."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from kroute.errors import LocalKafkaError
from kroute.local.artefacts import Artefacts, resolve
from kroute.local.process import Child, await_ready, free_ports, run, stop_all

_HOST = "127.0.0.1"
_START_S = 90.0
_PORT_TRIES = 3


@dataclass(frozen=True)
class Broker:
    """One broker process. ``metrics_url`` is None where the JMX exporter was not asked for."""

    id: int
    port: int
    controller_port: int
    rack: str
    metrics_url: str | None
    child: Child

    @property
    def address(self) -> str:
        return f"{_HOST}:{self.port}"


class LocalKafka:
    """A Kafka cluster on this machine for tests and demonstrations; it ends with the process that started it.

    ``brokers``: 1, or 3 (each controller and broker); racks ``rack-a``, ``rack-b``, ``rack-c``. ``jmx``: a JMX
    exporter per broker with Strimzi's metric names. ``config``: server properties that override these. ``auto_create``:
    topics appear on first use.

    Raises:
        LocalKafkaError: no Java, no jars, or a broker that does not start; ends with its log's last lines.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        brokers: int = 1,
        auto_create: bool = False,
        jmx: bool = False,
        heap_mb: int = 320,
        config: Mapping[str, str] | None = None,
    ) -> None:
        if brokers not in (1, 3):
            raise LocalKafkaError(f"{brokers} brokers were asked for; a local Kafka has 1 or 3")
        self.workdir = workdir
        self.cluster_id = new_cluster_id()
        self._count = brokers
        self._auto_create = auto_create
        self._jmx = jmx
        self._heap_mb = heap_mb
        self._overrides = dict(config or {})
        self._brokers: dict[int, Broker] = {}

    @property
    def bootstrap(self) -> str:
        """``host:port`` of every broker, separated by commas."""
        return ",".join(b.address for b in self._brokers.values())

    @property
    def brokers(self) -> Mapping[int, Broker]:
        """The brokers by id (from 1), dead ones too."""
        return self._brokers

    @property
    def metrics_urls(self) -> dict[int, str]:
        """The JMX exporter's address of each broker; empty without ``jmx``."""
        return {b.id: b.metrics_url for b in self._brokers.values() if b.metrics_url is not None}

    def start(self) -> Self:
        """Format and start all brokers at once; back when all are registered and unfenced."""
        artefacts = resolve()
        for attempt in range(1, _PORT_TRIES + 1):
            self._brokers = self._layout(artefacts, attempt)
            try:
                with ThreadPoolExecutor(self._count) as pool:
                    list(pool.map(lambda b: self._format(artefacts, b), self._brokers.values()))
                for broker in self._brokers.values():
                    broker.child.start()
                self.wait_ready(self._brokers)
            except BaseException as e:
                self.stop(grace_s=0)
                # Between finding a free port and listening on it, another process may have taken it.
                if isinstance(e, LocalKafkaError) and "Address already in use" in str(e) and attempt < _PORT_TRIES:
                    continue
                raise
            return self
        raise AssertionError("unreachable")

    def kill(self, broker_id: int) -> None:
        """End a broker as a crash would; the cluster fences it some seconds later."""
        self._broker(broker_id).child.kill()

    def stop(self, broker_id: int | None = None, *, grace_s: float = 10.0) -> None:
        """Stop one broker in order, or all."""
        chosen = self._brokers.values() if broker_id is None else [self._broker(broker_id)]
        stop_all([b.child for b in chosen], grace_s)

    def restart(self, broker_id: int) -> None:
        """Start a broker again after ``kill`` or ``stop`` (a running one is stopped first); back when it is unfenced."""
        broker = self._broker(broker_id)
        broker.child.stop()
        broker.child.start()
        self.wait_ready([broker_id])

    def wait_ready(self, ids: Collection[int], timeout_s: float = _START_S) -> None:
        """Wait until the brokers ``ids`` live and stand in the cluster's metadata."""
        wanted = set(ids)
        deadline = time.monotonic() + timeout_s
        children = [self._broker(i).child for i in wanted]
        with AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 500}) as admin:
            await_ready(children, lambda: wanted <= _seen(admin), timeout_s, "start")
        # A broker that restarted may still be listed from before: ask each one itself.
        for broker_id in wanted:
            with AdminClient({"bootstrap.servers": self._broker(broker_id).address, "log_level": 0}) as own:
                left = max(1.0, deadline - time.monotonic())
                await_ready(children, lambda own=own, i=broker_id: i in _seen(own), left, "start")  # type: ignore[misc]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(grace_s=3.0)

    def _broker(self, broker_id: int) -> Broker:
        try:
            return self._brokers[broker_id]
        except KeyError:
            raise LocalKafkaError(f"there is no broker {broker_id}; there are {sorted(self._brokers)}") from None

    def _layout(self, artefacts: Artefacts, attempt: int) -> dict[int, Broker]:
        ports = iter(free_ports(3 * self._count))
        rows = {i: (next(ports), next(ports), next(ports)) for i in range(1, self._count + 1)}
        voters = ",".join(f"{i}@{_HOST}:{row[1]}" for i, row in rows.items())
        return {i: self._lay(artefacts, attempt, i, row, voters) for i, row in rows.items()}

    def _lay(self, artefacts: Artefacts, attempt: int, broker_id: int, row: tuple[int, int, int], voters: str) -> Broker:
        port, controller_port, jmx_port = row
        rack = f"rack-{'abc'[broker_id - 1]}"
        home = self.workdir / f"broker-{broker_id}"
        home.mkdir(parents=True, exist_ok=True)
        properties = {
            **_PROPERTIES,
            **replication(self._count),
            "node.id": str(broker_id),
            "broker.rack": rack,
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://{_HOST}:{port},CONTROLLER://{_HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{_HOST}:{port}",
            "log.dirs": str(home / f"data-{attempt}"),
            "auto.create.topics.enable": str(self._auto_create).lower(),
            **self._overrides,
        }
        write_properties(home / "server.properties", properties)
        options = [f"-javaagent:{artefacts.jmx_exporter}={_HOST}:{jmx_port}:{_rules('jmx-broker.yaml')}"] if self._jmx else []
        argv = artefacts.command(
            "kafka.Kafka", str(home / "server.properties"), heap_mb=self._heap_mb, options=[*options, "-Dkroute.log=info"]
        )
        url = f"http://{_HOST}:{jmx_port}/metrics" if self._jmx else None
        child = Child(f"broker {broker_id}", argv, home / f"broker-{attempt}.log")
        return Broker(broker_id, port, controller_port, rack, url, child)

    def _format(self, artefacts: Artefacts, broker: Broker) -> None:
        home = self.workdir / f"broker-{broker.id}"
        argv = artefacts.command(
            "kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", str(home / "server.properties"),
            heap_mb=64, options=["-Dkroute.log=error"],
        )  # fmt: skip
        run(f"format of broker {broker.id}", argv, home / "format.log", _START_S)


def new_cluster_id() -> str:
    """A random id as Kafka makes them: none begins with a dash, which its tools would take for an option."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made


def write_properties(path: Path, properties: Mapping[str, str]) -> None:
    """Write a Java properties file."""
    escaped = (f"{key}={value}".replace("\\", "\\\\") for key, value in sorted(properties.items()))
    path.write_text("\n".join(escaped) + "\n", encoding="utf-8")


def _rules(name: str) -> Path:
    return Path(__file__).with_name(name)


def _seen(admin: AdminClient) -> set[int]:
    """Ids of the brokers that the cluster lists as alive; none where nobody answers."""
    try:
        return set(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return set()


def wait_for_brokers(bootstrap: str, count: int, timeout_s: float) -> None:
    """Wait until a cluster answers with at least ``count`` brokers.

    Raises:
        LocalKafkaError: not within ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    with AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}) as admin:
        while len(_seen(admin)) < count:
            if time.monotonic() > deadline:
                raise LocalKafkaError(f"no Kafka answers at {bootstrap}: fewer than {count} brokers after {timeout_s:.0f} s")
            time.sleep(0.1)


def replication(brokers: int) -> dict[str, str]:
    """Server properties that fit copies and internal topics to the number of brokers."""
    copies = {
        "default.replication.factor", "offsets.topic.replication.factor", "transaction.state.log.replication.factor",
        "share.coordinator.state.topic.replication.factor",
    }  # fmt: skip
    minimum = {"min.insync.replicas", "transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr"}
    return {
        **dict.fromkeys(sorted(copies), str(brokers)),
        # Two of three, so that a cluster of three goes on writing when one is down.
        **dict.fromkeys(sorted(minimum), str(max(1, brokers - 1))),
        "offsets.topic.num.partitions": str(2 * brokers),
        "transaction.state.log.num.partitions": str(2 * brokers),
        "share.coordinator.state.topic.num.partitions": str(brokers),
    }


_PROPERTIES: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "num.partitions": "1",
    "delete.topic.enable": "true",
    # A group's first members wait for nobody, and a dead broker is fenced after 4 s (9 s by default).
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "3000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    "replica.lag.time.max.ms": "4000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # A small machine: few threads, small buffers (the log cleaner alone takes 128 MiB by default).
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.index.size.max.bytes": "1048576",
    "controlled.shutdown.enable": "true",
    "log.retention.check.interval.ms": "5000",
}
