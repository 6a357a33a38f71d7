"""Detail ``led`` of lag: on the partitions of which leaders did it grow, and more there than elsewhere?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kroute.contracts.inputs import BrokerInfo, PartitionInfo, TopicInfo, Topology
from tests.unit.signals.lagbench import CLUSTER, T0, TOPIC, Bench, member, poll

STEP = 600
"""Records per partition and poll; twelve partitions, polls of a minute."""


def behind(lag: Callable[[int, int], int], *, polls: int = 26, b: Bench | None = None, **more: Any) -> Bench:
    """Twelve partitions led by brokers 0–2 in turn; ``lag(partition, polls since the trouble began)``."""
    b = b or Bench()
    for k in range(polls):
        end = 10_000 + STEP * k
        lags = [20 + lag(i, max(0, k - 15)) for i in range(12)]
        b.feed(poll(60 * k, [end - x for x in lags], [end] * 12, interval_s=60, **more))
    return b


def test_lag_where_one_broker_leads_is_its_own() -> None:
    b = behind(lambda i, k: 300 * k * (i % 3 == 1), polls=30)
    assert b.symptom("partition-lagging").detail["led"] == {"1": 1.0}


def test_a_partition_that_stands_still_is_its_leaders_however_much_more_waits_elsewhere() -> None:
    def lag(i: int, k: int) -> int:
        return STEP * k if i == 4 else 1_000 * k if i in (0, 2) and k < 6 else 6_000 if i in (0, 2) else 0

    detail = behind(lag, polls=30).symptom("partition-stuck").detail
    assert (detail["partitions"], detail["led"]["1"]) == ([f"{TOPIC}/4"], 1.0)


def test_lag_that_grows_everywhere_is_no_leaders() -> None:
    assert behind(lambda i, k: 300 * k).symptom("lag-growing").detail["led"] == {}


def test_where_it_grows_least_is_no_leaders_lag_although_the_group_reads_from_it() -> None:
    led = behind(lambda i, k: (100 if i % 3 == 1 else 300 + 20 * i) * k).symptom("lag-growing").detail["led"]
    assert "1" not in led


def test_a_broker_that_adds_to_a_lag_of_its_own_has_a_part_in_it() -> None:
    led = behind(lambda i, k: (500 if i % 3 == 1 else 300) * k).symptom("lag-growing").detail["led"]
    assert 0 < led["1"] < 1


def test_of_a_broker_that_leads_nearly_all_it_cannot_be_told() -> None:
    assert behind(lambda i, k: 300 * k, leaders=[1] * 11 + [2]).symptom("lag-growing").detail["led"] == {"1": 1.0}


def test_nothing_is_said_where_leaders_are_not_known() -> None:
    assert "led" not in behind(lambda i, k: 300 * k, leaders=[-1] * 12).symptom("lag-growing").detail


def test_a_lag_that_has_just_been_read_is_still_that_of_its_leader() -> None:
    def lag(i: int, k: int) -> int:
        return 300 * k * (i % 3 == 1) if k < 14 else 3 * i

    b = behind(lag, polls=30)
    assert b.symptom("partition-lagging").detail["led"] == {"1": 1.0}


def test_between_two_commits_all_waits_alike_and_says_nothing_of_who_leads_it() -> None:
    """Commits in every fourth poll: what they leave is of one broker's partitions, what gathers between them is of all."""
    b = Bench()
    for k in range(80):
        done, since = max(0, k // 4 * 4 - 40), k % 4
        lags = [20 + STEP * since + 300 * done * (i % 3 == 1) for i in range(12)]
        b.feed(poll(60 * k, [10_000 + STEP * k - x for x in lags], [10_000 + STEP * k] * 12, interval_s=60))
    assert b.symptom("lag-growing").detail["led"] == {"1": 1.0}


def test_a_log_end_that_falls_back_is_no_production() -> None:
    """By as much as came to the others within the window: an unclean election truncates the log, commits stay where they were."""
    b = Bench()
    for k in range(34):
        ends = [1_000_000 + STEP * k - (12 * STEP * 15 if i == 0 and k >= 20 else 0) for i in range(12)]
        b.feed(poll(60 * k, [800_000 + STEP * min(k, 15)] * 12, ends, interval_s=60))
    assert set(b.symptom("commits-stopped").detail["led"]) <= {"0", "1", "2"}


def placed(at_s: int, leader_of_1: int, state: str) -> Topology:
    """Broker 1 in that state, and who leads what it leads."""
    brokers = tuple(BrokerInfo(id=i, rack="ab"[i % 2], state=state if i == 1 else "alive") for i in range(3))
    partitions = tuple(
        PartitionInfo(id=i, leader=leader_of_1 if i % 3 == 1 else i % 3, replicas=(0, 1, 2), isr=(0, 2)) for i in range(12)
    )
    return Topology(
        cluster=CLUSTER, observed_at_ms=T0 + at_s * 1000, brokers=brokers, topics=(TopicInfo(name=TOPIC, partitions=partitions),)
    )


@pytest.mark.parametrize(("state", "led"), [("fenced", {"1": 1.0}), ("alive", {})])
def test_what_a_broker_led_when_it_went_is_its_own(state: str, led: dict[str, float]) -> None:
    """Its leaders went to two others, alike; where it did not go they were only moved."""
    b = Bench()
    b.estate.observe_topology(placed(0, 1, "alive"))
    told = 0
    for k in range(28):
        end = 10_000 + STEP * k
        if k == 16:
            b.estate.observe_topology(placed(60 * k - 5, 0, state))
        lags = [20 + STEP * max(0, k - 15) * (i % 3 == 1) for i in range(12)]
        now = [i % 3 if i % 3 != 1 or k < 16 else (0 if i % 2 else 2) for i in range(12)]
        b.feed(poll(60 * k, [end - x for x in lags], [end] * 12, interval_s=60, leaders=now))
        if "lag-growing" in b.active():
            told += 1
            assert b.symptom("lag-growing").detail["led"].get("1") == led.get("1")
    assert told > 3


def test_lag_of_what_the_brokers_of_a_rack_lead_is_the_racks() -> None:
    b = Bench()
    b.estate.observe_topology(placed(0, 1, "alive"))
    behind(lambda i, k: 300 * k * (i % 3 != 1), b=b)
    detail = b.symptom("lag-growing").detail
    assert detail["led_racks"] == {"a": 1.0}
    assert set(detail["led"]) <= {"0", "2"}


@pytest.mark.parametrize(("rack", "led"), [("b", True), (None, False)])
def test_a_broker_whose_copy_is_read_in_its_rack_holds_up_its_reader(rack: str | None, led: bool) -> None:
    """Follower fetching (KIP-392): all is led by brokers of rack a, and the readers of what is behind stand in rack b, where
    broker 1 has the only copies."""
    b = Bench()
    b.estate.observe_topology(placed(0, 1, "alive"))
    members = (member("far", range(4), rack=rack), member("near", range(4, 12), rack="a"))
    behind(lambda i, k: 2 * STEP * k * (i < 4), b=b, leaders=[0, 2] * 6, members=members)
    assert ("1" in b.symptom("lag-growing").detail["led"]) is led
