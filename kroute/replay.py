"""Recorded facts (or inputs) → engine → alerts, with no broker and no clock.

A recording of ``kroute.facts`` gives the alerts that the live worker gave, byte for byte. A recording of input topics
goes through the same intake as the live one, with time advanced by the records' own timestamps, a tick a second.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import orjson
from msgspec import Struct

from kroute.contracts.alerts import HEARTBEAT, Alert
from kroute.contracts.facts import Envelope
from kroute.engine import Engine, PartitionState
from kroute.errors import BadFile, BadMessage, StateError
from kroute.settings import Settings
from kroute.stream.forward import Forwarder, Record, envelopes, progress

TICK_MS = 1000
MAX_SPAN_MS = 400 * 86_400_000
"""Longest time between the first and the last record: a replay passes through every second of it."""
SOURCE = "replay"
_ENVELOPE = msgspec.json.Decoder(Envelope)


@dataclass
class Recording:
    """A recording read from disk: input records by time, or snapshot rows and facts by partition and offset."""

    records: list[Record] = field(default_factory=list)
    facts: list[tuple[int, int, Envelope]] = field(default_factory=list)
    """(partition, offset, envelope)."""
    rows: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    """(partition, table, key, value) of the snapshot that begins a recording made in mid-log."""


@dataclass
class Outcome:
    """What a replay gave: alerts in order, the input records that were refused, and diagnoses that failed, by traceback."""

    alerts: list[Alert] = field(default_factory=list)
    refused: list[tuple[Record, BadMessage]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def failed(self) -> list[str]:
        """A line for each defect that made diagnoses fail: how often, and where."""
        return [f"{n} diagnoses failed, a defect of kroute: {_where(said)}" for said, n in self.failures.items()]

    def take(self, state: PartitionState) -> None:
        """What the state tells of diagnoses that failed."""
        self.failures.update(state.take_failures())


def _where(said: str) -> str:
    """The last frame and the error of a traceback, in one line."""
    lines = said.strip().splitlines()
    frame = next((line.strip() for line in reversed(lines) if line.startswith("  File ")), "")
    return f"{lines[-1]} ({frame})"


def read(path: str | Path, settings: Settings) -> Recording:
    """Read a recording (``.jsonl``).

    Raises:
        BadFile: with file and line.
    """
    name = str(path)
    out = Recording()
    counts: dict[tuple[str, int], int] = {}
    try:
        with Path(path).open("rb") as f:
            for number, line in enumerate(f, 1):
                if line.strip():
                    _line(name, number, line, settings, out, counts)
    except OSError as e:
        raise BadFile(name, None, None, e.strerror or str(e)) from None
    out.records.sort(key=lambda r: r.ts)
    return out


class _Line(Struct):
    topic: str
    timestamp_ms: int = -1
    key: str | None = None
    value: msgspec.Raw = msgspec.Raw(b"null")
    partition: int = 0
    offset: int | None = None
    table: str | None = None
    value_b64: str | None = None


_LINE = msgspec.json.Decoder(_Line)


def _line(name: str, number: int, line: bytes, settings: Settings, out: Recording, counts: dict[tuple[str, int], int]) -> None:
    try:
        item = _LINE.decode(line)
        raw = bytes(item.value) if item.value_b64 is None else base64.b64decode(item.value_b64, validate=True)
    except (msgspec.MsgspecError, ValueError, RecursionError) as e:
        raise BadFile(name, number, None, f"not a line of a recording: {e}") from None
    if item.table is not None:
        out.rows.append((item.partition, item.table, item.key or "", raw))
        return
    short = settings.names.short(item.topic)
    if short is None:
        raise BadFile(name, number, "topic", f"{item.topic!r} is no topic of kroute")
    if item.timestamp_ms < 0:
        raise BadFile(name, number, "timestamp_ms", "must be epoch milliseconds")
    at = (item.topic, item.partition)
    offset = item.offset if item.offset is not None else counts.get(at, 0)
    counts[at] = offset + 1
    if short == "facts":
        try:
            out.facts.append((item.partition, offset, _ENVELOPE.decode(raw)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
            raise BadFile(name, number, "value", str(e)) from None
    elif short != "routed-alerts":
        key = None if item.key is None else item.key.encode()
        value = None if raw == b"null" and item.value_b64 is None else raw
        out.records.append(Record(item.topic, item.partition, offset, item.timestamp_ms, key, value))


def replay(recording: Recording, engine: Engine, settings: Settings, until_ms: int | None = None) -> Outcome:
    """Run a recording; ``until_ms`` ticks on to that time after the last record."""
    if recording.facts or recording.rows:
        return _facts(recording, engine)
    return _inputs(recording.records, engine, settings, until_ms)


def _facts(recording: Recording, engine: Engine) -> Outcome:
    states: dict[int, PartitionState] = {}

    def state(partition: int) -> PartitionState:
        if partition not in states:
            states[partition] = engine.new_state(partition)
        return states[partition]

    _restore(recording, engine, state)
    out = Outcome()
    for partition, offset, envelope in recording.facts:
        out.alerts += state(partition).step(offset, envelope).alerts
    for made in states.values():
        out.take(made)
    return out


def _restore(recording: Recording, engine: Engine, state: Callable[[int], PartitionState]) -> None:
    """Load the snapshot. Rows are not checked where they are read, and a file may hold anything."""
    at = "the end"
    try:
        stored: dict[int, dict[tuple[str, str], bytes]] = {}
        for partition, table, key, value in recording.rows:
            stored.setdefault(partition, {})[table, key] = value
        for partition in sorted(stored):
            rows: dict[tuple[str, str], bytes | None] = {**stored[partition]}
            rows.update(engine.migrate(stored[partition]))
            for (table, key), new in rows.items():
                at = f"row {key[:200]!r} of {table[:200]!r}"
                if new is not None:
                    state(partition).load(table, key, new)
            at = "the end"
            state(partition).loaded()
    except StateError:
        raise
    except Exception as e:
        raise StateError(
            f"the snapshot of the recording cannot be loaded, at {at}: {e or type(e).__name__}. Record it again"
        ) from e


def _inputs(records: list[Record], engine: Engine, settings: Settings, until_ms: int | None) -> Outcome:
    out = Outcome()
    state = engine.new_state(0)
    for offset, envelope in enumerate(_intake(records, Forwarder(settings), out, until_ms)):
        out.alerts += state.step(offset, _ENVELOPE.decode(envelope)).alerts
    out.alerts = [a for a in out.alerts if not a.key.startswith(HEARTBEAT)]  # nobody watches a replay
    out.take(state)
    return out


def _intake(records: list[Record], forwarder: Forwarder, out: Outcome, until_ms: int | None) -> Iterator[bytes]:
    """Envelopes as ingest would have sent them: records in order, then the second that has passed."""
    if not records:
        return
    span = max(records[-1].ts, until_ms or 0) - records[0].ts
    if span > MAX_SPAN_MS:
        raise StateError(
            f"the recording spans {span // 86_400_000} days, more than the {MAX_SPAN_MS // 86_400_000} that are replayed: "
            "is a timestamp_ms wrong?"
        )
    tick = records[0].ts // TICK_MS * TICK_MS
    pending: list[bytes] = []
    for r in records:
        while tick <= r.ts:
            yield from envelopes([*pending, progress(SOURCE, 0, 0, tick, 1)])
            pending = []
            tick += TICK_MS
        try:
            addressed = forwarder.forward(r)
        except BadMessage as e:
            out.refused.append((r, e))
            continue
        if addressed is not None:
            pending.append(addressed.fact)
    last = max(records[-1].ts, until_ms or 0)
    while tick <= last + TICK_MS:
        yield from envelopes([*pending, progress(SOURCE, 0, 0, tick, 1)])
        pending = []
        tick += TICK_MS


def lines(alerts: Iterable[Alert], topic: str) -> Iterator[bytes]:
    """Alerts as recording lines, newline included."""
    for a in alerts:
        yield orjson.dumps(
            {"topic": topic, "key": a.key, "timestamp_ms": a.ts_ms, "value": orjson.Fragment(a.value)},
            option=orjson.OPT_APPEND_NEWLINE,
        )
