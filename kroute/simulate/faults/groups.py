"""Faults of one consumer group: its readers are slow, gone, stuck at a record, badly deployed, or at the wrong offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate.consume import rebalance
from kroute.simulate.happening import Draft, Happening, NoRoom
from kroute.simulate.spec import CLUSTER

if TYPE_CHECKING:
    from kroute.simulate.model import Model


def candidates(d: Draft, *, streaming: bool = True, several: bool = False) -> list[str]:
    """Groups of services (no sinks); ``streaming``: no batch readers; ``several``: more than one partition and member."""
    return [
        g.name for g in d.model.ix.estate.groups
        if g.cluster == CLUSTER and g.connector is None and not (streaming and g.batch_s)
        and (d.model.ix.estate.link is None or g.name not in d.model.ix.estate.link.groups) and (not several or g.members > 1)
    ]  # fmt: skip


def position(d: Draft, name: str) -> int:
    """Where a group stands in the arrays."""
    return d.model.ix.groups[(CLUSTER, name)]


def _slow(d: Draft) -> Happening:
    name = d.free("group", candidates(d))
    g = position(d, name)
    headroom = d.model.ix.estate.groups[g].headroom
    left = d.uniform(0.2, 0.85) / headroom  # what is left is 20–85 % of what is produced
    rows = d.model.ix.of_group_members(g)

    def effect(m: Model, level: float) -> None:
        m.k.capacity[rows] *= 1.0 - level * (1.0 - left)

    return Happening("slow-consumer", ("group", name), d.from_s, d.to_s, d.uniform(0, 300), effect, severity=1 - left * headroom)


def _stopped(d: Draft) -> Happening:
    name = d.free("group", candidates(d))
    g = position(d, name)
    rows = d.model.ix.of_group_members(g)
    hangs = d.chance(0.4)
    killed = d.chance(0.3)

    def effect(m: Model, level: float) -> None:
        m.k.member_leaves[rows] = not killed
        if hangs:
            m.k.member_hangs[rows] = True
            m.ix.estate.groups[g].poll_interval_s = 3600.0  # stuck in a call, with a poll interval set very long
        else:
            m.k.member_up[rows] = False

    return Happening("stopped-consumer", ("group", name), d.from_s, d.to_s, 0, effect, note="hangs" if hangs else "no members")


def _poison(d: Draft) -> Happening:
    name = d.free("group", candidates(d, several=True))
    g = position(d, name)
    rows = d.model.ix.g_rows[g]
    row = int(d.rng.integers(rows.start, rows.stop))
    crashes = d.chance(0.5)
    every = d.uniform(40, 90)
    state: dict[str, float] = {}

    def effect(m: Model, level: float) -> None:
        s = m.s
        at = state.setdefault("offset", float(np.floor(s.end[m.ix.k_part[row]])))
        m.k.blocked[row] = at
        holder = int(s.holder[row])
        if crashes and holder >= 0 and s.pos[row] >= at and m.now_s >= state.get("next", 0.0):
            state["next"] = m.now_s + every
            s.member_in[holder] = False  # the process ends and is started again; it joins anew
            rebalance(m, g)

    part = d.model.ix.k_part[row]
    topic = d.model.ix.estate.topics[d.model.ix.p_topic[part]].name
    where = f"{topic}/{int(d.model.ix.p_number[part])}"
    return Happening(
        "poison-record", ("group", name), d.from_s, d.to_s, 0, effect, note=f"{where}{' crashes' if crashes else ''}"
    )


def crash_loop(age_s: float, runs_s: float) -> bool:
    """True while a process runs that dies ``runs_s`` after each start; what restarts it waits twice as long each time.

    As Kubernetes does (CrashLoopBackOff): 10 s, 20 s, up to 5 min.
    """
    pause = 10.0
    while age_s >= runs_s + pause:
        age_s -= runs_s + pause
        pause = min(2.0 * pause, 300.0)
    return age_s < runs_s


def _bad_deployment(d: Draft) -> Happening:
    name = d.free("group", candidates(d, several=True))
    g = position(d, name)
    spec = d.model.ix.estate.groups[g]
    rows = d.model.ix.of_group_members(g)
    slow = d.uniform(0.1, 0.7) / spec.headroom
    crashes = d.chance(0.75)
    runs = [d.uniform(15, 90) for _ in range(spec.members)]
    leaves = d.chance(0.5)
    each = 12.0

    def effect(m: Model, level: float) -> None:
        for slot in range(spec.members):  # one member after the other is replaced
            age = m.now_s - d.from_s - each * slot
            at = rows.start + slot
            if 0.0 <= age < each / 2:
                m.k.member_up[at] = False
            elif age >= each / 2:
                m.k.member_leaves[at] = leaves
                m.k.capacity[at] *= 0.8 if crashes else slow
                m.k.member_up[at] = not crashes or crash_loop(age - each / 2, runs[slot])

    announced = d.change("deploy", ("group", name), d.from_s - 5, d.from_s + 60, version=f"1.{int(d.rng.integers(10, 99))}")
    return Happening(
        "bad-deployment", ("group", name), d.from_s, d.to_s, 0, effect, changes=[announced], note="crashes" if crashes else "slow"
    )


def _storm(d: Draft) -> Happening:
    name = d.free("group", candidates(d, several=True))
    g = position(d, name)
    every = d.uniform(30, 90)
    batch = every * d.uniform(0.35, 0.8)
    state = {"next": 0.0}

    def effect(m: Model, level: float) -> None:
        # Processing of a batch takes longer than the sessions allow: a member is thrown out and joins again, and the
        # others join the new generation only when they are done with the batch they have.
        m.k.busy_s[g] = batch
        if m.now_s >= state["next"]:
            state["next"] = m.now_s + every * (0.6 + 0.8 * float(m.draw_groups[g]))
            members = np.flatnonzero(m.s.member_in[m.ix.of_group_members(g)]) + m.ix.of_group_members(g).start
            if len(members):
                m.s.member_in[members[int(m.draw_groups[g] * len(members))]] = False
            rebalance(m, g)

    return Happening("rebalance-storm", ("group", name), d.from_s, d.to_s, 0, effect)


def rewind(d: Draft, what: str, name: str, seconds: float, *, fault: bool, announced: bool, speed: float = 1.0) -> Happening:
    """The group's offsets go back by so many seconds; ``speed``: it reads faster than usual from there."""
    g = position(d, name)
    rows = d.model.ix.g_rows[g]
    members = d.model.ix.of_group_members(g)

    def begin(m: Model) -> None:
        back = max(0, m.i - int(seconds / m.dt))
        parts = m.ix.k_part[rows]
        rate = m.mean_rate[m.ix.p_topic[parts]] * m.share[parts]
        older = m.history[0, parts] - rate * max(0.0, seconds - m.now_s)
        to = np.maximum(m.history[back, parts] if seconds <= m.now_s else older, m.s.start[parts])
        m.s.pos[rows] = m.s.committed[rows] = np.floor(np.minimum(to, m.s.committed[rows]))
        rebalance(m, g)

    def effect(m: Model, level: float) -> None:
        m.k.capacity[members] *= speed

    changes = [d.change("replay", ("group", name), d.from_s - 20, d.to_s, hours=round(seconds / 3600, 2))] if announced else []
    return Happening(what, ("group", name), d.from_s, d.to_s, 0, effect, begin, fault=fault, changes=changes)


