"""History of log end offsets of one topic: when was the log end at this offset?

64 points, the newest ``DENSE`` as they were polled, older ones thinned geometrically back to over a week, so that
"three hours behind" can be told as well as "ten seconds behind". Times are shared by the topic's partitions: 4 bytes
per point and partition. Interpolating time lag from end offsets: as kafka-lag-exporter does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

POINTS = 64
DENSE = 20
"""This many newest points are never thinned."""
KEEP_MS = 8 * 86_400_000
UNKNOWN = -1
HOLE = -(2**31)
"""An unknown end as it is kept."""
LARGEST = 2**31 - 1

EXACT, ESTIMATE, AT_LEAST = 0, 1, 2
BOUNDS = ("exact", "estimate", "at-least")


class EndHistory:
    """Points (time in ms, log end offset per partition id), oldest first.

    Memory: 64 × 4 bytes per partition: ends are kept as differences from the first end known of their partition; where
    one is too large for that (two thousand million records within the history), the topic's take 8 bytes each.
    """

    __slots__ = ("_first", "_kept", "_wide", "holes", "n", "slots", "t")

    def __init__(self, width: int) -> None:
        self.n = 0
        self.t: list[int] = []
        self._wide = False
        self._first: Ints = np.full(width, UNKNOWN, np.int64)
        self._kept: npt.NDArray[np.int32] | Ints = np.full((0, width), HOLE, np.int32)
        self.slots: list[int] = []
        """Row number under which each point is stored; a point that is dropped hands its number on."""
        self.holes = False

    @property
    def width(self) -> int:
        """Partition ids 0 … width − 1 have a column."""
        return len(self._first)

    def row(self, i: int) -> Ints:
        """Log ends of one point, -1 unknown. Not to be written to."""
        return self._told(self._kept[i], self._first)

    def rows(self, first: int, last: int) -> Ints:
        """Log ends of the points ``first`` … ``last`` − 1, points × partitions, -1 unknown. Not to be written to."""
        return self._told(self._kept[first:last], self._first)

    def _told(self, kept: npt.NDArray[Any], first: Ints) -> Ints:
        if self._wide:
            return kept
        ends: Ints = kept + first
        if self.holes:
            ends[kept == HOLE] = UNKNOWN
        return ends

    def fill(self, i: int, ids: Ints, ends: Ints) -> None:
        """Ends of some partitions of a point, where they were unknown."""
        row = self.row(i).copy()
        row[ids] = ends
        self._keep(i, row)

    def _keep(self, i: int, ends: Ints) -> None:
        if not self._wide:
            first = self._first
            if (self.holes or self.n <= 1) and np.count_nonzero(first < 0):
                fresh = (first < 0) & (ends >= 0)
                first[fresh] = ends[fresh]
            kept = ends - first
            unknown = ends < 0 if self.holes else None
            if unknown is not None:
                kept[unknown] = 0
            if not len(ends) or (np.maximum.reduce(kept) < LARGEST and np.minimum.reduce(kept) > -LARGEST):
                self._kept[i] = kept
                if unknown is not None:
                    self._kept[i, unknown] = HOLE
                return
            full = np.full(self._kept.shape, UNKNOWN, np.int64)
            full[: self.n] = self.rows(0, self.n)
            self._kept, self._wide = full, True
        self._kept[i] = ends

    def _grow(self, points: int, width: int) -> None:
        grown = np.full((points, width), UNKNOWN if self._wide else HOLE, self._kept.dtype)
        grown[: self.n, : self.width] = self._kept[: self.n]
        self._kept = grown

    def widen(self, width: int) -> None:
        """Make room for more partitions."""
        if width > self.width:
            self._grow(len(self._kept), width)
            self._first = np.concatenate([self._first, np.full(width - self.width, UNKNOWN, np.int64)])
            self.holes = self.holes or self.n > 0

    def add(self, t: int, ends: Ints) -> int:
        """Put a point (full width, -1 unknown) in its sorted place; returns the slot it is stored under."""
        if self.n == POINTS:
            slot = self._drop(self._least_useful())
        else:
            slot = self.n
            if self.n == len(self._kept):  # grows as points come: a short-lived topic stays small
                self._grow(min(POINTS, max(8, 2 * self.n)), self.width)
        i = self.n
        while i and self.t[i - 1] > t:
            i -= 1
        if i < self.n:
            self._kept[i + 1 : self.n + 1] = self._kept[i : self.n].copy()
        self.t.insert(i, t)
        self.slots.insert(i, slot)
        self.n += 1
        if not self.holes and len(ends) and int(np.minimum.reduce(ends)) < 0:
            self.holes = True
        self._keep(i, ends)
        return slot

    def load(self, points: list[tuple[int, int, Ints]], holes: bool) -> None:
        """Take stored points (time, slot, ends) in order of time into an empty history."""
        self.widen(max(len(ends) for _, _, ends in points))
        self.holes = True  # until all are in
        self._grow(len(points), self.width)
        for t, slot, ends in points:
            row = np.full(self.width, UNKNOWN, np.int64)
            row[: len(ends)] = ends
            self.t.append(t)
            self.slots.append(slot)
            self.n += 1
            self._keep(self.n - 1, row)
        self.holes = holes

    def _least_useful(self) -> int:
        """The point whose loss leaves the smallest gap in proportion to its age; the oldest when it is past keeping."""
        t = self.t
        now = t[-1]
        if now - t[1] > KEEP_MS:
            return 0
        worth = [(after - before) / (now - at) for before, at, after in zip(t, t[1 : self.n - DENSE], t[2:], strict=False)]
        return worth.index(min(worth)) + 1

    def _drop(self, i: int) -> int:
        self._kept[i : self.n - 1] = self._kept[i + 1 : self.n].copy()
        self.n -= 1
        del self.t[i]
        return self.slots.pop(i)

    def restart(self, partitions: npt.NDArray[np.bool_]) -> None:
        """Forget the past of these partitions: the topic was deleted and made again, its offsets start anew."""
        self._kept[: self.n, partitions] = UNKNOWN if self._wide else HOLE
        self._first[partitions] = UNKNOWN
        self.holes = True

    def seconds_behind(self, ids: Ints, committed: Ints, end: Ints, now_ms: int) -> tuple[Floats, Ints]:
        """Seconds since the log end passed ``committed``, and how sure: ``EXACT``, ``ESTIMATE``, ``AT_LEAST``.

        ``ids`` (ascending), ``committed`` and ``end`` (the log end at ``now_ms``) are parallel. A committed offset older than the
        history is extrapolated with the history's own mean rate (``ESTIMATE``); where there is no rate to
        extrapolate with, the history's age is the bound (``AT_LEAST``). Never NaN, never a silent cap.
        """
        k = len(ids)
        out = np.zeros(k, np.float64)
        bound = np.full(k, EXACT, np.int64)
        n = self.n
        while n and self.t[n - 1] >= now_ms:  # points after the question do not count
            n -= 1
        behind = committed < end
        if not np.count_nonzero(behind):
            return out, bound
        if n and not self.holes and int(ids[-1]) < self.width:
            last = self._told(self._kept[n - 1, ids], self._first[ids])
            if not np.count_nonzero(last > committed):  # passed since the newest point: most groups, most of the time
                t = self.t[n - 1]
                share = (committed - last + 0.5) / np.maximum(end - last, 1)
                np.multiply(now_ms - t - np.minimum(share, 1.0) * (now_ms - t), behind / 1000.0, out=out)
                return out, bound
        skip = max(0, n - 4)  # most groups stand within the newest points; the rest of the history need not be searched
        if not skip or self.holes or int(ids[-1]) >= self.width or np.count_nonzero(self.row(skip)[ids] > committed):
            skip = 0
        times = np.array([*self.t[skip:n], now_ms], np.int64)
        n -= skip
        table = np.full((n + 1, k), UNKNOWN, np.int64)
        if int(ids[-1]) < self.width:
            table[:n] = self.rows(skip, skip + n)[:, ids]
        else:
            inside = ids < self.width
            table[:n, inside] = self.rows(0, n)[:, ids[inside]]
        table[n] = end
        if self.holes:
            table = np.maximum.accumulate(table, axis=0)
        cols = np.arange(k)
        known = table >= 0
        first = np.argmax(known, axis=0)
        passed = ((table <= committed) & known).sum(axis=0)
        lo = np.minimum(first + np.maximum(passed - 1, 0), n)
        hi = np.minimum(lo + 1, n)
        e0, e1 = table[lo, cols], table[hi, cols]
        t0, t1 = times[lo], times[hi]
        share = (committed - e0 + 0.5) / np.maximum(e1 - e0, 1)
        exact = (now_ms - (t0 + np.clip(share, 0.0, 1.0) * (t1 - t0))) / 1000.0
        old = behind & (passed == 0)
        out[behind] = np.maximum(exact, 0.0)[behind]
        if np.count_nonzero(old):
            age = (now_ms - times[first]) / 1000.0
            grown = end - table[first, cols]
            rate = np.divide(grown, age, out=np.zeros(k), where=age > 0)
            more = np.divide(table[first, cols] - committed, rate, out=np.zeros(k), where=rate > 0)
            out[old] = (age + more)[old]
            bound[old] = np.where(rate > 0, ESTIMATE, AT_LEAST)[old]
        return out, bound
