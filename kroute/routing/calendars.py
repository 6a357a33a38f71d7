"""Calendars of the policy: absolute windows, and hours of the week at a fixed offset from UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
    utc_offset: str = "+00:00"


class Calendar(Struct, frozen=True):
    """``absolute``: ``(from, to)`` epoch ms. ``weekly``: ``(weekdays from Monday 0, from, to, offset)``, ms of the day."""

    absolute: tuple[tuple[int, int], ...] = ()
    weekly: tuple[tuple[tuple[int, ...], int, int, int], ...] = ()

    def on(self, now_ms: int) -> bool:
        """True inside any window; ends are outside. A night window belongs to the day it begins on."""
        if any(a <= now_ms < b for a, b in self.absolute):
            return True
        for days, start, end, offset in self.weekly:
            day, at = divmod(now_ms + offset, _DAY_MS)
            weekday = (day + _EPOCH_WEEKDAY) % 7
            if start < end:
                inside = weekday in days and start <= at < end
            else:
                inside = (weekday in days and at >= start) or ((weekday - 1) % 7 in days and at < end)
            if inside:
                return True
        return False


def read_calendar(value: Any) -> Calendar:
    """A calendar of the policy: a window or a list of them.

    A window is ``{from: 2026-12-20T00:00:00Z, to: …}`` or ``{days: [mon, …], from: "08:00", to: "18:00", utc_offset: "+01:00"}``.

    Raises:
        CalendarError: not of either form.
    """
    try:
        windows = msgspec.convert(value if isinstance(value, list) else [value], list[_Window])
    except msgspec.ValidationError as e:
        raise CalendarError(str(e)) from None
    absolute: list[tuple[int, int]] = []
    weekly: list[tuple[tuple[int, ...], int, int, int]] = []
    for w in windows:
        if not w.days:
            a, b = _instant(w.start), _instant(w.end)
            if a >= b:
                raise CalendarError(f"{w.start} is not before {w.end}")
            absolute.append((a, b))
            continue
        wrong = [d for d in w.days if d not in DAYS]
        if wrong:
            raise CalendarError(f"{wrong[0]!r} is no day; write {', '.join(DAYS)}")
        if w.utc_offset[:1] not in ("+", "-"):
            raise CalendarError(f"utc_offset is {w.utc_offset!r}; write +01:00")
        offset = _clock(w.utc_offset[1:]) * (-1 if w.utc_offset[0] == "-" else 1)
        weekly.append((tuple(sorted(DAYS.index(d) for d in w.days)), _clock(w.start), _clock(w.end), offset))
    return Calendar(tuple(absolute), tuple(weekly))


def _instant(text: str) -> int:
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
