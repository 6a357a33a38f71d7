"""What would happen, as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kroute.local.alerts_view import render, safe
from kroute.report import words
from kroute.whatif.compare import Comparison
from kroute.whatif.hypothetical import Answer

RULES = {
    1: "silenced or in maintenance: told to nobody, recorded",
    2: "a declared change covers it: told, nobody is paged",
    3: "an objective is breached: its owner is paged, and who can act where confidence reaches the bar",
    4: "shared availability is threatened: who can act and the platform team are paged",
    5: "a breach is projected: its owner is told, who can act gets a ticket, or a page where tier 1 is at risk",
    6: "nothing is breached or at risk: a ticket, or a note",
}


def answer(a: Answer) -> Iterator[RenderableType]:
    """The record that would be delivered, the rule, the words of the cause and the rows."""
    yield render(a.record, most=20)
    yield Text()
    yield Text(f"rule {a.decision.rule}", style="bold")
    yield Text(f"{RULES[a.decision.rule]}; severity {a.decision.severity}")
    yield Text()
    yield Text("who is asked", style="bold")
    asked = _grid()
    for x in a.asked:
        who = Text(safe(x.team), style="bold") if x.team else Text("no row answers", style="dim")
        asked.add_row(Text(x.role), Text(x.word), who, Text(safe(x.via), style="dim"))
    yield asked
    yield Text()
    yield Text("routes", style="bold")
    routes = _grid()
    for r in a.record["routes"]:
        routes.add_row(
            Text(r["role"]), Text(safe(r["team"]), style="bold"), Text(words.reason(r["reason"])),
            Text(safe(words.via(r["via"])), style="dim"),
        )  # fmt: skip
    yield routes
    yield Text()
    yield Text("rows, the one that wins first", style="bold")
    rows = _grid()
    for looked in a.looked:
        first = Text(safe(looked.rows[0])) if looked.rows else Text("no row", style="yellow")
        rest = f"before {', '.join(safe(r) for r in looked.rows[1:4])}" if len(looked.rows) > 1 else ""
        rows.add_row(Text(safe(looked.thing), style="dim"), first, Text(rest, style="dim"))
    yield rows


def comparison(c: Comparison, name: str) -> Iterator[RenderableType]:
    """All differences by incident."""
    if not c.changes:
        yield Text(f"{c.incidents} incidents, none would be routed otherwise under {safe(name)}", style="green")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("incident", "what", "now", "under the candidate", "why"):
        table.add_column(column, overflow="fold")
    last = None
    for x in c.changes:
        if x.incident != last:
            table.add_row(Text(safe(x.incident), style="bold"), Text(safe(x.about, 60), style="dim"))
            last = x.incident
        table.add_row("", Text(x.what), Text(safe(x.was)), Text(safe(x.now)), Text(safe(words.reason(x.why)), style="dim"))
    yield table
    moved = [f"{safe(t)} {a} → {b}" for t, (a, b) in c.pages_by_team.items() if a != b]
    yield Text()
    yield Text(
        f"{c.changed} of {c.incidents} incidents would be routed otherwise; pages {c.pages_was} → {c.pages_now}"
        + (f": {', '.join(moved)}" if moved else "")
    )


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(overflow="fold")
    return table
