"""Signals wait at start until ownership, changes, controls and policy are read: a row on its way pages nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import TopicPartition

from kroute.errors import KrouteError
from kroute.settings import Settings
from kroute.stream import admin, metrics
from kroute.stream.process import die

log = logging.getLogger(__name__)
POLL_S = 0.5
Positions = Mapping[Any, int]
"""Offsets by (topic, partition)."""


def unread(spans: Sequence[admin.Span], own: Positions, committed: Positions) -> list[admin.Span]:
    """Partitions not yet read to the end noted at start, by this worker or by any other of the group."""
    return [
        s
        for s in spans
        if s.start < s.end and max(own.get((s.topic, s.partition), 0), committed.get((s.topic, s.partition), 0)) < s.end
    ]


class StateGate:
    """Opens once, when the state inputs are read up to where they ended at this worker's start."""

    def __init__(
        self, settings: Settings, topics: Sequence[str], own: Callable[[], Positions], opened: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._own = own
        self._opened = opened
        self.spans: list[admin.Span] = []
        self.is_open = False

    def note_ends(self) -> None:
        """Note where the state inputs end now; blocks. Once, before the worker starts to read."""
        with admin.consumer(self._settings) as reader:
            self.spans = admin.spans(reader, self._topics)

    async def wait(self) -> None:
        """Wait until all is read, then open."""
        try:
            while missing := await asyncio.to_thread(self._missing):
                log.info("signals wait for state inputs: %s", ", ".join(f"{s.topic}[{s.partition}]" for s in missing))
                await asyncio.sleep(POLL_S)
        except KrouteError as e:
            die(f"the group's positions cannot be read: {e}")
        self.is_open = True
        metrics.STATE_INPUTS_READ.set(1)
        log.info("state inputs are read; signals flow")
        self._opened()

    def _missing(self) -> list[admin.Span]:
        missing = unread(self.spans, dict(self._own()), {})
        if not missing:
            return []
        with admin.consumer(self._settings, group=self._settings.app_id) as reader:
            asked = [TopicPartition(s.topic, s.partition) for s in missing]
            answer = reader.committed(asked, timeout=admin.TIMEOUT_S)
        return unread(missing, dict(self._own()), {(t.topic, t.partition): t.offset for t in answer})
