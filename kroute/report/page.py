"""The report as one HTML page that loads nothing: the tables of the terminal, and plots as inline SVG."""

from __future__ import annotations

from kroute.local.alerts_view import safe
from kroute.page import document, plain, section, table
from kroute.report import plots
from kroute.report.model import Report
from kroute.report.text import FINDING_HEAD, REMEDY_HEAD, sections

_NOTES = {
    "Teams": "A page is without action when nobody acknowledged its incident, reported a remedy, or called the owner right.",
    "Routes, by the reason that they carry": "Wrong owner: of the verdicts that say who should have been told.",
    "Floods": "ISA-18.2: over 10 alarms to one team in 10 minutes. Pages that flood control collapsed are alarms too.",
    "Routes to retire": "Pages nobody acts on, verdicts that call them useless, and routes of the policy that nothing takes.",
    "Owners missing": "Where a fallback stood in, and what rows leave unsaid downstream.",
    "Drills out of date": "Automation is proposed, and never done, without a young drill of exactly this cause and remedy.",
}


def page(r: Report) -> str:
    """The whole page."""
    parts = [
        "<h1>What kroute told, and what came of it</h1>",
        f'<p class="note">{plain(r.since[:16])} to {plain(r.until[:16])} UTC, {r.incidents} incidents, {r.records} records</p>',
    ]
    for title, head, rows in sections(r):
        words = head in (FINDING_HEAD, REMEDY_HEAD) or not any(head)
        shown = [tuple(safe(c) for c in row) for row in rows]
        parts.append(section(title, _NOTES.get(title, ""), table(head, shown, text=words)))
        if title == "The whole":
            parts += _plots(r)
    if r.missing:
        parts.append(section("Not read", "", table(("",), [(m,) for m in r.missing], text=True)))
    return document(f"kroute report: {r.since[:10]} to {r.until[:10]}", "\n".join(parts))


def _plots(r: Report) -> list[str]:
    return [
        section("Pages by day", "", plots.pages_by_day(r.days)),
        section("Pages by team", "", plots.pages_by_team(r.teams)),
        section("When people are paged (UTC)", "", plots.hours(r.hours)),
        section("Time to acknowledge and to resolve", "", plots.times(r.times_to_acknowledge_s, r.times_to_resolve_s)),
        section("Flood minutes", "", plots.floods(r.floods)),
    ]
