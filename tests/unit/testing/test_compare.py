"""What came against what was expected. The numbers are those of the rules in ``kroute.testing.compare``."""

from __future__ import annotations

from typing import Any

import pytest

from kroute.testing.compare import Came, Line, compare
from tests.unit.testing.world import case


def alert(minute: float, type_: str = "opened", **more: Any) -> Came:
    cause = {
        "id": more.pop("cause", "slow-consumer"),
        "root": {"kind": "group", "name": more.pop("root", "a")},
        "confidence": 0.9,
    }
    routes = more.pop("routes", [route()])
    value = {
        "incident": "inc-1", "status": "resolved" if type_ == "resolved" else "firing", "severity": "minor", "impact": [], "suppressed": None,
        "late": False, "flaps": 0, "supersedes": [], "superseded_by": None, "recovering": False, "summary": "a lags", "why": None, "policy_version": "case",
        "symptoms": [], "ruled_out": [], "automation": {"verdict": "human", "remedy": None}, **more,
    }  # fmt: skip
    return Came(
        round(minute * 60_000), {"type": type_, "cause": {**cause, "alternatives": [], "missing": []}, "routes": routes, **value}
    )


def route(role: str = "action", team: str = "t", urgency: str = "page", do: str = "open") -> dict[str, str]:
    return {"role": role, "team": team, "urgency": urgency, "do": do, "destination": f"page://{team}", "reason": "r", "via": "v"}


def verdict(expect: str, *came: Came, more: str = "") -> list[Line]:
    return compare(case(f"until: 30m\n{more}\nexpect:\n{expect}"), list(came))


def bad(expect: str, *came: Came, more: str = "") -> list[str]:
    return [s.mark for s in verdict(expect, *came, more=more) if s.bad]


def test_1_an_alert_in_its_window_answers() -> None:
    assert bad("- {from: 1m, to: 3m, type: opened, cause: slow-consumer, root: group/a}", alert(2)) == []


@pytest.mark.parametrize("minute", [0.9, 3.1])
def test_1_an_alert_outside_its_window_does_not(minute: float) -> None:
    assert sorted(bad("- {from: 1m, to: 3m, type: opened}", alert(minute))) == ["extra", "missing"]


def test_1_each_alert_answers_one_entry() -> None:
    assert bad("- {by: 5m, type: opened}\n- {by: 5m, type: opened}", alert(2)) == ["missing"]


def test_1_entries_find_the_alerts_that_leave_all_answered() -> None:
    expect = "- {from: 0s, to: 9m, status: firing}\n- {from: 0s, to: 9m, type: opened}"
    assert bad(expect, alert(2), alert(3, "updated")) == []


def test_1_what_did_not_come_names_the_nearest_and_the_difference() -> None:
    line = next(s for s in verdict("- {by: 5m, type: opened, cause: sink-failed}", alert(2)) if s.mark == "missing")
    assert line.details[0].startswith("nearest at 2m: opened")
    assert line.details[1:] == ["cause: wanted sink-failed, came slow-consumer"]


def test_2_what_stands_is_the_newest_word_of_an_incident() -> None:
    came = (alert(2), alert(4, "escalated", severity="critical"))
    both = "- {by: 5m, type: opened}\n"
    assert bad(both + "- {at: 3m, severity: minor}\n- {at: 5m, severity: critical}", *came) == []
    assert bad(both + "- {at: 3m, severity: critical}", *came) == ["wrong"]


def test_2_firing_counts_incidents_that_are_not_over() -> None:
    came = (alert(2), alert(3, incident="inc-2"), alert(6, "resolved"))
    both = "- {by: 9m, type: opened}\n- {by: 9m, type: opened}\n- {by: 9m, type: resolved}\n"
    assert bad(both + "- {at: 5m, firing: 2}\n- {at: 7m, firing: 1}", *came) == []
    assert bad(both + "- {at: 7m, firing: 2}", *came) == ["wrong"]


