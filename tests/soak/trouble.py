"""Broker trouble that takes minutes: ``pytest tests/soak/trouble.py``; no part of the default run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewTopic

from kroute.contracts.topics import TABLES
from kroute.local.broker import LocalKafka
from kroute.stream import admin
from kroute.stream.changelog import changelog
from tests.kafka.compared import end
from tests.kafka.crashes import Estate, every_point, fed
from tests.kafka.helpers import admin_client, wait_for
from tests.kafka.outage import alerts_flow, coordinator, leaders, outlasts
from tests.kafka.schedules import chain

MINUTES = float(os.environ.get("KROUTE_SOAK_MINUTES", "3"))


class Replicated(Estate):
    """An installation whose topics have three copies."""

    def env(self, **more: str) -> dict[str, str]:
        return super().env(**{"KROUTE_REPLICATION_FACTOR": "3", **more})


@pytest.fixture
def three(tmp_path: Path) -> Iterator[LocalKafka]:
    with LocalKafka(tmp_path / "kafka", brokers=3, heap_mb=256) as kafka:
        yield kafka


def test_a_broker_that_does_not_answer_for_minutes_loses_nothing(tmp_path: Path) -> None:
    with LocalKafka(tmp_path / "kafka") as kafka, fed(Estate(kafka.bootstrap, tmp_path), 5) as feed:
        feed.estate.ready()
        outlasts(feed.estate, kafka, MINUTES * 60, 300)
        outcome = end(feed)
        assert outcome.wrong == [], str(outcome)


def test_a_leader_that_fails_over_while_the_coordinator_answers_does_not_end_the_worker(
    three: LocalKafka, tmp_path: Path
) -> None:
    estate = Replicated(three.bootstrap, tmp_path)
    with fed(estate, 5) as feed:
        worker = estate.ready()
        alerts_flow(estate)
        coordinating = coordinator(three.bootstrap, estate.app_id)
        journals = leaders(three.bootstrap, changelog(estate.settings, "journal"))
        facts = leaders(three.bootstrap, estate.settings.names.full("facts"))
        victim = next((b for b in (*journals.values(), *facts.values()) if b != coordinating), None)
        if victim is None:
            pytest.skip("the coordinator leads every partition of journal and facts this time")
        three.kill(victim)
        alerts_flow(estate)
        assert worker.process.poll() is None, worker.text()[-3000:]
        three.restart(victim)
        outcome = end(feed)
        assert outcome.wrong == [], str(outcome)


def test_a_coordinator_that_moves_loses_nothing(three: LocalKafka, tmp_path: Path) -> None:
    estate = Replicated(three.bootstrap, tmp_path)
    with fed(estate, 6) as feed:
        estate.ready("w1")
        estate.ready("w2")
        alerts_flow(estate)
        first = coordinator(three.bootstrap, estate.app_id)
        three.kill(first)
        alerts_flow(estate)
        wait_for(lambda: coordinator(three.bootstrap, estate.app_id) != first, 60, "another coordinator")
        three.restart(first)
        alerts_flow(estate)
        outcome = end(feed)
        assert outcome.wrong == [], str(outcome)


@pytest.mark.parametrize("point", ["row-sent", "rows-acked"])
def test_deaths_at_the_rows_of_every_table_lose_and_double_nothing(bootstrap: str, tmp_path: Path, point: str) -> None:
    points = [at for at in every_point() if at.startswith(point)]
    assert len(points) == len(TABLES)
    outcome = chain(bootstrap, tmp_path / "chain", 8, points)
    assert outcome.wrong == [], str(outcome)
    assert outcome.incidents > 0


def test_a_compacted_changelog_gives_the_same_state(bootstrap: str, tmp_path: Path) -> None:
    estate = Estate(bootstrap, tmp_path)
    topics = [changelog(estate.settings, t) for t in ("entities", "incidents", "journal", "consumer_lag")]
    fast = {
        "cleanup.policy": "compact",
        "max.compaction.lag.ms": "1000",
        "segment.ms": "1000",
        "min.cleanable.dirty.ratio": "0.01",
    }
    client = admin_client(bootstrap)
    made = client.create_topics([
        NewTopic(topic, num_partitions=2, replication_factor=1, config=fast) for topic in topics
    ])  # fmt: skip
    for future in made.values():
        future.result(30)
    with fed(estate, 7) as feed:
        worker = estate.ready()
        alerts_flow(estate)

        def compacted() -> bool:
            with admin.consumer(estate.settings) as reader:
                spans = admin.spans(reader, topics[:1])
                held = sum(1 for _ in admin.records(reader, spans))
            return held < sum(s.end - s.start for s in spans) // 2

        wait_for(compacted, 90, "the cleaner to have compacted the changelog")
        worker.kill()
        estate.evict(worker)
        estate.ready("elsewhere")
        outcome = end(feed)
        assert outcome.wrong == [], str(outcome)
        assert outcome.alerts > 6
