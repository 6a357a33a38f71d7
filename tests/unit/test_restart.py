"""A state that is built anew from its rows, at any moment, goes on as the one that wrote them: rows and alerts, to the byte."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
import pytest

from kroute import engine
from kroute.contracts.facts import Envelope
from kroute.settings import Settings
from kroute.stream.forward import Forwarder, Record, envelopes, progress

SETTINGS = Settings(heartbeat_s=5)
START_MS = 1_795_000_000_000
TICKS = 60


def _signals(
    rng: random.Random, t: int, failed: dict[str, bool], committed: dict[str, int]
) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """One second of a small estate whose connectors flicker and whose groups are slow in turns."""
    polled = {"cluster": "c1", "observed_at_ms": START_MS + t * 1000, "interval_ms": 1000}
    end = 1000 * (t + 1)
    for n, group in enumerate(("g1", "g2")):
        slow = (t // 20 + n) % 3 == 1
        committed[group] = min(end, committed.get(group, 0) + (50 if slow else 3000))
        part = {"topic": "t", "partition": 0, "committed": committed[group], "end": end, "start": 0}
        members = [{"member_id": "m", "assignment": [["t", [0]]]}]
        yield "consumer-lag", group, {**polled, "group": group, "state": "Stable", "members": members, "partitions": [part]}
    for name in ("a", "b"):
        failed[name] = failed.get(name, False) ^ (rng.random() < 0.2)
        task = {"id": 0, "state": "FAILED" if failed[name] else "RUNNING", "worker": "w:1", "trace": "x" if failed[name] else ""}
        told = {"connect": "c", "connector": name, "type": "sink", "state": "RUNNING", "tasks": [task]}
        yield "connector-status", name, {**polled, **told}
    sample = {"signal": "request_handler_idle_ratio", "value": rng.random()}
    yield "broker-metrics", None, {**polled, "source": {"kind": "broker", "id": "1"}, "samples": [sample]}
    topic = {"name": "t", "partitions": [{"id": 0, "leader": 1, "replicas": [1], "isr": [1]}]}
    yield "topology", None, {**polled, "brokers": [{"id": 1, "state": "alive"}], "topics": [topic]}
    if rng.random() < 0.2:
        row = {"kind": "connector", "cluster": "c1", "name": f"c/{rng.choice('ab')}", "owner": f"team-{rng.choice('xy')}"}
        yield "ownership", f"connector/c1/{row['name']}", row


def _facts(seed: int) -> Iterator[Envelope]:
    rng, failed, committed, offsets = random.Random(seed), dict[str, bool](), dict[str, int](), dict[str, int]()
    forwarder = Forwarder(SETTINGS)
    said: list[tuple[str, str | None, dict[str, Any]]]
    said = [("policy", "policy", {"version": "v", "defaults": {"settle_s": 1.0, "hold_s": 2.0}})]
    for t in range(TICKS):
        facts = []
        for short, key, value in [*said, *_signals(rng, t, failed, committed)]:
            o = offsets[short] = offsets.get(short, -1) + 1
            name = SETTINGS.names.full(short)
            raw = None if key is None else key.encode()
            addressed = forwarder.forward(Record(name, 0, o, START_MS + t * 1000, raw, orjson.dumps(value)))
            assert addressed is not None
            facts.append(addressed.fact)
        said = []
        for value_bytes in envelopes([*facts, progress("all", 0, t, START_MS + t * 1000 + 500, 1)]):
            yield msgspec.json.decode(value_bytes, type=Envelope)


@pytest.mark.parametrize("seed", range(3))
def test_a_state_built_from_its_rows_goes_on_as_the_one_that_wrote_them(seed: int) -> None:
    made = engine.build(SETTINGS)
    rng = random.Random(seed)
    whole, restarted = made.new_state(0), made.new_state(0)
    kept: dict[str, dict[tuple[str, str], bytes]] = {"whole": {}, "restarted": {}}
    alerts = 0
    for offset, envelope in enumerate(_facts(seed)):
        if rng.random() < 0.4:
            restarted = made.new_state(0)
            rows = list(kept["restarted"].items())
            rng.shuffle(rows)
            for (table, key), value in rows:
                restarted.load(table, key, value)
            restarted.loaded()
        effects = {"whole": whole.step(offset, envelope), "restarted": restarted.step(offset, envelope)}
        for name, e in effects.items():
            for where, new in e.rows.items():
                if new is None:
                    kept[name].pop(where, None)
                else:
                    kept[name][where] = new
        assert effects["restarted"].alerts == effects["whole"].alerts, offset
        different = {
            k for k in kept["whole"].keys() | kept["restarted"].keys() if kept["whole"].get(k) != kept["restarted"].get(k)
        }
        assert different == set(), offset
        alerts += sum(not a.key.startswith("heartbeat/") for a in effects["whole"].alerts)
    assert alerts > 3
