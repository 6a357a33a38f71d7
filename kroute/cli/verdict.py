"""``kroute verdict``: what an incident really was, and whose: what routing learns from."""

from __future__ import annotations

import click

from kroute.cli import _options
from kroute.contracts.rows import Control
from kroute.settings import load

VERDICTS = ("right-owner", "wrong-owner", "not-actionable", "false-alarm")


@click.command("verdict")
@click.argument("incident")
@click.argument("verdict", type=click.Choice(VERDICTS))
@click.option("--should-be", metavar="TEAM", help="The team that should have acted; for wrong-owner.")
@click.option("--cause", help="The cause that it really was.")
@_options.realm
@_options.by
@_options.why
@_options.unchecked
def command(
    incident: str, verdict: str, should_be: str | None, cause: str | None, realm: str | None, by: str, why: str, unchecked: bool
) -> None:  # fmt: skip
    """Say whether INCIDENT reached the right owner, and what it was."""
    from kroute.admin import controls  # noqa: PLC0415  (--help must not import the Kafka client)

    if (verdict == "wrong-owner") != (should_be is not None):
        raise click.UsageError("wrong-owner says who should be: --should-be TEAM; the others do not")
    conf = load()
    whole = incident if unchecked else controls.incident(conf, incident)
    control = Control(
        kind="verdict", id=controls.new_id(whole), at_ms=_options.now_ms(), by=by, why=why, incident=whole, verdict=verdict,
        should_be=should_be, cause=cause,
    )  # fmt: skip
    controls.send(conf, control, realm)
    click.echo(f"{whole}: {verdict}" + (f", should be {should_be}" if should_be else ""))
