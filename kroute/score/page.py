"""The report as one HTML page that loads nothing: tables, and plots as inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from kroute.score import plots
from kroute.score.summary import Report
from kroute.score.text import ANSWER_HEAD, PART_HEAD, WAY_HEAD, answer_rows, fact_rows, part_rows, way_rows

_STYLE = """
:root{color-scheme:light dark;--fg:#1c2430;--mute:#667085;--line:#d9dee7;--bg:#fff;--hit:#1a7f5a;--miss:#b42318;--bar:#3b6fb6}
@media(prefers-color-scheme:dark){:root{--fg:#e6e9ef;--mute:#98a2b3;--line:#333c4a;--bg:#12161d;--hit:#4cc38a;--miss:#f97066;--bar:#7aa7e8}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:2.2rem 0 .6rem}p.note{color:var(--mute);margin:.2rem 0 .8rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th{color:var(--mute);font-weight:500}td:first-child,th:first-child,td.text,th.text{text-align:left}
svg text{fill:var(--fg);font:12px system-ui,sans-serif}svg .mute{fill:var(--mute)}figure{margin:0;overflow-x:auto}
"""
_ANSWERS = (
    "What the first record, the first page and the settled answer said of each fault. A fault of which nothing was said is "
    "wrong in all; the page column counts faults that were paged."
)
_WAYS = "Static thresholds on the same recordings; lag limit and duration tuned on this very corpus, which favours them."
_CONFIDENCE = (
    "Confidence of the settled answer against the share that was right (cause and root); a dot's area is its number of "
    "answers. On the line: calibrated."
)
_TIME = "Share of all faults whose action owner had been told by then."


def page(r: Report) -> str:
    """The whole page."""
    parts = [
        f"<h1>{escape(r.label)}</h1>",
        f'<p class="note">{r.recordings} recordings, {r.recorded_hours:.1f} h, {r.overall.faults} faults; '
        f"kroute {escape(r.version)}. Shares with their 95 % bounds.</p>",
        _section("Answers", _ANSWERS, _table(ANSWER_HEAD, answer_rows(r.overall))),
        _section("Incidents, time and confidence", "", _table(("", ""), fact_rows(r))),
        _section("Against what teams have today", _WAYS, _table(WAY_HEAD, way_rows(r))),
        _section("Is the confidence right?", _CONFIDENCE, plots.reliability(r.settled_calibration)),
        _section("Time from onset to the right team", _TIME, plots.time_to_right(r.times_to_right_s, r.overall.faults)),
        _section("Causes: true (rows) against settled (columns)", "", plots.confusion(r.confusion)),
    ]
    for title, by in (("platform", r.by_platform), ("missing signals", r.by_missing), ("cause", r.by_cause)):
        if by:
            parts.append(_section(f"By {title}", "", _table((title, *PART_HEAD), part_rows(by))))
    if r.worst:
        rows = [(w.recording, w.what, w.why) for w in r.worst]
        parts.append(_section("Worst", "", _table(("recording", "what", "why"), rows, text=True)))
    broken = [*r.unusable.items(), *r.refused.items()]
    if broken:
        parts.append(_section("Recordings with bad records", "", _table(("recording", "why"), broken, text=True)))
    title = escape(f"kroute score: {r.label}")
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>\n'
        f"<body>{body}</body></html>\n"
    )


def _section(title: str, note: str, content: str) -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{content}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text: bool = False) -> str:
    cls = ' class="text"' if text else ""
    top = "".join(f"<th{cls}>{escape(h)}</th>" for h in head) if any(head) else ""
    body = "".join("<tr>" + "".join(f"<td{cls}>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
