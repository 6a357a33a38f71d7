"""``kroute check``: are the files that people write usable? Every problem of every file, ``file:line: field: problem``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import click

from kroute import settings
from kroute.admin.ownership import check as rows_check
from kroute.admin.ownership import folder as rows_folder
from kroute.admin.policy import check as policy_check
from kroute.admin.policy import folder as policy_folder
from kroute.admin.policy.owners import warnings
from kroute.diagnosis.load import Catalogue, examine, load
from kroute.errors import BadFile
from kroute.files import read_yaml
from kroute.local.alerts_view import safe
from kroute.testing.case import read_case

_CAUSE = ("id", "expects", "root", "prior", "contradicts")
_SORTS = (
    f"a cause has {' or '.join(_CAUSE)}, an ownership file team or {' or '.join(list(rows_folder.PLURALS)[1:4])}, "
    f"a policy {' or '.join(policy_folder.DECISIVE)}, a timeline case expect"
)


class Files(NamedTuple):
    """Files by what is in them. ``policies``: by the path they were found under. ``wrong``: those that are of no sort."""

    causes: list[str]
    cases: list[str]
    policies: dict[str, list[Path]]
    rows: list[str]
    wrong: list[BadFile]

    @property
    def total(self) -> int:
        """How many files there are."""
        found = len(self.causes) + len(self.cases) + len(self.rows) + sum(map(len, self.policies.values()))
        return found + len({p.file for p in self.wrong})


@click.command("check")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--strict", is_flag=True, help="Warnings count as problems.")
def command(paths: tuple[str, ...], strict: bool) -> None:
    """Check files, and the YAML files of folders: causes, ownership, a policy and its timeline cases.

    Give a policy together with the ownership files it is used with: what only both tell (unknown teams, causes without an
    action owner, one team with all three roles by fallback) is then told too. Exit status 2 when anything is wrong.
    """
    files = sort(paths)
    wrong = list(files.wrong)
    soft: list[BadFile] = []
    for file in files.causes:
        wrong += examine(file)[1]
    for file in files.cases:
        wrong += _case(file)
    catalogue = _catalogue()
    rows, found = rows_folder.read_all(files.rows)
    wrong += found or rows_check.check(rows)
    if files.rows and not found:
        soft += warnings(rows, catalogue, ", ".join(p for p in paths if any(f.startswith(p) for f in files.rows)))
    for path, parts in files.policies.items():
        wrong += policy_problems(policy_folder.read_files(path, parts), catalogue, rows if files.rows and not found else None)
    if strict:
        wrong, soft = wrong + soft, []
    for problem in soft:
        click.echo(safe(f"warning: {problem}", 2000), err=True)
    for problem in wrong:
        click.echo(safe(str(problem), 2000), err=True)
    if wrong:
        bad = len({p.file for p in wrong})
        n = files.total
        click.echo(f"{len(wrong)} {'problem' if len(wrong) == 1 else 'problems'} in {bad} of {n} files", err=True)
        sys.exit(2)
    n = files.total
    more = f", {len(soft)} {'warning' if len(soft) == 1 else 'warnings'}" if soft else ""
    click.echo(f"{n} {'file' if n == 1 else 'files'} checked, nothing wrong{more}")


def sort(paths: Iterable[str]) -> Files:
    """What the files below the paths are. Where a file could be of two sorts, its neighbours under the same path tell."""
    out = Files([], [], {}, [], [])
    for path in paths:
        try:
            found = rows_folder.yaml_files(path)
        except BadFile as e:
            out.wrong.append(e)
            continue
        values: dict[Path, Any] = {}
        for file in found:
            try:
                values[file] = read_yaml(file)[0]
            except BadFile as e:
                out.wrong.append(e)
        of_policy = any(isinstance(v, dict) and policy_folder.is_policy(v) and "expect" not in v for v in values.values())
        for file, value in values.items():
            _put(out, path, file, value, of_policy=of_policy)
    return out


def _put(out: Files, path: str, file: Path, value: Any, *, of_policy: bool) -> None:
    if not isinstance(value, dict):
        out.wrong.append(BadFile(str(file), 1, None, "not a mapping; a cause has id, title, root, …"))
    elif policy_folder.is_case(value):
        out.cases.append(str(file))
    elif policy_folder.is_policy(value) or (of_policy and all(k in policy_folder.HEADINGS for k in value)):
        out.policies.setdefault(path, []).append(file)
    elif any(k in value for k in _CAUSE):
        out.causes.append(str(file))
    elif rows_folder.is_ownership(value):
        out.rows.append(str(file))
    elif any(k in value for k in policy_folder.HEADINGS):
        out.policies.setdefault(path, []).append(file)
    else:
        out.wrong.append(BadFile(str(file), 1, None, f"not a file that kroute knows: {_SORTS} at its top"))


def policy_problems(
    policy: policy_folder.Folder, catalogue: Catalogue, rows: list[rows_folder.Stated] | None
) -> list[BadFile]:  # fmt: skip
    """All that is wrong with a policy: its form, else what it says."""
    now = time.time()
    _, ready, problems = policy.policy("check", time.gmtime(now).tm_year)
    if ready is None or problems:
        return problems
    known = rows_check.index(rows or [])
    return policy_check.check(policy, ready, policy_check.Estate(catalogue, rows, known, int(now * 1000)))


def _catalogue() -> Catalogue:
    conf = settings.load()
    return load([conf.catalogue_dir] if conf.catalogue_dir else [])


def _case(file: str) -> list[BadFile]:
    try:
        read_case(file)
    except BadFile as e:
        return [e]
    return []
