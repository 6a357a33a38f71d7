"""Rules L9–L11: where in the group does the lag sit? One record, one member, or one partition: three symptoms.

Only reached past a cheap check that some partition is behind at all (the worst partition makes the group, as in Burrow).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from kroute.contracts.inputs import Member
from kroute.signals.lag.led import leading
from kroute.signals.lag.ring import Bools, Carry, Ints, Ring
from kroute.signals.lag.trend import UNSETTLED_WAIT, more, read_on, rising, shaken, waits
from kroute.signals.lag.verdict import CAP, Found, Verdict, number, span
from kroute.signals.lag.view import View

LeaderOf = Callable[[str, int], int | None]


class Leaders(NamedTuple):
    """Who leads a partition (None: not known), who led each of a topic when it went, who has copies, and a broker's rack."""

    of: LeaderOf
    former: Callable[[str], Mapping[int, int]]
    replicas: Callable[[str], Sequence[Sequence[int]]]
    rack: Callable[[int], str | None]


_A_BIT_LESS = 1.0 - 1e-9
"""What rounding may make of a product."""
KINDS = ("partition-stuck", "member-lagging", "partition-lagging")


@dataclass(slots=True)
class Skew:
    """What was found per partition; ``names`` are (topic, partition) of the view's columns, made on demand."""

    ring: Ring
    v: View
    leaders: Leaders
    owner: Ints | None
    members: Sequence[Member]
    """``owner`` is their index per ring column."""
    frozen_topics: list[str] = field(default_factory=list)
    """Topics with several partitions, all frozen while others of the group move."""
    frozen_since_ms: int = 0
    growing_topics: list[str] = field(default_factory=list)
    _led: dict[str, Any] | None = None
    _brokers: list[Ints] | None = None

    def name(self, i: int) -> tuple[str, int]:
        """Topic and partition id of the view's column ``i``."""
        col = int(self.v.cols[i])
        topic = next(t for t in self.ring.topics if self.ring.slices[t].start <= col < self.ring.slices[t].stop)
        return topic, int(self.ring.ids[col])

    def topics_of(self, columns: Bools) -> list[str]:
        """Topics that have one of these columns, sorted."""
        flags = np.zeros(self.ring.width, np.bool_)
        flags[self.v.cols[columns]] = True
        return [t for t in self.ring.topics if flags[self.ring.slices[t]].any()]

    def detail(self, topics: list[str]) -> dict[str, Any]:
        """The topics that are behind, and whose partitions they are (``led``)."""
        return {"topics": (topics or self.topics_of(self.v.lag[-1] > 0))[:CAP], **self.led()}

    def led_by(self, broker: int, columns: Iterable[int]) -> dict[str, Any]:
        """``where`` for what a rule found to be the doing of one leader."""
        detail = self.where(columns)
        return detail | {"leader": broker, "led": {**detail.get("led", {}), str(broker): 1.0}}

    def stuck(self, columns: Sequence[int]) -> dict[str, Any]:
        """``where`` for partitions that stand still: whose they are says more than where else the group falls behind."""
        detail = self.where(columns)
        whose: dict[str, int] = {}
        for i in columns:
            for b in dict.fromkeys(str(at[i]) for at in self._serving() if at[i] >= 0):
                whose[b] = whose.get(b, 0) + 1
        led = detail.get("led", {}) | {b: 1.0 for b, n in whose.items() if n == len(columns)}
        return detail | {"led": dict(sorted(led.items())[:CAP])} if led else detail

    def led(self) -> dict[str, Any]:
        """Detail that says how far the lag is that of what a broker or a rack leads (``led.leading``)."""
        if self._led is None:
            self._led = leading(self.v, self._serving(), self.leaders.rack)
        return self._led

    def _serving(self) -> list[Ints]:
        """Broker by column of the view: who leads it, led it when it went, and whose copy is read; -1 where nobody."""
        if self._brokers is None:
            leaders = self.ring.leader[self.v.cols].astype(np.int64)
            for i in np.flatnonzero(leaders < 0).tolist():
                known = self.leader(i)
                leaders[i] = -1 if known is None else known
            self._brokers = [leaders, *self._others(leaders)]
        return self._brokers

    def _others(self, leaders: Ints) -> list[Ints]:
        """By column of the view who led it when it went, and whose copy its reader finds in its own rack, -1 where nobody."""
        former, near = np.full(len(leaders), -1, np.int64), np.full(len(leaders), -1, np.int64)
        rack = self.leaders.rack
        moved = {t: m for t in self.ring.topics if (m := self.leaders.former(t))}
        owner = self.owner if self.owner is not None and any(m.rack for m in self.members) else None
        for i, leader in enumerate(leaders.tolist()) if moved or owner is not None else ():
            topic, partition = self.name(i)
            former[i] = moved.get(topic, {}).get(partition, -1)
            reader = -1 if owner is None else int(owner[self.v.cols[i]])
            here = self.members[reader].rack if reader >= 0 else None
            copies = self.leaders.replicas(topic) if here is not None and rack(leader) != here else ()
            if partition < len(copies):
                near[i] = next((b for b in copies[partition] if rack(b) == here), -1)
        return [former, near]

    def where(self, columns: Iterable[int]) -> dict[str, Any]:
        """Detail that names partitions and their leaders."""
        listed = sorted(self.name(i) for i in columns)
        leaders = dict.fromkeys(x for x in (self._leader(t, p) for t, p in listed) if x is not None and x >= 0)
        return {
            "topic": listed[0][0],
            "partitions": [f"{t}/{p}" for t, p in listed[:CAP]],
            "partitions_total": len(listed),
            "leaders": sorted(leaders)[:CAP],
            **self.led(),
        }

    def leader(self, i: int) -> int | None:
        """Leader of the view's column ``i``, as its group's poll or the topology told it."""
        told = int(self.ring.leader[int(self.v.cols[i])])
        if told >= 0:
            return told
        topic, partition = self.name(i)
        return self.leaders.of(topic, partition)

    def _leader(self, topic: str, partition: int) -> int | None:
        s = self.ring.slices[topic]
        at = int(np.searchsorted(self.ring.ids[s], partition)) + s.start
        told = int(self.ring.leader[at])
        return told if told >= 0 else self.leaders.of(topic, partition)


