"""Producers, quotas, transactions, the log's ends: how what is wanted becomes what is appended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate.state import F, tally

if TYPE_CHECKING:
    from kroute.simulate.model import Model

PATIENCE_S = 120.0
"""delivery.timeout.ms: how long a producer holds records that are not taken."""
CATCH_UP = 3.0
"""Producers with a full buffer send at most this many times their usual rate."""


def wanted_rates(m: Model) -> F:
    """Records/s per topic that the applications would write now."""
    ix, k, s = m.ix, m.k, m.s
    factor = m.writers @ k.user_rate * k.topic_rate
    out: F = m.rates[m.i] * factor * (1.0 - m.writers @ k.unauthenticated)
    for t, spec in enumerate(ix.estate.topics):
        if spec.source is not None:
            c = ix.connectors[spec.source]
            running = [w for w, state in zip(s.task_worker[c], s.task_state[c], strict=True) if state == "RUNNING"]
            alive = len(running) / len(s.task_worker[c])
            system = ix.systems[ix.estate.connectors[c].system]
            speed = 0.0 if k.system_up[system] <= 0 else 1.0 / max(k.system[system], 1.0) ** 0.5
            out[t] *= alive * min(1.0, speed) * m.worker_factor(running)
        if spec.link:
            out[t] = 0.0
    if ix.estate.link is not None:
        _through_link(m, out)
    return out


def _through_link(m: Model, out: F) -> None:
    """The link copies what its source topics appended, up to its capacity; after promotion the clients write themselves."""
    ix, s, k = m.ix, m.s, m.k
    link = ix.estate.link
    assert link is not None
    backlog, total = {}, 0.0
    for t, spec in enumerate(ix.estate.topics):
        if not spec.link:
            continue
        source = next(i for i, x in enumerate(ix.estate.topics) if x.name == spec.name and not x.link)
        if m.cut_over:
            out[t] = m.rates[m.i][source]
            out[source] = m.rates[m.i][source] * m.split_writes
            continue
        behind = float((s.end[ix.of_topic(source)] - s.end[ix.of_topic(t)]).sum())
        backlog[t] = max(behind, 0.0) / m.dt
        total += backlog[t]
    room = link.capacity * k.link * (0.0 if k.link_errors else 1.0)
    for t, rate in backlog.items():
        out[t] = rate * min(1.0, room / max(total, 1e-9))
    s.link_rate = min(total, room)


def step(m: Model) -> None:
    """One step of all producers and of the logs they write to."""
    ix, s, k, dt = m.ix, m.s, m.k, m.dt
    topic_rate = wanted_rates(m)
    share = m.share * k.share
    share = share / tally(ix.p_topic, share, len(ix.estate.topics))[ix.p_topic]
    fresh = topic_rate[ix.p_topic] * share * dt
    fresh *= _quotas(m, topic_rate)[ix.p_topic]
    usual = np.maximum(fresh, 1e-9)
    want = fresh + np.minimum(s.waiting, usual * (CATCH_UP - 1.0))
    s.waiting -= want - fresh
    taken = want * _open(m) * (1.0 - 0.7 * np.minimum(k.resend, 1.0))[ix.p_topic]
    m.want_rate = want / dt
    s.waiting += want - taken
    limit = usual / dt * PATIENCE_S
    over = np.maximum(s.waiting - limit, 0.0)
    s.lost += over
    s.waiting -= over
    s.accepted = taken
    s.in_rate = taken / dt
    s.end += taken
    _transactions(m)
    m.keep_end()
    _retention(m)


def _open(m: Model) -> F:
    """Share of what is offered that each partition takes."""
    s, k, ix = m.s, m.k, m.ix
    led = s.leader >= 0
    at = np.maximum(s.leader, 0)
    reachable = s.up[at] & k.log_dir[at]
    path = 1.0 - np.clip(k.rack_loss[ix.broker_rack[at]] + k.loss[at], 0.0, 1.0)
    least = np.array([t.min_isr for t in ix.estate.topics])[ix.p_topic]
    enough = s.isr.sum(axis=1) >= least
    return np.where(led & reachable & enough, s.serve[at] * np.sqrt(path), 0.0)


def _quotas(m: Model, topic_rate: F) -> F:
    """Factor per topic left by its writers' byte quotas; who is over is held back, as the broker delays its answers."""
    ix, s, k = m.ix, m.s, m.k
    bytes_by_user = (m.writers * (topic_rate * ix.record_bytes)[:, None]).sum(axis=0)
    quota = np.minimum(k.quota, np.array([np.inf if p.quota is None else p.quota for p in ix.estate.principals]))
    over = np.maximum(bytes_by_user / quota, 1.0)
    s.throttle_ms = np.where(over > 1.0, np.minimum((over - 1.0) * 1000.0, 30_000.0), 0.0)
    left: F = m.writers @ (1.0 / over) + (1.0 - m.writers.sum(axis=1))
    return left


def _transactions(m: Model) -> None:
    """The last stable offset: the first record of the oldest open transaction. Commits leave a marker in the log."""
    ix, s = m.ix, m.s
    s.stable = s.end.copy()
    for t, spec in enumerate(ix.estate.topics):
        if not spec.txn_s:
            continue
        rows = ix.of_topic(t)
        since = m.now_s % max(spec.txn_s, m.dt)
        if since < m.dt:
            s.end[rows] += s.in_rate[rows] > 0
            s.markers[rows] = 1.0
            since = 0.0
        else:
            s.markers[rows] = np.where(s.in_rate[rows] > 0, 0.0, s.markers[rows])
        s.stable[rows] = s.end[rows] - s.in_rate[rows] * since
    held = np.isfinite(s.txn_open)
    s.stable[held] = np.minimum(s.stable[held], s.txn_open[held])


def _retention(m: Model) -> None:
    if m.i % 60 == 0:
        s, ix = m.s, m.ix
        keep = np.array([t.retention_s for t in ix.estate.topics])
        mean = np.array([t.rate for t in ix.estate.topics])
        share = m.share * (mean * keep)[ix.p_topic]
        s.start = np.maximum(s.start, s.end - share * m.k.share)


def requests(m: Model) -> tuple[F, F]:
    """Produce requests/s per partition, and how many of them fail."""
    ix, s, k = m.ix, m.s, m.k
    batch = np.array([t.batch_records for t in ix.estate.topics])
    good = s.in_rate / batch[ix.p_topic]
    again = good * k.resend[ix.p_topic] + (m.want_rate - s.in_rate) / batch[ix.p_topic] * 0.5
    return good + again, np.maximum(again, 0.0)
