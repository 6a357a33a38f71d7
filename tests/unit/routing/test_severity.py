"""Severity and urgency from an incident to what each team is told: the rules of causes.md, one table a rule."""

from __future__ import annotations

import pytest

from kroute.contracts.common import Entity
from kroute.diagnosis.model import Rival
from kroute.incidents.model import Evidence
from kroute.routing.urgency import AVAILABILITY_SYMPTOMS
from kroute.signals.model import Symptom
from tests.unit.routing.world import GROUP, ROWS, SINK_GROUP, C, World, told

BROKER = Entity("broker", C, "3")
CLUSTER = Entity("cluster", C, C)


def world(tier: str | None = None) -> World:
    """The small estate; ``tier`` of the service ``checkout``."""
    w = World(ROWS)
    if tier is not None:
        w.own(kind="service", cluster=C, name="checkout", owner="team-pay", slo={"freshness_s": 60}, labels={"tier": tier})
    return w


def platform_trouble(w: World, state: str, confidence: float = 0.94, symptom: str = "local-time-high") -> None:
    """A broker is the cause, the service ``checkout`` suffers."""
    w.meter.set(GROUP, state, objective_s=60.0)
    w.incident(cause="broker-down", root=BROKER, affected=(GROUP,), confidence=confidence, symptom=symptom)


@pytest.mark.parametrize(
    ("state", "tier", "severity", "impact", "action"),
    [
        ("breached", None, "critical", "page", "page"),  # 3
        ("at-risk", None, "major", "notify", "ticket"),  # 5
        ("at-risk", "2", "major", "notify", "ticket"),
        ("at-risk", "1", "major", "notify", "page"),  # 5, by tier
        ("fine", "1", "minor", None, "ticket"),  # 6
        ("unknown", "1", "minor", None, "ticket"),  # what is not known pages nobody
    ],
)
def test_the_service_is_told_by_its_own_state_when_the_platform_is_the_cause(
    state: str, tier: str | None, severity: str, impact: str | None, action: str
) -> None:
    w = world(tier)
    platform_trouble(w, state)
    [a] = w.tick()
    assert a.severity == severity
    found = {(r.role, r.team): r.urgency for r in a.routes}
    assert found.get(("impact", "team-pay")) == impact
    assert found[("action", "team-platform")] == action


def test_one_service_breached_and_one_at_risk_are_told_each_its_own() -> None:
    w = world()
    w.meter.set(GROUP, "at-risk", objective_s=60.0)
    w.meter.set(SINK_GROUP, "breached")
    w.incident(cause="broker-down", root=BROKER, affected=(GROUP, SINK_GROUP), symptom="local-time-high")
    [a] = w.tick()
    said = {r.team: (r.urgency, r.reason) for r in a.routes if r.role == "impact"}
    assert said == {"team-search": ("page", "objective-breached"), "team-pay": ("notify", "at-risk")}


def test_an_impact_alert_is_another_than_the_diagnostic_one() -> None:
    """Same incident, different threads: who feels it is paged for that, who reads the cause is told of the cause."""
    w = world()
    w.meter.set(SINK_GROUP, "breached")
    w.incident()
    [a] = w.tick()
    by_role = {r.role: r for r in a.routes}
    assert (by_role["impact"].reason, by_role["diagnosis"].reason) == ("objective-breached", "informed")
    assert len({r.delivery for r in a.routes}) == 3
    assert by_role["impact"].via.startswith("service/")
    assert by_role["diagnosis"].via.startswith("connector/")


def test_a_diagnosis_owner_is_never_paged_for_reading() -> None:
    for state in ("breached", "at-risk", "fine"):
        w = world("1")
        w.meter.set(SINK_GROUP, state)
        w.incident()
        [a] = w.tick()
        assert [r.urgency for r in a.routes if r.role == "diagnosis"] == ["notify"]


@pytest.mark.parametrize(
    ("confidence", "elastic", "platform"),
    [(0.94, "page", None), (0.7, "page", None), (0.69, "notify", "page"), (0.3, "notify", "page")],
)
def test_an_uncertain_cause_pages_the_platform_once_with_both_candidates_named(
    confidence: float, elastic: str, platform: str | None
) -> None:
    w = world()
    w.meter.set(SINK_GROUP, "breached")
    inc = w.incident(confidence=confidence)
    inc.rivals = (Rival(cause="slow-consumer", root=SINK_GROUP, confidence=round(1 - confidence, 2)),)
    [a] = w.tick()
    found = {(r.role, r.team): r.urgency for r in a.routes}
    assert found[("action", "team-elastic")] == elastic
    assert found.get(("action", "team-platform")) == platform
    assert (a.cause.id, [x.id for x in a.cause.alternatives]) == ("sink-throttled", ["slow-consumer"])
    assert found[("impact", "team-search")] == "page"  # always
    assert w.tick() == []  # once


@pytest.mark.parametrize("symptom", sorted(AVAILABILITY_SYMPTOMS))
def test_shared_availability_at_stake_pages_who_can_act_and_the_platform(symptom: str) -> None:
    w = world()
    w.own(kind="cluster", cluster=C, name=C, owner="team-platform", network="team-net")
    w.meter.set(SINK_GROUP, "at-risk")
    inc = w.incident()
    threat = Symptom(kind=symptom, entity=CLUSTER, since_ms=w.now - 200_000, last_ms=w.now)
    inc.evidence[(CLUSTER, symptom)] = Evidence(symptom=threat)
    [a] = w.tick()
    assert a.severity == "critical"
    assert told(a) == [
        ("impact", "team-search", "notify", "open"),  # at risk: told, not paged
        ("diagnosis", "team-data", "notify", "open"),
        ("action", "team-elastic", "page", "open"),
        ("action", "team-platform", "page", "open"),
    ]
    w.resolve()
    w.tick()
    assert w.notifier.open == {}


