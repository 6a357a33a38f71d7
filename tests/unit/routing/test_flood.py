"""Over ten pages to one team in ten minutes: one page carries the list of the rest, and no flood ends in a burst."""

from __future__ import annotations

from typing import Any

import pytest

from kroute.contracts.alerts import RoutedAlert
from tests.unit.routing.world import SINK_GROUP, World


@pytest.fixture
def w() -> World:
    world = World()
    world.meter.set(SINK_GROUP, "breached")
    return world


def storm(w: World, count: int, first: int = 0, every: float = 20) -> list[RoutedAlert]:
    """Incidents one after the other; what was said."""
    out = []
    for i in range(first, first + count):
        w.incident(f"inc-{i:02}")
        out += w.tick(every)
    return out


def pages(w: World, team: str = "search") -> list[str]:
    """Incidents whose page to the team is open."""
    return sorted(w.notifier.owner[d] for d, where in w.notifier.open.items() if where == f"pagerduty://{team}")


def of(alert: RoutedAlert, team: str) -> Any:
    return next(r for r in alert.routes if r.team == team)


def test_the_eleventh_page_carries_the_twelfth_and_says_so(w: World) -> None:
    said = storm(w, 12)
    held = next(a for a in said if a.incident == "inc-11")
    assert (of(held, "team-search").do, of(held, "team-search").reason) == ("none", "flood")
    assert (
        held.why
        == "flood: pages to team-elastic are collapsed into inc-10; flood: pages to team-search are collapsed into inc-10"
    )
    assert of(held, "team-data").do == "open", "what is no page goes out"
    [a] = w.tick()
    assert (a.incident, a.collapses, a.collapses_total) == ("inc-10", ("inc-11",), 1)
    assert a.why == "flood: 1 more incidents page nobody and are listed here: inc-11"
    assert pages(w) == [f"inc-{i:02}" for i in range(11)]
    assert w.tick(5) == []


def test_as_many_pages_over_a_longer_time_are_no_flood(w: World) -> None:
    storm(w, 14, every=62)
    assert len(pages(w)) == 14


def test_when_the_carrier_is_over_the_oldest_of_the_rest_carries_on(w: World) -> None:
    storm(w, 14)
    w.tick()
    w.resolve("inc-10")
    said = w.tick() + w.tick()
    opened = [a.incident for a in said if of(a, "team-search").do == "open"]
    assert opened == ["inc-11"], "one page, not three"
    assert said[-1].collapses == ("inc-12", "inc-13")
    for i in range(14):
        w.resolve(f"inc-{i:02}")
    w.tick()
    assert w.notifier.open == {}


def test_one_that_is_silenced_while_it_waits_does_not_hold_up_the_rest(w: World) -> None:
    storm(w, 13)
    w.incidents["inc-11"].cause = "slow-consumer"  # the silence names it alone
    w.incidents["inc-11"].root = SINK_GROUP
    w.control("silence", "s", matchers={"cause": "slow-consumer"}, until_ms=w.now + 3_600_000)
    w.tick()
    w.resolve("inc-10")
    w.tick()
    w.tick()
    assert pages(w) == [*(f"inc-{i:02}" for i in range(10)), "inc-12"]


def test_a_collapsed_incident_ends_without_a_page_and_the_list_is_corrected(w: World) -> None:
    storm(w, 12)
    w.tick()
    w.resolve("inc-11")
    said = w.tick() + w.tick()
    assert [(a.incident, a.type) for a in said] == [("inc-11", "resolved"), ("inc-10", "updated")]
    assert said[1].collapses == ()
    assert {r.do for r in said[0].routes if r.team == "team-search"} == set(), "nothing was opened there"


def test_after_the_flood_pages_are_pages_again(w: World) -> None:
    storm(w, 12)
    w.tick()
    said = storm(w, 1, first=20, every=1300)
    assert of(said[-1], "team-search").do == "open"


def test_another_team_is_not_in_the_flood(w: World) -> None:
    storm(w, 11)
    w.own(kind="service", cluster="prod-eu", name="search", owner="team-pay")
    w.incident("inc-new")
    said = w.tick()
    a = next(a for a in said if a.incident == "inc-new")
    assert (of(a, "team-pay").do, of(a, "team-elastic").do) == ("open", "none")


def test_a_restart_changes_nothing(w: World) -> None:
    again = World()
    again.meter.set(SINK_GROUP, "breached")
    for world, restart in ((w, False), (again, True)):
        for i in range(14):
            world.incident(f"inc-{i:02}")
            world.tick(20)
            if restart:
                world.restart()
        world.resolve("inc-10")
        world.tick()
        if restart:
            world.restart()
        world.tick()
    assert [a.value for a in w.raw] == [a.value for a in again.raw]


def test_a_policy_may_turn_it_off_and_what_was_held_back_pages(w: World) -> None:
    storm(w, 13)
    assert len(pages(w)) == 11
    w.rule(defaults={"flood_pages": 0})
    w.tick()
    assert len(pages(w)) == 13


def test_nothing_is_remembered_of_a_flood_that_is_long_over(w: World) -> None:
    storm(w, 12)
    for i in range(12):
        w.resolve(f"inc-{i:02}")
    w.tick()
    w.tick(700)
    kept = [k for (table, k), v in w.stored.changed.items() if table == "incidents" and "flood|" in k and v is not None]
    assert kept == []
