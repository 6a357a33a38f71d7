"""Consumer groups: members and their sessions, rebalances, reading, committing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate.placement import rack_local
from kroute.simulate.state import F, tally

if TYPE_CHECKING:
    from kroute.simulate.model import Model

STABLE, PREPARING, COMPLETING, EMPTY, ABSENT = range(5)
STATES = ("Stable", "PreparingRebalance", "CompletingRebalance", "Empty", "Dead")
FETCH_BYTES = 1024.0 * 1024.0
"""max.partition.fetch.bytes: what one round trip brings from a partition."""
ZONE_MS = 1.2
BATCH_SHARE = 0.45
"""Part of a batch reader's period in which it reads."""


def assign(m: Model, g: int) -> None:
    """Give the group's readings to the members that are in it, range by range."""
    s, ix = m.s, m.ix
    rows = ix.g_rows[g]
    members = np.flatnonzero(s.member_in[ix.of_group_members(g)]) + int(ix.g_first_m[g])
    if len(members) == 0:
        s.holder[rows] = -1
        return
    n = rows.stop - rows.start
    s.holder[rows] = np.where(m.hidden[rows], -1, members[np.arange(n) % len(members)])


def rebalance(m: Model, g: int) -> None:
    """Begin a rebalance; a running one starts over."""
    s = m.s
    if s.phase[g] == ABSENT:
        return
    s.rebalances[g] += 1
    s.phase[g] = PREPARING
    s.phase_left[g] = max(m.ix.estate.groups[g].rebalance_s * (0.6 + 0.8 * m.draw_groups[g]), m.k.busy_s[g])


def _sessions(m: Model) -> None:
    """Who is in the group: joins are quick, a silent member is missed after its session or poll interval."""
    s, k, ix, dt = m.s, m.k, m.ix, m.dt
    deployed = (ix.m_slot < s.scaled[ix.m_group]) & s.group_on[ix.m_group]
    cut = k.rack_loss[ix.m_rack] >= 1.0
    auth = (m.readers @ k.unauthenticated)[ix.m_group]
    refused = auth > (ix.m_slot + 0.5) / np.maximum(s.scaled[ix.m_group], 1)
    works = deployed & k.member_up & ~cut & ~refused & m.task_runs
    started = k.member_up & ~s.was_up
    s.was_up = k.member_up.copy()
    coordinator = m.coordination()[ix.m_group]
    m.beats = works & (m.draw_members < coordinator)
    silent = s.member_in & (~works | (coordinator < 0.2) | k.member_hangs)
    silent_s = s.silent_s
    s.silent_s = np.where(silent, s.silent_s + dt, 0.0)
    session = np.array([g.session_s for g in ix.estate.groups])[ix.m_group]
    poll = np.array([g.poll_interval_s for g in ix.estate.groups])[ix.m_group]
    patience = np.where(works & (coordinator >= 0.2), poll, session)
    static = np.array([g.static for g in ix.estate.groups])[ix.m_group]
    goodbye = ~k.member_up & k.member_leaves & ~static  # a static member's place is kept until its session ends
    leaves_now = s.member_in & (~deployed | ~m.task_runs | goodbye)  # a clean stop says goodbye
    gone = s.member_in & ((s.silent_s > patience) | leaves_now)
    joins = works & ~s.member_in & ~k.member_hangs & (coordinator > 0.5)
    renewed = started & works & s.member_in & ~gone  # a new process that comes before its predecessor is missed
    change = gone | joins | (renewed & ~static)
    s.member_epoch[joins | renewed] += 1
    s.member_in = (s.member_in & ~gone) | joins
    m.works = works & ~k.member_hangs
    for g in np.unique(ix.m_group[change]).tolist():
        rebalance(m, g)
    for at in np.flatnonzero(renewed & ~static).tolist():
        g = int(ix.m_group[at])
        if ix.estate.groups[g].protocol == "classic":  # all wait for the dead predecessor, until its session ends
            s.phase_left[g] = max(s.phase_left[g], float(session[at] - silent_s[at]))


def _phases(m: Model) -> None:
    s, ix = m.s, m.ix
    moving = (s.phase == PREPARING) | (s.phase == COMPLETING)
    s.phase_left[moving] -= m.dt
    for g in np.flatnonzero(moving & (s.phase_left <= 0)).tolist():
        if not s.member_in[ix.of_group_members(g)].any():
            s.phase[g] = EMPTY if s.group_on[g] or (s.pos[ix.g_rows[g]] > 0).any() else ABSENT
            s.holder[ix.g_rows[g]] = -1
        elif s.phase[g] == PREPARING:
            s.phase[g] = COMPLETING
            s.phase_left[g] = max(1.0, ix.estate.groups[g].rebalance_s * 0.3)
        else:
            s.phase[g] = STABLE
            assign(m, g)
            rows = ix.g_rows[g]
            s.pos[rows] = s.committed[rows]  # what was read and not committed is read again
            s.commit_in[g] = min(s.commit_in[g], ix.estate.groups[g].commit_s)


