"""A folder of this process for readers that take nothing but a path."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

_HELD: list[tempfile.TemporaryDirectory[str]] = []


@cache
def folder() -> Path:
    """Made once, removed when the process ends."""
    _HELD.append(tempfile.TemporaryDirectory(prefix="fuzz-"))
    return Path(_HELD[-1].name)


def scratch(data: bytes, name: str) -> Path:
    """The bytes as a file."""
    path = folder() / name
    path.write_bytes(data)
    return path
