"""Kafka semantics: groups, offsets, transactions, client versions, Connect."""

from __future__ import annotations

from kroute.contracts.inputs import PartitionLag
from kroute.readiness.model import Answer, Gathered, Question, few, judged, unknown

HELD_MS = 15 * 60_000
"""A transaction that is open for longer holds back readers of committed records."""
UNMEASURED = ("share", "streams")
_NO_GROUPS = "give the collector's user DESCRIBE on groups"


def _groups(g: Gathered) -> Answer:
    if g.lags is None:
        return unknown(g.why("groups", "groups were not read"), _NO_GROUPS)
    if not g.lags:
        return unknown("the cluster has no consumer group")
    down = [f"{x.group} ({x.error})" for x in g.lags if not x.up]
    odd = [f"{x.group} ({x.protocol})" for x in g.lags if x.protocol in UNMEASURED]
    kinds: dict[str, int] = {}
    for x in g.lags:
        kinds[x.protocol or "not told"] = kinds.get(x.protocol or "not told", 0) + 1
    seen = f"{len(g.lags)} groups: " + ", ".join(f"{n} {k}" for k, n in sorted(kinds.items()))
    if down:
        return Answer("gap", f"{seen}; not described: {few(down)}", _NO_GROUPS)
    return judged(
        odd, seen, f"{seen}; lag is not measured for", "watch these by their own metrics: their lag is not committed offsets"
    )


def _stable(g: Gathered) -> Answer:
    if g.lags is None:
        return unknown(g.why("groups", "groups were not read"), _NO_GROUPS)
    up = [x for x in g.lags if x.up]
    if not up:
        return unknown("no group could be described")
    behind = [
        f"{x.group} ({x.state}, {sum(_lag(p) for p in x.partitions)} behind)"
        for x in up
        if x.state != "Stable" and any(_lag(p) for p in x.partitions)
    ]
    seen = f"{sum(1 for x in up if x.state == 'Stable')} of {len(up)} groups are Stable, none of the others is behind"
    return judged(
        behind, seen, "not Stable and behind", "delete what nobody needs, start what should run; state its schedule else"
    )


def _offsets(g: Gathered) -> Answer:
    if g.lags is None:
        return unknown(g.why("groups", "groups were not read"), _NO_GROUPS)
    rows = [(x.group, p) for x in g.lags if x.up for p in x.partitions]
    if not rows:
        return unknown("no group has committed anything")
    lost = [
        f"{n} on {p.topic}/{p.partition}"
        for n, p in rows
        if p.committed is not None and p.start is not None and p.committed < p.start
    ]
    never = sorted({n for n, p in rows if p.committed is None and p.end > 0})
    if lost:
        return Answer(
            "gap", f"commits below the log start: {few(lost)}", "records were lost to retention: reset on purpose, and raise it"
        )
    seen = f"{len(rows)} partitions have a commit inside the log"
    return judged(never, seen, "partitions without any commit", "a group that never commits has no lag that could be judged")


def _transactions(g: Gathered) -> Answer:
    if g.topology is None:
        return unknown(g.why("topology", "the cluster was not read"))
    if any(k.startswith("transactions") for k in g.unable):
        return unknown(
            next(v for k, v in g.unable.items() if k.startswith("transactions")), "needs DESCRIBE on transactional ids"
        )
    old = [
        f"{t.id} ({(g.now_ms - t.started_at_ms) // 60_000} min)"
        for t in g.topology.transactions
        if t.started_at_ms is not None and g.now_ms - t.started_at_ms > HELD_MS
    ]
    listed = {tp for t in g.topology.transactions for tp in t.partitions}
    ahead = [p for x in g.lags or () for p in x.partitions if p.stable_end is not None and p.stable_end < p.end]
    held = sorted({f"{p.topic}/{p.partition}" for p in ahead if (p.topic, p.partition) not in listed})
    if old:
        return Answer("gap", f"open for over {HELD_MS // 60_000} min: {few(old)}", "find the producer; abort only after review")
    seen = f"{len(g.topology.transactions)} open transactions, none older than {HELD_MS // 60_000} min"
    return judged(
        held, seen, "held back, with no transaction listed", "look for a hanging transaction: kafka-transactions.sh find-hanging"
    )


def _clients(g: Gathered) -> Answer:
    if g.clients is None:
        why = g.why("clients", "no broker exporter was given")
        return unknown(why, "name the brokers' exporters in collect.yaml; brokers tell versions by socket-server-metrics alone")
    if not g.clients:
        return unknown("the exporters tell no client_software_version", "let socket-server-metrics through the exporter's rules")
    untold = sorted(c for c in g.clients if c.startswith("unknown"))
    seen = few(f"{c} × {n}" for c, n in sorted(g.clients.items(), key=lambda i: (-i[1], i[0])))
    return judged(
        untold,
        seen,
        "clients that tell no version (before Kafka 2.4)",
        "upgrade them: old clients lack KIP-447, KIP-848 and fencing",
    )


def _version(g: Gathered) -> Answer:
    if g.features is None:
        return unknown(g.why("features", "features were not read"), "needs Kafka 2.4 or later")
    level = g.features.get("metadata.version")
    if level is None:
        return Answer("gap", "no metadata.version is finalized: the cluster runs on ZooKeeper or an old format", "finalize it")
    seen = few(f"{k} {v}" for k, v in sorted(g.features.items()))
    return Answer("pass", f"finalized: {seen}")


def _connect(g: Gathered) -> Answer:
    if g.connectors is None:
        return unknown(g.why("connect", "no Connect cluster was given"), "name it in collect.yaml")
    if not g.connectors:
        return unknown("Connect has no connector")
    bad = [
        f"{c.connect}/{c.connector} ({c.state}, {sum(t.state == 'FAILED' for t in c.tasks)} tasks FAILED)"
        for c in g.connectors
        if c.up and (c.state not in ("RUNNING", "PAUSED", "STOPPED") or any(t.state == "FAILED" for t in c.tasks))
    ]
    return judged(
        bad, f"{len(g.connectors)} connectors run", "failed", "see their traces; a failed task does not restart by itself"
    )


def _systems(g: Gathered) -> Answer:
    if g.connectors is None:
        return unknown(g.why("connect", "no Connect cluster was given"), "name it in collect.yaml")
    if not g.connectors:
        return unknown("Connect has no connector")
    without = []
    for c in g.connectors:
        m = g.ownership.resolve("connector", g.cluster, f"{c.connect}/{c.connector}") if g.ownership is not None else None
        if c.system is None and (m is None or not m.row.system):
            without.append(f"{c.connect}/{c.connector}")
    return judged(
        without,
        "every connector names the system at its other end",
        "no system is named for",
        "systems: in collect.yaml, or system: of the row",
    )


def _lag(p: PartitionLag) -> int:
    end = p.end if p.stable_end is None else p.stable_end
    return max(0, end - p.committed) if p.committed is not None and end >= 0 else 0


QUESTIONS: tuple[Question, ...] = (
    Question("groups", "semantics", "Can every consumer group be described and its lag measured?", _groups),
    Question("groups-stable", "semantics", "Are groups that are behind Stable?", _stable),
    Question("offsets", "semantics", "Are committed offsets inside the log?", _offsets),
    Question("transactions", "semantics", "Is no transaction holding back readers?", _transactions),
    Question("client-versions", "semantics", "Are client versions known and current?", _clients),
    Question("kafka-version", "semantics", "Which metadata version is finalized?", _version),
    Question("connect", "semantics", "Do all connectors and tasks run?", _connect),
    Question("connect-systems", "semantics", "Is the outside system of every connector known?", _systems),
)
