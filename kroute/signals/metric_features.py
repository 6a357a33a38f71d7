"""From the samples of one scrape to features: entity → feature → value, the few numbers that rules M1–M62 look at.

Of a quantile the 0.99 is taken (0.999 of a flush), else the highest there is. Rates of one feature add up, times and
ratios take the worst. A feature whose signal was not scraped is absent: not observed. The pseudo entity of kind ``source``
holds totals over principals, and tells which labelled signals the scrape exports at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.contracts.inputs import BrokerMetrics, Sample

Values = dict[Entity, dict[str, float]]

BROKER: dict[str, tuple[str, bool]] = {
    "log_flush_ms": ("flush_ms", False),
    "disk_used_ratio": ("disk_ratio", False),
    "request_queue_ms": ("queue_ms", False),
    "request_queue_size": ("queue_size", False),
    "request_handler_idle_ratio": ("handler_idle", False),
    "network_idle_ratio": ("network_idle", False),
    "request_error_rate": ("error_rate", True),
    "request_rate": ("requests", True),
    "heap_after_gc_ratio": ("heap", False),
    "gc_pause_ms": ("gc_ms", False),
    "cpu_ratio": ("cpu", False),
    "connection_count": ("connections", True),
    "connection_creation_rate": ("connection_rate", True),
    "bytes_in_rate": ("bytes_in", True),
    "bytes_out_rate": ("bytes_out", True),
    "replication_bytes_in_rate": ("replication_bytes", True),
    "replica_max_lag": ("replica_lag", False),
    "wal_append_ms": ("wal_append_ms", False),
    "wal_full_rate": ("wal_full", True),
    "wal_pending_bytes": ("wal_pending", True),
    "object_failure_rate": ("object_fail", True),
    "object_put_ms": ("object_put_ms", False),
    "object_get_ms": ("object_get_ms", False),
    "back_pressure_state": ("back_pressure", False),
    "cache_miss_rate": ("cache_miss", True),
    "object_read_bytes_rate": ("object_read", True),
    "late_transaction_partitions": ("late_transactions", True),
    "offline_log_dirs": ("offline_dirs", False),
}
"""Signal → feature of the broker, and whether samples add up (else the worst counts)."""
LOW_IS_WORSE = ("handler_idle", "network_idle")
REQUEST_TIMES = {"request_local_ms": "local", "request_total_ms": "total"}
CLUSTER: dict[str, tuple[str, bool]] = {
    "balancer_delay_ms": ("balancer_delay_ms", False),
    "slow_brokers": ("slow_brokers", False),
    "active_controllers": ("active_controllers", True),
    "heartbeat_timeouts": ("heartbeat_timeouts", True),
    "under_replicated_partitions": ("under_replicated", True),
    "under_min_isr_partitions": ("under_min_isr", True),
    "offline_partitions": ("offline", False),
    "reassigning_partitions": ("reassigning", True),
    "fenced_brokers": ("fenced", False),
}
WORKER: dict[str, tuple[str, bool]] = {
    "worker_rebalancing": ("rebalancing", False),
    "cpu_ratio": ("cpu", False),
    "heap_after_gc_ratio": ("heap", False),
    "worker_failed_tasks": ("failed_tasks", True),
    "worker_task_startup_failures": ("startup_failures", True),
}
PROBE: dict[str, tuple[str, bool]] = {
    "probe_failure_rate": ("probe_fail", True),
    "probe_produce_ms": ("probe_produce_ms", False),
    "probe_consume_ms": ("probe_consume_ms", False),
}
LINK: dict[str, tuple[str, bool]] = {
    "link_lag": ("link_lag", True),
    "link_lag_ms": ("link_lag_ms", False),
    "link_groups_subscribed": ("subscribed", False),
    "link_groups_promoted": ("promoted", False),
}
PRINCIPAL: dict[str, tuple[str, bool]] = {
    "bytes_in_rate": ("in", True),
    "bytes_out_rate": ("out", True),
    "request_rate": ("requests", True),
    "connection_count": ("connections", True),
    "throttle_ms": ("throttle_ms", False),
    "authorization_failure_rate": ("authorization", True),
    "request_error_rate": ("authentication", True),
}
SHARED = frozenset({"bytes_in_rate", "bytes_out_rate", "request_rate", "connection_count"})
"""Of these a principal has a share."""
CONNECTOR_SIGNALS = (
    "put_batch_ms", "sink_record_lag", "source_poll_rate", "source_write_rate",
    "record_failure_rate", "record_skip_rate", "dead_letter_rate",
)  # fmt: skip
PARTITION_STATUS_FINE = ("opened", "closed", "normal", "online")
LINK_STATE_FINE = ("linking", "paused", "promoted", "running", "active", "preparing", "promoting", "mirroring", "ready")
MOST_PRINCIPALS = 8
"""Principals followed per source for their share; those in trouble come first and up to ``MOST_TROUBLED``."""
MOST_TROUBLED = 32
MOST_TOPICS = 64
AUTHENTICATION = ("AUTHENTICATION", "SASL", "SSL", "TLS")
"""An error that names one of these is a failed authentication."""
TROUBLE = ("throttle_ms", "authorization", "authentication")


class Names(NamedTuple):
    """What a client's or a user's name stands for: the group whose members have the client id, and the topics that the
    principal's row lists (followed ones first). None and nothing where that is not known."""

    group: Callable[[str, str], str | None] = lambda _cluster, _client: None
    topics: Callable[[str, str], list[str]] = lambda _cluster, _name: []


