"""Missing signals, rule S1."""

from __future__ import annotations

import pytest

from kroute.contracts.inputs import BrokerInfo, ConsumerLag
from kroute.signals.model import Status
from kroute.signals.telemetry import source_name
from tests.unit.signals.windowsbench import STEP, Bench, at, broker, entity, part, sample, scrape, status, task, topology

STALE = 3 * STEP + 5000
KIND = "signals-missing"


@pytest.fixture
def bench() -> Bench:
    return Bench()


def lag(poll: int, group: str = "g", **more: object) -> ConsumerLag:
    more.setdefault("interval_ms", STEP)
    return ConsumerLag(cluster="prod-eu", observed_at_ms=at(poll), group=group, state="Stable", **more)  # type: ignore[arg-type]


def run(bench: Bench, until_ms: int) -> None:
    for now in range(bench.now, until_ms + 1, 1000):
        bench.tick(now)


def missing(bench: Bench) -> list[str]:
    return sorted(e.name for e, k in bench.board.active if k == KIND)


def test_names_of_sources() -> None:
    assert source_name(scrape(0, of="3")) == "broker-metrics/broker/3"
    assert source_name(scrape(0, of="w1", kind="connect-worker", connect="ca")) == "broker-metrics/connect-worker/ca/w1"
    assert source_name(lag(0)) == "consumer-lag"
    assert source_name(status(0)) == "connector-status/ca"
    assert source_name(topology(0, ())) == "topology"


def test_a_source_that_was_heard_and_is_silent_for_three_polls_is_missing(bench: Bench) -> None:
    bench.feed(lag(0))
    bench.feed(topology(0, ()))
    for poll in range(1, 8):
        bench.feed(lag(poll))
        run(bench, at(poll) + 900)
        assert missing(bench) == ([] if at(poll) - at(0) <= STALE else ["topology"])
    s = bench.symptom(entity("source", "topology"), KIND)
    assert s.since_ms == at(0)
    assert bench.status(entity("source", "consumer-lag"), KIND) is Status.HEALTHY
    bench.feed(topology(8, ()))
    assert missing(bench) == []
    assert bench.status(entity("source", "topology"), KIND) is Status.HEALTHY


def test_a_missing_source_is_told_again_so_that_it_does_not_go_stale(bench: Bench) -> None:
    bench.feed(lag(0))
    run(bench, at(0) + 600_000)
    assert not bench.board.is_stale(bench.symptom(entity("source", "consumer-lag"), KIND), bench.now)


def test_a_source_that_says_that_it_fails_is_missing_after_two_polls(bench: Bench) -> None:
    bench.feed(topology(0, ()))
    bench.feed(lag(0))
    for poll in range(1, 5):
        bench.feed(lag(poll))
        bench.feed(topology(poll, (), up=False, error="no route to controller"))
        run(bench, at(poll) + 2000)
        assert missing(bench) == (["topology"] if poll >= 3 else [])
    s = bench.symptom(entity("source", "topology"), KIND)
    assert s.why == "topology cannot be read: no route to controller"
    assert s.since_ms == at(1)


def test_one_quiet_group_is_not_missing_telemetry_and_all_are(bench: Bench) -> None:
    for poll in range(10):
        bench.feed(lag(poll, "a"))
        if poll < 2:
            bench.feed(lag(poll, "b"))
        run(bench, at(poll) + 900)
        assert missing(bench) == []
    run(bench, at(9) + STALE + 2000)
    assert missing(bench) == ["consumer-lag"]


def test_one_group_that_cannot_be_described_is_not_missing_telemetry(bench: Bench) -> None:
    for poll in range(10):
        bench.feed(lag(poll, "a"))
        bench.feed(lag(poll, "b", up=poll < 2))
        run(bench, at(poll) + 900)
        assert missing(bench) == []


def test_the_interval_of_a_source_with_many_groups_is_that_of_one_group(bench: Bench) -> None:
    for poll in range(5):
        for i in range(10):
            bench.feed(lag(poll, f"g{i}", interval_ms=None), at(poll) + i * 100)
    run(bench, at(4) + STALE)
    assert missing(bench) == []
    run(bench, at(4) + STALE + 3000)
    assert missing(bench) == ["consumer-lag"]


def test_several_brokers_silent_together_are_one_source(bench: Bench) -> None:
    for i in range(4):
        bench.feed(scrape(0, sample("cpu_ratio", 0.1), of=str(i)))
    for poll in range(1, 9):
        bench.feed(lag(poll))
        bench.feed(scrape(poll, sample("cpu_ratio", 0.1), of="0"))
        run(bench, at(poll) + 900)
    assert missing(bench) == ["broker-metrics/broker"]
    s = bench.symptom(entity("source", "broker-metrics/broker"), KIND)
    assert s.detail["sources"] == [f"broker-metrics/broker/{i}" for i in (1, 2, 3)]
    for poll in range(9, 12):
        for i in (0, 1, 2):
            bench.feed(scrape(poll, sample("cpu_ratio", 0.1), of=str(i)))
        bench.feed(lag(poll))
        run(bench, at(poll) + 900)
    assert missing(bench) == ["broker-metrics/broker/3"]


