"""What is wrong with a policy beside its form: names that lead nowhere, routes that can never hold, grants of no effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from kroute.admin.ownership.check import destination_problem
from kroute.admin.ownership.folder import Stated
from kroute.admin.policy.folder import Folder
from kroute.contracts.alerts import URGENCIES
from kroute.contracts.common import ENTITY_KINDS
from kroute.diagnosis.load import Catalogue
from kroute.diagnosis.model import UNKNOWN, Cause
from kroute.errors import BadFile
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.patterns import pattern
from kroute.routing.policy import InForce
from kroute.routing.rules import NAMED_ONLY, Grant, PolicyRoute, When
from kroute.routing.times import rfc3339
from kroute.routing.urgency import REASONS

_FOR = {"page": ("page", "ticket", "notify"), "ticket": ("ticket", "notify"), "notify": ("notify",)}


class Estate(NamedTuple):
    """What the policy is held against. ``rows`` None: no ownership was given, so that what only rows tell is not judged."""

    catalogue: Catalogue
    rows: list[Stated] | None
    known: OwnershipIndex
    now_ms: int


Say = Callable[[str, str], BadFile]


def check(folder: Folder, policy: InForce, estate: Estate) -> list[BadFile]:
    """All problems of a policy that is sound in form, in the order of its parts."""
    return [
        folder.bad(field, problem)
        for rule in (_teams, _routes, _shadowed, _grants, _freezes)
        for field, problem in rule(policy, estate)
    ]


def _teams(policy: InForce, estate: Estate) -> Iterator[tuple[str, str]]:
    """Rules 1 and 2: destinations are ``scheme://name``; teams that are named are known, and can be reached."""
    for name, team in policy.teams.items():
        for urgency in URGENCIES:
            text = team.get(urgency)
            problem = destination_problem(text) if text else None
            if problem:
                yield f"teams.{name}.{urgency}", problem
        if not any(team.get(u) for u in URGENCIES):
            yield f"teams.{name}", "no destination; give page, ticket or notify"
    for i, route in enumerate(policy.routes):
        e = route.escalate
        if e is None:
            continue
        where = _destinations(e.to, policy, estate)
        at = f"routes[{i}].escalate.to"
        if where is None:
            hint = "; no ownership files were given" if estate.rows is None else ""
            yield at, f"no team {e.to!r}: it stands neither under teams nor in a row team/*/{e.to}{hint}"
        elif not any(where.get(u) for u in _FOR[e.urgency]):
            yield at, f"team {e.to} has no destination for a {e.urgency}"


def _destinations(team: str, policy: InForce, estate: Estate) -> dict[str, str | None] | None:
    m = estate.known.resolve("team", "*", team)
    row = {u: getattr(m.row, u) for u in URGENCIES} if m is not None else None
    mine = policy.teams.get(team)
    if row is None and mine is None:
        return None
    return {u: (row or {}).get(u) or (mine or {}).get(u) for u in URGENCIES}


def _routes(policy: InForce, estate: Estate) -> Iterator[tuple[str, str]]:
    """Rules 3 to 9: a route that can never hold."""
    for i, route in enumerate(policy.routes):
        for field, problem in never(route, policy, estate):
            yield f"routes[{i}]{field}", f"{problem}: {route.name} can never match"


def never(route: PolicyRoute, policy: InForce, estate: Estate) -> Iterator[tuple[str, str]]:
    """Why a route can never match: field below the route, and the reason; nothing when it can."""
    w = route.when
    causes = list(estate.catalogue.causes)
    for raw in w.cause:  # 3
        if not any(pattern(raw).matches(c) for c in causes):
            yield ".when.cause", f"no cause {raw!r} in the catalogue"
    if w.inside is not None and w.inside == w.outside:  # 4
        yield ".when", f"inside and outside of {w.inside}"
    if w.inside is not None and policy.calendars[w.inside].over(estate.now_ms):  # 5
        yield ".when.inside", f"calendar {w.inside} is over"
    for raw in w.reason:  # 6
        if not any(pattern(raw).matches(r) for r in REASONS):
            yield ".when.reason", f"{raw!r} is no reason that a route may change; there is {', '.join(REASONS)}"
    if w.confidence is not None and w.confidence > 1:
        yield ".when.confidence", f"confidence is at most 1, not {w.confidence:g}"
    yield from _contradictions(route)  # 7
    kinds = _kinds(w)
    roots = {c.root for c in _causes(w, estate.catalogue) if c.id != UNKNOWN}
    if w.cause and kinds and roots and not kinds & roots and UNKNOWN not in w.cause:  # 8
        yield ".when.entity", f"no {' or '.join(sorted(kinds))} is the root of {', '.join(w.cause)} ({', '.join(sorted(roots))})"
    if estate.rows is not None:  # 9
        yield from _unstated(w, policy, estate)


def _contradictions(route: PolicyRoute) -> Iterator[tuple[str, str]]:
    w = route.when
    objectives, severities = set(w.objectives()), set(w.severity)
    if objectives and severities:
        if objectives == {"breached"} and "critical" not in severities:
            yield ".when.severity", "a breached objective is always critical"
        if objectives <= {"fine", "unknown"} and severities == {"major"}:
            yield ".when.severity", "major means that an objective is at risk"
        if objectives == {"at-risk"} and severities <= {"minor", "info"}:
            yield ".when.severity", "an objective at risk is major or critical"
    named = any(pattern(r).matches(n) for r in w.reason for n in NAMED_ONLY)
    if set(route.urgencies()) == {"action"} and objectives == {"breached"} and not named:
        words = ", ".join(NAMED_ONLY[:2])
        yield ".when", f"what a breached objective pages is changed only by name (reason: {words})"


