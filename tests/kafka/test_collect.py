"""The collector on a real Kafka, Connect and JMX exporter. Everything it says passes the contract."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kroute.collect.aliases import load_aliases
from kroute.collect.config import Exposition
from kroute.collect.connect import ConnectPoller, TaskMetrics
from kroute.collect.http import Http
from kroute.collect.lag import LagPoller
from kroute.collect.message import Message, Own
from kroute.collect.scrape import ExpositionPoller
from kroute.collect.topology import TopologyPoller
from kroute.contracts.codec import decode
from kroute.contracts.inputs import ConnectorStatus, ConsumerLag
from kroute.contracts.topics import Names
from kroute.errors import SourceUnreachable
from kroute.local.connect import LocalConnect
from kroute.settings import Kafka
from tests.kafka.helpers import admin_client, create_topic, produce, read_all, unique, wait_for

pytestmark = pytest.mark.kafka
OWN = Own(Names(), "kroute")
DEAD = "127.0.0.1:1"


def groups_of(bootstrap: str, stem: str) -> LagPoller:
    return LagPoller("c", Kafka(bootstrap), OWN, interval_ms=15_000, include=[f"{stem}*"])


def lags(messages: list[Message]) -> dict[str, ConsumerLag]:
    return {v.group: v for m in messages for v in [decode(m.topic, m.value)]}


@contextmanager
def reading(bootstrap: str, group: str, topic: str, protocol: str, count: int) -> Iterator[Consumer]:
    """A member of ``group`` that has read and committed ``count`` records."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "log_level": 0, "group.id": group, "group.protocol": protocol, "client.id": f"{group}-client",
        "auto.offset.reset": "earliest", "enable.auto.commit": False,
    })  # fmt: skip
    consumer.subscribe([topic])
    read: list[Any] = []

    def enough() -> bool:
        read.extend(consumer.consume(count - len(read), 0.5))
        return len(read) >= count

    try:
        wait_for(enough, 90, f"{count} records")
        consumer.commit(offsets=[TopicPartition(topic, 0, count)], asynchronous=False)
        yield consumer
    finally:
        consumer.close()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_of_either_protocol_is_told_with_its_members_and_lag(bootstrap: str, protocol: str) -> None:
    topic = create_topic(bootstrap, "collect-lag")
    group = unique("collect")
    produce(bootstrap, topic, ["x"] * 30)
    with reading(bootstrap, group, topic, protocol, 12):
        told = lags(groups_of(bootstrap, group).poll())[group]
    assert (told.state, told.protocol, told.up) == ("Stable", protocol, True)
    assert told.coordinator is not None
    assert told.members is not None
    (member,) = told.members
    assert member.client_id == f"{group}-client"
    assert member.assignment == ((topic, (0,)),)
    (p,) = told.partitions
    assert (p.topic, p.partition, p.committed, p.start, p.end, p.stable_end) == (topic, 0, 12, 0, 30, 30)
    assert p.member_id == member.member_id
    assert p.leader is not None
    assert p.leader >= 0


def test_what_was_never_committed_is_unknown_and_an_open_transaction_holds_the_stable_end(bootstrap: str) -> None:
    topic = create_topic(bootstrap, "collect-tx")
    group = unique("collect")
    produce(bootstrap, topic, ["x"] * 5)
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, "transactional.id": unique("collect-tx")})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, "in doubt")
    producer.flush(30)
    consumer = Consumer({"bootstrap.servers": bootstrap, "log_level": 0, "group.id": group, "enable.auto.commit": False})
    consumer.subscribe([topic])
    try:
        wait_for(lambda: consumer.poll(0.2) or consumer.assignment(), 90, "an assignment")
        (p,) = lags(groups_of(bootstrap, group).poll())[group].partitions
        topology = TopologyPoller("c", Kafka(bootstrap), OWN, interval_ms=15_000)
        value = decode("topology", topology.poll()[0].value)
        topology.close()
    finally:
        consumer.close()
        producer.abort_transaction(30)
    assert (p.committed, p.end, p.stable_end) == (None, 6, 5)
    (open_one,) = [t for t in value.transactions if t.partitions == ((topic, 0),)]
    assert open_one.state == "Ongoing"
    assert open_one.started_at_ms > 0


