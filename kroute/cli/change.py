"""``kroute change``: declares what is done on purpose: deploys, replays, maintenance, freezes, drills."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from kroute.cli import _options
from kroute.contracts.common import ENTITY_KINDS
from kroute.contracts.rows import CHANGE_KINDS, Change, Target
from kroute.diagnosis.durations import seconds
from kroute.local.alerts_view import safe
from kroute.settings import load


@click.group("change")
def command() -> None:
    """Declare, list and end changes. Who may is the ACL of kroute.changes."""


@command.command("declare")
@click.argument("kind", type=click.Choice(CHANGE_KINDS))
@click.argument("target", metavar="KIND/NAME")
@click.option("--cluster", required=True, help="Cluster of the target, as alerts carry it, or *.")
@click.option("--id", "ident", help="Its id; the same id again is a newer word on it.  [a new one]")
@click.option("--starts", metavar="TIME", help="From then on: 2026-12-20T10:00:00Z, or 10m from now.  [now]")
@click.option("--for", "for_", metavar="SPAN", help="For so long: 30m, 2h, 1d.")
@click.option("--until", metavar="TIME", help="Until then: 2026-12-20T10:00:00Z.")
@click.option("--rollback", help="How it is undone: a link or a command.")
@click.option("--max-lag", metavar="SPAN", help="The most it may put anybody behind; beyond it alerts are told.")
@click.option("--cause", help="Of a drill: the cause it played.")
@click.option("--remedy", help="Of a drill: the remedy it tried.")
@click.option("--result", type=click.Choice(["passed", "failed"]), help="Of a drill.")
@click.option("--detail", "details", multiple=True, metavar="KEY=VALUE", help="Anything else worth knowing.")
@_options.by
@_options.why
def declare(
    kind: str, target: str, cluster: str, ident: str | None, starts: str | None, for_: str | None, until: str | None,
    rollback: str | None, max_lag: str | None, cause: str | None, remedy: str | None, result: str | None,
    details: tuple[str, ...], by: str, why: str,
) -> None:  # fmt: skip
    """Declare a change of KIND at a target such as group/checkout, topic/payments.* or cluster/prod-eu.

    A maintenance keeps alerts quiet, a declared replay is notified and not paged, a freeze stops automation, a drill that
    passed is evidence for it.
    """
    from kroute.admin import controls  # noqa: PLC0415  (--help must not import the Kafka client)

    of, slash, name = target.partition("/")
    if not slash or not name or of not in ENTITY_KINDS:
        raise click.UsageError(f"{target!r} is no target; write kind/name, kind one of {', '.join(ENTITY_KINDS)}")
    now = _options.now_ms()
    begin = _options.end(None, starts, now) if starts is not None else now
    assert begin is not None
    detail = _detail(kind, target, cause, remedy, result, max_lag, details)
    change = Change(
        id=ident or controls.new_id(kind), kind=kind, cluster=cluster, target=Target(kind=of, name=name), starts_at_ms=begin,
        ends_at_ms=_options.end(for_, until, begin), by=by, why=why, rollback=rollback, detail=detail,
    )  # fmt: skip
    controls.declare(load(), change)
    until_when = f" until {_options.clock(change.ends_at_ms)}" if change.ends_at_ms is not None else ""
    click.echo(f"{kind} {change.id} of {target} from {_options.clock(begin)}{until_when}")


@command.command("list")
@click.option("--all", "whole", is_flag=True, help="Those that are over too.")
@click.option("--kind", type=click.Choice(CHANGE_KINDS), help="Only this kind.")
def list_(whole: bool, kind: str | None) -> None:
    """List changes: id, kind, what they touch, from and until when, who and why."""
    from kroute.admin import controls  # noqa: PLC0415

    now = _options.now_ms()
    for c in sorted(controls.changes(load()).values(), key=lambda c: (c.starts_at_ms, c.id)):
        if kind not in (None, c.kind) or (controls.over(c, now) and not whole):
            continue
        span = f"{_options.clock(c.starts_at_ms)} to {_options.clock(c.ends_at_ms)}"
        said = f"{c.by or '-'}: {c.why or '-'}"
        click.echo(safe(f"{c.id}  {c.kind}  {c.target.kind}/{c.target.name} in {c.cluster}  {span}  {said}", 1000))


@command.command("end")
@click.argument("ident", metavar="ID")
@_options.by
@_options.why
def end(ident: str, by: str, why: str) -> None:
    """Say that the change ID is over now."""
    from kroute.admin import controls  # noqa: PLC0415

    conf, now = load(), _options.now_ms()
    found = controls.changes(conf).get(ident)
    if found is None:
        raise click.UsageError(f"no change {ident}; kroute change list shows them")
    if controls.over(found, now):
        click.echo(f"{ident} was over {_options.clock(found.ends_at_ms)}")
        return
    said = f"{found.why or '-'}; ended by {by}: {why}"
    controls.declare(conf, msgspec.structs.replace(found, ends_at_ms=max(now, found.starts_at_ms), why=said))
    click.echo(f"{ident} is over")


def _detail(
    kind: str, target: str, cause: str | None, remedy: str | None, result: str | None, max_lag: str | None,
    details: tuple[str, ...],
) -> dict[str, Any]:  # fmt: skip
    out: dict[str, Any] = {}
    for word in details:
        key, eq, value = word.partition("=")
        if not eq or not key:
            raise click.UsageError(f"{word!r} is no detail; write key=value")
        out[key] = value
    given = {"cause": cause, "remedy": remedy, "result": result}
    if kind == "drill":
        missing = [f"--{k}" for k, v in given.items() if v is None]
        if missing:
            raise click.UsageError(f"a drill says what was played and how it went; give {', '.join(missing)}")
        out |= {**given, "entity": target}
    elif any(v is not None for v in given.values()):
        raise click.UsageError("--cause, --remedy and --result belong to a drill")
    if max_lag is not None:
        try:
            out["max_lag_s"] = seconds(max_lag)
        except ValueError as e:
            raise click.UsageError(str(e)) from None
    return out
