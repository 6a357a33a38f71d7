"""Grants as ``kafka-acls`` commands, as JSON, or as YAML."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from kroute.rights.model import CLUSTER, Grant

_OPTION = {"topic": "--topic", "group": "--group", "transactional-id": "--transactional-id"}


def rows(grants: Iterable[Grant]) -> list[dict[str, str]]:
    """One row per ACL: process, principal, host, resource, pattern, name, operation (Kafka's names) and why."""
    return [
        {
            "process": g.process, "principal": g.principal, "host": "*", "resource": g.right.resource,
            "pattern": "prefixed" if g.right.prefixed else "literal", "name": g.right.name, "operation": operation,
            "why": g.right.why,
        }
        for g in grants
        for operation in g.right.operations
    ]  # fmt: skip


def commands(grants: Iterable[Grant], bootstrap: str, config: str) -> list[str]:
    """``kafka-acls`` commands, a comment before each process; resources of one process that get the same stand together."""
    groups: dict[tuple[str, str, str, bool, tuple[str, ...]], list[str]] = {}
    for g in grants:
        r = g.right
        names = groups.setdefault((g.process, g.principal, r.resource, r.prefixed, r.operations), [])
        if r.name not in names:
            names.append(r.name)
    out: list[str] = []
    process = None
    for (of, principal, resource, prefixed, operations), names in groups.items():
        if of != process:
            out.append(f"# {of}: {principal}")
            process = of
        words = [
            "kafka-acls",
            "--bootstrap-server",
            bootstrap,
            "--command-config",
            config,
            "--add",
            "--allow-principal",
            principal,
        ]
        for operation in operations:
            words += ["--operation", operation]
        if resource == "cluster":
            assert names == [CLUSTER]
            words.append("--cluster")
        else:
            for name in names:
                words += [_OPTION[resource], name]
        if prefixed:
            words += ["--resource-pattern-type", "prefixed"]
        out.append(shlex.join(words))
    return out
