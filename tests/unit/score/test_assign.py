"""Which fault an incident and a symptom belong to."""

from __future__ import annotations

import pytest

from kroute.score.assign import fault_of_incident, fault_of_symptom, scope
from kroute.score.told import Symptom, incidents
from kroute.score.truth import Fault
from tests.unit.score.world import alert, entity, fault, ms

BROKER = fault("broker-down", "broker/2", affected=("group/g", "topic/t"))
CLUSTER = fault("network-platform", "cluster/c1")
GROUP = fault("slow-consumer", "group/g")


@pytest.mark.parametrize(
    ("of", "what", "near"),
    [
        (BROKER, "broker/2", 3),
        (BROKER, "group/g", 2),
        (BROKER, "partition/t/4", 2),
        (BROKER, "source/broker/2", 3),
        (BROKER, "source/broker-metrics/broker/2", 3),
        (BROKER, "broker/3", 0),
        (BROKER, "cluster/c1", 1),
        (GROUP, "cluster/c1", 0),
        (CLUSTER, "cluster/c1", 3),
        (CLUSTER, "group/any", 1),
        (fault("hung-transaction", "transactional-id/tx"), "transaction/tx", 3),
    ],
)
def test_rule_1_how_near_an_entity_is(of: Fault, what: str, near: int) -> None:
    assert scope(of).near(entity(what)) == near


@pytest.mark.parametrize(("since", "belongs"), [(539, -1), (541, 0), (1799, 0), (1801, -1)])
def test_rule_2_when_a_symptom_may_have_begun(since: float, belongs: int) -> None:
    assert fault_of_symptom(Symptom(entity("group/g"), "lag-growing", ms(since)), [scope(GROUP)]) == belongs


def test_rule_3_the_nearest_fault_and_neither_of_two_as_near() -> None:
    s = Symptom(entity("group/g"), "lag-growing", ms(700))
    assert fault_of_symptom(s, [scope(CLUSTER), scope(BROKER), scope(GROUP)]) == 2
    assert fault_of_symptom(s, [scope(CLUSTER), scope(BROKER)]) == 1
    assert fault_of_symptom(s, [scope(BROKER), scope(BROKER)]) is None
    assert fault_of_symptom(s, []) == -1


def test_rule_4_most_symptoms_decide_and_the_root_counts_like_two() -> None:
    two = [scope(GROUP), scope(fault("slow-consumer", "group/h"))]
    here, there = ("group/g", "lag-growing", 700.0), tuple(("group/h", k, 700.0) for k in ("a", "b", "c"))
    (i,) = incidents([alert("i", 710, ("slow-consumer", "group/g", 1), symptoms=(here, there[0]))])
    assert fault_of_incident(i, two, ms(3600)) == 0
    (i,) = incidents([alert("i", 710, ("unknown", "cluster/c1", 1), symptoms=(here, *there))])
    assert fault_of_incident(i, two, ms(3600)) == 1


def test_an_incident_as_near_to_two_belongs_to_the_onset_nearest_to_its_opening() -> None:
    again = [scope(fault("slow-consumer", "group/g", 600, 900)), scope(fault("slow-consumer", "group/g", 1000, 1300))]
    (i,) = incidents([alert("i", 1050, ("slow-consumer", "group/g", 1), symptoms=(("group/g", "lag-growing", 1010),))])
    assert fault_of_incident(i, again, ms(3600)) == 1


def test_what_opened_before_a_fault_and_names_another_root_is_not_the_faults() -> None:
    def opened(at: float, root: str) -> int | None:
        (i,) = incidents([alert("i", at, ("slow-consumer", root, 1), symptoms=(("group/g", "lag-growing", 610),))])
        return fault_of_incident(i, [scope(BROKER)], ms(3600))

    assert opened(400, "group/g") is None
    assert opened(560, "group/g") == 0, "its window may begin before the onset"
    assert opened(400, "broker/2") == 0
