"""What happens on an estate without anything being wrong: deploys that work, scaling, replays, moves, restarts, peaks, nights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate.faults.groups import candidates, position, rewind
from kroute.simulate.faults.shared import moves
from kroute.simulate.happening import Draft, Happening
from kroute.simulate.spec import CLUSTER

if TYPE_CHECKING:
    from kroute.simulate.model import Model


def _deploy(d: Draft) -> Happening:
    name = d.free("group", candidates(d))
    g = position(d, name)
    spec = d.model.ix.estate.groups[g]
    rows = d.model.ix.of_group_members(g)
    each = d.uniform(8, 15)
    to_s = min(d.to_s, d.from_s + each * spec.members + 30)

    def effect(m: Model, level: float) -> None:
        slot, phase = divmod(m.now_s - d.from_s, each)
        if slot < spec.members:
            m.k.member_up[rows.start + int(slot)] = phase > each * 0.5

    change = d.change("deploy", ("group", name), d.from_s - 5, to_s, version=f"2.{int(d.rng.integers(10, 99))}")
    return Happening("deploy", ("group", name), d.from_s, to_s, 0, effect, fault=False, changes=[change])


def _scale(d: Draft) -> Happening:
    name = d.free("group", candidates(d))
    g = position(d, name)

    def begin(m: Model) -> None:
        m.s.scaled[g] += max(1, m.ix.estate.groups[g].members // 2)

    change = d.change("scale", ("group", name), d.from_s - 5, d.from_s + 60)
    return Happening("scale-out", ("group", name), d.from_s, d.from_s + 60, 0, None, begin, fault=False, changes=[change])


def _replay(d: Draft) -> Happening:
    """Declared for as long as it takes."""
    name = d.free("group", candidates(d))
    back_s = min(d.uniform(300, 1800), 0.5 * (d.to_s - d.from_s))
    return rewind(d, "replay", name, back_s, fault=False, announced=True, speed=1.5)


def _reassign(d: Draft) -> Happening:
    return moves(d, "reassignment", d.uniform(0.03, 0.1), fault=False, announced=True)


def _rolling(d: Draft) -> Happening:
    brokers = [i for i, b in enumerate(d.model.ix.estate.brokers) if b.cluster == CLUSTER]
    span = (d.to_s - d.from_s) / len(brokers)
    down = min(d.uniform(20, 45), span * 0.5)

    def effect(m: Model, level: float) -> None:
        n, phase = divmod(m.now_s - d.from_s, span)
        # each waits until the one before is in sync again
        others = np.array(brokers[: int(n)], dtype=np.int64)
        if int(n) < len(brokers) and phase < down and (not len(others) or m.s.up[others].all()):
            m.k.process[brokers[int(n)]] = False

    change = d.change("maintenance", ("cluster", CLUSTER), d.from_s - 30, d.to_s, what="rolling restart")
    return Happening("rolling-restart", ("cluster", CLUSTER), d.from_s, d.to_s, 0, effect, fault=False, changes=[change])


def _peak(d: Draft) -> Happening:
    names = [t.name for t in d.model.ix.estate.topics if t.cluster == CLUSTER and not t.link]
    name = d.free("topic", names)
    t = d.model.ix.topics[(CLUSTER, name)]
    least = min((g.headroom for g in d.model.ix.estate.groups if name in g.topics and not g.batch_s), default=2.0)
    factor = min(d.uniform(1.3, 2.0), max(1.1, least * 0.7))

    def effect(m: Model, level: float) -> None:
        rise = np.sin(np.pi * (m.now_s - d.from_s) / (d.to_s - d.from_s))
        m.k.topic_rate[t] *= 1.0 + (factor - 1.0) * float(rise)

    return Happening("traffic-peak", ("topic", name), d.from_s, d.to_s, 0, effect, fault=False)


def _quiet(d: Draft) -> Happening:
    name = d.free("topic", [t.name for t in d.model.ix.estate.topics if t.cluster == CLUSTER and not t.link])
    t = d.model.ix.topics[(CLUSTER, name)]
    left = d.uniform(0.1, 0.4)

    def effect(m: Model, level: float) -> None:
        fall = min(1.0, (m.now_s - d.from_s) / 600.0) * min(1.0, (d.to_s - m.now_s) / 300.0)
        m.k.topic_rate[t] *= 1.0 - (1.0 - left) * max(fall, 0.0)

    return Happening("quiet-night", ("topic", name), d.from_s, d.to_s, 0, effect, fault=False)


def standing(d: Draft) -> list[Happening]:
    """What is there in every run and looks odd: batch readers, compacted topics, transactional readers."""
    e = d.model.ix.estate
    end = d.model.steps * d.model.dt
    found: list[tuple[str, tuple[str, str]]] = []
    found += [("batch-consumer", ("group", g.name)) for g in e.groups if g.batch_s]
    found += [("compacted-topic", ("topic", t.name)) for t in e.topics if t.compacted]
    found += [("transactional-group", ("group", g.name)) for g in e.groups if g.read_committed]
    return [Happening(what, root, 0.0, end, fault=False) for what, root in found]


KINDS: dict[str, Callable[[Draft], Happening]] = {
    "deploy": _deploy,
    "scale-out": _scale,
    "replay": _replay,
    "reassignment": _reassign,
    "rolling-restart": _rolling,
    "traffic-peak": _peak,
    "quiet-night": _quiet,
}
"""What may be asked for by name; ``standing()`` tells of what is always there."""
