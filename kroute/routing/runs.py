"""One run of a remedy on one incident, as the ledger keeps it."""

from __future__ import annotations

from msgspec import Struct

from kroute.contracts.common import Entity

MAX_RUNS, MAX_TEXT, MAX_HEARD = 8, 256, 32
"""Runs kept for an incident, characters of a name in them, reports heard of one: what strangers write must not outgrow a row."""
OVER = ("succeeded", "failed", "rolled-back")
USELESS = ("no-effect", "made-worse", "not-done")
"""Outcomes after which the same remedy is not run again on this incident."""
MADE_WORSE = "made-worse"
ROLL_BACK = "roll-back"
"""Reason of the route that tells the owner of the rollback."""


class Run(Struct, frozen=True, kw_only=True):
    """One run of one remedy, as it stands in the ledger. Times are epoch ms.

    ``reported``: started | succeeded | failed | rolled-back, the reporter's last word, by whom and when.
    ``outcome``: watching | worked | no-effect | made-worse | unknown | not-done | rolled-back, what the signals say, since
    when, and ``why``.
    """

    remedy: str
    cause: str
    root: Entity
    started_ms: int
    by: str
    reported: str
    reported_ms: int
    outcome: str = "watching"
    since_ms: int = 0
    why: str = ""
    heard: tuple[str, ...] = ()
    """Reports that made it what it is."""

    @property
    def roll_back(self) -> bool:
        """True while it made things worse and was not undone."""
        return self.outcome == MADE_WORSE
