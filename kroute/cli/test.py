"""``kroute test``: timeline cases on virtual time, without a broker."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kroute import settings
from kroute.admin.ownership.folder import is_ownership
from kroute.admin.policy import folder
from kroute.engine import build
from kroute.errors import BadFile
from kroute.files import read_yaml
from kroute.local.alerts_view import safe
from kroute.testing.case import read_case
from kroute.testing.report import junit, summary, text
from kroute.testing.run import Result, recording, run_case, settings_for_cases


@click.command("test")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--junit", "junit_file", type=click.Path(dir_okay=False), help="Write JUnit XML here.")
@click.option("--verbose", "-v", is_flag=True, help="Show every alert of every case.")
@click.option("--write-recording", type=click.Path(dir_okay=False), help="Write the generated input records here (one case).")
def command(files: tuple[str, ...], junit_file: str | None, verbose: bool, write_recording: str | None) -> None:
    """Run the timeline cases in FILES (a folder: every .yaml below it) and say what differs.

    In a folder the files of a policy or of ownership, which stand beside their cases, are passed over.
    """
    paths = [p for f in files for p in (_cases(Path(f)) if Path(f).is_dir() else [Path(f)])]
    if not paths:
        raise BadFile(files[0], None, None, "no .yaml file below it")
    if write_recording and len(paths) != 1:
        raise click.UsageError("--write-recording takes one case")
    engine = build(settings.load())
    conf = settings_for_cases()
    results: list[Result] = []
    for path in paths:
        result = run_case(read_case(path), engine, conf)
        results.append(result)
        for line in text(result, verbose=verbose):
            click.echo(safe(line, 2000))
        if write_recording:
            Path(write_recording).write_bytes(b"".join(recording(result.records)))
    if junit_file:
        Path(junit_file).write_bytes(junit(results))
    click.echo(summary(results))
    sys.exit(0 if all(r.ok for r in results) else 1)


def _cases(path: Path) -> list[Path]:
    """The YAML files of a folder, without those that are parts of a policy or state ownership."""
    return [p for p in sorted(path.rglob("*.yaml")) if not _beside(p)]


def _beside(path: Path) -> bool:
    try:
        value, _ = read_yaml(path)
    except BadFile:
        return False  # it is told when it is read as a case
    return isinstance(value, dict) and not folder.is_case(value) and (folder.is_policy(value) or is_ownership(value))
