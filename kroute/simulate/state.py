"""The model's state as flat arrays: partitions (P) with replica slots (R), readings of a partition by a group (K), members (M),
groups (G), brokers (B), principals (U), connectors' tasks. And the knobs that happenings turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kroute.simulate.spec import Estate

F: TypeAlias = npt.NDArray[np.float64]
I: TypeAlias = npt.NDArray[np.int64]  # noqa: E741  (beside F and B: the element type of an array)
B: TypeAlias = npt.NDArray[np.bool_]


def f(n: int | tuple[int, ...], value: float = 0.0) -> F:
    """An array of floats."""
    return np.full(n, value, dtype=np.float64)


def b(n: int | tuple[int, ...], value: bool = False) -> B:
    """An array of booleans."""
    return np.full(n, value, dtype=np.bool_)


def tally(where: npt.ArrayLike, weights: npt.ArrayLike, n: int) -> F:
    """Sum of the weights per position, for positions 0 to n − 1."""
    sums = np.bincount(np.asarray(where, dtype=np.int64), np.asarray(weights, dtype=np.float64), n)
    return np.asarray(sums, dtype=np.float64)


@dataclass
class Index:
    """Where each thing stands in the arrays; fixed for a run save assignments (in ``State``)."""

    estate: Estate
    brokers: dict[tuple[str, int], int] = field(default_factory=dict)
    topics: dict[tuple[str, str], int] = field(default_factory=dict)
    groups: dict[tuple[str, str], int] = field(default_factory=dict)
    principals: dict[str, int] = field(default_factory=dict)
    racks: list[str] = field(default_factory=list)
    systems: dict[str, int] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)
    connectors: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        e = self.estate
        self.brokers = {(x.cluster, x.id): i for i, x in enumerate(e.brokers)}
        self.topics = {(x.cluster, x.name): i for i, x in enumerate(e.topics)}
        self.groups = {(x.cluster, x.name): i for i, x in enumerate(e.groups)}
        self.principals = {x.name: i for i, x in enumerate(e.principals)}
        self.racks = sorted({x.rack for x in e.brokers})
        self.systems = {x.name: i for i, x in enumerate(e.systems)}
        self.workers = {x.id: i for i, x in enumerate(e.workers)}
        self.connectors = {x.name: i for i, x in enumerate(e.connectors)}
        self.broker_rack: I = np.array([self.racks.index(x.rack) for x in e.brokers], dtype=np.int64)
        clusters = e.clusters
        self.broker_cluster: I = np.array([clusters.index(x.cluster) for x in e.brokers], dtype=np.int64)
        # partitions
        self.p_topic: I = np.repeat(np.arange(len(e.topics)), [t.partitions for t in e.topics])
        self.p_number: I = np.concatenate([np.arange(t.partitions) for t in e.topics])
        self.t_first: I = np.concatenate([[0], np.cumsum([t.partitions for t in e.topics])[:-1]]).astype(np.int64)
        self.t_cluster: I = np.array([clusters.index(t.cluster) for t in e.topics], dtype=np.int64)
        self.record_bytes: F = np.array([t.record_bytes for t in e.topics])
        # readings
        k_group: list[int] = []
        k_part: list[int] = []
        for g, x in enumerate(e.groups):
            for name in x.topics:
                t = self.topics[(x.cluster, name)]
                k_group += [g] * e.topics[t].partitions
                k_part += list(range(int(self.t_first[t]), int(self.t_first[t]) + e.topics[t].partitions))
        self.k_group: I = np.array(k_group, dtype=np.int64)
        self.k_part: I = np.array(k_part, dtype=np.int64)
        self.g_rows: list[slice] = []
        at = 0
        for x in e.groups:
            n = sum(e.topics[self.topics[(x.cluster, name)]].partitions for name in x.topics)
            self.g_rows.append(slice(at, at + n))
            at += n
        # members: as many slots as a group could have after scaling out
        self.m_group: I = np.repeat(np.arange(len(e.groups)), [2 * x.members for x in e.groups])
        self.g_first_m: I = np.concatenate([[0], np.cumsum([2 * x.members for x in e.groups])[:-1]]).astype(np.int64)
        self.m_slot: I = np.concatenate([np.arange(2 * x.members) for x in e.groups])
        self.m_rack: I = np.array(
            [self.racks.index(x.racks[i % len(x.racks)]) for x in e.groups for i in range(2 * x.members)], dtype=np.int64
        )

    @property
    def partitions(self) -> int:
        """How many partitions there are in all."""
        return len(self.p_topic)

    def part(self, topic: str, number: int, cluster: str) -> int:
        """Position of one partition."""
        return int(self.t_first[self.topics[(cluster, topic)]]) + number

    def of_topic(self, t: int) -> slice:
        """Positions of a topic's partitions."""
        first = int(self.t_first[t])
        return slice(first, first + self.estate.topics[t].partitions)

    def of_group_members(self, g: int) -> slice:
        """Positions of a group's member slots."""
        first = int(self.g_first_m[g])
        return slice(first, first + 2 * self.estate.groups[g].members)


