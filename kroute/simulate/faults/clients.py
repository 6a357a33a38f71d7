"""Faults of client identities: floods, quotas, denials, credentials that no longer hold, a transaction that nobody ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate.brokers import CONNECTION_BYTES
from kroute.simulate.happening import Draft, Happening, NoRoom
from kroute.simulate.spec import CLUSTER

if TYPE_CHECKING:
    from kroute.simulate.model import Model


def _writers(d: Draft) -> list[str]:
    e = d.model.ix.estate
    return sorted({p for t in e.topics if t.cluster == CLUSTER and not t.link and t.source is None for p in t.producers})


def _own_rate(d: Draft, u: int) -> float:
    """Bytes/s that a principal usually produces."""
    m = d.model
    return float((m.writers[:, u] * m.mean_rate * m.ix.record_bytes).sum())


def _noisy(d: Draft) -> Happening:
    name = d.free("principal", _writers(d))
    m0, ix = d.model, d.model.ix
    u = ix.principals[name]
    main = ix.broker_cluster == 0
    how = d.pick(["bytes", "requests", "connections"])
    own = max(_own_rate(d, u), 1.0)
    total = float((m0.mean_rate * ix.record_bytes).sum())
    grow = d.uniform(2.2, 5.0)
    flood = 1.0 + total * (grow - 1.0) / own
    room = float((np.clip(d.uniform(0.9, 1.7) - m0.handler_use, 0.1, None) * 8000.0 / m0.service_ms)[main].sum())
    chatter = 1.0 + room / m0.usual_user_requests[u]
    target = d.uniform(0.75, 0.97)
    spec = ix.estate.brokers[0]
    many = 1.0 + max(target * spec.heap - spec.heap_live, 1e8) / CONNECTION_BYTES / m0.usual_connections[u]

    def effect(m: Model, level: float) -> None:
        if how == "bytes":
            m.k.user_rate[u] = 1.0 + (flood - 1.0) * level
        elif how == "requests":
            m.k.user_requests[u] = 1.0 + (chatter - 1.0) * level
        else:
            m.k.user_connections[u] = 1.0 + (many - 1.0) * level

    return Happening("noisy-tenant", ("principal", name), d.from_s, d.to_s, d.uniform(30, 300), effect, note=how)


def _quota(d: Draft) -> Happening:
    names = [n for n in _writers(d) if _own_rate(d, d.model.ix.principals[n]) > 1e4]
    name = d.free("principal", names)
    u = d.model.ix.principals[name]
    quota = _own_rate(d, u) * d.uniform(0.3, 0.85)

    def effect(m: Model, level: float) -> None:
        m.k.quota[u] = quota

    changes = [d.change("quota", ("principal", name), d.from_s - 5, d.from_s, value=round(quota))] if d.chance(0.4) else []
    return Happening("quota-throttled", ("principal", name), d.from_s, d.to_s, 0, effect, changes=changes)


def _unauthorized(d: Draft) -> Happening:
    e = d.model.ix.estate
    name = d.free("principal", [p.name for p in e.principals if p.name != "svc-connect"])
    u = d.model.ix.principals[name]
    owner = e.principal(name).owner
    foreign = [t for t in e.topics if t.cluster == CLUSTER and t.owner != owner]
    topic = d.pick(foreign)
    rate = d.uniform(0.3, 20)

    def effect(m: Model, level: float) -> None:
        m.k.denied[u] = rate
        m.denied_resource[u] = topic.name

    return Happening("unauthorized-access", ("principal", name), d.from_s, d.to_s, 0, effect, severity=rate,
                     owners={"action": topic.owner}, note=topic.name)  # fmt: skip


def _credentials(d: Draft) -> Happening:
    e = d.model.ix.estate
    name = d.free("principal", [p.name for p in e.principals if p.name != "svc-connect"])
    u = d.model.ix.principals[name]
    share = d.uniform(0.5, 1.0) if d.chance(0.5) else 1.0

    def effect(m: Model, level: float) -> None:
        m.k.unauthenticated[u] = share * level  # connections end one by one and cannot be made again

    return Happening("authentication-failure", ("principal", name), d.from_s, d.to_s, d.uniform(10, 240), effect, severity=share)


def _hung(d: Draft) -> Happening:
    e, ix = d.model.ix.estate, d.model.ix
    read = {t for g in e.groups if g.read_committed and g.cluster == CLUSTER for t in g.topics}
    topics = [t for t in e.topics if t.txn_s and t.cluster == CLUSTER and t.name in read]
    if not topics:
        raise NoRoom("no transactional topic with a read_committed reader")
    topic = d.pick(topics)
    first = ix.of_topic(ix.topics[(CLUSTER, topic.name)]).start
    count = int(d.rng.integers(1, topic.partitions + 1))
    parts = sorted(first + int(x) for x in d.rng.choice(topic.partitions, size=count, replace=False))
    name = d.free("transaction", [f"{topic.producers[0]}-tx-{int(d.rng.integers(10, 99))}"])

    def begin(m: Model) -> None:
        m.s.txn_open[parts] = np.floor(m.s.stable[parts])
        m.hung[name] = (m.now_ms, parts)

    def end(m: Model) -> None:
        m.s.txn_open[parts] = np.inf
        m.hung.pop(name, None)

    return Happening("hung-transaction", ("transaction", name), d.from_s, d.to_s, 0, None, begin, end,
                     owners={"diagnosis": topic.owner}, note=topic.name)  # fmt: skip


MAKERS = {
    "noisy-tenant": _noisy,
    "quota-throttled": _quota,
    "unauthorized-access": _unauthorized,
    "authentication-failure": _credentials,
    "hung-transaction": _hung,
}
