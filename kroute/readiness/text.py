"""The matrix in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kroute.local.alerts_view import safe
from kroute.readiness.model import AREAS, Row

_STYLE = {"pass": "green", "gap": "bold red", "unknown": "yellow"}


def render(cluster: str, rows: Sequence[Row]) -> Iterator[RenderableType]:
    """One table per area, and the count of each state."""
    for area, title in AREAS.items():
        mine = [r for r in rows if r.area == area]
        if not mine:
            continue
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True, min_width=18)
        table.add_column(no_wrap=True, min_width=7)
        table.add_column(overflow="fold")
        for r in mine:
            said = Text(r.question + "\n", style="dim").append(safe(r.evidence, 2000), style="not dim")
            if r.advice:
                said.append(f"\n→ {r.advice}", style="not dim italic")
            table.add_row(Text(r.id), Text(r.state, style=_STYLE[r.state]), said)
        yield table
        yield Text()
    counts = {s: sum(r.state == s for r in rows) for s in _STYLE}
    yield Text(f"{safe(cluster)}: {counts['pass']} pass, {counts['gap']} gaps, {counts['unknown']} unknown, of {len(rows)}")
