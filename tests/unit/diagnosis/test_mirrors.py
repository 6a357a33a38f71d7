"""Topics that a migration link mirrors: found by their names, and hung on the link when it falls behind."""

from __future__ import annotations

import pytest

from kroute.contracts.common import Entity
from kroute.diagnosis.paths import Walker, mirrored_names, parse
from tests.unit.diagnosis.world import C, World

LINK = Entity("link", C, "move")
MIRRORS = parse("self/mirrors")


def world(*there: str) -> World:
    """A link from ``old`` with these topics to ``prod`` with two mirrors and a topic of its own, each read by a group."""
    w = World()
    w.estate.connect(LINK, "link-clusters", [Entity("cluster", "old", "old"), Entity("cluster", C, C)])
    for name in there:
        w.estate.connect(Entity("group", "old", f"old-{name}"), "topics", [Entity("topic", "old", name)])
    for name in ("orders", "old.refunds", "home"):
        w.group(f"of-{name}", name)
    return w


def names(found: list[Entity]) -> list[str]:
    return [e.name for e in found]


def test_what_a_mirror_may_be_called_at_its_source() -> None:
    assert mirrored_names("a.b-c_d") == ["a.b-c_d", "b-c_d", "c_d", "d"]


@pytest.mark.parametrize(
    ("there", "mirrors"),
    [(("orders", "refunds"), ["old.refunds", "orders"]), (("other",), []), ((), ["home", "old.refunds", "orders"])],
)
def test_mirrors_are_told_by_name_and_any_topic_may_be_one_where_nobody_reports_the_source(
    there: tuple[str, ...], mirrors: list[str]
) -> None:
    walker = Walker(world(*there).estate)
    assert names(walker.walk(LINK, MIRRORS)) == mirrors
    for topic in ("orders", "old.refunds", "home"):
        assert names(walker.back(Entity("topic", C, topic), MIRRORS, "link")) == (["move"] if topic in mirrors else [])
    assert names(walker.walk(LINK, (*MIRRORS, "consumers"))) == sorted(f"of-{m}" for m in mirrors)


def test_a_mirror_that_stands_still_and_who_reads_what_comes_at_once_hang_on_the_link_that_failed() -> None:
    w = world("orders", "refunds", "x", "y")
    w.see("link/move", "link-lagging", "link-failing", since=w.now - 300_000)
    w.see("topic/old.refunds", "produce-stopped", since=w.now - 300_000)
    w.see("group/of-old.refunds", "lag-growing", "commits-slow", since=w.now - 60_000)
    assert w.causes() == [("migration-sync-lag", "link/move")]
