"""A ``RoutedAlert`` from its parts: sentences for people, lists with their caps, the record's headers."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import msgspec
import orjson

from kroute.contracts import alerts as out
from kroute.contracts.common import Entity, EntityRef, one_line
from kroute.diagnosis.model import Cause
from kroute.incidents.model import Evidence, Incident
from kroute.routing.flood import MAX_LISTED
from kroute.routing.impact import Affected, Felt
from kroute.routing.times import rfc3339
from kroute.signals.estate import Estate

MAX_SYMPTOMS = 32
MAX_IMPACT = 32
MAX_RULED_OUT = 16
MAX_BYTES = 256 * 1024
_MAX_TEXT = 1000
_FIELD = re.compile(r"\{(\w+)\}")
_NEAR = {
    "system": ("system",),
    "group": ("group", "consumers"),
    "connector": ("connector", "topic-connectors"),
    "topic": ("topics", "connector-topics", "transaction-topics"),
    "rack": ("rack",),
    "worker": ("worker",),
    "coordinator": ("coordinator",),
    "principal": ("topic-principals", "group-principals"),
    "service": ("services",),
}
"""Field of a template → relations of the root that may fill it in."""


class Parts(NamedTuple):
    """What a record is made of beside the incident itself."""

    revision: int
    type: str
    severity: str
    felt: Felt
    routes: tuple[out.Route, ...]
    automation: out.Automation
    suppressed: out.Suppressed | None
    changes: tuple[dict[str, object], ...]
    why: str | None
    policy_version: str
    now_ms: int
    collapses: tuple[str, ...] = ()
    remedies: tuple[out.RemedyRun, ...] = ()


def compose(incident: Incident, cause: Cause, parts: Parts, estate: Estate) -> out.RoutedAlert:
    """The record; ``status`` follows the phase."""
    c = incident.cluster
    status = {"resolved": "resolved", "superseded": "superseded"}.get(incident.phase, "firing")
    evidence = sorted(incident.evidence.values(), key=_weight)
    automation = parts.automation
    return out.RoutedAlert(
        id=f"{incident.id}-{parts.revision}",
        incident=incident.id,
        revision=parts.revision,
        type=parts.type,
        status=status,
        cluster=c,
        domain=incident.domain,
        severity=parts.severity,
        summary=summary(incident, cause, parts.felt, estate),
        cause=out.Cause(
            id=incident.cause,
            root=_ref(incident.root, c),
            confidence=round(incident.confidence, 4),
            alternatives=tuple(
                out.Alternative(id=r.cause, root=_ref(r.root, c), confidence=round(r.confidence, 4)) for r in incident.rivals[:8]
            ),
            missing=tuple(_short(m) for m in incident.missing[:16]),
        ),
        impact=tuple(_impact(a) for a in parts.felt.affected[:MAX_IMPACT]),
        routes=parts.routes,
        automation=msgspec.structs.replace(
            automation,
            does=_fill_or_none(automation.does, incident, estate),
            rollback=_fill_or_none(automation.rollback, incident, estate),
        ),
        symptoms=tuple(_symptom(e, c) for e in evidence[:MAX_SYMPTOMS]),
        symptoms_total=len(evidence),
        ruled_out=tuple(
            out.RuledOut(id=r.cause, because=_short(r.because), root=_ref(r.root, c)) for r in incident.ruled_out[:MAX_RULED_OUT]
        ),
        suppressed=parts.suppressed,
        supersedes=incident.supersedes,
        superseded_by=incident.superseded_by if incident.phase == "superseded" else None,
        split_from=incident.split_from,
        late=incident.late,
        flaps=incident.flaps,
        recovering=incident.phase == "recovering",
        why=_short(parts.why) if parts.why else None,
        started_at=rfc3339(incident.started_ms),
        updated_at=rfc3339(parts.now_ms),
        resolved_at=rfc3339(incident.resolved_ms if incident.resolved_ms is not None else parts.now_ms)
        if status != "firing"
        else None,
        policy_version=parts.policy_version,
        changes=parts.changes,
        remedies=parts.remedies,
        collapses=parts.collapses[:MAX_LISTED],
        collapses_total=len(parts.collapses),
    )


def record(alert: out.RoutedAlert, now_ms: int) -> out.Alert:
    """The Kafka record: JSON value under 256 KiB, CloudEvents 1.0 headers in binary mode."""
    value = _encode(alert)
    if len(value) > MAX_BYTES:  # the routes are what must arrive; the rest can be looked up
        alert = msgspec.structs.replace(
            alert, symptoms=alert.symptoms[:4], impact=alert.impact[:8], ruled_out=alert.ruled_out[:2], changes=(),
            supersedes=alert.supersedes[-16:],
            routes=tuple(msgspec.structs.replace(r, runbook=None, escalation=None) for r in alert.routes),
        )  # fmt: skip
        value = _encode(alert)
    headers = {
        "ce_specversion": "1.0",
        "ce_id": alert.id,
        "ce_source": f"/kroute/{alert.cluster}",
        "ce_type": f"io.kroute.incident.{alert.type}",
        "ce_time": alert.updated_at,
        "ce_subject": alert.incident,
        "content-type": "application/json",
    }
    return out.Alert(alert.incident, value, tuple((k, v.encode()) for k, v in headers.items()), now_ms)


def _encode(alert: out.RoutedAlert) -> bytes:
    return orjson.dumps(msgspec.to_builtins(alert))


def summary(incident: Incident, cause: Cause, felt: Felt, estate: Estate) -> str:
    """One sentence: the cause, and who suffers how much against which objective."""
    said = fill(cause.summary or cause.title, incident, estate)
    worst = felt.suffering()
    if worst:
        said += f"; {_suffers(worst[0])}"
        others = len(dict.fromkeys(a.service or str(a.entity) for a in worst)) - 1
        if others:
            said += f", and {others} more" + (" service" if others == 1 else " services")
    return _short(said)


def fill(template: str, incident: Incident, estate: Estate) -> str:
    """Fill in ``{root}``, ``{name}``, ``{cluster}`` and what is near the root; a field nothing is known for names the root."""
    ill = {e: None for e, _ in incident.evidence}

    def value(found: re.Match[str]) -> str:
        field = found.group(1)
        root = incident.root
        if field == "cluster":
            return root.cluster
        if field == root.kind or field in ("root", "name"):
            return display(root)
        for relation in _NEAR.get(field, ()):
            near = estate.related(root, relation)
            if near:
                shown = [e for e in near if e in ill]
                return display((shown or near)[0])
        return display(root)

    return one_line(_FIELD.sub(value, template))


def display(entity: Entity) -> str:
    """The name people use: a connector without its Connect cluster."""
    if entity.kind == "connector":
        return entity.name.partition("/")[2] or entity.name
    return entity.name


def span(seconds: float) -> str:
    """``840`` → ``14 min``."""
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def _suffers(a: Affected) -> str:
    m = a.measure
    who = a.service or display(a.entity)
    against = f" (objective {span(m.objective_s)})" if m.objective_s is not None else ""
    if m.state == "at-risk":
        when = f" in {span(m.breach_in_s)}" if m.breach_in_s is not None else " soon"
        return f"{who} will miss its objective{when}{against}"
    if m.lag_s is not None:
        least = "at least " if m.bound == "at-least" else ""
        return f"{who} is {least}{span(m.lag_s)} behind{against}"
    if m.data_age_s is not None:
        return f"{who} has had no record on {m.topic} for {span(m.data_age_s)}{against}"
    return f"{who} misses its objective{against}"


def _impact(a: Affected) -> out.Impact:
    m = a.measure
    return out.Impact(
        service=a.service, topic=m.topic, group=m.group, role="consumer" if m.group is not None else "producer", lag=m.lag,
        lag_s=_round(m.lag_s), lag_s_bound=m.bound, data_age_s=_round(m.data_age_s), objective_s=m.objective_s, state=m.state,
        customer_function=a.customer_function, breach_in_s=_round(m.breach_in_s),
    )  # fmt: skip


def _symptom(e: Evidence, cluster: str) -> out.SymptomRef:
    s = e.symptom
    known = s.topic_src and s.offset_src >= 0
    return out.SymptomRef(
        kind=s.kind,
        entity=_ref(s.entity, cluster),
        since=rfc3339(s.since_ms),
        value=_round(s.value),
        why=_short(s.why),
        source=out.SymptomSource(topic=s.topic_src, offset=s.offset_src, partition=s.partition_src) if known else None,
        active=e.cleared_ms is None,
    )


def _weight(e: Evidence) -> tuple[bool, int, Entity, str]:
    return e.cleared_ms is not None, e.symptom.since_ms, e.symptom.entity, e.symptom.kind


def _ref(e: Entity, cluster: str) -> EntityRef:
    return EntityRef(kind=e.kind, name=e.name, cluster=e.cluster if e.cluster != cluster else None)


def _fill_or_none(template: str | None, incident: Incident, estate: Estate) -> str | None:
    return fill(template, incident, estate) if template else template


def _round(value: float | None) -> float | None:
    return round(value, 3) if value is not None and math.isfinite(value) else None


def _short(text: str) -> str:
    """A sentence for people: one line, of bounded length."""
    text = one_line(text)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
