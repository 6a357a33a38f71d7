"""Ways out: what people wrote and others named, shown in a terminal and as a page. Names must stay names there."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Any

import msgspec
import orjson
from rich.console import Console, RenderableType

from kroute.contracts.alerts import Alert, RoutedAlert
from kroute.errors import BadFile
from kroute.report.measure import measure
from kroute.report.page import page
from kroute.report.source import Past
from kroute.report.text import render
from kroute.score import baselines, told, truth
from kroute.score.measure import measure as measure_faults
from kroute.score.page import page as score_page
from kroute.score.run import Scored
from kroute.score.summary import summarize
from kroute.score.text import render as render_scores
from kroute.score.thresholds import TUNINGS
from tests.fuzz.target import Target
from tests.unit.report.world import T0, alert, route

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


def _shown(page: str, terminal: Iterable[RenderableType], in_terminal: int = 1) -> None:
    """A page and what is printed hold text alone: no element or character of somebody else's.

    ``in_terminal``: of so many pages one is printed too, which takes ten times as long.
    """
    look = Looking()
    look.feed(page)
    look.close()
    page.encode()
    assert page.replace("\n", "").isprintable(), "control characters in a page"
    if len(page) % in_terminal:
        return
    out = io.StringIO()
    console = Console(file=out, width=120, highlight=False)
    for part in terminal:
        console.print(part)
    assert out.getvalue().replace("\n", "").isprintable(), "control characters in a terminal"


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
    _shown(page(found), render(found))
    return bool(past.alerts)


def _one_alert(value: bytes) -> Alert | None:
    """An alert as the engine could give it: with times and a confidence that are such."""
    try:
        made = msgspec.json.decode(value, type=RoutedAlert)
        if not all(0 <= c <= 1 for c in (made.cause.confidence, *(a.confidence for a in made.cause.alternatives))):
            return None
        found = Alert(made.incident, value, (), told.at_ms(made.updated_at))
        told.incidents([found])
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return None
    return found


def _score(data: bytes) -> bool:
    """A corpus: names of files as bytes, what is true of each recording, what the engine said of it, what it refused."""
    try:
        corpus = msgspec.json.decode(data, type=list[dict[str, msgspec.Raw]])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    scored: list[Scored] = []
    label = "empty"
    for one in corpus:
        file = bytes(one.get("file", b'"x"')).strip(b'"').replace(b"\\u00", b"\xff")
        label = name = truth.name_of(os.fsdecode(file))
        try:
            true = truth.read(f"{name}{truth.SUFFIX}", bytes(one.get("truth", b"null")))
        except BadFile as e:
            scored.append(Scored(recording=name, platform="", benign=(), spans_s=0, error=str(e)))
            continue
        try:
            said = [_one_alert(a) for a in msgspec.json.decode(one.get("alerts", b"[]"), type=list[msgspec.Raw])]
        except msgspec.MsgspecError:
            said = []
        alerts = sorted((a for a in said if a is not None), key=lambda a: a.ts_ms)
        scored.append(
            Scored(
                recording=name, platform=true.platform, benign=tuple(b.what for b in true.benign), spans_s=true.ends_ms / 1000,
                measured=measure_faults(name, told.incidents(alerts), true, [true.missing or 0.0] * len(true.faults)),
                baselines={b: (baselines.Pages(),) * len(TUNINGS) for b in baselines.BASELINES},
                refused=1, refused_why=bytes(one.get("why", b"")).decode("utf-8", "replace"),
            )
        )  # fmt: skip
    report = summarize(scored, label, "1.0", 5)
    msgspec.json.encode(report)
    _shown(score_page(report), render_scores(report), 16)
    return any(s.measured is not None for s in scored)


def _corpus() -> list[dict[str, Any]]:
    """Two recordings: a fault that is found, one that is not, and harmless things."""
    minute = 60_000
    checkout = {"kind": "group", "name": "checkout"}
    fault = {
        "cause": "slow-consumer", "root": checkout, "cluster": "prod", "from_ms": T0 - minute, "to_ms": T0 + 40 * minute,
        "owners": {"diagnosis": "payments", "action": "payments", "impact": ["payments"]},
        "affected": [{"kind": "topic", "name": "orders"}],
    }  # fmt: skip
    timed = {"started_ms": T0 - 10 * minute, "ends_ms": T0 + 120 * minute}
    missed = {**fault, "cause": "broker-down", "root": {"kind": "broker", "name": "1"}}
    benign = {"what": "planned-replay", "from_ms": T0, "to_ms": T0 + 5 * minute}
    symptom = {"kind": "lag-seconds", "entity": checkout, "since": "2026-11-23T09:50:00Z", "value": 9.5, "why": "behind"}
    said = [{**a, "symptoms": [symptom]} for a in PAYMENTS]
    return [
        {
            "file": "one",
            "truth": {**timed, "platform": "kafka", "seed": 1, "faults": [fault, missed]},
            "alerts": said,
            "why": "x",
        },
        {"file": "two", "truth": {**timed, "platform": "automq", "benign": [benign], "missing": 0.2}, "alerts": ORDERS},
    ]


def targets() -> list[Target]:
    """All of them."""
    documents: tuple[Any, ...] = (PAYMENTS, ORDERS, PAYMENTS + ORDERS)
    return [Target("report", "json", documents, _report, 0.05), Target("score", "json", (_corpus(),), _score, 0.05)]
