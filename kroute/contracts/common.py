"""Words that several contracts share: bounded numbers, entities, closed lists of kinds."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct

# Offsets, sizes and times fit a signed 64-bit integer; anything larger is a mistake, not a number.
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Offset = Annotated[int, Meta(ge=-1, le=2**63 - 1, description="Kafka offset; -1 is unknown")]
Millis = Annotated[int, Meta(ge=0, le=2**53, description="epoch milliseconds")]
Duration = Annotated[int, Meta(ge=1, le=7 * 86_400_000, description="milliseconds")]
Part = Annotated[int, Meta(ge=0, le=100_000)]
Name = Annotated[str, Meta(min_length=1, max_length=1024)]
Cluster = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"^[^/|\x00-\x1f]+$", description="stands in keys, so it has no / and no |")
]
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
"""Ids of brokers, members, epochs: Kafka's own are 32 bits wide."""

ENTITY_KINDS: tuple[str, ...] = (
    "cluster", "broker", "rack", "topic", "partition", "group", "connector", "connect-worker",
    "system", "principal", "transaction", "schema", "link", "service", "source",
)  # fmt: skip
"""Closed list of entity kinds (signals.md, "Names and relations")."""


_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def one_line(text: str) -> str:
    """``text`` as it may be shown anywhere: white space is a space, and what is invisible, moves a cursor, turns the direction
    of reading or is no character is left out. Names in messages come from strangers."""
    if text.isprintable():
        return text
    return "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in _HIDDEN)


class Entity(NamedTuple):
    """One thing that can have symptoms or be a root.

    ``name`` is the public name inside its cluster: a broker's decimal id, ``topic/3`` for a partition,
    ``connect/name`` for a connector. Sorting is by kind, cluster, name.
    """

    kind: str
    cluster: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    def ref(self) -> dict[str, Any]:
        """The public form: ``{"kind", "name"}``."""
        return {"kind": self.kind, "name": self.name}


class EntityRef(Struct, frozen=True, kw_only=True):
    """An entity as it stands in a message. ``cluster`` is given where it is not the alert's own."""

    kind: str
    name: str
    cluster: str | None = None


class Versioned(Struct, frozen=True, kw_only=True):
    """Any message may carry ``v``; a version above 1 goes to the dead-letter topic."""

    v: Annotated[int, Meta(ge=1)] = 1


class Polled(Versioned, frozen=True, kw_only=True):
    """What every polled input has.

    ``observed_at_ms``: when the source was read. ``interval_ms``: the poll's interval, else learnt.
    ``up: false``: the poll failed, ``error`` says why; nothing in the message is evidence of health.
    ``part`` / ``parts``: a large message split, all parts with the same ``observed_at_ms``.
    """

    cluster: Cluster
    observed_at_ms: Millis
    interval_ms: Duration | None = None
    up: bool = True
    error: str | None = None
    part: Part = 0
    parts: Annotated[int, Meta(ge=1, le=100_001)] = 1
