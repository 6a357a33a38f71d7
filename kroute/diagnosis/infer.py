"""From symptoms to the fewest, likeliest causes that explain them, each by the one that shows it most surely.

Units and the causes that could explain them fall into connected parts; each is searched alone (``search``), and what
it finds is told with confidence, rivals and what was ruled out (``suspects``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from math import fsum

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import Candidate, Key
from kroute.diagnosis.evidence import Evidence
from kroute.diagnosis.garbage import uncollected
from kroute.diagnosis.load import Catalogue
from kroute.diagnosis.model import UNKNOWN, Hypothesis, Rejected, Rival
from kroute.diagnosis.parts import Parts
from kroute.diagnosis.paths import Walker
from kroute.diagnosis.search import TIE, Search
from kroute.diagnosis.strain import earns, strain
from kroute.diagnosis.suspects import Suspects
from kroute.diagnosis.together import together, weigh_down
from kroute.diagnosis.unknown import unknown_candidates
from kroute.signals.estate import Estate

MAX_TOLD = 5
MAX_RULED_OUT = 8
MAX_REASONED = 500
LEAST_TOLD = 0.005
CLEARLY_AGAINST = -1.0
"""Nats of one observation from which a rival that could be considered counts as ruled out by it."""


def diagnose(catalogue: Catalogue, estate: Estate, evidence: Evidence) -> list[Hypothesis]:
    """The best set of hypotheses, sorted by cause and root. Pure; cost grows with the active symptoms."""
    if not evidence.units:
        return []
    with uncollected():
        return _diagnose(catalogue, estate, evidence)


def _diagnose(catalogue: Catalogue, estate: Estate, evidence: Evidence) -> list[Hypothesis]:
    walker = Walker(estate)
    suspects = Suspects(catalogue, estate, evidence, walker)
    candidates = list(suspects.weighed.values())
    strain(candidates, evidence, walker)
    earning = [c for c in candidates if earns(c, evidence.units)]
    groups = together(earning)
    one_of_many = {c.key: None for group in groups for c in group}
    named = _worthy(c for c in earning if c.key not in one_of_many)
    for group in groups:
        weigh_down(group)
    untold = [*suspects.untold(named), *(((), loose) for group in groups if (loose := _loose(group, named)))]
    searches: list[Search] = []
    for units, of_named, missing in _components(candidates, untold, len(evidence.units)):
        mine = of_named
        loose = [u for u in units if u not in named]
        if loose:
            unknown = unknown_candidates(catalogue.by_id[UNKNOWN], loose, evidence.units, walker, missing)
            mine = sorted([*of_named, *unknown], key=lambda c: c.key)
        if mine:
            search = Search(units, mine, evidence.units, frozenset(loose))
            search.run()
            searches.append(search)
    asked = _asked(searches)
    out = [h for search in searches for h in _hypotheses(search, suspects, asked)]
    return sorted(out, key=lambda h: (h.cause, h.root))


def _asked(searches: Iterable[Search]) -> dict[Key, None]:
    """The hypotheses for which it is told what was ruled out: in a storm the largest, for nobody reads thousands."""
    chosen = [(-len(c.cover), c.key) for s in searches for c, on in zip(s.candidates, s.chosen, strict=True) if on]
    return {key: None for _, key in sorted(chosen)[:MAX_REASONED]}


def _worthy(earning: Iterable[Candidate]) -> dict[int, None]:
    """Units that a named cause explains well enough to be bought for what it covers.

    ``unknown`` explains what nothing else does: a single one that is common to many units would otherwise be cheaper
    than the several causes that they really have.
    """
    out: dict[int, None] = {}
    for c in earning:
        out.update(dict.fromkeys(c.cover))
    return out


def _loose(group: Iterable[Candidate], named: Mapping[int, None]) -> list[int]:
    """Units of the group that nothing else explains: they hang together by their time."""
    return sorted({u: None for c in group for u in c.cover if u not in named})


Part = tuple[list[int], list[Candidate], tuple[str, ...]]
"""Units, candidates in order of their keys, and the signals that are missing to tell more."""


def _components(candidates: list[Candidate], untold: list[tuple[tuple[str, ...], list[int]]], n: int) -> Iterable[Part]:
    """Connected parts of the graph of units and the causes that could explain them.

    A cause that cannot be told for want of signals joins only what no named cause explains: it says which symptoms may
    belong together.
    """
    parts = Parts(n)
    for cover in (*(c.cover for c in candidates), *(units for _, units in untold)):
        parts.join(cover)
    units: dict[int, list[int]] = {}
    for u in range(n):
        units.setdefault(parts.head(u), []).append(u)
    mine: dict[int, list[Candidate]] = {}
    for c in candidates:
        mine.setdefault(parts.head(next(iter(c.cover))), []).append(c)
    missing: dict[int, dict[str, None]] = {}
    for words, of in untold:
        missing.setdefault(parts.head(of[0]), {}).update(dict.fromkeys(words))
    for head, of_part in units.items():
        yield of_part, mine.get(head, []), tuple(sorted(missing.get(head, ())))


def _hypotheses(search: Search, suspects: Suspects, asked: Mapping[Key, None]) -> Iterable[Hypothesis]:
    """The chosen set of a part, each with confidence, rivals and what was ruled out."""
    score = search.score() if any(search.chosen) else 0.0
    better = search.better_told()
    for key, on in enumerate(search.chosen):
        if on:
            told = search.candidates[key].key in asked
            reasons = _ruled_out(search, suspects, key) if told else ()
            yield _hypothesis(search, key, score, reasons, better.get(key, {}))


def _hypothesis(
    search: Search, key: int, score: float, ruled_out: tuple[Rejected, ...], elsewhere: Mapping[tuple[Entity, str], None]
) -> Hypothesis:  # fmt: skip
    candidates = search.candidates
    c = candidates[key]
    free = 1.0
    shares: dict[int, float] = {}
    total = [1.0]
    for a in search.alternatives(key):
        weight = math.exp(min(0.0, a.delta))
        rival = a.rival
        if rival is None:
            free = weight
            rival = max(a.added, key=lambda k: (len(candidates[k].cover), k)) if a.added else None
        if rival is None:
            total.append(weight)
        elif weight > shares.get(rival, 0.0):
            shares[rival] = weight
    whole = fsum([*total, *shares.values()])
    rivals = sorted(((w / whole, k) for k, w in shares.items()), key=lambda r: (-round(r[0], TIE), r[1]))
    best = (max(shares.values()) if shares else free) / whole
    return Hypothesis(
        cause=c.compiled.cause.id, root=c.root, confidence=round(1.0 / whole, 4), score=round(score, 6),
        explains=tuple(sorted(dict.fromkeys(x for x in c.explained if x not in elsewhere))),
        rivals=tuple(
            Rival(cause=candidates[k].compiled.cause.id, root=candidates[k].root, confidence=round(w, 4))
            for w, k in rivals[:MAX_TOLD] if w >= LEAST_TOLD
        ),
        ruled_out=ruled_out,
        missing=c.missing,
        rival_gap=round(math.log(1.0 / whole / best), 6) if best > 0 else 50.0,
    )  # fmt: skip


def _ruled_out(search: Search, suspects: Suspects, key: int) -> tuple[Rejected, ...]:
    """Causes that could have explained part of it, and the observation that speaks most against each.

    Who could have explained most comes first; at the same number one that could be considered comes before one that is
    out of the question: it is the nearer rival.
    """
    c = search.candidates[key]
    overlap: dict[int, int] = {}
    for u in c.cover:
        for k in search.by_unit[u]:
            overlap[k] = overlap.get(k, 0) + 1
    weighed: dict[Key, Candidate] = {}
    ranks: list[tuple[int, bool, Key]] = []
    for k, n in overlap.items():
        rival = search.candidates[k]
        if not search.chosen[k] and rival.compiled.cause.id != UNKNOWN and rival.most_against() <= CLEARLY_AGAINST:
            weighed[rival.key] = rival
            ranks.append((-n, False, rival.key))
    ranks.extend((-n, True, k) for k, n in suspects.rejected(c.cover).items())
    seen: dict[str, Rejected] = {}
    for _, _, (cause, root) in sorted(ranks):
        if cause in seen:
            continue
        rejected = weighed.get((cause, root))
        because = suspects.why_not((cause, root)) if rejected is None else rejected.strongest_against()
        if because is not None:
            seen[cause] = Rejected(cause=cause, root=root, because=because)
            if len(seen) == MAX_RULED_OUT:
                break
    return tuple(seen.values())
