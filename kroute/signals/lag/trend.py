"""What the lag of single partitions does over the window: waits, falls further behind, is read meanwhile."""

from __future__ import annotations

import numpy as np

from kroute.signals.history import Floats
from kroute.signals.lag.membership import UNSETTLED
from kroute.signals.lag.ring import Bools, Ints
from kroute.signals.lag.view import View

UNSETTLED_WAIT = 2
"""A partition of a group that keeps rebalancing has to stand still for so much longer."""
NOT_WAITING = np.int64(-1)
HARDLY, FEWER = 0.05, 0.3
"""Share of what is written that the siblings of one partition, or of several, are read by where only those stand."""
BACKLOG = 2.0
"""Who reads so many times what is written works on a backlog."""


def read_on(v: View, frozen: Bools, since_ms: int) -> bool:
    """True when the siblings are read as they are written meanwhile.

    Where they hardly move either, the whole group is held up, and where a backlog is read, faster than records come, which
    partition has its turn is the client's own matter.
    """
    first = next((i for i, p in enumerate(v.polls) if p.t >= since_ms), v.n - 1)
    first = min(first, v.n - 3)
    siblings = ~frozen
    read = int((v.committed[-1] - v.committed[first])[siblings].sum())
    written = int((v.end[-1] - v.end[first])[siblings].sum())
    least = HARDLY if np.count_nonzero(frozen) == 1 else FEWER
    return least * written <= read <= BACKLOG * written + v.n


def shaken(v: View, since_ms: int) -> bool:
    """True when the group was seen rebalancing at every other poll since then: partitions change hands before they are read."""
    states = [p.state in UNSETTLED for p in v.polls if p.t >= since_ms]
    return 2 * sum(states) >= len(states)


def waits(v: View, standing: Bools) -> tuple[Ints, Ints]:
    """When the records that wait now began to, per partition (ms), and how long records usually wait for a commit (ms).

    Usual is what nine of ten of the other partitions had for their longest, and at least the partition's own median:
    members commit each at their own time, so a group whose commits are seen at every poll may take far longer with one
    partition. One record that was there from the first is no wait: it may be a transaction marker.
    """
    n, width = v.n, len(standing)
    t = [p.t for p in v.polls]
    since = np.where(v.lag[0] > 1, t[0], NOT_WAITING)
    ended = np.zeros((n, width), np.int64)
    for i in range(1, n):
        moved = v.committed[i] != v.committed[i - 1]
        ended[i] = np.where(moved & (since >= 0), t[i] - since, 0)
        since[moved] = NOT_WAITING
        came = v.end[i] - v.end[i - 1]
        begins = (since < 0) & (v.lag[i] > 0) & ((v.lag[i] > 1) | ((v.lag[i - 1] == 0) & ~moved))
        # The first of several records comes the sooner after the last poll, the more of them came.
        first = np.where(moved, t[i], t[i - 1] + (t[i] - t[i - 1]) // (np.maximum(came, 0) + 1))
        since = np.where(begins, first, since)
    longest = ended.max(axis=0)
    others = np.sort(longest[~standing & (longest > 0)])
    usual = np.full(width, int(others[(9 * (len(others) - 1)) // 10]) if len(others) else 0, np.int64)
    for i in np.flatnonzero(standing).tolist():
        own = np.sort(ended[:, i][ended[:, i] > 0])
        if len(own):
            usual[i] = max(int(usual[i]), int(own[len(own) // 2]))
    return np.where(since < 0, v.t, since), usual


def rising(v: View, behind: Bools, low: Ints, rate: Floats) -> Bools:
    """Of the partitions that are behind those that fall further behind."""
    back = max(0, v.n - 1 - max(3, v.tooth))
    out: Bools = (
        behind
        & (v.lag[-1] > v.lag[back])
        & (v.lag[-1] >= v.low_before(v.lag) - 0.5 * rate * v.step_s)
        & (low >= np.minimum(v.lag[back], v.lag[max(0, back - 1)]))
    )
    if out.any():
        out &= v.stands_out(v.lag)
    return out


def more(v: View, low: Ints) -> Bools:
    """Partitions that lag twice as far as ever in the older half of the window, and by more than a quarter of a poll."""
    if v.n < 6:
        return np.zeros(len(low), np.bool_)
    b = max(0, v.n - 7)
    rate = (v.end[-1] - v.end[b]) / max(v.seconds(6), 0.001)
    out: Bools = (low >= 5) & (low > 2 * v.lag[: v.n // 2].max(axis=0)) & (low > 0.25 * v.step_s * rate)
    return out
