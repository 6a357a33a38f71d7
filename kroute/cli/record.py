"""``kroute record``: dumps facts as a recording for ``kroute replay``."""

from __future__ import annotations

import re
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import click

from kroute.settings import load

_UNITS_MS = {"s": 1000, "m": 60_000}


def _since(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Milliseconds back from ``90s`` or ``5m``."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)([sm])", text)
    if match is None:
        raise click.BadParameter("write seconds or minutes, such as 90s or 5m")
    return int(match[1]) * _UNITS_MS[match[2]]


@click.command("record")
@click.option("--out", type=click.Path(dir_okay=False), help="Write lines here instead of standard output.")
@click.option("--from-beginning", is_flag=True, help="From the first fact that is kept; this is the default.")
@click.option("--since", callback=_since, help="Begin this long ago, with a snapshot of the tables: 90s, 5m (at most 10m).")
@click.option("--until-end", is_flag=True, help="Stop at the end of what is there now; else go on until interrupted.")
def command(out: str | None, from_beginning: bool, since: int | None, until_end: bool) -> None:
    """Record facts, and the tables' rows where the recording begins in mid-log."""
    from kroute.stream.recording import record  # noqa: PLC0415  (--help must not import the Kafka client)

    if from_beginning and since is not None:
        raise click.UsageError("--from-beginning and --since exclude each other")
    now_ms = int(time.time() * 1000)
    with ExitStack() as stack:
        file = sys.stdout.buffer if out is None else stack.enter_context(Path(out).open("wb"))
        try:
            record(
                load(),
                since_ms=None if since is None else now_ms - since,
                now_ms=now_ms,
                until_end=until_end,
                write=file.write,
                say=lambda text: click.echo(text, err=True),
            )
        except KeyboardInterrupt:
            pass
        finally:
            file.flush()
