"""A partition of facts that a worker owns, and the unit of work it is at."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from kroute.contracts.alerts import Alert
from kroute.stream.interface import State


class Held:
    """A facts partition this worker owns: its state, and the newest durable offset (-1: none).

    ``applied``: newest offset that the state holds, at most one unit ahead; ``writing``: that unit, being made durable.
    ``at_ms``: append time of the newest durable record of facts, 0 where none was applied since recovery.
    """

    def __init__(self, state: State, offset: int) -> None:
        self.state = state
        self.offset = self.applied = offset
        self.at_ms = 0
        self.writing: asyncio.Task[None] | None = None


class Unit(NamedTuple):
    """Effects of consecutive records of one partition, the first and last of which have these offsets."""

    first: int
    offset: int
    facts: int
    rows: dict[tuple[str, str], bytes | None]
    alerts: list[Alert]
    letters: list[bytes]
    at_ms: int
