"""Rules L6–L8: did the group's position jump, or fall out of the log?"""

from __future__ import annotations

import itertools

import numpy as np

from kroute.signals.lag.membership import UNSETTLED
from kroute.signals.lag.ring import Carry, Ring
from kroute.signals.lag.skew import Skew
from kroute.signals.lag.verdict import CAP, Found, Verdict, number
from kroute.signals.lag.view import View

SHOWN_MS = 5 * 60_000
"""What happened once is shown for this long at least: long enough to be weighed with what follows."""
FAST = 5_000.0
"""Records per second and partition that a fast consumer may well read."""
SUDDEN = 5.0
"""Times as fast as ever seen: more than who was as far behind all along becomes faster of a sudden."""


def position(ring: Ring, v: View, skew: Skew, out: Verdict, carry: Carry) -> None:
    """Say L6, L7, L8."""
    if v.n < 2:
        out.unknown("offset-rewound", "offset-skipped")
    else:
        _rewound(ring, v, skew, out)
        _skipped(v, skew, carry)
        _event(v, out, carry, "offset-skipped")
    _lost(ring, v, skew, carry)
    _event(v, out, carry, "records-lost")


def _event(v: View, out: Verdict, carry: Carry, kind: str) -> None:
    e = carry.events.get(kind)
    if e is None:
        return
    when, value, why, topics, partitions = e
    detail = {"topic": topics[0] if topics else "", "partitions": [f"{t}/{p}" for t, p in zip(topics, partitions, strict=True)]}
    shown = v.t - when <= SHOWN_MS
    if not shown:
        carry.events = {k: x for k, x in carry.events.items() if k != kind}
    out.say(kind, shown, False, lambda: Found(when, value, why, detail))


def _happened(v: View, skew: Skew, carry: Carry, kind: str, when: int, value: float, why: str, columns: list[int]) -> None:
    names = sorted(skew.name(i) for i in columns)[:CAP]
    event = (when, value, why, tuple(t for t, _ in names), tuple(p for _, p in names))
    carry.events = {**carry.events, kind: event}


def _rewound(ring: Ring, v: View, skew: Skew, out: Verdict) -> None:
    """L6 (Burrow rule 2): the committed offset went back. A few records back is a redelivery after a rebalance.

    Active until the former position is regained.
    """
    if not ring.backs:
        return
    c = v.committed
    top = np.maximum(c.max(axis=0), ring.high[v.cols])
    back = top - c[-1]
    if not back.any():
        if v.n == ring.n and len(v.cols) == ring.width and not ring.holes:
            ring.backs = bool((c[1:] < c[:-1]).any() or ring.high.any())
        return
    gone = back > 0
    total = int(back[gone].sum())
    steps = (c[1:] - c[:-1])[:, gone]
    usual = float(np.maximum(steps, 0).sum()) / max(1, v.n - 1)
    jumps = np.flatnonzero((steps < 0).any(axis=1))
    since = v.polls[int(jumps[-1]) + 1].t if len(jumps) else v.t
    fires = total >= 10 and total > 1.5 * usual * max(1, v.tooth)
    columns = [int(i) for i in np.flatnonzero(gone)]
    why = f"committed offset went back by {number(float(total))} records on {len(columns)} partitions"
    out.say("offset-rewound", fires, True, lambda: Found(since, float(total), why, skew.where(columns)))


def _skipped(v: View, skew: Skew, carry: Carry) -> None:
    """L7: the position jumped over a backlog faster than anyone reads, or while nobody was there to read.

    ``kafka-consumer-groups --reset-offsets`` works on an empty group only: a jump between two empty polls is one.
    """
    jump, before, after = v.read[-1] - v.read[-2], v.work[-2], v.work[-1]
    if jump < 100 or jump < 0.5 * before:
        return
    p, q = v.polls[-2], v.polls[-1]
    seconds = max((q.t - p.t) / 1000.0, 0.001)
    # Who joins has read nothing before the group is Stable; a batch reader may come and go between two polls.
    none_read = p.state == "Empty" and (q.state == "Empty" or q.state in UNSETTLED) and not v.seldom
    nobody = none_read and v.was.had_members and before > 2 * v.rate * v.step_s
    if not nobody:
        if after > 0.1 * before or before <= 5 * v.rate * v.step_s or v.n < 4:
            return
        since_move = seconds if p.state == "Empty" else max(seconds, (q.t - v.was.moved_ms) / 1000.0)
        rates = [(v.read[i + 1] - v.read[i]) * 1000.0 / max(1, v.polls[i + 1].t - v.polls[i].t) for i in range(v.n - 2)]
        can = max([v.rate, *rates, v.usual.read.high if v.usual.read.known else 0.0])
        step = v.committed[-1] - v.committed[-2]
        if jump / since_move <= (SUDDEN * can if _means_to(v) else max(20.0 * can, FAST * int((step > 0).sum()))):
            return
    step = v.committed[-1] - v.committed[-2]
    columns = [int(i) for i in np.flatnonzero(step > 0)]
    who = "while the group had no members" if nobody else f"in {number(seconds)} s"
    why = f"committed offset jumped forward by {number(float(jump))} records {who}, over a backlog of {number(float(before))}"
    _happened(v, skew, carry, "offset-skipped", q.t, float(jump), why, columns)


def _means_to(v: View) -> bool:
    """True for a group that reads on and on and is as far behind as ever: it means to be, and does not come to an end at once."""
    moved = [0, *(i for i in v.moves() if i < v.n - 1), v.n - 1]
    reads = max(b - a for a, b in itertools.pairwise(moved)) <= v.commit_polls and min(v.work[:-1]) > 5 * v.rate * v.step_s
    return reads and v.usual.behind.known and v.work[-2] <= 2.0 * v.usual.behind.mid * v.rate


def _lost(ring: Ring, v: View, skew: Skew, carry: Carry) -> None:
    """L8: the commit lies below the log start: retention took records that were never read (redpanda#30624).

    A reader that is told so goes on at the log start at once (``auto.offset.reset=earliest``), between two polls: where
    the log start has passed a commit that stood still, what lies between is lost too. Who was never seen to read loses nothing.
    """
    if v.t != ring.polls[-1].t or v.inside or (v.polls[-1].state == "Empty" and not v.was.had_members):
        return
    start = ring.start if len(v.cols) == ring.width else ring.start[v.cols]
    if not np.count_nonzero(v.committed[-2:] < start):
        return
    at = v.committed[-1]
    if v.n >= 4:
        stood = (v.committed[-2] == v.committed[-4]) & (v.lag[-2] > 0) & (v.committed[-2] < start) & (at >= start)
        at = np.where(stood, v.committed[-2], at)
    below = at < start
    if not np.count_nonzero(below):
        return
    columns = [int(i) for i in np.flatnonzero(below)]
    lost = int((start - at)[below].sum())
    old = carry.events.get("records-lost")
    where = f"{len(columns)} partitions"
    why = f"{number(float(lost))} records were deleted before they were read: commit below the log start on {where}"
    _happened(v, skew, carry, "records-lost", v.t, float(max(lost, int(old[1]) if old else 0)), why, columns)
