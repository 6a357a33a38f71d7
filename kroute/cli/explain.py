"""``kroute explain``: one incident as it was delivered, and why."""

from __future__ import annotations

import sys

import click

from kroute import settings
from kroute.cli._period import sources
from kroute.errors import StateError

_WIDTH = 140
"""Columns where the output is no terminal."""


@click.command("explain")
@click.argument("incident")
@sources
@click.option("--revision", type=click.IntRange(1), help="As of this revision; default: the newest.")
@click.option("--json", "as_json", is_flag=True, help="The record's bytes, as they were delivered.")
@click.option("--markdown", "as_markdown", is_flag=True, help="A document for the review after it, with the timeline.")
def command(
    incident: str, files: tuple[str, ...], since_ms: int | None, revision: int | None, as_json: bool, as_markdown: bool
) -> None:
    """Explain INCIDENT (its id, the beginning of it, or the id of one record): what was delivered, to whom, and why.

    Reads the records that were delivered, from the topic or from recordings, and decides nothing anew.
    """
    from rich.console import Console  # noqa: PLC0415  (--help stays quick)

    from kroute.report.explain import explain  # noqa: PLC0415
    from kroute.report.export import markdown  # noqa: PLC0415
    from kroute.report.source import from_files, from_topics  # noqa: PLC0415

    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown exclude each other")
    conf = settings.load()
    past = from_files(files, conf) if files else from_topics(conf, since_ms, states=as_markdown)
    found = [a for a in past.incident(incident) if revision is None or int(a["revision"]) <= revision]
    if not found:
        raise StateError(f"{incident} has no revision {revision} or earlier here")
    last = found[-1]
    if as_json:
        sys.stdout.buffer.write(past.raw[last["id"]] + b"\n")
    elif as_markdown:
        click.echo(markdown(found, [g for g in past.controls if g.control.incident == last["incident"]]), nl=False)
    else:
        console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
        for part in explain(found):
            console.print(part)
