"""What was said: the alerts of one replay as incidents, each a line of revisions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec

from kroute.contracts.alerts import HEARTBEAT, Alert, RoutedAlert
from kroute.contracts.common import Entity, EntityRef

ROLES = ("impact", "diagnosis", "action")
ENDED = ("resolved", "superseded")
_DECODER = msgspec.json.Decoder(RoutedAlert)


class Symptom(NamedTuple):
    """One piece of evidence: what shows it, its kind, and since when (epoch ms)."""

    entity: Entity
    kind: str
    since_ms: int


class Candidate(NamedTuple):
    """A cause at a root with its probability (0–1)."""

    cause: str
    root: Entity
    confidence: float


class Revision(NamedTuple):
    """One record of an incident. ``candidates``: the named cause, then its alternatives, likeliest first.

    ``teams``: role → teams told in it (those being closed left out); ``paging``: destinations that are paged by now,
    delivery → team. Both are empty where all is suppressed. ``declared``: nobody was told, or as of what was declared.
    """

    ts_ms: int
    status: str
    recovering: bool
    candidates: tuple[Candidate, ...]
    teams: dict[str, tuple[str, ...]]
    paging: dict[str, str]
    symptoms: tuple[Symptom, ...]
    superseded_by: str | None
    declared: bool

    @property
    def firing(self) -> bool:
        """True while the incident is open."""
        return self.status not in ENDED


class Incident(NamedTuple):
    """An incident as its receivers saw it, oldest revision first."""

    id: str
    revisions: tuple[Revision, ...]

    @property
    def opened_ms(self) -> int:
        """Time of its first record."""
        return self.revisions[0].ts_ms

    @property
    def superseded_by(self) -> str | None:
        """The incident it was merged into."""
        return self.revisions[-1].superseded_by

    @property
    def declared(self) -> bool:
        """True for what was declared, and told as that or to nobody as long as it was open: a record, no answer."""
        firing = [r.declared for r in self.revisions if r.firing]
        return bool(firing) and all(firing)

    def firing_ms(self, end_ms: int) -> list[tuple[int, int]]:
        """Spans in which it was open, in order; one that never ended ends at ``end_ms``."""
        out: list[tuple[int, int]] = []
        since: int | None = None
        for r in self.revisions:
            if r.firing and since is None:
                since = r.ts_ms
            elif not r.firing and since is not None:
                out.append((since, r.ts_ms))
                since = None
        if since is not None:
            out.append((since, max(end_ms, since)))
        return out

    def symptoms(self) -> dict[Symptom, None]:
        """Everything it ever named as evidence, in order of appearance."""
        return {s: None for r in self.revisions for s in r.symptoms}


def incidents(alerts: Iterable[Alert]) -> list[Incident]:
    """Alerts of one replay, by incident, in the order of their opening; heartbeats are left out."""
    by_id: dict[str, list[Revision]] = {}
    opened: dict[str, dict[str, str]] = {}
    for a in alerts:
        if a.key.startswith(HEARTBEAT):
            continue
        alert = _DECODER.decode(a.value)
        pages = opened.setdefault(alert.incident, {})
        by_id.setdefault(alert.incident, []).append(_revision(alert, a.ts_ms, pages))
    return [Incident(k, tuple(v)) for k, v in by_id.items()]


def _revision(alert: RoutedAlert, ts_ms: int, open_: dict[str, str]) -> Revision:
    """``open_``: destinations that are open, delivery → team, from the revisions before; brought up to date here."""
    told: dict[str, dict[str, None]] = {r: {} for r in ROLES}
    for r in alert.routes:
        if r.do == "open":
            open_[r.delivery] = r.team
        elif r.do == "close":
            open_.pop(r.delivery, None)
    paging: dict[str, str] = {}
    for r in alert.routes:
        if r.do == "close" or r.delivery not in open_ or alert.suppressed is not None:
            continue
        told.setdefault(r.role, {})[r.team] = None
        if r.urgency == "page":
            paging[r.delivery] = r.team
    c = alert.cause
    return Revision(
        ts_ms=ts_ms,
        status=alert.status,
        recovering=alert.recovering,
        candidates=(
            Candidate(c.id, _entity(c.root, alert.cluster), c.confidence),
            *(Candidate(a.id, _entity(a.root, alert.cluster), a.confidence) for a in c.alternatives),
        ),
        teams={role: tuple(teams) for role, teams in told.items()},
        paging=paging,
        symptoms=tuple(Symptom(_entity(s.entity, alert.cluster), s.kind, at_ms(s.since)) for s in alert.symptoms),
        superseded_by=alert.superseded_by,
        declared=(alert.suppressed is not None and alert.suppressed.by == "maintenance")
        or {r.reason for r in alert.routes} == {"declared-change"},
    )


def _entity(ref: EntityRef, cluster: str) -> Entity:
    return Entity(ref.kind, ref.cluster or cluster, ref.name)


def at_ms(text: str) -> int:
    """A time of an alert in epoch ms."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
