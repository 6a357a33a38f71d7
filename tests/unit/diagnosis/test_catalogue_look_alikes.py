"""Causes that look alike are told apart, each way; a cause that a platform does not have is never named; two faults at
once are both found; what is merely unusual buys nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.diagnosis import test_catalogue as typical
from tests.unit.diagnosis.town import TEN_MINUTES, Town, near
from tests.unit.diagnosis.world import SHIPPED, entity


def two_groups_stuck_after_a_schema_change(w: Town) -> None:
    w.declare("schema", "topic/t1", at=w.now - 660_000)
    w.all_ill("group", "partition-stuck", "member-churn", of=("g1", "g7"))


def one_group_stuck_while_its_sibling_reads_on(w: Town) -> None:
    w.ill("group/g1", "partition-stuck", "member-churn")


def a_slow_member(w: Town) -> None:
    w.ill("group/g1", "member-lagging", "lag-growing")


def a_group_that_hangs_with_its_members(w: Town) -> None:
    w.ill("group/g1", "commits-stopped")


def one_group_rebalances_no_deployment_known(w: Town) -> None:
    w.ill("group/g1", "rebalancing", "member-churn", "commits-stopped")


def the_same_group_right_after_a_deployment(w: Town) -> None:
    w.declare("deploy", "group/g1", at=w.now - 700_000)
    w.ill("group/g1", "rebalancing", "member-churn", "commits-stopped")


def all_groups_of_one_coordinator_rebalance(w: Town) -> None:
    w.all_ill("group", "rebalancing", "commits-stopped", "lag-growing", of=near(w, "broker/4", "coordinated"))


def all_groups_of_one_coordinator_rebalance_after_one_of_them_was_deployed(w: Town) -> None:
    all_groups_of_one_coordinator_rebalance(w)
    w.declare("deploy", f"group/{near(w, 'broker/4', 'coordinated')[0]}", at=w.now - 700_000)


def a_rewind_that_reads_slowly(w: Town) -> None:
    w.ill("group/g1", "offset-rewound", "lag-growing")


def a_rewind_that_reads_fast(w: Town) -> None:
    w.ill("group/g1", "offset-rewound", "reading-fast", "catching-up")


def a_declared_rewind_whose_lag_still_grows(w: Town) -> None:
    w.declare("offset-reset", "group/g1", at=w.now - 660_000)
    w.ill("group/g1", "offset-rewound", "lag-growing")


def slow_sinks_of_one_system_on_two_workers(w: Town) -> None:
    for i in (1, 2, 3, 4):
        w.ill(f"connector/c/s{i}", "put-latency-high")


def slow_sinks_of_two_systems_on_one_worker(w: Town) -> None:
    w.ill("connect-worker/c/w1", "worker-overloaded")
    for i in (1, 3, 5):
        w.ill(f"connector/c/s{i}", "put-latency-high")


def one_slow_sink_of_four(w: Town) -> None:
    w.ill("connector/c/s2", "put-latency-high")
    w.ill("group/connect-s2", "lag-growing")


def lag_of_a_sinks_group_alone(w: Town) -> None:
    w.ill("group/connect-s2", "lag-growing", "commits-slow")


def one_sink_failed_by_its_configuration(w: Town) -> None:
    w.ill("connector/c/s1", "task-failed", detail={"trace_kind": "config"})


def all_sinks_failed_by_the_system(w: Town) -> None:
    for i in (1, 2, 3, 4):
        w.ill(f"connector/c/s{i}", "task-failed", detail={"trace_kind": "system"})


def queue_up_and_local_time_flat(w: Town) -> None:
    w.ill("broker/3", "handler-idle-low", "request-queue-high", "latency-high", "traffic-high")


def local_time_up_and_the_queue_follows(w: Town) -> None:
    w.ill("broker/3", "local-time-high", "handler-idle-low", "request-queue-high", "latency-high")


def all_brokers_busy_and_nobody_dominates(w: Town) -> None:
    w.ill("broker/3", "handler-idle-low", "request-queue-high", "traffic-high")


def all_brokers_busy_while_one_principal_dominates(w: Town) -> None:
    w.ill("principal/p2", "dominates")
    w.all_ill("broker", "handler-idle-low", "request-queue-high", "traffic-high")


def one_broker_of_a_rack_gone(w: Town) -> None:
    w.ill("broker/3", "broker-gone", "replica-behind", "leaders-moved")
    w.ill("cluster/prod", "under-replicated", "heartbeats-missed")


def all_brokers_of_a_rack_gone(w: Town) -> None:
    w.ill("rack/b", "probe-failing")
    w.all_ill("broker", "broker-gone", "replica-behind", "leaders-moved", of=("3", "4"))
    w.ill("cluster/prod", "under-replicated", "heartbeats-missed")


def behind_with_reassignments_listed(w: Town) -> None:
    w.ill("cluster/prod", "under-replicated", "reassigning")
    w.ill("broker/3", "replica-behind", "replication-busy")


def a_broker_that_was_away_copies_what_it_missed(w: Town) -> None:
    w.ill("cluster/prod", "under-replicated")
    w.ill("broker/3", "replica-behind", "replication-busy", "flush-slow", "latency-high")
    w.ill("broker/3", "leaders-moved", detail={"away": "yes"})


def a_slow_disk_whose_leaders_were_moved_away(w: Town) -> None:
    w.ill("cluster/prod", "under-replicated")
    w.ill("broker/3", "replica-behind", "flush-slow", "local-time-high", "latency-high", "leaders-moved")


def twice_as_much_is_written_and_all_readers_fall_behind(w: Town) -> None:
    w.ill("topic/t1", "produce-surge")
    w.all_ill("group", "lag-growing", of=("g1", "g7", "connect-s1"))


def twice_as_much_is_written_and_one_reader_falls_behind(w: Town) -> None:
    w.ill("topic/t1", "produce-surge")
    w.ill("group/g1", "lag-growing", "commits-slow")


def ten_times_as_much_is_written_and_one_reader_falls_behind(w: Town) -> None:
    w.ill("topic/t1", "produce-surge", detail={"far": "yes"})
    w.ill("group/g1", "lag-growing", "commits-slow")


def one_principal_writes_so_much_that_its_topic_surges(w: Town) -> None:
    twice_as_much_is_written_and_all_readers_fall_behind(w)
    w.ill("principal/p1", "dominates")
    w.all_ill("broker", "handler-idle-low", "request-queue-high", "traffic-high")


def all_probes_fail_and_signals_stop(w: Town) -> None:
    w.all_ill("rack", "probe-failing")
    w.ill("source/broker-metrics/broker", "signals-missing")
    w.ill("cluster/prod", "heartbeats-missed", "under-replicated")


def signals_stop_while_the_data_path_is_well(w: Town) -> None:
    w.ill("source/broker-metrics/broker", "signals-missing")


def quorum_in_trouble_while_brokers_live(w: Town) -> None:
    w.ill("cluster/prod", "controller-churn", "quorum-lagging", "offline-partitions")


def throttled_and_brokers_idle(w: Town) -> None:
    w.ill("principal/p2", "throttled")
    w.ill("group/g2", "lag-growing")


def throttled_because_it_dominates(w: Town) -> None:
    w.ill("principal/p2", "throttled", "dominates")
    w.all_ill("broker", "handler-idle-low", "traffic-high")


def stable_end_stands_while_producers_write(w: Town) -> None:
    w.ill("transaction/tx", "transaction-open")
    w.ill("topic/t2", "stable-end-stuck")
    w.ill("group/g2", "commits-stopped")
    w.ill("group/g8", "commits-stopped")


def produce_fails_and_records_are_flat(w: Town) -> None:
    w.ill("topic/t2", "produce-retries")
    w.all_ill("broker", "request-errors-high", of=("2",))


def reads_across_zones_and_everything_else_fine(w: Town) -> None:
    w.ill("group/g3", "cross-zone-high", "reading-remote", "lag-growing")


def what_it_reads_from_afar_is_behind_and_nothing_else(w: Town) -> None:
    w.ill("group/g3", "lag-growing", "commits-slow", "reading-remote", detail={"lag": "remote"})


def a_slow_group_that_reads_from_another_rack(w: Town) -> None:
    w.ill("group/g3", "lag-growing", "commits-slow", "reading-remote")


def all_sinks_of_a_worker_stop_and_nothing_else_is_known(w: Town) -> None:
    w.all_ill("group", "commits-stopped", "lag-growing", of=[f"connect-s{i}" for i in (1, 3, 5)])


def one_topic_silent(w: Town) -> None:
    w.ill("topic/t6", "produce-stopped")
    w.ill("connector/c/crm", "task-failed", detail={"trace_kind": "system", "type": "source"})


def a_source_connector_fails_and_its_topic_is_not_known_to_be_silent_yet(w: Town) -> None:
    w.ill("connector/c/crm", "task-failed", detail={"trace_kind": "system", "type": "source"}, ago=30_000)


def denied(w: Town) -> None:
    w.ill("principal/p3", "authorization-failing")


def not_authenticated(w: Town) -> None:
    w.ill("principal/p3", "authentication-failing")
    w.ill("group/g3", "group-empty", "commits-stopped")


def connections_of_one_principal_fill_the_heap(w: Town) -> None:
    w.ill("principal/p3", "dominates")
    w.all_ill("broker", "connections-high", "heap-high", "gc-long", "cpu-high")


def heap_full_and_connections_flat(w: Town) -> None:
    w.ill("broker/3", "heap-high", "gc-long", "cpu-high")
    w.all_ill("group", "member-churn", of=near(w, "broker/3", "coordinated"))


def jumped_forward(w: Town) -> None:
    w.ill("group/g4", "offset-skipped")


def catching_up(w: Town) -> None:
    w.ill("group/g4", "catching-up", "reading-fast")


PAIRS: list[tuple[str, Callable[[Town], None], str, str]] = [
    ("slow-consumer", a_slow_member, "group/g1", "kafka"),
    ("hot-partition", typical.hot_partition, "topic/t1", "kafka"),
    ("poison-record", one_group_stuck_while_its_sibling_reads_on, "group/g1", "kafka"),
    ("schema-problem", two_groups_stuck_after_a_schema_change, "topic/t1", "kafka"),
    ("stopped-consumer", a_group_that_hangs_with_its_members, "group/g1", "kafka"),
    ("rebalance-storm", one_group_rebalances_no_deployment_known, "group/g1", "kafka"),
    ("bad-deployment", the_same_group_right_after_a_deployment, "group/g1", "kafka"),
    ("coordinator-trouble", all_groups_of_one_coordinator_rebalance, "broker/4", "kafka"),
    ("coordinator-trouble", all_groups_of_one_coordinator_rebalance_after_one_of_them_was_deployed, "broker/4", "kafka"),
    ("offset-fault", a_rewind_that_reads_slowly, "group/g1", "kafka"),
    ("planned-replay", a_rewind_that_reads_fast, "group/g1", "kafka"),
    ("planned-replay", a_declared_rewind_whose_lag_still_grows, "group/g1", "kafka"),
    ("system-throttled", slow_sinks_of_one_system_on_two_workers, "system/warehouse", "kafka"),
    ("connect-capacity", slow_sinks_of_two_systems_on_one_worker, "connect-worker/c/w1", "kafka"),
    ("sink-throttled", one_slow_sink_of_four, "connector/c/s2", "kafka"),
    ("slow-consumer", lag_of_a_sinks_group_alone, "group/connect-s2", "kafka"),
    ("sink-failed", one_sink_failed_by_its_configuration, "connector/c/s1", "kafka"),
    ("system-down", all_sinks_failed_by_the_system, "system/warehouse", "kafka"),
    ("broker-saturation", queue_up_and_local_time_flat, "broker/3", "kafka"),
    ("broker-storage-pressure", local_time_up_and_the_queue_follows, "broker/3", "kafka"),
    ("broker-saturation", all_brokers_busy_and_nobody_dominates, "broker/3", "kafka"),
    ("noisy-tenant", all_brokers_busy_while_one_principal_dominates, "principal/p2", "kafka"),
    ("broker-down", one_broker_of_a_rack_gone, "broker/3", "kafka"),
    ("network-rack", all_brokers_of_a_rack_gone, "rack/b", "kafka"),
    ("replica-catch-up", behind_with_reassignments_listed, "cluster/prod", "kafka"),
    ("cross-zone-reads", what_it_reads_from_afar_is_behind_and_nothing_else, "group/g3", "kafka"),
    ("slow-consumer", a_slow_group_that_reads_from_another_rack, "group/g3", "kafka"),
    ("connect-capacity", all_sinks_of_a_worker_stop_and_nothing_else_is_known, "connect-worker/c/w1", "kafka"),
    ("replica-catch-up", a_broker_that_was_away_copies_what_it_missed, "cluster/prod", "kafka"),
    ("broker-storage-pressure", a_slow_disk_whose_leaders_were_moved_away, "broker/3", "kafka"),
    ("traffic-surge", twice_as_much_is_written_and_all_readers_fall_behind, "topic/t1", "kafka"),
    ("slow-consumer", twice_as_much_is_written_and_one_reader_falls_behind, "group/g1", "kafka"),
    ("traffic-surge", ten_times_as_much_is_written_and_one_reader_falls_behind, "topic/t1", "kafka"),
    ("noisy-tenant", one_principal_writes_so_much_that_its_topic_surges, "principal/p1", "kafka"),
    ("network-platform", all_probes_fail_and_signals_stop, "cluster/prod", "kafka"),
    ("telemetry-loss", signals_stop_while_the_data_path_is_well, "source/broker-metrics/broker", "kafka"),
    ("controller-trouble", quorum_in_trouble_while_brokers_live, "cluster/prod", "kafka"),
    ("quota-throttled", throttled_and_brokers_idle, "principal/p2", "kafka"),
    ("noisy-tenant", throttled_because_it_dominates, "principal/p2", "kafka"),
    ("hung-transaction", stable_end_stands_while_producers_write, "transaction/tx", "kafka"),
    ("retry-storm", produce_fails_and_records_are_flat, "topic/t2", "kafka"),
    ("cross-zone-reads", reads_across_zones_and_everything_else_fine, "group/g3", "kafka"),
    ("source-outage", one_topic_silent, "topic/t6", "kafka"),
    ("source-outage", a_source_connector_fails_and_its_topic_is_not_known_to_be_silent_yet, "topic/t6", "kafka"),
    ("unauthorized-access", denied, "principal/p3", "kafka"),
    ("authentication-failure", not_authenticated, "principal/p3", "kafka"),
    ("noisy-tenant", connections_of_one_principal_fill_the_heap, "principal/p3", "kafka"),
    ("broker-memory", heap_full_and_connections_flat, "broker/3", "kafka"),
    ("records-skipped", jumped_forward, "group/g4", "kafka"),
    ("wal-trouble", typical.wal_trouble, "broker/2", "automq"),
    ("object-store-trouble", typical.object_store_trouble, "cluster/prod", "automq"),
    ("cache-thrash", typical.cache_thrash, "topic/t1", "automq"),
]


@pytest.mark.parametrize(("cause", "fault", "root", "platform"), PAIRS, ids=[f"{f.__name__}" for _, f, _, _ in PAIRS])
def test_look_alikes_are_told_apart(cause: str, fault: Callable[[Town], None], root: str, platform: str) -> None:
    w = Town(platform)
    fault(w)
    assert [(h.cause, str(h.root)) for h in w.diagnose()] == [(cause, root)]


@pytest.mark.parametrize("cause", ["broker-storage-pressure", "disk-full", "replica-catch-up"])
def test_what_needs_a_local_disk_does_not_exist_on_automq(cause: str) -> None:
    fault = next(f for f, c, _, _ in typical.TYPICAL if c == cause)
    w = Town("automq")
    fault(w)
    assert cause not in [h.cause for h in w.diagnose()]


@pytest.mark.parametrize("cause", ["object-store-trouble", "wal-trouble", "cache-thrash", "balancer-trouble"])
def test_what_needs_an_object_store_does_not_exist_on_kafka(cause: str) -> None:
    fault = next(f for f, c, _, _ in typical.TYPICAL if c == cause)
    w = Town("kafka")
    fault(w)
    assert cause not in [h.cause for h in w.diagnose()]


TWO_AT_ONCE: list[tuple[Callable[[Town], None], Callable[[Town], None], list[str]]] = [
    (typical.poison_record, typical.sink_throttled, ["poison-record", "sink-throttled"]),
    (typical.broker_down, typical.records_skipped, ["broker-down", "records-skipped"]),
    (typical.broker_storage_pressure, typical.source_outage, ["broker-storage-pressure", "source-outage"]),
    (typical.quota_throttled, typical.hung_transaction, ["hung-transaction", "quota-throttled"]),
    (typical.connect_capacity, typical.offset_fault, ["connect-capacity", "offset-fault"]),
    (typical.schema_problem, typical.migration_sync_lag, ["migration-sync-lag", "schema-problem"]),
    (typical.telemetry_loss, typical.slow_consumer, ["slow-consumer", "telemetry-loss"]),
    (typical.retry_storm, typical.data_class_violation, ["data-class-violation", "retry-storm"]),
]


@pytest.mark.parametrize(("one", "other", "causes"), TWO_AT_ONCE, ids=["+".join(c) for _, _, c in TWO_AT_ONCE])
def test_two_different_faults_at_once_are_both_found(
    one: Callable[[Town], None], other: Callable[[Town], None], causes: list[str]
) -> None:
    w = Town()
    one(w)
    other(w)
    assert [h.cause for h in w.diagnose()] == causes


BENIGN: list[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]] = [
    ("a group that catches up", (("group/g4", ("catching-up", "reading-fast")),)),
    ("a busy hour", (("broker/1", ("traffic-high", "cpu-high")), ("broker/2", ("traffic-high", "cpu-high")))),
    ("a paused connector", (("connector/c/s1", ("connector-paused",)),)),
    ("reassignments that hurt nobody", (("cluster/prod", ("reassigning",)), ("broker/1", ("replication-busy",)))),
    ("a group that reads from another rack", (("group/g1", ("reading-remote",)),)),
    ("leaders moved by a restart", (("broker/1", ("leaders-moved",)),)),
    ("a busy topic", (("topic/t1", ("produce-surge",)), ("broker/1", ("traffic-high",)), ("broker/2", ("traffic-high",)))),
    ("one slow flush", (("broker/1", ("flush-slow",)),)),
    ("members that came and went", (("group/g1", ("member-churn",)),)),
    ("a slow probe", (("rack/a", ("probe-slow",)),)),
    ("heap a little high", (("broker/1", ("heap-high",)),)),
    ("one broker named slow", (("cluster/prod", ("slow-broker-reported",)),)),
]


@pytest.mark.parametrize("sight", [s for _, s in BENIGN], ids=[n for n, _ in BENIGN])
@pytest.mark.parametrize("platform", ["kafka", "automq"])
def test_what_is_merely_unusual_buys_nothing(sight: tuple[tuple[str, tuple[str, ...]], ...], platform: str) -> None:
    w = Town(platform)
    for what, kinds in sight:
        w.ill(what, *kinds)
    assert w.causes() == []


def test_what_little_waits_may_wait_where_it_is_read_from_afar() -> None:
    w = Town()
    w.ill("group/g3", "reading-remote", detail={"lag": "remote"})
    assert w.causes() == []


def test_members_come_and_go_while_a_deployment_runs_and_nothing_is_wrong() -> None:
    w = Town()
    w.declare("deploy", "group/g1", at=w.now - 660_000, ends=w.now)
    w.ill("group/g1", "rebalancing", "member-churn")
    assert w.causes() == []
    w.ill("group/g1", "lag-growing", "commits-slow")
    assert w.causes() == [("bad-deployment", "group/g1")]


def test_two_groups_that_stop_at_one_topic_cannot_read_it_and_it_is_the_topic_that_both_name() -> None:
    w = Town()
    for g in ("group/g1", "group/g7"):
        w.ill(g, "commits-stopped", "lag-growing", detail={"topics": ["t1"], "scope": "topics"})
    assert w.causes() == [("schema-problem", "topic/t1")]
    other = Town()
    for g in ("group/g1", "group/g7"):
        other.ill(g, "commits-stopped", "lag-growing", detail={"topics": ["elsewhere"], "scope": "topics"})
    assert ("schema-problem", "topic/t1") not in other.causes()


def test_a_reader_that_stops_at_one_topic_and_reads_its_others_on_is_no_stopped_consumer() -> None:
    w = Town()
    w.link("group/g1", "topics", "topic/t1", "topic/t2")
    w.ill("group/g1", "commits-stopped", "lag-growing", detail={"topics": ["t1"], "scope": "topics"})
    assert w.causes() == [("stopped-consumer", "group/g1")], "the other readers of the topic are well"
    for other in ("group/g7", "group/connect-s1", "connector/c/s1"):
        w.board.forget(entity(other))  # nothing is known of them
    w.declare("schema", "topic/t1", at=w.now - TEN_MINUTES)
    assert w.causes() == [("schema-problem", "topic/t1")]


def test_topics_that_nothing_else_writes_are_silent_with_the_link_that_fills_them() -> None:
    w = Town()
    w.ill("link/mirror", "link-failing", "link-lagging")
    for t in ("t2", "t5"):
        w.ill(f"topic/{t}", "produce-stopped")
    assert w.causes() == [("migration-sync-lag", "link/mirror")]


def test_disks_that_one_tenant_fills_are_its_doing_and_no_brokers_own() -> None:
    w = Town()
    w.ill("principal/p1", "dominates")
    for b in (1, 3, 4, 5):
        w.ill(f"broker/{b}", "traffic-high", "latency-high")
    for b in (1, 2):
        w.ill(f"broker/{b}", "local-time-high", "latency-high")
    for g in (1, 7, 2, 8):
        w.ill(f"group/g{g}", "lag-growing", "commits-slow")
    assert w.causes() == [("noisy-tenant", "principal/p1")]


def test_tasks_that_fail_on_a_schema_are_told_once_also_where_the_workers_count_them() -> None:
    w = Town()
    w.ill("connector/c/s1", "task-failed", "record-failures", detail={"trace_kind": "schema"})
    w.ill("connect-worker/c/w1", "worker-tasks-failing")
    for g in ("group/g1", "group/g7"):
        w.ill(g, "commits-stopped", "lag-growing", detail={"topics": ["t1"], "scope": "topics"})
    assert w.causes() == [("schema-problem", "topic/t1")]


NEVER_AUTO = ("retention", "quota", "acl", "abort", "promot")


def test_what_must_never_be_automated_says_so_in_the_catalogue() -> None:
    for c in SHIPPED.causes.values():
        for r in c.remedies:
            text = f"{r.id} {r.does}".lower()
            if any(word in text for word in NEVER_AUTO):
                assert r.review in ("never-auto", "human"), (c.id, r.id)


def test_remedies_say_how_one_sees_that_they_worked_or_made_it_worse() -> None:
    for c in SHIPPED.causes.values():
        assert c.remedies or c.id == "unknown"
        assert c.runbook_hint, c.id
        for r in c.remedies:
            assert r.success is not None, (c.id, r.id)
            assert r.failure is not None, (c.id, r.id)
            assert (r.rollback is None) == (r.rollback_owner is None), (c.id, r.id)
            assert r.rollback is not None or r.review in ("human", "never-auto"), (c.id, r.id)


def test_only_what_somebody_meant_is_never_paged() -> None:
    assert [c.id for c in SHIPPED.causes.values() if c.page == "no-page"] == ["planned-replay", "replica-catch-up"]
