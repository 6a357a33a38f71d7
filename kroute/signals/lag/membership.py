"""Rules L12, L13, L15: the group's state, who comes and goes, and whether members read across racks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kroute.signals.lag.ring import Bools, Carry, Ints, Poll, Ring
from kroute.signals.lag.verdict import Found, Verdict
from kroute.signals.lag.view import Usual, View

UNSETTLED = frozenset({"PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling"})
GAPS = 6
OFTEN = 3
"""This many of the newest ``GAPS`` polls make a habit."""
SEVERAL, PART = 3, 0.2
"""So many partitions read from afar have to be behind, of two brokers with this part of it each at least, for that to be why."""
TWICE = 2
"""Gaps in which all members were replaced: each of them is as many leaving and joining, seen at once between rare polls, and
one alone is a restart."""


class Racks(NamedTuple):
    """Member racks by member index, and the rack that leads a topic's partition; None where not known."""

    of_member: list[str | None]
    of_leader: Callable[[int], str | None]


def unsettled(polls: list[Poll], out: Verdict) -> None:
    """L12 rebalancing: not Stable in several polls, or the group's epoch keeps moving (KIP-848)."""
    p, q, r = polls[-1], polls[-2:][0], polls[-3:][0]
    calm = p.epoch == q.epoch == r.epoch and p.state not in UNSETTLED and q.state not in UNSETTLED
    if calm and "rebalancing" not in out.was:
        return  # it fires at what is recent only
    last = polls[-GAPS:]
    flags = [p.state in UNSETTLED for p in last]
    moved = [p.epoch != q.epoch and p.epoch >= 0 and q.epoch >= 0 for q, p in itertools.pairwise(last)]
    n_flags, n_moved = sum(flags), sum(moved)
    fires = (n_flags >= OFTEN and any(flags[-2:])) or (n_moved >= OFTEN and any(moved[-2:]))
    if not fires and "rebalancing" not in out.was:
        return
    fires = fires and not rolling(polls)
    recent = any(flags[-3:]) or any(moved[-3:])

    def l12() -> Found:
        seen = [p.t for p, f in zip(last, flags, strict=True) if f] + [p.t for p, f in zip(last[1:], moved, strict=True) if f]
        since = min(seen, default=last[-1].t)
        what = (
            f"was not Stable in {n_flags} of {len(last)} polls"
            if n_flags >= n_moved
            else f"moved its epoch in {n_moved} of {len(moved)} polls"
        )
        return Found(since, float(max(n_flags, n_moved)), f"the group {what}", {})

    out.say("rebalancing", fires, recent, l12)


def churning(polls: list[Poll], usual: Usual, out: Verdict, carry: Carry) -> None:
    """L13 member-churn: members leave and join more often than is usual for this group.

    Polls that are far apart see many changes as one: that nobody is left of two members or more, twice, is often too.
    """
    last = polls[-GAPS - 1 :]
    members = last[-1].members
    if members is None:
        out.unknown("member-churn")
        return
    if "member-churn" not in out.was and len(last) > 2 and last[-2].members == last[-3].members == members:
        carry.churn = 0.0  # it fires at what is recent only
        return
    changed = [p.members is not None and q.members is not None and p.members != q.members for q, p in itertools.pairwise(last)]
    carry.churn = float(changed[-1]) if changed else 0.0
    n = sum(changed)
    normal = usual.churn.mid * len(changed) if usual.churn.known else 0.0
    replaced = sum(c and _replaced(q, p) for c, (q, p) in zip(changed, itertools.pairwise(last), strict=True))
    fires = (n >= OFTEN or replaced >= TWICE) and n > 3.0 * normal and any(changed[-2:]) and not rolling(polls)
    if not fires and "member-churn" not in out.was:
        return

    def l13() -> Found:
        since = next((p.t for p, c in zip(last[1:], changed, strict=True) if c), last[-1].t)
        all_of = f", all of them in {replaced}" if replaced else ""
        now = len(last[-1].members or ())
        return Found(since, float(n), f"members changed in {n} of the last {len(changed)} polls{all_of}, {now} now", {})

    out.say("member-churn", fires, any(changed[-3:]), l13)


