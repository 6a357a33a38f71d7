"""Where automation must stop: a verdict with what is proved and what is missing (causes.md, "Automation boundary").

kroute never performs a remedy. It says what is safe, and until when.
"""

from __future__ import annotations

from typing import NamedTuple

from kroute.contracts.alerts import Automation
from kroute.contracts.common import Entity
from kroute.contracts.rows import Change
from kroute.diagnosis.model import Cause, Remedy, Signal
from kroute.diagnosis.paths import Walker, parse
from kroute.incidents.model import Incident
from kroute.routing.controls import Stamped
from kroute.routing.impact import Felt
from kroute.routing.owners import Finder, Found
from kroute.routing.ownership import Match, OwnershipIndex
from kroute.routing.patterns import names, pattern
from kroute.routing.policy import InForce
from kroute.routing.rules import Grant
from kroute.routing.times import rfc3339
from kroute.signals.board import Board
from kroute.signals.model import Status
from kroute.signals.table import BY_KIND

_DAY_MS = 86_400_000
_VERDICT_RANK = {"auto": 0, "propose": 1, "human": 2}


class Inputs(NamedTuple):
    """Everything the boundary looks at. ``reports``: action reports by remedy; ``drills``: changes of kind drill."""

    cause: Cause
    incident: Incident
    owner: Found
    felt: Felt
    policy: InForce
    ownership: OwnershipIndex
    finder: Finder
    drills: tuple[Change, ...]
    freezes: tuple[Change, ...]
    """Declared change freezes that cover the root now."""
    reports: dict[str, list[Stamped]]
    elsewhere: frozenset[str]
    """Incidents that are known to have another root: their reports do not count here."""
    useless: frozenset[str]
    """Remedies that were tried on this incident and did not help."""
    board: Board
    walker: Walker
    now_ms: int


def judge(x: Inputs) -> Automation:
    """The best verdict over the cause's remedies, in the catalogue's order."""
    if not x.cause.remedies:
        return Automation(verdict="human", remedy=None, valid_until=None, proved={}, missing=("the cause has no remedy",))
    return min((_judge(x, r) for r in x.cause.remedies), key=lambda a: _VERDICT_RANK[a.verdict])


def _judge(x: Inputs, remedy: Remedy) -> Automation:
    numbers = x.policy.numbers
    grant = _grant(x, remedy)
    missing: list[str] = []
    proved: dict[str, bool] = {}

    def prove(name: str, holds: bool, otherwise: str) -> bool:
        proved[name] = holds
        if not holds:
            missing.append(otherwise)
        return holds

    prove("ownership", _owned(x.owner.match, x.policy), f"action owner comes from {x.owner.via}, not from a row of its own")
    prove("impact", not x.felt.gaps, "; ".join(x.felt.gaps[:5]))
    complete = remedy.rollback is not None and remedy.success is not None and remedy.failure is not None
    undoer = x.finder.of_role(remedy.rollback_owner, x.incident) if remedy.rollback_owner is not None else None
    lacks = [
        word
        for word, there in (
            ("rollback", remedy.rollback is not None), ("success signal", remedy.success is not None),
            ("failure signal", remedy.failure is not None), ("owner of the rollback", undoer is not None),
        )
        if not there
    ]  # fmt: skip
    undoable = prove("rollback", complete and undoer is not None, f"{remedy.id} has no {', no '.join(lacks)}")
    prove("grant", grant is not None, f"no grant for {remedy.id}")
    age_d = numbers.drill_age_d
    if grant is not None and grant.drill_age_d() is not None:
        age_d = grant.drill_age_d() or 0.0
    never = _never_auto(x, remedy)
    drill = _drill(x, remedy, age_d, same_entity=never is not None)
    prove("drill", drill, f"no drill of {x.cause.id} with {remedy.id} passed in {age_d:g} days")
    bar = grant.confidence if grant is not None and grant.confidence is not None else numbers.automation_confidence
    prove("confidence", x.incident.confidence >= bar, f"confidence is under {bar:g}")
    frozen = _frozen(x, remedy)
    prove("freeze", not frozen, f"change freeze: {', '.join(frozen[:5])}")
    if remedy.id in x.useless:
        prove("cooldown", False, f"{remedy.id} did not help this incident")
    else:
        prove("cooldown", not _ran_lately(x, remedy), f"{remedy.id} ran or failed here within {numbers.cooldown_s:g} s")
    families, sources = _breadth(x)
    prove(
        "evidence",
        families >= 2 and sources >= 2,
        f"evidence from {families} families and {sources} sources; two of each are asked for",
    )

    verdict = "auto" if not missing else "propose"
    if never is not None and not (drill and grant is not None and x.cause.id in grant.when.causes()):
        verdict = "human"
        missing.append(never)
    if not undoable or remedy.review == "human":
        verdict = "human"
    elif remedy.review == "propose" and verdict == "auto":
        verdict = "propose"
        missing.append(f"{remedy.id} is for a person to confirm")
    return Automation(
        verdict=verdict,
        remedy=remedy.id,
        valid_until=None if verdict == "human" else rfc3339(x.now_ms + int(numbers.automation_valid_s * 1000)),
        proved=proved,
        missing=tuple(missing),
        success_signal=_signal(remedy.success),
        failure_signal=_signal(remedy.failure),
        rollback=remedy.rollback,
        rollback_owner=undoer.team if undoer is not None else None,
        does=remedy.does,
    )


