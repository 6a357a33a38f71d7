"""``kroute silence``: keeps incidents from being told for a while; they are recorded all the same, what was open is closed."""

from __future__ import annotations

import click
import msgspec

from kroute.cli import _options
from kroute.contracts.rows import Control
from kroute.local.alerts_view import safe
from kroute.settings import load

_MATCH = "cause, team, service, cluster, root or entity; all must hold. A value may end in *."


@click.group("silence")
def command() -> None:
    """Add, list and end silences. For planned work declare a change instead: kroute change."""


@command.command("add")
@click.option("--match", "words", multiple=True, required=True, metavar="FIELD=VALUE", help=_MATCH)
@click.option("--for", "for_", metavar="SPAN", help="For so long: 30m, 2h, 1d.")
@click.option("--until", metavar="TIME", help="Until then: 2026-12-20T10:00:00Z.")
@click.option("--id", "ident", help="Its id.  [a new one]")
@_options.realm
@_options.by
@_options.why
def add(
    words: tuple[str, ...], for_: str | None, until: str | None, ident: str | None, realm: str | None, by: str, why: str
) -> None:  # fmt: skip
    """Silence what matches, until a time. The incidents stay visible, with who silenced them and why."""
    from kroute.admin import controls  # noqa: PLC0415  (--help must not import the Kafka client)

    now = _options.now_ms()
    ends = _options.end(for_, until, now)
    if ends is None:
        raise click.UsageError("a silence ends; give --for or --until")
    if not now < ends <= now + controls.LONGEST_MS:
        raise click.UsageError("a silence lasts longer than nothing and at most 30 days")
    try:
        found = controls.matchers(words)
    except ValueError as e:
        raise click.UsageError(str(e)) from None
    control = Control(
        kind="silence", id=ident or controls.new_id("s"), at_ms=now, by=by, why=why, matchers=found, until_ms=ends
    )  # fmt: skip
    controls.send(load(), control, realm)
    click.echo(f"silence {control.id} until {_options.clock(ends)}")


@command.command("list")
@click.option("--all", "whole", is_flag=True, help="Those that have ended too.")
def list_(whole: bool) -> None:
    """List silences: id, until when, what they match, who and why."""
    from kroute.admin import controls  # noqa: PLC0415

    now = _options.now_ms()
    for g in controls.given(load(), "silence"):
        c = g.control
        over = (c.until_ms or 0) <= now
        if over and not whole:
            continue
        words = " ".join(f"{k}={v}" for k, v in sorted(c.matchers.items()))
        where = f" [{g.realm}]" if g.realm else ""
        state = "ended" if over else "until"
        click.echo(safe(f"{c.id}{where}  {state} {_options.clock(c.until_ms)}  {words}  {c.by}: {c.why or '-'}", 1000))


@command.command("end")
@click.argument("ident", metavar="ID")
@_options.by
@_options.why
def end(ident: str, by: str, why: str) -> None:
    """End the silence ID now; what still fires is told again."""
    from kroute.admin import controls  # noqa: PLC0415

    conf, now = load(), _options.now_ms()
    found = [g for g in controls.given(conf, "silence") if g.control.id == ident]
    if not found:
        raise click.UsageError(f"no silence {ident}; kroute silence list shows them")
    for g in found:
        c = g.control
        if (c.until_ms or 0) <= now:
            click.echo(f"silence {ident} had ended {_options.clock(c.until_ms)}")
            continue
        said = f"{c.why or '-'}; ended by {by}: {why}"
        controls.send(conf, msgspec.structs.replace(c, until_ms=now, why=said[:2048]), g.realm, g.partition)
        click.echo(f"silence {ident} ended")
