"""The demo estate runs on a real Kafka, breaks as its faults say, and heals."""

from __future__ import annotations

from pathlib import Path

import pytest

from kroute.local.choose import Chosen
from kroute.local.clients import Consumer, Producer, group_lag
from kroute.local.connect import LocalConnect
from kroute.local.estate import SINK, Estate
from kroute.local.faults import fault
from tests.kafka.helpers import admin_client, create_topic, unique, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_consumer_reads_no_faster_than_its_rate_and_keeps_its_group_while_paused(kafka: Chosen, protocol: str) -> None:
    topic, group = create_topic(kafka.bootstrap, "paced", partitions=2), unique("paced")
    admin = admin_client(kafka.bootstrap)

    def lag() -> int:
        return sum(group_lag(kafka.bootstrap, group).values())

    with (
        Producer(kafka.bootstrap, topic, 200, 2) as producer,
        Consumer(kafka.bootstrap, group, [topic], 400, protocol) as consumer,
    ):
        wait_for(lambda: len(group_lag(kafka.bootstrap, group)) == 2 and lag() < 400, 90, "the group keeping up")
        consumer.rate = 20
        wait_for(lambda: lag() > 600, 90, "lag that grows")
        consumer.pause()
        count = consumer.count
        wait_for(lambda: lag() > 1200, 90, "lag that grows")
        assert consumer.count - count <= 20
        state = admin.describe_consumer_groups([group])[group].result(10)
        assert (state.state.name, len(state.members)) == ("STABLE", 1)
        producer.pause()
        consumer.resume()
        consumer.rate = 5000
        wait_for(lambda: lag() == 0, 90, "everything read")
    assert consumer.error is None
    assert producer.error is None
    assert admin.describe_consumer_groups([group])[group].result(10).state.name == "EMPTY"


@pytest.mark.connect
def test_the_estate_becomes_healthy_breaks_and_heals(kafka: Chosen, connect: LocalConnect, tmp_path: Path) -> None:
    estate = Estate(kafka.bootstrap, tmp_path, connect=connect)
    estate.start()
    try:
        wait_for(lambda: estate.unhealthy() is None, 120, "a healthy estate")
        for name, told in (("slow-consumer", "checkout"), ("stopped-consumer", "fraud"), ("sink-failed", SINK)):
            it = fault(name, estate)
            it.start()
            wait_for(lambda told=told: told in (estate.unhealthy() or ""), 90, f"{name} seen at {told}")  # type: ignore[misc]
            it.end()
            wait_for(lambda: estate.unhealthy() is None, 120, f"healthy after {name}")
    finally:
        estate.stop()
    wait_for(lambda: connect.status(SINK) is None, 90, "the sink gone")
