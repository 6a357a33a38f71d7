"""What a step tells besides its effects: controls that are refused, diagnoses that failed. Logged, counted, dead-lettered."""

from __future__ import annotations

import logging

from kroute.errors import BadMessage
from kroute.stream import metrics
from kroute.stream.forward import Record, dead_letter
from kroute.stream.interface import State

log = logging.getLogger(__name__)


def refusals(p: int, state: State) -> list[bytes]:
    """Dead letters of controls that were not allowed. Every partition has all controls; the first tells of them."""
    out = []
    for fact, kind, why in state.take_forbidden():
        if p == 0:
            log.warning("%s[%d] offset %d: a %s is refused: %s", fact.src, fact.p, fact.o, kind, why)
            metrics.FORBIDDEN.labels(fact.realm or "", kind).inc()
            key = None if fact.key is None else fact.key.encode()
            record = Record(fact.src, fact.p, fact.o, fact.ts, key, bytes(fact.val))
            out.append(dead_letter(record, BadMessage("not-allowed", why), fact.ts))
    return out


class Failures:
    """Diagnoses that failed: a defect is logged with its traceback the first time, and counted each time."""

    def __init__(self) -> None:
        self._logged: dict[str, None] = {}

    def tell(self, where: str, state: State) -> None:
        """Take what ``state`` has to tell since it was last asked; ``where``: topic, partition and offset."""
        for said, n in state.take_failures().items():
            metrics.FAILURES.inc(n)
            if said not in self._logged:
                self._logged[said] = None
                log.error("%s: a diagnosis failed, so what was known stands; report it with kroute record:\n%s", where, said)
