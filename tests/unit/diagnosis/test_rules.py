"""Each rule of the inference, with the case that breaks without it."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable

import pytest

from kroute.contracts.common import Entity
from kroute.diagnosis import infer
from kroute.diagnosis.candidate import Candidate, weigh
from kroute.diagnosis.evidence import Evidence
from kroute.diagnosis.infer import diagnose
from kroute.diagnosis.model import Hypothesis
from kroute.diagnosis.paths import Walker
from kroute.diagnosis.suspects import Suspects
from kroute.signals.model import Symptom
from kroute.signals.table import BY_KIND, judged_by
from tests.unit.diagnosis.world import T0, World, entity


def test_a_lagging_group_alone_is_a_slow_consumer() -> None:
    w = World()
    w.group("a")
    w.group("b")
    w.see("group/a", "lag-growing")
    w.well("group/b", "lag")
    assert w.causes() == [("slow-consumer", "group/a")]


def test_nothing_wrong_gives_no_hypothesis() -> None:
    w = World()
    w.group("a")
    w.well("group/a", "lag")
    assert w.causes() == []


def test_a_stray_symptom_buys_no_cause() -> None:
    w = World()
    w.group("a")
    w.see("group/a", "catching-up")
    assert w.causes() == []


def test_two_faults_far_apart_are_two_hypotheses() -> None:
    w = World()
    w.group("a", topic="orders", leaders=(1,))
    w.group("b", topic="clicks", leaders=(2,), coordinator=2)
    w.see("group/a", "lag-growing")
    w.see("group/b", "commits-stopped", "group-empty")
    assert w.causes() == [("slow-consumer", "group/a"), ("stopped-consumer", "group/b")]


def test_one_fault_seen_in_forty_places_is_one_hypothesis() -> None:
    w = World()
    for i in range(120):
        w.group(f"g{i:03}", leaders=(i % 3 + 1,), coordinator=(i + 1) % 3 + 1)
        if i % 3 == 0:
            w.see(f"group/g{i:03}", "lag-growing")
        else:
            w.well(f"group/g{i:03}", "lag")
    w.see("broker/1", "local-time-high", "request-queue-high")
    for b in ("2", "3"):
        w.well(f"broker/{b}", "metrics")
    found = w.diagnose()
    assert [(h.cause, str(h.root)) for h in found] == [("broker-storage-pressure", "broker/1")]
    assert sum(1 for e, _ in found[0].explains if e.kind == "group") == 40


def test_a_global_cause_explains_nothing_outside_its_paths() -> None:
    w = World()
    for i in range(9):
        w.group(f"g{i}", topic=f"t{i}", leaders=(i % 3 + 1,), coordinator=i % 3 + 1)
        if i % 3 == 0 or i == 4:
            w.see(f"group/g{i}", "lag-growing")
        else:
            w.well(f"group/g{i}", "lag")
    w.see("broker/1", "local-time-high", "request-queue-high")
    w.well("broker/2", "metrics")
    assert w.causes() == [("broker-storage-pressure", "broker/1"), ("slow-consumer", "group/g4")]


def test_d2_an_expected_symptom_observed_healthy_counts_against() -> None:
    def diagnosed(healthy: bool) -> list[Hypothesis]:
        w = World()
        w.sink("x")
        w.see("connector/c/x", "put-latency-high", since=T0 - 660_000)
        if healthy:
            w.well("group/connect-x", "lag")
        return [h for h in w.diagnose() if h.cause == "sink-throttled"]

    (unseen,) = diagnosed(healthy=False)
    assert all(h.score < unseen.score for h in diagnosed(healthy=True))


def test_d3_before_onset_plus_within_a_symptom_is_not_observed_yet() -> None:
    w = World()
    w.sink("x")
    w.see("connector/c/x", "task-failed", since=T0 - 10_000)
    w.well("group/connect-x", "lag")
    early = w.diagnose()[0]
    w.now += 600_000
    w.see("connector/c/x", "task-failed", since=T0 - 10_000)
    w.well("group/connect-x", "lag")
    late = w.diagnose()[0]
    assert early.cause == late.cause == "sink-failed"
    assert late.score < early.score


def test_d4_many_healthy_groups_do_not_outvote_the_few_that_suffer() -> None:
    w = World()
    for i in range(460):
        w.group(f"g{i:03}", leaders=(1, 2, 3), coordinator=2)
        w.well(f"group/g{i:03}", "lag")
    for i in range(40):
        w.group(f"s{i:03}", leaders=(1,), coordinator=2)
        w.see(f"group/s{i:03}", "lag-growing")
    w.see("broker/1", "local-time-high", "request-queue-high", "latency-high")
    assert w.causes() == [("broker-storage-pressure", "broker/1")]


def test_d5_a_contradiction_moves_the_cause_to_the_look_alike() -> None:
    w = World()
    w.sink("x")
    w.see("group/connect-x", "lag-growing", "commits-slow")
    assert w.causes() == [("slow-consumer", "group/connect-x")]
    w.see("connector/c/x", "put-latency-high")
    assert w.causes() == [("sink-throttled", "connector/c/x")]


@pytest.mark.parametrize(("ago", "against"), [(90_000, False), (20_000, True)])
def test_d5_what_was_over_before_it_began_is_no_contradiction(ago: int, against: bool) -> None:
    """The broker that a group reads from was gone, and is back, when the group stops."""
    w = World()
    w.group("g", leaders=(2,))
    gone = entity("broker/2")
    began = w.now - 120_000
    was = Symptom(kind="broker-gone", entity=gone, since_ms=began - 300_000, last_ms=began - ago, why="was gone")
    w.see("group/g", "commits-stopped", "lag-growing", since=began)
    evidence = Evidence(w.board, w.estate, {(gone, "broker-gone"): was}, w.changes, w.now)
    c = weigh(w.catalogue.by_id["stopped-consumer"], entity("group/g"), evidence, Walker(w.estate))
    assert c is not None
    assert any("broker-gone" in "".join(map(str, said)) for _, said in c.against) is against


def test_d6_an_effect_older_than_its_supposed_cause_counts_against_it() -> None:
    w = World()
    w.sink("x")
    w.see("connector/c/x", "put-latency-high", since=T0 - 30_000)
    w.see("group/connect-x", "lag-growing", since=T0 - 60_000)
    near = w.diagnose()
    w.see("connector/c/x", "put-latency-high", since=T0 - 30_000)
    w.see("group/connect-x", "lag-growing", since=T0 - 4_000_000)
    old = World()
    old.sink("x")
    old.see("connector/c/x", "put-latency-high", since=T0 - 30_000)
    old.see("group/connect-x", "lag-growing", since=T0 - 4_000_000)
    assert near[0].cause == "sink-throttled"
    assert [h for h in old.diagnose() if h.cause == "sink-throttled" and h.score >= near[0].score] == []


@pytest.mark.parametrize("poll_ms", [30_000, 60_000])
def test_d6_the_older_an_effect_is_in_polls_the_less_of_it_is_covered(poll_ms: int) -> None:
    def covered(polls: float) -> float:
        w = World()
        w.sink("x")
        w.see("connector/c/x", "put-latency-high", since=T0)
        w.see("group/connect-x", "lag-growing", since=T0 - int(polls * poll_ms))
        for e in ("connector/c/x", "group/connect-x"):
            reports = w.board._reports[entity(e)]
            reports.update({k: r._replace(interval_ms=poll_ms) for k, r in reports.items()})
        evidence = Evidence(w.board, w.estate, {}, w.changes, w.now)
        c = Suspects(w.catalogue, w.estate, evidence, Walker(w.estate)).weighed["sink-throttled", entity("connector/c/x")]
        return c.cover.get(evidence.shown[entity("group/connect-x")].units["lag"], 0.0)

    assert covered(-3) == covered(0) == covered(1) > covered(1.5) > covered(2) > covered(2.5) > covered(5.1) == 0
    assert covered(2.5) == pytest.approx(covered(4.9))


def test_d2_what_follows_from_one_thing_counts_against_once() -> None:
    """Where no replica is behind, no partition is under-replicated either."""

    def weighed(*told: str) -> float:
        w = World()
        w.see("broker/1", "broker-gone", since=T0 - 600_000)
        kinds = (
            "broker-gone",
            "replica-behind",
            "under-replicated",
            "heartbeats-missed",
            "quorum-lagging",
            "leaders-moved",
            "controller-churn",
        )
        for what in ("broker/1", "cluster/prod"):
            for reporter in {BY_KIND[k].reporter for k in kinds}:
                judged = frozenset(k for k in (*told, "broker-gone") if k in judged_by(reporter, what.partition("/")[0]))
                active = [s for (e, k), s in w.board.active.items() if e == entity(what) and k in judged]
                w.board.report(reporter, entity(what), w.now, 30_000, judged, active)
        evidence = Evidence(w.board, w.estate, {}, w.changes, w.now)
        return Suspects(w.catalogue, w.estate, evidence, Walker(w.estate)).weighed["broker-down", entity("broker/1")].static

    behind = weighed("replica-behind")
    assert behind < weighed()
    assert weighed("under-replicated") == pytest.approx(behind)
    assert weighed("replica-behind", "under-replicated", "under-min-isr") == pytest.approx(behind)
    missed = weighed("heartbeats-missed")
    assert weighed("heartbeats-missed", "quorum-lagging") == pytest.approx(missed)
    assert missed < weighed()
    moved = weighed("leaders-moved")
    assert moved < missed
    assert weighed("leaders-moved", "heartbeats-missed", "controller-churn") == pytest.approx(moved)


def test_d7_a_cause_whose_required_symptom_is_healthy_is_ruled_out_with_the_reason() -> None:
    w = World()
    w.group("a")
    w.see("group/a", "lag-growing")
    w.well("broker/1", "metrics")
    (h,) = w.diagnose()
    assert ("broker-storage-pressure", True) in [(r.cause, "observed healthy" in r.because) for r in h.ruled_out]


def test_d7_where_nothing_required_is_observed_unknown_names_what_is_missing() -> None:
    w = World()
    for i in range(3):
        w.group(f"g{i}", leaders=(1,))
        w.see(f"group/g{i}", "partition-lagging")
    found = w.diagnose()
    assert [h.cause for h in found] == ["unknown"]
    assert found[0].missing


def test_d8_a_declared_replay_makes_a_rewind_a_planned_replay() -> None:
    declared, silent = World(), World()
    for w in (declared, silent):
        w.group("a")
        w.see("group/a", "offset-rewound", "catching-up")
    declared.declare("replay", "group/a")
    d, s = declared.diagnose()[0], silent.diagnose()[0]
    assert d.cause == "planned-replay"
    assert d.score > s.score + 2


def test_d9_storage_pressure_does_not_exist_on_automq() -> None:
    w = World(platform="automq")
    for i in range(6):
        w.group(f"g{i}", leaders=(1,))
        w.see(f"group/g{i}", "lag-growing")
    w.see("broker/1", "local-time-high", "request-queue-high")
    assert "broker-storage-pressure" not in [c for c, _ in w.causes()]


def test_only_the_strongest_of_a_family_counts() -> None:
    one, three = World(), World()
    for w in (one, three):
        w.group("a")
    one.see("group/a", "lag-growing")
    three.see("group/a", "lag-growing", "commits-slow")
    assert three.diagnose()[0].score == pytest.approx(one.diagnose()[0].score, abs=0.6)


def test_a_symptom_of_the_episode_supports_its_cause_after_it_cleared() -> None:
    w = World()
    w.group("a")
    w.see("group/a", "catching-up")
    past = Symptom(kind="offset-rewound", entity=entity("group/a"), since_ms=T0 - 600_000, last_ms=T0 - 300_000)
    evidence = Evidence(w.board, w.estate, {(past.entity, past.kind): past}, w.changes, w.now)
    assert [h.cause for h in diagnose(w.catalogue, w.estate, evidence)] == ["planned-replay"]


def test_a_dead_broker_takes_its_missing_telemetry_with_it() -> None:
    w = World()
    w.group("a", leaders=(1, 2))
    w.well("group/a", "lag")
    w.see("broker/1", "broker-gone", "replica-behind")
    w.see("cluster/prod", "under-replicated")
    w.see("source/broker-metrics/broker/1", "signals-missing")
    found = w.diagnose()
    assert [(h.cause, str(h.root)) for h in found] == [("broker-down", "broker/1")]
    assert (entity("source/broker-metrics/broker/1"), "signals-missing") in found[0].explains


def test_confidences_of_a_hypothesis_and_its_rivals_do_not_exceed_one() -> None:
    w = World()
    w.sink("x")
    w.see("connector/c/x", "task-failed")
    w.see("group/connect-x", "commits-stopped", "lag-growing")
    for h in w.diagnose():
        assert h.confidence + math.fsum(r.confidence for r in h.rivals) <= 1.0 + 1e-3


def test_the_order_in_which_symptoms_arrive_does_not_matter() -> None:
    def build(order: list[int]) -> list[object]:
        w = World()
        for i in range(6):
            w.group(f"g{i}", leaders=(i % 2 + 1,))
        for i in order:
            w.see(f"group/g{i}", "lag-growing")
        w.see("broker/1", "local-time-high", "latency-high")
        return list(w.diagnose())

    assert build([0, 1, 2, 4]) == build([4, 2, 1, 0])


def test_d4_one_entity_alone_is_no_pattern() -> None:
    w = World()
    w.sink("only")
    w.see("connector/c/only", "put-latency-high")
    w.see("group/connect-only", "lag-growing")
    assert w.causes() == [("sink-throttled", "connector/c/only")]
    w.sink("other")
    w.see("connector/c/other", "put-latency-high")
    assert w.causes() == [("system-throttled", "system/warehouse")]


def test_d6_a_cause_begins_with_the_symptoms_that_define_it_not_with_those_at_its_root() -> None:
    w = World()
    for name in ("x", "y"):
        w.sink(name)
        w.see(f"connector/c/{name}", "put-latency-high", since=T0 - 60_000)
        w.see(f"group/connect-{name}", "lag-growing", since=T0 - 4_000_000)
    found = {h.cause: h for h in w.diagnose()}
    late = World()
    for name in ("x", "y"):
        late.sink(name)
        late.see(f"connector/c/{name}", "put-latency-high", since=T0 - 60_000)
        late.see(f"group/connect-{name}", "lag-growing", since=T0 - 30_000)
    assert not [e for e, kind in found["system-throttled"].explains if kind == "lag-growing"]
    assert len([e for e, kind in late.diagnose()[0].explains if kind == "lag-growing"]) == 2


def test_unknown_does_not_swallow_what_several_named_causes_explain() -> None:
    w = World()
    for i in range(40):
        w.sink(f"s{i}", system=f"system{i // 4}", worker="w1")
        w.link(f"group/connect-s{i}", "racks", "rack/a")
        w.see(f"connector/c/s{i}", "put-latency-high")
        w.see(f"group/connect-s{i}", "lag-growing")
    assert w.causes() == [("system-throttled", f"system/system{i}") for i in range(10)]


def test_a_deployment_of_the_service_counts_for_its_group() -> None:
    w = World()
    w.group("a")
    w.link("group/a", "services", "service/shop")
    w.see("group/a", "rebalancing", "lag-growing")
    assert w.causes() == [("rebalance-storm", "group/a")]
    w.declare("deploy", "service/shop")
    assert w.causes() == [("bad-deployment", "group/a")]


def test_d12_groups_that_fall_behind_together_are_one_trouble_of_unknown_cause() -> None:
    w = World()
    for n in "abcd":
        w.group(n, topic=f"t-{n}", leaders=(ord(n) % 3, 9), coordinator=ord(n) % 3)
        w.see(f"group/{n}", "lag-growing", "commits-slow", since=T0 - 100_000 + 20_000 * "abcd".index(n))
    w.group("well", topic="other", leaders=(9,))
    for n in "stuvw":
        w.group(f"well-{n}", topic="other", leaders=(9,))
        w.well(f"group/well-{n}", "lag")
    assert w.causes() == [("unknown", "cluster/prod")]


def test_d12_groups_that_fall_behind_at_different_times_are_slow_each_for_itself() -> None:
    w = World()
    for k, n in enumerate("abcd"):
        w.group(n, topic=f"t-{n}", leaders=(k,), coordinator=k)
        w.see(f"group/{n}", "lag-growing", "commits-slow", since=T0 - 100_000 - 400_000 * k)
    assert w.causes() == [("slow-consumer", f"group/{n}") for n in "abcd"]


def test_d12_what_all_of_them_hang_on_and_few_others_do_is_the_root() -> None:
    w = World()
    for n in "abc":
        w.group(n, topic=f"t-{n}", leaders=(7,), coordinator=ord(n) % 3)
        w.see(f"group/{n}", "lag-growing", "commits-slow", since=T0 - 100_000)
    w.group("well", topic="other", leaders=(8,))
    assert w.causes() == [("unknown", "broker/7")]


def test_d13_what_chance_rarely_shows_is_less_and_less_chance_as_it_stays() -> None:
    def causes(minutes: int) -> list[tuple[str, str]]:
        w = World()
        w.link("broker/1", "rack", "rack/a")
        w.see("rack/a", "probe-failing", "probe-slow", since=T0 - 60_000 * minutes, detail={"apart": "yes"})
        return w.causes()

    assert causes(1) == []
    assert causes(10) == [("network-rack", "rack/a")]


@pytest.mark.parametrize(
    ("workers", "apart", "cause"),
    [(["c/w1"], "yes", [("connect-capacity", "connect-worker/c/w1")]), (["c/w1", "c/w2"], "no", None), (["c/w2"], "yes", None)],
)
def test_d1_a_worker_slows_the_tasks_that_it_runs(workers: list[str], apart: str, cause: list[tuple[str, str]] | None) -> None:
    """Sinks of two systems, each with tasks on both workers: whether one worker has no capacity is told before its processor
    is over any limit."""
    w = World()
    for n in range(1, 5):
        w.sink(f"s{n}", f"sys{n % 2}")
        w.link(f"connector/c/s{n}", "worker", "connect-worker/c/w1", "connect-worker/c/w2")
        w.see(f"connector/c/s{n}", "put-latency-high", since=T0 - 60_000, detail={"workers": workers, "apart": apart})
    assert w.causes() == (cause or w.causes())
    assert (("connect-capacity", "connect-worker/c/w1") in w.causes()) is (cause is not None)


@pytest.mark.parametrize(("read", "stale", "told"), [(False, False, False), (True, False, True), (False, True, True)])
def test_d16_a_topic_that_nobody_reads_starves_nobody(read: bool, stale: bool, told: bool) -> None:
    """Kafka's own topics and Connect's fall silent with what is written about; an objective makes any topic somebody's."""
    w = World()
    w.link("topic/__transaction_state", "topic-leaders", "broker/1")
    if read:
        w.group("g", topic="__transaction_state")
    w.see("topic/__transaction_state", "produce-stopped", *(["data-stale"] if stale else []), since=T0 - 600_000)
    assert (("source-outage", "topic/__transaction_state") in w.causes()) is told