def _owned(match: Match | None, policy: InForce) -> bool:
    if match is None:
        return False
    width = policy.automation.glob_width
    return match.exact or (width is not None and (match.width is None or match.width >= width))


def _frozen(x: Inputs, remedy: Remedy) -> list[str]:
    """Calendars of the policy and declared freezes that hold now for this remedy here."""
    by_policy = [
        f.calendar
        for f in x.policy.automation.freeze
        if x.policy.on(f.calendar, x.now_ms)
        and (not f.cluster or any(pattern(c).matches(x.incident.cluster) for c in f.cluster))
        and (not f.remedy or remedy.id in f.remedy)
    ]
    return by_policy + [f"{c.id} by {c.by or 'nobody named'}" for c in x.freezes]


def _grant(x: Inputs, remedy: Remedy) -> Grant | None:
    for g in x.policy.automation.grants:
        causes = g.when.causes()
        until = g.until_ms()
        if until is not None and x.now_ms > until:
            continue
        if (
            g.remedy == remedy.id
            and (not causes or x.cause.id in causes)
            and (not g.when.root or any(names(r, str(x.incident.root)) for r in g.when.root))
            and (not g.when.cluster or any(pattern(c).matches(x.incident.cluster) for c in g.when.cluster))
            and _labelled(x, g)
        ):
            return g
    return None


def _labelled(x: Inputs, grant: Grant) -> bool:
    """Every service downstream carries the labels; ``stateless`` is a field of its row."""
    if not grant.when.labels:
        return True
    if not x.felt.services:
        return False
    for service in x.felt.services:
        m = x.ownership.resolve("service", x.incident.cluster, service)
        if m is None:
            return False
        for name, wanted in sorted(grant.when.labels.items()):
            have = m.row.stateless if name == "stateless" and m.row.stateless is not None else m.row.labels.get(name)
            if have is None or _text(have) != _text(wanted):
                return False
    return True


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _drill(x: Inputs, remedy: Remedy, age_d: float, *, same_entity: bool) -> bool:
    """The newest drill of exactly this cause and remedy passed, and is young enough."""
    root = str(x.incident.root)
    mine = [
        d
        for d in x.drills
        if d.detail.get("cause") == x.cause.id
        and d.detail.get("remedy") == remedy.id
        and d.starts_at_ms <= x.now_ms
        and (
            not same_entity
            or names(str(d.detail.get("entity", "")), root)
            or (d.target.kind, d.target.name) == x.incident.root[::2]
        )
    ]
    if not mine:
        return False
    last = max(mine, key=lambda d: (d.starts_at_ms, d.id))
    return last.detail.get("result") == "passed" and x.now_ms - last.starts_at_ms <= age_d * _DAY_MS


def _never_auto(x: Inputs, remedy: Remedy) -> str | None:
    """Why only a drill of this very scenario and a grant by name may make it ``auto``; None where nothing is special."""
    if remedy.review == "never-auto":
        return f"{remedy.id} is never automated unless drilled for this scenario and granted by name"
    teams: dict[str, None] = {}
    for service in x.felt.services:
        team = x.finder.service_owner(x.incident.cluster, service)
        if team is not None:
            teams[team] = None
    if len(teams) > 1:
        return f"it touches {len(teams)} tenants: {', '.join(sorted(teams)[:5])}"
    return None


def _ran_lately(x: Inputs, remedy: Remedy) -> bool:
    since = x.now_ms - int(x.policy.numbers.cooldown_s * 1000)
    return any(
        s.control.at_ms > since and (s.control.incident is None or s.control.incident not in x.elsewhere)
        for s in x.reports.get(remedy.id, ())
    )


def _breadth(x: Inputs) -> tuple[int, int]:
    """Families of symptoms, and sources (reporters of entities) that the evidence comes from.

    Evidence is what was seen, and, where that is too narrow, what speaks against the cause and is observed healthy: a
    consumer group's lag has one source, its brokers' idle handlers are another.
    """
    families: dict[str, None] = {}
    sources: dict[tuple[str, str], None] = {}
    for entity, kind in x.incident.evidence:
        _count(entity, kind, families, sources)
    for term in x.cause.contradicts:
        if len(families) >= 2 and len(sources) >= 2:
            break
        if term.quantify not in (None, "any") or term.detail:
            continue
        found = {e: x.board.status(e, term.symptom, x.now_ms) for e in x.walker.walk(x.incident.root, parse(term.at))}
        if Status.ACTIVE not in found.values():
            healthy = next((e for e, status in found.items() if status is Status.HEALTHY), None)
            if healthy is not None:
                _count(healthy, term.symptom, families, sources)
    return len(families), len(sources)


def _count(entity: Entity, kind: str, families: dict[str, None], sources: dict[tuple[str, str], None]) -> None:
    k = BY_KIND.get(kind)
    if k is not None:
        families[k.family] = None
        sources[(k.reporter, str(entity))] = None


def _signal(signal: Signal | None) -> str | None:
    if signal is None:
        return None
    if signal.appears:
        return f"{signal.symptom} at {signal.at} appears"
    within = f" within {signal.cleared_within}" if signal.cleared_within else ""
    return f"{signal.symptom} at {signal.at} clears{within}"