def test_all_sources_of_a_cluster_silent_are_one_source(bench: Bench) -> None:
    bench.feed(lag(0))
    bench.feed(topology(0, (1,)))
    bench.feed(scrape(0, sample("cpu_ratio", 0.1)))
    bench.feed(status(0, task(0)))
    run(bench, at(0) + STALE + 5000)
    assert missing(bench) == ["collection"]
    bench.feed(lag(9))
    assert missing(bench) == ["broker-metrics/broker/1", "connector-status/ca", "topology"]


def test_scraped_processes_of_every_kind_silent_are_one_source_while_others_are_heard(bench: Bench) -> None:
    bench.feed(lag(0))
    bench.feed(scrape(0, sample("cpu_ratio", 0.1)))
    bench.feed(scrape(0, sample("cpu_ratio", 0.1), of="2"))
    bench.feed(scrape(0, sample("cpu_ratio", 0.1), of="w1", kind="connect-worker"))
    for poll in range(1, 6):
        bench.feed(lag(poll))
        if poll < 2:
            bench.feed(scrape(poll, sample("cpu_ratio", 0.1), of="w1", kind="connect-worker"))
        run(bench, at(poll) + 900)
    assert missing(bench) == ["broker-metrics"]
    bench.feed(scrape(6, sample("cpu_ratio", 0.1), of="w1", kind="connect-worker"))
    assert missing(bench) == ["broker-metrics/broker"]


def test_a_broker_known_to_be_down_is_not_missing_telemetry(bench: Bench) -> None:
    bench.feed(scrape(0, sample("cpu_ratio", 0.1)))
    for poll in range(12):
        bench.feed(topology(poll, (BrokerInfo(id=1, state="fenced" if poll else "alive"), 2), part(0, 2, (1, 2), (2,))))
        run(bench, at(poll) + 900)
    assert missing(bench) == []
    assert bench.status(broker(1), "broker-gone") is Status.ACTIVE
    assert bench.status(entity("source", "broker-metrics/broker/1"), KIND) is Status.UNOBSERVED


def test_who_was_never_heard_is_not_missed(bench: Bench) -> None:
    bench.feed(topology(0, (), up=False, error="refused"))
    run(bench, at(40))
    assert missing(bench) == []


def test_a_source_silent_for_a_week_is_forgotten(bench: Bench) -> None:
    bench.feed(lag(0))
    run(bench, at(0) + 120_000)
    assert missing(bench) == ["consumer-lag"]
    bench.tick(at(0) + 8 * 86_400_000)
    bench.tick(at(0) + 8 * 86_400_000 + 100_000)
    assert missing(bench) == []
    assert not [k for k in bench.stored() if "tele" in k[1] or "sym" in k[1]]


def test_of_a_source_whose_polls_get_lost_more_have_to_be_missed(bench: Bench) -> None:
    lost = (3, 7, 8, 13, 17, 22, 25, 26, 31, 35)
    for poll in range(40):
        bench.feed(lag(poll))
        if poll not in lost:
            bench.feed(topology(poll, ()))
        run(bench, at(poll) + 900)
    assert missing(bench) == []
    for poll in range(40, 48):
        bench.feed(lag(poll))
        run(bench, at(poll) + 900)
        if poll == 43:
            assert missing(bench) == [], "a quarter gets lost: four in a row are nothing"
    assert missing(bench) == ["topology"]


@pytest.mark.parametrize(("lossy", "missed"), [(True, []), (False, ["broker-metrics/broker/9"])])
def test_of_a_new_source_what_all_lose_is_expected(bench: Bench, lossy: bool, missed: list[str]) -> None:
    """Every source of a cluster loses a fourth of its polls on the way: that the new one loses four in a row is by chance."""
    for poll in range(44):
        for n in range(1, 4):
            if not (lossy and (poll + n) % 4 == 0):
                bench.feed(scrape(poll, sample("bytes_in_rate", 1.0), of=str(n)))
        if 36 <= poll < 40:
            bench.feed(scrape(poll, sample("bytes_in_rate", 1.0), of="9"))
        run(bench, at(poll) + 900)
    assert missing(bench) == missed
    for poll in range(44, 50):
        for n in range(1, 4):
            bench.feed(scrape(poll, sample("bytes_in_rate", 1.0), of=str(n)))
        run(bench, at(poll) + 900)
    assert missing(bench) == ["broker-metrics/broker/9"]


def test_an_outage_makes_no_source_a_lossy_one(bench: Bench) -> None:
    for poll in range(80):
        bench.feed(lag(poll))
        if not 30 <= poll < 60 and poll < 70:
            bench.feed(topology(poll, ()))
        run(bench, at(poll) + 900)
    assert missing(bench) == ["topology"]
    assert bench.symptom(entity("source", "topology"), KIND).since_ms == at(69)
