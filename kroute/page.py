"""HTML pages that load nothing: one document with its style, tables, and the frame of plots as inline SVG.

Names on a page come from strangers: each text goes through ``plain``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from kroute.local.alerts_view import safe

MOST = 2000
"""Characters of one cell."""
STYLE = """
:root{color-scheme:light dark;--fg:#1c2430;--mute:#667085;--line:#d9dee7;--bg:#fff;--hit:#1a7f5a;--miss:#b42318;--bar:#3b6fb6}
@media(prefers-color-scheme:dark){:root{--fg:#e6e9ef;--mute:#98a2b3;--line:#333c4a;--bg:#12161d;--hit:#4cc38a;--miss:#f97066;--bar:#7aa7e8}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:2.2rem 0 .6rem}p.note{color:var(--mute);margin:.2rem 0 .8rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th{color:var(--mute);font-weight:500}td:first-child,th:first-child,td.text,th.text{text-align:left}
svg text{fill:var(--fg);font:12px system-ui,sans-serif}svg .mute{fill:var(--mute)}figure{margin:0;overflow-x:auto}
"""


def plain(text: str, most: int = MOST) -> str:
    """A text for a page, without markup, control characters and surrogates, cut to so many characters."""
    return escape(safe(text, most))


def document(title: str, body: str) -> str:
    """The whole page."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{plain(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body>{body}</body></html>\n"
    )


def section(title: str, note: str, content: str) -> str:
    """A heading, a note under it, and what follows."""
    said = f'<p class="note">{plain(note)}</p>' if note else ""
    return f"<section><h2>{plain(title)}</h2>{said}{content}</section>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text: bool = False) -> str:
    """A table; numbers to the right, the first column and ``text`` to the left."""
    cls = ' class="text"' if text else ""
    top = "".join(f"<th{cls}>{plain(h)}</th>" for h in head) if any(head) else ""
    body = "".join("<tr>" + "".join(f"<td{cls}>{plain(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def axes(
    left: int, top: int, width: int, height: int, xs: Sequence[tuple[float, str]], ys: Sequence[tuple[float, str]]
) -> str:  # fmt: skip
    """The frame of a plot with its ticks: (place 0–1, name) on each axis."""
    out = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="var(--line)"/>']
    for v, name in xs:
        out.append(f'<text class="mute" x="{left + v * width:.1f}" y="{top + height + 16}" text-anchor="middle">{name}</text>')
    for v, name in ys:
        y = top + (1 - v) * height
        out.append(f'<text class="mute" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{name}</text>')
        out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="var(--line)" stroke-opacity=".5"/>')
    return "".join(out)


def figure(width: float, height: float, content: str, title: str) -> str:
    """SVG content in its figure."""
    return (
        f'<figure><svg role="img" aria-label="{plain(title)}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">{content}</svg></figure>'
    )
