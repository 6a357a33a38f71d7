"""The messages that the contract shows, one or more per topic, as JSON-like values."""

from __future__ import annotations

from typing import Any

AT = 1_795_427_349_001

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "broker-metrics": [
        {"cluster": "prod-eu", "observed_at_ms": AT, "source": {"kind": "broker", "id": "3", "rack": "eu-1a", "platform": "kafka"},
         "samples": [{"signal": "request_handler_idle_ratio", "value": 0.21}, {"signal": "bytes_in_rate", "labels": {"topic": "payments"}, "value": 1.2e6}]},
        {"cluster": "prod-eu", "observed_at_ms": AT, "interval_ms": 15_000, "up": False, "error": "connection refused", "source": {"kind": "connect-worker", "id": "w1:8083", "connect": "a"}},
        {"cluster": "mq", "observed_at_ms": AT, "part": 1, "parts": 2, "source": {"kind": "broker", "id": "0", "platform": "automq", "wal": "s3"}},
    ],
    "consumer-lag": [
        {"cluster": "prod-eu", "observed_at_ms": AT, "group": "checkout", "state": "Stable", "protocol": "classic", "coordinator": 3,
         "members": [{"member_id": "m-1", "instance_id": None, "client_id": "checkout-1", "host": "10.0.3.7", "rack": "eu-1a", "assignment": [["payments", [0]]]}],
         "partitions": [{"topic": "payments", "partition": 0, "committed": 120, "end": 150, "stable_end": 150, "start": 0, "leader": 3, "committed_at_ms": AT - 9001}]},
        {"cluster": "prod-eu", "observed_at_ms": AT, "group": "checkout", "state": "Dead"},
        {"cluster": "prod-eu", "observed_at_ms": AT, "group": "checkout", "up": False, "error": "timed out"},
        {"cluster": "prod-eu", "observed_at_ms": AT, "group": "new", "state": "Stable", "protocol": "consumer", "group_epoch": 7,
         "partitions": [{"topic": "t", "partition": 0, "end": 5, "committed": None, "leader": -1}]},
    ],
    "connector-status": [
        {"cluster": "prod-eu", "observed_at_ms": AT, "connect": "connect-a", "connector": "orders-to-es", "type": "sink", "class": "io.ElasticsearchSinkConnector",
         "state": "RUNNING", "worker": "w1:8083", "topics": ["orders"], "group": "connect-orders-to-es", "system": "elasticsearch-prod",
         "tasks": [{"id": 0, "state": "FAILED", "worker": "w1:8083", "trace": "org.apache", "metrics": {"put_batch_ms": 4100}}]},
        {"cluster": "prod-eu", "observed_at_ms": AT, "connect": "a", "connector": "c", "up": False},
    ],
    "topology": [
        {"cluster": "prod-eu", "observed_at_ms": AT, "controller": {"leader": 1, "epoch": 44, "voters": [1, 2, 3], "quorum": [{"id": 2, "lag": 0, "caught_up_at_ms": AT - 1}]},
         "brokers": [{"id": 3, "rack": "eu-1a", "host": "b3", "state": "alive", "log_dirs": [{"path": "/data1", "size_bytes": 1, "total_bytes": 2, "usable_bytes": 1, "error": None}]}],
         "topics": [{"name": "payments", "partitions": [{"id": 0, "leader": 3, "replicas": [3, 1], "isr": [3], "adding": [], "removing": []}], "config": {"cleanup.policy": "delete"}}],
         "transactions": [{"id": "checkout-tx", "state": "Ongoing", "started_at_ms": AT - 49_001, "partitions": [["payments", 0]]}]},
        {"cluster": "prod-eu", "observed_at_ms": AT, "up": False, "error": "no controller"},
    ],
    "access": [
        {"cluster": "prod-eu", "observed_at_ms": AT, "acls": [{"principal": "User:a", "resource": "topic/pay", "operation": "READ", "permission": "ALLOW"}],
         "quotas": [{"principal": "User:a", "client_id": None, "key": "producer_byte_rate", "value": 1e6}],
         "denials": [{"principal": "User:b", "resource": "topic/pay", "operation": "READ", "host": "10.0.0.1", "count": 3}]},
    ],
    "ownership": [
        {"kind": "topic", "cluster": "prod-eu", "name": "payments.*", "service": "checkout", "owner": "team-payments", "data_class": "pci",
         "slo": {"freshness_s": 60}, "runbook": "https://run", "escalation": "payments-oncall", "rollback": "https://back", "labels": {"tier": "1"}},
        {"kind": "team", "cluster": "*", "name": "team-payments", "page": "pagerduty://x", "ticket": "jira://x", "notify": "slack://x"},
        {"kind": "link", "cluster": "b", "name": "l", "source_cluster": "a", "target_cluster": "b", "groups": ["g"], "phase": "dual-run", "dual_run_until": AT},
        {"kind": "service", "cluster": "prod-eu", "name": "search", "owner": "t", "customer_function": "search", "stateless": True, "principals": ["User:s"], "classes": ["pii"]},
        {"kind": "group", "cluster": "prod-eu", "name": "g", "service": "s", "isolation": "read_committed", "schedule": {"every": "1h"}},
    ],
    "changes": [
        {"id": "deploy-812", "kind": "deploy", "cluster": "prod-eu", "target": {"kind": "group", "name": "checkout"}, "starts_at_ms": AT - 9001, "ends_at_ms": None,
         "by": "ci", "rollback": "https://back", "detail": {"version": "1.42"}},
        {"id": "d1", "kind": "drill", "cluster": "prod-eu", "target": {"kind": "broker", "name": "3"}, "starts_at_ms": AT,
         "detail": {"cause": "broker-down", "remedy": "restart-broker", "entity": "broker/3", "result": "passed"}},
    ],
    "controls": [
        {"kind": "silence", "id": "s1", "at_ms": AT, "by": "ann", "why": "known", "matchers": {"cause": "sink-*"}, "until_ms": AT + 1},
        {"kind": "ack", "id": "a1", "at_ms": AT, "by": "ann", "incident": "inc-1"},
        {"kind": "action", "id": "x1", "at_ms": AT, "by": "bot", "incident": "inc-1", "remedy": "pause-connector", "state": "started"},
        {"kind": "verdict", "id": "v1", "at_ms": AT, "by": "ann", "incident": "inc-1", "verdict": "wrong-owner", "should_be": "team-x", "cause": "slow-consumer"},
    ],
    "policy": [
        {"version": "9b1c2d3", "defaults": {"hold_s": 60}, "routes": [{"name": "n", "when": {"cause": ["cross-zone-reads"], "objective": "fine"}, "ticket": "action"}],
         "automation": {"grants": [{"name": "g", "remedy": "scale-consumers", "when": {"cause": "slow-consumer", "labels": {"stateless": True}}, "drilled_within": "90d", "confidence": 0.9}],
                        "freeze": [{"calendar": "peak-week"}]}},
    ],
    "policy-history": [
        {"at_ms": AT, "by": "ann", "why": "finance is paged after hours", "action": "apply", "policy": {"version": "9b1c2d3"}},
    ],
    "routed-alerts": [
        {"id": "inc-7f3a-3", "incident": "inc-7f3a", "revision": 3, "type": "updated", "status": "firing", "cluster": "prod-eu", "severity": "critical", "domain": "prod-eu",
         "summary": "orders-to-es cannot write to elasticsearch-prod; checkout search is 14 min behind (objective 5 min)",
         "cause": {"id": "sink-throttled", "root": {"kind": "connector", "name": "connect-a/orders-to-es"}, "confidence": 0.94,
                   "alternatives": [{"id": "slow-consumer", "root": {"kind": "group", "name": "connect-orders-to-es"}, "confidence": 0.05}]},
         "impact": [{"service": "search", "topic": "orders", "group": "connect-orders-to-es", "role": "consumer", "lag": 91_234, "lag_s": 840, "lag_s_bound": "exact",
                     "data_age_s": None, "objective_s": 300, "state": "breached", "customer_function": "finding orders"}],
         "routes": [{"role": "impact", "team": "team-search", "urgency": "page", "destination": "pagerduty://search", "delivery": "d-91c4", "do": "open",
                     "reason": "objective-breached", "via": "service/prod-eu/search", "runbook": "https://run", "escalation": "oncall"}],
         "automation": {"verdict": "propose", "remedy": "pause-connector", "valid_until": "2026-11-23T10:04:10.001Z",
                        "proved": {"ownership": True, "grant": False}, "missing": ["no grant for pause-connector"],
                        "success_signal": "s", "failure_signal": "f", "rollback": "r", "rollback_owner": "team-elastic"},
         "symptoms": [{"kind": "put-latency-high", "entity": {"kind": "connector", "name": "connect-a/orders-to-es"}, "since": "2026-11-23T09:48:09.001Z", "value": 4100,
                       "why": "4.1 s", "source": {"topic": "kroute.connector-status", "offset": 812}}],
         "ruled_out": [{"id": "broker-storage-pressure", "because": "local time on brokers 2, 3, 5 observed healthy"}],
         "suppressed": None, "supersedes": [], "superseded_by": None, "late": False,
         "started_at": "2026-11-23T09:48:09.001Z", "updated_at": "2026-11-23T09:49:10.001Z", "resolved_at": None, "policy_version": "9b1c2d3"},
        {"id": "heartbeat/prod-eu-1", "type": "heartbeat", "status": "firing", "cluster": "prod-eu", "updated_at": "2026-11-23T09:49:10.001Z"},
    ],
    "dead-letter": [
        {"topic": "kroute.consumer-lag", "partition": 0, "offset": 7, "timestamp_ms": AT, "reason": "not-json", "detail": "byte 0", "size": 1, "sha256": "ab", "payload_b64": "eA=="},
    ],
    "facts": [
        {"facts": [{"topic": "consumer-lag", "src": "kroute.consumer-lag", "p": 0, "o": 1, "ts": AT, "key": "k", "d": "prod-eu", "val": {"cluster": "prod-eu"}},
                   {"topic": "progress", "src": "kroute.consumer-lag", "p": 0, "o": 2, "ts": AT, "of": 4}]},
    ],
}  # fmt: skip
