"""An incident: one episode of one cause, with its evidence and its life."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from kroute.contracts.common import Entity
from kroute.diagnosis.model import Rejected, Rival
from kroute.signals.model import Symptom

Phase = Literal["settling", "open", "recovering", "resolved", "superseded"]
Moment = Literal["opened", "updated", "revised", "escalated", "acknowledged", "merged", "resolved", "reopened"]


class Evidence(Struct, frozen=True, kw_only=True):
    """A symptom of the episode; ``cleared_ms`` is when it was observed healthy again, None while it is active."""

    symptom: Symptom
    cleared_ms: int | None = None


class Incident(Struct, kw_only=True):
    """State of one incident. Times are epoch ms of event time. Mutable inside its stage only.

    ``evidence`` is keyed by (entity, kind). ``subject``: the first subject its id hangs on.
    ``affected``: groups and topics on the cause's impact paths. ``moment``: what happened to it in this step
    (None: nothing new to say); the router turns moments into alerts and clears them.
    """

    id: str
    domain: str
    cluster: str
    platform: str
    subject: Entity
    cause: str
    root: Entity
    confidence: float
    phase: Phase
    started_ms: int
    updated_ms: int
    surest: float = 0.0
    """The highest confidence of its present cause since it was told; see ``sure``."""
    created_ms: int = 0
    """When the engine first held the hypothesis; settling counts from here."""
    moved_ms: int = 0
    """When its cause last moved while it settled (0: never)."""
    opened_ms: int | None = None
    resolved_ms: int | None = None
    recovering_since_ms: int | None = None
    quiet_since_ms: int | None = None
    """Since when its symptoms are clear and the impact is fine; resolved after ``hold`` of it."""
    remaining: int = 0
    """Fewest symptoms that were left while it recovers, and when it last made progress."""
    progress_ms: int = 0
    released: bool = False
    """Recovery has stalled: its cleared evidence no longer supports the cause, what remains is judged anew."""
    joined: tuple[tuple[Entity, str], ...] = ()
    """What joined it while it recovers and began later than that: no sign that its cause is back."""
    pending: tuple[str, Entity, int] | None = None
    """Another cause that explains better, its root, and since when; it must hold before the cause moves."""
    rivals: tuple[Rival, ...] = ()
    ruled_out: tuple[Rejected, ...] = ()
    missing: tuple[str, ...] = ()
    evidence: dict[tuple[Entity, str], Evidence] = {}
    affected: tuple[Entity, ...] = ()
    flaps: int = 0
    late: bool = False
    """A symptom came late and amended it; ``amended``: that has not been told yet."""
    amended: bool = False
    supersedes: tuple[str, ...] = ()
    superseded_by: str | None = None
    split_from: str | None = None
    moment: Moment | None = None
    why: str | None = None

    @property
    def sure(self) -> float:
        """How sure it is of its cause, for whom to page: while symptoms clear as sure as it was, for what clears first makes
        nobody else responsible."""
        clears = any(e.cleared_ms is not None for e in self.evidence.values())
        return max(self.confidence, self.surest) if clears else self.confidence
