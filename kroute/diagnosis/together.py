"""Consumers that fall behind together have something in common, seen or not.

D12 where the onsets of ``alone`` causes at ``MANY`` roots of a cluster lie within ``TOGETHER_MS``, each beyond the first
    costs what it costs to begin just then, and what nothing shared and named explains may be one trouble of unknown cause
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import Candidate
from kroute.diagnosis.evidence import Unit
from kroute.diagnosis.strain import earns

MANY = 3
TOGETHER_MS = 150_000
"""Two polls and a half of a minute each: onsets are known to a poll on either side."""


def together(candidates: Iterable[Candidate], units: Sequence[Unit]) -> list[list[Candidate]]:
    """The candidates of each trouble that looks like one, at roots that began within ``TOGETHER_MS`` of its first."""
    began: dict[Entity, int] = {}
    mine: dict[Entity, list[Candidate]] = {}
    shared: dict[int, None] = {}
    for c in candidates:
        if not earns(c, units):
            continue
        if c.compiled.cause.alone:
            mine.setdefault(c.root, []).append(c)
            began[c.root] = min(c.onset, began.get(c.root, c.onset))
        else:
            shared.update(dict.fromkeys(c.cover))
    clusters: dict[str, list[Entity]] = {}
    for root in sorted(mine, key=lambda e: (began[e], e)):
        if any(u not in shared for c in mine[root] for u in c.cover):
            clusters.setdefault(root.cluster, []).append(root)
    out: list[list[Candidate]] = []
    for roots in clusters.values():
        i = 0
        while i < len(roots):
            n = sum(1 for e in roots[i:] if began[e] <= began[roots[i]] + TOGETHER_MS)
            if n >= MANY:
                out.append([c for e in roots[i : i + n] for c in mine[e]])
            i += n if n >= MANY else 1
    return out


def weigh_down(group: Sequence[Candidate]) -> None:
    """Take from each root but the first the nats of beginning within this window rather than at any time."""
    first = group[0].root
    for c in group:
        if c.root != first:
            c.static += min(0.0, math.log(TOGETHER_MS / c.compiled.lasts_ms))
