"""Alerts by static thresholds, as teams have them today: one per metric and instance. The rules of the field:

Strimzi's and MSK's alerts (under-replicated, offline, under min ISR > 0; disk > 85 %; heap after collection, processor
> 60 %), request handlers idle < 30 %, controllers ≠ 1, a failed task, produce p99 > 100 ms, fetch p99 > 1 s, object-store
failures > 0.1/s (AutoMQ), a target that is down; and lag in records, whose limit is tuned to the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.contracts.inputs import BrokerMetrics, ConnectorStatus, ConsumerLag, Sample, Topology
from kroute.score.recorded import Message

KEEP_MS = 300_000
"""An alert ends when it was below its limit for this long (Prometheus' ``keep_firing_for``)."""


class Tuning(NamedTuple):
    """What a team would tune: ``lag`` in records, ``for_ms`` how long a limit is passed before the alert fires."""

    lag: int
    for_ms: int


TUNINGS: tuple[Tuning, ...] = tuple(Tuning(lag, s * 1000) for lag in (1_000, 10_000, 100_000) for s in (60, 300))


class Alarm(NamedTuple):
    """One alert of one metric on one instance, from its firing to its end (epoch ms)."""

    fired_ms: int
    ended_ms: int
    metric: str
    family: str
    """Whose metric it is: ``platform`` | ``group`` | ``connector``."""
    entity: Entity
    topic: str | None


class _Point(NamedTuple):
    ts: int
    metric: str
    family: str
    entity: Entity
    topic: str | None
    value: float


_LIMITS: dict[str, Callable[[float], bool]] = {
    "under_replicated_partitions": lambda v: v > 0,
    "under_min_isr_partitions": lambda v: v > 0,
    "offline_partitions": lambda v: v > 0,
    "offline_log_dirs": lambda v: v > 0,
    "active_controllers": lambda v: v != 1,
    "request_handler_idle_ratio": lambda v: v < 0.3,
    "network_idle_ratio": lambda v: v < 0.3,
    "heap_after_gc_ratio": lambda v: v > 0.6,
    "cpu_ratio": lambda v: v > 0.6,
    "disk_used_ratio": lambda v: v > 0.85,
    "produce_p99_ms": lambda v: v > 100,
    "fetch_p99_ms": lambda v: v > 1000,
    "object_failure_rate": lambda v: v > 0.1,
    "failed_tasks": lambda v: v > 0,
    "down": lambda v: v > 0,
}


def alarms(messages: Iterable[Message], tuning: Tuning) -> list[Alarm]:
    """All alerts of a recording in order of firing. One fires when its limit is passed for ``for_ms`` without a gap."""
    passed: dict[tuple[str, Entity, str | None], tuple[int, int, int | None, str]] = {}  # since, last, fired, family
    out: list[Alarm] = []
    for p in _points(messages):
        key = (p.metric, p.entity, p.topic)
        held = passed.get(key)
        over = p.value > tuning.lag if p.metric == "lag" else _LIMITS[p.metric](p.value)
        if over:
            since, _, fired, _ = held if held is not None else (p.ts, p.ts, None, p.family)
            if fired is None and p.ts - since >= tuning.for_ms:
                fired = p.ts
            passed[key] = (since, p.ts, fired, p.family)
        elif held is not None and (held[2] is None or p.ts - held[1] >= KEEP_MS):
            del passed[key]
            if held[2] is not None:
                out.append(Alarm(held[2], p.ts, p.metric, held[3], p.entity, p.topic))
    for (metric, entity, topic), (_, last, fired, family) in passed.items():
        if fired is not None:
            out.append(Alarm(fired, last + KEEP_MS, metric, family, entity, topic))
    return sorted(out, key=lambda a: (a.fired_ms, a.metric, a.entity))


def _points(messages: Iterable[Message]) -> Iterator[_Point]:
    controllers: dict[str, dict[str, float]] = {}
    for m in messages:
        v = m.value
        if isinstance(v, ConsumerLag) and v.up:
            yield from _lag(m.ts, v)
        elif isinstance(v, BrokerMetrics):
            yield from _scrape(m.ts, v, controllers.setdefault(v.cluster, {}))
        elif isinstance(v, ConnectorStatus) and v.up:
            failed = sum(t.state == "FAILED" for t in v.tasks) + (v.state == "FAILED")
            e = Entity("connector", v.cluster, f"{v.connect}/{v.connector}")
            yield _Point(m.ts, "failed_tasks", "connector", e, v.topics[0] if v.topics else None, failed)
        elif isinstance(v, Topology) and v.up:
            yield from _placement(m.ts, v)


def _lag(ts: int, v: ConsumerLag) -> Iterator[_Point]:
    by_topic: dict[str, int] = {}
    for p in v.partitions:
        if p.committed is not None:
            by_topic[p.topic] = by_topic.get(p.topic, 0) + max(0, p.end - p.committed)
    for topic, lag in by_topic.items():
        yield _Point(ts, "lag", "group", Entity("group", v.cluster, v.group), topic, lag)


def _scrape(ts: int, v: BrokerMetrics, controllers: dict[str, float]) -> Iterator[_Point]:
    e = Entity(v.source.kind, v.cluster, v.source.id)
    yield _Point(ts, "down", "platform", e, None, 0 if v.up else 1)
    worst: dict[str, float] = {}
    for s in v.samples:
        name = _metric(s)
        if name == "active_controllers":
            controllers[v.source.id] = s.value
            yield _Point(ts, name, "platform", Entity("cluster", v.cluster, v.cluster), None, sum(controllers.values()))
        elif name is not None:
            worse = min if name.endswith("idle_ratio") else max
            worst[name] = worse(worst.get(name, s.value), s.value)
    for name, value in worst.items():
        yield _Point(ts, name, "platform", e, None, value)


def _metric(s: Sample) -> str | None:
    labels = s.labels or {}
    if s.signal == "request_total_ms":
        if labels.get("quantile", "0.99") != "0.99":
            return None
        request = labels.get("request", "")
        return "produce_p99_ms" if request == "Produce" else "fetch_p99_ms" if request.startswith("Fetch") else None
    return s.signal if s.signal in _LIMITS else None


def _placement(ts: int, v: Topology) -> Iterator[_Point]:
    under = offline = 0
    for t in v.topics:
        for p in t.partitions:
            under += len(p.isr) < len(p.replicas)
            offline += p.leader is None or p.leader < 0
    e = Entity("cluster", v.cluster, v.cluster)
    yield _Point(ts, "under_replicated_partitions", "platform", e, None, under)
    yield _Point(ts, "offline_partitions", "platform", e, None, offline)
