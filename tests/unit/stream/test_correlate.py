"""A unit of work: what is durable before what, and what a failure leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from faust.types import TP

from kroute.settings import Settings
from kroute.stream import correlate, journal
from kroute.stream.admin import Span
from kroute.stream.correlate import Correlate
from kroute.stream.process import Watchdog
from tests.unit.stream.fake_engine import FakeEngine

FACTS = "kroute.facts"


class Died(BaseException):
    """Stands in for the end of the process."""


class World:
    """Kafka and the tables, as far as correlate sees them: ``log`` tells what became durable, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, accept_gap: bool = False) -> None:
        self.log: list[tuple[str, str]] = []
        self.stored: dict[str, dict[int, dict[str, bytes]]] = {}
        self.fail_at: str | None = None
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.committed: dict[TP, int] = {}
        self.notes: dict[TP, str] = {}
        self.left_unread: dict[TP, int] = {}
        self.earliest = 0
        self.end = 100
        self.by_name = {
            name: SimpleNamespace(
                stored=lambda p, n=name: self._rows(n, p).items(), row=lambda p, key, n=name: self._rows(n, p).get(key)
            )
            for name in ("journal", "consumer_lag", "entities")
        }
        self.changelog_starts = 0
        app = SimpleNamespace(
            conf=SimpleNamespace(id="kroute"),
            consumer_generation_id=1,
            rebalancing_count=1,
            rebalancing=False,
            tables=SimpleNamespace(recovery=SimpleNamespace(signal_recovery_start=asyncio.Event())),
            producer=SimpleNamespace(send=self._send),
            consumer=SimpleNamespace(
                assignment=lambda: {TP(FACTS, 0)}, earliest_offsets=self._earliest, highwaters=self._ends, _commit=self._commit,
                commit_noted=self._commit_noted,
            ),
        )  # fmt: skip
        monkeypatch.setattr(correlate, "die", self._die)
        self.correlate = Correlate(
            app, Settings(), FakeEngine(), self, Watchdog(5), accept_gap=accept_gap  # type: ignore[arg-type]
        )  # fmt: skip
        self.correlate.flow.open()

    def _rows(self, table: str, p: int) -> dict[str, bytes]:
        return self.stored.setdefault(table, {}).setdefault(p, {})

    async def unread(self, partitions: list[int]) -> dict[TP, int]:
        return self.left_unread

    async def spans(self, p: int) -> dict[str, Span]:
        held = {name: len(self._rows(name, p)) for name in self.by_name}
        return {name: Span(name, p, self.changelog_starts, n + self.changelog_starts) for name, n in held.items()}

    def marks(self, p: int) -> dict[str, int]:
        return {name: len(self._rows(name, p)) - 1 for name in self.by_name if name != "journal" and self._rows(name, p)}

    async def write(self, p: int, offset: int, rows: Iterable[tuple[str, str, bytes | None]]) -> None:
        await self.may_write.wait()
        for table, key, value in rows:
            if self.fail_at in (table, key):
                raise OSError(f"{table} was not written")
            self.log.append((table, key))
            if value is None:
                self._rows(table, p).pop(key, None)
            else:
                self._rows(table, p)[key] = value

    async def _send(self, topic: str, key: bytes, value: bytes, *_: Any) -> asyncio.Future[None]:
        if self.fail_at == topic:
            raise OSError("no alert was sent")
        self.log.append((topic, key.decode() if key is not None else value.decode()))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    async def _earliest(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, self.earliest)

    async def _ends(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, self.end)

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        self.committed = offsets
        return True

    async def _commit_noted(self, offsets: dict[TP, int], notes: dict[TP, str]) -> None:
        self.committed, self.notes = offsets, notes

    def _die(self, message: str, **_: Any) -> None:
        raise Died(message)

    async def unit(self, *offsets: int) -> None:
        await self.apply([self.message(o) for o in offsets])
        await self.written()

    async def apply(self, messages: list[Any]) -> None:
        await self.correlate.flow.through(lambda: self.correlate._unit(messages))

    async def written(self) -> None:
        writing = self.correlate.held[0].writing
        if writing is not None:
            await writing

    def message(self, offset: int, messages: int = 3) -> Any:
        facts = [
            {"topic": "consumer-lag", "src": "s", "p": 0, "o": offset * 100 + i, "ts": 0, "val": {"group": "g", "partitions": []}}
            for i in range(messages)
        ]
        return SimpleNamespace(partition=0, offset=offset, generation_id=1, value=orjson.dumps({"facts": facts}), timestamp=1.0)


async def test_the_journal_is_durable_before_the_rows_and_the_rows_before_the_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    await world.unit(0)
    assert world.log == [("journal", "journal"), ("entities", "seen|s|0"), ("consumer_lag", "g"), ("routed-alerts", "g")]


