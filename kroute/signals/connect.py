"""Windows over connectors (``kroute.connector-status``, and the connector signals of workers' scrapes). Rules C1–C7."""

from __future__ import annotations

import heapq

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.inputs import BrokerMetrics, ConnectorStatus, worker_name
from kroute.signals import rowkeys
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.metric_features import CONNECTOR_SIGNALS
from kroute.signals.metric_rules import HEALTHY, Feature, Finding, Rule, began, judge, number
from kroute.signals.model import Knowledge, Rows, Src, Symptom
from kroute.signals.ring import RingStore, SourceKey
from kroute.signals.table import CONNECT
from kroute.signals.trace import classify, clip
from kroute.signals.window_view import EntityView, frozen, symptom_of

TABLE = "connector_status"
HOURLY = frozenset({"source_poll_rate"})
FORGET_MS = 7 * 86_400_000
SILENT_POLLS = 5
STATUS, WORKER = "status", "worker"
MOST_TASKS = 100

SLOWER, AS_EVER = 2.0, 1.5
"""Times its usual put latency: a worker's tasks that are slow, and that are not."""
PUT = Rule("put-latency-high", "C3", (Feature("put_batch_ms", "put latency", "ms", 1000.0, 200.0, ratio=2.5),))
PUT_BEHIND = Rule("put-latency-high", "C3", (Feature("put_batch_ms", "put latency", "ms", 1000.0, 20.0, ratio=2.5),))
"""Of a sink whose group falls behind: whatever is far above its usual holds it up."""
BEHIND, SURGE = ("lag-growing", "commits-slow", "commits-stopped"), "produce-surge"
FAILURES = Rule("record-failures", "C6", (
    Feature("record_failure_rate", "failing records", "/s", 0.01, 0.01, add=True),
    Feature("record_skip_rate", "skipped records", "/s", 0.01, 0.01, add=True),
    Feature("dead_letter_rate", "dead-lettered records", "/s", 0.01, 0.01, add=True),
))  # fmt: skip


class _Task(msgspec.Struct, array_like=True):
    id: int
    state: str
    worker: str | None
    trace: str | None


class _State(msgspec.Struct, array_like=True):
    """The newest status; ``since``: condition → event time at which it was first seen in this episode."""

    entity: Entity
    type: str | None
    state: str
    worker: str | None
    trace: str | None
    system: str | None
    tasks: list[_Task]
    since: dict[str, int]


_DECODER = msgspec.msgpack.Decoder(_State)


