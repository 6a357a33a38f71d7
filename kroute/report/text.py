"""The report's tables as texts, for a terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kroute.local.alerts_view import safe
from kroute.report.model import CauseRow, Finding, Report, Spread, Told
from kroute.report.timeline import span

TOLD_HEAD = ("", "incidents", "pages", "tickets", "notes", "pages without action", "wrong owner", "useless")
CAUSE_HEAD = ("cause", "incidents", "pages", "wrong owner", "useless", "cause moved", "reopened", "to resolve")
FLOOD_HEAD = ("team", "flood minutes", "most in 10 min", "began")
FINDING_HEAD = ("about", "evidence", "such as")
REMEDY_HEAD = ("remedy", "runs", "what came of it")
Rows = list[tuple[str, ...]]


def fact_rows(r: Report) -> Rows:
    """The figures of the whole."""
    return [
        ("incidents", f"{r.incidents}, of them {r.suppressed} told to nobody, {r.merged} merged"),
        ("pages", f"{r.pages}, {share(r.pages_without_action, r.pages)} without action"),
        ("time to acknowledge", f"{spread(r.acknowledge)}; {r.never_acknowledged} paged incidents never were"),
        ("time to resolve", spread(r.resolve)),
        ("reassigned", f"{r.reassigned} by kroute while they fired, {r.corrected} named otherwise by people"),
        ("reopened", str(r.reopened)),
        ("flood minutes", f"{r.flood_minutes:g}, in {len(r.floods)} teams (over 10 pages in 10 minutes, ISA-18.2)"),
    ]


def told_rows(rows: Sequence[Told]) -> Rows:
    """Teams, routes or ownership rows."""
    return [
        (
            t.name, str(t.incidents), str(t.pages), str(t.tickets), str(t.notes), share(t.without_action, t.pages),
            share(t.wrong, t.judged), str(t.useless),
        )
        for t in rows
    ]  # fmt: skip


def cause_rows(rows: Sequence[CauseRow]) -> Rows:
    """Causes."""
    return [
        (
            c.cause, str(c.incidents), str(c.pages), share(c.wrong, c.judged), str(c.useless), str(c.moved), str(c.reopened),
            span(c.resolve.median_s),
        )
        for c in rows
    ]  # fmt: skip


def flood_rows(r: Report) -> Rows:
    """Teams that were flooded."""
    return [(f.team, f"{f.minutes:g}", str(f.most), ", ".join(x[:16] for x in f.began_at[:3])) for f in r.floods]


def finding_rows(found: Sequence[Finding]) -> Rows:
    """What is to be changed, and why."""
    return [(f.about, f.evidence, ", ".join(f.incidents[:3])) for f in found]


def remedy_rows(r: Report) -> Rows:
    """Remedies and what came of them."""
    return [(x.remedy, str(x.runs), ", ".join(f"{n} {o}" for o, n in x.outcomes.items())) for x in r.remedies]


def sections(r: Report) -> list[tuple[str, tuple[str, ...], Rows]]:
    """Title, head and rows of every table that has rows, in order."""
    all_ = [
        ("The whole", ("", ""), fact_rows(r)),
        ("Teams", ("team", *TOLD_HEAD[1:]), told_rows(r.teams)),
        ("Routes, by the reason that they carry", ("route", *TOLD_HEAD[1:]), told_rows(r.routes)),
        ("Action owners, by the row they come from", ("row", *TOLD_HEAD[1:]), told_rows(r.rows)),
        ("Causes", CAUSE_HEAD, cause_rows(r.causes)),
        ("Floods", FLOOD_HEAD, flood_rows(r)),
        ("Routes to retire", FINDING_HEAD, finding_rows(r.retire)),
        ("Owners missing", FINDING_HEAD, finding_rows(r.owners_missing)),
        ("Drills out of date", FINDING_HEAD, finding_rows(r.drills_due)),
        ("Remedies", REMEDY_HEAD, remedy_rows(r)),
    ]
    return [(title, head, rows) for title, head, rows in all_ if rows]


def render(r: Report) -> Iterator[RenderableType]:
    """The report in a terminal."""
    yield Text(f"{r.since[:16]} to {r.until[:16]} UTC, {r.records} records", style="dim")
    for title, head, rows in sections(r):
        yield Text()
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim",
                      show_header=any(head))  # fmt: skip
        words = head in (FINDING_HEAD, REMEDY_HEAD) or not any(head)
        for i, h in enumerate(head):
            table.add_column(h, justify="left" if i == 0 or words else "right", overflow="fold")
        for row in rows:
            table.add_row(*(Text(safe(c)) for c in row))
        yield table
    for m in r.missing:
        yield Text(f"not read: {safe(m)}", style="yellow")


def share(part: int, whole: int) -> str:
    """``3 of 12 (25 %)``; ``–`` of nothing."""
    return f"{part} of {whole} ({part / whole:.0%})".replace("%", " %") if whole else "–"


def spread(s: Spread) -> str:
    """Median and 90th percentile."""
    return f"median {span(s.median_s)}, 90 % within {span(s.p90_s)} ({s.count})" if s.count else "–"
