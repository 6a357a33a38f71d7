"""How long a poll of many groups takes on a real broker, and how long a broker's exposition takes to translate.

    python tests/bench/bench_collect.py [--groups 1000] [--partitions 50] [--topics 50] [--polls 3]

Uses the broker at ``KROUTE_BOOTSTRAP``, else starts one. The aim: 1,000 groups × 50 partitions under 10 s.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka.admin
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.cimpl import NewTopic

from kroute.collect.aliases import load_aliases
from kroute.collect.exposition import Translator
from kroute.collect.lag import LagPoller
from kroute.collect.message import Own
from kroute.collect.topology import TopologyPoller
from kroute.contracts.codec import decode
from kroute.contracts.topics import Names
from kroute.local.choose import choose
from kroute.settings import Kafka

OWN = Own(Names(), "kroute")


def prepare(bootstrap: str, groups: int, partitions: int, topics: int) -> str:
    """Topics and groups with a commit in every partition; their common stem."""
    stem = f"bench-{uuid.uuid4().hex[:6]}"
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": 60_000, "log_level": 0})
    names = [f"{stem}-t{i}" for i in range(topics)]
    for i in range(0, topics, 50):  # one request may make 10,000 partitions at most
        new = [NewTopic(n, partitions, 1) for n in names[i : i + 50]]
        for future in admin.create_topics(new, request_timeout=300).values():
            future.result()
    for first in range(0, groups, 25):
        of_groups = {
            f"{stem}-g{g}": [TopicPartition(names[g % topics], p, 0) for p in range(partitions)]
            for g in range(first, min(first + 25, groups))
        }
        for _ in range(5):  # requests of a time when the coordinator is not there yet are never answered
            if not (of_groups := _commit(admin, of_groups)):
                break
        else:
            sys.exit(f"the offsets of {len(of_groups)} groups could not be stored")
    return stem


def _commit(admin: Any, of_groups: dict[str, list[TopicPartition]]) -> dict[str, list[TopicPartition]]:
    """Store offsets; what was not stored within some seconds."""
    left = {}
    sent = {
        g: admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(g, r)], request_timeout=15)
        for g, r in of_groups.items()
    }
    for g, futures in sent.items():
        try:
            for future in futures.values():
                future.result()
        except KafkaException:
            left[g] = of_groups[g]
    return left


def poll_groups(bootstrap: str, stem: str, polls: int) -> Iterator[tuple[float, int, int, int]]:
    """Seconds, messages, partitions and bytes of each poll."""
    poller = LagPoller("bench", Kafka(bootstrap), OWN, interval_ms=15_000, include=[f"{stem}-*"])
    deadline = time.monotonic() + 120  # the broker still makes the logs of new partitions
    while any(p.end < 0 for m in poller.poll() for p in decode("consumer-lag", m.value).partitions):
        assert time.monotonic() < deadline, "not every partition has a leader within 120 s"
    for _ in range(polls):
        begun = time.perf_counter()
        messages = poller.poll()
        seconds = time.perf_counter() - begun
        values = [decode("consumer-lag", m.value) for m in messages]
        assert all(v.up for v in values), "a group was not read"
        yield seconds, len(messages), sum(len(v.partitions) for v in values), sum(len(m.value) for m in messages)


def exposition(lines: int) -> str:
    """A broker's scrape as JMX exporter gives it: per-partition sizes, which nothing reads, make most of it."""
    quantiles = ("0.50", "0.75", "0.95", "0.98", "0.99", "0.999")
    out = []
    for request in range(90):
        for name in ("totaltimems", "requestqueuetimems", "localtimems", "remotetimems"):
            out += [f'kafka_network_requestmetrics_{name}{{request="R{request}",quantile="{q}",}} 1.0' for q in quantiles]
            out.append(f'kafka_network_requestmetrics_{name}_count_total{{request="R{request}",}} 5.0')
    for topic in range(2000):
        out += [
            f'kafka_server_brokertopicmetrics_{n}_total{{topic="t{topic}",}} 5.0' for n in ("bytesin", "bytesout", "messagesin")
        ]
    out += [f'kafka_log_log_size{{partition="{i % 50}",topic="t{i // 50}",}} 5.0' for i in range(lines - len(out))]
    return "\n".join(out) + "\n"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("groups", 1000), ("partitions", 50), ("topics", 50), ("polls", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()

    rules = load_aliases(("strimzi", "jvm")).rules
    text = exposition(50_000)
    translator = Translator(rules)
    for at in (0.0, 15.0):
        begun = time.perf_counter()
        samples = translator.samples(text, at)
        print(f"exposition: {text.count(chr(10))} lines in {time.perf_counter() - begun:.2f} s, {len(samples)} samples")

    with tempfile.TemporaryDirectory() as folder:
        chosen = choose(Path(folder))
        try:
            begun = time.perf_counter()
            stem = prepare(chosen.bootstrap, args.groups, args.partitions, args.topics)
            print(f"prepared {args.groups} groups x {args.partitions} partitions in {time.perf_counter() - begun:.1f} s")
            worst = 0.0
            for seconds, messages, partitions, size in poll_groups(chosen.bootstrap, stem, args.polls):
                print(f"groups: {messages} messages, {partitions} partitions, {size} bytes in {seconds:.2f} s")
                worst = max(worst, seconds)
            topology = TopologyPoller("bench", Kafka(chosen.bootstrap), OWN, interval_ms=15_000)
            for what in ("with configuration and sizes", "between"):
                begun = time.perf_counter()
                size = sum(len(m.value) for m in topology.poll())
                print(f"topology {what}: {size} bytes in {time.perf_counter() - begun:.2f} s")
            topology.close()
        finally:
            chosen.stop()
    if worst > 10:
        sys.exit(f"a poll took {worst:.1f} s; the aim is under 10 s")


if __name__ == "__main__":
    main()
