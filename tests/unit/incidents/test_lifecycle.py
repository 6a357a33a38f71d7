"""The life of incidents on virtual time; each rule by its number."""

from __future__ import annotations

from typing import Any

import pytest

from kroute.diagnosis.evidence import Evidence
from kroute.diagnosis.infer import diagnose
from kroute.incidents.lifecycle import Lifecycle
from kroute.incidents.model import Incident
from kroute.incidents.timing import Timing
from tests.unit.diagnosis.world import World, entity

TIMING = Timing(settle_ms=30_000, hold_ms=120_000)


class Story(World):
    """A world whose symptoms are kept reported while time moves on by five seconds a step."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Lifecycle("prod", self.rows, self.board, self.estate, self.catalogue)
        self.offset = 0
        self.told: list[tuple[str, str, str]] = []
        self.may_open = True
        self.detail: dict[str, Any] | None = None
        self._said: dict[str, tuple[str, ...]] = {}

    def say(self, what: str, *kinds: str) -> None:
        """From now on these kinds are active on ``what``; none: all healthy."""
        self._said[what] = kinds

    def run(self, seconds: int) -> None:
        for _ in range(seconds // 5):
            self.now += 5_000
            self.offset += 1
            for what, kinds in self._said.items():
                if kinds:
                    self.see(what, *kinds, since=self.now, detail=self.detail)
                else:
                    for reporter in ("lag",) if what.startswith("group") else ("metrics", "topology", "connect"):
                        self.well(what, reporter)
            evidence = Evidence(self.board, self.estate, self.life.episode(), self.changes, self.now, self.life.known())
            found = diagnose(self.catalogue, self.estate, evidence)
            self.life.step(self.now, self.offset, found, TIMING, may_open=self.may_open)
            for inc in self.life.incidents.values():
                if inc.moment:
                    self.told.append((inc.moment, inc.cause, str(inc.root)))
            self.life.finish(self.now, TIMING)

    @property
    def only(self) -> Incident:
        (inc,) = self.life.incidents.values()
        return inc


@pytest.fixture
def story() -> Story:
    s = Story()
    s.group("a")
    s.group("b", topic="clicks", leaders=(2,), coordinator=2)
    return s


def test_i1_a_hypothesis_settles_before_anybody_is_told(story: Story) -> None:
    story.say("group/a", "lag-growing")
    story.run(25)
    assert story.told == []
    story.run(15)
    assert story.told == [("opened", "slow-consumer", "group/a")]


def test_i1_what_is_sure_and_no_groups_own_settles_half_as_long(story: Story) -> None:
    story.say("broker/1", "disk-full", "log-dir-offline")
    story.run(10)
    assert story.told == []
    story.run(10)
    assert story.told == [("opened", "disk-full", "broker/1")]


def test_i1_at_the_root_of_a_group_it_settles_whole(story: Story) -> None:
    story.say("group/a", "offset-rewound")
    story.run(25)
    assert story.told == [], "whether it reads much faster now is seen a poll later"
    story.run(15)
    assert story.told == [("opened", "offset-fault", "group/a")]


def test_i1_what_several_symptoms_make_certain_settles_a_sixth_as_long() -> None:
    def waits(confidence: float, symptoms: int, root: str = "broker", cause: str = "some-cause") -> int:
        return TIMING.settles_ms(cause, root, confidence, symptoms)

    assert [waits(0.7, 3), waits(0.99, 2), waits(0.99, 3)] == [30_000, 15_000, 5_000]
    assert [waits(0.97, 2, "group"), waits(0.97, 3, "group"), waits(0.99, 3, "group")] == [30_000, 15_000, 5_000]
    assert waits(1.0, 9, "cluster", "unknown") == 60_000


def test_i3_a_cause_that_has_just_moved_is_not_told_before_it_has_held() -> None:
    """Who stopped first is not what the next poll says of all who read the topic, nor the next of what they share."""
    story = Story()
    story.sink("x")
    story.say("group/connect-x", "lag-growing")
    story.run(25)
    story.say("connector/c/x", "put-latency-high")
    story.run(5)
    assert (story.only.cause, story.only.phase) == ("sink-throttled", "settling")
    story.run(10)
    assert story.told == [("opened", "sink-throttled", "connector/c/x")]


def test_i1_a_breached_objective_with_a_sure_cause_opens_at_once(story: Story) -> None:
    story.say("group/a", "lag-growing", "commits-stopped", "group-empty", "objective-breached")
    story.run(10)
    assert story.told == [("opened", "stopped-consumer", "group/a")]


def test_i1_a_group_whose_cause_is_not_sure_settles_though_its_objective_is_breached(story: Story) -> None:
    """The others of its coordinator may show a poll later that it is not alone."""
    story.say("group/a", "lag-growing", "commits-stopped", "objective-breached")
    story.run(25)
    assert 0.8 <= story.only.confidence < 0.95
    assert story.told == []
    story.run(15)
    assert story.told == [("opened", "stopped-consumer", "group/a")]


def test_i1_at_the_root_of_a_connector_it_settles_whole() -> None:
    """The other sinks of its system, or of its topic, may fail a poll later."""
    story = Story()
    story.sink("x")
    story.say("connector/c/x", "task-failed")
    story.run(25)
    assert story.only.confidence >= 0.8
    assert story.told == []
    story.run(15)
    assert story.told == [("opened", "sink-failed", "connector/c/x")]


def test_i2_what_vanishes_while_settling_was_never_an_incident(story: Story) -> None:
    story.say("group/a", "lag-growing")
    story.run(20)
    story.say("group/a")
    story.run(300)
    assert story.told == []
    assert story.life.incidents == {}
    kept = [k for k, v in story.rows.changed.items() if k[1].startswith("prod|inc|") and v is not None]
    assert kept == [], "a row that stays is an incident again after a restart"


def test_i3_a_better_cause_revises_the_incident_and_its_id_stays() -> None:
    story = Story()
    story.sink("x")
    story.say("group/connect-x", "lag-growing")
    story.run(40)
    first = story.only.id
    story.say("connector/c/x", "put-latency-high")
    story.run(20)
    assert story.told == [
        ("opened", "slow-consumer", "group/connect-x"),
        ("revised", "sink-throttled", "connector/c/x"),
    ]
    assert story.only.id == first


@pytest.mark.parametrize(("seconds", "unseen", "moves"), [(60, False, True), (400, False, False), (400, True, True)])
def test_i3_what_defined_the_cause_for_minutes_leaves_an_aftermath_and_no_other_cause(
    seconds: int, unseen: bool, moves: bool
) -> None:
    """A broker that was gone is back and fills its disk; it is another matter where nobody saw when that began."""
    story = Story()
    story.group("a")
    story.say("broker/1", "broker-gone", "replica-behind", "leaders-moved")
    story.run(seconds)
    assert story.told == [("opened", "broker-down", "broker/1")]
    if unseen:
        story.detail = {"unseen_since": story.now - 300_000}
    story.say("broker/1", "replica-behind", "disk-full", "log-dir-offline", "latency-high", "local-time-high", "flush-slow")
    story.run(300)
    assert (("revised", "disk-full", "broker/1") in story.told) is moves


def test_how_sure_it_was_of_its_cause_is_kept_as_long_as_it_stays_and_was_told(story: Story) -> None:
    """Who was paged as surely responsible stays so while symptoms clear: nobody else is paged beside, as for an uncertain cause."""
    story.say("group/a", "lag-growing", "commits-stopped", "group-empty")
    story.run(60)
    sure = story.only.confidence
    story.say("group/a", "lag-growing", "commits-stopped")
    story.detail = {"scope": "topics"}
    story.run(60)
    assert story.only.confidence < sure
    assert story.only.sure == sure
    story.say("group/a", "partition-stuck", "lag-growing", "commits-slow")
    story.detail = None
    story.run(300)
    assert story.only.cause == "poison-record"
    assert story.only.sure < sure


def test_i4_two_incidents_that_turn_out_to_be_one_are_merged_and_the_older_id_stays() -> None:
    story = Story()
    for name in ("a", "b"):
        story.group(name, topic=f"t-{name}", leaders=(1,))
    story.well("broker/1", "metrics")
    story.say("group/a", "lag-growing")
    story.run(60)
    oldest = story.only.id
    story.say("group/b", "lag-growing")
    story.run(60)
    assert len(story.life.live()) == 2
    story.say("broker/1", "local-time-high", "latency-high", "request-queue-high")
    story.run(30)
    live = story.life.live()
    assert list(live) == [oldest]
    assert live[oldest].cause == "broker-storage-pressure"
    assert [m for m, _, _ in story.told].count("merged") == 1
    assert len(live[oldest].supersedes) == 1


def test_i4_what_begins_after_a_cause_was_over_is_the_next_ones() -> None:
    """Brokers are restarted one after another: what each brings is its own, and what was told of the one before stands."""
    story = Story()
    for b in (1, 2, 3, 4):
        story.link(f"broker/{b}", "cluster", "cluster/prod")
        story.well(f"broker/{b}", "metrics")
    for b in (1, 2, 3):
        story.say(f"broker/{b}", "broker-gone", "replica-behind", "leaders-moved")
        story.say("cluster/prod", "under-replicated", "heartbeats-missed")
        for rack in "xyz":
            story.say(f"rack/{rack}", "probe-failing")
        story.run(60)
        for what in (f"broker/{b}", "cluster/prod", "rack/x", "rack/y", "rack/z"):
            story.say(what)
        story.run(45)
    told = [t for t in story.told if t[0] not in ("updated", "resolved")]
    assert told == [("opened", "broker-down", f"broker/{b}") for b in (1, 2, 3)]
    held = [str(i.root) for i in story.life.incidents.values() if (entity("cluster/prod"), "under-replicated") in i.evidence]
    assert held == ["broker/3"]


def test_i6_resolved_only_after_the_hold_of_quiet_and_fine_impact(story: Story) -> None:
    story.say("group/a", "lag-growing", "objective-breached")
    story.run(60)
    story.say("group/a", "objective-breached")
    story.run(300)
    assert story.only.phase == "recovering"
    story.say("group/a")
    story.run(100)
    assert "resolved" not in [m for m, _, _ in story.told]
    story.run(30)
    assert story.told[-1] == ("resolved", "slow-consumer", "group/a")


def test_i6_signals_that_stop_never_resolve_an_incident(story: Story) -> None:
    story.say("group/a", "lag-growing")
    story.run(60)
    story._said.clear()
    story.run(3600)
    assert [m for m, _, _ in story.told] == ["opened"]
    assert story.only.phase == "open"


def test_i7_symptoms_that_come_back_within_the_hold_are_one_firing_period(story: Story) -> None:
    for _ in range(3):
        story.say("group/a", "lag-growing")
        story.run(60)
        story.say("group/a")
        story.run(60)
    assert [m for m, _, _ in story.told] == ["opened"]
    assert story.only.flaps == 2


def test_i8_the_same_cause_soon_after_resolving_reopens_the_incident(story: Story) -> None:
    story.say("group/a", "lag-growing")
    story.run(60)
    first = story.only.id
    story.say("group/a")
    story.run(130)
    story.say("group/a", "lag-growing")
    story.run(30)
    assert [m for m, _, _ in story.told] == ["opened", "resolved", "reopened"]
    assert story.only.id == first


def test_i8_after_the_hold_it_is_a_new_incident(story: Story) -> None:
    story.say("group/a", "lag-growing")
    story.run(60)
    first = story.only.id
    story.say("group/a")
    story.run(300)
    story.say("group/a", "lag-growing")
    story.run(60)
    assert [m for m, _, _ in story.told] == ["opened", "resolved", "opened"]
    assert story.only.id != first


def test_i9_a_breached_objective_that_nothing_explains_is_an_incident_of_unknown_cause(story: Story) -> None:
    story.say("group/a", "objective-breached")
    story.run(110)
    assert story.told == []
    story.see("group/a", "objective-breached", since=story.now - 120_000)
    story._said.clear()
    story.run(120)
    assert story.told == [("opened", "unknown", "group/a")]


def test_i9_objectives_breached_one_after_another_are_one_incident(story: Story) -> None:
    for k, name in enumerate("abc"):
        story.group(name, topic=f"t-{name}", leaders=(k, 5), coordinator=k)
        story.see(f"group/{name}", "objective-breached", since=story.now - 200_000 + 60_000 * k)
    story.run(120)
    assert story.told == [("opened", "unknown", "broker/5")]  # which they all read from, and nobody else


def test_i9_what_accounts_for_a_breach_later_takes_it_over(story: Story) -> None:
    story.see("group/a", "objective-breached", since=story.now - 120_000)
    story.run(70)
    assert story.told == [("opened", "unknown", "group/a")]
    story.say("group/a", "objective-breached", "lag-growing", "commits-slow")
    story.run(60)
    assert story.told[1:] == [("revised", "slow-consumer", "group/a")]
    assert story.only.cause == "slow-consumer"


def test_i5_while_it_recovers_its_cause_stays_as_sure_as_it_was(story: Story) -> None:
    story.say("group/a", "lag-growing", "commits-slow", "member-lagging")
    story.run(200)
    sure = story.only.confidence
    story.say("group/a", "catching-up")
    seen = []
    for _ in range(12):
        story.run(5)
        seen.append((story.only.phase, story.only.confidence))
    assert seen[-1][0] == "recovering"
    assert min(c for _, c in seen) >= sure


def test_i5_what_was_released_and_has_become_another_cause_recovers_as_any_incident(story: Story) -> None:
    """The broker is well again and the group lags on: it is slow for itself. As that ends nothing is judged anew."""
    story.say("broker/1", "handler-idle-low", "request-queue-high", "latency-high")
    story.say("group/a", "lag-growing", "commits-slow")
    story.run(120)
    assert story.only.cause == "broker-saturation"
    story.say("broker/1")
    story.run(600)
    assert (story.only.cause, story.only.phase, story.only.released) == ("slow-consumer", "open", False)
    assert {str(e) for e, _ in story.only.evidence} == {"group/a"}, "what was the broker's is over"
    story.say("group/a", "commits-slow")
    story.run(60)
    assert story.life.episode(), "its evidence stands until it resolves"
    story.say("group/a")
    story.run(300)
    assert [m for m, _, _ in story.told] == ["opened", "revised", "resolved"]


def test_i10_nothing_opens_before_the_engine_may(story: Story) -> None:
    story.may_open = False
    story.say("group/a", "lag-growing", "commits-stopped", "group-empty", "objective-breached")
    story.run(120)
    assert story.told == []
    story.may_open = True
    story.run(10)
    assert [m for m, _, _ in story.told] == ["opened"]


def test_two_faults_at_once_are_two_incidents(story: Story) -> None:
    story.say("group/a", "lag-growing")
    story.say("group/b", "lag-growing", "commits-stopped", "group-empty")
    story.run(60)
    assert sorted(story.told) == [("opened", "slow-consumer", "group/a"), ("opened", "stopped-consumer", "group/b")]


def test_recovery_is_exact(story: Story) -> None:
    """Rows loaded into a fresh lifecycle give an equal one, at every step of a life."""
    story.say("group/a", "lag-growing", "objective-breached")
    stored: dict[str, bytes] = {}
    for n in range(80):
        if n == 20:
            story.say("group/a")
        story.run(5)
        for (table, key), value in story.rows.changed.items():
            if table == "incidents" and key.startswith("prod|inc|"):
                if value is None:
                    stored.pop(key, None)
                else:
                    stored[key] = value
        story.rows.changed.clear()
        fresh = Lifecycle("prod", story.rows, story.board, story.estate, story.catalogue)
        for key in sorted(stored):
            fresh.load(stored[key])
        for inc in story.life.incidents.values():
            inc.moment = inc.why = None
        assert fresh.incidents == story.life.incidents
        assert fresh.episode() == story.life.episode()


def test_what_belongs_to_an_incident_says_who_suffers(story: Story) -> None:
    story.say("group/a", "lag-growing")
    story.run(60)
    assert story.only.affected == (entity("group/a"),)


def test_i12_who_begins_to_suffer_when_the_cause_is_over_is_not_its_impact() -> None:
    """A broker is back, its incident is held for a while; that a reader of it falls behind by then is another matter."""
    story = Story()
    story.group("a")
    story.group("b")
    story.say("broker/1", "broker-gone", "leaders-moved")
    story.say("group/a", "lag-growing", "objective-at-risk")
    story.run(120)
    assert [e.name for e in story.only.affected] == ["a"]
    story.say("broker/1", "latency-high")  # as it is on this machine
    story.well("broker/1", "topology")
    story.say("group/a", "objective-at-risk")
    story.run(30)
    assert story.only.phase == "recovering"
    assert [e.name for e in story.only.affected] == ["a"], "it has not caught up"
    story.say("group/a")
    story.run(180)
    story.say("group/a", "objective-breached")
    story.say("group/b", "objective-breached")
    story.run(5)
    assert story.only.cause == "broker-down"
    assert story.only.affected == ()


def test_i13_what_comes_back_minutes_later_while_it_recovers_is_an_incident_of_its_own() -> None:
    story = Story()
    story.group("a")
    story.say("broker/1", "broker-gone", "leaders-moved")
    story.say("group/a", "lag-growing", "objective-at-risk")
    story.run(60)
    story.say("broker/1")
    story.say("group/a", "objective-at-risk")
    story.run(240)
    assert story.only.phase == "recovering"
    story.say("group/a", "lag-growing", "commits-stopped", "group-empty", "objective-at-risk")
    story.run(120)
    assert [t for t in story.told if t[0] != "updated"] == [
        ("opened", "broker-down", "broker/1"),
        ("opened", "stopped-consumer", "group/a"),
    ]
    assert len(story.life.incidents) == 2


def test_i14_who_has_an_incident_of_its_own_suffers_from_that() -> None:
    """Its consumer is gone while the quorum is in trouble, which may hurt anybody in the cluster."""
    story = Story()
    story.group("a")
    story.group("b", topic="clicks", leaders=(2,), coordinator=2)
    for n in range(12):
        story.group(f"well{n}", topic=f"t{n}", leaders=(3,), coordinator=3)
        story.say(f"group/well{n}")
    story.say("cluster/prod", "controller-churn", "quorum-lagging")
    story.say("group/a", "objective-breached")
    story.run(60)
    quorum = story.only
    assert [e.name for e in quorum.affected] == ["a"]
    story.say("group/a", "objective-breached", "lag-growing", "commits-stopped", "group-empty")
    story.run(60)
    assert ("opened", "stopped-consumer", "group/a") in story.told
    assert not quorum.affected
    story.say("group/b", "objective-breached")
    story.run(60)
    assert [e.name for e in quorum.affected] == ["b"]


def test_i14_who_falls_behind_by_what_an_incident_explains_suffers_from_that() -> None:
    """The system that its sink writes to is down; a broker that leads its topic is busy, as it mostly is."""
    story = Story()
    story.group("a", topic="clicks", leaders=(1,))
    for name in ("x", "y"):
        story.sink(name)
    story.say("broker/1", "handler-idle-low", "request-queue-high", "latency-high")
    story.say("group/a", "objective-breached")
    story.run(60)
    (busy,) = story.life.incidents.values()
    assert (busy.cause, [e.name for e in busy.affected]) == ("broker-saturation", ["a"])
    for name in ("x", "y"):
        story.say(f"connector/c/{name}", "task-failed")
        story.say(f"group/connect-{name}", "group-empty", "objective-breached")
    story.run(60)
    down = next(i for i in story.life.incidents.values() if i.cause == "system-down")
    assert [e.name for e in down.affected] == ["connect-x", "connect-y"]
    assert [e.name for e in busy.affected] == ["a"]
    for name in ("x", "y"):
        story.say(f"connector/c/{name}")
        story.say(f"group/connect-{name}", "objective-breached")
    story.run(15)
    assert (down.phase, [e.name for e in down.affected]) == ("recovering", ["connect-x", "connect-y"])
    assert [e.name for e in busy.affected] == ["a"], "who reads a backlog suffers from what that built up by"


def test_i15_a_restart_of_a_broker_in_trouble_is_no_second_incident() -> None:
    story = Story()
    names = [f"g{i}" for i in range(6)]
    for name in names:
        story.group(name, topic=f"t{name}", leaders=(2,), coordinator=1)
    for name in names:
        story.say(f"group/{name}", "commits-stopped", "rebalancing")
    story.run(600)
    assert [t for t in story.told if t[0] == "opened"] == [("opened", "coordinator-trouble", "broker/1")]
    story.say("broker/1", "broker-gone", "leaders-moved", "replica-behind")
    story.run(60)
    assert len(story.life.live()) == 1, "its remedy, or its end"
    story.say("broker/1")
    for name in names:
        story.say(f"group/{name}")
    story.run(60)
    assert [t for t in story.told if t[0] == "opened"] == [("opened", "coordinator-trouble", "broker/1")]


def test_i15_a_broker_that_stays_away_is_down_whatever_ailed_it(story: Story) -> None:
    story.say("broker/1", "local-time-high", "request-queue-high", "latency-high")
    story.run(600)
    story.say("broker/1", "broker-gone", "leaders-moved", "replica-behind")
    story.run(900)
    assert (story.only.cause, str(story.only.root)) == ("broker-down", "broker/1")
    assert [t[0] for t in story.told if t[0] in ("opened", "revised")] == ["opened", "revised"]


def test_i15_another_broker_that_goes_is_an_incident_of_its_own(story: Story) -> None:
    story.say("broker/1", "local-time-high", "request-queue-high", "latency-high")
    story.run(600)
    story.say("broker/2", "broker-gone", "leaders-moved", "replica-behind")
    story.run(60)
    assert ("opened", "broker-down", "broker/2") in story.told
