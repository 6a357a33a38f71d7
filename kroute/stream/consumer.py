"""Faust's consumer, with two things ingest must know and do at the fetch.

It can hold topics back: signals wait until the state inputs are read, and waiting in an agent would fill the
queue that all topics share. And it notes what was handed out, so that "read to the end" can be told also where the
last offsets of a partition have no record (transaction markers, compaction).
"""

from __future__ import annotations

import logging
from typing import Any

import faust
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP


class HoldingConsumer(Consumer):
    """``held``: topics not fetched now. ``handed``: offset after the last record handed out. ``fetches``: how many ended."""

    logger = logging.getLogger("faust.transport")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held: frozenset[str] = frozenset()
        self.handed: dict[TP, int] = {}
        self.fetches = 0

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109  (Faust's signature)
        if active_partitions and self.held:
            active_partitions = {tp for tp in active_partitions if tp.topic not in self.held}
            if not active_partitions:  # an empty set would mean all
                await self.sleep(timeout)
                return {}
        records = await super()._getmany(active_partitions, timeout)
        for tp, batch in (records or {}).items():
            if batch:
                self.handed[TP(tp.topic, tp.partition)] = batch[-1].offset + 1
        self.fetches += 1
        return records


class HoldingTransport(Transport):
    """Faust's aiokafka transport with that consumer."""

    Consumer = HoldingConsumer


def transport(app: faust.App) -> HoldingTransport:
    """The transport for an app."""
    return HoldingTransport(app.conf.broker_consumer, app)
