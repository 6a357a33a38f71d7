"""What is said, to whom, and when it is not said again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from msgspec import structs

from kroute.contracts.common import Entity
from kroute.incidents.model import Evidence
from kroute.signals.model import Symptom
from tests.unit.routing.world import GROUP, SINK, SINK_GROUP, C, World, plain, route_of, told


@pytest.fixture
def w() -> World:
    world = World()
    world.meter.set(SINK_GROUP, "breached")
    return world


def test_three_owners_of_a_throttled_sink_are_told_with_reason_and_row(w: World) -> None:
    w.incident()
    [a] = w.tick()
    assert (a.id, a.type, a.status, a.severity, a.revision) == ("inc-1-1", "opened", "firing", "critical", 1)
    assert a.summary == "orders-to-es cannot write to elasticsearch-prod; search is 14 min behind (objective 5 min)"
    impact, diagnosis, action = (route_of(a, r) for r in ("impact", "diagnosis", "action"))
    assert (impact.team, impact.urgency, impact.destination, impact.do) == ("team-search", "page", "pagerduty://search", "open")
    assert (impact.reason, impact.via) == ("objective-breached", "service/prod-eu/search")
    assert (diagnosis.team, diagnosis.urgency, diagnosis.destination, diagnosis.via) == (
        "team-data", "notify", "slack://data", "connector/prod-eu/connect-a/*")  # fmt: skip
    assert (action.team, action.urgency, action.via, action.runbook) == (
        "team-elastic", "page", "system/*/elasticsearch-prod", "https://run/es")  # fmt: skip
    assert a.impact[0].customer_function == "finding orders"
    assert a.automation.does == "PUT /connectors/orders-to-es/pause"


def test_headers_are_cloudevents_in_binary_mode(w: World) -> None:
    w.incident()
    w.tick()
    raw = w.raw[0]
    value = plain(raw)
    assert raw.key == "inc-1"
    assert dict(raw.headers) == {
        "ce_specversion": b"1.0", "ce_id": b"inc-1-1", "ce_source": b"/kroute/prod-eu", "ce_type": b"io.kroute.incident.opened",
        "ce_time": value["updated_at"].encode(), "ce_subject": b"inc-1", "content-type": b"application/json",
    }  # fmt: skip
    assert value["started_at"] == "2026-11-23T09:48:09.001Z"


def test_the_same_with_other_numbers_is_not_said_again(w: World) -> None:
    inc = w.incident()
    w.tick()
    w.meter.set(SINK_GROUP, "breached", lag_s=2000)
    inc.confidence = 0.97
    assert w.tick(60) == []


def test_a_settling_incident_is_told_to_nobody(w: World) -> None:
    w.incident().phase = "settling"
    assert w.tick() == []
    assert w.stored.changed.get(("incidents", "d|out|inc-1")) is None


def test_no_end_without_a_beginning(w: World) -> None:
    w.incident()
    w.resolve()
    assert w.tick() == []


def test_a_resolved_incident_closes_each_destination_once(w: World) -> None:
    w.incident()
    w.tick()
    w.resolve()
    [a] = w.tick()
    assert (a.type, a.status) == ("resolved", "resolved")
    assert a.resolved_at is not None
    assert {(r.destination, r.do, r.reason) for r in a.routes} == {
        ("pagerduty://search", "close", "resolved"), ("slack://data", "close", "resolved"), ("pagerduty://elastic", "close", "resolved"),
    }  # fmt: skip
    assert w.tick() == []
    assert w.notifier.open == {}


def test_it_closes_where_it_opened_though_owner_and_destination_moved(w: World) -> None:
    inc = w.incident()
    w.tick()
    w.own(kind="system", cluster="*", name="elasticsearch-prod", owner="team-pay")
    w.own(kind="team", cluster="*", name="team-search", page="pagerduty://new")
    assert w.tick() == []
    w.resolve()
    [a] = w.tick()
    assert ("close", "pagerduty://elastic") in w.notifier.log
    assert ("close", "pagerduty://search") in w.notifier.log
    assert a.type == "resolved"
    w.incidents.clear()
    w.incident("inc-2")
    [b] = w.tick()
    assert route_of(b, "action").team == "team-pay"
    assert route_of(b, "impact").destination == "pagerduty://new"
    assert inc.id != b.incident


def test_a_revised_cause_closes_at_the_team_that_leaves_and_says_why(w: World) -> None:
    inc = w.incident()
    w.tick()
    inc.cause, inc.root, inc.moment, inc.why = "slow-consumer", SINK_GROUP, "revised", "slow-consumer explains it better"
    [a] = w.tick()
    assert a.type == "revised"
    assert a.why == "slow-consumer explains it better"
    closed = {r.destination: r.reason for r in a.routes if r.do == "close"}
    assert closed == {"pagerduty://elastic": "cause-revised", "slack://data": "cause-revised"}
    assert ("impact", "team-search", "page", "update") in told(a)


def test_at_risk_becomes_breached_and_is_escalated_from_ticket_to_page(w: World) -> None:
    w.own(kind="service", cluster=C, name="search", owner="team-search", slo={"freshness_s": 300})
    w.meter.set(SINK_GROUP, "at-risk")
    w.incident()
    [a] = w.tick()
    assert a.severity == "major"
    assert ("action", "team-elastic", "ticket", "open") in told(a)
    assert ("impact", "team-search", "notify", "open") in told(a)
    w.meter.set(SINK_GROUP, "breached")
    [b] = w.tick()
    assert (b.type, b.severity) == ("escalated", "critical")
    assert {(r.destination, r.do) for r in b.routes if r.role != "diagnosis"} == {
        ("pagerduty://search", "open"), ("slack://search", "close"), ("pagerduty://elastic", "open"), ("jira://elastic", "close"),
    }  # fmt: skip
    assert next(r.reason for r in b.routes if r.do == "close") == "escalated"


def test_a_page_is_not_taken_back_while_the_incident_is_open(w: World) -> None:
    w.incident()
    w.tick()
    w.meter.set(SINK_GROUP, "fine")
    [a] = w.tick()
    assert a.type == "updated"
    assert ("impact", "team-search", "page", "update") in told(a)
    assert not [r for r in a.routes if r.do in ("open", "close")]
    w.meter.set(SINK_GROUP, "breached")
    [b] = w.tick()
    assert not [r for r in b.routes if r.do in ("open", "close")]


def test_an_uncertain_cause_pages_the_platform_once_and_names_both(w: World) -> None:
    inc = w.incident(confidence=0.5)
    [a] = w.tick()
    actions = [(r.team, r.urgency, r.reason) for r in a.routes if r.role == "action"]
    assert actions == [("team-platform", "page", "cause-uncertain"), ("team-elastic", "notify", "cause-uncertain")]
    inc.confidence = 0.9
    [b] = w.tick()
    assert ("action", "team-elastic", "page", "open") in told(b)
    assert ("action", "team-platform", "page", "update") in told(b)


def test_an_open_page_is_repeated_after_four_hours_until_acknowledged(w: World) -> None:
    w.incident()
    w.tick()
    assert w.tick(4 * 3600 - 60) == []
    [a] = w.tick(61)
    assert (a.type, a.revision) == ("updated", 2)
    assert "still firing" in str(a.why)
    w.control("ack", "a1", incident="inc-1", why="on it")
    [b] = w.tick()
    assert b.type == "acknowledged"
    assert b.why == "acknowledged by ann: on it"
    assert [r.team for r in b.routes] == [r.team for r in a.routes], "an acknowledgement never changes the owning team"
    assert w.tick(5 * 3600) == []


def test_a_wrong_owner_verdict_is_recorded_and_changes_nobody(w: World) -> None:
    w.incident()
    [a] = w.tick()
    w.control("verdict", "v1", incident="inc-1", verdict="wrong-owner", should_be="team-x")
    [b] = w.tick()
    assert (b.type, b.why) == ("updated", "ann says wrong-owner, should be team-x")
    assert [r.team for r in b.routes] == [r.team for r in a.routes]
    assert w.tick() == []


def test_silenced_from_the_start_is_recorded_and_told_to_nobody(w: World) -> None:
    w.control("silence", "s1", matchers={"cause": "sink-*"}, until_ms=w.now + 600_000, why="known")
    w.incident()
    [a] = w.tick()
    assert a.suppressed is not None
    assert (a.suppressed.by, a.suppressed.id, a.suppressed.who, a.suppressed.why) == ("silence", "s1", "ann", "known")
    assert {(r.do, r.reason) for r in a.routes} == {("none", "silenced")}
    assert a.severity == "critical"
    [b] = w.tick(700)
    assert b.suppressed is None
    assert {r.do for r in b.routes} == {"open"}
    w.resolve()
    w.tick()
    assert w.notifier.open == {}


def test_a_later_silence_closes_what_was_open_and_the_next_fire_is_told(w: World) -> None:
    inc = w.incident()
    w.tick()
    w.control("silence", "s1", matchers={"root": "connector/connect-a/*"}, until_ms=w.now + 600_000)
    [a] = w.tick()
    assert {(r.do, r.reason) for r in a.routes} == {("close", "silenced")}
    w.resolve()
    [b] = w.tick()
    assert b.status == "resolved"
    assert [r for r in b.routes if r.do != "none"] == []
    w.lift("silence", "s1")
    inc.phase, inc.resolved_ms, inc.moment = "open", None, "reopened"
    [c] = w.tick()
    assert c.type == "reopened"
    assert {r.do for r in c.routes} == {"open"}
    assert c.revision == 4


def test_a_silence_for_one_team_leaves_the_others(w: World) -> None:
    w.control("silence", "s1", matchers={"team": "team-elastic"}, until_ms=w.now + 600_000)
    w.incident()
    [a] = w.tick()
    assert a.suppressed is None
    assert {r.team: r.do for r in a.routes} == {"team-search": "open", "team-data": "open", "team-elastic": "none"}


@pytest.mark.parametrize("matchers", [{}, {"caus": "*"}, {"cause": "sink-throttled", "colour": "red"}])
def test_a_silence_that_names_nothing_known_silences_nothing(w: World, matchers: dict[str, str]) -> None:
    w.control("silence", "s1", matchers=matchers, until_ms=w.now + 600_000)
    w.incident()
    [a] = w.tick()
    assert a.suppressed is None


def test_a_realm_without_the_right_cannot_silence(w: World) -> None:
    assert w.rule(realms={"sre": ["silence"], "dev": ["ack"]}) == []
    w.control("silence", "s1", realm="dev", matchers={"cause": "*"}, until_ms=w.now + 600_000)
    w.incident()
    assert w.tick()[0].suppressed is None
    w.control("silence", "s1", realm="sre", matchers={"cause": "*"}, until_ms=w.now + 600_000)
    assert w.tick()[0].suppressed is not None


def test_maintenance_suppresses_and_names_who_declared_it(w: World) -> None:
    w.declare("maintenance", "connector/connect-a/*", by="bob", ends_at_ms=w.now + 600_000)
    w.incident()
    [a] = w.tick()
    assert a.suppressed is not None
    assert (a.suppressed.by, a.suppressed.who) == ("maintenance", "bob")
    assert {r.do for r in a.routes} == {"none"}


@pytest.mark.parametrize("paused", [True, False])
def test_maintenance_of_a_sink_is_that_of_its_group_which_stops_with_it(w: World, paused: bool) -> None:
    w.declare("maintenance", "connector/connect-a/*", by="bob", ends_at_ms=w.now + 600_000)
    inc = w.incident(cause="stopped-consumer", root=SINK_GROUP, symptom="commits-stopped")
    if paused:
        s = inc.evidence[SINK_GROUP, "commits-stopped"].symptom
        inc.evidence[SINK, "connector-paused"] = Evidence(symptom=structs.replace(s, kind="connector-paused", entity=SINK))
    [a] = w.tick()
    assert (a.suppressed is not None) is paused


def test_a_declared_replay_pages_nobody_inside_its_bound(w: World) -> None:
    w.declare("replay", "group/checkout", detail={"max_lag_s": 5000}, ends_at_ms=w.now + 3_600_000)
    w.meter.set(GROUP, "breached", lag_s=4000, objective_s=60)
    w.incident(cause="planned-replay", root=GROUP, affected=(GROUP,), symptom="offset-rewound")
    [a] = w.tick()
    assert {r.urgency for r in a.routes} == {"notify"}
    assert {(r.team, r.reason) for r in a.routes if r.role == "action"} == {("team-pay", "declared-change")}
    assert ("diagnosis", "team-platform", "notify", "open") in told(a), "the platform team is told as well"
    w.meter.set(GROUP, "breached", lag_s=6000, objective_s=60)
    [b] = w.tick()
    assert b.type == "escalated"
    assert ("impact", "team-pay", "page", "open") in told(b)


def test_shared_availability_pages_action_owner_and_platform(w: World) -> None:
    w.incident(cause="broker-down", root=Entity("broker", C, "3"), affected=(), symptom="broker-gone")
    inc = w.incidents["inc-1"]
    cluster = Entity("cluster", C, C)
    inc.evidence[(cluster, "offline-partitions")] = Evidence(
        symptom=Symptom(kind="offline-partitions", entity=cluster, since_ms=w.now, last_ms=w.now)
    )
    [a] = w.tick()
    assert a.severity == "critical"
    assert [(r.team, r.urgency, r.reason) for r in a.routes if r.role == "action"] == [
        ("team-platform", "page", "availability-threatened")
    ]


def test_a_merged_incident_closes_its_own_and_the_older_one_names_it(w: World) -> None:
    old, young = w.incident("inc-1"), w.incident("inc-2", cause="slow-consumer", root=SINK_GROUP, affected=(SINK_GROUP,))
    w.tick()
    young.phase, young.moment, young.superseded_by, young.resolved_ms = "superseded", "merged", "inc-1", w.now
    old.supersedes = ("inc-2",)
    a, b = w.tick()
    assert (a.incident, a.type, a.supersedes) == ("inc-1", "merged", ("inc-2",))
    assert (b.incident, b.type, b.status, b.superseded_by) == ("inc-2", "merged", "superseded", "inc-1")
    assert {(r.do, r.reason) for r in b.routes} == {("close", "merged")}
    assert {r.do for r in a.routes} == {"update"}


def test_nobody_owns_it_goes_to_named_fallbacks_that_are_counted(w: World) -> None:
    for key in ("system/*/elasticsearch-prod", f"connector/{C}/connect-a/*", f"service/{C}/search"):
        w.disown(key)
    w.incident()
    [a] = w.tick()
    assert {(r.role, r.team, r.via) for r in a.routes} >= {("action", "team-platform", "fallback:platform")}
    w.incidents.clear()
    w.disown(f"cluster/{C}/{C}")
    w.incident("inc-2")
    [b] = w.tick()
    assert {(r.team, r.via, r.destination) for r in b.routes} == {("unowned", "fallback:default", "team:unowned")}
    assert sum(w.router.fallbacks.values()) >= 2


def test_an_incident_nobody_owned_moves_to_its_owner_once_known(w: World) -> None:
    for r in ("system/*/elasticsearch-prod", f"connector/{C}/connect-a/*", f"cluster/{C}/{C}"):
        w.disown(r)
    w.incident()
    w.tick()
    w.own(kind="system", cluster="*", name="elasticsearch-prod", owner="team-elastic")
    [a] = w.tick()
    assert ("action", "team-elastic", "page", "open") in told(a)


def test_roles_that_share_a_destination_share_one_delivery_at_the_highest_urgency(w: World) -> None:
    w.own(kind="team", cluster="*", name="team-pay", notify="slack://pay")
    w.meter.set(GROUP, "breached", objective_s=60)
    w.incident(cause="slow-consumer", root=GROUP, affected=(GROUP,), symptom="lag-growing")
    [a] = w.tick()
    assert len({r.delivery for r in a.routes}) == 1
    assert [(r.role, r.urgency, r.do) for r in a.routes] == [
        ("impact", "page", "open"), ("diagnosis", "page", "none"), ("action", "page", "none"),
    ]  # fmt: skip


def test_a_restart_between_two_ticks_changes_nothing(w: World) -> None:
    w.incident()
    w.tick()
    w.restart()
    assert w.tick() == []
    w.resolve()
    w.restart()
    [a] = w.tick()
    assert a.revision == 2
    assert w.notifier.open == {}


def test_a_late_symptom_amends_what_is_over_without_a_page(w: World) -> None:
    inc = w.incident()
    w.tick()
    w.resolve()
    w.tick()
    inc.late, inc.moment = True, "updated"
    [a] = w.tick()
    assert (a.type, a.status, a.late, a.routes) == ("updated", "resolved", True, ())


def test_a_ledger_row_outlives_its_incident_by_a_day(w: World) -> None:
    w.incident()
    w.tick()
    w.resolve()
    w.tick()
    w.incidents.clear()
    w.tick(23 * 3600)
    assert w.stored.changed[("incidents", "d|out|inc-1")] is not None
    w.tick(2 * 3600)
    assert w.stored.changed[("incidents", "d|out|inc-1")] is None


def test_a_policy_route_turns_a_ticket_into_a_page_and_is_named(w: World) -> None:
    assert w.rule(routes=[{"name": "night", "when": {"cause": ["slow-consumer"]}, "page": "action"}]) == []
    w.incident(cause="slow-consumer", root=GROUP, affected=(GROUP,), symptom="lag-growing")
    [a] = w.tick()
    assert (route_of(a, "action").urgency, route_of(a, "action").reason) == ("page", "policy:night")
    assert a.policy_version == "p1"


def test_long_lists_are_capped_with_their_total_and_the_record_stays_under_256_kib(w: World) -> None:
    inc = w.incident()
    for i in range(300):
        e = Entity("group", C, f"g{i:03}")
        inc.evidence[(e, "lag-growing")] = Evidence(
            symptom=Symptom(kind="lag-growing", entity=e, since_ms=w.now, last_ms=w.now, why="x" * 5000)
        )
        w.own(kind="service", cluster=C, name=f"s{i}", owner=f"team-{i}", runbook="r" * 2048, escalation="e" * 2048)
        w.own(kind="group", cluster=C, name=e.name, service=f"s{i}")
        w.meter.set(e, "breached")
        inc.affected = (*inc.affected, e)
    [a] = w.tick()
    assert (len(a.symptoms), a.symptoms_total) == (32, 301) or len(a.symptoms) < 32
    assert len(w.raw[0].value) < 256 * 1024
    assert len([r for r in a.routes if r.role == "impact"]) == 301


def test_a_quiet_tick_of_many_incidents_writes_no_rows(w: World) -> None:
    for i in range(20):
        w.incident(f"inc-{i}")
    w.tick()
    assert len(w.tick()) == 1, "the one that carries the flood lists the rest"
    w.stored.changed.clear()
    w.tick()
    assert w.stored.changed == {}


_SCRIPT = """
from tests.unit.routing.world import *
w = World(); w.meter.set(SINK_GROUP, "breached"); w.meter.set(GROUP, "at-risk")
w.incident(affected=(SINK_GROUP, GROUP)); w.tick()
w.control("silence", "s1", matchers={"team": "team-pay"}, until_ms=w.now + 5000); w.tick(); w.resolve(); w.tick()
import sys
for a in w.raw: sys.stdout.buffer.write(a.value)
for k, v in w.stored.changed.items(): sys.stdout.buffer.write(repr((k, v)).encode())
"""


def test_two_hash_seeds_give_the_same_bytes() -> None:
    outs = [
        subprocess.run(
            [sys.executable, "-c", _SCRIPT], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert outs[0] == outs[1] != b""
    assert SINK.name.encode() in outs[0]


@pytest.mark.parametrize(("kind", "told_of"), [("offset-skipped", True), ("records-lost", True), ("lag-growing", False)])
def test_who_lost_records_suffers_however_fresh_the_others_are(w: World, kind: str, told_of: bool) -> None:
    w.meter.set(SINK_GROUP, "fine")
    inc = w.incident(cause="records-skipped", root=SINK_GROUP)
    s = Symptom(kind=kind, entity=SINK_GROUP, since_ms=inc.started_ms, last_ms=inc.started_ms)
    inc.evidence[(SINK_GROUP, kind)] = Evidence(symptom=s)
    [a] = w.tick()
    impact = [(r.team, r.urgency, r.reason) for r in a.routes if r.role == "impact"]
    assert impact == ([("team-search", "notify", "records-lost")] if told_of else [])
    assert a.severity == "minor"