def skew(
    ring: Ring, v: View, out: Verdict, carry: Carry, leaders: Leaders, owner: Ints | None, members: Sequence[Member]
) -> Skew:  # fmt: skip
    """Say L9, L10, L11. ``owner`` is the member's index per ring column (-1 nobody's), None where not known."""
    s = Skew(ring, v, leaders, owner, members)
    if v.n < 4:
        out.unknown(*KINDS)
        return s
    if owner is None:
        out.unknown("member-lagging")
    if v.work[-1] == 0 and v.work[-2] == 0:
        return s
    low = np.minimum(v.lag[-1], v.lag[-2])
    if not (v.was.active and any(k in v.was.active for k in KINDS)) and not _odd(v, low):
        return s
    mine = None if owner is None else owner[v.cols]
    frozen, frozen_since = _stuck(s, v, out, low, mine, carry)
    _slow(s, v, out, low, frozen, mine, frozen_since)
    return s


def _odd(v: View, low: Ints) -> bool:
    """True when a partition is behind by more than is usual, stands still while records wait, or lags more than it did."""
    made = v.end[-1] - v.end[max(0, v.n - 7)]
    seconds = max(v.seconds(6), 0.001)
    share = (v.usual_s + max(v.step_s, 0.5 * v.usual_s)) / seconds
    if np.count_nonzero(v.committed[-1] == v.committed[-2]) and np.count_nonzero(
        (low > 1) & (v.committed[-1] == v.committed[-2])
    ):
        return True
    # A bound below both thresholds: most groups have nothing above it.
    least = min(share, 0.25 * v.step_s / seconds) * _A_BIT_LESS
    if not np.count_nonzero(low > np.maximum(least * made, 4.0)):
        return False
    return bool(np.count_nonzero((low >= 5) & (low > share * made)) or np.count_nonzero(more(v, low)))


