"""Work in flight at a rebalance or a stop."""

from __future__ import annotations

import asyncio

import pytest

from kroute.stream.flow import Flow


async def test_closing_waits_for_the_work_in_flight_and_lets_none_begin() -> None:
    flow, go, done = Flow(), asyncio.Event(), []

    async def work(name: str) -> None:
        await go.wait()
        done.append(name)

    flow.open()
    first = asyncio.create_task(flow.through(lambda: work("first")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(flow.close())
    await asyncio.sleep(0)
    second = asyncio.create_task(flow.through(lambda: work("second")))
    go.set()
    await closing
    await first
    assert done == ["first"]
    flow.open()
    await second
    assert done == ["first", "second"]


async def test_a_cancelled_unit_is_finished_before_the_cancellation_is_seen() -> None:
    flow, go, done = Flow(), asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        done.append(1)

    flow.open()
    task = asyncio.create_task(flow.through(work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [1]
    await asyncio.wait_for(flow.close(), 1)
