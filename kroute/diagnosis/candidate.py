"""One cause at one root, weighed against the evidence: what it covers, and what speaks for and against it.

Rules, as numbered in the tests:
D1  an active symptom at the end of an expected path is covered with the expectation's p (the strongest of a family), but
    not where it names the topics it is about and the root is another topic
D2  an expected symptom observed healthy counts against, ln(1 − p); not observed counts neither way; what follows from one and
    the same thing (``IN_STEP``) counts against once
D3  before onset + ``within`` an expected symptom is not observed yet
D4  an expectation over many entities is one pattern: those that show it are covered so that together they make p, less
    surely where others do not show it; one that is not there counts against, down to −4 nats; one entity alone is no
    pattern, save where it tells the root from its like by itself, nor is a majority that more are well than show
D5  a contradiction that is active counts against, clamped to −4 nats; what was over elsewhere before it began does not
D6  an effect older than its supposed cause by over a poll is covered with less of its p, down to a twentieth at two and a
    half; by over five it is none
D7  a cause with required symptoms is considered only while one of them was seen; where none was observed at all it
    cannot be told, and the signals it needs are missing
D8  a declared change near the onset counts for a cause that follows such changes
D9  a cause holds only for its platforms
D17 what an incident was, of which nothing is left, stands as it was told: its cause is over, has been paid for and is not
    weighed against others again; what began later is rather the next one's
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import fsum

from kroute.contracts.common import Entity
from kroute.diagnosis.evidence import LEAK, Evidence
from kroute.diagnosis.led import LEADERS, led_part, parts_led
from kroute.diagnosis.load import CLAMP, SHARES, Compiled, Term
from kroute.diagnosis.paths import Walker
from kroute.signals.model import DEFAULT_INTERVAL_MS, Symptom

CHANGE_BEFORE_MS = 30 * 60_000
CHANGE_AFTER_MS = 2 * 60_000
OLDER_EFFECT = 0.05
OLDER_POLLS = 2.5
"""Onsets are known to a poll on either side: some rules say when it was last well, others when it was first bad."""
OLDER_MS = int(OLDER_POLLS * DEFAULT_INTERVAL_MS)
PAST_MS, LEAD_MS = 60_000, 300_000
"""What was over elsewhere for so long when it began speaks not against a cause, which may show otherwise so long before."""
CONCENTRATED = ("concentration", "majority")
"""Quantifiers that hold a share against what is found elsewhere; a majority that fewer show than do not is none."""
LATER, LATER_HALVES_MS = 0.4, DEFAULT_INTERVAL_MS // 2
"""How surely a cause that was over by then shows a symptom still, of how surely it did: less than half, so that it is another's
where one explains it, and half as surely with every half poll more; a broker's, which is busy for longer, with every two."""
COVER_QUANTIFIED = 0.995
"""A quantified term's p belongs to the pattern; no member of it is covered more surely than this."""

IN_STEP = {
    **dict.fromkeys(("replica-behind", "under-replicated", "under-min-isr", "offline-partitions"), 0),
    **dict.fromkeys(("broker-gone", "heartbeats-missed", "quorum-lagging", "leaders-moved", "controller-churn"), 1),
}
"""Kinds by what they follow from: replicas that do not follow, brokers that the controller does not hear. Where that is not so
none of them is there."""

Hits = Sequence[tuple[Entity, Symptom]]
Key = tuple[str, Entity]
"""(cause, root)."""
NONE: Hits = ()
MOST_NAMED = 32
"""A detail that names so many is cut off: it may be about others too."""


@dataclass(slots=True)
class Candidate:
    """``static``: nats that do not depend on other causes (prior, healthy, quantified, contradicting terms).

    ``cover``: number of a unit → p of showing it. ``explained``: (entity, kind), in no order and maybe twice.
    """

    compiled: Compiled
    root: Entity
    static: float = 0.0
    cover: dict[int, float] = field(default_factory=dict)
    explained: list[tuple[Entity, str]] = field(default_factory=list)
    against: list[tuple[float, tuple[object, ...]]] = field(default_factory=list)
    """(nats, parts of a sentence), for ``ruled_out``: few of the sentences are ever said."""
    invalid: str | None = None
    """Why it cannot be considered although its symptoms are there; None where it can."""
    missing: tuple[str, ...] = ()
    onset: int = 0
    """When it began (ms), by the symptoms that define it."""
    poll_ms: int = DEFAULT_INTERVAL_MS
    """Between two polls of those: the onset is known no better."""
    over: bool = False
    """True when nothing that defines it is active any more, save in the episode."""
    ended: int = 0
    """When what defines it was last seen (ms), where it is over."""
    stands: bool = False
    """D17: it is over, and what an incident was of which nothing is left."""

    @property
    def key(self) -> Key:
        return (self.compiled.cause.id, self.root)

    def most_against(self) -> float:
        """Nats of the term that speaks most against it, 0 where none does."""
        return min((nats for nats, _ in self.against), default=0.0)

    def strongest_against(self) -> str:
        """The sentence of the term that speaks most against it; empty where none does."""
        least = self.most_against()
        return min(("".join(map(str, parts)) for nats, parts in self.against if nats == least), default="")


