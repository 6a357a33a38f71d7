"""What became of a remedy: rules R1 to R6, told to whoever owns the way back."""

from __future__ import annotations

from typing import Any

import msgspec

from kroute.contracts.alerts import RoutedAlert
from kroute.contracts.common import Entity
from kroute.incidents.model import Evidence
from kroute.routing.runs import Run
from kroute.signals.model import Symptom
from kroute.signals.table import BY_KIND, judged_by
from tests.unit.routing.world import GROUP, PAUSE, SINK, SINK_GROUP, World, told

STEP_S = 15
GROWING, BREACHED = "lag-growing", "objective-breached"


class Remedied(World):
    """A throttled sink whose group's lag grows: the success signal of ``pause-connector`` is that it clears."""

    def __init__(self) -> None:
        super().__init__()
        self.meter.set(SINK_GROUP, "breached")
        self.own(kind="team", cluster="*", name="team-data", notify="slack://data", page="pagerduty://data")
        inc = self.incident()
        self.active: dict[tuple[Entity, str], Symptom] = {}
        self.begin(SINK_GROUP, GROWING)
        inc.evidence[(SINK_GROUP, GROWING)] = Evidence(symptom=self.active[(SINK_GROUP, GROWING)])
        self.tick()

    def begin(self, entity: Entity, kind: str) -> None:
        self.active[(entity, kind)] = Symptom(kind=kind, entity=entity, since_ms=self.now, last_ms=self.now, why="as measured")

    def clear(self, entity: Entity, kind: str) -> None:
        """Observed without it: the first stage says so, and the incident keeps it as cleared evidence."""
        s = self.active.pop((entity, kind))
        self.incidents["inc-1"].evidence[(entity, kind)] = Evidence(symptom=s, cleared_ms=self.now)

    def report(self, state: str, ident: str = "run-1", remedy: str = "pause-connector", **more: Any) -> None:
        self.control("action", ident, incident="inc-1", remedy=remedy, state=state, **{"by": "bot", **more})

    def tick(self, seconds: float = STEP_S) -> list[RoutedAlert]:
        for entity in (SINK_GROUP, SINK, GROUP):
            for reporter in ("lag", "connect"):
                judged = judged_by(reporter, entity.kind)
                mine = [s for (e, k), s in self.active.items() if e == entity and BY_KIND[k].reporter == reporter]
                if judged:
                    self.board.report(reporter, entity, self.now, 15_000, judged, mine)
        return super().tick(seconds)

    def outcome(self, alert: RoutedAlert) -> tuple[str, str]:
        [run] = alert.remedies
        return run.reported, run.outcome


def test_an_incident_without_a_report_says_nothing_of_remedies() -> None:
    w = Remedied()
    assert w.alerts[-1].remedies == ()


def test_r1_a_report_starts_a_run_and_is_told_once() -> None:
    w = Remedied()
    w.report("started")
    [a] = w.tick()
    assert w.outcome(a) == ("started", "watching")
    assert a.type == "updated"
    assert a.why == "bot reports pause-connector started; its signals are watched"
    assert w.tick() == []


def test_r1_a_start_after_the_end_of_a_run_is_another_run() -> None:
    w = Remedied()
    w.report("started")
    w.tick()
    w.report("rolled-back")
    [a] = w.tick()
    assert w.outcome(a) == ("rolled-back", "rolled-back")
    began = a.remedies[0].started_at
    w.report("started", ident="run-2")
    [b] = w.tick()
    assert w.outcome(b) == ("started", "watching")
    assert b.remedies[0].started_at > began


def test_r1_a_late_copy_of_an_old_report_changes_nothing() -> None:
    w = Remedied()
    w.report("started")
    at = w.now
    w.tick()
    w.report("succeeded")
    w.tick()
    w.report("started", ident="copy", at_ms=at)
    assert w.tick() == []


