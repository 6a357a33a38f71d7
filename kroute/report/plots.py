"""Plots of the report as SVG text: nothing is loaded, colours follow the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kroute.page import axes, figure, plain
from kroute.report.model import Flood, Told

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TICKS_S = (10, 30, 60, 120, 300, 600, 1800, 3600, 10_800, 43_200, 86_400, 604_800)
MOST_TEAMS = 20


def pages_by_team(teams: Sequence[Told]) -> str:
    """Pages of each team: those acted on, and those that nobody acted on."""
    rows = [t for t in teams if t.pages][:MOST_TEAMS]
    if not rows:
        return "<p>No pages.</p>"
    most, left, width, step = max(t.pages for t in rows), 180, 420, 24
    out: list[str] = []
    for i, t in enumerate(rows):
        y, acted = i * step + 4, t.pages - t.without_action
        a, b = width * acted / most, width * t.without_action / most
        out.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{plain(t.name, 26)}</text>')
        out.append(_bar(left, y, a, 16, "var(--bar)", f"{t.name}: {acted} pages acted on"))
        out.append(_bar(left + a, y, b, 16, "var(--miss)", f"{t.name}: {t.without_action} pages nobody acted on"))
        out.append(f'<text class="mute" x="{left + a + b + 6:.1f}" y="{y + 13}">{t.pages}</text>')
    legend = _legend(left, len(rows) * step + 22, (("var(--bar)", "acted on"), ("var(--miss)", "without action")))
    return figure(left + width + 60, len(rows) * step + 30, "".join(out) + legend, "Pages by team")


def pages_by_day(days: Mapping[str, tuple[int, int]]) -> str:
    """Pages a day, acted on and not."""
    if not days:
        return "<p>No pages.</p>"
    names = sorted(days)
    most = max(a + b for a, b in days.values())
    left, top, height, step = 44, 10, 160, max(6.0, min(40.0, 640 / len(names)))
    width = step * len(names)
    out = []
    for i, day in enumerate(names):
        acted, not_ = days[day]
        x, h, g = left + i * step + 1, height * acted / most, height * not_ / most
        out.append(_bar(x, top + height - h, step - 2, h, "var(--bar)", f"{day}: {acted} acted on"))
        out.append(_bar(x, top + height - h - g, step - 2, g, "var(--miss)", f"{day}: {not_} without action"))
    every = max(1, math.ceil(len(names) / 8))
    xs = [((i + 0.5) / len(names), d[5:]) for i, d in enumerate(names) if i % every == 0]
    ys = [(v, f"{most * v:g}") for v in (0, 0.5, 1)]
    frame = axes(left, top, int(width), height, xs, ys)
    return figure(left + width + 30, top + height + 30, frame + "".join(out), "Pages by day")


def hours(grid: Sequence[Sequence[int]]) -> str:
    """Pages by weekday and hour (UTC): the darker the more."""
    most = max((n for row in grid for n in row), default=0)
    if not most:
        return "<p>No pages.</p>"
    left, top, size = 44, 8, 22
    out = []
    for d, row in enumerate(grid):
        out.append(f'<text class="mute" x="{left - 8}" y="{top + d * size + 15}" text-anchor="end">{DAYS[d]}</text>')
        for h, n in enumerate(row):
            depth = 0.06 + 0.84 * n / most if n else 0
            out.append(
                f'<rect x="{left + h * size}" y="{top + d * size}" width="{size - 1}" height="{size - 1}" fill="var(--bar)" '
                f'fill-opacity="{depth:.2f}" stroke="var(--line)"><title>{DAYS[d]} {h:02d}: {n}</title></rect>'
            )
    out += [f'<text class="mute" x="{left + h * size}" y="{top + 7 * size + 16}">{h:02d}</text>' for h in range(0, 24, 3)]
    return figure(left + 24 * size + 10, top + 7 * size + 24, "".join(out), "Pages by weekday and hour")


def times(acknowledge: Sequence[float], resolve: Sequence[float]) -> str:
    """Share acknowledged and resolved within x seconds; x is logarithmic from 10 s."""
    if not acknowledge and not resolve:
        return "<p>Nothing was acknowledged or resolved.</p>"
    width, height, left, top = 560, 200, 44, 10
    longest = max((*acknowledge, *resolve, 60.0))
    ticks = [t for t in TICKS_S if t <= longest * 3] or [10, 30]
    low, high = math.log(10), math.log(ticks[-1])

    def x(t: float) -> float:
        return left + width * min(1.0, max(0.0, (math.log(max(t, 10.0)) - low) / (high - low)))

    def step(values: Sequence[float], ink: str) -> str:
        points, y = [f"{left},{top + height}"], 0.0
        for n, t in enumerate(sorted(values), 1):
            points.append(f"{x(t):.1f},{top + (1 - y) * height:.1f}")
            y = n / len(values)
            points.append(f"{x(t):.1f},{top + (1 - y) * height:.1f}")
        points.append(f"{left + width},{top + (1 - y) * height:.1f}")
        return f'<polyline points="{" ".join(points)}" fill="none" stroke="{ink}" stroke-width="2"/>' if values else ""

    xs = [((math.log(t) - low) / (high - low), _time(t)) for t in ticks]
    frame = axes(left, top, width, height, xs, [(v / 4, f"{25 * v} %") for v in range(5)])
    legend = _legend(left, top + height + 42, (("var(--bar)", "acknowledged"), ("var(--hit)", "resolved")))
    lines = step(acknowledge, "var(--bar)") + step(resolve, "var(--hit)")
    return figure(left + width + 30, top + height + 52, frame + lines + legend, "Time to acknowledge and to resolve")


def floods(found: Sequence[Flood]) -> str:
    """Minutes of flood by team."""
    rows = found[:MOST_TEAMS]
    if not rows:
        return "<p>No flood.</p>"
    most, left, width, step = max(f.minutes for f in rows), 180, 420, 24
    out = []
    for i, f in enumerate(rows):
        y, w = i * step + 4, width * f.minutes / most
        out.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{plain(f.team, 26)}</text>')
        out.append(_bar(left, y, w, 16, "var(--miss)", f"{f.team}: {f.minutes:g} min, {f.most} in its worst 10 minutes"))
        out.append(f'<text class="mute" x="{left + w + 6:.1f}" y="{y + 13}">{f.minutes:g} min</text>')
    return figure(left + width + 90, len(rows) * step + 10, "".join(out), "Flood minutes by team")


def _bar(x: float, y: float, width: float, height: float, ink: str, title: str) -> str:
    if width <= 0 or height <= 0:
        return ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{ink}">'
        f"<title>{plain(title)}</title></rect>"
    )


def _legend(x: float, y: float, items: Sequence[tuple[str, str]]) -> str:
    out = []
    for i, (ink, name) in enumerate(items):
        at = x + i * 150
        out.append(f'<rect x="{at}" y="{y - 10}" width="11" height="11" fill="{ink}"/><text x="{at + 17}" y="{y}">{name}</text>')
    return "".join(out)


def _time(t: int) -> str:
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if t < limit:
            return f"{t // size} {unit}"
    return f"{t // 86_400} d"
