"""The figures of a corpus: overall, by cause, by platform, by share of missing signals; baselines; what went worst.

This is what ``kroute score --json`` writes. Shares come with their count and a 95 % interval (Wilson), because a small
corpus proves little. Times are seconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import quantiles

from msgspec import Struct

from kroute.score import baselines
from kroute.score.baselines import Pages
from kroute.score.calibration import Calibration, calibration
from kroute.score.grouping import Grouping
from kroute.score.measure import Answer, FaultScore, Measured
from kroute.score.run import Scored
from kroute.score.thresholds import TUNINGS
from kroute.score.worst import Worst, worst

NONE, NO_FAULT = "(nothing said)", "(no fault)"
MISSING: tuple[tuple[str, float], ...] = (("none", 0.0), ("up to 25 %", 0.25), ("up to 50 %", 0.5), ("more", 1.0))
"""Classes of the share of missing signals, by their upper bound."""


class Share(Struct, frozen=True):
    """``right`` of ``of``; ``low`` and ``high`` bound the true share with 95 % confidence. None where ``of`` is 0."""

    right: int
    of: int
    share: float | None
    low: float | None
    high: float | None


class Spread(Struct, frozen=True):
    """Seconds: how many, their median, 90th percentile and largest."""

    count: int
    median: float | None
    p90: float | None
    largest: float | None


class Said(Struct, frozen=True):
    """How right one answer (first, first page, or settled) was, over all faults that the truth names an owner for."""

    given: Share
    top1: Share
    top3: Share
    root: Share
    impact: Share
    diagnosis: Share
    action: Share
    teams_per_role: dict[str, float]
    """Mean number of teams told in each role where an answer was given: above 1, a right role is worth less."""


class Figures(Struct, frozen=True):
    """The figures of some faults."""

    faults: int
    detected: Share
    first: Said
    page: Said
    settled: Said
    incidents_per_fault: float | None
    split: Share
    """Faults with more than one incident left standing."""
    swallowed: Share
    """Faults that another fault's incident took in: merges."""
    pages_per_fault: float | None
    first_page_to_action: Share
    right_route_s: Spread
    """From the onset to the first record that tells the action owner."""
    right_route_after_symptom_s: Spread


class Way(Struct, frozen=True):
    """One way of routing on the same recordings. ``tuned``: the thresholds chosen; None for kroute."""

    first_page_to_action: Share
    first_page_right_of_paged: Share
    pages_per_fault: float | None
    pages_to_action: Share
    false_pages: int
    false_pages_per_day: float | None
    tuned: dict[str, int] | None


class FalsePages(Struct, frozen=True):
    """Pages where the truth has no fault. ``by_what``: false incidents by what harmless thing was going on."""

    benign_recordings: int
    paged_benign_recordings: Share
    pages_on_benign: int
    pages_beside_faults: int
    early_pages: int
    false_incidents: int
    by_what: dict[str, int]
    by_cause: dict[str, int]


class Report(Struct, frozen=True, kw_only=True):
    """Everything."""

    label: str
    version: str
    recordings: int
    unusable: dict[str, str]
    """Recording → why it could not be used."""
    refused: dict[str, str]
    """Recording → how many of its records were dead letters, and why the first."""
    recorded_hours: float
    overall: Figures
    by_cause: dict[str, Figures]
    by_platform: dict[str, Figures]
    by_missing: dict[str, Figures]
    pair_f1: float | None
    bcubed_f1: float | None
    bcubed_precision: float | None
    bcubed_recall: float | None
    grouping: Grouping
    simultaneous: Share
    """Pairs of faults at the same time that both got an incident of their own."""
    simultaneous_found: Share
    """And the right cause of both."""
    false: FalsePages
    settled_calibration: Calibration
    first_calibration: Calibration
    confusion: dict[str, dict[str, int]]
    """True cause → settled cause → count."""
    times_to_right_s: tuple[float, ...]
    ways: dict[str, Way]
    worst: tuple[Worst, ...]
    faults: tuple[FaultScore, ...]


