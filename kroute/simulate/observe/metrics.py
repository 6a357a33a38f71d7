"""Scrapes: brokers, Connect workers, probes and the link as ``kroute.broker-metrics``."""

from __future__ import annotations

import numpy as np

from kroute.simulate import placement
from kroute.simulate.consume import PREPARING
from kroute.simulate.model import Model
from kroute.simulate.observe.delivery import Plain
from kroute.simulate.observe.topology import task_metrics
from kroute.simulate.produce import requests
from kroute.simulate.spec import CLUSTER, CONNECT
from kroute.simulate.state import F, tally

TAIL = 3.2
"""A 99th percentile against the mean, for the service times of a broker."""


class Samples:
    """Collects samples of one scrape, with the noise of measuring."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rows: list[Plain] = []
        self._rng = rng

    def put(self, signal: str, value: float, noise: float = 0.0, **labels: str) -> None:
        """One sample; ``noise`` is relative."""
        if noise:
            value *= float(np.exp(self._rng.normal(0, noise)))
        row: Plain = {"signal": signal, "value": round(float(value), 4)}
        if labels:
            row["labels"] = labels
        self.rows.append(row)

    def ratio(self, signal: str, value: float, noise: float = 0.015) -> None:
        """A ratio 0–1."""
        self.put(signal, min(1.0, max(0.0, value + float(self._rng.normal(0, noise)))))

    def times(self, signal: str, ms: float, request: str, tail: float = TAIL) -> None:
        """A latency as median and 99th percentile."""
        self.put(signal, ms, 0.08, request=request, quantile="0.5")
        self.put(signal, ms * tail, 0.15, request=request, quantile="0.99")


class Shared:
    """What is the same for all scrapes of one moment: measures per broker, topic and principal."""

    def __init__(self, m: Model) -> None:
        ix, s = m.ix, m.s
        n = len(ix.estate.brokers)
        self.short, self.below, self.offline = placement.under_replicated(m)
        size = ix.record_bytes[ix.p_topic]
        made, failed = requests(m)
        led = s.leader >= 0
        at = np.maximum(s.leader, 0)
        shape = (len(ix.estate.topics), n)
        self.t_in, self.t_msgs, self.t_made, self.t_failed, self.t_out = (np.zeros(shape) for _ in range(5))
        np.add.at(self.t_in, (ix.p_topic[led], at[led]), (s.in_rate * size)[led])
        np.add.at(self.t_msgs, (ix.p_topic[led], at[led]), s.in_rate[led])
        np.add.at(self.t_made, (ix.p_topic[led], at[led]), made[led])
        np.add.at(self.t_failed, (ix.p_topic[led], at[led]), failed[led])
        out = m.consumed_bytes / m.dt
        ok = m.fetch_from >= 0
        np.add.at(self.t_out, (ix.p_topic[ix.k_part][ok], m.fetch_from[ok]), out[ok])
        groups = np.zeros((len(ix.estate.groups), n))
        np.add.at(groups, (ix.k_group[ok], m.fetch_from[ok]), out[ok])
        self.u_in: F = m.writers.T @ self.t_in
        self.u_out: F = m.readers.T @ groups
        weight = m.writers * m.k.user_rate
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
        self.u_in = weight.T @ self.t_in
        requests_of = weight.T @ self.t_made
        extra = np.maximum(m.k.user_requests - 1.0, 0.0) * m.usual_user_requests / n
        self.u_requests: F = requests_of + (m.usual_user_requests / n + extra)[:, None] + self.u_out / 1e6
        holder = np.maximum(s.holder, 0)
        reads = ok & (s.holder >= 0) & (out > 0)
        self.zone: dict[tuple[int, int, int, int], float] = {}
        for row in np.flatnonzero(reads).tolist():
            b = int(m.fetch_from[row])
            key = (b, int(ix.k_group[row]), int(ix.broker_rack[b]), int(ix.m_rack[holder[row]]))
            self.zone[key] = self.zone.get(key, 0.0) + float(out[row])
        moving = np.zeros(n)
        for p in s.moving:
            if s.leader[p] >= 0:
                moving[s.leader[p]] += 1
        self.moving = moving
        self.preparing = tally(s.coordinator, s.phase == PREPARING, n)
        slow = np.zeros(n)
        follow = (s.replicas >= 0) & (s.replicas != s.leader[:, None])
        records = s.behind / size[:, None]
        np.maximum.at(slow, s.replicas[follow], records[follow])
        self.replica_lag = slow


def broker(m: Model, i: int, sh: Shared, rng: np.random.Generator) -> list[Plain]:
    """One broker's scrape."""
    s, ix, e = m.s, m.ix, m.ix.estate
    x = e.brokers[i]
    o = Samples(rng)
    load = s.load
    o.put("bytes_in_rate", load["bytes_in"][i], 0.01)
    o.put("bytes_out_rate", load["bytes_out"][i], 0.01)
    o.put("messages_in_rate", load["messages"][i], 0.01)
    _topics(m, i, sh, o)
    o.ratio("request_handler_idle_ratio", 1.0 - m.handler_use[i])
    o.ratio("network_idle_ratio", 1.0 - m.net_use[i])
    o.put("request_queue_size", int(s.queue[i]))
    _requests(m, i, o)
    o.put("heap_after_gc_ratio", m.heap_ratio[i], 0.01)
    o.put("gc_pause_ms", m.gc_ms[i], 0.15)
    o.ratio("cpu_ratio", m.cpu[i])
    o.put("connection_count", int(load["conns"][i]))
    o.put("connection_creation_rate", m.new_connections_now[i], 0.1)
    o.put("active_controllers", 1.0 if s.controller == i else 0.0)
    o.put("preparing_rebalance_groups", sh.preparing[i])
    late = sum(1 for started, parts in m.hung.values() if m.now_ms - started > 900_000 for p in parts if s.leader[p] == i)
    o.put("late_transaction_partitions", late)
    o.put("txn_marker_retry_queue", 0.0)
    if x.voter:
        o.put("controller_epoch", s.epoch if x.cluster == CLUSTER else 7)
    if s.controller == i:
        o.put("offline_partitions", sh.offline[ix.broker_cluster[i]])
        o.put("fenced_brokers", float(s.fenced[ix.broker_cluster == ix.broker_cluster[i]].sum()))
        o.put("heartbeat_timeouts", float((s.unseen_s[ix.broker_cluster == 0] >= placement.SESSION_S).sum()) / 30.0)
    _principals(m, i, sh, o)
    for (b, g, here, there), rate in sorted(sh.zone.items()):
        if b == i and here != there:
            labels = {"from": ix.racks[here], "to": ix.racks[there], "direction": "out", "group": e.groups[g].name}
            o.put("cross_zone_bytes_rate", rate, 0.02, client_id=e.groups[g].name, **labels)
    if e.automq:
        _automq(m, i, sh, o)
    else:
        o.put("log_flush_ms", m.flush_ms[i] * TAIL, 0.2, quantile="0.999")
        o.put("log_flush_ms", m.flush_ms[i], 0.1, quantile="0.5")
        o.put("disk_used_ratio", s.disk_used[i], log_dir="/data")
        o.put("offline_log_dirs", 0.0 if m.k.log_dir[i] else 1.0)
        o.put("under_replicated_partitions", sh.short[i])
        o.put("under_min_isr_partitions", sh.below[i])
        o.put("isr_shrink_rate", m.take_shrinks(i))
        o.put("replica_max_lag", int(sh.replica_lag[i]))
        o.put("replication_bytes_in_rate", load["repl_in"][i], 0.01)
        o.put("reassigning_partitions", sh.moving[i])
    return o.rows


