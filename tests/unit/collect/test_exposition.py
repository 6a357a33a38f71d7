"""Expositions to samples: rates, resets, quantiles without events, sums, ratios."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kroute.collect.aliases import Rule, load_aliases, shipped
from kroute.collect.exposition import Translator, looks_like_exposition, quantile
from kroute.errors import BadFile, SourceUnreachable

Got = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def run(translator: Translator, text: str, at_s: float) -> Got:
    return {(s.signal, tuple(sorted((s.labels or {}).items()))): s.value for s in translator.samples(text, at_s)}


def table(*names: str, cpus: float | None = None) -> Translator:
    return Translator(load_aliases(names).rules, cpus=cpus)


def test_a_counter_is_a_rate_per_second_from_the_second_scrape_on() -> None:
    t = table("strimzi")
    assert run(t, "kafka_server_brokertopicmetrics_bytesin_total 1000.0\n", 0) == {}
    assert run(t, "kafka_server_brokertopicmetrics_bytesin_total 4000.0\n", 15) == {("bytes_in_rate", ()): 200.0}


def test_a_counter_that_went_back_gives_no_sample_and_the_next_scrape_counts_from_there() -> None:
    t = table("strimzi")
    run(t, "kafka_server_brokertopicmetrics_bytesin_total 1000.0\n", 0)
    assert run(t, "kafka_server_brokertopicmetrics_bytesin_total 10.0\n", 10) == {}
    assert run(t, "kafka_server_brokertopicmetrics_bytesin_total 30.0\n", 20) == {("bytes_in_rate", ()): 2.0}


def test_one_series_that_went_back_spoils_the_sum_it_belongs_to_and_no_other() -> None:
    t = table("automq")
    text = 'kafka_network_io_bytes_total{{direction="in",topic="{t}",partition="{p}"}} {v}\n'
    first = text.format(t="a", p=0, v=10) + text.format(t="a", p=1, v=10) + text.format(t="b", p=0, v=10)
    then = text.format(t="a", p=0, v=5) + text.format(t="a", p=1, v=20) + text.format(t="b", p=0, v=30)
    run(t, first, 0)
    assert run(t, then, 10) == {("bytes_in_rate", (("topic", "b"),)): 2.0}


def test_series_per_partition_are_summed_to_their_topic() -> None:
    t = table("automq")
    text = 'kafka_network_io_bytes_total{{direction="out",topic="a",partition="{p}"}} {v}\n'
    run(t, text.format(p=0, v=0) + text.format(p=1, v=0), 0)
    got = run(t, text.format(p=0, v=10) + text.format(p=1, v=30), 10)
    assert got == {("bytes_out_rate", (("topic", "a"),)): 4.0}


def test_a_quantile_is_told_only_when_its_count_moved() -> None:
    name = "kafka_network_requestmetrics_totaltimems"
    text = name + '{{request="Produce",quantile="0.99",}} 12.0\n' + name + '_count_total{{request="Produce",}} {n}\n'
    t = table("strimzi")
    assert run(t, text.format(n=5), 0) == {}
    assert run(t, text.format(n=5), 15) == {}
    assert run(t, text.format(n=6), 30) == {("request_total_ms", (("quantile", "0.99"), ("request", "Produce"))): 12.0}


@pytest.mark.parametrize(
    "count", ["kafka_log_logflushstats_logflushrateandtimems_count", "kafka_log_logflushstats_logflushrateandtimems_count_total"]
)
def test_both_generations_of_jmx_exporter_name_the_count(count: str) -> None:
    text = 'kafka_log_logflushstats_logflushrateandtimems{{quantile="0.50"}} 3.0\n' + count + " {n}\n"
    t = table("strimzi")
    run(t, text.format(n=1), 0)
    assert run(t, text.format(n=2), 15) == {("log_flush_ms", (("quantile", "0.5"),)): 3.0}


def test_idle_time_in_nanoseconds_is_the_idle_ratio_since_the_last_scrape_not_since_the_start() -> None:
    h = "kafka_server_kafkarequesthandlerpool_requesthandleravgidle"
    text = h + "_percent 0.99\n" + h + "percent_count_total {n}\n"
    t = table("strimzi")
    assert run(t, text.format(n=0), 0) == {}
    assert run(t, text.format(n=2e9), 10) == {("request_handler_idle_ratio", ()): pytest.approx(0.2)}


def test_the_percent_gauge_serves_where_there_is_no_count() -> None:
    t = table("strimzi")
    text = "kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent 0.4\n"
    assert run(t, text, 0) == {("request_handler_idle_ratio", ()): 0.4}


def test_heap_after_collection_is_a_ratio_of_the_largest_heap_and_absent_before_any_collection() -> None:
    text = 'jvm_memory_pool_collection_used_bytes{{pool="G1 Old Gen"}} {n}\njvm_memory_max_bytes{{area="heap"}} 200\n'
    assert run(table("jvm"), text.format(n=0), 0) == {}
    assert run(table("jvm"), text.format(n=150), 0) == {("heap_after_gc_ratio", ()): 0.75}


def test_a_pause_is_the_mean_of_the_collections_since_the_last_scrape_without_concurrent_work() -> None:
    text = (
        'jvm_gc_collection_seconds_sum{{gc="G1 Young Generation"}} {s}\njvm_gc_collection_seconds_count{{gc="G1 Young Generation"}} {n}\n'
        'jvm_gc_collection_seconds_sum{{gc="G1 Concurrent GC"}} {c}\njvm_gc_collection_seconds_count{{gc="G1 Concurrent GC"}} {n}\n'
    )
    t = table("jvm")
    run(t, text.format(s=1.0, n=1, c=1), 0)
    assert run(t, text.format(s=1.5, n=3, c=90), 15) == {("gc_pause_ms", ()): pytest.approx(250.0)}
    assert run(t, text.format(s=1.5, n=3, c=90), 30) == {}


def test_processor_seconds_are_a_ratio_only_where_the_number_of_processors_is_known() -> None:
    known, unknown = table("jvm", cpus=4), table("jvm")
    for t, want in ((known, {("cpu_ratio", ()): 0.5}), (unknown, {})):
        run(t, "process_cpu_seconds_total 100\n", 0)
        assert run(t, "process_cpu_seconds_total 120\n", 10) == want


def test_automq_latencies_come_in_ms_and_say_the_operation() -> None:
    name = "kafka_stream_operation_latency"
    labels = '{{operation_type="S3Request",operation_name="put_object",status="success"}}'
    text = f"{name}_99p_nanoseconds" + labels + " 5e8\n" + f"{name}_count" + labels + " {n}\n"
    t = table("automq")
    run(t, text.format(n=1), 0)
    assert run(t, text.format(n=9), 10)[("object_put_ms", (("operation", "put_object"), ("quantile", "0.99")))] == 500.0
    assert load_aliases("automq").platform == "automq"


def test_after_a_gap_no_rate_is_taken_over_it() -> None:
    t = table("strimzi")
    run(t, "kafka_server_brokertopicmetrics_bytesin_total 1.0\n", 0)
    t.forget()
    assert run(t, "kafka_server_brokertopicmetrics_bytesin_total 4000.0\n", 15) == {}


def test_what_is_not_a_number_is_not_told() -> None:
    text = 'kafka_connect_sink_task_put_batch_avg_time_ms{connector="c",task="0"} NaN\n'
    assert run(table("strimzi"), text, 0) == {}


def test_metric_names_and_label_names_are_compared_without_case_and_dashes() -> None:
    text = 'Kafka_Server_ReplicaFetcherManager_MaxLag{client_id="Replica"} 7\n'
    assert run(table("strimzi"), text, 0) == {("replica_max_lag", ()): 7.0}


@pytest.mark.parametrize("rest", ['{topic="a" 5 6 7 x', "{} 5 1" + "0" * 400])
def test_a_broken_line_of_a_wanted_metric_is_an_error_of_the_source(rest: str) -> None:
    with pytest.raises(SourceUnreachable, match="not a Prometheus exposition"):
        run(table("strimzi"), f"kafka_server_brokertopicmetrics_bytesin_total{rest}\n", 0)


@pytest.mark.parametrize("text", ["", "<html>log in</html>", '{"a": 1}', "# only a comment\n"])
def test_another_page_is_no_exposition(text: str) -> None:
    assert not looks_like_exposition(text)


def test_every_shipped_rule_names_a_signal_of_the_vocabulary() -> None:
    known = set(VOCABULARY.split())
    for name in shipped():
        for rule in load_aliases(name).rules:
            assert rule.signal in known, f"aliases/{name}.yaml: {rule.signal}"


def test_an_unknown_table_says_which_there_are() -> None:
    with pytest.raises(BadFile, match="shipped are automq, confluent"):
        load_aliases("strimsi")


def test_a_users_table_lies_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("rules:\n  - {signal: cpu_ratio, metrics: [my_cpu], scale: 0.01}\n", encoding="utf-8")
    assert run(Translator(load_aliases("mine.yaml", tmp_path).rules), "my_cpu 50\n", 0) == {("cpu_ratio", ()): 0.5}


def test_a_mistake_in_a_users_table_names_line_and_field(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("rules:\n  - signal: x\n    metrics: [m]\n    kind: ratio\n", encoding="utf-8")
    with pytest.raises(BadFile, match=r"mine.yaml:2: rules\[0\]: 'per' goes with kind ratio"):
        load_aliases("mine.yaml", tmp_path)


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=20), st.floats(0.1, 3600))
def test_a_rate_is_never_negative_and_sums_back_to_the_growth(values: list[int], step_s: float) -> None:
    t = Translator([Rule(signal="x", metrics=("m",), kind="counter")])
    grown = 0.0
    for i, v in enumerate(values):
        for rate in run(t, f"m {v}\n", i * step_s).values():
            assert rate >= 0
            grown += rate * step_s
    assert grown == pytest.approx(sum(max(0, b - a) for a, b in pairwise(values)), rel=1e-6, abs=1e-3)


@given(st.permutations(["0", "1", "2", "3", "4"]))
def test_the_order_of_lines_does_not_matter(order: list[str]) -> None:
    text = "".join(f'kafka_server_replicafetchermanager_maxlag{{clientId="Replica",x="{i}"}} {i}\n' for i in order)
    assert run(table("strimzi"), text, 0) == {("replica_max_lag", ()): 4.0}


@pytest.mark.parametrize(("written", "read"), [("0.50", "0.5"), ("0.999", "0.999"), ("1.0", "1"), ("p99", "p99")])
def test_a_quantile_has_one_spelling(written: str, read: str) -> None:
    assert quantile(written) == read


VOCABULARY = """
bytes_in_rate bytes_out_rate messages_in_rate request_handler_idle_ratio network_idle_ratio request_queue_size
request_total_ms request_queue_ms request_local_ms request_remote_ms request_rate request_error_rate log_flush_ms
disk_used_ratio offline_log_dirs under_replicated_partitions under_min_isr_partitions isr_shrink_rate
reassigning_partitions replica_max_lag replication_bytes_in_rate active_controllers offline_partitions fenced_brokers
heartbeat_timeouts controller_epoch preparing_rebalance_groups late_transaction_partitions txn_marker_retry_queue
throttle_ms cross_zone_bytes_rate authorization_failure_rate put_batch_ms sink_record_lag source_poll_rate
source_write_rate record_failure_rate record_skip_rate dead_letter_rate worker_rebalancing worker_failed_tasks
worker_task_startup_failures heap_after_gc_ratio gc_pause_ms cpu_ratio connection_creation_rate connection_count
wal_pending_bytes wal_append_ms wal_full_rate object_put_ms object_get_ms object_failure_rate object_inflight_quota
cache_miss_rate object_read_bytes_rate back_pressure_state compaction_delay_ms network_limiter_queue slow_brokers
balancer_delay_ms partition_status link_lag link_lag_ms link_groups_subscribed link_groups_promoted link_state
probe_produce_ms probe_consume_ms probe_failure_rate
"""
