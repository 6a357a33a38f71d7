"""D14: lag of a group is a broker's doing as far as it grew more on what the broker leads than elsewhere."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kroute.diagnosis.evidence import Evidence
from kroute.diagnosis.paths import Walker
from kroute.diagnosis.suspects import Suspects
from tests.unit.diagnosis.town import Town, near
from tests.unit.diagnosis.world import T0, entity

Roots = list[tuple[str, str]]


def slow_disk(w: Town, **led: dict[str, Any]) -> Roots:
    """Broker 1 is slow, and so are two groups on what it leads (g1 reads from 1 and 2, g6 from 6 and 1); the groups in
    ``led`` lag as their detail says."""
    w.ill("broker/1", "local-time-high", "latency-high", "request-queue-high")
    w.ill("group/g6", "lag-growing", detail={"led": {"1": 1.0}})
    w.ill("group/g12", "lag-growing", detail={"led": {"1": 0.75}})
    for group, detail in led.items():
        w.ill(f"group/{group}", "lag-growing", ago=300_000, detail=detail)
    return list(w.found())


DISK = ("broker-storage-pressure", "broker/1")


def test_lag_where_the_broker_leads_is_its_effect() -> None:
    assert slow_disk(Town(), g1={"led": {"1": 1.0}}) == [DISK]


def test_lag_that_grows_as_much_elsewhere_is_the_groups_own() -> None:
    assert slow_disk(Town(), g1={"led": {}}) == [DISK, ("slow-consumer", "group/g1")]


def test_lag_on_what_another_broker_leads_is_the_groups_own() -> None:
    assert slow_disk(Town(), g1={"led": {"2": 1.0}}) == [DISK, ("slow-consumer", "group/g1")]


def test_where_it_is_not_known_who_leads_reading_from_the_broker_suffices() -> None:
    assert slow_disk(Town(), g1={}) == [DISK]


def test_a_topic_whose_replica_it_holds_does_not_make_lag_elsewhere_its_own() -> None:
    """``hosted-topics/consumers`` is a strain: who reads a topic of which the broker has a copy."""
    w = Town()
    w.link("topic/t3", "replicas", "broker/1")
    assert slow_disk(w, g3={"led": {}}) == [DISK, ("slow-consumer", "group/g3")]


def test_a_slow_leader_speaks_against_the_groups_own_trouble_with_the_part_of_the_lag_led_there() -> None:
    def nats(led: dict[str, float]) -> float:
        w = Town()
        w.ill("broker/1", "local-time-high")
        w.ill("group/g1", "lag-growing", detail={"led": led})
        evidence = Evidence(w.board, w.estate, {}, w.changes, w.now)
        suspects = Suspects(w.catalogue, w.estate, evidence, Walker(w.estate))
        against = suspects.weighed["slow-consumer", entity("group/g1")].against
        return math.fsum(n for n, parts in against if "local-time-high" in parts)

    assert nats({"2": 1.0}) == nats({}) == 0.0
    assert nats({"1": 1.0}) < -1.0
    assert nats({"1": 0.5}) == pytest.approx(nats({"1": 1.0}) / 2)


def test_a_slow_coordinator_makes_no_lag_but_holds_up_members_and_commits() -> None:
    """g5 reads from 5 and 6; broker 2 coordinates it (5 · 5 mod 6 + 1)."""
    alone, held_up = Town(), Town()
    for w in (alone, held_up):
        w.ill("broker/2", "local-time-high", "latency-high", "request-queue-high")
        for g in ("g1", "g2"):
            w.ill(f"group/{g}", "lag-growing", detail={"led": {"2": 1.0}})
        w.ill("group/g5", "lag-growing", *(["member-churn"] if w is held_up else []), ago=300_000, detail={"led": {}})
    assert ("slow-consumer", "group/g5") in alone.found()
    assert [c for c, _ in held_up.found()] == ["broker-storage-pressure"]


def test_a_coordinator_that_goes_holds_up_its_groups_while_it_goes() -> None:
    def causes(after_s: int) -> Roots:
        w = Town()
        w.see("broker/2", "broker-gone", "leaders-moved", "replica-behind", since=T0 - 900_000)
        w.see("cluster/prod", "under-replicated", since=T0 - 900_000)
        w.see("group/g5", "lag-growing", since=T0 - 900_000 + after_s * 1000, detail={"led": {}})
        assert entity("broker/2") in w.estate.related(entity("group/g5"), "coordinator")
        return list(w.found())

    assert causes(60) == [("broker-down", "broker/2")]
    assert causes(400) == [("broker-down", "broker/2"), ("slow-consumer", "group/g5")]


@pytest.mark.parametrize(("group", "after_s", "its_own"), [("g2", 20, False), ("g2", 300, True), ("g4", 20, True)])
def test_a_client_may_stand_still_altogether_as_a_broker_that_it_reads_from_goes(group: str, after_s: int, its_own: bool) -> None:
    """g2 reads from 2 and 3, g4 from 4 and 5; the lag of both grew as much on what the others lead."""
    w = Town()
    w.see("broker/2", "broker-gone", "leaders-moved", "replica-behind", since=T0 - 900_000)
    w.see("cluster/prod", "under-replicated", since=T0 - 900_000)
    w.see(f"group/{group}", "lag-growing", since=T0 - 900_000 + after_s * 1000, detail={"led": {}})
    reads = entity("broker/2") in w.estate.related(entity(f"group/{group}"), "leaders")
    assert reads is (group == "g2")
    assert entity("broker/2") not in w.estate.related(entity(f"group/{group}"), "coordinator")
    assert (("slow-consumer", f"group/{group}") in w.found()) is its_own


def test_a_rack_that_fails_does_not_make_lag_elsewhere_its_own() -> None:
    def causes(led: dict[str, float], rack: str) -> Roots:
        w = Town()
        w.ill("rack/a", "probe-failing", "probe-slow", detail={"apart": "yes"})
        for b in (1, 2):
            w.ill(f"broker/{b}", "broker-gone", "replica-behind", "leaders-moved")
        w.link("group/g1", "racks", f"rack/{rack}")
        w.ill("group/g1", "lag-growing", ago=300_000, detail={"led": {}, "led_racks": led})
        return list(w.found())

    assert causes({"a": 1.0}, "b") == [("network-rack", "rack/a")]
    assert causes({}, "b") == [("network-rack", "rack/a"), ("slow-consumer", "group/g1")]
    assert causes({}, "a") == [("network-rack", "rack/a")]  # its members are in the rack


def test_what_a_deployment_of_its_own_accounts_for_is_no_strain() -> None:
    """g5 is coordinated by the slow broker and loses members: its effect, unless the service was just deployed."""

    def causes(deployed: bool) -> Roots:
        w = Town()
        w.ill("broker/2", "local-time-high", "latency-high", "request-queue-high")
        for g in ("g1", "g2"):
            w.ill(f"group/{g}", "lag-growing", detail={"led": {"2": 1.0}})
        w.ill("group/g5", "lag-growing", "member-churn", ago=300_000, detail={"led": {}})
        if deployed:
            w.declare("deploy", "service/svc5", at=T0 - 330_000)
        return list(w.found())

    assert causes(False) == [("broker-storage-pressure", "broker/2")]
    assert causes(True) == [("bad-deployment", "group/g5"), ("broker-storage-pressure", "broker/2")]


def test_what_a_strained_broker_leads_falls_behind_in_turn() -> None:
    """Broker 1 is slow and its followers wait for it; g2 reads from 2 and 3. One that waited before is no effect of it."""

    def causes(since: int) -> Roots:
        w = Town()
        w.link("topic/t2", "replicas", "broker/1")
        w.see("broker/2", "latency-high", since=since)
        return slow_disk(w, g2={"led": {"2": 1.0}})

    assert causes(T0 - 500_000) == [DISK]
    assert ("slow-consumer", "group/g2") in causes(T0 - 3_600_000)


@pytest.mark.parametrize(("ago", "own"), [(600_000, False), (400_000, True)])
def test_who_loses_its_coordinator_with_a_rack_suffers_of_the_rack(ago: int, own: bool) -> None:
    """g1 reads from 1 and 2 and has no members in rack c; broker 6, which coordinates it, is gone with the rack. Long after,
    another one coordinates."""
    w = Town()
    assert near(w, "group/g1", "coordinator") == ["6"]
    assert near(w, "group/g1", "racks") == ["b"]
    for b in ("5", "6"):
        w.ill(f"broker/{b}", "broker-gone", "replica-behind", "leaders-moved")
    w.ill("rack/c", "probe-failing", detail={"apart": "yes"})
    w.ill("cluster/prod", "under-replicated", "heartbeats-missed")
    w.ill("group/g1", "lag-growing", "commits-slow", ago=ago, detail={"led": {}, "led_racks": {}})
    assert list(w.found()) == [("network-rack", "rack/c"), *([("slow-consumer", "group/g1")] if own else [])]