def _topics(m: Model, i: int, sh: Shared, o: Samples) -> None:
    for t, spec in enumerate(m.ix.estate.topics):
        if sh.t_msgs[t, i] <= 0 and sh.t_made[t, i] <= 0:
            continue
        o.put("bytes_in_rate", sh.t_in[t, i], 0.01, topic=spec.name)
        o.put("bytes_out_rate", sh.t_out[t, i], 0.01, topic=spec.name)
        o.put("messages_in_rate", sh.t_msgs[t, i], 0.01, topic=spec.name)
        o.put("request_rate", sh.t_made[t, i], 0.01, topic=spec.name, request="Produce")
        if sh.t_failed[t, i] > 1e-3:
            error = "OUT_OF_ORDER_SEQUENCE_NUMBER" if m.k.resend[t] > 0 else "REQUEST_TIMED_OUT"
            o.put("request_error_rate", sh.t_failed[t, i], 0.05, topic=spec.name, request="Produce", error=error)


def _requests(m: Model, i: int, o: Samples) -> None:
    load = m.s.load
    if load["produce"][i] > 0.05:
        o.times("request_queue_ms", m.queue_ms[i], "Produce")
        o.times("request_local_ms", m.local_ms[i], "Produce")
        if not m.ix.estate.automq:
            o.times("request_remote_ms", 2.0 + min(m.replica_wait_ms[i], 30_000.0), "Produce")
        o.times("request_total_ms", min(m.produce_ms[i], 30_000.0), "Produce")
        o.put("request_rate", load["produce"][i], 0.02, request="Produce")
    if load["fetch"][i] > 0.05:
        wait = 500.0 / (1.0 + load["bytes_out"][i] / 5e4)  # fetch.max.wait.ms where there is little to fetch
        o.times("request_queue_ms", m.queue_ms[i], "FetchConsumer")
        o.times("request_local_ms", m.read_ms[i], "FetchConsumer")
        o.times("request_remote_ms", wait, "FetchConsumer", 1.2)
        o.times("request_total_ms", min(m.fetch_ms[i] + wait, 30_000.0), "FetchConsumer", 1.8)
        o.put("request_rate", load["fetch"][i], 0.02, request="FetchConsumer")
    if load["failed"][i] > 1e-3:
        o.put("request_error_rate", load["failed"][i], 0.05, request="Produce", error="REQUEST_TIMED_OUT")