def test_a_deleted_group_is_dead_once_and_then_silent(bootstrap: str) -> None:
    topic = create_topic(bootstrap, "collect-dead")
    group = unique("collect")
    produce(bootstrap, topic, ["x"] * 3)
    with reading(bootstrap, group, topic, "classic", 3):
        pass
    poller = groups_of(bootstrap, group)
    assert lags(poller.poll())[group].state == "Empty"
    admin = admin_client(bootstrap)
    admin.delete_consumer_groups([group])[group].result(30)
    gone = lags(poller.poll())[group]
    assert (gone.state, gone.up, gone.partitions) == ("Dead", True, ())
    assert poller.poll() == []


def test_a_deleted_topic_leaves_its_groups_at_once(bootstrap: str) -> None:
    topic = create_topic(bootstrap, "collect-gone")
    group = unique("collect")
    produce(bootstrap, topic, ["x"] * 3)
    with reading(bootstrap, group, topic, "classic", 3):
        pass
    poller = groups_of(bootstrap, group)
    assert len(lags(poller.poll())[group].partitions) == 1
    admin = admin_client(bootstrap)
    admin.delete_topics([topic])[topic].result(30)
    wait_for(lambda: all(not v.partitions for v in lags(poller.poll()).values()), 90, "the topic to leave")


def test_an_unreachable_cluster_is_a_gap_never_a_death(bootstrap: str) -> None:
    topic = create_topic(bootstrap, "collect-gap")
    group = unique("collect")
    produce(bootstrap, topic, ["x"])
    with reading(bootstrap, group, topic, "classic", 1):
        pass
    poller = groups_of(bootstrap, group)
    poller.poll()
    poller._admin = AdminClient({"bootstrap.servers": DEAD, "log_level": 0, "socket.timeout.ms": 2000})
    with pytest.raises(SourceUnreachable, match="Kafka cluster c") as e:
        poller.poll()
    (told,) = lags(poller.down(str(e.value))).values()
    assert (told.group, told.up, told.state) == (group, False, None)
    assert told.error


def test_an_unreachable_cluster_has_no_topology() -> None:
    poller = TopologyPoller("c", Kafka(DEAD), OWN, interval_ms=1_000)
    with pytest.raises(SourceUnreachable, match="Kafka cluster c"):
        poller.poll()
    value = decode("topology", poller.down("no answer")[0].value)
    assert (value.up, value.error) == (False, "no answer")


def test_the_collector_produces_what_the_contract_says_and_leaves_its_own_topics_out(bootstrap: str, tmp_path: Path) -> None:
    topic = create_topic(bootstrap, "collect-run")
    group = unique("collect-run")
    produce(bootstrap, topic, ["x"] * 4)
    with reading(bootstrap, group, topic, "classic", 2):
        pass
    prefix = unique("kr") + "."
    admin = admin_client(bootstrap)
    for made in admin.create_topics([NewTopic(prefix + n, 1, 1) for n in ("consumer-lag", "topology")]).values():
        made.result(30)
    config = tmp_path / "collect.yaml"
    config.write_text(
        "interval: 1s\nclusters:\n  - name: c\n"
        f"    kafka: {{bootstrap: '{bootstrap}'}}\n    groups: {{include: ['{group}']}}\n    topology: {{}}\n",
        encoding="utf-8",
    )
    env = {"KROUTE_BOOTSTRAP": bootstrap, "KROUTE_PREFIX": prefix, "PATH": "/usr/bin", "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", "from kroute.cli.main import main; main()", "collect", "--config", str(config)]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            lag = read_all(bootstrap, prefix + "consumer-lag", 2)
            topology = read_all(bootstrap, prefix + "topology", 1)
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    for _, value in lag:
        told = decode("consumer-lag", value)
        assert (told.group, told.interval_ms, told.partitions[0].committed, told.partitions[0].end) == (group, 1000, 2, 4)
    names = [t.name for _, value in topology for t in decode("topology", value).topics]
    assert topic in names
    assert not [n for n in names if n.startswith(prefix)]