def _planned_replay(d: Draft) -> Happening:
    name = d.free("group", candidates(d))
    return rewind(
        d, "planned-replay", name, d.uniform(900, 7200), fault=True, announced=d.chance(0.75), speed=d.uniform(1.2, 2.5)
    )


def _offset_fault(d: Draft) -> Happening:
    name = d.free("group", candidates(d))
    if d.chance(0.65):
        h = rewind(d, "offset-fault", name, d.uniform(3600, 12 * 3600), fault=True, announced=False, speed=0.5)
        h.note = "rewound"
        return h
    g = position(d, name)
    rows, members = d.model.ix.g_rows[g], d.model.ix.of_group_members(g)
    stands, after = d.uniform(120, 270), d.uniform(0, 150)
    kept = stands * d.uniform(0.2, 0.6)

    def effect(m: Model, level: float) -> None:
        # retention was cut below what the group has read, while it stood for some minutes
        if m.now_s < d.from_s + stands + after:
            m.k.member_hangs[members] = True
        if d.from_s + stands <= m.now_s < d.from_s + stands + m.dt:
            parts = np.unique(m.ix.k_part[rows])
            m.s.start[parts] = np.maximum(m.s.start[parts], m.s.end[parts] - m.s.in_rate[parts] * kept)

    return Happening("offset-fault", ("group", name), d.from_s, d.to_s, 0, effect, note="lost to retention")


