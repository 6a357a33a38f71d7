"""What the rules of urgency look at, gathered for one incident: suppression, declared changes, impact, availability."""

from __future__ import annotations

from typing import NamedTuple

from kroute.contracts.alerts import Suppressed
from kroute.contracts.common import Entity
from kroute.contracts.rows import Change
from kroute.diagnosis.model import Cause
from kroute.incidents.model import Incident
from kroute.routing.controls import Stamped, Subject, silences_incident, silences_route
from kroute.routing.impact import Felt
from kroute.routing.policy import InForce
from kroute.routing.times import rfc3339
from kroute.routing.urgency import (
    AVAILABILITY_SYMPTOMS,
    CLUSTER_WIDE,
    COST_CAUSES,
    DECLARED_KINDS,
    RESTART_MS,
    VOTER_BEHIND,
    Situation,
)
from kroute.signals.changes import Changes, end_ms
from kroute.signals.model import Symptom


class Hush(NamedTuple):
    """What keeps this incident from being told: to all, or (silences that match a team or service) to some."""

    whole: Suppressed | None
    partial: tuple[Stamped, ...]

    def of_route(self, team: str, services: tuple[str, ...]) -> Suppressed | None:
        """What keeps one route from being told, or None."""
        if self.whole is not None:
            return self.whole
        for s in self.partial:
            if silences_route(s.control, team, services):
                return _silence(s)
        return None


JUST_OVER_MS = 120_000
"""That a cause is over shows a few polls after it; by then the work that made it may be declared done."""


def hush(incident: Incident, felt: Felt, silences: list[Stamped], changes: Changes, now_ms: int) -> Hush:
    """Silences in force and declared maintenance that cover the incident.

    What was over when the maintenance was is not opened afterwards, while it recovers; nor does the end of a maintenance open
    anything at once. Neither holds while somebody suffers or partitions are at stake.
    """
    subject = Subject(
        incident.cause,
        incident.cluster,
        str(incident.root),
        tuple(
            dict.fromkeys(str(e) for (e, _), v in sorted(incident.evidence.items(), key=lambda x: x[0]) if v.cleared_ms is None)
        ),
    )
    partial: list[Stamped] = []
    for s in silences:
        if silences_incident(s.control, subject):
            if not {"team", "service"} & s.control.matchers.keys():
                return Hush(_silence(s), ())
            partial.append(s)
    over = incident.recovering_since_ms if incident.phase == "recovering" else None
    from_ms = (now_ms if over is None else over) - JUST_OVER_MS
    for c in [c for e in _worked_on(incident) for c in changes.touching(e, ("maintenance",), from_ms, now_ms)]:
        if end_ms(c) >= now_ms or not (felt.suffering() or _availability(incident)):
            return Hush(Suppressed(by="maintenance", id=c.id, who=c.by, why=c.why, until=rfc3339(end_ms(c))), ())
    return Hush(None, tuple(partial))


def _worked_on(incident: Incident) -> list[Entity]:
    """What maintenance of is that of the incident: its root, and of a group whose sink shows it, the sink."""
    sinks = [e for e, _ in sorted(incident.evidence) if e.kind == "connector"] if incident.root.kind == "group" else []
    return [incident.root, *dict.fromkeys(sinks)]


def situation(incident: Incident, cause: Cause, felt: Felt, changes: Changes, policy: InForce, now_ms: int) -> Situation:
    """The facts that rules 2 to 6 decide on; what is suppressed is decided like the rest and then silenced."""
    states = felt.states()
    threatened = _availability(incident)
    return Situation(
        breached="breached" in states,
        at_risk="at-risk" in states,
        availability=threatened,
        declared=any(
            _holds(c, cause, incident, felt, threatened)
            for c in changes.touching(incident.root, DECLARED_KINDS, now_ms, now_ms)
        ),
        cost=incident.cause in COST_CAUSES,
        no_page=cause.page == "no-page",
        confidence=incident.sure,
        page_confidence=policy.numbers.page_confidence,
        first_tier=any(a.tier == "1" for a in felt.suffering()),
    )  # fmt: skip


def _availability(incident: Incident) -> bool:
    return any(_threatens(e.symptom, incident) for e in incident.evidence.values() if e.cleared_ms is None)


def _threatens(s: Symptom, incident: Incident) -> bool:
    kind = s.kind
    if kind == VOTER_BEHIND and (s.value or 0.0) < 2.0 and s.last_ms - s.since_ms < RESTART_MS:
        return False
    return kind in AVAILABILITY_SYMPTOMS or (kind in CLUSTER_WIDE and incident.root.kind == "cluster")


def _holds(c: Change, cause: Cause, incident: Incident, felt: Felt, threatened: bool) -> bool:
    """A change covers what it plausibly does, inside its bounds.

    One of a whole cluster covers the cluster itself, causes that name its kind, and any cause when it is a drill.
    ``detail.max_lag_s`` bounds how far behind it may put anybody; availability at stake ends all but a drill.
    """
    if c.kind != "drill":
        named = any(c.kind in d.kinds for d in cause.changes)
        if threatened or (c.target.kind == "cluster" and incident.root.kind != "cluster" and not named):
            return False
    bound = c.detail.get("max_lag_s")
    if isinstance(bound, (int, float)) and not isinstance(bound, bool):
        return all((a.measure.lag_s or 0) <= bound for a in felt.affected)
    return True


def _silence(s: Stamped) -> Suppressed:
    c = s.control
    return Suppressed(by="silence", id=s.id, who=c.by, why=c.why, until=rfc3339(c.until_ms or 0))
