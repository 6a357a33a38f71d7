"""``kroute collect``: poll Kafka, exporters and Kafka Connect, and produce to kroute's input topics."""

from __future__ import annotations

import asyncio
import logging
import sys

import click

from kroute import settings
from kroute.collect.config import load_config
from kroute.collect.deliver import Sink, ToKafka, ToLines
from kroute.collect.keep import follow, keep
from kroute.collect.message import Own
from kroute.collect.monitor import Monitor
from kroute.collect.run import Collector
from kroute.errors import SourceUnreachable
from kroute.reach import Reach
from kroute.rights.check import demand
from kroute.rights.processes import rights
from kroute.web import check_bind


@click.command()
@click.option("--config", "path", required=True, type=click.Path(dir_okay=False), help="What to poll: collect.yaml.")
@click.option("--once", is_flag=True, help="Poll each source once and end; rates need two polls and are left out.")
@click.option("--dry-run", is_flag=True, help="Print recording lines instead of producing.")
@click.option("--kept", is_flag=True, hidden=True, help="This is the child that another process starts again.")
def command(path: str, once: bool, dry_run: bool, kept: bool) -> None:
    """Poll Kafka, exporters and Kafka Connect, and produce to kroute's input topics.

    Exit status with --once: 1 where a source gave no answer or a message was not delivered.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # each reconnection attempt; the scheduler says it once
    installation = settings.load()
    loaded = load_config(path)
    if not (once or dry_run or kept):
        sys.exit(keep([sys.executable, "-m", "kroute.cli.main", *sys.argv[1:], "--kept"]))
    if kept:
        follow()
    if not dry_run:
        _demand(installation)
    monitor = Monitor()
    sink: Sink = ToLines(sys.stdout, installation.names) if dry_run else ToKafka(installation.kafka, installation.names, monitor)
    collector = Collector(loaded, Own(installation.names, installation.app_id), sink, monitor)
    port = None if once else loaded.config.metrics_port
    if port is not None:
        check_bind(installation.web_host, installation.web)

    async def work() -> int:
        served = None if port is None else await monitor.serve(installation.web_host, port, installation.web)
        try:
            if once:
                return await collector.once()
            await collector.forever()
            return 0
        finally:
            if served is not None:
                await served.cleanup()

    unanswered = asyncio.run(work())
    lost = sink.close()
    if lost:
        click.echo(f"kroute: {lost} messages were not delivered to {installation.kafka.bootstrap}", err=True)
    if once and (unanswered or lost):
        sys.exit(1)


def _demand(installation: settings.Settings) -> None:
    """Refuse to poll what could never be delivered; where kroute's Kafka is down it may yet come."""
    try:
        demand(Reach(installation.kafka), rights(installation, "collector"), "collector")
    except SourceUnreachable as e:
        logging.getLogger(__name__).warning("%s", e)