def test_r2_the_failure_signal_says_roll_back_to_the_owner_of_the_rollback() -> None:
    w = Remedied()
    w.report("started")
    w.tick()
    w.begin(SINK_GROUP, BREACHED)
    [a] = w.tick()
    [run] = a.remedies
    assert (run.outcome, run.roll_back, run.rollback, run.rollback_owner) == (
        "made-worse", True, "PUT /connectors/orders-to-es/resume", "team-data",
    )  # fmt: skip
    assert ("action", "team-data", "page", "open") in told(a)
    [route] = [r for r in a.routes if r.team == "team-data" and r.role == "action"]
    assert route.reason == "roll-back"
    assert a.type == "escalated"
    assert a.why is not None
    assert "roll back (PUT /connectors/orders-to-es/resume): team-data" in a.why
    assert w.tick() == []


def test_r2_it_stays_the_outcome_until_it_is_rolled_back() -> None:
    w = Remedied()
    w.report("started")
    w.tick()
    w.begin(SINK_GROUP, BREACHED)
    w.tick()
    w.clear(SINK_GROUP, BREACHED)
    assert w.tick() == []
    w.report("rolled-back", by="ann")
    [a] = w.tick()
    [run] = a.remedies
    assert (run.outcome, run.roll_back) == ("rolled-back", False)
    assert run.why.startswith("ann undid it (it had made things worse: objective-breached appeared at group/")
    w.resolve()
    [end] = w.tick()
    assert {(r.destination, r.do) for r in end.routes} >= {("pagerduty://data", "close")}
    assert w.notifier.open == {}


def test_r2_what_was_there_before_the_start_is_no_failure_of_the_remedy() -> None:
    w = Remedied()
    w.begin(SINK_GROUP, BREACHED)
    w.tick()
    w.report("started")
    [a] = w.tick()
    assert w.outcome(a) == ("started", "watching")
    assert all(r.reason != "roll-back" for r in a.routes)


def test_r2_a_policy_lowers_a_roll_back_only_by_name() -> None:
    w = Remedied()
    w.rule(routes=[{"name": "quiet", "ticket": "action"}])
    w.report("started")
    w.begin(SINK_GROUP, BREACHED)
    w.active[(SINK_GROUP, BREACHED)] = msgspec.structs.replace(w.active[(SINK_GROUP, BREACHED)], since_ms=w.now + 1)
    [a] = w.tick()
    assert ("action", "team-data", "page", "open") in told(a)


def test_r3_it_worked_when_the_success_signal_is_observed() -> None:
    w = Remedied()
    w.report("started")
    w.tick()
    w.clear(SINK_GROUP, GROWING)
    [a] = w.tick()
    assert w.outcome(a) == ("started", "worked")
    assert a.remedies[0].why == f"lag-growing at {SINK_GROUP} cleared"
    w.report("succeeded")
    [b] = w.tick()
    assert w.outcome(b) == ("succeeded", "worked")


def test_r4_a_symptom_that_stays_says_that_it_did_not_help_and_it_is_not_run_again() -> None:
    w = Remedied()
    w.report("started")
    w.tick()
    assert w.tick(500) == []
    [a] = w.tick(100)
    assert w.outcome(a) == ("started", "no-effect")
    assert a.remedies[0].why == f"lag-growing at {SINK_GROUP} is still there after 10m"
    w.tick(7200)  # long after the cool-down
    last = w.alerts[-1].automation
    assert last.proved["cooldown"] is False
    assert "pause-connector did not help this incident" in last.missing


def test_r4_silence_of_its_signal_is_no_success() -> None:
    w = Remedied()
    del w.incidents["inc-1"].evidence[(SINK_GROUP, GROWING)]
    w.clear(SINK_GROUP, GROWING)
    del w.incidents["inc-1"].evidence[(SINK_GROUP, GROWING)]
    w.report("started")
    w.tick()
    [a] = w.tick(700)
    assert w.outcome(a) == ("started", "unknown")
    assert a.remedies[0].why == "lag-growing was not seen at its place"


def test_r4_what_had_cleared_before_is_not_to_its_credit() -> None:
    w = Remedied()
    w.clear(SINK_GROUP, GROWING)
    w.tick()
    w.report("started")
    w.tick()
    [a] = w.tick(700)
    assert w.outcome(a) == ("started", "unknown")
    assert a.remedies[0].why == "lag-growing had cleared before it ran"


