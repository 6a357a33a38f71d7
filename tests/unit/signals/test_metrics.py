"""Scrapes, rules M1–M62."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from kroute.contracts.inputs import Sample
from kroute.signals.metric_features import extract, quantile
from kroute.signals.metric_rules import held, quantity
from kroute.signals.model import Status
from tests.unit.signals.test_placement import with_disk
from tests.unit.signals.windowsbench import CLUSTER, STEP, Bench, at, broker, entity, sample, scrape


@pytest.fixture
def bench() -> Bench:
    return Bench()


def feed(bench: Bench, polls: Iterable[int], *samples: Sample, **more: Any) -> None:
    for poll in polls:
        bench.feed(scrape(poll, *samples, **more))


LEVELS: list[tuple[str, str, float, float, dict[str, str]]] = [
    # rule and kind, signal, fine, bad, labels
    ("M1 flush-slow", "log_flush_ms", 5, 2000, {"quantile": "0.999"}),
    ("M2 local-time-high", "request_local_ms", 5, 150, {"request": "Produce", "quantile": "0.99"}),
    ("M2 local-time-high", "request_local_ms", 5, 250, {"request": "FetchConsumer"}),
    ("M3 disk-filling", "disk_used_ratio", 0.4, 0.9, {"log_dir": "/d"}),
    ("M4 disk-full", "disk_used_ratio", 0.4, 0.99, {"log_dir": "/d"}),
    ("M5 request-queue-high", "request_queue_ms", 1, 400, {"quantile": "0.99"}),
    ("M5 request-queue-high", "request_queue_size", 1, 400, {}),
    ("M6 handler-idle-low", "request_handler_idle_ratio", 0.9, 0.1, {}),
    ("M7 network-idle-low", "network_idle_ratio", 0.9, 0.1, {}),
    ("M8 request-errors-high", "request_error_rate", 0, 50, {"request": "Produce", "error": "NOT_ENOUGH_REPLICAS"}),
    ("M9 heap-high", "heap_after_gc_ratio", 0.3, 0.9, {}),
    ("M10 gc-long", "gc_pause_ms", 20, 3000, {}),
    ("M11 cpu-high", "cpu_ratio", 0.2, 0.95, {}),
    ("M12 connections-high", "connection_count", 100, 20000, {}),
    ("M12 connections-high", "connection_creation_rate", 1, 500, {}),
    ("M14 latency-high", "request_total_ms", 5, 900, {"request": "Produce", "quantile": "0.99"}),
    ("M14 latency-high", "request_total_ms", 500, 5000, {"request": "Fetch", "quantile": "0.99"}),
    ("M15 replication-busy", "replica_max_lag", 0, 1e6, {}),
    ("M20 wal-slow", "wal_append_ms", 2, 500, {}),
    ("M21 wal-full", "wal_full_rate", 0, 2, {}),
    ("M22 upload-pending", "wal_pending_bytes", 1e6, 5e9, {}),
    ("M23 object-store-failing", "object_failure_rate", 0, 2, {}),
    ("M24 object-store-slow", "object_put_ms", 50, 9000, {}),
    ("M24 object-store-slow", "object_get_ms", 50, 9000, {}),
    ("M25 back-pressure", "back_pressure_state", 0, 1, {}),
    ("M26 cache-misses-high", "cache_miss_rate", 1, 900, {}),
    ("M27 object-reads-high", "object_read_bytes_rate", 1e5, 9e8, {}),
    ("M33 late-transactions", "late_transaction_partitions", 0, 3, {}),
]


@pytest.mark.parametrize(("rule", "signal", "fine", "bad", "labels"), LEVELS)
def test_a_level_fires_after_some_bad_polls_and_clears_after_some_good_ones(
    bench: Bench, rule: str, signal: str, fine: float, bad: float, labels: dict[str, str]
) -> None:
    kind = rule.split()[1]
    feed(bench, range(3), sample(signal, fine, **labels))
    assert bench.status(broker(), kind) is Status.HEALTHY
    feed(bench, [3], sample(signal, bad, **labels))
    assert bench.status(broker(), kind) is Status.HEALTHY
    feed(bench, range(4, 9), sample(signal, bad, **labels))
    assert bench.symptom(broker(), kind).since_ms == at(3)
    feed(bench, [9], sample(signal, fine, **labels))
    assert bench.status(broker(), kind) is Status.ACTIVE
    feed(bench, [10], sample(signal, fine, **labels))
    assert bench.status(broker(), kind) is Status.HEALTHY


def test_what_was_not_scraped_is_not_observed(bench: Bench) -> None:
    feed(bench, range(5), sample("cpu_ratio", 0.2))
    assert bench.status(broker(), "cpu-high") is Status.HEALTHY
    assert bench.status(broker(), "flush-slow") is Status.UNOBSERVED


def test_a_symptom_whose_signal_stops_stays_though_other_signals_go_on(bench: Bench) -> None:
    feed(bench, range(5), sample("request_queue_ms", 900), sample("request_queue_size", 1))
    feed(bench, range(5, 30), sample("request_queue_size", 1))
    assert bench.status(broker(), "request-queue-high") is Status.ACTIVE
    feed(bench, range(30, 32), sample("request_queue_size", 1), sample("request_queue_ms", 1))
    assert bench.status(broker(), "request-queue-high") is Status.HEALTHY


def test_a_failed_scrape_is_not_observed(bench: Bench) -> None:
    feed(bench, range(3), sample("cpu_ratio", 0.2))
    feed(bench, [3], up=False)
    assert bench.status(broker(), "cpu-high") is Status.UNOBSERVED
    feed(bench, [4], sample("cpu_ratio", 0.2))
    assert bench.status(broker(), "cpu-high") is Status.HEALTHY


def test_an_own_baseline_replaces_the_fields_threshold(bench: Bench) -> None:
    feed(bench, range(60), sample("request_local_ms", 30, request="Produce"))
    feed(bench, range(60, 63), sample("request_local_ms", 95, request="Produce"))
    s = bench.symptom(broker(), "local-time-high")
    assert s.why == "local time of produce 95 ms (usual 30 ms)"
    assert s.detail == {"feature": "local_produce_ms", "limit": 90.0, "usual": 30.0}


@pytest.mark.parametrize(("others", "queue", "odd"), [(4.0, 1.0, True), (14.0, 1.0, False), (4.0, 40.0, False)])
def test_one_broker_is_slow_below_the_floor_where_it_differs_from_its_usual_and_its_peers_and_does_not_wait_longer(
    bench: Bench, others: float, queue: float, odd: bool
) -> None:
    for poll in range(63):
        for of in ("1", "2", "3"):
            ms = 4.0 if poll < 60 else 14.0 if of == "1" else others
            waits = sample("request_queue_ms", queue if of == "1" and poll >= 60 else 1.0)
            bench.feed(scrape(poll, sample("request_local_ms", ms, request="Produce"), waits, of=of))
    assert (bench.status(broker(), "local-time-high") is Status.ACTIVE) is odd


def test_what_rises_slowly_began_when_it_was_no_longer_usual(bench: Bench) -> None:
    feed(bench, range(60), sample("request_local_ms", 30, request="Produce"))
    for poll, ms in enumerate((40, 55, 70, 85, 95, 98, 98), 60):
        feed(bench, [poll], sample("request_local_ms", ms, request="Produce"))
    assert bench.symptom(broker(), "local-time-high").since_ms == at(61)


def told(bench: Bench, value: float, polls: Iterable[int], *, before: float | None = None) -> list[Status]:
    """What is told of a broker at each poll; ``before``: its first five polls, when it was well."""
    out = []
    if before is not None:
        feed(bench, range(-5, 0), sample("request_local_ms", before, request="Produce"))
    for poll in polls:
        feed(bench, [poll], sample("request_local_ms", value, request="Produce"))
        out.append(bench.status(broker(), "local-time-high"))
    return out


def test_what_is_over_the_fields_threshold_from_the_first_poll_on_is_usual_after_a_while(bench: Bench) -> None:
    half_an_hour = 1_800_000 // STEP
    states = told(bench, 150, range(half_an_hour + 30))
    assert states[-1] is Status.HEALTHY
    assert states[3] is Status.ACTIVE
    assert states[half_an_hour // 2] is Status.ACTIVE, "who begins to look in mid-trouble has time to tell it"
    feed(bench, range(500, 503), sample("request_local_ms", 600, request="Produce"))
    assert bench.symptom(broker(), "local-time-high").why == "local time of produce 600 ms (usual 150 ms)"


@pytest.mark.parametrize(("value", "before"), [(1_500.0, None), (150.0, 10.0)])
def test_what_is_far_over_it_or_was_ever_well_is_not(bench: Bench, value: float, before: float | None) -> None:
    states = told(bench, value, range(5, 200), before=before)
    assert states[-1] is Status.ACTIVE


def test_m1_a_slow_flush_must_stand_out_among_its_peers(bench: Bench) -> None:
    for poll in range(5):
        for i in (1, 2, 3, 4):
            feed(bench, [poll], sample("log_flush_ms", 4000, quantile="0.999"), of=str(i))
    assert not bench.board.active
    for poll in range(5, 9):
        for i in (1, 2, 3, 4):
            feed(bench, [poll], sample("log_flush_ms", 90_000 if i == 2 else 4000, quantile="0.999"), of=str(i))
    assert [e for e, k in bench.board.active if k == "flush-slow"] == [broker(2)]


def test_m1_a_broker_whose_flushes_are_always_slow_is_not_called_slow(bench: Bench) -> None:
    feed(bench, range(60), sample("log_flush_ms", 900, quantile="0.999"))
    feed(bench, range(60, 70), sample("log_flush_ms", 2000, quantile="0.999"))
    assert bench.status(broker(), "flush-slow") is Status.HEALTHY


def test_what_is_usual_is_learnt_of_a_broker_that_is_ill_in_another_way(bench: Bench) -> None:
    """Slowly: 15 s a poll, a sample in 90 s. What it is ill with is not learnt."""

    def polls(these: range, bytes_in: float) -> None:
        slow = sample("request_total_ms", 1200 if these.start else 700, request="Fetch", quantile="0.99")
        feed(bench, these, slow, sample("bytes_in_rate", bytes_in))

    polls(range(5), 28_000)
    polls(range(5, 40), 28_000)
    assert set(bench.board.of(broker())) == {"latency-high"}
    polls(range(40, 44), 14e6)
    assert bench.status(broker(), "traffic-high") is not Status.ACTIVE, "too early to know"
    polls(range(44, 200), 28_000)
    polls(range(200, 204), 14e6)
    assert set(bench.board.of(broker())) == {"latency-high", "traffic-high"}
    assert "fine: at most 1 s" in bench.symptom(broker(), "latency-high").why


def test_m3_a_disk_that_will_be_full_within_two_hours(bench: Bench) -> None:
    for poll in range(16):
        bench.feed(scrape(poll, sample("disk_used_ratio", 0.6 + poll * 0.002)))
    s = bench.symptom(broker(), "disk-filling")
    assert s.why == "disk 63 %, full in 46 min at this pace"


def test_m3_m4_log_directories_stand_in_for_a_missing_disk_signal(bench: Bench) -> None:
    for poll in range(3):
        bench.feed(scrape(poll, sample("cpu_ratio", 0.1)))
        bench.feed(with_disk(poll, usable=1))
    assert {"disk-filling", "disk-full"} <= set(bench.board.of(broker()))
    assert bench.status(broker(), "cpu-high") is Status.HEALTHY


def test_m4_the_scraped_ratio_is_preferred(bench: Bench) -> None:
    for poll in range(3):
        bench.feed(scrape(poll, sample("disk_used_ratio", 0.3)))
        bench.feed(with_disk(poll, usable=1))
    assert bench.status(broker(), "disk-full") is Status.HEALTHY


@pytest.mark.parametrize("signal", ["bytes_in_rate", "bytes_out_rate"])
def test_m13_traffic_is_judged_by_its_own_usual_only(bench: Bench, signal: str) -> None:
    feed(bench, range(10), sample(signal, 9e9))
    assert bench.status(broker(), "traffic-high") is Status.UNOBSERVED
    feed(bench, range(10, 60), sample(signal, 9e9))
    assert bench.status(broker(), "traffic-high") is Status.HEALTHY
    feed(bench, range(60, 63), sample(signal, 30e9))
    assert bench.status(broker(), "traffic-high") is Status.ACTIVE


def test_m15_replication_well_above_usual(bench: Bench) -> None:
    feed(bench, range(60), sample("replication_bytes_in_rate", 2e6))
    feed(bench, range(60, 63), sample("replication_bytes_in_rate", 9e7))
    assert bench.symptom(broker(), "replication-busy").why == "replication bytes in 90 MB/s (usual 2 MB/s)"


@pytest.mark.parametrize(
    ("kind", "signal", "fine", "bad", "labels"),
    [
        ("balancer-delayed", "balancer_delay_ms", 100, 90_000, {}),  # M28
        ("slow-broker-reported", "slow_brokers", 0, 1, {}),  # M29
        ("partition-status-odd", "partition_status", 0, 4, {"status": "OPENING"}),  # M30
    ],
)
def test_m28_to_m30_the_balancers_words(
    bench: Bench, kind: str, signal: str, fine: float, bad: float, labels: dict[str, str]
) -> None:
    feed(bench, range(3), sample(signal, fine, **labels), sample("partition_status", 900, status="OPENED"))
    assert bench.status(CLUSTER, kind) is Status.HEALTHY
    feed(bench, range(3, 6), sample(signal, bad, **labels))
    assert bench.status(CLUSTER, kind) is Status.ACTIVE


def controllers(bench: Bench, polls: range, *active: float) -> None:
    for poll in polls:
        for i, v in enumerate(active):
            feed(bench, [poll], sample("active_controllers", v), of=str(100 + i), kind="controller")


def test_m31_none_or_two_active_controllers(bench: Bench) -> None:
    controllers(bench, range(5), 1, 0, 0)
    assert bench.status(CLUSTER, "controller-missing") is Status.HEALTHY
    controllers(bench, range(5, 9), 0, 0, 0)
    assert bench.symptom(CLUSTER, "controller-missing").why == "0 active controllers"
    controllers(bench, range(9, 12), 0, 0, 1)
    assert bench.status(CLUSTER, "controller-missing") is Status.HEALTHY
    controllers(bench, range(12, 16), 1, 0, 1)
    assert bench.symptom(CLUSTER, "controller-missing").why == "2 active controllers"


def test_m31_is_not_claimed_while_the_source_that_may_hold_it_is_not_heard(bench: Bench) -> None:
    controllers(bench, range(5), 1, 0)
    for poll in range(5, 30):
        feed(bench, [poll], sample("active_controllers", 0), of="101", kind="controller")
    assert bench.status(CLUSTER, "controller-missing") is Status.UNOBSERVED


def test_m31_is_not_claimed_while_its_holder_starts_anew_and_another_takes_over(bench: Bench) -> None:
    """Rolled one by one: 100 has it from 101, comes back and does not tell all at once; 102 was polled before it got it."""
    controllers(bench, range(3), 0, 1, 0)
    controllers(bench, range(3, 5), 1, 0, 0)
    for poll in range(5, 8):
        feed(bench, [poll], sample("cpu_ratio", 0.5), of="100", kind="controller")
        feed(bench, [poll], sample("active_controllers", 0), of="101", kind="controller")
        feed(bench, [poll], sample("active_controllers", 0), of="102", kind="controller")
        assert bench.status(CLUSTER, "controller-missing") is not Status.ACTIVE
    controllers(bench, range(8, 20), 0, 1, 0)
    assert bench.status(CLUSTER, "controller-missing") is Status.HEALTHY


def test_m31_who_held_it_and_is_polled_no_more_is_no_second_one(bench: Bench) -> None:
    controllers(bench, range(5), 1, 0, 0)
    for poll in range(5, 10):
        for of, v in (("101", 1), ("102", 0)):
            feed(bench, [poll], sample("active_controllers", v), of=of, kind="controller")
        assert bench.status(CLUSTER, "controller-missing") is not Status.ACTIVE


def test_m31_who_sees_followers_only_claims_nothing(bench: Bench) -> None:
    controllers(bench, range(20), 0, 0)
    assert bench.status(CLUSTER, "controller-missing") is Status.UNOBSERVED


def test_m32_heartbeats_that_time_out(bench: Bench) -> None:
    feed(bench, range(5), sample("heartbeat_timeouts", 7), kind="controller")
    assert bench.status(CLUSTER, "heartbeats-missed") is Status.HEALTHY
    feed(bench, [5], sample("heartbeat_timeouts", 9), kind="controller")
    assert bench.symptom(CLUSTER, "heartbeats-missed").why == "2 broker heartbeats timed out"
    feed(bench, range(6, 12), sample("heartbeat_timeouts", 9), kind="controller")
    assert bench.status(CLUSTER, "heartbeats-missed") is Status.HEALTHY


def users(**rates: float) -> list[Sample]:
    return [sample("bytes_in_rate", v, user=u) for u, v in rates.items()]


def test_m40_one_principal_takes_most_over_all_brokers(bench: Bench) -> None:
    noisy, quiet = entity("principal", "noisy"), entity("principal", "quiet")
    for poll in range(40):
        for i in (1, 2):
            feed(bench, [poll], *users(noisy=1e6, quiet=1e6), of=str(i))
    assert bench.status(noisy, "dominates") is Status.HEALTHY
    for poll in range(40, 44):
        for i in (1, 2):
            feed(bench, [poll], *users(noisy=50e6, quiet=1e6), of=str(i))
    assert bench.symptom(noisy, "dominates").why == "98 % of bytes in: 100 MB/s (usual 2 MB/s)"
    assert bench.status(quiet, "dominates") is Status.HEALTHY


def test_m40_who_always_takes_most_is_not_noisy(bench: Bench) -> None:
    for poll in range(60):
        feed(bench, [poll], *users(big=9e6 if poll < 30 else 10e6, small=1e4))
    # Over half from its first poll on, and it stays so: that is how things are here.
    noisy = entity("principal", "big")
    assert bench.status(noisy, "dominates") is Status.HEALTHY
    other = Bench()
    for poll in range(60):
        feed(other, [poll], *users(big=1.0e6 if poll < 30 else 1.2e6, small=1e6 if poll < 30 else 1e4))
    assert other.status(noisy, "dominates") is Status.HEALTHY


def test_m40_a_principal_that_doubles_before_its_usual_is_known(bench: Bench) -> None:
    for poll in range(12):
        feed(bench, [poll], *users(big=2e6 if poll < 6 else 9e6, small=1e6))
    found = bench.symptom(entity("principal", "big"), "dominates")
    assert found.since_ms == at(6)
    assert found.detail["usual"] == 2e6


@pytest.mark.parametrize("known", [True, False])
def test_m40_a_principal_that_grows_as_all_others_do_is_not_noisy(bench: Bench, known: bool) -> None:
    before = 60 if known else 8
    big = entity("principal", "big")
    for poll in range(before + 20):
        times = 1.0 + 1.2 * min(1.0, max(0, poll - before) / 5)
        feed(bench, [poll], *users(big=6e6 * times, a=2e6 * times, b=3e6 * times))
        assert bench.status(big, "dominates") is not Status.ACTIVE
    for poll in range(before + 20, before + 24):  # and now it alone grows once more
        feed(bench, [poll], *users(big=30e6, a=4.4e6, b=6.6e6))
    assert bench.status(big, "dominates") is Status.ACTIVE


def test_m40_a_principal_was_noisy_before_it_had_over_half(bench: Bench) -> None:
    for poll in range(50):
        more = 2e6 * max(0, poll - 40)
        feed(bench, [poll], *users(big=1e6 + more, small=10e6))
    found = bench.symptom(entity("principal", "big"), "dominates")
    assert found.since_ms == at(41)


def test_m40_a_small_principal_was_noisy_before_it_was_large(bench: Bench) -> None:
    for poll in range(50):
        feed(bench, [poll], *users(big=1e4 + 3e5 * max(0, poll - 40), small=5e5))
    found = bench.symptom(entity("principal", "big"), "dominates")
    assert found.since_ms == at(41)


def test_m40_who_reads_what_has_gathered_takes_most_of_the_bytes_out_for_a_moment(bench: Bench) -> None:
    batch = entity("principal", "batch")

    def reads(polls: range, rate: float) -> None:
        for poll in polls:
            feed(bench, [poll], *[sample("bytes_out_rate", v, user=u) for u, v in {"batch": rate, "other": 2e6}.items()])

    reads(range(40), 1e3)
    reads(range(40, 43), 40e6)
    assert bench.status(batch, "dominates") is Status.HEALTHY
    reads(range(43, 44), 40e6)
    assert bench.symptom(batch, "dominates").since_ms == at(40)


def test_m40_a_sum_over_fewer_brokers_compares_with_nothing(bench: Bench) -> None:
    for poll in range(12):
        for i in (1, 2, 3):
            if i == 1 or poll >= 4:  # two of three brokers are scraped from the fifth poll on
                feed(bench, [poll], *users(big=4e6, small=1e6), of=str(i))
    assert bench.status(entity("principal", "big"), "dominates") is Status.HEALTHY


def test_m41_throttling_of_one_principal(bench: Bench) -> None:
    p = entity("principal", "batch")
    feed(bench, range(3), sample("throttle_ms", 0, user="batch", request="Produce"))
    assert bench.status(p, "throttled") is Status.HEALTHY
    feed(bench, range(3, 6), sample("throttle_ms", 800, user="batch", request="Produce"))
    assert bench.symptom(p, "throttled").why == "throttle time 800 ms (fine: at most 1 ms)"


def test_m41_a_principal_that_leaves_the_scrape_is_throttled_no_more(bench: Bench) -> None:
    p = entity("principal", "batch")
    feed(bench, range(6), sample("throttle_ms", 800, user="batch"), sample("throttle_ms", 0, user="other"))
    feed(bench, range(6, 8), sample("throttle_ms", 0, user="other"))
    assert bench.status(p, "throttled") is Status.HEALTHY


def test_a_principal_without_a_trace_in_a_whole_window_leaves_the_board(bench: Bench) -> None:
    p = entity("principal", "batch")
    feed(bench, range(6), sample("throttle_ms", 800, user="batch"))
    feed(bench, range(6, 40), sample("cpu_ratio", 0.1))
    assert "throttled" not in bench.board.of(p)
    assert bench.status(p, "throttled") is Status.UNOBSERVED


def test_m42_denied_requests_of_a_principal(bench: Bench) -> None:
    feed(bench, range(3), sample("authorization_failure_rate", 2, principal="User:eve", resource="Topic:pay"))
    assert bench.status(entity("principal", "User:eve"), "authorization-failing") is Status.ACTIVE


def test_m43_failed_authentication_of_a_principal(bench: Bench) -> None:
    labels = {"request": "SaslAuthenticate", "user": "old"}
    feed(bench, range(3), sample("request_error_rate", 4, error="SASL_AUTHENTICATION_FAILED", **labels))
    assert bench.status(entity("principal", "old"), "authentication-failing") is Status.ACTIVE
    feed(bench, range(3, 5), sample("request_error_rate", 4, error="NOT_COORDINATOR", **labels))
    assert bench.status(entity("principal", "old"), "authentication-failing") is Status.HEALTHY


def test_m44_m45_probes_of_a_rack(bench: Bench) -> None:
    rack = entity("rack", "eu-1a")
    more = {"kind": "probe", "of": "p1", "rack": "eu-1a"}
    feed(bench, range(3), sample("probe_failure_rate", 0), sample("probe_produce_ms", 20), **more)
    assert bench.status(rack, "probe-failing") is bench.status(rack, "probe-slow") is Status.HEALTHY
    feed(bench, range(3, 6), sample("probe_failure_rate", 0.5), sample("probe_produce_ms", 8000), **more)
    assert sorted(bench.board.of(rack)) == ["probe-failing", "probe-slow"]


def probed(bench: Bench, polls: range, **rates: list[float]) -> None:
    """Failing probes of each rack, poll by poll."""
    for n, i in enumerate(polls):
        for rack, values in rates.items():
            feed(bench, [i], sample("probe_failure_rate", values[n % len(values)]), kind="probe", of=f"p-{rack}", rack=rack)


def apart(bench: Bench, rack: str) -> object:
    return bench.symptom(entity("rack", rack), "probe-failing").detail["apart"]


def test_m44_a_failing_rack_stands_apart_until_it_is_well(bench: Bench) -> None:
    """While it ends its probes fail no more than those of the others do: that says nothing of whose trouble it was."""
    probed(bench, range(3), a=[0], b=[0], c=[0])
    probed(bench, range(3, 9), a=[0.7], b=[0.1], c=[0.1])
    assert [apart(bench, r) for r in "abc"] == ["yes", "no", "no"]
    probed(bench, range(9, 13), a=[0.1], b=[0.1], c=[0.1])
    assert [apart(bench, r) for r in "abc"] == ["yes", "no", "no"]


@pytest.mark.parametrize(("polls", "said"), [(3, "no"), (16, "yes")])
def test_m44_a_rack_that_stood_apart_for_minutes_still_does_when_another_trouble_joins_it(
    bench: Bench, polls: int, said: str
) -> None:
    probed(bench, range(3), a=[0], b=[0], c=[0])
    probed(bench, range(3, 3 + polls), a=[0.4], b=[0.1], c=[0.1])
    assert [apart(bench, r) for r in "abc"] == ["yes", "no", "no"]
    probed(bench, range(3 + polls, 7 + polls), a=[0.5], b=[0.45], c=[0.4])
    assert [apart(bench, r) for r in "abc"] == [said, "no", "no"]


def test_m44_what_comes_and_goes_in_all_racks_sets_none_apart(bench: Bench) -> None:
    """One broker that falls again and again: each rack's probe meets it at another of its polls."""
    probed(bench, range(3), a=[0], b=[0], c=[0])
    probed(bench, range(3, 12), a=[0.1], b=[0.1, 0.03, 0.03], c=[0.03, 0.1, 0.03])
    assert [apart(bench, r) for r in "abc"] == ["no", "no", "no"]


