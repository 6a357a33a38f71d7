"""The whole model: one step after the other, what happenings turned, and the history that freshness is measured by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate import brokers, connect, consume, placement, produce, traffic
from kroute.simulate.spec import SOURCE_CLUSTER, Estate
from kroute.simulate.state import B, F, I, Index, Knobs, State, b, f

if TYPE_CHECKING:
    from kroute.simulate.happening import Happening

DT = 5.0
CACHE_USED = 0.6
"""Part of the page cache that holds the logs' newest records."""


class Model:
    """An estate in motion. The same seed gives the same run, with or without happenings: all draws are made each step."""

    def __init__(self, estate: Estate, seed: int, started_ms: int, seconds: float, dt: float = DT) -> None:
        self.dt = dt
        self.started_ms = started_ms
        self.steps = int(seconds / dt) + 1
        self.i = 0
        self.ix = ix = Index(estate)
        rng = np.random.default_rng([seed, 1])
        self.rng = np.random.default_rng([seed, 2])
        self.k = Knobs(ix)
        self.s = s = State(ix, rng)
        self.rates = traffic.rates(ix, started_ms / 1000.0 + np.arange(self.steps, dtype=np.float64) * dt, dt, rng)
        self.mean_rate: F = self.rates.mean(axis=0)
        self.share = traffic.shares(ix, rng)
        traffic.follow_link(ix, self.share)
        placement.lay_out(ix, s, rng)
        self.home: I = s.leader.copy()
        self._arrays(estate, rng)
        brokers.calibrate(self, rng)
        connect.calibrate(self, rng)
        self._begin(rng)

    def _arrays(self, e: Estate, rng: np.random.Generator) -> None:
        ix = self.ix
        n, ng, nm, nu = len(e.brokers), len(e.groups), len(ix.m_group), len(e.principals)
        self.writers = f((len(e.topics), nu))
        for t, spec in enumerate(e.topics):
            for w in spec.producers:
                self.writers[t, ix.principals[w]] = 1.0 / len(spec.producers)
        self.readers = f((ng, nu))
        for g, group in enumerate(e.groups):
            self.readers[g, ix.principals[group.principal]] = 1.0
        self.usual_connections: F = np.array([float(rng.integers(8, 60)) for _ in e.principals])
        self.usual_user_requests: F = np.array([float(rng.uniform(5, 40)) for _ in e.principals])
        self.batch_s: F = np.array([g.batch_s for g in e.groups])
        self.batch_shift: F = rng.uniform(0, 900, size=ng)
        self.committed_only: B = np.array([g.read_committed for g in e.groups])
        self.capacity = f(nm)
        for g, group in enumerate(e.groups):
            rate = sum(self.mean_rate[ix.topics[(group.cluster, t)]] for t in group.topics)
            self.capacity[ix.of_group_members(g)] = rate * group.headroom / group.members
        self.task_runs, self.works, self.beats = b(nm, True), b(nm, True), b(nm, True)
        self.fetch_from: I = np.zeros(len(ix.k_part), dtype=np.int64)
        self.consumed_bytes = f(len(ix.k_part))
        self.fetch_throttle = f(ng)
        self.want_rate = f(ix.partitions)
        for name in ("service_ms", "local_ms", "read_ms", "flush_ms", "disk_wait", "gc_ms", "handler_use", "queue_ms", "net_use",
                     "cpu", "replica_wait_ms", "produce_ms", "fetch_ms", "upload_wait_ms", "pressure", "wal_full",
                     "replicated_in", "replicated_out", "shrinks", "spare_replication", "cold_bw", "cold_now", "cold_ask",
                     "upload_bw", "heap_ratio", "cache_share", "shrinks_read_s"):  # fmt: skip
            setattr(self, name, f(n))
        self.object_ms = brokers.OBJECT_MS
        self.worker_speed = f(len(e.workers), 1)
        self.draw_tasks = f((len(e.connectors), max((c.tasks for c in e.connectors), default=1)))
        self.old_connections = f(n)
        self.cut_over = False
        self.split_writes = 0.0
        self.moves_at = np.inf
        """Share of a broker's disk bandwidth that replicas which move there may take: the throttle."""
        self.hung: dict[str, tuple[int, list[int]]] = {}
        """Transaction that nobody ends → (its start in epoch ms, its partitions)."""
        self.denied_resource: dict[int, str] = {}
        """Principal → what it is refused."""
        self.new_connections_now = f(n)
        self.hidden: B = b(len(ix.k_part))
        """Readings that the group has not subscribed to yet."""
        self._draw()

    # arrays per broker, made in _arrays
    service_ms: F
    local_ms: F
    read_ms: F
    flush_ms: F
    disk_wait: F
    gc_ms: F
    handler_use: F
    queue_ms: F
    net_use: F
    cpu: F
    replica_wait_ms: F
    produce_ms: F
    fetch_ms: F
    upload_wait_ms: F
    pressure: F
    wal_full: F
    replicated_in: F
    replicated_out: F
    shrinks: F
    spare_replication: F
    cold_bw: F
    cold_now: F
    cold_ask: F
    upload_bw: F
    heap_ratio: F
    cache_share: F
    shrinks_read_s: F

    def _begin(self, rng: np.random.Generator) -> None:
        """Logs with some history, groups at their ends, all in order."""
        ix, s = self.ix, self.s
        e = ix.estate
        keep = np.array([t.retention_s for t in e.topics])
        s.end = np.floor(self.mean_rate[ix.p_topic] * self.share * keep[ix.p_topic] * rng.uniform(1.2, 3.0, size=ix.partitions))
        for t, spec in enumerate(e.topics):
            if spec.link:
                source = ix.topics[(SOURCE_CLUSTER, spec.name)]
                s.end[ix.of_topic(t)] = s.end[ix.of_topic(source)]
        s.start = np.maximum(np.floor(s.end - self.mean_rate[ix.p_topic] * self.share * keep[ix.p_topic]), 0.0)
        s.stable = s.end.copy()
        s.in_rate = self.rates[0][ix.p_topic] * self.share
        hosted = np.bincount(s.replicas[s.replicas >= 0].ravel(), minlength=len(e.brokers))
        cache = np.array([x.cache_bytes if e.automq else x.page_cache for x in e.brokers])
        self.cache_share = cache * CACHE_USED / np.maximum(hosted, 1) * 3.0
        s.pos[:] = s.end[ix.k_part]
        s.committed[:] = s.pos
        s.committed_ms[:] = self.started_ms
        s.commit_in[:] = rng.uniform(0, 5, size=len(e.groups))
        for g in range(len(e.groups)):
            waits = e.link is not None and e.groups[g].name in e.link.groups and e.groups[g].cluster != SOURCE_CLUSTER
            if waits:
                s.group_on[g], s.phase[g] = False, consume.ABSENT
                continue
            members = ix.of_group_members(g)
            s.member_in[members] = ix.m_slot[members] < s.scaled[g]
            consume.assign(self, g)
        self.history = f((self.steps + 1, ix.partitions))
        self.history[0] = s.end
        brokers.step(self)

    # -- a step ------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Seconds since the run began."""
        return self.i * self.dt

    @property
    def now_ms(self) -> int:
        """Epoch milliseconds at the end of this step."""
        return self.started_ms + int(self.now_s * 1000)

    def _draw(self) -> None:
        n = self.ix
        self.draw_brokers = self.rng.random(len(n.estate.brokers))
        self.draw_groups = self.rng.random(len(n.estate.groups))
        self.draw_members = self.rng.random(len(n.m_group))
        self.draw_workers = self.rng.random(len(n.estate.workers))
        self.draw_tasks = self.rng.random(self.draw_tasks.shape)
        self.draw_one = float(self.rng.random())

    def step(self, happenings: Sequence[Happening]) -> None:
        """One step of ``dt`` seconds with what happens in it."""
        self._draw()
        self.k.reset()
        for h in happenings:
            h.turn(self)
        placement.step(self)
        self._coordinators()
        produce.step(self)
        connect.step(self)
        consume.step(self)
        brokers.step(self)
        placement.finish_moves(self)
        self._promote()
        self.i += 1

    def keep_end(self) -> None:
        """Remember the ends, by which freshness is measured."""
        if self.i + 1 < len(self.history):
            self.history[self.i + 1] = self.s.end

    # -- what parts of the model ask of each other -------------------------------------------------------------

    def since_batch(self) -> F:
        """Seconds since each batch group's period began."""
        return (self.now_s + self.batch_shift) % np.maximum(self.batch_s, 1.0)

    def coordination(self) -> F:
        """How well each group's coordinator answers (0–1)."""
        s, k = self.s, self.k
        at = s.coordinator
        ok = s.up & ~s.fenced & k.log_dir & (k.rack_loss[self.ix.broker_rack] < 1.0)
        stuck = np.where(self.handler_use >= 1.0, np.clip(1.5 - self.queue_ms / 20_000.0, 0.3, 1.0), 1.0)
        return k.coordinator[at] * ok[at] * stuck[at] * (1.0 - np.clip(k.loss[at], 0.0, 1.0) ** 2)

    def _coordinators(self) -> None:
        """A coordinator that is fenced or gone is replaced by another of its cluster."""
        s, ix = self.s, self.ix
        bad = s.fenced | ~s.up
        if not bad.any() or s.controller < 0:
            return
        for g in np.flatnonzero(bad[s.coordinator] & (s.unseen_s[s.coordinator] > 12.0)).tolist():
            others = np.flatnonzero(~bad & (ix.broker_cluster == ix.broker_cluster[s.coordinator[g]]))
            if len(others):
                s.coordinator[g] = others[g % len(others)]

    def connections(self) -> F:
        """Open client connections per broker: every client keeps one to each broker of its cluster."""
        k = self.k
        users = float((self.usual_connections * k.user_connections).sum())
        return np.where(self.s.up, users, 0.0)

    def new_connections(self) -> F:
        """Connections/s that each broker accepts: the ordinary few, growth, floods, and clients that are turned away."""
        k = self.k
        now = self.connections()
        grown = np.maximum(now - self.old_connections, 0.0) / self.dt
        self.old_connections = now
        churn = float(
            (self.usual_connections * (np.maximum(k.user_connections - 1.0, 0.0) / 45.0 + k.unauthenticated / 4.0)).sum()
        )
        self.new_connections_now = (0.4 + 0.2 * grown + churn) * self.s.up
        return self.new_connections_now

    def take_shrinks(self, broker: int) -> float:
        """ISR shrinks/s at this broker since it was last asked."""
        since = max(self.now_s - float(self.shrinks_read_s[broker]), self.dt)
        rate = float(self.shrinks[broker]) / since
        self.shrinks[broker], self.shrinks_read_s[broker] = 0.0, self.now_s
        return rate

    def worker_factor(self, workers: list[int]) -> float:
        """How fast tasks on these workers run (0–1)."""
        return float(np.mean([self.worker_speed[w] for w in workers])) if workers else 0.0

    def log_bytes(self, p: int) -> float:
        """Bytes of one partition's log; what a new replica has to copy, capped so that moves end within the hour."""
        whole = (self.s.end[p] - self.s.start[p]) * self.ix.record_bytes[self.ix.p_topic[p]]
        return min(float(whole), float(self.s.in_rate[p] * self.ix.record_bytes[self.ix.p_topic[p]] * 3600.0))

    def _promote(self) -> None:
        """Groups that the migration has promoted read on the target, from where they stood."""
        link = self.ix.estate.link
        if link is None:
            return
        s, ix = self.s, self.ix
        for n, name in enumerate(link.groups):
            old, new = ix.groups[(SOURCE_CLUSTER, name)], ix.groups[("sim", name)]
            if n < s.promoted and not s.group_on[new]:
                s.group_on[new], s.group_on[old] = True, False
                rows = ix.g_rows[new]
                at = np.minimum(s.committed[ix.g_rows[old]], s.end[ix.k_part[rows]])
                s.pos[rows], s.committed[rows] = at, at
                s.phase[new] = consume.EMPTY

    # -- what is true of freshness -------------------------------------------------------------------------------

    def staleness(self) -> F:
        """Seconds that each group is behind: age of the oldest record it has not committed, worst partition; 0 when absent."""
        s, ix = self.s, self.ix
        out = f(len(ix.estate.groups))
        upto = min(self.i, self.steps)
        behind = np.where(self.hidden, 0.0, np.floor(s.end[ix.k_part]) - np.floor(s.committed) - s.markers[ix.k_part])
        for row in np.flatnonzero(behind >= 1.0).tolist():
            g = int(ix.k_group[row])
            if s.phase[g] == consume.ABSENT or not s.group_on[g]:
                continue
            past = self.history[: upto + 1, ix.k_part[row]]
            first = int(np.searchsorted(past, s.committed[row] + 1.0))
            out[g] = max(out[g], (upto - min(first, upto)) * self.dt)
        return out
