"""What became of a remedy: its success and failure signals, watched from an ``action`` report on.

kroute performs nothing. Somebody (an executor, or a person) reports on ``kroute.controls`` that a remedy was started;
from there on the incident says whether it worked. Rules, as numbered in the tests:

R1  a report starts a run; a later ``started`` after the end of a run starts another
R2  the failure signal counts when it appears after the start; it stays the outcome until the remedy is rolled back
R3  it worked when every entity that showed the success signal's symptom is observed without it, after the start
R4  silence of a signal is no success: what was not seen to clear in time did not work, or is not known
R5  a run belongs to the cause and root that it was meant for, also when the incident moves on
R6  what the reporter says of itself is recorded beside what the signals say, and never instead of it
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

import msgspec

from kroute.contracts.alerts import RemedyRun
from kroute.contracts.common import Entity
from kroute.diagnosis.durations import seconds
from kroute.diagnosis.model import Cause, Remedy, Signal
from kroute.diagnosis.paths import Walker, parse
from kroute.incidents.model import Incident
from kroute.routing.compose import fill
from kroute.routing.controls import Stamped
from kroute.routing.owners import Finder, Found
from kroute.routing.runs import MADE_WORSE, MAX_HEARD, MAX_RUNS, MAX_TEXT, OVER, ROLL_BACK, USELESS, Run
from kroute.routing.times import rfc3339
from kroute.signals.board import Board
from kroute.signals.estate import Estate

WITHIN_MS = 600_000
"""How long a success signal is waited for where the catalogue says nothing."""


class Watch(NamedTuple):
    """What a run is judged by."""

    incident: Incident
    catalogue: Mapping[str, Cause]
    board: Board
    walker: Walker
    now_ms: int


def watch(w: Watch, before: Mapping[str, Run], reports: list[Stamped]) -> dict[str, Run]:
    """Runs of all remedies reported on the incident, by remedy; ``reports`` oldest first, ``before`` as told last."""
    by_remedy: dict[str, list[Stamped]] = {}
    for s in reports:
        name = s.control.remedy
        if name and len(name) <= MAX_TEXT and s.control.state in ("started", *OVER):
            by_remedy.setdefault(name, []).append(s)
    runs = dict(before)
    cause = w.catalogue.get(w.incident.cause)
    own = {r.id: None for r in cause.remedies} if cause is not None else {}
    for remedy in sorted(by_remedy, key=lambda r: (r not in own, r)):  # strange names must not crowd out known ones
        run = runs.get(remedy)
        for s in by_remedy[remedy]:
            run = _told(w, run, remedy, s)
        if run is not None and (remedy in runs or len(runs) < MAX_RUNS):
            runs[remedy] = run
    return {k: _judge(w, runs[k]) for k in sorted(runs)}


def _told(w: Watch, run: Run | None, remedy: str, s: Stamped) -> Run:
    """R1, R6: what one report makes of the run; each is heard once."""
    c = s.control
    key = sha256(f"{s.realm}/{s.id}/{c.at_ms}/{c.state}".encode()).hexdigest()[:16]
    if run is not None and key in run.heard:
        return run
    state, at_ms, by = c.state or "started", min(c.at_ms, w.now_ms), c.by[:MAX_TEXT]  # a clock that is ahead starts nothing later
    heard = (*(run.heard if run is not None else ()), key)[-MAX_HEARD:]
    if run is None or (state == "started" and run.reported in OVER and at_ms > run.reported_ms):
        return Run(
            remedy=remedy, cause=w.incident.cause, root=w.incident.root, started_ms=at_ms, by=by, reported=state,
            reported_ms=at_ms, since_ms=at_ms, heard=heard,
        )  # fmt: skip
    if at_ms < run.reported_ms or (state == "started" and run.reported != "started"):
        return msgspec.structs.replace(run, heard=heard)
    return msgspec.structs.replace(run, reported=state, reported_ms=at_ms, by=by, heard=heard)


def _judge(w: Watch, run: Run) -> Run:
    if run.reported == "rolled-back":
        if run.outcome == "rolled-back":
            return run
        was = f" (it had made things worse: {run.why})" if run.outcome == MADE_WORSE else ""
        return _is(run, "rolled-back", run.reported_ms, f"{run.by} undid it{was}")
    if run.outcome == MADE_WORSE:
        return run
    remedy = remedy_of(w.catalogue, run)
    if remedy is None:
        return _is(run, "unknown", run.started_ms, f"{run.cause} has no remedy {run.remedy} in the catalogue")
    worse = _appeared(w, run, remedy.failure)
    if worse is not None:
        return _is(run, MADE_WORSE, w.now_ms, worse)  # R2
    if run.outcome != "watching":
        return run
    if run.reported == "failed":
        return _is(run, "not-done", run.reported_ms, f"{run.by} says that it could not be done")
    if remedy.success is None:
        return _is(run, "unknown", run.started_ms, f"{run.remedy} has no success signal")
    return _success(w, run, remedy.success)


def _success(w: Watch, run: Run, signal: Signal) -> Run:
    """R3, R4."""
    ends = w.walker.walk(run.root, parse(signal.at))
    shown = [e for e in ends if (e, signal.symptom) in w.incident.evidence or (e, signal.symptom) in w.board.active]
    still = [e for e in shown if (e, signal.symptom) in w.board.active]
    cleared = [w.incident.evidence[(e, signal.symptom)].cleared_ms or 0 for e in shown if e not in still]
    if shown and not still and max(cleared) >= run.started_ms:
        return _is(run, "worked", max(cleared), f"{signal.symptom} at {_few(shown)} cleared")
    within = int(seconds(signal.cleared_within) * 1000) if signal.cleared_within else WITHIN_MS
    if w.now_ms - run.started_ms < within:
        return run
    span = signal.cleared_within or f"{WITHIN_MS // 60_000}m"
    if still:
        return _is(run, "no-effect", w.now_ms, f"{signal.symptom} at {_few(still)} is still there after {span}")
    why = f"{signal.symptom} had cleared before it ran" if shown else f"{signal.symptom} was not seen at its place"
    return _is(run, "unknown", w.now_ms, why)


def _appeared(w: Watch, run: Run, signal: Signal | None) -> str | None:
    """R2: where the failure signal has appeared since the start."""
    if signal is None:
        return None
    for e in w.walker.walk(run.root, parse(signal.at)):
        s = w.board.active.get((e, signal.symptom))
        if s is not None and s.since_ms >= run.started_ms:
            return f"{signal.symptom} appeared at {e}" + (f": {s.why}" if s.why else "")
    return None


def remedy_of(catalogue: Mapping[str, Cause], run: Run) -> Remedy | None:
    """The remedy that a run is of, by the cause it was meant for (R5)."""
    cause = catalogue.get(run.cause)
    return next((r for r in cause.remedies if r.id == run.remedy), None) if cause is not None else None


def _row(run: Run, rollback: str | None, undoer: str) -> RemedyRun:
    """A run as it stands in the record."""
    return RemedyRun(
        remedy=run.remedy, reported=run.reported, by=run.by, started_at=rfc3339(run.started_ms), outcome=run.outcome,
        since=rfc3339(run.since_ms), why=run.why, roll_back=run.roll_back and rollback is not None, rollback=rollback,
        rollback_owner=undoer,
    )  # fmt: skip


def sentence(run: Run, before: Run | None, rollback: str | None, undoer: str) -> str | None:
    """What is new about a run, for ``why``; None where nothing is."""
    if before is not None and (before.reported, before.outcome, before.started_ms) == (
        run.reported, run.outcome, run.started_ms,
    ):  # fmt: skip
        return None
    if run.outcome == MADE_WORSE:
        undo = f"roll back ({rollback})" if rollback is not None else "no way back is written"
        return f"{run.remedy} made it worse, {run.why}; {undo}: {undoer}"
    if run.outcome == "watching":
        return f"{run.by} reports {run.remedy} {run.reported}; its signals are watched"
    return f"{run.remedy}: {run.outcome}, {run.why}"


def _is(run: Run, outcome: str, since_ms: int, why: str) -> Run:
    return msgspec.structs.replace(run, outcome=outcome, since_ms=since_ms, why=why[:500])


def _few(entities: list[Entity]) -> str:
    more = f" and {len(entities) - 3} more" if len(entities) > 3 else ""
    return ", ".join(str(e) for e in entities[:3]) + more


class Undo(NamedTuple):
    """Who is told to undo a remedy. ``reason``: ``roll-back``, or ``made-worse`` where no way back is written."""

    remedy: str
    owner: Found
    reason: str


class Followed(NamedTuple):
    """What became of an incident's remedies: the runs to keep, who must undo, the record's rows, and what is new."""

    runs: dict[str, Run]
    undo: tuple[Undo, ...] = ()
    told: tuple[RemedyRun, ...] = ()
    news: tuple[str, ...] = ()

    @property
    def useless(self) -> frozenset[str]:
        """Remedies that did not help here."""
        return frozenset(r for r, run in self.runs.items() if run.outcome in USELESS)

    def fingerprint(self) -> list[list[str]]:
        """What is news when it moves."""
        return [[r, run.reported, run.outcome, str(run.started_ms)] for r, run in sorted(self.runs.items())]


def follow(w: Watch, before: Mapping[str, Run], reports: list[Stamped], finder: Finder, estate: Estate) -> Followed:
    """Watch the incident's runs on to now, and find who owns the undoing of each."""
    runs = watch(w, before, reports)
    undo: list[Undo] = []
    rows: list[RemedyRun] = []
    news: list[str] = []
    for name, run in runs.items():
        remedy = remedy_of(w.catalogue, run)
        meant = msgspec.structs.replace(w.incident, cause=run.cause, root=run.root)  # R5
        word = remedy.rollback_owner if remedy is not None else None
        cause = w.catalogue.get(run.cause)
        owner = finder.owner((word,) if word is not None else cause.owners.action if cause is not None else (), meant)
        rollback = fill(remedy.rollback, meant, estate) if remedy is not None and remedy.rollback else None
        rows.append(_row(run, rollback, owner.team))
        said = sentence(run, before.get(name), rollback, owner.team)
        if said is not None:
            news.append(said)
        if run.roll_back:
            undo.append(Undo(name, owner, ROLL_BACK if rollback is not None else MADE_WORSE))
    return Followed(runs, tuple(undo), tuple(rows), tuple(news))