def test_m44_what_the_newest_poll_of_a_rack_met_the_others_may_meet_at_their_next(bench: Bench) -> None:
    """A broker falls again, and one rack is polled first: that its probes fail more than the others' did says nothing yet."""
    probed(bench, range(3), a=[0], b=[0], c=[0])
    probed(bench, range(3, 9), a=[0.1], b=[0.1], c=[0.1])
    probed(bench, range(9, 13), a=[0.03], b=[0.03], c=[0.03])
    feed(bench, [13], sample("probe_failure_rate", 0.2), kind="probe", of="p-a", rack="a")
    assert [apart(bench, r) for r in "abc"] == ["no", "no", "no"]
    probed(bench, range(14, 16), a=[0.2], b=[0.03], c=[0.03])
    assert [apart(bench, r) for r in "abc"] == ["yes", "no", "no"]


def test_m46_bytes_across_zones_of_a_group(bench: Bench) -> None:
    g = entity("group", "search")
    labels = {"group": "search", "from": "a", "to": "b"}
    feed(bench, range(60), sample("cross_zone_bytes_rate", 2e6, **labels))
    feed(
        bench,
        range(60, 65),
        sample("cross_zone_bytes_rate", 20e6, **labels),
        sample("cross_zone_bytes_rate", 5e9, **{**labels, "to": "a"}),
    )
    assert bench.symptom(g, "cross-zone-high").value == 20e6


