"""Scrapes that tell of clients and users, not of groups and topics: rules M40, M46–M48."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from kroute.contracts.common import Entity
from kroute.contracts.inputs import Member, Sample
from kroute.signals.model import Status
from tests.unit.signals.lagbench import Bench as LagBench
from tests.unit.signals.lagbench import poll
from tests.unit.signals.windowsbench import Bench, C, entity, sample, scrape


@pytest.fixture
def bench() -> Bench:
    return Bench()


def feed(bench: Bench, polls: Iterable[int], *samples: Sample, **more: Any) -> None:
    for at in polls:
        bench.feed(scrape(at, *samples, **more))


def crossing(value: float, client: str) -> Sample:
    return sample("cross_zone_bytes_rate", value, client_id=client, **{"from": "a", "to": "b"})


def test_m46_bytes_of_a_client_are_those_of_the_group_that_it_is_a_member_of(bench: Bench) -> None:
    bench.metrics.group_of = lambda cluster, client: "search" if (cluster, client) in ((C, "s-0"), (C, "s-1")) else None
    feed(bench, range(60), crossing(1e6, "s-0"), crossing(1e6, "s-1"))
    feed(bench, range(60, 65), crossing(6e6, "s-0"), crossing(6e6, "s-1"))
    assert bench.symptom(entity("group", "search"), "cross-zone-high").value == 12e6


def test_m48_bytes_of_a_client_that_is_in_no_group_are_its_own(bench: Bench) -> None:
    feed(bench, range(60), crossing(1e6, "loader"))
    feed(bench, range(60, 65), crossing(6e6, "loader"))
    assert bench.symptom(entity("principal", "loader"), "client-crosses-zones").value == 6e6
    assert not bench.board.of(entity("group", "loader"))


def test_the_group_of_a_client_is_known_from_its_members_while_there_is_one_such_group() -> None:
    def told(b: LagBench, group: str, at_s: float, *clients: str) -> None:
        members = tuple(Member(member_id=f"m-{x}", client_id=x, assignment=(("t", (0,)),)) for x in clients)
        m = poll(at_s, [0], [0], members=members)
        b.feed(type(m)(**{f: getattr(m, f) for f in m.__struct_fields__} | {"group": group}))

    b = LagBench()
    told(b, "search", 0, "s-0", "shared")
    told(b, "orders", 1, "o-0", "shared")
    assert [b.lag.group_of_client("c", x) for x in ("s-0", "o-0", "shared", "who")] == ["search", "orders", None, None]
    again = b.restored()
    assert [again.lag.group_of_client("c", x) for x in ("s-0", "o-0", "shared")] == ["search", "orders", None]
    told(b, "search", 30, "s-1")
    assert [b.lag.group_of_client("c", x) for x in ("s-0", "s-1", "shared")] == [None, "search", "orders"]


def test_m40_traffic_that_is_told_per_user_and_per_client_is_no_twice_as_much(bench: Bench) -> None:
    def told(rate: float) -> list[Sample]:
        return [sample("request_rate", rate if u == "a" else 200.0, request="Produce", **{k: u + k[0]})
                for u in ("a", "b") for k in ("user", "client_id")]  # fmt: skip

    feed(bench, range(40), *told(200.0))
    feed(bench, range(40, 44), *told(1200.0))
    assert bench.status(entity("principal", "au"), "dominates") is Status.ACTIVE


def retries(errors: float, requests: float, messages: float) -> list[Sample]:
    return [
        sample("request_error_rate", errors, request="Produce", topic="pay"),
        sample("request_rate", requests, request="Produce", topic="pay"),
        sample("messages_in_rate", messages, topic="pay"),
    ]


def test_m47_produce_errors_up_and_records_flat(bench: Bench) -> None:
    topic = entity("topic", "pay")
    feed(bench, range(40), *retries(0.01, 100, 1000))
    assert bench.status(topic, "produce-retries") is Status.HEALTHY
    feed(bench, (40, 42), *retries(400, 500, 1000))
    assert bench.symptom(topic, "produce-retries").why == "400 failed produce requests/s of 500"
    feed(bench, range(43, 46), *retries(0.01, 100, 1000))
    assert bench.status(topic, "produce-retries") is Status.HEALTHY


def test_m47_where_most_requests_succeed_it_takes_a_poll_more(bench: Bench) -> None:
    topic = entity("topic", "pay")
    feed(bench, range(40), *retries(0.01, 100, 1000))
    feed(bench, (40, 42), *retries(150, 500, 1000))
    assert bench.status(topic, "produce-retries") is Status.HEALTHY
    feed(bench, (44,), *retries(150, 500, 1000))
    assert bench.status(topic, "produce-retries") is Status.ACTIVE


BY_NAME = [
    ({"user": "User:pay"}, {"client_id": "pay"}),
    ({"client_id": "pay"}, {"client_id": "pay"}),
    ({"user": "User:pay"}, {"user": "User:pay"}),
]


@pytest.mark.parametrize(("also", "told"), BY_NAME)
def test_m47_requests_told_per_client_or_user_are_those_of_its_topic(
    bench: Bench, also: dict[str, str], told: dict[str, str]
) -> None:  # fmt: skip
    bench.estate.connect(entity("principal", "User:pay"), "principal-topics", [entity("topic", "pay"), entity("topic", "log")])

    def told_of(requests: float, errors: float) -> list[Sample]:
        out = [sample("messages_in_rate", 900, topic="pay"), sample("messages_in_rate", 20, topic="log")]
        out += [sample("request_rate", requests, request="Produce", **x) for x in ([also, told] if also != told else [told])]
        out += [sample("request_rate", 50.0, request="Produce", client_id="other")]
        return out + ([sample("request_error_rate", errors, request="Produce", error="X", **told)] if errors else [])

    feed(bench, range(40), *told_of(10, 0))
    feed(bench, range(40, 43), *told_of(80, 70))
    assert bench.status(entity("topic", "pay"), "produce-retries") is Status.ACTIVE
    assert bench.status(entity("topic", "log"), "produce-retries") is not Status.ACTIVE
    feed(bench, range(43, 47), *told_of(10, 0))
    assert bench.status(entity("topic", "pay"), "produce-retries") is not Status.ACTIVE


def test_m47_a_principal_without_topics_makes_none_up(bench: Bench) -> None:
    failing = [sample("request_rate", 80, request="Produce", client_id="x"), sample("request_error_rate", 70, client_id="x")]
    feed(bench, range(10), *failing)
    assert not bench.board.of(Entity("topic", C, "x"))


@pytest.mark.parametrize("error", ["SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "SslHandshakeFailed"])
def test_m43_errors_of_any_way_to_authenticate_count(bench: Bench, error: str) -> None:
    feed(bench, range(3), sample("request_error_rate", 2, client_id="pay", error=error))
    assert bench.status(entity("principal", "pay"), "authentication-failing") is Status.ACTIVE


def test_m43_other_errors_of_a_principal_do_not_count(bench: Bench) -> None:
    feed(bench, range(3), sample("request_error_rate", 2, client_id="pay", error="TOPIC_AUTHORIZATION_FAILED"))
    assert bench.status(entity("principal", "pay"), "authentication-failing") is not Status.ACTIVE
