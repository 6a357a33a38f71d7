"""Alerts and truths made by hand. Times are seconds after ``T0``; the cluster is ``c1``."""

from __future__ import annotations

from typing import Any

import msgspec

from kroute.contracts.alerts import Alert, Alternative, Automation, Cause, Route, RoutedAlert, Suppressed, SymptomRef
from kroute.contracts.common import Entity, EntityRef
from kroute.routing.times import rfc3339
from kroute.score.measure import Measured, measure
from kroute.score.told import incidents
from kroute.score.truth import Benign, Fault, Owners, Truth

T0 = 1_800_000_000_000
CLUSTER = "c1"
Candidate = tuple[str, str, float]


def ms(seconds: float) -> int:
    return T0 + int(seconds * 1000)


def ref(short: str) -> EntityRef:
    kind, _, name = short.partition("/")
    return EntityRef(kind=kind, name=name)


def entity(short: str) -> Entity:
    r = ref(short)
    return Entity(r.kind, CLUSTER, r.name)


def fault(
    cause: str, root: str, at: float = 600, to: float = 1200, *, action: str = "act", diagnosis: str = "diag",
    impact: tuple[str, ...] = (), affected: tuple[str, ...] = (),
) -> Fault:  # fmt: skip
    return Fault(
        cause=cause, root=ref(root), cluster=CLUSTER, from_ms=ms(at), to_ms=ms(to),
        owners=Owners(diagnosis=diagnosis, action=action, impact=impact), affected=tuple(ref(a) for a in affected),
    )  # fmt: skip


def truth(*faults: Fault, benign: tuple[Benign, ...] = (), ends: float = 3600, platform: str = "kafka") -> Truth:
    return Truth(platform=platform, started_ms=T0, ends_ms=ms(ends), faults=faults, benign=benign)


def route(role: str, team: str, urgency: str = "notify", do: str = "open") -> Route:
    return Route(
        role=role, team=team, urgency=urgency, destination=f"{urgency}://{team}", delivery=f"{team}:{urgency}", do=do,
        reason="because", via="row",
    )  # fmt: skip


def owners(*, action: str = "act", diagnosis: str = "diag", impact: tuple[str, ...] = (), page: bool = False) -> list[Route]:
    told = [route("diagnosis", diagnosis), route("action", action, "page" if page else "ticket")]
    return told + [route("impact", t, "page") for t in impact]


def alert(
    incident: str, at: float, cause: Candidate, *others: Candidate, routes: list[Route] | None = None,
    symptoms: tuple[tuple[str, str, float], ...] = (), status: str = "firing", suppressed: bool = False, **more: Any,
) -> Alert:  # fmt: skip
    """``symptoms``: (entity, kind, since in seconds)."""
    value = RoutedAlert(
        id=f"{incident}-{at}", incident=incident, revision=1, type="updated", status=status, cluster=CLUSTER, domain=CLUSTER,
        severity="minor", summary="", impact=(), ruled_out=(), supersedes=(), policy_version="v",
        cause=Cause(
            id=cause[0], root=ref(cause[1]), confidence=cause[2],
            alternatives=tuple(Alternative(id=i, root=ref(r), confidence=p) for i, r, p in others),
        ),
        routes=tuple(owners() if routes is None else routes),
        automation=Automation(verdict="human", remedy=None, valid_until=None, proved={}, missing=()),
        symptoms=tuple(
            SymptomRef(kind=k, entity=ref(e), since=rfc3339(ms(since)), value=None, why="") for e, k, since in symptoms
        ),
        suppressed=Suppressed(by="maintenance", id=None, who=None, why=None, until=None) if suppressed else None,
        superseded_by=more.pop("superseded_by", None),
        started_at=rfc3339(ms(at)), updated_at=rfc3339(ms(at)), resolved_at=None, **more,
    )  # fmt: skip
    return Alert(incident, msgspec.json.encode(value), (), ms(at))


def resolved(incident: str, at: float, cause: Candidate) -> Alert:
    return alert(incident, at, cause, status="resolved", routes=[])


def measured(t: Truth, *alerts: Alert, name: str = "x") -> Measured:
    return measure(name, incidents(sorted(alerts, key=lambda a: a.ts_ms)), t, [0.0] * len(t.faults))
