"""``kroute route``: one hypothetical incident, and who would be told."""

from __future__ import annotations

import sys
from datetime import datetime

import click
import orjson

from kroute import settings
from kroute.cli._options import now_ms
from kroute.contracts.alerts import OBJECTIVE_STATES
from kroute.contracts.common import ENTITY_KINDS, Entity

_WIDTH = 140
_STATE_OF = {"critical": "breached", "major": "at-risk", "minor": "fine", "info": "fine"}


@click.command("route")
@click.option("--cause", required=True, help="A cause of the catalogue.")
@click.option("--root", required=True, metavar="KIND/NAME", help="Its root, such as group/checkout or connector/connect-a/es.")
@click.option("--cluster", required=True)
@click.option(
    "--impact", multiple=True, metavar="KIND/NAME=STATE",
    help="Who feels it: a group, topic or service that is breached, at-risk, fine or unknown. Repeat for several.",
)  # fmt: skip
@click.option("--severity", type=click.Choice(list(_STATE_OF)), default="critical", help="Where --impact gives no state.")
@click.option("--near", multiple=True, metavar="KIND/NAME", help="What hangs together with the root: its system, group, topic …")
@click.option("--symptom", multiple=True, help="Seen at the root besides what defines the cause, such as under-min-isr.")
@click.option("--confidence", type=click.FloatRange(0, 1), default=0.9, show_default=True)
@click.option("--at", "at", metavar="TIME", help="When, such as 2026-11-23T03:00:00+01:00; default: now.")
@click.option("--ownership", type=click.Path(exists=True), help="A folder of rows, instead of the topic.")
@click.option("--from", "recording", type=click.Path(exists=True, dir_okay=False), help="A recording: its rows and its estate.")
@click.option("--policy", type=click.Path(exists=True), help="A policy, instead of the one that stands there.")
@click.option("--json", "as_json", is_flag=True, help="The record that would be delivered, the rule and the rows, as JSON.")
def command(
    cause: str, root: str, cluster: str, impact: tuple[str, ...], severity: str, near: tuple[str, ...], symptom: tuple[str, ...],
    confidence: float, at: str | None, ownership: str | None, recording: str | None, policy: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Route an incident that did not happen: why each team, by which rule and which row.

    Rows and policy are those of the topics, of a folder, or of a recording.
    """
    from rich.console import Console  # noqa: PLC0415  (--help stays quick)

    from kroute.engine import build  # noqa: PLC0415
    from kroute.signals.table import BY_KIND  # noqa: PLC0415
    from kroute.whatif import known  # noqa: PLC0415
    from kroute.whatif.hypothetical import Question, ask  # noqa: PLC0415
    from kroute.whatif.text import answer  # noqa: PLC0415

    if ownership and recording:
        raise click.UsageError("--ownership and --from exclude each other")
    for s in symptom:
        if s not in BY_KIND:
            raise click.UsageError(f"--symptom {s}: no such symptom; 'kroute catalogue CAUSE' shows those of a cause")
    conf = settings.load()
    engine = build(conf)
    if ownership:
        there = known.from_folder(ownership)
    elif recording:
        there = known.from_recording(recording, engine, conf)
    else:
        there = known.from_kafka(conf)
    there.use(policy)
    when = _time(at) if at else there.now_ms or now_ms()
    state = _STATE_OF[severity]
    question = Question(
        cause=cause, root=_entity(root, cluster, "--root"), impact=dict(_impact(i, cluster, state) for i in impact), state=state,
        near=tuple(_entity(n, cluster, "--near") for n in near), symptoms=symptom, confidence=confidence, now_ms=when,
    )  # fmt: skip
    found = ask(there, engine.catalogue, question)
    if as_json:
        plain = {
            "record": found.record, "rule": found.decision.rule, "asked": [a._asdict() for a in found.asked],
            "rows": {x.thing: x.rows for x in found.looked},
        }  # fmt: skip
        sys.stdout.buffer.write(orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        return
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    for part in answer(found):
        console.print(part)


def _entity(text: str, cluster: str, option: str) -> Entity:
    kind, slash, name = text.partition("/")
    if not slash or not name or kind not in ENTITY_KINDS:
        raise click.UsageError(f"{option} {text}: write KIND/NAME; kinds are {', '.join(ENTITY_KINDS)}")
    return Entity(kind, cluster, name)


def _impact(text: str, cluster: str, default: str) -> tuple[Entity, str]:
    thing, eq, state = text.rpartition("=")
    if not eq:
        thing, state = text, default
    if state not in OBJECTIVE_STATES:
        raise click.UsageError(f"--impact {text}: {state!r} is none of {', '.join(OBJECTIVE_STATES)}")
    entity = _entity(thing, cluster, "--impact")
    if entity.kind not in ("group", "topic", "service"):
        raise click.UsageError(f"--impact {text}: a group, a topic or a service feels it")
    return entity, state


def _time(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"--at {text}: no time; write 2026-11-23T03:00:00Z") from None
    if at.tzinfo is None:
        raise click.UsageError(f"--at {text}: no offset from UTC; end it with Z or +01:00")
    return int(at.timestamp() * 1000)
