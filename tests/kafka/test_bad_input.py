"""Ten malformed messages on each input topic: each one is a dead letter with its place and reason; nothing else is lost."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from kroute.contracts.codec import REASONS
from kroute.contracts.topics import INPUTS, SIGNALS
from kroute.local.choose import Chosen
from tests.kafka.helpers import wait_for
from tests.kafka.stack import CLUSTER, Stack
from tests.kafka.test_scenarios import row, team

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

BAD: tuple[tuple[bytes | None, str], ...] = (
    (b"this is not JSON", "not-json"),
    (b'{"cluster":"prod","observed_at_ms":', "not-json"),
    (b"\xff\xfe\x00", "not-json"),
    (b"[1,2,3]", "wrong-type"),
    (b'"a string"', "wrong-type"),
    (b'{"cluster":7,"kind":7,"observed_at_ms":"now"}', "wrong-type"),
    (b"{}", "wrong-type"),
    (b'{"v":99,"cluster":"prod"}', "newer-version"),
    (b'{"cluster":"prod","kind":["x"],"observed_at_ms":1e400}', ""),
    (b'{"a":"' + b"x" * 10_000_000 + b'"}', "too-large"),
)


@pytest.fixture
def stack(kafka: Chosen, tmp_path: Path) -> Iterator[Stack]:
    """A worker; signals are written by the test itself."""
    s = Stack(kafka.bootstrap, tmp_path, {})
    try:
        s.start([team("team-a"), row("cluster", CLUSTER, owner="team-platform"), row("group", "g", service="s"),
                 row("service", "s", owner="team-a")])  # fmt: skip
        yield s
    finally:
        s.stop()


def lag(at_ms: int, committed: int, end: int) -> dict[str, Any]:
    return {
        "cluster": CLUSTER, "observed_at_ms": at_ms, "interval_ms": 1000, "group": "g", "state": "Stable",
        "members": [{"member_id": "m", "assignment": [["t", [0]]]}],
        "partitions": [{"topic": "t", "partition": 0, "committed": committed, "end": end, "start": 0}],
    }  # fmt: skip


def dead_letters(stack: Stack, count: int, timeout_s: float) -> list[dict[str, Any]]:
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": stack.bootstrap, "group.id": f"{stack.uid}-dead", "auto.offset.reset": "earliest",
        "fetch.message.max.bytes": 16_000_000,
    })  # fmt: skip
    consumer.subscribe([stack.names.full("dead-letter")])
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + timeout_s
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        value = message.value() if message is not None and message.error() is None else None
        if value is not None:
            found.append(json.loads(value))
    extra = consumer.poll(2.0)
    consumer.close()
    assert extra is None or extra.error() is not None, extra.value()
    return found


def test_ten_malformed_messages_on_each_input_topic(stack: Stack) -> None:
    for topic in INPUTS:
        key = {"ownership": "group/prod/x", "policy": "policy", "controls": "ack/1"}.get(topic)
        for value, _ in BAD:
            stack.put(topic, key, value)
    stack.put("consumer-lag", None, lag(int(time.time() * 1000) + 3_600_000, 1, 2))
    total = len(INPUTS) * len(BAD) + 1
    found = dead_letters(stack, total, 120)
    assert len(found) == total, stack.log("worker")
    places = {(d["topic"], d["partition"], d["offset"]) for d in found}
    assert len(places) == total, "each names its own place"
    assert {d["reason"] for d in found} <= set(REASONS)
    for topic in INPUTS:
        mine = [d for d in found if d["topic"] == stack.names.full(topic)]
        for value, reason in BAD:
            assert value is not None
            (d,) = [d for d in mine if d["size"] == len(value) and base64.b64decode(d["payload_b64"]) == value[: 64 * 1024]]
            assert reason in ("", d["reason"]), (topic, value[:60], d["reason"], d["detail"])
    assert [d["reason"] for d in found].count("from-the-future") == 1
    # The worker goes on, and the good ones among and after the bad still do their work.
    assert stack.processes["worker"].poll() is None
    end = committed = 0
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not stack.incidents("slow-consumer", "group/g"):
        end += 1000
        committed += 1000 if end < 20_000 else 50
        stack.put("consumer-lag", None, lag(int(time.time() * 1000), committed, end))
        stack.put(SIGNALS[0], None, b"junk")
        time.sleep(1.0)
    wait_for(lambda: stack.incidents("slow-consumer", "group/g"), 20, "the incident of good signals among bad ones")
