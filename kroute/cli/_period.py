"""Options that several commands share: where alerts are read from, and since when."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def since(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """``7d`` → epoch ms that long ago."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})([mhdw])", text)
    if match is None:
        raise click.BadParameter("write minutes, hours, days or weeks, such as 90m, 12h, 7d or 2w")
    return int((time.time() - int(match[1]) * _UNITS_S[match[2]]) * 1000)


def sources(command: F) -> F:
    """``--from`` and ``--since``."""
    files = click.option(
        "--from", "files", multiple=True, type=click.Path(exists=True, dir_okay=False),
        help="Read recordings instead of the topics: of routed-alerts, or of inputs, which are replayed. Repeat for several.",
    )  # fmt: skip
    back = click.option("--since", "since_ms", callback=since, help="Only alerts of this long ago and later: 12h, 7d.")
    return files(back(command))
