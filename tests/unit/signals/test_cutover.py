"""After the cutover: what still moves on a link's source (rule L24), and what stands still there because it was meant to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from kroute.contracts.common import Entity
from kroute.contracts.inputs import ConsumerLag
from kroute.signals.model import Link, NoKnowledge, Status
from tests.unit.signals.lagbench import CLUSTER, GROUP, T0, THE_TOPIC, Bench, member, poll

LINK = Entity("link", "new", "move")
KIND = "link-both-sides"
MEMBERS = (member("m", range(2)),)


class Stated(NoKnowledge):
    """One link from ``CLUSTER`` to ``new``."""

    def __init__(self, phase: str, groups: tuple[str, ...] = (GROUP,), dual_run_until_s: float | None = None) -> None:
        until = None if dual_run_until_s is None else T0 + int(dual_run_until_s * 1000)
        self._link = Link(LINK, CLUSTER, "new", groups, phase, until)

    def links_from(self, cluster: str) -> tuple[Link, ...]:
        return (self._link,) if cluster == CLUSTER else ()


def still(k: int, **more: Any) -> ConsumerLag:
    """The group after it has left: no members, old commits, a log that does not grow."""
    return poll(30 * k, [500, 500], [500, 500], state="Empty", members=(), **more)


def busy(k: int) -> ConsumerLag:
    return poll(30 * k, [500 + 100 * k] * 2, [500 + 100 * k] * 2, members=MEMBERS)


def written(k: int) -> ConsumerLag:
    return poll(30 * k, [500, 500], [500 + 100 * k] * 2, state="Empty", members=())


def run(b: Bench, polls: Iterable[ConsumerLag]) -> Bench:
    for m in polls:
        b.feed(m)
    return b


def test_a_source_that_stands_still_is_as_it_should_be() -> None:
    b = run(Bench(Stated("promoted")), (still(k) for k in range(20)))
    assert b.status(KIND, LINK) is Status.HEALTHY


@pytest.mark.parametrize(("message", "says"), [(busy, "g commits and t is written"), (written, "t is written")])
def test_commits_or_records_on_the_source_of_a_promoted_link_split_it(message: Any, says: str) -> None:
    b = run(Bench(Stated("promoted")), (still(k) for k in range(20)))
    run(b, (message(k) for k in range(20, 24)))
    assert b.symptom(KIND, LINK).why == f"{says} on c although the link is promoted to new"
    run(b, (still(k) for k in range(24, 30)))
    assert b.status(KIND, LINK) is Status.HEALTHY


@pytest.mark.parametrize(
    "known", [Stated(""), Stated("promoting"), Stated("promoted", ("other",)), Stated("promoted", dual_run_until_s=3600)]
)
def test_before_the_cutover_in_a_dual_run_and_for_other_groups_the_source_may_be_used(known: Stated) -> None:
    b = run(Bench(known), (busy(k) for k in range(20)))
    assert KIND not in b.board.of(LINK)


def test_a_link_may_say_itself_that_it_is_promoted() -> None:
    b = Bench(Stated(""))
    b.lag.cutovers.promoted = lambda link: link == LINK
    run(b, (busy(k) for k in range(20)))
    assert KIND in b.board.of(LINK)


def test_where_nobody_is_on_the_target_all_went_back_and_nothing_is_split() -> None:
    b = Bench(Stated("promoted"))
    for k in range(20):
        b.feed(busy(k))
        b.feed(msgspec.structs.replace(still(k), cluster="new"))
    assert KIND not in b.board.of(LINK)


def test_it_is_over_when_the_last_group_of_the_source_is_deleted() -> None:
    b = run(Bench(Stated("promoted")), (busy(k) for k in range(20)))
    b.feed(poll(620, [], [], state="Dead"))
    assert b.status(KIND, LINK) is Status.HEALTHY


@pytest.mark.parametrize("phase", ["promoting", "promoted"])
def test_a_group_and_a_topic_that_went_over_to_the_target_have_not_stopped(phase: str) -> None:
    b = run(Bench(Stated(phase)), (busy(k) for k in range(30)))
    for k in range(30, 60):
        b.feed(poll(30 * k, [3400, 3400], [3500 + 100 * min(k, 40)] * 2, state="Empty", members=()))
    assert not b.ever() & {"group-empty", "commits-stopped", "lag-growing"}
    assert b.active(THE_TOPIC) == ()


def test_without_a_link_the_same_has_stopped() -> None:
    b = run(Bench(), (busy(k) for k in range(30)))
    for k in range(30, 60):
        b.feed(poll(30 * k, [3400, 3400], [3500 + 100 * min(k, 40)] * 2, state="Empty", members=()))
    assert {"group-empty", "commits-stopped"} <= b.ever()
    assert b.active(THE_TOPIC) == ("produce-stopped",)


def other(k: int, written_until: int) -> ConsumerLag:
    """A group that has nothing to do with the link reads the same topic."""
    at = 500 + 100 * min(k, written_until)
    return msgspec.structs.replace(poll(30 * k, [at] * 2, [at] * 2, members=MEMBERS), group="audit")


@pytest.mark.parametrize("known", [Stated("promoted"), Stated("promoted", ("elsewhere",))])
def test_a_topic_whose_groups_went_over_and_are_gone_is_left_too(known: Stated) -> None:
    b = Bench(known)
    for k in range(30):
        b.feed(busy(k))
        b.feed(other(k, 40))
    b.feed(poll(905, [], [], state="Dead"))
    for k in range(31, 70):
        b.feed(other(k, 40))
    assert b.active(THE_TOPIC) == (() if known.links_from(CLUSTER)[0].groups == (GROUP,) else ("produce-stopped",))


@pytest.mark.parametrize(("mirror", "told"), [("t", ()), ("onprem.t", ()), ("onprem.tt", ("produce-stopped",))])
def test_a_topic_that_the_links_groups_read_as_a_mirror_on_the_target_is_left_too(mirror: str, told: tuple[str, ...]) -> None:
    b = Bench(Stated("promoting"))
    for k in range(70):
        there = poll(30 * k, [500 + 100 * k] * 2, [500 + 100 * k] * 2, members=MEMBERS)
        mirrored = tuple(msgspec.structs.replace(p, topic=mirror) for p in there.partitions)
        b.feed(msgspec.structs.replace(there, cluster="new", partitions=mirrored))
        b.feed(other(k, 40))
    assert b.active(THE_TOPIC) == told
