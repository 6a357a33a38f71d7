"""Records as they are delivered, made short: what a test says of them, and sound values for the rest."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from kroute.contracts.alerts import RoutedAlert
from kroute.contracts.rows import Control
from kroute.report.source import Given, Past
from kroute.routing.ledger import delivery_id
from kroute.routing.times import rfc3339

T0 = 1_795_427_340_000  # 2026-11-23T09:49:00Z, a Monday
MIN = 60_000


def route(team: str, urgency: str = "page", do: str = "open", role: str = "action", **more: Any) -> dict[str, Any]:
    """One route; its delivery is filled in by ``alert``."""
    return {
        "role": role, "team": team, "urgency": urgency, "destination": f"{urgency}://{team}", "do": do,
        "reason": "objective-breached", "via": f"service/prod/{team}", **more,
    }  # fmt: skip


def alert(incident: str, revision: int, at_min: float, type_: str, routes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A record that is of the contract's type, ``at_min`` minutes after T0."""
    at = T0 + int(at_min * MIN)
    cause = {"id": more.pop("cause", "slow-consumer"), "root": {"kind": "group", "name": "checkout"}, "confidence": 0.94}
    status = {"resolved": "resolved", "merged": "superseded"}.get(type_, "firing")
    plain = {
        "id": f"{incident}-{revision}", "incident": incident, "revision": revision, "type": type_, "status": status,
        "cluster": "prod", "domain": "prod", "severity": "critical", "summary": "checkout reads slower than its topics are written",
        "cause": cause, "impact": [], "automation": {"verdict": "human", "remedy": None, "valid_until": None, "proved": {}, "missing": []},
        "symptoms": [], "ruled_out": [], "suppressed": None, "supersedes": [], "superseded_by": None,
        "started_at": rfc3339(T0), "updated_at": rfc3339(at), "resolved_at": rfc3339(at) if status != "firing" else None,
        "policy_version": "p1", **more,
        "routes": [{**r, "delivery": delivery_id(incident, r["destination"])} for r in routes],
    }  # fmt: skip
    msgspec.convert(plain, RoutedAlert)
    return plain


def past(*alerts: dict[str, Any]) -> Past:
    """What is known when these were delivered."""
    out = Past()
    for a in alerts:
        out.take_alert(orjson.dumps(a))
    return out


def given(kind: str, at_min: float, incident: str, **more: Any) -> Given:
    """A control, ``at_min`` minutes after T0."""
    control = msgspec.convert({"kind": kind, "at_ms": T0 + int(at_min * MIN), "by": "ann", "incident": incident, **more}, Control)
    return Given(f"{incident}-{at_min}", None, control)