@pytest.mark.parametrize(
    ("what", "kind", "fed"),
    [("group/enrich", "commits-stopped", True), ("topic/raw", "produce-stopped", True), ("topic/raw", "stable-end-stuck", True),
     ("group/other", "commits-stopped", False), ("topic/made", "partition-hot", False)],
)  # fmt: skip
def test_d16_what_is_made_of_what_is_read_dries_up_with_it(what: str, kind: str, fed: bool) -> None:
    w = World()
    w.group("enrich", topic="raw")
    w.group("other", topic="made")
    w.link("principal/svc", "principal-topics", "topic/made")
    w.link("principal/svc", "principal-groups", "group/enrich", "group/other")
    w.see(what, kind, since=T0 - 200_000)
    w.see("topic/made", "produce-stopped", since=T0 - 150_000)
    assert (("source-outage", "topic/made") not in w.causes()) is fed


def test_d16_of_two_topics_that_feed_each_other_the_first_to_dry_up_is_the_outage() -> None:
    w = World()
    for n, (a, b) in enumerate([("raw", "made"), ("made", "raw")]):
        w.group(f"g{n}", topic=a)
        w.link(f"principal/p{n}", "principal-topics", f"topic/{b}")
        w.link(f"principal/p{n}", "principal-groups", f"group/g{n}")
        w.see(f"topic/{a}", "produce-stopped", since=T0 - 200_000 + 20_000 * n)
    assert w.causes() == [("source-outage", "topic/raw")]


