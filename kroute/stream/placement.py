"""Which partition of facts a domain lives in: a stored row, not a bare hash, so that partitions can be added."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping

from kroute.errors import StateError
from kroute.settings import Settings
from kroute.stream import admin

Store = Callable[[bytes, bytes], Awaitable[None]]
"""Makes one row (key, value) of the placement topic durable."""


def first_choice(domain: str, partitions: int) -> int:
    """The partition of a domain that has none yet: the same for every worker that asks at once."""
    return zlib.crc32(domain.encode()) % partitions


def read(settings: Settings) -> dict[str, int]:
    """The stored rows: domain → partition. Blocks until the topic is read to its end.

    Raises:
        StateError: a row names a partition that does not exist.
        SourceUnreachable: Kafka gave no answer.
    """
    out: dict[str, int] = {}
    topic = settings.names.full("placement")
    with admin.consumer(settings) as reader:
        for message in admin.records(reader, admin.spans(reader, [topic])):
            domain = (message.key() or b"").decode("utf-8", "replace")
            value = message.value()
            if value is None:
                out.pop(domain, None)
                continue
            if not value.isdigit() or int(value) >= settings.facts_partitions:
                raise StateError(
                    f"{topic} places {domain!r} in partition {value!r}, and facts has {settings.facts_partitions} partitions. "
                    f"Set KROUTE_FACTS_PARTITIONS to what it was when the row was written"
                )
            out[domain] = int(value)
    return out


class Placement:
    """Domain → partition; a new domain's row is durable before its first use."""

    def __init__(self, rows: Mapping[str, int], partitions: int, store: Store) -> None:
        self._rows = dict(rows)
        self._partitions = partitions
        self._store = store
        self._lock = asyncio.Lock()

    def known(self, domain: str) -> int | None:
        """The partition of a domain that was placed before."""
        return self._rows.get(domain)

    async def place(self, domain: str) -> int:
        """The partition of any domain."""
        async with self._lock:
            partition = self._rows.get(domain)
            if partition is None:
                partition = first_choice(domain, self._partitions)
                await self._store(domain.encode(), str(partition).encode())
                self._rows[domain] = partition
            return partition
