"""Rows from Backstage, Terraform and Strimzi, in the shapes that these tools write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kroute.admin.imports import run as imports
from kroute.admin.imports.model import Imported
from kroute.admin.ownership import folder
from kroute.cli import ownership
from kroute.errors import BadFile

BACKSTAGE = """
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: team-pay, annotations: {kroute.io/page: "pagerduty://pay"}}
spec: {type: team, profile: {email: pay@example.com}, children: []}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: checkout
  description: people can pay
  annotations: {kafka.apache.org/consumer-groups: "prod/checkout, prod-us/checkout-us", kroute.io/tier: "1"}
  links: [{url: "https://run/checkout", title: Runbook}]
spec: {type: service, lifecycle: production, owner: "group:default/team-pay"}
---
apiVersion: backstage.io/v1alpha1
kind: Resource
metadata: {name: payments, tags: [pci, java]}
spec: {type: kafka-topic, owner: team-pay}
---
apiVersion: backstage.io/v1alpha1
kind: Resource
metadata: {name: elasticsearch-prod}
spec: {type: database, owner: "user:ann"}
---
apiVersion: backstage.io/v1alpha1
kind: Alien
metadata: {name: x}
"""


def test_backstage(tmp_path: Path) -> None:
    (tmp_path / "catalog-info.yaml").write_text(BACKSTAGE)
    out = imports.run([tmp_path], "prod", None)
    assert out.rows == {
        "team/*/team-pay": row("team", "*", "team-pay", page="pagerduty://pay", notify="mailto:pay@example.com"),
        "service/prod/checkout": row(
            "service", "prod", "checkout", owner="team-pay", customer_function="people can pay", runbook="https://run/checkout",
            labels={"tier": "1", "lifecycle": "production"},
        ),
        "group/prod/checkout": row("group", "prod", "checkout", service="checkout"),
        "group/prod-us/checkout-us": row("group", "prod-us", "checkout-us", service="checkout"),
        "topic/prod/payments": row("topic", "prod", "payments", owner="team-pay", data_class="pci"),
        "system/prod/elasticsearch-prod": row("system", "prod", "elasticsearch-prod"),
    }  # fmt: skip
    assert out.notes == ["Alien x: this kind says nothing about ownership here"]


STRIMZI = """
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaTopic
metadata: {name: payments-v1, labels: {strimzi.io/cluster: prod, team: team-pay}, annotations: {kroute.io/data-class: pci}}
spec: {topicName: payments.v1, partitions: 12, replicas: 3}
---
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaTopic
metadata: {name: offsets, labels: {strimzi.io/cluster: prod}}
spec: {topicName: __consumer_offsets}
---
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaUser
metadata: {name: checkout, labels: {strimzi.io/cluster: prod}, annotations: {kroute.io/owner: team-pay, kroute.io/service: checkout}}
spec:
  authentication: {type: tls}
  authorization:
    type: simple
    acls:
      - {resource: {type: topic, name: payments, patternType: prefix}, operations: [Read, Describe]}
      - {resource: {type: group, name: checkout, patternType: literal}, operations: [Read]}
      - {resource: {type: topic, name: secrets}, operations: [Read], type: deny}
  quotas: {producerByteRate: 1048576}
