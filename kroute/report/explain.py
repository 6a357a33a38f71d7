"""One incident explained in a terminal: the record as it was delivered, each rule and row behind it, and how it went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kroute.local.alerts_view import render, safe
from kroute.report import words
from kroute.report.timeline import Alert, Delivery, Moment, deliveries, entity, mapping, rows, timeline

ALL = 100


def explain(revisions: Sequence[Alert]) -> Iterator[RenderableType]:
    """The last of these records, and what led there. Values are the record's own; nothing is decided anew."""
    last = revisions[-1]
    yield render(last, most=ALL)
    yield Text()
    yield from _section("rules and rows", _rules(last))
    yield from _section("evidence", _evidence(last))
    yield from _section("deliveries", _deliveries(deliveries(revisions)))
    yield from _section("timeline", _timeline(timeline(revisions)))


def _section(title: str, table: Table | None) -> Iterator[RenderableType]:
    if table is not None:
        yield Text(title, style="bold")
        yield table
        yield Text()


def _grid(*columns: str) -> Table:
    table = Table.grid(padding=(0, 2))
    for c in columns:
        table.add_column(style="dim" if c == "dim" else "", overflow="fold", no_wrap=c == "word")
    return table


def _rules(last: Alert) -> Table | None:
    """Each route with the rule that gave its urgency and the row that gave its team."""
    table = _grid("word", "word", "", "dim")
    for r in rows(last, "routes"):
        reason, via = safe(r.get("reason")), safe(r.get("via"))
        table.add_row(
            Text(safe(r.get("role"))), Text(safe(r.get("team")), style="bold"),
            Text(words.reason(reason)), Text(words.via(via)),
        )  # fmt: skip
    return table if table.row_count else None


def _evidence(last: Alert) -> Table | None:
    """Each symptom with the input record that showed it, and since when; one that has cleared says so."""
    table = _grid("word", "", "word", "dim")
    for s in rows(last, "symptoms"):
        source = mapping(s.get("source"))
        where = f"{safe(source.get('topic'))}[{source.get('partition', 0)}]@{source.get('offset')}" if source else ""
        since = clock(safe(s.get("since"))) + ("" if s.get("active", True) else ", cleared")
        table.add_row(Text(safe(s.get("kind"))), Text(safe(entity(s.get("entity")))), Text(since), Text(where))
    total = last.get("symptoms_total")
    if isinstance(total, int) and total > table.row_count:
        table.add_row(Text(""), Text(f"and {total - table.row_count} more that the record does not carry"))
    return table if table.row_count else None


def _deliveries(found: Sequence[Delivery]) -> Table | None:
    table = _grid("word", "word", "", "dim")
    for d in found:
        closed = "open" if d.closed_at is None else f"{clock(d.opened_at)}–{clock(d.closed_at)}, closed: {d.closed_why}"
        table.add_row(
            Text(safe(d.team), style="bold"), Text(safe(d.urgency)), Text(safe(d.destination)),
            Text(safe(f"{closed}, {d.said} {'record' if d.said == 1 else 'records'}")),
        )  # fmt: skip
    return table if found else None


def _timeline(found: Sequence[Moment]) -> Table | None:
    table = _grid("dim", "word", "")
    for m in found:
        table.add_row(Text(clock(m.at)), Text(safe(m.what)), Text(safe(m.text, 2000)))
    return table if found else None


def clock(at: str) -> str:
    """``2026-11-23T10:02:15.000Z`` → ``10:02:15``."""
    return at[11:19] if len(at) >= 19 else at