def test_m46_bytes_of_a_group_that_never_crossed_zones_before(bench: Bench) -> None:
    """While such bytes are told of others, who is not among them has none."""
    other = {"group": "orders", "from": "a", "to": "b"}
    feed(bench, range(60), sample("cross_zone_bytes_rate", 2e6, **other))
    mine = {"group": "search", "from": "a", "to": "b"}
    feed(bench, range(60, 65), sample("cross_zone_bytes_rate", 2e6, **other), sample("cross_zone_bytes_rate", 1e6, **mine))
    assert bench.symptom(entity("group", "search"), "cross-zone-high").value == 1e6
    assert "cross-zone-high" not in bench.board.of(entity("group", "orders"))


def test_m46_bytes_that_other_brokers_tell_of_are_no_more_of_them(bench: Bench) -> None:
    """The leaders of what a group reads move: the broker that sent across zones tells nothing of it any more, another does."""
    other = sample("cross_zone_bytes_rate", 2e6, group="orders", **{"from": "a", "to": "b"})
    mine = sample("cross_zone_bytes_rate", 1e6, group="search", **{"from": "a", "to": "b"})
    for k in range(90):
        moved = k >= 50
        feed(bench, [k], other, *([] if moved else [mine]))
        feed(bench, [k], other, *([mine] if moved else []), of="2")
        assert "cross-zone-high" not in bench.board.of(entity("group", "search"))
    more = sample("cross_zone_bytes_rate", 9e6, group="search", **{"from": "a", "to": "b"})
    for k in range(90, 96):
        feed(bench, [k], other)
        feed(bench, [k], other, more, of="2")
    assert bench.symptom(entity("group", "search"), "cross-zone-high").value == 9e6


