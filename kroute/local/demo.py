"""The whole of kroute on this machine: Kafka, Connect, worker, collector and the demo estate, started and stopped in order."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import confluent_kafka
import orjson
import yaml
from confluent_kafka import TopicPartition

import kroute
from kroute.errors import LocalKafkaError
from kroute.local.choose import Chosen, choose
from kroute.local.connect import LocalConnect
from kroute.local.estate import CLUSTER, SINK, SINK_SYSTEM, Estate, ownership, policy, produce_policy, produce_rows
from kroute.local.faults import Fault, fault
from kroute.local.process import Child, free_ports
from kroute.settings import Settings, load
from kroute.stream.process import EXIT_FAILED
from kroute.stream.topics import create_topics

CONNECT = "connect-local"
_READY_S = 60.0
_POLL_S = 0.5
_WORKER = "kroute worker"
_ENDS = {_WORKER: EXIT_FAILED}
"""Ends after which a service manager starts it again: a worker that has lost its place."""
_REVIVALS = 3


@dataclass(frozen=True)
class Plan:
    """What to start. ``interval_s``: the collector's poll, in seconds; ``fault``: a name of ``faults.NAMES``, or None."""

    workdir: Path
    brokers: int = 1
    fault: str | None = None
    interval_s: int = 3


class Demo:
    """A context: entering starts everything and waits until the estate is healthy; leaving stops it, last started first.

    ``say``: told what happens, a line at a time.

    Raises:
        KrouteError: something could not be started; what was started by then is stopped.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan = plan
        self._say = say
        self._stack = ExitStack()
        self._children: list[Child] = []
        self._revivals = 0
        self.fault: Fault | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def alerts(self, deadline: float | None = None) -> Iterator[dict[str, Any] | None]:
        """Routed alerts as they come; None twice a second while there are none. Ends at ``deadline`` (monotonic seconds).

        Raises:
            LocalKafkaError: the worker or the collector has ended; ends with its log's last lines.
        """
        while deadline is None or time.monotonic() < deadline:
            message = self._consumer.poll(_POLL_S)
            self.check()
            value = None if message is None or message.error() is not None else message.value()
            if value is None:
                yield None
                continue
            alert = orjson.loads(value)
            if alert.get("type") != "heartbeat":
                yield alert

    def check(self) -> None:
        """Start the worker again where it has ended by itself, as a service manager does; raise for all other ends."""
        for child in self._children:
            if child.alive:
                continue
            if child.code != _ENDS.get(child.name, 0) or self._revivals == _REVIVALS:
                raise child.failure("ended while it was needed")
            self._revivals += 1
            self._say(f"{child.name} has ended and is started again: {child.tail(1)}")
            child.start()

    def _start(self, stack: ExitStack) -> None:
        plan = self.plan
        plan.workdir.mkdir(parents=True, exist_ok=True)
        self._say(f"Kafka: starting {plan.brokers} broker{'s' * (plan.brokers > 1)}")
        kafka = choose(plan.workdir / "kafka", brokers=plan.brokers, jmx=True, ours=plan.brokers > 1)
        stack.callback(kafka.stop)
        self._say(f"Kafka: {kafka.bootstrap} ({kafka.how})")
        copies = plan.brokers if kafka.how == "local" else 1
        connect = LocalConnect(kafka.bootstrap, plan.workdir / "connect", group=CONNECT, replication_factor=copies, jmx=True)
        connect.start()
        stack.callback(connect.stop, grace_s=5.0)
        self._say(f"Kafka Connect: {connect.url}")
        estate = Estate(kafka.bootstrap, plan.workdir, connect=connect, replicas=copies)
        if plan.fault is not None:
            self.fault = fault(plan.fault, estate, kafka.local)

        env = self._environment(kafka, copies)
        settings = load(env)
        create_topics(settings)
        produce_rows(kafka.bootstrap, ownership(CONNECT), settings.names)
        produce_policy(kafka.bootstrap, policy(), settings.names)
        self._consumer = _reader(settings)
        stack.callback(self._consumer.close)

        worker = self._run(stack, env, "worker")
        self._await_ready(worker, f"http://{settings.web_host}:{settings.web_port}/ready")
        self._say(f"kroute worker: http://{settings.web_host}:{settings.web_port}/metrics")
        config = plan.workdir / "collect.yaml"
        config.write_text(yaml.safe_dump(collect_config(kafka, connect, plan.interval_s), sort_keys=False), encoding="utf-8")
        self._run(stack, env, "collect", "--config", str(config))
        self._say(f"kroute collect: every {plan.interval_s} s ({config})")

        stack.callback(estate.stop)
        estate.start()
        self._await_healthy(estate)
        self._say("estate: orders, payments and clicks flow; every group keeps up")

    def _environment(self, kafka: Chosen, copies: int) -> dict[str, str]:
        (port,) = free_ports(1)
        source = str(Path(kroute.__file__).resolve().parent.parent)
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH")))),
            "KROUTE_BOOTSTRAP": kafka.bootstrap,
            "KROUTE_REPLICATION_FACTOR": str(copies),
            "KROUTE_FACTS_PARTITIONS": "1",
            "KROUTE_DATADIR": str(self.plan.workdir / "worker"),
            "KROUTE_WEB_HOST": "127.0.0.1",
            "KROUTE_WEB_PORT": str(port),
        }

    def _run(self, stack: ExitStack, env: Mapping[str, str], *words: str) -> Child:
        argv = [sys.executable, "-m", "kroute.cli.main", *words]
        child = Child(f"kroute {words[0]}", argv, self.plan.workdir / f"{words[0]}.log", env)
        child.start()
        stack.callback(child.stop, 15.0)
        stack.callback(self._children.clear)  # from here on its end is wanted
        self._children.append(child)
        return child

    def _await_ready(self, child: Child, url: str) -> None:
        deadline = time.monotonic() + _READY_S
        why = "no answer"
        while True:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=5):  # noqa: S310  (our own loopback address)
                    return
            except urllib.error.HTTPError as e:
                why = e.read().decode(errors="replace").strip()
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise child.failure(f"not ready after {_READY_S:.0f} s: {why}")
            time.sleep(0.2)

    def _await_healthy(self, estate: Estate) -> None:
        deadline = time.monotonic() + _READY_S
        while (why := estate.unhealthy()) is not None:
            self.check()
            if time.monotonic() > deadline:
                raise LocalKafkaError(f"the demo estate is not healthy after {_READY_S:.0f} s: {why}")
            time.sleep(_POLL_S)


def collect_config(kafka: Chosen, connect: LocalConnect, interval_s: int) -> dict[str, Any]:
    """``collect.yaml`` for the demo estate: groups, topology, brokers' exporters, and Connect."""
    racks = {} if kafka.local is None else {b.id: b.rack for b in kafka.local.brokers.values()}
    metrics: list[dict[str, Any]] = [
        {"url": url, "source": "broker", "id": str(i), **({"rack": racks[i]} if i in racks else {})}
        for i, url in kafka.metrics_urls.items()
    ]
    if connect.metrics_url is not None:
        metrics.append({"url": connect.metrics_url, "source": "connect-worker", "id": "worker-1", "connect": CONNECT})
    return {
        "interval": f"{interval_s}s",
        "clusters": [
            {
                "name": CLUSTER,
                "kafka": {"bootstrap": kafka.bootstrap},
                "groups": {"include": ["*"]},
                "topology": {"config_interval": "1m"},
                "metrics": metrics,
                "connect": [{"name": CONNECT, "url": connect.url, "systems": {SINK: SINK_SYSTEM}}],
            }
        ],
    }


def _reader(settings: Settings) -> confluent_kafka.Consumer:
    """Reads ``routed-alerts`` from its present end, without a group of its own."""
    consumer = confluent_kafka.Consumer({
        **settings.kafka.librdkafka(), "group.id": "kroute.up", "enable.auto.commit": False, "log_level": 0,
    })  # fmt: skip
    topic = settings.names.alerts
    partitions = [TopicPartition(topic, p) for p in consumer.list_topics(topic, timeout=30).topics[topic].partitions]
    for p in partitions:
        p.offset = consumer.get_watermark_offsets(p, timeout=30)[1]
    consumer.assign(partitions)
    return consumer
