"""Creates every topic of kroute, with the partition counts that the tables depend on.

Counts and configuration come from ``kroute.contracts.topics``. A topic that exists is never altered: another
partition count under ``facts`` or a changelog would send rows to the wrong worker, so it is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaException
from confluent_kafka.cimpl import NewTopic

from kroute.contracts.topics import INPUTS, TABLES, TOPICS
from kroute.errors import ConfigError, SourceUnreachable, StateError
from kroute.reach import Reach, failed
from kroute.reach import existing as reachable
from kroute.rights.check import demand
from kroute.rights.processes import rights
from kroute.settings import Settings
from kroute.stream.changelog import changelog

TIMEOUT_S = 30.0
CHANGELOG_CONFIG = {
    "cleanup.policy": "compact",
    # A snapshot at a journal offset is read from the changelogs: every version of the last ten minutes stays.
    "min.compaction.lag.ms": "600000",
    "compression.type": "zstd",
}


@dataclass(frozen=True)
class Wanted:
    """A topic as it must exist. ``exact``: another partition count is refused."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False


def realms(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Realms of ``kroute.controls.<realm>``, from ``KROUTE_REALMS`` (separated by commas).

    Raises:
        ConfigError: a realm that cannot be part of a topic's name.
    """
    text = (os.environ if env is None else env).get("KROUTE_REALMS", "")
    names = tuple(sorted({n for n in (part.strip() for part in text.split(",")) if n}))
    for name in names:
        if not all(c.isascii() and (c.isalnum() or c in "._-") for c in name):
            raise ConfigError(f"KROUTE_REALMS has {name!r}; a realm is made of letters, digits, dot, dash and underscore")
    return names


def input_topics(settings: Settings, realm_names: Iterable[str] = ()) -> tuple[str, ...]:
    """Full names of all input topics, those of the realms last."""
    full = settings.names.full
    return (*(full(t) for t in INPUTS), *(full(f"controls.{r}") for r in realm_names))


def wanted(settings: Settings, realm_names: Iterable[str] = ()) -> list[Wanted]:
    """Every topic that must exist."""
    out = [
        Wanted(settings.names.full(t.short), t.partitions or settings.facts_partitions, t.config, exact=t.partitions == 0)
        for t in TOPICS.values()
    ]
    controls = TOPICS["controls"]
    out += [Wanted(settings.names.full(f"controls.{r}"), controls.partitions, controls.config) for r in realm_names]
    out += [Wanted(changelog(settings, t), settings.facts_partitions, CHANGELOG_CONFIG, exact=True) for t in TABLES]
    return out


def check_counts(topics: Iterable[Wanted], existing: Mapping[str, int]) -> None:
    """Refuse ``facts`` or a changelog that exists with another partition count.

    Raises:
        StateError: names the topic, both counts and what to do.
    """
    for topic in topics:
        have = existing.get(topic.name)
        if topic.exact and have is not None and have != topic.partitions:
            raise StateError(
                f"topic {topic.name} has {have} partitions and KROUTE_FACTS_PARTITIONS is {topic.partitions}: rows are stored "
                f"per partition of facts, so the counts must agree. Set KROUTE_FACTS_PARTITIONS={have}, or, to begin again "
                f"with empty state, stop all workers and delete the facts topic and all changelogs"
            )


def create_topics(settings: Settings) -> None:
    """Create what is missing; blocks for up to 30 s per request.

    Raises:
        StateError: ``facts`` or a changelog exists with another partition count.
        SourceUnreachable: Kafka gave no answer or refused a topic.
        NotAuthorized: Kafka's ACLs lack a right that a worker needs; names all of them.
    """
    topics = wanted(settings, realms())
    reach = Reach(settings.kafka)
    existing = reachable(reach.metadata())
    check_counts(topics, existing)
    # First: a topic that it may not see looks like one that is not there, and could neither be made nor waited for.
    demand(reach, rights(settings, "worker", realms()), "worker")
    missing = [
        NewTopic(t.name, num_partitions=t.partitions, replication_factor=settings.replication_factor, config=dict(t.config))
        for t in topics
        if t.name not in existing
    ]
    if missing:
        for name, future in reach.client.create_topics(missing, request_timeout=TIMEOUT_S).items():
            try:
                future.result()
            except KafkaException as e:
                if e.args[0].name() == "TOPIC_ALREADY_EXISTS":  # another worker was first
                    continue
                if e.args[0].name().endswith("AUTHORIZATION_FAILED"):
                    raise failed(settings.kafka, e, f"Create on topic {name}, which does not exist") from None
                raise SourceUnreachable(f"topic {name} could not be created: {e.args[0].str()}") from None
        _wait_until_known(reach, topics)


def _wait_until_known(reach: Reach, topics: list[Wanted]) -> None:
    """Creation is asynchronous in Kafka: a consumer that asks too early caches the topic as missing."""
    names = {t.name for t in topics}
    known: Mapping[str, int] = {}
    for _ in range(100):
        found = reach.metadata().topics
        known = {
            name: len(t.partitions)
            for name, t in found.items()
            if t.error is None and t.partitions and all(p.leader >= 0 for p in t.partitions.values())
        }
        if names <= known.keys():
            check_counts(topics, known)
            return
        reach.client.poll(0.1)
    raise SourceUnreachable(f"topics without a leader after creation: {', '.join(sorted(names - known.keys()))}")
