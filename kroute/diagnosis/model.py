"""The types of the catalogue (one YAML file per cause) and of a diagnosis."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from kroute.contracts.common import Entity

UNKNOWN = "unknown"

OwnerRole = Literal["platform", "service", "connector", "system", "topic", "governance", "network", "principal", "reader"]
"""Whose row answers: P, S, K, X, T, G, N of causes.md, the owner of a principal, and of the groups that a symptom names."""


class Prior(Struct, frozen=True, forbid_unknown_fields=True):
    """How often the cause happens to one entity of its kind, and how long it lasts: an occupancy."""

    rate: str  # "0.02/week"
    lasts: str  # "30m"


class Expectation(Struct, frozen=True, forbid_unknown_fields=True):
    """A symptom seen at the end of a path from the root when this is the cause.

    ``at``: ``self`` or a path of relations (``self/group``). ``p``: how often it is seen (0–1). ``within``: how
    soon after onset it is seen. ``quantify``: ``any`` | ``most`` | ``majority`` | ``share >= 0.3`` | ``concentration``
    turns many entities into one term; without it each entity is its own term. ``required``: the cause is only considered
    while at least one of its required symptoms was seen. ``detail``: what the symptom's detail must match (field → regular
    expression).
    """

    at: str
    symptom: str
    p: float
    within: str = "1m"
    quantify: str | None = None
    required: bool = False
    detail: dict[str, str] = {}


class Contradiction(Struct, frozen=True, forbid_unknown_fields=True):
    """A symptom that speaks against the cause: it is another one then. ``p``: how often it is there all the same."""

    at: str
    symptom: str
    p: float = 0.02
    quantify: str | None = None
    detail: dict[str, str] = {}
    because: str | None = None


class DeclaredChange(Struct, frozen=True, forbid_unknown_fields=True):
    """A change (``kroute.changes``) near the onset that speaks for the cause.

    ``at``: one path or several; a change at the end of any of them counts. ``p``: how often such a change precedes
    this cause; ``leak``: how often it is there by chance.
    """

    kinds: tuple[str, ...]
    at: str | tuple[str, ...] = "self"
    p: float = 0.9
    leak: float = 0.01
    required: bool = False


class Strain(Struct, frozen=True, forbid_unknown_fields=True):
    """Where trouble of a shared thing shows in ways that nobody lists: any symptom of the entities at the end of the path,
    of these kinds where given, once the cause is there."""

    at: str
    kinds: tuple[str, ...] = ()


class Signal(Struct, frozen=True, forbid_unknown_fields=True):
    """What tells that a remedy worked (``cleared_within``) or made it worse (``appears``)."""

    at: str
    symptom: str
    cleared_within: str | None = None
    appears: bool = False


class Remedy(Struct, frozen=True, forbid_unknown_fields=True):
    """What relieves, how it is undone, who owns the undoing, and how one sees that it worked.

    ``review``: ``auto`` (may be automated where all is proved) | ``propose`` | ``human`` | ``never-auto``.
    """

    id: str
    does: str
    rollback: str | None = None
    rollback_owner: OwnerRole | None = None
    success: Signal | None = None
    failure: Signal | None = None
    review: Literal["auto", "propose", "human", "never-auto"] = "propose"


class Owners(Struct, frozen=True, forbid_unknown_fields=True):
    """Who reads and who acts; the first role that has a row is taken. ``also``: told as well.

    ``action_by_trace``: what a task's trace blames (``config``, ``system``, ``schema``, ``auth``, ``denied``, ``other``: the
    symptom detail ``trace_kind``) → the roles that act then, instead of ``action``.
    """

    diagnosis: tuple[OwnerRole, ...]
    action: tuple[OwnerRole, ...]
    action_by_trace: dict[str, tuple[OwnerRole, ...]] = {}
    also: tuple[OwnerRole, ...] = ()


class Cause(Struct, frozen=True, forbid_unknown_fields=True):
    """One cause of the catalogue. One cause, one root kind."""

    id: str
    title: str
    root: str
    summary: str
    """The sentence of the alert; ``{root}``, ``{system}``, ``{group}`` … are filled in."""
    prior: Prior
    owners: Owners
    platforms: tuple[str, ...] = ("kafka", "automq")
    needs: tuple[str, ...] = ()
    expects: tuple[Expectation, ...] = ()
    contradicts: tuple[Contradiction, ...] = ()
    changes: tuple[DeclaredChange, ...] = ()
    impact: tuple[str, ...] = ("self",)
    """Paths from the root to the groups (or topics) that suffer."""
    aftermath: tuple[str, ...] = ()
    """Paths to groups that read a backlog when it is over, besides those that suffered."""
    strains: tuple[Strain, ...] = ()
    """What else may show stray symptoms while this lasts; it never buys the cause."""
    slows: bool = False
    """What it strains gets slower and goes on: a group that commits nothing any more has trouble of its own, unless many do."""
    remedies: tuple[Remedy, ...] = ()
    alone: bool = False
    """It befalls its root for reasons of its own: where several roots show it from the same minute on, they likely have
    something in common."""
    page: Literal["yes", "no-page"] = "yes"
    """``no-page``: a thing somebody meant; told, never paged while its bounds hold."""
    runbook_hint: str | None = None


class Rival(Struct, frozen=True, kw_only=True):
    """Another cause for the same symptoms and its probability (0–1)."""

    cause: str
    root: Entity
    confidence: float


class Rejected(Struct, frozen=True, kw_only=True):
    """A cause that was considered and rejected, and the observation that rejected it."""

    cause: str
    root: Entity
    because: str


class Hypothesis(Struct, frozen=True, kw_only=True):
    """One cause at one root, and the symptoms it explains: ``(entity, kind)``, sorted."""

    cause: str
    root: Entity
    confidence: float
    score: float
    """Nats by which the best set of causes gains from holding this one."""
    explains: tuple[tuple[Entity, str], ...]
    rivals: tuple[Rival, ...] = ()
    ruled_out: tuple[Rejected, ...] = ()
    missing: tuple[str, ...] = ()
    """Signals that were not observed and would have told more."""
    rival_gap: float = 0.0
    """Nats to the best rival root or cause."""
