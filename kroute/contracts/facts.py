"""``kroute.facts``: the internal log. One record is an envelope of facts for one partition.

Each partition of the topic is a total order of all that was known in its domains. The engine reads
nothing else, so a dump of a partition is a test case.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from kroute.contracts.common import Int32, Int64, Millis, Versioned

PROGRESS = "progress"
"""Kind of the item that moves time: ``ts`` is the append time reached on input ``topic``/``p``."""


FLOOD = "flood"
"""Kind of the item that tells a domain of a source over its budget; ``val`` is a ``Flood``."""


class Fact(Struct, frozen=True, gc=False, omit_defaults=True):
    """One validated input record, or a progress item.

    ``topic`` is the short input name (``consumer-lag``, …; ``progress`` for time), ``src`` the full source topic,
    ``p``/``o``/``ts`` its partition, offset and append time (epoch ms), ``key`` its key, ``realm`` the realm of a
    control, ``d`` the domain (null: concerns every domain of the partition), ``of`` on a progress item the number
    of input partitions whose progress makes up ``now``. ``val`` is the record's value as it was, null for a delete.
    """

    topic: str
    src: str
    p: Int32
    o: Int64
    ts: Millis
    key: str | None = None
    realm: str | None = None
    d: str | None = None
    of: Int32 = 0
    val: msgspec.Raw = msgspec.Raw(b"null")


class Envelope(Versioned, frozen=True, kw_only=True):
    """One record of ``kroute.facts``: up to 500 facts in order, at most 512 KiB."""

    facts: tuple[Fact, ...] = ()


class Flood(Struct, frozen=True, kw_only=True):
    """A source that sends more than its budget and is thinned, or, ``over`` false, does so no longer.

    ``bytes_s``, ``records_s``: what it sends a second; ``budget``: bytes a second it may; ``left_out``: its records that
    were not forwarded since ``since_ms`` (epoch ms).
    """

    cluster: str
    source: str
    over: bool
    since_ms: int
    left_out: int
    bytes_s: int
    records_s: float
    budget: int