def test_m46_bytes_that_come_in_bursts_are_usual_for_who_reads_so(bench: Bench) -> None:
    other = sample("cross_zone_bytes_rate", 2e6, group="orders", **{"from": "a", "to": "b"})
    mine = sample("cross_zone_bytes_rate", 1e6, group="batch", **{"from": "a", "to": "b"})
    for begins in (5, 45, 85):
        feed(bench, range(begins - 5, begins), other)
        feed(bench, range(begins, begins + 8), other, mine)
        feed(bench, range(begins + 8, begins + 35), other)
        assert "cross-zone-high" not in bench.board.of(entity("group", "batch"))


def test_m46_a_group_whose_partitions_change_hands_may_double_what_crosses(bench: Bench) -> None:
    labels = {"group": "search", "from": "a", "to": "b"}
    feed(bench, range(60), sample("cross_zone_bytes_rate", 1e6, **labels))
    feed(bench, range(60, 70), sample("cross_zone_bytes_rate", 2.5e6, **labels))
    assert "cross-zone-high" not in bench.board.of(entity("group", "search"))


def link(bench: Bench, polls: Iterable[int], *samples: Sample) -> None:
    feed(bench, polls, *samples, kind="link", of="move")


def test_m50_a_link_behind(bench: Bench) -> None:
    link(bench, range(3), sample("link_lag_ms", 120_000))
    assert bench.symptom(entity("link", "move"), "link-lagging").why == "link behind by 120 s (fine: at most 60 s)"


