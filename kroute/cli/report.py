"""``kroute report``: what was told over a period, and what came of it."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from kroute import settings
from kroute.cli._options import now_ms
from kroute.cli._period import since, sources
from kroute.errors import ConfigError

_WIDTH = 150


@click.command("report")
@sources
@click.option("--until", "until_ms", callback=since, help="Only alerts before this long ago.")
@click.option("--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="Write a page that loads nothing.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here; - prints.")
def command(
    files: tuple[str, ...], since_ms: int | None, until_ms: int | None, html_file: Path | None, json_file: Path | None
) -> None:  # fmt: skip
    """Measure the alerts of a period and what people did: pages, owners, times, floods; what to retire, name and drill.

    From the topics (--since, default all that is kept) or from recordings.
    """
    from rich.console import Console  # noqa: PLC0415  (--help stays quick)

    from kroute.report.measure import measure  # noqa: PLC0415
    from kroute.report.page import page  # noqa: PLC0415
    from kroute.report.source import from_files, from_topics  # noqa: PLC0415
    from kroute.report.text import render  # noqa: PLC0415

    conf = settings.load()
    if files:
        past = from_files(files, conf)
    else:
        past = from_topics(conf)  # an incident that was told before the period is told whole
        until_ms = until_ms or now_ms()
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise click.UsageError("--until is before --since")
    found = measure(past, since_ms, until_ms)
    data = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
    if html_file is not None:
        _write(html_file, page(found).encode())
    if json_file is not None and str(json_file) == "-":
        sys.stdout.buffer.write(data)
        return
    if json_file is not None:
        _write(json_file, data)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    for part in render(found):
        console.print(part)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as e:
        raise ConfigError(f"cannot write {path}: {e.strerror or e}") from None
