"""Rules L16, L17: freshness against its objective. Impact, never evidence.

Freshness is measured against the log end, not the last stable offset: behind a hung transaction there is no work,
and the data is stale all the same.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from kroute.signals.lag.ring import Carry
from kroute.signals.lag.verdict import Found, Verdict, span
from kroute.signals.lag.view import View, lows

CLEARED = 0.9
"""A breach is over below this share of the objective."""
REACT_S = 300.0
LEFT_UNREAD = 0.03
"""Part of what is produced by which the lag of a group rises at least, where it does not keep up."""


class Fresh(NamedTuple):
    """One topic's freshness for one group: seconds, how sure (``exact`` | ``estimate`` | ``at-least``), objective in s."""

    topic: str
    lag_s: float
    bound: str
    objective_s: float

    @property
    def ratio(self) -> float:
        """1 is the objective."""
        return self.lag_s / self.objective_s


def objective(v: View, fresh: list[Fresh], out: Verdict, carry: Carry) -> None:
    """Say L16 objective-breached and L17 objective-at-risk for the worst topic."""
    if not fresh:
        return
    worst = max(fresh, key=lambda f: (f.ratio, f.topic))
    carry.ratio = worst.ratio
    sure = worst.bound != "estimate" or v.n >= 3
    breached = worst.ratio >= 1.0 and sure

    def l16() -> Found:
        over = [f.topic for f in fresh if f.ratio >= CLEARED] or [worst.topic]
        at = {"exact": "", "estimate": "about ", "at-least": "at least "}[worst.bound]
        why = f"{worst.topic} is {at}{span(worst.lag_s)} behind, objective {span(worst.objective_s)}"
        since = v.t - int(max(0.0, worst.lag_s - worst.objective_s) * 1000) if breached else v.t
        return Found(max(since, v.polls[0].t), worst.lag_s, why, {"topics": over[:32], "objective_s": worst.objective_s})

    out.say("objective-breached", breached, worst.ratio >= CLEARED, l16)
    left = breach_in_s(v, worst, "objective-at-risk" in out.was)
    near = left is not None and left < max(REACT_S, worst.objective_s) and worst.ratio >= 0.25
    at_risk = near and not breached and "objective-breached" not in out.found

    def l17() -> Found:
        ends = f"the objective of {span(worst.objective_s)} in {span(left)}" if left is not None else "its objective no sooner"
        why = f"{worst.topic} is {span(worst.lag_s)} behind and reaches {ends}"
        return Found(
            v.t, left if left is not None else math.inf, why, {"topics": [worst.topic], "objective_s": worst.objective_s}
        )

    out.say("objective-at-risk", at_risk, at_risk, l17)
    if "objective-breached" in out.found:
        out.clear("objective-at-risk")


def pressed(v: View, fresh: list[Fresh]) -> bool:
    """True while freshness grows steadily worse, the objective is near or past, and the group is further behind than
    ever in its window by a part of what comes: whatever is usual for it, it does not keep up. Behind a transaction that
    hangs it does: what it may not read yet is no work."""
    if not fresh or v.n < 4:
        return False
    worst = max(fresh, key=lambda f: (f.ratio, f.topic))
    left = breach_in_s(v, worst)
    if left is None or worst.ratio < 0.25 or (worst.ratio < 1.0 and left >= max(REACT_S, worst.objective_s)):
        return False
    period = v.commit_polls
    low = lows(v.work, period)
    back = 3 if period == 1 else 2
    if len(low) <= back or low[0] <= max(low[1:]):
        return False
    worse = all(newer > older for newer, older in itertools.pairwise(low[: back + 1]))
    return worse and low[0] - low[back] > LEFT_UNREAD * v.produced(back * period)


def breach_in_s(v: View, worst: Fresh, was: bool = False) -> float | None:
    """Seconds until the objective is reached at this slope; None while freshness is not clearly getting worse.

    Where a group commits in every other poll or less often, the best of each commit period are compared. ``was``: it was at
    risk, and is so until freshness stops getting worse.
    """
    step = v.commit_polls
    rs = lows([*(p.carry.ratio for p in v.polls[:-1]), worst.ratio], step)[: 4 if step == 1 else 3][::-1]
    if len(rs) < 3 or (step == 1 and len(rs) < 4) or min(rs) < 0.0:
        return None
    if not (all(a < b for a, b in itertools.pairwise(rs)) or (was and rs[0] < rs[-1])):
        return None
    slope = (rs[-1] - rs[0]) / max(0.001, v.seconds((len(rs) - 1) * step))
    return max(0.0, (1.0 - worst.ratio) / slope)
