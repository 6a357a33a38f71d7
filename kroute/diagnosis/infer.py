"""From symptoms to the fewest, likeliest causes that explain them: a two-layer noisy-OR network, searched greedily.

The score of a set of causes is ``Σ static + Σ_units ln P(unit)``, with P(unit) = 1 − (1 − leak) · Π (1 − p). Causes
are added by gain, then dropped, replaced by the best set of others, or swapped until nothing gains. Sums go in sorted
order by ``fsum``; nothing depends on the order of a set or of arrival.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from math import fsum

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import Candidate, weigh
from kroute.diagnosis.evidence import Evidence, UnitKey
from kroute.diagnosis.load import Catalogue
from kroute.diagnosis.model import UNKNOWN, Hypothesis, Rejected, Rival
from kroute.diagnosis.paths import Walker
from kroute.diagnosis.unknown import unknown_candidates
from kroute.signals.estate import Estate

MAX_RIVALS = 6
MAX_ROUNDS = 8
Key = tuple[str, Entity]


def diagnose(catalogue: Catalogue, estate: Estate, evidence: Evidence) -> list[Hypothesis]:
    """The best set of hypotheses, sorted by cause and root. Pure; cost grows with the active symptoms."""
    if not evidence.units:
        return []
    walker = Walker(estate)
    candidates = _candidates(catalogue, estate, evidence, walker)
    out: list[Hypothesis] = []
    named = _worthy(candidates, evidence)
    rejected: dict[UnitKey, list[Candidate]] = {}
    for c in candidates.values():
        if c.invalid is not None and not c.missing:
            for u in c.cover:
                rejected.setdefault(u, []).append(c)
    for component in _components(candidates, evidence, named):
        out.extend(_Search(component, evidence, catalogue, walker, named, rejected).hypotheses())
    return sorted(out, key=lambda h: (h.cause, h.root))


def _candidates(catalogue: Catalogue, estate: Estate, evidence: Evidence, walker: Walker) -> dict[Key, Candidate]:
    keys: dict[Key, None] = {}
    for unit in evidence.units.values():
        e = unit.key[0]
        for kind in unit.kinds:
            for c, term in catalogue.expecting.get(kind, ()):
                if not term.steps:
                    if e.kind == c.cause.root:
                        keys[(c.cause.id, e)] = None
                    continue
                for root in walker.back(e, term.steps, c.cause.root):
                    if root != e:
                        keys[(c.cause.id, root)] = None
    found: dict[Key, Candidate] = {}
    for cause, root in sorted(keys):
        candidate = weigh(catalogue.by_id[cause], root, evidence, walker, estate.platform(root.cluster))
        if candidate.cover:
            found[(cause, root)] = candidate
    return found


def _worthy(candidates: dict[Key, Candidate], evidence: Evidence) -> dict[UnitKey, None]:
    """Units that a named cause explains well enough to be bought for what it covers.

    ``unknown`` explains what nothing else does: a single one that is common to many units would otherwise be cheaper
    than the several causes that they really have.
    """
    out: dict[UnitKey, None] = {}
    for c in candidates.values():
        if c.invalid is None and c.static + fsum(_unit(evidence.units[u].leak, 1 - p) for u, p in c.cover.items()) > fsum(
            math.log(evidence.units[u].leak) for u in c.cover
        ):
            out.update(dict.fromkeys(c.cover))
    return out


def _unit(leak: float, survive: float) -> float:
    """ln P(unit) when the causes leave it hidden with probability ``survive`` (Π (1 − p))."""
    return math.log(1 - (1 - leak) * survive)


def _components(
    candidates: dict[Key, Candidate], evidence: Evidence, named: Mapping[UnitKey, None]
) -> list[tuple[list[UnitKey], list[Candidate]]]:
    """Connected parts of the graph of units and the causes that could explain them; solved one by one.

    A cause that cannot be told for want of signals joins only what no named cause explains: it says which symptoms may
    belong together.
    """
    parent: dict[UnitKey, UnitKey] = {u: u for u in evidence.units}

    def find(u: UnitKey) -> UnitKey:
        while parent[u] != u:
            parent[u] = parent[parent[u]]
            u = parent[u]
        return u

    for c in candidates.values():
        joined = [u for u in c.cover if c.invalid is None or (c.missing and u not in named)]
        if not joined:
            continue
        first, *rest = joined
        a = find(first)
        for u in rest:
            b = find(u)
            if a != b:
                a, b = min(a, b), max(a, b)
                parent[b] = a
    units: dict[UnitKey, list[UnitKey]] = {}
    for u in evidence.units:
        units.setdefault(find(u), []).append(u)
    owned: dict[UnitKey, dict[Key, Candidate]] = {head: {} for head in units}
    for key, c in candidates.items():
        for head in dict.fromkeys(find(u) for u in c.cover if c.invalid is None or (c.missing and u not in named)):
            owned[head][key] = c
    return [(units[head], list(owned[head].values())) for head in sorted(units)]


class _Search:
    """The search inside one component. ``chosen`` maps a candidate's key to the candidate."""

    def __init__(
        self, component: tuple[list[UnitKey], list[Candidate]], evidence: Evidence, catalogue: Catalogue, walker: Walker,
        named: Mapping[UnitKey, None], rejected: Mapping[UnitKey, list[Candidate]],
    ) -> None:  # fmt: skip
        self.rejected = rejected
        units, candidates = component
        self.units = {u: evidence.units[u] for u in units}
        self.invalid = [c for c in candidates if c.invalid is not None]
        self.candidates = {c.key: c for c in candidates if c.invalid is None}
        left = {u: unit for u, unit in self.units.items() if u not in named}
        for c in unknown_candidates(catalogue.by_id[UNKNOWN], left, walker, self.invalid):
            self.candidates[c.key] = c
        self.by_unit: dict[UnitKey, list[Key]] = {u: [] for u in units}
        for key, c in self.candidates.items():
            for u in c.cover:
                self.by_unit[u].append(key)

    # -- scores ----------------------------------------------------------------------------------------------

    def _unit(self, u: UnitKey, survive: float) -> float:
        return _unit(self.units[u].leak, survive)

    def _gain(self, c: Candidate, survive: Mapping[UnitKey, float]) -> float:
        parts = [c.static]
        for u, p in c.cover.items():
            now = survive.get(u, 1.0)
            if now < 1.0 and c.key[0] == UNKNOWN:
                continue  # unknown explains what nothing else does
            parts.append(self._unit(u, now * (1 - p)) - self._unit(u, now))
        return fsum(parts)

    def _survive(self, chosen: Iterable[Candidate]) -> dict[UnitKey, float]:
        out: dict[UnitKey, float] = {}
        for c in sorted(chosen, key=lambda c: (c.key[0] == UNKNOWN, c.key)):
            self._apply(c, out)
        return out

    def _apply(self, c: Candidate, survive: dict[UnitKey, float]) -> None:
        for u, p in c.cover.items():
            now = survive.get(u, 1.0)
            if now == 1.0 or c.key[0] != UNKNOWN:
                survive[u] = now * (1 - p)

    def _score(self, chosen: dict[Key, Candidate]) -> float:
        survive = self._survive(chosen[k] for k in sorted(chosen))
        return fsum([*(chosen[k].static for k in sorted(chosen)), *(self._unit(u, survive.get(u, 1.0)) for u in self.units)])

    # -- search ----------------------------------------------------------------------------------------------

    def _fill(self, chosen: dict[Key, Candidate], pool: Iterable[Key], barred: Key | None = None) -> dict[Key, Candidate]:
        """Add by gain until nothing gains. Gains only shrink as causes are added, so a lazy heap is exact."""
        chosen = dict(chosen)
        survive = self._survive(chosen[k] for k in sorted(chosen))
        heap: list[tuple[float, Key]] = []
        for key in pool:
            if key != barred and key not in chosen:
                gain = self._gain(self.candidates[key], survive)
                if gain > 0:
                    heap.append((-gain, key))
        heapq.heapify(heap)
        while heap:
            _, key = heapq.heappop(heap)
            gain = self._gain(self.candidates[key], survive)
            if gain <= 0:
                continue
            if heap and (-gain, key) > heap[0]:
                heapq.heappush(heap, (-gain, key))
                continue
            chosen[key] = self.candidates[key]
            self._apply(self.candidates[key], survive)
        return chosen

    def _nearby(self, key: Key) -> list[Key]:
        """Candidates that share a unit with this one, sorted."""
        return sorted(dict.fromkeys(k for u in self.candidates[key].cover for k in self.by_unit[u]))

    def _alternatives(self, chosen: dict[Key, Candidate], key: Key) -> list[tuple[float, Key | None, dict[Key, Candidate]]]:
        """The best sets without ``key``: refilled freely, and with each rival put in its place."""
        without = {k: c for k, c in chosen.items() if k != key}
        pool = self._nearby(key)
        free = self._fill(without, pool, barred=key)
        out: list[tuple[float, Key | None, dict[Key, Candidate]]] = [(self._score(free), None, free)]
        survive = self._survive(without[k] for k in sorted(without))
        rivals = sorted((-self._gain(self.candidates[k], survive), k) for k in pool if k != key and k not in chosen)
        for _, k in rivals[:MAX_RIVALS]:
            swapped = self._fill(without | {k: self.candidates[k]}, pool, barred=key)
            out.append((self._score(swapped), k, swapped))
        return out

    def _best(self) -> dict[Key, Candidate]:
        chosen = self._fill({}, sorted(self.candidates))
        score = self._score(chosen)
        for _ in range(MAX_ROUNDS):
            better = False
            for key in sorted(chosen):
                if key not in chosen:
                    continue
                for alt_score, _, alt in self._alternatives(chosen, key):
                    if alt_score > score + 1e-9:
                        chosen, score, better = alt, alt_score, True
                        break
            if not better:
                break
        return chosen

    def hypotheses(self) -> list[Hypothesis]:
        """The best set of this component as hypotheses with confidence, rivals and what was ruled out."""
        chosen = self._best()
        score = self._score(chosen)
        return [self._hypothesis(chosen, key, score) for key in sorted(chosen)]

    def _hypothesis(self, chosen: dict[Key, Candidate], key: Key, score: float) -> Hypothesis:
        c = chosen[key]
        weights: list[tuple[float, Key | None]] = []
        without = 0.0
        for alt_score, swapped_in, alt in self._alternatives(chosen, key):
            weight = math.exp(min(0.0, alt_score - score))
            rival = swapped_in
            if rival is None:
                new = [k for k in sorted(alt) if k not in chosen]
                rival = max(new, key=lambda k: (len(alt[k].cover), k)) if new else None
                without = weight
            weights.append((weight, rival))
        total = 1.0
        shares: dict[Key, float] = {}
        for weight, rival in weights:
            if rival is None:
                total += weight
            elif weight > shares.get(rival, 0.0):
                shares[rival] = weight
        total += fsum(shares.values()) if shares else 0.0
        rivals = sorted(((w / total, k) for k, w in shares.items()), key=lambda r: (-r[0], r[1]))
        best = rivals[0][0] if rivals else without / total
        return Hypothesis(
            cause=key[0], root=key[1], confidence=round(1.0 / total, 4), score=round(score, 6),
            explains=tuple(sorted(c.explained)),
            rivals=tuple(Rival(cause=k[0], root=k[1], confidence=round(w, 4)) for w, k in rivals[:5] if w >= 0.005),
            ruled_out=self._ruled_out(c, chosen),
            missing=c.missing,
            rival_gap=round(math.log(1.0 / total / best), 6) if best > 0 else 50.0,
        )  # fmt: skip

    def _ruled_out(self, c: Candidate, chosen: dict[Key, Candidate]) -> tuple[Rejected, ...]:
        """Causes that could have explained part of it, and the observation that speaks most against each."""
        found: list[tuple[float, Rejected]] = []
        shared: dict[Key, list[Candidate]] = {}
        for u in c.cover:
            for r in self.rejected.get(u, ()):
                shared.setdefault(r.key, []).append(r)
        for rs in shared.values():
            r = rs[0]
            found.append((-float(len(rs)), Rejected(cause=r.key[0], root=r.root, because=r.invalid or "")))
        for k in self._nearby(c.key):
            r = self.candidates[k]
            if k in chosen or k[0] == UNKNOWN or not r.against:
                continue
            nats, because = min(r.against)
            if nats <= -1.0:
                overlap = sum(1 for u in r.cover if u in c.cover)
                found.append((-float(overlap), Rejected(cause=k[0], root=r.root, because=because)))
        found.sort(key=lambda f: (f[0], f[1].cause, f[1].root))
        seen: dict[str, Rejected] = {}
        for _, rejected in found:
            seen.setdefault(rejected.cause, rejected)
        return tuple(list(seen.values())[:8])