def step(m: Model) -> None:
    """Sessions, rebalances, reading and committing of one step."""
    _sessions(m)
    _phases(m)
    _read(m)
    _commit(m)


def _working(m: Model) -> F:
    """1 where a group's readers are let read now; cooperative protocols go on during a rebalance."""
    s = m.s
    eager = np.array([0.0 if g.protocol == "classic" else 0.75 for g in m.ix.estate.groups])
    out = np.where(s.phase == STABLE, 1.0, np.where(s.phase <= COMPLETING, eager, 0.0))
    out[(m.batch_s > 0) & (m.since_batch() > m.batch_s * BATCH_SHARE)] = 0.0
    return out


def _read(m: Model) -> None:
    s, k, ix, dt = m.s, m.k, m.ix, m.dt
    parts = ix.k_part
    m.fetch_from = rack_local(m)
    bound = np.where(m.committed_only[ix.k_group], s.stable[parts], s.end[parts])
    gone = (s.pos < s.start[parts]) & (s.holder >= 0) & (s.phase[ix.k_group] == STABLE)
    s.pos[gone] = s.start[parts][gone]  # auto.offset.reset=earliest: what retention took is lost
    bound = np.minimum(bound, np.where(np.isfinite(k.blocked), np.maximum(k.blocked, s.pos), np.inf))
    there = np.maximum(bound - s.pos, 0.0)
    holder = np.maximum(s.holder, 0)
    active = (s.holder >= 0) & m.works[holder] & (_working(m)[ix.k_group] > 0)
    want = np.where(active, there, 0.0)
    # one member's processing is shared by its partitions
    speed = m.capacity * k.capacity * _working(m)[ix.m_group]
    members = len(ix.m_group)
    offered = tally(holder, want, members)
    want *= np.minimum(1.0, speed * dt / np.maximum(offered, 1e-9))[holder]
    # one round trip at a time per partition, and what the broker serves
    at = np.maximum(m.fetch_from, 0)
    far = ix.broker_rack[at] != ix.m_rack[holder]
    lossy = np.clip(k.loss[at] + k.rack_loss[ix.broker_rack[at]] + k.rack_loss[ix.m_rack[holder]] * far, 0.0, 1.0)
    trip = (m.fetch_ms[at] + ZONE_MS * far * (1.0 + 80.0 * m.k.away[ix.k_group]) + 4.0) / 1000.0
    size = ix.record_bytes[ix.p_topic][parts]
    most = FETCH_BYTES / size / trip * (1.0 - lossy) * s.serve[at]
    got = np.where(m.fetch_from >= 0, np.minimum(want, most * dt), 0.0)
    got = got * np.where(m.fetch_throttle[ix.k_group] > 0, 1.0 - m.fetch_throttle[ix.k_group], 1.0)
    # old data comes from disk or object store, whose readers share what is left of it
    age = (s.end[parts] - s.pos) * size
    s.cold = (age > m.cache_share[at]) & (got > 0)
    ask = tally(at[s.cold], (got * size)[s.cold], len(s.serve)) / dt
    m.cold_ask = ask
    thrash = 1.0 + (np.maximum(ask / np.maximum(m.cold_bw, 1.0) - 1.0, 0.0) if ix.estate.automq else 0.0)
    ratio = np.minimum(1.0, m.cold_bw * k.cache / np.maximum(ask, 1.0) / np.minimum(thrash, 3.0))
    got = np.where(s.cold, got * ratio[at], got)
    s.consumed = got
    m.consumed_bytes = got * size
    s.pos += got


def _commit(m: Model) -> None:
    """Streaming groups commit in their interval, batch groups once when a batch is read."""
    s, ix = m.s, m.ix
    s.commit_in -= m.dt
    answering = (m.coordination() > 0.5) & (s.phase == STABLE) & m.k.commits
    since = m.since_batch()
    read = (since >= m.batch_s * BATCH_SHARE) & (since - m.dt < m.batch_s * BATCH_SHARE)
    due = np.where(m.batch_s > 0, read, s.commit_in <= 0) & answering
    every = np.array([g.commit_s for g in ix.estate.groups])
    s.commit_in = np.where(due, every, s.commit_in)
    rows = due[ix.k_group] & (s.holder >= 0)
    rows[rows] = m.works[s.holder[rows]]
    s.committed_ms[rows & (s.pos > s.committed)] = m.now_ms
    s.committed[rows] = s.pos[rows]