@pytest.mark.parametrize(
    ("bad", "fine"),
    [
        (sample("link_state", 1, state="ERROR"), sample("link_state", 1, state="LINKING")),
        (sample("link_state", 0), sample("link_state", 1)),
    ],
)
def test_m51_a_link_in_an_error_state(bench: Bench, bad: Sample, fine: Sample) -> None:
    link(bench, range(3), fine)
    assert bench.status(entity("link", "move"), "link-failing") is Status.HEALTHY
    link(bench, range(3, 5), bad)
    assert bench.status(entity("link", "move"), "link-failing") is Status.ACTIVE


def test_m52_a_promotion_without_progress(bench: Bench) -> None:
    link(bench, range(20), sample("link_groups_promoted", 0), sample("link_groups_subscribed", 9))
    assert bench.status(entity("link", "move"), "link-groups-stuck") is Status.HEALTHY
    link(bench, range(20, 26), sample("link_groups_promoted", 4), sample("link_groups_subscribed", 9))
    assert bench.symptom(entity("link", "move"), "link-groups-stuck").why == "4 of 9 groups promoted, no progress over 6 polls"
    link(bench, [30], sample("link_groups_promoted", 5), sample("link_groups_subscribed", 9))
    assert bench.status(entity("link", "move"), "link-groups-stuck") is Status.HEALTHY


