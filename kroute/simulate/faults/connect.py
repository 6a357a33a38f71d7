"""Faults of Connect: one sink that is held back or fails, an outside system that is slow or gone, a worker without time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kroute.simulate.connect import TRACES
from kroute.simulate.happening import Draft, Happening
from kroute.simulate.spec import CLUSTER

if TYPE_CHECKING:
    from kroute.simulate.model import Model


def _sinks(d: Draft) -> list[str]:
    return [c.name for c in d.model.ix.estate.connectors if c.type == "sink"]


def _shared(d: Draft) -> list[str]:
    """Systems with at least two sinks, else any with one."""
    e = d.model.ix.estate
    count = {x.name: sum(1 for c in e.connectors if c.type == "sink" and c.system == x.name) for x in e.systems}
    return [n for n, c in count.items() if c >= 2] or [n for n, c in count.items() if c]


def _throttled(d: Draft) -> Happening:
    """The system holds back this one sink: its index, table or credentials' budget."""
    e, ix = d.model.ix.estate, d.model.ix
    name = d.free("connector", _sinks(d))
    i = ix.connectors[name]
    headroom = e.groups[ix.groups[(CLUSTER, e.connectors[i].group)]].headroom
    slower = headroom * d.uniform(1.3, 6)

    def effect(m: Model, level: float) -> None:
        m.k.put[i] = 1.0 + (slower - 1.0) * level

    return Happening("sink-throttled", ("connector", e.connectors[i].entity), d.from_s, d.to_s, d.uniform(0, 240), effect,
                     severity=slower)  # fmt: skip


def _system_slow(d: Draft) -> Happening:
    name = d.free("system", _shared(d))
    i = d.model.ix.systems[name]
    slower = d.uniform(5, 25)

    def effect(m: Model, level: float) -> None:
        m.k.system[i] = 1.0 + (slower - 1.0) * level

    return Happening("system-throttled", ("system", name), d.from_s, d.to_s, d.uniform(0, 300), effect, severity=slower)


def _system_down(d: Draft) -> Happening:
    name = d.free("system", _shared(d))
    ix = d.model.ix
    i = ix.systems[name]
    trace = TRACES[d.pick(["refused", "timeout", "unavailable"])]
    mine = [c for c, x in enumerate(ix.estate.connectors) if x.system == name]

    def effect(m: Model, level: float) -> None:
        m.k.system_up[i] = 0.0
        m.k.system[i] = 200.0  # what is not refused waits for its timeout
        for c in mine:
            m.s.trace_text[c] = trace

    return Happening("system-down", ("system", name), d.from_s, d.to_s, 0, effect)


def _failed(d: Draft) -> Happening:
    e, ix = d.model.ix.estate, d.model.ix
    name = d.free("connector", _sinks(d))
    i = ix.connectors[name]
    c = e.connectors[i]
    why = d.pick(["credentials", "mapping", "config", "timeout"])
    owner = e.system(c.system).owner if why == "timeout" else c.owner

    def effect(m: Model, level: float) -> None:
        m.s.trace_text[i] = TRACES[why]
        m.k.task_dies[i] = 0.1

    return Happening("sink-failed", ("connector", c.entity), d.from_s, d.to_s, 0, effect, note=why, owners={"action": owner})


def _capacity(d: Draft) -> Happening:
    e = d.model.ix.estate
    id_ = d.free("connect-worker", [w.id for w in e.workers])
    i = d.model.ix.workers[id_]
    left = d.uniform(0.06, 0.3)

    def effect(m: Model, level: float) -> None:
        m.k.worker[i] = 1.0 - (1.0 - left) * level

    return Happening("connect-capacity", ("connect-worker", e.workers[i].name), d.from_s, d.to_s, d.uniform(0, 180), effect,
                     severity=1 - left)  # fmt: skip


MAKERS = {
    "sink-throttled": _throttled,
    "system-throttled": _system_slow,
    "system-down": _system_down,
    "sink-failed": _failed,
    "connect-capacity": _capacity,
}
