"""Severity and urgency: six numbered rules, the first that matches decides (causes.md, "Severity and urgency")."""

from __future__ import annotations

from typing import NamedTuple

from kroute.routing.patterns import names, pattern
from kroute.routing.policy import InForce
from kroute.routing.rules import NAMED_ONLY, When

RANK = {"notify": 0, "ticket": 1, "page": 2}
SEVERITY_RANK = {"info": 0, "minor": 1, "major": 2, "critical": 3}
COST_CAUSES = frozenset({"cross-zone-reads"})
"""Causes that cost money and hurt nobody."""
DECLARED_KINDS = ("drill", "offset-reset", "reassignment", "replay", "restart")
"""Changes under which rule 2 holds. A deploy is not among them: a bad one must page."""
AVAILABILITY_SYMPTOMS = frozenset({
    "offline-partitions", "under-min-isr", "quorum-lagging", "controller-missing", "disk-full", "log-dir-offline",
})  # fmt: skip
"""Shared availability threatened."""
VOTER_BEHIND, RESTART_MS = "quorum-lagging", 180_000
"""One voter behind for less than this threatens nothing yet: brokers that vote are restarted."""
CLUSTER_WIDE = frozenset({"object-store-failing", "probe-failing"})
"""As much where they fail for the whole cluster: who cannot write has no lag that would tell."""


REASONS = (*NAMED_ONLY, "at-risk", "records-lost", "cost", "no-objective-at-risk", "informed")
"""Reasons of the rules that a policy route may change: those of rules 1 and 2 are not among them."""


class Situation(NamedTuple):
    """What the rules look at. ``suppressed``: ``silence`` | ``maintenance`` covers the incident."""

    breached: bool = False
    at_risk: bool = False
    availability: bool = False
    suppressed: str | None = None
    declared: bool = False
    """A declared change covers root and time, and its bounds hold."""
    cost: bool = False
    no_page: bool = False
    """The cause is something somebody meant."""
    confidence: float = 1.0
    page_confidence: float = 0.7
    first_tier: bool = False
    """A service at risk is of tier 1."""


class Telling(NamedTuple):
    """How one role is told (None: not at all), and the named reason."""

    urgency: str | None
    reason: str


class Decision(NamedTuple):
    """Rule number, severity, and the telling of each role.

    ``impact_at_risk`` is how the owner of a service that is only at risk is told. ``platform``: the platform team is told
    beside the action owner.
    """

    rule: int
    severity: str
    impact: Telling
    impact_at_risk: Telling
    action: Telling
    diagnosis: Telling
    platform: Telling


SILENT = Telling(None, "")


def severity(s: Situation) -> str:
    """``critical`` breached or availability threatened, ``major`` at risk, ``info`` cost or meant, else ``minor``."""
    if s.breached or s.availability:
        return "critical"
    if s.at_risk:
        return "major"
    return "info" if s.cost or s.declared or s.no_page else "minor"


def decide(s: Situation) -> Decision:
    """The first rule that matches. A suppressed incident is decided like any other and then told to nobody (rule 1)."""
    sev = severity(s)
    notified = Telling("notify", "informed")
    if s.suppressed is not None:  # 1
        who = Telling(None, "silenced" if s.suppressed == "silence" else s.suppressed)
        return Decision(1, sev, who, who, who, who, SILENT)
    if s.declared:  # 2
        meant = Telling("notify", "declared-change")
        return Decision(2, sev, meant, meant, meant, meant, SILENT)
    risk = Telling("notify", "at-risk")
    if s.breached:  # 3
        impact = Telling("page", "objective-breached")
        if s.confidence >= s.page_confidence:
            return Decision(3, sev, impact, risk, impact, notified, SILENT)
        unsure = Telling("notify", "cause-uncertain")
        return Decision(3, sev, impact, risk, unsure, notified, Telling("page", "cause-uncertain"))
    if s.availability:  # 4
        threat = Telling("page", "availability-threatened")
        return Decision(4, sev, threat, risk, threat, notified, threat)
    if s.at_risk:  # 5
        act = Telling("page" if s.first_tier and not s.no_page else "ticket", "at-risk")
        return Decision(5, sev, SILENT, risk, act, notified, SILENT)
    if s.cost:  # 6
        return Decision(6, sev, SILENT, SILENT, Telling("ticket", "cost"), notified, SILENT)
    act = notified if s.no_page else Telling("ticket", "no-objective-at-risk")
    return Decision(6, sev, SILENT, SILENT, act, notified, SILENT)


class Context(NamedTuple):
    """What a policy route's conditions are held against, for one role of one team."""

    cause: str
    cluster: str
    services: tuple[str, ...]
    tiers: tuple[str, ...]
    objective: str
    team: str
    role: str
    entity: str = ""
    """The root, ``kind/name``."""
    data_classes: tuple[str, ...] = ()
    severity: str = "minor"
    confidence: float = 1.0


def by_policy(telling: Telling, ctx: Context, policy: InForce, now_ms: int) -> Telling:
    """What the policy's routes make of a decision: the first that holds for the role.

    Rules 3 and 4 are changed only by a route whose ``when.reason`` names them; rules 1 and 2 never.
    """
    if telling.urgency is None or telling.reason == "declared-change":
        return telling
    for route in policy.routes:
        urgency = route.urgencies().get(ctx.role)
        if urgency is None or (telling.reason in NAMED_ONLY and telling.reason not in route.when.reason):
            continue
        if holds(route.when, telling, ctx, policy, now_ms):
            return Telling(urgency, f"policy:{route.name}")
    return telling


def holds(when: When, telling: Telling, ctx: Context, policy: InForce, now_ms: int) -> bool:
    """True when all conditions hold. ``telling``: how the role is told before a route changes it."""
    return (
        _any(when.cause, (ctx.cause,))
        and (not when.entity or any(names(raw, ctx.entity) for raw in when.entity))
        and _any(when.cluster, (ctx.cluster,))
        and _any(when.service, ctx.services)
        and _any(when.team, (ctx.team,))
        and _any(when.tiers(), ctx.tiers)
        and _any(when.data_class, ctx.data_classes)
        and _any(when.severity, (ctx.severity,))
        and _any(when.objectives(), (ctx.objective,))
        and _any(when.urgency, (telling.urgency or "",))
        and _any(when.reason, (telling.reason,))
        and (when.confidence is None or ctx.confidence >= when.confidence)
        and (when.inside is None or policy.on(when.inside, now_ms))
        and (when.outside is None or not policy.on(when.outside, now_ms))
    )


def _any(wanted: tuple[str, ...], have: tuple[str, ...]) -> bool:
    return not wanted or any(pattern(w).matches(h) for w in wanted for h in have)