@pytest.mark.parametrize("fail_at", ["journal", "consumer_lag", "routed-alerts"])
async def test_a_failed_write_ends_the_process_and_the_next_one_repeats_the_unit_identically(
    monkeypatch: pytest.MonkeyPatch, fail_at: str
) -> None:
    good, world = World(monkeypatch), World(monkeypatch)
    for w in (good, world):
        monkeypatch.setattr(correlate, "die", w._die)
        await w.correlate.recover()
        await w.unit(0)
    await good.unit(1)
    world.fail_at = fail_at
    with pytest.raises(Died):
        await world.unit(1)
    world.fail_at = None
    again = World(monkeypatch)
    again.stored = world.stored
    await again.correlate.recover()
    position = again.committed[TP(FACTS, 0)]
    assert position == (1 if fail_at == "journal" else 2)
    if position == 1:
        await again.unit(1)
    assert ("routed-alerts", "g") in again.log
    assert again.stored == good.stored
    assert again.correlate.held[0].state.rows == good.correlate.held[0].state.rows  # type: ignore[attr-defined]


@pytest.mark.parametrize("offset", [1, 3])
async def test_any_other_offset_than_the_next_ends_the_process(monkeypatch: pytest.MonkeyPatch, offset: int) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    await world.unit(0)
    await world.unit(1)
    with pytest.raises(Died, match=f"gave offset {offset}, expected 2"):
        await world.unit(offset)


async def test_a_record_read_before_a_rebalance_is_left_to_the_new_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    message = SimpleNamespace(partition=0, offset=0, generation_id=0, value=b"{}")
    await world.apply([message])
    assert world.log == []


