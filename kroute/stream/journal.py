"""The journal row: one unit of work, so that it is applied wholly or not at all. Pure.

A unit is stored before its rows and alerts are written. After any stop the newest unit's rows and alerts are
written once more, which is harmless: they are the same bytes under the same keys and ids.

A row holds at most 512 KiB, so a large unit is split: parts are written first, then the head row, which is the
commit. Parts carry the unit's offset. A head whose parts belong to another unit was already applied in full,
because the next unit only writes its parts after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from kroute.contracts.alerts import Alert
from kroute.errors import StateError

VERSION = 1
PART_BYTES = 480 * 1024
HEAD_KEY = "journal"

_Row = tuple[str, str, bytes | None]
_Alert = tuple[str, bytes, tuple[tuple[str, bytes], ...], int]


class Body(msgspec.Struct, frozen=True, array_like=True):
    """Rows as (table, key, value or None to delete) and alerts as (key, value, headers, epoch ms), in order."""

    rows: tuple[_Row, ...]
    alerts: tuple[_Alert, ...]


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The committed unit: its facts offset, how many parts its body has, and the first part.

    ``marks``: the newest changelog offset of each table as the unit began; a changelog that ends before has lost rows.
    """

    v: int
    offset: int
    parts: int
    body: bytes
    marks: dict[str, int] = {}


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A further part of the body of the unit at ``offset``."""

    offset: int
    body: bytes


class Unit(msgspec.Struct, frozen=True):
    """A unit as read back: its facts offset, and the rows and alerts to write once more.

    Both are empty where the unit is known to have been applied in full. ``marks``: as in its head.
    """

    offset: int
    rows: dict[tuple[str, str], bytes | None] = {}
    alerts: tuple[Alert, ...] = ()
    marks: dict[str, int] = {}


_encode = msgspec.msgpack.Encoder().encode
_head = msgspec.msgpack.Decoder(Head)
_part = msgspec.msgpack.Decoder(Part)
_body = msgspec.msgpack.Decoder(Body)


def encode(
    offset: int,
    rows: Mapping[tuple[str, str], bytes | None],
    alerts: Iterable[Alert],
    part_bytes: int = PART_BYTES,
    marks: Mapping[str, int] | None = None,
) -> list[tuple[str, bytes]]:
    """Journal rows (key, value) of a unit in the order they must be written; the last one commits."""
    body = _encode(
        Body(
            tuple((table, key, value) for (table, key), value in rows.items()),
            tuple((a.key, a.value, a.headers, a.ts_ms) for a in alerts),
        )
    )
    chunks = [body[i : i + part_bytes] for i in range(0, len(body), part_bytes)]
    out = [(f"{HEAD_KEY}/{i}", _encode(Part(offset, chunk))) for i, chunk in enumerate(chunks[1:], 1)]
    out.append((HEAD_KEY, _encode(Head(VERSION, offset, len(chunks), chunks[0], dict(marks or {})))))
    return out


def decode(stored: Mapping[str, bytes]) -> Unit | None:
    """The newest unit of a partition from its journal rows; None where there is none.

    Raises:
        StateError: written by a newer version, or not a journal row.
    """
    raw = stored.get(HEAD_KEY)
    if raw is None:
        return None
    try:
        head = _head.decode(raw)
        if head.v != VERSION:
            raise StateError(
                f"the journal has version {head.v}, and this kroute reads version {VERSION}: a newer kroute wrote it. "
                f"Run that one, or begin with an empty state under another KROUTE_APP_ID"
            )
        chunks = [head.body]
        for i in range(1, head.parts):
            part = _part.decode(stored[f"{HEAD_KEY}/{i}"])
            if part.offset != head.offset:
                return Unit(head.offset, marks=head.marks)
            chunks.append(part.body)
        body = _body.decode(b"".join(chunks))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError, KeyError) as e:
        raise StateError(f"the journal cannot be read ({e}). Was its changelog written by something else?") from None
    rows = {(table, key): value for table, key, value in body.rows}
    return Unit(head.offset, rows, tuple(Alert(key, value, headers, ts) for key, value, headers, ts in body.alerts), head.marks)
