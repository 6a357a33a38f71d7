"""Which broker coordinates a group, where its polls do not tell: exporters of lag name none.

A group's offsets are in one partition of ``__consumer_offsets``, and that partition's leader is its coordinator
(kafka ``GroupMetadataManager.partitionFor``: ``Utils.abs(groupId.hashCode) % partitions``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

OFFSETS_TOPIC = "__consumer_offsets"


@lru_cache(maxsize=65_536)
def offsets_partition(group: str, partitions: int) -> int:
    """The partition of ``__consumer_offsets`` that holds a group's offsets, of so many (1 or more)."""
    h = 0
    for unit in memoryview(group.encode("utf-16-le", "surrogatepass")).cast("H"):
        h = (31 * h + unit) & 0xFFFFFFFF
    signed = h - (1 << 32) if h >= 1 << 31 else h
    return 0 if signed == -(1 << 31) else abs(signed) % partitions


def coordinator_of(group: str, leaders: Sequence[int]) -> int:
    """Broker id of a group's coordinator by the leaders of ``__consumer_offsets``, by partition; -1 where not known."""
    return leaders[offsets_partition(group, len(leaders))] if leaders else -1