def extract(m: BrokerMetrics, names: Names | None = None) -> Values:
    """Features of one scrape. Entities that the source always stands for are there even when empty."""
    names = names or Names()
    c, s = m.cluster, m.source
    out: Values = {}
    if s.kind == "broker":
        _plain(m, BROKER, out.setdefault(Entity("broker", c, s.id), {}), _is_whole_broker)
        _request_times(m, out[Entity("broker", c, s.id)])
    if s.kind in ("broker", "controller"):
        cluster = _cluster(m)
        if cluster:
            out[Entity("cluster", c, c)] = cluster
    if s.kind == "connect-worker":
        _plain(m, WORKER, out.setdefault(Entity("connect-worker", c, s.name), {}), _any)
    if s.kind == "probe":
        _probe(m, out)
    if s.kind == "link":
        _link(m, out.setdefault(Entity("link", c, s.id), {}))
    totals = out[Entity("source", c, f"{s.kind}/{s.id}")] = {}
    if s.kind in ("broker", "controller", "probe"):
        _principals(m, out, totals)
        _topics(m, out, totals, names)
    _cross_zone(m, out, totals, names)
    return out


def connector_samples(m: BrokerMetrics) -> dict[str, dict[str, float]]:
    """Connector (``connect/name``) → signal → value; rates and failures add up over tasks, times take the worst."""
    out: dict[str, dict[str, float]] = {}
    for s in m.samples:
        if s.signal in CONNECTOR_SIGNALS and s.labels and s.labels.get("connector"):
            connect = m.source.connect or s.labels.get("connect") or ""
            _put(out.setdefault(f"{connect}/{s.labels['connector']}", {}), s.signal, s.value, s.signal.endswith("_rate"))
    return out


def principal_of(labels: dict[str, str] | None) -> str | None:
    """The principal a sample is about: its label ``principal``, else ``user``, else ``client_id``."""
    if not labels:
        return None
    return labels.get("principal") or labels.get("user") or labels.get("client_id") or None


def _by_user(s: Sample) -> bool:
    """True where a sample is told per user rather than per client id."""
    return s.labels is not None and ("principal" in s.labels or "user" in s.labels)


def quantile(labels: dict[str, str] | None) -> float | None:
    """``0.99``, ``p99``, ``99th`` or ``99`` as 0.99; None where there is none."""
    text = (labels or {}).get("quantile") or (labels or {}).get("percentile")
    if not text:
        return None
    try:
        q = float(text.lower().lstrip("p").removesuffix("th").removesuffix("percentile"))
    except ValueError:
        return None
    while q > 1.0:
        q /= 10.0 if q >= 100.0 else 100.0
    return q


def _put(into: dict[str, float], name: str, value: float, add: bool) -> None:
    old = into.get(name)
    if old is None:
        into[name] = value
    elif add:
        into[name] = old + value
    else:
        into[name] = min(old, value) if name in LOW_IS_WORSE else max(old, value)


