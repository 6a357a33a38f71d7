"""Denials, rule A2."""

from __future__ import annotations

from typing import Any

import pytest

from kroute.contracts.inputs import Access
from kroute.signals.model import Status
from tests.unit.signals.windowsbench import STEP, Bench, C, at, entity

EVE = entity("principal", "User:eve")
KIND = "access-denied"


@pytest.fixture
def bench() -> Bench:
    return Bench()


def access(poll: int, count: int = 0, **more: Any) -> Access:
    row = {"principal": "User:eve", "resource": "Topic:pay", "operation": "Read", "host": "h", "count": count}
    more.setdefault("denials", (row,) if count else ())
    return Access(cluster=C, observed_at_ms=at(poll), interval_ms=STEP, **more)


def test_a2_a_few_denials_count_at_the_second_poll(bench: Bench) -> None:
    bench.feed(access(0, 1))
    assert bench.status(EVE, KIND) is Status.HEALTHY
    bench.feed(access(1, 2))
    s = bench.symptom(EVE, KIND)
    assert (s.since_ms, s.value, s.why) == (at(0), 2.0, "2 denied requests on Read Topic:pay")


def test_a2_many_denials_count_at_once(bench: Bench) -> None:
    bench.feed(access(0, 5))
    assert bench.status(EVE, KIND) is Status.ACTIVE


def test_a2_clears_after_three_polls_without(bench: Bench) -> None:
    bench.feed(access(0, 5))
    bench.feed(access(1))
    bench.feed(access(2))
    assert bench.status(EVE, KIND) is Status.ACTIVE
    bench.feed(access(3))
    assert KIND not in bench.board.of(EVE)


def test_a2_one_stray_denial_now_and_then_is_none(bench: Bench) -> None:
    for poll in range(20):
        bench.feed(access(poll, 1 if poll % 5 == 0 else 0))
        assert KIND not in bench.board.of(EVE)


def test_a_failed_poll_ends_nothing(bench: Bench) -> None:
    bench.feed(access(0, 5))
    for poll in range(1, 9):
        bench.feed(access(poll, up=False))
    assert bench.status(EVE, KIND) is Status.ACTIVE
    assert bench.board.is_stale(bench.symptom(EVE, KIND), bench.now)


def test_late_and_repeated_polls_are_ignored(bench: Bench) -> None:
    bench.feed(access(1, 1))
    bench.feed(access(1, 1))
    bench.feed(access(0, 50))
    assert bench.status(EVE, KIND) is Status.HEALTHY


def test_rows_that_name_nobody_are_left_out(bench: Bench) -> None:
    bench.feed(
        access(0, denials=({"resource": "x", "count": 9}, {"principal": 7, "count": 9}, {"principal": "p", "count": "many"}))
    )
    assert not bench.board.active
