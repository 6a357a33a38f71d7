"""The report in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kroute.local.alerts_view import safe
from kroute.score.summary import Figures, Report, Said, Share, Spread


def render(r: Report) -> Iterator[RenderableType]:
    """Everything that fits a terminal; the confusion matrix and the plots stand on the page."""
    yield Text(f"{safe(r.label)}: {r.recordings} recordings, {r.recorded_hours:.1f} h, {r.overall.faults} faults", style="bold")
    yield _answers(r.overall)
    yield _facts(r)
    yield _ways(r)
    for title, parts in (("platform", r.by_platform), ("missing signals", r.by_missing), ("cause", r.by_cause)):
        if parts:
            yield _parts(title, parts)
    if r.worst:
        yield _worst(r)
    for name, why in (*r.unusable.items(), *r.refused.items()):
        yield Text(f"{safe(name)}: {safe(why)}", style="red")


def percent(s: Share, *, bounds: bool = False) -> str:
    """``93 %``, with its bounds ``93 % (85–97)``; a dash where there is nothing to count."""
    if s.share is None or s.low is None or s.high is None:
        return "–"
    return f"{s.share:.0%}" + (f" ({s.low * 100:.0f}–{s.high * 100:.0f})" if bounds else "")


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def seconds(s: Spread) -> str:
    """``62 s, 90 % in 118 s``."""
    return "–" if s.median is None or s.p90 is None else f"{s.median:.0f} s, 90 % in {s.p90:.0f} s"


def answer_rows(f: Figures) -> list[tuple[str, str, str, str]]:
    """Measure, first record, first page (of those paged), settled."""
    columns = (f.first, f.page, f.settled)

    def row(name: str, pick: str) -> tuple[str, str, str, str]:
        first, page, settled = (percent(getattr(c, pick), bounds=True) for c in columns)
        return name, first, page, settled

    def teams(said: Said) -> str:
        return " / ".join(f"{said.teams_per_role[r]:.1f}" for r in ("impact", "diagnosis", "action"))

    return [
        row("given", "given"),
        row("cause, top 1", "top1"),
        row("cause, top 3", "top3"),
        row("root", "root"),
        row("action owner", "action"),
        row("diagnosis owner", "diagnosis"),
        row("impact owners, all and only", "impact"),
        ("teams told: impact / diagnosis / action", teams(f.first), teams(f.page), teams(f.settled)),
    ]


def fact_rows(r: Report) -> list[tuple[str, str]]:
    """Measure and value, for what has one value per corpus."""
    f, cal, early, false = r.overall, r.settled_calibration, r.first_calibration, r.false
    both, found = percent(r.simultaneous), percent(r.simultaneous_found)
    benign = percent(false.paged_benign_recordings, bounds=True)
    pages = f"{false.pages_on_benign}, {false.pages_beside_faults}, {false.early_pages}"
    grouped = f"{number(r.pair_f1)}, {number(r.bcubed_f1)} ({r.grouping.items} symptoms)"
    return [
        ("faults detected", percent(f.detected, bounds=True)),
        ("incidents per fault", number(f.incidents_per_fault)),
        ("faults split over several incidents", percent(f.split, bounds=True)),
        ("faults merged into another's incident", percent(f.swallowed, bounds=True)),
        ("symptoms grouped: pairwise F1, B-cubed F1", grouped),
        ("two faults at once: apart, both causes right", f"{both}, {found} of {r.simultaneous.of}"),
        ("from onset to the right team", f"{seconds(f.right_route_s)} ({f.right_route_s.count} of {f.faults} faults)"),
        ("from first symptom to the right team", seconds(f.right_route_after_symptom_s)),
        ("benign recordings with a page", f"{benign} of {false.benign_recordings}"),
        ("false pages: benign, beside faults, before onset", pages),
        ("false incidents (with or without a page)", str(false.false_incidents)),
        ("confidence: ECE, Brier (settled)", f"{number(cal.ece, 3)}, {number(cal.brier, 3)} ({cal.count} answers)"),
        ("confidence: ECE, Brier (first)", f"{number(early.ece, 3)}, {number(early.brier, 3)}"),
    ]


def way_rows(r: Report) -> list[tuple[str, ...]]:
    """kroute and the baselines: name, first page right of all faults, of those paged, pages per fault, of them right, false."""
    return [
        (
            name if w.tuned is None else f"{name} (lag > {w.tuned['lag']}, for {w.tuned['for_s']} s)",
            percent(w.first_page_to_action, bounds=True),
            percent(w.first_page_right_of_paged, bounds=True),
            number(w.pages_per_fault),
            percent(w.pages_to_action),
            f"{w.false_pages} ({number(w.false_pages_per_day, 1)} a day)",
        )
        for name, w in r.ways.items()
    ]


def part_rows(parts: dict[str, Figures]) -> list[tuple[str, ...]]:
    """Name, faults, detected, settled top 1, top 3, root, action at first and settled, split, median time."""
    return [
        (
            name,
            str(f.faults),
            percent(f.detected),
            percent(f.settled.top1),
            percent(f.settled.top3),
            percent(f.settled.root),
            percent(f.first.action),
            percent(f.settled.action),
            number(f.incidents_per_fault, 1),
            "–" if f.right_route_s.median is None else f"{f.right_route_s.median:.0f} s",
        )
        for name, f in parts.items()
    ]


ANSWER_HEAD = ("", "first", "first page", "settled")
WAY_HEAD = ("routing", "first page to action owner", "of those paged", "pages/fault", "to action owner", "false pages")
PART_HEAD = ("faults", "seen", "top 1", "top 3", "root", "action first", "action", "inc/fault", "right after")


def _answers(f: Figures) -> Table:
    return _table("Answers, with 95 % bounds", ANSWER_HEAD, answer_rows(f))


def _facts(r: Report) -> Table:
    return _table("", ("", ""), fact_rows(r))


def _ways(r: Report) -> Table:
    return _table("Against what teams have today, tuned on this corpus", WAY_HEAD, way_rows(r))


def _parts(title: str, parts: dict[str, Figures]) -> Table:
    return _table(f"By {title}", (title, *PART_HEAD), part_rows(parts))


def _worst(r: Report) -> Table:
    return _table("Worst", ("recording", "what", "why"), [(w.recording, w.what, w.why) for w in r.worst])


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    t = Table(title=title or None, title_justify="left", title_style="bold", show_header=any(head), box=None, pad_edge=False)
    for i, h in enumerate(head):
        t.add_column(h, justify="left" if i == 0 or h in ("what", "why") else "right", overflow="fold")
    for row in rows:
        t.add_row(*(Text(safe(c, 400)) for c in row))
    return t