def _principals(m: Model, i: int, sh: Shared, o: Samples) -> None:
    e, k = m.ix.estate, m.k
    n = sum(1 for b in e.brokers if b.cluster == CLUSTER)
    for u, p in enumerate(e.principals):
        if sh.u_in[u, i] > 0:
            o.put("bytes_in_rate", sh.u_in[u, i], 0.01, user=p.name)
        if sh.u_out[u, i] > 0:
            o.put("bytes_out_rate", sh.u_out[u, i], 0.01, user=p.name)
        o.put("request_rate", sh.u_requests[u, i], 0.03, user=p.name)
        o.put("connection_count", int(m.usual_connections[u] * k.user_connections[u] * (1.0 - k.unauthenticated[u])), user=p.name)
        if p.quota is not None or np.isfinite(k.quota[u]):
            o.put("throttle_ms", m.s.throttle_ms[u], 0.05, user=p.name, client_id=p.name, request="Produce")
        if k.unauthenticated[u] > 0:
            failures = m.usual_connections[u] * k.unauthenticated[u] / 4.0 / n
            o.put(
                "request_error_rate", failures, 0.1, user=p.name, request="SaslAuthenticate", error="SASL_AUTHENTICATION_FAILED"
            )
        if k.denied[u] > 0:
            o.put(
                "authorization_failure_rate", k.denied[u] / n, 0.1, principal=p.name, resource=m.denied_resource.get(u, "topic")
            )


