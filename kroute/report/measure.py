"""The figures of a period, from what was delivered and what people did. Pure: the same records give the same report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from kroute.report.events import Arrived, Done, Life, done, life, seconds
from kroute.report.findings import USELESS, drills_due, owners_missing, retire
from kroute.report.floods import floods
from kroute.report.model import CauseRow, Remedies, Report, Spread, Told
from kroute.report.source import Past
from kroute.report.timeline import rows
from kroute.routing.times import rfc3339


def measure(past: Past, since_ms: int | None = None, until_ms: int | None = None) -> Report:
    """The report over incidents with a record in the period (epoch ms; None: what there is)."""
    chosen = {i: revs for i, revs in past.alerts.items() if any(_inside(a, since_ms, until_ms) for a in revs)}
    lives = sorted((life(revs) for revs in chosen.values()), key=lambda x: (x.start_s, x.incident))
    d = done(past)
    times = [t for revs in chosen.values() for a in revs if (t := seconds(a.get("updated_at"))) is not None]
    start = since_ms if since_ms is not None else int(min((x.start_s for x in lives), default=0) * 1000)
    end = until_ms if until_ms is not None else int(max(times, default=0) * 1000)
    arrived = [a for x in lives for a in x.arrived if _within(a.at_s, since_ms, until_ms)]
    sent = [a for a in arrived if not a.collapsed]
    pages = [a for a in sent if a.urgency == "page"]
    acted = _acted(lives, d)
    to_ack = _to_acknowledge(pages, d)
    to_resolve = sorted(x.end_s - x.start_s for x in lives if x.resolved and x.end_s is not None)
    routes = _told(sent, lambda a: a.reason, acted, d)
    found = floods(arrived)
    return Report(
        since=rfc3339(start),
        until=rfc3339(end),
        incidents=len(lives),
        records=sum(len(r) for r in chosen.values()),
        pages=len(pages),
        pages_without_action=sum(1 for a in pages if a.incident not in acted),
        never_acknowledged=len({a.incident for a in pages} - set(d.acknowledged)),
        suppressed=sum(1 for x in lives if x.suppressed),
        reopened=sum(x.reopened for x in lives),
        merged=sum(1 for x in lives if x.merged_into),
        reassigned=sum(1 for x in lives if x.reassigned),
        corrected=sum(1 for x in lives if (v := d.verdicts.get(x.incident)) is not None and v.should_be),
        acknowledge=_spread(to_ack),
        resolve=_spread(to_resolve),
        times_to_acknowledge_s=tuple(round(t, 1) for t in to_ack),
        times_to_resolve_s=tuple(round(t, 1) for t in to_resolve),
        teams=_told(sent, lambda a: a.team, acted, d),
        routes=routes,
        rows=_told([a for a in sent if a.role == "action"], lambda a: a.via, acted, d),
        causes=_causes(lives, pages, d),
        floods=tuple(found),
        flood_minutes=round(sum(f.minutes for f in found), 2),
        retire=tuple(retire(past, lives, d, acted, max(0.0, (end - start) / 86_400_000))),
        owners_missing=tuple(owners_missing(lives)),
        drills_due=tuple(drills_due(past, lives, end)),
        remedies=_remedies(lives),
        hours=_hours(pages),
        days=_days(pages, acted),
        missing=tuple(past.missing),
    )


def _inside(alert: object, since_ms: int | None, until_ms: int | None) -> bool:
    at = seconds(alert.get("updated_at")) if isinstance(alert, dict) else None
    return at is not None and _within(at, since_ms, until_ms)


def _within(at_s: float, since_ms: int | None, until_ms: int | None) -> bool:
    return (since_ms is None or at_s * 1000 >= since_ms) and (until_ms is None or at_s * 1000 < until_ms)


def _acted(lives: Sequence[Life], d: Done) -> dict[str, None]:
    """Incidents somebody did something about; what was merged counts with the incident it went into."""
    into = {x.incident: x.merged_into for x in lives}
    out: dict[str, None] = {}
    for x in lives:
        here: str | None = x.incident
        for _ in range(len(lives)):
            if here is None or here in d.acted:
                break
            here = into.get(here)
        if here is not None and here in d.acted:
            out[x.incident] = None
    return out


def _to_acknowledge(pages: Iterable[Arrived], d: Done) -> list[float]:
    """From an incident's first page to its first acknowledgement; one that came before the page took no time."""
    first: dict[str, float] = {}
    for a in pages:
        first[a.incident] = min(first.get(a.incident, a.at_s), a.at_s)
    return sorted(max(0.0, d.acknowledged[i] - at) for i, at in first.items() if i in d.acknowledged)