def _best(samples: list[Sample], want: float) -> list[Sample]:
    """Samples of one signal at the wanted quantile, else at the highest; those without a quantile as they are."""
    known = [(q, s) for s in samples if (q := quantile(s.labels)) is not None]
    if not known:
        return samples
    there = [q for q, _ in known]
    take = want if want in there else max(there)
    return [s for q, s in known if q == take]


def _plain(m: BrokerMetrics, names: dict[str, tuple[str, bool]], into: dict[str, float], keep: Callable[[Sample], bool]) -> None:
    by_signal: dict[str, list[Sample]] = {}
    for s in m.samples:
        if s.signal in names:
            by_signal.setdefault(s.signal, []).append(s)
    for signal, samples in by_signal.items():
        feature, add = names[signal]
        # A total without labels, where there is one, already holds what the labelled samples hold.
        whole = [s for s in samples if keep(s)] or samples
        for s in _best(whole, 0.999 if signal == "log_flush_ms" else 0.99):
            _put(into, feature, s.value, add)


def _any(_: Sample) -> bool:
    return True


def _is_whole_broker(s: Sample) -> bool:
    return not s.labels or not any(k in s.labels for k in ("topic", "partition", "user", "client_id", "principal"))


def _request_times(m: BrokerMetrics, into: dict[str, float]) -> None:
    groups: dict[str, list[Sample]] = {}
    for s in m.samples:
        side = REQUEST_TIMES.get(s.signal)
        if side is None:
            continue
        request = (s.labels or {}).get("request", "produce").lower()
        if request.startswith("produce"):
            groups.setdefault(f"{side}_produce_ms", []).append(s)
        elif request.startswith("fetch") and "follower" not in request:
            groups.setdefault(f"{side}_fetch_ms", []).append(s)
    for feature, samples in groups.items():
        for s in _best(samples, 0.99):
            _put(into, feature, s.value, add=False)


def _cluster(m: BrokerMetrics) -> dict[str, float]:
    into: dict[str, float] = {}
    _plain(m, CLUSTER, into, _any)
    for s in m.samples:
        if s.signal == "partition_status":
            status = (s.labels or {}).get("status", "").lower()
            _put(into, "partitions_odd", 0.0 if status in PARTITION_STATUS_FINE else s.value, add=True)
    return into


def _probe(m: BrokerMetrics, out: Values) -> None:
    racks: dict[str, list[Sample]] = {}
    for s in m.samples:
        if s.signal in PROBE:
            racks.setdefault((s.labels or {}).get("rack") or m.source.rack or m.source.id, []).append(s)
    for rack in racks or {m.source.rack or m.source.id: []}:
        into = out.setdefault(Entity("rack", m.cluster, rack), {})
        for s in _best_per_signal(racks.get(rack, [])):
            feature, add = PROBE[s.signal]
            _put(into, feature, s.value, add)


def _best_per_signal(samples: list[Sample]) -> list[Sample]:
    by_signal: dict[str, list[Sample]] = {}
    for s in samples:
        by_signal.setdefault(s.signal, []).append(s)
    return [s for group in by_signal.values() for s in _best(group, 0.99)]


def _link(m: BrokerMetrics, into: dict[str, float]) -> None:
    """``link_state`` has the state as its label and 1 as its value; without a label, 0 or less is an error."""
    _plain(m, LINK, into, _any)
    for s in m.samples:
        if s.signal == "link_state":
            state = (s.labels or {}).get("state", "").lower()
            bad = (s.value > 0 and state not in LINK_STATE_FINE) if state else s.value <= 0
            _put(into, "link_error", 1.0 if bad else 0.0, add=False)
            if state and s.value > 0:
                _put(into, "link_promoted", 1.0 if state == "promoted" else 0.0, add=False)
                _put(into, "promoting", 1.0 if state == "promoting" else 0.0, add=False)


def _principals(m: BrokerMetrics, out: Values, totals: dict[str, float]) -> None:
    found: dict[str, dict[str, float]] = {}
    by_user = {s.signal for s in m.samples if _by_user(s)}
    for s in _best_per_principal(m.samples):
        name = principal_of(s.labels)
        if name is None:
            continue
        if s.signal in SHARED and s.signal in by_user and not _by_user(s):
            continue  # told per user too: the same traffic once more
        feature, add = PRINCIPAL[s.signal]
        value = s.value
        if feature == "authentication":
            error = (s.labels or {}).get("error", "").upper()
            value = s.value if any(word in error for word in AUTHENTICATION) else 0.0
        _put(found.setdefault(name, {}), feature, value, add)
        _put(totals, f"principal:{feature}", value, add=True)
    if not found:
        return
    totals["principals"] = float(len(found))
    ranked = sorted(found, key=lambda n: (-_weight(found[n], totals), n))
    troubled = [n for n in ranked if _weight(found[n], totals) > 1.0][:MOST_TROUBLED]
    for name in troubled + [n for n in ranked if n not in troubled][:MOST_PRINCIPALS]:
        out[Entity("principal", m.cluster, name)] = found[name]


