"""A topology poll as a tally: a few numbers per broker and some names, whatever the number of partitions."""

from __future__ import annotations

import msgspec

from kroute.contracts.inputs import BrokerInfo, Controller, TopicInfo, Topology

SAMPLES = 20
"""Partitions named per condition; the total is told besides."""


class Count(msgspec.Struct, array_like=True):
    """How many partitions, and the first of them as ``topic/n``."""

    n: int = 0
    names: list[str] = []


class Tally(msgspec.Struct, array_like=True):
    """What one poll, or some parts of it, says. Broker ids are keys; counts are of partitions (replicas for ``hosts``)."""

    listed: dict[int, str] = {}
    """Broker → alive | fenced | gone."""
    racks: dict[int, str] = {}
    disks: dict[int, float] = {}
    """Broker → the fullest log directory's used ratio (0–1)."""
    dir_errors: dict[int, list[str]] = {}
    """Broker that lists log directories → those with an error, ``path: error``."""
    partitions: int = 0
    leads: dict[int, int] = {}
    hosts: dict[int, int] = {}
    behind: dict[int, int] = {}
    """Broker → replicas missing from the ISR, those that are being added not counted."""
    under: Count = msgspec.field(default_factory=Count)
    under_min: Count = msgspec.field(default_factory=Count)
    offline: Count = msgspec.field(default_factory=Count)
    moving: Count = msgspec.field(default_factory=Count)
    min_known: bool = False
    controller: Controller | None = None
    open: dict[str, tuple[int, list[str]]] = {}
    """Open transaction → epoch ms of its start, its partitions."""


def tally(m: Topology) -> Tally:
    """Reduce one message. One pass over the partitions; a healthy one costs a few comparisons."""
    t = Tally(controller=m.controller)
    for b in m.brokers:
        t.listed[b.id] = b.state
        if b.rack:
            t.racks[b.id] = b.rack
        _disks(t, b)
    for topic in m.topics:
        _topic(t, topic)
    for x in m.transactions:
        if x.started_at_ms is not None and x.state.lower() in ("ongoing", "preparecommit", "prepareabort"):
            t.open[x.id] = (x.started_at_ms, [f"{name}/{p}" for name, p in x.partitions[:SAMPLES]])
    return t


def add(a: Tally, b: Tally) -> Tally:
    """Two parts of one poll together."""
    return Tally(
        listed=a.listed | b.listed,
        racks=a.racks | b.racks,
        disks=a.disks | b.disks,
        dir_errors=a.dir_errors | b.dir_errors,
        partitions=a.partitions + b.partitions,
        leads=_sum(a.leads, b.leads),
        hosts=_sum(a.hosts, b.hosts),
        behind=_sum(a.behind, b.behind),
        under=_both(a.under, b.under),
        under_min=_both(a.under_min, b.under_min),
        offline=_both(a.offline, b.offline),
        moving=_both(a.moving, b.moving),
        min_known=a.min_known or b.min_known,
        controller=a.controller or b.controller,
        open=a.open | b.open,
    )


def _disks(t: Tally, b: BrokerInfo) -> None:
    if not b.log_dirs:
        return
    t.dir_errors[b.id] = [f"{d.path}: {d.error}" for d in b.log_dirs if d.error]
    used = [
        1.0 - d.usable_bytes / d.total_bytes
        for d in b.log_dirs
        if d.total_bytes is not None and d.total_bytes > 0 and d.usable_bytes is not None and 0 <= d.usable_bytes <= d.total_bytes
    ]
    if used:
        t.disks[b.id] = max(used)


def _topic(t: Tally, topic: TopicInfo) -> None:
    text = topic.config.get("min.insync.replicas", "")
    least = int(text) if text.isdecimal() else 0
    t.min_known = t.min_known or least > 0
    leads, hosts = t.leads, t.hosts
    t.partitions += len(topic.partitions)
    for p in topic.partitions:
        leader, replicas, isr = p.leader, p.replicas, p.isr
        for r in replicas:
            hosts[r] = hosts.get(r, 0) + 1
        if leader is None or leader < 0:
            _name(t.offline, topic.name, p.id)
        else:
            leads[leader] = leads.get(leader, 0) + 1
        if p.adding or p.removing:
            _name(t.moving, topic.name, p.id)
        if len(isr) < len(replicas):
            _name(t.under, topic.name, p.id)
            for r in replicas:
                if r not in isr and r not in p.adding:
                    t.behind[r] = t.behind.get(r, 0) + 1
        if least and len(isr) < min(least, len(replicas)):
            _name(t.under_min, topic.name, p.id)


def _name(count: Count, topic: str, partition: int) -> None:
    count.n += 1
    if len(count.names) < SAMPLES:
        count.names.append(f"{topic}/{partition}")


def _sum(a: dict[int, int], b: dict[int, int]) -> dict[int, int]:
    out = dict(a)
    for k, v in b.items():
        out[k] = out.get(k, 0) + v
    return out


def _both(a: Count, b: Count) -> Count:
    return Count(a.n + b.n, [*a.names, *b.names][:SAMPLES])
