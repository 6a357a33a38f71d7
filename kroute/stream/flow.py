"""Work in flight: let it finish before partitions are given away or the process ends, and begin none meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Flow:
    """A gate that work passes one at a time or several. Closed at first; ``open`` it when partitions are ready."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._n = 0

    @property
    def is_open(self) -> bool:
        """Whether work may begin."""
        return self._open.is_set()

    def open(self) -> None:
        """Let work begin."""
        self._open.set()

    async def close(self) -> None:
        """Let no more work begin, and wait until none is in flight."""
        self._open.clear()
        await self._idle.wait()

    async def through(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work`` when the gate is open. A cancellation is kept until the work is done: half a unit is never left."""
        while not self._open.is_set():
            await self._open.wait()
        self._n += 1
        self._idle.clear()
        task = asyncio.ensure_future(work())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise
        finally:
            self._ended()

    def also(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """From within work that passed the gate: more work that goes on beside it, and that closing waits for too."""
        assert self._n > 0, "only work in flight may go on"
        self._n += 1
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._ended())
        return task

    def _ended(self) -> None:
        self._n -= 1
        if self._n == 0:
            self._idle.set()