def _stuck(
    s: Skew, v: View, out: Verdict, low: Ints, mine: Ints | None, carry: Carry
) -> tuple[Bools, int]:  # fmt: skip
    """L9 partition-stuck: one offset frozen past the usual wait for a commit, its log grows, its siblings move.

    Counted from when records began to wait there, not from the offset's last move: where nothing comes nothing moves.
    """
    c, e = v.committed, v.end
    still = c == c[-1]
    trail = np.where(still.all(axis=0), v.n, np.argmin(still[::-1], axis=0))
    ages = np.array([(v.t - p.t) for p in v.polls], np.int64)
    limit = v.silence_limit_ms
    grew = ((e[1:] > e[:-1]) & still[:-1]).sum(axis=0) >= 2
    frozen = (low > 1) & (ages[v.n - trail] > limit) & grew
    begun = np.full(len(low), v.t, np.int64)
    if frozen.any():
        led = s.ring.leader[v.cols] >= 0
        frozen &= led | ~led.any()  # without a leader it cannot be read
    if frozen.any():
        begun, usual = waits(v, frozen)
        least = limit * (UNSETTLED_WAIT if shaken(v, int(begun[frozen].min())) else 1)
        frozen &= v.t - begun > np.maximum(least, 1.25 * usual + 1.5 * v.step_ms)
    since = v.t
    if frozen.any():
        recent = max(0, v.n - 1 - max(2, v.tooth))
        moving = c[-1] > c[recent]
        busy = moving | frozen
        since = int(begun[frozen].min())
        if not moving.any() or not read_on(v, frozen, since):
            frozen = np.zeros_like(frozen)
        else:
            whole = [t for t in s.topics_of(frozen) if _all_frozen(s, v, t, frozen, busy)]
            many = int(frozen.sum()) >= 2
            if whole and (many or len(s.ring.topics) == 0):
                s.frozen_topics, s.frozen_since_ms = whole, since
            s.growing_topics = []
    one_member = _one_member(frozen, mine, busy_of=(e[-1] > e[0])) if mine is not None and frozen.any() else None
    lone = frozen.any() and one_member is None and not s.frozen_topics
    columns = [int(i) for i in np.flatnonzero(frozen)]

    def l9() -> Found:
        if not columns:
            return Found(v.t, 0.0, "the offset moves again", s.led())
        at = [f"{t}/{p}" for t, p in sorted(s.name(i) for i in columns)]
        offset = int(v.committed[-1, columns[0]])
        stands = ", ".join(at[:3]) + (f" and {len(at) - 3} more" if len(at) > 3 else "")
        why = (
            f"{stands} stands at offset {offset} for {span((v.t - since) / 1000.0)} while siblings move, "
            f"{number(float(v.lag[-1, columns].sum()))} records wait"
        )
        return Found(since, float(v.lag[-1, columns].sum()), why, s.stuck(columns) | {"offset": offset})

    out.say("partition-stuck", bool(lone), bool(lone), l9)
    return frozen, since


def _all_frozen(s: Skew, v: View, topic: str, frozen: Bools, busy: Bools) -> bool:
    sl = s.ring.slices[topic]
    inside = (v.cols >= sl.start) & (v.cols < sl.stop) & busy
    return int(inside.sum()) >= 2 and bool(frozen[inside].all())


def _one_member(bad: Bools, mine: Ints, busy_of: Bools) -> int | None:
    """The member that owns all of the bad partitions, at least two, and no busy good one; others must own good ones."""
    who = mine[bad]
    if len(who) < 2 or int(who[0]) < 0 or not (who == who[0]).all():
        return None
    m = int(who[0])
    theirs = (mine == m) & busy_of
    others = (mine >= 0) & (mine != m) & busy_of
    return m if bool(bad[theirs].all()) and bool(others.any()) else None


