"""``kroute audit``: each row passes when all is well, and says its gap, or why it cannot be told, when it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from kroute.contracts.topics import Names
from kroute.errors import BadFile
from kroute.readiness.gather import Reader
from kroute.readiness.matrix import matrix
from kroute.readiness.model import AREAS, Gathered, Row
from kroute.readiness.parse import client_versions, read_terraform
from kroute.readiness.text import render
from kroute.report.source import Past
from kroute.settings import Kafka, Settings
from tests.unit.readiness.world import DRILL, GRANT, NOW, C, change, group, policy, ready, rows, topic, topology


def row(g: Gathered, ident: str) -> Row:
    return next(r for r in matrix(g) if r.id == ident)


def test_a_cluster_that_is_ready_passes_every_row() -> None:
    assert [(r.id, r.evidence) for r in matrix(ready()) if r.state != "pass"] == []


def test_nothing_read_is_unknown_everywhere_and_never_pass() -> None:
    found = matrix(Gathered(cluster=C, now_ms=NOW))
    assert {r.state for r in found} == {"unknown"}
    assert all(r.evidence for r in found)


def test_every_area_of_the_evaluation_has_rows_and_ids_are_unique() -> None:
    found = matrix(ready())
    assert {r.area for r in found} == set(AREAS)
    assert len({r.id for r in found}) == len(found)
    assert {r.id for r in found if r.area == "automation"} == {"compatibility", "cost", "governance", "recovery", "automation"}


def test_why_something_was_not_read_stands_in_its_rows() -> None:
    g = ready(lags=None, quotas=None, unable={"groups": "Group authorization failed.", "quotas": "not permitted"})
    assert row(g, "groups").evidence == "Group authorization failed."
    assert row(g, "offsets").state == "unknown"
    assert row(g, "replay-bounds").evidence == "not permitted"


def parts(*partitions: dict[str, Any]) -> list[dict[str, Any]]:
    base = {
        "topic": "orders",
        "partition": 0,
        "committed": 90,
        "end": 100,
        "stable_end": 100,
        "start": 0,
        "leader": 1,
        "member_id": "m1",
    }
    return [{**base, **p} for p in partitions]


def brokers(*racks: str | None) -> list[dict[str, Any]]:
    return [{"id": i + 1, "rack": r} for i, r in enumerate(racks)]


OPEN = [{"id": "tx", "state": "Ongoing", "started_at_ms": NOW - 16 * 60_000, "partitions": [["orders", 0]]}]
GAPS: list[tuple[str, dict[str, Any], str]] = [
    ("groups", {"lags": [group(up=False, error="no coordinator", state=None)]}, "not described: checkout (no coordinator)"),
    ("groups", {"lags": [group(protocol="share")]}, "lag is not measured for: checkout (share)"),
    ("groups-stable", {"lags": [group(state="Empty")]}, "not Stable and behind: checkout (Empty, 10 behind)"),
    ("offsets", {"lags": [group(partitions=parts({"start": 95}))]}, "commits below the log start: checkout on orders/0"),
    ("offsets", {"lags": [group(partitions=parts({"committed": None}))]}, "partitions without any commit: checkout"),
    ("transactions", {"topology": topology(transactions=OPEN)}, "open for over 15 min: tx (16 min)"),
    ("transactions", {"lags": [group(partitions=parts({"stable_end": 50}))]}, "held back, with no transaction listed: orders/0"),
    ("client-versions", {"clients": {"unknown unknown": 3}}, "clients that tell no version (before Kafka 2.4): unknown unknown"),
    ("kafka-version", {"features": {}}, "no metadata.version is finalized"),
    ("owned-topics", {"ownership": rows(without=f"topic/{C}/orders")}, "0 of 1 have an owner; not: orders"),
    ("owned-topics", {"ownership": rows({"kind": "topic", "name": "*", "owner": "plat"}, without=f"topic/{C}/orders")},
     "1 of 1 have an owner, but by a bare * alone: orders"),
    ("owned-groups", {"lags": [group(), group("stray")]}, "1 of 2 have an owner; not: stray"),
    ("owned-connectors", {"ownership": rows(without=f"connector/{C}/a/sink")}, "not: a/sink"),
    ("owned-principals", {"quotas": [{"entity": "user x", "user": "x", "key": "consumer_byte_rate", "value": 1}]}, "not: User:x"),
    ("services", {"lags": [group(), group("stray")]}, "impact cannot be told for: stray (no service)"),
    ("services", {"ownership": rows({"kind": "service", "name": "shop", "owner": "pay"})}, "checkout (no objective)"),
    ("platform-team", {"ownership": rows(without=f"cluster/{C}/{C}")}, "cluster/prod/prod has no owner"),
    ("destinations", {"ownership": rows(without="team/*/pay")}, "no destination for: pay"),
    ("replicas", {"topology": topology(topics=[topic("orders", [[1, 2]])])}, "under 3 replicas: orders (2)"),
    ("min-isr", {"topology": topology(topics=[topic("orders", [[1, 2, 3]], **{"min.insync.replicas": "1"})])}, "orders (1 of 3)"),
    ("min-isr", {"topology": topology(topics=[topic("orders", [[1, 2, 3]], **{"min.insync.replicas": "3"})])}, "orders (3 of 3)"),
    ("racks", {"topology": topology(brokers=brokers("a", "a", "a"))}, "all brokers are in one rack: a"),
    ("racks", {"topology": topology(brokers=brokers("a", "b", None))}, "brokers without a rack: 3"),
    ("racks", {"topology": topology(brokers=brokers("a", "a", "b"), topics=[topic("orders", [[1, 2]])])},
     "replicas that share a rack: orders/0"),
    ("in-sync", {"topology": topology(topics=[{"name": "t", "partitions": [{"id": 0, "leader": -1, "replicas": [1], "isr": []}]}])},
     "offline: t/0"),
    ("in-sync", {"topology": topology(topics=[{"name": "t", "partitions": [{"id": 0, "leader": 1, "replicas": [1, 2], "isr": [1]}]}])},
     "under-replicated: t/0"),
    ("log-dirs", {"topology": topology(brokers=[{"id": 1, "log_dirs": [{"path": "/d", "error": "KAFKA_STORAGE_ERROR"}]}])}, "offline: /d on 1"),
    ("log-dirs", {"topology": topology(brokers=[{"id": 1, "log_dirs": [{"path": "/d", "total_bytes": 100, "usable_bytes": 10}]}])},
     "over 85% full: /d on 1 (90%)"),
    ("quorum", {"topology": topology(controller={"leader": 1, "voters": [1]})}, "1 voters: 1"),
    ("quorum", {"topology": topology(controller={"leader": 1, "voters": [1, 2, 3], "quorum": [{"id": 2, "lag": 5000}]})}, "voters behind: 2"),
    ("internal-topics", {"topology": topology(topics=[topic("__consumer_offsets", [[1]])])}, "under 3 replicas: __consumer_offsets (1)"),
    ("cross-zone", {"lags": [group(members=[{"member_id": "m1", "rack": "r2"}])], "broker_configs": {1: {}}}, "r1 → r2: 1 partitions"),
    ("follower-fetching", {"broker_configs": {1: {}}}, "brokers that serve from leaders alone: 1"),
    ("replay-traffic", {"lags": [group(partitions=parts({"committed": 0, "end": 2_000_000, "stable_end": 2_000_000}))]},
     "read from far behind, and no replay is declared: checkout (2,000,000 records)"),
    ("replay-bounds", {"quotas": []}, "0 quotas, none on reading"),
    ("drift", {"terraform": {"orders": {}, "gone": {}}}, "drift: gone (in Terraform, not in the cluster)"),
    ("drift", {"terraform": {}}, "drift: orders (in the cluster, not in Terraform)"),
    ("drift", {"terraform": {"orders": {"partitions": 6, "replication_factor": 2, "config": {"min.insync.replicas": "1"}}}},
     "drift: orders (2 partitions, Terraform 6), orders (3 replicas, Terraform 2), orders (min.insync.replicas 2, Terraform 1)"),
    ("policy-review", {"history": []}, "abc1234 is in force and stands in no history"),
    ("topic-creation", {"broker_configs": {1: {}}}, "auto.create.topics.enable is true on broker: 1"),
    ("access", {"acls": None, "unable": {"acls": "SecurityDisabledError"}}, "anybody may do anything"),
    ("access", {"acls": [{"principal": "User:*", "operation": "ALL", "permission": "ALLOW", "resource": "topic *"}]},
     "everybody may: User:* ALL on topic *"),
    ("declared-changes", {"changes": {}}, "no change was ever declared here"),
    ("topic-sync", {"topology": topology(topics=[])}, "not here: orders of move"),
    ("group-progress", {"lags": []}, "1 of 1 groups have no commit here: checkout of move"),
    ("rollback-drill", {"changes": {}}, "no drill of a migration is recorded"),
    ("automation", {"policy": policy()}, "the policy grants nothing"),
    ("automation", {"changes": {}}, "not to be relied on: g (no drill of scale-consumers passed in 90 days)"),
    ("automation", {"changes": {"d": change("drill", 91, detail=DRILL)}}, "g (no drill of scale-consumers passed in 90 days)"),
    ("automation", {"policy": policy(automation={"grants": [{**GRANT, "until": "2026-01-01"}]})}, "g (ended)"),
]  # fmt: skip


@pytest.mark.parametrize(("ident", "lacking", "evidence"), GAPS, ids=[f"{i}-{g}" for g, (i, _, _) in enumerate(GAPS)])
def test_a_gap_is_told_with_its_evidence_and_what_closes_it(ident: str, lacking: dict[str, Any], evidence: str) -> None:
    found = row(ready(**lacking), ident)
    assert found.state == "gap", found
    assert evidence in found.evidence
    assert found.advice


def test_every_row_that_can_be_a_gap_has_been_one() -> None:
    derived = {"compatibility", "cost", "governance", "recovery"}
    without = {r.id for r in matrix(ready())} - {i for i, _, _ in GAPS} - derived
    assert without == {"connect", "connect-systems", "platform", "dual-run"}  # tested below, or never a gap (platform)


@pytest.mark.parametrize(
    ("fields", "ident", "evidence"),
    [
        ({"state": "FAILED"}, "connect", "failed: a/sink (FAILED, 0 tasks FAILED)"),
        ({"tasks": [{"id": 0, "state": "FAILED"}]}, "connect", "failed: a/sink (RUNNING, 1 tasks FAILED)"),
        ({"connector": "other"}, "connect-systems", "no system is named for: a/other"),
    ],
)
def test_connectors_that_fail_or_name_no_system(fields: dict[str, Any], ident: str, evidence: str) -> None:
    g = ready()
    assert g.connectors is not None
    g.connectors = [msgspec.convert({**msgspec.to_builtins(g.connectors[0]), **fields}, type(g.connectors[0]))]
    assert (row(g, ident).state, row(g, ident).evidence) == ("gap", evidence)


def test_a_link_without_a_phase_is_a_gap() -> None:
    link = {"kind": "link", "name": "move", "source_cluster": "old", "target_cluster": C}
    assert row(ready(ownership=rows(link)), "dual-run").evidence == "no phase or no end of dual run: move (no phase)"


@pytest.mark.parametrize(
    ("ident", "fields", "evidence"),
    [
        ("cross-zone", {"lags": [group(members=[{"member_id": "m1"}])]}, "no member's rack is known"),
        ("racks", {"topology": topology(brokers=brokers(None, None))}, "no broker tells a rack"),
        ("topic-sync", {"ownership": rows()}, "no link row names this cluster: nothing is migrated"),
        ("owned-connectors", {"connectors": None}, "no Connect cluster was given"),
        ("client-versions", {"clients": None}, "no broker exporter was given"),
        ("drift", {"terraform": None}, "no Terraform state was given"),
        ("transactions", {"unable": {"transactions of broker 1": "not permitted"}}, "not permitted"),
    ],
)
def test_what_cannot_be_told_is_unknown_with_its_reason(ident: str, fields: dict[str, Any], evidence: str) -> None:
    found = row(ready(**fields), ident)
    assert (found.state, found.evidence) == ("unknown", evidence)


def test_evidence_before_automation_is_as_good_as_the_worst_row_it_rests_on() -> None:
    assert row(ready(clients=None), "compatibility").evidence == "unknown: client-versions"
    g = ready(clients=None, features={})
    assert (row(g, "compatibility").state, row(g, "compatibility").evidence) == (
        "gap",
        "gap: kafka-version; unknown: client-versions",
    )
    assert row(g, "cost").state == "pass"


def test_a_declared_replay_explains_reading_from_far_behind() -> None:
    far = [group(partitions=parts({"committed": 0, "end": 2_000_000, "stable_end": 2_000_000}))]
    found = row(ready(lags=far, changes={"r": change("replay")}), "replay-traffic")
    assert (found.state, "declared: replay-1" in found.evidence) == ("pass", True)
    over = row(ready(lags=far, changes={"r": change("replay", 2, ends_at_ms=NOW - 1)}), "replay-traffic")
    assert over.state == "gap"


def test_automq_is_not_asked_for_replicas() -> None:
    g = ready(topology=topology(topics=[topic("orders", [[1]])]), broker_configs={1: {"s3.data.buckets": "0@s3://b"}})
    assert {i: row(g, i).state for i in ("replicas", "min-isr", "platform")} == {
        "replicas": "pass",
        "min-isr": "pass",
        "platform": "pass",
    }
    assert "AutoMQ" in row(g, "platform").evidence


def test_a_policy_that_is_no_commit_or_old_is_to_be_reviewed() -> None:
    g = ready()
    assert g.history is not None
    g.history = [msgspec.structs.replace(g.history[0], at_ms=NOW - 181 * 86_400_000)]
    assert row(g, "policy-review").state == "gap"
    by_content = msgspec.structs.replace(ready().history[0].policy, version="content-12")  # type: ignore[index]
    g = ready(policy=policy(), history=[msgspec.structs.replace(ready().history[0], policy=by_content)])  # type: ignore[index]
    g.policy = msgspec.structs.replace(policy(), version="content-12")
    assert "it is no git commit" in row(g, "policy-review").evidence


def test_client_versions_are_read_from_either_spelling_of_the_labels() -> None:
    text = """