class ConnectWindows:
    """State, traces and metric windows of every connector of one domain. Rows: table ``connector_status``."""

    def __init__(self, estate: Estate, board: Board, rows: Rows, knowledge: Knowledge) -> None:
        self._estate = estate
        self._board = board
        self._rows = rows
        self._store = RingStore(rows, TABLE, HOURLY)
        self._states: dict[Entity, _State] = {}
        self._deadlines: list[tuple[int, SourceKey]] = []

    def observe(self, src: Src, m: ConnectorStatus, now_ms: int) -> None:
        """Take one poll of one connector."""
        entity = Entity("connector", m.cluster, f"{m.connect}/{m.connector}")
        key: SourceKey = (STATUS, m.cluster, m.connect, m.connector)
        ring = self._store.rings.get(key)
        if not m.up:
            self._judge(src, self._store.failed(key, m.observed_at_ms), now_ms)
            return
        if m.state == "DELETED":
            if ring is None or m.observed_at_ms >= ring.at_ms:
                self._forget(entity, key)
            return
        if ring is None or m.observed_at_ms > ring.at_ms or (m.parts > 1 and m.observed_at_ms == ring.at_ms):
            self._set_state(entity, m)
        values: dict[str, float] = {}
        for task in m.tasks:
            for name, value in task.metrics.items():
                if name in CONNECTOR_SIGNALS:
                    add = name.endswith("_rate")
                    values[name] = values.get(name, 0.0) + value if add else max(values.get(name, value), value)
        self._insert(src, key, m.observed_at_ms, m.interval_ms, {entity: values}, now_ms, m.part)

    def observe_samples(self, src: Src, m: BrokerMetrics, found: dict[str, dict[str, float]], now_ms: int) -> None:
        """Connector signals of one scrape, by ``connect/name``."""
        key: SourceKey = (WORKER, m.cluster, m.source.connect or "", m.source.kind, m.source.id)
        if not m.up:
            self._judge(src, self._store.failed(key, m.observed_at_ms), now_ms)
        elif found or key in self._store.rings:
            values = {Entity("connector", m.cluster, name): found[name] for name in sorted(found)}
            self._insert(src, key, m.observed_at_ms, m.interval_ms, values, now_ms, m.part)

    def tick(self, now_ms: int) -> None:
        """Forget connectors and workers that were silent for a week."""
        while self._deadlines and self._deadlines[0][0] < now_ms:
            _, key = heapq.heappop(self._deadlines)
            ring = self._store.rings.get(key)
            if ring is None:
                continue
            due = max(ring.at_ms, ring.down_ms or -1) + FORGET_MS
            if due >= now_ms:
                heapq.heappush(self._deadlines, (due, key))
            elif key[0] == STATUS:
                self._forget(Entity("connector", key[1], f"{key[2]}/{key[3]}"), key)
            else:
                for entity in self._store.forget(key):
                    self._board.retire(CONNECT, entity)

    def load(self, table: str, key: str, value: bytes) -> None:
        """One row at recovery; rows that are not of these windows are left alone."""
        if table != TABLE or self._store.load(key, value):
            return
        if key.startswith("state|"):
            state = _DECODER.decode(value)
            self._states[state.entity] = state

    def loaded(self) -> None:
        """All rows are in."""
        self._store.loaded()
        for key in sorted(self._store.rings):
            heapq.heappush(self._deadlines, (self._store.rings[key].at_ms + FORGET_MS, key))
        for entity in sorted(self._store.sources):
            self._board.refresh(CONNECT, entity, max(self._store.rings[k].at_ms for k in self._store.sources[entity]))

    def _insert(
        self, src: Src, key: SourceKey, at_ms: int, every_ms: int | None, values: dict[Entity, dict[str, float]],
        now_ms: int, part: int,
    ) -> None:  # fmt: skip
        if key not in self._store.rings:
            heapq.heappush(self._deadlines, (at_ms + FORGET_MS, key))
        touched = self._store.insert(key, at_ms, every_ms, values, lambda e: frozen(self._board, e, at_ms), part)
        self._judge(src, touched, now_ms)

    def _forget(self, entity: Entity, key: SourceKey) -> None:
        self._store.forget(key)
        if self._states.pop(entity, None) is not None:
            self._rows.drop(TABLE, rowkeys.join("state", *entity))
        self._board.forget(entity)

    def _set_state(self, entity: Entity, m: ConnectorStatus) -> None:
        tasks = [_Task(t.id, t.state, t.worker, clip(t.trace) if t.trace else None) for t in m.tasks[:MOST_TASKS]]
        old = self._states.get(entity)
        if m.parts > 1 and old is not None:
            told = [t.id for t in tasks]
            tasks = sorted([*tasks, *(t for t in old.tasks if t.id not in told)], key=lambda t: t.id)
        trace = clip(m.trace) if m.trace else None
        new = _State(entity, m.type, m.state or "", m.worker, trace, m.system, tasks, {})
        was = old.since if old is not None else {}
        new.since = {c: was.get(c, m.observed_at_ms) for c in _conditions(new)}
        if new != old:
            self._states[entity] = new
            self._rows.put(TABLE, rowkeys.join("state", *entity), msgspec.msgpack.encode(new))

    def _judge(self, src: Src, entities: list[Entity], now_ms: int) -> None:
        for entity in entities:
            if entity in self._store.sources:
                self._report(src, EntityView(self._store, self._board, entity, now_ms, first=(STATUS,)))
            else:
                self._board.retire(CONNECT, entity)

    def _report(self, src: Src, view: EntityView) -> None:
        entity = view.entity
        findings: dict[str, Finding] = {}
        state = self._states.get(entity) if any(k[0] == STATUS for k, _ in view.sources) else None
        if state is not None:
            at_ms = next(r.at_ms for k, r in view.sources if k[0] == STATUS)
            findings.update(_state_findings(state, at_ms, view))
        for rule in (PUT_BEHIND if self._behind(entity) else PUT, FAILURES):
            if (found := judge(rule, view)) is not None:
                findings[rule.kind] = _by_worker(found, view) if rule.kind == PUT.kind and found.active else found
        if (silent := _source_silent(state, view)) is not None:
            findings["source-silent"] = silent
        active: list[Symptom] = [symptom_of(k, entity, f, view.at_ms, src) for k, f in findings.items() if f.active]
        self._board.report(CONNECT, entity, view.at_ms, view.interval_ms, frozenset(findings), active)

    def _behind(self, connector: Entity) -> bool:
        """True while the group of a sink falls behind, and not because far more is written: then its batches are larger."""
        behind = [g for g in self._estate.related(connector, "group") if any(kind in self._board.of(g) for kind in BEHIND)]
        return bool(behind) and not any(SURGE in self._board.of(t) for g in behind for t in self._estate.related(g, "topics"))


def _conditions(s: _State) -> list[str]:
    out = []
    if any(t.state == "FAILED" for t in s.tasks):
        out.append("task-failed")
    if s.state == "FAILED":
        out.append("connector-failed")
    if s.state == "UNASSIGNED" or any(_unassigned(t) for t in s.tasks):
        out.append("task-unassigned")
    if s.state in ("PAUSED", "STOPPED"):
        out.append("connector-paused")
    return out