---
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaUser
metadata: {name: nowhere}
---
apiVersion: kafka.strimzi.io/v1beta2
kind: KafkaConnector
metadata: {name: c, labels: {strimzi.io/cluster: x}}
"""


def test_strimzi(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(STRIMZI)
    out = imports.run([path], None, None)
    assert out.rows == {
        "topic/prod/payments.v1": row("topic", "prod", "payments.v1", owner="team-pay", data_class="pci"),
        "principal/prod/User:CN=checkout": row(
            "principal", "prod", "User:CN=checkout", owner="team-pay", service="checkout", topics=["payments*"],
            groups=["checkout"], labels={"quota.producerByteRate": "1048576"},
        ),
        "group/prod/checkout": row("group", "prod", "checkout", service="checkout"),
    }  # fmt: skip
    assert out.notes == [
        "KafkaUser nowhere: no label strimzi.io/cluster; give --cluster",
        "KafkaConnector c: only KafkaTopic and KafkaUser are read",
    ]


def test_strimzi_as_kubectl_lists_it(tmp_path: Path) -> None:
    path = tmp_path / "topics.json"
    item = {"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "metadata": {"name": "t"}, "spec": {}}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [item]}))
    assert list(imports.run([path], "c", None).rows) == ["topic/c/t"]


def resource(type_: str, name: str, /, **values: Any) -> dict[str, Any]:
    return {"address": f"{type_}.{name}", "mode": "managed", "type": type_, "name": name, "values": values}


MONGEY = [
    resource("kafka_topic", "payments", name="payments", partitions=3, config={"retention.ms": "1"}),
    resource("kafka_acl", "read", resource_name="pay", resource_type="Topic", resource_pattern_type_filter="Prefixed",
             acl_principal="User:checkout", acl_operation="Read", acl_permission_type="Allow", acl_host="*"),
    resource("kafka_acl", "group", resource_name="checkout", resource_type="Group", resource_pattern_type_filter="Literal",
             acl_principal="User:checkout", acl_operation="Read", acl_permission_type="Allow", acl_host="*"),
    resource("kafka_acl", "deny", resource_name="secret", resource_type="Topic", acl_principal="User:checkout",
             acl_operation="Read", acl_permission_type="Deny"),
    resource("kafka_quota", "q", entity_name="checkout", entity_type="user", config={"producer_byte_rate": "4000000"}),
    resource("kafka_quota", "by-client", entity_name="c1", entity_type="client-id", config={"producer_byte_rate": "1"}),
]  # fmt: skip
MONGEY_ROWS = {
    "topic/prod/payments": {"kind": "topic", "cluster": "prod", "name": "payments", "owner": "team-pay"},
    "principal/prod/User:checkout": {
        "kind": "principal", "cluster": "prod", "name": "User:checkout", "owner": "team-pay", "topics": ["pay*"],
        "groups": ["checkout"], "labels": {"quota.producer_byte_rate": "4000000"},
    },
}  # fmt: skip


@pytest.mark.parametrize("shape", ["state", "plan", "module"])
def test_terraform_state_and_plan_of_mongeys_provider(tmp_path: Path, shape: str) -> None:
    root: dict[str, Any] = {"resources": MONGEY}
    if shape == "module":
        root = {"child_modules": [{"address": "module.pay", "resources": MONGEY}]}
    document: dict[str, Any] = {"format_version": "1.0", "terraform_version": "1.9.0"}
    document["planned_values" if shape == "plan" else "values"] = {"root_module": root}
    (tmp_path / "show.json").write_text(json.dumps(document))
    assert imports.run([tmp_path], "prod", "team-pay").rows == MONGEY_ROWS


def test_a_raw_state_file(tmp_path: Path) -> None:
    resources = [
        {"mode": "managed", "type": r["type"], "name": r["name"], "instances": [{"attributes": r["values"]}]} for r in MONGEY
    ]
    data = {"mode": "data", "type": "kafka_topic", "name": "x", "instances": [{"attributes": {"name": "not-ours"}}]}
    (tmp_path / "terraform.tfstate").write_text(
        json.dumps({"version": 4, "terraform_version": "1.9.0", "resources": [*resources, data]})
    )
    assert imports.run([tmp_path], "prod", "team-pay").rows == MONGEY_ROWS


def test_confluents_provider(tmp_path: Path) -> None:
    cluster = [{"id": "lkc-1"}]
    found = [
        resource("confluent_service_account", "app", id="sa-1", display_name="checkout"),
        resource("confluent_kafka_topic", "orders", topic_name="orders", kafka_cluster=cluster),
        resource("confluent_kafka_topic", "unknown", kafka_cluster=cluster),
        resource("confluent_kafka_acl", "r", resource_type="TOPIC", resource_name="ord", pattern_type="PREFIXED",
                 principal="User:sa-1", operation="READ", permission="ALLOW", kafka_cluster=cluster),
        resource("confluent_kafka_client_quota", "q", principals=["sa-1"], throughput=[{"ingress_byte_rate": "100", "egress_byte_rate": "200"}]),
        resource("confluent_tag_binding", "t", tag_name="PII", entity_name="lsrc-1:lkc-1:orders", entity_type="kafka_topic"),
        resource("confluent_tag_binding", "u", tag_name="gold", entity_name="lsrc-1:lkc-1:orders", entity_type="kafka_topic"),
        resource("confluent_business_metadata_binding", "m", attributes={"owner": "team-orders", "cost": "42"},
                 entity_name="lsrc-1:lkc-1:orders", entity_type="kafka_topic"),
        resource("confluent_connector", "es", config_nonsensitive={"name": "orders-es", "topics": "orders,refunds"}),
        resource("confluent_environment", "e", display_name="prod"),
        resource("aws_s3_bucket", "b"),
    ]  # fmt: skip
    (tmp_path / "show.json").write_text(json.dumps({"terraform_version": "1", "values": {"root_module": {"resources": found}}}))
    out = imports.run([tmp_path], "prod", None)
    assert out.rows == {
        "topic/prod/orders": row("topic", "prod", "orders", owner="team-orders", data_class="pii", labels={"gold": "true", "cost": "42"}),
        "principal/prod/User:sa-1": row(
            "principal", "prod", "User:sa-1", topics=["ord*"],
            labels={"account": "checkout", "quota.ingress_byte_rate": "100", "quota.egress_byte_rate": "200"},
        ),
        "connector/prod/confluent/orders-es": row("connector", "prod", "confluent/orders-es", topics=["orders", "refunds"]),
    }  # fmt: skip
    assert out.notes == [
        "confluent_environment.e: confluent_environment says nothing about ownership here",
        "confluent_kafka_topic.unknown: its name is not known before it is applied",
        "connector/prod/confluent/orders-es: no owner; give --owner, or a business metadata attribute named owner",
        "principal/prod/User:sa-1: no owner; give --owner, or a business metadata attribute named owner",
    ]


def test_two_sources_of_one_row_complete_each_other_and_a_difference_is_told() -> None:
    out = Imported()
    out.add("topic", "c", "t", owner="a", topics=["x"], labels={"k": "1"})
    out.add("topic", "c", "t", owner="b", topics=["y"], labels={"k": "2", "l": "3"}, data_class="pci")
    assert out.rows["topic/c/t"] == row(
        "topic", "c", "t", owner="a", topics=["x", "y"], labels={"k": "1", "l": "3"}, data_class="pci"
    )
    assert out.notes == ["topic/c/t: owner is 'a' in one place and 'b' in another; kept 'a'"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "apiVersion: v1\nkind: Pod\n", "a.yaml:1: apiVersion: 'v1' is neither Backstage's"),
        ("a.yaml", "apiVersion: backstage.io/v1alpha1\nkind: Component\n", "give --cluster"),
        ("a.yaml", "- 1\n", "a.yaml:1: not a mapping"),
        ("a.json", '{"a": 1', "a.json:1: not JSON"),
        ("a.json", '{"a": 1}', "a.json:1: neither `terraform show -json` nor a Strimzi resource"),
    ],
)
def test_a_file_of_none_of_the_sources(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadFile) as e:
        imports.run([tmp_path], None, None)
    assert message in str(e.value)


def run(*args: str) -> Result:
    return CliRunner().invoke(ownership.command, ["import", *args])


def test_what_is_imported_is_written_as_files_that_read_the_same(tmp_path: Path) -> None:
    source, out = tmp_path / "catalog-info.yaml", tmp_path / "out"
    source.write_text(BACKSTAGE)
    result = run(str(source), "--cluster", "prod", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in out.iterdir()) == ["team-pay.yaml", "unowned.yaml"]
    rows, problems = folder.read(out)
    assert problems == []
    wanted = imports.run([source], "prod", None).rows
    # A group in its team's file gets the team's name too: it is its service's owner.
    assert {s.key: folder.plain(s.row) for s in rows} == {
        k: {**r, "owner": "team-pay"} if k == "group/prod/checkout" else r for k, r in wanted.items()
    }
    again = run(str(source), "--cluster", "prod", "--out", str(out))
    assert again.exit_code == 2
    assert "is there already" in again.output


def row(kind: str, cluster: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "cluster": cluster, "name": name, **fields}
