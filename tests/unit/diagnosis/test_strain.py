"""D10: what load and waiting pass on belongs to the trouble it hangs on, and buys no cause."""

from __future__ import annotations

import pytest

from kroute.contracts.inputs import BrokerInfo, PartitionInfo, TopicInfo, Topology
from kroute.diagnosis.evidence import Evidence
from kroute.diagnosis.infer import diagnose
from kroute.diagnosis.paths import Walker
from kroute.diagnosis.strain import strain
from kroute.diagnosis.suspects import Suspects
from kroute.signals.model import Symptom
from tests.unit.diagnosis.town import BROKERS, RACKS, Town
from tests.unit.diagnosis.world import T0, C, World, entity


def topology(**leaders: list[int]) -> Topology:
    """Topics and the leader of each of their partitions."""
    placed = {t: tuple(PartitionInfo(p, b, (b,), (b,)) for p, b in enumerate(of)) for t, of in leaders.items()}
    brokers = tuple(BrokerInfo(id=b, state="alive") for b in BROKERS)
    topics = tuple(TopicInfo(name=t, partitions=partitions) for t, partitions in placed.items())
    return Topology(cluster=C, observed_at_ms=T0, brokers=brokers, topics=topics)


def troubled(w: Town) -> None:
    """Broker 1 is out of threads, and what it leads waits for it."""
    w.ill("broker/1", "handler-idle-low", "request-queue-high", "latency-high")
    w.ill("group/g1", "lag-growing")
    w.ill("group/g7", "lag-growing")


def test_a_load_symptom_of_a_neighbour_is_no_second_incident() -> None:
    w = Town()
    troubled(w)
    w.ill("broker/2", "handler-idle-low", "request-queue-high", ago=300_000)
    w.ill("topic/t1", "partition-hot", ago=300_000)
    found = w.found()
    assert list(found) == [("broker-saturation", "broker/1")]
    told = {(str(e), kind) for e, kind in found["broker-saturation", "broker/1"].explains}
    assert {("broker/2", "handler-idle-low"), ("topic/t1", "partition-hot")} <= told


@pytest.mark.parametrize("surges", [True, False])
def test_who_waits_takes_less_and_is_not_why_more_is_written_to_one_partition(surges: bool) -> None:
    """Where no more is written in all it may be that the others get less."""
    w = Town()
    w.ill("cluster/prod", "controller-churn", "quorum-lagging")
    w.ill("topic/t1", "partition-hot", *(["produce-surge"] if surges else []), ago=300_000)
    evidence = Evidence(w.board, w.estate, {}, w.changes, w.now)
    walker = Walker(w.estate)
    suspects = Suspects(w.catalogue, w.estate, evidence, walker)
    strain(suspects.weighed.values(), evidence, walker)
    mine = suspects.weighed["controller-trouble", entity("cluster/prod")].cover
    assert (evidence.shown[entity("topic/t1")].units["skew"] in mine) is not surges


def test_a_cause_that_slows_explains_no_group_that_stands_still_alone() -> None:
    def found(stopped: int) -> set[tuple[str, str]]:
        w = Town()
        w.ill("cluster/prod", "under-replicated", "reassigning")
        for b in BROKERS:
            w.ill(f"broker/{b}", "replica-behind", "replication-busy")
        for n in range(1, 8):
            w.ill(f"group/g{n}", "lag-growing", *(["commits-stopped"] if n <= stopped else []), ago=300_000)
        return set(w.found())

    assert ("stopped-consumer", "group/g1") in found(1)
    assert found(7) == {("replica-catch-up", "cluster/prod")}


def test_what_began_before_the_cause_is_not_its_effect() -> None:
    w = Town()
    troubled(w)
    w.ill("broker/2", "handler-idle-low", "request-queue-high", "latency-high", ago=1_800_000)
    assert ("broker-saturation", "broker/2") in w.found()


def test_what_names_its_own_cause_is_not_passed_on() -> None:
    w = Town()
    troubled(w)
    w.ill("group/g1", "lag-growing", "offset-skipped", ago=300_000)
    assert ("records-skipped", "group/g1") in w.found()


def test_a_symptom_out_of_reach_is_left_alone() -> None:
    w = Town()
    troubled(w)
    w.ill("group/g4", "lag-growing", ago=300_000)  # read from brokers 4 and 5, coordinated by 3
    assert ("slow-consumer", "group/g4") in w.found()


def test_strays_alone_buy_no_cause() -> None:
    """One weak symptom of a broker and strays of its groups: the strays do not pay for the broker's trouble."""
    w = World()
    w.group("a", leaders=(1,))
    w.see("broker/1", "cpu-high")
    w.see("group/a", "rebalancing", "member-churn")
    assert not [c for c, _ in w.causes() if c in ("broker-saturation", "broker-memory")]