def test_r5_a_run_belongs_to_the_cause_it_was_meant_for() -> None:
    w = Remedied()
    w.report("started")
    w.tick()
    inc = w.incidents["inc-1"]
    inc.cause, inc.root, inc.moment = "slow-consumer", SINK_GROUP, "revised"
    w.begin(SINK_GROUP, BREACHED)
    [a] = w.tick()
    assert w.outcome(a) == ("started", "made-worse")
    assert a.remedies[0].rollback_owner == "team-data"
    assert any(r.reason == "roll-back" and r.team == "team-data" for r in a.routes)


def test_r6_a_reporter_that_failed_is_recorded_and_the_failure_signal_still_counts() -> None:
    w = Remedied()
    w.report("started")
    w.tick()
    w.report("failed")
    [a] = w.tick()
    assert w.outcome(a) == ("failed", "not-done")
    w.begin(SINK_GROUP, BREACHED)
    [b] = w.tick()
    assert w.outcome(b) == ("failed", "made-worse")


def test_r6_success_that_is_only_reported_is_not_yet_success() -> None:
    w = Remedied()
    w.report("succeeded")
    [a] = w.tick()
    assert w.outcome(a) == ("succeeded", "watching")


def test_a_remedy_that_the_catalogue_does_not_have_is_recorded_and_not_judged() -> None:
    w = Remedied()
    w.report("started", remedy="pray")
    [a] = w.tick()
    assert w.outcome(a) == ("started", "unknown")
    assert a.remedies[0].why == "sink-throttled has no remedy pray in the catalogue"


def test_a_report_of_a_realm_that_may_not_give_one_is_not_heard() -> None:
    w = Remedied()
    w.rule(realms={"sre": ["action"], "dev": ["ack"]})
    w.tick()
    w.control("action", "x", realm="dev", incident="inc-1", remedy="pause-connector", state="started")
    w.tick()
    assert w.alerts[-1].remedies == ()
    w.control("action", "x", realm="sre", incident="inc-1", remedy="pause-connector", state="started")
    [a] = w.tick()
    assert w.outcome(a) == ("started", "watching")


def test_a_restart_forgets_nothing_and_repeats_nothing() -> None:
    w = Remedied()
    w.report("started")
    w.tick()
    w.begin(SINK_GROUP, BREACHED)
    w.tick()
    w.restart()
    assert w.tick() == []
    w.lift("action", "run-1")  # the report is compacted away; the run is kept
    assert w.tick() == []
    w.resolve()
    [end] = w.tick()
    assert w.outcome(end) == ("started", "made-worse")
    assert w.notifier.open == {}


def test_the_last_record_keeps_what_became_of_it() -> None:
    w = Remedied()
    w.report("started")
    w.tick()
    w.clear(SINK_GROUP, GROWING)
    w.resolve()
    [end] = w.tick()
    assert w.outcome(end) == ("started", "worked")


def test_a_run_is_kept_as_it_is() -> None:
    run = Run(remedy=PAUSE.id, cause="c", root=SINK, started_ms=1, by="b", reported="started", reported_ms=1)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(run), type=Run) == run


def test_strange_reports_neither_outgrow_the_row_nor_crowd_out_a_known_remedy() -> None:
    w = Remedied()
    for i in range(30):
        w.report("started", ident=f"a{i:02d}", remedy=f"a-strange-{i:02d}", by="x" * 2000)
    w.report("started", ident="long", remedy="y" * 300_000)
    w.report("started")
    [a] = w.tick()
    assert len(a.remedies) == 8
    assert "pause-connector" in {r.remedy for r in a.remedies}
    assert max(len(r.by) for r in a.remedies) == 256
    assert all(len(v or b"") < 64 * 1024 for (table, _), v in w.stored.changed.items() if table == "incidents")


def test_a_report_from_a_clock_that_is_ahead_starts_now() -> None:
    w = Remedied()
    w.report("started", at_ms=w.now + 86_400_000)
    [a] = w.tick()
    assert a.remedies[0].started_at == a.updated_at
    w.begin(SINK_GROUP, BREACHED)
    [b] = w.tick()
    assert w.outcome(b) == ("started", "made-worse")
    w.report("rolled-back", ident="undone")
    [c] = w.tick()
    assert c.remedies[0].outcome == "rolled-back"
    assert w.tick() == []
