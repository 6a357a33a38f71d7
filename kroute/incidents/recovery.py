"""What of an incident is its cause itself, and what is left when that is over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kroute.contracts.common import Entity
from kroute.diagnosis.load import Compiled
from kroute.incidents.model import Incident
from kroute.signals.model import Symptom
from kroute.signals.table import BY_KIND, IMPACT_FAMILY

Active = Mapping[tuple[Entity, str], Symptom]
"""The symptoms that are there."""
OWN = 0.5
"""A symptom that the cause shows at its root at least this often is the root's own: while it is there, so is the cause."""
LASTED_MS = 300_000
"""What defined a cause for so long was no guess."""
AFTER_MS = 1_200_000
"""For so long after that what remains is taken for its aftermath: backlogs are read, replicas follow, clients come back."""
ANEW_MS = 180_000
"""What comes back so long after it had gone, when its cause was over, has begun anew."""


def anew(inc: Incident, active: Active) -> dict[tuple[Entity, str], None]:
    """The symptoms of which what the incident had is no reason to think that they are its again (I13): those that come back
    minutes after they had gone, or elsewhere than at its root when nothing else was left of it."""
    if inc.phase != "recovering":
        return {}
    elsewhere_ms = 0 if spent(inc, active) else ANEW_MS
    return {
        s: None
        for s, e in inc.evidence.items()
        if e.cleared_ms is not None and s in active
        and active[s].since_ms > e.cleared_ms + (ANEW_MS if s[0] == inc.root else elsewhere_ms)
    }  # fmt: skip


def over_by(inc: Incident, at_ms: int) -> bool:
    """True when the incident recovered already."""
    over = inc.recovering_since_ms
    return inc.phase == "recovering" and over is not None and at_ms > over


def afterwards(inc: Incident, s: Symptom) -> bool:
    """True for what began minutes after its cause was over: it may be the incident's aftermath, but is nothing to know it by."""
    return over_by(inc, s.since_ms - ANEW_MS)


def spent(inc: Incident, active: Active) -> bool:
    """True when the incident recovers and nothing is there any more that began before its cause was over."""
    over = inc.recovering_since_ms
    if inc.phase != "recovering" or inc.released or over is None:
        return False
    return not any(
        s in active and active[s].since_ms <= over and BY_KIND[s[1]].family != IMPACT_FAMILY for s in inc.evidence
    )  # fmt: skip


def own(inc: Incident, compiled: Compiled) -> dict[tuple[Entity, str], None]:
    """The symptoms that stand for the cause: those it mostly shows at its root, else all of the root, else those that
    define it wherever they are (a rack has no symptoms of its own); never what joined while it recovered."""
    mine = [s for s in inc.evidence if s not in inc.joined]
    at_root = dict.fromkeys(s for s in mine if s[0] == inc.root)
    told = {t.kind for t in compiled.expects if not t.steps and (t.required or t.p >= OWN)}
    defining = _defining(compiled)
    return {s: None for s in at_root if s[1] in told} or at_root or {s: None for s in mine if s[1] in defining}


def ended(inc: Incident, compiled: Compiled, now_ms: int) -> int | None:
    """When what defined the cause, and was there for minutes, was last seen; None where it was not, or is, or was long ago."""
    defining = _defining(compiled)
    told = [e for (_, kind), e in inc.evidence.items() if kind in defining]
    if not told or any(e.cleared_ms is None for e in told):
        return None
    last = max(e.symptom.last_ms for e in told)
    lasted = max(e.symptom.last_ms - e.symptom.since_ms for e in told)
    return last if lasted >= LASTED_MS and now_ms - last <= AFTER_MS else None


def lasted_ms(inc: Incident, compiled: Compiled) -> int:
    """How long the cause itself lasted, of an incident that recovers: strays may have been there since long before."""
    over = inc.recovering_since_ms or inc.updated_ms
    began = [inc.evidence[s].symptom.since_ms for s in own(inc, compiled)]
    return over - min((t for t in began if t <= over), default=inc.started_ms)


def began_by(symptoms: Iterable[Symptom], compiled: Compiled, at_ms: int) -> bool:
    """True when one of these defines the cause and began by then, or may have: nobody saw."""
    defining = _defining(compiled)
    return any(s.kind in defining and int(s.detail.get("unseen_since", s.since_ms)) <= at_ms for s in symptoms)


def _defining(compiled: Compiled) -> frozenset[str]:
    """Kinds of symptoms that define a cause, wherever they are."""
    return frozenset(t.kind for t in compiled.required)
