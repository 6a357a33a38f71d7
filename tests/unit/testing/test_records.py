"""What a case sends is what a collector would send."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest

from kroute.contracts.codec import decode
from kroute.contracts.topics import Names
from tests.unit.testing.world import case, raw, sent

ESTATE = """
estate:
  groups: {checkout: {topics: [payments], service: shop}, connect-orders: {topics: [orders]}}
  connectors: {connect-a/orders: {system: elastic, group: connect-orders, tasks: 2}}
  transactions: {tx: {topics: [payments]}}
  probes: true
  links: [l1]
"""


def lag(text: str, group: str = "checkout") -> list[dict[str, Any]]:
    return [m for m in sent(text, "consumer-lag") if m["group"] == group]


def behind(m: dict[str, Any]) -> int:
    return sum(p["end"] - p["committed"] for p in m["partitions"])


@pytest.mark.parametrize("platform", ["kafka", "automq"])
def test_every_message_keeps_its_contract(platform: str) -> None:
    text = f"platform: {platform}\n{ESTATE}\nseries:\n  broker/2 state: alive gone fenced alive\n  link/l1 link_lag: 5\nuntil: 1m"
    for r in raw(text):
        short = Names().short(r.topic)
        assert short is not None
        decode(short, r.value, timestamp_ms=r.ts)


def test_ends_grow_by_the_produce_rate_and_lag_in_seconds_follows_them() -> None:
    text = ESTATE + "series:\n  topic/payments produce_rate: 60x2 600x3\n  group/checkout lag_s: 0 0 0 15 30\n"
    first, second, third, fourth, fifth = lag(text)
    ends = [sum(p["end"] for p in m["partitions"]) for m in (first, second, third, fourth, fifth)]
    assert [b - a for a, b in pairwise(ends)] == [900, 900, 9000, 9000]
    assert [behind(m) for m in (first, third, fourth, fifth)] == [0, 0, 9000, 18_000]


def test_lag_in_records_is_spread_over_the_partitions() -> None:
    assert [behind(m) for m in lag(ESTATE + "series:\n  group/checkout lag: 7 600\n")] == [7, 600]


def test_a_narrow_series_concerns_its_partition_alone() -> None:
    text = ESTATE + "series:\n  group/checkout lag_s{topic=payments,partition=2}: 60\n  group/checkout lag_s: 0\n"
    assert [p["partition"] for p in lag(text)[0]["partitions"] if p["committed"] < p["end"]] == [2]


def test_a_commit_rate_adds_up_from_where_the_group_stood() -> None:
    one, two, three = lag(ESTATE + "series:\n  group/checkout commit_rate: 40x3\n")
    total = [sum(p["committed"] for p in m["partitions"]) for m in (one, two, three)]
    assert [b - a for a, b in pairwise(total)] == [600, 600]


def test_an_open_transaction_holds_the_stable_end_and_who_reads_committed() -> None:
    text = "estate: {groups: {a: {topics: [t], isolation: read_committed}, b: {topics: [t]}}}\nseries:\n  topic/t open_transaction: 0 1x3\n"
    held, free = lag(text, "a")[3]["partitions"][0], lag(text, "b")[3]["partitions"][0]
    assert held["stable_end"] == lag(text, "a")[0]["partitions"][0]["end"] == held["committed"]
    assert held["end"] > held["stable_end"]
    assert free["committed"] > free["stable_end"]


def test_what_is_not_observed_is_not_sent_and_a_failed_poll_says_so() -> None:
    text = ESTATE + "series:\n  group/checkout up: 1 0 _ 1\n"
    first, second, third = lag(text)
    assert "partitions" in first
    assert second["up"] is False
    assert "partitions" not in second
    assert third["observed_at_ms"] - second["observed_at_ms"] == 30_000


def test_a_group_without_members_is_empty_and_one_that_is_dead_is_told_once() -> None:
    states = [m["state"] for m in lag(ESTATE + "series:\n  group/checkout members: 3 0 0\n")]
    assert states == ["Stable", "Empty", "Empty"]
    assert [m["state"] for m in lag(ESTATE + "series:\n  group/checkout state: Stable Deadx3\n")] == ["Stable", "Dead"]


def test_a_broker_that_goes_takes_its_scrape_leaders_and_replicas_with_it() -> None:
    text = ESTATE + "series:\n  broker/2 state: alive gone\n"
    before, after = sent(text, "topology")
    assert [b["id"] for b in after["brokers"]] == [1, 3]
    leaders = [[p["leader"] for t in m["topics"] for p in t["partitions"]] for m in (before, after)]
    assert 2 in leaders[0]
    assert 2 not in leaders[1]
    assert all(2 in p["replicas"] and 2 not in p["isr"] for t in after["topics"] for p in t["partitions"])
    assert sum(m["source"]["id"] == "2" for m in sent(text, "broker-metrics")) == 1


def test_a_signal_that_a_series_states_replaces_the_healthy_one() -> None:
    text = ESTATE + "series:\n  broker/1 request_local_ms{request=Produce}: 700\n  broker/* cpu_ratio: _\n"
    samples = next(m["samples"] for m in sent(text, "broker-metrics") if m["source"]["id"] == "1")
    local = {s["labels"]["request"]: s["value"] for s in samples if s["signal"] == "request_local_ms"}
    assert local == {"Produce": 700.0, "FetchConsumer": 2.0}
    assert "cpu_ratio" not in [s["signal"] for s in samples]


def test_a_failed_task_has_its_trace() -> None:
    text = (
        ESTATE
        + 'traces: {refused: "ConnectException: refused"}\nseries:\n  connector/connect-a/orders task_state{task=1}: FAILED\n  connector/connect-a/orders trace: refused\n'
    )
    tasks = sent(text, "connector-status")[0]["tasks"]
    assert [t["state"] for t in tasks] == ["RUNNING", "FAILED"]
    assert tasks[1]["trace"] == "ConnectException: refused"


def test_owners_are_filled_in_and_what_is_stated_wins() -> None:
    text = ESTATE.replace(
        "  probes",
        "  owners: {system/elastic: null, service/shop: {owner: team-s, freshness: 9m}, connector/*: team-c}\n  probes",
    )
    rows = {r.key.decode(): orjson.loads(r.value or b"null") for r in raw(text) if r.topic == "kroute.ownership" and r.key}
    assert rows["service/test/shop"]["slo"] == {"freshness_s": 540.0}
    assert rows["group/test/checkout"]["service"] == "shop"
    assert rows["cluster/test/test"]["owner"] == "team-platform"
    assert rows["connector/test/*"]["owner"] == "team-c"
    assert "connector/test/connect-a/orders" not in rows
    assert "system/test/elastic" not in rows
    assert rows["team/*/team-s"]["page"] == "page://team-s"


def test_rows_come_before_the_first_signal_and_records_in_order_of_time() -> None:
    found = raw(ESTATE + "ownership:\n- {at: 15s, rows: {service/shop: team-new}}\nuntil: 30s\n")
    assert [r.ts for r in found] == sorted(r.ts for r in found)
    assert found[0].topic == "kroute.ownership"
    late = [orjson.loads(r.value or b"null") for r in found if r.topic == "kroute.ownership" and r.ts >= case(ESTATE).start_ms]
    assert [(r["name"], r.get("owner")) for r in late] == [("team-new", None), ("shop", "team-new")]


def test_disturbed_delivery_permutes_repeats_and_delays_but_invents_nothing() -> None:
    plain = raw(ESTATE + "until: 1m\n")
    disturbed = raw(ESTATE + "until: 1m\ndisturb: {shuffle: 3, duplicate: 0.5, delay: 5s}\n")
    assert {r.value for r in plain} == {r.value for r in disturbed}
    assert len(disturbed) > len(plain)
    assert [r.value for r in disturbed] != [r.value for r in plain]
    assert [r.value for r in disturbed] == [
        r.value for r in raw(ESTATE + "until: 1m\ndisturb: {shuffle: 3, duplicate: 0.5, delay: 5s}\n")
    ]


def test_what_is_late_was_observed_in_time() -> None:
    found = raw(ESTATE + "until: 1m\nlate: [{entity: group/checkout, by: 40s, at: 15s, to: 30s}]\n")
    delays = {
        m["observed_at_ms"]: r.ts - m["observed_at_ms"]
        for r in found
        if r.topic == "kroute.consumer-lag" and (m := orjson.loads(r.value or b""))["group"] == "checkout"
    }
    assert [d >= 40_000 for _, d in sorted(delays.items())] == [False, True, True, False, False]
