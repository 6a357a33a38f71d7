"""Durations and rates as people write them: ``90s``, ``20m30s``, ``0.02/week``."""

from __future__ import annotations

import re

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
WEEK_S = 604_800
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_PER = {"hour": 3600, "day": 86_400, "week": WEEK_S, "month": 30 * 86_400, "year": 365 * 86_400}


def seconds(text: str) -> float:
    """``1m30s`` → 90.0.

    Raises:
        ValueError: not a duration.
    """
    total, at = 0.0, 0
    for m in _PART.finditer(text):
        if m.start() != at:
            break
        total += float(m.group(1)) * (0.001 if m.group(2) == "ms" else UNITS_S[m.group(2)])
        at = m.end()
    if at != len(text) or not text:
        raise ValueError(f"{text!r} is not a duration; write 90s, 20m or 1h30m")
    return total


def occupancy(rate: str, lasts: str) -> float:
    """Probability that a cause is there at any moment: its rate times how long it lasts.

    Raises:
        ValueError: not a rate (``0.02/week``), or an occupancy outside 0–0.5.
    """
    number, slash, word = rate.partition("/")
    if not slash or word not in _PER:
        raise ValueError(f"{rate!r} is not a rate; write 0.02/week")
    value = float(number) * seconds(lasts) / _PER[word]
    if not 0 < value <= 0.5:
        raise ValueError(f"{rate} lasting {lasts} is an occupancy of {value:g}; it must lie above 0 and up to 0.5")
    return value
