"""What is usual for one series: a decayed median and median absolute deviation, in three numbers.

Values are fed in small batches that are some polls old. The batch's median moves the estimate by the batch's share of
the memory, so a batch with a few wild values moves it little, and a symptom is judged (and freezes the estimate) before
its first values would be fed. The rule: own median and MAD first, the field's threshold while there are too few samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ENOUGH = 20
"""Under this many samples the field's thresholds hold."""
MEMORY = 2880
"""Samples over which old ones fade: a day at 30 s."""
SIGMAS = 6.0
"""So many standard deviations from the median are no scatter."""
SIGMA = 1.4826
"""Standard deviations per MAD of a normal distribution."""
WEEK_HOURS = 168
ILL_MS = 90_000
"""Of a series without a usual that was beyond the field's threshold from its first poll on, or whose entity is ill in another
way, one sample in this time counts towards ``ENOUGH``: after 20 to 30 minutes what it always was is its usual; who begins to
look in the middle of a trouble has the time to tell it."""
FREEZE_MAX_MS = 86_400_000
"""A symptom freezes the baselines of its entity for a day at most: then what it shows is the new usual."""


class Base(NamedTuple):
    """``n`` samples seen (capped at ``MEMORY``), their median and MAD in the unit of the series."""

    n: int = 0
    median: float = 0.0
    mad: float = 0.0

    @property
    def enough(self) -> bool:
        """True when the estimate may be used."""
        return self.n >= ENOUGH

    @property
    def sigma(self) -> float:
        """Robust standard deviation."""
        return SIGMA * self.mad

    @property
    def p90(self) -> float:
        """Ninetieth percentile, were the series normal."""
        return self.median + 1.2816 * self.sigma

    def limit(self, floor: float, ratio: float) -> float:
        """Above this a value is not usual: above the floor, so many times the median, and outside its scatter."""
        return max(floor, ratio * self.median, self.median + SIGMAS * self.sigma)

    def fed(self, batch: Sequence[float], worth: int | None = None) -> Base:
        """The estimate after one more batch of values, which counts for ``worth`` samples where that is given."""
        if not batch:
            return self
        k = len(batch) if worth is None else worth
        mid = median(batch)
        if self.n == 0:
            return Base(k, mid, median([abs(v - mid) for v in batch]))
        share = k / (self.n + k)
        centre = self.median + share * (mid - self.median)
        spread = self.mad + share * (median([abs(v - centre) for v in batch]) - self.mad)
        return Base(min(self.n + k, MEMORY), centre, spread)


def median(values: Sequence[float]) -> float:
    """The middle value; the mean of the two middle ones of an even number. Raises IndexError when empty."""
    v = sorted(values)
    half = len(v) // 2
    return v[half] if len(v) % 2 else (v[half - 1] + v[half]) / 2


def hour_of_week(at_ms: int) -> int:
    """0–167 in UTC, from Thursday 00:00 (the epoch's weekday)."""
    return at_ms // 3_600_000 % WEEK_HOURS
