"""What one source may say, who is thinned where something must wait, and who never is."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kroute.contracts.common import Entity
from kroute.contracts.facts import Flood
from kroute.stream.budget import (
    DEPTH_S,
    MAX_ENTITIES,
    MAX_MARKS,
    PACE_MS,
    RECORD_BYTES,
    URGENT_PACE_MS,
    Budget,
    Note,
    Poll,
    Pressure,
    mark,
    read_note,
    write_note,
)

RATE = 100_000
"""Bytes a second of the budgets here."""
T0 = 1_800_000_000_000


def poll(group: str, at: int, cluster: str = "c", part: int = 0, interval: int = 0) -> Poll:
    return Poll(cluster, "consumer-lag", Entity("group", cluster, group), at, interval, part)


def send(budget: Budget, group: str, at: int, size: int = 5_000, *, behind: bool = False, **more: object) -> int | None:
    return budget.admit(poll(group, at, **more), size, at, "d", behind=behind)  # type: ignore[arg-type]


def flood(budget: Budget, group: str, until: int, since: int = T0, every: int = 10) -> list[int]:
    """Times of the polls that got through, of one each 10 ms."""
    return [at for at in range(since, until, every) if send(budget, group, at) is not None]


def told(budget: Budget, at: int) -> list[tuple[str, Flood]]:
    return list(budget.floods(at))


def test_a_source_within_its_budget_is_never_touched_however_uneven_it_comes() -> None:
    budget = Budget(RATE)
    per_minute = RATE * 60 // (5_000 + RECORD_BYTES) - 60  # not quite all of it
    for minute in range(10):  # all of a minute at once
        at = T0 + minute * 60_000
        assert [send(budget, f"g{i % 50}", at + i) for i in range(per_minute)] == [0] * per_minute
    assert told(budget, T0 + 600_000) == []


def test_a_source_that_floods_is_thinned_to_the_planned_pace_and_told() -> None:
    budget = Budget(RATE)
    kept = flood(budget, "g", T0 + 300_000)
    thinned = [at for at in kept if at > T0 + DEPTH_S * 1000]
    assert [b - a for a, b in pairwise(thinned)] == [PACE_MS] * (len(thinned) - 1)
    assert len(thinned) >= 7
    ((domain, f),) = told(budget, T0 + 300_000)
    assert (domain, f.cluster, f.source, f.over, f.budget) == ("d", "c", "consumer-lag", True, RATE)
    assert f.left_out == 30_000 - len(kept)
    assert f.records_s > 90


def test_what_gets_through_says_how_often_it_comes() -> None:
    budget = Budget(RATE)
    flood(budget, "g", T0 + 120_000)
    assert send(budget, "g", T0 + 160_000, interval=1000) == PACE_MS
    assert send(budget, "g", T0 + 195_000, interval=60_000) == 60_000


def test_a_flood_of_one_source_costs_no_other_source() -> None:
    budget = Budget(RATE)
    for at in range(T0, T0 + 300_000, 10):
        send(budget, "g", at)
        if at % 3000 == 0:
            assert send(budget, "other", at, cluster="calm") == 0
    assert [f.cluster for _, f in told(budget, T0 + 300_000)] == ["c"]


def test_a_flood_that_ends_is_told_once_and_the_source_is_whole_again() -> None:
    budget = Budget(RATE)
    flood(budget, "g", T0 + 120_000)
    assert [f.over for _, f in told(budget, T0 + 120_000)] == [True]
    assert [f.over for _, f in told(budget, T0 + 125_000)] == [], "each ten seconds, not each second"
    ends = [f.over for s in range(130, 300) for _, f in told(budget, T0 + s * 1000)]
    assert ends == [True] * (len(ends) - 1) + [False]
    assert 2 < len(ends) < 12
    assert [send(budget, "g", T0 + 400_000 + i) for i in range(5)] == [0] * 5


def test_parts_of_one_poll_stay_together() -> None:
    budget = Budget(RATE)
    flood(budget, "g", T0 + 120_000)
    at = T0 + 200_000
    assert budget.admit(poll("g", at, part=0), 5_000, at, "d", behind=False) is not None
    assert budget.admit(poll("g", at, part=1), 5_000, at + 900, "d", behind=False) is not None
    assert budget.admit(poll("g", at, part=1), 5_000, at + 950, "d", behind=False) is None, "the same part again"
    assert budget.admit(poll("g", at + 1000, part=0), 5_000, at + 1000, "d", behind=False) is None


def test_the_same_poll_sent_again_and_again_is_contained_too() -> None:
    budget = Budget(RATE)
    kept = [budget.admit(poll("g", T0), 5_000, at, "d", behind=False) for at in range(T0, T0 + 120_000, 10)]
    assert len([k for k in kept[6_000:] if k is not None]) <= 3


def test_ever_new_entities_are_a_flood_and_memory_stays_bounded() -> None:
    budget = Budget(RATE)
    taken = sum(send(budget, f"g{i}", T0 + i * 2, 200) is not None for i in range(150_000))
    assert [f.over for _, f in told(budget, T0 + 300_000)] == [True]
    assert taken < 7_000
    assert budget.entities == taken


def test_more_entities_than_a_source_may_have_are_not_taken_even_slowly() -> None:
    budget = Budget(10_000_000)
    taken = sum(send(budget, f"g{i}", T0 + i * 30, 200) is not None for i in range(MAX_ENTITIES + 5_000))
    assert budget.entities == taken == MAX_ENTITIES
    assert [f.over for _, f in told(budget, T0 + 1_650_000)] == [True]
    assert send(budget, "g0", T0 + 1_700_000, 200) is not None, "who is known is heard"


def test_entities_that_are_gone_are_forgotten() -> None:
    budget = Budget(RATE)
    for i in range(500):
        send(budget, f"g{i}", T0 + i)
    told(budget, T0 + 1_000)
    assert budget.entities == 500
    told(budget, T0 + 2 * 3_600_000)
    assert budget.entities == 0


def test_where_facts_are_behind_what_an_objective_hangs_on_is_kept_whole_and_the_rest_is_thinned() -> None:
    budget = Budget(10 * RATE)
    budget.urgent = frozenset({mark(Entity("group", "c", "breached"))})
    kept: dict[str, int] = {"breached": 0, "fine": 0}
    for at in range(T0, T0 + 300_000, 3_000):
        for group in kept:
            kept[group] += send(budget, group, at, behind=True) is not None
    assert kept == {"breached": 100, "fine": 10}
    assert told(budget, T0 + 300_000) == [], "nobody floods"


def test_where_nothing_must_wait_nothing_is_thinned() -> None:
    budget = Budget(10 * RATE)
    assert all(send(budget, "fine", at) == 0 for at in range(T0, T0 + 300_000, 3_000))


def test_in_a_flood_too_what_an_objective_hangs_on_is_heard_more_often() -> None:
    budget = Budget(RATE)
    flood(budget, "g", T0 + 120_000)
    budget.urgent = frozenset({mark(Entity("group", "c", "g"))})
    kept = flood(budget, "g", T0 + 240_000, since=T0 + 180_000)
    assert {b - a for a, b in pairwise(kept)} == {URGENT_PACE_MS}


@given(
    st.integers(1, 60_000),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20_000)), min_size=1, max_size=300),
    st.booleans(),
)
def test_an_entity_that_is_known_is_heard_at_least_at_the_planned_pace(
    start: int, polls: list[tuple[int, int]], behind: bool
) -> None:
    """Whatever floods or waits: between two polls that were heard lies no poll that is more than the pace after the first."""
    budget = Budget(1)
    at = T0 + start
    heard: dict[str, int] = {}
    for g, pause in polls:
        at += pause
        group = f"g{g}"
        if send(budget, group, at, behind=behind) is not None:
            heard[group] = at
        elif group in heard:
            assert at - heard[group] < PACE_MS


def test_a_note_holds_what_it_says_and_fits_beside_an_offset() -> None:
    entities = [Entity("group", "c", f"g{i}") for i in range(5_000)]
    text = write_note(T0, entities)
    assert len(text) <= 4096
    note = read_note(text)
    assert note == Note(T0, tuple(mark(e) for e in entities[:MAX_MARKS]))
    assert read_note("") is None
    assert read_note("by another client") is None


def test_facts_are_behind_from_a_minute_until_they_have_caught_up() -> None:
    pressure = Pressure()
    urgent = mark(Entity("group", "c", "g"))
    seen = []
    for lag_s in (10, 59, 61, 30, 16, 14, 30):
        assert pressure.see({0: Note(T0 - lag_s * 1000, (urgent,)), 1: Note(T0)}, T0) == {urgent}
        seen.append(pressure.behind == {0})
    assert seen == [False, False, True, True, True, False, False]
