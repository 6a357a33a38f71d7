"""How improbable is it that nothing came for so long? Judged by the rate just before, and by how that was falling.

Records that come one by one, at a rate that is known from ``k`` of them only, are absent for a time in which Λ were
expected with the probability (1 + Λ/k)^−k: e^−Λ where the rate is known well, far more where it is not. A rate that was
falling goes on falling as it did, exponentially, so that a topic that goes to sleep with its users is no stop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_RECORDS = 100
"""So many of the newest records tell the rate: its trend cannot be told from fewer."""
LEAST_STEPS = 8
NEVER = math.log(1e-6)
"""A silence less probable than this is a stop. Where the rate is known well, some fourteen records are missing then."""


def log_chance(steps: Sequence[tuple[float, float]], quiet_s: float) -> float:
    """Logarithm of the probability of ``quiet_s`` without a record after ``steps``: (seconds, records) each, newest last."""
    records = span = 0.0
    first = len(steps)
    while first and (records < LEAST_RECORDS or len(steps) - first < LEAST_STEPS):
        first -= 1
        span += steps[first][0]
        records += steps[first][1]
    if records <= 0.0 or span <= 0.0:
        return 0.0
    older = _within(steps[first:], span / 2)
    newer = records - older
    if newer <= 0.0:
        return 0.0
    fall = max(0.0, math.log(older / newer) / (span / 2)) if older > 0.0 else 0.0
    rate = newer / (span / 2) * math.exp(-fall * span / 4)  # at the end of the newer half, not in its middle
    expected = rate * (-math.expm1(-fall * quiet_s) / fall if fall > 0.0 else quiet_s)
    return -records * math.log1p(expected / records)


def _within(steps: Sequence[tuple[float, float]], seconds: float) -> float:
    """Records of the first ``seconds``."""
    out = 0.0
    for took, came in steps:
        share = min(1.0, seconds / took) if took > 0.0 else 1.0
        out += came * share
        seconds -= took
        if seconds <= 0.0:
            break
    return out