def weigh(c: Compiled, root: Entity, evidence: Evidence, walker: Walker) -> Candidate | None:
    """Build the candidate ``c`` at ``root`` from the evidence; None where none of its required symptoms is seen (D7).

    That it exists on the platform (D9) is checked by who asks.
    """
    kinds = evidence.active_kinds
    seen = [(t, active(t, root, evidence, walker) if t.kind in kinds else NONE) for t in c.expects]
    defining = [(t, hits) for t, hits in seen if t.required and hits]
    if c.required and not any(
        len(hits) >= _pattern(t, root, walker) or _stands_out(root, hits) for t, hits in defining
    ):  # fmt: skip
        return None
    out = Candidate(c, root)
    out.over = bool(defining) and not any(evidence.board.of(e).get(t.kind) for t, hits in defining for e, _ in hits)
    if out.over:
        out.ended = max(s.last_ms for _, hits in defining for _, s in hits)
    onset = out.onset = _onset(seen, root, evidence)
    out.poll_ms = max([DEFAULT_INTERVAL_MS, *(evidence.poll_ms(e, t.kind) for t, hits in defining for e, _ in hits)])
    terms = [c.log_prior]
    if c.changes:
        terms.extend(_changes(out, evidence, walker, onset))
        if out.invalid is not None:  # whoever asks needs to know only that it would have covered something
            for term, hits in seen:
                if hits:
                    _cover(out, term, hits, term.p, evidence)
            return out
    healthy: dict[tuple[Entity, str], tuple[float, Term]] = {}
    absent: list[tuple[float, str]] = []
    """Nats and kind of what is not there."""
    for term, hits in seen:
        if term.quantify is None:
            if hits:
                _cover(out, term, hits, term.p, evidence)
            if evidence.now_ms >= onset + term.within_ms:
                for e in walker.walk(root, term.steps, term.on) if term.steps else (root,):
                    if evidence.healthy(e, term.kind):
                        key = (e, term.family)
                        old = healthy.get(key)
                        if old is None or term.well < old[0]:
                            healthy[key] = (term.well, term)
        else:
            nats, each = _quantified(out, term, hits, evidence, walker, onset)
            _cover(out, term, hits, each, evidence)
            if hits:
                terms.append(nats)
            else:
                absent.append((nats, term.kind))
    for (e, family), (nats, term) in healthy.items():
        shown = evidence.shown.get(e)
        if shown is None or shown.units.get(family, -1) not in out.cover:
            absent.append((nats, term.kind))
            out.against.append((nats, (term.kind, " on ", e, " observed healthy")))
    terms.extend(_contradicted(out, term, evidence, walker) for term in evidence.contradicting(c))
    out.stands = out.over and out.key in evidence.known
    if out.stands:
        _leave_later(out, evidence)
    else:
        out.static = fsum([*terms, *_once(absent)])
    return out


def _once(absent: Iterable[tuple[float, str]]) -> Iterable[float]:
    """D2: the nats of what is not there, of what follows from one thing the strongest alone."""
    least: dict[int, float] = {}
    for nats, kind in absent:
        step = IN_STEP.get(kind)
        if step is None:
            yield nats
        else:
            least[step] = min(nats, least.get(step, 0.0))
    yield from least.values()


def _leave_later(out: Candidate, evidence: Evidence) -> None:
    """D17: what began after it was over is the next one's, where there is one that explains it."""
    for u in out.cover:
        out.cover[u] *= still(out, evidence.units[u].entity, evidence.units[u].kinds, evidence)


def still(c: Candidate, e: Entity, kinds: Iterable[str], evidence: Evidence) -> float:
    """D17: how surely (of 1) a cause that stands as told shows these kinds still: the less, the later after it they began."""
    if not c.stands:
        return 1.0
    there = {**evidence.shown[e].symptoms, **evidence.board.of(e)}  # what comes back has begun anew
    after = min(there[k].since_ms for k in kinds) - c.ended
    halves = LATER_HALVES_MS * (4 if e.kind == "broker" else 1)  # it copies what it missed, and serves who reads a backlog
    return 1.0 if after <= 0 else LATER * 0.5 ** max(0.0, (after - DEFAULT_INTERVAL_MS) / halves)


