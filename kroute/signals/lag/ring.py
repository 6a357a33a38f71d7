"""Ring of the newest 16 polls of one group: offsets per partition in numpy, scalars per poll in a ``Poll``.

Arrays are in time order (oldest first) × column; a column is one (topic, partition), sorted, so a topic is one slice.
Each poll has a slot number, its row's name in the table; a poll that leaves hands its slot to the one that comes.
256 bytes per partition, 384 where transactions keep log ends above their stable ends.
"""

from __future__ import annotations

import struct
from itertools import chain

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from kroute.contracts.inputs import ConsumerLag, PartitionLag

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

POLLS = 16
STEP_MS = 4_000
"""Faster polls than this share one place (the newest in each step of time): the window spans over a minute."""
LATE_MS = 300_000

NEVER = -1
"""``committed``: the group has no commit there."""
UNSEEN = -2
"""``stable``: the log end was not known at that poll."""
ABSENT = -3
"""``committed``: the partition was not part of that poll, so nothing before it counts."""

Column = tuple[str, int]
_ALL: Ints = np.arange(8_192)
_ZERO = np.int64(0)


class Carry(Struct, array_like=True, gc=False):
    """What the judgement of one poll hands to the next; see ``judge``. Times are epoch ms, 0 is never."""

    active: dict[str, tuple[int, int]] = {}
    """Kind → (since, polls in a row that said healthy)."""
    events: dict[str, tuple[int, float, str, tuple[str, ...], tuple[int, ...]]] = {}
    """Kind → (when, value, why, topics, partitions) of what happened once and is shown for a while."""
    moved_ms: int = 0
    """The newest poll at which a commit moved, or nothing was left to commit."""
    moves: int = 0
    period_ms: int = 0
    """Learnt: the longest usual time from one move to the next while something waited."""
    long_ms: int = 0
    """A silence that was alarmed and ended by itself; a second one alike is a schedule."""
    pending: int = 0
    """Polls since the last move at which the log had grown."""
    had_members: bool = False
    empty_ms: int = 0
    isolation: int = 0
    """1 read_committed, 2 read_uncommitted, 0 not known."""
    at_stable: int = 0
    behind_s: float = -1.0
    """Work lag in seconds of production, -1 not known."""
    rate: float = -1.0
    read_rate: float = -1.0
    churn: float = -1.0
    remote: float = -1.0
    ratio: float = -1.0
    """Worst freshness over its objective, -1 where there is none."""


class Poll(Struct, array_like=True, gc=False):
    """One poll's scalars. ``members`` are sorted CRC-32s of the member ids, None where not told."""

    t: int
    slot: int
    state: str
    epoch: int
    members: tuple[int, ...] | None
    src: tuple[str, int, int]
    carry: Carry


class Sample(Struct):
    """One message as arrays, in column order. ``block`` holds ``committed`` and ``stable``, as the ring's does."""

    block: Ints
    end: Ints
    start: Ints
    leader: npt.NDArray[np.int32]
    plain: bool
    """True when every commit and log end is known."""
    level: bool
    """True when every log end is its stable end."""

    @property
    def committed(self) -> Ints:
        """Committed offsets."""
        row: Ints = self.block[0]
        return row

    @property
    def stable(self) -> Ints:
        """Last stable offsets."""
        row: Ints = self.block[1]
        return row


