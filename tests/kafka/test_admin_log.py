"""Rows as commands read and write them: the newest of each key, wherever another client put it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kroute.admin import log
from kroute.contracts.topics import Names
from kroute.errors import SourceUnreachable, StateError
from kroute.settings import Kafka, Settings
from tests.kafka.helpers import unique

pytestmark = pytest.mark.kafka


@pytest.fixture
def conf(bootstrap: str) -> Settings:
    uid = unique("log")
    return Settings(kafka=Kafka(bootstrap=bootstrap), names=Names(prefix=f"{uid}.", alerts=f"{uid}-alerts"))


def test_the_newest_row_of_each_key_is_read_though_another_client_chose_another_partition(conf: Settings) -> None:
    topic = log.ensure(conf, "ownership")
    assert log.ensure(conf, "ownership") == topic, "there already"
    log.produce(conf, topic, [log.Row("a", b"1"), log.Row("b", b"1", {"who": b"x"}), log.Row("c", b"1")])
    for partition in range(4):
        log.produce(conf, topic, [log.Row("a", str(partition).encode(), partition=partition)])
    log.produce(conf, topic, [log.Row("c", None)])
    found = log.compacted(conf, topic)
    assert {k: r.value for k, r in found.items()} == {"a": b"3", "b": b"1"}
    assert found["b"].headers == {"who": b"x"}
    assert (found["a"].partition, found["a"].also) == (3, (0, 1, 2))


def test_records_since_a_time(conf: Settings) -> None:
    topic = log.ensure(conf, "changes")
    log.produce(conf, topic, [log.Row("k", b"old")])
    at = next(log.records(conf, [topic])).at_ms
    log.produce(conf, topic, [log.Row("k", b"new")])
    assert [r.value for r in log.records(conf, [topic])] == [b"old", b"new"]
    assert [r.value for r in log.records(conf, [topic], at + 1)] in ([b"new"], [])  # within one millisecond
    assert list(log.records(conf, [topic], at + 3_600_000)) == []


def test_a_topic_that_is_not_there_and_a_kafka_that_is_not_there(conf: Settings) -> None:
    with pytest.raises(StateError, match="does not exist"):
        log.compacted(conf, conf.names.full("ownership"))
    nowhere = replace(conf, kafka=Kafka(bootstrap="127.0.0.1:1"))
    with pytest.raises(SourceUnreachable, match="1 of 1 records were not stored"):
        log.produce(replace(nowhere), "t", [log.Row("k", b"v")])
