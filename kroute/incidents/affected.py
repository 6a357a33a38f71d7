"""Who suffers from an incident: groups and topics on its cause's impact paths that show it, and those in the evidence.

I12 what begins to suffer when the cause is over for a while is not its impact, whatever path leads there
I14 who has an incident of its own, or falls behind by what one explains, suffers from that, and from another only where it
    shows what that one explains
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kroute.contracts.common import Entity
from kroute.diagnosis.load import Compiled
from kroute.diagnosis.model import UNKNOWN
from kroute.diagnosis.paths import Walker
from kroute.incidents import recovery
from kroute.incidents.model import Incident
from kroute.signals.board import Board
from kroute.signals.table import BY_KIND

IMPACT = ("objective-breached", "objective-at-risk")
MAX_AFFECTED = 500
BEHIND = ("lag", "membership", "position", "retention", "skew")
"""Families of what makes a group fall behind."""
AFTER_MS = 60_000
"""An objective is missed a poll or two after what made it so."""


def own_troubles(live: Iterable[Incident], walker: Walker) -> dict[Entity, dict[str, None]]:
    """Groups and topics that are the root of an incident that goes on, or whose sink is, or of which it explains why they fall
    behind, and those that one which recovers still affects → the ids of those."""
    out: dict[Entity, dict[str, None]] = {}
    for inc in live:
        if inc.cause == UNKNOWN:
            continue
        if inc.phase == "recovering":
            for e in inc.affected:  # who reads a backlog still
                out.setdefault(e, {})[inc.id] = None
            continue
        if inc.root.kind in ("group", "topic", "connector"):
            for e in walker.walk(inc.root, ("group",)) if inc.root.kind == "connector" else [inc.root]:
                out.setdefault(e, {})[inc.id] = None
        for (e, kind), held in inc.evidence.items():
            if held.cleared_ms is None and e.kind == "group" and BY_KIND[kind].family in BEHIND:
                out.setdefault(e, {})[inc.id] = None
    return out


def affected(
    inc: Incident, compiled: Compiled, board: Board, walker: Walker, own: Mapping[Entity, Mapping[str, None]]
) -> tuple[Entity, ...]:
    """In order; at most ``MAX_AFFECTED``. ``own``: what ``own_troubles`` says."""
    suffering = _Suffering(inc, compiled, board, own)
    found: dict[Entity, None] = {}
    for steps in compiled.impact:
        for e in walker.walk(inc.root, steps):
            if not steps or steps == ("group",) or suffering.by_it(e):
                found[e] = None
    for e in inc.affected:  # a transaction that has ended leads nowhere, yet who waited for it still suffers
        if suffering.by_it(e):
            found[e] = None
    for e, _ in sorted(inc.evidence):
        if not suffering.anew(e):
            found[e] = None
    kept = [e for e in found if e.kind in ("group", "topic")]
    return tuple(sorted(kept)[:MAX_AFFECTED])


class _Suffering:
    """Whose objective is missed, or will be, and whether the incident may be why."""

    def __init__(self, inc: Incident, compiled: Compiled, board: Board, own: Mapping[Entity, Mapping[str, None]]) -> None:
        self._id, self._board, self._own = inc.id, board, own
        self._over_ms = inc.recovering_since_ms if inc.phase == "recovering" else None
        self._before: dict[Entity, None] = {}
        self._showing: dict[Entity, None] = {}
        self._lasted_ms = 0
        if self._over_ms is not None:
            self._before = dict.fromkeys(inc.affected)
            self._showing = {e: None for (e, _), x in inc.evidence.items() if x.cleared_ms is None}
            self._lasted_ms = recovery.lasted_ms(inc, compiled)

    def by_it(self, e: Entity) -> bool:
        elsewhere = e in self._own and self._id not in self._own[e]
        return not elsewhere and self._since(e) is not None and not self.anew(e)

    def anew(self, e: Entity) -> bool:
        """True where it began when the cause was over: for who was not affected before some polls after that, for others
        after as long as it lasted (a backlog takes as long to read), save while they show what the incident explains."""
        since = self._since(e)
        if since is None or self._over_ms is None or e in self._showing:
            return False
        return since > self._over_ms + max(AFTER_MS, self._lasted_ms if e in self._before else 0)

    def _since(self, e: Entity) -> int | None:
        return min((s.since_ms for k in IMPACT if (s := self._board.active.get((e, k))) is not None), default=None)