def test_an_episode_begins_with_its_first_symptom() -> None:
    """A broker that comes and goes has not begun anew: what came between is its effect."""
    w = Town()
    w.see("broker/1", "broker-gone", "replica-behind", since=T0 - 60_000)
    w.see("cluster/prod", "under-replicated", since=T0 - 580_000)
    gone = next(s for (e, k), s in w.board.active.items() if k == "broker-gone")
    before = {(gone.entity, "broker-gone"): type(gone)(
        kind="broker-gone", entity=gone.entity, since_ms=T0 - 600_000, last_ms=T0 - 300_000, why="gone before")}  # fmt: skip
    evidence = Evidence(w.board, w.estate, before, w.changes, w.now)
    assert evidence.shown[gone.entity].symptoms["broker-gone"].since_ms == T0 - 600_000


def test_what_a_backlog_makes_of_its_brokers_is_its_aftermath() -> None:
    """D11: the group was stopped and reads its backlog; the broker that it reads from has no threads left."""
    w = Town()
    g = entity("group/g1")
    episode = {
        (g, k): Symptom(kind=k, entity=g, since_ms=T0 - 1_200_000, last_ms=T0 - 90_000, why="was")
        for k in ("group-empty", "commits-stopped", "lag-growing")
    }
    w.ill("broker/1", "handler-idle-low", "request-queue-high", ago=60_000)
    found = diagnose(w.catalogue, w.estate, Evidence(w.board, w.estate, episode, w.changes, w.now))
    assert [(h.cause, str(h.root)) for h in found] == [("stopped-consumer", "group/g1")]
    w.ill(
        "group/g1", "group-empty", "commits-stopped", "lag-growing", ago=1_200_000
    )  # while it is still stopped it reads nothing, and burdens nobody
    assert ("broker-saturation", "broker/1") in w.found()


def test_one_group_is_no_pattern_of_its_coordinator() -> None:
    w = Town()
    w.ill("group/g1", "commits-stopped", "rebalancing", "lag-growing")
    assert "coordinator-trouble" not in [c for c, _ in w.causes()]


def test_who_is_alone_with_it_among_many_alike_is_less_likely_strained() -> None:
    """Of two ways to explain a stray, the trouble that many neighbours show is surer than the one that one of many shows."""

    def cover(ill: int) -> float:
        w = World()
        for n in range(10):
            w.group(f"g{n}", topic=f"t{n}")
            w.well(f"group/g{n}", "lag")
        for n in range(ill):
            w.see(f"group/g{n}", "reading-remote")
        w.see("broker/1", "handler-idle-low", "request-queue-high", "latency-high")
        evidence = Evidence(w.board, w.estate, {}, w.changes, w.now)
        walker = Walker(w.estate)
        suspects = Suspects(w.catalogue, w.estate, evidence, walker)
        strain(suspects.weighed.values(), evidence, walker)
        mine = suspects.weighed["broker-saturation", entity("broker/1")].cover
        return mine[evidence.shown[entity("group/g0")].units["locality"]]

    assert cover(1) < cover(4) < cover(10) <= 0.9


def test_of_another_brokers_own_disk_nothing_is_strain() -> None:
    w = Town()
    troubled(w)
    w.ill("broker/2", "local-time-high", "flush-slow", "latency-high", "request-queue-high", ago=120_000)
    assert ("broker-storage-pressure", "broker/2") in w.found()


def test_a_group_whose_connector_has_failed_is_not_told_of_who_strains_its_brokers() -> None:
    """Both causes are there and both explain it; it goes to the one that shows it far more surely, whatever their names."""
    w = Town()
    w.ill("group/g1", "offset-rewound")
    w.ill("connector/c/s1", "task-failed", detail={"trace_kind": "config"})
    w.ill("group/connect-s1", "commits-stopped", "lag-growing")
    found = w.found()
    rewound, failed = found["offset-fault", "group/g1"], found["sink-failed", "connector/c/s1"]
    group = entity("group/connect-s1")
    assert {kind for e, kind in failed.explains if e == group} == {"commits-stopped", "lag-growing"}
    assert group not in {e for e, _ in rewound.explains}


