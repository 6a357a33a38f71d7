"""From records to what happened to people: pages, tickets and notes that arrived, and what they did about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from kroute.contracts.rows import Control
from kroute.report.source import Past
from kroute.report.timeline import Alert, mapping, moment_of, rows

LEVEL = {"notify": 0, "ticket": 1, "page": 2}


class Arrived(NamedTuple):
    """Something arrived at a team: a delivery opened, or rose to a page. ``collapsed``: a page that flood control held back."""

    at_s: float
    incident: str
    team: str
    role: str
    urgency: str
    reason: str
    via: str
    cause: str
    collapsed: bool = False


class Life(NamedTuple):
    """One incident over all its records."""

    incident: str
    cause: str
    causes: tuple[str, ...]
    start_s: float
    end_s: float | None
    resolved: bool
    merged_into: str | None
    reopened: int
    suppressed: bool
    moved: bool
    reassigned: bool
    arrived: tuple[Arrived, ...]
    missing: tuple[str, ...]
    remedy: str | None
    last: Alert


def seconds(at: object) -> float | None:
    """A time of a record in epoch seconds."""
    found = moment_of(at)
    return found.timestamp() if found is not None else None


def life(revisions: Sequence[Alert]) -> Life:
    """What one incident came to."""
    first, last = revisions[0], revisions[-1]
    arrived: list[Arrived] = []
    level: dict[str, int] = {}
    held: dict[str, None] = {}
    causes: dict[str, None] = {}
    owners: list[tuple[str, ...]] = []
    missing: dict[str, None] = {}
    remedy: str | None = None
    for a in revisions:
        at = seconds(a.get("updated_at")) or 0.0
        cause = str(mapping(a.get("cause")).get("id"))
        causes[cause] = None
        firing = a.get("status") == "firing"
        acting = sorted({
            str(r.get("team")) for r in rows(a, "routes") if r.get("role") == "action" and r.get("do") != "close"
        })  # fmt: skip
        if firing and acting:
            owners.append(tuple(acting))
        for r in rows(a, "routes"):
            ident, do, how = str(r.get("delivery")), r.get("do"), str(r.get("urgency"))
            if do == "close":
                level.pop(ident, None)
                continue
            collapsed = r.get("reason") == "flood" and do == "none"
            rises = do in ("open", "update") and LEVEL.get(how, 0) > level.get(ident, -1)
            if rises or (collapsed and ident not in held):
                arrived.append(Arrived(
                    at, str(a.get("incident")), str(r.get("team")), str(r.get("role")), how, str(r.get("reason")),
                    str(r.get("via")), cause, collapsed,
                ))  # fmt: skip
            if rises:
                level[ident] = LEVEL.get(how, 0)
            if collapsed:
                held[ident] = None
        automation = mapping(a.get("automation"))
        if firing:
            missing.update(dict.fromkeys(str(m) for m in automation.get("missing") or ()))
            remedy = automation.get("remedy") or remedy
    return Life(
        incident=str(last.get("incident")),
        cause=str(mapping(last.get("cause")).get("id")),
        causes=tuple(causes),
        start_s=seconds(first.get("started_at")) or 0.0,
        end_s=seconds(last.get("resolved_at")),
        resolved=last.get("status") == "resolved",
        merged_into=last.get("superseded_by"),
        reopened=sum(1 for a in revisions if a.get("type") == "reopened"),
        suppressed=any(a.get("suppressed") for a in revisions),
        moved=any(a.get("type") == "revised" for a in revisions),
        reassigned=len(dict.fromkeys(owners)) > 1 and _left(owners),
        arrived=tuple(arrived),
        missing=tuple(missing),
        remedy=remedy,
        last=last,
    )


def _left(owners: Sequence[tuple[str, ...]]) -> bool:
    """True when a team that was to act no longer was, and another was; a team that joins is no reassignment."""
    return any(set(a) - set(b) and set(b) - set(a) for a, b in pairwise(owners))


class Done(NamedTuple):
    """What people did about incidents. ``verdict``: incident → its last one."""

    acknowledged: Mapping[str, float]
    acted: Mapping[str, None]
    verdicts: Mapping[str, Control]


def done(past: Past) -> Done:
    """Acknowledgements (the first, epoch seconds), actions and last verdicts, by incident."""
    acks: dict[str, float] = {}
    acted: dict[str, None] = {}
    verdicts: dict[str, Control] = {}
    for g in sorted(past.controls, key=lambda g: g.control.at_ms):
        c = g.control
        if c.incident is None:
            continue
        if c.kind == "ack":
            acks.setdefault(c.incident, c.at_ms / 1000)
        if c.kind in ("ack", "action") or (c.kind == "verdict" and c.verdict == "right-owner"):
            acted[c.incident] = None
        if c.kind == "verdict" and c.verdict is not None:
            verdicts[c.incident] = c
    for revisions in past.alerts.values():  # what controls no longer hold, the records do
        for a in revisions:
            if a.get("type") == "acknowledged":
                incident = str(a.get("incident"))
                acks.setdefault(incident, seconds(a.get("updated_at")) or 0.0)
                acted[incident] = None
            if rows(a, "remedies"):
                acted[str(a.get("incident"))] = None
    return Done(acks, acted, verdicts)
