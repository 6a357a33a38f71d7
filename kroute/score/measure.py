"""One recording's alerts against its truth.

A fault's *first* answer is the earliest record with a receiver, of any incident that belongs to it; its first *page* the
earliest that pages; its *settled* answer the last of its main incident (open for longest during the fault) while the
fault lasted and before recovery, else the last open one. A fault without an incident is wrong in everything. A role is
right when the team is among those told in that role (impact: exactly the teams of the truth); ``named`` says how many
were told, so that naming everybody shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from msgspec import Struct

from kroute.score.assign import Scope, canonical, fault_of_incident, fault_of_symptom, scope
from kroute.score.grouping import Grouping, of_recording
from kroute.score.told import Incident, Revision
from kroute.score.truth import Fault, Truth


class Answer(Struct, frozen=True, kw_only=True):
    """What one record said of a fault, and whether it was right. A role that the truth does not name is None."""

    ts_ms: int
    cause: str
    root: str
    confidence: float
    cause_right: bool
    cause_in_3: bool
    root_right: bool
    impact: bool | None
    diagnosis: bool | None
    action: bool | None
    named: dict[str, tuple[str, ...]]

    @property
    def right(self) -> bool:
        """Cause and root: what the confidence speaks of."""
        return self.cause_right and self.root_right


class FaultScore(Struct, frozen=True, kw_only=True):
    """One fault and all that was said of it. Times are ms from the onset; None: never."""

    recording: str
    platform: str
    missing: float
    cause: str
    root: str
    owners: dict[str, tuple[str, ...]]
    incidents: int
    standing: int
    """Incidents that were not merged into another."""
    swallowed: bool
    """No incident of its own, while one of another fault names its symptoms: two faults were made one."""
    first: Answer | None
    page: Answer | None
    settled: Answer | None
    pages: int
    pages_to_action: int
    first_page_to_action: bool
    first_symptom_ms: int | None
    right_route_ms: int | None
    """To the first record that tells the action owner in the action role."""


class FalseIncident(Struct, frozen=True, kw_only=True):
    """An incident where the truth has no fault. ``during``: harmless things going on at its opening."""

    incident: str
    opened_ms: int
    cause: str
    root: str
    confidence: float
    pages: int
    teams: tuple[str, ...]
    during: tuple[str, ...]


class Pair(Struct, frozen=True, kw_only=True):
    """Two faults at the same time. ``apart``: each has a main incident of its own; ``found``: and its right cause."""

    a: str
    b: str
    apart: bool
    found: bool


class Measured(Struct, kw_only=True):
    """All measures of one recording. ``answers``: (confidence, right) of every incident, first and settled.

    ``early_pages``: pages of an incident before the fault it belongs to began; they count as false ones too. What was declared,
    and told as that or to nobody, is neither false nor an answer.
    """

    faults: tuple[FaultScore, ...]
    false: tuple[FalseIncident, ...]
    pairs: tuple[Pair, ...]
    grouping: Grouping
    incidents: int
    early_pages: int
    first_answers: tuple[tuple[float, bool], ...]
    settled_answers: tuple[tuple[float, bool], ...]


def measure(recording: str, incidents: Sequence[Incident], truth: Truth, missing: Sequence[float]) -> Measured:
    """Measure one recording; ``missing``: share (0–1) of the signals that each fault's cause needs and that are not there."""
    scopes = [scope(f) for f in truth.faults]
    owner = {i.id: fault_of_incident(i, scopes, truth.ends_ms) for i in incidents}
    mine = [[i for i in incidents if owner[i.id] == n] for n in range(len(scopes))]
    main = [_main(m, f, truth.ends_ms) for m, f in zip(mine, truth.faults, strict=True)]
    faults = tuple(
        _fault(recording, truth.platform, f, missing[n], mine[n], main[n], _swallowed(n, mine[n], incidents, scopes))
        for n, f in enumerate(truth.faults)
    )
    first, settled = [], []
    early = 0
    for i in incidents:
        n = owner[i.id]
        fault = truth.faults[n] if n is not None else None
        if fault is None and i.declared:
            continue
        if fault is not None:
            early += len(_pages([r for r in i.revisions if r.ts_ms < fault.from_ms]))
        began, ended = _first(i.revisions), _settled(i, fault)
        first.append((began.candidates[0].confidence, fault is not None and _answer(began, fault).right))
        if i.superseded_by is None:
            settled.append((ended.candidates[0].confidence, fault is not None and _answer(ended, fault).right))
    return Measured(
        faults=faults,
        false=tuple(_false(i, truth) for i in incidents if owner[i.id] is None and not i.declared),
        pairs=tuple(_both(truth.faults, faults, main)),
        grouping=of_recording(incidents, scopes),
        incidents=len(incidents),
        early_pages=early,
        first_answers=tuple(first),
        settled_answers=tuple(settled),
    )