def test_where_a_stranger_reads_from_is_no_stray_of_what_is_sent_again() -> None:
    """Load on a topic makes its readers carry more across zones, not those of another topic on the same brokers."""
    w = Town()
    w.ill("topic/t6", "produce-retries")
    w.ill("group/g12", "cross-zone-high", "reading-remote")  # reads t6
    assert w.causes() == [("retry-storm", "topic/t6")]
    w.ill("group/g1", "cross-zone-high", "reading-remote")  # reads t1, of which broker 1 leads partitions as of t6
    assert ("cross-zone-reads", "group/g1") in w.causes()
    assert ("cross-zone-reads", "group/g12") not in w.causes()


def test_so_much_load_that_leaders_move_changes_from_where_strangers_read() -> None:
    """One principal takes it all, brokers give up leaders: who read near by no longer does, and no network has to fail for it."""
    w = Town()
    w.ill("principal/p1", "dominates")
    w.all_ill("broker", "handler-idle-low", "request-queue-high", "latency-high", "traffic-high", "cpu-high", "network-idle-low")
    w.all_ill("group", "lag-growing", "commits-slow")
    w.ill("group/g12", "reading-remote", ago=300_000)  # reads what p1 does not send
    w.ill("group/g11", "reading-remote", ago=300_000)
    strangers = {entity("group/g11"), entity("group/g12")}
    assert not strangers & {e for e, _ in w.found()["noisy-tenant", "principal/p1"].explains}
    w.ill("broker/1", "leaders-moved", ago=400_000)
    w.ill("cluster/prod", "heartbeats-missed", ago=300_000)
    found = w.found()
    assert list(found) == [("noisy-tenant", "principal/p1")]
    told = {(str(e), kind) for e, kind in found["noisy-tenant", "principal/p1"].explains}
    assert {("group/g11", "reading-remote"), ("group/g12", "reading-remote"), ("cluster/prod", "heartbeats-missed")} <= told


def test_where_all_brokers_are_as_ill_as_one_it_is_what_they_have_in_common() -> None:
    w = Town()
    w.ill("principal/p1", "dominates")
    w.all_ill("broker", "handler-idle-low", "request-queue-high", "latency-high", "traffic-high")
    assert w.causes() == [("noisy-tenant", "principal/p1")]


def test_a_record_that_cannot_be_read_is_told_beside_a_failing_rack() -> None:
    """The partition that is stuck lags too, and lag is passed on; that it is stuck is not."""
    w = Town()
    w.ill("rack/a", "probe-failing", "probe-slow", detail={"apart": "yes"})
    for b in RACKS["a"]:
        w.ill(f"broker/{b}", "broker-gone", "replica-behind", "leaders-moved")
    w.ill("cluster/prod", "under-replicated", "under-min-isr")
    w.ill("group/g1", "lag-growing", "partition-lagging", "partition-stuck", ago=300_000)
    assert {("network-rack", "rack/a"), ("poison-record", "group/g1")} <= set(w.found())


def test_a_hot_partition_strains_the_broker_that_leads_it_and_no_other() -> None:
    def causes(broker: str) -> list[tuple[str, str]]:
        w = Town()
        w.estate.observe_topology(topology(t1=[1, 2]))
        w.ill("topic/t1", "partition-hot", detail={"partitions": [1]})
        w.ill("group/g1", "partition-lagging")
        w.ill(broker, "handler-idle-low", "request-queue-high", "latency-high")
        return list(w.found())

    assert causes("broker/2") == [("hot-partition", "topic/t1")]
    assert ("broker-saturation", "broker/1") in causes("broker/1")


def test_where_no_leader_is_known_a_hot_partition_strains_those_of_its_topic() -> None:
    w = Town()
    w.ill("topic/t1", "partition-hot", detail={"partitions": [1]})
    w.ill("group/g1", "partition-lagging")
    w.ill("broker/2", "handler-idle-low", "request-queue-high", "latency-high")
    assert list(w.found()) == [("hot-partition", "topic/t1")]


def test_the_load_of_one_topic_makes_probes_wait_and_seldom_fail() -> None:
    def cover(kind: str, **detail: str) -> float:
        w = Town()
        w.ill("topic/t1", "produce-retries")
        w.ill("broker/1", "request-errors-high")
        w.ill("rack/a", kind, detail=detail)
        evidence, walker = Evidence(w.board, w.estate, {}, w.changes, w.now), Walker(w.estate)
        suspects = Suspects(w.catalogue, w.estate, evidence, walker)
        strain(suspects.weighed.values(), evidence, walker)
        return suspects.weighed["retry-storm", entity("topic/t1")].cover[evidence.shown[entity("rack/a")].units["probe"]]

    assert 0 < cover("probe-failing", apart="yes") < cover("probe-failing") / 5
    assert cover("probe-failing") < cover("probe-slow") / 2


