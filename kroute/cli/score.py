"""``kroute score``: how right the routes are, on recordings whose truth is known."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

import kroute
from kroute import settings
from kroute.errors import ConfigError

_WIDTH = 140
"""Columns where the output is no terminal."""


@click.command("score")
@click.argument("corpus_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes to use; default: one per processor.")
@click.option(
    "--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="Write a page here that needs nothing else."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here.")
@click.option("--label", help="What to call this run; default: the folder's name.")
@click.option("--worst", type=click.IntRange(0, 10_000), default=25, show_default=True, help="How many of the worst to list.")
def command(
    corpus_dir: Path, jobs: int | None, html_file: Path | None, json_file: Path | None, label: str | None, worst: int
) -> None:
    """Replay every recording X.jsonl of CORPUS_DIR and hold its alerts against X.truth.json.

    Measures cause, root and owners of the first record, the first page and the settled answer; splits and merges; false
    pages; time to the right team; calibration of confidence; and what static thresholds would have paged.
    """
    from rich.console import Console  # noqa: PLC0415  (--help stays quick)

    from kroute.score.page import page  # noqa: PLC0415
    from kroute.score.run import Scored, score_all  # noqa: PLC0415
    from kroute.score.summary import summarize  # noqa: PLC0415
    from kroute.score.text import render  # noqa: PLC0415
    from kroute.score.truth import corpus, name_of  # noqa: PLC0415

    conf = settings.load()
    found = corpus(corpus_dir)
    done = 0

    def say(s: Scored) -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            click.echo(f"\r{done}/{len(found)} {s.recording}"[:100].ljust(100), err=True, nl=done == len(found))

    scored = score_all(corpus_dir, found, conf, jobs or os.cpu_count() or 1, say)
    report = summarize(scored, name_of(label or corpus_dir.resolve().name), kroute.__version__, worst)
    _write(json_file, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    _write(html_file, page(report).encode())
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    for part in render(report):
        console.print(part)
        console.print()
    if report.unusable:
        sys.exit(1)


def _write(path: Path | None, data: bytes) -> None:
    if path is None:
        return
    try:
        path.write_bytes(data)
    except OSError as e:
        raise ConfigError(f"cannot write {path}: {e.strerror or e}") from None
