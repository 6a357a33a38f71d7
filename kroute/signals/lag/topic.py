"""One topic of one cluster, seen through the polls of all groups that read it. Rules L20–L23, L25."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from kroute.signals.history import DENSE, UNKNOWN, EndHistory, Ints
from kroute.signals.lag.baseline import Baseline
from kroute.signals.lag.ring import STEP_MS
from kroute.signals.lag.verdict import CAP, Found, Verdict, number, span
from kroute.signals.silence import NEVER, log_chance

FOLD = 8
"""A point this many places from the newest is taken into the baselines, unless a symptom is active."""
DAY_MS = 86_400_000
REST_MS = 15 * DAY_MS
"""What is to be a habit must have shown within two weeks."""
REST_SLACK_MS = 1_800_000
MOST_RESTS = 16
HOT, HOT_UNKNOWN = 3.0, 5.0
"""Times its siblings' median: a partition that is hot, where the topic's usual skew is known and where it is not."""
HOT_AT_ALL = 0.7 * HOT
HOT_UNKNOWN_MS = 180_000
"""Where its usual skew is not known, over so long: without keys producers write to one partition for a minute, then another."""
MIN_RECORDS = 100
"""Fewer records than this in the window say nothing about skew."""
SURGE = 1.5
"""Times its usual rate at least: a topic of which far more is written."""
SURGE_FAR = 2.0
"""Times what would be a surge: a flood, which who reads it was not made for."""
SURGE_POLLS = 2
SURGE_USUAL_MS = 7_200_000
"""What has lasted for so long is what is usual now."""


class TopicHead(msgspec.Struct, array_like=True):
    """A topic's scalars, stored with its newest point. ``moved_ms``: first poll that saw the present log ends."""

    seq: int = 0
    interval_ms: int = 0
    first_ms: int = 0
    moved_ms: int = 0
    total: int = -1
    gap_ms: int = 0
    """Learnt: the longest usual time without a record, falling slowly."""
    folded_ms: int = 0
    folded_moved_ms: int = 0
    holes: bool = False
    rate: Baseline = msgspec.field(default_factory=Baseline)
    skew: Baseline = msgspec.field(default_factory=Baseline)
    active: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    stuck: dict[int, tuple[int, int, int, int]] = msgspec.field(default_factory=dict)
    """Partition → (last stable offset, since when, log end then, polls): only where the end is above it."""
    rests: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """Silences that were told as a stop, or were usual, and ended by themselves: from when to when."""
    link: str = ""
    """The migration link whose groups read it, or did until they went."""


