"""Crash points: places where a test lets a worker end as a machine that is gone, named here and nowhere else.

A point does nothing unless ``KROUTE_CRASH_AT`` names it as the process starts: ``point``, ``point/detail``, ``point:3``
(the third time it is reached) or ``point+250`` (250 ms later, so that what was handed to Kafka before it gets there,
while the unit of work that reached it goes no further). Then the process gets SIGKILL: nothing is flushed, acked or closed.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from typing import NamedTuple

from kroute.errors import ConfigError

VARIABLE = "KROUTE_CRASH_AT"
POINTS: Mapping[str, str] = {
    "input-taken": "ingest took a batch of input records and forwarded nothing of it",
    "placement-acked": "the row that places a new domain is durable, and nothing of the domain is forwarded",
    "ingest-sent": "records for facts, progress or dead letters are handed to the producer",
    "ingest-acked": "they are durable, and the input positions do not know",
    "ingest-commit": "input positions moved and are not committed",
    "ingest-committed": "they are committed",
    "unit-stepped": "the engine applied a unit of work and nothing of it is written: before the journal row",
    "journal-parts": "the parts of a large unit are durable and its head, which commits it, is not sent",
    "row-sent": "one changelog record is handed to the producer; detail: its table, journal included",
    "rows-acked": "the changelog records of one table are durable and the local store does not have them; detail: the table",
    "rows-stored": "the local store has them too; detail: the table",
    "output-sent": "one of a unit's outputs is handed to the producer; detail: alerts, or letters (of refused controls, which "
    "go before the journal row)",
    "output-acked": "those of a unit are durable; detail as before",
    "unit-durable": "a unit is durable in full, and the next has not begun to be written",
    "facts-commit": "positions of facts are about to be committed, for operators",
    "facts-committed": "they are committed",
    "recovery-begun": "tables are recovered and the newest unit of the journal is not written again yet",
    "recovery-written": "it is written again, and its alerts are sent again",
    "recovery-placed": "the position where reading begins is committed",
    "drained": "work in flight ended because partitions are given away or the process stops; they are not given away yet",
}
"""Every point by its name, with what is durable there."""


class Armed(NamedTuple):
    """Where to end: the point, its detail ("" for any), how many times it is reached, and how long after (s)."""

    point: str
    detail: str
    left: int
    after_s: float


def parse(text: str) -> Armed | None:
    """What ``KROUTE_CRASH_AT`` says; None where it is empty.

    Raises:
        ConfigError: it names no point.
    """
    if not text:
        return None
    found = re.fullmatch(r"([a-z-]+)(?:/([a-z_]+))?(?::(\d+))?(?:\+(\d+))?", text)
    if found is None or found[1] not in POINTS:
        raise ConfigError(f"{VARIABLE} is {text!r}; write one of {', '.join(POINTS)}, then /detail, :times and +ms as wanted")
    return Armed(found[1], found[2] or "", int(found[3] or 1), int(found[4] or 0) / 1000)


_armed = parse(os.environ.get(VARIABLE, ""))


async def point(name: str, detail: str = "") -> None:
    """The place called ``name`` is reached; the process ends here where it is armed, else this does nothing."""
    global _armed  # noqa: PLW0603  (armed once, by the environment)
    if _armed is None or _armed.point != name or _armed.detail not in ("", detail):
        return
    _armed = _armed._replace(left=_armed.left - 1)
    if _armed.left > 0:
        return
    await asyncio.sleep(_armed.after_s)
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.Event().wait()  # the signal may take a moment; nothing goes on meanwhile
