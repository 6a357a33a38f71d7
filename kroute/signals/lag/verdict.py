"""How rules hand in their word: fires, holds, or healthy, with hysteresis; and what they found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

CLEAR_POLLS = 2
"""A symptom ends when this many polls in a row say healthy, so it does not flap."""
CAP = 32
"""Longest list in a symptom's detail."""


class Found(NamedTuple):
    """An active symptom of the judged poll."""

    since_ms: int
    value: float
    why: str
    detail: dict[str, Any]


Make = Callable[[], Found]


class Verdict:
    """Collects the word of every rule on one entity at one poll."""

    __slots__ = ("active", "found", "said", "unjudged", "was")

    def __init__(self, was: dict[str, tuple[int, int]]) -> None:
        self.was = was
        self.active: dict[str, tuple[int, int]] = {}
        self.found: dict[str, Found] = {}
        self.said: dict[str, None] = {}
        self.unjudged: list[str] = []

    def say(self, kind: str, fires: bool, holds: bool, make: Make) -> None:
        """``fires`` begins a symptom; ``holds`` keeps one that is active; neither, twice in a row, ends it."""
        old = self.was.get(kind)
        if not fires and old is None:
            return
        self.said[kind] = None
        ok = 0 if fires or (holds and old is not None) else (old[1] + 1 if old else CLEAR_POLLS)
        if ok >= CLEAR_POLLS:
            return
        found = make()
        if old is not None and old[0] <= found.since_ms:
            found = found._replace(since_ms=old[0])
        self.found[kind] = found
        self.active[kind] = (found.since_ms, ok)

    def finish(self, t: int) -> None:
        """Kinds that were active and that no rule had reason to speak of are healthy at this poll."""
        for kind in self.was:
            if kind not in self.active and kind not in self.said:
                self.say(kind, False, False, lambda: Found(t, 0.0, "healthy at the newest poll", {}))

    def clear(self, *kinds: str) -> None:
        """Observed healthy at once, whatever was said."""
        for kind in kinds:
            self.said[kind] = None
            self.found.pop(kind, None)
            self.active.pop(kind, None)

    def unknown(self, *kinds: str) -> None:
        """Not observed: neither healthy nor active; the hysteresis waits."""
        for kind in kinds:
            self.unjudged.append(kind)
            self.said[kind] = None
            self.found.pop(kind, None)
            if kind in self.was:
                self.active[kind] = self.was[kind]


def number(x: float) -> str:
    """For people: ``91,234``; small numbers keep a digit."""
    return f"{x:,.0f}" if abs(x) >= 10 else f"{x:,.1f}".removesuffix(".0")


def span(seconds: float) -> str:
    """For people: ``90 s``, ``14 min``, ``3.2 h``, ``2.1 d``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


__all__ = ["CAP", "CLEAR_POLLS", "Found", "Make", "Verdict", "number", "span"]