def rolling(polls: list[Poll]) -> bool:
    """True while each member is replaced once, one after the other: a restart of all, as in a deployment.

    Who came stays, who left does not come back, and there are never more than one above those that there were.
    """
    before = set(polls[0].members or ())
    most, old = len(before) + 1, before
    came: set[int] = set()
    for p in polls[1:]:
        now = set(p.members or ())
        if p.members is None or len(now) > most or not came <= now or not old.isdisjoint(now - before):
            return False
        came |= now - before
        before = now
    return bool(came) and not old <= before


def _replaced(before: Poll, after: Poll) -> bool:
    """True when none of several members is left."""
    old, new = before.members or (), after.members or ()
    return len(old) > 1 and len(new) > 1 and set(old).isdisjoint(new)


def remote(ring: Ring, v: View | None, out: Verdict, carry: Carry, usual: Usual, owner: Ints | None, racks: Racks | None) -> None:
    """L15 reading-remote: members whose leaders stand in other racks.

    Without rack awareness two thirds of all reads are remote and mean nothing, so it counts against the group's own
    usual share, or when those who read from afar are behind and those who read from near are not.
    """
    if v is None or owner is None or racks is None:
        out.unknown("reading-remote")
        return
    mine = owner[v.cols]
    leaders = ring.leader[v.cols]
    known = remote_n = 0
    far = np.zeros(len(mine), np.bool_)
    of_leader = {b: racks.of_leader(b) if b >= 0 else None for b in dict.fromkeys(leaders.tolist())}
    for i, (m, b) in enumerate(zip(mine.tolist(), leaders.tolist(), strict=True)):
        here = racks.of_member[m] if m >= 0 else None
        there = of_leader[b]
        if here is not None and there is not None:
            known += 1
            if here != there:
                remote_n += 1
                far[i] = True
    if not known:
        out.unknown("reading-remote")
        return
    share = remote_n / known
    carry.remote = share
    grown = usual.remote.known and share >= 0.5 and share >= usual.remote.mid + 0.25
    slow = v.far and 0 < remote_n < known and _only_these(v, far)
    if not (grown or slow) and "reading-remote" not in out.was:
        return

    def l15() -> Found:
        tail = ", where the lag sits" if slow else f"; usual is {usual.remote.mid:.0%}"
        why = f"{remote_n} of {known} partitions are read from a leader in another rack{tail}"
        sits = {"lag": "remote"} if slow and known - remote_n >= 2 and _of_several(v, far, leaders) else {}
        return Found(v.t, share, why, {"racks": sorted({r for r in racks.of_member if r}), **sits})

    out.say("reading-remote", grown or slow, grown, l15)


def _of_several(v: View, far: Bools, leaders: npt.NDArray[np.int32]) -> bool:
    """True when several of these partitions are behind, of more than one broker: of one alone it would be that one's."""
    lag = np.where(far, v.lag[-1], 0)
    part = PART * float(lag.sum())
    of_brokers = [float(lag[leaders == b].sum()) for b in np.unique(leaders[far])]
    behind = int(np.count_nonzero(lag > part / max(1, int(far.sum()))))
    return sum(x >= part > 0 for x in of_brokers) > 1 and behind >= SEVERAL


def _only_these(v: View, far: Bools) -> bool:
    """True when these partitions are behind and the others keep up, each side by its own production."""
    made = v.end[-1] - v.end[max(0, v.n - 7)]
    slow, other = (float(v.lag[-1, m].sum()) / max(1.0, float(made[m].sum())) for m in (far, ~far))
    return float(v.lag[-1, far].sum()) >= 0.8 * v.work[-1] and slow > 4.0 * other
