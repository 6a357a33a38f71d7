"""What the period asks to be changed, each with its evidence: routes to retire, owners to name, drills to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kroute.contracts.rows import Change
from kroute.report.events import Life
from kroute.report.model import Finding, Told
from kroute.report.source import Past
from kroute.report.timeline import mapping, rows
from kroute.routing.policy import InForce

DAY_MS = 86_400_000
ENOUGH_PAGES = 5
"""Fewer pages than this are no evidence."""
UNACTED = 0.8
ENOUGH_VERDICTS = 3
USELESS = 0.5


def retire(past: Past, lives: Sequence[Life], routes: Sequence[Told], days: float) -> list[Finding]:
    """Routes whose pages nobody acts on or calls useless, and routes of the policy that were never taken."""
    out: list[Finding] = []
    of_route: dict[str, dict[str, None]] = {}
    for x in lives:
        for a in x.arrived:
            of_route.setdefault(a.reason, {})[x.incident] = None
    for r in routes:
        incidents = tuple(of_route.get(r.name, ()))[-5:]
        judged = r.judged + r.useless
        if judged >= ENOUGH_VERDICTS and r.useless / judged >= USELESS:
            out.append(Finding(
                about=r.name, evidence=f"{r.useless} of {judged} verdicts say not-actionable or false-alarm", incidents=incidents,
            ))  # fmt: skip
        elif r.pages >= ENOUGH_PAGES and r.without_action / r.pages >= UNACTED:
            said = f"{r.without_action} of {r.pages} pages: nobody acknowledged, acted, or called the owner right"
            out.append(Finding(about=r.name, evidence=said, incidents=incidents))
    if past.policy is not None and lives:
        taken = {str(r.get("reason")) for revs in past.alerts.values() for a in revs for r in rows(a, "routes")}
        for route in past.policy.routes:
            names = (f"policy:{route.name}", f"escalated:{route.name}")
            if route.repeat is None and not any(n in taken for n in names):
                said = f"taken by none of {len(lives)} incidents in {days:.1f} days"
                out.append(Finding(about=names[0], evidence=said))
    return out


def owners_missing(lives: Sequence[Life]) -> list[Finding]:
    """Things whose owner had to be stood in for, the most frequent first, and what rows leave unsaid downstream."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for x in lives:
        root = mapping(mapping(x.last.get("cause")).get("root"))
        thing = f"{root.get('kind')}/{x.last.get('cluster')}/{root.get('name')}"
        for a in x.arrived:
            if a.via.startswith("fallback:"):
                found.setdefault((thing, f"{a.role} owner of {x.cause} stood in for by {a.team}"), {})[x.incident] = None
        for m in x.missing:
            for part in m.split("; "):
                if part.endswith((" belongs to no service", " has no owner")):
                    thing_, _, lack = part.partition(" ")
                    kind, _, name = thing_.partition("/")
                    found.setdefault((f"{kind}/{x.last.get('cluster')}/{name}", lack), {})[x.incident] = None
    ordered = sorted(found.items(), key=lambda i: (-len(i[1]), i[0]))
    return [
        Finding(about=about, evidence=f"{lack}, {len(incidents)} {_incidents(incidents)}", incidents=tuple(incidents)[-5:])
        for (about, lack), incidents in ordered
    ]


def drills_due(past: Past, lives: Sequence[Life], now_ms: int) -> list[Finding]:
    """Grants without a young drill that passed, and remedies that incidents asked for and lacked one."""
    out: dict[str, Finding] = {}
    drills = [c for c in past.changes.values() if c.kind == "drill"]
    for about, age_d in _granted(past.policy):
        cause, _, remedy = about.partition(" with ")
        problem = _problem(drills, cause, remedy, age_d, now_ms)
        if problem is not None:
            out[about] = Finding(about=about, evidence=f"granted, and {problem}")
    asked: dict[str, dict[str, None]] = {}
    for x in lives:
        for m in x.missing:
            if m.startswith("no drill of "):
                about = m.removeprefix("no drill of ").partition(" passed in ")[0]
                asked.setdefault(about, {})[x.incident] = None
    for about, incidents in sorted(asked.items(), key=lambda i: (-len(i[1]), i[0])):
        if about not in out:
            said = f"{len(incidents)} {_incidents(incidents)} lacked it"
            out[about] = Finding(about=about, evidence=said, incidents=tuple(incidents)[-5:])
    return list(out.values())


def _granted(policy: InForce | None) -> Iterable[tuple[str, float]]:
    if policy is None:
        return
    for g in policy.automation.grants:
        age = g.drill_age_d()
        for cause in g.when.causes():
            yield f"{cause} with {g.remedy}", policy.numbers.drill_age_d if age is None else age


def _problem(drills: Sequence[Change], cause: str, remedy: str, age_d: float, now_ms: int) -> str | None:
    mine = [d for d in drills if (d.detail.get("cause"), d.detail.get("remedy")) == (cause, remedy) and d.starts_at_ms <= now_ms]
    if not mine:
        return "never drilled, or longer ago than changes are kept"
    last = max(mine, key=lambda d: (d.starts_at_ms, d.id))
    age = (now_ms - last.starts_at_ms) / DAY_MS
    if last.detail.get("result") != "passed":
        return f"the last drill, {age:.0f} days ago, did not pass ({last.id})"
    return f"the last drill is {age:.0f} days old, of {age_d:g} allowed ({last.id})" if age > age_d else None


def _incidents(found: Mapping[str, None]) -> str:
    return "incident" if len(found) == 1 else "incidents"