def _unstated(w: When, policy: InForce, estate: Estate) -> Iterator[tuple[str, str]]:
    rows = [s.row for s in estate.rows or ()]
    teams = [t for r in rows for t in (r.owner, r.governance, r.network, r.name if r.kind == "team" else None) if t]
    stated: dict[str, tuple[tuple[str, ...], list[str]]] = {
        "team": (w.team, [*teams, *policy.teams]),
        "service": (w.service, [r.name for r in rows if r.kind == "service"]),
        "data_class": (w.data_class, [r.data_class for r in rows if r.data_class]),
        "tier": (w.tiers(), [r.labels["tier"] for r in rows if "tier" in r.labels]),
    }
    for field, (wanted, have) in stated.items():
        for raw in wanted:
            if not any(pattern(raw).matches(h) or pattern(h).matches(raw) for h in have):
                yield f".when.{field}", f"no row states {field.replace('_', ' ')} {raw!r}"


def _kinds(w: When) -> set[str]:
    """Kinds of root that ``when.entity`` allows; empty: any."""
    kinds = {raw.partition("/")[0] if "/" in raw else "" for raw in w.entity}
    return kinds if all(k in ENTITY_KINDS for k in kinds) else set()


def _causes(w: When, catalogue: Catalogue) -> list[Cause]:
    return [c for c in catalogue.causes.values() if any(pattern(raw).matches(c.id) for raw in w.cause)]


def _shadowed(policy: InForce, _: Estate) -> Iterator[tuple[str, str]]:
    """Rule 10: an earlier route takes all that a later one could: the first that holds decides, role by role."""
    for i, later in enumerate(policy.routes):
        roles = later.urgencies()
        if not roles:
            continue
        for earlier in policy.routes[:i]:
            if set(roles) <= set(earlier.urgencies()) and wider(earlier.when, later.when):
                yield f"routes[{i}]", f"{later.name} is shadowed by {earlier.name}, which takes all that it could"
                break


def wider(a: When, b: When) -> bool:
    """True when all that ``b`` lets through, ``a`` lets through."""
    fields = ("cause", "entity", "service", "data_class", "severity", "urgency", "team", "cluster")
    pairs = [(getattr(a, f), getattr(b, f)) for f in fields]
    pairs += [(a.tiers(), b.tiers()), (a.objectives(), b.objectives())]
    # Without a reason a route leaves rules 3 and 4 alone.
    reasons = _covers(a.reason, b.reason) if a.reason else not any(pattern(r).matches(n) for r in b.reason for n in NAMED_ONLY)
    return (
        all(_covers(x, y) for x, y in pairs)
        and reasons
        and (a.confidence is None or (b.confidence is not None and a.confidence <= b.confidence))
        and a.inside in (None, b.inside)
        and a.outside in (None, b.outside)
    )


def _covers(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """True when each of ``b`` (none: anything) falls under one of ``a``."""
    if not a:
        return True
    return bool(b) and all(any(_under(y, x) for x in a) for y in b)


def _under(inner: str, outer: str) -> bool:
    i, o = pattern(inner), pattern(outer)
    return o.matches(i.text) if o.prefix else not i.prefix and i.text == o.text


def _grants(policy: InForce, estate: Estate) -> Iterator[tuple[str, str]]:
    """Rules 11 to 14: grants that have ended, or that nothing can come of."""
    for i, g in enumerate(policy.automation.grants):
        at = f"automation.grants[{i}]"
        until = g.until_ms()
        if until is not None and until < estate.now_ms:  # 11
            yield f"{at}.until", f"{g.name} ended {rfc3339(until)[:10]}; renew it with a drill, or take it out"
        yield from ((at + field, text) for field, text in _grant(g, estate))


def _grant(g: Grant, estate: Estate) -> Iterator[tuple[str, str]]:
    named = g.when.causes()
    for word in named:
        if word not in estate.catalogue.causes:  # 12
            yield ".when.cause", f"no cause {word!r} in the catalogue: {g.name} grants nothing"
            return
    causes = [c for c in estate.catalogue.causes.values() if not named or c.id in named]
    remedies = [(c, r) for c in causes for r in c.remedies if r.id == g.remedy]
    if not remedies:
        where = f"of {', '.join(named)}" if named else "in the catalogue"
        yield ".remedy", f"no remedy {g.remedy!r} {where}: {g.name} grants nothing"
        return
    for c, r in remedies:
        if r.rollback is None or r.rollback_owner is None:  # 13
            yield ".remedy", f"{g.remedy} of {c.id} has no {'rollback' if r.rollback is None else 'owner of its rollback'}"
        if r.review == "human" and len(remedies) == 1:
            yield ".remedy", f"{g.remedy} of {c.id} is left to a person: {g.name} grants nothing"
        if r.review == "never-auto" and c.id not in named:  # 14
            yield ".when.cause", f"{g.remedy} of {c.id} is never automated unless the grant names its cause"


def _freezes(policy: InForce, estate: Estate) -> Iterator[tuple[str, str]]:
    """Rule 15: a freeze that is over."""
    for i, f in enumerate(policy.automation.freeze):
        if policy.calendars[f.calendar].over(estate.now_ms):
            yield f"automation.freeze[{i}]", f"calendar {f.calendar} is over: it freezes nothing"
