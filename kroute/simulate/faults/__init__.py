"""Causes as changes of the model's physics: ``MAKERS`` by cause, each drawing its own entity and strength."""

from __future__ import annotations

from collections.abc import Callable

from kroute.simulate.faults import brokers, clients, connect, groups, links, shared, topics
from kroute.simulate.happening import Draft, Happening

Maker = Callable[[Draft], Happening]

MAKERS: dict[str, Maker] = {
    **groups.MAKERS, **topics.MAKERS, **connect.MAKERS, **brokers.MAKERS, **clients.MAKERS, **shared.MAKERS, **links.MAKERS,
}  # fmt: skip
"""Cause → what makes it happen."""
ONLY_AUTOMQ = frozenset({"object-store-trouble", "wal-trouble", "cache-thrash", "balancer-trouble"})
NOT_AUTOMQ = frozenset({"broker-storage-pressure", "replica-catch-up", "disk-full"})
NEEDS_LINK = frozenset({"migration-sync-lag", "migration-group-stuck", "migration-split-brain"})
NOT_INJECTED = frozenset({"unknown", "telemetry-flood"})
"""Causes of the catalogue that nothing can be made of: ``unknown`` is a statement about what is not known,
and a flood of signals is told by ingest, which a recording of inputs does not pass."""


def causes(platform: str) -> list[str]:
    """Causes that can happen on a platform (``kafka`` | ``automq``), sorted."""
    without = NOT_AUTOMQ if platform == "automq" else ONLY_AUTOMQ
    return sorted(set(MAKERS) - without)
