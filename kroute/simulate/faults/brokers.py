"""Faults of one broker: its disk, its handlers, its memory, its process, its write-ahead log, its group coordinator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate.happening import Draft, Happening
from kroute.simulate.spec import CLUSTER

if TYPE_CHECKING:
    from kroute.simulate.model import Model


def draw(d: Draft) -> tuple[str, int]:
    """A broker of the main cluster: name and position. The estate keeps one free for the rest of its work."""
    name = d.free("broker", [str(b.id) for b in d.model.ix.estate.brokers if b.cluster == CLUSTER])
    return name, d.model.ix.brokers[(CLUSTER, int(name))]


def _storage(d: Draft) -> Happening:
    name, b = draw(d)
    left = float(np.clip(d.model.disk_wait[b] / d.uniform(0.95, 2.0), 0.01, 0.9))
    fuller = d.uniform(0.0, 0.2)

    def effect(m: Model, level: float) -> None:
        m.k.disk[b] = 1.0 - (1.0 - left) * level
        m.k.disk_fill[b] = fuller * level

    return Happening("broker-storage-pressure", ("broker", name), d.from_s, d.to_s, d.uniform(0, 300), effect, severity=1 - left)


def _full(d: Draft) -> Happening:
    name, b = draw(d)
    ramp = d.uniform(240, 600)

    def effect(m: Model, level: float) -> None:
        m.k.disk_fill[b] = level * (1.0 - m.ix.estate.brokers[b].disk_used) * 1.02
        if m.s.disk_used[b] >= 0.995:
            m.k.log_dir[b] = False  # ENOSPC: the broker takes the directory offline

    return Happening("disk-full", ("broker", name), d.from_s, d.to_s, ramp, effect)


def _saturated(d: Draft) -> Happening:
    name, b = draw(d)
    left = float(np.clip(d.model.handler_use[b] / d.uniform(0.9, 1.9), 0.02, 0.9))
    net = d.chance(0.3)
    narrow = float(np.clip(d.model.net_use[b] / d.uniform(0.95, 1.7), 0.02, 0.9))

    def effect(m: Model, level: float) -> None:
        if net:
            m.k.net[b] = 1.0 - (1.0 - narrow) * level
        else:
            m.k.threads[b] = 1.0 - (1.0 - left) * level

    return Happening("broker-saturation", ("broker", name), d.from_s, d.to_s, d.uniform(0, 240), effect,
                     note="network" if net else "handlers")  # fmt: skip


def _down(d: Draft) -> Happening:
    name, b = draw(d)
    loops = d.chance(0.2)
    period = d.uniform(120, 240)

    def effect(m: Model, level: float) -> None:
        if not loops or (m.now_s - d.from_s) % period < period * 0.7:
            m.k.process[b] = False

    return Happening("broker-down", ("broker", name), d.from_s, d.to_s, 0, effect, note="crash loop" if loops else "")


def _memory(d: Draft) -> Happening:
    name, b = draw(d)
    target = d.uniform(0.88, 1.0)
    ramp = d.uniform(120, 600)

    def effect(m: Model, level: float) -> None:
        live = m.ix.estate.brokers[b].heap_live / m.ix.estate.brokers[b].heap
        m.k.leak[b] = max(0.0, target - live) * level

    return Happening("broker-memory", ("broker", name), d.from_s, d.to_s, ramp, effect, severity=target)


def _coordinator(d: Draft) -> Happening:
    e, ix = d.model.ix.estate, d.model.ix
    count = np.bincount(d.model.s.coordinator, minlength=len(e.brokers))
    names = [str(x.id) for i, x in enumerate(e.brokers) if x.cluster == CLUSTER and count[i] >= min(3, int(count.max()))]
    name = d.free("broker", names)
    b = ix.brokers[(CLUSTER, int(name))]
    left = d.uniform(0.0, 0.15) if d.chance(0.6) else d.uniform(0.2, 0.45)

    def effect(m: Model, level: float) -> None:
        m.k.coordinator[b] = left

    return Happening("coordinator-trouble", ("broker", name), d.from_s, d.to_s, 0, effect, severity=1 - left)


def _wal(d: Draft) -> Happening:
    name, b = draw(d)
    left = float(np.clip(d.model.disk_wait[b] / d.uniform(0.95, 2.5), 0.01, 0.9))

    def effect(m: Model, level: float) -> None:
        m.k.wal[b] = 1.0 - (1.0 - left) * level

    return Happening("wal-trouble", ("broker", name), d.from_s, d.to_s, d.uniform(0, 180), effect, severity=1 - left)


MAKERS = {
    "broker-storage-pressure": _storage,
    "disk-full": _full,
    "broker-saturation": _saturated,
    "broker-down": _down,
    "broker-memory": _memory,
    "coordinator-trouble": _coordinator,
    "wal-trouble": _wal,
}