def test_3_what_must_not_be_fails_when_it_is() -> None:
    opened = "- {by: 9m, type: opened}\n"
    assert bad(opened + "- {not: {urgency: {action: page}}}", alert(2)) == ["wrong"]
    assert bad(opened + "- {from: 3m, not: {urgency: {action: page}}}", alert(2)) == []
    assert bad(opened + "- {cause: sink-failed, not: {urgency: {action: page}}}", alert(2)) == []


def test_4_one_name_is_one_incident_and_two_names_are_two() -> None:
    came = (alert(2), alert(4, "resolved"), alert(6, incident="inc-2"))
    first = "- {by: 9m, type: opened, incident: a}\n- {by: 9m, type: resolved, incident: a}\n"
    assert bad(first + "- {by: 9m, type: opened, incident: b}", *came) == []
    assert bad(first + "- {by: 9m, type: opened, incident: a}", *came) != []


@pytest.mark.parametrize(
    ("type_", "fails"),
    [("opened", True), ("revised", True), ("merged", True), ("reopened", True), ("updated", False), ("escalated", False)],
)
def test_5_nothing_else_lets_only_pass_what_goes_on_telling(type_: str, fails: bool) -> None:
    assert bool(bad("- {by: 3m, type: opened}", alert(2), alert(4, type_, incident="inc-1"))) is fails


def test_5_strict_lets_nothing_pass_and_false_all() -> None:
    came = (alert(2), alert(4, "updated"), alert(5, "opened", incident="inc-2"))
    assert bad("- {by: 3m, type: opened}", *came, more="nothing_else: strict") == ["extra", "extra"]
    assert bad("- {by: 3m, type: opened}", *came, more="nothing_else: false") == []


@pytest.mark.parametrize(
    ("wish", "fits"),
    [
        ("action: t", True),
        ("action: [t, u]", False),
        ("diagnosis: [u]", True),
        ("urgency: {action: page, diagnosis: notify, impact: none}", True),
        ("urgency: {diagnosis: page}", False),
        ("do: {t: open, u: update, nobody: none}", True),
        ("destinations: ['page://t', 'page://u']", True),
        ("impact: [shop, bi]", True),
        ("impact: shop", False),
        ("objective: {shop: breached}", True),
        ("lag_s: {shop: [200, 400]}", True),
        ("lag_s: {shop: [301, 400]}", False),
        ("lag_s: {bi: [0, 1]}", False),
        ("symptoms: [lag-growing, lag-growing@group/a]", True),
        ("symptoms: [lag-growing@group/b]", False),
        ("considered: [x, y]", True),
        ("ruled_out: [x, y]", False),
        ("suppressed: 'no'", True),
        ("suppressed: silence", False),
        ("confidence: 0.9", True),
        ("confidence: 0.95", False),
        ("summary: lags", True),
        ("verdict: auto", False),
        ("supersedes: 0", True),
        ("superseded: false", True),
    ],
)
def test_fields_mean_what_they_say(wish: str, fits: bool) -> None:
    came = alert(
        2,
        routes=[route(), route("diagnosis", "u", "notify", "update"), route("diagnosis", "gone", "page", "close")],
        impact=[
            {"service": "shop", "group": "a", "state": "breached", "lag_s": 300.0},
            {"service": "bi", "group": "b", "state": "fine", "lag_s": None},
        ],
        symptoms=[{"kind": "lag-growing", "entity": {"kind": "group", "name": "a"}}],
        ruled_out=[{"id": "x"}],
    )
    came.alert["cause"]["alternatives"] = [{"id": "y"}]
    assert (bad(f"- {{by: 3m, {wish}}}", came) == []) is fits


def test_under_a_silence_nobody_is_told() -> None:
    came = alert(2, suppressed={"by": "silence"}, routes=[route(do="none")])
    assert bad("- {by: 3m, suppressed: silence, urgency: {action: none}, destinations: []}", came) == []