def test_a_dry_run_prints_recording_lines(bootstrap: str, tmp_path: Path) -> None:
    config = tmp_path / "collect.yaml"
    config.write_text(f"clusters: [{{name: c, kafka: {{bootstrap: '{bootstrap}'}}, topology: {{}}}}]\n", encoding="utf-8")
    command = [
        sys.executable,
        "-c",
        "from kroute.cli.main import main; main()",
        "collect",
        "--config",
        str(config),
        "--once",
        "--dry-run",
    ]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=Path.cwd()).stdout
    (line,) = [json.loads(x) for x in out.splitlines()]
    assert set(line) == {"topic", "key", "timestamp_ms", "value"}
    assert line["topic"] == "kroute.topology"
    assert decode("topology", json.dumps(line["value"]).encode()).brokers[0].state == "alive"


@pytest.mark.connect
async def test_a_connector_with_a_failed_task_is_told(connect: LocalConnect, bootstrap: str) -> None:
    topic = create_topic(bootstrap, "collect-connect")
    produce(bootstrap, topic, ["not json"])
    name = unique("collect-sink")
    connect.put_connector(name, {
        "connector.class": "FileStreamSink", "tasks.max": "1", "topics": topic, "file": "/proc/nothing/here",
    })  # fmt: skip
    http = Http(timeout_s=10)
    poller = ConnectPoller("c", "local", connect.url, http, interval_ms=15_000, systems={name: "files"})

    async def mine() -> ConnectorStatus | None:
        try:
            values = [decode(m.topic, m.value) for m in await poller.poll()]
        except SourceUnreachable:
            return None  # 409 while the worker rebalances
        return next((v for v in values if v.connector == name), None)

    try:
        one = await until(mine, lambda v: v is not None and bool(v.tasks) and v.tasks[0].state == "FAILED", "a failed task")
        assert one is not None
        assert (one.type, one.topics, one.group, one.system) == ("sink", (topic,), f"connect-{name}", "files")
        assert "/proc/nothing/here" in (one.tasks[0].trace or "")
        connect.delete_connector(name)
        last = await until(mine, lambda v: v is not None and v.state == "DELETED", "its end")
        assert last is not None
    finally:
        await http.close()


async def until(read: Any, enough: Callable[[Any], bool], what: str) -> Any:
    """The first value that is enough, within 40 s."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 40
    while not enough(value := await read()):
        assert loop.time() < deadline, f"not within 40 s: {what} (last: {value!r})"
        await asyncio.sleep(0.3)
    return value


@pytest.mark.connect
async def test_a_workers_scrape_gives_task_signals_to_the_status_messages(
    connect: LocalConnect, bootstrap: str, tmp_path: Path
) -> None:
    topic = create_topic(bootstrap, "collect-task")
    produce(bootstrap, topic, ["x"] * 50)
    name = unique("collect-file")
    connect.put_file_sink(name, topic, tmp_path / "out")
    http, tasks = Http(timeout_s=10), TaskMetrics()
    config = Exposition(url=metrics_url(connect), source="connect-worker", id="w1", connect="local", aliases=("strimzi",))
    scrape = ExpositionPoller("c", config, load_aliases("strimzi"), http, OWN, interval_ms=15_000, metrics=tasks)
    poller = ConnectPoller("c", "local", connect.url, http, interval_ms=15_000, metrics=tasks)

    async def metrics() -> dict[str, float]:
        for m in await scrape.poll():
            decode(m.topic, m.value)
        try:
            values = [decode(m.topic, m.value) for m in await poller.poll()]
        except SourceUnreachable:
            return {}
        return next((t.metrics for v in values if v.connector == name for t in v.tasks), {})

    try:
        got = await until(metrics, lambda m: "put_batch_ms" in m, "put_batch_ms")
        assert got["put_batch_ms"] >= 0
    finally:
        connect.delete_connector(name)
        await http.close()


def metrics_url(connect: LocalConnect) -> str:
    assert connect.metrics_url is not None
    return connect.metrics_url
