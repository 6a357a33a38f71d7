"""Faults of one topic: a hot key, a surge, a silent source, a bad schema, retries, a reader without a right to its data class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate.connect import TRACES
from kroute.simulate.consume import ABSENT, EMPTY, rebalance
from kroute.simulate.happening import Draft, Happening, NoRoom
from kroute.simulate.spec import CLUSTER

if TYPE_CHECKING:
    from kroute.simulate.model import Model


def _topics(d: Draft, *, readers: int = 1) -> list[str]:
    e = d.model.ix.estate
    count = {t.name: sum(1 for g in e.groups if t.name in g.topics and not g.batch_s) for t in e.topics}
    return [t.name for t in e.topics if t.cluster == CLUSTER and not t.link and count[t.name] >= readers]


def _hot(d: Draft) -> Happening:
    e = d.model.ix.estate
    several = _topics(d, readers=2)
    name = d.free("topic", [n for n in several if e.topic(n).partitions >= 6] or several or _topics(d))
    t = d.model.ix.topics[(CLUSTER, name)]
    p = d.model.ix.of_topic(t).start + int(d.rng.integers(e.topics[t].partitions))
    factor = d.uniform(6, 25)
    more = d.uniform(1.0, 1.6)

    def effect(m: Model, level: float) -> None:
        m.k.share[p] = 1.0 + (factor - 1.0) * level
        m.k.topic_rate[t] *= 1.0 + (more - 1.0) * level

    return Happening("hot-partition", ("topic", name), d.from_s, d.to_s, d.uniform(0, 180), effect,
                     note=f"{name}/{int(d.model.ix.p_number[p])}")  # fmt: skip


def _surge(d: Draft) -> Happening:
    e = d.model.ix.estate
    name = d.free("topic", _topics(d, readers=2))
    t = d.model.ix.topics[(CLUSTER, name)]
    room = sorted(g.headroom for g in e.groups if name in g.topics and not g.batch_s)
    factor = max(1.8, d.uniform(1.15, 1.8) * room[len(room) // 2])  # half of its readers have room for less

    def effect(m: Model, level: float) -> None:
        m.k.topic_rate[t] *= 1.0 + (factor - 1.0) * level

    return Happening("traffic-surge", ("topic", name), d.from_s, d.to_s, d.uniform(0, 60), effect)


def _source_outage(d: Draft) -> Happening:
    e, ix = d.model.ix.estate, d.model.ix
    fed = [t.name for t in e.topics if t.source is not None]
    by_connector = bool(fed) and d.chance(0.6)
    steady = [n for n in _topics(d) if e.topic(n).source is None and e.topic(n).rate > 30]
    name = d.free("topic", fed if by_connector else steady or fed)
    t = ix.topics[(CLUSTER, name)]
    spec = e.topics[t]
    if spec.source is None:

        def silent(m: Model, level: float) -> None:
            m.k.topic_rate[t] = 0.0

        return Happening("source-outage", ("topic", name), d.from_s, d.to_s, 0, silent, note="application",
                         owners={"diagnosis": spec.owner, "action": spec.owner})  # fmt: skip
    c = ix.connectors[spec.source]
    system = e.connectors[c].system
    fails = d.chance(0.7)

    def effect(m: Model, level: float) -> None:
        if fails:
            m.s.trace_text[c] = TRACES["slot"]
            m.k.task_dies[c] = 0.2
        else:
            m.k.topic_rate[t] = 0.0  # the database gives nothing, and the task waits

    owners = {"diagnosis": e.connectors[c].owner, "action": e.system(system).owner}
    return Happening("source-outage", ("topic", name), d.from_s, d.to_s, 0, effect, owners=owners,
                     note="task fails" if fails else "silent")  # fmt: skip


def _schema(d: Draft) -> Happening:
    e, ix = d.model.ix.estate, d.model.ix
    name = d.free("topic", _topics(d, readers=2) or _topics(d))
    t = ix.topics[(CLUSTER, name)]
    rows = np.flatnonzero(ix.p_topic[ix.k_part] == t)
    sinks = [i for i, c in enumerate(e.connectors) if c.type == "sink" and c.topic == name]
    tolerant = [i for i in sinks if d.chance(0.5)]
    stuck = [int(k) for k in rows if e.groups[ix.k_group[k]].connector is None]
    share = d.uniform(0.1, 1.0)
    state: dict[int, float] = {}

    def effect(m: Model, level: float) -> None:
        m.k.bad[t] = share
        for k in stuck:
            # the first record of the new schema stops a reader that cannot read it
            m.k.blocked[k] = state.setdefault(k, float(np.floor(m.s.end[ix.k_part[k]])))
        for i in sinks:
            if i not in tolerant:
                m.s.trace_text[i] = TRACES["schema"]
                m.k.task_dies[i] = 0.03

    change = {**d.change("schema", ("topic", name), d.from_s - 8, d.from_s, version=int(d.rng.integers(3, 40)))}
    return Happening("schema-problem", ("topic", name), d.from_s, d.to_s, 0, effect,
                     changes=[change] if d.chance(0.85) else [])  # fmt: skip


def _retries(d: Draft) -> Happening:
    name = d.free("topic", [n for n in _topics(d) if d.model.ix.estate.topic(n).source is None] or _topics(d))
    t = d.model.ix.topics[(CLUSTER, name)]
    storm = d.uniform(3, 25)

    def effect(m: Model, level: float) -> None:
        m.k.resend[t] = storm * level

    return Happening("retry-storm", ("topic", name), d.from_s, d.to_s, d.uniform(0, 120), effect, severity=storm)


def _class_violation(d: Draft) -> Happening:
    """A group of a service without that class begins to read a classed topic: nothing gets slow, somebody reads."""
    e, ix = d.model.ix.estate, d.model.ix

    def strangers(name: str) -> list[int]:
        """Groups whose service reads the class through this one subscription only."""
        class_ = e.topic(name).data_class
        out = []
        for g, x in enumerate(e.groups):
            read = [t for y in e.groups if y.service == x.service for t in y.topics if e.topic(t, y.cluster).data_class == class_]
            if x.connector is None and not x.batch_s and read == [name] and name in x.topics:
                out.append(g)
        return out

    classed = [n for n in _topics(d) if e.topic(n).data_class and strangers(n)]
    if not classed:
        raise NoRoom("nobody to read a classed topic without a right")
    name = d.free("topic", classed)
    t = ix.topics[(CLUSTER, name)]
    g = int(d.pick(strangers(name)))
    spec = e.groups[g]
    rows = np.array([k for k in range(ix.g_rows[g].start, ix.g_rows[g].stop) if ix.p_topic[ix.k_part[k]] == t])
    e.refused[spec.service] = e.topics[t].data_class or ""
    alone = len(spec.topics) == 1

    def hide(m: Model) -> None:
        m.hidden[rows] = True
        m.s.holder[rows] = -1
        if alone:
            m.s.group_on[g] = False

    def begin(m: Model) -> None:
        m.hidden[rows] = False
        m.s.pos[rows] = m.s.committed[rows] = np.floor(m.s.end[ix.k_part[rows]])
        if alone:
            m.s.group_on[g], m.s.phase[g] = True, EMPTY
        rebalance(m, g)

    hide(d.model)
    if alone:
        d.model.s.phase[g] = ABSENT
        d.model.s.member_in[ix.of_group_members(g)] = False
    return Happening("data-class-violation", ("topic", name), d.from_s, d.to_s, 0, None, begin, hide, note=f"read by {spec.name}",
                     owners={"action": e.service(spec.service).owner})  # fmt: skip


def _thrash(d: Draft) -> Happening:
    """Several readers go far back on one topic at once: the cache of its brokers serves nobody."""
    e, ix = d.model.ix.estate, d.model.ix
    name = d.free("topic", _topics(d, readers=2) or _topics(d))
    groups = [g for g, x in enumerate(e.groups) if name in x.topics and x.connector is None and x.cluster == CLUSTER]
    if not groups:
        groups = [g for g, x in enumerate(e.groups) if name in x.topics and x.cluster == CLUSTER]
    back = {g: d.uniform(2 * 3600, 12 * 3600) for g in groups[:3]}
    tight = d.uniform(0.25, 0.7)
    leaders = np.unique(d.model.s.leader[ix.of_topic(ix.topics[(CLUSTER, name)])])

    def begin(m: Model) -> None:
        for g, seconds in back.items():
            rows = np.array([k for k in range(ix.g_rows[g].start, ix.g_rows[g].stop)
                             if e.topics[ix.p_topic[ix.k_part[k]]].name == name])  # fmt: skip
            parts = ix.k_part[rows]
            to = np.maximum(m.s.end[parts] - m.mean_rate[ix.p_topic[parts]] * m.share[parts] * seconds, m.s.start[parts])
            m.s.pos[rows] = m.s.committed[rows] = np.floor(np.minimum(to, m.s.committed[rows]))

    def effect(m: Model, level: float) -> None:
        m.k.cache[leaders] *= tight
        for g in back:
            m.k.capacity[ix.of_group_members(g)] *= 2.0

    owner = e.service(e.groups[groups[0]].service).owner
    return Happening("cache-thrash", ("topic", name), d.from_s, d.to_s, 0, effect, begin,
                     owners={"diagnosis": owner, "action": owner})  # fmt: skip


MAKERS = {
    "hot-partition": _hot,
    "traffic-surge": _surge,
    "source-outage": _source_outage,
    "schema-problem": _schema,
    "retry-storm": _retries,
    "data-class-violation": _class_violation,
    "cache-thrash": _thrash,
}