def summarize(scored: Sequence[Scored], label: str, version: str, most: int = 25) -> Report:
    """Sum a corpus up; ``most``: how many of the worst faults are listed."""
    usable = [s for s in scored if s.measured is not None]
    measured = [s.measured for s in usable if s.measured is not None]
    faults = [f for m in measured for f in m.faults]
    total = Grouping()
    for m in measured:
        total.add(m.grouping)
    pairs = [p for m in measured for p in m.pairs]
    items = total.items
    return Report(
        label=label,
        version=version,
        recordings=len(scored),
        unusable={s.recording: s.error for s in scored if s.error is not None},
        refused={s.recording: f"{s.refused}, the first: {s.refused_why}" for s in usable if s.refused},
        recorded_hours=math.fsum(s.spans_s for s in usable) / 3600,
        overall=figures(faults),
        by_cause=_by(faults, lambda f: f.cause),
        by_platform=_by(faults, lambda f: f.platform),
        by_missing={k: v for k, v in ((k, _by(faults, _missing).get(k)) for k, _ in MISSING) if v is not None},
        pair_f1=total.pair_f1,
        bcubed_f1=total.bcubed_f1,
        bcubed_precision=total.precision_sum / items if items else None,
        bcubed_recall=total.recall_sum / items if items else None,
        grouping=total,
        simultaneous=share([p.apart for p in pairs]),
        simultaneous_found=share([p.found for p in pairs]),
        false=_false(usable, measured),
        settled_calibration=calibration([a for m in measured for a in m.settled_answers]),
        first_calibration=calibration([a for m in measured for a in m.first_answers]),
        confusion=_confusion(faults, measured),
        times_to_right_s=tuple(sorted(f.right_route_ms / 1000 for f in faults if f.right_route_ms is not None)),
        ways=_ways(usable, faults, measured),
        worst=worst(usable, most),
        faults=tuple(faults),
    )


def figures(faults: Sequence[FaultScore]) -> Figures:
    """Figures of any set of faults."""
    found = [f for f in faults if f.incidents]
    times = [(f.right_route_ms, f.first_symptom_ms) for f in faults if f.right_route_ms is not None]
    return Figures(
        faults=len(faults),
        detected=share([f.incidents > 0 for f in faults]),
        first=_said(faults, lambda f: f.first),
        page=_said([f for f in faults if f.page is not None], lambda f: f.page),
        settled=_said(faults, lambda f: f.settled),
        incidents_per_fault=_mean([f.incidents for f in faults]),
        split=share([f.standing > 1 for f in found]),
        swallowed=share([f.swallowed for f in faults]),
        pages_per_fault=_mean([f.pages for f in faults]),
        first_page_to_action=share([f.first_page_to_action for f in faults]),
        right_route_s=spread([t / 1000 for t, _ in times]),
        right_route_after_symptom_s=spread([max(0, t - s) / 1000 for t, s in times if s is not None]),
    )


def share(right: Iterable[bool]) -> Share:
    """Wilson's score interval, z = 1.96."""
    all_ = list(right)
    n, k = len(all_), sum(all_)
    if not n:
        return Share(0, 0, None, None, None)
    z2, p = 1.96**2, k / n
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = 1.96 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Share(k, n, p, max(0.0, middle - half), min(1.0, middle + half))


def spread(values: Sequence[float]) -> Spread:
    """Median and 90th percentile (inclusive)."""
    if not values:
        return Spread(0, None, None, None)
    cuts = quantiles(values, n=10, method="inclusive") if len(values) > 1 else [values[0]] * 9
    return Spread(len(values), cuts[4], cuts[8], max(values))