def _slow(
    s: Skew, v: View, out: Verdict, low: Ints, frozen: Bools, mine: Ints | None, frozen_since: int
) -> None:  # fmt: skip
    """L10 member-lagging, L11 partition-lagging: of few partitions, or of those that one broker leads.

    Topics of which most partitions fall behind go to L1.
    """
    b = max(0, v.n - 7)
    seconds = max(v.seconds(6), 0.001)
    rate = (v.end[-1] - v.end[b]) / seconds
    limit = v.usual_s + max(v.step_s, 0.5 * v.usual_s)
    behind = (low >= 5) & (low > limit * rate)
    worse = rising(v, behind, low, rate)
    was_active = [k for k in ("member-lagging", "partition-lagging") if k in v.was.active]
    bad = worse | frozen
    held = behind | frozen if was_active else bad
    busy = (v.end[-1] > v.end[b]) | bad
    for t in s.topics_of(worse & ~frozen) if worse.any() else ():
        sl = s.ring.slices[t]
        inside = (v.cols >= sl.start) & (v.cols < sl.stop) & busy
        n_bad = int((worse & inside).sum())
        if n_bad >= 2 and 2 * n_bad >= int(inside.sum()):
            s.growing_topics.append(t)
    share = float(v.lag[-1, held].sum()) / v.work[-1] if held.any() and v.work[-1] else 0.0
    member = None if mine is None else _one_member(held, mine, busy)
    moving = held & ~frozen
    few = 1 <= int(moving.sum()) <= max(1, int(busy.sum()) // 10) and int(busy.sum()) >= 2
    since = _rise(v, held, frozen_since)

    def l10() -> Found:
        if member is None or mine is None:
            return Found(v.t, 0.0, "the member keeps up again", s.led())
        cols = [int(i) for i in np.flatnonzero(held)]
        name = _named(s.members[member]) if member < len(s.members) else "?"
        records = number(float(v.lag[-1, cols].sum()))
        why = f"{share:.0%} of the lag ({records} records) is in the {len(cols)} partitions of member {name}"
        return Found(since, share, why, s.where(cols) | {"member": name})

    if mine is not None:
        on_member = member is not None and share >= 0.8
        out.say("member-lagging", on_member and bool(bad.any()), on_member, l10)

    def l11() -> Found:
        cols = [int(i) for i in np.flatnonzero(moving)]
        if not cols:
            return Found(v.t, 0.0, "the partition keeps up again", s.led())
        at = ", ".join(f"{t}/{p}" for t, p in sorted(s.name(i) for i in cols)[:3])
        why = f"{share:.0%} of the lag is in {at}: {number(float(v.lag[-1, cols].sum()))} records behind, still moving"
        detail = s.where(cols)
        leaders = detail["leaders"]
        return Found(since, share, why, detail | ({"leader": leaders[0]} if len(leaders) == 1 else {}))

    on_one = member is None and few and share >= 0.8
    led = None if on_one or frozen.any() else _led(s, v, low, mine)
    if led is None:
        out.say("partition-lagging", on_one and bool((bad & ~frozen).any()), on_one, l11)
        return
    broker, theirs, fires = led

    def l11_led() -> Found:
        cols = [int(i) for i in np.flatnonzero(theirs)]
        records = float(v.lag[-1, cols].sum())
        held = records / max(v.work[-1], 1)
        why = f"{held:.0%} of the lag is in the {len(cols)} partitions led by broker {broker}: {number(records)} records behind"
        return Found(_rise(v, theirs, v.t), held, why, s.led_by(broker, cols))

    out.say("partition-lagging", fires, True, l11_led)


def _led(s: Skew, v: View, low: Ints, mine: Ints | None) -> tuple[int, Bools, bool] | None:
    """L11 where the partitions led by one broker are behind and no others are: (broker, those, whether it is seen
    to grow); None where it is not so. Fewer seconds are asked for than of one partition
    alone: that all of a broker's lag, and none besides, is no chance."""
    twice = more(v, low)
    was = "partition-lagging" in v.was.active
    if not twice.any() and not was:
        return None
    leaders = np.array([x if (x := s.leader(i)) is not None else -1 for i in range(len(low))], np.int64)
    behind = np.where(leaders >= 0, v.lag[-1], 0)
    brokers = np.unique(leaders[leaders >= 0]).tolist()
    if len(brokers) < 2:
        return None
    broker = max(brokers, key=lambda x: (int(behind[leaders == x].sum()), x))
    busy = (v.end[-1] > v.end[max(0, v.n - 7)]) | twice
    theirs, others = busy & (leaders == broker), busy & (leaders != broker)
    if int(theirs.sum()) < 2 or int(others.sum()) < 2:
        return None
    if mine is not None and len(np.unique(mine[theirs])) == 1 and bool((theirs == (busy & (mine == mine[theirs][0]))).all()):
        return None  # one member reads just these: who of the two is slow cannot be told here
    usual = v.lag[: max(1, v.n // 2)].max(axis=0)
    excess = np.maximum(v.lag[-1] - usual, 0)
    part = float(excess[theirs].sum()) / max(float(excess.sum()), 1.0)
    fires = part >= 0.8 and int((twice & theirs).sum()) >= max(2, 0.8 * int(theirs.sum())) and bool(
        int((twice & others).sum()) <= 0.1 * int(others.sum())
    )  # fmt: skip
    holds = was and 2 * int(behind[theirs].sum()) > v.work[-1] and bool((low[theirs] >= 5).mean() >= 0.8)
    return (broker, theirs, fires) if fires or holds else None


def _named(m: Member) -> str:
    return m.instance_id or m.client_id or m.member_id


def _rise(v: View, bad: Bools, frozen_since: int) -> int:
    if not bad.any():
        return v.t
    return min(v.before_rise(v.lag[:, bad].sum(axis=1).tolist()), frozen_since)
