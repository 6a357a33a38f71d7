"""Backstage ``catalog-info.yaml``: groups are teams, components services, resources what they live on.

Descriptor format: https://backstage.io/docs/features/software-catalog/descriptor-format; consumer groups of a component:
the annotation ``kafka.apache.org/consumer-groups`` (``cluster/group``, separated by commas) of Backstage's Kafka plugin.
"""

from __future__ import annotations

from typing import Any

from kroute.admin.imports.model import DATA_CLASSES, Imported, mapping, mappings, metadata, text, texts

GROUPS = "kafka.apache.org/consumer-groups"
_TOPIC_TYPES = ("kafka-topic", "topic")
_CLUSTER_TYPES = ("kafka-cluster", "kafka")


def read(document: dict[str, Any], cluster: str, out: Imported) -> None:
    """One entity of a catalogue."""
    kind, meta, spec = document.get("kind"), metadata(document), mapping(document.get("spec"))
    if not meta.name:
        out.note(f"a {kind} without a name")
        return
    owner = _ref(spec.get("owner")) or meta.owner
    tier = {"tier": t} if (t := meta.own("tier")) else {}
    tags = texts(mapping(document.get("metadata")).get("tags"))
    if kind == "Group":
        email = text(mapping(spec.get("profile")).get("email"))
        out.add(
            "team", "*", meta.name, page=meta.own("page"), ticket=meta.own("ticket"),
            notify=meta.own("notify") or (f"mailto:{email}" if email else None),
        )  # fmt: skip
    elif kind == "Component":
        description = text(mapping(document.get("metadata")).get("description"))
        out.add(
            "service", cluster, meta.name, owner=owner, customer_function=meta.own("customer-function") or description,
            runbook=meta.own("runbook") or _runbook(document), labels={**tier, **_lifecycle(spec)},
        )  # fmt: skip
        for entry in filter(None, (g.strip() for g in meta.words.get(GROUPS, "").split(","))):
            where, slash, group = entry.partition("/")
            out.add("group", where if slash else cluster, group if slash else where, service=meta.name)
    elif kind == "Resource":
        sort = str(spec.get("type", "")).lower()
        if sort in _TOPIC_TYPES:
            data_class = meta.own("data-class") or next((t for t in tags if t in DATA_CLASSES), None)
            name = meta.own("topic") or meta.name
            out.add("topic", cluster, name, owner=owner, service=meta.own("service"), data_class=data_class)
        elif sort in _CLUSTER_TYPES:
            out.add("cluster", meta.name, meta.name, owner=owner, runbook=_runbook(document))
        else:
            out.add("system", cluster, meta.name, owner=owner, runbook=_runbook(document))
    elif kind not in ("System", "Domain", "User", "API", "Location", "Template"):
        out.note(f"{kind} {meta.name}: this kind says nothing about ownership here")


def _ref(value: Any) -> str | None:
    """``group:default/team-pay`` → ``team-pay``; a user is no team."""
    ref = text(value)
    if ref is None or ref.startswith("user:"):
        return None
    return ref.rpartition(":")[2].rpartition("/")[2] or None


def _runbook(document: dict[str, Any]) -> str | None:
    for link in mappings(mapping(document.get("metadata")).get("links")):
        words = f"{link.get('title', '')} {link.get('type', '')} {link.get('icon', '')}".lower()
        if "runbook" in words or "playbook" in words:
            return text(link.get("url"))
    return None


def _lifecycle(spec: dict[str, Any]) -> dict[str, str]:
    stage = text(spec.get("lifecycle"))
    return {"lifecycle": stage} if stage else {}
