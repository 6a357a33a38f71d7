"""Kafka Connect: outside systems that answer slower the more they have to do, workers with a processor, tasks that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kroute.simulate.state import F, f, tally

if TYPE_CHECKING:
    from kroute.simulate.model import Model

OVERHEAD_MS = 4.0
TRACES = {
    "refused": "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.\n"
    "\tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:632)\n"
    "Caused by: java.net.ConnectException: Connection refused\n\tat java.base/sun.nio.ch.Net.pollConnect(Native Method)",
    "timeout": "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.\n"
    "\tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:632)\n"
    "Caused by: java.net.SocketTimeoutException: 30,000 milliseconds timeout on connection http-outgoing-1 [ACTIVE]",
    "unavailable": "org.apache.kafka.connect.errors.ConnectException: Bulk request failed\n"
    "Caused by: org.elasticsearch.ElasticsearchStatusException: Elasticsearch exception [type=unavailable, status code 503]",
    "credentials": "org.apache.kafka.connect.errors.ConnectException: Could not write a batch\n"
    "Caused by: java.sql.SQLException: password authentication failed for user \"connect\"",
    "mapping": "org.apache.kafka.connect.errors.ConnectException: Tolerance exceeded in error handler\n"
    "Caused by: org.apache.kafka.connect.errors.DataException: field total: cannot convert STRING to INT64",
    "config": "org.apache.kafka.common.config.ConfigException: Invalid value null for configuration table.name.format",
    "schema": "org.apache.kafka.connect.errors.ConnectException: Tolerance exceeded in error handler\n"
    "Caused by: org.apache.kafka.common.errors.SerializationException: Error deserializing Avro message for id 4711",
    "slot": "org.apache.kafka.connect.errors.ConnectException: An exception occurred in the change event producer.\n"
    "Caused by: org.postgresql.util.PSQLException: Connection to crm-db:5432 refused. Check that the postmaster is running",
}  # fmt: skip


def calibrate(m: Model, rng: np.random.Generator) -> None:
    """Batches, systems and workers so that an ordinary hour uses a third of them."""
    e, ix = m.ix.estate, m.ix
    of_system, of_worker = f(len(e.systems)), f(len(e.workers))
    for i, c in enumerate(e.connectors):
        rate = m.mean_rate[ix.topics[("sim", c.topic)]]
        system = ix.systems[c.system]
        of_system[system] += rate
        for w in m.s.task_worker[i]:
            of_worker[w] += rate / c.tasks
        if c.type == "sink":
            group = e.groups[ix.groups[("sim", c.group)]]
            per_task = rate * group.headroom / c.tasks
            c.batch = max(1.0, per_task * (e.systems[system].base_ms * 1.3 + OVERHEAD_MS) / 1000.0)
    for i, x in enumerate(e.systems):
        x.capacity = max(of_system[i], 1.0) / rng.uniform(0.25, 0.45)
    for i, y in enumerate(e.workers):
        y.capacity = max(of_worker[i], 1.0) / rng.uniform(0.25, 0.45)


def step(m: Model) -> None:
    """Latencies of systems, use of workers, life of tasks; sets what each sink task can read in this step."""
    e, ix, s, k = m.ix.estate, m.ix, m.s, m.k
    done = f(len(e.connectors))
    for i, c in enumerate(e.connectors):
        if c.type == "sink":
            done[i] = s.consumed[ix.g_rows[ix.groups[("sim", c.group)]]].sum() / m.dt
        else:
            done[i] = s.in_rate[ix.of_topic(ix.topics[("sim", c.topic)])].sum()
    s.task_rate = done
    load = tally([ix.systems[c.system] for c in e.connectors], done, len(e.systems))
    capacity = np.array([x.capacity for x in e.systems]) / k.system**0.3
    s.system_use = 0.7 * s.system_use + 0.3 * np.minimum(load / capacity, 0.95)
    _workers(m, done)
    for i, c in enumerate(e.connectors):
        system = ix.systems[c.system]
        use = s.system_use[system]
        base = e.systems[system].base_ms * k.system[system] * k.put[i]
        s.put_ms[i] = base * (1.0 + use**2 / (1.0 - use)) + OVERHEAD_MS
        _tasks(m, i, system)
        if c.type != "sink":
            continue
        members = ix.of_group_members(ix.groups[("sim", c.group)])
        first = members.start
        for j in range(c.tasks):
            w = s.task_worker[i][j]
            m.capacity[first + j] = c.batch / s.put_ms[i] * 1000.0 * m.worker_speed[w]
            m.task_runs[first + j] = s.task_state[i][j] == "RUNNING"


def _workers(m: Model, done: F) -> None:
    e, s, k = m.ix.estate, m.s, m.k
    work = f(len(e.workers))
    for i, c in enumerate(e.connectors):
        running = [j for j in range(c.tasks) if s.task_state[i][j] == "RUNNING"]
        for j in running:
            work[s.task_worker[i][j]] += done[i] / len(running)
    room = np.array([w.capacity for w in e.workers]) * k.worker
    use = work / np.maximum(room, 1e-9)
    s.worker_use = 0.6 * s.worker_use + 0.4 * use
    # A worker that has no time for its tasks runs them slower, until it fits.
    m.worker_speed = np.clip(m.worker_speed * np.where(use > 0.98, 0.85, 1.08), 0.02, 1.0)
    m.worker_speed = np.where(k.worker < 0.05, np.minimum(m.worker_speed, 0.05), m.worker_speed)
    # Starved, it misses the group's heartbeat and its tasks are taken away for a while.
    starved = (s.worker_use > 0.93) & (s.worker_moving_s <= 0) & (m.draw_workers < m.dt / 150.0)
    s.worker_moving_s = np.where(starved, 25.0 + 40.0 * m.draw_one, np.maximum(s.worker_moving_s - m.dt, 0.0))


def _tasks(m: Model, i: int, system: int) -> None:
    """Tasks die of what they cannot write; once the reason is gone somebody restarts them."""
    s, k = m.s, m.k
    down = k.system_up[system] <= 0
    for j, state in enumerate(s.task_state[i]):
        moving = s.worker_moving_s[s.task_worker[i][j]] > 0
        draw = m.draw_tasks[i, j]
        dies = draw < (k.task_dies[i] + (1.0 / 35.0 if down else 0.0)) * m.dt
        if state == "RUNNING" and dies:
            s.task_state[i][j] = "FAILED"
            s.task_trace[i][j] = s.trace_text.get(i, TRACES["refused"])
        elif state == "FAILED" and not down and k.task_dies[i] <= 0 and draw < m.dt / 45.0:
            s.task_state[i][j], s.task_trace[i][j] = "RUNNING", None
        elif state == "RUNNING" and moving:
            s.task_state[i][j] = "UNASSIGNED"
        elif state == "UNASSIGNED" and not moving:
            s.task_state[i][j] = "RUNNING"
