"""Writes the state that a kroute leaves behind after a fixed course of events, in mid-incident, as a fixture.

    PYTHONPATH=<a checkout of that version> python tests/state/write.py tests/state/v<version>.json.gz

Uses only what every version had: the contract of the inputs, ingest's forwarding and the engine. ``course`` goes on beyond
the cut, so that a test can see whether a newer kroute goes on from there.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_MS = 1_795_000_000_000
POLL_MS = 15_000
SLOW_S, CUT_S, WELL_S, END_S = 600, 960, 1080, 2700
"""Seconds: the group reads slower from, the state is stored at, the group reads well again from, and the end."""
CLUSTER = "prod"
Event = tuple[int, str, str | None, dict[str, Any]]
"""Time (ms), short topic, key, value."""


def rows() -> Iterator[Event]:
    """What people stated, before all else."""
    owned: list[dict[str, Any]] = [
        {"kind": "cluster", "name": CLUSTER, "owner": "team-platform"},
        {"kind": "group", "name": "checkout", "service": "checkout"},
        {"kind": "service", "name": "checkout", "owner": "team-pay", "customer_function": "people pay", "slo": {"freshness_s": 60}},
        {"kind": "connector", "name": "ca/sink", "service": "search", "owner": "team-data"},
        {"kind": "system", "name": "elastic", "owner": "team-elastic"},
        *({"kind": "team", "cluster": "*", "name": t, "page": f"pagerduty://{t}", "notify": f"slack://{t}", "ticket": f"jira://{t}"}
          for t in ("team-platform", "team-pay", "team-data", "team-elastic")),
    ]  # fmt: skip
    for row in ({"cluster": CLUSTER, **o} for o in owned):
        yield START_MS, "ownership", f"{row['kind']}/{row['cluster']}/{row['name']}", row
    yield START_MS, "policy", "policy", {"version": "fixture", "defaults": {"settle_s": 30}}
    change = {
        "id": "deploy-1",
        "kind": "deploy",
        "cluster": CLUSTER,
        "target": {"kind": "group", "name": "other"},
        "starts_at_ms": START_MS,
    }
    yield START_MS, "changes", "deploy-1", change
    silence = {"kind": "silence", "id": "s-1", "at_ms": START_MS, "by": "me", "why": "test", "matchers": {"service": "search"}}
    yield START_MS, "controls", "silence/s-1", {**silence, "until_ms": START_MS + 86_400_000}


def polls() -> Iterator[Event]:
    """Three brokers, two groups, a sink; names with a percent sign among them."""
    for s in range(0, END_S, POLL_MS // 1000):
        at = START_MS + s * 1000
        polled = {"cluster": CLUSTER, "observed_at_ms": at, "interval_ms": POLL_MS}
        partitions = [
            {"id": p, "leader": p + 1, "replicas": [p + 1, (p + 1) % 3 + 1], "isr": [p + 1, (p + 1) % 3 + 1]} for p in range(3)
        ]
        brokers = [{"id": b, "rack": f"r{b}", "host": f"b{b}", "state": "alive"} for b in (1, 2, 3)]
        topics: list[dict[str, Any]] = [{"name": t, "partitions": partitions, "config": {}} for t in ("payments", "orders")]
        yield (
            at,
            "topology",
            None,
            {**polled, "controller": {"leader": 1, "epoch": 1, "voters": [1, 2, 3]}, "brokers": brokers, "topics": topics},
        )
        for b in (1, 2, 3):
            samples = [
                {"signal": "request_handler_idle_ratio", "value": 0.8},
                {"signal": "bytes_in_rate", "value": 1e6 + 1e4 * (s % 60)},
            ]
            yield (
                at,
                "broker-metrics",
                None,
                {**polled, "source": {"kind": "broker", "id": str(b), "rack": f"r{b}"}, "samples": samples},
            )
        end = 1_000_000 + s * 100
        behind = 50 if s < SLOW_S else (min(s, WELL_S) - SLOW_S) * 80 + 50 - max(0, s - WELL_S) * 300
        for group, topic, lag in (
            ("checkout", "payments", max(50, behind)),
            ("billing%nightly", "orders", 50),
            ("connect-sink", "orders", 50),
        ):
            offsets = [
                {"topic": topic, "partition": p, "committed": end - lag, "end": end, "start": 0, "leader": p + 1}
                for p in range(3)
            ]
            members = [{"member_id": "m", "rack": "r1", "assignment": [[topic, [0, 1, 2]]]}]
            yield (
                at,
                "consumer-lag",
                group,
                {**polled, "group": group, "state": "Stable", "coordinator": 2, "members": members, "partitions": offsets},
            )
        tasks = [{"id": 0, "state": "RUNNING", "worker": "w1:8083", "metrics": {"put_batch_ms": 80}}]
        yield at, "connector-status", None, {**polled, "connect": "ca", "connector": "sink", "type": "sink", "class": "x.Sink", "state": "RUNNING",
            "worker": "w1:8083", "topics": ["orders"], "group": "connect-sink", "system": "elastic", "tasks": tasks}  # fmt: skip


def course(from_s: int, to_s: int) -> Iterator[bytes]:
    """Envelopes of facts of these seconds, one a second, as ingest would have written them."""
    from kroute.settings import Settings  # noqa: PLC0415  (of the kroute on the path)
    from kroute.stream.forward import Forwarder, Record, envelopes, progress  # noqa: PLC0415

    forwarder = Forwarder(Settings())
    by_second: dict[int, list[bytes]] = {}
    for offset, (at, short, key, value) in enumerate([*rows(), *polls()]):
        record = Record(f"kroute.{short}", 0, offset, at, None if key is None else key.encode(), json.dumps(value).encode())
        addressed = forwarder.forward(record)
        assert addressed is not None
        by_second.setdefault((at - START_MS) // 1000, []).append(addressed.fact)
    for s in range(from_s, to_s):
        yield from envelopes([*by_second.get(s, ()), progress("all", 0, s, START_MS + s * 1000, 1)])


def main(out: Path) -> None:
    """Run up to the cut and store what is there."""
    import msgspec  # noqa: PLC0415

    from kroute.contracts.facts import Envelope  # noqa: PLC0415
    from kroute.engine import build  # noqa: PLC0415
    from kroute.settings import Settings  # noqa: PLC0415

    state = build(Settings()).new_state(0)
    stored: dict[tuple[str, str], bytes] = {}
    alerts: list[dict[str, Any]] = []
    for offset, envelope in enumerate(course(0, CUT_S)):
        effects = state.step(offset, msgspec.json.decode(envelope, type=Envelope))
        for where, value in effects.rows.items():
            if value is None:
                stored.pop(where, None)
            else:
                stored[where] = value
        alerts += [json.loads(a.value) for a in effects.alerts if not a.key.startswith("heartbeat/")]
    body = {
        "offset": CUT_S - 1,
        "rows": [[table, key, base64.b64encode(value).decode()] for (table, key), value in sorted(stored.items())],
        "alerts": alerts,
    }
    with out.open("wb") as f, gzip.GzipFile("", "wb", fileobj=f, mtime=0) as z:
        z.write(json.dumps(body).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
