"""Signals that a series may name, by the kind of entity they are written on, and what is healthy where none is written."""

from __future__ import annotations

SCRAPED: frozenset[str] = frozenset({
    "bytes_in_rate", "bytes_out_rate", "messages_in_rate", "request_handler_idle_ratio", "network_idle_ratio",
    "request_queue_size", "request_total_ms", "request_queue_ms", "request_local_ms", "request_remote_ms", "request_rate",
    "request_error_rate", "log_flush_ms", "disk_used_ratio", "offline_log_dirs", "under_replicated_partitions",
    "under_min_isr_partitions", "isr_shrink_rate", "reassigning_partitions", "replica_max_lag",
    "replication_bytes_in_rate", "active_controllers", "offline_partitions", "fenced_brokers", "heartbeat_timeouts",
    "controller_epoch", "preparing_rebalance_groups", "late_transaction_partitions", "txn_marker_retry_queue",
    "throttle_ms", "cross_zone_bytes_rate", "authorization_failure_rate", "put_batch_ms", "sink_record_lag",
    "source_poll_rate", "source_write_rate", "record_failure_rate", "record_skip_rate", "dead_letter_rate",
    "worker_rebalancing", "worker_failed_tasks", "worker_task_startup_failures", "heap_after_gc_ratio", "gc_pause_ms",
    "cpu_ratio", "connection_creation_rate", "connection_count", "wal_pending_bytes", "wal_append_ms", "wal_full_rate",
    "object_put_ms", "object_get_ms", "object_failure_rate", "object_inflight_quota", "cache_miss_rate",
    "object_read_bytes_rate", "back_pressure_state", "compaction_delay_ms", "network_limiter_queue", "slow_brokers",
    "balancer_delay_ms", "partition_status", "link_lag", "link_lag_ms", "link_groups_subscribed", "link_groups_promoted",
    "link_state", "probe_produce_ms", "probe_consume_ms", "probe_failure_rate",
})  # fmt: skip
"""The vocabulary of broker-metrics (signals.md)."""

OWN: dict[str, frozenset[str]] = {
    "group": frozenset({"lag_s", "lag", "commit_rate", "committed", "members", "generation", "epoch", "state", "up"}),
    "topic": frozenset({"produce_rate", "retention_s", "open_transaction", "exists"}),
    "broker": frozenset({"state", "in_isr", "leads", "quorum_lag", "log_dir_error", "up"}),
    "connector": frozenset({"state", "task_state", "trace", "up"}),
    "connect-worker": frozenset({"up"}),
    "rack": frozenset({"up"}),
    "link": frozenset({"up"}),
    "transaction": frozenset({"state"}),
    "cluster": frozenset({"controller", "epoch", "reassigning"}),
    "topology": frozenset({"up"}),
    "collector": frozenset({"up"}),
}
"""What a series may say beyond the vocabulary. ``up``: 1 told, 0 the poll failed and says so, ``_`` nothing is sent."""

WITH_SCRAPED = ("broker", "topic", "principal", "connect-worker", "rack", "link", "cluster", "connector", "group")
"""Kinds on which signals of the vocabulary may be written."""
BARE = ("cluster", "topology", "collector")
"""Entities that need no name."""

Sample = tuple[str, dict[str, str], float]
_P99 = {"quantile": "0.99"}

BROKER: tuple[Sample, ...] = (
    ("request_handler_idle_ratio", {}, 0.8),
    ("network_idle_ratio", {}, 0.8),
    ("request_queue_size", {}, 0.0),
    ("request_queue_ms", {"request": "Produce", **_P99}, 1.0),
    ("request_queue_ms", {"request": "FetchConsumer", **_P99}, 1.0),
    ("request_total_ms", {"request": "Produce", **_P99}, 9.0),
    ("request_total_ms", {"request": "FetchConsumer", **_P99}, 12.0),
    ("request_error_rate", {"request": "Produce", "error": "NONE_OF_ALL"}, 0.0),
    ("heap_after_gc_ratio", {}, 0.4),
    ("gc_pause_ms", {}, 20.0),
    ("cpu_ratio", {}, 0.3),
    ("connection_count", {}, 120.0),
    ("connection_creation_rate", {}, 0.5),
    ("heartbeat_timeouts", {}, 0.0),
    ("late_transaction_partitions", {}, 0.0),
)
KAFKA: tuple[Sample, ...] = (
    ("request_local_ms", {"request": "Produce", **_P99}, 3.0),
    ("request_local_ms", {"request": "FetchConsumer", **_P99}, 2.0),
    ("log_flush_ms", {"quantile": "0.999"}, 12.0),
    ("disk_used_ratio", {"log_dir": "/data"}, 0.4),
    ("replica_max_lag", {}, 0.0),
)
AUTOMQ: tuple[Sample, ...] = (
    ("wal_append_ms", _P99, 2.0),
    ("wal_full_rate", {}, 0.0),
    ("wal_pending_bytes", {}, 1e6),
    ("object_put_ms", _P99, 60.0),
    ("object_get_ms", _P99, 40.0),
    ("object_failure_rate", {}, 0.0),
    ("cache_miss_rate", {}, 1.0),
    ("object_read_bytes_rate", {}, 1e5),
    ("back_pressure_state", {}, 0.0),
)
WORKER: tuple[Sample, ...] = (
    ("cpu_ratio", {}, 0.2),
    ("heap_after_gc_ratio", {}, 0.4),
    ("worker_rebalancing", {}, 0.0),
    ("worker_failed_tasks", {}, 0.0),
    ("worker_task_startup_failures", {}, 0.0),
)
PROBE: tuple[Sample, ...] = (
    ("probe_produce_ms", _P99, 8.0),
    ("probe_consume_ms", _P99, 15.0),
    ("probe_failure_rate", {}, 0.0),
)
LINK: tuple[Sample, ...] = (
    ("link_lag", {}, 10.0),
    ("link_lag_ms", {}, 200.0),
    ("link_state", {"state": "LINKING"}, 1.0),
)
SINK: dict[str, float] = {"put_batch_ms": 90.0, "record_failure_rate": 0.0}
SOURCE: dict[str, float] = {"source_poll_rate": 100.0, "source_write_rate": 100.0, "record_failure_rate": 0.0}
BYTES_PER_RECORD = 1000.0