def _automq(m: Model, i: int, sh: Shared, o: Samples) -> None:
    s, k = m.s, m.k
    x = m.ix.estate.brokers[i]
    bytes_in = s.load["bytes_in"][i]
    o.put("wal_append_ms", (1.2 + m.local_ms[i]) * TAIL * 0.6, 0.12, quantile="0.99")
    o.put("wal_full_rate", m.wal_full[i], 0.1)
    o.put("wal_pending_bytes", s.pending_upload[i] + bytes_in * 4.0, 0.1)
    slow = 1.0 + 3.0 * m.upload_wait_ms[i] / 1000.0
    for operation in ("put_object", "upload_part"):
        o.put("object_put_ms", m.object_ms * slow, 0.15, operation=operation, quantile="0.99")
    cold = s.load["cold"][i]
    if cold > 0 or m.draw_brokers[i] < 0.7:
        busy = min(m.cold_ask[i] / max(m.cold_bw[i], 1.0), 4.0)
        o.put("object_get_ms", m.object_ms * 0.6 * (1.0 + busy), 0.15, operation="range_read", quantile="0.99")
    failing = k.object_failures * (bytes_in / 4e6 + 0.3)
    o.put("object_failure_rate", failing, operation="put_object")
    for direction in ("read", "write"):
        o.put("object_inflight_quota", max(0.0, 100.0 * (1.0 - m.pressure[i])), 0.02, direction=direction)
    thrash = max(m.cold_ask[i] / max(m.cold_bw[i], 1.0), 1.0)
    o.put("cache_miss_rate", 0.3 + cold / 1e6 * thrash, 0.1)
    o.put("object_read_bytes_rate", 2e4 + cold * min(thrash, 3.0), 0.05)
    o.put("back_pressure_state", 1.0 if m.pressure[i] > 0 else 0.0)
    o.put("compaction_delay_ms", 20_000.0 * k.object_ms**0.3, 0.1)
    for direction in ("inbound", "outbound"):
        o.put("network_limiter_queue", int(50 * max(0.0, m.net_use[i] - 0.9)), direction=direction)
    o.put("reassigning_partitions", sh.moving[i])
    o.put("partition_status", float((s.leader == i).sum()), status="opened")
    stuck = k.balancer_ms > 120_000.0
    if stuck:
        o.put("partition_status", float((s.leader == i).sum()) // 20 + 1, status="opening")
    if s.controller == i:
        o.put("slow_brokers", float((m.local_ms > 60.0).sum() + (1 if stuck else 0)))
        for b in m.ix.estate.brokers:
            if b.cluster == x.cluster:
                o.put("balancer_delay_ms", 2500.0 + k.balancer_ms, 0.1, node_id=str(b.id))


def worker(m: Model, w: int, rng: np.random.Generator) -> list[Plain]:
    """One Connect worker's scrape, with its tasks' signals."""
    s, e = m.s, m.ix.estate
    o = Samples(rng)
    o.ratio("cpu_ratio", 0.04 + 0.9 * min(s.worker_use[w], 1.05) if m.k.worker[w] >= 0.05 else 0.98)
    o.put("heap_after_gc_ratio", min(0.3 + 0.25 * min(s.worker_use[w], 2.0), 0.97), 0.02)
    o.put("worker_rebalancing", 1.0 if s.worker_moving_s.max(initial=0.0) > 0 else 0.0)
    o.put("worker_task_startup_failures", 0.0)
    for i, c in enumerate(e.connectors):
        mine = [j for j in range(c.tasks) if s.task_worker[i][j] == w]
        if not mine:
            continue
        failed = sum(1 for j in mine if s.task_state[i][j] == "FAILED")
        o.put("worker_failed_tasks", failed, connector=c.name)
        for j in mine:
            for signal, value in task_metrics(m, i, j).items():
                o.put(signal, value, 0.0, connector=c.name, task=str(j))
    return o.rows


def probe(m: Model, rack: str, rng: np.random.Generator) -> list[Plain]:
    """An end-to-end probe in one rack: it writes to and reads from every broker of the cluster."""
    ix = m.ix
    r = ix.racks.index(rack)
    mine = ix.broker_cluster == 0
    ok = m.s.up & ~m.s.fenced & m.k.log_dir
    away = np.where(ix.broker_rack == r, 0.0, 1.0)
    lossy = np.clip(m.k.loss + np.maximum(m.k.rack_loss[ix.broker_rack] * away, m.k.rack_loss[r] * away), 0.0, 1.0)
    fails = np.where(ok, lossy**1.5 + (1.0 - m.s.serve) * 0.3, 0.3)[mine]
    o = Samples(rng)
    slow = 1.0 + 15.0 * float(lossy[mine].mean())
    o.put("probe_failure_rate", float(np.clip(fails.mean(), 0.0, 1.0)) if fails.mean() > 0.004 else 0.0, 0.05, rack=rack)
    reach = mine & ok
    if fails.mean() < 0.95 and reach.any():
        o.put("probe_produce_ms", (4.0 + float(m.produce_ms[reach].mean())) * slow, 0.1, rack=rack, quantile="0.99")
        o.put("probe_consume_ms", (9.0 + float(m.fetch_ms[reach].mean())) * slow, 0.1, rack=rack, quantile="0.99")
    return o.rows


def link(m: Model, rng: np.random.Generator) -> list[Plain]:
    """The migration link's scrape."""
    x = m.ix.estate.link
    assert x is not None
    o = Samples(rng)
    behind = slowest = 0.0
    for t, spec in enumerate(m.ix.estate.topics):
        if not spec.link:
            continue
        source = next(j for j, other in enumerate(m.ix.estate.topics) if other.name == spec.name and not other.link)
        gap = float((m.s.end[m.ix.of_topic(source)] - m.s.end[m.ix.of_topic(t)]).clip(0).sum()) if not m.cut_over else 0.0
        behind += gap
        slowest = max(slowest, gap / max(m.mean_rate[source], 1e-9))
    o.put("link_lag", behind)
    o.put("link_lag_ms", 150.0 + slowest * 1000.0, 0.1)
    o.put("link_groups_subscribed", len(x.groups))
    o.put("link_groups_promoted", m.s.promoted)
    state = "FAILED" if m.k.link_errors else "PROMOTED" if m.cut_over else "LINKING"
    o.put("link_state", 1.0, state=state)
    return o.rows


def source(m: Model, kind: str, name: str) -> Plain:
    """``source`` of a scrape message."""
    out: Plain = {"kind": kind, "id": name, "platform": m.ix.estate.platform}
    if kind == "connect-worker":
        return {"kind": kind, "id": name, "connect": CONNECT}
    if kind == "broker":
        spec = next(b for b in m.ix.estate.brokers if str(b.id) == name)
        out["rack"] = spec.rack
        if m.ix.estate.automq:
            out["wal"] = "ebs"
    if kind == "probe":
        out["rack"] = name.removeprefix("probe-")
    return out
