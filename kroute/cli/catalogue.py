"""``kroute catalogue``: the causes that kroute knows, as a table, and one of them in full."""

from __future__ import annotations

import difflib
import re

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kroute import settings
from kroute.diagnosis.durations import occupancy
from kroute.diagnosis.load import load
from kroute.diagnosis.model import UNKNOWN, Cause, Contradiction, DeclaredChange, Expectation, OwnerRole, Remedy, Signal
from kroute.signals.table import BY_KIND

ROLES: dict[OwnerRole, str] = {
    "platform": "platform team of the cluster",
    "service": "owner of the service",
    "connector": "owner of the connector",
    "system": "owner of the outside system",
    "topic": "owner of the topic",
    "governance": "governance",
    "network": "network team",
    "principal": "owner of the principal",
    "reader": "owner of the groups that read it",
}
REVIEWS = {
    "auto": "may be automated where all is proved",
    "propose": "proposed to a person",
    "human": "left to a person",
    "never-auto": "never automated, unless drilled for this scenario and granted by name",
}


@click.command("catalogue")
@click.argument("cause", required=False)
@click.option("--platform", type=click.Choice(["kafka", "automq"]), help="Only the causes of this platform.")
def command(cause: str | None, platform: str | None) -> None:
    """List the causes, shipped and your own (KROUTE_CATALOGUE_DIR), or describe one CAUSE in full."""
    conf = settings.load()
    causes = load([conf.catalogue_dir] if conf.catalogue_dir else []).causes
    console = Console(highlight=False)
    if cause is None:
        console.print(table([c for c in causes.values() if platform is None or platform in c.platforms]))
        return
    if cause not in causes:
        near = difflib.get_close_matches(cause, causes, 1)
        hint = f"; did you mean {near[0]}?" if near else "; 'kroute catalogue' lists them"
        raise click.UsageError(f"no cause {cause!r} in the catalogue{hint}")
    for line in describe(causes[cause]):
        console.print(line)


def table(causes: list[Cause]) -> Table:
    """Id, root, what it is, who reads and who acts, and the platforms, one cause a row."""
    out = Table(box=None, pad_edge=False, header_style="bold", title=f"{len(causes)} causes", title_justify="left")
    out.add_column("cause", min_width=max((len(c.id) for c in causes), default=0))
    out.add_column("root", min_width=max((len(c.root) for c in causes), default=0))
    out.add_column("what it is", ratio=2)
    out.add_column("reads → acts", ratio=1)
    out.add_column("on", min_width=6, no_wrap=True)
    for c in sorted(causes, key=lambda c: (c.id == UNKNOWN, c.id)):
        who = f"{c.owners.diagnosis[0]} → {' or '.join(c.owners.action)}"
        out.add_row(c.id, "any" if c.id == UNKNOWN else c.root, c.title, who, "all" if len(c.platforms) > 1 else c.platforms[0])
    return out


def describe(cause: Cause) -> list[Text]:
    """One cause in sentences: how it shows, what speaks against it, who reads and acts, and what relieves it."""
    odds = occupancy(cause.prior.rate, cause.prior.lasts)
    out = [
        Text.assemble((cause.id, "bold"), f"  {cause.title}"),
        Text(f"At a {cause.root}, on {' and '.join(cause.platforms)}. Told as “{cause.summary}”."),
        Text(f"About {cause.prior.rate.replace('/', ' a ')} at each, for {cause.prior.lasts}: there {_odds(odds)} of the time."),
    ]
    if cause.page == "no-page":
        out.append(Text("Somebody meant it: told, and not paged for itself."))
    if cause.needs:
        out.append(Text(f"Cannot be told without {', '.join(cause.needs)}."))
    out += _section("Shows as", [_expectation(x) for x in cause.expects])
    out += _section("After a declared change", [_change(x) for x in cause.changes])
    out += _section("Speaks against it", [_contradiction(x) for x in cause.contradicts])
    owners = [f"reads: {_roles(cause.owners.diagnosis)}", f"acts:  {_roles(cause.owners.action)}"]
    owners += [f"acts, where a task's trace blames {k}: {_roles(v)}" for k, v in sorted(cause.owners.action_by_trace.items())]
    if cause.owners.also:
        owners.append(f"told as well: {', '.join(ROLES[r] for r in cause.owners.also)}")
    out += _section("Who", owners)
    out += _section("Who suffers", [where(p) for p in cause.impact])
    out += _section("Who reads a backlog when it is over", [where(p) for p in cause.aftermath])
    for r in cause.remedies:
        out += _section(f"Remedy {r.id}", _remedy(r))
    if cause.runbook_hint:
        out += _section("Runbook", [cause.runbook_hint])
    return out


def where(path: str) -> str:
    """``self/system/connectors`` as people say it: ``connectors of its system``."""
    steps = [re.sub(r"-", " ", s) for s in path.split("/")[1:]]
    return " of ".join([*reversed(steps[1:]), f"its {steps[0]}"]) if steps else "itself"


def _section(heading: str, lines: list[str]) -> list[Text]:
    return [Text(), Text(heading, style="bold"), *(Text(f"  {x}") for x in lines)] if lines else []


def _expectation(x: Expectation) -> str:
    need = ", defines it" if x.required else ""
    return f"{_seen(x.symptom, x.at, x.quantify, x.detail)}: {x.p:.0%}, within {x.within}{need}"


def _contradiction(x: Contradiction) -> str:
    return f"{_seen(x.symptom, x.at, x.quantify, x.detail)}" + (f": {x.because}" if x.because else "")


def _seen(symptom: str, at: str, quantify: str | None, detail: dict[str, str]) -> str:
    many = f" ({quantify.replace('>=', 'at least')})" if quantify else ""
    of = "".join(f", {k} is {v}" for k, v in sorted(detail.items()))
    return f"{symptom} at {where(at)}{many}{of} – {BY_KIND[symptom].title}"


def _change(x: DeclaredChange) -> str:
    at = (x.at,) if isinstance(x.at, str) else x.at
    return f"{' or '.join(x.kinds)} of {' or '.join(where(p) for p in at)}: {x.p:.0%}{', needed' if x.required else ''}"


def _roles(roles: tuple[OwnerRole, ...]) -> str:
    return ", else ".join(ROLES[r] for r in roles)


def _remedy(r: Remedy) -> list[str]:
    out = [r.does, f"automation: {REVIEWS[r.review]}"]
    out.append(f"undo: {r.rollback} ({ROLES[r.rollback_owner]})" if r.rollback and r.rollback_owner else "undo: none")
    out += [f"{word}: {_signal(s)}" for word, s in (("worked when", r.success), ("failed when", r.failure)) if s is not None]
    return out


def _signal(s: Signal) -> str:
    if s.appears:
        return f"{s.symptom} appears at {where(s.at)}"
    return f"{s.symptom} clears at {where(s.at)}" + (f" within {s.cleared_within}" if s.cleared_within else "")


def _odds(value: float) -> str:
    return f"{value:.2%}" if value >= 0.0001 else f"{value * 1e6:.0f} millionths"