class TopicWindow:
    """Ends of one topic and what was made of them."""

    __slots__ = ("head", "history", "touched")

    def __init__(self) -> None:
        self.history = EndHistory(0)
        self.head = TopicHead()
        self.touched: list[int] = []
        """Slots to be written after ``offer``."""

    def has(self, t: int, interval_ms: int, width: int) -> bool:
        """True when some group's poll of this step of time is here already, of all partitions: another one adds nothing."""
        hist = self.history
        if hist.holes or not hist.n or width > hist.width:
            return False
        step = max(STEP_MS, interval_ms * 4 // 5)
        return t >= hist.t[-1] and hist.t[-1] // step == t // step

    def offer(self, t: int, interval_ms: int, ids: Ints, ends: Ints, stable: Ints, gaps: bool) -> bool:
        """A group's poll of some partitions; -1 where unknown. True when a point was added at the newest end.

        One point per poll interval whichever group brings it: the first of each step of time, filled up by others.
        """
        h, hist = self.head, self.history
        step = max(STEP_MS, interval_ms * 4 // 5)
        i = hist.n
        while i and hist.t[i - 1] > t:
            i -= 1
        place = t // step
        same = i - 1 if i and hist.t[i - 1] // step == place else i if i < hist.n and hist.t[i] // step == place else None
        if same is None and i < hist.n and hist.t[-1] - t > 60_000:
            return False
        width = int(ids[-1]) + 1 if len(ids) else 0
        if width > hist.width:
            hist.widen(width)
        if same is not None:
            if hist.holes:
                self._fill(same, ids, ends)
            if self.touched:
                h.interval_ms = interval_ms
            return False
        h.interval_ms = interval_ms
        row = ends
        if len(ids) != hist.width:
            row = np.full(hist.width, UNKNOWN, np.int64)
            row[ids] = ends
        newest = i == hist.n
        if newest and hist.n:
            last = hist.row(hist.n - 1)
            if np.count_nonzero(row < last):
                fell = (row >= 0) & (row < last - np.maximum(1_000, last // 10))
                if fell.any():
                    hist.restart(fell)
                    self.touched = list(hist.slots)
        self.touched.append(hist.add(t, row))
        if gaps or h.stuck:
            self._stability(t, ids, ends, stable)
        return newest

    def _fill(self, j: int, ids: Ints, ends: Ints) -> None:
        missing = self.history.row(j)[ids] < 0
        if missing.any():
            self.history.fill(j, ids[missing], ends[missing])
            self.touched.append(self.history.slots[j])

    def _stability(self, t: int, ids: Ints, ends: Ints, stable: Ints) -> None:
        """Where the last stable offset stands below the end: since when, in whatever order the polls come."""
        stuck = self.head.stuck
        newest = t == self.history.t[-1]
        for p, e, s in zip(ids.tolist(), ends.tolist(), stable.tolist(), strict=True):
            old = stuck.get(p)
            if e > s >= 0 and (old is None or old[0] != s):
                if newest:
                    stuck[p] = (s, t, e, 1)
            elif old is not None and s == old[0] and e > s:
                stuck[p] = (s, min(t, old[1]), e if t < old[1] else old[2], old[3] + 1)
            elif old is not None and newest and e >= 0:
                del stuck[p]

    def judge(self, t: int, data_age_objective_s: float | None, period_s: float | None = None, *, left: bool = False) -> Verdict:
        """Say L20–L23 and L25 at the newest point. ``period_s``: it is written no more often than this, as a row states.
        ``left``: its producers go to another cluster, so silence means nothing."""
        h, hist = self.head, self.history
        out = Verdict(h.active)
        first = 0 if hist.holes else max(0, hist.n - DENSE)  # no rule looks further back before it would fire
        e = self._ends(first)
        h.first_ms = min(h.first_ms or t, hist.t[0])
        b = max(0, hist.n - 7)
        while not h.skew.known and b > first and t - hist.t[b] < HOT_UNKNOWN_MS:
            b -= 1
        then = e[b - first]
        seconds = max((t - hist.t[b]) / 1000.0, 0.001)
        before = h.moved_ms
        self._moves(t, e)
        if (
            before
            and h.moved_ms == t
            and ("produce-stopped" in h.active or (t - before > REST_SLACK_MS and self._rests(t, before)))
        ):
            h.rests = [*[r for r in h.rests if t - r[1] < REST_MS][1 - MOST_RESTS :], (before, t)]
        if not left:
            self._produce_stopped(t, period_s, out)
        self._surge(t, e, first, out)
        self._hot(e[-1] - then, then > 0, seconds, out)
        self._stable_stuck(t, e[-1], out)
        if not left:
            self._stale(t, data_age_objective_s, out)
        out.finish(t)
        h.active = out.active
        self._fold(e)
        return out

    def _ends(self, first: int) -> npt.NDArray[Any]:
        """Log ends from this point on; one that is not known at a point is as it was before."""
        e = self.history.rows(first, self.history.n)
        return np.maximum.accumulate(np.maximum(e, UNKNOWN), axis=0) if self.history.holes else e

    def _moves(self, t: int, e: npt.NDArray[Any]) -> None:
        """When did the present ends first show? Found in the dense part of the history, so a late poll counts too."""
        h, hist = self.head, self.history
        if not hist.holes and hist.n >= 2:
            total = int(np.add.reduce(e[-1]))
            if total != int(np.add.reduce(e[-2])):
                h.moved_ms, h.total = t, total
                return
        b = max(0, hist.n - DENSE)
        totals: list[int] = np.maximum(e[b - hist.n :], 0).sum(axis=1).tolist()
        i = len(totals) - 1
        while i and totals[i - 1] == totals[-1]:
            i -= 1
        if i or h.total != totals[-1]:
            h.moved_ms = hist.t[b + i]
        h.total = totals[-1]

    def _produce_stopped(self, t: int, period_s: float | None, out: Verdict) -> None:
        """L20: nothing was appended for far longer than the topic's longest usual gap, and so many records are missing,
        by the rate just before and its fall, that it is no chance. Quiet topics never, nor hours that are always quiet."""
        h = self.head
        quiet = t - h.moved_ms
        seen = max(3 * h.interval_ms, 2 * h.gap_ms + h.interval_ms) - h.interval_ms // 4  # no two polls are as far apart
        limit = max(seen, int((period_s or 0.0) * 1250))
        fires = h.rate.known and h.rate.mid > 0.0 and quiet >= limit
        if fires and "produce-stopped" not in h.active:
            fires = not self._rests(t, h.moved_ms) and log_chance(self._steps(), quiet / 1000.0) < NEVER

        def l20() -> Found:
            why = f"no record for {span(quiet / 1000.0)}, usual is {number(h.rate.mid)}/s"
            return Found(h.moved_ms, quiet / 1000.0, why, {})

        out.say("produce-stopped", fires, fires, l20)

    def _steps(self) -> list[tuple[float, float]]:
        """(seconds, records) from point to point, up to the one at which the present log ends first showed."""
        hist, e = self.history, self._ends(0)
        last = next(i for i in range(hist.n - 1, -1, -1) if hist.t[i] <= self.head.moved_ms or i == 0)
        came = e[1 : last + 1] - e[:last]
        if hist.holes:
            came = np.where(e[:last] >= 0, came, 0)
        records: list[int] = came.sum(axis=1).tolist()
        return [((hist.t[i + 1] - hist.t[i]) / 1000.0, float(r)) for i, r in enumerate(records)]

    def _rests(self, t: int, from_ms: int) -> bool:
        """True when the silence from ``from_ms`` to ``t`` lies in hours at which it was silent on two earlier days at least."""
        days = {d for a, b in self.head.rests if (d := round((from_ms - a) / DAY_MS)) > 0 and _covers(a, b, d, from_ms, t)}
        return len(days) >= 2

    def _hot(self, made: npt.NDArray[Any], in_use: npt.NDArray[np.bool_], seconds: float, out: Verdict) -> None:
        """L21: one partition takes twice the share that is usual for this topic, and three times its siblings' median; five
        times while nothing is known to be usual. One that had no record until lately is no sibling."""
        delta = made[in_use]
        if len(delta) < 2 or self.history.n < 4 or (not self.head.skew.known and 1000.0 * seconds < HOT_UNKNOWN_MS):
            return
        if int(np.maximum.reduce(delta)) < HOT_AT_ALL * int(np.minimum.reduce(delta)) or int(np.add.reduce(delta)) < MIN_RECORDS:
            return
        top = int(np.flatnonzero(in_use)[delta.argmax()])
        ratio, median = _ratio(delta)
        least = max(HOT, 2.0 * self.head.skew.usual_most()) if self.head.skew.known else HOT_UNKNOWN

        def l21() -> Found:
            rate, others = float(made[top]) / seconds, median / seconds
            why = f"partition {top} takes {number(rate)}/s, its siblings {number(others)}/s"
            return Found(self.history.t[max(0, self.history.n - 4)], ratio, why, {"partitions": [top]})

        out.say("partition-hot", ratio >= least, ratio >= 0.7 * least, l21)

    def _surge(self, t: int, e: npt.NDArray[Any], first: int, out: Verdict) -> None:
        """L25: in two polls in a row far more was written than ever is. What was not written before and is written now is none:
        over the last points it must have become more, too."""
        h, hist = self.head, self.history
        if not h.rate.known or h.rate.mid <= 0.0 or len(e) <= SURGE_POLLS:
            return
        least = max(SURGE * h.rate.mid, h.rate.usual_most())
        if "produce-surge" not in h.active and _made(e[-2], e[-1]) * 1000.0 <= least * (t - hist.t[-2]):
            return
        rates = [_made(a, b) * 1000.0 / max(1, hist.t[n + 1] - hist.t[n]) for n, (a, b) in enumerate(pairwise(e), first)]
        newest = rates[-SURGE_POLLS:]
        lately, over = hist.t[-1] - hist.t[-1 - SURGE_POLLS], hist.t[-1] - hist.t[first]
        made = _made(e[-1 - SURGE_POLLS], e[-1])
        more, in_all = made - h.rate.mid * lately / 1000.0, _made(e[0], e[-1]) - h.rate.mid * over / 1000.0
        fires = min(newest) > least and in_all >= more / 2 and made >= MIN_RECORDS
        since = hist.t[-1 - next((n for n, r in enumerate(reversed(rates)) if r <= least), len(rates))]

        def l25() -> Found:
            why = f"{number(newest[-1])}/s are written for {span((t - since) / 1000.0)}, usual is {number(h.rate.mid)}/s"
            return Found(since, newest[-1], why, {"far": "yes"} if min(newest) > SURGE_FAR * least else {})

        out.say("produce-surge", fires, max(newest) > least, l25)

    def _stable_stuck(self, t: int, end: npt.NDArray[Any], out: Verdict) -> None:
        """L22: the last stable offset stands still while the end grows: a transaction that does not end."""
        h = self.head
        if not h.stuck and "stable-end-stuck" not in out.was:
            return
        need = max(3 * h.interval_ms, 30_000) - h.interval_ms // 4
        held = [
            p
            for p, (_, since, e, n) in sorted(h.stuck.items())
            if n >= 3 and t - since >= need and p < len(end) and int(end[p]) > e
        ]

        def l22() -> Found:
            if not held:
                return Found(t, 0.0, "the last stable offset moves again", {})
            since = min(h.stuck[p][1] for p in held)
            above = sum(int(end[p]) - h.stuck[p][0] for p in held)
            fixed = span((t - since) / 1000.0)
            why = f"last stable offset fixed for {fixed} on {len(held)} partitions, {number(above)} records above it"
            return Found(since, float(above), why, {"partitions": held[:CAP], "offset": h.stuck[held[0]][0]})

        out.say("stable-end-stuck", bool(held), bool(held), l22)

    def _stale(self, t: int, objective_s: float | None, out: Verdict) -> None:
        """L23: no record for longer than the topic's objective allows."""
        if objective_s is None:
            return
        age = (t - self.head.moved_ms) / 1000.0

        def l23() -> Found:
            why = f"newest record is {span(age)} old, objective {span(objective_s)}"
            return Found(self.head.moved_ms + int(objective_s * 1000), age, why, {"objective_s": objective_s})

        out.say("data-stale", age > objective_s, age > 0.9 * objective_s, l23)

    def _fold(self, e: npt.NDArray[Any]) -> None:
        """Take a settled point into the baselines, unless a symptom is active: trouble is not usual."""
        h, hist = self.head, self.history
        i = hist.n - 1 - FOLD
        if i < 1 or hist.t[i] <= h.folded_ms or "produce-stopped" in h.active:
            return
        if "produce-surge" in h.active and hist.t[-1] - h.active["produce-surge"][0] < SURGE_USUAL_MS:
            return
        h.folded_ms = hist.t[i]
        seconds = max(0.001, (hist.t[i] - hist.t[i - 1]) / 1000.0)
        at, before = e[i - hist.n], e[i - 1 - hist.n]
        moved = at - before
        step = float(np.add.reduce(moved[before >= 0] if hist.holes else moved)) / seconds
        if step > 0.0:
            h.rate.add(step)
            gap = hist.t[i] - (h.folded_moved_ms or hist.t[i - 1])
            if gap < REST_SLACK_MS or not h.rests or h.rests[-1][1] != hist.t[i]:  # a rest says nothing of gaps at work
                h.gap_ms = max(gap, int(h.gap_ms * 0.99))
            h.folded_moved_ms = hist.t[i]
        if "partition-hot" in h.active:
            return
        old = e[max(0, i - 6) - hist.n]
        delta = (at - old)[old > 0]
        if len(delta) >= 2 and int(np.add.reduce(delta)) >= MIN_RECORDS:
            h.skew.add(_ratio(delta)[0])


def _made(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> float:
    """Records between two points, of the partitions that are known at both."""
    return float(np.add.reduce(np.where(before >= 0, after - before, 0)))


def _covers(began_ms: int, ended_ms: int, days: int, from_ms: int, t: int) -> bool:
    """True when a rest, so many days later, would hold the time from ``from_ms`` to ``t``, give or take half an hour."""
    later = days * DAY_MS
    return began_ms + later - REST_SLACK_MS <= from_ms and t <= ended_ms + later + REST_SLACK_MS


def _ratio(delta: npt.NDArray[Any]) -> tuple[float, float]:
    """The busiest partition against the median of its siblings, and that median; ratios are capped at 100."""
    s: list[int] = sorted(delta.tolist())
    rest = len(s) - 1
    median = (s[rest // 2] + s[(rest - 1) // 2]) / 2.0
    return s[-1] / max(median, 1.0, 0.01 * s[-1]), median
