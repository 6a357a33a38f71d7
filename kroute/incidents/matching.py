"""Which hypothesis continues which incident, by the weight of the symptoms they share; and whose a symptom is.

Rules: same cause and root continue each other; else at least 0.3 of the lighter one's weight must be shared; most
shared weight first, ties to the oldest; each matches once. What was only suffered goes on as what accounts for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.diagnosis.load import Catalogue
from kroute.diagnosis.model import UNKNOWN, Hypothesis
from kroute.incidents.model import Incident
from kroute.incidents.recovery import Active, afterwards, anew, over_by, spent
from kroute.signals.table import BY_KIND, IMPACT_FAMILY

SHARE = 0.3
MERGE_SHARE = 0.5
"""An incident is merged when another cause explains this share of its evidence."""
Held = dict[Entity, dict[str, dict[str, None]]]
"""Who holds what is there: entity → incident id → kinds."""


class Matches(NamedTuple):
    """``of``: index of the hypothesis → incident id; ``shared``: index → ids it shares symptoms with, heaviest first."""

    of: dict[int, str]
    shared: dict[int, list[str]]


def weight(kind: str) -> float:
    """What a symptom weighs: the nats that leaving it unexplained costs; impact weighs little but not nothing."""
    row = BY_KIND[kind]
    return 0.1 if row.family == IMPACT_FAMILY else -math.log(row.leak)


def match(
    hypotheses: list[Hypothesis], live: Mapping[str, Incident], accounts: Sequence[Mapping[Entity, None]], active: Active,
) -> Matches:  # fmt: skip
    """Match greedily; deterministic. ``accounts``: by hypothesis, whose breached objectives it accounts for. ``active``: the
    symptoms that are there."""
    holders: dict[tuple[Entity, str], list[str]] = {}
    same_as: dict[tuple[str, Entity], list[str]] = {}
    for i in sorted(live):
        same_as.setdefault((live[i].cause, live[i].root), []).append(i)
        again = anew(live[i], active)
        for s, e in live[i].evidence.items():
            if s not in again and not afterwards(live[i], e.symptom):
                holders.setdefault(s, []).append(i)
    total = {i: _total(live[i].evidence) for i in sorted(live)}
    suffers = {i: [e for e, _ in live[i].evidence] for i in total if live[i].cause == UNKNOWN and _only_impact(live[i])}
    pairs: list[tuple[int, float, int, str, int]] = []
    shared: dict[int, list[str]] = {}
    for n, h in enumerate(hypotheses):
        weights: dict[str, list[float]] = {}
        for s in h.explains:
            for i in holders.get(s, ()):
                weights.setdefault(i, []).append(weight(s[1]))
        own = _total(h.explains)
        for i, parts in weights.items():
            inc, overlap = live[i], fsum(parts)
            same = inc.cause == h.cause and inc.root == h.root
            if same or overlap >= SHARE * min(own, total[i]):
                pairs.append((0 if same else 1, -overlap, inc.started_ms, i, n))
        shared[n] = sorted(weights, key=lambda i: (-fsum(weights[i]), i))
        pairs.extend((0, 0.0, live[i].started_ms, i, n) for i in same_as.get((h.cause, h.root), ()) if i not in weights)
        mine = accounts[n]
        pairs.extend((2, 0.0, live[i].started_ms, i, n) for i, es in suffers.items() if all(e in mine for e in es))
    of: dict[int, str] = {}
    taken: dict[str, None] = {}
    for _, _, _, i, n in sorted(pairs):
        if n not in of and i not in taken:
            of[n] = i
            taken[i] = None
    return Matches(of, shared)


def standing(live: Mapping[str, Incident]) -> list[Hypothesis]:
    """What is known, where a diagnosis gives nothing new: each incident as it is, with what is still there of it."""
    return [
        Hypothesis(
            cause=inc.cause, root=inc.root, confidence=inc.confidence, score=0.0, rivals=inc.rivals, ruled_out=inc.ruled_out,
            missing=inc.missing, explains=tuple(sorted(s for s, e in inc.evidence.items() if e.cleared_ms is None)),
        )
        for inc in live.values()
    ]  # fmt: skip


def _only_impact(inc: Incident) -> bool:
    return all(BY_KIND[kind].family == IMPACT_FAMILY for _, kind in inc.evidence)


def _total(symptoms: Iterable[tuple[Entity, str]]) -> float:
    return fsum(weight(kind) for _, kind in symptoms)


def older_first(hypotheses: list[Hypothesis], of: dict[int, str], live: Mapping[str, Incident], active: Active) -> None:
    """Where two incidents that were told turn out to be one, the one that was told first stays (I4). What came after one of
    which nothing is left makes no one of them."""
    taken = dict.fromkeys(of.values())
    there = {i: inc for i, inc in live.items() if i not in taken and inc.phase != "settling" and not spent(inc, active)}
    left = sorted((told_first(inc), i) for i, inc in there.items())
    for told, i in left:
        evidence = live[i].evidence
        for n in sorted(of):
            holder = live[of[n]]
            if (told_first(holder), holder.id) <= (told, i):
                continue
            explains = dict.fromkeys(hypotheses[n].explains)
            gone = sum(weight(k) for e, k in sorted(evidence) if (e, k) in explains)
            if gone > 0 and gone >= MERGE_SHARE * sum(weight(k) for _, k in sorted(evidence)):
                of[n] = i
                break


def told_first(inc: Incident) -> tuple[bool, int, int]:
    """Sorts incidents by when they were told, those that were not by when they began."""
    return (inc.opened_ms is None, inc.opened_ms or 0, inc.started_ms)


def held_by(incidents: Iterable[Incident]) -> Held:
    """Who holds what is there."""
    out: Held = {}
    for inc in incidents:
        for (e, kind), evidence in inc.evidence.items():
            if evidence.cleared_ms is None:
                out.setdefault(e, {}).setdefault(inc.id, {})[kind] = None
    return out


def whose(
    s: tuple[Entity, str], since_ms: int, ids: list[str], held: Held, live: Mapping[str, Incident], causes: Catalogue
) -> str:  # fmt: skip
    """Of several incidents whose causes explain a symptom alike: the one that holds it, or that holds others of its entity; none
    whose cause was over by the time it began, where one that was not lists it."""
    if len(ids) > 1:
        fresh = [i for i in ids if not over_by(live[i], since_ms)]
        if any(t.kind == s[1] for i in fresh for t in causes.by_id[live[i].cause].expects):
            ids = fresh
    if len(ids) == 1 or s[0] not in held:
        return ids[0]
    e, kind = s
    return min(ids, key=lambda i: (kind not in held[e].get(i, ()), i not in held[e], ids.index(i)))
