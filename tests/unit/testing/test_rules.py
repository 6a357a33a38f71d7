"""Rules that hold of every stream of alerts, by their numbers in ``kroute.testing.rules``."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kroute.contracts.alerts import Alert
from kroute.testing.rules import broken


def alert(revision: int, *routes: tuple[str, str], **more: Any) -> Alert:
    value = {
        "id": f"inc-{revision}", "incident": "inc", "revision": revision, "type": "updated", "status": "firing", "cluster": "c", "domain": "c", "severity": "minor",
        "summary": "", "cause": {"id": "x", "root": {"kind": "group", "name": "a"}, "confidence": 1.0}, "impact": [], "symptoms": [], "ruled_out": [],
        "automation": {"verdict": "human", "remedy": None, "valid_until": None, "proved": {}, "missing": []}, "suppressed": None, "supersedes": [],
        "superseded_by": None, "started_at": "", "updated_at": "", "resolved_at": None, "policy_version": "p",
        "routes": [{"role": "action", "team": "t", "urgency": "page", "destination": where, "delivery": f"d-{where}", "do": do, "reason": "", "via": ""} for where, do in routes],
        **more,
    }  # fmt: skip
    return Alert("inc", orjson.dumps(value), (), revision)


GOOD = [
    alert(1, ("a", "open")),
    alert(2, ("a", "update"), ("b", "open")),
    alert(3, ("a", "close"), ("b", "close"), status="resolved"),
]


def test_a_sound_stream_breaks_nothing() -> None:
    assert broken(GOOD) == []


@pytest.mark.parametrize(
    ("rule", "alerts"),
    [
        (1, [alert(1, ("a", "open"), severity=3)]),
        (2, [alert(1, ("a", "open")), alert(1, ("a", "update"))]),
        (2, [alert(1, ("a", "open")), alert(3, ("a", "update"))]),
        (3, [alert(1, ("a", "open"), ("a", "update"))]),
        (3, [alert(1, ("a", "open")), alert(2, ("a", "open"))]),
        (3, [alert(1, ("a", "update"))]),
        (3, [alert(1, ("a", "open")), alert(2, ("a", "close")), alert(3, ("a", "close"))]),
        (4, [alert(1, ("a", "open")), alert(2)]),
        (5, [alert(1, ("a", "open")), alert(2, ("a", "update"), status="resolved")]),
        (6, [alert(1, status="resolved")]),
    ],
)
def test_each_breach_is_told(rule: int, alerts: list[Alert]) -> None:
    assert any(text.startswith(f"rule {rule}:") for _, text in broken(alerts))
