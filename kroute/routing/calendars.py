"""Calendars of the policy: absolute windows, and hours of the week at an offset from UTC, fixed or as a time zone moves it.

Time zones are data of the machine, and change; the engine must say the same everywhere. So a named zone stands in the
policy with its offsets spelled out, which ``kroute policy apply`` does (``kroute.admin.policy.zones``).
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MS = 86_400_000
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday


class CalendarError(ValueError):
    """A calendar that cannot be used; the message says why."""


class _Window(Struct, frozen=True, rename={"start": "from", "end": "to"}, forbid_unknown_fields=True):
    start: str
    end: str
    days: tuple[str, ...] = ()
    utc_offset: str | None = None
    tz: str | None = None
    offsets: tuple[tuple[int, str], ...] = ()


class Weekly(NamedTuple):
    """Hours of the week. ``days`` from Monday 0; ``start`` and ``end`` in ms of the day; ``offsets``: ``(from epoch ms on,
    offset in ms)``, oldest first; the first holds for all before it too.
    """

    days: tuple[int, ...]
    start: int
    end: int
    offsets: tuple[tuple[int, int], ...]

    def on(self, now_ms: int) -> bool:
        """True inside; a night window belongs to the day it begins on."""
        at = max(bisect_right(self.offsets, (now_ms, _DAY_MS)) - 1, 0)
        day, ms = divmod(now_ms + self.offsets[at][1], _DAY_MS)
        weekday = (day + _EPOCH_WEEKDAY) % 7
        if self.start < self.end:
            return weekday in self.days and self.start <= ms < self.end
        return (weekday in self.days and ms >= self.start) or ((weekday - 1) % 7 in self.days and ms < self.end)


class Calendar(Struct, frozen=True):
    """``absolute``: ``(from, to)`` epoch ms; ``weekly``: hours of the week."""

    absolute: tuple[tuple[int, int], ...] = ()
    weekly: tuple[Weekly, ...] = ()

    def on(self, now_ms: int) -> bool:
        """True inside any window; ends are outside."""
        return any(a <= now_ms < b for a, b in self.absolute) or any(w.on(now_ms) for w in self.weekly)

    def over(self, now_ms: int) -> bool:
        """True when it will never be on again."""
        return not self.weekly and all(b <= now_ms for _, b in self.absolute)


def read_calendar(value: Any) -> Calendar:
    """A calendar of the policy: a window or a list of them.

    A window is ``{from: 2026-12-20T00:00:00Z, to: …}`` or ``{days: [mon, …], from: "08:00", to: "18:00"}`` with
    ``utc_offset: "+01:00"``, or ``tz: Europe/Berlin`` with its ``offsets``; else in UTC.

    Raises:
        CalendarError: not of either form.
    """
    try:
        windows = msgspec.convert(value if isinstance(value, list) else [value], list[_Window])
    except msgspec.ValidationError as e:
        raise CalendarError(str(e)) from None
    absolute: list[tuple[int, int]] = []
    weekly: list[Weekly] = []
    for w in windows:
        if not w.days:
            a, b = instant(w.start), instant(w.end)
            if a >= b:
                raise CalendarError(f"{w.start} is not before {w.end}")
            absolute.append((a, b))
            continue
        wrong = [d for d in w.days if d not in DAYS]
        if wrong:
            raise CalendarError(f"{wrong[0]!r} is no day; write {', '.join(DAYS)}")
        days = tuple(sorted(DAYS.index(d) for d in w.days))
        weekly.append(Weekly(days, _clock(w.start), _clock(w.end), _offsets(w)))
    return Calendar(tuple(absolute), tuple(weekly))


def _offsets(w: _Window) -> tuple[tuple[int, int], ...]:
    if w.tz is None:
        return ((0, _offset(w.utc_offset or "+00:00")),)
    if w.utc_offset is not None:
        raise CalendarError("give tz or utc_offset, not both")
    if not w.offsets:
        raise CalendarError(f"tz {w.tz} stands without its offsets; kroute policy apply spells them out")
    return tuple(sorted((ms, _offset(text)) for ms, text in w.offsets))


def _offset(text: str) -> int:
    if text[:1] not in ("+", "-"):
        raise CalendarError(f"utc_offset is {text!r}; write +01:00")
    return _clock(text[1:]) * (-1 if text[0] == "-" else 1)


def instant(text: str) -> int:
    """Epoch ms of an RFC 3339 time.

    Raises:
        CalendarError: not one, or without an offset.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CalendarError(f"{text!r} is no time; write 2026-12-20T00:00:00Z, or give days") from None
    if at.tzinfo is None:
        raise CalendarError(f"{text!r} has no offset from UTC; end it with Z or +01:00")
    return int(at.timestamp() * 1000)


def _clock(text: str) -> int:
    hours, colon, minutes = text.partition(":")
    if not (colon and hours.isdecimal() and minutes.isdecimal() and int(hours) <= 24 and int(minutes) < 60):
        raise CalendarError(f"{text!r} is no time of day; write 08:00")
    return (int(hours) * 60 + int(minutes)) * 60_000
