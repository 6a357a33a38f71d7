"""The report as one HTML page that loads nothing: tables, and plots as inline SVG."""

from __future__ import annotations

from kroute.page import document, plain, section, table
from kroute.score import plots
from kroute.score.summary import Report
from kroute.score.text import ANSWER_HEAD, PART_HEAD, WAY_HEAD, answer_rows, fact_rows, part_rows, way_rows

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
        f"<h1>{plain(r.label)}</h1>",
        f'<p class="note">{r.recordings} recordings, {r.recorded_hours:.1f} h, {r.overall.faults} faults; '
        f"kroute {plain(r.version)}. Shares with their 95 % bounds.</p>",
        section("Answers", _ANSWERS, table(ANSWER_HEAD, answer_rows(r.overall))),
        section("Incidents, time and confidence", "", table(("", ""), fact_rows(r))),
        section("Against what teams have today", _WAYS, table(WAY_HEAD, way_rows(r))),
        section("Is the confidence right?", _CONFIDENCE, plots.reliability(r.settled_calibration)),
        section("Time from onset to the right team", _TIME, plots.time_to_right(r.times_to_right_s, r.overall.faults)),
        section("Causes: true (rows) against settled (columns)", "", plots.confusion(r.confusion)),
    ]
    for title, by in (("platform", r.by_platform), ("missing signals", r.by_missing), ("cause", r.by_cause)):
        if by:
            parts.append(section(f"By {title}", "", table((title, *PART_HEAD), part_rows(by))))
    if r.worst:
        rows = [(w.recording, w.what, w.why) for w in r.worst]
        parts.append(section("Worst", "", table(("recording", "what", "why"), rows, text=True)))
    broken = [*r.unusable.items(), *r.refused.items()]
    if broken:
        parts.append(section("Recordings with bad records", "", table(("recording", "why"), broken, text=True)))
    return document(f"kroute score: {r.label}", "\n".join(parts))
