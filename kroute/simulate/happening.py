"""What happens to an estate: a fault with its cause, or something benign. Each turns the model's knobs while it lasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kroute.errors import ConfigError
from kroute.simulate.spec import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from kroute.simulate.model import Model


@dataclass
class Happening:
    """Something from ``from_s`` to ``to_s`` (seconds since the run began), at full strength after ``ramp_s``.

    ``effect(model, level)`` turns knobs in each step, level 0–1; ``begin`` and ``end`` are done once. ``root`` is the
    entity (kind, name) it belongs to, ``changes`` what people announce of it.
    """

    what: str
    root: tuple[str, str]
    from_s: float
    to_s: float
    ramp_s: float = 0.0
    effect: Callable[[Model, float], None] | None = None
    begin: Callable[[Model], None] | None = None
    end: Callable[[Model], None] | None = None
    fault: bool = True
    cluster: str = CLUSTER
    severity: float = 1.0
    changes: list[dict[str, Any]] = field(default_factory=list)
    rows: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """Ownership rows written at (seconds, row)."""
    access: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    """Sources that give no answer while it lasts; ``*`` stands for all."""
    mute: bool = False
    """True: nothing is written at all for silent sources; False: the failed poll is told."""
    note: str = ""
    owners: dict[str, str] = field(default_factory=dict)
    """Owners that follow from this very fault, where the cause alone does not tell (a trace, a sharer)."""
    state: dict[str, Any] = field(default_factory=dict)
    begun: bool = False
    ended: bool = False

    def turn(self, m: Model) -> None:
        """Act on the model in this step."""
        now = m.now_s
        if not self.begun and now >= self.from_s:
            self.begun = True
            if self.begin is not None:
                self.begin(m)
        if self.from_s <= now < self.to_s and self.effect is not None:
            level = 1.0 if self.ramp_s <= 0 else min(1.0, (now - self.from_s + m.dt) / self.ramp_s)
            self.effect(m, level)
        if self.begun and not self.ended and now >= self.to_s:
            self.ended = True
            if self.end is not None:
                self.end(m)


@dataclass
class Draft:
    """What a cause is given to be made of: the estate's model before it runs, a generator of its own, and its time."""

    model: Model
    rng: np.random.Generator
    from_s: float
    to_s: float
    taken: set[tuple[str, str]] = field(default_factory=set)
    """Roots that another happening of this run already has."""

    def uniform(self, low: float, high: float) -> float:
        """A number between."""
        return float(self.rng.uniform(low, high))

    def chance(self, p: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < p)

    def pick(self, items: list[Any]) -> Any:
        """One of the items."""
        return items[int(self.rng.integers(len(items)))]

    def free(self, kind: str, names: list[str]) -> str:
        """A name that no other happening has as its root.

        Raises:
            NoRoom: where the estate has none left.
        """
        left = [n for n in names if (kind, n) not in self.taken]
        if not left:
            raise NoRoom(f"this estate has no {kind} left for it")
        name: str = self.pick(left)
        self.taken.add((kind, name))
        return name

    def ms(self, seconds: float) -> int:
        """Epoch milliseconds of a time of this run."""
        return self.model.started_ms + int(seconds * 1000)

    def change(
        self, kind: str, target: tuple[str, str], at_s: float, until_s: float | None = None, **detail: Any
    ) -> dict[str, Any]:
        """An announcement as ``kroute.changes`` carries it."""
        number = int(self.rng.integers(100, 10_000))
        return {
            "id": f"{kind}-{number}", "kind": kind, "cluster": CLUSTER, "target": {"kind": target[0], "name": target[1]},
            "starts_at_ms": self.ms(at_s), "ends_at_ms": None if until_s is None else self.ms(until_s), "by": "ci",
            "detail": detail,
        }  # fmt: skip


class NoRoom(ConfigError):
    """The estate has nothing that this happening could happen to."""
