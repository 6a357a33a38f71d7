"""The demo estate's rows are what the contracts ask for, and its faults say what they need."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kroute.contracts.rows import OWNERSHIP_KINDS, Ownership, Policy
from kroute.errors import ConfigError
from kroute.local.estate import READERS, SINK, TEAMS, TOPICS, Estate, ownership, policy
from kroute.local.faults import NAMES, fault


def rows() -> list[Ownership]:
    return [msgspec.convert(row, Ownership) for row in ownership()]


def test_every_row_is_an_ownership_row_with_a_key_of_its_own() -> None:
    keys = [(r.kind, r.cluster, r.name) for r in rows()]
    assert len(set(keys)) == len(keys)
    assert {kind for kind, _, _ in keys} <= set(OWNERSHIP_KINDS)


def test_every_owner_is_a_team_with_destinations() -> None:
    teams = {r.name for r in rows() if r.kind == "team" and r.page and r.ticket and r.notify}
    assert teams == set(TEAMS)
    assert {r.owner for r in rows() if r.owner} <= teams


def test_every_group_leads_to_a_service_with_a_customer_function_and_an_objective() -> None:
    services = {r.name: r for r in rows() if r.kind == "service"}
    groups = {r.name: r.service for r in rows() if r.kind == "group"}
    assert set(groups) == {*READERS, f"connect-{SINK}"}
    for service in groups.values():
        assert service is not None
        row = services[service]
        assert row.customer_function
        assert row.slo is not None
        assert row.slo.freshness_s
    assert {r.name for r in rows() if r.kind == "topic"} == set(TOPICS)


def test_the_policy_is_one() -> None:
    assert msgspec.convert(policy(), Policy).defaults["hold_s"] > 0


def test_an_unknown_fault_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no fault 'meteor'; there are slow-consumer, stopped-consumer, sink-failed, broker-down"
    ):
        fault("meteor", Estate("127.0.0.1:1", tmp_path))


@pytest.mark.parametrize(("name", "needs"), [("sink-failed", "needs Kafka Connect"), ("broker-down", "--brokers 3")])
def test_a_fault_that_this_estate_cannot_have_says_what_it_needs(tmp_path: Path, name: str, needs: str) -> None:
    with pytest.raises(ConfigError, match=needs):
        fault(name, Estate("127.0.0.1:1", tmp_path))


def test_a_slow_consumer_gets_its_rate_back(tmp_path: Path) -> None:
    estate = Estate("127.0.0.1:1", tmp_path)
    consumer, producer = estate.consumers["checkout"], estate.producers["orders"]
    usual = consumer.rate
    slow = fault("slow-consumer", estate)
    assert slow.about == NAMES["slow-consumer"]
    slow.start()
    assert consumer.rate < producer.rate
    slow.end()
    assert consumer.rate == usual > producer.rate
