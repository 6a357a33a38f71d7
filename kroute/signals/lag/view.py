"""What the rules look at: the window as it stood at one poll, reduced to the partitions that count, with its sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kroute.signals.lag.baseline import Baseline
from kroute.signals.lag.ring import ABSENT, UNSEEN, Bools, Carry, Ints, Poll, Ring

MARKER = 1
"""A remainder this small that does not grow while nothing is produced is a transaction marker, not lag."""
NOISE, FEW = 3.5, 9.0
"""A rise of so many times the spread of its steps is no noise (one of thousands is), and of more where the spread is known from
few steps: about the quantile of Student's t for 0.9997 from five steps on."""
UNLEARNT_RISE = 1.5
UNLEARNT_MS = 65 * 60_000
"""Until a group's commit period is known, silence of commits is judged only past the commonest schedule, an hour."""
ENOUGH_PERIODS = 4
"""Of so many commit periods in the window the lowest lags are compared."""
LEARNT_MOVES = 3
"""Polls that showed a group working, or with nothing left to do, before its pace is judged."""
NEW_MOVES, FIRST_PAUSE = 10, 3
"""Who was seen so in fewer polls than this may come now and then, and have been seen at the end of its work: its first pause may
last so many times as long."""
STEADY_MOVES, SILENT_MS = 20, 50_000
"""Who was seen working in so many polls, and in no two of them not, has stopped when two pass and this long."""
SELDOM = 4
"""Who commits less often than every so many polls comes now and then."""
CLIMB_POLLS = 8
YOUNG = 4
"""A rise is told within so many polls."""
READ_UNCOMMITTED = 2


@dataclass(slots=True)
class Usual:
    """A group's own baselines: seconds behind, produce and read rate (records/s), member changes, remote share."""

    behind: Baseline = field(default_factory=Baseline)
    rate: Baseline = field(default_factory=Baseline)
    read: Baseline = field(default_factory=Baseline)
    churn: Baseline = field(default_factory=Baseline)
    remote: Baseline = field(default_factory=Baseline)

    def pack(self) -> list[Baseline]:
        """As stored in a row."""
        return [self.behind, self.rate, self.read, self.churn, self.remote]


