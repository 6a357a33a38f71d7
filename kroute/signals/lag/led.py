"""Where a group falls behind: on the partitions of which leaders, and more there than elsewhere?

A broker in trouble holds up what it leads, or led when it went, and those who read its copy in their rack; a consumer in
trouble falls behind everywhere alike, save for what its members read. Of a group's lag only what grew beyond the broker's part
of what is produced speaks of the broker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kroute.signals.lag.ring import Bools, Ints
from kroute.signals.lag.verdict import CAP
from kroute.signals.lag.view import View

LEAST = 0.1
"""Part of the growth by which a broker's partitions exceed the others: less is how it falls."""
WHOLE = 0.5
"""From this part on the growth is taken for the broker's altogether."""
NEARLY_ALL = 0.8
"""Of a broker that leads more than this of what the group reads it cannot be told."""
STEPS = 4
"""Steps in which it is told, so that it does not change with every poll."""


def leading(v: View, serving: Sequence[Ints], rack_of: Callable[[int], str | None]) -> dict[str, Any]:
    """How far (0–1] the lag of the window's newest poll is that of what each broker leads, ``led``, or the brokers of each
    rack, ``led_racks``; those of which it is not are left out. Empty where too little is known.

    ``serving``: broker by column of the view, -1 where there is none: leaders, who led it when it went, whose copy is read.
    """
    behind = _grown(v)
    total = int(behind.sum())
    if total <= 0 or float(behind[np.max(serving, axis=0) < 0].sum()) > (1 - NEARLY_ALL) * total:
        return {}
    made = np.maximum(v.end[-1] - v.end[0], 0)
    if not made.any():
        made = np.ones(len(behind), np.int64)
    told: dict[str, Bools] = {}
    racks: dict[str, Bools] = {}
    for b in sorted({b: None for s in serving for b in s.tolist() if b >= 0}):
        theirs = told[str(b)] = np.logical_or.reduce([s == b for s in serving])
        rack = rack_of(b)
        if rack is not None:
            racks[rack] = theirs | racks[rack] if rack in racks else theirs
    all_made = float(made.sum())

    def parts(of: dict[str, Bools]) -> dict[str, float]:
        found = {}
        for name, theirs in of.items():
            usual = float(made @ theirs) / all_made
            extra = 1.0 if usual > NEARLY_ALL else (float(behind @ theirs) / total - usual) / (1.0 - usual)
            part = round(STEPS * min(1.0, extra / WHOLE)) / STEPS
            if extra >= LEAST and part:
                found[name] = part
        return dict(sorted(sorted(found.items(), key=lambda x: (-x[1], x[0]))[:CAP]))

    return {"led": parts(told), "led_racks": parts(racks)} if racks else {"led": parts(told)}


def _grown(v: View) -> Ints:
    """Records by which each partition fell behind while the lag rose to the highest of the window: what has been read since
    is still what it was. All that is behind there, where it rose before the window. Where commits are seen in few polls, the
    lowest of each commit period are looked at: between two commits all that is produced waits, wherever it lies."""
    at, period = range(v.n), v.commit_polls
    lows = [min(at[end - period : end], key=lambda i: (v.work[i], -i)) for end in range(v.n, period - 1, -period)][::-1]
    top = max(lows or at, key=lambda i: (v.work[i], i))
    before = [i for i in lows or at if i <= top]
    level = v.level([v.work[i] for i in before])
    first = next(i for i in reversed(before) if v.work[i] <= level)
    grown: Ints = np.maximum(v.lag[top] - v.lag[first], 0)
    return grown if 2 * int(grown.sum()) >= v.work[top] else v.lag[top]
