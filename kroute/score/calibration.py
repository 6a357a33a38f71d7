"""Does confidence mean what it says: reliability table, expected calibration error, Brier score.

ECE: mean of |share right − mean confidence| over the bins, by their size (Naeini et al. 2015). Brier: mean squared
difference between confidence and outcome (0 or 1); 0.25 is what a constant 0.5 gets.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

BINS = 10


class Bin(Struct, frozen=True):
    """Answers with a confidence in ``[low, high)``; the last bin holds 1.0."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean confidence."""
    right: float
    """Share that was right."""


class Calibration(Struct, frozen=True):
    """Reliability of a set of answers; ``ece`` and ``brier`` are None when there are none."""

    count: int
    bins: tuple[Bin, ...]
    ece: float | None
    brier: float | None


def calibration(answers: Sequence[tuple[float, bool]]) -> Calibration:
    """From ``(confidence, was right)``; empty bins are left out."""
    held: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for c, right in answers:
        held[min(int(c * BINS), BINS - 1)].append((c, right))
    bins = tuple(
        Bin(i / BINS, (i + 1) / BINS, len(h), sum(c for c, _ in h) / len(h), sum(r for _, r in h) / len(h))
        for i, h in enumerate(held)
        if h
    )
    n = len(answers)
    if not n:
        return Calibration(0, (), None, None)
    return Calibration(
        n,
        bins,
        sum(b.count * abs(b.right - b.confidence) for b in bins) / n,
        sum((c - right) ** 2 for c, right in answers) / n,
    )
