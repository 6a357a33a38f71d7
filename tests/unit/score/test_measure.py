"""Every measure of one recording, where its value is known."""

from __future__ import annotations

import pytest
from msgspec import structs

from kroute.score.truth import Benign
from tests.unit.score.world import T0, alert, fault, measured, ms, owners, resolved, route, truth

SLOW = ("slow-consumer", "group/g", 0.9)
STOPPED = ("stopped-consumer", "group/g", 0.8)
LAG = ("group/g", "lag-growing", 610)
F = fault("slow-consumer", "group/g")


def test_a_right_answer_is_right_in_everything() -> None:
    m = measured(truth(F), alert("i1", 660, SLOW, symptoms=(LAG,)), resolved("i1", 1300, SLOW))
    (f,) = m.faults
    assert f.first is not None
    assert f.settled is not None
    for a in (f.first, f.settled):
        assert (a.cause_right, a.cause_in_3, a.root_right, a.diagnosis, a.action, a.impact) == (
            True,
            True,
            True,
            True,
            True,
            None,
        )
    assert (f.incidents, f.standing, f.swallowed) == (1, 1, False)
    assert (f.right_route_ms, f.first_symptom_ms) == (60_000, 10_000)
    assert (f.page, f.pages, f.first_page_to_action) == (None, 0, False)
    assert m.settled_answers == ((0.9, True),)
    assert m.false == ()


def test_a_wrong_cause_with_the_right_one_among_its_alternatives() -> None:
    others = (("poison-record", "group/g", 0.1), ("slow-consumer", "group/g", 0.05), ("bad-deployment", "group/g", 0.01))
    m = measured(truth(F), alert("i1", 660, STOPPED, *others, symptoms=(LAG,)))
    a = m.faults[0].settled
    assert a is not None
    assert (a.cause_right, a.cause_in_3, a.root_right, a.right) == (False, True, True, False)
    assert m.settled_answers == ((0.8, False),)


def test_the_fourth_candidate_is_not_among_the_top_three() -> None:
    others = (("poison-record", "group/g", 0.1), ("bad-deployment", "group/g", 0.05), ("slow-consumer", "group/g", 0.01))
    a = measured(truth(F), alert("i1", 660, STOPPED, *others, symptoms=(LAG,))).faults[0].settled
    assert a is not None
    assert not a.cause_in_3


def test_the_first_answer_and_the_settled_one_are_judged_apart() -> None:
    wrong = ("broker-saturation", "broker/2", 0.6)
    m = measured(
        truth(F),
        alert("i1", 660, wrong, routes=owners(action="ops"), symptoms=(LAG,)),
        alert("i1", 720, SLOW, symptoms=(LAG,)),
        alert("i1", 1250, wrong, routes=owners(action="ops"), symptoms=(LAG,), recovering=True),
    )  # fmt: skip
    (f,) = m.faults
    assert f.first is not None
    assert f.settled is not None
    assert (f.first.cause_right, f.first.root_right, f.first.action) == (False, False, False)
    assert (f.settled.cause_right, f.settled.root_right, f.settled.action) == (True, True, True)
    assert f.right_route_ms == 120_000


def test_the_first_page_is_the_first_record_that_pages() -> None:
    m = measured(
        truth(F),
        alert("i1", 660, SLOW, routes=owners(action="ops"), symptoms=(LAG,)),
        alert("i1", 700, SLOW, routes=owners(page=True), symptoms=(LAG,)),
    )
    (f,) = m.faults
    assert f.page is not None
    assert (f.page.ts_ms, f.page.action) == (ms(700), True)
    assert (f.first_page_to_action, f.pages, f.pages_to_action) == (True, 1, 1)


