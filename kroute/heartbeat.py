"""The dead-man's switch: one alert per cluster and period, through the whole path. Its absence is the alarm."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import orjson

from kroute.contracts.alerts import HEARTBEAT, Alert, Heartbeat
from kroute.routing.times import rfc3339


def heartbeats(clusters: Iterable[str], beat: int, now_ms: int) -> list[Alert]:
    """Heartbeat ``beat`` (number of the period) of each cluster at ``now_ms`` (epoch ms)."""
    at = rfc3339(now_ms)
    out = []
    for cluster in clusters:
        key = HEARTBEAT + cluster
        value = Heartbeat(id=f"heartbeat-{cluster}-{beat}", type="heartbeat", status="firing", cluster=cluster, updated_at=at)
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", value.id.encode()),
            ("ce_source", f"/kroute/{cluster}".encode()),
            ("ce_type", b"io.kroute.incident.heartbeat"),
            ("ce_time", at.encode()),
            ("ce_subject", key.encode()),
            ("content-type", b"application/json"),
        )
        alert = Alert(key, orjson.dumps(msgspec.to_builtins(value)), headers, now_ms)
        out.append(alert)
    return out
