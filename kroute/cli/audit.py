"""``kroute audit``: is a cluster ready to be routed for, and for automation?"""

from __future__ import annotations

import logging
import sys

import click
import msgspec

from kroute import settings
from kroute.errors import ConfigError

_WIDTH = 140


@click.command("audit")
@click.argument("cluster")
@click.option("--config", "path", type=click.Path(exists=True, dir_okay=False), help="A collect.yaml that has the cluster.")
@click.option("--bootstrap", help="Where the cluster answers, without --config; default: kroute's own Kafka.")
@click.option("--ownership", type=click.Path(exists=True), help="A folder of rows, instead of the topic.")
@click.option("--terraform", type=click.Path(exists=True, dir_okay=False), help="terraform show -json, to find drift.")
@click.option("--json", "as_json", is_flag=True, help="The rows as JSON.")
@click.option("--strict", is_flag=True, help="Exit status 1 when there is a gap.")
def command(
    cluster: str,
    path: str | None,
    bootstrap: str | None,
    ownership: str | None,
    terraform: str | None,
    as_json: bool,
    strict: bool,
) -> None:
    """Put the evaluation matrix to the live CLUSTER (its name in collect.yaml and in ownership rows).

    Each row is pass, gap or unknown, with the evidence; what was not read is unknown, and says why. Changes nothing.
    """
    from rich.console import Console  # noqa: PLC0415  (--help stays quick)

    from kroute.collect.config import load_config  # noqa: PLC0415
    from kroute.readiness.gather import Reader  # noqa: PLC0415
    from kroute.readiness.matrix import matrix  # noqa: PLC0415
    from kroute.readiness.parse import read_terraform  # noqa: PLC0415
    from kroute.readiness.text import render  # noqa: PLC0415
    from kroute.whatif.known import from_folder  # noqa: PLC0415

    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    conf = settings.load()
    loaded = load_config(path) if path is not None else None
    number = None
    if loaded is not None:
        names = [c.name for c in loaded.config.clusters]
        if cluster not in names:
            raise click.UsageError(f"{path} has no cluster {cluster}; it has {', '.join(names)}")
        number = names.index(cluster)
        if loaded.config.clusters[number].kafka is None:
            raise ConfigError(f"{path}: {cluster} has no kafka, so its admin API is not known")
    rows_there = from_folder(ownership) if ownership is not None else None
    drift = read_terraform(terraform) if terraform is not None else None
    if loaded is not None and number is not None:
        kafka, groups = loaded.kafka(number), loaded.config.clusters[number].groups
    else:
        kafka, groups = (settings.Kafka(bootstrap=bootstrap) if bootstrap else conf.kafka), None
    reader = Reader(cluster, kafka, conf)
    reader.cluster(groups.racks if groups is not None else {})
    if loaded is not None and number is not None:
        reader.endpoints(loaded, number)
    reader.stated(conf)
    if rows_there is not None:
        reader.out.ownership = rows_there.ownership
    reader.out.terraform = drift
    rows = matrix(reader.out)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode({"cluster": cluster, "rows": rows}), indent=2) + b"\n")
    else:
        console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
        for part in render(cluster, rows):
            console.print(part)
    sys.exit(1 if strict and any(r.state == "gap" for r in rows) else 0)