def test_a_page_to_somebody_else_first_is_no_right_first_page() -> None:
    m = measured(
        truth(F),
        alert("i1", 660, SLOW, routes=[route("action", "ops", "page")], symptoms=(LAG,)),
        alert("i1", 700, SLOW, routes=[route("action", "ops", "page", "close"), route("action", "act", "page")], symptoms=(LAG,)),
    )
    (f,) = m.faults
    assert (f.first_page_to_action, f.pages, f.pages_to_action) == (False, 2, 1)
    assert f.settled is not None
    assert f.settled.named["action"] == ("act",)  # who is closed is no longer told


def test_roles_that_share_a_destination_are_both_told() -> None:
    shared = [route("diagnosis", "act", "page", "none"), route("action", "act", "page")]
    (f,) = measured(
        truth(fault("slow-consumer", "group/g", diagnosis="act")), alert("i1", 660, SLOW, routes=shared, symptoms=(LAG,))
    ).faults
    assert f.first is not None
    assert (f.first.diagnosis, f.first.action, f.pages) == (True, True, 1)


def test_what_is_suppressed_tells_nobody() -> None:
    said = alert("i1", 660, SLOW, routes=owners(page=True), symptoms=(LAG,), suppressed=True)
    (f,) = measured(truth(F), said).faults
    assert f.first is not None
    assert (f.first.cause_right, f.first.action, f.right_route_ms, f.pages) == (True, False, None, 0)


@pytest.mark.parametrize(("told", "right"), [(("a", "b"), True), (("a",), False), (("a", "b", "c"), False)])
def test_the_impact_owners_are_all_of_them_and_only_them(told: tuple[str, ...], right: bool) -> None:
    t = truth(fault("slow-consumer", "group/g", impact=("a", "b")))
    a = measured(t, alert("i1", 660, SLOW, routes=owners(impact=told), symptoms=(LAG,))).faults[0].settled
    assert a is not None
    assert a.impact is right


def test_a_split_fault_has_two_incidents_standing() -> None:
    m = measured(
        truth(fault("broker-down", "broker/2", affected=("group/g",))),
        alert("i1", 630, ("broker-down", "broker/2", 0.9), symptoms=(("broker/2", "broker-gone", 610),)),
        alert("i2", 640, SLOW, symptoms=(LAG,)),
    )
    (f,) = m.faults
    assert (f.incidents, f.standing) == (2, 2)
    assert m.grouping.together_true == 1  # both symptoms are the fault's
    assert (m.grouping.together_said, m.grouping.pair_f1) == (0, 0.0)
    assert m.settled_answers == ((0.9, True), (0.9, False))


def test_an_incident_that_was_merged_away_does_not_stand() -> None:
    m = measured(
        truth(fault("broker-down", "broker/2", affected=("group/g",))),
        alert("i1", 630, ("broker-down", "broker/2", 0.9), symptoms=(("broker/2", "broker-gone", 610),)),
        alert("i2", 640, SLOW, symptoms=(LAG,)),
        alert("i2", 700, SLOW, status="superseded", routes=[], superseded_by="i1"),
    )
    (f,) = m.faults
    assert (f.incidents, f.standing) == (2, 1)
    assert m.grouping.pair_f1 == 1.0
    assert m.settled_answers == ((0.9, True),)
    assert m.first_answers == ((0.9, True), (0.9, False))


def test_two_faults_in_one_incident_are_a_merge() -> None:
    other = fault("system-down", "system/es", 620, action="es", affected=("connector/k/a",))
    said = alert("i1", 660, SLOW, symptoms=(LAG, ("group/g", "commits-slow", 640), ("connector/k/a", "task-failed", 630)))
    m = measured(truth(F, other), said)
    a, b = m.faults
    assert (a.incidents, a.swallowed) == (1, False)
    assert (b.incidents, b.swallowed, b.settled) == (0, True, None)
    assert [(p.apart, p.found) for p in m.pairs] == [(False, False)]
    assert (m.grouping.together_both, m.grouping.together_said, m.grouping.together_true) == (1, 3, 1)


