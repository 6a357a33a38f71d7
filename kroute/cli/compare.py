"""``kroute compare``: what a policy would have changed, on a recording of what happened."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from kroute import settings

_WIDTH = 160


@click.command("compare")
@click.argument("recording", type=click.Path(exists=True, dir_okay=False))
@click.option("--policy", "new", required=True, type=click.Path(exists=True), help="The candidate.")
@click.option("--against", "old", type=click.Path(exists=True), help="The other policy; default: what the recording holds.")
@click.option("--until-ms", type=int, help="Tick on to this time (epoch ms) after the last record.")
@click.option(
    "--allow", multiple=True, metavar="WHAT",
    help="A kind of difference that does not fail the gate, such as urgency; repeat for several. Or: all.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="All differences as JSON.")
def command(recording: str, new: str, old: str | None, until_ms: int | None, allow: tuple[str, ...], as_json: bool) -> None:
    """Replay RECORDING under two policies and list the incidents whose team, urgency or verdict would differ.

    A gate for CI: exit status 0 when nothing differs but what --allow names, 1 when something does, 2 for a mistake.
    Differences of destination and of time are listed and never fail the gate.
    """
    from rich.console import Console  # noqa: PLC0415  (--help stays quick)

    from kroute.engine import build  # noqa: PLC0415
    from kroute.replay import read, replay  # noqa: PLC0415
    from kroute.report.source import Past  # noqa: PLC0415
    from kroute.whatif.candidate import Under, read_policy  # noqa: PLC0415
    from kroute.whatif.compare import QUIET, WHAT, compare  # noqa: PLC0415
    from kroute.whatif.text import comparison  # noqa: PLC0415

    unknown = [a for a in allow if a not in (*WHAT, "all")]
    if unknown:
        raise click.UsageError(f"--allow {unknown[0]}: no kind of difference; there is {', '.join(WHAT)}, and all")
    conf = settings.load()
    engine = build(conf)
    sides = []
    for path in (old, new):
        past = Past()
        policy = read_policy(path) if path is not None else None
        for alert in replay(read(recording, conf), Under(engine, policy), conf, until_ms).alerts:
            past.take_alert(alert.value)
        sides.append(past.alerts)
    found = compare(*sides)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    else:
        console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
        for part in comparison(found, Path(new).name):
            console.print(part)
    failing = [c for c in found.changes if c.what not in (*allow, *QUIET)]
    sys.exit(1 if failing and "all" not in allow else 0)
