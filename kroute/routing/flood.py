"""Flood control: over so many pages to one team in so short a time, further ones are collapsed into one (ISA-18.2).

The incident that crosses the limit *carries* the flood: it pages as it would, and its record lists every incident that
is collapsed into it, each of which pages that team's destination no more. Tickets, notes and other teams are untouched.
When the carrier is over, the oldest of those that still fire carries the rest: a flood never ends in a burst of pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct

from kroute.routing.delivery import Wanted
from kroute.routing.ledger import Entry, delivery_id
from kroute.routing.rules import Numbers
from kroute.routing.runs import ROLL_BACK
from kroute.signals.model import Rows

KEY = "flood|"
MAX_LISTED = 32
"""Collapsed incidents that a record names; the total is told too."""


class Team(Struct):
    """``pages``: (epoch ms, incident) of the pages opened lately, oldest first; ``collapsed``: incident → since when."""

    pages: list[tuple[int, str]] = []
    carrier: str | None = None
    collapsed: dict[str, int] = {}


class Floods:
    """Pages by team of one domain; rows in the table ``incidents`` under ``flood|<team>``."""

    def __init__(self, rows: Rows, told: Callable[[str], Entry | None]) -> None:
        self._rows = rows
        self._told = told
        self._teams: dict[str, Team] = {}

    def load(self, key: str, value: bytes) -> None:
        """One row at recovery."""
        self._teams[key.removeprefix(KEY)] = msgspec.msgpack.decode(value, type=Team)

    def hold_back(
        self, incident: str, entry: Entry | None, wanted: Iterable[Wanted], numbers: Numbers, now_ms: int
    ) -> tuple[Wanted, ...]:
        """The routes with those pages made silent that are collapsed. Changes nothing: see ``said``."""
        out = []
        for w in wanted:
            held = _pages(incident, entry, w) and self._full(w.team, incident, numbers, now_ms)
            out.append(w._replace(silent=True, reason="flood") if held else w)
        return tuple(out)

    def said(self, incident: str, entry: Entry | None, wanted: Iterable[Wanted], numbers: Numbers, now_ms: int) -> None:
        """A record with these routes goes out: count its pages, and remember who carries and who is collapsed."""
        routes = list(wanted)
        held = {w.team: None for w in routes if w.silent and w.reason == "flood"}
        for name in sorted(self._teams):
            if incident in self._teams[name].collapsed and name not in held:
                team = self._teams[name]
                del team.collapsed[incident]
                if any(_pages(incident, entry, w) and w.team == name for w in routes) and not self._carried(team, name):
                    team.carrier = incident  # the next to carry what is left
                self._save(name)
        for name in held:
            team = self._teams.setdefault(name, Team())
            if incident not in team.collapsed:
                team.collapsed[incident] = now_ms
                self._save(name)
        for name in dict.fromkeys(w.team for w in routes if _pages(incident, entry, w)):
            team = self._teams.setdefault(name, Team())
            lately = _lately(team, numbers, now_ms)
            if numbers.flood_pages and len(lately) >= numbers.flood_pages and not self._carried(team, name):
                team.carrier = incident
            team.pages = [*lately, (now_ms, incident)]
            self._save(name)

    def over(self, incident: str) -> None:
        """The incident has ended: it carries nothing and is collapsed nowhere."""
        for name in sorted(self._teams):
            team = self._teams[name]
            if incident in team.collapsed or team.carrier == incident:
                team.collapsed.pop(incident, None)
                if team.carrier == incident:
                    team.carrier = None
                self._save(name)

    def expire(self, numbers: Numbers, now_ms: int) -> None:
        """Drop teams of which nothing is to be remembered."""
        for name in sorted(self._teams):
            team = self._teams[name]
            if not team.collapsed and not self._carried(team, name) and not _lately(team, numbers, now_ms):
                del self._teams[name]
                self._rows.drop("incidents", f"{KEY}{name}")

    def carried_by(self, incident: str) -> tuple[str, ...]:
        """Incidents that are collapsed into this one, sorted."""
        found = {i: None for t in self._teams.values() if t.carrier == incident for i in t.collapsed}
        return tuple(sorted(found))

    def into(self, wanted: Iterable[Wanted]) -> tuple[tuple[str, str], ...]:
        """(team, carrier) of the floods that hold back pages of these routes, by team."""
        held = {w.team: self._teams[w.team].carrier for w in wanted if w.silent and w.reason == "flood"}
        return tuple((name, carrier or "the next") for name, carrier in sorted(held.items()))

    def _full(self, name: str, incident: str, numbers: Numbers, now_ms: int) -> bool:
        """True while somebody else carries a flood of this team, or a collapsed one is not the next to carry it."""
        team = self._teams.get(name)
        if team is None or not numbers.flood_pages:
            return False
        if self._carried(team, name):
            return team.carrier != incident and (incident in team.collapsed or self._flooded(team, numbers, now_ms))
        waiting = {i: since for i, since in team.collapsed.items() if i != incident}
        if incident in team.collapsed:
            return any((since, i) < (team.collapsed[incident], incident) for i, since in waiting.items())
        return bool(waiting) and len(_lately(team, numbers, now_ms)) >= numbers.flood_pages

    def _flooded(self, team: Team, numbers: Numbers, now_ms: int) -> bool:
        """A flood is on until fewer than half as many alarms come: pages, and those that were collapsed, lately."""
        since = now_ms - int(numbers.flood_within_s * 1000)
        come = len(_lately(team, numbers, now_ms)) + sum(1 for ms in team.collapsed.values() if ms > since)
        return come >= numbers.flood_pages / 2

    def _carried(self, team: Team, name: str) -> bool:
        """True while the carrier's page to this team is open."""
        entry = self._told(team.carrier) if team.carrier is not None else None
        return entry is not None and any(o.team == name and o.urgency == "page" for o in entry.opened.values())

    def _save(self, name: str) -> None:
        self._rows.put("incidents", f"{KEY}{name}", msgspec.msgpack.encode(self._teams[name]))


def _lately(team: Team, numbers: Numbers, now_ms: int) -> list[tuple[int, str]]:
    since = now_ms - int(numbers.flood_within_s * 1000)
    return [p for p in team.pages if p[0] > since]


def _pages(incident: str, entry: Entry | None, w: Wanted) -> bool:
    """True when the route opens a page that is not open yet."""
    return (
        w.urgency == "page"
        and not w.silent
        and w.reason != ROLL_BACK
        and (entry is None or delivery_id(incident, w.destination) not in entry.opened)
    )
