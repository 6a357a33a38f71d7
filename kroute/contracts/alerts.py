"""``routed-alerts``: the output. Key = incident id; field meanings are in the README's table.

Times are RFC 3339 in UTC with milliseconds.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from msgspec import Struct

from kroute.contracts.common import EntityRef

TYPES = ("opened", "updated", "revised", "escalated", "acknowledged", "merged", "resolved", "reopened")
URGENCIES = ("page", "ticket", "notify")
SEVERITIES = ("critical", "major", "minor", "info")
OBJECTIVE_STATES = ("fine", "at-risk", "breached", "unknown")
VERDICTS = ("auto", "propose", "human")


class Alert(NamedTuple):
    """One record for ``routed-alerts``: key (incident id), JSON value, CloudEvents headers, event time (epoch ms)."""

    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    ts_ms: int


class Alternative(Struct, frozen=True, kw_only=True):
    """Another cause that could explain the same symptoms, with its probability (0–1)."""

    id: str
    root: EntityRef
    confidence: float


class Cause(Struct, frozen=True, kw_only=True):
    """The named cause, its root entity, and how sure (0–1). ``missing``: signals that would tell more."""

    id: str
    root: EntityRef
    confidence: float
    alternatives: tuple[Alternative, ...] = ()
    missing: tuple[str, ...] = ()


class Impact(Struct, frozen=True, kw_only=True):
    """Who suffers. ``lag`` in records, ``lag_s``/``data_age_s``/``objective_s`` in seconds.

    ``role``: consumer | producer; ``state``: fine | at-risk | breached | unknown;
    ``lag_s_bound``: exact | at-least | estimate.
    """

    service: str | None
    topic: str | None
    group: str | None
    role: str
    lag: int | None
    lag_s: float | None
    lag_s_bound: str | None
    data_age_s: float | None
    objective_s: float | None
    state: str
    customer_function: str | None
    breach_in_s: float | None = None


class Route(Struct, frozen=True, kw_only=True):
    """One role's owner and how it is told. ``do``: open | update | close | none, for the destination ``delivery``.

    ``via`` is the ownership row or named fallback the team comes from; ``reason`` why this urgency.
    """

    role: str
    team: str
    urgency: str
    destination: str
    delivery: str
    do: str
    reason: str
    via: str
    runbook: str | None = None
    escalation: str | None = None


class Automation(Struct, frozen=True, kw_only=True):
    """Where automation must stop. ``verdict``: auto | propose | human."""

    verdict: str
    remedy: str | None
    valid_until: str | None
    proved: dict[str, bool]
    missing: tuple[str, ...]
    success_signal: str | None = None
    failure_signal: str | None = None
    rollback: str | None = None
    rollback_owner: str | None = None
    does: str | None = None


class RemedyRun(Struct, frozen=True, kw_only=True):
    """A remedy that somebody reported to have started on this incident, and what its signals say became of it.

    ``reported``: started | succeeded | failed | rolled-back, the reporter's own word. ``outcome``: watching | worked |
    no-effect | made-worse | unknown | not-done | rolled-back. ``roll_back``: undo it (``rollback``), says kroute to
    ``rollback_owner``.
    """

    remedy: str
    reported: str
    by: str
    started_at: str
    outcome: str
    since: str
    why: str
    roll_back: bool
    rollback: str | None
    rollback_owner: str | None


class SymptomSource(Struct, frozen=True, kw_only=True):
    """The input record that showed the symptom."""

    topic: str
    offset: int
    partition: int = 0


class SymptomRef(Struct, frozen=True, kw_only=True):
    """One piece of evidence, with the sentence that says why it counts."""

    kind: str
    entity: EntityRef
    since: str
    value: float | None
    why: str
    source: SymptomSource | None = None
    active: bool = True


class RuledOut(Struct, frozen=True, kw_only=True):
    """A cause that was considered and rejected, and the observation that rejected it."""

    id: str
    because: str
    root: EntityRef | None = None


class Suppressed(Struct, frozen=True, kw_only=True):
    """Why nobody is told: ``by`` silence | maintenance | …, who, why, until when."""

    by: str
    id: str | None
    who: str | None
    why: str | None
    until: str | None


class RoutedAlert(Struct, frozen=True, kw_only=True):
    """One revision of one incident."""

    id: str
    incident: str
    revision: int
    type: str
    status: str
    cluster: str
    domain: str
    severity: str
    summary: str
    cause: Cause
    impact: tuple[Impact, ...]
    routes: tuple[Route, ...]
    automation: Automation
    symptoms: tuple[SymptomRef, ...]
    ruled_out: tuple[RuledOut, ...]
    suppressed: Suppressed | None
    supersedes: tuple[str, ...]
    superseded_by: str | None
    split_from: str | None = None
    late: bool = False
    flaps: int = 0
    recovering: bool = False
    why: str | None = None
    symptoms_total: int = 0
    started_at: str
    updated_at: str
    resolved_at: str | None
    policy_version: str
    changes: tuple[dict[str, Any], ...] = ()
    collapses: tuple[str, ...] = ()
    """Under a flood of pages to one team: incidents that page nobody there, because this one stands for them (at most 32)."""
    collapses_total: int = 0
    remedies: tuple[RemedyRun, ...] = ()
    """Remedies that were reported on this incident."""


HEARTBEAT = "heartbeat/"
"""Keys of ``routed-alerts`` that begin so are heartbeats; the cluster follows."""


class Heartbeat(Struct, frozen=True, kw_only=True):
    """The dead-man's switch: key ``heartbeat/<cluster>``."""

    id: str
    type: Literal["heartbeat"]
    status: Literal["firing"]
    cluster: str
    updated_at: str


class DeadLetter(Struct, frozen=True, kw_only=True):
    """``kroute.dead-letter``: a record that could not be used, with where it came from and why.

    ``payload_b64`` holds the first 64 KiB of the value, ``size`` its bytes, ``sha256`` of the whole value.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: str
    detail: str
    size: int
    sha256: str
    payload_b64: str
    key_b64: str | None = None
    rejected_at_ms: int = 0
