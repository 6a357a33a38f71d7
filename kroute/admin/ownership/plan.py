"""What applying a set of rows would do to the topic, and doing it.

Each row that is written carries its *set* in a header, which compaction keeps. Only rows of the same set are ever deleted:
what another set, another tool or a person wrote is theirs, until it is adopted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from kroute.admin import log
from kroute.admin.ownership.folder import Stated, encode, plain
from kroute.contracts.rows import Ownership
from kroute.settings import Settings

SET_HEADER = "kroute-set"
_FIRST = ("team", "cluster", "service")
"""Kinds that others lean on are written first, so that nobody is reached by a fallback in between."""
_decode = msgspec.json.Decoder(Ownership).decode


class Step(NamedTuple):
    """One row's fate. ``before`` and ``after``: the row as plain fields; None: there is none. ``partition``: where it stands."""

    key: str
    before: dict[str, object] | None
    after: dict[str, object] | None
    value: bytes | None
    partition: int | None
    owner_set: str | None
    also: tuple[int, ...] = ()
    """Other partitions that hold an older row of the key: a delete goes there too."""

    def lines(self) -> list[str]:
        """As a difference reads: ``+ key``, ``- key``, ``~ key`` with the fields that change."""
        if self.before is None:
            return [f"+ {self.key}  {_fields(self.after or {})}"]
        if self.after is None:
            return [f"- {self.key}  {_fields(self.before)}"]
        names = sorted({*self.before, *self.after})
        moved = [n for n in names if self.before.get(n) != self.after.get(n)]
        return [f"~ {self.key}"] + [f"    {n}: {_word(self.before.get(n))} → {_word(self.after.get(n))}" for n in moved]


class Plan(NamedTuple):
    """``adopted``: rows that say the same already, written by somebody else; ``foreign``: rows of others that would change.
    ``same``: rows that stand as they are; ``of_set``: rows of this set that stand now.
    """

    added: tuple[Step, ...]
    changed: tuple[Step, ...]
    deleted: tuple[Step, ...]
    adopted: tuple[Step, ...]
    foreign: tuple[Step, ...]
    same: int
    of_set: int

    @property
    def empty(self) -> bool:
        """True when nothing differs."""
        return not (self.added or self.changed or self.deleted or self.foreign)

    def steps(self, *, adopt: bool) -> list[Step]:
        """All steps in the order in which they are written."""
        writes = [*self.added, *self.changed, *((*self.adopted, *self.foreign) if adopt else ())]
        return [*sorted(writes, key=lambda s: (_rank(s.key), s.key)), *self.deleted]


def plan(live: Mapping[str, log.Kept], wanted: Iterable[Stated], set_name: str) -> Plan:
    """Compare the topic with the wanted rows. A row is the same when its fields are, whatever its bytes."""
    added: list[Step] = []
    changed: list[Step] = []
    adopted: list[Step] = []
    foreign: list[Step] = []
    same = 0
    keys: dict[str, None] = {}
    for s in wanted:
        keys[s.key] = None
        kept = live.get(s.key)
        if kept is None:
            added.append(Step(s.key, None, plain(s.row), encode(s.row), None, None))
            continue
        before = _row(kept)
        owner = _set(kept)
        if before == s.row and owner == set_name:
            same += 1
            continue
        old = plain(before) if before is not None else {}
        step = Step(s.key, old, plain(s.row), encode(s.row), kept.partition, owner)
        (changed if owner == set_name else adopted if before == s.row else foreign).append(step)
    mine = {k: r for k, r in live.items() if _set(r) == set_name}
    deleted = []
    for key, kept in mine.items():
        if key not in keys:
            row = _row(kept)
            deleted.append(Step(key, plain(row) if row is not None else {}, None, None, kept.partition, set_name, kept.also))
    return Plan(tuple(added), tuple(changed), tuple(deleted), tuple(adopted), tuple(foreign), same, len(mine))


def apply(settings: Settings, topic: str, steps: Iterable[Step], set_name: str) -> int:
    """Write the steps and wait until they are stored; a row goes where its key stands already.

    Raises:
        SourceUnreachable: not all were stored. Applying again writes the rest.
    """
    header = {SET_HEADER: set_name.encode()}

    def rows() -> Iterator[log.Row]:
        for s in steps:
            yield log.Row(s.key, s.value, header, s.partition)
            if s.value is None:
                yield from (log.Row(s.key, None, header, p) for p in s.also)

    return log.produce(settings, topic, rows())


def _row(kept: log.Kept) -> Ownership | None:
    """The row, or None for what a worker would not take either."""
    try:
        return _decode(kept.value or b"")
    except (msgspec.MsgspecError, ValueError):
        return None


def _set(kept: log.Kept) -> str | None:
    raw = kept.headers.get(SET_HEADER)
    return raw.decode("utf-8", "replace") if raw is not None else None


def _rank(key: str) -> int:
    kind = key.partition("/")[0]
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


def _fields(row: Mapping[str, object]) -> str:
    return " ".join(f"{k}={_word(v)}" for k, v in row.items() if k not in ("kind", "cluster", "name"))


def _word(value: object) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