def _best_per_principal(samples: tuple[Sample, ...]) -> list[Sample]:
    out: list[Sample] = []
    timed: dict[str, list[Sample]] = {}
    for s in samples:
        if s.signal == "throttle_ms":
            timed.setdefault(principal_of(s.labels) or "", []).append(s)
        elif s.signal in PRINCIPAL:
            out.append(s)
    return out + [s for group in timed.values() for s in _best(group, 0.99)]


def _weight(features: dict[str, float], totals: dict[str, float]) -> float:
    """Trouble first, then the largest share of anything."""
    if any(features.get(f, 0.0) > 0 for f in TROUBLE):
        return 2.0
    return max((features[f] / totals[f"principal:{f}"] for f in features if totals[f"principal:{f}"] > 0), default=0.0)


_RETRIES = {"request_rate": "produce_requests", "request_error_rate": "produce_errors", "messages_in_rate": "messages"}


def _topics(m: BrokerMetrics, out: Values, totals: dict[str, float], names: Names) -> None:
    """Only topics whose produce requests fail are followed: retries are looked for nowhere else.

    Requests are told per topic by few exporters. Where they are told per user or client, they are taken for those of the
    one topic of the principal that is followed already, else gets the most records.
    """
    found: dict[str, dict[str, float]] = {}
    others: tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]] = ({}, {})  # by user, by client id
    for s in m.samples:
        labels = s.labels or {}
        if s.signal not in _RETRIES or not labels.get("request", "produce").lower().startswith("produce"):
            continue
        if topic := labels.get("topic"):
            into = found.setdefault(topic, {})
        elif s.signal != "messages_in_rate" and (name := principal_of(labels)):
            into = others[0 if _by_user(s) else 1].setdefault(name, {})
        else:
            continue
        _put(into, _RETRIES[s.signal], s.value, add=True)
        totals[f"topic:{_RETRIES[s.signal]}"] = 1.0
    for told in others:  # the same requests may be told in more than one way: the first that tells failures counts
        sums: dict[str, dict[str, float]] = {}
        for name in sorted(told):
            topics = (
                names.topics(m.cluster, name) if told[name].get("produce_errors") or told[name].get("produce_requests") else []
            )
            if topics:
                topic = max(topics, key=lambda t: (found.get(t, {}).get("messages", 0.0), t)) if len(topics) > 1 else topics[0]
                for feature, value in told[name].items():
                    _put(sums.setdefault(topic, {}), feature, value, add=True)
        for topic in sorted(sums):
            if sums[topic].get("produce_errors", 0.0) > 0 and not found.get(topic, {}).get("produce_errors"):
                found.setdefault(topic, {}).update(sums[topic])
    failing = [t for t in found if found[t].get("produce_errors", 0.0) > 0]
    for topic in sorted(failing, key=lambda t: (-found[t]["produce_errors"], t))[:MOST_TOPICS]:
        out[Entity("topic", m.cluster, topic)] = found[topic]


def _cross_zone(m: BrokerMetrics, out: Values, totals: dict[str, float], names: Names) -> None:
    """Bytes of a group by its name, or by the client id of its members; of a client that is in no group, its own."""
    for s in m.samples:
        labels = s.labels or {}
        client = labels.get("client_id", "")
        group = labels.get("group") or (names.group(m.cluster, client) if client else None)
        name = group or principal_of(labels)
        if s.signal != "cross_zone_bytes_rate" or not name:
            continue
        kind = "group" if group else "principal"
        crossing = not labels.get("from") or labels.get("from") != labels.get("to")
        _put(out.setdefault(Entity(kind, m.cluster, name), {}), "cross_zone", s.value if crossing else 0.0, add=True)
        totals[f"{kind}:cross_zone"] = 1.0
