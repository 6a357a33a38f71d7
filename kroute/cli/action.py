"""``kroute action``: reports what was done about an incident, by a person or an executor."""

from __future__ import annotations

import click

from kroute.cli import _options
from kroute.contracts.rows import Control
from kroute.settings import load

STATES = ("started", "succeeded", "failed", "rolled-back")


@click.command("action")
@click.argument("incident")
@click.argument("remedy")
@click.argument("state", type=click.Choice(STATES))
@_options.realm
@_options.by
@_options.why
@_options.unchecked
def command(incident: str, remedy: str, state: str, realm: str | None, by: str, why: str, unchecked: bool) -> None:
    """Report that REMEDY of INCIDENT was started, succeeded, failed or was rolled back.

    One report stands for each incident and remedy: a later state replaces the one before.
    """
    from kroute.admin import controls  # noqa: PLC0415  (--help must not import the Kafka client)

    conf = load()
    whole = incident if unchecked else controls.incident(conf, incident)
    control = Control(
        kind="action", id=f"{whole}-{remedy}", at_ms=_options.now_ms(), by=by, why=why, incident=whole, remedy=remedy, state=state
    )  # fmt: skip
    controls.send(conf, control, realm)
    click.echo(f"{whole}: {remedy} {state}")
