"""One consumer group: its window, its baselines, and the judgement of its polls in order of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from kroute.contracts.common import Entity
from kroute.contracts.inputs import Member
from kroute.signals.lag.baseline import Baseline
from kroute.signals.lag.freshness import Fresh, objective, pressed
from kroute.signals.lag.membership import UNSETTLED, Racks, churning, remote, unsettled
from kroute.signals.lag.pace import movement, pace
from kroute.signals.lag.position import position
from kroute.signals.lag.ring import Bools, Carry, Ints, Ring
from kroute.signals.lag.skew import Leaders, skew
from kroute.signals.lag.verdict import Verdict
from kroute.signals.lag.view import Usual, View, look
from kroute.signals.table import LAG, judged_by

FOLD = 8
"""A poll this many places from the newest goes into the baselines: late polls have come by then."""
GROUP_KINDS = judged_by(LAG, "group")
_MEMBERSHIP = frozenset({"rebalancing", "member-churn"})
_NEED_OFFSETS = tuple(sorted(GROUP_KINDS - _MEMBERSHIP))
NOTHING: dict[str, tuple[int, int]] = {}
"""What most polls show, held once; never added to."""
_SPOILING = frozenset({
    "lag-growing", "commits-slow", "commits-stopped", "group-empty", "offset-rewound", "partition-stuck",
    "member-lagging", "partition-lagging", "reading-fast", "rebalancing", "member-churn", "reading-remote",
})  # fmt: skip
"""While one of these is active, polls do not count as usual."""
GETS_ON = 0.7
"""Nor do those of a backlog that is being read: over ``FOLD`` polls it is left with this share at most."""


class GroupHead(msgspec.Struct, array_like=True):
    """A group's scalars beside its polls, stored with each row; the highest ``seq`` is the newest."""

    seq: int = 0
    interval_ms: int = 0
    folded_ms: int = 0
    protocol: str = ""
    holes: bool = False
    gaps: bool = False
    usual: list[Baseline] = msgspec.field(default_factory=list)


class Surroundings(NamedTuple):
    """What the judgement needs from outside the group."""

    schedule_s: float | None
    isolation: int
    leaders: Leaders
    fresh: Callable[[int], list[Fresh]]
    """Freshness per topic with an objective, as it stood when the window held that many polls."""
    left: bool = False
    """Its place is on another cluster: without members it has not stopped, it has moved (see ``cutover``)."""


class Group:
    """All that is kept of one group."""

    __slots__ = ("_counted", "_owner", "chunks", "down_ms", "entity", "head", "members", "pending", "ring", "usual")

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self.ring = Ring()
        self.head = GroupHead()
        self.usual = Usual()
        self.members: tuple[Member, ...] | None = None
        """The newest members that had an assignment; they tell what the group is subscribed to."""
        self.down_ms = 0
        self.pending: dict[int, dict[int, bytes]] = {}
        self.chunks: dict[str, int] = {}
        self._owner: Ints | None = None
        self._counted: Bools | None = None

    def assigned(self) -> None:
        """Work out who owns which column, and which topics nobody is subscribed to any more (Burrow#504)."""
        self._owner = self._counted = None
        if not self.members:
            return
        by: dict[str, dict[int, int]] = {}
        for i, m in enumerate(self.members):
            for topic, parts in m.assignment:
                at = by.setdefault(topic, {})
                for p in parts:
                    at[p] = i
        ring = self.ring
        owner = np.full(ring.width, -1, np.int64)
        counted = np.ones(ring.width, np.bool_)
        for topic in ring.topics:
            s = ring.slices[topic]
            mine = by.get(topic)
            if mine is None:
                counted[s] = False
            else:
                owner[s] = [mine.get(p, -1) for p in ring.ids[s].tolist()]
        self._owner = owner
        self._counted = None if counted.all() else counted

    def counted(self) -> Bools | None:
        """Columns that count, None for all."""
        return self._counted

    def view(self, n: int, around: Surroundings) -> View | None:
        """The window of the oldest ``n`` polls."""
        was = self.ring.polls[n - 2].carry if n >= 2 else Carry()
        step = self.head.interval_ms
        return look(self.ring, n, was, self.usual, self._counted, step, around.schedule_s, around.isolation)

    def judge(self, n: int, around: Surroundings) -> Verdict:
        """Judge the poll at position ``n − 1`` from its predecessor's carry and the window up to it.

        Polls that come late are judged by judging again from their place on, so any order of arrival ends alike.
        """
        ring = self.ring
        polls = ring.polls[:n]
        poll = polls[-1]
        was = polls[-2].carry if n >= 2 else Carry()
        carry = Carry(
            {}, was.events, was.moved_ms, was.moves, was.period_ms, was.long_ms, was.pending, was.had_members, 0,
            was.isolation, was.at_stable,
        )  # fmt: skip
        empty = poll.state == "Empty"
        carry.had_members = was.had_members or not (empty or poll.members == ())
        carry.empty_ms = (was.empty_ms or poll.t) if empty else 0
        out = Verdict(was.active)
        v = self.view(n, around)
        owner = self._owner if poll.members else None
        if v is None:
            out.unknown(*_NEED_OFFSETS)
            if "commits-stopped" not in was.active:
                carry.moved_ms = carry.pending = 0  # nothing of it was seen, so it was not silent
        elif around.left and empty:
            out.clear(*_NEED_OFFSETS)
        else:
            carry.isolation, carry.at_stable = v.isolation if not around.isolation else was.isolation, v.at_stable
            movement(v, carry)
            s = skew(ring, v, out, carry, around.leaders, owner, self.members or ())
            fresh = around.fresh(n)
            pace(v, s, out, carry, pressed=pressed(v, fresh))
            position(ring, v, s, out, carry)
            objective(v, fresh, out, carry)
            if n >= 3:
                carry.rate, carry.read_rate = v.rate, max(0.0, v.read_rate)
                carry.behind_s = v.behind_s if v.rate > 0 else -1.0
        unsettled(polls, out)
        churning(polls, self.usual, out, carry)
        if v is not None:
            racks = None
            if owner is not None and any(m.rack for m in self.members or ()):
                racks = Racks([m.rack for m in self.members or ()], around.leaders.rack)
            if empty:
                out.clear("reading-remote")  # nobody reads
            else:
                remote(ring, v, out, carry, self.usual, owner, racks)
        out.finish(poll.t)
        carry.active = out.active or NOTHING
        poll.carry = carry
        return out

    def fold(self) -> None:
        """Take settled polls into the baselines, unless they or what followed showed a symptom: trouble is not usual."""
        polls = self.ring.polls
        for i in range(len(polls) - FOLD):
            p = polls[i]
            if p.t <= self.head.folded_ms:
                continue
            self.head.folded_ms = p.t
            shown = [q.carry.active for q in polls[i : i + FOLD] if q.carry.active]
            if p.state in UNSETTLED or not all(map(_SPOILING.isdisjoint, shown)):
                continue
            c, u = p.carry, self.usual
            if any("catching-up" in a for a in shown) and polls[i + FOLD - 1].carry.behind_s < GETS_ON * c.behind_s:
                continue
            values = (c.behind_s, c.rate, c.read_rate, c.churn, c.remote)
            for value, base in zip(values, u.pack(), strict=True):
                if value >= 0.0:
                    base.add(value)