@pytest.mark.parametrize(
    "value", [b"\xff", b"", b'{"facts":[{"topic":"\xa1"}]}', b'{"facts":' + b"[" * 100_000, b'{"facts":[{"o":NaN}]}']
)
async def test_a_record_that_is_no_envelope_is_passed_over_and_the_position_moves_on(
    monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    await world.apply([SimpleNamespace(partition=0, offset=0, generation_id=1, value=value, timestamp=1.0)])
    await world.unit(1)
    unit = journal.decode(world.stored["journal"][0])
    assert unit is not None
    assert unit.offset == 1


async def test_a_state_another_worker_moved_on_is_loaded_anew_and_one_that_stood_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    await world.unit(0)
    kept = world.correlate.held[0]
    await world.correlate.recover()
    assert world.correlate.held[0] is kept
    world.stored["journal"][0].update(journal.encode(5, {}, []))
    await world.correlate.recover()
    assert world.correlate.held[0] is not kept
    assert world.committed == {TP(FACTS, 0): 6}


async def test_a_gap_in_facts_is_refused_unless_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for accept_gap in (False, True):
        world = World(monkeypatch, accept_gap=accept_gap)
        world.stored = {"journal": {0: dict(journal.encode(5, {}, []))}}
        world.earliest = 10
        if accept_gap:
            await world.correlate.recover()
            assert world.committed == {TP(FACTS, 0): 10}
        else:
            with pytest.raises(Died, match="4 facts were deleted by retention"):
                await world.correlate.recover()


async def test_a_topic_of_facts_that_was_made_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.stored = {"journal": {0: dict(journal.encode(500, {}, []))}}
    with pytest.raises(Died, match="deleted and made again"):
        await world.correlate.recover()


async def test_several_records_in_one_unit_leave_what_they_leave_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    single, grouped = World(monkeypatch), World(monkeypatch)
    for world in (single, grouped):
        await world.correlate.recover()
    for offset in range(5):
        await single.unit(offset)
    await grouped.unit(0)
    await grouped.unit(1, 2, 3, 4)
    for table in ("consumer_lag", "entities"):
        assert grouped.stored[table] == single.stored[table]
    assert [entry for entry in grouped.log if entry[0] == "routed-alerts"] == [("routed-alerts", "g")] * 5
    assert len(grouped.log) < len(single.log)
    unit = journal.decode(grouped.stored["journal"][0])
    assert unit is not None
    assert (unit.offset, len(unit.alerts)) == (4, 4)


async def test_the_next_unit_is_applied_while_one_is_written_and_written_when_that_is_durable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    held = world.correlate.held[0]
    world.may_write.clear()
    await world.apply([world.message(0)])
    second = asyncio.create_task(world.apply([world.message(1)]))
    third = asyncio.create_task(world.apply([world.message(3)]))
    for _ in range(20):
        await asyncio.sleep(0)
    assert held.applied == 1
    assert (held.offset, world.log) == (-1, [])
    with pytest.raises(Died, match="gave offset 3, expected 2"):
        await third
    closing = asyncio.create_task(world.correlate.flow.close())
    await asyncio.sleep(0)
    assert not closing.done(), "partitions are given away when all is written"
    world.may_write.set()
    await second
    await closing
    unit = [("journal", "journal"), ("entities", "seen|s|0"), ("consumer_lag", "g"), ("routed-alerts", "g")]
    assert (held.offset, world.log) == (1, unit * 2)


async def test_a_gap_inside_a_unit_ends_the_process_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    with pytest.raises(Died, match="gave offset 2, expected 1"):
        await world.unit(0, 2)
    assert world.log == []


async def test_after_a_graceful_stop_nothing_is_written_or_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    await world.unit(0)
    await world.correlate.flow.close()
    await world.correlate.settle()
    assert world.committed == {TP(FACTS, 0): 1}
    assert world.notes == {TP(FACTS, 0): "1000"}, "the time of the newest durable fact, and nothing at stake"
    again = World(monkeypatch)
    again.stored = world.stored
    await again.correlate.recover()
    assert again.log == []
    assert again.committed == {TP(FACTS, 0): 1}
    assert again.correlate.held[0].state.rows == world.correlate.held[0].state.rows  # type: ignore[attr-defined]


async def test_a_stop_in_mid_rebalance_leaves_the_journal_to_whoever_owns_it_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    await world.unit(0)
    before = dict(world.stored["journal"][0])
    world.correlate._app.rebalancing = True
    await world.correlate.settle()
    assert world.stored["journal"][0] == before


async def test_the_age_of_the_outbox_is_that_of_the_unit_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    assert world.correlate.outbox_age_s == 0.0
    world.may_write.clear()
    await world.apply([world.message(0)])
    await asyncio.sleep(0.05)
    assert 0.03 < world.correlate.outbox_age_s < 30
    world.may_write.set()
    await world.written()
    assert world.correlate.outbox_age_s == 0.0


LARGE = b"x" * 600_000
"""More than one part of the journal."""


def outdated(monkeypatch: pytest.MonkeyPatch) -> World:
    """Rows of an older version at offset 4, whose last unit had parts too."""
    world = World(monkeypatch)
    world.stored = {
        "entities": {0: {"|clock": b"old"}},
        "consumer_lag": {0: {f"g{i}": b"{}" for i in range(4_000)}},
        "journal": {0: dict(journal.encode(4, {("entities", "large"): LARGE}, []))},
    }
    return world


async def test_a_recovery_that_was_taken_for_complete_too_early_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = outdated(monkeypatch)
    world.left_unread = {TP("kroute-incidents-changelog", 0): 12}
    again = world.correlate._app.tables.recovery.signal_recovery_start
    await world.correlate.recover()
    assert again.is_set(), "Faust is told to go on with it"
    assert world.log == []
    assert world.committed == {}
    assert not world.correlate.held
    world.left_unread = {}
    await world.correlate.recover()
    assert world.committed == {TP(FACTS, 0): 5}
    assert world.correlate.held


async def test_a_recovery_that_never_comes_to_its_end_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    world = outdated(monkeypatch)
    world.left_unread = {TP("kroute-incidents-changelog", 0): 12}
    for _ in range(correlate.TRIES):
        await world.correlate.recover()
    with pytest.raises(Died, match="12 changelog records unread"):
        await world.correlate.recover()
    assert world.log == []


async def test_a_state_of_an_older_version_is_migrated_as_one_unit_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    world = outdated(monkeypatch)
    await world.correlate.recover()
    assert world.stored["entities"][0] == {"|clock": b"new", "large": LARGE}
    assert set(world.stored["consumer_lag"][0].values()) == {b"migrated" * 25}
    assert world.committed == {TP(FACTS, 0): 5}
    assert world.correlate.held[0].state.rows["entities", "|clock"] == b"new"  # type: ignore[attr-defined]
    await world.unit(5)


@pytest.mark.parametrize("fail_at", ["journal", "journal/1", "consumer_lag", "g7", "|clock"])
async def test_a_migration_that_was_cut_off_is_made_whole_at_the_next_start(
    monkeypatch: pytest.MonkeyPatch, fail_at: str
) -> None:
    world = outdated(monkeypatch)
    world.fail_at = fail_at
    with pytest.raises(Died):
        await world.correlate.recover()
    again = World(monkeypatch)
    again.stored = world.stored
    await again.correlate.recover()
    assert set(again.stored["consumer_lag"][0].values()) == {b"migrated" * 25}
    assert again.stored["entities"][0] == {"|clock": b"new", "large": LARGE}
    assert again.committed == {TP(FACTS, 0): 5}


async def test_the_former_units_parts_are_not_taken_for_those_of_the_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are at one offset: cut off between its parts and its head, the journal must not hold a mixture."""
    world = outdated(monkeypatch)
    seen: list[bytes] = []
    write = world.write

    async def cut(p: int, offset: int, rows: Iterable[tuple[str, str, bytes | None]]) -> None:
        rows = list(rows)
        if [key for _, key, _ in rows] == ["journal"]:
            seen.append(b"head")
            if len(seen) == 2:
                raise OSError("killed here")
        await write(p, offset, rows)

    monkeypatch.setattr(world, "write", cut)
    with pytest.raises(Died):
        await world.correlate.recover()
    unit = journal.decode(world.stored["journal"][0])
    assert unit is not None
    assert (unit.offset, unit.rows, unit.alerts) == (4, {}, ())


async def test_a_changelog_that_was_deleted_from_ends_the_process_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    await world.correlate.recover()
    await world.unit(0)
    world.changelog_starts = 5
    with pytest.raises(Died, match=r"what was before 5 was deleted.*delete every topic kroute-\*-changelog"):
        await world.correlate.recover()
