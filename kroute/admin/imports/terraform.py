"""Terraform state and plan JSON (``terraform show -json``), and raw state files: topics, ACLs, quotas, labels.

Resource types of the providers ``Mongey/kafka`` (``kafka_topic``, ``kafka_acl``, ``kafka_quota``,
``kafka_user_scram_credential``) and ``confluentinc/confluent`` (``confluent_kafka_topic``, ``confluent_kafka_acl``,
``confluent_kafka_client_quota``, ``confluent_connector``, ``confluent_service_account``, ``confluent_tag_binding``,
``confluent_business_metadata_binding``). JSON format: https://developer.hashicorp.com/terraform/internals/json-format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from kroute.admin.imports.model import DATA_CLASSES, OWNER_KEYS, Imported, mapping, mappings, text, texts

_LABELS = ("confluent_tag_binding", "confluent_business_metadata_binding")


class _Resource(NamedTuple):
    type: str
    address: str
    values: dict[str, Any]


def is_terraform(value: Any) -> bool:
    """True for the JSON of a state, a plan, or a raw state file."""
    return isinstance(value, dict) and any(k in value for k in ("terraform_version", "planned_values", "values"))


def read(document: dict[str, Any], cluster: str, out: Imported, owner: str | None = None) -> None:
    """All resources of a state or plan. ``owner``: the team of what names none.

    ``cluster`` is the name that alerts carry; a provider's id (``lkc-…``) is none.
    """
    found = sorted(_resources(document), key=lambda r: r.address)
    accounts = {
        str(r.values.get("id")): str(r.values.get("display_name"))
        for r in found
        if r.type == "confluent_service_account" and r.values.get("id")
    }
    for r in found:
        how = _HOW.get(r.type)
        if how is not None:
            how(r, cluster, out, owner, accounts)
        elif r.type.startswith(("kafka_", "confluent_")) and r.type not in (*_LABELS, "confluent_service_account"):
            out.note(f"{r.address}: {r.type} says nothing about ownership here")
    for r in found:
        if r.type in _LABELS:
            _labels(r, cluster, out)
    for key, row in out.rows.items():
        if owner is None and "owner" not in row:
            out.note(f"{key}: no owner; give --owner, or a business metadata attribute named owner")


def _resources(document: dict[str, Any]) -> Iterator[_Resource]:
    root = mapping(mapping(document.get("planned_values") or document.get("values")).get("root_module"))
    yield from _module(root)
    for r in mappings(document.get("resources")):  # a raw state file, version 4
        if r.get("mode") == "managed":
            for i, instance in enumerate(mappings(r.get("instances"))):
                address = f"{r.get('type')}.{r.get('name')}[{i}]"
                yield _Resource(str(r.get("type")), address, mapping(instance.get("attributes")))


def _module(module: dict[str, Any]) -> Iterator[_Resource]:
    for r in mappings(module.get("resources")):
        if r.get("mode", "managed") == "managed":
            yield _Resource(str(r.get("type")), str(r.get("address")), mapping(r.get("values")))
    for child in mappings(module.get("child_modules")):
        yield from _module(child)


Read = Callable[[_Resource, str, Imported, str | None, dict[str, str]], None]


def _topic(r: _Resource, cluster: str, out: Imported, owner: str | None, _: dict[str, str]) -> None:
    name = text(r.values.get("topic_name")) or text(r.values.get("name"))
    if name is None:
        out.note(f"{r.address}: its name is not known before it is applied")
        return
    out.add("topic", cluster, name, owner=owner)


def _acl(r: _Resource, cluster: str, out: Imported, owner: str | None, accounts: dict[str, str]) -> None:
    v = r.values
    principal = _principal(text(v.get("principal")) or text(v.get("acl_principal")))
    name = text(v.get("resource_name"))
    sort = str(v.get("resource_type", "")).lower()
    allowed = str(v.get("permission") or v.get("acl_permission_type") or "Allow").lower() == "allow"
    if principal is None or name is None or not allowed or sort not in ("topic", "group") or principal == "User:*":
        return
    prefixed = str(v.get("pattern_type") or v.get("resource_pattern_type_filter") or "Literal").lower() == "prefixed"
    pattern = f"{name}*" if prefixed and name != "*" else name
    account = accounts.get(principal.removeprefix("User:"))
    labels = {"account": account} if account else {}
    out.add("principal", cluster, principal, owner=owner, labels=labels, **{f"{sort}s": [pattern]})


def _quota(r: _Resource, cluster: str, out: Imported, owner: str | None, accounts: dict[str, str]) -> None:
    v = r.values
    if r.type == "kafka_quota":
        if str(v.get("entity_type")) != "user" or not text(v.get("entity_name")):
            return
        names = [f"User:{v['entity_name']}"]
        labels = {f"quota.{k}": str(x) for k, x in mapping(v.get("config")).items()}
    else:
        names = [p for x in texts(v.get("principals")) if (p := _principal(x)) is not None]
        throughput = (mappings(v.get("throughput")) or [{}])[0]
        labels = {f"quota.{k}": str(x) for k, x in throughput.items() if x is not None}
    for name in names:
        out.add("principal", cluster, name, owner=owner, labels=labels)


def _scram(r: _Resource, cluster: str, out: Imported, owner: str | None, _: dict[str, str]) -> None:
    name = text(r.values.get("username"))
    if name is not None:
        out.add("principal", cluster, f"User:{name}", owner=owner)


def _connector(r: _Resource, cluster: str, out: Imported, owner: str | None, _: dict[str, str]) -> None:
    config = mapping(r.values.get("config_nonsensitive"))
    name = text(config.get("name"))
    if name is not None:
        topics = [t.strip() for t in str(config.get("topics") or config.get("kafka.topic") or "").split(",") if t.strip()]
        out.add("connector", cluster, f"confluent/{name}", owner=owner, topics=topics)


_HOW: dict[str, Read] = {
    "kafka_topic": _topic,
    "confluent_kafka_topic": _topic,
    "kafka_acl": _acl,
    "confluent_kafka_acl": _acl,
    "kafka_quota": _quota,
    "confluent_kafka_client_quota": _quota,
    "kafka_user_scram_credential": _scram,
    "confluent_connector": _connector,
}


def _labels(r: _Resource, cluster: str, out: Imported) -> None:
    """A tag or business metadata on a topic, which is named ``<environment>:<cluster>:<topic>``."""
    v = r.values
    entity = text(v.get("entity_name"))
    row = out.rows.get(f"topic/{cluster}/{entity.rpartition(':')[2]}") if entity else None
    if row is None or "topic" not in str(v.get("entity_type", "")):
        return
    if r.type == "confluent_tag_binding":
        tag = str(v.get("tag_name", "")).lower()
        if tag in DATA_CLASSES:
            row["data_class"] = tag
        elif tag:
            row["labels"] = {**row.get("labels", {}), tag: "true"}
        return
    attributes = {str(k).lower(): str(x) for k, x in mapping(v.get("attributes")).items()}
    named = next((attributes[k] for k in OWNER_KEYS if attributes.get(k)), None)
    if named is not None:
        row["owner"] = named
    labels = {k: x for k, x in attributes.items() if k not in OWNER_KEYS}
    if labels:
        row["labels"] = {**row.get("labels", {}), **labels}


def _principal(raw: str | None) -> str | None:
    """``User:sa-abc`` stays: it is what brokers report. One that is not known before it is applied is None."""
    if raw is None or raw == "User:":
        return None
    return raw if raw.startswith("User:") else f"User:{raw}"
