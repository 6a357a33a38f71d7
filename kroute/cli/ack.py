"""``kroute ack``: somebody looks at an incident; its pages are not said again and not escalated, its owners stay."""

from __future__ import annotations

import click

from kroute.cli import _options
from kroute.contracts.rows import Control
from kroute.settings import load


@click.command("ack")
@click.argument("incident")
@_options.realm
@_options.by
@_options.why
@_options.unchecked
def command(incident: str, realm: str | None, by: str, why: str, unchecked: bool) -> None:
    """Acknowledge INCIDENT, named by its id or the beginning of it."""
    from kroute.admin import controls  # noqa: PLC0415  (--help must not import the Kafka client)

    conf = load()
    whole = incident if unchecked else controls.incident(conf, incident)
    control = Control(kind="ack", id=controls.new_id(whole), at_ms=_options.now_ms(), by=by, why=why, incident=whole)
    controls.send(conf, control, realm)
    click.echo(f"{whole} acknowledged by {by}")
