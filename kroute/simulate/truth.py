"""What was really so: who suffered of which fault, told by comparing the run with the same run without that fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kroute.simulate.happening import Happening
from kroute.simulate.model import Model
from kroute.simulate.placement import under_replicated
from kroute.simulate.spec import CLUSTER, Estate
from kroute.simulate.state import F, tally

OWNERS: dict[str, tuple[str, str]] = {
    "slow-consumer": ("S", "S"), "stopped-consumer": ("S", "S"), "poison-record": ("S", "S"), "hot-partition": ("T", "T"),
    "bad-deployment": ("S", "S"), "rebalance-storm": ("S", "S"), "planned-replay": ("S", "S"), "offset-fault": ("S", "S"),
    "traffic-surge": ("T", "T"),
    "sink-throttled": ("K", "X"), "system-throttled": ("K", "X"), "system-down": ("K", "X"), "sink-failed": ("K", "X"),
    "source-outage": ("K", "X"), "schema-problem": ("T", "T"), "connect-capacity": ("P", "P"),
    "broker-storage-pressure": ("P", "P"), "disk-full": ("P", "P"), "broker-saturation": ("P", "P"), "broker-down": ("P", "P"),
    "replica-catch-up": ("P", "P"), "controller-trouble": ("P", "P"), "noisy-tenant": ("P", "U"), "quota-throttled": ("P", "U"),
    "retry-storm": ("T", "T"), "hung-transaction": ("T", "P"), "network-rack": ("P", "N"), "network-platform": ("P", "N"),
    "cross-zone-reads": ("P", "S"), "telemetry-loss": ("P", "P"), "unauthorized-access": ("G", "T"),
    "data-class-violation": ("G", "S"), "object-store-trouble": ("P", "N"), "wal-trouble": ("P", "P"),
    "cache-thrash": ("S", "S"), "balancer-trouble": ("P", "P"), "migration-sync-lag": ("P", "P"),
    "migration-group-stuck": ("P", "S"), "migration-split-brain": ("P", "P"), "coordinator-trouble": ("P", "P"),
    "broker-memory": ("P", "P"), "records-skipped": ("S", "S"), "authentication-failure": ("P", "U"),
}  # fmt: skip
"""Cause → (diagnosis, action) by letter, the columns of the catalogue: P platform, S service of the group, K connector,
X outside system, T topic, G governance, N network, U whose principal it is. Where a fault says otherwise, that holds."""


@dataclass
class Watch:
    """Measures of one run, one row per sample: what is compared between runs."""

    every_s: float
    stale: list[F] = field(default_factory=list)
    rate: list[F] = field(default_factory=list)
    brokers: list[F] = field(default_factory=list)
    slow: list[F] = field(default_factory=list)
    short: list[F] = field(default_factory=list)
    unsettled: list[F] = field(default_factory=list)
    failed: list[F] = field(default_factory=list)
    put: list[F] = field(default_factory=list)
    moving: list[int] = field(default_factory=list)

    def look(self, m: Model) -> None:
        """Take one sample."""
        s, ix = m.s, m.ix
        self.stale.append(m.staleness())
        self.rate.append(tally(ix.p_topic, s.in_rate, len(ix.estate.topics)))
        self.brokers.append((s.up & ~s.fenced).astype(np.float64))
        self.slow.append(m.produce_ms + m.fetch_ms)
        self.short.append(under_replicated(m)[0])
        self.unsettled.append((s.phase != 0).astype(np.float64))
        self.failed.append(np.array([sum(1 for x in states if x != "RUNNING") for states in s.task_state], dtype=np.float64))
        self.put.append(s.put_ms.copy())
        self.moving.append(len(s.moving) + int(under_replicated(m)[0].sum()))


def affected(e: Estate, with_: Watch, without: Watch, h: Happening) -> list[dict[str, str]]:
    """Entities that fare worse with the fault than without it, from its onset on: two samples or more."""
    first = int(h.from_s / with_.every_s)

    def twice(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> list[int]:
        return [int(x) for x in np.flatnonzero(mask[first:].sum(axis=0) >= 2)]

    def pair(name: str) -> tuple[F, F]:
        return np.array(getattr(with_, name)), np.array(getattr(without, name))

    out: list[tuple[str, str, str]] = []
    a, b = pair("stale")
    commit = np.array([max(30.0, 1.5 * g.commit_s, 0.2 * g.batch_s) for g in e.groups])
    x, y = pair("unsettled")
    worse = {*twice(a - b > commit), *twice((x > 0) & (y == 0))}
    out += [("group", e.groups[g].cluster, e.groups[g].name) for g in sorted(worse)]
    a, b = pair("rate")
    out += [("topic", e.topics[t].cluster, e.topics[t].name) for t in twice(((a < 0.7 * b) | (a > 1.8 * b + 1.0)) & (b > 0.5))]
    a, b = pair("brokers")
    x, y = pair("slow")
    u, v = pair("short")
    worse = {*twice(a < b), *twice((x > 3 * y) & (x > y + 20)), *twice(u > v)}
    out += [("broker", e.brokers[i].cluster, str(e.brokers[i].id)) for i in sorted(worse)]
    if e.connectors:
        a, b = pair("failed")
        x, y = pair("put")
        worse = {*twice(a > b), *twice((x > 2.5 * y) & (x > y + 20))}
        out += [("connector", CLUSTER, e.connectors[i].entity) for i in sorted(worse)]
    return [
        {"kind": kind, "name": name, **({} if cluster == CLUSTER else {"cluster": cluster})}
        for kind, cluster, name in out
        if (kind, name) != h.root
    ]


def impact(e: Estate, with_: Watch, without: Watch, h: Happening) -> tuple[list[str], list[str]]:
    """Teams whose objective is breached because of the fault, and those that come near it (half of it)."""
    first = int(h.from_s / with_.every_s)
    a, b = np.array(with_.stale)[first:], np.array(without.stale)[first:]
    breached, near = set[str](), set[str]()
    for g, spec in enumerate(e.groups):
        service = e.service(spec.service)
        limit = service.freshness_s
        if ((a[:, g] > limit) & (b[:, g] <= limit)).any():
            breached.add(service.owner)
        elif ((a[:, g] > limit / 2) & (b[:, g] <= limit / 2)).any():
            near.add(service.owner)
    x, y = np.array(with_.rate)[first:], np.array(without.rate)[first:]
    for t, topic in enumerate(e.topics):
        if topic.data_age_s:
            silent = (x[:, t] < 1e-6) & (y[:, t] > 0)
            if _longest(silent) * with_.every_s > topic.data_age_s:
                breached.add(topic.owner)
    return sorted(breached), sorted(near - breached)


def _longest(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
    best = run = 0
    for yes in mask.tolist():
        run = run + 1 if yes else 0
        best = max(best, run)
    return best


def owners(e: Estate, h: Happening) -> dict[str, str]:
    """Diagnosis and action owner of a fault, from the estate's own rows."""
    diagnosis, action = OWNERS[h.what]
    out = {"diagnosis": _owner(e, diagnosis, h), "action": _owner(e, action, h)}
    return out | h.owners


def _owner(e: Estate, letter: str, h: Happening) -> str:
    kind, name = h.root
    if letter == "S" and kind == "group":
        spec = next(g for g in e.groups if g.name == name)
        return e.service(spec.service).owner
    if letter == "T" and kind == "topic":
        return e.topic(name).owner
    if letter == "U" and kind == "principal":
        return e.principal(name).owner
    if letter in "KX" and kind == "connector":
        c = next(x for x in e.connectors if x.entity == name)
        return c.owner if letter == "K" else e.system(c.system).owner
    if letter == "X" and kind == "system":
        return e.system(name).owner
    if letter == "K":
        return next((c.owner for c in e.connectors if name in (c.system, c.topic)), e.platform_team)
    return {"G": e.governance_team, "N": e.network_team}.get(letter, e.platform_team)
