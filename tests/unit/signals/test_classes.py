"""Who reads a classed topic from outside its class, rule A1: what rows state, what members hold, and nothing besides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kroute.contracts.common import Entity
from kroute.contracts.inputs import ConsumerLag, Member, PartitionLag
from kroute.contracts.rows import Ownership
from kroute.routing.knowledge import DomainKnowledge
from kroute.routing.ownership import OwnershipIndex
from kroute.signals.board import Board
from kroute.signals.classes import ClassReaders
from kroute.signals.estate import Estate
from kroute.signals.model import Rows, Src, Status

C, EVERY = "prod", 30_000
PAY = Entity("topic", C, "pay")
KIND = "class-violation"


class Watch:
    """Ownership rows, group polls, and what the board says of topic ``pay``."""

    def __init__(self, **services: dict[str, Any]) -> None:
        self.rows = Rows()
        self.estate, self.board = Estate(self.rows), Board(self.rows)
        self.ownership = OwnershipIndex(self.rows)
        self.classes = ClassReaders(self.board, self.rows, DomainKnowledge(self.ownership, self.estate))
        self.now = 1_000_000
        self.state("topic", "pay", data_class="pci")
        for name, fields in services.items():
            self.state("service", name, **fields)

    def state(self, kind: str, name: str, **fields: Any) -> None:
        row = msgspec.convert({"kind": kind, "cluster": C, "name": name, **fields}, Ownership)
        self.ownership.put(f"{kind}/{C}/{name}", msgspec.json.encode(row), row)

    def poll(self, group: str, *topics: str, principal: str | None = None, state: str = "Stable", **more: Any) -> None:
        self.now += EVERY
        members = (Member(member_id="m", principal=principal, assignment=tuple((t, (0,)) for t in topics)),)
        m = ConsumerLag(
            cluster=C, observed_at_ms=self.now, interval_ms=EVERY, group=group, state=state,
            **{"members": members if state == "Stable" else (), "partitions": (PartitionLag("pay", 0, 10, 5),), **more},
        )  # fmt: skip
        self.estate.observe_lag(m)
        self.classes.observe(Src("kroute.consumer-lag", 0, self.now, self.now), m, self.now)

    @property
    def readers(self) -> list[str]:
        found = self.board.of(PAY).get(KIND)
        return [] if found is None else found.detail["groups"]


BI = {"principals": ["svc-bi"], "classes": []}
SHOP = {"principals": ["User:svc-shop"], "classes": ["pci"]}


def test_a_service_that_does_not_state_the_class_reads_from_outside() -> None:
    w = Watch(bi=BI, shop=SHOP)
    w.state("group", "g", service="bi")
    w.poll("g", "pay")
    assert w.readers == ["g"]
    assert w.board.of(PAY)[KIND].why == "g reads it: service bi does not read class pci"


@pytest.mark.parametrize(("group", "principal"), [("ours", None), ("nobodys", "svc-shop"), ("nobodys", "User:svc-shop")])
def test_who_has_the_right_reads_in_peace(group: str, principal: str | None) -> None:
    w = Watch(bi=BI, shop=SHOP)
    w.state("group", "ours", service="shop")
    w.poll(group, "pay", principal=principal)
    assert w.readers == []
    assert w.board.status(PAY, KIND, w.now) is Status.HEALTHY


@pytest.mark.parametrize("principal", ["svc-bi", "svc-unheard-of"])
def test_a_group_of_no_service_is_judged_by_its_principals(principal: str) -> None:
    w = Watch(bi=BI, shop=SHOP)
    w.poll("g", "pay", principal=principal)
    assert w.readers == ["g"]


def test_a_principal_that_a_row_states_of_the_group_counts_like_one_that_members_tell() -> None:
    w = Watch(bi=BI, shop=SHOP)
    w.estate.connect(Entity("principal", C, "svc-bi"), "principal-groups", [Entity("group", C, "g")])
    w.poll("g", "pay")
    assert w.readers == ["g"]


def test_what_rows_do_not_state_is_held_against_nobody() -> None:
    w = Watch(bi={"principals": ["svc-bi"]}, shop={"principals": ["svc-shop"]})
    w.state("group", "g", service="bi")
    w.poll("g", "pay")
    w.poll("stranger", "pay", principal="svc-unheard-of")
    w.poll("nameless", "pay")
    assert w.readers == []


def test_a_group_that_only_has_old_commits_there_does_not_read_it() -> None:
    w = Watch(bi=BI)
    w.state("group", "g", service="bi")
    w.poll("g", "clicks")
    w.poll("g", state="Empty")
    assert w.readers == []


def test_where_members_are_not_collected_commits_tell_who_reads() -> None:
    w = Watch(bi=BI)
    w.state("group", "g", service="bi")
    w.poll("g", members=None)
    assert w.readers == ["g"]


def test_it_is_over_after_three_polls_without_and_at_once_with_a_group_that_is_gone() -> None:
    w = Watch(bi=BI)
    w.state("group", "g", service="bi")
    w.state("group", "h", service="bi")
    w.poll("g", "pay")
    w.poll("h", "pay")
    assert w.readers == ["g", "h"]
    w.poll("h", state="Dead", partitions=())
    assert w.readers == ["g"]
    for _ in range(2):
        w.poll("g", "clicks")
    w.poll("g", state="PreparingRebalance", members=(Member(member_id="m"),))  # between two assignments: not known
    assert w.readers == ["g"]
    w.poll("g", "clicks")
    assert w.readers == []


def test_a_right_that_is_granted_ends_it() -> None:
    w = Watch(bi=BI)
    w.state("group", "g", service="bi")
    w.poll("g", "pay")
    w.state("service", "bi", principals=["svc-bi"], classes=["pci"])
    for _ in range(3):
        w.poll("g", "pay")
    assert w.readers == []


def test_it_knows_its_readers_again_after_recovery() -> None:
    w = Watch(bi=BI)
    w.state("group", "g", service="bi")
    w.poll("g", "pay")
    other = Watch(bi=BI)
    for (table, key), value in w.rows.changed.items():
        bare = key.removeprefix("|")
        if table == "entities" and bare.startswith("cls|") and value is not None:
            other.classes.load(bare, value)
    other.now = w.now
    for _ in range(3):
        other.poll("g", "clicks")
    assert other.board.status(PAY, KIND, other.now) is Status.HEALTHY
    assert not [k for (t, k), v in other.rows.changed.items() if "cls|" in k and v is not None]
