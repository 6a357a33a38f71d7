"""What is fuzzed: a way in, valid documents of it, and how an input is put to it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from tests.fuzz.mutate import TEXTS, YAML_BITS, as_json, as_yaml, bent, inside, places, torn

BITS = [t.encode("utf-8", "surrogatepass") for t in TEXTS]
BITS_OF_YAML = BITS + [t.encode("utf-8", "surrogatepass") for t in YAML_BITS]


MOST = 20_000
"""Characters of one message to a person."""


def sayable(error: object) -> bool:
    """Always false: refused. What is wrong must be short enough to read."""
    assert len(str(error)) < MOST, f"{len(str(error))} characters in one message"
    return False


@dataclass(frozen=True)
class Target:
    """``check`` takes bytes: true when they were taken, false when they were refused as documented; it raises on anything else.

    ``shape``: ``json`` and ``yaml`` documents are bent as trees, ``text`` is torn alone. ``weight``: its share of the inputs.
    """

    name: str
    shape: str
    documents: tuple[Any, ...]
    check: Callable[[bytes], bool]
    weight: float = 1.0

    def seeds(self) -> list[bytes]:
        """The valid documents as bytes."""
        rng = random.Random(2)
        if self.shape == "json":
            return [as_json(rng, d) if not isinstance(d, bytes) else d for d in self.documents]
        if self.shape == "yaml":
            return [yaml.safe_dump(d, sort_keys=False, allow_unicode=True).encode() for d in self.documents]
        return [d if isinstance(d, bytes) else str(d).encode() for d in self.documents]

    def an_input(self, rng: random.Random) -> bytes:
        """One input."""
        dice = rng.random()
        if dice < 0.03:
            return rng.randbytes(rng.randrange(200))
        bits = BITS_OF_YAML if self.shape == "yaml" else BITS
        if self.shape == "text" or dice < 0.2:
            seeds = _SEEDS.get(self.name) or _SEEDS.setdefault(self.name, self.seeds())
            return torn(rng, rng.choice(seeds), bits)
        value = copy.deepcopy(rng.choice(self.documents))
        words = _WORDS.get(self.name)
        if words is None:
            words = _WORDS[self.name] = [inside(d, at) for d in self.documents for at in places(d)][:3000]
        for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
            value = bent(rng, value, words)
        data = as_yaml(rng, value) if self.shape == "yaml" else as_json(rng, value)
        return torn(rng, data, bits) if rng.random() < 0.08 else data


_SEEDS: dict[str, list[bytes]] = {}
_WORDS: dict[str, list[Any]] = {}