class Ring:
    """The polls and their offsets. ``stable`` is the last stable offset, ``gap`` the log end above it.

    ``committed`` and ``stable`` are the two halves of ``block``, so that one call of numpy does for both.
    """

    __slots__ = (
        "_order", "_order_parts", "_order_topics", "all", "backs", "block", "committed", "gap", "gaps", "high", "holes", "ids",
        "leader", "polls", "slices", "stable", "start", "topics",
    )  # fmt: skip

    def __init__(self) -> None:
        self.polls: list[Poll] = []
        self.topics: list[str] = []
        self.slices: dict[str, slice] = {}
        self.ids: Ints = np.zeros(0, np.int64)
        self.all: Ints = np.zeros(0, np.int64)
        self.gaps = False
        self._resize(0)
        self.start: Ints = np.zeros(0, np.int64)
        self.leader: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        self.high: Ints = np.zeros(0, np.int64)
        """Highest commit that left the ring, where the group has since gone back below it; else 0.

        Never changed in place: another array than before says that its row is to be written.
        """
        self.holes = False
        """True while something in the ring is not a plain offset."""
        self.backs = True
        """False only when no commit in the ring lies above a later one; a hint that spares work."""
        self._order_topics: list[str] | None = None
        self._order_parts: list[int] = []
        self._order: Ints | None = None

    def _resize(self, width: int) -> None:
        self.block: Ints = np.empty((2, POLLS, width), np.int64)
        self.committed, self.stable = self.block
        self.committed[:] = ABSENT
        self.stable[:] = UNSEEN
        zero: Ints = np.broadcast_to(np.int64(0), (POLLS, width))  # no memory until some log end is above its stable end
        self.gap: Ints = np.zeros((POLLS, width), np.int64) if self.gaps else zero

    def open_gaps(self) -> None:
        """From now on log ends above the last stable offset are kept."""
        if not self.gaps:
            self.gaps = True
            self.gap = np.zeros((POLLS, self.width), np.int64)

    def _arrays(self) -> tuple[Ints, ...]:
        return (self.committed, self.stable, self.gap) if self.gaps else (self.committed, self.stable)

    @property
    def n(self) -> int:
        """Polls held."""
        return len(self.polls)

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.ids)

    def columns(self) -> list[Column]:
        """All columns in order."""
        return [(t, int(i)) for t in self.topics for i in self.ids[self.slices[t]]]

    def set_columns(self, layout: list[tuple[str, list[int]]]) -> None:
        """Take a new set of columns, sorted; what both sets have is kept, the rest leaves at once."""
        old = {c: i for i, c in enumerate(self.columns())}
        new = [(t, p) for t, ps in layout for p in ps]
        at = np.array([old.get(c, -1) for c in new], np.int64)
        keep = at >= 0
        before = (self.start, self.leader, self.high)
        polls = self._arrays()
        self._resize(len(new))
        self.start = np.zeros(len(new), np.int64)
        self.leader = np.full(len(new), -1, np.int32)
        self.high = np.broadcast_to(_ZERO, len(new))  # no memory until the group goes back
        for a, b in zip(self._arrays(), polls, strict=True):
            a[:, keep] = b[:, at[keep]]
        self.start[keep], self.leader[keep] = (x[at[keep]] for x in before[:2])
        if before[2].any():
            self.high = np.zeros(len(new), np.int64)
            self.high[keep] = before[2][at[keep]]
        self.topics = [t for t, _ in layout]
        self.ids = np.array([p for _, p in new], np.int64)
        self.all = _ALL[: len(new)] if len(new) <= len(_ALL) else np.arange(len(new))
        self.backs = True
        self.slices = {}
        i = 0
        for t, ps in layout:
            self.slices[t] = slice(i, i + len(ps))
            i += len(ps)
        self.holes = True
        self._order_topics = None

    def read(self, m: ConsumerLag, newest: bool) -> tuple[Sample, bool]:
        """The message as arrays in column order, and whether the columns changed (only the newest poll may)."""
        ps = m.partitions
        topics = [p.topic for p in ps]
        parts = [p.partition for p in ps]
        changed = False
        order = self._order
        if topics != self._order_topics or parts != self._order_parts:
            columns = list(zip(topics, parts, strict=True))
            places = sorted(range(len(columns)), key=columns.__getitem__)
            places = [p for i, p in enumerate(places) if i == 0 or columns[p] != columns[places[i - 1]]]
            wanted: list[tuple[str, list[int]]] = []
            for p in places:
                if not wanted or wanted[-1][0] != topics[p]:
                    wanted.append((topics[p], []))
                wanted[-1][1].append(parts[p])
            if [columns[p] for p in places] != self.columns():
                if not newest:
                    return self._read_late(m, columns), False
                self.set_columns(wanted)
                changed = True
            order = None if places == list(range(len(columns))) else np.array(places, np.int64)
            one = dict(zip(self.topics, self.topics, strict=True))
            self._order_topics, self._order_parts, self._order = [one[x] for x in topics], parts, order
        s = _arrays(m)
        if order is not None:
            s = _sample(s.block[:, order], s.end[order], s.start[order], s.leader[order], s.plain)
        return s, changed

    def _read_late(self, m: ConsumerLag, columns: list[Column]) -> Sample:
        """A late poll with other columns than the newest: what it lacks is absent, what it has more is dropped."""
        s = _arrays(m)
        at = {c: i for i, c in enumerate(columns)}
        places = np.array([at.get(c, -1) for c in self.columns()], np.int64)
        has = places >= 0

        def pick(a: Ints, missing: int) -> Ints:
            out = np.full(len(places), missing, np.int64)
            out[has] = a[places[has]]
            return out

        block = np.stack([pick(s.committed, ABSENT), pick(s.stable, UNSEEN)])
        return _sample(block, pick(s.end, UNSEEN), pick(s.start, 0), self.leader, False)

    def place(self, t: int) -> tuple[int, bool] | None:
        """Where a poll of time ``t`` belongs: (position, replaces what is there); None: duplicate, late or too old."""
        polls = self.polls
        i = len(polls)
        if i and t < polls[-1].t - LATE_MS:
            return None
        while i and polls[i - 1].t > t:
            i -= 1
        step = t // STEP_MS
        if i and (polls[i - 1].t == t or polls[i - 1].t // STEP_MS == step):
            return None if polls[i - 1].t == t else (i - 1, True)
        if i < len(polls) and polls[i].t // STEP_MS == step:
            return None
        if i == 0 and len(polls) == POLLS:
            return None
        return i, False

    def insert(self, at: int, replaces: bool, poll: Poll, s: Sample) -> tuple[int, list[int]]:
        """Put a poll at its place; returns its final position and the slots whose stored offsets changed besides it."""
        polls, block = self.polls, self.block
        n = len(polls)
        if replaces:
            poll.slot = polls[at].slot
            polls[at] = poll
        else:
            if n == POLLS:
                poll.slot = self._evict()
                at -= 1
                n -= 1
            else:
                poll.slot = n
            if at < n:
                for a in self._arrays():
                    a[at + 1 : n + 1] = a[at:n].copy()
            polls.insert(at, poll)
            n += 1
        block[:, at] = s.block
        if not s.level:
            self.open_gaps()
        if self.gaps:
            self.gap[at] = s.end - s.stable
        newest = at == n - 1
        fell = newest and n > 1 and np.count_nonzero(s.block < block[:, at - 1])
        if not self.backs:
            self.backs = not newest or bool(fell and np.count_nonzero(s.committed < self.committed[at - 1]))
        touched: list[int] = []
        if self.holes or not s.plain:
            touched = self._absences(at)
            self.holes = bool(np.minimum.reduce(self.block[:, :n], axis=None, initial=0) < 0)
        if fell:
            touched += self._restarts()
        return at, touched

    def _evict(self) -> int:
        """The oldest poll leaves; a commit that the group has gone back from is remembered."""
        c, nxt = self.committed[0], self.committed[1]
        if self.backs and (np.count_nonzero(c > nxt) or np.count_nonzero(self.high)):
            top = np.maximum(self.high, c)
            self.high = np.where((nxt >= 0) & (top > nxt), top, 0)
        width = self.width
        offsets = self.block.reshape(-1)
        offsets[:-width] = offsets[width:]  # the last row of either half is the coming poll's
        if self.gaps:
            self.gap[:-1] = self.gap[1:]
        return self.polls.pop(0).slot

    def _absences(self, at: int) -> list[int]:
        """Nothing before a poll that lacked the partition counts: holds in whatever order the polls came."""
        n = self.n
        absent = self.committed[:n] == ABSENT
        reach = np.maximum.accumulate(absent[::-1], axis=0)[::-1]
        new = reach & ~absent
        if not new.any():
            return []
        self.committed[:n][new] = ABSENT
        self.stable[:n][new] = UNSEEN
        if self.gaps:
            self.gap[:n][new] = 0
        return [self.polls[i].slot for i in range(n) if new[i].any() and i != at]

    def _restarts(self) -> list[int]:
        """A log end that fell below the former commit, and the commit with it: the topic was made anew."""
        n = self.n
        s, s0, c, c0 = self.stable[n - 1], self.stable[n - 2], self.committed[n - 1], self.committed[n - 2]
        fell = s < s0
        if not np.count_nonzero(fell):
            return []
        fell &= (s >= 0) & (s0 >= 0) & (s + self.gap[n - 1] < c0) & (c < c0)
        if not fell.any():
            return []
        self.committed[: n - 1, fell] = ABSENT
        self.stable[: n - 1, fell] = UNSEEN
        if self.gaps:
            self.gap[: n - 1, fell] = 0
        if np.count_nonzero(self.high[fell]):
            self.high = np.where(fell, 0, self.high)
        self.holes = True
        return [p.slot for p in self.polls[: n - 1]]


def _arrays(m: ConsumerLag) -> Sample:
    ps = m.partitions
    n = len(ps)
    offsets, leader = np.empty((4, n), np.int64), np.empty(n, np.int32)
    try:
        struct.pack_into(
            f"{4 * n}q", offsets.data, 0, *[p.committed for p in ps], *[p.stable_end for p in ps], *[p.end for p in ps],
            *[p.start for p in ps],
        )  # fmt: skip
        struct.pack_into(f"{n}i", leader.data, 0, *[p.leader for p in ps])
    except struct.error:  # something is not told
        told = list(map(_told, ps))
        struct.pack_into(f"{4 * n}q", offsets.data, 0, *chain.from_iterable(zip(*(x[:4] for x in told), strict=True)))
        struct.pack_into(f"{n}i", leader.data, 0, *[x[4] for x in told])
    _, stable, end, start = offsets
    plain = not n or bool(np.minimum.reduce(offsets, axis=None) >= 0)
    if not plain:
        start[start < 0] = 0
        unknown = end < 0
        end[unknown] = UNSEEN
        stable[unknown] = UNSEEN
        stable[stable < 0] = end[stable < 0]
        plain = bool(np.minimum.reduce(offsets, axis=None) >= 0)
    if np.count_nonzero(start > end):  # a log does not start above its end: that start is not one
        start[(start > end) & (end >= 0)] = 0
    out = _sample(offsets[:2], end, start, leader, plain)
    if not out.level:
        np.minimum(stable, end, out=stable)
        out = _sample(offsets[:2], end, start, leader, plain)
    return out


def _sample(block: Ints, end: Ints, start: Ints, leader: npt.NDArray[np.int32], plain: bool) -> Sample:
    return Sample(block, end, start, leader, plain, block[1].tobytes() == end.tobytes())


def _told(p: PartitionLag) -> tuple[int, int, int, int, int]:
    return (
        NEVER if p.committed is None else p.committed, p.end if p.stable_end is None else p.stable_end, p.end,
        0 if p.start is None else p.start, -1 if p.leader is None else p.leader,
    )  # fmt: skip
