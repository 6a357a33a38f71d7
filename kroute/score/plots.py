"""Plots as SVG text: nothing is loaded, colours follow the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kroute.page import axes, figure, plain
from kroute.score.calibration import Calibration


def reliability(c: Calibration) -> str:
    """Mean confidence (x) against share right (y); a dot per bin, its area the number of answers."""
    if not c.count:
        return "<p>No answers.</p>"
    side, left, top = 260, 44, 10
    most = max(b.count for b in c.bins)
    dots = "".join(
        f'<circle cx="{left + b.confidence * side:.1f}" cy="{top + (1 - b.right) * side:.1f}" '
        f'r="{3 + 11 * math.sqrt(b.count / most):.1f}" fill="var(--bar)" fill-opacity=".65">'
        f"<title>{b.low:.1f}–{b.high:.1f}: confidence {b.confidence:.2f}, right {b.right:.2f}, {b.count} answers</title></circle>"
        for b in c.bins
    )
    line = f'<line x1="{left}" y1="{top + side}" x2="{left + side}" y2="{top}" stroke="var(--mute)" stroke-dasharray="4 4"/>'
    frame = axes(left, top, side, side, [(v / 5, f"{v / 5:.1f}") for v in range(6)], [(v / 5, f"{v / 5:.1f}") for v in range(6)])
    names = (
        f'<text class="mute" x="{left + side / 2}" y="{top + side + 34}" text-anchor="middle">confidence</text>'
        f'<text class="mute" x="12" y="{top + side / 2}" text-anchor="middle" transform="rotate(-90 12 {top + side / 2})">'
        "share right</text>"
    )
    return figure(left + side + 24, top + side + 42, frame + line + dots + names, "Reliability of confidence")


def time_to_right(times_s: Sequence[float], faults: int) -> str:
    """Share of all faults (y) whose action owner was told within x seconds; x is logarithmic from 10 s."""
    if not times_s or not faults:
        return "<p>No fault was routed to its action owner.</p>"
    width, height, left, top = 560, 220, 44, 10
    ticks = [t for t in (10, 30, 60, 120, 300, 600, 1800, 3600, 10_800) if t <= max(60.0, times_s[-1]) * 3]
    low, high = math.log(10), math.log(ticks[-1])

    def x(t: float) -> float:
        return left + width * min(1.0, max(0.0, (math.log(max(t, 10.0)) - low) / (high - low)))

    points, y = [f"{left},{top + height}"], 0.0
    for n, t in enumerate(sorted(times_s), 1):
        points.append(f"{x(t):.1f},{top + (1 - y) * height:.1f}")
        y = n / faults
        points.append(f"{x(t):.1f},{top + (1 - y) * height:.1f}")
    points.append(f"{left + width},{top + (1 - y) * height:.1f}")
    step = f'<polyline points="{" ".join(points)}" fill="none" stroke="var(--bar)" stroke-width="2"/>'
    xs = [((math.log(t) - low) / (high - low), f"{t} s" if t < 120 else f"{t // 60} min") for t in ticks]
    return figure(
        left + width + 30, top + height + 30,
        axes(left, top, width, height, xs, [(v / 4, f"{25 * v} %") for v in range(5)]) + step, "Time to the right team",
    )  # fmt: skip


def confusion(cells: Mapping[str, Mapping[str, int]]) -> str:
    """True cause (rows) against settled cause (columns); the diagonal in green, the rest in red, darker the more."""
    if not cells:
        return "<p>No faults.</p>"
    rows = sorted(cells, key=lambda c: (c.startswith("("), c))
    columns = sorted({*rows, *(k for r in cells.values() for k in r)}, key=lambda c: (c.startswith("("), c))
    columns = [c for c in columns if any(c in cells[r] for r in rows)]
    size, left, top = 22, 190, 160
    out: list[str] = []
    for j, c in enumerate(columns):
        cx = left + (j + 0.5) * size + 4
        out.append(f'<text x="{cx}" y="{top - 8}" transform="rotate(-60 {cx} {top - 8})">{plain(c, 40)}</text>')
    for i, r in enumerate(rows):
        total = sum(cells[r].values())
        y = top + i * size
        out.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{plain(r, 40)}</text>')
        for j, c in enumerate(columns):
            n = cells[r].get(c, 0)
            cx = left + j * size
            out.append(f'<rect x="{cx}" y="{y}" width="{size}" height="{size}" fill="none" stroke="var(--line)"/>')
            if n:
                ink = "var(--hit)" if r == c else "var(--miss)"
                depth = 0.15 + 0.6 * n / total
                out.append(
                    f'<rect x="{cx}" y="{y}" width="{size}" height="{size}" fill="{ink}" fill-opacity="{depth:.2f}">'
                    f"<title>{plain(r)} said as {plain(c)}: {n} of {total}</title></rect>"
                    f'<text x="{cx + size / 2}" y="{y + 15}" text-anchor="middle">{n}</text>'
                )
    return figure(left + len(columns) * size + 110, top + len(rows) * size + 10, "".join(out), "Confusion matrix of causes")
