"""Is what tells us heard at all? Sources of signals that were heard and are silent, or say that they fail. Rule S1.

A source is what polls: ``broker-metrics/<kind>/<id>``, ``topology``, ``consumer-lag``, ``connector-status/<connect>``,
``access``. A single group or connector that goes quiet is none of them. Where several fail together the symptom stands
once, at what they share: ``broker-metrics/<kind>`` when half of its processes are silent, ``broker-metrics`` when those of
every kind are, ``collection`` when all are.
"""

from __future__ import annotations

import heapq
import math

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.inputs import Access, BrokerMetrics, ConnectorStatus, ConsumerLag, Topology
from kroute.signals import rowkeys
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.metric_rules import number
from kroute.signals.model import Knowledge, Rows, Src, Symptom, stale_after_ms
from kroute.signals.ring import learnt_interval
from kroute.signals.table import TELEMETRY

Polled = BrokerMetrics | ConsumerLag | ConnectorStatus | Topology | Access
KIND = "signals-missing"
JUDGED = frozenset({KIND})
FAILED_POLLS = 2
"""A source that says ``up: false`` for more polls than this is missing."""
FORGET_MS = 7 * 86_400_000
FADE, OUTAGE = 0.04, 3
"""What one poll counts in the share of a source's polls that get lost; an outage counts as so many."""
LOSSY, CHANCE, MOST_LOST = 0.06, 1e-4, 12
"""Where a larger share gets lost by the way, a source is missing when so many in a row would be lost by chance this rarely."""
METRICS = "broker-metrics"
"""Name of the one source that stands for all scraped processes of a cluster when all are silent."""
_SCRAPED = f"{METRICS}/"
ALL = "collection"
"""Name of the one source that stands for all of a cluster when all are silent."""
EXPECTED_GONE = ("gone", "fenced")


class _Source(msgspec.Struct, array_like=True):
    """``heard_ms``: append time of the newest message that was up; ``failing_ms``: first ``up: false`` since, ``told_ms``
    the newest of them. ``every_ms`` stated interval or 0, ``times`` the last observations of ``pacer`` to learn it from.
    ``missing_ms``: since when it counts as missing, -1 while it does not. ``report_ms``: time of its last report, which
    was made under ``told_as``. ``due_ms``: when it is looked at next. ``lost``: share of its polls that never came, of late."""

    cluster: str
    name: str
    heard_ms: int
    failing_ms: int = -1
    told_ms: int = -1
    error: str | None = None
    every_ms: int = 0
    pacer: str = ""
    times: list[int] = []
    missing_ms: int = -1
    report_ms: int = -1
    told_as: str = ""
    due_ms: int = -1
    lost: float = 0.0

    @property
    def interval_ms(self) -> int:
        return self.every_ms or learnt_interval(self.times)


_DECODER = msgspec.msgpack.Decoder(_Source)


def source_name(m: Polled) -> str:
    """The public name of the source a message comes from."""
    if isinstance(m, ConsumerLag):
        return "consumer-lag"
    if isinstance(m, BrokerMetrics):
        return f"broker-metrics/{m.source.kind}/{m.source.name}"
    if isinstance(m, ConnectorStatus):
        return f"connector-status/{m.connect}"
    return "topology" if isinstance(m, Topology) else "access"


def _pacer(m: Polled) -> str:
    """What is polled once per interval within the source."""
    return m.group if isinstance(m, ConsumerLag) else m.connector if isinstance(m, ConnectorStatus) else ""