def _pattern(term: Term, root: Entity, walker: Walker) -> int:
    """How many must show a required symptom: where a cause is defined by a pattern over several, one is none (D4)."""
    if term.quantify is None or term.quantify == "any":
        return 1
    return 2 if term.quantify in CONCENTRATED else min(2, len(walker.walk(root, term.steps, term.on)))


def _stands_out(root: Entity, hits: Hits) -> bool:
    """True where a reader has stopped at a topic and reads its others on: the topic stands out by itself (D4)."""
    return root.kind == "topic" and any(s.detail.get("scope") == "topics" for _, s in hits)


def active(term: Term, root: Entity, evidence: Evidence, walker: Walker) -> Hits:
    """Active symptoms at the end of the term's path, in the order of their entities."""
    kind = term.kind
    if kind not in evidence.active_kinds:
        return NONE
    shown = evidence.shown
    found: list[tuple[Entity, Symptom]] = []
    for e in walker.walk(root, term.steps, term.on) if term.steps else (root,):
        there = shown.get(e)
        if there is not None:
            s = there.symptoms.get(kind)
            if s is not None and term.matches(s) and _about(root, s) and led_part(s, root, term.steps):
                found.append((e, s))
    return found


def _about(root: Entity, s: Symptom) -> bool:
    """False where a symptom names what it is about, and the root is another one (D1): a group's topics, a quorum's voters, the
    workers of slow or failed tasks."""
    if root.kind == "connect-worker" and s.entity.kind == "connector":
        return root.name in s.detail.get("workers", (root.name,))
    if root.kind == "broker" and s.entity.kind == "cluster":
        return root.name in map(str, s.detail.get("voters", (root.name,)))
    if root.kind != "topic" or s.entity.kind != "group":
        return True
    topics = s.detail.get("topics") or [str(p).rpartition("/")[0] for p in s.detail.get("partitions", ())]
    return not topics or len(topics) >= MOST_NAMED or root.name in topics


def _onset(seen: list[tuple[Term, Hits]], root: Entity, evidence: Evidence) -> int:
    """Earliest symptom that defines the cause, else at its root, else of those it would explain, else now. What was not
    observed for a while before may have begun as long ago. Several that show what defines it, and are not the root, may
    have shown something else of it first: sinks wait for a system that is down before they fail."""
    defining: list[int] = []
    telling: dict[Entity, int] = {}
    at_root: list[int] = []
    elsewhere: list[int] = []
    for term, hits in seen:
        if hits:
            for e, s in hits:
                began = int(s.detail.get("unseen_since", s.since_ms))
                (defining if term.required else at_root if e == root else elsewhere).append(began)
                if term.required and e != root:
                    telling[e] = min(began, telling.get(e, began))
    if len(telling) > 1:
        led = [
            (e, s.since_ms) for _, hits in seen for e, s in hits if telling.get(e, 0) - LEAD_MS <= s.since_ms < telling.get(e, 0)
        ]
        if len(dict.fromkeys(e for e, _ in led)) > 1:
            defining += [since for _, since in led]
    return min(defining or at_root or elsewhere or [evidence.now_ms])


def _cover(out: Candidate, term: Term, hits: Hits, p: float, evidence: Evidence) -> None:
    cover, family, kind = out.cover, term.family, term.kind
    for e, s in hits:
        mine = p * timely(s, e, out) * led_part(s, out.root, term.steps)
        if not mine:
            continue
        u = evidence.shown[e].units[family]
        if mine > cover.get(u, 0.0):
            cover[u] = mine
        out.explained.append((e, kind))


def timely(s: Symptom, e: Entity, c: Candidate) -> float:
    """D6: what the order of onsets leaves of a symptom as an effect (0–1); the root's own may have begun before."""
    polls = (c.onset - s.since_ms) / c.poll_ms
    if polls <= 1.0 or e == c.root:
        return 1.0
    if polls <= OLDER_POLLS:
        return 1.0 - (1.0 - OLDER_EFFECT) * (polls - 1.0) / (OLDER_POLLS - 1.0)
    return OLDER_EFFECT if polls <= 2 * OLDER_POLLS else 0.0


