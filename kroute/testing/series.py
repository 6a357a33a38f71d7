"""The compact notation of a series, and of spans of time.

A series is one value per step, written in segments that follow each other:

====================  =========================================================================
``90``                one step
``90x80``             80 steps
``1+12x80``           80 steps, from 1 and 12 more at each: 1, 13, …, 949
``960-60x16``         16 steps, from 960 and 60 less at each: 960, 900, …, 60
``Stablex40``         40 steps of a word (states, traces)
``_``, ``_x4``        one step, four steps at which nothing is observed
====================  =========================================================================

The idea is promtool's; here N is the number of steps, so that segments add up.
"""

from __future__ import annotations

import re

Value = float | str | None
"""A step of a series; None: not observed."""
MAX_STEPS = 20_000
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_NUMERIC = re.compile(rf"(?P<a>-?{_NUMBER})(?P<b>[+-]{_NUMBER})?(?:x(?P<n>\d+))?")
_WORD = re.compile(r"(?P<w>_|[A-Za-z][A-Za-z_.:/-]*?)(?:x(?P<n>\d+))?")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def series(text: str | float | int) -> tuple[Value, ...]:
    """The values of a series, one per step.

    Raises:
        ValueError: a segment that is none of the notation, named in the message.
    """
    out: list[Value] = []
    for segment in str(text).split():
        _segment(segment, out)
        if len(out) > MAX_STEPS:
            raise ValueError(f"more than {MAX_STEPS} steps")
    if not out:
        raise ValueError("is empty; write at least one value")
    return tuple(out)


def _segment(segment: str, out: list[Value]) -> None:
    m = _NUMERIC.fullmatch(segment)
    if m is not None:
        if m["b"] and not m["n"]:
            raise ValueError(f"{segment!r} changes but does not say for how many steps; write {segment}xN")
        n = _count(segment, m["n"])
        start, change = float(m["a"]), float(m["b"] or 0)
        out.extend(round(start + change * i, 9) for i in range(n))
        return
    m = _WORD.fullmatch(segment)
    if m is None:
        raise ValueError(f"{segment!r} is no segment; write value, valuexN, a+bxN, a-bxN, _ or _xN")
    out.extend([None if m["w"] == "_" else m["w"]] * _count(segment, m["n"]))


def _count(segment: str, n: str | None) -> int:
    count = 1 if n is None else int(n)
    if not 1 <= count <= MAX_STEPS:
        raise ValueError(f"{segment!r}: between 1 and {MAX_STEPS} steps")
    return count


def at(values: tuple[Value, ...], step: int) -> Value:
    """The value at a step; a series that is over keeps its last value."""
    return values[step] if step < len(values) else values[-1]


def span_ms(text: str | float | int) -> int:
    """``20m30s``, ``1h``, ``500ms``, or a number of seconds, in milliseconds.

    Raises:
        ValueError: anything else.
    """
    if isinstance(text, (int, float)):
        if isinstance(text, bool) or not 0 <= text < 1e9:
            raise ValueError(f"{text!r} is no span of time; write seconds, or 20m30s")
        return round(text * 1000)
    total, end = 0.0, 0
    for m in _SPAN.finditer(text):
        if m.start() != end:
            break
        total += float(m[1]) * _UNIT_MS[m[2]]
        end = m.end()
    if end != len(text) or not text or total >= 1e12:
        raise ValueError(f"{text[:100]!r} is no span of time; write seconds, or 20m30s")
    return round(total)


def clock(ms: int) -> str:
    """Milliseconds since the start as people write them: ``20m30s``."""
    sign, ms = ("-", -ms) if ms < 0 else ("", ms)
    s, rest = divmod(ms, 1000)
    h, s = divmod(s, 3600)
    m, s = divmod(s, 60)
    text = (f"{h}h" if h else "") + (f"{m}m" if m else "") + (f"{s}s" if s else "") + (f"{rest}ms" if rest else "")
    return sign + (text or "0s")
