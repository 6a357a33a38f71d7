"""``kroute worker``: reads the input topics, diagnoses, and produces routed-alerts."""

from __future__ import annotations

from dataclasses import replace

import click

from kroute.settings import load


@click.command(name="worker")
@click.option("--datadir", type=click.Path(file_okay=False), help="Folder of the local store, one per worker.  [KROUTE_DATADIR]")
@click.option("--web-host", help="Address for /metrics, /health and /ready.  [KROUTE_WEB_HOST]")
@click.option("--web-port", type=click.IntRange(0, 65_535), help="Port for the same; 0 takes a free one.  [KROUTE_WEB_PORT]")
@click.option("--accept-gap", is_flag=True, help="Go on where retention deleted facts that were not applied yet.")
@click.option("--verbose", is_flag=True, help="Show the log lines of Faust and of the Kafka client too.")
def command(datadir: str | None, web_host: str | None, web_port: int | None, accept_gap: bool, verbose: bool) -> None:
    """Run one worker until SIGTERM or SIGINT.

    Creates the topics, recovers its state, and serves /metrics, /health and /ready. Start more workers to share the
    partitions of facts; each needs its own --datadir and --web-port.
    """
    from kroute.stream.run import run  # noqa: PLC0415  (--help must not import Faust)

    given = {"datadir": datadir, "web_host": web_host, "web_port": web_port}
    settings = replace(load(), **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    run(settings, accept_gap=accept_gap, verbose=verbose)
