"""Tables whose rows are durable when a write returns.

Faust's own ``table[key] = value`` drops the changelog's delivery future and takes the partition of the current
event. Here a write names its partition, is awaited, and carries the facts offset it belongs to as a header, so
that a consistent snapshot at an offset can be read from the changelogs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Iterator
from typing import Any, NoReturn

import faust
from faust.types import TP

from kroute.contracts.topics import TABLES
from kroute.errors import StateError
from kroute.stream import crash, metrics
from kroute.stream.admin import Span
from kroute.stream.changelog import engine_key, offset_header, stored_key
from kroute.stream.store import StoreOptions

MAX_ROW = 512 * 1024


class RowTable(faust.Table[bytes, bytes]):
    """A changelog-backed table, written only through ``Tables.write``."""

    logger = logging.getLogger("faust.tables")

    def _new_store(self) -> Any:
        store: Any = super()._new_store()
        store.rocksdb_options = StoreOptions()
        return store

    def on_key_set(self, key: Any, value: Any) -> NoReturn:
        """Refuse the unawaited path."""
        raise RuntimeError("rows are written through Tables.write, which awaits the changelog")

    def on_key_del(self, key: Any) -> NoReturn:
        """Refuse the unawaited path."""
        raise RuntimeError("rows are deleted through Tables.write, which awaits the changelog")

    def stored(self, partition: int) -> Iterator[tuple[str, bytes]]:
        """Rows of one partition in the local store, by engine key."""
        store: Any = self.data
        for key, value in store._db_for_partition(partition).items():
            if key != store.offset_key:
                yield engine_key(key), value

    def row(self, partition: int, key: str) -> bytes | None:
        """One row of one partition in the local store, by engine key."""
        store: Any = self.data
        value: bytes | None = store._db_for_partition(partition).get(stored_key(partition, key))
        return value

    def apply(self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], newest: int) -> None:
        """Bring the local store up to changelog offset ``newest``."""
        store: Any = self.data
        db = store._db_for_partition(partition)
        for key, value in rows:
            if value is None:
                db.delete(key)
            else:
                db.put(key, value)
        store.set_persisted_offset(TP(self.changelog_topic_name, partition), newest)


class Tables:
    """All tables of the app, and the one way to write to them."""

    def __init__(self, app: faust.App, partitions: int) -> None:
        self._app = app
        self.by_name: dict[str, RowTable] = {}
        self._newest: dict[int, dict[str, int]] = {}
        for name in TABLES:
            table = RowTable(
                app,
                name=name,
                key_type=bytes,
                value_type=bytes,
                partitions=partitions,
                options={"driver": "rocksdict"},  # Faust takes keys out of it
                recovery_buffer_size=200,
            )
            app.tables.add(table)
            self.by_name[name] = table

    async def unread(self, partitions: Iterable[int]) -> dict[TP, int]:
        """Changelog records that recovery has not read, by partition; none where it is whole.

        Faust takes recovery for complete when another rebalance comes at its beginning, with most of it unread (measured).
        """
        tables = {TP(t.changelog_topic_name, p): t for t in self.by_name.values() for p in partitions}
        consumer: Any = self._app.consumer
        ends = await consumer.highwaters(*tables)
        starts = await consumer.earliest_offsets(*tables)
        out = {}
        for tp, table in tables.items():
            persisted = table.data.persisted_offset(tp)
            read = max(-1 if persisted is None else persisted, starts[tp] - 1)
            if read < ends[tp] - 1:
                out[tp] = ends[tp] - 1 - read
        return out

    async def spans(self, partition: int) -> dict[str, Span]:
        """What each table's changelog holds of a partition; from then on ``marks`` are known."""
        consumer: Any = self._app.consumer
        topics = {name: TP(table.changelog_topic_name, partition) for name, table in self.by_name.items()}
        starts = await consumer.earliest_offsets(*topics.values())
        ends = await consumer.highwaters(*topics.values())
        found = {name: Span(tp.topic, partition, starts[tp] or 0, ends[tp] or 0) for name, tp in topics.items()}
        self._newest[partition] = {name: s.end - 1 for name, s in found.items() if s.end and name != "journal"}
        return found

    def marks(self, partition: int) -> dict[str, int]:
        """The newest changelog offset of each table but the journal."""
        return dict(self._newest.get(partition, {}))

    async def write(self, partition: int, offset: int, rows: Iterable[tuple[str, str, bytes | None]]) -> None:
        """Write rows (table, engine key, value or None to delete) in order; returns when all are durable.

        The local store follows the changelog, never the other way: it is not ahead after a stop.

        Raises:
            StateError: a row is larger than 512 KiB.
            KafkaError: the changelog did not take a row.
        """
        send = self._app.producer.send
        headers = [offset_header(offset)]
        written: dict[str, list[tuple[bytes, bytes | None]]] = {}
        acks: dict[str, list[Awaitable[Any]]] = {}
        for name, key, value in rows:
            if value is not None and len(value) > MAX_ROW:
                raise StateError(f"row {key} of table {name} has {len(value)} bytes; at most {MAX_ROW} can be stored")
            table = self.by_name[name]
            raw = stored_key(partition, key)
            acks.setdefault(name, []).append(await send(table.changelog_topic_name, raw, value, partition, None, headers))
            written.setdefault(name, []).append((raw, value))
            await crash.point("row-sent", name)
        for name, futures in acks.items():
            newest = max(ack.offset for ack in await asyncio.gather(*futures))
            if name != "journal":
                self._newest.setdefault(partition, {})[name] = newest
            await crash.point("rows-acked", name)
            try:
                self.by_name[name].apply(partition, written[name], newest)
            except Exception as e:  # rocksdict has no exception of its own
                raise StateError(
                    f"the local store cannot be written: {e}. Is its disk full? The changelog has the rows"
                ) from None
            await crash.point("rows-stored", name)
            metrics.ROWS.labels(name).inc(len(futures))
