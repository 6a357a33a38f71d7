"""Polls of a cluster: ``kroute.topology``. And of Connect: ``kroute.connector-status``."""

from __future__ import annotations

from kroute.simulate.model import Model
from kroute.simulate.observe.delivery import Plain
from kroute.simulate.spec import CLUSTER, CONNECT

STORAGE_ERROR = "KAFKA_STORAGE_ERROR"


def message(m: Model, cluster: str, at_ms: int, interval_ms: int) -> Plain:
    """One cluster: brokers, topics, quorum, transactions."""
    s, ix, e = m.s, m.ix, m.ix.estate
    c = e.clusters.index(cluster)
    brokers: list[Plain] = []
    for i, x in enumerate(e.brokers):
        if x.cluster != cluster:
            continue
        reachable = bool(s.up[i]) and m.k.rack_loss[ix.broker_rack[i]] < 1.0
        total = int(x.disk_bytes)
        used = int(total * s.disk_used[i])
        dirs = [{
            "path": "/data", "size_bytes": int(used * 0.97), "total_bytes": total, "usable_bytes": total - used,
            "error": None if m.k.log_dir[i] else STORAGE_ERROR,
        }]  # fmt: skip
        brokers.append({
            "id": x.id, "rack": x.rack, "host": f"b{x.id}.{cluster}", "state": "fenced" if s.fenced[i] else "alive",
            "platform": e.platform, "log_dirs": dirs if reachable and not e.automq else [],
        })  # fmt: skip
    topics = [_topic(m, t) for t in range(len(e.topics)) if ix.t_cluster[t] == c]
    return {
        "cluster": cluster, "observed_at_ms": at_ms, "interval_ms": interval_ms, "platform": e.platform, "brokers": brokers,
        "controller": _controller(m, cluster, at_ms), "topics": topics,
        "transactions": _transactions(m, cluster, at_ms),
    }  # fmt: skip


def _controller(m: Model, cluster: str, at_ms: int) -> Plain:
    s, e = m.s, m.ix.estate
    if cluster != CLUSTER:
        voters = [x.id for x in e.brokers if x.cluster == cluster]
        return {"leader": voters[0], "epoch": 7, "voters": voters, "quorum": [{"id": v, "lag": 0} for v in voters]}
    quorum: list[Plain] = []
    for i, x in enumerate(e.brokers):
        if not x.voter or x.cluster != cluster:
            continue
        away = s.unseen_s[i] if not s.up[i] or m.k.rack_loss[m.ix.broker_rack[i]] >= 1.0 else 0.0
        lag = int(away * 2.0 + (300.0 * m.k.voter_slow * m.draw_brokers[i] if i != s.controller else 0.0))
        quorum.append({"id": x.id, "lag": lag, "caught_up_at_ms": int(at_ms - lag * 500)})
    leader = -1 if s.controller < 0 else e.brokers[s.controller].id
    return {"leader": leader, "epoch": s.epoch, "voters": [q["id"] for q in quorum], "quorum": quorum}


def _topic(m: Model, t: int) -> Plain:
    s, ix = m.s, m.ix
    spec = ix.estate.topics[t]
    ids = [x.id for x in ix.estate.brokers]
    partitions: list[Plain] = []
    rows = ix.of_topic(t)
    for p in range(rows.start, rows.stop):
        replicas = [ids[r] for r in s.replicas[p].tolist() if r >= 0]
        isr = [ids[r] for r, ok in zip(s.replicas[p].tolist(), s.isr[p].tolist(), strict=True) if r >= 0 and ok]
        leader = int(s.leader[p])
        one: Plain = {"id": int(ix.p_number[p]), "leader": -1 if leader < 0 else ids[leader], "replicas": replicas, "isr": isr}
        if p in s.moving:
            to, old = s.moving[p]
            one |= {"adding": [ids[to]], "removing": [ids[old]]}
        partitions.append(one)
    policy = "compact" if spec.compacted else "delete"
    config = {
        "cleanup.policy": policy,
        "min.insync.replicas": str(spec.min_isr),
        "retention.ms": str(int(spec.retention_s * 1000)),
    }
    return {"name": spec.name, "partitions": partitions, "config": config}


def _transactions(m: Model, cluster: str, at_ms: int) -> list[Plain]:
    ix = m.ix
    out: list[Plain] = []
    for t, spec in enumerate(ix.estate.topics):
        if spec.txn_s and spec.cluster == cluster and m.s.in_rate[ix.of_topic(t)].any():
            since = (at_ms - m.started_ms) / 1000.0 % spec.txn_s
            out.append({
                "id": f"{spec.producers[0]}-tx", "state": "Ongoing", "started_at_ms": int(at_ms - since * 1000),
                "producer_id": 1000 + t, "partitions": [[spec.name, n] for n in range(spec.partitions)],
            })  # fmt: skip
    for i, (name, (started, parts)) in enumerate(sorted(m.hung.items())):
        rows = [[ix.estate.topics[ix.p_topic[p]].name, int(ix.p_number[p])] for p in parts]
        out.append({"id": name, "state": "Ongoing", "started_at_ms": started, "producer_id": 9000 + i, "partitions": rows})
    return out


def connector(m: Model, i: int, at_ms: int, interval_ms: int) -> Plain:
    """One connector with its tasks."""
    s, e = m.s, m.ix.estate
    c = e.connectors[i]
    tasks: list[Plain] = []
    for j in range(c.tasks):
        state = s.task_state[i][j]
        task: Plain = {"id": j, "state": state, "worker": e.workers[s.task_worker[i][j]].id, "metrics": task_metrics(m, i, j)}
        if s.task_trace[i][j] is not None:
            task["trace"] = s.task_trace[i][j]
        tasks.append(task)
    out: Plain = {
        "cluster": CLUSTER, "observed_at_ms": at_ms, "interval_ms": interval_ms, "connect": CONNECT, "connector": c.name,
        "type": c.type, "class": c.class_, "state": "RUNNING", "worker": e.workers[s.task_worker[i][0]].id, "topics": [c.topic],
        "system": c.system, "tasks": tasks,
    }  # fmt: skip
    if c.type == "sink":
        out["group"] = c.group
    return out


def task_metrics(m: Model, i: int, j: int) -> dict[str, float]:
    """Signals of one running task."""
    s, ix = m.s, m.ix
    c = ix.estate.connectors[i]
    if s.task_state[i][j] != "RUNNING":
        return {}
    running = max(1, s.task_state[i].count("RUNNING"))
    t = ix.topics[(CLUSTER, c.topic)]
    rate = s.task_rate[i] / running
    bad = float(m.k.bad[t]) * rate
    if c.type == "source":
        return {"source_poll_rate": round(rate, 3), "source_write_rate": round(rate, 3), "record_failure_rate": 0.0}
    rows = ix.g_rows[ix.groups[(CLUSTER, c.group)]]
    lag = (s.end[ix.k_part[rows]] - s.pos[rows]).max(initial=0.0)
    out = {"sink_record_lag": float(int(lag)), "record_failure_rate": round(bad, 3), "dead_letter_rate": round(bad, 3)}
    if rate > 0:
        out["put_batch_ms"] = round(float(s.put_ms[i]) * (0.95 + 0.1 * float(m.draw_tasks[i, j])), 2)
    return out