def test_m52_the_first_group_of_a_promotion_that_has_begun_may_hang_too(bench: Bench) -> None:
    figures = (sample("link_groups_promoted", 0), sample("link_groups_subscribed", 9))
    link(bench, range(20), *figures, sample("link_state", 1, state="LINKING"))
    assert bench.status(entity("link", "move"), "link-groups-stuck") is Status.HEALTHY
    link(bench, range(20, 26), *figures, sample("link_state", 1, state="PROMOTING"))
    assert bench.status(entity("link", "move"), "link-groups-stuck") is Status.ACTIVE


@pytest.mark.parametrize(
    ("kind", "signal", "fine", "bad"),
    [
        ("worker-rebalancing", "worker_rebalancing", 0, 1),  # M60
        ("worker-overloaded", "cpu_ratio", 0.3, 0.95),  # M61
        ("worker-overloaded", "heap_after_gc_ratio", 0.3, 0.95),  # M61
        ("worker-tasks-failing", "worker_failed_tasks", 0, 2),  # M62
    ],
)
def test_m60_to_m62_a_connect_worker(bench: Bench, kind: str, signal: str, fine: float, bad: float) -> None:
    worker = entity("connect-worker", "ca/w1")
    feed(bench, range(3), sample(signal, fine), kind="connect-worker", of="w1", connect="ca")
    assert bench.status(worker, kind) is Status.HEALTHY
    feed(bench, range(3, 6), sample(signal, bad), kind="connect-worker", of="w1", connect="ca")
    assert bench.status(worker, kind) is Status.ACTIVE


