"""``kroute schema``: JSON Schema of the topics' values, or the AsyncAPI document of all."""

from __future__ import annotations

import json
from typing import Any

import click

from kroute import settings
from kroute.contracts import schemas


@click.command("schema")
@click.argument("topic", required=False)
@click.option("--asyncapi", "as_asyncapi", is_flag=True, help="One AsyncAPI 3 document of all topics.")
def command(topic: str | None, as_asyncapi: bool) -> None:
    """Print the contract of TOPIC (consumer-lag, or its full name) as JSON Schema 2020-12; of all topics without it."""
    names = settings.load().names
    out: dict[str, Any]
    if as_asyncapi:
        if topic is not None:
            raise click.UsageError("--asyncapi describes all topics; leave TOPIC out")
        out = schemas.asyncapi(names)
    elif topic is None:
        out = {t: schemas.json_schema(t) for t in schemas.VALUES}
    else:
        short = topic if topic in schemas.VALUES else names.short(topic)
        if short is None or short not in schemas.VALUES:
            raise click.BadParameter(
                f"{topic!r} is no topic of kroute; topics are {', '.join(schemas.VALUES)}", param_hint="TOPIC"
            )
        out = schemas.json_schema(short)
    click.echo(json.dumps(out, indent=2, ensure_ascii=False))
