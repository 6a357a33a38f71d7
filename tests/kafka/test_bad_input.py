"""Ten malformed messages on each input topic: each one is a dead letter with its place and reason; nothing else is lost."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kroute.contracts.codec import REASONS
from kroute.contracts.topics import INPUTS
from kroute.local.choose import Chosen
from tests.kafka.helpers import wait_for
from tests.kafka.messages import Pair, bad, good, now_ms
from tests.kafka.stack import CLUSTER, Stack
from tests.kafka.test_scenarios import row, team

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def stack(kafka: Chosen, tmp_path: Path) -> Iterator[Stack]:
    """A worker; signals are written by the test itself."""
    s = Stack(kafka.bootstrap, tmp_path, {})
    try:
        s.start([team("team-a"), row("cluster", CLUSTER, owner="team-platform"), row("group", "g", service="s"),
                 row("service", "s", owner="team-a")], collect=False)  # fmt: skip
        yield s
    finally:
        s.stop()


def lag(at_ms: int, committed: int, end: int) -> dict[str, Any]:
    return {
        "cluster": CLUSTER, "observed_at_ms": at_ms, "interval_ms": 1000, "group": "g", "state": "Stable",
        "members": [{"member_id": "m", "assignment": [["t", [0]]]}],
        "partitions": [{"topic": "t", "partition": 0, "committed": committed, "end": end, "start": 0}],
    }  # fmt: skip


def test_ten_malformed_messages_on_each_input_topic(stack: Stack) -> None:
    wanted: dict[tuple[str, int, int], tuple[Pair, str]] = {}
    passing: set[tuple[str, int, int]] = set()
    for topic in INPUTS:
        refused = bad(topic)
        assert len(refused) == 10
        for pair, reason in refused:
            wanted[stack.put_pair(topic, pair)] = (pair, reason)
            passing.add(stack.put_pair(topic, good(topic)))
    with stack.follow("dead-letter") as letters:
        wait_for(lambda: len(letters.records()) >= len(wanted), 240, f"{len(wanted)} dead letters")
        found = [json.loads(m.value() or b"") for m in letters.records(2.0)]
    assert {(d["topic"], d["partition"], d["offset"]): d["reason"] for d in found} == {p: r for p, (_, r) in wanted.items()}
    assert len(found) == len(wanted), "each is told once"
    assert {d["reason"] for d in found} <= set(REASONS)
    for d in found:
        _, value = wanted[d["topic"], d["partition"], d["offset"]][0]
        assert value is not None
        assert d["size"] == len(value)
        assert base64.b64decode(d["payload_b64"]) == value[: 64 * 1024]
    # The good ones among the bad are facts, and the worker goes on.
    with stack.follow("facts") as log:

        def passed() -> set[tuple[str, int, int]]:
            facts = [f for m in log.records() for f in json.loads(m.value() or b"")["facts"]]
            return {(f["src"], f["p"], f["o"]) for f in facts if f["topic"] != "progress"}

        wait_for(lambda: passed() >= passing, 120, "every good record in facts")
        assert not passed() & wanted.keys()
    assert stack.processes["worker"].poll() is None
    end = committed = 0
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and not stack.incidents("slow-consumer", "group/g"):
        end += 1000
        committed += 1000 if end <= 12_000 else 50
        stack.put("consumer-lag", None, lag(now_ms(), committed, end))
        stack.put("consumer-lag", None, b"junk")
        time.sleep(1.0)
    assert stack.incidents("slow-consumer", "group/g"), f"no incident of good signals among bad ones\n{stack.log('worker')}"
