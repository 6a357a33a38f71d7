"""Ways in of messages: the border, ingest, the engine behind it, recordings, the collector's sources."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import Any

from kroute.collect.aliases import load_aliases, shipped
from kroute.collect.connect import ConnectPoller
from kroute.collect.exposition import Translator, looks_like_exposition
from kroute.collect.http import Http
from kroute.collect.message import split
from kroute.contracts.codec import TYPES, decode
from kroute.contracts.inputs import BrokerMetrics, Source
from kroute.diagnosis.load import shipped as catalogue
from kroute.engine import Engine
from kroute.errors import BadFile, SourceUnreachable, StateError
from kroute.replay import read, replay
from kroute.settings import load
from kroute.stream import journal
from tests.fuzz.files import in_force
from tests.fuzz.scratch import scratch
from tests.fuzz.target import Target
from tests.fuzz.town import Town, decoded
from tests.unit.contracts.examples import AT, EXAMPLES

SETTINGS = load({})


@cache
def engine() -> Engine:
    """One engine for all."""
    return Engine(catalogue())


@cache
def town() -> Town:
    """One town: messages of all topics meet in it."""
    return Town(engine())


def _key(topic: str, value: bytes) -> bytes | None:
    """The key that the row would have, else one that does not fit."""
    if topic == "policy":
        return b"policy"
    try:
        row = json.loads(value)
        where = [row["kind"], row["cluster"], row["name"]] if topic == "ownership" else [row["kind"], row["id"]]
        return "/".join(str(w) for w in where).encode()
    except (ValueError, TypeError, LookupError, RecursionError):
        return b"group/prod-eu/checkout"


def _fed(topic: str, value: bytes) -> bool:
    return town().feed(topic, _key(topic, value), value)


def _keyed(value: bytes) -> bool:
    """The bytes as a key of each compacted topic."""
    taken = False
    for topic in ("ownership", "controls", "policy"):
        taken |= town().feed(topic, value, json.dumps(EXAMPLES[topic][0]).encode())
    return taken


def _recording(data: bytes) -> bool:
    path = scratch(data, "recording.jsonl")
    try:
        replay(read(path, SETTINGS), engine(), SETTINGS)
    except (BadFile, StateError):
        return False
    return True


def _journal(data: bytes) -> bool:
    try:
        journal.decode({journal.HEAD_KEY: data, f"{journal.HEAD_KEY}/1": data})
    except StateError:
        return False
    return True


def _line(topic: str, value: Any, at: int = AT, **more: Any) -> bytes:
    return (
        json.dumps(
            {"topic": f"kroute.{topic}", "key": "team/*/team-payments", "timestamp_ms": at, "value": value, **more}
        ).encode()
        + b"\n"
    )


RECORDINGS = (
    b"".join(_line(t, EXAMPLES[t][0], AT + i * 1000) for i, t in enumerate(("ownership", "consumer-lag", "topology", "connector-status"))),
    _line("facts", EXAMPLES["facts"][0], partition=0, offset=0) + _line("facts", {"facts": []}, partition=1, offset=7),
    json.dumps({"topic": "kroute.facts", "timestamp_ms": AT, "partition": 0, "table": "entities", "key": "|clock", "value_b64": "gA=="}).encode()
    + b"\n" + _line("facts", EXAMPLES["facts"][0], partition=0, offset=3),
)  # fmt: skip


@cache
def _rules() -> tuple[Any, ...]:
    return load_aliases(shipped()).rules


def _exposition(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    translator = Translator(_rules(), cpus=2.0)
    try:
        if not looks_like_exposition(text):
            return False
        translator.samples(text, 1.0)
        samples = tuple(translator.samples(text.replace(" 1", " 2"), 11.0))
    except SourceUnreachable:
        return False
    _sent(
        split(
            "broker-metrics",
            "k",
            BrokerMetrics(cluster="c", observed_at_ms=AT, source=Source(kind="broker", id="1"), samples=samples),
            "samples",
        )
    )
    return True


def _sent(messages: list[Any]) -> None:
    """What the collector sends, ingest takes."""
    for m in messages:
        decode(m.topic, m.value, timestamp_ms=2**53, max_bytes=900_000)


class _Rest(Http):
    """Answers every request with the same body."""

    def __init__(self, body: bytes) -> None:
        super().__init__(timeout_s=1)
        self._body = body

    async def get(self, url: str, headers: Any = None) -> tuple[int, bytes]:
        return 200, self._body


def _connect(data: bytes) -> bool:
    poll = ConnectPoller("c", "connect-a", "http://x", _Rest(data), interval_ms=1000, systems={"a*": "s"}).poll()
    try:
        poll.send(None)
    except StopIteration as done:
        _sent(done.value)
        return True
    except SourceUnreachable:
        return False
    raise AssertionError("the poll waits for something")


CONNECT = {
    "orders": {
        "status": {"name": "orders", "connector": {"state": "RUNNING", "worker_id": "w1:8083"}, "type": "sink",
                   "tasks": [{"id": 0, "state": "FAILED", "worker_id": "w1:8083", "trace": "org.apache.kafka"}, {"id": 1, "state": "RUNNING", "worker_id": "w"}]},
        "info": {"name": "orders", "config": {"connector.class": "C", "topics": "a,b", "consumer.override.group.id": "g"}, "tasks": [], "type": "sink"},
    },
    "source": {"status": {"connector": {"state": "PAUSED"}, "tasks": [{"id": 2, "state": "RUNNING"}], "type": "source"}, "info": {"config": {}}, "topics": ["t"]},
}  # fmt: skip

EXPOSITION = b"""# HELP kafka_server_brokertopicmetrics_bytesin_total x
# TYPE kafka_server_brokertopicmetrics_bytesin_total counter
kafka_server_brokertopicmetrics_bytesin_total{topic="pay",} 1024.0 1795427349001
kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent 0.31
kafka_network_requestmetrics_totaltimems{request="Produce",quantile="0.99"} 12.5
kafka_network_requestmetrics_totaltimems_count{request="Produce"} 17
kafka_server_replicamanager_underreplicatedpartitions 1
kafka_connect_sink_task_put_batch_avg_time_ms{connector="orders",task="0"} 140
kafka_consumergroup_lag{consumergroup="g",topic="pay",partition="0"} 19
kafka_stream_operation_latency_bucket{operation_name="append_wal_full",le="+Inf"} NaN
jvm_memory_used_bytes{area="heap"} 1.5e+09
jvm_gc_collection_seconds_sum{gc="G1 Young \\"x\\" \\n"} 1e-3
# EOF
"""


def targets() -> list[Target]:
    """All of them."""
    out = [Target(f"border {t}", "json", tuple(EXAMPLES[t]), partial(decoded, t), 6.0) for t in TYPES]
    policies = (in_force(), {"version": "2", "defaults": {"hold_s": 60, "settle_s": 1}})
    out += [
        Target(f"engine {t}", "json", policies if t == "policy" else tuple(EXAMPLES[t]), partial(_fed, t), 0.08) for t in TYPES
    ]
    out += [
        Target("keys", "text", ("team/*/team-payments", "silence/s1", "policy", "topic/prod-eu/payments.*"), _keyed, 0.03),
        Target("recording", "text", RECORDINGS, _recording, 0.05),
        Target(
            "journal", "text", tuple(v for _, v in journal.encode(3, {("t", "k"): b"v", ("t", "d"): None}, ())), _journal, 3.0
        ),
        Target("exposition", "text", (EXPOSITION,), _exposition, 0.7),
        Target("connect rest", "json", (CONNECT, {}), _connect, 4.0),
    ]
    return out
