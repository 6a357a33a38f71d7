"""The table of symptoms: every kind, what it is seen on, and how far it can be trusted.

A test holds this table and the detectors together: every kind here is judged by its reporter, and no detector
reports a kind that is not here. ``leak`` values are first estimates, re-estimated by ``kroute score``.
"""

from __future__ import annotations

from kroute.signals.model import SymptomKind as K

LAG, METRICS, TOPOLOGY, CONNECT, TELEMETRY, ACCESS = "lag", "metrics", "topology", "connect", "telemetry", "access"
FLOOD = "flood"

_OFF = ("committed", "end")

KINDS: tuple[K, ...] = (
    # Consumer groups. Rules L1–L19, judged from consumer-lag.
    K("lag-growing", "group", LAG, "lag", 0.0003, 0.05, "L1", _OFF, "work lag grows over the window"),
    K("commits-slow", "group", LAG, "lag", 0.0005, 0.15, "L2", _OFF, "commits slower than produce while behind"),
    K("commits-stopped", "group", LAG, "lag", 0.0001, 0.10, "L3", _OFF, "no commit past its usual period while its topics grow"),
    K("group-empty", "group", LAG, "membership", 0.0002, 0.05, "L4", ("state", "members"), "had members, has none, topics grow"),
    K("catching-up", "group", LAG, "pace", 0.2, 0.20, "L5", _OFF, "far behind and falling"),
    K("offset-rewound", "group", LAG, "position", 0.0002, 0.05, "L6", _OFF, "committed offset went back"),
    K("offset-skipped", "group", LAG, "position", 0.0001, 0.10, "L7", _OFF, "committed offset jumped forward by more than can be read"),
    K("records-lost", "group", LAG, "retention", 0.0001, 0.05, "L8", ("committed", "start"), "commit fell below the log start offset"),
    K("partition-stuck", "group", LAG, "skew", 0.0001, 0.10, "L9", _OFF, "one partition frozen at one offset while its siblings move"),
    K("member-lagging", "group", LAG, "skew", 0.001, 0.15, "L10", ("members", "committed", "end"), "lag sits in the partitions of one member"),
    K("partition-lagging", "group", LAG, "skew", 0.001, 0.15, "L11", _OFF, "lag sits in one partition that still moves"),
    K("rebalancing", "group", LAG, "rebalance", 0.0004, 0.20, "L12", ("state",), "not Stable over several polls, or its epoch keeps moving"),
    K("member-churn", "group", LAG, "rebalance", 0.001, 0.25, "L13", ("members",), "members leave and join more often than usual"),
    K("reading-fast", "group", LAG, "pace", 0.005, 0.20, "L14", _OFF, "reads much faster than usual"),
    K("reading-remote", "group", LAG, "locality", 0.005, 0.20, "L15", ("members", "leader"), "members read from leaders in other racks"),
    K("objective-breached", "group", LAG, "impact", 0.0, 0.0, "L16", _OFF, "older than its freshness objective allows"),
    K("objective-at-risk", "group", LAG, "impact", 0.0, 0.0, "L17", _OFF, "will breach its objective soon at this slope"),
    # Topics, judged from the same messages.
    K("produce-stopped", "topic", LAG, "produce", 0.0005, 0.10, "L20", ("end",), "produce rate fell to nothing against its own baseline"),
    K("partition-hot", "topic", LAG, "skew", 0.002, 0.15, "L21", ("end",), "one partition takes far more than its siblings"),
    K("stable-end-stuck", "topic", LAG, "transactions", 0.0001, 0.05, "L22", ("end", "stable_end"), "last stable offset fixed while the end grows"),
    K("data-stale", "topic", LAG, "impact", 0.0, 0.0, "L23", ("end",), "no record for longer than its objective allows"),
    K("produce-surge", "topic", LAG, "traffic", 0.3, 0.15, "L25", ("end",), "far more is written than its own baseline ever saw"),
    # Links, judged from the groups and topics of their source.
    K("link-both-sides", "link", LAG, "cutover", 1e-5, 0.05, "L24", ("committed", "end"), "groups commit or topics are written on the source of a promoted link"),
    # Brokers and cluster, judged from scrapes. Rules M1–…
    K("flush-slow", "broker", METRICS, "storage", 0.002, 0.25, "M1", ("log_flush_ms",), "log flush slow against its own usual and its peers"),
    K("local-time-high", "broker", METRICS, "storage", 0.0005, 0.10, "M2", ("request_local_ms",), "local time of produce or fetch high"),
    K("disk-filling", "broker", METRICS, "disk", 0.002, 0.05, "M3", ("disk_used_ratio",), "disk above 85 % or about to be full"),
    K("disk-full", "broker", METRICS, "disk", 1e-5, 0.02, "M4", ("disk_used_ratio",), "disk at its limit"),
    K("request-queue-high", "broker", METRICS, "queue", 0.001, 0.20, "M5", ("request_queue_ms", "request_queue_size"), "requests wait in the queue"),
    K("handler-idle-low", "broker", METRICS, "threads", 0.001, 0.10, "M6", ("request_handler_idle_ratio",), "request handlers have no idle time left"),
    K("network-idle-low", "broker", METRICS, "threads", 0.001, 0.20, "M7", ("network_idle_ratio",), "network processors have no idle time left"),
    K("request-errors-high", "broker", METRICS, "errors", 0.001, 0.20, "M8", ("request_error_rate",), "requests fail"),
    K("heap-high", "broker", METRICS, "memory", 0.002, 0.10, "M9", ("heap_after_gc_ratio",), "heap after collection stays high"),
    K("gc-long", "broker", METRICS, "gc", 0.002, 0.15, "M10", ("gc_pause_ms",), "collections pause for long"),
    K("cpu-high", "broker", METRICS, "cpu", 0.005, 0.20, "M11", ("cpu_ratio",), "processor busy"),
    K("connections-high", "broker", METRICS, "connections", 0.001, 0.15, "M12", ("connection_count", "connection_creation_rate"), "connections explode"),
    K("traffic-high", "broker", METRICS, "traffic", 0.05, 0.15, "M13", ("bytes_in_rate", "bytes_out_rate"), "bytes well above usual"),
    K("latency-high", "broker", METRICS, "latency", 0.001, 0.20, "M14", ("request_total_ms",), "total time of produce or fetch high"),
    K("replication-busy", "broker", METRICS, "replication-traffic", 0.003, 0.15, "M15", ("replication_bytes_in_rate", "replica_max_lag"), "replication traffic well above usual"),
    K("wal-slow", "broker", METRICS, "wal", 0.0003, 0.10, "M20", ("wal_append_ms",), "write-ahead log appends slowly"),
    K("wal-full", "broker", METRICS, "wal", 0.0001, 0.10, "M21", ("wal_full_rate",), "write-ahead log full"),
    K("upload-pending", "broker", METRICS, "upload", 0.001, 0.10, "M22", ("wal_pending_bytes",), "bytes wait for upload to the object store"),
    K("object-store-failing", "broker", METRICS, "object", 0.0003, 0.10, "M23", ("object_failure_rate",), "object-store requests fail"),
    K("object-store-slow", "broker", METRICS, "object", 0.001, 0.15, "M24", ("object_put_ms", "object_get_ms"), "object-store requests slow"),
    K("back-pressure", "broker", METRICS, "upload", 0.0003, 0.20, "M25", ("back_pressure_state",), "back pressure on"),
    K("cache-misses-high", "broker", METRICS, "cache", 0.002, 0.10, "M26", ("cache_miss_rate",), "block cache misses"),
    K("object-reads-high", "broker", METRICS, "cache", 0.002, 0.15, "M27", ("object_read_bytes_rate",), "reads go to the object store"),
    K("balancer-delayed", "cluster", METRICS, "balancer", 0.0005, 0.10, "M28", ("balancer_delay_ms",), "balancer works on old metrics"),
    K("slow-broker-reported", "cluster", METRICS, "balancer", 0.001, 0.20, "M29", ("slow_brokers",), "the balancer names a slow broker"),
    K("partition-status-odd", "cluster", METRICS, "balancer", 0.0005, 0.20, "M30", ("partition_status",), "partitions in an unexpected status"),
    K("controller-missing", "cluster", METRICS, "controller", 1e-5, 0.10, "M31", ("active_controllers",), "active controllers are not one"),
    K("heartbeats-missed", "cluster", METRICS, "liveness", 0.001, 0.25, "M32", ("heartbeat_timeouts",), "broker heartbeats time out"),
    K("late-transactions", "broker", METRICS, "transactions", 0.0005, 0.20, "M33", ("late_transaction_partitions",), "partitions with late transactions"),
    # Principals and racks, judged from scrapes.
    K("dominates", "principal", METRICS, "dominance", 0.02, 0.15, "M40", ("bytes_in_rate", "request_rate", "connection_count"), "one principal takes most of the traffic"),
    K("throttled", "principal", METRICS, "throttle", 0.0005, 0.05, "M41", ("throttle_ms",), "quota throttling"),
    K("authorization-failing", "principal", METRICS, "authorization", 0.0003, 0.10, "M42", ("authorization_failure_rate",), "requests denied"),
    K("authentication-failing", "principal", METRICS, "authentication", 0.0003, 0.10, "M43", ("request_error_rate", "connection_creation_rate"), "authentication fails"),
    K("probe-failing", "rack", METRICS, "probe", 0.0001, 0.10, "M44", ("probe_failure_rate",), "end-to-end probe of the rack fails"),
    K("probe-slow", "rack", METRICS, "probe", 0.001, 0.15, "M45", ("probe_produce_ms", "probe_consume_ms"), "end-to-end probe of the rack slow"),
    K("cross-zone-high", "group", METRICS, "cross-zone", 0.005, 0.15, "M46", ("cross_zone_bytes_rate",), "bytes across zones well above usual"),
    K("produce-retries", "topic", METRICS, "retries", 0.0005, 0.15, "M47", ("request_rate", "request_error_rate", "messages_in_rate"), "produce requests and errors up, records flat"),
    K("client-crosses-zones", "principal", METRICS, "cross-zone", 0.005, 0.15, "M48", ("cross_zone_bytes_rate",), "bytes of a client that is in no group across zones well above usual"),
    # Links.
    K("link-lagging", "link", METRICS, "link", 0.0003, 0.05, "M50", ("link_lag", "link_lag_ms"), "replication over the link falls behind"),
    K("link-failing", "link", METRICS, "link-errors", 0.0001, 0.10, "M51", ("link_state",), "the link is in an error state"),
    K("link-groups-stuck", "link", METRICS, "promotion", 0.0003, 0.10, "M52", ("link_groups_subscribed", "link_groups_promoted"), "group promotion makes no progress"),
    # Placement and liveness, judged from topology. Rules T1–…
    K("broker-gone", "broker", TOPOLOGY, "liveness", 1e-6, 0.02, "T1", ("brokers",), "fenced, or no longer in the cluster"),
    K("replica-behind", "broker", TOPOLOGY, "replication", 0.001, 0.10, "T2", ("isr",), "its replicas are missing from the ISR"),
    K("under-replicated", "cluster", TOPOLOGY, "replication", 0.001, 0.05, "T3", ("isr",), "partitions with a replica out of the ISR"),
    K("under-min-isr", "cluster", TOPOLOGY, "availability", 1e-5, 0.05, "T4", ("isr", "min.insync.replicas"), "partitions below their min.insync.replicas"),
    K("offline-partitions", "cluster", TOPOLOGY, "availability", 1e-6, 0.05, "T5", ("leader",), "partitions without a leader"),
    K("reassigning", "cluster", TOPOLOGY, "reassignment", 0.005, 0.02, "T6", ("adding", "removing"), "reassignments are listed"),
    K("log-dir-offline", "broker", TOPOLOGY, "disk", 1e-6, 0.05, "T7", ("log_dirs",), "a log directory reports an error"),
    K("controller-churn", "cluster", TOPOLOGY, "controller", 0.0001, 0.20, "T8", ("controller",), "controller epoch keeps moving, or there is no leader"),
    K("quorum-lagging", "cluster", TOPOLOGY, "quorum", 0.0005, 0.15, "T9", ("controller",), "a voter is behind"),
    K("leaders-moved", "broker", TOPOLOGY, "leadership", 0.001, 0.20, "T10", ("leader",), "it lost most of its leaders"),
    K("transaction-open", "transaction", TOPOLOGY, "transactions", 0.0005, 0.15, "T11", ("transactions",), "a transaction is open for far longer than usual"),
    # Kafka Connect, judged from connector-status and worker scrapes. Rules C1–…
    K("task-failed", "connector", CONNECT, "task", 1e-6, 0.02, "C1", ("tasks",), "a task is FAILED"),
    K("connector-failed", "connector", CONNECT, "task", 1e-6, 0.05, "C2", ("state",), "the connector itself is FAILED"),
    K("put-latency-high", "connector", CONNECT, "put", 0.0003, 0.10, "C3", ("put_batch_ms",), "batches take long to write"),
    K("task-unassigned", "connector", CONNECT, "assignment", 0.0003, 0.10, "C4", ("tasks",), "a task is UNASSIGNED or on no worker"),
    K("connector-paused", "connector", CONNECT, "paused", 0.002, 0.02, "C5", ("state",), "PAUSED or STOPPED"),
    K("record-failures", "connector", CONNECT, "records", 0.0003, 0.10, "C6", ("record_failure_rate", "record_skip_rate", "dead_letter_rate"), "records fail, are skipped or dead-lettered"),
    K("source-silent", "connector", CONNECT, "source", 0.0005, 0.15, "C7", ("source_poll_rate",), "the source gives no records against its own baseline"),
    K("worker-rebalancing", "connect-worker", METRICS, "worker-rebalance", 0.001, 0.15, "M60", ("worker_rebalancing",), "the worker keeps rebalancing"),
    K("worker-overloaded", "connect-worker", METRICS, "worker-load", 0.0005, 0.15, "M61", ("cpu_ratio", "heap_after_gc_ratio"), "worker processor or heap at its limit"),
    K("worker-tasks-failing", "connect-worker", METRICS, "worker-tasks", 0.0005, 0.20, "M62", ("worker_failed_tasks", "worker_task_startup_failures"), "tasks fail on this worker"),
    # Telemetry itself.
    K("signals-missing", "source", TELEMETRY, "telemetry", 0.0002, 0.05, "S1", (), "a source that was heard is silent or says up: false"),
    K("signals-flooding", "source", FLOOD, "flood", 1e-6, 0.02, "S2", (), "a source sends more than its budget and is thinned"),
    # Access.
    K("class-violation", "topic", ACCESS, "access", 1e-5, 0.05, "A1", ("members",), "read from outside the classes its owner allows"),
    K("access-denied", "principal", ACCESS, "authorization", 0.0005, 0.10, "A2", ("denials",), "denied requests"),
)  # fmt: skip

BY_KIND: dict[str, K] = {k.kind: k for k in KINDS}
REPLICATED = frozenset({"replica-behind", "under-replicated", "under-min-isr", "replication-busy"})
"""What exists only where brokers replicate: on shared storage that it is not there says nothing."""
IMPACT_FAMILY = "impact"
"""A breached objective is impact, never evidence."""


def judged_by(reporter: str, entity_kind: str) -> frozenset[str]:
    """Kinds that ``reporter`` judges on ``entity_kind``."""
    return frozenset(k.kind for k in KINDS if k.reporter == reporter and k.entity == entity_kind)