def test_m62_start_ups_that_fail(bench: Bench) -> None:
    feed(bench, range(3), sample("worker_task_startup_failures", 4), kind="connect-worker", of="w1", connect="ca")
    feed(bench, [3], sample("worker_task_startup_failures", 5), kind="connect-worker", of="w1", connect="ca")
    assert bench.status(entity("connect-worker", "ca/w1"), "worker-tasks-failing") is Status.ACTIVE


def test_late_scrapes_take_their_place_in_order(bench: Bench) -> None:
    for poll in (0, 1, 2, 3, 5, 6, 4):
        feed(bench, [poll], sample("gc_pause_ms", 9000 if poll >= 4 else 1))
    assert bench.symptom(broker(), "gc-long").since_ms == at(4)


def test_a_scrape_older_than_the_window_is_ignored(bench: Bench) -> None:
    feed(bench, range(100, 130), sample("gc_pause_ms", 1))
    before = bench.picture()
    bench.now = 0
    feed(bench, [3], sample("gc_pause_ms", 9000))
    assert bench.picture()[0] == before[0]


def test_a_week_of_silence_forgets_a_source(bench: Bench) -> None:
    feed(bench, range(60), sample("gc_pause_ms", 9000), sample("bytes_in_rate", 1e6))
    bench.tick(at(60) + 8 * 86_400_000)
    assert not bench.board.of(broker())
    assert [k for k in bench.stored() if k[0] == "broker_metrics"] == []


def test_one_scrape_writes_one_row_and_its_baselines_once_in_eight(bench: Bench) -> None:
    feed(bench, range(40), sample("gc_pause_ms", 1))
    written = []
    for poll in range(40, 56):
        bench.rows.changed.clear()
        feed(bench, [poll], sample("gc_pause_ms", 1))
        written.append(len([k for k in bench.rows.changed if k[0] == "broker_metrics"]))
    assert sorted(written) == [1] * 14 + [2] * 2


@pytest.mark.parametrize(
    ("label", "value"),
    [("0.99", 0.99), ("p99", 0.99), ("99", 0.99), ("99th", 0.99), ("0.999", 0.999), ("999", 0.999), ("nonsense", None)],
)
def test_quantile_labels(label: str, value: float | None) -> None:
    assert quantile({"quantile": label}) == (pytest.approx(value) if value else None)


