"""The fewest, likeliest causes of one connected part, added greedily, then dropped, replaced and swapped.

The score of a set of causes is ``Σ static + Σ_units ln P(unit)``, with P(unit) = 1 − (1 − leak) · (1 − p), p of the cause
that shows it most surely: a symptom has one explanation. (In a noisy-OR of all causes one more that reaches everything
earns its keep on the little that the first leaves of each of many symptoms, as if these were independent.) A step of the
search is judged by the difference it makes at the units it touches, so that a part with thousands of causes costs
thousands of times one, not its square. Candidates are numbered in the order of their keys; sums are exact (``fsum``), so
nothing depends on the order of a set or of arrival.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Collection, Iterable, Sequence
from math import fsum, log
from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import Candidate
from kroute.diagnosis.evidence import Unit
from kroute.diagnosis.model import UNKNOWN

MAX_RIVALS = 6
MAX_ROUNDS = 8
LARGE = 48
"""A candidate with more units than this is updated by differences, a smaller one is summed anew."""
LESSER = 0.5
"""A symptom that another cause shows twice as surely is that one's."""
TIE = 9
"""Digits of nats below which two gains are equal and the key decides."""


class Alternative(NamedTuple):
    """The best set without one chosen cause: nats it gains or loses, the rival put in its place (None: whatever gains
    most) and all that came in."""

    delta: float
    rival: int | None
    added: tuple[int, ...]


class _View:
    """How far each unit is left hidden (the least 1 − p) in a set that differs a little from the chosen one."""

    __slots__ = ("base", "heavy", "over")

    def __init__(self, base: dict[int, float], over: dict[int, float], heavy: Candidate | None = None) -> None:
        self.base = base
        self.over = over
        self.heavy = heavy

    def read(self, u: int) -> float:
        """Probability that no cause of the set shows the unit; 1.0 where there is none."""
        v = self.over.get(u)
        if v is None:
            v = self.base.get(u, 1.0)
            if self.heavy is not None:
                p = self.heavy.cover.get(u)
                if p is not None and (v == 1.0 or self.heavy.key[0] != UNKNOWN):
                    v = min(v, 1 - p)
        return v

    def apply(self, c: Candidate, unknown: bool) -> None:
        """Add the candidate."""
        over = self.over
        for u, p in c.cover.items():
            now = self.read(u)
            if now == 1.0 or not unknown:
                over[u] = min(now, 1 - p)


