"""Recovery is exact, and the hash seed does not matter: whatever was fed, rows tell all there is to know."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kroute.contracts.common import Entity
from kroute.contracts.inputs import (
    Access,
    BrokerInfo,
    BrokerMetrics,
    ConnectorStatus,
    ConsumerLag,
    Controller,
    LogDir,
    Member,
    PartitionLag,
    TopicInfo,
    Topology,
    Transaction,
    Voter,
)
from tests.unit.signals.windowsbench import STEP, Bench, C, at, part, sample, scrape, status, task


def a_message(r: random.Random, poll: int) -> Any:
    """A message of a random kind, bad now and then, early or late by a poll or two."""
    poll = max(0, poll - r.choice([0, 0, 0, 0, 0, 1, 2, 5]))
    up = r.random() > 0.1
    kind = r.choice(
        ["broker", "broker", "broker", "probe", "link", "worker", "status", "status", "topology", "topology", "lag", "access"]
    )
    bad = r.random() < 0.4
    if kind == "broker":
        users = [sample("bytes_in_rate", r.choice([0.0, 1e6, 9e7]), user=f"u{i}") for i in range(r.randint(0, 3))]
        topics = [
            sample("request_error_rate", r.choice([0.0, 50.0]), topic="t", request="Produce"),
            sample("request_rate", 60.0, topic="t", request="Produce"),
        ]
        extra = [
            *users,
            *topics,
            sample("throttle_ms", r.choice([0.0, 9.0]), user="u0"),
            sample("cross_zone_bytes_rate", 1e8, group="g", **{"from": "a", "to": "b"}),
        ]
        return scrape(
            poll,
            sample("request_handler_idle_ratio", 0.1 if bad else 0.9),
            sample("log_flush_ms", 5000.0 if bad else 3.0, quantile="0.999"),
            sample("request_local_ms", r.choice([5.0, 900.0]), request="Produce", quantile="0.99"),
            sample("active_controllers", float(r.randint(0, 1))),
            sample("bytes_out_rate", r.choice([1e6, 1.1e6, 9e7])),
            sample("heartbeat_timeouts", float(poll // 3)),
            *r.sample(extra, r.randint(0, len(extra))),
            of=str(r.randint(1, 3)),
            up=up,
        )
    if kind == "probe":
        return scrape(poll, sample("probe_failure_rate", float(bad)), of="p", kind="probe", rack="r1", up=up)
    if kind == "link":
        return scrape(
            poll,
            sample("link_lag_ms", 9e5 if bad else 3.0),
            sample("link_groups_promoted", 3.0),
            sample("link_groups_subscribed", 5.0),
            of="l",
            kind="link",
            up=up,
        )
    if kind == "worker":
        return scrape(
            poll, sample("cpu_ratio", 0.99 if bad else 0.1), sample("put_batch_ms", 4000.0 if bad else 90.0, connector="k0", task="0"),
            of="w1", kind="connect-worker", connect="ca", up=up,
        )  # fmt: skip
    if kind == "status":
        if r.random() < 0.03:
            return status(poll, name="k1", state="DELETED")
        return status(
            poll,
            task(0, r.choice(["RUNNING", "RUNNING", "FAILED", "UNASSIGNED"]), "x\nCaused by: timed out", put_batch_ms=r.choice([90.0, 4000.0])),
            task(1, source_poll_rate=r.choice([100.0, 101.0, 0.0])),
            name=f"k{r.randint(0, 1)}", state=r.choice(["RUNNING", "RUNNING", "RUNNING", "PAUSED"]), up=up, topics=("t",), system="es",
        )  # fmt: skip
    if kind == "lag":
        if r.random() < 0.05:
            return ConsumerLag(cluster=C, observed_at_ms=at(poll), group="g0", state="Dead")
        i, parts = r.choice([(0, 1), (0, 2), (1, 2)])
        return ConsumerLag(
            cluster=C, observed_at_ms=at(poll), group=f"g{r.randint(0, 1)}", state="Stable", coordinator=r.randint(1, 2), up=up, part=i, parts=parts,
            members=(Member(member_id="m", rack="r1"),), partitions=(PartitionLag(topic=f"t{i}", partition=0, end=5, leader=r.randint(1, 3)),),
        )  # fmt: skip
    if kind == "access":
        return Access(
            cluster=C,
            observed_at_ms=at(poll),
            denials=({"principal": "u", "resource": "t", "count": r.randint(0, 7)},) * r.randint(0, 1),
            up=up,
        )
    i, parts = r.choice([(0, 1), (0, 1), (0, 2), (1, 2)])
    ids = r.sample([1, 2, 3], r.randint(2, 3))
    infos = tuple(
        BrokerInfo(
            id=b,
            rack=f"r{b}",
            state=r.choice(["alive", "alive", "fenced"]),
            log_dirs=(LogDir(path="/d", total_bytes=100, usable_bytes=r.choice([2, 60]), error=r.choice([None, "EIO"])),),
        )
        for b in ids
    )
    told = tuple(
        TopicInfo(
            name=f"t{i}{j}",
            config={"min.insync.replicas": "2"},
            partitions=tuple(
                part(n, r.choice([1, 2, 3, -1]), (1, 2, 3), tuple(r.sample([1, 2, 3], r.randint(1, 3)))) for n in range(6)
            ),
        )
        for j in range(r.randint(1, 2))
    )
    return Topology(
        cluster=C, observed_at_ms=at(poll), up=up, part=i, parts=parts, brokers=infos if i == 0 else (), topics=told, interval_ms=STEP,
        controller=Controller(leader=r.choice([1, -1]), epoch=poll // 4, quorum=(Voter(id=1, lag=r.choice([0, 5000])),)),
        transactions=(Transaction(id="x", state="Ongoing", started_at_ms=at(poll) - r.choice([1000, 400_000])),) * r.randint(0, 1),
    )  # fmt: skip


def run(bench: Bench, r: random.Random, polls: range) -> None:
    for poll in polls:
        for _ in range(r.randint(0, 6)):
            bench.feed(a_message(r, poll), at(poll) + r.randint(0, 900))
            if r.random() < 0.1:
                bench.feed(a_message(r, poll))
        if r.random() < 0.05:
            bench.tick(bench.now + 200_000)
        bench.tick(at(poll) + 1000)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), before=st.integers(1, 60), after=st.integers(1, 30))
def test_after_a_reload_the_same_input_gives_the_same_board_and_the_same_rows(seed: int, before: int, after: int) -> None:
    bench = Bench()
    run(bench, random.Random(seed), range(before))
    other = bench.reloaded()
    assert other.picture() == bench.picture()
    assert other.stored() == bench.stored()
    bench.board.take_changed()
    run(bench, random.Random(seed + 1), range(before, before + after))
    run(other, random.Random(seed + 1), range(before, before + after))
    assert other.picture() == bench.picture()
    assert other.board.take_changed() == bench.board.take_changed()
    assert other.stored() == bench.stored()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), polls=st.integers(1, 40))
def test_a_message_that_comes_twice_changes_nothing(seed: int, polls: int) -> None:
    once, twice = Bench(), Bench()
    r = random.Random(seed)
    for poll in range(polls):
        m = a_message(r, poll)
        once.feed(m, at(poll))
        twice.feed(m, at(poll))
        twice.offset -= 1
        twice.feed(m, at(poll))
        assert _without_telemetry(twice) == _without_telemetry(once)


def _without_telemetry(bench: Bench) -> Any:
    return {k: v for k, v in bench.stored().items() if not k[1].startswith("d|tele|")}


def test_a_message_of_more_parts_than_an_integer_has_bits_is_kept_and_its_repeats_are_known() -> None:
    bench = Bench()
    for n in (0, 63, 64, 100, 4000):
        bench.feed(scrape(1, sample("cpu_ratio", 0.1), part=n, parts=5000))
    stored = bench.stored()
    other = bench.reloaded()
    for b in (bench, other):
        for n in (0, 63, 64, 100, 4000):
            b.feed(scrape(1, sample("cpu_ratio", 0.9), part=n, parts=5000))
        assert {k: v for k, v in b.stored().items() if "poll|" in k[1]} == {k: v for k, v in stored.items() if "poll|" in k[1]}


def test_rows_stay_small() -> None:
    bench = Bench()
    run(bench, random.Random(7), range(200))
    assert max(len(v) for v in bench.stored().values()) < 64 * 1024
    assert len(bench.stored()) < 500


def digest(seed: int) -> str:
    bench = Bench()
    run(bench, random.Random(seed), range(60))
    return hashlib.sha256(msgspec.msgpack.encode([(t, k, v) for (t, k), v in bench.rows.changed.items()])).hexdigest()


def test_the_hash_seed_does_not_matter() -> None:
    code = "from tests.unit.signals.test_windows_reload import digest; print(digest(11))"
    found = [
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": s}, capture_output=True, text=True, check=True, timeout=60).stdout
        for s in ("1", "2")
    ]  # fmt: skip
    assert found[0] == found[1] != ""


def test_the_property_test_meets_every_reporter() -> None:
    bench = Bench()
    kinds: dict[str, None] = {}
    r = random.Random(3)
    for poll in range(150):
        run(bench, r, range(poll, poll + 1))
        kinds.update(dict.fromkeys(k for _, k in bench.board.active))
    wanted = {
        "handler-idle-low",
        "throttled",
        "task-failed",
        "put-latency-high",
        "broker-gone",
        "under-min-isr",
        "signals-missing",
        "access-denied",
        "leaders-moved",
        "transaction-open",
        "produce-retries",
        "log-dir-offline",
        "link-lagging",
    }
    assert wanted <= set(kinds), wanted - set(kinds)
    assert isinstance(next(iter(bench.board.active))[0], Entity)
    assert isinstance(a_message(r, 1), Access | BrokerMetrics | ConnectorStatus | Topology | ConsumerLag)