def _main(mine: list[Incident], fault: Fault, end_ms: int) -> Incident | None:
    """The incident that was open for longest during the fault; as long: the older."""

    def length(i: Incident) -> int:
        return sum(max(0, min(b, fault.to_ms) - max(a, fault.from_ms)) for a, b in i.firing_ms(end_ms))

    return max(mine, key=lambda i: (length(i), -i.opened_ms), default=None)


def _fault(
    recording: str, platform: str, fault: Fault, missing: float, mine: list[Incident], main: Incident | None, swallowed: bool
) -> FaultScore:  # fmt: skip
    said = sorted(
        (r for i in mine for r in i.revisions if r.firing and r.ts_ms >= fault.from_ms),
        key=lambda r: r.ts_ms,  # stable: at the same time, the older incident first
    )
    told = [r for r in said if any(r.teams.values())]
    first = next(iter(told or said), None)
    page = next((r for r in told if r.paging), None)
    pages = [t for i in mine for t in _pages([r for r in i.revisions if r.ts_ms >= fault.from_ms]).values()]
    right = next((r for r in told if fault.owners.action in r.teams["action"]), None)
    since = [s.since_ms for i in mine for s in i.symptoms() if s.since_ms >= fault.from_ms]
    return FaultScore(
        recording=recording,
        platform=platform,
        missing=missing,
        cause=fault.cause,
        root=str(fault.entity()),
        owners={
            "impact": fault.owners.impact,
            "diagnosis": (fault.owners.diagnosis,) if fault.owners.diagnosis else (),
            "action": (fault.owners.action,) if fault.owners.action else (),
        },
        incidents=len(mine),
        standing=sum(i.superseded_by is None for i in mine),
        swallowed=swallowed,
        first=_answer(first, fault) if first is not None else None,
        page=_answer(page, fault) if page is not None else None,
        settled=_answer(_settled(main, fault), fault) if main is not None else None,
        pages=len(pages),
        pages_to_action=sum(t == fault.owners.action for t in pages),
        first_page_to_action=page is not None and fault.owners.action in page.paging.values(),
        first_symptom_ms=min(since) - fault.from_ms if since else None,
        right_route_ms=right.ts_ms - fault.from_ms if right is not None else None,
    )


def _first(revisions: Sequence[Revision]) -> Revision:
    return next((r for r in revisions if r.firing and any(r.teams.values())), revisions[0])


def _settled(incident: Incident, fault: Fault | None) -> Revision:
    open_ = [r for r in incident.revisions if r.firing] or [incident.revisions[0]]
    if fault is not None:
        during = [r for r in open_ if fault.from_ms <= r.ts_ms <= fault.to_ms and not r.recovering]
        return during[-1] if during else open_[-1]
    return open_[-1]


def _answer(r: Revision, fault: Fault) -> Answer:
    named = r.candidates[0]
    o = fault.owners
    return Answer(
        ts_ms=r.ts_ms,
        cause=named.cause,
        root=str(named.root),
        confidence=named.confidence,
        cause_right=named.cause == fault.cause,
        cause_in_3=fault.cause in [c.cause for c in r.candidates[:3]],
        root_right=canonical(named.root) == canonical(fault.entity()),
        impact=set(r.teams["impact"]) == set(o.impact) if o.impact else None,
        diagnosis=o.diagnosis in r.teams["diagnosis"] if o.diagnosis else None,
        action=o.action in r.teams["action"] if o.action else None,
        named=r.teams,
    )


def _pages(revisions: Sequence[Revision]) -> dict[str, str]:
    """Destinations that were paged: delivery → team."""
    return {d: t for r in revisions if r.firing for d, t in r.paging.items()}


def _swallowed(n: int, mine: list[Incident], incidents: Sequence[Incident], scopes: list[Scope]) -> bool:
    return not mine and any(fault_of_symptom(s, scopes) == n for i in incidents for s in i.symptoms())


def _false(i: Incident, truth: Truth) -> FalseIncident:
    last = _settled(i, None)
    c = last.candidates[0]
    pages = _pages(i.revisions)
    return FalseIncident(
        incident=i.id,
        opened_ms=i.opened_ms,
        cause=c.cause,
        root=str(c.root),
        confidence=c.confidence,
        pages=len(pages),
        teams=tuple(sorted(dict.fromkeys(pages.values()))),
        during=tuple(sorted({b.what for b in truth.benign if b.from_ms <= i.opened_ms <= b.to_ms})),
    )


def _both(faults: Sequence[Fault], scores: Sequence[FaultScore], main: Sequence[Incident | None]) -> list[Pair]:
    out: list[Pair] = []
    for a, b in combinations(range(len(faults)), 2):
        if faults[a].from_ms > faults[b].to_ms or faults[b].from_ms > faults[a].to_ms:
            continue
        apart = main[a] is not None and main[b] is not None
        settled = (scores[a].settled, scores[b].settled)
        found = apart and all(s is not None and s.cause_right for s in settled)
        out.append(Pair(a=scores[a].cause, b=scores[b].cause, apart=apart, found=found))
    return out