class Search:
    """The search inside one connected part: its units (numbers), the candidates that cover them, in order of keys.

    ``loose``: units that no named cause is worth being bought for; ``unknown`` covers only those.
    """

    def __init__(
        self, units: Sequence[int], candidates: Sequence[Candidate], all_units: Sequence[Unit], loose: frozenset[int]
    ) -> None:
        self.candidates = candidates
        self._units = units
        self._all = all_units
        self._hide = {u: 1 - all_units[u].leak for u in units}
        """How likely a unit is not shown by chance."""
        self._loose = loose
        self._unknown = [c.compiled.cause.id == UNKNOWN for c in candidates]
        self.by_unit: dict[int, list[int]] = {u: [] for u in units}
        for k, c in enumerate(candidates):
            for u in c.cover:
                self.by_unit[u].append(k)
        self.chosen: list[bool] = [False] * len(candidates)
        self._at: dict[int, list[int]] = {u: [] for u in units}
        """The chosen candidates that cover a unit, in order."""
        self._base: dict[int, float] = {}
        self._next: dict[int, float] = {}
        """How far the second surest of the chosen leaves a unit hidden."""
        self._gains: dict[int, tuple[float, dict[int, float]]] = {}
        """Gain of a large candidate that is not chosen, and its parts; dropped when a unit of it changes."""
        self._stamp = 0
        self._moved = [0] * len(candidates)
        """Stamp of the last change at a unit of the candidate."""
        self._known: dict[int, tuple[int, list[Alternative]]] = {}

    # -- scores ----------------------------------------------------------------------------------------------

    def _unit(self, u: int, survive: float) -> float:
        """ln P(unit) when the causes leave it hidden with probability ``survive``."""
        return log(1 - self._hide[u] * survive)

    def _part(self, k: int, u: int, now: float) -> float:
        """What the candidate gains at one unit; ``unknown`` explains what nothing else does."""
        if now < 1.0 and self._unknown[k]:
            return 0.0
        hidden = self._hide[u]
        return log(1 - hidden * min(now, 1 - self.candidates[k].cover[u])) - log(1 - hidden * now)

    def _gain(self, k: int, view: _View) -> float:
        """As the sum of ``_part`` over its units, and what it costs by itself."""
        c = self.candidates[k]
        unknown, hide = self._unknown[k], self._hide
        over, base, read = view.over, view.base, view.read if view.heavy is not None else None
        parts = [c.static]
        for u, p in c.cover.items():
            now = over.get(u)
            if now is None:
                now = base.get(u, 1.0) if read is None else read(u)
            if now > 1 - p and (not unknown or now == 1.0):
                parts.append(log(1 - hide[u] * (1 - p)) - log(1 - hide[u] * now))
        return fsum(parts)

    def _hidden(self, u: int, without: int | None = None, plus: Collection[int] = ()) -> float:
        """The least 1 − p over the chosen causes of a unit (less one, plus some)."""
        there = self._at[u]
        candidates, unknown = self.candidates, self._unknown
        more: list[int] = []
        if plus:  # one rival, or a set of thousands: look through whichever is shorter
            near = plus if len(plus) < 4 else [k for k in self.by_unit[u] if k in plus]
            more = [k for k in near if u in candidates[k].cover and (k == without or not self.chosen[k])]
        if more:
            there = sorted([*(k for k in there if k != without), *more])
            without = None
        v = 1.0
        last = None
        for k in there:
            if k != without:
                if unknown[k]:
                    last = k if last is None else last
                else:
                    v = min(v, 1 - candidates[k].cover[u])
        return v if last is None or v < 1.0 else 1 - candidates[last].cover[u]

    def _without(self, u: int, key: int) -> float:
        """``_hidden`` without a chosen candidate: what the next surest leaves, where it is the surest itself."""
        if u in self._loose:
            return self._hidden(u, without=key)
        base = self._base[u]
        return base if 1 - self.candidates[key].cover[u] > base else self._next[u]

    def score(self) -> float:
        """Nats of the chosen set."""
        return fsum(
            [
                *(c.static for k, c in enumerate(self.candidates) if self.chosen[k]),
                *(self._unit(u, self._base.get(u, 1.0)) for u in self._units),
            ]
        )

    # -- search ----------------------------------------------------------------------------------------------

    def _fill(self, view: _View, gains: Iterable[tuple[float, int]], fresh: bool = True) -> tuple[list[int], float]:
        """Add by gain until nothing gains: what was added, and the nats. ``fresh``: the gains are those of the view.

        Gains only shrink as causes are added, so a lazy heap is exact, and so are gains of an earlier moment to start from.
        """
        heap = [(-round(g, TIE), k, g) for g, k in gains if g > 0]
        heapq.heapify(heap)
        added: list[int] = []
        won: list[float] = []
        while heap:
            _, k, gain = heapq.heappop(heap)
            if added or not fresh:
                gain = self._gain(k, view)
                if gain <= 0:
                    continue
                if heap and (-round(gain, TIE), k) > heap[0]:
                    heapq.heappush(heap, (-round(gain, TIE), k, gain))
                    continue
            added.append(k)
            won.append(gain)
            view.apply(self.candidates[k], self._unknown[k])
        return added, fsum(won)

    def nearby(self, k: int) -> list[int]:
        """Candidates that share a unit with this one, in order."""
        return sorted({o: None for u in self.candidates[k].cover for o in self.by_unit[u]})

    def _gains_without(self, key: int, over: dict[int, float], near: Sequence[int]) -> dict[int, float]:
        """Gains of what is near and not chosen, with ``key`` taken out."""
        view = _View(self._base, over)
        out: dict[int, float] = {}
        before = {u: log(1 - self._hide[u] * now) for u, now in over.items()}
        for k in near:
            if k == key or self.chosen[k]:
                continue
            c = self.candidates[k]
            if len(c.cover) <= LARGE:
                out[k] = self._gain(k, view)
                continue
            if k not in self._gains:
                self._gains[k] = self._parts(k)
            gain, parts = self._gains[k]
            few, many = (over, parts) if len(over) < len(parts) else (parts, over)
            if self._unknown[k]:
                moved = [self._part(k, u, over[u]) - parts[u] for u in few if u in many]
            else:
                cover = c.cover
                moved = [log(1 - self._hide[u] * min(over[u], 1 - cover[u])) - before[u] - parts[u] for u in few if u in many]
            out[k] = fsum([gain, *moved])
        return out

    def _parts(self, k: int) -> tuple[float, dict[int, float]]:
        """The gain of a candidate that is not chosen, and its part at each unit."""
        c = self.candidates[k]
        parts = {u: self._part(k, u, self._base.get(u, 1.0)) for u in c.cover}
        return fsum([c.static, *parts.values()]), parts

    def alternatives(self, key: int) -> list[Alternative]:
        """The best sets without ``key``: refilled freely, and with each rival put in its place."""
        near = self.nearby(key)
        known = self._known.get(key)
        if known is not None and all(self._moved[k] <= known[0] for k in near):
            return known[1]
        c = self.candidates[key]
        over = {u: self._without(u, key) for u in c.cover}
        loss = fsum([-c.static, *(self._unit(u, v) - self._unit(u, self._base[u]) for u, v in over.items())])
        gains = self._gains_without(key, over, near)
        view = _View(self._base, dict(over))
        added, won = self._fill(view, ((g, k) for k, g in gains.items()))
        out = [Alternative(loss + won + self._settled(key, added, view), None, tuple(added))]
        for _, k in sorted((-round(g, TIE), k) for k, g in gains.items())[:MAX_RIVALS]:
            view = self._swapped(key, k, over)
            added, won = self._fill(view, ((g, o) for o, g in gains.items() if o != k), fresh=False)
            added = [k, *added]
            out.append(Alternative(loss + gains[k] + won + self._settled(key, added, view, k), k, tuple(added)))
        self._known[key] = (self._stamp, out)
        return out

    def _swapped(self, key: int, k: int, over: dict[int, float]) -> _View:
        """The set with ``k`` for ``key``."""
        rival = self.candidates[k]
        if len(rival.cover) <= LARGE:
            return _View(self._base, over | {u: self._hidden(u, key, (k,)) for u in rival.cover})
        loose = self._loose
        near = {u: self._hidden(u, key, (k,)) for u in rival.cover if u in loose} if loose else {}
        for u, now in over.items():
            if u not in near:
                near[u] = min(now, 1 - rival.cover.get(u, 0.0))
        return _View(self._base, near, rival)

    def _settled(self, key: int, added: Sequence[int], view: _View, swapped: int | None = None) -> float:
        """Nats by which the sum of gains is off: ``unknown`` gives way to a named cause that came after it."""
        if not self._loose:
            return 0.0
        touched = {u: None for k in added if not self._unknown[k] for u in self.candidates[k].cover if u in self._loose}
        plus = dict.fromkeys(added)
        parts = []
        for u in sorted(touched):
            parts.append(self._unit(u, self._hidden(u, key, plus)) - self._unit(u, view.read(u)))
            if swapped is not None and u in self.candidates[swapped].cover and not self._unknown[swapped]:
                now = self._hidden(u, key)
                told = min(now, 1 - self.candidates[swapped].cover[u])
                parts.append(self._unit(u, self._hidden(u, key, (swapped,))) - self._unit(u, told))
        return fsum(parts)

    def _take(self, out: int | None, added: Sequence[int]) -> None:
        """Change the chosen set."""
        self._stamp += 1
        if out is not None:
            self.chosen[out] = False
            for u in self.candidates[out].cover:
                self._at[u].remove(out)
        for k in added:
            self.chosen[k] = True
            for u in self.candidates[k].cover:
                insort(self._at[u], k)
        changed = (*added, *(() if out is None else (out,)))
        for u in {u: None for k in changed for u in self.candidates[k].cover}:
            self._base[u] = self._hidden(u)
            self._next[u] = sorted([1.0, 1.0, *(1 - self.candidates[k].cover[u] for k in self._at[u])])[1]
            for k in self.by_unit[u]:
                self._moved[k] = self._stamp
                self._gains.pop(k, None)

    def better_told(self) -> dict[int, dict[tuple[Entity, str], None]]:
        """By chosen cause, what another chosen one explains by far better: a symptom goes to whom it is due."""
        out: dict[int, dict[tuple[Entity, str], None]] = {}
        for u, there in self._at.items():
            if len(there) > 1:
                most = max(self.candidates[k].cover[u] for k in there)
                for k in there:
                    if self.candidates[k].cover[u] < LESSER * most:
                        unit = self._all[u]
                        out.setdefault(k, {}).update(((unit.entity, kind), None) for kind in unit.kinds)
        return out

    def run(self) -> None:
        """Find the best set."""
        view = _View({}, {})
        added, _ = self._fill(view, ((self._gain(k, view), k) for k in range(len(self.candidates))))
        self._take(None, added)
        for _ in range(MAX_ROUNDS):
            better = False
            for key in [k for k, on in enumerate(self.chosen) if on]:
                if not self.chosen[key]:
                    continue
                for a in self.alternatives(key):
                    if a.delta > 1e-9:
                        self._take(key, a.added)
                        better = True
                        break
            if not better:
                break
