"""What a policy's routes look at, what they do about pages that nobody answers, and when its grants and freezes hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kroute.contracts.rows import Policy
from kroute.routing.calendars import CalendarError, read_calendar
from kroute.routing.policy import check
from tests.unit.routing.test_automation import GRANT, proven, verdict
from tests.unit.routing.world import SINK_GROUP, C, World, route_of, told

MIN = 60_000


@pytest.fixture
def w() -> World:
    world = World()
    world.meter.set(SINK_GROUP, "at-risk")
    world.own(kind="service", cluster=C, name="search", owner="team-search", slo={"freshness_s": 300})
    return world


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"entity": ["connector/connect-a/*"]}, True),
        ({"entity": ["connect-a/orders-to-es"]}, True),
        ({"entity": ["group/*"]}, False),
        ({"data_class": ["pci"]}, True),
        ({"data_class": ["p*"]}, True),
        ({"data_class": ["pii"]}, False),
        ({"severity": ["major"]}, True),
        ({"severity": ["critical", "minor"]}, False),
        ({"confidence": 0.9}, True),
        ({"confidence": 0.95}, False),
        ({"confidence": 0.9, "severity": ["info"]}, False),
    ],
)
def test_a_route_looks_at(w: World, when: dict[str, Any], holds: bool) -> None:
    w.own(kind="topic", cluster=C, name="orders", owner="team-pay", data_class="pci")
    assert w.rule(routes=[{"name": "r", "when": when, "page": "action"}]) == []
    w.incident()
    [a] = w.tick()
    assert route_of(a, "action").reason == ("policy:r" if holds else "at-risk")


ESCALATE = {"name": "leads", "escalate": {"after": "15m", "to": "team-leads"}}


def breached(w: World, *routes: dict[str, Any]) -> None:
    w.meter.set(SINK_GROUP, "breached")
    w.own(kind="team", cluster="*", name="team-leads", page="pagerduty://leads")
    assert w.rule(routes=list(routes)) == []
    w.incident()
    w.tick()


def test_a_page_that_nobody_acknowledges_is_escalated_once_and_closed_with_the_rest(w: World) -> None:
    breached(w, ESCALATE)
    assert w.tick(14 * 60) == []
    [a] = w.tick(61)
    assert a.type == "escalated"
    assert [(r.role, r.do, r.reason, r.via, r.destination) for r in a.routes if r.team == "team-leads"] == [
        ("impact", "open", "escalated:leads", "policy:leads", "pagerduty://leads"),
        ("action", "none", "escalated:leads", "policy:leads", "pagerduty://leads"),
    ]
    assert w.tick(600) == []
    w.rule()  # the policy forgets it; who was told stays told
    w.tick()
    assert "pagerduty://leads" in w.notifier.open.values()
    w.resolve()
    w.tick()
    assert w.notifier.open == {}


def test_an_acknowledged_page_is_not_escalated(w: World) -> None:
    breached(w, ESCALATE)
    w.control("ack", "a1", incident="inc-1")
    w.tick()
    assert w.tick(3600) == []


def test_no_page_no_escalation(w: World) -> None:
    w.own(kind="team", cluster="*", name="team-leads", page="pagerduty://leads")
    w.rule(routes=[ESCALATE])
    w.incident()
    w.tick()
    assert w.tick(3600) == []


def test_an_escalation_is_for_the_roles_and_conditions_that_its_route_names(w: World) -> None:
    breached(
        w,
        {**ESCALATE, "name": "other", "when": {"cause": ["slow-consumer"]}},
        {**ESCALATE, "name": "acting", "when": {"reason": ["objective-breached"]}, "page": "action"},
    )
    [a] = w.tick(16 * 60)
    assert [(r.role, r.reason) for r in a.routes if r.team == "team-leads"] == [("action", "escalated:acting")]


def test_the_clock_of_an_escalation_begins_anew_when_the_cause_moves(w: World) -> None:
    breached(w, ESCALATE)
    w.tick(10 * 60)
    inc = w.incidents["inc-1"]
    inc.cause, inc.root, inc.moment = "slow-consumer", SINK_GROUP, "revised"
    w.tick()
    assert w.tick(10 * 60) == []
    [a] = w.tick(6 * 60)
    assert a.type == "escalated"


def test_a_second_step_of_escalation(w: World) -> None:
    w.own(kind="team", cluster="*", name="team-boss", notify="slack://boss")
    breached(w, ESCALATE, {"name": "boss", "escalate": {"after": "1h", "to": "team-boss", "urgency": "notify"}})
    w.tick(16 * 60)
    [a] = w.tick(45 * 60)
    assert {(r.team, r.urgency, r.destination) for r in a.routes if r.reason == "escalated:boss"} == {
        ("team-boss", "notify", "slack://boss")
    }


def test_a_restart_keeps_the_clock_of_an_escalation(w: World) -> None:
    breached(w, ESCALATE)
    w.tick(14 * 60)
    w.restart()
    [a] = w.tick(61)
    assert a.type == "escalated"


def test_a_route_says_how_often_its_pages_are_said_again(w: World) -> None:
    breached(w, {"name": "often", "when": {"service": ["search"]}, "repeat": "10m"})
    assert w.tick(9 * 60) == []
    [a] = w.tick(2 * 60)
    assert a.why == "still firing after 600 s without an acknowledgement"
    assert ("impact", "team-search", "page", "update") in told(a)


def test_a_grant_holds_until_its_last_day() -> None:
    w = proven()  # 23 November 2026
    w.rule(automation={"grants": [{**GRANT, "until": "2026-11-23"}]})
    assert verdict(w).verdict == "auto"
    w.rule(automation={"grants": [{**GRANT, "until": "2026-11-22"}]})
    a = verdict(w)
    assert (a.verdict, a.proved["grant"]) == ("propose", False)


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [({}, True), ({"cluster": ["prod-*"]}, True), ({"cluster": ["test"]}, False), ({"remedy": ["restart"]}, False)],
)
def test_a_freeze_may_be_of_some_clusters_or_remedies(freeze: dict[str, Any], frozen: bool) -> None:
    w = proven()
    calendars = {"peak": {"from": "2026-11-20T00:00:00Z", "to": "2026-11-30T00:00:00Z"}}
    w.rule(automation={"grants": [GRANT], "freeze": [{"calendar": "peak", **freeze}]}, calendars=calendars)
    assert verdict(w).proved["freeze"] is not frozen


def test_a_declared_freeze_stops_automation_where_and_while_it_holds() -> None:
    w = proven()
    w.declare("freeze", f"cluster/{C}", ident="f1", ends_at_ms=w.now + MIN, by="ann")
    a = verdict(w)
    assert (a.verdict, a.missing) == ("propose", ("change freeze: f1 by ann",))
    w.tick(120)
    assert w.alerts[-1].automation.verdict == "auto"
    w.declare("freeze", "group/other", ident="f2")
    assert w.tick() == []


BERLIN = {"days": ["mon"], "from": "08:00", "to": "18:00", "tz": "Europe/Berlin"}
OFFSETS = [[1_761_440_400_000, "+01:00"], [1_774_746_000_000, "+02:00"], [1_792_890_000_000, "+01:00"]]


@pytest.mark.parametrize(
    ("at", "on"),
    [
        ("2026-03-23T07:59:59", False), ("2026-03-23T08:00:00", True), ("2026-03-30T08:00:00", True), ("2026-03-30T07:59:59", False),
        ("2026-10-19T17:59:59", True), ("2026-10-26T17:59:59", True), ("2026-10-26T18:00:00", False), ("2024-01-01T08:30:00", True),
    ],
)  # fmt: skip
def test_hours_in_a_time_zone_follow_its_clock_through_summer_time(at: str, on: bool) -> None:
    ms = int(datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp() * 1000)
    assert read_calendar({**BERLIN, "offsets": OFFSETS}).on(ms) is on


@pytest.mark.parametrize(
    ("calendar", "problem"),
    [
        (BERLIN, "tz Europe/Berlin stands without its offsets"),
        ({**BERLIN, "offsets": OFFSETS, "utc_offset": "+01:00"}, "give tz or utc_offset, not both"),
        ({**BERLIN, "offsets": [[1, "1"]]}, "utc_offset is '1'; write +01:00"),
    ],
)
def test_a_time_zone_stands_with_its_offsets(calendar: dict[str, Any], problem: str) -> None:
    with pytest.raises(CalendarError, match=problem.replace("+", r"\+")):
        read_calendar(calendar)


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"routes": [{"name": "a", "escalate": {"after": "soon", "to": "t"}}]}, "routes[0].escalate: 'soon' is not a duration"),
        ({"routes": [{"name": "a", "escalate": {"after": "0s", "to": "t"}}]}, "it must be longer than nothing"),
        ({"routes": [{"name": "a", "escalate": {"after": "5m", "to": "t", "urgency": "loud"}}]}, "it is one of page, ticket, notify"),
        ({"routes": [{"name": "a", "repeat": "5s"}]}, "routes[0]: repeat is '5s'; it must be a minute or more"),
        ({"routes": [{"name": "a", "page": "impact", "when": {"severity": ["bad"]}}]}, "routes[0].when.severity: 'bad' is none of critical"),
        ({"teams": {"t": {"pager": "x://y"}}}, "teams.t: contains unknown field 'pager'"),
        ({"automation": {"grants": [{**GRANT, "until": "soon"}]}}, "automation.grants[0]: 'soon' is no time"),
    ],
)  # fmt: skip
def test_a_bad_route_says_where(policy: dict[str, Any], problem: str) -> None:
    ready, problems = check(Policy(version="v", **policy))
    assert ready is None
    assert len(problems) == 1
    assert problem in problems[0]
