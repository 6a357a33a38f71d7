"""Ways out: what people wrote and others named, shown in a terminal and as a page. Names must stay names there."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from typing import Any

import orjson
from rich.console import Console

from kroute.report.measure import measure
from kroute.report.page import page
from kroute.report.source import Past
from kroute.report.text import render
from tests.fuzz.target import Target
from tests.unit.report.world import alert, route

PAYMENTS = [
    alert("inc-1", 1, 0, "opened", [route("payments"), route("platform", "ticket", role="diagnosis")], impact=[]),
    alert("inc-1", 2, 5, "acknowledged", [route("payments")], by="ann"),
    alert("inc-1", 3, 30, "resolved", [route("payments", do="resolve")]),
]
ORDERS = [
    alert("inc-2", 1, 60, "opened", [route("orders", reason="cause-uncertain")], cause="sink-failed"),
    alert("inc-2", 2, 90, "merged", [route("orders", do="resolve")], superseded_by="inc-1"),
]
TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "section", "p", "table", "thead", "tbody", "tr", "th", "td",
    "svg", "g", "rect", "path", "text", "tspan", "line", "circle", "polyline", "figure", "figcaption", "div", "span", "b", "code",
}  # fmt: skip


class Looking(HTMLParser):
    """Fails on what a page of kroute never has: a script, a handler of events, anything that is fetched."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, f"an element {tag!r}"
        for name, value in attrs:
            assert not name.startswith("on"), f"a handler {name!r}"
            assert name not in ("src", "href", "action", "xlink:href"), f"{name}={value!r}"


def _report(data: bytes) -> bool:
    """Records as a recording or a topic may hold them, whoever wrote them; those that are no alerts are left out."""
    past = Past()
    try:
        records = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    for record in records if isinstance(records, list) else []:
        past.take_alert(orjson.dumps(record))
    found = measure(past, None, None)
    shown = page(found)
    look = Looking()
    look.feed(shown)
    look.close()
    assert all(c.isprintable() or c == "\n" for c in shown), "control characters in a page"
    out = io.StringIO()
    console = Console(file=out, width=120, highlight=False)
    for part in render(found):
        console.print(part)
    assert all(c.isprintable() or c == "\n" for c in out.getvalue()), "control characters in a terminal"
    return bool(past.alerts)


def targets() -> list[Target]:
    """All of them."""
    documents: tuple[Any, ...] = (PAYMENTS, ORDERS, PAYMENTS + ORDERS)
    return [Target("report", "json", documents, _report, 0.05)]
