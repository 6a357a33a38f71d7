"""An incident told in order: first symptoms, every revision with what was new, and each delivery from open to close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

STATES = ("breached", "at-risk", "unknown", "fine")
Alert = Mapping[str, Any]


class Moment(NamedTuple):
    """``at``: RFC 3339. ``what``: symptom, or the record's type. ``text``: what was new."""

    at: str
    what: str
    text: str


class Delivery(NamedTuple):
    """One thread at one destination. ``closed_at`` and ``closed_why`` None: still open. ``said``: records that spoke to it."""

    delivery: str
    destination: str
    team: str
    role: str
    urgency: str
    reason: str
    via: str
    opened_at: str
    closed_at: str | None
    closed_why: str | None
    said: int


def moment_of(text: object) -> datetime | None:
    """A time of a record; None for what is none."""
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def timeline(revisions: Sequence[Alert]) -> list[Moment]:
    """All moments, in order."""
    out: list[Moment] = []
    first = min((s for a in revisions for s in rows(a, "symptoms")), key=lambda s: str(s.get("since")), default=None)
    if first is not None:
        why = first.get("why") or first.get("kind")
        out.append(Moment(str(first.get("since")), "symptom", f"{entity(first.get('entity'))}: {why}"))
    before: Alert = {}
    for a in revisions:
        out.append(Moment(str(a.get("updated_at")), str(a.get("type")), _new(before, a)))
        before = a
    return sorted(out, key=lambda m: m.at)


def _new(before: Alert, a: Alert) -> str:
    said: list[str] = []
    cause, was = named(a), named(before) if before else None
    if cause != was:
        said.append(f"{cause} {percent(mapping(a.get('cause')).get('confidence'))}")
    if before and a.get("severity") != before.get("severity"):
        said.append(f"severity {before.get('severity')} → {a.get('severity')}")
    if before and a.get("recovering") != before.get("recovering") and a.get("status") == "firing":
        said.append("its root is clear" if a.get("recovering") else "its root shows symptoms again")
    felt, had_felt = _felt(a), _felt(before)
    said += [f"{who} {had_felt.get(who, 'fine')} → {state}" for who, state in felt.items() if had_felt.get(who, "fine") != state]
    for r in rows(a, "routes"):
        if r.get("do") in ("open", "close"):
            verb = {"page": "paged", "ticket": "ticket to", "notify": "told"}.get(str(r.get("urgency")), str(r.get("urgency")))
            said.append(f"{verb} {r.get('team')}" if r["do"] == "open" else f"closed at {r.get('team')} ({r.get('reason')})")
    verdict, had = mapping(a.get("automation")).get("verdict"), mapping(before.get("automation")).get("verdict")
    if before and verdict != had and a.get("status") == "firing":
        said.append(f"automation {had} → {verdict}")
    if a.get("why"):
        said.append(str(a["why"]))
    return "; ".join(said)


def _felt(a: Alert) -> dict[str, str]:
    """Who → the worst state of its objectives."""
    out: dict[str, str] = {}
    for i in rows(a, "impact"):
        who, state = str(i.get("service") or i.get("group") or i.get("topic")), str(i.get("state"))
        if who not in out or rank(state) < rank(out[who]):
            out[who] = state
    return out


def rank(state: str) -> int:
    """Worst first."""
    return STATES.index(state) if state in STATES else len(STATES)


def worst_impact(revisions: Sequence[Alert]) -> list[Mapping[str, Any]]:
    """The worst that each service (or group, or topic) was told to suffer."""
    out: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for a in revisions:
        for i in rows(a, "impact"):
            key = (str(i.get("service")), str(i.get("group")), str(i.get("topic")))
            have = out.get(key)
            if have is None or _bad(i) < _bad(have):
                out[key] = i
    return sorted(out.values(), key=_bad)


def _bad(i: Mapping[str, Any]) -> tuple[int, float]:
    behind = i.get("lag_s")
    return rank(str(i.get("state"))), -behind if isinstance(behind, (int, float)) else 0.0


def deliveries(revisions: Sequence[Alert]) -> list[Delivery]:
    """Every thread of the incident in the order of opening; one that was closed and opened again is another."""
    done: list[Delivery] = []
    live: dict[str, Delivery] = {}
    for a in revisions:
        for r in rows(a, "routes"):
            do, ident = r.get("do"), str(r.get("delivery"))
            have = live.get(ident)
            if do == "close" and have is not None:
                closed = have._replace(closed_at=str(a.get("updated_at")), closed_why=str(r.get("reason")), said=have.said + 1)
                done.append(closed)
                del live[ident]
            elif do in ("open", "update"):
                urgency, reason = str(r.get("urgency")), str(r.get("reason"))
                if have is None:
                    live[ident] = Delivery(
                        ident, str(r.get("destination")), str(r.get("team")), str(r.get("role")), urgency, reason,
                        str(r.get("via")), str(a.get("updated_at")), None, None, 1,
                    )  # fmt: skip
                else:
                    live[ident] = have._replace(urgency=urgency, reason=reason, said=have.said + 1)
    return sorted([*done, *live.values()], key=lambda d: (d.opened_at, d.team, d.destination))


def named(a: Alert) -> str:
    """``cause at kind/name``."""
    cause = mapping(a.get("cause"))
    return f"{cause.get('id')} at {entity(cause.get('root'))}"


def entity(value: object) -> str:
    """``kind/name`` of an entity of a record."""
    e = mapping(value)
    return f"{e.get('kind')}/{e.get('name')}"


def percent(value: object) -> str:
    """``0.941`` → ``94 %``."""
    return f"{value:.0%}".replace("%", " %") if isinstance(value, (int, float)) else ""


def span(seconds: float | None) -> str:
    """``840`` → ``14 min``; ``–`` where there is none."""
    if seconds is None:
        return "–"
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def between(start: object, end: object) -> float | None:
    """Seconds from one time of a record to another."""
    a, b = moment_of(start), moment_of(end)
    return (b - a).total_seconds() if a is not None and b is not None else None


def mapping(value: object) -> Mapping[str, Any]:
    """The value when it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def rows(a: Alert, field: str) -> list[Mapping[str, Any]]:
    """The mappings of a list of the record."""
    value = a.get(field)
    return [v for v in value if isinstance(v, dict)] if isinstance(value, (list, tuple)) else []
