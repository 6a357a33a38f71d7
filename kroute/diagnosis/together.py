"""Consumers that fall behind together have something in common, seen or not.

D12 where the onsets of ``alone`` causes at ``MANY`` roots of a cluster lie within ``TOGETHER_MS``, each beyond the first
    costs what it costs to begin just then, and what nothing shared and named explains may be one trouble of unknown cause
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import Candidate

MANY = 3
TOGETHER_MS = 150_000
"""Two polls and a half of a minute each: onsets are known to a poll on either side."""


def together(earning: Iterable[Candidate]) -> list[list[Candidate]]:
    """Of the candidates that earn their keep, those of each trouble that looks like one: at roots that began within
    ``TOGETHER_MS`` of its first."""
    began: dict[Entity, int] = {}
    mine: dict[Entity, list[Candidate]] = {}
    shared: dict[int, None] = {}
    for c in earning:
        if c.compiled.cause.alone:
            mine.setdefault(c.root, []).append(c)
            began[c.root] = min(c.onset, began.get(c.root, c.onset))
        else:
            shared.update(dict.fromkeys(c.cover))
    clusters: dict[str, list[Entity]] = {}
    for root in sorted(sorted(mine), key=began.__getitem__):
        if any(u not in shared for c in mine[root] for u in c.cover):
            clusters.setdefault(root.cluster, []).append(root)
    out: list[list[Candidate]] = []
    for roots in clusters.values():
        i = 0
        while i < len(roots):
            end = bisect_right(roots, began[roots[i]] + TOGETHER_MS, key=began.__getitem__)
            if end - i < MANY:
                i += 1
                continue
            out.append([c for e in roots[i:end] for c in mine[e]])
            i = end
    return out


def weigh_down(group: Sequence[Candidate]) -> None:
    """Take from each root but the first the nats of beginning within this window rather than at any time."""
    first = group[0].root
    for c in group:
        if c.root != first:
            c.static += min(0.0, math.log(TOGETHER_MS / c.compiled.lasts_ms))
