"""Rules L1–L5 and L14: is the group keeping up? Judged on the sums over its partitions.

The base line is Burrow's evaluator (linkedin/Burrow, ``evaluator/caching.go``): lag that never decreases, commits
that stand still, no commits at all. What differs is stated at each rule.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from kroute.signals.lag.ring import Carry
from kroute.signals.lag.skew import Skew
from kroute.signals.lag.verdict import Found, Verdict, number, span
from kroute.signals.lag.view import LEARNT_MOVES, NOISE, UNLEARNT_RISE, View, lows

FEW_MOVES, MOMENT = 20, 4.0
"""A group that was seen to commit in fewer polls than this, and read in a moment what took so many times as long to gather,
comes now and then."""
WATCHED = 2.5
"""Between two polls so many steps apart commits may have come: how long they stayed away is not learnt from that."""
BACK = 1.5
"""A group whose commits stayed away for so many times its longest time before has paused, and is judged when it goes on."""
FAR_S = 600.0
"""Who is further behind than this and comes nearer reads old records, however usual that is for it."""
RISES = 0.03
"""A lag that rises does so by more than this share of what is produced: over its commit periods, and from the last poll to the
newest too."""
CLIMBS = 3
"""Commit periods over which the lowest lag has to climb."""
LAGGING = ("lag-growing", "commits-slow", "commits-stopped", "group-empty")


def pace(v: View, skew: Skew, out: Verdict, carry: Carry, *, pressed: bool = False) -> None:
    """Say L1–L5 and L14. ``carry`` is the new poll's, with its movement already noted (``movement``). ``pressed``: its
    objective is at risk or breached by a steady slope."""
    if v.n < 3:
        out.unknown("lag-growing", "commits-slow", "catching-up", "reading-fast")
        if not v.work[-1]:
            out.clear("lag-growing", "commits-slow")  # of what is left to judge nothing waits
    else:
        if carry.moves < LEARNT_MOVES:
            out.unknown("lag-growing", "commits-slow")
        else:
            _growing(v, skew, out, carry, pressed)
        _catching_up(v, out)
        _fast(v, out)
    if v.n < 2:
        out.unknown("commits-stopped", "group-empty")  # of its partitions nothing was told before
    else:
        _stopped(v, skew, out, carry)
    if "catching-up" in out.found and out.active["catching-up"][1] == 0:
        out.clear(*LAGGING)


def movement(v: View, carry: Carry) -> None:
    """When did a commit last move, and what period do the group's commits keep?

    A group with nothing left to commit is not silent: silence is counted from the moment records wait
    (Burrow#38, #123: low traffic is not a stall).
    """
    was, t = v.was, v.t
    if v.n < 2 or not was.moved_ms:  # before its first commit, or while nothing is known of it, a group was not silent
        carry.moved_ms, carry.pending = t, 0
        return
    moved = v.read[-1] > v.read[-2] or bool((v.committed[-1] > v.committed[-2]).any())
    waiting = v.work[-1] > 0
    if moved or not waiting:
        carry.moved_ms, carry.pending = t, 0
        carry.moves = min(was.moves + 1, 1_000)
        watched = t - v.polls[-2].t <= WATCHED * v.step_ms
        if moved and watched and (was.pending or v.work[-2] > 0):
            _learn(v, carry, t - was.moved_ms)
    elif v.made[-1] > v.made[-2]:
        carry.pending = was.pending + 1
    if carry.moves < FEW_MOVES:
        carry.period_ms = max(carry.period_ms, _gathered_ms(v))


def _learn(v: View, carry: Carry, silence_ms: int) -> None:
    was = v.was
    if "commits-stopped" in was.active or "group-empty" in was.active:
        carry.long_ms = silence_ms
        if was.long_ms and 0.7 <= silence_ms / was.long_ms <= 1.43:
            carry.period_ms = silence_ms  # the second silence alike is no fault but a schedule
        return
    fade = math.exp(-silence_ms / max(10 * was.period_ms, 3_600_000))
    carry.period_ms = max(silence_ms, int(was.period_ms * fade))


def _growing(v: View, skew: Skew, out: Verdict, carry: Carry, pressed: bool) -> None:
    """L1 lag-growing and L2 commits-slow.

    Commits every few seconds make lag jump by a poll's production, so the lowest lag of the newest commit period is
    compared: with what is usual, and with the lowest of the period before. Where commits are seen in few polls, what was read
    and what came are compared from one that was seen to another.
    """
    if not v.far and not pressed and not skew.growing_topics and "lag-growing" not in out.was and "commits-slow" not in out.was:
        return
    tooth = v.tooth + 1
    first, last = v.whole_periods()
    seconds = max(v.step_s, (v.polls[last].t - v.polls[first].t) / 1000.0)
    older = min(v.work[-2 * tooth : -tooth] or v.work[:1])
    grew = v.floor - older
    slope = v.slope(max(4, tooth + 1)) if v.tooth == 1 else grew / max(v.step_s, v.seconds(tooth))
    steady = v.n >= 4 and v.produced(tooth) > 0
    back = carry.period_ms > max(v.was.period_ms, v.step_ms) * BACK
    silent = back or 0 < v.t - carry.moved_ms <= v.silence_limit_ms
    made, read = v.made[last] - v.made[first], v.read[last] - v.read[first]
    rising = steady and not silent and slope > RISES * v.rate and grew > RISES * v.produced(tooth)
    slow = v.far and steady and carry.moved_ms == v.t and not silent and 0 < read < 0.9 * made and v.work[last] > v.work[first]
    # Commits come at another moment of the poll than they did: that is one step, and it goes on as before.
    goes_on = v.tooth > 1 or v.work[-1] - v.work[-2] > RISES * v.produced(1)
    if (rising or slow) and not (goes_on and _stands_out(v)):
        rising = slow = False
    fires = (v.far and rising and v.work[-1] >= v.low_before(v.work) - 0.5 * v.produced(1)) or (
        (skew.growing_topics != [] or pressed) and not silent
    )
    holds = (v.far or v.work[-1] > 0.9 * max(v.work)) and slope > -0.02 * v.rate

    def l1() -> Found:
        begun = v.begun_ms()
        lasted = max(v.step_s, (v.t - begun) / 1000.0)
        why = f"lag grew {number(max(slope, 0.0))}/s for {span(lasted)}, {number(v.work[-1])} records behind"
        return Found(begun, float(v.work[-1]), why, skew.detail(skew.growing_topics))

    out.say("lag-growing", fires, holds, l1)
    slow_still = v.far and read < 0.95 * made

    def l2() -> Found:
        behind = number(v.work[-1])
        why = f"commits {number(read / seconds)}/s against {number(made / seconds)}/s produced, {behind} records behind"
        return Found(v.begun_ms(), read / seconds, why, skew.detail([]))

    out.say("commits-slow", slow, slow_still, l2)


def _stands_out(v: View) -> bool:
    """False where the lag rose by no more than it goes up and down anyway, or where nothing is known to be usual and it is
    hardly further behind in time than it was: more comes, so more waits."""
    if not v.stands_out(np.array(v.work, np.float64)) and not _climbs(v):
        return False
    if v.usual.behind.known:
        return True
    before = [p.carry.behind_s for p in v.polls[:-1] if p.carry.behind_s >= 0.0]
    return not before or v.behind_s > UNLEARNT_RISE * min(before)


def _climbs(v: View) -> bool:
    """Where too few commit periods fit into the window to tell by how much their lowest lags differ anyway: each is higher than
    the one before, and the newest than the oldest by more than what is usual for the group goes up and down."""
    period, usual = v.commit_polls, v.usual.behind
    if period == 1 or not usual.known or v.rate <= 0:
        return False
    low = lows(v.work, period)[::-1]
    if len(low) < CLIMBS:
        low = [v.work[i] for i in v.moves()]
    rises = all(a < b for a, b in pairwise(low))
    return len(low) >= CLIMBS and rises and low[-1] - low[0] > NOISE * usual.mad * v.rate


def _gathered_ms(v: View) -> int:
    """How long a group had stayed away that came, read in a moment what had gathered without it, and leaves at this poll."""
    if v.polls[-1].state != "Empty" or v.polls[-2].state == "Empty" or v.rate <= 0:
        return 0
    came = next((i for i in range(v.n - 3, -1, -1) if v.polls[i].state == "Empty"), -1)
    if came < 0:
        return 0
    gathered_ms = 1000.0 * (v.read[-1] - v.read[came]) / v.rate
    return int(gathered_ms) if gathered_ms >= MOMENT * (v.t - v.polls[came].t) else 0


def _stopped(v: View, skew: Skew, out: Verdict, carry: Carry) -> None:
    """L3 commits-stopped and L4 group-empty: no commit for longer than the learnt or stated period, while records wait.

    Burrow's STOP and STALL judge by the span of its window; the period here is the group's own.
    """
    poll = v.polls[-1]
    empty = poll.state == "Empty"
    quiet = v.t - carry.moved_ms
    waiting = v.work[-1] >= 2
    used = carry.had_members if empty else True
    missed = waiting and carry.pending >= 2 and quiet > v.silence_limit_ms
    still = waiting and quiet > v.silence_limit_ms
    topics = skew.frozen_topics
    if not missed and not topics and "commits-stopped" not in out.was and "group-empty" not in out.was:
        return

    def l3() -> Found:
        if not still and topics:
            since = skew.frozen_since_ms
            names = ", ".join(topics[:3])
            return Found(since, (v.t - since) / 1000.0, f"no commit on {names} for {span((v.t - since) / 1000.0)} while it grows",
                         {"scope": "topics", "topics": topics[:32], **skew.led()})  # fmt: skip
        usual = f"; usual is every {span(v.period_ms / 1000.0)}" if v.period_ms else ""
        why = f"no commit for {span(quiet / 1000.0)} while topics grow, {number(v.work[-1])} records behind{usual}"
        rests = v.period_ms if v.seldom else 0  # until its next commit was due nothing was amiss
        return Found(min(carry.moved_ms + rests, v.t), quiet / 1000.0, why, skew.detail([]))

    out.say("commits-stopped", used and (missed or bool(topics)), used and (still or bool(topics)), l3)

    def l4() -> Found:
        since = carry.empty_ms or v.t  # it has members again, and whether that lasts is not said yet
        seconds = (v.t - since) / 1000.0
        why = f"no members for {span(seconds)} while topics grow, {number(v.work[-1])} records behind"
        return Found(since, seconds, why, skew.detail([]))

    gone = empty and carry.had_members
    out.say("group-empty", gone and missed and v.t - carry.empty_ms > 1.5 * v.step_ms, gone and still, l4)


def _catching_up(v: View, out: Verdict) -> None:
    """L5: lag is large and falls. Says when it ends; not a fault (Burrow#155, #738)."""
    limit = max(min(v.usual_s, FAR_S) + v.step_s, 3 * v.step_s)
    large = v.work[-1] > limit * v.rate and v.work[-1] >= 20
    if not large and "catching-up" not in out.was:
        return
    w = v.tooth + 1
    if w > 2 and v.n > 3 and all(a < b for a, b in pairwise(v.read[-4:])):
        w = 2  # however seldom it commits otherwise, now it does in every poll
    slope = v.slope(max(3, w + 1))
    down = slope < -max(0.02 * v.rate, 0.0002 * v.work[-1]) and v.read[-1] > v.read[max(0, v.n - 1 - w)]
    new, old = v.work[-w:], v.work[-2 * w : -w] or v.work[:1]
    lower = max(new) < 0.995 * max(old) and min(new) < min(old) and v.work[-1] < v.work[-2]
    run = v.work[-1 - w :]
    straight = len(run) > w and all(a > b for a, b in pairwise(run))
    falls = down and (lower or straight)

    def l5() -> Found:
        left = v.work[-1] / -slope if slope < 0 else 0.0
        ends = f"caught up in about {span(left)}" if slope < 0 else "the end is not in sight"
        top = max(range(v.n), key=lambda i: (v.work[i], i))
        why = f"lag falls by {number(max(0.0, -slope))}/s, {number(v.work[-1])} records behind; {ends}"
        return Found(v.polls[top].t, left, why, {})

    out.say("catching-up", large and falls, large and down, l5)


def _fast(v: View, out: Verdict) -> None:
    """L14 reading-fast: two polls in a row read much faster than usual (a replay, or a backlog being read)."""
    behind = v.work[-3] > max(v.rate, 1.0) * 3 * v.step_s
    if not behind and "reading-fast" not in out.was:
        return
    gaps = []
    for i in (1, 2):
        s = (v.polls[-i].t - v.polls[-1 - i].t) / 1000.0
        gaps.append((v.read[-i] - v.read[-1 - i]) / s if s > 0 else 0.0)
    low = min(gaps)
    base = 3.0 * max(v.usual.read.high, v.rate) if v.usual.read.known else 5.0 * max(v.rate, 1.0)

    def l14() -> Found:
        usual = v.usual.read.mid if v.usual.read.known else v.rate
        why = f"reads {number(max(gaps))}/s, usual is {number(usual)}/s"
        return Found(v.polls[-3].t, max(gaps), why, {})

    out.say("reading-fast", behind and low > base, max(gaps) > 0.5 * base and v.work[-1] > 0, l14)
