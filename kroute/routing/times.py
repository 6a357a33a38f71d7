"""Times of outputs: RFC 3339 in UTC with milliseconds, from epoch ms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last that RFC 3339 can write


def rfc3339(ms: int) -> str:
    """``1795427349001`` → ``2026-11-23T11:49:09.001Z``; what lies outside 1970–9999 is held at its edge."""
    at = _EPOCH + timedelta(milliseconds=min(max(ms, 0), _LAST_MS))
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
