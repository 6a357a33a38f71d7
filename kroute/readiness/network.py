"""Network and cost: reads across zones, follower fetching, and what bounds a replay."""

from __future__ import annotations

from kroute.contracts.inputs import PartitionLag
from kroute.contracts.rows import Change
from kroute.readiness.model import Answer, Gathered, Question, few, judged, unknown

SELECTOR = "replica.selector.class"
RACK_AWARE = "RackAwareReplicaSelector"
FAR_BEHIND = 1_000_000
"""Records; a group this far behind reads from disk or object store, not from the page cache."""


def _racks(g: Gathered) -> dict[int, str]:
    return {b.id: b.rack for b in g.topology.brokers if b.rack} if g.topology is not None else {}


def _cross_zone(g: Gathered) -> Answer:
    if g.lags is None or g.topology is None:
        return unknown(g.why("groups", g.why("topology", "groups were not read")))
    racks = _racks(g)
    if len(set(racks.values())) < 2:
        return unknown("brokers tell fewer than two racks: what crosses a zone is not known", "set broker.rack on every broker")
    paths: dict[tuple[str, str], int] = {}
    remote: dict[str, int] = {}
    local = 0
    for x in g.lags:
        by_member = {m.member_id: m.rack for m in x.members or () if m.rack}
        for p in x.partitions:
            rack = by_member.get(p.member_id or "")
            leader = racks.get(p.leader if p.leader is not None else -1)
            if rack is None or leader is None:
                continue
            if rack == leader:
                local += 1
            else:
                paths[(leader, rack)] = paths.get((leader, rack), 0) + 1
                remote[x.group] = remote.get(x.group, 0) + 1
    total = local + sum(remote.values())
    if not total:
        return unknown("no member's rack is known", "client.rack is not told by the admin API: give groups.racks in collect.yaml")
    if not remote:
        return Answer("pass", f"{total} partitions are read from leaders in their reader's rack")
    seen = few(f"{a} → {b}: {n} partitions" for (a, b), n in sorted(paths.items()))
    if _selected(g) and not _unselected(g):
        return Answer("pass", f"{seen}; brokers let clients with client.rack fetch from followers")
    worst = few(f"{n} ({k})" for n, k in sorted(remote.items(), key=lambda i: (-i[1], i[0])))
    return Answer("gap", f"{seen}; groups: {worst}", f"set {SELECTOR} on brokers and client.rack on readers (KIP-392)")


def _selected(g: Gathered) -> list[int]:
    return [i for i, c in sorted((g.broker_configs or {}).items()) if c.get(SELECTOR, "").endswith(RACK_AWARE)]


def _unselected(g: Gathered) -> list[int]:
    return [i for i, c in sorted((g.broker_configs or {}).items()) if not c.get(SELECTOR, "").endswith(RACK_AWARE)]


def _follower(g: Gathered) -> Answer:
    if g.broker_configs is None:
        return unknown(
            g.why("broker configuration", "broker configuration was not read"), "needs DESCRIBE_CONFIGS on the cluster"
        )
    if len(set(_racks(g).values())) < 2:
        return Answer("pass", "one zone, or none named: there is nothing to fetch nearer")
    return judged(
        [str(i) for i in _unselected(g)],
        "every broker selects replicas by rack",
        "brokers that serve from leaders alone",
        f"set {SELECTOR} to {RACK_AWARE}",
    )


def _replays(g: Gathered) -> Answer:
    if g.lags is None:
        return unknown(g.why("groups", "groups were not read"))
    far = [f"{x.group} ({n:,} records)" for x in g.lags if (n := sum(_behind(p) for p in x.partitions)) >= FAR_BEHIND]
    declared = [c.id for c in (g.changes or {}).values() if c.kind in ("replay", "offset-reset") and _covers(c, g)]
    told = f"; declared: {few(declared)}" if declared else ""
    if far and not declared:
        return Answer(
            "gap", f"read from far behind, and no replay is declared: {few(far)}", "kroute change replay says what is meant"
        )
    return Answer("pass", (f"read from far behind: {few(far)}" if far else "no group reads from far behind") + told)


def _covers(c: Change, g: Gathered) -> bool:
    return c.cluster in (g.cluster, "*") and c.starts_at_ms <= g.now_ms and (c.ends_at_ms is None or g.now_ms < c.ends_at_ms)


def _bounded(g: Gathered) -> Answer:
    if g.quotas is None:
        return unknown(g.why("quotas", "quotas were not read"), "needs DESCRIBE_CONFIGS on the cluster")
    fetch = [q for q in g.quotas if q.get("key") == "consumer_byte_rate"]
    if not fetch:
        return Answer(
            "gap", f"{len(g.quotas)} quotas, none on reading", "a default consumer_byte_rate keeps one replay from taking all"
        )
    return Answer("pass", "reading is bounded for " + few(str(q.get("entity")) for q in fetch))


def _behind(p: PartitionLag) -> int:
    return max(0, p.end - p.committed) if p.committed is not None and p.end >= 0 else 0


QUESTIONS: tuple[Question, ...] = (
    Question("cross-zone", "network", "Which groups read across zones?", _cross_zone),
    Question("follower-fetching", "network", "May readers fetch from the replica in their zone?", _follower),
    Question("replay-traffic", "network", "Is reading from far behind meant?", _replays),
    Question("replay-bounds", "network", "Is reading bounded by quotas?", _bounded),
)
