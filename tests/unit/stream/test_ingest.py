"""Placement, the gate on signals, and the time that is told."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from kroute.stream.admin import Span
from kroute.stream.gate import unread
from kroute.stream.ingest import BrokerClock
from kroute.stream.placement import Placement, first_choice


async def test_a_new_domains_row_is_durable_before_its_first_use_and_written_once() -> None:
    stored: list[tuple[bytes, bytes]] = []
    durable = asyncio.Event()

    async def store(key: bytes, value: bytes) -> None:
        stored.append((key, value))
        await durable.wait()

    placement = Placement({"old": 3}, 4, store)
    assert placement.known("old") == 3
    asked = [asyncio.create_task(placement.place("new")) for _ in range(3)]
    await asyncio.sleep(0)
    assert placement.known("new") is None
    durable.set()
    assert set(await asyncio.gather(*asked)) == {first_choice("new", 4)}
    assert stored == [(b"new", str(first_choice("new", 4)).encode())]


async def test_a_stored_row_wins_over_the_hash_when_partitions_were_added() -> None:
    async def store(key: bytes, value: bytes) -> None:
        raise AssertionError

    before = first_choice("prod-eu", 4)
    assert await Placement({"prod-eu": before}, 64, store).place("prod-eu") == before


def test_state_inputs_are_read_when_this_worker_or_the_group_has_passed_the_ends_noted_at_start() -> None:
    spans = [Span("ownership", 0, 0, 10), Span("ownership", 1, 5, 5), Span("policy", 0, 0, 3)]
    assert unread(spans, {}, {}) == [spans[0], spans[2]]
    assert unread(spans, {("ownership", 0): 10}, {("policy", 0): 2}) == [spans[2]]
    assert unread(spans, {("ownership", 0): 4}, {("ownership", 0): 12, ("policy", 0): 3}) == []


@given(
    st.integers(-10_000, 10_000),
    st.lists(st.tuples(st.floats(0.001, 5), st.floats(0, 0.5)), min_size=1, max_size=20),
    st.floats(0, 10),
)
def test_the_brokers_time_is_never_told_ahead_whatever_this_machines_clock_says(
    skew_ms: int, acks: list[tuple[float, float]], later_s: float
) -> None:
    clock, at = BrokerClock(), 1000.0
    assert clock.now_ms(at) is None
    for pause_s, delay_s in acks:
        at += pause_s
        appended = at * 1000 + skew_ms
        at += delay_s
        clock.saw(int(appended), at)
        told = clock.now_ms(at + later_s)
        assert told is not None
        assert told <= (at + later_s) * 1000 + skew_ms + 1e-3
