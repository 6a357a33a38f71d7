"""Recordings of the simulator: reproducible, inside the contract, consistent in themselves, and true to their truth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
import pytest

from kroute.contracts import codec
from kroute.contracts.topics import Names
from kroute.diagnosis.load import shipped
from kroute.errors import ConfigError
from kroute.score.truth import Truth
from kroute.simulate import benign
from kroute.simulate import run as simulator
from kroute.simulate.estate import Size
from kroute.simulate.faults import MAKERS, NOT_INJECTED, ONLY_AUTOMQ, causes
from kroute.simulate.happening import Happening
from kroute.simulate.model import Model
from kroute.simulate.observe.delivery import Disturbance
from kroute.simulate.observe.recorder import Recorder
from kroute.simulate.run import Result, Scenario, encoded, simulate
from kroute.simulate.truth import Watch

SMALL = Size(3, 4)
MINUTES, INTERVAL = 27.0, 150.0
SEEDS = range(7, 40)
"""Where an estate has no room for a cause the next seed is taken."""


@pytest.fixture(autouse=True)
def without_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who suffers is found by a second run without the fault (``test_truth``); here that run is spared."""
    real = simulator._run
    first: list[Watch] = []

    def once(m: Model, happenings: list[Happening], recorder: Recorder | None) -> Watch:
        if recorder is None:
            return first[-1]
        first.append(real(m, happenings, recorder))
        return first[-1]

    monkeypatch.setattr(simulator, "_run", once)


@lru_cache(maxsize=64)
def run(cause: str | None, quiet: str | None = None, seed: int = 7) -> Result:
    platform = "automq" if cause in ONLY_AUTOMQ else "kafka"
    return simulate(Scenario(
        "x", seed, SMALL, platform, (cause,) if cause else (), (quiet,) if quiet else (), MINUTES, INTERVAL
    ))  # fmt: skip


def made(cause: str) -> Result:
    for seed in SEEDS:
        try:
            return run(cause, seed=seed)
        except ConfigError as e:
            if "another seed" not in str(e):
                raise
    raise AssertionError(f"no estate of {len(SEEDS)} has room for {cause}")


def decoded(result: Result) -> Iterator[tuple[str, Any]]:
    """Every record past the contract's border: raises where one is refused."""
    names = Names()
    for line in encoded(result.lines):
        record = msgspec.json.decode(line)
        short = names.short(record["topic"])
        assert short is not None
        yield short, codec.decode(short, msgspec.json.encode(record["value"]))


def test_every_cause_of_the_catalogue_can_be_made_to_happen() -> None:
    assert set(MAKERS) == set(shipped().causes) - NOT_INJECTED
    assert set(causes("kafka")) | set(causes("automq")) == set(MAKERS)


@pytest.mark.parametrize("cause", sorted(MAKERS))
def test_a_fault_gives_records_of_the_contract_and_a_truth_inside_the_recording(cause: str) -> None:
    result = made(cause)
    assert sum(1 for _ in decoded(result)) > 100
    truth = msgspec.convert(result.truth, Truth)
    (fault,) = truth.faults
    assert fault.cause == cause
    assert fault.root.kind == shipped().causes[cause].root
    assert truth.started_ms + 15 * 60_000 <= fault.from_ms < fault.to_ms <= truth.ends_ms
    assert fault.owners.action
    assert fault.owners.diagnosis
    times = [x.at_ms for x in result.lines]
    assert times == sorted(times)
    assert times[-1] <= truth.ends_ms


@pytest.mark.parametrize("what", sorted(benign.KINDS))
def test_what_is_benign_has_no_fault_in_its_truth(what: str) -> None:
    result = run(None, what)
    assert sum(1 for _ in decoded(result)) > 100
    assert result.truth["faults"] == []
    assert what in [b["what"] for b in result.truth["benign"]]


@pytest.mark.parametrize(("cause", "quiet"), [(None, None), ("offset-fault", None), (None, "deploy")])
def test_the_same_seed_gives_the_same_bytes(cause: str | None, quiet: str | None) -> None:
    first = list(encoded(run(cause, quiet).lines))
    run.cache_clear()
    assert list(encoded(run(cause, quiet).lines)) == first
    assert list(encoded(run(cause, quiet, seed=8).lines)) != first


@pytest.mark.parametrize("cause", [None, "slow-consumer", "rebalance-storm", "hung-transaction", "broker-down"])
def test_offsets_go_forward_and_agree_with_each_other(cause: str | None) -> None:
    result = made(cause) if cause else run(None)
    last: dict[tuple[str, str, str, int], tuple[int, int, int]] = {}
    seen = 0
    for short, m in decoded(result):
        if short != "consumer-lag" or not m.up:
            continue
        for p in m.partitions:
            if p.end < 0:
                continue  # the log end is not known while nobody leads it
            seen += 1
            at = (m.cluster, m.group, p.topic, p.partition)
            end, stable, committed = last.get(at, (0, 0, 0))
            assert 0 <= p.start <= p.end
            assert p.committed <= p.end + 1
            assert p.stable_end <= p.end
            assert (p.end, p.stable_end, p.committed) >= (end, 0, 0)
            assert p.stable_end >= stable
            assert p.committed >= committed - 1  # before a marker, or behind it
            last[at] = (p.end, p.stable_end, p.committed)
    assert seen > 100


def test_only_a_fault_of_offsets_takes_them_back() -> None:
    result = made("planned-replay")
    (fault,) = msgspec.convert(result.truth, Truth).faults
    back = []
    last: dict[tuple[str, str, int], int] = {}
    for short, m in decoded(result):
        for p in m.partitions if short == "consumer-lag" and m.up else ():
            at = (m.group, p.topic, p.partition)
            if p.committed < last.get(at, 0) - 100:
                back.append((m.group, m.observed_at_ms))
            last[at] = p.committed
    assert dict.fromkeys(g for g, _ in back) == {fault.root.name: None}
    assert all(fault.from_ms <= t <= fault.from_ms + 3 * INTERVAL * 1000 for _, t in back)


def test_a_fault_that_is_not_there_leaves_the_rest_of_the_run_as_it_was() -> None:
    """Both runs draw the same: before the onset they are the same to the byte."""
    fault, well = run("stopped-consumer"), run(None)
    onset = fault.truth["faults"][0]["from_ms"]
    assert onset > fault.truth["started_ms"]

    def before(r: Result) -> list[Any]:
        return [(x.topic, x.key, x.at_ms) for x in r.lines if x.topic == "consumer-lag" and x.at_ms < onset]

    assert before(fault) == before(well)


def test_missing_signals_are_missing_and_late_ones_are_late() -> None:
    whole = run(None)
    thin = simulate(Scenario("x", 7, SMALL, minutes=MINUTES, interval_s=INTERVAL, disturbance=Disturbance(0.5, 120.0)))

    def samples(r: Result) -> int:
        return sum(len(x.value.get("samples", ())) for x in r.lines if x.value is not None)

    assert samples(thin) < 0.8 * samples(whole)
    lateness = [x.at_ms - x.value["observed_at_ms"] for x in thin.lines if x.value and "observed_at_ms" in x.value]
    assert 30_000 < max(lateness) <= 121_000
