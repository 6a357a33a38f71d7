"""``kroute policy``: puts a checked and tested policy in force, shows which were, and goes back."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import orjson
import yaml

from kroute import settings
from kroute.admin.ownership import folder as rows_folder
from kroute.admin.ownership.check import index
from kroute.admin.policy import check as policy_check
from kroute.admin.policy import folder
from kroute.cli import _options
from kroute.contracts.rows import Ownership
from kroute.diagnosis.load import load
from kroute.engine import build
from kroute.errors import BadFile
from kroute.local.alerts_view import safe
from kroute.routing.policy import check as form
from kroute.routing.times import rfc3339
from kroute.settings import Settings
from kroute.testing.case import read_case
from kroute.testing.report import text
from kroute.testing.run import run_case, settings_for_cases

if TYPE_CHECKING:
    from kroute.admin.policy.versions import Held


@click.group("policy")
def command() -> None:
    """Apply a routing policy, show which were in force, and go back to one."""


@command.command("apply")
@click.argument("path", type=click.Path(exists=True))
@_options.by
@_options.why
@click.option("--version", help="Name of this version.  [the git commit; else a hash of the content]")
@click.option("--ownership", "rows_path", type=click.Path(exists=True), help="Check against these rows, not those in Kafka.")
@click.option("--expect", metavar="VERSION", help="Only where this version is in force now ('none': no policy).")
@click.option("--skip-tests", is_flag=True, help="Do not run the timeline cases beside the policy.")
@click.option("--dry-run", is_flag=True, help="Check and test, and put nothing in force.")
def apply(
    path: str, by: str, why: str, version: str | None, rows_path: str | None, expect: str | None, skip_tests: bool, dry_run: bool
) -> None:  # fmt: skip
    """Check the policy in PATH, run the cases beside it, and put it in force. A bad one changes nothing (exit status 2)."""
    from kroute.admin.policy import versions  # noqa: PLC0415  (--help must not import the Kafka client)

    conf = settings.load()
    now = time.time()
    read = folder.read(path)
    policy, ready, problems = read.policy(version or versions.version_of(path, read.value), time.gmtime(now).tm_year)
    if policy is not None and ready is not None and not problems:
        catalogue = load([conf.catalogue_dir] if conf.catalogue_dir else [])
        rows = _rows(conf, rows_path)
        problems = policy_check.check(read, ready, policy_check.Estate(catalogue, rows, index(rows), int(now * 1000)))
    if problems or policy is None:
        for p in problems:
            click.echo(safe(str(p), 2000), err=True)
        click.echo(f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}; nothing was put in force", err=True)
        sys.exit(2)
    if not skip_tests:
        _test(path, conf)
    held = _held(conf)
    if expect is not None and expect != (held.policy.version if held is not None else "none"):
        raise click.UsageError(
            f"{held.policy.version if held is not None else 'no policy'} is in force, not {expect}; nothing was changed"
        )
    if held == (policy, None):
        click.echo(f"policy {policy.version} is in force already")
        return
    if dry_run:
        click.echo(f"policy {policy.version} would replace {_named(held)}")
        return
    versions.put(conf, policy, action="apply", by=by, why=why, now_ms=int(time.time() * 1000))
    click.echo(
        f"policy {policy.version} is in force; before it {held.policy.version if held is not None else 'the built-in default'}"
    )


@command.command("history")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with the whole policy.")
def history(as_json: bool) -> None:
    """Every policy that was put in force: when, by whom, why. The one in force is marked."""
    from kroute.admin.policy import versions  # noqa: PLC0415

    conf = settings.load()
    past = versions.history(conf)
    held = _held(conf)
    last = next((c for c in reversed(past) if held is not None and c.policy.version == held.policy.version), None)
    for c in past:
        if as_json:
            click.echo(orjson.dumps({**msgspec.to_builtins(c), "in_force": c is last}).decode())
        else:
            mark = "→" if c is last else " "
            click.echo(safe(f"{mark} {rfc3339(c.at_ms)[:19]}Z  {c.policy.version:<20}  {c.action:<8}  {c.by}: {c.why}", 500))
    if held is None:
        click.echo("no policy is in force: the built-in default holds", err=True)
    elif last is None:
        click.echo(f"policy {safe(held.policy.version)} is in force and was put there by something else", err=True)


@command.command("show")
@click.argument("version", required=False)
def show(version: str | None) -> None:
    """Print the policy in force, or a VERSION of the history, as YAML."""
    from kroute.admin.policy import versions  # noqa: PLC0415

    conf = settings.load()
    held = _held(conf) if version is None else None
    found = held.policy if held is not None else None
    if version is not None:
        change = versions.earlier(versions.history(conf), None, version)
        found = change.policy if change is not None else None
    if found is None:
        raise click.UsageError(f"no version {version!r} in the history" if version else "no policy is in force")
    fields = {k: v for k, v in msgspec.to_builtins(found).items() if v and k != "v"}
    click.echo(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=120), nl=False)


@command.command("rollback")
@click.argument("version", required=False)
@_options.by
@_options.why
def rollback(version: str | None, by: str, why: str) -> None:
    """Put VERSION in force again, or the one that was in force before the present one."""
    from kroute.admin.policy import versions  # noqa: PLC0415

    conf = settings.load()
    held = _held(conf)
    current = held.policy.version if held is not None else None
    change = versions.earlier(versions.history(conf), current, version)
    if change is None:
        wanted = f"no version {version!r} in the history" if version else "no other version in the history"
        raise click.UsageError(f"{wanted}; kroute policy history lists them")
    if held == (change.policy, None):
        click.echo(f"policy {change.policy.version} is in force already")
        return
    _, problems = form(change.policy)
    if problems:
        raise BadFile(f"policy {change.policy.version}", None, None, f"this kroute cannot use it: {problems[0]}")
    versions.put(conf, change.policy, action="rollback", by=by, why=why, now_ms=int(time.time() * 1000))
    click.echo(f"policy {change.policy.version} is in force again; before it {_named(held)}")


def _held(conf: Settings) -> Held | None:
    """The policy in force; None where there is none, or no topic yet."""
    from kroute.admin import log  # noqa: PLC0415
    from kroute.admin.policy import versions  # noqa: PLC0415

    log.ensure(conf, "policy")
    log.ensure(conf, "policy-history")
    held = versions.in_force(conf)
    if held is not None and held.refused is not None:
        click.echo(safe(f"note: a bad policy ({held.refused}) stands on the topic and was refused by workers", 500), err=True)
    return held


def _named(held: Held | None) -> str:
    return held.policy.version if held is not None else "the built-in default"


def _rows(conf: Settings, path: str | None) -> list[rows_folder.Stated]:
    if path is not None:
        rows, problems = rows_folder.read(path)
        if problems:
            raise problems[0]
        return rows
    from kroute.admin import log  # noqa: PLC0415

    topic = log.ensure(conf, "ownership")
    out = []
    for key, kept in log.compacted(conf, topic).items():
        try:
            row = msgspec.json.decode(kept.value or b"", type=Ownership)
        except (msgspec.MsgspecError, ValueError):
            continue
        out.append(rows_folder.Stated(key, row, topic, f".{key}", {}))
    return out


def _test(path: str, conf: Settings) -> None:
    """Run the cases beside the policy; ends with status 1 when one fails."""
    found = folder.cases(path)
    if not found:
        click.echo(f"note: no timeline case stands beside {path}; kroute test runs those that do", err=True)
        return
    engine = build(conf)
    failed = 0
    for file in found:
        result = run_case(read_case(Path(file)), engine, settings_for_cases())
        if not result.ok:
            failed += 1
            for line in text(result, verbose=False):
                click.echo(safe(line, 2000), err=True)
    if failed:
        click.echo(f"{failed} of {len(found)} cases failed; nothing was put in force", err=True)
        sys.exit(1)
    click.echo(f"{len(found)} {'case' if len(found) == 1 else 'cases'} passed")
