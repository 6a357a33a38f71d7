"""Rule L20's question: is it improbable that nothing came for so long?"""

from __future__ import annotations

import math
import random

import pytest

from kroute.signals.lag.topic import DAY_MS
from kroute.signals.silence import NEVER, log_chance
from tests.unit.signals.lagbench import THE_TOPIC, Bench, Stated, poll


def steady(rate: float, steps: int = 40, took: float = 15.0) -> list[tuple[float, float]]:
    return [(took, rate * took)] * steps


def test_a_rate_that_is_known_well_makes_fourteen_missing_records_a_stop() -> None:
    assert log_chance(steady(100.0), 0.13) > NEVER > log_chance(steady(100.0), 0.15)
    assert log_chance(steady(0.4), 30) > NEVER > log_chance(steady(0.4), 45)


def test_a_rate_known_from_few_records_needs_a_longer_silence() -> None:
    few = [(15.0, 0.0)] * 20 + [(15.0, 1.0)] * 5
    assert log_chance(few, 14 / (1 / 15)) > NEVER


def test_a_rate_that_fades_goes_on_fading() -> None:
    fading = [(15.0, 6.0 * math.exp(-i / 20)) for i in range(80)]
    assert log_chance(fading, 3600) > NEVER
    busy = [(15.0, 6000.0 * math.exp(-i / 20)) for i in range(80)]
    assert log_chance(busy, 15) < NEVER


def test_nothing_is_known_without_records() -> None:
    assert log_chance([], 1e9) == log_chance([(15.0, 0.0)] * 9, 1e9) == 0.0


def watch(rate_at: object, polls: int, seed: int, b: Bench | None = None, from_s: float = 0.0) -> Bench:
    """A topic of one partition, polled each 15 s, whose records come one by one at a rate of time (s)."""
    rnd, end = random.Random(seed), 1000
    b = b or Bench()
    for k in range(polls):
        rate = rate_at(from_s + 15.0 * k)  # type: ignore[operator]
        end += sum(rnd.random() < rate * 15 / 400 for _ in range(400)) if rate else 0
        b.feed(poll(from_s + 15 * k, [end], [end], interval_s=15))
    return b


def stops(b: Bench) -> list[int]:
    return [i for i, r in enumerate(b.reports) if r[1] == THE_TOPIC and any(s.kind == "produce-stopped" for s in r[5])]


@pytest.mark.parametrize("seed", range(8))
def test_l20_a_rate_that_fades_by_the_day_is_no_stop(seed: int) -> None:
    b = watch(lambda s: 0.4 if s < 1200 else 0.4 * max(0.02, math.exp(-(s - 1200) / 270)), 250, seed)
    assert stops(b) == []


@pytest.mark.parametrize("seed", range(8))
def test_l20_a_thin_topic_that_rests_by_chance_is_no_stop(seed: int) -> None:
    assert stops(watch(lambda s: 0.02, 400, seed)) == []


@pytest.mark.parametrize(("rate", "polls"), [(20.0, 3), (0.4, 5)])
def test_l20_a_stop_is_found_within_few_polls(rate: float, polls: int) -> None:
    b = watch(lambda s: rate if s < 1200 else 0.0, 100, 1)
    found = b.symptom("produce-stopped", THE_TOPIC)
    first = next(r for r in b.reports if r[1] == THE_TOPIC and any(s.kind == "produce-stopped" for s in r[5]))
    assert first[2] - found.since_ms <= (polls + 1) * 15_000


def test_l20_a_topic_whose_row_states_its_period_may_be_silent_for_so_long() -> None:
    class Rare(Stated):
        def topic_period_s(self, cluster: str, topic: str) -> float | None:
            return 600.0

    quiet = watch(lambda s: 20.0 if s < 1200 else 0.0, 100, 1, Bench(Rare()))
    assert quiet.active(THE_TOPIC) == ()
    quiet = watch(lambda s: 20.0 if s < 1200 else 0.0, 140, 1, Bench(Rare()))
    assert quiet.active(THE_TOPIC) == ("produce-stopped",)


def test_l20_an_hour_that_was_silent_on_two_earlier_days_is_a_habit() -> None:
    b, end, told = Bench(), 1000, []
    day = DAY_MS // 1000  # twenty of them: the habit outlives what taught it
    for s in range(0, 20 * day, 300):
        end += 0 if s % day < 7200 else 5000
        b.feed(poll(s, [end], [end], interval_s=300))
        if b.active(THE_TOPIC):
            told.append(s // day)
    assert sorted(set(told)) == [1, 2]
    assert b.restored().lag._topics[THE_TOPIC].head.rests == b.lag._topics[THE_TOPIC].head.rests
    for s in range(20 * day, 20 * day + 4 * 7200, 300):  # but twice as long as ever is none
        b.feed(poll(s, [end], [end], interval_s=300))
    assert b.active(THE_TOPIC) == ("produce-stopped",)