def _told(sent: Sequence[Arrived], key: Callable[[Arrived], str], acted: dict[str, None], d: Done) -> tuple[Told, ...]:
    by: dict[str, list[Arrived]] = {}
    for a in sent:
        by.setdefault(key(a), []).append(a)
    out = []
    for name, mine in by.items():
        incidents = dict.fromkeys(a.incident for a in mine)
        pages = [a for a in mine if a.urgency == "page"]
        # a verdict on the owner is about who was asked to act
        owned = [d.verdicts[i].verdict for i in dict.fromkeys(a.incident for a in mine if a.role == "action") if i in d.verdicts]
        out.append(Told(
            name=name,
            incidents=len(incidents),
            pages=len(pages),
            tickets=sum(1 for a in mine if a.urgency == "ticket"),
            notes=sum(1 for a in mine if a.urgency == "notify"),
            without_action=sum(1 for a in pages if a.incident not in acted),
            wrong=owned.count("wrong-owner"),
            judged=owned.count("wrong-owner") + owned.count("right-owner"),
            useless=sum(1 for i in incidents if i in d.verdicts and d.verdicts[i].verdict in USELESS),
        ))  # fmt: skip
    return tuple(sorted(out, key=lambda t: (-t.pages, -t.tickets, t.name)))


def _causes(lives: Sequence[Life], pages: Sequence[Arrived], d: Done) -> tuple[CauseRow, ...]:
    by: dict[str, list[Life]] = {}
    for x in lives:
        by.setdefault(x.cause, []).append(x)
    out = []
    for cause, mine in by.items():
        incidents = {x.incident for x in mine}
        verdicts = [d.verdicts[x.incident].verdict for x in mine if x.incident in d.verdicts]
        out.append(CauseRow(
            cause=cause,
            incidents=len(mine),
            pages=sum(1 for a in pages if a.incident in incidents),
            wrong=verdicts.count("wrong-owner"),
            judged=verdicts.count("wrong-owner") + verdicts.count("right-owner"),
            useless=sum(1 for v in verdicts if v in USELESS),
            moved=sum(1 for x in mine if x.moved),
            reopened=sum(x.reopened for x in mine),
            resolve=_spread(sorted(x.end_s - x.start_s for x in mine if x.resolved and x.end_s is not None)),
        ))  # fmt: skip
    return tuple(sorted(out, key=lambda c: (-c.pages, -c.incidents, c.cause)))


def _remedies(lives: Sequence[Life]) -> tuple[Remedies, ...]:
    by: dict[str, dict[str, int]] = {}
    for x in lives:
        for r in rows(x.last, "remedies"):
            outcomes = by.setdefault(str(r.get("remedy")), {})
            outcomes[str(r.get("outcome"))] = outcomes.get(str(r.get("outcome")), 0) + 1
    return tuple(
        Remedies(remedy=name, runs=sum(o.values()), outcomes=dict(sorted(o.items()))) for name, o in sorted(by.items())
    )  # fmt: skip


def _hours(pages: Iterable[Arrived]) -> tuple[tuple[int, ...], ...]:
    grid = [[0] * 24 for _ in range(7)]
    for a in pages:
        at = datetime.fromtimestamp(a.at_s, UTC)
        grid[at.weekday()][at.hour] += 1
    return tuple(tuple(row) for row in grid)


def _days(pages: Iterable[Arrived], acted: dict[str, None]) -> dict[str, tuple[int, int]]:
    out: dict[str, tuple[int, int]] = {}
    for a in sorted(pages, key=lambda a: a.at_s):
        day = datetime.fromtimestamp(a.at_s, UTC).strftime("%Y-%m-%d")
        did, did_not = out.get(day, (0, 0))
        out[day] = (did + 1, did_not) if a.incident in acted else (did, did_not + 1)
    return out


def _spread(times: Sequence[float]) -> Spread:
    """Median and 90th percentile by nearest rank, of sorted times."""
    if not times:
        return Spread(count=0, median_s=None, p90_s=None)
    middle, high = (times[max(0, math.ceil(q * len(times)) - 1)] for q in (0.5, 0.9))
    return Spread(count=len(times), median_s=round(middle, 1), p90_s=round(high, 1))
