"""Samples of one scrape: healthy by default, overridden by what the series of a case say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kroute.testing.offsets import Log
from kroute.testing.placement import Placement
from kroute.testing.signals import Signals
from kroute.testing.vocabulary import AUTOMQ, BROKER, BYTES_PER_RECORD, KAFKA, LINK, OWN, PROBE, SCRAPED, WORKER, Sample
from kroute.testing.world import World

Plain = dict[str, Any]
_SHARED = ("_rate", "_count")
"""Endings of signals that add up over brokers: what a series states for the cluster is spread over them."""


def broker_samples(world: World, signals: Signals, log: Log, placement: Placement, broker: int, step: int) -> list[Plain]:
    """One broker's scrape, with what it tells of topics, principals, groups and the cluster."""
    usual: list[Sample] = [*BROKER, *(KAFKA if world.case.spec.platform == "kafka" else AUTOMQ)]
    usual += _traffic(world, log, placement, broker, step)
    usual.append(("active_controllers", {}, 1.0 if placement.controller_id(step) == broker else 0.0))
    out = _overridden(signals, "broker", str(broker), step, usual)
    alive = [b for b in world.brokers if placement.state(b, step) == "alive"]
    if broker not in alive:
        return out
    out += _cluster(signals, placement, broker, step)
    for p in world.principals:
        out += _spread(signals, "principal", p, {"user": p}, step, len(alive))
    for t in world.topics:
        out += _spread(signals, "topic", t, {"topic": t}, step, len(alive))
    for g in world.groups:
        out += _spread(signals, "group", g, {"group": g}, step, len(alive))
    return out


def _traffic(world: World, log: Log, placement: Placement, broker: int, step: int) -> list[Sample]:
    led = behind = 0.0
    for t in world.topics:
        for p, replicas in enumerate(world.replicas[t]):
            ends = log.ends[t, p]
            k = min(step, len(ends) - 2)
            rate = 0.0 if k < 0 else (ends[k + 1] - ends[k]) * 1000 / world.case.every_ms
            if placement.leader(t, p, step) == broker:
                led += rate
            elif broker in replicas:
                behind += rate
    return [
        ("bytes_in_rate", {}, led * BYTES_PER_RECORD),
        ("bytes_out_rate", {}, led * BYTES_PER_RECORD * 2),
        ("messages_in_rate", {}, led),
        ("replication_bytes_in_rate", {}, behind * BYTES_PER_RECORD),
    ]


def _cluster(signals: Signals, placement: Placement, broker: int, step: int) -> list[Plain]:
    if placement.controller_id(step) != broker:
        return []
    return [_sample(n, ls, v) for n, ls, v in _stated(signals, "cluster", "", step)]


def _spread(signals: Signals, kind: str, name: str, label: dict[str, str], step: int, brokers: int) -> list[Plain]:
    out = []
    for n, labels, v in _stated(signals, kind, name, step):
        out.append(_sample(n, {**label, **labels}, v / brokers if n.endswith(_SHARED) else v))
    return out


def _stated(signals: Signals, kind: str, name: str, step: int) -> Iterable[Sample]:
    """Samples of the vocabulary that series state for an entity, one per set of labels."""
    for n in signals.named(kind, name):
        if n in OWN.get(kind, ()) or n not in SCRAPED:
            continue
        told: set[tuple[tuple[str, str], ...]] = set()
        for s in signals.of(kind, name, n):
            if s.labels in told:
                continue
            told.add(s.labels)
            v = signals.number(kind, name, n, step, None, dict(s.labels))
            if v is not None:
                yield n, dict(s.labels), v


def labelled(
    signals: Signals, kind: str, name: str, step: int, usual: Mapping[str, float], labels: dict[str, str]
) -> list[Sample]:
    """A task's metrics: the usual ones and what series say of it."""
    names = {**dict.fromkeys(usual), **dict.fromkeys(n for n in signals.named(kind, name) if n not in OWN[kind])}
    out: list[Sample] = []
    for n in names:
        v = signals.number(kind, name, n, step, usual.get(n), labels)
        if v is not None:
            out.append((n, labels, v))
    return out


def worker_samples(signals: Signals, name: str, step: int) -> list[Plain]:
    """A Connect worker's scrape."""
    return _overridden(signals, "connect-worker", name, step, WORKER)


def probe_samples(signals: Signals, name: str, step: int) -> list[Plain]:
    """An end-to-end probe's scrape in one rack."""
    return _overridden(signals, "rack", name, step, [(n, {**ls, "rack": name}, v) for n, ls, v in PROBE])


def link_samples(signals: Signals, name: str, step: int) -> list[Plain]:
    """A link's scrape."""
    return _overridden(signals, "link", name, step, LINK)


def _overridden(signals: Signals, kind: str, name: str, step: int, usual: Iterable[Sample]) -> list[Plain]:
    out: list[Plain] = []
    told: set[str] = set()
    for n, labels, default in usual:
        told.add(n)
        v = signals.number(kind, name, n, step, default, labels)
        if v is not None:
            out.append(_sample(n, labels, v))
    have = [(s["signal"], s.get("labels", {})) for s in out]
    for n, labels, v in _stated(signals, kind, name, step):
        covered = any(m == n and labels.items() <= ls.items() for m, ls in have)
        if not covered and (labels or n not in told):
            out.append(_sample(n, labels, v))
    return out


def _sample(name: str, labels: dict[str, str], value: float) -> Plain:
    return {"signal": name, "value": value, **({"labels": labels} if labels else {})}
