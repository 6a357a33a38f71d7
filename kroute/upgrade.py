"""Stored state of older versions, brought up to date step by step. Pure: rows in, changed rows out.

The version of a state stands in its clock row. Each change of what a row means or how it is laid out adds one to
``STATE_VERSION`` and one step to ``STEPS``; fields that are added with a default need neither. A state of a newer version
is refused. ``tests/state`` keeps a state as each version wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kroute.errors import StateError
from kroute.signals import rowkeys

STATE_VERSION = 2
CLOCK = ("entities", "|clock")
"""Table and key of the row that has the version."""

Rows = Mapping[tuple[str, str], bytes]
"""(table, engine key) → value, all rows of one facts partition; keys begin with ``domain|``."""
Changes = dict[tuple[str, str], bytes | None]
"""Rows to write, None to delete."""


def version_of(clock: bytes | None) -> int:
    """Version of the state whose clock row this is; without one there is no state yet.

    Raises:
        StateError: newer than this kroute; says both versions and what to do.
    """
    if clock is None:
        return STATE_VERSION
    version = int(msgspec.msgpack.decode(clock).get("version", 1))
    if version > STATE_VERSION:
        raise StateError(
            f"the stored state has version {version}, and this kroute reads up to version {STATE_VERSION}: a newer kroute wrote "
            f"it. Run that one (or a later one), or begin with an empty state under another KROUTE_APP_ID"
        )
    return version


def migrate(rows: Rows) -> Changes:
    """What has to be written so that this version can go on from ``rows``; nothing where they are its own.

    Raises:
        StateError: a newer version wrote them.
    """
    version = version_of(rows.get(CLOCK))
    if version == STATE_VERSION:
        return {}
    now: dict[tuple[str, str], bytes] = dict(rows)
    changes: Changes = {}
    for step in range(version, STATE_VERSION):
        for where, value in STEPS[step](now).items():
            changes[where] = value
            if value is None:
                now.pop(where, None)
            else:
                now[where] = value
    clock = msgspec.msgpack.decode(now[CLOCK])
    changes[CLOCK] = msgspec.msgpack.encode({**clock, "version": STATE_VERSION})
    return changes


def _timed_estate(rows: Rows) -> Changes:
    """1 → 2. Edges, leaders and brokers of the estate get the time they were observed first, and their keys are escaped.

    Builds before the first release wrote both layouts under version 1, so each row is looked at. What is migrated counts
    as observed before anything that is still to come.
    """
    parts = {"edge": 5, "entity": 4, "leaders": 3, "brokers": 2}
    out: Changes = {}
    bare = {w: v for w, v in rows.items() if w[0] == "topology" and _head(w[1]) in parts}
    if not any(_is_bare(v) for w, v in bare.items() if _head(w[1]) != "entity"):
        return {}
    for (table, key), value in bare.items():
        domain, _, rest = key.partition("|")
        head, *names = rest.split("|", parts[_head(key)] - 1)
        new_key = f"{domain}|{rowkeys.join(head, *names)}"
        new = msgspec.msgpack.encode((0, msgspec.msgpack.decode(value))) if head != "entity" and _is_bare(value) else value
        if new_key != key:
            out[table, key] = None
        if new_key != key or new != value:
            out[table, new_key] = new
    return out


def _head(key: str) -> str:
    return key.split("|", 2)[1]


def _is_bare(value: bytes) -> bool:
    """Not yet ``[observed_at_ms, what]``, where ``what`` is a list."""
    decoded: Any = msgspec.msgpack.decode(value)
    timed = isinstance(decoded, list) and len(decoded) == 2 and isinstance(decoded[0], int) and isinstance(decoded[1], list)
    return not timed


STEPS: Mapping[int, Callable[[Rows], Changes]] = {1: _timed_estate}
"""Version → what brings its rows to the next one."""
