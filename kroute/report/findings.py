"""What the period asks to be changed, each with its evidence: routes to retire, owners to name, drills to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kroute.contracts.rows import Change
from kroute.report.events import Done, Life
from kroute.report.model import Finding
from kroute.report.source import Past
from kroute.report.timeline import mapping, rows
from kroute.routing.policy import InForce

DAY_MS = 86_400_000
ENOUGH_INCIDENTS, ENOUGH_VERDICTS = 5, 3
"""Fewer than these are no evidence."""
UNACTED, USELESS_SHARE = 0.8, 0.5
USELESS = ("not-actionable", "false-alarm")
_NAMED = ("policy:", "escalated:")


def retire(past: Past, lives: Sequence[Life], d: Done, acted: Mapping[str, None], days: float) -> list[Finding]:
    """Routes whose pages nobody acts on or calls useless, and routes of the policy that were never taken.

    A rule of kroute's own is no route that could be retired: it is told by cause, to be lowered by a route of the policy.
    """
    out: list[Finding] = []
    paged: dict[str, dict[str, None]] = {}
    for x in lives:
        for a in x.arrived:
            if a.urgency == "page" and not a.collapsed:
                name = a.reason if a.reason.startswith(_NAMED) else f"{a.reason} of {x.cause}"
                paged.setdefault(name, {})[x.incident] = None
    for name, incidents in sorted(paged.items()):
        such = tuple(incidents)[-5:]
        verdicts = [d.verdicts[i].verdict for i in incidents if i in d.verdicts]
        useless = sum(1 for v in verdicts if v in USELESS)
        idle = sum(1 for i in incidents if i not in acted)
        if len(verdicts) >= ENOUGH_VERDICTS and useless / len(verdicts) >= USELESS_SHARE:
            said = f"{useless} of {len(verdicts)} verdicts say not-actionable or false-alarm"
            out.append(Finding(about=name, evidence=said, incidents=such))
        elif len(incidents) >= ENOUGH_INCIDENTS and idle / len(incidents) >= UNACTED:
            said = f"{idle} of {len(incidents)} paged incidents: nobody acknowledged, acted, or called the owner right"
            out.append(Finding(about=name, evidence=said, incidents=such))
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
