"""A right on a Kafka resource, and who holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Resource = Literal["topic", "group", "cluster", "transactional-id"]
CLUSTER = "kafka-cluster"
"""Kafka's name for the one cluster resource."""


@dataclass(frozen=True)
class Right:
    """Operations on one resource, by Kafka's names (``Read``, ``DescribeConfigs``). ``why``: what needs them.

    ``prefixed``: on all resources whose name begins so. Name ``*``: on all.
    """

    resource: Resource
    name: str
    operations: tuple[str, ...]
    why: str
    prefixed: bool = False


@dataclass(frozen=True)
class Grant:
    """A principal that may do it. ``process``: a word of ``kroute.rights.processes.PROCESSES``, with its realm if any."""

    process: str
    principal: str
    right: Right


def implied(operations: frozenset[str]) -> frozenset[str]:
    """With what Kafka gives beside (``READ``, ``WRITE``, … let one describe), in Kafka's names of the protocol."""
    more: set[str] = set()
    if operations & {"READ", "WRITE", "DELETE", "ALTER"}:
        more.add("DESCRIBE")
    if "ALTER_CONFIGS" in operations:
        more.add("DESCRIBE_CONFIGS")
    return operations | more


def protocol_name(operation: str) -> str:
    """``DescribeConfigs`` → ``DESCRIBE_CONFIGS``, as clients name it."""
    return "".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(operation)).upper()
