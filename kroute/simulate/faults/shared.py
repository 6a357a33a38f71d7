"""Faults of what all share: replication, the controller, networks, telemetry, the object store, the balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate import placement
from kroute.simulate.happening import Draft, Happening
from kroute.simulate.spec import CLUSTER, CONNECT

if TYPE_CHECKING:
    from kroute.simulate.model import Model

THROTTLE = 0.1
"""What a planned reassignment may take of a broker's disk bandwidth."""


def moves(d: Draft, what: str, share: float, *, fault: bool, announced: bool) -> Happening:
    """A reassignment: a share of all partitions gets its last replica on another broker and copies its log there; throttled,
    as one that is planned with care, where it is no fault."""
    ix = d.model.ix
    mine = np.flatnonzero(ix.t_cluster[ix.p_topic] == 0)
    chosen = np.sort(d.rng.choice(mine, size=max(1, int(len(mine) * share)), replace=False))
    main = np.flatnonzero(ix.broker_cluster == 0)
    to = d.rng.choice(main, size=len(chosen))

    def begin(m: Model) -> None:
        m.moves_at = np.inf if fault else THROTTLE
        for p, b in zip(chosen.tolist(), to.tolist(), strict=True):
            placement.reassign(m, np.array([p]), b)

    changes = [d.change("reassignment", ("cluster", CLUSTER), d.from_s - 10, d.to_s)] if announced else []
    return Happening(what, ("cluster", CLUSTER), d.from_s, d.to_s, 0, None, begin, fault=fault, changes=changes,
                     note=f"{len(chosen)} partitions move")  # fmt: skip


def _catch_up(d: Draft) -> Happening:
    if len([b for b in d.model.ix.estate.brokers if b.cluster == CLUSTER]) > 3 and d.chance(0.6):
        return moves(d, "replica-catch-up", d.uniform(0.2, 0.6), fault=True, announced=d.chance(0.7))
    main = np.flatnonzero(d.model.ix.broker_cluster == 0)
    b = int(d.rng.choice(main))

    def begin(m: Model) -> None:
        # the broker came back with an empty disk: it follows from the beginning of every log
        s = m.s
        for p in np.flatnonzero((s.replicas == b).any(axis=1)).tolist():
            at = int(np.flatnonzero(s.replicas[p] == b)[0])
            if s.leader[p] == b:
                others = [r for r, ok in zip(s.replicas[p].tolist(), s.isr[p].tolist(), strict=True) if ok and r != b]
                if not others:
                    continue
                s.leader[p] = others[0]
            s.isr[p, at] = False
            s.behind[p, at] = m.log_bytes(p)
            s.behind_s[p, at] = placement.REPLICA_LAG_S + 1

    note = f"broker {d.model.ix.estate.brokers[b].id} came back empty"
    return Happening("replica-catch-up", ("cluster", CLUSTER), d.from_s, d.to_s, 0, None, begin, note=note)


def _controller(d: Draft) -> Happening:
    gone = d.chance(0.35)
    unwell = d.uniform(0.5, 1.0)

    def effect(m: Model, level: float) -> None:
        if gone:
            m.k.quorum_down = True
        m.k.voter_slow = unwell

    return Happening("controller-trouble", ("cluster", CLUSTER), d.from_s, d.to_s, 0, effect,
                     note="no quorum" if gone else "elections")  # fmt: skip


def _rack(d: Draft) -> Happening:
    name = d.free("rack", d.model.ix.estate.racks)
    r = d.model.ix.racks.index(name)
    loss = 1.0 if d.chance(0.4) else d.uniform(0.35, 0.9)

    def effect(m: Model, level: float) -> None:
        m.k.rack_loss[r] = loss

    return Happening("network-rack", ("rack", name), d.from_s, d.to_s, 0, effect, severity=loss)


def _network(d: Draft) -> Happening:
    main = d.model.ix.broker_cluster == 0
    loss = d.uniform(0.4, 0.92)

    def effect(m: Model, level: float) -> None:
        m.k.loss[main] = loss * (0.8 + 0.4 * m.draw_brokers[main]) * level

    return Happening("network-platform", ("cluster", CLUSTER), d.from_s, d.to_s, 30, effect, severity=loss)


def _telemetry(d: Draft) -> Happening:
    e = d.model.ix.estate
    broker = f"broker-metrics/broker/{d.pick([b.id for b in e.brokers if b.cluster == CLUSTER])}"
    name = d.pick([broker, broker, "consumer-lag", "topology", f"connector-status/{CONNECT}", "broker-metrics", "collection"])
    name = d.free("source", [name])
    covers = {"collection": "*"}.get(name, name)
    return Happening("telemetry-loss", ("source", name), d.from_s, d.to_s, silent={covers}, mute=d.chance(0.5) or covers == "*")


def _object_store(d: Draft) -> Happening:
    slower = d.uniform(4, 40)
    failing = d.uniform(0.05, 0.9) if d.chance(0.7) else 0.0

    def effect(m: Model, level: float) -> None:
        m.k.object_ms = 1.0 + (slower - 1.0) * level
        m.k.object_failures = failing * level

    return Happening("object-store-trouble", ("cluster", CLUSTER), d.from_s, d.to_s, d.uniform(0, 120), effect, severity=slower)


def _balancer(d: Draft) -> Happening:
    delay = d.uniform(70_000, 600_000)
    main = np.flatnonzero(d.model.ix.broker_cluster == 0)
    b = int(d.rng.choice(main))
    crowd = float(np.clip(d.model.handler_use[b] / d.uniform(0.8, 1.2), 0.05, 1.0))

    def effect(m: Model, level: float) -> None:
        m.k.balancer_ms = delay * level
        m.k.threads[b] = 1.0 - (1.0 - crowd) * level  # what the balancer would have moved away stays and crowds one broker

    return Happening("balancer-trouble", ("cluster", CLUSTER), d.from_s, d.to_s, 180, effect, severity=delay)


MAKERS = {
    "replica-catch-up": _catch_up,
    "controller-trouble": _controller,
    "network-rack": _rack,
    "network-platform": _network,
    "telemetry-loss": _telemetry,
    "object-store-trouble": _object_store,
    "balancer-trouble": _balancer,
}