def _quantified(
    out: Candidate, term: Term, hits: Hits, evidence: Evidence, walker: Walker, onset: int
) -> tuple[float, float]:  # fmt: skip
    """Nats of a pattern that is not there, and how far each of those that show it is covered (0–1).

    A pattern is one thing that happens with probability p, however many show it: what they are covered by makes p together,
    so that it is paid for once, and by nobody where another cause explains them too.
    """
    well = 0
    if term.quantify == "majority" or evidence.now_ms >= onset + term.within_ms:
        well = sum(1 for e in walker.walk(out.root, term.steps, term.on) if evidence.healthy(e, term.kind))
    if not hits and not well:
        return 0.0, 0.0
    each = COVER_QUANTIFIED * term.p ** (1 / len(hits)) if hits else 0.0
    if term.quantify == "any":
        nats = 0.0 if hits else math.log(1 - term.p)
    else:
        inside = min(max(term.share, 1e-6), 0.99)
        chance = LEAK[term.kind]
        if term.quantify in CONCENTRATED:
            entities = walker.walk(out.root, term.steps, term.on)
            chance = max(chance, _share_outside(term, entities, len(hits), well, evidence))
        chance = min(chance, 0.95)
        # ln of the pattern's likelihood with this share inside against the share found elsewhere. The first one seen is
        # what raised the suspicion: one alone is no pattern.
        ratio = max(0, len(hits) - 1) * math.log(inside / chance) + well * math.log((1 - inside) / (1 - chance))
        # With the cause the pattern shows with probability p, else it is as by chance.
        shown = term.p * math.exp(min(ratio, 50.0))
        nats = math.log(shown + 1 - term.p)
        each *= math.exp(min(ratio, 0.0))  # who does not show it speaks against the pattern
        if term.quantify == "majority" and len(hits) < well:
            nats, each = math.log(1 - term.p), 0.0
    # A pattern that is there is paid for by the members it covers; counted again here it could buy a cause for what
    # others explain already.
    nats = max(-CLAMP, min(0.0, nats))
    if nats < 0:
        out.against.append((nats, (term.kind, " on ", len(hits), " of ", len(hits) + well, " at ", "/".join(term.steps))))
    return nats, each


def _share_outside(term: Term, inside: list[Entity], active: int, well: int, evidence: Evidence) -> float:
    """Share of entities of the same kind outside the path that show the symptom."""
    if not inside:
        return 0.0
    all_active, all_well = evidence.census(inside[0].kind, inside[0].cluster, term.kind)
    bad, good = max(0, all_active - active), max(0, all_well - well)
    return bad / (bad + good) if bad else 0.0


def _contradicted(out: Candidate, term: Term, evidence: Evidence, walker: Walker) -> float:
    first: tuple[Entity, Symptom] | None = None
    count = 0
    root = out.root
    # Many roots look at the same neighbours: they are counted once for all, and the root itself taken out.
    middles: Sequence[Entity] = (root,) if len(term.steps) == 1 else walker.walk(root, term.steps[:-1]) if term.steps else ()
    if not term.steps:
        s = evidence.symptom(root, term.kind)
        if s is not None and term.matches(s):
            first, count = (root, s), 1
    shows = [showing for middle in middles if (showing := evidence.showing(middle, term, walker))]
    led = parts_led(root, evidence) if shows and term.steps == LEADERS and root.kind == "group" else None
    for showing in shows:
        there = showing if led is None else {e: s for e, s in showing.items() if led.get(e.name)}
        there = {e: s for e, s in there.items() if s.last_ms >= out.onset - PAST_MS} if evidence.past else there
        if there:
            count += len(there) - (root in there)
            mine = next(((e, s) for e, s in there.items() if e != root), None)
            if mine is not None and (first is None or mine[0] < first[0]):
                first = mine
    if first is None:
        return 0.0
    wells = [evidence.well(middle, term, walker) for middle in middles]
    share = count / (count + sum(len(well) - (root in well) for well in wells))
    if term.quantify in ("most", *CONCENTRATED) and share < 0.5:
        return 0.0
    if term.share and term.quantify not in SHARES and share < term.share:
        return 0.0
    nats = max(-CLAMP, math.log(term.p / 0.5))
    if led is not None:
        nats *= max(part for name, part in led.items() if evidence.symptom(Entity("broker", root.cluster, name), term.kind))
    e, s = first
    said = (term.because,) if term.because else (s.kind, " on ", e, " and others: " if count > 1 else ": ", s.why)
    out.against.append((nats, said))
    return nats


def undeclared(c: Compiled, root: Entity, evidence: Evidence, walker: Walker) -> bool:
    """True where no change that the cause requires was ever declared: it cannot be considered, whatever is seen."""
    return any(
        change.required
        and not (
            evidence.any_declared(change.kinds)
            and any(evidence.declared(e, change.kinds) for path in change.paths for e in walker.walk(root, path))
        )
        for change in c.changes
    )


def _changes(out: Candidate, evidence: Evidence, walker: Walker, onset: int) -> list[float]:
    terms = []
    for change in out.compiled.changes:
        near = evidence.any_declared(change.kinds) and any(
            evidence.declared(e, change.kinds, onset - CHANGE_BEFORE_MS, onset + CHANGE_AFTER_MS)
            for path in change.paths
            for e in walker.walk(out.root, path)
        )
        if near:
            terms.append(change.there)
        else:
            terms.append(change.absent)
            because = f"no {' or '.join(change.kinds)} declared near its onset"
            out.against.append((change.absent, (because,)))
            if change.required:
                out.invalid = out.invalid or because
    return terms
