"""The board: three states of knowledge, and silence that is never health."""

from __future__ import annotations

from typing import Any

import pytest

from kroute.contracts.common import Entity
from kroute.signals.board import Board
from kroute.signals.model import Rows, Status, Symptom
from kroute.signals.table import CONNECT, LAG, METRICS, TOPOLOGY

B = Entity("broker", "c|1", "3")
G = Entity("group", "c|1", "g")
J = frozenset({"cpu-high", "heap-high"})
EVERY = 30_000


def bad(kind: str, entity: Entity = B, since: int = 100, **detail: Any) -> Symptom:
    return Symptom(kind=kind, entity=entity, since_ms=since, last_ms=since, detail=detail)


@pytest.fixture
def board() -> Board:
    return Board(Rows("d"))


def reloaded(board: Board) -> Board:
    other = Board(Rows("d"))
    for value in board._rows.changed.values():
        if value is not None:
            other.load(value)
    return other


def test_what_nobody_reported_is_not_observed(board: Board) -> None:
    assert board.status(B, "cpu-high", 0) is Status.UNOBSERVED


def test_a_judged_kind_is_healthy_or_active_and_others_are_not_observed(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J, [bad("cpu-high")])
    assert board.status(B, "cpu-high", 100) is Status.ACTIVE
    assert board.status(B, "heap-high", 100) is Status.HEALTHY
    assert board.status(B, "gc-long", 100) is Status.UNOBSERVED


def test_health_goes_stale_after_three_polls_and_a_grace(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J)
    assert board.status(B, "cpu-high", 100 + 3 * EVERY + 5000) is Status.HEALTHY
    assert board.status(B, "cpu-high", 101 + 3 * EVERY + 5000) is Status.UNOBSERVED


def test_a_symptom_never_ends_by_silence_but_is_known_to_be_stale(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J, [bad("cpu-high")])
    s = board.of(B)["cpu-high"]
    assert not board.is_stale(s, 200)
    assert board.is_stale(s, 10**9)
    assert board.status(B, "cpu-high", 10**9) is Status.ACTIVE


def test_a_symptom_that_is_no_longer_judged_stays_until_it_is_judged_healthy(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J, [bad("cpu-high")])
    board.report(METRICS, B, 200, EVERY, frozenset({"heap-high"}))
    assert board.status(B, "cpu-high", 200) is Status.ACTIVE
    board.report(METRICS, B, 300, EVERY, J)
    assert board.status(B, "cpu-high", 300) is Status.HEALTHY


def test_reporters_do_not_overwrite_each_other(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J, [bad("cpu-high")])
    board.report(TOPOLOGY, B, 100, EVERY, frozenset({"broker-gone"}), [bad("broker-gone")])
    board.report(TOPOLOGY, B, 200, EVERY, frozenset({"broker-gone"}))
    assert sorted(board.of(B)) == ["cpu-high"]
    assert board.status(B, "heap-high", 100) is Status.HEALTHY


def test_a_symptom_keeps_its_earliest_start(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J, [bad("cpu-high", since=100)])
    board.report(METRICS, B, 200, EVERY, J, [bad("cpu-high", since=200)])
    assert board.of(B)["cpu-high"].since_ms == 100
    board.report(METRICS, B, 300, EVERY, J, [bad("cpu-high", since=50)])
    assert board.of(B)["cpu-high"].since_ms == 50


def test_changed_tells_what_began_was_revised_or_ended_and_nothing_else(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J, [bad("cpu-high", topics=("a",))])
    assert board.take_changed() == [(B, "cpu-high")]
    board.report(METRICS, B, 200, EVERY, J, [bad("cpu-high", since=200, topics=("a",))])
    assert board.take_changed() == []
    board.report(METRICS, B, 300, EVERY, J, [bad("cpu-high", since=300, topics=("b",))])
    assert board.take_changed() == [(B, "cpu-high")]
    board.report(METRICS, B, 400, EVERY, J)
    assert board.take_changed() == [(B, "cpu-high")]


def test_active_symptoms_may_come_from_any_iterable(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J, (bad(k) for k in ("heap-high", "cpu-high")))
    assert [s.kind for s in board.evidence()] == ["cpu-high", "heap-high"]
    board.report(METRICS, B, 200, EVERY, J, iter(()))
    assert not board.active


def test_impact_is_never_evidence(board: Board) -> None:
    board.report(LAG, G, 100, EVERY, frozenset({"objective-breached"}), [bad("objective-breached", G)])
    assert list(board.evidence()) == []
    assert board.status(G, "objective-breached", 100) is Status.ACTIVE


def test_a_forgotten_entity_leaves_nothing_behind(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J, [bad("cpu-high"), bad("heap-high")])
    board.report(TOPOLOGY, B, 100, EVERY, frozenset({"broker-gone"}))
    board.take_changed()
    board.forget(B)
    assert board.take_changed() == [(B, "cpu-high"), (B, "heap-high")]
    assert board.status(B, "broker-gone", 100) is Status.UNOBSERVED
    assert board._rows.changed == {("entities", "d|sym|broker|c%7C1|3"): None}


def test_forgetting_the_unknown_writes_nothing(board: Board) -> None:
    board.forget(B)
    assert board._rows.changed == {}


def test_a_retired_reporter_takes_only_its_own_with_it(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J, [bad("cpu-high")])
    board.report(TOPOLOGY, B, 100, EVERY, frozenset({"broker-gone"}), [bad("broker-gone")])
    board.retire(METRICS, B)
    assert sorted(board.of(B)) == ["broker-gone"]
    assert board.status(B, "heap-high", 100) is Status.UNOBSERVED
    assert sorted(reloaded(board).of(B)) == ["broker-gone"]


def test_a_healthy_entity_writes_a_row_once_and_not_with_every_poll(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J)
    assert len(board._rows.changed) == 1
    board._rows.changed.clear()
    board.report(METRICS, B, 200, EVERY, J)
    assert board._rows.changed == {}
    board.report(METRICS, B, 300, EVERY, frozenset({"cpu-high"}))
    assert len(board._rows.changed) == 1


def test_a_reload_with_the_time_of_the_last_report_answers_as_before(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, J, [bad("cpu-high", limit=0.5, topics=("a", "b"))])
    board.report(METRICS, B, 50_000, EVERY, J, [bad("cpu-high", limit=0.5, topics=("a", "b"))])
    board.report(CONNECT, Entity("connector", "c|1", "x/y|z"), 10, EVERY, frozenset({"task-failed"}))
    board.report(METRICS, B, 90_000, EVERY, J, [bad("cpu-high", limit=0.5, topics=("a", "b"))])
    other = reloaded(board)
    other.refresh(METRICS, B, 90_000)
    for kind in ("cpu-high", "heap-high", "gc-long"):
        for now in (90_000, 10**6):
            assert other.status(B, kind, now) is board.status(B, kind, now)
    assert other.active == board.active
    assert other.last_report(B, "cpu-high") == board.last_report(B, "cpu-high")
    assert other.take_changed() == []
    other.report(METRICS, B, 91_000, EVERY, J, [bad("cpu-high", limit=0.5, topics=("a", "b"))])
    assert other.take_changed() == []


def test_a_report_that_can_judge_nothing_does_not_move_its_time(board: Board) -> None:
    board.report(METRICS, B, 100, EVERY, frozenset())
    board.report(METRICS, B, 200, EVERY, frozenset())
    assert board.last_report(B, "cpu-high") == reloaded(board).last_report(B, "cpu-high")
