"""Where automation must stop, who owns what, and how the record reads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kroute.contracts.alerts import RoutedAlert
from kroute.contracts.common import Entity
from kroute.diagnosis.model import Contradiction, Owners, Remedy
from kroute.incidents.model import Evidence
from kroute.routing.compose import span
from kroute.routing.delivery import Wanted, plan
from kroute.routing.ledger import Opened, delivery_id
from kroute.signals.model import Measure, Symptom
from tests.unit.routing import world
from tests.unit.routing.world import GROUP, PAUSE, SINK, SINK_GROUP, C, World, route_of

GRANT = {"name": "g", "remedy": "pause-connector", "when": {"cause": "sink-throttled"}}


def proven() -> World:
    """A world in which everything that ``auto`` asks for is there."""
    w = World()
    w.own(kind="system", cluster=C, name="elasticsearch-prod", owner="team-elastic")
    w.meter.set(SINK_GROUP, "breached")
    w.rule(automation={"grants": [GRANT]})
    w.declare("drill", "connector/connect-a/orders-to-es", ident="d1", starts_at_ms=w.now - 86_400_000, ends_at_ms=w.now - 86_000_000,
              detail={"cause": "sink-throttled", "remedy": "pause-connector", "entity": "connector/connect-a/orders-to-es", "result": "passed"})  # fmt: skip
    inc = w.incident()
    s = Symptom(kind="lag-growing", entity=SINK_GROUP, since_ms=w.now, last_ms=w.now)
    inc.evidence[(SINK_GROUP, "lag-growing")] = Evidence(symptom=s)
    return w


def verdict(w: World) -> Any:
    [a] = w.tick()
    return a.automation


def test_auto_when_all_is_proved_and_for_a_while_only() -> None:
    w = proven()
    a = verdict(w)
    assert (a.verdict, a.remedy, a.missing) == ("auto", "pause-connector", ())
    assert set(a.proved.values()) == {True}
    assert a.valid_until == "2026-11-23T10:04:10.001Z"
    assert (a.does, a.rollback, a.rollback_owner) == (
        "PUT /connectors/orders-to-es/pause",
        "PUT /connectors/orders-to-es/resume",
        "team-data",
    )
    assert (a.success_signal, a.failure_signal) == (
        "lag-growing at self/group clears within 10m",
        "objective-breached at self/group appears",
    )


def _no_owner(w: World) -> None:
    w.disown("system/*/elasticsearch-prod")
    w.disown(f"system/{C}/elasticsearch-prod")
    w.disown(f"connector/{C}/connect-a/*")
    w.own(kind="connector", cluster=C, name="connect-a/orders-to-es", service="search")


def _any_cluster(w: World) -> None:
    w.disown(f"system/{C}/elasticsearch-prod")  # the row left has a pattern for its cluster


def _no_objective(w: World) -> None:
    w.meter.set(SINK_GROUP, "unknown", objective_s=None)


def _old_drill(w: World) -> None:
    w.declare("drill", "connector/x", ident="d1", starts_at_ms=w.now - 91 * 86_400_000,
              detail={"cause": "sink-throttled", "remedy": "pause-connector", "result": "passed"})  # fmt: skip


def _failed_drill(w: World) -> None:
    w.declare(
        "drill",
        "connector/x",
        ident="d2",
        detail={"cause": "sink-throttled", "remedy": "pause-connector", "result": "failed"},
        ends_at_ms=w.now - 10,
    )


def _freeze(w: World) -> None:
    w.rule(automation={"grants": [GRANT], "freeze": [{"calendar": "peak"}]},
           calendars={"peak": {"from": "2026-11-20T00:00:00Z", "to": "2026-11-30T00:00:00Z"}})  # fmt: skip


@pytest.mark.parametrize(
    ("change", "missing", "verdict_"),
    [
        (_any_cluster, "ownership", "propose"),
        (_no_objective, "impact", "propose"),
        (lambda w: w.rule(), "grant", "propose"),
        (lambda w: w.rule(automation={"grants": [{**GRANT, "when": {"root": ["connector/other"]}}]}), "grant", "propose"),
        (lambda w: w.rule(automation={"grants": [{**GRANT, "when": {"labels": {"tier": "2"}}}]}), "grant", "propose"),
        (lambda w: w.rule(automation={"grants": [{**GRANT, "confidence": 0.99}]}), "confidence", "propose"),
        (_old_drill, "drill", "propose"),
        (_failed_drill, "drill", "propose"),
        (lambda w: w.rule(automation={"grants": [{**GRANT, "drilled_within": "0d"}]}), "drill", "propose"),
        (_freeze, "freeze", "propose"),
        (lambda w: w.control("action", "x", incident="inc-1", remedy="pause-connector", state="failed"), "cooldown", "propose"),
        (lambda w: w.incidents["inc-1"].evidence.pop((SINK_GROUP, "lag-growing")), "evidence", "propose"),
        (_no_owner, "ownership", "human"),  # nobody owns the rollback either
    ],
)
def test_one_missing_proof_is_named_and_stops_automation(change: Any, missing: str, verdict_: str) -> None:
    w = proven()
    change(w)
    a = verdict(w)
    assert a.verdict == verdict_
    assert not a.proved[missing]
    assert all(
        holds
        for name, holds in a.proved.items()
        if name not in (missing, "rollback", "impact" if missing == "ownership" else missing)
    )
    assert a.missing


def test_a_policy_may_trust_narrow_patterns() -> None:
    w = proven()
    _any_cluster(w)
    w.rule(automation={"grants": [GRANT], "glob_width": 4})
    assert verdict(w).verdict == "auto"


def test_a_report_about_another_root_is_no_reason_to_wait() -> None:
    w = proven()
    w.incident("inc-0", cause="slow-consumer", root=GROUP, affected=(GROUP,), symptom="lag-growing").moment = "opened"
    w.control("action", "x", incident="inc-0", remedy="pause-connector", state="succeeded")
    both = w.tick()
    assert {a.incident: a.automation.verdict for a in both}["inc-1"] == "auto"


@pytest.mark.parametrize(
    ("review", "grant", "verdict_"),
    [
        ("auto", GRANT, "auto"),
        ("propose", GRANT, "propose"),
        ("human", GRANT, "human"),
        ("never-auto", GRANT, "auto"),  # drilled for this scenario and granted by name
        ("never-auto", {**GRANT, "when": {}}, "human"),  # granted, not by name
    ],
)
def test_the_catalogue_bounds_the_verdict(monkeypatch: pytest.MonkeyPatch, review: Any, grant: Any, verdict_: str) -> None:
    with_remedy(monkeypatch, msgspec.structs.replace(PAUSE, review=review))
    w = proven()
    w.rule(automation={"grants": [grant]})
    assert verdict(w).verdict == verdict_


def test_never_auto_asks_for_a_drill_of_this_very_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    with_remedy(monkeypatch, msgspec.structs.replace(PAUSE, review="never-auto"))
    w = proven()
    w.declare("drill", "connector/other", ident="d1", starts_at_ms=w.now - 1000, ends_at_ms=w.now - 1,
              detail={"cause": "sink-throttled", "remedy": "pause-connector", "entity": "connector/other", "result": "passed"})  # fmt: skip
    assert verdict(w).verdict == "human"


def test_what_touches_more_than_one_tenant_is_for_a_person() -> None:
    w = proven()
    w.meter.set(GROUP, "breached", objective_s=60)
    w.incidents["inc-1"].affected = (SINK_GROUP, GROUP)
    w.rule(automation={"grants": [{**GRANT, "when": {}}]})
    a = verdict(w)
    assert a.verdict == "human"
    assert a.valid_until is None
    assert "2 tenants: team-pay, team-search" in a.missing[-1]


@pytest.mark.parametrize("lacks", ["rollback", "success", "failure", "rollback_owner"])
def test_a_remedy_that_cannot_be_undone_or_watched_is_for_a_person(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    fields = {"rollback": None, "success": None, "failure": None, "rollback_owner": None}
    with_remedy(monkeypatch, msgspec.structs.replace(PAUSE, **{lacks: fields[lacks]}))
    a = verdict(proven())
    assert (a.verdict, a.proved["rollback"]) == ("human", False)


def test_a_cause_without_remedy_is_for_a_person() -> None:
    w = World()
    w.incident(cause="slow-consumer", root=GROUP, affected=(GROUP,), symptom="lag-growing")
    assert (verdict(w).verdict, w.alerts[0].automation.remedy) == ("human", None)


def with_remedy(monkeypatch: pytest.MonkeyPatch, remedy: Remedy) -> None:
    cause = msgspec.structs.replace(world.CATALOGUE["sink-throttled"], remedies=(remedy,))
    monkeypatch.setitem(world.CATALOGUE, "sink-throttled", cause)


# -- owners --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "root", "team", "via"),
    [
        (("system", "connector"), SINK, "team-elastic", "system/*/elasticsearch-prod"),
        (("connector",), SINK, "team-data", f"connector/{C}/connect-a/*"),
        (("connector",), SINK_GROUP, "team-data", f"connector/{C}/connect-a/*"),
        (("connector",), Entity("system", C, "elasticsearch-prod"), "team-data", f"connector/{C}/connect-a/*"),
        (("system",), SINK_GROUP, "team-elastic", "system/*/elasticsearch-prod"),
        (("system", "topic"), Entity("topic", C, "orders"), "team-orders", f"topic/{C}/orders"),  # only a sink reads it
        (("service",), SINK, "team-search", f"service/{C}/search"),
        (("service",), SINK_GROUP, "team-search", f"service/{C}/search"),
        (("service",), GROUP, "team-pay", f"service/{C}/checkout"),
        (("service",), Entity("service", C, "search"), "team-search", f"service/{C}/search"),
        (("topic",), Entity("topic", C, "orders"), "team-orders", f"topic/{C}/orders"),
        (("topic",), Entity("partition", C, "orders/3"), "team-orders", f"topic/{C}/orders"),
        (("topic",), SINK, "team-orders", f"topic/{C}/orders"),
        (("principal",), Entity("principal", C, "User:etl"), "team-etl", f"principal/{C}/User:*"),
        (("platform",), Entity("broker", C, "3"), "team-platform", f"cluster/{C}/{C}"),
        (("governance",), SINK, "team-gov", f"cluster/{C}/{C}"),
        (("network",), SINK, "team-platform", f"cluster/{C}/{C}"),
        (("system", "platform"), GROUP, "team-platform", f"cluster/{C}/{C}"),
        (("system",), GROUP, "team-platform", "fallback:platform"),
    ],
)
def test_role_words_walk_from_the_root_to_the_row_that_answers(
    monkeypatch: pytest.MonkeyPatch, words: tuple[Any, ...], root: Entity, team: str, via: str
) -> None:
    cause = msgspec.structs.replace(world.CATALOGUE["slow-consumer"], owners=Owners(diagnosis=("platform",), action=words))
    monkeypatch.setitem(world.CATALOGUE, "slow-consumer", cause)
    w = World()
    w.own(kind="topic", cluster=C, name="orders", owner="team-orders")
    w.own(kind="principal", cluster=C, name="User:*", owner="team-etl")
    w.incident(cause="slow-consumer", root=root, affected=())
    [a] = w.tick()
    r = route_of(a, "action")
    assert (r.team, r.via) == (team, via)


def test_the_trace_of_a_failed_task_says_who_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = Owners(diagnosis=("connector",), action=("connector",), action_by_trace={"system": ("system", "connector")})
    monkeypatch.setitem(
        world.CATALOGUE, "sink-throttled", msgspec.structs.replace(world.CATALOGUE["sink-throttled"], owners=owners)
    )
    w = World()
    inc = w.incident()
    [a] = w.tick()
    assert route_of(a, "action").team == "team-data"
    s = Symptom(kind="task-failed", entity=SINK, since_ms=w.now, last_ms=w.now, detail={"trace_kind": "system"})
    inc.evidence[(SINK, "task-failed")] = Evidence(symptom=s)
    inc.moment = "revised"
    [b] = w.tick()
    assert [r.team for r in b.routes if r.role == "action" and r.do == "open"] == ["team-elastic"]


# -- the record ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        (Measure("orders", "g", 1, 840.0, "exact", None, 300.0, "breached"), "search is 14 min behind (objective 5 min)"),
        (Measure("orders", "g", 1, 840.0, "at-least", None, None, "breached"), "search is at least 14 min behind"),
        (
            Measure("orders", "g", None, None, None, 7200.0, 300.0, "breached"),
            "search has had no record on orders for 2 h (objective 5 min)",
        ),
        (Measure("orders", "g", None, None, None, None, 300.0, "breached"), "search misses its objective (objective 5 min)"),
        (
            Measure("orders", "g", 1, 200.0, "exact", None, 300.0, "at-risk", 90.0),
            "search will miss its objective in 90 s (objective 5 min)",
        ),
    ],
)
def test_the_summary_says_who_suffers_how_much(measure: Measure, said: str) -> None:
    w = World()
    w.meter.groups[SINK_GROUP] = (measure,)
    w.incident()
    [a] = w.tick()
    assert a.summary == f"orders-to-es cannot write to elasticsearch-prod; {said}"


def test_the_summary_counts_the_other_services() -> None:
    w = World()
    w.meter.set(SINK_GROUP, "breached")
    w.meter.set(GROUP, "breached", lag_s=90, objective_s=60)
    w.incident(affected=(SINK_GROUP, GROUP))
    [a] = w.tick()
    assert a.summary.endswith("; checkout is 90 s behind (objective 60 s), and 1 more service")
    assert [i.service for i in a.impact] == ["checkout", "search"]


@pytest.mark.parametrize(("s", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 days")])
def test_spans(s: float, text: str) -> None:
    assert span(s) == text


def test_evidence_names_its_record_and_what_has_cleared_comes_last() -> None:
    w = proven()
    key = (SINK, "put-latency-high")
    inc = w.incidents["inc-1"]
    inc.evidence[key] = Evidence(symptom=inc.evidence[key].symptom, cleared_ms=w.now)
    [a] = w.tick()
    assert [(s.kind, s.active) for s in a.symptoms] == [("lag-growing", True), ("put-latency-high", False)]
    assert a.symptoms[0].source is None
    assert a.symptoms[1].source is not None
    assert (a.symptoms[1].source.topic, a.symptoms[1].source.offset, a.symptoms[1].why) == (
        "kroute.connector-status",
        812,
        "4.1 s to write",
    )
    assert msgspec.json.decode(w.raw[0].value, type=RoutedAlert) == a


# -- deliveries ----------------------------------------------------------------------------------------------


def wanted(role: str, team: str, where: str, urgency: str = "page", *, silent: bool = False) -> Wanted:
    return Wanted(role, team, urgency, where, "silenced" if silent else "why", "row", silent=silent)


def opened(where: str) -> dict[str, Opened]:
    d = delivery_id("i", where)
    return {d: Opened(d, where, "t", "action", "page", "row", "why")}


@pytest.mark.parametrize(
    ("asked", "open_", "dos"),
    [
        ([wanted("action", "t", "a")], {}, ["open"]),
        ([wanted("action", "t", "a")], opened("a"), ["update"]),
        ([], opened("a"), ["close"]),
        ([wanted("action", "t", "b")], opened("a"), ["open", "close"]),
        ([wanted("impact", "t", "a", "notify"), wanted("action", "t", "a")], {}, ["none", "open"]),
        ([wanted("impact", "t", "a"), wanted("action", "u", "a")], opened("a"), ["update", "none"]),
        ([wanted("action", "t", "a", silent=True)], {}, ["none"]),
        ([wanted("action", "t", "a", silent=True)], opened("a"), ["close"]),
        ([wanted("impact", "t", "a", silent=True), wanted("action", "t", "a", silent=True)], opened("a"), ["close", "none"]),
        ([wanted("impact", "t", "a", silent=True), wanted("action", "u", "a")], opened("a"), ["none", "update"]),
        ([wanted("impact", "t", "a"), wanted("action", "u", "a", silent=True)], {}, ["open", "none"]),
    ],
)
def test_each_delivery_is_acted_on_once_per_record(asked: list[Wanted], open_: dict[str, Opened], dos: list[str]) -> None:
    p = plan("i", asked, open_, lambda o: "left")
    assert [r.do for r in p.routes] == dos
    assert sorted(p.opened) == sorted({r.delivery for r in p.routes if r.do in ("open", "update")})


@pytest.mark.parametrize(
    ("reported", "active", "verdict_"),
    [
        (True, (), "auto"),  # observed healthy: a second family and a second source
        (True, ("group-empty",), "propose"),  # it speaks against the cause
        (False, (), "propose"),  # silence is no evidence
    ],
)
def test_what_speaks_against_the_cause_and_is_observed_healthy_is_evidence_too(
    monkeypatch: pytest.MonkeyPatch, reported: bool, active: tuple[str, ...], verdict_: str
) -> None:
    against = Contradiction(at="self/group", symptom="group-empty")
    monkeypatch.setitem(
        world.CATALOGUE, "sink-throttled", msgspec.structs.replace(world.CATALOGUE["sink-throttled"], contradicts=(against,))
    )
    w = proven()
    del w.incidents["inc-1"].evidence[(SINK_GROUP, "lag-growing")]
    if reported:
        shown = [Symptom(kind=k, entity=SINK_GROUP, since_ms=w.now, last_ms=w.now) for k in active]
        w.board.report("lag", SINK_GROUP, w.now, 30_000, frozenset({"group-empty"}), shown)
    a = verdict(w)
    assert (a.verdict, a.proved["evidence"]) == (verdict_, verdict_ == "auto")
