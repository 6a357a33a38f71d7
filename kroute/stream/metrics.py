"""Every metric of a worker, named once with its help; and Faust's own figures at scrape time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    import faust

FORWARDED = Counter("kroute_ingest_records_total", "Input records forwarded to facts, by source topic", ["topic"])
REJECTED = Counter("kroute_ingest_dead_letters_total", "Input records sent to the dead-letter topic", ["topic", "reason"])
OWN = Counter("kroute_ingest_own_records_total", "Input records left out because they are about kroute itself", ["topic"])
LEFT_OUT = Counter(
    "kroute_ingest_left_out_total", "Polls left out: their source is over its budget, or facts are behind, by topic", ["topic"]
)  # fmt: skip
FLOODING = Gauge("kroute_ingest_flooding", "1 while a source sends more than its budget and is thinned", ["cluster", "source"])
THINNING = Gauge("kroute_ingest_thinning_partitions", "Partitions of facts so far behind that polls are thinned")
URGENT = Gauge("kroute_ingest_urgent_entities", "Entities never thinned: objectives that are breached or at risk hang on them")
INGEST_LAG = Gauge(
    "kroute_ingest_lag_seconds", "How old the oldest input is that is not forwarded yet; largest over the partitions"
)
REACHED = Gauge("kroute_ingest_reached_timestamp_seconds", "Append time reached, by input partition", ["topic", "partition"])
STATE_INPUTS_READ = Gauge("kroute_ingest_state_inputs_read", "1 when the state inputs are read to their end")

UNITS = Counter("kroute_correlate_units_total", "Units of work made durable, by facts partition", ["partition"])
FACTS = Counter("kroute_correlate_facts_total", "Facts applied, by facts partition", ["partition"])
ROWS = Counter("kroute_correlate_rows_total", "Table rows written, by table", ["table"])
ALERTS = Counter("kroute_correlate_alerts_total", "Records produced to routed-alerts, repeats after a restart included")
FALLBACKS = Counter(
    "kroute_routing_fallbacks_total", "Deliveries opened at a team that no ownership row names, by the fallback's name", ["via"]
)  # fmt: skip
FORBIDDEN = Counter(
    "kroute_correlate_controls_refused_total", "Controls that the policy does not let their realm give", ["realm", "kind"]
)  # fmt: skip
FAILURES = Counter("kroute_correlate_diagnosis_failures_total", "Diagnoses that failed, so that what was known stood: a defect")
UNREADABLE = Counter("kroute_correlate_unreadable_total", "Records of facts that are not envelopes and were passed over")
STEP = Histogram(
    "kroute_correlate_step_seconds", "Time in the engine per unit of work",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
)  # fmt: skip
COMMIT = Histogram(
    "kroute_correlate_commit_seconds", "Time to make a unit of work durable: journal, rows, alerts",
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
)  # fmt: skip
OFFSET = Gauge("kroute_correlate_offset", "Newest durable facts offset, by facts partition", ["partition"])
BEHIND = Gauge("kroute_correlate_behind_records", "Records of facts not applied yet, by facts partition", ["partition"])
HEARTBEAT = Gauge("kroute_heartbeat_timestamp_seconds", "Event time of the newest heartbeat that is durable", ["cluster"])
LAG = Gauge("kroute_correlate_lag_seconds", "How long ago the newest applied fact was written, by facts partition", ["partition"])
LOADED = Gauge("kroute_recovery_rows", "Rows loaded at the last recovery, by facts partition", ["partition"])
GAP = Gauge("kroute_recovery_gap_records", "Facts deleted before they were applied, by facts partition", ["partition"])
STORE_DISCARDED = Gauge("kroute_recovery_store_discarded", "1 when the local store of an unclean stop was thrown away at start")


class Figures(Collector):
    """Figures of the app, of Faust's monitor and of the consumer's recovery, read when scraped."""

    def __init__(self, app: faust.App) -> None:
        self._app: Any = app

    def _own(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("kroute_ready", "1 while this worker is ready", float(self._app.not_ready() is None))
        correlate = self._app.correlate
        yield GaugeMetricFamily(
            "kroute_outbox_age_seconds", "Age of the oldest unit being written, alerts included", correlate.outbox_age_s
        )  # fmt: skip
        open_ = GaugeMetricFamily(
            "kroute_obligations",
            "Deliveries opened and not closed; orphaned: their incident is over",
            labels=["partition", "state"],
        )  # fmt: skip
        oldest = GaugeMetricFamily(
            "kroute_obligations_oldest_timestamp_seconds",
            "When the oldest incident with an open delivery began",
            labels=["partition"],
        )  # fmt: skip
        for p, held in sorted(correlate.held.items()):
            found = held.state.obligations()
            for state in ("open", "unacknowledged", "orphaned"):
                open_.add_metric([str(p), state], getattr(found, state))
            if found.oldest_ms is not None:
                oldest.add_metric([str(p)], found.oldest_ms / 1000)
        yield from (open_, oldest)

    def collect(self) -> Iterator[Metric]:
        """One family per figure."""
        yield from self._own()
        monitor: Any = self._app.monitor
        yield CounterMetricFamily(
            "faust_messages_received",
            "Messages handed to agents; what one fetch gives of an input partition is one",
            monitor.messages_received_total,
        )
        yield CounterMetricFamily("faust_messages_sent", "Records sent through Faust topics", monitor.messages_sent)
        yield CounterMetricFamily("faust_send_errors", "Sends through Faust topics that failed", monitor.send_errors)
        yield CounterMetricFamily("faust_rebalances", "Rebalances since start", self._app.rebalancing_count)
        yield GaugeMetricFamily("faust_rebalancing", "1 while the group rebalances", float(self._app.rebalancing))
        yield GaugeMetricFamily("faust_recovering", "1 while tables recover", float(not self._app.tables.actives_ready))
        remaining = GaugeMetricFamily("faust_recovery_remaining", "Changelog records to read", labels=["topic", "partition"])
        for tp, n in self._app.tables.recovery.active_remaining().items():
            remaining.add_metric([tp.topic, str(tp.partition)], max(n, 0))
        yield remaining
