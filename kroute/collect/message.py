"""What the collector sends: contract values, encoded, split where they are large, under their topic and key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import orjson

from kroute.contracts.common import Polled
from kroute.contracts.topics import Names

MAX_PART_BYTES = 512 * 1024
_ROOM = 4096
P = TypeVar("P", bound=Polled)


class Message(NamedTuple):
    """One record to produce. ``topic`` is the short input name; ``value`` is JSON."""

    topic: str
    key: str
    value: bytes


class Own(NamedTuple):
    """What belongs to kroute itself and never enters diagnosis."""

    names: Names
    app_id: str

    def topic(self, name: str) -> bool:
        """True for kroute's topics: its prefix, its alerts, the changelogs of its application."""
        return name.startswith((self.names.prefix, f"{self.app_id}-")) or name == self.names.alerts

    def group(self, name: str) -> bool:
        """True for kroute's own consumer groups."""
        return name == self.app_id or name.startswith((self.names.prefix, f"{self.app_id}-"))


def encode(value: Polled) -> bytes:
    """JSON of a contract value; what is None is left out, as the contracts' optional fields are."""
    return orjson.dumps(_lean(value))


def _lean(value: Polled) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return {k: v for k, v in plain.items() if v is not None}


def whole(topic: str, key: str, value: Polled) -> Message:
    """One value as one message."""
    return Message(topic, key, encode(value))


def split(topic: str, key: str, value: P, field: str, max_bytes: int = MAX_PART_BYTES) -> list[Message]:
    """One value as one message, or as parts whose lists in ``field`` follow each other.

    All parts carry the same ``observed_at_ms``; everything but ``field`` stands in part 0 only, where it is optional.
    """
    plain = _lean(value)
    items: Sequence[Any] = plain[field]
    rest = len(orjson.dumps({**plain, field: []}))
    chunks = list(_chunks(items, max(max_bytes - rest - _ROOM, _ROOM), max_bytes - _ROOM))
    if len(chunks) <= 1:
        return [Message(topic, key, orjson.dumps(plain))]
    later = {k: plain[k] for k in _REPEATED if k in plain}
    return [
        Message(topic, key, orjson.dumps({**(plain if i == 0 else later), field: chunk, "part": i, "parts": len(chunks)}))
        for i, chunk in enumerate(chunks)
    ]


_REPEATED = (
    "v",
    "cluster",
    "observed_at_ms",
    "interval_ms",
    "up",
    "source",
    "group",
    "state",
    "protocol",
    "coordinator",
    "platform",
)


def _chunks(items: Iterable[Any], first: int, later: int) -> Iterable[list[Any]]:
    room, chunk, size = first, list[Any](), 0
    for item in items:
        n = len(orjson.dumps(item)) + 1
        if chunk and size + n > room:
            yield chunk
            room, chunk, size = later, [], 0
        chunk.append(item)
        size += n
    yield chunk
