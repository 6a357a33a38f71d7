"""Where replicas stand, which brokers are there, who leads: liveness, fencing, elections, the ISR, the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate.state import B, F, I, Index, State, tally

if TYPE_CHECKING:
    from kroute.simulate.model import Model

SESSION_S = 9.0
"""broker.session.timeout.ms: silence after which the controller fences a broker."""
REPLICA_LAG_S = 30.0
"""replica.lag.time.max.ms: a follower that was not caught up for this long leaves the ISR."""
BALANCE_S = 300.0
"""leader.imbalance.check.interval.seconds: preferred leaders get their partitions back in this rhythm."""


def lay_out(ix: Index, s: State, rng: np.random.Generator) -> None:
    """Replicas over racks, leaders spread evenly, as the controller places new topics."""
    for t, spec in enumerate(ix.estate.topics):
        mine = np.flatnonzero(ix.broker_cluster == ix.t_cluster[t])
        by_rack = [mine[ix.broker_rack[mine] == r] for r in sorted(set(ix.broker_rack[mine].tolist()))]
        width = max(len(x) for x in by_rack)
        ring = [int(x[i % len(x)]) for i in range(width) for x in by_rack if i < len(x)]
        first, shift = int(rng.integers(len(ring))), int(rng.integers(1, max(2, len(ring) - 2)))
        for n in range(spec.partitions):
            p = int(ix.t_first[t]) + n
            count = min(spec.replicas, len(ring))
            turn = n // len(ring) * shift
            for r in range(count):
                s.replicas[p, r] = ring[(first + n + r + (turn if r else 0) % max(1, len(ring) - count + 1)) % len(ring)]
            s.isr[p, :count] = True
            s.leader[p] = s.replicas[p, 0]


def step(m: Model) -> None:
    """Liveness, then the controller, then what it decides."""
    s, k = m.s, m.k
    s.up[:] = k.process
    cut = (k.rack_loss[m.ix.broker_rack] >= 1.0) | ~s.up
    missed = m.draw_brokers < np.clip((m.heap_ratio - 0.93) / 0.07, 0.0, 1.0) * 0.03 * m.dt
    missed |= m.draw_brokers < np.clip(np.maximum(k.loss, k.rack_loss[m.ix.broker_rack]) - 0.5, 0.0, 1.0) * 0.02 * m.dt
    s.unseen_s = np.where(cut, s.unseen_s + m.dt, np.where(missed, SESSION_S + m.dt, np.maximum(s.unseen_s - m.dt * 3, 0.0)))
    s.unseen_s[~cut & ~missed & (s.unseen_s < SESSION_S)] = 0.0
    _controller(m)
    if s.controller >= 0:
        s.fenced = s.unseen_s >= SESSION_S
        _elect(m)
    _isr(m)


def _controller(m: Model) -> None:
    """The quorum of voters; one that is down, cut off or told to be unwell costs an election."""
    s, k = m.s, m.k
    voters = [i for i, x in enumerate(m.ix.estate.brokers) if x.voter and m.ix.broker_cluster[i] == 0]
    able = [i for i in voters if s.up[i] and k.rack_loss[m.ix.broker_rack[i]] < 1.0]
    if k.quorum_down or len(able) * 2 <= len(voters):
        s.controller = -1
        s.no_controller_s += m.dt
        if m.draw_one < m.dt / 15.0:
            s.epoch += 1  # voters go on standing for election
        return
    unwell = m.draw_one < k.voter_slow * m.dt / 40.0
    if s.controller not in able or unwell:
        s.no_controller_s += m.dt
        if s.controller >= 0 or unwell:
            s.controller, s.no_controller_s = -1, 0.0
            return
        if s.no_controller_s >= 3.0 + 12.0 * k.voter_slow:
            s.epoch += 1
            s.controller = able[s.epoch % len(able)]
            s.no_controller_s = 0.0
            # a new leader that is unwell finds heartbeats overdue that nobody took
            s.unseen_s[m.draw_brokers < 0.35 * k.voter_slow] += SESSION_S + m.dt


def _elect(m: Model) -> None:
    s = m.s
    there = s.up & ~s.fenced & m.k.log_dir
    ok = (s.replicas >= 0) & s.isr & there[s.replicas]
    lost = (s.leader < 0) | ~there[s.leader]
    if lost.any():
        rows = np.flatnonzero(lost)
        first = np.argmax(ok[rows], axis=1)
        found = ok[rows, first]
        s.leader[rows] = np.where(found, s.replicas[rows, first], -1)
        s.waiting[rows] *= 0.98
    if m.ix.estate.automq:
        _take_over(m, there)
        return
    home = s.replicas[:, 0]
    away = (s.leader >= 0) & (s.leader != home) & ok[:, 0] & (s.behind[:, 0] < 1e6)
    s.preferred_s = np.where(away, s.preferred_s + m.dt, 0.0)
    back = s.preferred_s > BALANCE_S
    s.leader[back] = home[back]


def _take_over(m: Model, there: B) -> None:
    """On shared storage any broker can lead: leadership moves as soon as a broker is missed, and back when it returns."""
    s, ix = m.s, m.ix
    for p in np.flatnonzero((s.leader < 0) | (s.leader != m.home)).tolist():
        if there[m.home[p]] and m.s.unseen_s[m.home[p]] <= 0 and m.i % 12 == 0:
            to = int(m.home[p])
        elif s.leader[p] < 0:
            others = np.flatnonzero(there & (ix.broker_cluster == ix.broker_cluster[m.home[p]]))
            if not len(others):
                continue
            to = int(others[p % len(others)])
        else:
            continue
        s.leader[p] = s.replicas[p, 0] = to


def _isr(m: Model) -> None:
    """Followers fetch what their leader appended; who is not caught up for too long leaves, who is again returns."""
    s, k, ix = m.s, m.k, m.ix
    bytes_s = s.in_rate * ix.record_bytes[ix.p_topic]
    real = s.replicas >= 0
    led = s.leader >= 0
    is_leader = real & (s.replicas == s.leader[:, None])
    follows = real & ~is_leader
    s.behind += np.where(follows, (bytes_s * m.dt)[:, None], 0.0)
    s.behind[is_leader] = 0.0
    path = (1.0 - np.clip(k.rack_loss[ix.broker_rack] + k.loss, 0.0, 1.0)) * s.up * k.log_dir
    able = follows & led[:, None] & (path[s.replicas] > 0) & (path[s.leader] > 0)[:, None]
    wanted = np.where(able, s.behind, 0.0)
    if s.moving and np.isfinite(m.moves_at):
        moving = np.array(sorted(s.moving))
        to = s.replicas[moving, -1]
        most = m.moves_at * m.dt * np.array([b.disk_bw for b in ix.estate.brokers])
        wanted[moving, -1] = np.minimum(wanted[moving, -1], (most / np.maximum(np.bincount(to, minlength=len(most)), 1))[to])
    room = np.maximum(m.spare_replication * path, 1.0) * m.dt
    got = in_turn(wanted, s.replicas, room)
    got = in_turn(got, np.broadcast_to(s.leader[:, None], got.shape), room * 2)
    s.behind -= got
    m.replicated_in = tally(s.replicas[real], got[real], len(path)) / m.dt
    m.replicated_out = tally(s.leader[led], got.sum(axis=1)[led], len(path)) / m.dt
    caught = follows & (s.behind <= np.maximum(bytes_s, 1000.0)[:, None] * 2.0) & able
    s.behind_s = np.where(caught | is_leader, 0.0, np.where(real, s.behind_s + m.dt, 0.0))
    if s.controller >= 0:
        leaves = s.isr & follows & ((s.behind_s > REPLICA_LAG_S) | s.fenced[s.replicas] | ~s.up[s.replicas])
        leaves &= led[:, None]  # the last of an ISR stays in it
        m.shrinks += tally(s.leader[led], leaves.sum(axis=1)[led], len(path))
        s.isr = (s.isr & ~leaves) | (caught & ~s.fenced[s.replicas] & s.up[s.replicas]) | is_leader


def in_turn(wanted: F, at: I, room: F) -> F:
    """What each gets of the room where it stands: fetches go round their partitions, so that one that copies its whole log
    takes nothing from those that follow closely (three times round is near enough)."""
    got = np.zeros_like(wanted)
    for _ in range(3):
        more = got < wanted
        left = np.maximum(room - tally(at[wanted > 0], got[wanted > 0], len(room)), 0.0)
        share = left / np.maximum(tally(at[more], np.ones(int(more.sum())), len(room)), 1.0)
        got[more] += np.minimum((wanted - got)[more], share[at[more]])
    return got


def reassign(m: Model, parts: I, to: int) -> None:
    """Begin to move the last replica of these partitions to a broker: it has the whole log to copy."""
    s = m.s
    for p in parts.tolist():
        row = s.replicas[p]
        last = int((row[:-1] >= 0).sum()) - 1
        if to in row or last < 1 or p in s.moving:
            continue
        s.moving[p] = (to, int(row[last]))
        row[-1] = to
        s.isr[p, -1] = False
        s.behind[p, -1] = m.log_bytes(p)
        s.behind_s[p, -1] = 0.0


def finish_moves(m: Model) -> None:
    """A reassignment is over when the new replica is in sync."""
    s = m.s
    for p, (to, old) in list(s.moving.items()):
        if not s.isr[p, -1] or s.leader[p] == old:
            continue
        at = int(np.flatnonzero(s.replicas[p] == old)[0])
        s.replicas[p, at], s.replicas[p, -1] = to, -1
        s.behind[p, at], s.behind_s[p, at] = s.behind[p, -1], 0.0
        s.isr[p, at], s.isr[p, -1] = True, False
        s.behind[p, -1] = 0.0
        del s.moving[p]


def under_replicated(m: Model) -> tuple[F, F, F]:
    """Per leader: partitions whose ISR is short, and below min ISR; per cluster's controller: partitions without a leader."""
    s, ix = m.s, m.ix
    n = len(ix.estate.brokers)
    led = s.leader >= 0
    size = s.isr.sum(axis=1)
    full = (s.replicas[:, :-1] >= 0).sum(axis=1)  # a replica that is being added is not missing (KIP-455)
    least = np.array([t.min_isr for t in ix.estate.topics])[ix.p_topic]
    short = tally(s.leader[led], (size < full)[led].astype(np.float64), n)
    below = tally(s.leader[led], (size < least)[led].astype(np.float64), n)
    clusters = ix.t_cluster[ix.p_topic]
    offline = tally(clusters, (~led).astype(np.float64), len(ix.estate.clusters))
    return short, below, offline


def rack_local(m: Model) -> I:
    """Broker that each reading fetches from: the leader, or an in-sync replica in the member's rack (KIP-392)."""
    s, ix = m.s, m.ix
    parts = ix.k_part
    out = s.leader[parts].copy()
    holder = s.holder
    has = holder >= 0
    rack = np.where(has, ix.m_rack[np.maximum(holder, 0)], -1)
    near = (s.replicas[parts] >= 0) & s.isr[parts] & (ix.broker_rack[s.replicas[parts]] == rack[:, None])
    near &= (s.up & ~s.fenced)[s.replicas[parts]]
    pick = near.argmax(axis=1)
    follow = np.array([g.follower_fetching for g in ix.estate.groups])[ix.k_group] & (m.k.away[ix.k_group] < 0.5)
    use = follow & near.any(axis=1) & has & (out >= 0)
    out[use] = s.replicas[parts[use], pick[use]]
    return out
