"""Decoding at the border: bytes in, a value of the contract out, or a BadMessage that says why."""

from __future__ import annotations

from typing import Any

import msgspec

from kroute.contracts.common import Versioned
from kroute.contracts.inputs import Access, BrokerMetrics, ConnectorStatus, ConsumerLag, Topology
from kroute.contracts.rows import Change, Control, Ownership, Policy
from kroute.errors import BadMessage

VERSION = 1
FUTURE_MS = 60_000
"""An observation further ahead of its append time than this is a dead letter."""

REASONS: tuple[str, ...] = (
    "not-json", "wrong-type", "newer-version", "from-the-future", "too-large", "bad-key", "no-value", "bad-policy",
    "not-allowed",
)  # fmt: skip
"""The stable words a dead letter's ``reason`` is one of."""

TYPES: dict[str, type[Any]] = {
    "broker-metrics": BrokerMetrics,
    "consumer-lag": ConsumerLag,
    "connector-status": ConnectorStatus,
    "topology": Topology,
    "access": Access,
    "ownership": Ownership,
    "changes": Change,
    "controls": Control,
    "policy": Policy,
}
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {k: msgspec.json.Decoder(t) for k, t in TYPES.items()}
_VERSION: msgspec.json.Decoder[Versioned] = msgspec.json.Decoder(Versioned)
MAX_DEPTH = 16
"""Objects and lists inside one another in the fields whose shape is free."""
_FREE: dict[str, tuple[str, ...]] = {
    "access": ("acls", "quotas", "denials"),
    "changes": ("detail",),
    "ownership": ("schedule",),
    "policy": ("routes", "teams", "automation", "calendars"),
}
DELETABLE = frozenset({"ownership", "controls", "policy"})


def decode(topic: str, value: bytes | None, *, timestamp_ms: int | None = None, max_bytes: int | None = None) -> Any:
    """Decode and validate one record's value; ``topic`` is the short input name.

    Returns the contract's struct, or None for a null value on a compacted topic (a delete).
    With ``timestamp_ms`` (the append time) an observation over 60 s ahead of it is refused.

    Raises:
        BadMessage: with one of ``REASONS``.
    """
    if not value:
        if topic in DELETABLE and value is None:
            return None
        raise BadMessage("no-value", "a null or empty value means nothing on this topic")
    if max_bytes is not None and len(value) > max_bytes:
        raise BadMessage("too-large", f"{len(value)} bytes; at most {max_bytes} are read")
    try:
        value.decode("utf-8")
        out = _DECODERS[topic].decode(value)
    except (msgspec.ValidationError, RecursionError) as e:
        newer = _newer(value)
        if newer is not None:
            raise BadMessage("newer-version", newer) from None
        raise BadMessage("wrong-type", str(e)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as e:
        raise BadMessage("not-json", str(e)) from None
    if out.v > VERSION:
        raise BadMessage("newer-version", f"v is {out.v}; this version of kroute reads up to {VERSION}")
    for field in _FREE.get(topic, ()):
        _bounded(getattr(out, field), f"$.{field}", MAX_DEPTH)
    if timestamp_ms is not None:
        at = getattr(out, "observed_at_ms", None)
        if at is not None and at > timestamp_ms + FUTURE_MS:
            raise BadMessage("from-the-future", f"observed_at_ms is {(at - timestamp_ms) / 1000:.0f} s ahead of the append time")
    return out


def _bounded(value: Any, path: str, depth: int) -> None:
    """Free-form values are stored and encoded again: they must not be deeper, or numbers larger, than any encoder takes."""
    if isinstance(value, (int, float)) and not -(2**63) <= value < 2**63:
        raise BadMessage("wrong-type", f"a number beyond 64 bits - at `{path}`")
    if isinstance(value, (dict, list, tuple)):
        if depth == 0:
            raise BadMessage("wrong-type", f"nested deeper than {MAX_DEPTH} - at `{path[:200]}`")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _bounded(item, f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}", depth - 1)


def _newer(value: bytes) -> str | None:
    """A newer message may be shaped otherwise; its version is the better reason to give."""
    try:
        v = _VERSION.decode(value).v
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return f"v is {v}; this version of kroute reads up to {VERSION}" if v > VERSION else None
