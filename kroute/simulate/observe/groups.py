"""Polls of consumer groups: ``kroute.consumer-lag``. Commits are read before ends, as the collector does."""

from __future__ import annotations

import numpy as np

from kroute.simulate.consume import ABSENT, STATES
from kroute.simulate.model import Model
from kroute.simulate.observe.delivery import Plain


def message(m: Model, g: int, at_ms: int, interval_ms: int) -> Plain | None:
    """One group; None where there is no such group."""
    s, ix = m.s, m.ix
    spec = ix.estate.groups[g]
    head: Plain = {"cluster": spec.cluster, "observed_at_ms": at_ms, "interval_ms": interval_ms, "group": spec.name}
    if s.phase[g] == ABSENT:
        return None
    at = s.coordinator[g]
    if not s.up[at] or s.fenced[at] or m.k.rack_loss[ix.broker_rack[at]] >= 1.0:
        return {**head, "up": False, "error": "COORDINATOR_NOT_AVAILABLE: the coordinator is not available"}
    since = (at_ms - m.now_ms) / 1000.0
    told = {**head, "state": STATES[int(s.phase[g])], "protocol": spec.protocol, "coordinator": ix.estate.brokers[at].id}
    if spec.protocol == "consumer":
        told["group_epoch"] = int(s.rebalances[g]) + 1
        if told["state"] != "Empty":
            told["state"] = {"PreparingRebalance": "Assigning", "CompletingRebalance": "Reconciling"}.get(
                told["state"], told["state"]
            )
    told["members"] = _members(m, g)
    told["partitions"] = [_partition(m, row, since) for row in range(ix.g_rows[g].start, ix.g_rows[g].stop) if not m.hidden[row]]
    return told


def _members(m: Model, g: int) -> list[Plain]:
    s, ix = m.s, m.ix
    spec = ix.estate.groups[g]
    rows = ix.g_rows[g]
    out: list[Plain] = []
    members = ix.of_group_members(g)
    for i in np.flatnonzero(s.member_in[members]).tolist():
        at = members.start + i
        held: dict[str, list[int]] = {}
        if s.phase[g] == 0:
            for row in np.flatnonzero(s.holder[rows] == at).tolist():
                p = ix.k_part[rows.start + row]
                held.setdefault(ix.estate.topics[ix.p_topic[p]].name, []).append(int(ix.p_number[p]))
        out.append({
            "member_id": member_id(m, at), "instance_id": f"{spec.name}-{i}" if spec.static else None,
            "client_id": f"{spec.name}-{i}", "host": f"10.{g // 250}.{g % 250}.{i + 10}", "rack": ix.racks[ix.m_rack[at]],
            "principal": spec.principal, "assignment": [[t, ps] for t, ps in sorted(held.items())],
        })  # fmt: skip
    return out


def member_id(m: Model, at: int) -> str:
    """A member's id: a process gets a new one each time it joins, a static member too."""
    spec = m.ix.estate.groups[m.ix.m_group[at]]
    return f"{spec.name}-{int(m.ix.m_slot[at])}-{int(m.s.member_epoch[at]):04x}"


def _partition(m: Model, row: int, since: float) -> Plain:
    s, ix = m.s, m.ix
    p = int(ix.k_part[row])
    topic = ix.estate.topics[ix.p_topic[p]]
    leader = int(s.leader[p])
    out: Plain = {"topic": topic.name, "partition": int(ix.p_number[p])}
    committed = int(s.committed[row])
    if s.markers[p] and s.committed[row] >= s.end[p]:
        committed -= 1  # a consumer is never given the marker, so it commits before it
    out["committed"] = committed
    if leader < 0 or not s.up[leader]:
        return {**out, "end": -1, "leader": -1 if leader < 0 else ix.estate.brokers[leader].id}
    more = float(s.in_rate[p]) * since
    end = int(s.end[p] + more)
    stable = int(s.stable[p] + (more if not topic.txn_s and not np.isfinite(s.txn_open[p]) else 0.0))
    out |= {"end": end, "stable_end": min(stable, end), "start": int(s.start[p]), "leader": ix.estate.brokers[leader].id}
    if s.holder[row] >= 0 and s.phase[ix.k_group[row]] == 0:
        out["member_id"] = member_id(m, int(s.holder[row]))
    return out
