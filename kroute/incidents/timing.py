"""The numbers of an incident's life; the policy's ``defaults`` override them."""

from __future__ import annotations

from typing import NamedTuple

from kroute.diagnosis.model import UNKNOWN

CONFIDENT = 0.8
"""From this confidence on an incident with a breached objective opens at once (of a group: from ``SURE`` on), and any other
settles half as long."""
SURE, CERTAIN, SEVERAL = 0.95, 0.99, 3
"""At the root of a group or a connector it takes this confidence and this many symptoms to settle half as long: many others
begin like it. What so many make certain settles a sixth as long wherever its root is."""
FIRST_OF_SEVERAL = ("group", "connector")
"""Roots at which the trouble of what they share begins, too."""


class Timing(NamedTuple):
    """All in ms. ``settle``: from the first hypothesis to opening; ``hold``: quiet time before it is resolved, and
    after that the time within which it reopens; ``lateness``: how late a signal may come; ``repeat``: how often an open
    page is said again; ``revise_held``: how long a better cause must hold."""

    settle_ms: int = 30_000
    hold_ms: int = 600_000
    lateness_ms: int = 60_000
    repeat_ms: int = 4 * 3_600_000
    revise_held_ms: int = 5_000
    stall_ms: int = 90_000
    """A recovery with symptoms left for this long (3 polls) is judged anew."""

    def settles_ms(self, cause: str, root_kind: str, confidence: float, symptoms: int) -> int:
        """How long a hypothesis settles that so many symptoms, without those of impact, speak for (I1)."""
        if cause == UNKNOWN:
            return 2 * self.settle_ms
        if symptoms >= SEVERAL and confidence >= CERTAIN:
            return self.settle_ms // 6
        sure = confidence >= SURE and symptoms >= SEVERAL if root_kind in FIRST_OF_SEVERAL else confidence >= CONFIDENT
        return self.settle_ms // 2 if sure else self.settle_ms


REVISE_NATS = 2.0
"""A cause moves only when another explains better by this much."""
ORPHAN_MS = 120_000
"""A breached objective that no incident accounts for becomes one after this time."""
ORPHANS_APART_MS = 600_000
"""Breached objectives that no incident accounts for are one trouble while each follows the last within this time: they
differ in what they allow."""
