"""``kroute ownership``: who owns what, as a folder of YAML, and the compacted topic that workers read."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import msgspec
import orjson

from kroute.admin.imports import run as imports
from kroute.admin.imports import write
from kroute.admin.ownership import audit as auditing
from kroute.admin.ownership import folder, plan
from kroute.admin.ownership.check import check as check_rows
from kroute.admin.ownership.check import index
from kroute.contracts.common import Entity
from kroute.contracts.rows import OWNERSHIP_KINDS, Ownership
from kroute.diagnosis.garbage import uncollected
from kroute.local.alerts_view import safe
from kroute.settings import Settings, load

DELETES = 20
"""More deletes than this are asked about."""
_folder = click.argument("path", type=click.Path(exists=True))
_set = click.option(
    "--set", "set_name", default="main", show_default=True, help="Name of these files: only rows applied under it are deleted."
)
_partial = click.option("--partial", is_flag=True, help="Teams, services and systems may stand in other files.")
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group("ownership")
def command() -> None:
    """Check, compare, apply, list and audit ownership rows; import them from what teams already have."""


@command.command("check")
@_folder
@_partial
def check(path: str, partial: bool) -> None:
    """Check the files in PATH, by file, line and field. Exit status 2 when anything is wrong."""
    rows = _checked(path, partial)
    teams = sum(1 for s in rows if s.row.kind == "team")
    click.echo(f"{len(rows)} rows of {teams} teams, nothing wrong")


@command.command("diff")
@_folder
@_set
@_partial
@click.option("--exit-code", is_flag=True, help="Exit status 1 when anything differs, for a check of drift.")
def diff(path: str, set_name: str, partial: bool, exit_code: bool) -> None:
    """Compare the files in PATH with the rows that stand in Kafka."""
    found = _plan(load(), _checked(path, partial), set_name)
    _show(found)
    click.echo(_summary(found))
    sys.exit(1 if exit_code and not found.empty else 0)


@command.command("apply")
@_folder
@_set
@_partial
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--adopt", is_flag=True, help="Take over rows that another set, another tool or a person wrote.")
@click.option("--allow-deletes", type=click.IntRange(0), help=f"Delete up to this many rows without asking.  [{DELETES}]")
@click.option("--quiet", is_flag=True, help="Only the summary.")
def apply(
    path: str, set_name: str, partial: bool, dry_run: bool, adopt: bool, allow_deletes: int | None, quiet: bool
) -> None:  # fmt: skip
    """Write the rows in PATH to the compacted topic; rows of this set that are gone get tombstones. Safe to repeat."""
    conf = load()
    rows = _checked(path, partial)
    found = _plan(conf, rows, set_name, create=not dry_run)
    if not quiet:
        _show(found)
    if found.foreign and not adopt:
        others = ", ".join(sorted({f"set {s.owner_set}" if s.owner_set else "no set" for s in found.foreign}))
        click.echo(
            f"kroute: {len(found.foreign)} rows that would change were not applied as set {set_name} ({others}), "
            f"such as {safe(found.foreign[0].key)}; --adopt takes them over",
            err=True,
        )
        sys.exit(2)
    if not dry_run:
        _confirm(found, allow_deletes)
    steps = found.steps(adopt=adopt)
    if dry_run or not steps:
        click.echo(_summary(found) + (" (dry run: nothing written)" if dry_run and steps else ""))
        return
    began = time.monotonic()
    plan.apply(conf, conf.names.full("ownership"), steps, set_name)
    click.echo(f"{_summary(found)}; {len(steps)} written in {time.monotonic() - began:.1f} s")


@command.command("list")
@click.option("--kind", type=click.Choice(OWNERSHIP_KINDS), help="Only rows of this kind.")
@click.option("--cluster", help="Only rows of this cluster, or pattern, as written.")
@click.option("--team", help="Only rows that name this team.")
@click.option(
    "--resolve", "wanted", metavar="KIND/CLUSTER/NAME", help="Which rows answer for one thing, the one that wins first."
)
@click.option("--from", "path", type=click.Path(exists=True), help="Read these files instead of the topic.")
@_json
def list_(
    kind: str | None, cluster: str | None, team: str | None, wanted: str | None, path: str | None, as_json: bool
) -> None:  # fmt: skip
    """List the rows that stand in Kafka, or the rows that answer for one thing."""
    rows = _rows(path)
    if wanted is not None:
        _resolve(rows, wanted)
        return
    for key, (row, set_name) in rows.items():
        if kind not in (None, row.kind) or cluster not in (None, row.cluster):
            continue
        if team is not None and team not in (row.owner, row.governance, row.network, row.name if row.kind == "team" else None):
            continue
        fields = folder.plain(row)
        if as_json:
            click.echo(orjson.dumps({"key": key, "set": set_name, "row": fields}).decode())
        else:
            said = "  ".join(f"{k}={v}" for k, v in fields.items() if k not in ("kind", "cluster", "name"))
            click.echo(safe(f"{key}  {said}", 2000))


@command.command("audit")
@click.option("--from", "path", type=click.Path(exists=True), help="Read these files instead of the topic.")
@click.option("--estate", is_flag=True, help="Also what collectors saw in the last 15 minutes and no row covers.")
@_json
def audit(path: str | None, estate: bool, as_json: bool) -> None:
    """Find owners that are missing and what a page would lack. Exit status 1 when anything is found."""
    rows = {k: row for k, (row, _) in _rows(path).items()}
    now_ms = int(time.time() * 1000)
    seen: list[Entity] = []
    if estate:
        from kroute.admin.ownership.seen import seen as look  # noqa: PLC0415

        seen = look(load(), now_ms)
    found = auditing.audit(rows, now_ms, seen)
    if path is None:
        found += [auditing.Finding("two-partitions", k, f"in partitions {p}") for k, p in _doubled(load()).items()]
    if as_json:
        for f in found:
            click.echo(orjson.dumps(f._asdict()).decode())
    else:
        for rule, meaning in auditing.RULES.items():
            mine = [f for f in found if f.rule == rule]
            if mine:
                click.echo(f"{rule} ({len(mine)}): {meaning}")
                for f in mine:
                    click.echo(safe(f"  {f.about}: {f.text}", 2000))
        click.echo(f"{len(rows)} rows, {len(found)} findings" + (f"; {len(seen)} things seen" if estate else ""))
    sys.exit(1 if found else 0)


@command.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--cluster", help="Name of the Kafka cluster, as alerts carry it.")
@click.option("--owner", help="Team of Terraform's resources that name none.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write one file a team here.  [standard output]")
def import_(paths: tuple[Path, ...], cluster: str | None, owner: str | None, out: Path | None) -> None:
    """Rows from Backstage catalog-info.yaml, Terraform state or plan JSON, and Strimzi resources."""
    found = imports.run(paths, cluster, owner)
    files = write.files(found.rows, cluster)
    for note in found.notes:
        click.echo(safe(f"note: {note}", 2000), err=True)
    if out is None:
        for name, text in files.items():
            click.echo(f"# {name}\n{text}" + ("---" if name != list(files)[-1] else ""))
    else:
        out.mkdir(parents=True, exist_ok=True)
        there = [n for n in files if (out / n).exists()]
        if there:
            raise click.UsageError(f"{out / there[0]} is there already; give another folder, and merge by hand")
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
        click.echo(f"{len(found.rows)} rows in {len(files)} files; check them with kroute ownership check {out}")


def _checked(path: str, partial: bool) -> list[folder.Stated]:
    """The rows of sound files; ends with status 2 and every problem otherwise."""
    with uncollected():
        rows, problems = folder.read(path)
        problems = problems or check_rows(rows, partial=partial)
    if problems:
        for p in problems:
            click.echo(safe(str(p), 2000), err=True)
        click.echo(f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}", err=True)
        sys.exit(2)
    return rows


def _plan(conf: Settings, rows: list[folder.Stated], set_name: str, *, create: bool = False) -> plan.Plan:
    from kroute.admin import log  # noqa: PLC0415  (--help must not import the Kafka client)

    topic = log.ensure(conf, "ownership") if create else conf.names.full("ownership")
    with uncollected():
        return plan.plan(log.compacted(conf, topic), rows, set_name)


def _show(found: plan.Plan) -> None:
    for step in (*found.added, *found.changed, *found.foreign, *found.deleted):
        for line in step.lines():
            click.echo(safe(line, 2000))


def _summary(found: plan.Plan) -> str:
    parts = [(len(found.added), "new"), (len(found.changed) + len(found.foreign), "changed"), (len(found.deleted), "deleted")]
    said = ", ".join(f"{n} {word}" for n, word in parts)
    same = found.same + len(found.adopted)
    return f"{said}, {same} as they are" + (f" ({len(found.adopted)} of them not of this set)" if found.adopted else "")


def _confirm(found: plan.Plan, allowed: int | None) -> None:
    """Ask before many rows are deleted, or all of a set; without a terminal, refuse."""
    n = len(found.deleted)
    large = n > (DELETES if allowed is None else allowed) or (allowed is None and n > 1 and n == found.of_set)
    if not large:
        return
    if allowed is None and sys.stdin.isatty():
        click.confirm(f"Delete {n} of the {found.of_set} rows of this set?", abort=True)
        return
    click.echo(f"kroute: {n} of the {found.of_set} rows of this set would be deleted; --allow-deletes {n} lets them go", err=True)
    sys.exit(2)


def _rows(path: str | None) -> dict[str, tuple[Ownership, str | None]]:
    """Rows of files, or those that stand in Kafka, with the set they belong to."""
    if path is not None:
        return {s.key: (s.row, None) for s in _checked(path, partial=True)}
    from kroute.admin import log  # noqa: PLC0415

    conf = load()
    out: dict[str, tuple[Ownership, str | None]] = {}
    for key, kept in log.compacted(conf, conf.names.full("ownership")).items():
        raw = kept.headers.get(plan.SET_HEADER)
        try:
            out[key] = (msgspec.json.decode(kept.value or b"", type=Ownership), raw.decode("utf-8", "replace") if raw else None)
        except (msgspec.MsgspecError, ValueError) as e:
            click.echo(safe(f"note: {key} cannot be used and went to the dead letters: {e}"), err=True)
    return out


def _doubled(conf: Settings) -> dict[str, str]:
    from kroute.admin import log  # noqa: PLC0415

    found = log.compacted(conf, conf.names.full("ownership"))
    return {k: ", ".join(map(str, sorted((r.partition, *r.also)))) for k, r in found.items() if r.also}


def _resolve(rows: dict[str, tuple[Ownership, str | None]], wanted: str) -> None:
    parts = wanted.split("/", 2)
    if len(parts) != 3 or not all(parts):
        raise click.UsageError(f"{wanted!r} is no thing; write kind/cluster/name")
    known = index(folder.Stated(k, row, "", "", {}) for k, (row, _) in rows.items())
    path = known.path(parts[0], parts[1], parts[2])
    for i, m in enumerate(path):
        how = "literal" if m.width is None else f"{m.width} characters of its name"
        click.echo(
            safe(f"{'→' if i == 0 else ' '} {m.via}  ({how})  owner={m.row.owner or '-'} service={m.row.service or '-'}", 500)
        )
    best = path[0].row if path else None
    if best is not None and best.owner is None and best.service:
        click.echo("its owner is its service's:")
        _resolve(rows, f"service/{parts[1]}/{best.service}")
    elif best is None or best.owner is None:
        platform = known.resolve("cluster", parts[1], parts[1])
        who = platform.row.owner if platform is not None and platform.row.owner else "unowned"
        named = "fallback:platform" if who != "unowned" else "fallback:default"
        click.echo(f"no row names an owner: {named}, team {who}")
