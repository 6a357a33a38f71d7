"""The fewest, likeliest causes of one connected part, added greedily, then dropped, replaced and swapped.

The score of a set of causes is ``Σ static + Σ_units ln P(unit)``, with P(unit) = 1 − (1 − leak) · (1 − p), p of the cause
that shows it most surely: a symptom has one explanation. (In a noisy-OR of all causes one more that reaches everything
earns its keep on the little that the first leaves of each of many symptoms, as if these were independent.) A step of the
search is judged by the difference it makes at the units it touches, so that a part with thousands of causes costs
thousands of times one, not its square. Candidates are numbered in the order of their keys; sums are exact (``fsum``), so
nothing depends on the order of a set or of arrival.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterable, Sequence
from heapq import heapify, heappop, heappush
from math import fsum, log
from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import Candidate
from kroute.diagnosis.evidence import Unit
from kroute.diagnosis.model import UNKNOWN
from kroute.diagnosis.parts import Parts

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


class _Filled(NamedTuple):
    """What was added, the nats that each won, and those by which their sum is off."""

    added: list[int]
    won: list[float]
    off: list[float]


Left = tuple[float, float]
"""How far a set of causes leaves a unit hidden (the least 1 − p), and ln P(unit) under it."""


class _View:
    """What a set that differs a little from the chosen one leaves of each unit."""

    __slots__ = ("base", "heavy", "heavy_unknown", "over")

    def __init__(
        self, base: dict[int, Left], over: dict[int, Left], heavy: dict[int, Left] | None = None, heavy_unknown: bool = False
    ) -> None:
        self.base = base
        self.over = over
        self.heavy = heavy
        self.heavy_unknown = heavy_unknown

    def read(self, u: int) -> Left:
        """What is left of the unit; hidden with 1.0 where no cause of the set shows it."""
        v = self.over.get(u)
        if v is None:
            v = self.base[u]
            if self.heavy is not None:
                shown = self.heavy.get(u)
                if shown is not None and (v[0] == 1.0 or not self.heavy_unknown):
                    v = min(v, shown)
        return v

    def apply(self, told: dict[int, Left], unknown: bool) -> None:
        """Add the candidate that leaves so much by itself."""
        over, read = self.over, self.read
        for u, shown in told.items():
            now = over.get(u) or read(u)
            if now[0] == 1.0 or not unknown:
                over[u] = min(now, shown)


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
        hide = {u: 1 - all_units[u].leak for u in units}
        """How likely a unit is not shown by chance."""
        self.told: list[dict[int, Left]] = [
            {u: (1 - p, log(1 - hide[u] * (1 - p))) for u, p in c.cover.items()} for c in candidates
        ]
        """What each candidate alone leaves of the units it covers."""
        self._loose = loose
        self._unknown = [c.compiled.cause.id == UNKNOWN for c in candidates]
        self.by_unit: dict[int, list[int]] = {u: [] for u in units}
        for k, c in enumerate(candidates):
            for u in c.cover:
                self.by_unit[u].append(k)
        self.chosen: list[bool] = [False] * len(candidates)
        self._at: dict[int, list[int]] = {u: [] for u in units}
        """The chosen candidates that cover a unit, in order."""
        self._bare: dict[int, Left] = {u: (1.0, log(1 - hidden)) for u, hidden in hide.items()}
        self.base = dict(self._bare)
        self._next: dict[int, Left] = {}
        """What the second surest of the chosen leaves of a unit."""
        self._gains: dict[int, tuple[float, dict[int, float]]] = {}
        """Gain of a large candidate that is not chosen, and its parts; dropped when a unit of it changes."""
        self._stamp = 0
        self._moved = [0] * len(candidates)
        """Stamp of the last change at a unit of the candidate."""
        self._near: dict[int, list[int]] = {}
        self._known: dict[int, tuple[int, list[Alternative]]] = {}

    # -- scores ----------------------------------------------------------------------------------------------

    def _part(self, k: int, u: int, now: Left) -> float:
        """What the candidate gains at one unit; ``unknown`` explains what nothing else does."""
        if now[0] < 1.0 and self._unknown[k]:
            return 0.0
        return min(now, self.told[k][u])[1] - now[1]

    def _gain(self, k: int, view: _View) -> float:
        """As the sum of ``_part`` over its units, and what it costs by itself."""
        over, other = view.over, view.base.__getitem__ if view.heavy is None else view.read
        unknown = self._unknown[k]
        parts = [self.candidates[k].static]
        for u, shown in self.told[k].items():
            now = over.get(u) or other(u)
            if now > shown and (not unknown or now[0] == 1.0):
                parts.append(shown[1] - now[1])
        return fsum(parts)

    def _hidden(self, u: int, without: int | None = None, plus: Collection[int] = ()) -> Left:
        """What the chosen causes (less one, plus some) leave of a unit."""
        there = self._at[u]
        told, unknown = self.told, self._unknown
        more: list[int] = []
        if plus:  # one rival, or a set of thousands: look through whichever is shorter
            near = plus if len(plus) < 4 else [k for k in self.by_unit[u] if k in plus]
            more = [k for k in near if u in told[k] and (k == without or not self.chosen[k])]
        if more:
            there = sorted([*(k for k in there if k != without), *more])
            without = None
        v = self._bare[u]
        last = None
        for k in there:
            if k != without:
                if unknown[k]:
                    last = k if last is None else last
                else:
                    v = min(v, told[k][u])
        return v if last is None or v[0] < 1.0 else told[last][u]

    def _without(self, u: int, key: int) -> Left:
        """``_hidden`` without a chosen candidate: what the next surest leaves, where it is the surest itself."""
        if u in self._loose:
            return self._hidden(u, without=key)
        base = self.base[u]
        return base if self.told[key][u] > base else self._next[u]

    def score(self) -> float:
        """Nats of the chosen set."""
        return fsum(
            [
                *(c.static for k, c in enumerate(self.candidates) if self.chosen[k]),
                *(self.base[u][1] for u in self._units),
            ]
        )

    # -- search ----------------------------------------------------------------------------------------------

    def fill(self, view: _View, gains: Iterable[tuple[float, int]], fresh: bool = True) -> tuple[list[int], list[float]]:
        """Add by gain until nothing gains: what was added, and the nats of each. ``fresh``: the gains are those of the view.

        Gains only shrink as causes are added, so a lazy heap is exact, and so are gains of an earlier moment to start from.
        """
        heap = [(-round(g, TIE), k, g) for g, k in gains if g > 0]
        heapify(heap)
        added: list[int] = []
        won: list[float] = []
        while heap:
            _, k, gain = heappop(heap)
            if added or not fresh:
                gain = self._gain(k, view)
                if gain <= 0:
                    continue
                if heap and (-round(gain, TIE), k) > heap[0]:
                    heappush(heap, (-round(gain, TIE), k, gain))
                    continue
            added.append(k)
            won.append(gain)
            view.apply(self.told[k], self._unknown[k])
        return added, won

    def nearby(self, k: int) -> list[int]:
        """Candidates that share a unit with this one, in order."""
        found = self._near.get(k)
        if found is None:
            found = self._near[k] = sorted({o: None for u in self.candidates[k].cover for o in self.by_unit[u]})
        return found

    def _gains_without(self, key: int, over: dict[int, Left], near: Sequence[int]) -> dict[int, float]:
        """Gains of what is near and not chosen, with ``key`` taken out."""
        view = _View(self.base, over)
        out: dict[int, float] = {}
        for k in near:
            if k == key or self.chosen[k]:
                continue
            if len(self.told[k]) <= LARGE:
                out[k] = self._gain(k, view)
                continue
            if k not in self._gains:
                self._gains[k] = self._parts(k)
            gain, parts = self._gains[k]
            few, many = (over, parts) if len(over) < len(parts) else (parts, over)
            out[k] = fsum([gain, *(self._part(k, u, over[u]) - parts[u] for u in few if u in many)])
        return out

    def _parts(self, k: int) -> tuple[float, dict[int, float]]:
        """The gain of a candidate that is not chosen, and its part at each unit."""
        parts = {u: self._part(k, u, self.base[u]) for u in self.told[k]}
        return fsum([self.candidates[k].static, *parts.values()]), parts

    def alternatives(self, key: int) -> list[Alternative]:
        """The best sets without ``key``: refilled freely, and with each rival put in its place."""
        near = self.nearby(key)
        known = self._known.get(key)
        if known is not None and all(self._moved[k] <= known[0] for k in near):
            return known[1]
        over = {u: self._without(u, key) for u in self.told[key]}
        base = self.base
        loss = fsum([-self.candidates[key].static, *(v[1] - base[u][1] for u, v in over.items())])
        gains = self._gains_without(key, over, near)
        refill = _Refill(self, key, over, gains)
        added, won, off = refill.free()
        out = [Alternative(loss + won + off, None, added)]
        for _, k in sorted((-round(g, TIE), k) for k, g in gains.items())[:MAX_RIVALS]:
            added, won, off = refill.swapped(k, self._swapped(key, k, over))
            out.append(Alternative(loss + gains[k] + won + off, k, added))
        self._known[key] = (self._stamp, out)
        return out

    def _swapped(self, key: int, k: int, over: dict[int, Left]) -> _View:
        """The set with ``k`` for ``key``."""
        rival = self.told[k]
        if len(rival) <= LARGE:
            return _View(self.base, over | {u: self._hidden(u, key, (k,)) for u in rival})
        loose = self._loose
        near = {u: self._hidden(u, key, (k,)) for u in rival if u in loose} if loose else {}
        for u, now in over.items():
            if u not in near:
                near[u] = min(now, rival.get(u, now))
        return _View(self.base, near, rival, self._unknown[k])

    def settled(self, key: int, added: Sequence[int], view: _View, swapped: int | None = None) -> list[float]:
        """Nats by which the sum of gains is off: ``unknown`` gives way to a named cause that came after it."""
        if not self._loose:
            return []
        touched = {u: None for k in added if not self._unknown[k] for u in self.told[k] if u in self._loose}
        rival = {} if swapped is None or self._unknown[swapped] else self.told[swapped]
        plus = dict.fromkeys(added)
        parts = []
        for u in touched:
            parts.append(self._hidden(u, key, plus)[1] - view.read(u)[1])
            if swapped is not None and u in rival:
                told = min(self._hidden(u, key), rival[u])
                parts.append(self._hidden(u, key, (swapped,))[1] - told[1])
        return parts

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
            self.base[u] = self._hidden(u)
            bare, there = self._bare[u], self._at[u]
            self._next[u] = bare if len(there) < 2 else sorted([bare, *(self.told[k][u] for k in there)])[1]
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
        view = _View(self._bare, {})
        added, _ = self.fill(view, ((self._gain(k, view), k) for k in range(len(self.candidates))))
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


class _Refill:
    """What comes in where one chosen candidate goes: whatever gains most, or that with a rival in its place.

    Candidates that gain fall into islands which share no unit, so that what is added to one changes nothing in another: only
    the islands that a rival touches are filled anew for it.
    """

    def __init__(self, search: Search, key: int, over: dict[int, Left], gains: dict[int, float]) -> None:
        self._search, self._key, self._over = search, key, over
        positive = [(g, k) for k, g in gains.items() if g > 0]
        at: dict[int, int] = {}
        parts = Parts(len(positive))
        for i, (_, k) in enumerate(positive):
            parts.join([i, *(at.setdefault(u, i) for u in search.told[k])])
        islands: dict[int, list[tuple[float, int]]] = {}
        for i, gain in enumerate(positive):
            islands.setdefault(parts.head(i), []).append(gain)
        self._islands = islands
        self._island_of = {u: parts.head(i) for u, i in at.items()}
        self._filled: dict[int, _Filled] = {}

    def free(self) -> tuple[tuple[int, ...], float, float]:
        """What is added, the nats won, and those by which their sum is off."""
        view = _View(self._search.base, dict(self._over))
        first = {head: min((-round(g, TIE), k) for g, k in gains) for head, gains in self._islands.items()}
        surest = min(first.values(), default=None)
        out: list[_Filled] = []
        for head, gains in self._islands.items():
            # The gain of a large one was told by differences: where it is not the very first, it is summed anew.
            large = len(self._search.told[first[head][1]]) > LARGE
            filled = self._fill(view, gains, fresh=not large or first[head] == surest)
            if not (large and first[head] == surest):
                self._filled[head] = filled
            out.append(filled)
        return _total(out)

    def swapped(self, k: int, view: _View) -> tuple[tuple[int, ...], float, float]:
        """As ``free``, with the rival put in, as the view has it."""
        search = self._search
        touched = {self._island_of[u]: None for u in search.told[k] if u in self._island_of}
        out = [filled for head, filled in self._filled.items() if head not in touched]
        touched.update(dict.fromkeys(head for head in self._islands if head not in self._filled))
        added, won = [k], []
        for head in touched:
            more, nats = search.fill(view, ((g, o) for g, o in self._islands[head] if o != k), fresh=False)
            added += more
            won += nats
        return _total([_Filled(added, won, search.settled(self._key, added, view, k)), *out])

    def _fill(self, view: _View, gains: Iterable[tuple[float, int]], fresh: bool) -> _Filled:
        added, won = self._search.fill(view, gains, fresh)
        return _Filled(added, won, self._search.settled(self._key, added, view))


def _total(filled: Iterable[_Filled]) -> tuple[tuple[int, ...], float, float]:
    added, won, off = [], [], []
    for some in filled:
        added += some.added
        won += some.won
        off += some.off
    return tuple(added), fsum(won), fsum(off)
