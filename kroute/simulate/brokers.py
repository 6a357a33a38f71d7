"""Brokers as queues: request handlers, disk, network, heap; and an AutoMQ broker's write-ahead log, uploads and cache.

Fluid queues: use ρ = work ÷ capacity; below 1 waiting follows ρ/(1−ρ), above it a backlog grows and only a share is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate.produce import requests
from kroute.simulate.state import F, f, tally

if TYPE_CHECKING:
    from kroute.simulate.model import Model

SERVICE_MS = 0.35
"""Handler time of a request before any disk."""
DIRTY_S = 8.0
"""Seconds of writing that the page cache takes before producers wait for the disk."""
QUEUED_MAX = 500.0
"""queued.max.requests."""
CONNECTION_BYTES = 150e3
OBJECT_MS = 70.0
UPLOAD_LIMIT = 1.5e9
"""Pending bytes at which an AutoMQ broker begins to hold its producers back."""


def calibrate(m: Model, rng: np.random.Generator) -> None:
    """Capacities so that an ordinary hour uses 15–35 % of handlers, 15–40 % of disks, 15–35 % of the network."""
    s = m.s
    s.in_rate = m.mean_rate[m.ix.p_topic] * m.share
    m.want_rate = s.in_rate.copy()
    m.k.reset()
    n = len(m.ix.estate.brokers)
    row = s.in_rate[m.ix.k_part] * m.dt
    s.consumed = row
    m.fetch_from = s.leader[m.ix.k_part]
    work = _work(m)
    follow = (s.replicas >= 0) & (s.replicas != s.leader[:, None])
    each = np.repeat((s.in_rate * m.ix.record_bytes[m.ix.p_topic])[:, None], s.replicas.shape[1], axis=1)
    replicated = tally(s.replicas[follow], each[follow], n)
    for i, spec in enumerate(m.ix.estate.brokers):
        writes = max(work["bytes_in"][i] + replicated[i], 2e5)
        spec.threads = 8
        m.service_ms[i] = 8000.0 * rng.uniform(0.15, 0.35) / max(work["requests"][i], 1.0) - 2.0
        m.service_ms[i] = max(m.service_ms[i], SERVICE_MS)
        spec.disk_bw = writes / rng.uniform(0.15, 0.4)
        spec.net_bw = (work["bytes_in"][i] + work["bytes_out"][i] + 2 * replicated[i]) / rng.uniform(0.15, 0.35)
        spec.wal_bw = writes / rng.uniform(0.2, 0.4)
        spec.page_cache = writes * rng.uniform(300, 1500)
        spec.cache_bytes = writes * rng.uniform(60, 200)
        m.upload_bw[i] = writes / rng.uniform(0.25, 0.45)
        m.cold_bw[i] = writes * rng.uniform(2.0, 4.0)
    m.spare_replication[:] = [x.disk_bw * 0.5 for x in m.ix.estate.brokers]
    s.disk_used[:] = [x.disk_used for x in m.ix.estate.brokers]


def _work(m: Model) -> dict[str, F]:
    """Work offered to each broker in this step."""
    s, ix = m.s, m.ix
    n = len(ix.estate.brokers)
    led = s.leader >= 0
    size = ix.record_bytes[ix.p_topic]
    made, failed = requests(m)
    fetches = np.clip(s.consumed / m.dt / 200.0, 0.3, 20.0) * (s.holder >= 0)
    at = np.maximum(m.fetch_from, 0)
    ok = m.fetch_from >= 0
    out_bytes = s.consumed / m.dt * ix.record_bytes[ix.p_topic][ix.k_part]
    users = f(n)
    if (m.k.user_requests > 1.0).any():
        # requests that carry nothing (metadata, empty fetches) go to every broker alike
        extra = float((np.maximum(m.k.user_requests - 1.0, 0.0) * m.usual_user_requests).sum())
        users += extra / n
    return {
        "bytes_in": tally(s.leader[led], (s.in_rate * size)[led], n),
        "want_in": tally(s.leader[led], (m.want_rate * size)[led], n),
        "messages": tally(s.leader[led], s.in_rate[led], n),
        "bytes_out": tally(at[ok], out_bytes[ok], n),
        "produce": tally(s.leader[led], made[led], n),
        "failed": tally(s.leader[led], failed[led], n),
        "fetch": tally(at[ok], fetches[ok], n),
        "requests": tally(s.leader[led], made[led], n) + tally(at[ok], fetches[ok], n) + 20.0 + users,
    }


def step(m: Model) -> None:
    """Use, queues and latencies of every broker; they bear on the next step."""
    s, k, ix, dt = m.s, m.k, m.ix, m.dt
    specs = ix.estate.brokers
    w = _work(m)
    repl_in, repl_out = m.replicated_in, m.replicated_out
    alive = s.up.astype(np.float64)
    automq = ix.estate.automq
    # disk or write-ahead log
    cold = tally(np.maximum(m.fetch_from, 0), np.where(s.cold, m.consumed_bytes, 0.0) / dt, len(specs))
    bw = np.array([x.wal_bw if automq else x.disk_bw for x in specs]) * (k.wal if automq else k.disk)
    writes = w["bytes_in"] + (0.0 if automq else repl_in)
    offered = np.maximum(writes, w["want_in"])
    rho_disk = (offered + (0.0 if automq else cold)) / bw
    s.dirty = np.clip(s.dirty + (writes + (0.0 if automq else cold) * 0.5 - bw) * dt, 0.0, bw * DIRTY_S * 2)
    soft = np.minimum(rho_disk, 0.97)
    local = 0.4 + 1.1 * soft**2 / (1 - soft) + 1000.0 * np.maximum(s.dirty - bw * DIRTY_S * 0.3, 0.0) / bw
    m.local_ms = np.minimum(local, 20_000.0)
    m.read_ms = np.minimum(0.4 + (cold > 0) * (3.0 + 4.0 * soft / (1 - soft)) + 0.1 * m.local_ms, 20_000.0)
    serve_disk = np.where(s.dirty < bw * DIRTY_S * 0.6, 1.0, np.minimum(1.0, bw / np.maximum(offered, 1.0)))
    m.flush_ms = 6.0 * (1.0 + 3.0 * soft / (1 - soft)) + 600.0 * s.dirty / bw
    m.disk_wait = soft
    # heap
    conns = m.connections()
    heap = np.array([x.heap for x in specs])
    live = np.array([x.heap_live for x in specs]) + conns * CONNECTION_BYTES + s.queue * 60e3 + k.leak * heap
    m.heap_ratio = np.clip(live / heap, 0.05, 0.99)
    gc = np.clip((m.heap_ratio - 0.72) / 0.27, 0.0, 1.0)
    m.gc_ms = 18.0 + 2500.0 * gc**3
    # handlers
    capacity = np.array([float(x.threads) for x in specs]) * 1000.0 * k.threads * (1.0 - 0.85 * gc**2)
    # a handler thread sits through an append's local time; a slow disk holds threads
    held = np.minimum(m.local_ms, 400.0) * w["produce"] + np.minimum(m.read_ms, 400.0) * 0.3 * w["fetch"]
    demand = w["requests"] * m.service_ms + held + 12.0 * m.new_connections()
    rho = demand / np.maximum(capacity, 1.0)
    m.handler_use = np.clip(rho, 0.0, 1.0)
    tight = np.minimum(rho, 0.98)
    steady = 8.0 * tight**4 / (1 - tight) * 0.5
    growth = np.where(rho > 1.0, (rho - 1.0) * w["requests"] * dt * 0.2, -s.queue * 0.3)
    s.queue = np.clip(np.maximum(s.queue + growth, steady), 0.0, QUEUED_MAX)
    done = np.maximum(np.minimum(w["requests"], w["requests"] / np.maximum(rho, 1e-6)), 1.0)
    m.queue_ms = np.minimum(1000.0 * s.queue / done, 60_000.0) + 0.3
    # network
    net = np.array([x.net_bw for x in specs]) * k.net
    total = w["bytes_in"] + w["bytes_out"] + repl_in + repl_out
    rho_net = (total + np.maximum(w["want_in"] - w["bytes_in"], 0.0)) / np.maximum(net, 1.0)
    m.net_use = np.clip(rho_net, 0.0, 1.0)
    # what is served in the next step
    serve = np.minimum.reduce([1.0 / np.maximum(rho, 1.0), serve_disk, 1.0 / np.maximum(rho_net, 1.0)])
    if automq:
        serve = np.minimum(serve, _uploads(m, w["bytes_in"]))
    s.serve = (0.4 * s.serve + 0.6 * serve) * alive
    m.cpu = np.clip(0.08 + 0.65 * np.minimum(rho, 1.2) * (1 - 0.5 * soft) + 0.2 * gc + 0.1 * m.net_use, 0.02, 1.0)
    _spare(m, bw, writes, cold, net, total)
    _replica_wait(m)
    lag_ms = np.minimum(m.replica_wait_ms, 30_000.0)
    path = 1.0 + 60.0 * np.clip(k.rack_loss[ix.broker_rack] + k.loss, 0.0, 1.0)
    m.produce_ms = m.queue_ms + m.local_ms + (0.0 if automq else 2.0 * path + lag_ms) + 0.5 * path + m.upload_wait_ms
    m.fetch_ms = m.queue_ms + m.read_ms + 0.5 * path
    _disk_use(m, writes)
    s.load = {**w, "cold": cold, "repl_in": repl_in, "total": total, "conns": conns}


def _spare(m: Model, bw: F, writes: F, cold: F, net: F, total: F) -> None:
    """What is left for followers that catch up, and for reads of old data."""
    left = np.maximum(bw - writes, bw * 0.03) + m.replicated_in
    m.spare_replication = np.maximum(np.minimum(left, np.maximum(net - total, net * 0.03) + m.replicated_in), 1.0)
    if not m.ix.estate.automq:
        m.cold_bw = np.maximum(bw - writes, bw * 0.05)
    m.cold_now = cold


def _replica_wait(m: Model) -> None:
    """Time that acks=all waits for the slowest follower in the ISR, per leader."""
    s, ix = m.s, m.ix
    rate = np.maximum(s.in_rate * ix.record_bytes[ix.p_topic], 1.0)
    slow = np.where(s.isr & (s.replicas != s.leader[:, None]), s.behind_s, 0.0).max(axis=1)
    behind = np.where(s.isr & (s.replicas != s.leader[:, None]), s.behind, 0.0).max(axis=1) / rate
    wait = np.where(slow > m.dt, np.minimum(behind, 30.0) * 1000.0, 0.0)
    led = s.leader >= 0
    n = len(ix.estate.brokers)
    count = np.maximum(np.bincount(s.leader[led], minlength=n), 1)
    m.replica_wait_ms = tally(s.leader[led], wait[led], n) / count


def _uploads(m: Model, bytes_in: F) -> F:
    """An AutoMQ broker: bytes wait in the log until the object store has them; too many hold producers back."""
    s, k, dt = m.s, m.k, m.dt
    m.object_ms = OBJECT_MS * k.object_ms
    room = m.upload_bw / max(k.object_ms, 1.0) * (1.0 - min(k.object_failures, 0.98)) * np.minimum(k.wal * 2.0, 1.0)
    s.pending_upload = np.maximum(s.pending_upload + (bytes_in - room) * dt, 0.0)
    limit = np.minimum(UPLOAD_LIMIT, np.array([x.wal_bw for x in m.ix.estate.brokers]) * 60.0)
    m.pressure = np.clip((s.pending_upload - 0.5 * limit) / (0.5 * limit), 0.0, 1.0)
    m.wal_full = np.where(s.pending_upload >= limit, m.s.in_rate.sum() / 500.0 / len(limit), 0.0)
    m.upload_wait_ms = 800.0 * m.pressure
    return np.where(m.pressure > 0, np.maximum(1.0 - m.pressure, np.minimum(room / np.maximum(bytes_in, 1.0), 1.0) * 0.9), 1.0)


def _disk_use(m: Model, writes: F) -> None:
    """How full disks are: retention balances what is written, save what a happening adds. A full one goes offline."""
    s = m.s
    base = np.array([x.disk_used for x in m.ix.estate.brokers])
    wave = 0.004 * np.sin(m.now_s / 900.0 + np.arange(len(base)))
    s.disk_used = np.clip(base + wave + m.k.disk_fill, 0.0, 1.0)
