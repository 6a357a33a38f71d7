"""The table of symptoms and the code that judges them say the same."""

from __future__ import annotations

import random

import pytest

from kroute.contracts.common import ENTITY_KINDS
from kroute.signals.metric_rules import RULES
from kroute.signals.metric_special import SPECIAL
from kroute.signals.table import ACCESS, BY_KIND, CONNECT, FLOOD, KINDS, LAG, METRICS, TELEMETRY, TOPOLOGY, judged_by
from tests.unit.signals.test_windows_reload import run
from tests.unit.signals.windowsbench import Bench, sample, scrape, status, task

NO_FAULT = ("catching-up", "produce-surge")
"""Lag that falls and a busy hour need no explanation."""
ELSEWHERE = ["class-violation", "signals-flooding"]
"""Judged from lag messages and ownership rows (``test_classes``), and from what ingest tells (``test_flood``)."""


def test_every_kind_stands_once() -> None:
    assert len(BY_KIND) == len(KINDS)
    assert len(dict.fromkeys(k.rule for k in KINDS)) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.kind)
def test_a_row_of_the_table_is_sound(kind: object) -> None:
    k = next(x for x in KINDS if x is kind)
    assert k.entity in ENTITY_KINDS
    assert k.reporter in (LAG, METRICS, TOPOLOGY, CONNECT, TELEMETRY, FLOOD, ACCESS)
    assert 0 <= k.leak < (0.5 if k.kind in NO_FAULT else 0.1)
    assert 0 <= k.miss <= 0.5
    assert k.title


def test_metric_rules_and_the_table_name_the_same_kinds_with_the_same_numbers() -> None:
    coded: dict[str, str] = {}
    for entity_kind, rules in RULES.items():
        for rule in rules:
            assert BY_KIND[rule.kind].entity == entity_kind
            assert BY_KIND[rule.kind].rule == rule.number
            coded[rule.kind] = entity_kind
    for entity_kind, special in SPECIAL.items():
        for kind, look in special:
            assert BY_KIND[kind].entity == entity_kind
            assert (look.__doc__ or "").startswith(f"{BY_KIND[kind].rule}:")
            coded[kind] = entity_kind
    assert sorted(coded) == sorted(k.kind for k in KINDS if k.reporter == METRICS)


EVERYTHING = [
    "log_flush_ms", "disk_used_ratio", "request_queue_ms", "request_handler_idle_ratio", "network_idle_ratio", "heap_after_gc_ratio",
    "gc_pause_ms", "cpu_ratio", "connection_count", "bytes_in_rate", "replica_max_lag", "wal_append_ms", "wal_full_rate",
    "wal_pending_bytes", "object_failure_rate", "object_put_ms", "back_pressure_state", "cache_miss_rate", "object_read_bytes_rate",
    "balancer_delay_ms", "slow_brokers", "partition_status", "active_controllers", "heartbeat_timeouts", "late_transaction_partitions",
]  # fmt: skip


def test_every_kind_of_these_reporters_is_judged_and_no_other_is() -> None:
    """Over the random messages of the property test, and scrapes that hold every signal."""
    bench = Bench()
    judged: dict[tuple[str, str], None] = {}
    inner = bench.board.report

    def report(reporter: str, entity, at_ms, interval_ms, kinds, active=()):  # type: ignore[no-untyped-def]
        active = list(active)
        assert all(s.kind in kinds for s in active)
        for kind in kinds:
            assert kind in judged_by(reporter, entity.kind), (reporter, entity, kind)
            judged[(reporter, kind)] = None
        inner(reporter, entity, at_ms, interval_ms, kinds, active)

    bench.board.report = report  # type: ignore[method-assign, assignment]
    for poll in range(40):
        labels = {"request": "Produce", "topic": "t", "user": "u", "error": "X"}
        bench.feed(scrape(poll, *(sample(s, 1.0) for s in EVERYTHING), sample("bytes_in_rate", 1, user="a"), sample("bytes_in_rate", 1, user="b"),
            sample("request_error_rate", 1, **labels), sample("request_rate", 1, **labels), sample("throttle_ms", 1, user="a"),
            sample("authorization_failure_rate", 1, user="a"), sample("cross_zone_bytes_rate", 1, group="g"),
            sample("request_local_ms", 1, request="Produce"), sample("request_total_ms", 1, request="Produce"), of="9"))  # fmt: skip
        bench.feed(scrape(poll, sample("probe_produce_ms", 1), sample("probe_failure_rate", 0), of="p", kind="probe", rack="r"))
        bench.feed(
            scrape(
                poll,
                sample("link_lag", 1),
                sample("link_state", 1),
                sample("link_groups_promoted", 1),
                sample("link_groups_subscribed", 1),
                of="l",
                kind="link",
            )
        )
        bench.feed(scrape(poll, sample("bytes_in_rate", 1e6), sample("cross_zone_bytes_rate", 1.0, client_id="x"), of="8"))
        bench.feed(status(poll, task(source_poll_rate=100.0), name="src", of="source"))
        worker = [sample(s, 0.1) for s in ("worker_rebalancing", "cpu_ratio", "worker_failed_tasks")]
        connector = [sample(s, 5.0, connector="k1", task="0") for s in ("source_poll_rate", "dead_letter_rate", "put_batch_ms")]
        bench.feed(scrape(poll, *worker, *connector, of="w1", kind="connect-worker", connect="ca"))
        run(bench, random.Random(poll), range(poll, poll + 1))
    wanted = {(k.reporter, k.kind) for k in KINDS if k.reporter != LAG and k.kind not in ELSEWHERE}
    assert sorted(wanted - set(judged)) == []