def test_the_wanted_quantile_is_taken_else_the_highest() -> None:
    def flush(*q: str) -> float:
        m = scrape(0, *(sample("log_flush_ms", i + 1.0, quantile=x) for i, x in enumerate(q)))
        return extract(m)[broker()]["flush_ms"]

    assert flush("0.5", "0.999", "0.9999") == 2
    assert flush("0.5", "0.95") == 2


def test_a_broker_total_is_preferred_to_its_topics_and_topics_add_up_without_one() -> None:
    by_topic = [sample("bytes_in_rate", 3, topic="a"), sample("bytes_in_rate", 4, topic="b")]
    assert extract(scrape(0, *by_topic))[broker()]["bytes_in"] == 7
    assert extract(scrape(0, *by_topic, sample("bytes_in_rate", 9)))[broker()]["bytes_in"] == 9


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4100, "ms", "4.1 s"),
        (90, "ms", "90 ms"),
        (0.21, "ratio", "21 %"),
        (1.2e6, "B/s", "1.2 MB/s"),
        (12_345, "", "12,345"),
        (3, "/s", "3 /s"),
    ],
)
def test_quantities_are_for_people(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_a_learnt_interval_tells_when_a_broker_goes_stale(bench: Bench) -> None:
    feed(bench, range(5), sample("cpu_ratio", 0.1), interval_ms=None)
    assert bench.board.status(broker(), "cpu-high", at(4) + 3 * STEP + 5000) is Status.HEALTHY
    assert bench.board.status(broker(), "cpu-high", at(4) + 3 * STEP + 5001) is Status.UNOBSERVED


def test_a_hiccup_of_some_seconds_is_no_symptom_however_fast_the_polls_come() -> None:
    series = [(1_000 * i, 500.0) for i in range(16)]
    bad = [False] * 8 + [True] * 8
    assert not held(series, bad)
    assert held(series, [True] * 16)
    assert held([(15_000 * i, 500.0) for i in range(3)], [True] * 3)


@pytest.mark.parametrize("spelt", ["w1:8083", "ca/w1:8083"])
def test_a_connect_worker_is_the_same_however_its_scrape_spells_it(bench: Bench, spelt: str) -> None:
    for poll in range(4):
        m = scrape(poll, sample("cpu_ratio", 0.99), kind="connect-worker", of=spelt)
        source = msgspec.structs.replace(m.source, connect="ca")
        assert source.name == "ca/w1:8083"
        bench.feed(msgspec.structs.replace(m, source=source))
    assert "worker-overloaded" in bench.board.of(entity("connect-worker", "ca/w1:8083"))


def test_local_time_of_fetch_below_its_floor_is_that_of_old_records_read_from_disk(bench: Bench) -> None:
    for poll in range(63):
        for of in ("1", "2", "3"):
            ms = 40.0 if of == "1" and poll >= 60 else 2.0
            bench.feed(scrape(poll, sample("request_local_ms", ms, request="FetchConsumer"), of=of))
    assert bench.status(broker(), "local-time-high") is Status.HEALTHY


@pytest.mark.parametrize(("first", "then", "usual"), [(0.25, 0.25, True), (0.1, 0.1, False), (0.9, 0.25, False)])
def test_m6_a_broker_that_is_busy_since_it_was_first_read_may_be_so_usually(
    bench: Bench, first: float, then: float, usual: bool
) -> None:
    for poll in range(20):
        feed(bench, [poll], sample("request_handler_idle_ratio", first if poll < 10 else then))
    found = bench.symptom(broker(), "handler-idle-low")
    assert bool(found.detail.get("from_start")) is usual


def test_m4_a_disk_that_is_full_since_it_was_first_read_is_full(bench: Bench) -> None:
    feed(bench, range(6), sample("disk_used_ratio", 0.98))
    assert "from_start" not in bench.symptom(broker(), "disk-full").detail


def test_m3_m4_a_disk_that_was_full_and_is_at_seventy_percent_again_is_well(bench: Bench) -> None:
    def said() -> list[Status]:
        return [bench.status(broker(), kind) for kind in ("disk-filling", "disk-full")]

    feed(bench, range(14), sample("disk_used_ratio", 0.7))
    feed(bench, range(14, 18), sample("disk_used_ratio", 0.98))
    assert said() == [Status.ACTIVE, Status.ACTIVE]
    feed(bench, range(18, 22), sample("disk_used_ratio", 0.84))
    assert said() == [Status.ACTIVE, Status.HEALTHY], "at 84 % it may fill again"
    feed(bench, range(22, 26), sample("disk_used_ratio", 0.7))
    assert said() == [Status.HEALTHY, Status.HEALTHY]


@pytest.mark.parametrize(("usual", "now", "told"), [(0.35, 0.27, False), (0.35, 0.15, True), (0.9, 0.27, True)])
def test_m6_who_has_little_to_spare_every_day_is_in_trouble_with_less(bench: Bench, usual: float, now: float, told: bool) -> None:
    for poll in range(80):
        feed(bench, [poll], sample("request_handler_idle_ratio", usual if poll < 70 else now))
    assert (bench.status(broker(), "handler-idle-low") is Status.ACTIVE) is told