class Knobs:
    """What happenings may change, set back to neutral before each step. Factors are 1 when nothing happens."""

    def __init__(self, ix: Index) -> None:
        e = ix.estate
        nb, nt, ng, nm, nu = len(e.brokers), len(e.topics), len(e.groups), len(ix.m_group), len(e.principals)
        nc = len(e.connectors)
        self.disk, self.threads, self.net = f(nb, 1), f(nb, 1), f(nb, 1)
        self.wal, self.cache = f(nb, 1), f(nb, 1)
        self.coordinator = f(nb, 1)
        self.leak, self.disk_fill = f(nb), f(nb)
        self.process, self.log_dir = b(nb, True), b(nb, True)
        self.rack_loss = f(len(ix.racks))
        self.loss = f(nb)
        self.topic_rate, self.resend, self.bad = f(nt, 1), f(nt), f(nt)
        self.share = f(ix.partitions, 1)
        self.capacity, self.member_up, self.member_hangs = f(nm, 1), b(nm, True), b(nm)
        self.member_leaves = b(nm, True)
        self.blocked = f(len(ix.k_part), np.inf)
        self.commits, self.away = b(ng, True), f(ng)
        self.read_back = f(ng)
        self.busy_s = f(ng)  # how long members go on with the batch they have before they join a new generation
        self.user_rate, self.user_requests, self.user_connections = f(nu, 1), f(nu, 1), f(nu, 1)
        self.quota = f(nu, np.inf)
        self.denied, self.unauthenticated = f(nu), f(nu)
        self.system, self.system_up = f(len(e.systems), 1), f(len(e.systems), 1)
        self.put, self.task_dies = f(nc, 1), f(nc)
        self.worker = f(len(e.workers), 1)
        self.object_ms, self.object_failures, self.balancer_ms = 1.0, 0.0, 0.0
        self.quorum_down, self.voter_slow = False, 0.0
        self.link, self.link_errors, self.promotion_stuck = 1.0, False, False
        self._neutral: dict[str, Any] = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}

    def reset(self) -> None:
        """Everything neutral again."""
        for name, value in self._neutral.items():
            if isinstance(value, np.ndarray):
                getattr(self, name)[...] = value
            else:
                setattr(self, name, value)


class State:
    """Everything that changes from step to step. Offsets are kept as floats and told as whole numbers."""

    def __init__(self, ix: Index, rng: np.random.Generator) -> None:  # noqa: PLR0915  (one line per part of the state)
        e = ix.estate
        np_, nk, nm, ng, nb = ix.partitions, len(ix.k_part), len(ix.m_group), len(e.groups), len(e.brokers)
        slots = max(t.replicas for t in e.topics) + 1  # one more for a replica that is being added
        # log
        self.end = f(np_)
        self.start = f(np_)
        self.stable = f(np_)
        self.txn_open = f(np_, np.inf)
        """First offset of the oldest open transaction; inf: none."""
        self.markers = f(np_)
        """Transaction markers at the very end of the log, which no consumer is given."""
        self.waiting = f(np_)
        """Records that producers hold because the broker does not take them."""
        self.lost = f(np_)
        self.accepted = f(np_)
        self.in_rate = f(np_)
        # placement
        self.replicas: I = np.full((np_, slots), -1, dtype=np.int64)
        self.isr = b((np_, slots))
        self.behind = f((np_, slots))
        self.behind_s = f((np_, slots))
        self.leader: I = np.full(np_, -1, dtype=np.int64)
        self.preferred_s = f(np_)
        self.moving: dict[int, tuple[int, int]] = {}
        """Partition → (broker position that is being added, the one it replaces)."""
        # readers
        self.pos, self.committed = f(nk), f(nk)
        self.consumed = f(nk)
        self.cold = b(nk)
        self.committed_ms = f(nk)
        self.holder: I = np.full(nk, -1, dtype=np.int64)
        self.member_in = b(nm)
        self.was_up = b(nm, True)
        self.member_epoch: I = np.zeros(nm, dtype=np.int64)
        self.silent_s = f(nm)
        self.scaled: I = np.array([x.members for x in e.groups], dtype=np.int64)
        """Members that the group is deployed with."""
        self.group_on = b(ng, True)
        self.phase: I = np.zeros(ng, dtype=np.int64)
        """0 stable, 1 preparing, 2 completing, 3 empty, 4 not there."""
        self.phase_left = f(ng)
        self.rebalances: I = np.zeros(ng, dtype=np.int64)
        self.commit_in = f(ng)
        self.coordinator: I = np.array([x.coordinator for x in e.groups], dtype=np.int64)
        # brokers
        self.up, self.fenced, self.unseen_s = b(nb, True), b(nb), f(nb)
        self.serve = f(nb, 1)
        self.queue, self.dirty, self.disk_used = f(nb), f(nb), f(nb)
        self.load: dict[str, F] = {}
        """What pollers read: per broker and per principal measures of the last step."""
        self.pending_upload = f(nb)
        self.offline_dir = b(nb)
        # controller
        self.controller = 0
        self.epoch = int(rng.integers(20, 90))
        self.no_controller_s = 0.0
        # connect
        nc = len(e.connectors)
        self.task_state: list[list[str]] = [["RUNNING"] * c.tasks for c in e.connectors]
        self.task_trace: list[list[str | None]] = [[None] * c.tasks for c in e.connectors]
        self.task_worker: list[list[int]] = [
            [(i + j) % len(e.workers) for j in range(c.tasks)] for i, c in enumerate(e.connectors)
        ]
        self.trace_text: dict[int, str] = {}
        """Connector → the trace its dying tasks leave."""
        self.put_ms = f(nc, 20)
        self.task_rate = f(nc)
        self.worker_use = f(len(e.workers), 0.3)
        self.worker_moving_s = f(len(e.workers))
        self.system_use = f(len(e.systems), 0.3)
        # principals
        self.throttle_ms = f(len(e.principals))
        # link
        self.promoted = 0
        self.link_rate = 0.0
