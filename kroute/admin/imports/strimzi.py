"""Strimzi's ``KafkaTopic`` and ``KafkaUser`` resources: topics, and who may read and write what.

A user's principal is ``User:CN=<name>`` with TLS client authentication and ``User:<name>`` with SCRAM
(https://strimzi.io/docs/operators/latest/deploying, "Securing user access").
"""

from __future__ import annotations

from typing import Any

from kroute.admin.imports.model import Imported, Metadata, mapping, mappings, metadata, text

CLUSTER_LABEL = "strimzi.io/cluster"


def read(document: dict[str, Any], cluster: str | None, out: Imported) -> None:
    """One resource; a ``List`` is read item by item. ``cluster`` None: the resource's own label."""
    kind = document.get("kind")
    if kind in ("List", "KafkaTopicList", "KafkaUserList"):
        for item in mappings(document.get("items")):
            read(item, cluster, out)
        return
    meta, spec = metadata(document), mapping(document.get("spec"))
    where = cluster or meta.words.get(CLUSTER_LABEL)
    if kind not in ("KafkaTopic", "KafkaUser"):
        out.note(f"{kind} {meta.name}: only KafkaTopic and KafkaUser are read")
    elif not where:
        out.note(f"{kind} {meta.name}: no label {CLUSTER_LABEL}; give --cluster")
    elif kind == "KafkaTopic":
        name = text(spec.get("topicName")) or meta.name
        if name.startswith(("__", "strimzi-")):
            return
        out.add("topic", where, name, owner=meta.owner, service=meta.own("service"), data_class=meta.own("data-class"))
    else:
        _user(meta, spec, where, out)


def _user(meta: Metadata, spec: dict[str, Any], cluster: str, out: Imported) -> None:
    sort = mapping(spec.get("authentication")).get("type")
    principal = f"User:CN={meta.name}" if sort in ("tls", "tls-external") else f"User:{meta.name}"
    topics: list[str] = []
    groups: list[str] = []
    for acl in mappings(mapping(spec.get("authorization")).get("acls")):
        resource = mapping(acl.get("resource"))
        name = text(resource.get("name"))
        if name is None or acl.get("type", "allow") != "allow":
            continue
        pattern = name if name == "*" or resource.get("patternType", "literal") != "prefix" else f"{name}*"
        if resource.get("type") == "topic":
            topics.append(pattern)
        elif resource.get("type") == "group":
            groups.append(pattern)
    quotas = {f"quota.{k}": str(v) for k, v in mapping(spec.get("quotas")).items()}
    out.add(
        "principal", cluster, principal, owner=meta.owner, service=meta.own("service"), topics=sorted(set(topics)),
        groups=sorted(set(groups)), labels=quotas,
    )  # fmt: skip
    service = meta.own("service")
    if service:
        for group in groups:
            if group != "*":
                out.add("group", cluster, group, service=service)
