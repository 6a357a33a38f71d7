"""``kroute heartbeat``: does kroute still speak? For a cron job or a probe outside it."""

from __future__ import annotations

import sys

import click

from kroute.cli._options import now_ms
from kroute.settings import load


def _age(_: click.Context, __: click.Parameter, text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if unit not in ("s", "m", "h") or not number.isdecimal() or int(number) == 0:
        raise click.BadParameter("write seconds, minutes or hours, such as 90s or 5m")
    return float(int(number) * {"s": 1, "m": 60, "h": 3600}[unit])


@click.command("heartbeat")
@click.option("--max-age", default="5m", show_default=True, callback=_age, help="Older than this is late.")
@click.option(
    "--cluster", "clusters", multiple=True, help="A cluster that must have one; repeat. Others of the last six hours too."
)
def command(max_age: float, clusters: tuple[str, ...]) -> None:
    """Tell the newest heartbeat of each cluster on routed-alerts; exit with 1 where one is late or there is none.

    A heartbeat goes the whole way: ingest, facts, engine, journal, routed-alerts. The time in it is the event time that
    kroute has reached, so one that is behind is late too.
    """
    from kroute.admin.beats import judge, read, text  # noqa: PLC0415  (--help must not import the Kafka client)

    now = now_ms()
    beats = judge(read(load(), now), clusters, now, max_age)
    for line in text(beats):
        click.echo(line)
    if not beats:
        click.echo("no heartbeat in six hours: no worker runs, or no cluster was ever heard", err=True)
    if not beats or any(b.late for b in beats):
        sys.exit(1)
