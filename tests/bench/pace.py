"""How fast the core is just now. On a shared machine the same work takes up to twice as long from one minute to the next,
whatever the clock is (processor time too: a core's other half works for somebody else). A fixed piece of work, run between
what is measured, tells: figures at the pace of its best run can be compared from day to day.
"""

from __future__ import annotations

import statistics
import time


class Pace:
    """Takes the pace beside each measurement. Seconds are of processor time."""

    def __init__(self) -> None:
        self._took: list[float] = []

    def beside(self) -> None:
        """Take the pace once: some 10 ms."""
        began = time.process_time()
        seen: dict[int, int] = {}
        for i in range(40_000):
            seen[i & 4095] = seen.get(i & 4095, 0) + len(str(i))
        self._took.append(time.process_time() - began)

    @property
    def best(self) -> float:
        """Seconds of the fixed work at its fastest."""
        return min(self._took)

    def slower(self, first: int = 0) -> list[float]:
        """How many times slower than at its fastest the core was, by measurement from the ``first`` on."""
        return [t / self.best for t in self._took[first:]]

    def said(self, first: int = 0) -> str:
        """For people."""
        return f"the core was {statistics.median(self.slower(first)):.2f} times as slow as at its best"