@dataclass(slots=True)
class View:
    """One group's window at one poll. Arrays are polls × counted partitions; lists are per poll, oldest first."""

    polls: list[Poll]
    was: Carry
    usual: Usual
    cols: Ints
    committed: Ints
    end: Ints
    """What the group can read up to: the last stable offset, or the log end for a read_uncommitted group."""
    lag: Ints
    work: list[int]
    read: list[int]
    """Sum of committed offsets."""
    made: list[int]
    """Sum of ends."""
    step_ms: int
    isolation: int
    at_stable: int
    period_ms: int
    """What is taken for the commit period: a stated schedule, else learnt, else 0."""
    scheduled: bool
    rate: float
    """Records produced per second over the newest polls; likewise what was committed."""
    read_rate: float
    inside: bool = False
    """True where no commit of the window is below the present log start; False where that is not known."""
    n: int = 0
    """Polls in the window."""
    t: int = 0
    """Time of the judged poll, ms."""
    step_s: float = 0.0
    """Seconds between polls."""
    tooth: int = 1
    """Polls that one commit period covers: lag jumps by that much production without meaning anything."""
    floor: int = 0
    """Lowest work lag of the newest two polls (or commit period): what a commit in between does not explain."""
    behind_s: float = 0.0
    """Seconds of production that the floor is worth; infinite where nothing is produced."""
    usual_s: float = 0.0
    """Seconds behind that mean nothing for this group: its own usual, else what one commit period and jitter make."""
    far: bool = False
    """Behind by more than is usual and than one jitter of a poll."""

    def __post_init__(self) -> None:
        step, period = self.step_ms, self.period_ms
        self.n, self.t, self.step_s = len(self.polls), self.polls[-1].t, step / 1000.0
        teeth = self.was.period_ms / step - 0.25
        if teeth > 1.0:
            self.tooth = min(7, math.ceil(teeth))
        self.floor = min(self.work[-1 - self.tooth :])
        if self.floor > 0:
            self.behind_s = self.floor / self.rate if self.rate > 0 else math.inf
        jump = max(period, step) / 1000.0
        if self.usual.behind.known:
            own = self.usual.behind.usual_most()
            self.usual_s = max(own, jump + step / 1000.0) if period > 7 * step else own
        else:
            self.usual_s = jump + step / 2000.0
        jitter = step / 4000.0
        self.far = self.floor >= 5 and self.behind_s > self.usual_s + (0.0 if self._climbs(jitter) else jitter)

    def _climbs(self, jitter_s: float) -> bool:
        """True where both the newest polls are further behind than any of the window before, and the newest far beyond what is
        usual: twice in a row that is no jitter."""
        w = self.work
        if self.tooth > 1 or self.n < CLIMB_POLLS or not self.usual.behind.known or not w[-1] > w[-2] > max(w[:-2]):
            return False
        return w[-1] > (self.usual_s + 2.0 * jitter_s) * self.rate

    def begun_ms(self) -> int:
        """Since when the group's lag rises: the newest poll at which it was what it is anyway, at most half of what it is now."""
        behind = self.usual.behind
        usual = (behind.mid + 2.0 * behind.mad) * self.rate if behind.known else 0.0
        return self.before_rise(self.work, min(int(usual), self.work[-1] // 2))

    def before_rise(self, lags: Sequence[int], usual: int = 0) -> int:
        """Time of the newest poll before this lag (one number a poll) began to rise: at which it was ``usual`` at most.

        Where a group commits in every other poll or less often, its lag is healthy up to what commits leave mostly: of the lows
        before the newest commit periods three in four are no higher. So it is for others with the lags of some polls ago, up to
        half of the newest: the lowest of a lag that goes up and down may lie far back.
        """
        level = max(self.level(lags), usual)
        if self.tooth > 1:
            before = lags[: -self.tooth - 1]
            lows = sorted(b for a, b, c in zip(before, before[1:], before[2:], strict=False) if a >= b <= c)
            level = max([level, *lows[: 3 * len(lows) // 4 + 1]])
        elif len(lags) > 2 * YOUNG:
            before = sorted(lags[:-YOUNG])
            level = max(level, min(before[3 * len(before) // 4], lags[-1] // 2))
        return next(p.t for p, w in zip(reversed(self.polls), reversed(lags), strict=True) if w <= level)

    @staticmethod
    def level(lags: Sequence[int]) -> int:
        """Up to which a lag has not begun to rise to its newest value: within a tenth of the rise above the lowest of the
        window. The lowest itself may lie far back, for the lag of the healthy is noise."""
        low = min(lags)
        return low + (lags[-1] - low) // 10

    def seconds(self, polls: int) -> float:
        """Time that the newest ``polls`` gaps span."""
        first = self.n - 1 - polls
        return (self.t - self.polls[max(0, first)].t) / 1000.0

    def produced(self, polls: int) -> int:
        """Records appended over the newest ``polls`` gaps."""
        return self.made[-1] - self.made[max(0, self.n - 1 - polls)]

    def committed_records(self, polls: int) -> int:
        """Records committed over the newest ``polls`` gaps."""
        return self.read[-1] - self.read[max(0, self.n - 1 - polls)]

    def slope(self, points: int) -> float:
        """Least-squares slope of work lag over the newest ``points`` polls, records per second."""
        k = min(points, self.n)
        xs = [(p.t - self.t) / 1000.0 for p in self.polls[-k:]]
        ys = self.work[-k:]
        mx, my = sum(xs) / k, sum(ys) / k
        sxx = math.fsum((x - mx) ** 2 for x in xs)
        return math.fsum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / sxx if sxx > 0 else 0.0

    def stands_out(self, lags: Any) -> Any:
        """True where a lag (points, or points × partitions) rose by more than it goes up and down anyway.

        Who is always behind by minutes is so by more and by less; the sum of its steps is then no larger than each of them.
        Where commits are seen in few polls, points one commit period apart are compared, and the lowest of each period: where
        commits and polls are out of step a point may be of any phase. Whose usual is not known yet may well be behind since
        long before it was first seen: it has to get half as far again.
        """
        out = self._rose(lags[::-1][:: self.tooth][::-1])
        period = self.commit_polls
        if period > 1 and (periods := len(lags) // period) >= ENOUGH_PERIODS:
            out = out | self._rose(lags[-periods * period :].reshape(periods, period, *lags.shape[1:]).min(axis=1))
        return out

    def _rose(self, lags: Any) -> Any:
        few = len(lags) - 2
        if few < 2:
            return np.ones(np.shape(lags)[1:], np.bool_)
        steps = np.diff(lags, axis=0)
        rose = np.maximum(lags[-1] - lags[-4], lags[-1] - lags[0])
        # By the median deviation, which some steps of a rise that has just begun do not widen; of few steps it may be too small.
        middle = np.median(np.abs(steps - np.median(steps, axis=0)), axis=0)
        spread = np.maximum(1.4826 * middle, 0.9 * np.std(steps, axis=0, ddof=1))
        out = rose > NOISE * (1 + FEW / few**1.5) * spread
        return out if self.usual.behind.known else out & (lags[-1] > UNLEARNT_RISE * np.min(lags, axis=0))

    @property
    def seldom(self) -> bool:
        """True for a group that comes now and then: its commits are further apart than some polls."""
        return self.period_ms > SELDOM * self.step_ms

    @property
    def commit_polls(self) -> int:
        """Polls that hold a commit, however commits and polls fall."""
        return 1 if self.tooth == 1 else self.tooth + 1

    def whole_periods(self) -> tuple[int, int]:
        """The first and the last poll (positions) of two whole commit periods, four gaps at least.

        Where commits are seen in few polls, they are polls at which one was seen: what gathered since the newest commit says
        nothing of how much is read.
        """
        if self.tooth == 1:
            return max(0, self.n - 5), self.n - 1
        moved = self.moves()
        last = moved[-1] if moved else self.n - 1
        return max((i for i in moved if i <= last - max(4, 2 * self.tooth)), default=0), last

    def moves(self) -> list[int]:
        """Polls (positions) at which a commit was seen."""
        return [i for i in range(1, self.n) if self.read[i] > self.read[i - 1]]

    def low_before(self, lags: Any) -> Any:
        """The lowest lag (of points, or points × partitions) of the commit period before the newest poll."""
        return np.min(lags[-1 - self.commit_polls : -1], axis=0)

    @property
    def silence_limit_ms(self) -> int:
        """Commits that stay away for longer than this while records wait are missed."""
        limit = int(1.25 * self.period_ms + 1.5 * self.step_ms)
        if self.was.moves >= STEADY_MOVES and not self.scheduled and self.period_ms < 1.5 * self.step_ms:
            limit = min(limit, max(limit - self.step_ms, SILENT_MS))
        if self.scheduled or self.was.moves >= NEW_MOVES:
            return limit
        if self.was.moves < LEARNT_MOVES:
            return UNLEARNT_MS
        return max(limit, FIRST_PAUSE * self.was.moves * self.step_ms)


def lows(values: Sequence[float], period: int) -> list[float]:
    """The lowest of each period of so many polls, the newest first."""
    return [min(values[end - period : end]) for end in range(len(values), period - 1, -period)]


def look(
    ring: Ring, n: int, was: Carry, usual: Usual, counted: Bools | None, step_ms: int,
    schedule_s: float | None, isolation: int,
) -> View | None:  # fmt: skip
    """The window of the oldest ``n`` polls of the ring; None when no counted partition has a commit and an end."""
    c, s = all_c, _ = ring.committed[:n], ring.stable[:n]
    if not ring.width:
        return None
    at_stable = was.at_stable
    polls = ring.polls[:n]
    gap = ring.gap[:n] if ring.gaps else None
    cols: Ints | None = None
    if ring.holes or counted is not None:
        valid = (c[n - 1] >= 0) & (s[n - 1] >= 0)
        if counted is not None:
            valid &= counted
        if not valid.any():
            return None
        if not valid.all():
            cols = np.flatnonzero(valid)
            c, s = c[:, cols], s[:, cols]
            gap = gap[:, cols] if gap is not None else None
        if ring.holes:
            blind = int((c == ABSENT).all(axis=1).sum())  # polls that count for no partition come before all others
            polls = polls[blind:]
            c, s, gap = _filled(c[blind:], s[blind:], None if gap is None else gap[blind:])
    if isolation == 0 and gap is not None and gap[-1].any():
        isolation, at_stable = _isolation(c[-1], s[-1], gap[-1], was)
    elif isolation == 0:
        isolation = was.isolation
    e = s + gap if isolation == READ_UNCOMMITTED and gap is not None else s
    start = ring.start if cols is None else ring.start[cols]
    # Where no commit lies above a later one, the oldest row tells whether one lies below the log start.
    inside = n < ring.n or not (ring.backs or ring.holes or np.count_nonzero(c[0] < start))
    lag = e - (c if inside else np.maximum(c, start))
    np.maximum(lag, 0, out=lag)
    n = len(polls)
    k = n - 2 if n > 2 else 0
    marker = lag[n - 1] == MARKER
    if n >= 2 and np.count_nonzero(marker):
        marker &= e[n - 1] == e[k]
        lag[k:, marker] = 0
    add = np.add.reduce
    read: list[int]
    made: list[int]
    if c is all_c and e is s:
        read, made = add(ring.block[:, :n], axis=2).tolist()
    else:
        read, made = add(c, axis=1).tolist(), add(e, axis=1).tolist()
    work: list[int] = add(lag, axis=1).tolist()
    b = n - 7 if n > 7 else 0
    span = (polls[-1].t - polls[b].t) / 1000.0
    period = int(schedule_s * 1000) if schedule_s else was.period_ms
    return View(
        polls=polls, was=was, usual=usual, cols=ring.all if cols is None else cols, committed=c, end=e, lag=lag,
        work=work, read=read, made=made, step_ms=max(step_ms, 4_000), isolation=isolation, at_stable=at_stable,
        period_ms=period, scheduled=bool(schedule_s), rate=max(0.0, (made[-1] - made[b]) / span) if span > 0 else 0.0,
        read_rate=(read[-1] - read[b]) / span if span > 0 else 0.0, inside=inside,
    )  # fmt: skip


def _filled(c: Ints, s: Ints, gap: Ints | None) -> tuple[Ints, Ints, Ints | None]:
    """Polls that lack a partition take its next known offsets: no change is seen where none was observed."""
    missing = (s == UNSEEN) | (c < 0)
    if not missing.any():
        return c, s, gap
    c, s, gap = c.copy(), s.copy(), None if gap is None else gap.copy()
    for i in range(len(c) - 2, -1, -1):
        m = missing[i]
        if m.any():
            c[i, m], s[i, m] = c[i + 1, m], s[i + 1, m]
            if gap is not None:
                gap[i, m] = gap[i + 1, m]
    return c, s, gap


def _isolation(c: Ints, s: Ints, gap: Ints, was: Carry) -> tuple[int, int]:
    """Inferred: a commit above the last stable offset is read_uncommitted; standing at it, thrice, read_committed."""
    if bool(((c > s) & (gap > 0)).any()):
        return READ_UNCOMMITTED, 0
    stands = was.at_stable + 1 if bool(((c == s) & (gap > 0)).any()) else was.at_stable
    return (1 if stands >= 3 and was.isolation == 0 else was.isolation), min(stands, 3)
