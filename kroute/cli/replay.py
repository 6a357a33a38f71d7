"""``kroute replay``: a recording through the engine, without a broker."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kroute import settings
from kroute.engine import build
from kroute.replay import lines, read, replay


@click.command("replay")
@click.argument("recording", type=click.Path(exists=True, dir_okay=False))
@click.option("--out", type=click.Path(dir_okay=False), help="Write routed-alerts lines here instead of standard output.")
@click.option("--until-ms", type=int, help="Tick on to this time (epoch ms) after the last record.")
def command(recording: str, out: str | None, until_ms: int | None) -> None:
    """Run RECORDING (lines of input topics, or of kroute.facts) and write the alerts it gives."""
    conf = settings.load()
    outcome = replay(read(recording, conf), build(conf), conf, until_ms)
    data = b"".join(lines(outcome.alerts, conf.names.alerts))
    if out is None:
        sys.stdout.buffer.write(data)
    else:
        Path(out).write_bytes(data)
    for record, error in outcome.refused:
        click.echo(f"refused: {record.topic} partition {record.partition} offset {record.offset}: {error}", err=True)
    for line in outcome.failed():
        click.echo(line, err=True)
    if out is not None:
        click.echo(f"{len(outcome.alerts)} alerts, {len(outcome.refused)} records refused", err=True)