def _said(faults: Sequence[FaultScore], pick: Callable[[FaultScore], Answer | None]) -> Said:
    given = [(f, pick(f)) for f in faults]
    there = [a for _, a in given if a is not None]
    return Said(
        given=share([a is not None for _, a in given]),
        top1=share([a is not None and a.cause_right for _, a in given]),
        top3=share([a is not None and a.cause_in_3 for _, a in given]),
        root=share([a is not None and a.root_right for _, a in given]),
        impact=share([a is not None and a.impact is True for f, a in given if f.owners["impact"]]),
        diagnosis=share([a is not None and a.diagnosis is True for f, a in given if f.owners["diagnosis"]]),
        action=share([a is not None and a.action is True for f, a in given if f.owners["action"]]),
        teams_per_role={r: _mean([len(a.named.get(r, ())) for a in there]) or 0.0 for r in ("impact", "diagnosis", "action")},
    )


def _by(faults: Sequence[FaultScore], key: Callable[[FaultScore], str]) -> dict[str, Figures]:
    held: dict[str, list[FaultScore]] = {}
    for f in faults:
        held.setdefault(key(f), []).append(f)
    return {k: figures(held[k]) for k in sorted(held)}


def _missing(f: FaultScore) -> str:
    return next(name for name, high in MISSING if f.missing <= high)


def _false(usable: Sequence[Scored], measured: Sequence[Measured]) -> FalsePages:
    benign = [m for m in measured if not m.faults]
    false = [i for m in measured for i in m.false]
    return FalsePages(
        benign_recordings=len(benign),
        paged_benign_recordings=share([any(i.pages for i in m.false) for m in benign]),
        pages_on_benign=sum(i.pages for m in benign for i in m.false),
        pages_beside_faults=sum(i.pages for m in measured if m.faults for i in m.false),
        early_pages=sum(m.early_pages for m in measured),
        false_incidents=len(false),
        by_what=dict(sorted(Counter(w for i in false for w in (i.during or ("nothing",))).items())),
        by_cause=dict(sorted(Counter(i.cause for i in false).items())),
    )


def _confusion(faults: Sequence[FaultScore], measured: Sequence[Measured]) -> dict[str, dict[str, int]]:
    cells = Counter((f.cause, f.settled.cause if f.settled is not None else NONE) for f in faults)
    cells.update((NO_FAULT, i.cause) for m in measured for i in m.false)
    out: dict[str, dict[str, int]] = {}
    for (true, said), n in sorted(cells.items()):
        out.setdefault(true, {})[said] = n
    return out


def _ways(usable: Sequence[Scored], faults: Sequence[FaultScore], measured: Sequence[Measured]) -> dict[str, Way]:
    days = math.fsum(s.spans_s for s in usable) / 86_400
    kroute = Pages(
        faults=len(faults),
        paged=sum(f.page is not None for f in faults),
        first_right=sum(f.first_page_to_action for f in faults),
        pages=sum(f.pages for f in faults),
        pages_right=sum(f.pages_to_action for f in faults),
        false_pages=sum(i.pages for m in measured for i in m.false) + sum(m.early_pages for m in measured),
    )
    out = {"kroute": _way(kroute, days, None)}
    for name in baselines.BASELINES:
        sums = [Pages() for _ in TUNINGS]
        for s in usable:
            for total, one in zip(sums, s.baselines[name], strict=True):
                total.add(one)
        tuning, pages = baselines.best(sums)
        out[name] = _way(pages, days, {"lag": tuning.lag, "for_s": tuning.for_ms // 1000})
    return out


def _way(p: Pages, days: float, tuned: dict[str, int] | None) -> Way:
    return Way(
        first_page_to_action=share(_ones(p.first_right, p.faults)),
        first_page_right_of_paged=share(_ones(p.first_right, p.paged)),
        pages_per_fault=p.pages / p.faults if p.faults else None,
        pages_to_action=share(_ones(p.pages_right, p.pages)),
        false_pages=p.false_pages,
        false_pages_per_day=p.false_pages / days if days else None,
        tuned=tuned,
    )


def _ones(right: int, of: int) -> list[bool]:
    return [True] * right + [False] * (of - right)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