class TelemetryWindows:
    """When every source was last heard. Rows: table ``entities``, keys ``tele|…``."""

    def __init__(self, estate: Estate, board: Board, rows: Rows, knowledge: Knowledge) -> None:
        self._estate = estate
        self._board = board
        self._rows = rows
        self._sources: dict[tuple[str, str], _Source] = {}
        self._due: list[tuple[int, tuple[str, str]]] = []
        self._entities: dict[tuple[str, str], Entity] = {}

    def observe(self, src: Src, m: Polled, now_ms: int) -> None:
        """Any polled message: its source is heard."""
        key = (m.cluster, source_name(m))
        s = self._sources.get(key)
        fresh = s is None
        if s is None:
            if not m.up:
                return  # never heard well: nothing is missed yet
            s = self._sources[key] = _Source(*key, heard_ms=src.append_ms, pacer=_pacer(m))
        self._pace(s, m)
        at = src.append_ms
        if m.up:
            s.heard_ms = max(s.heard_ms, at)
            if at >= s.told_ms:
                s.failing_ms = s.told_ms = -1
                s.error = None
        elif at > s.heard_ms:
            s.failing_ms = at if s.failing_ms < 0 else min(s.failing_ms, at)
            if at >= s.told_ms:
                s.told_ms, s.error = at, (m.error or "")[:500] or None
        deadline = self._deadline(s)
        if fresh or deadline < s.due_ms:
            self._look_at(s, deadline)
        if m.up and s.failing_ms < 0:
            s.report_ms, s.told_as = s.heard_ms, s.name
            entity = self._entities.get(key)
            if entity is None:
                entity = self._entities[key] = self._entity(s)
            self._board.report(TELEMETRY, entity, s.heard_ms, s.interval_ms, JUDGED)
            if s.missing_ms >= 0:
                s.missing_ms = -1
                self._settle(m.cluster, now_ms)
        self._write(s)

    def tick(self, now_ms: int) -> None:
        """Once per second of event time: judge the sources whose deadline has passed."""
        clusters: dict[str, None] = {}
        while self._due and self._due[0][0] < now_ms:
            due, key = heapq.heappop(self._due)
            s = self._sources.get(key)
            if s is None or s.due_ms != due:
                continue
            if now_ms - max(s.heard_ms, s.told_ms) > FORGET_MS:
                del self._sources[key]
                self._entities.pop(key, None)
                self._rows.drop("entities", rowkeys.join("tele", *key))
                self._board.forget(self._entity(s))
                clusters[s.cluster] = None
                continue
            due = self._deadline(s)
            if s.missing_ms < 0 and due < now_ms and self._deadline(s, self._lost_by_all(s.cluster)) < now_ms:
                s.missing_ms = s.failing_ms if s.failing_ms >= 0 else s.heard_ms
            if s.missing_ms >= 0:
                clusters[s.cluster] = None
            self._look_at(s, max(due, now_ms + s.interval_ms) if s.missing_ms >= 0 or due < now_ms else due)
            self._write(s)
        for cluster in clusters:
            self._settle(cluster, now_ms)

    def load(self, table: str, key: str, value: bytes) -> None:
        """One row at recovery; rows that are not of these windows are left alone."""
        if table == "entities" and key.startswith("tele|"):
            s = _DECODER.decode(value)
            self._sources[(s.cluster, s.name)] = s

    def loaded(self) -> None:
        """All rows are in."""
        for key in sorted(self._sources):
            s = self._sources[key]
            heapq.heappush(self._due, (s.due_ms, key))
            self._board.refresh(TELEMETRY, Entity("source", s.cluster, s.told_as), s.report_ms)

    def _look_at(self, s: _Source, due_ms: int) -> None:
        s.due_ms = due_ms
        heapq.heappush(self._due, (due_ms, (s.cluster, s.name)))

    def _lost_by_all(self, cluster: str) -> float:
        """Share of polls that get lost on the way, over all sources of the cluster."""
        mine = [s.lost for s in self._sources.values() if s.cluster == cluster]
        return math.fsum(mine) / len(mine)

    def _deadline(self, s: _Source, lost: float = 0.0) -> int:
        """When the source becomes missing unless it is heard. ``lost``: what gets lost of all, until its own share is known."""
        allowed = stale_after_ms(s.interval_ms)
        lost = max(lost, s.lost)
        if lost > LOSSY:
            allowed = max(allowed, int(min(math.log(CHANCE) / math.log(lost), MOST_LOST) * s.interval_ms))
        silent = max(s.heard_ms, s.told_ms) + allowed
        return min(silent, s.failing_ms + FAILED_POLLS * s.interval_ms) if s.failing_ms >= 0 else silent

    def _pace(self, s: _Source, m: Polled) -> None:
        s.every_ms = m.interval_ms or s.every_ms
        pacer = _pacer(m)
        if pacer != s.pacer and s.times and m.observed_at_ms - s.times[-1] > 600_000:
            s.pacer, s.times = pacer, []
        if pacer == s.pacer and (not s.times or m.observed_at_ms > s.times[-1]):
            if s.times:
                gone = min(round((m.observed_at_ms - s.times[-1]) / s.interval_ms) - 1, OUTAGE)
                s.lost = (1.0 - FADE) * (1.0 - (1.0 - s.lost) * (1.0 - FADE) ** max(gone, 0))
            s.times = [*s.times[-3:], m.observed_at_ms]

    def _entity(self, s: _Source) -> Entity:
        return Entity("source", s.cluster, s.name)

    def _settle(self, cluster: str, now_ms: int) -> None:
        """Put the missing sources of a cluster on the board, each at the widest name that covers it."""
        mine = [self._sources[k] for k in sorted(self._sources) if k[0] == cluster]
        missing = [s for s in mine if s.missing_ms >= 0 and not self._expected(s)]
        for s in mine:
            if s.missing_ms >= 0 and self._expected(s) and s.told_as:
                s.told_as = ""
                self._board.retire(TELEMETRY, self._entity(s))
                self._write(s)
        where: dict[str, list[_Source]] = {}
        inputs = dict.fromkeys(s.name.split("/")[0] for s in mine)
        scraped = [s for s in mine if s.name.startswith(_SCRAPED)]
        kinds = dict.fromkeys(s.name.split("/")[1] for s in scraped)
        if len(missing) == len(mine) and len(inputs) > 1:
            where[ALL] = missing
        elif len(kinds) > 1 and all(s.missing_ms >= 0 for s in scraped):
            for s in missing:
                where.setdefault(METRICS if s.name.startswith(_SCRAPED) else s.name, []).append(s)
        else:
            for s in missing:
                name = s.name
                if name.startswith(_SCRAPED):
                    family = "/".join(name.split("/")[:2])
                    lost = [o for o in missing if o.name.startswith(family + "/")]
                    if len(lost) > 1 and 2 * len(lost) >= len([o for o in mine if o.name.startswith(family + "/")]):
                        name = family
                where.setdefault(name, []).append(s)
        for name in sorted(where):
            lost, entity = where[name], Entity("source", cluster, name)
            every = max(s.interval_ms for s in lost)
            self._board.report(TELEMETRY, entity, now_ms, every, JUDGED, [_symptom(entity, lost, now_ms)])
            for s in lost:
                s.report_ms, s.told_as = now_ms, name
                if s.name != name:
                    self._board.retire(TELEMETRY, self._entity(s))
                self._write(s)
        for entity, _ in sorted(k for k in self._board.active if k[1] == KIND and k[0].cluster == cluster):
            if entity.name not in where:
                self._board.retire(TELEMETRY, entity)  # told under another name now, or expected to be silent

    def _expected(self, s: _Source) -> bool:
        """A broker that is known to be down cannot be scraped: that is its own symptom."""
        kind, _, broker = s.name.removeprefix(_SCRAPED).partition("/")
        if not s.name.startswith(_SCRAPED) or kind != "broker" or not broker.isdecimal():
            return False
        return self._estate.brokers.get(s.cluster, {}).get(int(broker)) in EXPECTED_GONE

    def _write(self, s: _Source) -> None:
        self._rows.put("entities", rowkeys.join("tele", s.cluster, s.name), msgspec.msgpack.encode(s))


def _symptom(entity: Entity, lost: list[_Source], now_ms: int) -> Symptom:
    since = min(s.missing_ms for s in lost)
    errors = [s.error for s in lost if s.error]
    names = [s.name for s in lost]
    who = names[0] if len(names) == 1 else f"{len(names)} sources"
    why = f"{who} silent for {number((now_ms - since) / 1000)} s"
    if errors:
        why = f"{who} cannot be read: {errors[0]}"
    detail = {"sources": names[:50], "of": len(names), "error": errors[0] if errors else ""}
    return Symptom(
        kind=KIND, entity=entity, since_ms=since, last_ms=now_ms, value=(now_ms - since) / 1000, why=why, detail=detail
    )
