"""Python's collector of cycles, where it has nothing to find."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """The collector waits: where hundreds of thousands of objects are made and no cycle, all that it could do is look through
    them again and again, for a fifth to a third of the time; what is no more used is freed without it."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