def test_two_faults_at_once_are_both_found_when_each_has_its_cause() -> None:
    other = fault("system-down", "system/es", 620, action="es", affected=("connector/k/a",))
    right = ("system-down", "system/es", 0.9)
    said = alert("i1", 660, SLOW, symptoms=(LAG,))
    failed = (("connector/k/a", "task-failed", 630),)
    m = measured(truth(F, other), said, alert("i2", 670, right, symptoms=failed))
    assert [(p.apart, p.found) for p in m.pairs] == [(True, True)]
    m = measured(truth(F, other), said, alert("i2", 670, ("sink-failed", "connector/k/a", 0.9), symptoms=failed))
    assert [(p.apart, p.found) for p in m.pairs] == [(True, False)]


def test_faults_one_after_the_other_are_no_pair() -> None:
    assert measured(truth(F, fault("system-down", "system/es", 1300, 1500))).pairs == ()


def test_a_fault_of_which_nothing_is_said_is_missed() -> None:
    m = measured(truth(F))
    (f,) = m.faults
    assert (f.incidents, f.first, f.settled, f.right_route_ms, f.swallowed) == (0, None, None, None, False)
    assert m.settled_answers == ()


def test_a_page_on_a_benign_recording_is_false() -> None:
    deploy = Benign(what="deploy", from_ms=ms(600), to_ms=ms(900))
    m = measured(truth(benign=(deploy,)), alert("i1", 660, SLOW, routes=owners(page=True), symptoms=(LAG,)))
    (i,) = m.false
    assert (i.cause, i.root, i.pages, i.teams, i.during) == ("slow-consumer", "group/g", 1, ("act",), ("deploy",))
    assert m.settled_answers == ((0.9, False),)


@pytest.mark.parametrize("ends_as_usual", [False, True])
def test_what_was_declared_is_no_false_incident_as_long_as_nobody_is_told_otherwise(ends_as_usual: bool) -> None:
    meant = [structs.replace(r, reason="declared-change") for r in owners()]
    m = measured(
        truth(),
        alert("i1", 660, SLOW, suppressed=True, symptoms=(LAG,)),
        alert("i1", 720, SLOW, routes=owners() if ends_as_usual else meant, symptoms=(LAG,)),
        resolved("i1", 900, SLOW),
    )
    assert len(m.false) == ends_as_usual
    assert len(m.settled_answers) == ends_as_usual


def test_an_incident_elsewhere_at_the_same_time_is_false() -> None:
    m = measured(truth(F), alert("i1", 660, ("slow-consumer", "group/h", 0.7), symptoms=(("group/h", "lag-growing", 640),)))
    assert len(m.false) == 1
    assert m.faults[0].incidents == 0


@pytest.mark.parametrize(("opened", "mine"), [(1700, 1), (1900, 0)])
def test_an_incident_belongs_to_a_fault_up_to_ten_minutes_after_it(opened: float, mine: int) -> None:
    m = measured(truth(F), alert("i1", opened, SLOW, symptoms=(("group/g", "lag-growing", opened - 20),)))
    assert m.faults[0].incidents == mine
    assert len(m.false) == 1 - mine


def test_a_page_before_the_onset_is_early_and_right_about_nothing() -> None:
    m = measured(
        truth(F),
        alert("i1", 300, SLOW, routes=owners(page=True), symptoms=(("group/g", "lag-growing", 290),)),
        alert("i1", 700, SLOW, routes=owners(), symptoms=(LAG,)),
    )
    (f,) = m.faults
    assert m.early_pages == 1
    assert (f.incidents, f.pages, f.right_route_ms) == (1, 0, 100_000)


def test_the_main_incident_is_the_one_open_for_longest_during_the_fault() -> None:
    m = measured(
        truth(F),
        alert("i1", 650, STOPPED, symptoms=(LAG,)),
        resolved("i1", 700, STOPPED),
        alert("i2", 710, SLOW, symptoms=(("group/g", "commits-slow", 700),)),
    )
    a = m.faults[0].settled
    assert a is not None
    assert a.cause == "slow-consumer"
    assert m.faults[0].first is not None
    assert m.faults[0].first.ts_ms == T0 + 650_000
