"""A good record of each input topic, and ten that cannot be used, each with the reason it must get."""

from __future__ import annotations

import time
from typing import Any

import orjson

from kroute.contracts.topics import SIGNALS

Pair = tuple[bytes | None, bytes | None]
"""Key and value."""
JUNK = b'{"x":"' + b"y" * 10_000_000 + b'"}'
_AN_HOUR_MS = 3_600_000


def now_ms() -> int:
    """Epoch ms."""
    return int(time.time() * 1000)


def good(short: str) -> Pair:
    """A record that passes."""
    key, value = _good(short)
    return key, orjson.dumps(value)


def _good(short: str) -> tuple[bytes | None, dict[str, Any]]:
    at = now_ms()
    polled: dict[str, Any] = {"cluster": "c1", "observed_at_ms": at}
    records: dict[str, tuple[bytes | None, dict[str, Any]]] = {
        "broker-metrics": (None, {**polled, "source": {"kind": "broker", "id": "1"}, "samples": []}),
        "consumer-lag": (None, {**polled, "group": "g", "state": "Stable", "partitions": []}),
        "connector-status": (None, {**polled, "connect": "c", "connector": "x", "state": "RUNNING"}),
        "topology": (None, polled),
        "access": (None, polled),
        "ownership": (b"team/*/team-a", {"kind": "team", "cluster": "*", "name": "team-a"}),
        "changes": (
            None,
            {"id": "d", "kind": "deploy", "cluster": "c1", "target": {"kind": "group", "name": "g"}, "starts_at_ms": at},
        ),
        "controls": (b"ack/1", {"kind": "ack", "id": "1", "at_ms": at, "by": "me"}),
        "policy": (b"policy", {"version": "abc"}),
    }
    return records[short]


_REQUIRED = {"changes": "target", "ownership": "name", "controls": "kind", "policy": "version"}


def bad(short: str) -> list[tuple[Pair, str]]:
    """Ten records that cannot be used, with the reason each must get."""
    key, value = _good(short)
    k = key or b"k"
    required = _REQUIRED.get(short, "cluster")
    whole = orjson.dumps(value)
    out: list[tuple[Pair, str]] = [
        ((k, b"this is not JSON"), "not-json"),
        ((k, b"\xff\xfe{}"), "not-json"),
        ((k, whole[:-1]), "not-json"),
        ((k, b""), "no-value"),
        ((k, b"[1,2,3]"), "wrong-type"),
        ((k, orjson.dumps({**value, required: [7]})), "wrong-type"),
        ((k, orjson.dumps({f: v for f, v in value.items() if f != required})), "wrong-type"),
        ((k, orjson.dumps({**value, "v": 2})), "newer-version"),
        ((k, JUNK), "too-large"),
    ]
    if short in SIGNALS:
        out.append(((k, orjson.dumps({**value, "observed_at_ms": now_ms() + _AN_HOUR_MS})), "from-the-future"))
    elif short == "changes":
        out.append(((k, orjson.dumps({**value, "starts_at_ms": "now"})), "wrong-type"))
    else:
        out.append(((b"another-key", whole), "bad-key"))
    return out