def test_a_threat_that_has_cleared_threatens_nobody() -> None:
    w = world()
    inc = w.incident(cause="broker-down", root=BROKER, affected=(), symptom="local-time-high")
    s = Symptom(kind="under-min-isr", entity=CLUSTER, since_ms=w.now, last_ms=w.now)
    inc.evidence[(CLUSTER, "under-min-isr")] = Evidence(symptom=s, cleared_ms=w.now)
    [a] = w.tick()
    assert (a.severity, [r.urgency for r in a.routes if r.role == "action"]) == ("minor", ["ticket"])


@pytest.mark.parametrize(("root", "severity"), [(CLUSTER, "critical"), (BROKER, "minor")])
def test_an_object_store_threatens_where_it_fails_for_the_whole_cluster(root: Entity, severity: str) -> None:
    w = world()
    w.incident(cause="object-store-trouble", root=root, affected=(), symptom="object-store-failing")
    [a] = w.tick()
    assert a.severity == severity


@pytest.mark.parametrize(
    ("kind", "target", "state", "urgencies"),
    [
        ("replay", "group/checkout", "breached", {"notify"}),
        ("drill", "group/checkout", "breached", {"notify"}),
        ("offset-reset", "group/checkout", "at-risk", {"notify"}),
        ("deploy", "group/checkout", "breached", {"page", "notify"}),  # a bad deployment must page
        ("replay", "group/another", "breached", {"page", "notify"}),
    ],
)
def test_a_declared_change_is_told_and_pages_nobody(kind: str, target: str, state: str, urgencies: set[str]) -> None:
    w = world()
    w.own(kind="cluster", cluster=C, name=C, owner="team-platform")
    w.meter.set(GROUP, state, objective_s=60.0)
    w.declare(kind, target)
    w.incident(cause="planned-replay", root=GROUP, affected=(GROUP,), symptom="offset-rewound")
    [a] = w.tick()
    assert {r.urgency for r in a.routes} <= urgencies
    assert ("page" in {r.urgency for r in a.routes}) == ("page" in urgencies)


def test_a_declared_change_beyond_its_own_bound_pages() -> None:
    w = world()
    w.meter.set(GROUP, "breached", lag_s=840.0, objective_s=60.0)
    w.declare("replay", "group/checkout", detail={"max_lag_s": 900})
    w.incident(cause="planned-replay", root=GROUP, affected=(GROUP,), symptom="offset-rewound")
    [a] = w.tick()
    assert "page" not in {r.urgency for r in a.routes}
    w.meter.set(GROUP, "breached", lag_s=1200.0, objective_s=60.0)
    [b] = w.tick()
    assert (b.type, "page" in {r.urgency for r in b.routes}) == ("escalated", True)


def test_severity_rises_and_the_urgency_with_it_and_neither_splits_the_incident() -> None:
    w = world()
    platform_trouble(w, "fine")
    [a] = w.tick()
    w.meter.set(GROUP, "at-risk", objective_s=60.0)
    [b] = w.tick()
    w.meter.set(GROUP, "breached", objective_s=60.0)
    [c] = w.tick()
    assert [(x.severity, x.type) for x in (a, b, c)] == [("minor", "opened"), ("major", "escalated"), ("critical", "escalated")]
    assert {x.incident for x in (a, b, c)} == {"inc-1"}


def test_silence_comes_before_everything_and_is_recorded() -> None:
    w = world("1")
    w.control("silence", "s", matchers={"cause": "broker-*"}, until_ms=w.now + 3_600_000, why="known")
    platform_trouble(w, "breached", symptom="disk-full")
    [a] = w.tick()
    assert a.severity == "critical"
    assert a.suppressed is not None
    assert {r.do for r in a.routes} == {"none"}
    assert w.notifier.open == {}


def test_a_cost_is_a_ticket_and_info() -> None:
    w = world()
    w.meter.set(GROUP, "fine", objective_s=60.0)
    inc = w.incident(cause="slow-consumer", root=GROUP, affected=(GROUP,), symptom="reading-remote")
    inc.cause = "cross-zone-reads"
    [a] = w.tick()
    found = [(r.urgency, r.reason) for r in a.routes if r.role == "action"]
    assert (a.severity, found) == ("info", [("ticket", "cost")])


@pytest.mark.parametrize(("voters", "lasted_s", "severity"), [(1, 60, "minor"), (2, 60, "critical"), (1, 200, "critical")])
def test_a_voter_that_restarts_threatens_nobody_two_or_one_that_stays_behind_do(
    voters: int, lasted_s: int, severity: str
) -> None:
    w = world()
    inc = w.incident(cause="broker-down", root=BROKER, affected=(), symptom="local-time-high")
    s = Symptom(kind="quorum-lagging", entity=CLUSTER, since_ms=w.now - 1000 * lasted_s, last_ms=w.now, value=float(voters))
    inc.evidence[(CLUSTER, "quorum-lagging")] = Evidence(symptom=s)
    [a] = w.tick()
    assert a.severity == severity
