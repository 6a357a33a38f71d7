"""Named time zones of a policy's calendars, spelled out as offsets from UTC.

The engine must give the same alerts on every machine and in every replay, whatever its time-zone data is; so the data
of the machine that applies the policy is written into it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from kroute.routing.calendars import CalendarError

YEARS_BACK, YEARS_ON = 2, 10
"""Changes of the clock from so many years before the given one to so many after it are written."""


def spell_out(calendars: Mapping[str, Any], year: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The calendars with ``offsets`` beside each ``tz``, and what is wrong: field path below ``calendars`` → problem."""
    out: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, value in calendars.items():
        windows = value if isinstance(value, list) else [value]
        done = []
        for i, w in enumerate(windows):
            if isinstance(w, dict) and isinstance(w.get("tz"), str) and "offsets" not in w:
                try:
                    w = {**w, "offsets": offsets(w["tz"], year)}  # noqa: PLW2901
                except CalendarError as e:
                    problems[f"{name}[{i}].tz" if isinstance(value, list) else f"{name}.tz"] = str(e)
            done.append(w)
        out[name] = done if isinstance(value, list) else done[0]
    return out, problems


def offsets(zone: str, year: int) -> list[list[Any]]:
    """``[[epoch ms, "+01:00"], …]``: from when on which offset holds, oldest first.

    Raises:
        CalendarError: no such time zone.
    """
    try:
        tz = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(zone, available_timezones(), 1)
        raise CalendarError(f"no time zone {zone!r}" + (f"; did you mean {near[0]}?" if near else "")) from None
    at = datetime(year - YEARS_BACK, 1, 1, tzinfo=UTC)
    end = datetime(year + YEARS_ON, 1, 1, tzinfo=UTC)
    found = [[int(at.timestamp() * 1000), _text(at, tz)]]
    while at < end:
        following = at + timedelta(days=1)
        if _text(following, tz) != found[-1][1]:
            low, high = at, following
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) // 2
                middle = middle.replace(second=0, microsecond=0)
                if middle <= low:
                    break
                low, high = (middle, high) if _text(middle, tz) == found[-1][1] else (low, middle)
            found.append([int(high.timestamp() * 1000), _text(high, tz)])
        at = following
    return found


def _text(at: datetime, tz: ZoneInfo) -> str:
    offset = at.astimezone(tz).utcoffset() or timedelta(0)
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
