"""Topics that a migration link mirrors: found by their names, and hung on the link when it falls behind."""

from __future__ import annotations

import pytest

from kroute.contracts.common import Entity
from kroute.diagnosis.evidence import Evidence
from kroute.diagnosis.infer import diagnose
from kroute.diagnosis.paths import Walker, parse
from kroute.signals.mirrors import mirrored_names
from kroute.signals.model import Symptom
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


def ill(w: World, *, over: bool) -> dict[tuple[Entity, str], Symptom]:
    """The link fails, or did until 90 s ago and a mirror of it stood still with it."""
    if not over:
        w.see("link/move", "link-lagging", "link-failing", since=w.now - 600_000)
        return {}
    w.well("link/move", "metrics")
    w.well("topic/old.refunds", "lag")
    ended = w.now - 90_000
    gone = ((LINK, "link-lagging"), (LINK, "link-failing"), (Entity("topic", C, "old.refunds"), "produce-stopped"))
    return {(e, k): Symptom(kind=k, entity=e, since_ms=ended - 600_000, last_ms=ended) for e, k in gone}


@pytest.mark.parametrize(("over", "whose"), [(True, ["link/move"]), (False, ["group/of-old.refunds", "link/move"])])
def test_who_reads_what_comes_at_once_when_a_link_goes_on_hangs_on_it_and_not_before(over: bool, whose: list[str]) -> None:
    w = world("orders", "refunds", "x", "y")
    gone = ill(w, over=over)
    w.see("group/of-old.refunds", "lag-growing", "commits-slow", since=w.now - 60_000)
    w.well("group/of-home", "lag")
    found = diagnose(w.catalogue, w.estate, Evidence(w.board, w.estate, gone, w.changes, w.now))
    assert sorted(str(h.root) for h in found) == whose
    assert "migration-sync-lag" in [h.cause for h in found]