def _unassigned(t: _Task) -> bool:
    return t.state == "UNASSIGNED" or (t.worker == "" and t.state not in ("FAILED", "DESTROYED"))


def _state_findings(s: _State, at_ms: int, view: EntityView) -> dict[str, Finding]:
    """C1, C2, C4, C5. A failure counts at the first poll that shows it; an unassigned task at the second."""
    out = dict.fromkeys(("task-failed", "connector-failed", "task-unassigned", "connector-paused"), HEALTHY)
    for kind in s.since:
        if kind == "task-unassigned" and s.since[kind] == at_ms and view.symptom(kind) is None:
            continue
        out[kind] = {"task-failed": _c1, "connector-failed": _c2, "task-unassigned": _c4, "connector-paused": _c5}[kind](s)
    return out


def _c1(s: _State) -> Finding:
    failed = [t for t in s.tasks if t.state == "FAILED"]
    trace = next((t.trace for t in failed if t.trace), None)
    why = f"{len(failed)} of {len(s.tasks)} tasks FAILED" + (f": {_headline(trace)}" if trace else "")
    detail = {
        "tasks": [t.id for t in failed],
        "of": len(s.tasks),
        "workers": sorted(dict.fromkeys(t.worker for t in failed if t.worker)),
    }
    return Finding(True, s.since["task-failed"], float(len(failed)), why, detail | _traced(s, trace))


def _c2(s: _State) -> Finding:
    why = "the connector is FAILED" + (f": {_headline(s.trace)}" if s.trace else "")
    return Finding(True, s.since["connector-failed"], 1.0, why, _traced(s, s.trace))


def _c4(s: _State) -> Finding:
    waiting = [t.id for t in s.tasks if _unassigned(t)]
    why = f"{len(waiting)} of {len(s.tasks)} tasks on no worker" if waiting else "the connector is UNASSIGNED"
    return Finding(True, s.since["task-unassigned"], float(len(waiting)), why, {"tasks": waiting, "of": len(s.tasks)})


def _c5(s: _State) -> Finding:
    return Finding(True, s.since["connector-paused"], 1.0, f"the connector is {s.state}", {"state": s.state})


def _traced(s: _State, trace: str | None) -> dict[str, str]:
    out = {"trace": trace or "", "trace_kind": classify(trace)}
    out |= {"type": s.type} if s.type else {}
    return out | {"system": s.system} if s.system else out


def _headline(trace: str) -> str:
    """The innermost cause's first line, at most 200 characters."""
    return trace.rsplit("Caused by: ", maxsplit=1)[-1].split("\n", 1)[0].strip()[:200]


def _by_worker(found: Finding, view: EntityView) -> Finding:
    """C3: on which workers its tasks are slow, each against its own usual, and whether on others they are as ever (``apart``)."""
    name = str(found.detail["feature"])
    slow, well = [], []
    for key, ring in view.sources:
        base = ring.base.get(view.entity, {}).get(name)
        series = [v for p in ring.polls[-2:] if (v := p.values.get(view.entity, {}).get(name)) is not None]
        if key[0] != WORKER or not series or base is None or not base.enough:
            continue
        if series[-1] > SLOWER * base.median:
            slow.append(worker_name(key[2], key[-1]))
        elif max(series) < AS_EVER * base.median:
            well.append(key[-1])
    told = {"workers": slow, "apart": "yes" if well else "no"}
    if not slow:  # what ends is about what it was about
        before = view.symptom(PUT.kind)
        told = {k: v for k, v in before.detail.items() if k in told} if before is not None else {}
    return found._replace(detail={**found.detail, **told})


def _source_silent(state: _State | None, view: EntityView) -> Finding | None:
    """C7: a steady source that is running gives next to nothing for five polls. Needs a baseline; none for a sink."""
    if state is None or state.type == "sink" or state.state != "RUNNING":
        return None
    series = view.series("source_poll_rate", True)
    base = view.base("source_poll_rate", True, True)
    if not series or base is None or base.median < 0.1 or base.median - 4 * base.sigma < 0.1 * base.median:
        return None
    silent = [v < 0.05 * base.median for _, v in series]
    old = view.symptom("source-silent")
    ended = len(silent) >= 2 and not any(silent[-2:])
    if (len(silent) >= SILENT_POLLS and all(silent[-SILENT_POLLS:])) or (old is not None and not ended):
        why = f"{number(series[-1][1])} records/s from the source (usual {number(base.median)})"
        return Finding(True, began(series, silent), series[-1][1], why, {"feature": "source_poll_rate"})
    return HEALTHY
