"""A cluster of three brokers in three racks that is ready for everything, to take something away from."""

from __future__ import annotations

from typing import Any

import msgspec

from kroute.contracts.inputs import ConnectorStatus, ConsumerLag, Topology
from kroute.contracts.rows import Change, Ownership, Policy, PolicyChange
from kroute.readiness.model import Gathered
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.policy import check
from kroute.signals.model import Rows

C = "prod"
NOW = 1_795_427_349_001
DAY_MS = 86_400_000


def topic(name: str, replicas: list[list[int]], **config: str) -> dict[str, Any]:
    return {
        "name": name, "config": {"min.insync.replicas": "2", **config},
        "partitions": [{"id": i, "leader": r[0], "replicas": r, "isr": r} for i, r in enumerate(replicas)],
    }  # fmt: skip


def topology(**more: Any) -> Topology:
    disk = [{"path": "/d", "total_bytes": 100, "usable_bytes": 60}]
    return msgspec.convert({
        "cluster": C, "observed_at_ms": NOW,
        "brokers": [{"id": i, "rack": f"r{i}", "log_dirs": disk} for i in (1, 2, 3)],
        "topics": [topic("orders", [[1, 2, 3], [2, 3, 1]]), topic("__consumer_offsets", [[1, 2, 3]])],
        "controller": {"leader": 1, "voters": [1, 2, 3], "quorum": [{"id": i, "lag": 0} for i in (1, 2, 3)]},
        **more,
    }, Topology)  # fmt: skip


def group(name: str = "checkout", **more: Any) -> ConsumerLag:
    rows = [{"topic": "orders", "partition": 0, "committed": 90, "end": 100, "stable_end": 100, "start": 0, "leader": 1,
             "member_id": "m1"}]  # fmt: skip
    return msgspec.convert({
        "cluster": C, "observed_at_ms": NOW, "group": name, "state": "Stable", "protocol": "classic",
        "members": [{"member_id": "m1", "rack": "r1"}], "partitions": rows, **more,
    }, ConsumerLag)  # fmt: skip


def rows(*more: dict[str, Any], without: str = "") -> OwnershipIndex:
    stated: list[dict[str, Any]] = [
        {"kind": "cluster", "name": C, "owner": "plat"},
        {"kind": "topic", "name": "orders", "owner": "pay"},
        {"kind": "group", "name": "checkout", "service": "shop"},
        {"kind": "service", "name": "shop", "owner": "pay", "slo": {"freshness_s": 60}},
        {"kind": "connector", "name": "a/sink", "owner": "data", "service": "shop", "system": "es"},
        {"kind": "principal", "name": "User:shop", "owner": "pay"},
        *({"kind": "team", "name": t, "cluster": "*", "page": f"x://{t}"} for t in ("plat", "pay", "data")),
        *more,
    ]
    out = OwnershipIndex(Rows())
    for r in stated:
        row = msgspec.convert({"cluster": C, **r}, Ownership)
        key = f"{row.kind}/{row.cluster}/{row.name}"
        if key != without:
            out.put(key, b"", row)
    return out


def policy(**fields: Any) -> Any:
    ready, problems = check(msgspec.convert({"version": "abc1234", **fields}, Policy))
    assert problems == []
    return ready


def change(kind: str, age_d: float = 1, **more: Any) -> Change:
    return msgspec.convert({
        "id": f"{kind}-1", "kind": kind, "cluster": C, "target": {"kind": "group", "name": "checkout"},
        "starts_at_ms": NOW - int(age_d * DAY_MS), **more,
    }, Change)  # fmt: skip


GRANT = {"name": "g", "remedy": "scale-consumers", "when": {"cause": "slow-consumer"}}
DRILL = {"cause": "slow-consumer", "remedy": "scale-consumers", "result": "passed"}


def ready(**more: Any) -> Gathered:
    """Everything is read, and everything is well."""
    history = PolicyChange(
        at_ms=NOW - 3 * DAY_MS, by="ann", why="quarterly review", action="apply", policy=Policy(version="abc1234")
    )
    link = {"kind": "link", "name": "move", "owner": "plat", "source_cluster": "old", "target_cluster": C, "topics": ["orders"],
            "groups": ["checkout"], "phase": "sync", "dual_run_until": "2027-01-01"}  # fmt: skip
    drills = [change("drill", detail=DRILL), change("drill", detail={**DRILL, "cause": "migration-sync-lag"}, id="drill-2")]
    connector = {"cluster": C, "observed_at_ms": NOW, "connect": "a", "connector": "sink", "state": "RUNNING", "group": "checkout",
                 "tasks": [{"id": 0, "state": "RUNNING"}]}  # fmt: skip
    config = {"auto.create.topics.enable": "false", "replica.selector.class": "org.apache.kafka.x.RackAwareReplicaSelector"}
    fields: dict[str, Any] = {
        "cluster": C, "now_ms": NOW, "topology": topology(), "lags": [group()],
        "broker_configs": dict.fromkeys((1, 2, 3), config), "features": {"metadata.version": 29},
        "acls": [{"principal": "User:shop", "operation": "READ", "permission": "ALLOW", "resource": "topic orders"}],
        "quotas": [{"entity": "user default", "user": None, "key": "consumer_byte_rate", "value": 1e6}],
        "clients": {"apache-kafka-java 4.3.1": 12}, "connectors": [msgspec.convert(connector, ConnectorStatus)],
        "ownership": rows(link), "policy": policy(automation={"grants": [GRANT]}), "history": [history],
        "changes": {c.id: c for c in drills}, "terraform": {"orders": {"partitions": 2, "replication_factor": 3}}, "unable": {},
        **more,
    }  # fmt: skip
    return Gathered(**fields)
