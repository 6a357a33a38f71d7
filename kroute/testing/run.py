"""Runs a case: records in, alerts out, the verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from kroute.contracts.alerts import Alert
from kroute.contracts.topics import Names
from kroute.engine import Engine
from kroute.replay import Outcome, Recording, replay
from kroute.settings import Settings
from kroute.stream.forward import Record
from kroute.testing.case import Case, wish_of
from kroute.testing.compare import Came, Line, compare
from kroute.testing.match import differences
from kroute.testing.records import records, unresolved
from kroute.testing.restart import Restarting
from kroute.testing.rules import broken, plain
from kroute.testing.series import clock


@dataclass
class Result:
    """What a case gave. ``seconds``: wall time of the run."""

    case: Case
    lines: list[Line]
    records: list[Record]
    alerts: list[Alert]
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    """What is wrong beside the timeline: refused messages, broken rules, a restart that changed the alerts."""

    @property
    def failed(self) -> bool:
        """True when anything differs from what the case says."""
        return bool(self.problems) or any(s.bad for s in self.lines)

    @property
    def outcome(self) -> str:
        """``passed`` | ``failed`` | ``known gap`` | ``gap closed`` (it passes although ``known_gap`` stands: a failure)."""
        if self.case.spec.known_gap is None:
            return "failed" if self.failed else "passed"
        return "known gap" if self.failed else "gap closed"

    @property
    def ok(self) -> bool:
        """True when the run may go on: passed, or failed as known."""
        return self.outcome in ("passed", "known gap")


def run_case(case: Case, engine: Engine, settings: Settings) -> Result:
    """Run a case on virtual time.

    Raises:
        BadFile: a mistake in the file that shows only when its messages are made.
    """
    began = time.perf_counter()
    until = case.start_ms + case.end_ms
    problems: list[str] = []
    incidents: dict[int, str] = {}
    for ms, index in unresolved(case):
        found = _incident(case, engine, settings, incidents, ms, index)
        if found is None:
            problems.append(f"controls[{index}] at {clock(ms)}: no incident has these fields by then")
        else:
            incidents[index] = found
    sent = records(case, settings, incidents)
    outcome = replay(Recording(records=list(sent)), engine, settings, until)
    problems += _refused(outcome, case)
    problems += outcome.failed()
    if case.spec.restart:
        problems += _restarted(case, engine, settings, sent, until, outcome.alerts)
    problems += [f"{clock(ms - case.start_ms)} {text}" for ms, text in broken(outcome.alerts)]
    came = [Came(a.ts_ms - case.start_ms, plain(a)) for a in outcome.alerts]
    result = Result(case, compare(case, came), sent, outcome.alerts, problems=problems)
    result.seconds = time.perf_counter() - began
    return result


def _refused(outcome: Outcome, case: Case) -> list[str]:
    said = [f"{clock(r.ts - case.start_ms)} refused on {r.topic}: {e}" for r, e in outcome.refused[:5]]
    more = len(outcome.refused) - len(said)
    return said + ([f"and {more} more refused"] if more > 0 else [])


def _incident(
    case: Case, engine: Engine, settings: Settings, incidents: dict[int, str], ms: int, index: int
) -> str | None:  # fmt: skip
    """The incident a control is about: the newest whose last alert before the control has the fields it names."""
    wish = wish_of(case.place, f".controls[{index}].incident", case.spec.controls[index].incident or {})
    before = [r for r in records(case, settings, incidents) if r.ts < case.start_ms + ms]
    alerts = replay(Recording(records=before), engine, settings, case.start_ms + ms).alerts
    newest: dict[str, Alert] = {a.key: a for a in alerts if a.ts_ms < case.start_ms + ms}
    fits = [a for a in newest.values() if not differences(wish, plain(a))]
    return max(fits, key=lambda a: a.ts_ms).key if fits else None


def _restarted(
    case: Case, engine: Engine, settings: Settings, sent: list[Record], until: int, alerts: list[Alert]
) -> list[str]:  # fmt: skip
    """A restart must not change a byte of what is said."""
    at = [case.start_ms + case.ms(f".restart[{i}]", s) for i, s in enumerate(case.spec.restart)]
    again = replay(Recording(records=list(sent)), Restarting(engine, at), settings, until).alerts
    for a, b in zip(alerts, again, strict=False):
        if a != b:
            when = clock(b.ts_ms - case.start_ms)
            return [f"a restart changes the alert at {when}: {_first_difference(plain(a), plain(b))}"]
    if len(alerts) != len(again):
        return [f"a restart changes the number of alerts: {len(alerts)} without, {len(again)} with"]
    return []


def _first_difference(a: dict[str, object], b: dict[str, object]) -> str:
    return next((f"{k} is {b.get(k)!r}, without a restart {a.get(k)!r}"[:300] for k in a if a[k] != b.get(k)), "headers")


def recording(sent: list[Record]) -> Iterator[bytes]:
    """Input records as lines of a recording, newline included."""
    for r in sent:
        line = {"topic": r.topic, "timestamp_ms": r.ts, "partition": r.partition, "offset": r.offset}
        key = {} if r.key is None else {"key": r.key.decode()}
        value = orjson.Fragment(r.value if r.value is not None else b"null")
        yield orjson.dumps({**line, **key, "value": value}, option=orjson.OPT_APPEND_NEWLINE)


def settings_for_cases() -> Settings:
    """Settings that no environment touches: a case means the same everywhere."""
    return Settings(names=Names())
