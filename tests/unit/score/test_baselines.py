"""Static thresholds and who they page, on messages made by hand; times are seconds after ``T0``."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kroute.contracts.topics import Names
from kroute.diagnosis.load import shipped
from kroute.score.baselines import BASELINES, Page, Pages, best, by_cluster, by_metric, by_topic, judge, run
from kroute.score.recorded import Recorded, collected, decoded, missing_share
from kroute.score.thresholds import KEEP_MS, TUNINGS, Alarm, Tuning, alarms
from kroute.stream.forward import Record
from tests.unit.score.world import CLUSTER, entity, fault, ms

TUNED = Tuning(lag=1000, for_ms=60_000)


def record(topic: str, at: float, value: dict[str, Any], key: str | None = None) -> Record:
    value = {"cluster": CLUSTER, **value}
    if topic in ("broker-metrics", "consumer-lag", "connector-status", "topology"):
        value["observed_at_ms"] = ms(at)
    return Record(f"kroute.{topic}", 0, 0, ms(at), key.encode() if key else None, orjson.dumps(value))


def lag(at: float, records: int, group: str = "g", topic: str = "t") -> Record:
    p = {"topic": topic, "partition": 0, "committed": 5, "end": 5 + records}
    return record("consumer-lag", at, {"group": group, "state": "Stable", "partitions": [p]})


def scrape(at: float, signal: str, value: float, broker: str = "1", **labels: str) -> Record:
    sample = {"signal": signal, "value": value, "labels": labels}
    return record("broker-metrics", at, {"source": {"kind": "broker", "id": broker}, "samples": [sample]})


def row(kind: str, name: str, **fields: Any) -> Record:
    return record("ownership", 0, {"kind": kind, "name": name, **fields}, key=f"{kind}/{CLUSTER}/{name}")


ROWS = (
    row("cluster", CLUSTER, owner="platform"), row("group", "g", service="s"), row("service", "s", owner="team-s"),
    row("topic", "t", owner="team-t"), row("connector", "k/a", owner="team-k"),
)  # fmt: skip


def recorded(*records: Record) -> Recorded:
    return decoded([*ROWS, *records], Names())


def fired(*records: Record) -> list[Alarm]:
    return alarms(recorded(*records).messages, TUNED)


def test_an_alert_fires_when_its_limit_was_passed_for_as_long_as_tuned() -> None:
    (a,) = fired(*(lag(t, 2000) for t in (0, 30, 60, 90)))
    assert (a.fired_ms, a.metric, a.family, a.entity, a.topic) == (ms(60), "lag", "group", entity("group/g"), "t")
    assert fired(*(lag(t, 2000) for t in (0, 30))) == []


def test_a_gap_begins_its_wait_anew() -> None:
    (a,) = fired(lag(0, 2000), lag(30, 0), *(lag(t, 2000) for t in (60, 90, 120)))
    assert a.fired_ms == ms(120)


def test_an_alert_that_fires_ends_after_five_quiet_minutes() -> None:
    (a,) = fired(*(lag(t, 2000) for t in (0, 60)), *(lag(t, 0) for t in range(90, 600, 30)))
    assert a.ended_ms == ms(60) + KEEP_MS


@pytest.mark.parametrize(
    ("signal", "value", "labels", "name"),
    [
        ("request_handler_idle_ratio", 0.2, {}, "request_handler_idle_ratio"),
        ("request_handler_idle_ratio", 0.4, {}, None),
        ("heap_after_gc_ratio", 0.7, {}, "heap_after_gc_ratio"),
        ("disk_used_ratio", 0.86, {"log_dir": "/d"}, "disk_used_ratio"),
        ("request_total_ms", 150, {"request": "Produce", "quantile": "0.99"}, "produce_p99_ms"),
        ("request_total_ms", 150, {"request": "Produce", "quantile": "0.5"}, None),
        ("request_total_ms", 150, {"request": "FetchConsumer", "quantile": "0.99"}, None),
        ("active_controllers", 0, {}, "active_controllers"),
        ("active_controllers", 1, {}, None),
        ("bytes_in_rate", 1e9, {}, None),
    ],
)
def test_the_thresholds_of_the_field(signal: str, value: float, labels: dict[str, str], name: str | None) -> None:
    got = fired(*(scrape(t, signal, value, **labels) for t in (0, 60)))
    assert [a.metric for a in got] == ([name] if name else [])


def test_a_replica_out_of_the_isr_and_a_failed_task_fire() -> None:
    t = {"brokers": [], "topics": [{"name": "t", "partitions": [{"id": 0, "leader": 1, "replicas": [1, 2], "isr": [1]}]}]}
    task = {
        "connect": "k",
        "connector": "a",
        "type": "sink",
        "state": "RUNNING",
        "topics": ["t"],
        "tasks": [{"id": 0, "state": "FAILED"}],
    }
    got = fired(*(record("topology", s, t) for s in (0, 60)), *(record("connector-status", s, task) for s in (0, 60)))
    assert [(a.metric, a.family, str(a.entity)) for a in got] == [
        ("failed_tasks", "connector", "connector/k/a"),
        ("under_replicated_partitions", "platform", "cluster/c1"),
    ]


def alarm(at: float, to: float, what: str, family: str, topic: str | None = None) -> Alarm:
    return Alarm(ms(at), ms(to), "lag", family, entity(what), topic)


ALARMS = [
    alarm(10, 500, "group/g", "group", "t"), alarm(20, 500, "connector/k/a", "connector", "t"),
    alarm(30, 500, "broker/1", "platform"), alarm(900, 950, "broker/1", "platform"),
]  # fmt: skip


def test_by_metric_every_alert_pages_the_owner_of_its_family() -> None:
    assert [p.team for p in by_metric(ALARMS, recorded())] == ["team-s", "team-k", "platform", "platform"]


def test_by_cluster_one_page_to_its_owner_until_the_group_is_quiet() -> None:
    assert [(p.ts_ms, p.team) for p in by_cluster(ALARMS, recorded())] == [(ms(10), "platform"), (ms(900), "platform")]


def test_by_topic_one_page_to_its_owner_and_without_a_topic_to_the_platform() -> None:
    assert [(p.ts_ms, p.team) for p in by_topic(ALARMS, recorded())] == [
        (ms(10), "team-t"), (ms(30), "platform"), (ms(900), "platform"),
    ]  # fmt: skip


def test_pages_against_faults() -> None:
    f = fault("slow-consumer", "group/g", action="team-s")
    at_g, elsewhere = entity("group/g"), entity("group/h")
    got = judge([Page(ms(700), "team-x", at_g), Page(ms(800), "team-s", at_g), Page(ms(800), "team-s", elsewhere)], [f])
    assert got == Pages(faults=1, paged=1, first_right=0, pages=2, pages_right=1, false_pages=1)
    assert judge([Page(ms(700), "team-s", at_g), Page(ms(100), "team-s", at_g)], [f]).first_right == 1
    assert judge([Page(ms(100), "team-s", at_g)], [f]).false_pages == 1


def test_tuning_takes_the_most_merit() -> None:
    sums = [Pages(faults=4, first_right=3, false_pages=3), Pages(faults=4, first_right=2), Pages(faults=4, first_right=2)]
    assert best(sums) == (TUNINGS[1], sums[1])


def test_every_baseline_is_run_at_every_tuning() -> None:
    known = recorded(*(lag(600 + t, 20_000) for t in range(0, 900, 30)))
    got = run(known, [fault("slow-consumer", "group/g", action="team-s")])
    assert list(got) == list(BASELINES)
    assert [p.first_right for p in got["by metric"]] == [1, 1, 1, 1, 0, 0]  # 20 000 is under the largest lag limit
    assert [p.first_right for p in got["by topic"]] == [0] * 6
    assert [p.paged for p in got["by topic"]] == [1, 1, 1, 1, 0, 0]


def test_the_share_of_signals_that_a_cause_needs_and_the_recording_lacks() -> None:
    causes = shipped().causes
    only_lag = collected(recorded(lag(0, 1)).messages)
    assert missing_share(causes["slow-consumer"], only_lag) == 0
    assert missing_share(causes["broker-saturation"], only_lag) > 0.5
    assert missing_share(causes["broker-saturation"], frozenset()) == 1
    assert missing_share(None, only_lag) == 0
