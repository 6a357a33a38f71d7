"""One cause at one root, weighed against the evidence: what it covers, and what speaks for and against it.

Rules, as numbered in the tests:
D1  an active symptom at the end of an expected path is covered with the expectation's p (the strongest of a family)
D2  an expected symptom observed healthy counts against, ln(1 − p); not observed counts neither way
D3  before onset + ``within`` an expected symptom is not observed yet
D4  an expectation over many entities is one term, clamped to ±4 nats
D5  a contradiction that is active counts against, clamped to −4 nats
D6  an effect older than its supposed cause by over a poll is covered with a fifth of its p
D7  a cause with required symptoms is considered only while one of them was seen; where none was observed at all it
    cannot be told, and the signals it needs are missing
D8  a declared change near the onset counts for a cause that follows such changes
D9  a cause holds only for its platforms
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from math import fsum

from kroute.contracts.common import Entity
from kroute.diagnosis.evidence import Evidence, UnitKey
from kroute.diagnosis.load import Compiled, Term
from kroute.diagnosis.paths import Walker
from kroute.signals.model import DEFAULT_INTERVAL_MS, Status, Symptom
from kroute.signals.table import BY_KIND

CLAMP = 4.0
CHANGE_BEFORE_MS = 30 * 60_000
CHANGE_AFTER_MS = 2 * 60_000
OLDER_EFFECT = 0.2
COVER_QUANTIFIED = 0.995
"""A quantified term's p belongs to the pattern; its members are covered almost surely, else a second global cause
would earn its keep on what the first left of each of them."""


@dataclass
class Candidate:
    """``static``: nats that do not depend on other causes (prior, healthy, quantified, contradicting terms)."""

    compiled: Compiled
    root: Entity
    static: float = 0.0
    cover: dict[UnitKey, float] = field(default_factory=dict)
    explained: dict[tuple[Entity, str], None] = field(default_factory=dict)
    against: list[tuple[float, str]] = field(default_factory=list)
    """(nats, sentence), for ``ruled_out``."""
    invalid: str | None = None
    """Why it cannot be considered; None where it can."""
    missing: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, Entity]:
        return (self.compiled.cause.id, self.root)


def weigh(c: Compiled, root: Entity, evidence: Evidence, walker: Walker, platform: str) -> Candidate:
    """Build the candidate ``c`` at ``root`` from the evidence."""
    out = Candidate(c, root)
    if platform not in c.cause.platforms:
        out.invalid = f"does not exist on {platform}"  # D9
        return out
    ends = [(t, walker.walk(root, t.steps)) for t in c.expects]
    onset = _onset(ends, root, evidence)
    _required(out, ends, evidence)
    terms = [c.log_prior]
    healthy: dict[UnitKey, tuple[float, str]] = {}
    for term, entities in ends:
        if term.quantify is None:
            for e in entities:
                _single(out, term, e, evidence, onset, healthy)
        else:
            terms.append(_quantified(out, term, entities, evidence, onset))
    for key, (nats, sentence) in sorted(healthy.items()):
        if key not in out.cover:
            terms.append(nats)
            out.against.append((nats, sentence))
    terms.extend(_contradicted(out, term, walker.walk(root, term.steps), evidence) for term in c.contradicts)
    terms.extend(_changes(out, evidence, walker, onset))
    out.static = fsum(terms)
    return out


def _onset(ends: list[tuple[Term, list[Entity]]], root: Entity, evidence: Evidence) -> int:
    """Earliest symptom at the root, else the earliest that the cause would explain, else now."""
    at_root: list[int] = []
    elsewhere: list[int] = []
    for term, entities in ends:
        for e in entities:
            s = evidence.symptom(e, term.kind)
            if s is not None and _matches(term, s):
                (at_root if e == root else elsewhere).append(s.since_ms)
    return min(at_root or elsewhere or [evidence.now_ms])


def _required(out: Candidate, ends: list[tuple[Term, list[Entity]]], evidence: Evidence) -> None:
    seen_healthy: list[str] = []
    wanted = False
    for term, entities in ends:
        if not term.required:
            continue
        wanted = True
        for e in entities:
            s = evidence.symptom(e, term.kind)
            if s is not None and _matches(term, s):
                return
            if s is not None or evidence.status(e, term.kind) is Status.HEALTHY:
                seen_healthy.append(
                    f"{term.kind} on {e} observed healthy" if s is None else f"{s.kind} on {e} is of another sort"
                )
    if not wanted:
        return
    if seen_healthy:
        out.invalid = "; ".join(seen_healthy[:3])
    else:
        out.missing = tuple(
            sorted({n for t, _ in ends if t.required for n in BY_KIND[t.kind].needs} | set(out.compiled.cause.needs))
        )
        out.invalid = f"not observed: {', '.join(out.missing)}"


def _single(
    out: Candidate, term: Term, e: Entity, evidence: Evidence, onset: int, healthy: dict[UnitKey, tuple[float, str]]
) -> None:
    key = (e, term.family)
    s = evidence.symptom(e, term.kind)
    if s is not None and _matches(term, s):
        p = term.p
        if e != out.root and s.since_ms < onset - DEFAULT_INTERVAL_MS:
            p *= OLDER_EFFECT
        out.cover[key] = max(out.cover.get(key, 0.0), p)
        out.explained[(e, term.kind)] = None
    elif s is None and evidence.now_ms >= onset + term.within_ms and evidence.status(e, term.kind) is Status.HEALTHY:
        nats = max(-CLAMP, math.log(1 - term.p))
        old = healthy.get(key)
        if old is None or nats < old[0]:
            healthy[key] = (nats, f"{term.kind} on {e} observed healthy")


def _quantified(out: Candidate, term: Term, entities: list[Entity], evidence: Evidence, onset: int) -> float:
    active: list[tuple[Entity, Symptom]] = []
    well = 0
    due = evidence.now_ms >= onset + term.within_ms
    for e in entities:
        s = evidence.symptom(e, term.kind)
        if s is not None and _matches(term, s):
            active.append((e, s))
        elif s is None and due and evidence.status(e, term.kind) is Status.HEALTHY:
            well += 1
    for e, s in active:
        key = (e, term.family)
        p = COVER_QUANTIFIED
        if e != out.root and s.since_ms < onset - DEFAULT_INTERVAL_MS:
            p *= OLDER_EFFECT
        out.cover[key] = max(out.cover.get(key, 0.0), p)
        out.explained[(e, term.kind)] = None
    if not active and not well:
        return 0.0
    leak = BY_KIND[term.kind].leak
    if term.quantify == "any":
        nats = math.log(term.p) if active else math.log(1 - term.p)
    else:
        inside = min(max(term.share, 1e-6), 0.99)
        chance = leak
        if term.quantify == "concentration":
            chance = max(leak, _share_outside(term, entities, len(active), well, evidence))
        chance = min(chance, 0.95)
        # ln of the pattern's likelihood with this share inside against the share found elsewhere.
        ratio = len(active) * math.log(inside / chance) + well * math.log((1 - inside) / (1 - chance))
        # With the cause the pattern shows with probability p, else it is as by chance.
        nats = math.log(term.p * math.exp(min(ratio, 50.0)) + 1 - term.p)
    nats = max(-CLAMP, min(CLAMP, nats))
    if nats < 0:
        out.against.append((nats, f"{term.kind} on {len(active)} of {len(active) + well} at {'/'.join(term.steps)}"))
    return nats


def _share_outside(term: Term, inside: list[Entity], active: int, well: int, evidence: Evidence) -> float:
    """Share of entities of the same kind outside the path that show the symptom."""
    if not inside:
        return 0.0
    all_active, all_well = evidence.census(inside[0].kind, inside[0].cluster, term.kind)
    bad, good = max(0, all_active - active), max(0, all_well - well)
    return bad / (bad + good) if bad else 0.0


def _contradicted(out: Candidate, term: Term, entities: list[Entity], evidence: Evidence) -> float:
    hits = []
    well = 0
    for e in entities:
        s = evidence.symptom(e, term.kind)
        if s is not None and _matches(term, s):
            hits.append((e, s))
        elif evidence.status(e, term.kind) is Status.HEALTHY:
            well += 1
    if not hits:
        return 0.0
    share = len(hits) / (len(hits) + well)
    if term.quantify in ("most", "concentration") and share < 0.5:
        return 0.0
    if term.share and term.quantify not in ("most", "concentration", "any") and share < term.share:
        return 0.0
    nats = max(-CLAMP, math.log(term.p / 0.5))
    e, s = hits[0]
    out.against.append((nats, term.because or f"{s.kind} on {e}{' and others' if len(hits) > 1 else ''}: {s.why}"))
    return nats


def _changes(out: Candidate, evidence: Evidence, walker: Walker, onset: int) -> list[float]:
    terms = []
    for declared in out.compiled.cause.changes:
        entities = walker.walk(out.root, tuple(declared.at.split("/")[1:]))
        near = any(
            evidence.changes.touching(e, declared.kinds, onset - CHANGE_BEFORE_MS, onset + CHANGE_AFTER_MS) for e in entities
        )
        if near:
            terms.append(min(CLAMP, math.log(declared.p / declared.leak)))
        else:
            nats = max(-CLAMP, math.log((1 - declared.p) / (1 - declared.leak)))
            terms.append(nats)
            what = " or ".join(declared.kinds)
            out.against.append((nats, f"no {what} declared near its onset"))
            if declared.required:
                out.invalid = out.invalid or f"no {what} declared near its onset"
    return terms


def _matches(term: Term, s: Symptom) -> bool:
    return all(pattern.search(str(s.detail.get(name, ""))) for name, pattern in term.detail)
