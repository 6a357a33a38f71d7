"""Every cause is found, at its root and surely, from its typical symptoms in an estate that is otherwise well."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.diagnosis.town import BROKERS, SOURCES, Town, near
from tests.unit.diagnosis.world import SHIPPED

Fault = Callable[[Town], None]
LED_BY_2 = ("g1", "g2", "g7", "g8", "connect-s1", "connect-s2")
"""Groups that read what broker 2 leads."""


def slow_consumer(w: Town) -> None:
    w.ill("group/g1", "lag-growing", "commits-slow")


def stopped_consumer(w: Town) -> None:
    w.ill("group/g1", "commits-stopped", "group-empty", "lag-growing")


def poison_record(w: Town) -> None:
    w.ill("group/g1", "partition-stuck", "member-churn", "lag-growing")


def hot_partition(w: Town) -> None:
    w.ill("topic/t1", "partition-hot")
    w.all_ill("group", "partition-lagging", "lag-growing", of=("g1", "g7", "connect-s1"))


def traffic_surge(w: Town) -> None:
    w.ill("topic/t1", "produce-surge")
    w.all_ill("group", "lag-growing", "commits-slow", of=("g1", "g7", "connect-s1"))


def bad_deployment(w: Town) -> None:
    w.declare("deploy", "group/g1", at=w.now - 660_000)
    w.ill("group/g1", "rebalancing", "member-churn", "lag-growing")


def bad_deployment_of_the_service(w: Town) -> None:
    w.declare("deploy", "service/svc1", at=w.now - 660_000)
    w.ill("group/g1", "rebalancing", "member-churn", "lag-growing")


def rebalance_storm(w: Town) -> None:
    w.ill("group/g1", "rebalancing", "member-churn", "lag-growing")


def planned_replay(w: Town) -> None:
    w.declare("replay", "group/g1", at=w.now - 660_000)
    w.ill("group/g1", "offset-rewound", "catching-up", "reading-fast")


def replay_not_declared(w: Town) -> None:
    w.ill("group/g1", "offset-rewound", "catching-up", "reading-fast")


def offset_fault(w: Town) -> None:
    w.ill("group/g1", "offset-rewound", "lag-growing")


def records_lost(w: Town) -> None:
    w.ill("group/g1", "records-lost", "lag-growing")


def records_skipped(w: Town) -> None:
    w.ill("group/g1", "offset-skipped")


def sink_throttled(w: Town) -> None:
    w.ill("connector/c/s1", "put-latency-high")
    w.ill("group/connect-s1", "lag-growing", "commits-slow")


def sink_throttled_alone_at_its_system(w: Town) -> None:
    w.ill("connector/c/s5", "put-latency-high")
    w.ill("group/connect-s5", "lag-growing", "commits-slow")


def system_throttled(w: Town) -> None:
    for i in (1, 2, 3):
        w.ill(f"connector/c/s{i}", "put-latency-high")
        w.ill(f"group/connect-s{i}", "lag-growing", "commits-slow")


def system_down(w: Town) -> None:
    for i in (1, 2, 3, 4):
        w.ill(f"connector/c/s{i}", "task-failed", detail={"trace_kind": "system"})
        w.ill(f"group/connect-s{i}", "lag-growing", "commits-stopped", "group-empty")


def sink_failed(w: Town) -> None:
    w.ill("connector/c/s1", "task-failed", detail={"trace_kind": "config"})
    w.ill("group/connect-s1", "lag-growing", "commits-stopped", "group-empty")


def source_outage(w: Town) -> None:
    w.ill("topic/t6", "produce-stopped")
    w.ill("connector/c/crm", "source-silent")


def source_outage_without_a_connector(w: Town) -> None:
    w.ill("topic/t4", "produce-stopped")


def schema_problem(w: Town) -> None:
    w.declare("schema", "topic/t1", at=w.now - 660_000)
    w.ill("connector/c/s1", "record-failures")
    w.all_ill("group", "partition-stuck", "lag-growing", of=("g1", "g7"))


def connect_capacity(w: Town) -> None:
    w.ill("connect-worker/c/w1", "worker-overloaded", "worker-rebalancing")
    for i in (1, 3, 5):
        w.ill(f"connector/c/s{i}", "put-latency-high")
        w.ill(f"group/connect-s{i}", "lag-growing", "commits-slow")


def broker_storage_pressure(w: Town) -> None:
    w.ill("broker/2", "local-time-high", "flush-slow", "request-queue-high", "latency-high")
    w.all_ill("group", "lag-growing", of=LED_BY_2)


def disk_full(w: Town) -> None:
    w.ill("broker/2", "disk-full", "disk-filling", "log-dir-offline", "request-errors-high", "replica-behind")
    w.ill("cluster/prod", "under-replicated")


def broker_saturation(w: Town) -> None:
    w.ill("broker/2", "handler-idle-low", "request-queue-high", "latency-high", "cpu-high", "traffic-high")
    w.all_ill("group", "lag-growing", of=LED_BY_2)


def broker_down(w: Town) -> None:
    w.ill("broker/2", "broker-gone", "replica-behind", "leaders-moved")
    w.ill("cluster/prod", "under-replicated")
    w.ill("source/broker-metrics/broker/2", "signals-missing")


def replica_catch_up(w: Town) -> None:
    w.declare("reassignment", "cluster/prod", at=w.now - 660_000)
    w.ill("cluster/prod", "under-replicated", "reassigning")
    w.ill("broker/2", "replica-behind", "replication-busy")


def controller_trouble(w: Town) -> None:
    w.ill("cluster/prod", "controller-missing", "controller-churn", "quorum-lagging", "offline-partitions")


def noisy_tenant(w: Town) -> None:
    w.ill("principal/p1", "dominates")
    w.all_ill("broker", "handler-idle-low", "request-queue-high", "traffic-high", "latency-high")
    w.all_ill("group", "lag-growing", of=[f"g{i}" for i in range(2, 10)])


def quota_throttled(w: Town) -> None:
    w.ill("principal/p1", "throttled")
    w.ill("group/g1", "lag-growing", "commits-slow")


def retry_storm(w: Town) -> None:
    w.ill("topic/t1", "produce-retries")
    w.ill("broker/1", "request-errors-high")


def hung_transaction(w: Town) -> None:
    w.ill("transaction/tx", "transaction-open")
    w.ill("topic/t2", "stable-end-stuck")
    w.ill("broker/2", "late-transactions")
    w.ill("group/g2", "commits-stopped")


def network_rack(w: Town) -> None:
    w.ill("rack/a", "probe-failing")
    for b in (1, 2):
        w.ill(f"broker/{b}", "broker-gone", "replica-behind", "leaders-moved")
        w.ill(f"source/broker-metrics/broker/{b}", "signals-missing")
    w.ill("cluster/prod", "heartbeats-missed", "under-replicated")
    w.all_ill("group", "rebalancing", "member-churn", of=("g3", "g6", "g9"))


def network_platform(w: Town) -> None:
    w.all_ill("rack", "probe-failing", "probe-slow")
    for b in (1, 3, 5):
        w.ill(f"broker/{b}", "broker-gone", "replica-behind")
    w.ill("source/broker-metrics/broker", "signals-missing")
    w.ill("cluster/prod", "heartbeats-missed", "under-replicated", "under-min-isr")
    w.all_ill("group", "commits-stopped", "lag-growing", of=[f"g{i}" for i in range(1, 10)])


def cross_zone_reads(w: Town) -> None:
    w.ill("group/g1", "cross-zone-high", "reading-remote")


def telemetry_loss(w: Town) -> None:
    w.ill("source/consumer-lag", "signals-missing")


def telemetry_flood(w: Town) -> None:
    w.ill("source/consumer-lag", "signals-flooding")


def unauthorized_access(w: Town) -> None:
    w.ill("principal/p1", "authorization-failing", "access-denied")


def data_class_violation(w: Town) -> None:
    w.ill("topic/t1", "class-violation")


def object_store_trouble(w: Town) -> None:
    w.all_ill("broker", "object-store-failing", "object-store-slow", "upload-pending", "latency-high")


def wal_trouble(w: Town) -> None:
    w.ill("broker/2", "wal-slow", "wal-full", "upload-pending", "latency-high")


def cache_thrash(w: Town) -> None:
    w.all_ill("broker", "cache-misses-high", "object-reads-high", "latency-high", of=("1", "2"))
    w.ill("group/g1", "catching-up", "reading-fast")


def balancer_trouble(w: Town) -> None:
    w.ill("cluster/prod", "balancer-delayed", "slow-broker-reported")


def migration_sync_lag(w: Town) -> None:
    w.ill("link/mirror", "link-lagging", "link-failing")


def migration_split_brain(w: Town) -> None:
    w.ill("link/mirror", "link-both-sides")


def migration_group_stuck(w: Town) -> None:
    w.declare("migration", "link/mirror", at=w.now - 660_000)
    w.ill("link/mirror", "link-groups-stuck")


def coordinator_trouble(w: Town) -> None:
    w.all_ill("group", "commits-stopped", "rebalancing", "lag-growing", of=near(w, "broker/2", "coordinated"))


def broker_memory(w: Town) -> None:
    w.ill("broker/2", "heap-high", "gc-long", "cpu-high", "latency-high")
    w.all_ill("group", "member-churn", "rebalancing", of=near(w, "broker/2", "coordinated"))


def authentication_failure(w: Town) -> None:
    w.ill("principal/p1", "authentication-failing")
    w.ill("group/g1", "commits-stopped", "group-empty", "lag-growing")


TYPICAL: list[tuple[Fault, str, str, str]] = [
    (slow_consumer, "slow-consumer", "group/g1", "kafka"),
    (stopped_consumer, "stopped-consumer", "group/g1", "kafka"),
    (poison_record, "poison-record", "group/g1", "kafka"),
    (hot_partition, "hot-partition", "topic/t1", "kafka"),
    (traffic_surge, "traffic-surge", "topic/t1", "kafka"),
    (bad_deployment, "bad-deployment", "group/g1", "kafka"),
    (bad_deployment_of_the_service, "bad-deployment", "group/g1", "kafka"),
    (rebalance_storm, "rebalance-storm", "group/g1", "kafka"),
    (planned_replay, "planned-replay", "group/g1", "kafka"),
    (replay_not_declared, "planned-replay", "group/g1", "kafka"),
    (offset_fault, "offset-fault", "group/g1", "kafka"),
    (records_lost, "offset-fault", "group/g1", "kafka"),
    (records_skipped, "records-skipped", "group/g1", "kafka"),
    (sink_throttled, "sink-throttled", "connector/c/s1", "kafka"),
    (sink_throttled_alone_at_its_system, "sink-throttled", "connector/c/s5", "kafka"),
    (system_throttled, "system-throttled", "system/warehouse", "kafka"),
    (system_down, "system-down", "system/warehouse", "kafka"),
    (sink_failed, "sink-failed", "connector/c/s1", "kafka"),
    (source_outage, "source-outage", "topic/t6", "kafka"),
    (source_outage_without_a_connector, "source-outage", "topic/t4", "kafka"),
    (schema_problem, "schema-problem", "topic/t1", "kafka"),
    (connect_capacity, "connect-capacity", "connect-worker/c/w1", "kafka"),
    (broker_storage_pressure, "broker-storage-pressure", "broker/2", "kafka"),
    (disk_full, "disk-full", "broker/2", "kafka"),
    (broker_saturation, "broker-saturation", "broker/2", "kafka"),
    (broker_saturation, "broker-saturation", "broker/2", "automq"),
    (broker_down, "broker-down", "broker/2", "kafka"),
    (replica_catch_up, "replica-catch-up", "cluster/prod", "kafka"),
    (controller_trouble, "controller-trouble", "cluster/prod", "kafka"),
    (noisy_tenant, "noisy-tenant", "principal/p1", "kafka"),
    (quota_throttled, "quota-throttled", "principal/p1", "kafka"),
    (retry_storm, "retry-storm", "topic/t1", "kafka"),
    (hung_transaction, "hung-transaction", "transaction/tx", "kafka"),
    (network_rack, "network-rack", "rack/a", "kafka"),
    (network_platform, "network-platform", "cluster/prod", "kafka"),
    (cross_zone_reads, "cross-zone-reads", "group/g1", "kafka"),
    (telemetry_loss, "telemetry-loss", "source/consumer-lag", "kafka"),
    (telemetry_flood, "telemetry-flood", "source/consumer-lag", "kafka"),
    (unauthorized_access, "unauthorized-access", "principal/p1", "kafka"),
    (data_class_violation, "data-class-violation", "topic/t1", "kafka"),
    (object_store_trouble, "object-store-trouble", "cluster/prod", "automq"),
    (wal_trouble, "wal-trouble", "broker/2", "automq"),
    (cache_thrash, "cache-thrash", "topic/t1", "automq"),
    (balancer_trouble, "balancer-trouble", "cluster/prod", "automq"),
    (migration_sync_lag, "migration-sync-lag", "link/mirror", "kafka"),
    (migration_group_stuck, "migration-group-stuck", "link/mirror", "kafka"),
    (migration_split_brain, "migration-split-brain", "link/mirror", "kafka"),
    (coordinator_trouble, "coordinator-trouble", "broker/2", "kafka"),
    (broker_memory, "broker-memory", "broker/2", "kafka"),
    (authentication_failure, "authentication-failure", "principal/p1", "kafka"),
]


@pytest.mark.parametrize(
    ("fault", "cause", "root", "platform"), TYPICAL, ids=[f"{f.__name__}-{platform}" for f, _, _, platform in TYPICAL]
)
def test_typical_symptoms_name_the_cause_and_its_root(fault: Fault, cause: str, root: str, platform: str) -> None:
    w = Town(platform)
    fault(w)
    found = w.diagnose()
    assert [(h.cause, str(h.root)) for h in found] == [(cause, root)]
    assert found[0].confidence >= 0.7, found[0]
    active = {k for k in w.board.active if k[1] not in ("objective-breached", "objective-at-risk", "data-stale")}
    assert active <= set(found[0].explains), "some of its own symptoms are left unexplained"


def test_every_cause_of_the_catalogue_has_a_typical_case() -> None:
    assert sorted({cause for _, cause, _, _ in TYPICAL} | {"unknown"}) == sorted(SHIPPED.by_id)


def test_a_town_where_all_is_well_has_no_cause() -> None:
    assert Town().diagnose() == []
    assert Town("automq").diagnose() == []


@pytest.mark.parametrize("several", [("topology", "consumer-lag"), SOURCES, [f"broker-metrics/broker/{b}" for b in BROKERS[:2]]])
def test_several_sources_that_fall_silent_are_one_loss_of_telemetry(several: tuple[str, ...]) -> None:
    w = Town()
    for s in several:
        w.ill(f"source/{s}", "signals-missing")
    (h,) = w.diagnose()
    assert h.cause == "telemetry-loss"
    assert len(h.explains) == len(several)