# HELP x client_software_name="no" client_software_version="no" 1
kafka_server_socket_server_metrics_connections{client_software_name="java",client_software_version="3.9.0",listener="a"} 4.0
kafka_server_socket_server_metrics_connections{client_software_name="java",client_software_version="3.9.0",listener="b"} 2
kafka_server_socketservermetrics_connections{clientSoftwareName="librdkafka",clientSoftwareVersion="2.6"} 1
other{name="x"} 1
broken{client_software_name="java",client_software_version="1"} NaN
"""
    assert client_versions(text) == {"java 3.9.0": 6, "librdkafka 2.6": 1}


PLAN = (
    '{"terraform_version":"1","values":{"root_module":{"child_modules":[{"resources":[{"mode":"managed","type":"kafka_topic",'
    '"values":{"name":"a","partitions":3}}]}],"resources":[{"type":"confluent_kafka_topic","values":{"topic_name":"b"}},'
    '{"type":"kafka_acl","values":{"name":"c"}}]}}}'
)


def test_topics_are_read_from_terraform(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text(PLAN)
    assert {k: v.get("partitions") for k, v in read_terraform(str(file)).items()} == {"a": 3, "b": None}


@pytest.mark.parametrize(
    ("text", "problem"), [("{", "no JSON"), ("[]", "no JSON of Terraform"), ('{"a":1}', "no JSON of Terraform")]
)
def test_what_is_no_terraform_is_said(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(text)
    with pytest.raises(BadFile, match=problem):
        read_terraform(str(file))


def test_the_matrix_reads_as_tables_with_a_count() -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    for part in render(C, matrix(ready(quotas=[]))):
        console.print(part)
    said = console.export_text()
    assert "Network and cost" in said
    assert "replay-bounds" in said
    assert "→ a default consumer_byte_rate keeps one replay from taking all" in said
    assert f"{C}: 39 pass, 2 gaps, 0 unknown, of 41" in said


def test_a_topic_that_does_not_exist_leaves_its_rows_unknown_and_an_empty_one_is_a_gap() -> None:
    reader = Reader(C, Kafka(), Settings(names=Names(prefix="my.")))
    reader.take(Past(missing=["topic my.ownership does not exist at b:9092; a worker creates it"]))
    assert reader.out.ownership is None
    assert row(reader.out, "platform-team").evidence.startswith("topic my.ownership does not exist")
    assert reader.out.changes == {}
    reader.take(Past())
    assert row(reader.out, "platform-team").state == "gap"
