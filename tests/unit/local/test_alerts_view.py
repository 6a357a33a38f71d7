"""An alert reads like the sketch, and no name in it can reach the terminal."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kroute.local.alerts_view import one_line, render, safe

ALERT: dict[str, Any] = {
    "id": "inc-7f3a-3", "incident": "inc-7f3a", "revision": 3, "type": "updated", "status": "firing", "cluster": "prod-eu",
    "domain": "prod-eu", "severity": "critical", "policy_version": "9b1c2d3",
    "summary": "orders-to-es cannot write to elasticsearch-prod; search is 14 min behind (objective 5 min)",
    "cause": {"id": "sink-throttled", "root": {"kind": "connector", "name": "connect-a/orders-to-es"}, "confidence": 0.94,
              "alternatives": [{"id": "slow-consumer", "root": {"kind": "group", "name": "g"}, "confidence": 0.05}]},
    "impact": [{"service": "search", "topic": "orders", "group": "g", "role": "consumer", "lag": 91234, "lag_s": 840,
                "lag_s_bound": "at-least", "data_age_s": None, "objective_s": 300, "state": "breached", "customer_function": "find things"}],
    "routes": [{"role": "impact", "team": "team-search", "urgency": "page", "do": "open", "reason": "objective-breached", "via": "service/prod-eu/search"},
               {"role": "action", "team": "team-elastic", "urgency": "notify", "do": "close", "reason": "left", "via": "system/*/es"}],
    "automation": {"verdict": "propose", "remedy": "pause-connector", "proved": {"ownership": True, "drill": False}, "missing": ["no drill"]},
    "symptoms": [{"kind": "put-latency-high", "entity": {"kind": "connector", "name": "c"}, "since": "2026-11-24T10:02:15.000Z", "value": 4100, "why": "put latency 4.1 s (usual 0.09 s)"}],
    "ruled_out": [{"id": "broker-storage-pressure", "because": "local time on 2, 3, 5 observed healthy"}],
    "started_at": "2026-11-24T10:00:00.000Z", "updated_at": "2026-11-24T10:14:00.000Z", "resolved_at": None,
}  # fmt: skip


def shown(alert: dict[str, Any], *, color: bool = False) -> str:
    out = io.StringIO()
    Console(file=out, width=140, force_terminal=color, color_system="standard" if color else None).print(render(alert))
    return out.getvalue()


def test_it_says_what_who_because_of_what_and_what_may_be_done() -> None:
    text = shown(ALERT)
    for part in (
        "inc-7f3a  firing 14 min  critical", "prod-eu · policy 9b1c2d3", "orders-to-es cannot write",
        "objective breached", "service/prod-eu/search", "notify (close)", "sink-throttled at connector connect-a/orders-to-es, 94%",
        "search: breached, at least 14 min behind, objective 5 min, “find things”",
        "put latency 4.1 s (usual 0.09 s) since 10:02:15", "broker-storage-pressure: local time on 2, 3, 5 observed healthy",
        "slow-consumer at group g, 5%", "no: propose pause-connector · drill ✗ ownership ✓ (no drill)",
    ):  # fmt: skip
        assert part in text


def test_a_role_whose_destination_is_told_already_is_said_to_be_the_same() -> None:
    routes = [
        {"role": "impact", "team": "team-search", "urgency": "page", "do": "open", "delivery": "d-1"},
        {"role": "action", "team": "team-search", "urgency": "page", "do": "none", "delivery": "d-1"},
        {"role": "diagnosis", "team": "team-data", "urgency": "notify", "do": "none", "delivery": "d-2"},
    ]
    text = shown({**ALERT, "routes": routes})
    assert "page (the same)" in text
    assert "notify (none)" in text


def test_markup_in_a_name_is_text() -> None:
    assert "[bold]x[/bold] [link=file:///etc]y" in shown({**ALERT, "summary": "[bold]x[/bold] [link=file:///etc]y"})


def test_escape_sequences_and_bidirectional_marks_do_not_reach_the_terminal() -> None:
    hostile = "a\x1b[2J\x1b]0;owned\x07b\u202ec\r\nd\x9b31m"
    assert safe(hostile) == "a[2J]0;ownedbc  d31m"
    text = shown({**ALERT, "summary": hostile, "incident": hostile})
    assert not any(c in text for c in "\x1b\x07\u202e\r\x9b")


@given(st.text(max_size=400))
def test_what_is_shown_is_one_line_of_bounded_length(text: str) -> None:
    line = safe(text)
    assert len(line) <= 300
    assert line.isprintable() or all(c.isprintable() or c.isspace() for c in line)
    assert len(line.splitlines()) <= 1


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(ALERT)) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted(ALERT)), json_values))
def test_an_alert_of_another_shape_is_still_shown(alert: dict[str, Any]) -> None:
    shown(alert)
    one_line(alert)


def test_a_heartbeat_is_one_dim_line() -> None:
    assert (
        shown({"type": "heartbeat", "cluster": "local", "updated_at": "2026-11-24T10:14:00Z"}).strip()
        == "heartbeat of local 10:14:00"
    )