def test_on_automq_the_log_of_each_broker_lies_behind_the_network() -> None:
    w = Town("automq")
    w.all_ill("rack", "probe-failing", of=RACKS)
    w.all_ill("broker", "wal-slow", "local-time-high", "latency-high")
    assert list(w.found()) == [("network-platform", "cluster/prod")]


def test_the_load_of_one_topic_makes_no_members_of_strangers_come_and_go() -> None:
    w = Town()
    w.ill("topic/t1", "partition-hot")
    w.ill("group/g1", "partition-lagging", "lag-growing")
    w.ill("group/g6", "member-churn", "rebalancing", ago=300_000)  # it reads t6, which broker 1 leads too
    assert list(w.found()) == [("hot-partition", "topic/t1"), ("rebalance-storm", "group/g6")]


def beside_a_hot_topic(*kinds: str, waits: bool = True, led: dict[str, float]) -> list[str]:
    """One partition of t1 (brokers 1 and 2) takes it all; g6, which reads t6 from brokers 6 and 1, shows these too."""
    w = Town()
    w.ill("topic/t1", "partition-hot")
    w.ill("group/g1", "partition-lagging")
    if waits:
        w.ill("broker/1", "request-queue-high", "latency-high")
    w.ill("group/g6", *kinds, ago=300_000, detail={"led": led})
    return [c for c, _ in w.found()]


def test_a_load_reaches_strangers_through_leaders_that_wait() -> None:
    falls_behind = ("lag-growing", "commits-slow")
    assert beside_a_hot_topic(*falls_behind, led={"1": 1.0}) == ["hot-partition"]
    assert beside_a_hot_topic(*falls_behind, led={"1": 1.0}, waits=False) == ["hot-partition", "slow-consumer"]
    assert beside_a_hot_topic(*falls_behind, led={"6": 1.0}) == ["hot-partition", "slow-consumer"]
    assert beside_a_hot_topic(*falls_behind, led={}) == ["hot-partition", "slow-consumer"]


def test_who_waits_for_a_busy_broker_goes_on_committing() -> None:
    found = beside_a_hot_topic("lag-growing", "commits-stopped", led={"1": 1.0})
    assert found == ["hot-partition", "stopped-consumer"]


def test_leaders_that_are_not_observed_may_wait() -> None:
    w = Town()
    w.link("topic/t1", "topic-leaders", "broker/9")
    w.ill("topic/t1", "partition-hot")
    w.ill("group/g1", "partition-lagging")
    w.group("g20", "t9", leaders=(9,))
    w.ill("group/g20", "lag-growing", "commits-slow", ago=300_000, detail={"led": {"9": 1.0}})
    assert [c for c, _ in w.found()] == ["hot-partition"]


def test_on_automq_what_waits_for_the_object_store_is_no_trouble_of_the_network() -> None:
    """Uploads fail, so logs fill and appends wait for them: produce is slow, and probes fail alike from everywhere."""
    w = Town("automq")
    stuck = ("wal-slow", "wal-full", "local-time-high", "latency-high", "request-errors-high")
    w.all_ill("broker", "object-store-failing", "object-store-slow", "back-pressure", *stuck)
    w.all_ill("rack", "probe-failing", "probe-slow", of=RACKS)
    assert list(w.found()) == [("object-store-trouble", "cluster/prod")]


@pytest.mark.parametrize(("after_s", "its_own"), [(60, False), (200, True)])
def test_members_that_move_minutes_after_a_broker_is_back_are_not_its_aftermath(after_s: int, its_own: bool) -> None:
    w = Town()
    over = w.now - 600_000
    gone = [
        Symptom(kind=kind, entity=entity("broker/1"), since_ms=over - 400_000, last_ms=over)
        for kind in ("broker-gone", "leaders-moved", "replica-behind")
    ]
    w.see("group/g1", "member-churn", since=over + after_s * 1000)
    evidence = Evidence(w.board, w.estate, {(s.entity, s.kind): s for s in gone}, w.changes, w.now)
    suspects = Suspects(w.catalogue, w.estate, evidence, Walker(w.estate))
    strain(suspects.weighed.values(), evidence, Walker(w.estate))
    cover = suspects.weighed["broker-down", entity("broker/1")].cover
    assert (evidence.shown[entity("group/g1")].units["rebalance"] not in cover) is its_own


def test_members_that_are_not_there_are_no_stray_of_a_quorum_in_trouble() -> None:
    w = Town()
    w.ill("cluster/prod", "controller-churn", "quorum-lagging")
    w.ill("broker/1", "broker-gone", "leaders-moved")
    w.ill("group/g4", "group-empty", "commits-stopped", "lag-growing", ago=300_000)
    assert ("stopped-consumer", "group/g4") in w.found()
