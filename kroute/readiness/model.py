"""The rows of the matrix, and what they are judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from kroute.contracts.inputs import ConnectorStatus, ConsumerLag, Topology
from kroute.contracts.rows import Change, PolicyChange
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.policy import InForce

State = Literal["pass", "gap", "unknown"]
AREAS: dict[str, str] = {
    "semantics": "Kafka semantics",
    "ownership": "Ownership metadata",
    "storage": "Storage and recovery",
    "network": "Network and cost",
    "change": "Change safety",
    "migration": "Migration readiness",
    "automation": "Evidence before automation",
}
SHOWN = 5


class Row(Struct, frozen=True, kw_only=True):
    """One question. ``evidence``: what was seen, or why it could not be; ``advice``: what closes a gap or an unknown."""

    id: str
    area: str
    question: str
    state: State
    evidence: str
    advice: str = ""


class Answer(NamedTuple):
    """What a check found."""

    state: State
    evidence: str
    advice: str = ""


class Gathered(Struct, kw_only=True):
    """Everything that was read. None: it could not be read, and ``unable`` says why (what → reason)."""

    cluster: str
    now_ms: int
    topology: Topology | None = None
    lags: list[ConsumerLag] | None = None
    broker_configs: dict[int, dict[str, str]] | None = None
    features: dict[str, int] | None = None
    """Finalized feature → level, such as ``metadata.version``."""
    acls: list[dict[str, Any]] | None = None
    quotas: list[dict[str, Any]] | None = None
    clients: dict[str, int] | None = None
    """``name version`` → connections, from the brokers' exporters."""
    connectors: list[ConnectorStatus] | None = None
    ownership: OwnershipIndex | None = None
    policy: InForce | None = None
    history: list[PolicyChange] | None = None
    changes: dict[str, Change] | None = None
    terraform: dict[str, dict[str, Any]] | None = None
    """Topic → what the Terraform JSON says of it."""
    unable: dict[str, str] = {}

    def why(self, what: str, otherwise: str) -> str:
        """Why something was not read."""
        return self.unable.get(what, otherwise)


Check = Callable[[Gathered], Answer]


class Question(NamedTuple):
    """A row before it is answered."""

    id: str
    area: str
    question: str
    check: Check


def unknown(evidence: str, advice: str = "") -> Answer:
    """It cannot be told."""
    return Answer("unknown", evidence, advice)


def judged(bad: Sequence[str], good: str, problem: str, advice: str) -> Answer:
    """``pass`` with ``good`` where nothing is bad, else a gap that names some of the bad ones."""
    return Answer("gap", f"{problem}: {few(bad)}", advice) if bad else Answer("pass", good)


def few(names: Iterable[str]) -> str:
    """The first of them and how many more."""
    found = list(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more
