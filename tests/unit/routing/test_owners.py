"""Owners that follow from what the evidence names: the readers of a topic, the topic that was denied, groups not moved yet."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kroute.contracts.common import Entity
from kroute.contracts.rows import Ownership
from kroute.incidents.model import Evidence, Incident
from kroute.routing.owners import Finder
from kroute.routing.ownership import OwnershipIndex
from kroute.signals.estate import Estate
from kroute.signals.model import Rows, Symptom

C = "prod"


class Rolls:
    """Rows, an estate, and incidents with one symptom."""

    def __init__(self) -> None:
        rows = Rows()
        self.ownership, self.estate = OwnershipIndex(rows), Estate(rows)
        self.finder = Finder(self.ownership, self.estate)
        self.state("cluster", C, owner="team-platform")
        self.state("service", "search", owner="team-search")
        self.state("service", "shop", owner="team-shop")

    def state(self, kind: str, name: str, **fields: Any) -> None:
        row = msgspec.convert({"kind": kind, "cluster": C, "name": name, **fields}, Ownership)
        self.ownership.put(f"{kind}/{C}/{name}", msgspec.json.encode(row), row)

    def incident(self, root: Entity, kind: str, **detail: Any) -> Incident:
        s = Symptom(kind=kind, entity=root, since_ms=1, last_ms=2, detail=detail)
        return Incident(
            id="inc", domain=C, cluster=C, platform="kafka", subject=root, cause="x", root=root, confidence=1.0, phase="open",
            started_ms=1, updated_ms=2, evidence={(root, kind): Evidence(symptom=s)},
        )  # fmt: skip


def test_the_service_of_the_group_that_reads_from_outside_acts() -> None:
    r = Rolls()
    r.state("topic", "pay", owner="team-pay", service="shop")
    r.state("group", "g", service="search")
    inc = r.incident(Entity("topic", C, "pay"), "class-violation", groups=["g"])
    assert r.finder.owner(("reader", "governance"), inc).team == "team-search"


def test_who_reads_old_records_acts_and_not_who_falls_behind_for_it_or_owns_the_topic() -> None:
    r = Rolls()
    r.state("topic", "pay", owner="team-pay", service="shop")
    for group in ("a-live", "b-export", "c-export-done"):
        r.state("group", group, owner=f"team-{group}")
    inc = r.incident(Entity("topic", C, "pay"), "stable-end-stuck")
    assert r.finder.owner(("reader", "service"), inc).team == "team-shop"

    def shows(group: str, kind: str, cleared_ms: int | None = None) -> None:
        e = Entity("group", C, group)
        inc.evidence[(e, kind)] = Evidence(symptom=Symptom(kind=kind, entity=e, since_ms=1, last_ms=2), cleared_ms=cleared_ms)

    shows("a-live", "lag-growing", 2)
    shows("a-live", "catching-up")
    assert r.finder.owner(("reader", "service"), inc).team == "team-a-live"
    shows("c-export-done", "reading-fast", 2)
    assert r.finder.owner(("reader", "service"), inc).team == "team-c-export-done"
    shows("b-export", "catching-up")
    assert r.finder.owner(("reader", "service"), inc).team == "team-b-export"


@pytest.mark.parametrize("spelt", ["READ Topic:pay", "READ Topic:LITERAL:pay", "Topic:LITERAL:pay", "WRITE TOPIC:pay"])
def test_who_owns_the_topic_that_was_denied_acts_and_not_who_was_denied(spelt: str) -> None:
    r = Rolls()
    r.state("topic", "mine", owner="team-search")
    r.state("topic", "pay", owner="team-pay")
    who = Entity("principal", C, "svc-search")
    r.estate.connect(who, "principal-topics", [Entity("topic", C, "mine")])
    denied = r.incident(who, "access-denied", resources=[spelt])
    assert r.finder.owner(("topic", "governance"), denied).team == "team-pay"
    for others in ("DESCRIBE Group:g", "READ Topic:PREFIXED:pa"):
        other = r.incident(who, "access-denied", resources=[others])
        assert r.finder.owner(("topic", "governance"), other).team == "team-search"


def test_of_a_promotion_that_hangs_the_first_group_that_does_not_read_on_the_target_acts() -> None:
    r = Rolls()
    r.state("link", "move", source_cluster="old", target_cluster=C, groups=["a", "b"])
    r.state("group", "a", service="shop")
    r.state("group", "b", service="search")
    r.estate.connect(Entity("group", C, "a"), "topics", [Entity("topic", C, "t")])
    for g in ("a", "b"):  # a row that names a group is no sign that it reads there
        r.estate.connect(Entity("group", C, g), "services", [Entity("service", C, "any")])
    inc = r.incident(Entity("link", C, "move"), "link-groups-stuck")
    assert r.finder.owner(("service", "platform"), inc).team == "team-search"


def test_who_feeds_a_topic_answers_for_its_silence_and_not_the_sinks_that_read_it() -> None:
    r = Rolls()
    topic, sink, source = Entity("topic", C, "t"), Entity("connector", C, "c/es"), Entity("connector", C, "c/crm")
    r.state("topic", "t", owner="team-topic")
    r.state("system", "es", owner="team-es")
    r.state("system", "crm", owner="team-crm")
    r.estate.connect(sink, "connector-topics", [topic])
    r.estate.connect(sink, "system", [Entity("system", C, "es")])
    r.estate.connect(sink, "group", [Entity("group", C, "connect-es")])
    inc = r.incident(topic, "produce-stopped")
    assert r.finder.owner(("system", "connector", "topic"), inc).team == "team-topic"
    r.estate.connect(source, "connector-topics", [topic])
    r.estate.connect(source, "system", [Entity("system", C, "crm")])
    assert r.finder.owner(("system", "connector", "topic"), inc).team == "team-crm"