def test_d15_traffic_that_rises_at_all_brokers_is_no_more_than_one_chance() -> None:
    """A day has its hours: seen where an old rebalance of one group was told anew for it."""
    w = World()
    for c in ("prod", "other"):
        for n in range(3):
            b = Entity("broker", c, str(n))
            found = (Symptom(kind="traffic-high", entity=b, since_ms=T0 - 60_000, last_ms=T0, value=1.0, why="busy"),)
            w.board.report("metrics", b, T0, 30_000, frozenset({"traffic-high"}), found)
    evidence = Evidence(w.board, w.estate, {}, w.changes, w.now)
    assert [(u.entity.cluster, u.leak) for u in evidence.units] == [
        ("other", 0.05), ("other", 0.5), ("other", 0.5), ("prod", 0.05), ("prod", 0.5), ("prod", 0.5),
    ]  # fmt: skip


def test_d12_a_trouble_whose_symptoms_all_have_other_causes_leaves_nothing_to_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen where stopped groups shared one stray of a broker with a poisoned one; here one of two causes of each counts."""
    w = World()
    for n in "abc":
        w.group(n, topic=f"t-{n}", leaders=(1,), coordinator=2)
        w.see(f"group/{n}", "lag-growing", "commits-stopped", since=T0 - 100_000)

    def slow(earning: Iterable[Candidate]) -> list[list[Candidate]]:
        return [[c for c in earning if c.compiled.cause.id == "slow-consumer"]]

    monkeypatch.setattr(infer, "together", slow)
    assert w.causes() == [("coordinator-trouble", "broker/2")]


def test_the_collector_waits_during_a_diagnosis_which_leaves_it_nothing() -> None:
    w = World()
    w.group("g")
    w.see("group/g", "lag-growing", "commits-slow")
    w.see("broker/1", "local-time-high")
    assert w.diagnose()
    gc.collect()
    gc.disable()
    try:
        found = w.diagnose()
        assert not gc.isenabled()
        assert gc.collect() == 0, "cycles that wait for the collector"
    finally:
        gc.enable()
    assert found == w.diagnose()
    assert gc.isenabled()


def test_the_collector_goes_on_after_a_diagnosis_that_fails() -> None:
    w = World()
    w.see("group/g", "lag-growing")
    evidence = Evidence(w.board, w.estate, {}, w.changes, w.now)
    with pytest.raises(AttributeError):
        diagnose(w.catalogue, None, evidence)  # type: ignore[arg-type]
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("voters", "cause"), [([101, 102], "controller-trouble"), ([1, 2, 3], "broker-down"), (None, "broker-down")]
)
def test_d1_elections_of_a_quorum_are_no_effect_of_a_broker_without_a_vote(voters: list[int] | None, cause: str) -> None:
    w = World()
    for b in "123456":
        w.link("cluster/prod", "brokers", f"broker/{b}")
        w.link(f"broker/{b}", "cluster", "cluster/prod")
    w.see("cluster/prod", "controller-churn", "heartbeats-missed", detail=None if voters is None else {"voters": voters})
    w.see("broker/3", "broker-gone", "leaders-moved")
    assert [c for c, _ in w.causes()] == [cause]


def test_a_partition_that_hangs_while_the_balancer_moves_it_is_the_balancers_trouble() -> None:
    w = World(platform="automq")
    w.see("cluster/prod", "balancer-delayed", "partition-status-odd", "offline-partitions")
    assert w.causes() == [("balancer-trouble", "cluster/prod")]


def outage(failed: int) -> World:
    """A system that is slow from -300 s on for its four sinks, whose groups stop; ``failed`` of these fail at -60 s."""
    w = World()
    for i in range(4):
        w.sink(f"s{i}", worker=f"w{i}")
        w.see(f"group/connect-s{i}", "commits-stopped", since=w.now - 270_000)
        w.board.report(
            "connect", entity(f"connector/c/s{i}"), w.now, 30_000, judged_by("connect", "connector"),
            [
                Symptom(kind=kind, entity=entity(f"connector/c/s{i}"), since_ms=w.now - ago, last_ms=w.now, value=1.0, why="seen", detail=d)
                for kind, ago, d in (
                    ("put-latency-high", 300_000, {}),
                    *([("task-failed", 60_000, {"type": "sink", "trace_kind": "system"})] if i < failed else []),
                )
            ],
        )  # fmt: skip
    return w


@pytest.mark.parametrize(
    ("failed", "cause"), [(0, "system-throttled"), (1, "system-throttled"), (3, "system-down"), (4, "system-down")]
)
def test_d6_sinks_wait_for_a_system_that_is_down_before_they_fail(failed: int, cause: str) -> None:
    assert outage(failed).causes() == [(cause, "system/warehouse")]


def test_who_asks_a_lost_leader_is_stuck_there_and_who_is_stuck_elsewhere_is_by_itself() -> None:
    def diagnosed(led: dict[str, float]) -> list[tuple[str, str]]:
        w = World()
        w.group("a", leaders=(1, 2))
        w.see("broker/1", "broker-gone", "leaders-moved", "replica-behind", since=w.now - 120_000)
        w.see(
            "group/a",
            "partition-stuck",
            since=w.now - 100_000,
            detail={"led": led, "topic": "orders", "partitions": ["orders/3"]},
        )
        return w.causes()

    assert diagnosed({"1": 1.0, "2": 1.0}) == [("broker-down", "broker/1")], "it was led there, and is led elsewhere now"
    assert diagnosed({"2": 1.0}) == [("broker-down", "broker/1"), ("poison-record", "group/a")]


@pytest.mark.parametrize(("detail", "cause"), [({"mild": "yes"}, "replica-catch-up"), ({}, "broker-storage-pressure")])
def test_a_disk_that_is_a_little_slower_for_the_replicas_written_to_it_is_no_trouble_of_its_own(
    detail: dict[str, str], cause: str
) -> None:
    w = World()
    for b in "123":
        w.link("cluster/prod", "brokers", f"broker/{b}")
        w.link(f"broker/{b}", "cluster", "cluster/prod")
    w.see("cluster/prod", "under-replicated", "reassigning")
    w.see("broker/1", "local-time-high", "replication-busy", detail=detail)
    w.see("broker/1", "replica-behind")
    assert cause in [c for c, _ in w.causes()]
    assert len(w.causes()) == 1 or not detail
