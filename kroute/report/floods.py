"""Alarm floods (ISA-18.2, EEMUA 191): over 10 alarms in 10 minutes to one team."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kroute.report.events import Arrived
from kroute.report.model import Flood
from kroute.routing.times import rfc3339

ALARMS = 10
WITHIN_S = 600.0


def floods(arrived: Iterable[Arrived]) -> list[Flood]:
    """By team, the longest first. An alarm is a page; one that flood control collapsed is one too."""
    by_team: dict[str, list[float]] = {}
    for a in arrived:
        if a.urgency == "page":
            by_team.setdefault(a.team, []).append(a.at_s)
    found = [_flood(team, sorted(times)) for team, times in sorted(by_team.items())]
    return sorted((f for f in found if f.minutes), key=lambda f: (-f.minutes, f.team))


def _flood(team: str, times: Sequence[float]) -> Flood:
    spells = spells_of(times)
    most = 0
    low = 0
    for high, t in enumerate(times):
        while t - times[low] >= WITHIN_S:
            low += 1
        most = max(most, high - low + 1)
    return Flood(
        team=team, minutes=round(sum(b - a for a, b in spells) / 60, 2), most=most,
        began_at=tuple(rfc3339(int(a * 1000)) for a, _ in spells),
    )  # fmt: skip


def spells_of(times: Sequence[float]) -> list[tuple[float, float]]:
    """When the last 10 minutes held over 10 alarms: from the 11th on, until the first of the 11 is 10 minutes old."""
    out: list[tuple[float, float]] = []
    for i in range(ALARMS, len(times)):
        start, end = times[i], times[i - ALARMS] + WITHIN_S
        if start >= end:
            continue
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out
