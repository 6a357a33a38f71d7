"""Where routing would end up in a fallback: causes that nobody owns, things of which one team gets all three roles."""

from __future__ import annotations

from collections.abc import Iterator

from kroute.admin.ownership.check import index
from kroute.admin.ownership.folder import Stated
from kroute.contracts.common import Entity
from kroute.diagnosis.load import Catalogue
from kroute.diagnosis.model import UNKNOWN, Cause, OwnerRole
from kroute.errors import BadFile
from kroute.incidents.model import Incident
from kroute.routing.impact import Affected
from kroute.routing.owners import DEFAULT_FALLBACK, PLATFORM_FALLBACK, Finder
from kroute.routing.patterns import pattern
from kroute.signals.estate import Estate
from kroute.signals.model import Measure, Rows

_KINDS: dict[OwnerRole, tuple[str, ...]] = {
    "platform": ("cluster",), "governance": ("cluster",), "network": ("cluster",), "service": ("service", "group"),
    "connector": ("connector",), "system": ("system",), "topic": ("topic", "service"), "principal": ("principal",),
    "reader": ("service", "group"),
}  # fmt: skip
"""Role word → kinds of rows that answer to it."""
_ROOTS = ("group", "connector", "topic", "system", "principal")
_FALLBACKS = (PLATFORM_FALLBACK, DEFAULT_FALLBACK)


def warnings(rows: list[Stated], catalogue: Catalogue, where: str) -> list[BadFile]:
    """What works and should not stay so. ``where``: the path that the rows come from."""
    return [*_unowned(rows, catalogue, where), *_alone(rows, catalogue), *_runbooks(rows)]


def _unowned(rows: list[Stated], catalogue: Catalogue, where: str) -> Iterator[BadFile]:
    """Rule 16: a cause whose action owner no row can name. Kinds that the estate states nothing about are left out."""
    owned = {s.row.kind for s in rows if s.row.owner is not None}
    stated = {s.row.kind for s in rows}
    for c in catalogue.causes.values():
        if c.id == UNKNOWN or any(k in owned for word in c.owners.action for k in _KINDS[word]):
            continue
        if c.root in stated or any(k in stated for word in c.owners.action for k in _KINDS[word]) or "cluster" not in owned:
            words = " or ".join(c.owners.action)
            yield BadFile(where, None, None, f"cause {c.id} has no action owner: no row of {words} names one")


def _alone(rows: list[Stated], catalogue: Catalogue) -> Iterator[BadFile]:
    """Rule 17: trouble at a thing gives all three roles to one team, by fallback."""
    finder = Finder(index(rows), Estate(Rows()))
    for s in rows:
        kind, cluster, name = s.row.kind, s.row.cluster, s.row.name
        if kind not in _ROOTS or pattern(cluster).prefix:
            continue
        root = Entity(kind, cluster, pattern(name).text or "x")
        for cause in catalogue.causes.values():
            if cause.root == kind and cause.id != UNKNOWN and (team := _all_roles(finder, cause, root)) is not None:
                yield s.bad(
                    None, f"all three roles of {cause.id} fall to {team} by fallback; give it an owner or an owned service"
                )
                break


def _all_roles(finder: Finder, cause: Cause, root: Entity) -> str | None:
    """The team, when impact, diagnosis and action of a cause at a root all come from a fallback."""
    incident = Incident(
        id="check", domain=root.cluster, cluster=root.cluster, platform="kafka", subject=root, cause=cause.id, root=root,
        confidence=1.0, phase="open", started_ms=0, updated_ms=0,
    )  # fmt: skip
    affected = Affected(root, finder.service_of(root), Measure("", None, None, None, None, None, None, "unknown"), None, None)
    roles = (
        finder.of_affected(affected), finder.owner(cause.owners.diagnosis, incident), finder.owner(cause.owners.action, incident),
    )  # fmt: skip
    if all(f.via in _FALLBACKS for f in roles) and len({f.team for f in roles}) == 1:
        return roles[0].team
    return None


def _runbooks(rows: list[Stated]) -> Iterator[BadFile]:
    """Rule 18: what may be paged for, of tier 1, gives a runbook and a rollback."""
    for s in rows:
        if s.row.kind not in ("service", "connector", "system") or s.row.labels.get("tier") != "1":
            continue
        lacks = [w for w in ("runbook", "rollback") if getattr(s.row, w) is None]
        if lacks:
            yield s.bad(None, f"of tier 1 and without {' and '.join(lacks)}")
