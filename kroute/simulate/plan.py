"""Which scenarios a command line asks for."""

from __future__ import annotations

import numpy as np

from kroute.simulate.benign import KINDS
from kroute.simulate.estate import Size, size_of
from kroute.simulate.faults import NEEDS_LINK, causes
from kroute.simulate.observe.delivery import Disturbance
from kroute.simulate.run import Scenario


def plan(
    *, seed: int, count: int, size: str, groups: int | None, brokers: int | None, platform: str, wanted: tuple[str, ...],
    every: bool, two: bool, benign: bool, minutes: float, interval_s: float, disturbance: Disturbance,
) -> list[Scenario]:  # fmt: skip
    """Scenarios with names that sort: cause, second cause, seed.

    Raises:
        ConfigError: an unknown cause or one of another platform.
    """
    base = size_of(size)
    wide = Size(brokers or base.brokers, groups or base.groups)
    possible = causes(platform)
    named: list[str | None] = list(possible) if every else list(wanted) or [None]
    out: list[Scenario] = []
    for cause in named:
        for n in range(count):
            rng = np.random.default_rng([seed + n, 40, len(out)])
            faults = [cause] if cause is not None else []
            if two and cause is not None:
                others = [c for c in possible if c != cause and (c not in NEEDS_LINK or cause not in NEEDS_LINK)]
                faults.append(others[int(rng.integers(len(others)))])
            quiet: list[str] = []
            if benign:
                kinds = sorted(k for k in KINDS if platform == "kafka" or k != "reassignment")
                quiet = sorted(rng.choice(kinds, size=int(rng.integers(1, 3)), replace=False).tolist())
            name = "-and-".join(faults) or ("benign" if benign else "healthy")
            out.append(Scenario(
                f"{name}-{seed + n}", seed + n, wide, platform, tuple(faults), tuple(quiet), minutes, interval_s, disturbance
            ))  # fmt: skip
            out[-1].check()
    return out
