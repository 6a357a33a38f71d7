"""The search: what it keeps in mind is what a sum from the beginning gives, and no single change betters what it found."""

from __future__ import annotations

from itertools import product
from math import fsum, log
from random import Random

import pytest

from kroute.diagnosis.candidate import Candidate
from kroute.diagnosis.evidence import Unit
from kroute.diagnosis.model import UNKNOWN
from kroute.diagnosis.search import Search
from tests.unit.diagnosis.world import World, entity

CATALOGUE = World().catalogue
MANY = 12
NAMED = [c for c in CATALOGUE.by_id.values() if c.cause.id != UNKNOWN][:6]


def part(chance: Random, causes: int, units: int, cheap: bool = False) -> Search:
    """Units with leaks, and candidates that each cover some of them."""
    all_units = [Unit(entity(f"group/g{u}"), ("lag-growing",), chance.uniform(1e-5, 1e-2)) for u in range(units)]
    candidates = []
    for k in range(causes):
        c = Candidate(NAMED[k % len(NAMED)], entity(f"broker/{k}"))
        c.static = -chance.uniform(0.1, 0.5) if cheap else -chance.uniform(4, 12)
        some = range(units) if cheap else chance.sample(range(units), chance.randint(1, units))
        c.cover = {u: round(chance.uniform(0.05, 0.3 if cheap else 0.99), 3) for u in some}
        if cheap:
            c.cover[k % units] = round(0.99 + k / 100_000, 5)
        candidates.append(c)
    candidates.sort(key=lambda c: c.key)
    return Search(list(range(units)), candidates, all_units, frozenset())


def summed(search: Search, chosen: tuple[bool, ...]) -> float:
    """Nats of a set, from the beginning."""
    cs = [c for c, on in zip(search.candidates, chosen, strict=True) if on]
    units: list[Unit] = search._all  # type: ignore[assignment]
    hidden = [min([1.0, *(1 - c.cover[u] for c in cs if u in c.cover)]) for u in range(len(units))]
    return fsum([*(c.static for c in cs), *(log(1 - (1 - unit.leak) * h) for unit, h in zip(units, hidden, strict=True))])


@pytest.mark.parametrize("seed", range(30))
def test_it_finds_what_trying_every_set_finds(seed: int) -> None:
    search = part(Random(seed), causes=6, units=8)
    search.run()
    found = tuple(search.chosen)
    assert search.score() == pytest.approx(summed(search, found), abs=1e-9)
    best = max(summed(search, s) for s in product((False, True), repeat=6))
    assert summed(search, found) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_what_a_set_without_one_cause_gains_is_a_sum_anew_however_many_are_chosen(seed: int) -> None:
    search = part(Random(seed), causes=MANY + 8, units=MANY + 8, cheap=True)
    search.run()
    chosen = tuple(search.chosen)
    assert sum(chosen) > MANY, "many at each unit"
    whole = summed(search, chosen)
    for key in [k for k, on in enumerate(chosen) if on]:
        a = search.alternatives(key)[0]
        without = tuple((on and k != key) or k in a.added for k, on in enumerate(chosen))
        assert a.delta == pytest.approx(summed(search, without) - whole, abs=1e-9)
