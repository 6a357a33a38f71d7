"""``kroute check``: are the files that people write usable? Every problem of every file, ``file:line: field: problem``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from kroute.diagnosis.load import examine
from kroute.errors import BadFile
from kroute.files import read_yaml


class Sort(NamedTuple):
    """One sort of file. ``keys``: a mapping with one of these at its top is of this sort. ``problems``: all that is wrong."""

    name: str
    keys: tuple[str, ...]
    problems: Callable[[str], list[BadFile]]


def cause_problems(file: str) -> list[BadFile]:
    """What is wrong with one file of a catalogue of causes."""
    return examine(file)[1]


SORTS: list[Sort] = [Sort("cause", ("id", "expects", "root", "prior", "contradicts"), cause_problems)]
"""Sorts of files, by what stands at their top; a further sort (policy, ownership) is a further row."""


@click.command("check")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True))
def command(paths: tuple[str, ...]) -> None:
    """Check files, and the YAML files of folders: causes of a catalogue. Exit status 2 when anything is wrong."""
    files: dict[str, list[BadFile]] = {}
    for path in paths:
        for file in _files(Path(path)):
            files[str(file)] = check(str(file))
        if not any(True for _ in _files(Path(path))):
            files[path] = [BadFile(path, None, None, "has no .yaml file in it")]
    wrong = [p for found in files.values() for p in found]
    for problem in wrong:
        click.echo(str(problem), err=True)
    if wrong:
        bad = sum(1 for found in files.values() if found)
        click.echo(f"{len(wrong)} {'problem' if len(wrong) == 1 else 'problems'} in {bad} of {len(files)} files", err=True)
        sys.exit(2)
    click.echo(f"{len(files)} {'file' if len(files) == 1 else 'files'} checked, nothing wrong")


def check(file: str) -> list[BadFile]:
    """All problems of one file, in the order of their lines."""
    try:
        value, _ = read_yaml(file)
    except BadFile as e:
        return [e]
    if not isinstance(value, dict):
        return [BadFile(file, 1, None, "not a mapping; a cause has id, title, root, …")]
    for sort in SORTS:
        if any(k in value for k in sort.keys):
            return sort.problems(file)
    known = ", ".join(f"a {s.name} has {' or '.join(s.keys)}" for s in SORTS)
    return [BadFile(file, 1, None, f"not a file that kroute knows: {known} at its top")]


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file())
    else:
        yield path