def _skipped(d: Draft) -> Happening:
    """The group falls behind out of sight (its service was stopped), then its offsets are reset to the end."""
    name = d.free("group", candidates(d))
    g = position(d, name)
    rows, members = d.model.ix.g_rows[g], d.model.ix.of_group_members(g)
    hidden = (d.to_s - d.from_s) * d.uniform(0.25, 0.6)
    starts = hidden + d.uniform(10, 60)  # Kafka resets offsets of a group without members only; then it is started

    def effect(m: Model, level: float) -> None:
        if m.now_s < d.from_s + starts:
            m.k.member_up[members] = False
        if d.from_s + hidden <= m.now_s < d.from_s + hidden + m.dt:
            m.s.pos[rows] = m.s.committed[rows] = np.floor(m.s.end[m.ix.k_part[rows]])

    return Happening("records-skipped", ("group", name), d.from_s, d.to_s, 0, effect, note=f"reset after {hidden:.0f} s")


def _cross_zone(d: Draft) -> Happening:
    e, ix = d.model.ix.estate, d.model.ix

    def crossing(n: str) -> float:
        """Bytes/s that would cross zones if all of the group's members read from leaders."""
        rows, s = ix.g_rows[position(d, n)], d.model.s
        parts = ix.k_part[rows]
        far = ix.m_rack[np.maximum(s.holder[rows], 0)] != ix.broker_rack[np.maximum(s.leader[parts], 0)]
        rate = d.model.mean_rate[ix.p_topic[parts]] * d.model.share[parts] * ix.record_bytes[ix.p_topic[parts]]
        return float(rate[far].sum())

    several = candidates(d, several=True)
    near = [n for n in several if e.groups[position(d, n)].follower_fetching and crossing(n) > 0]
    if not near:
        raise NoRoom("no group that reads from followers of its own zone and would not from leaders")
    near.sort(key=crossing)
    # Nobody looks at the bill of a group that reads next to nothing.
    name = d.free("group", [n for n in near if crossing(n) >= 1e6] or [n for n in near if crossing(n) >= 4e5])
    g = position(d, name)
    strain = d.uniform(0.5, 1.0)

    def effect(m: Model, level: float) -> None:
        m.k.away[g] = max(0.51, strain)  # client.rack was lost: all read from leaders, over a path that is long
        rows = m.ix.of_group_members(g)
        leaders = m.ix.broker_rack[np.maximum(m.s.leader[m.ix.k_part[m.ix.g_rows[g]]], 0)]
        home = int(np.bincount(leaders).argmax())
        remote = m.ix.m_rack[rows] != home
        m.k.capacity[rows] *= np.where(remote, 1.0 - 0.8 * strain * level, 1.0)

    changes = [d.change("config", ("group", name), d.from_s - 10, d.from_s, key="client.rack")] if d.chance(0.4) else []
    return Happening("cross-zone-reads", ("group", name), d.from_s, d.to_s, 120, effect, changes=changes)


MAKERS = {
    "slow-consumer": _slow,
    "stopped-consumer": _stopped,
    "poison-record": _poison,
    "bad-deployment": _bad_deployment,
    "rebalance-storm": _storm,
    "planned-replay": _planned_replay,
    "offset-fault": _offset_fault,
    "records-skipped": _skipped,
    "cross-zone-reads": _cross_zone,
}
