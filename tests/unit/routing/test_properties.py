"""What holds whatever moves between: every destination that was opened is closed once, there."""

from __future__ import annotations

from collections import Counter

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kroute.routing.ledger import delivery_id
from tests.unit.routing.world import GROUP, SINK, SINK_GROUP, C, World

STEPS = st.one_of(
    st.tuples(st.just("own"), st.sampled_from(["system/*/elasticsearch-prod", f"service/{C}/search", f"cluster/{C}/{C}"]),
              st.sampled_from(["team-search", "team-pay", "team-new", "team-platform"])),
    st.tuples(st.just("disown"), st.sampled_from(["system/*/elasticsearch-prod", f"service/{C}/search", f"connector/{C}/connect-a/*"]), st.none()),
    st.tuples(st.just("move"), st.sampled_from(["team-search", "team-elastic", "team-pay"]), st.sampled_from(["pagerduty://x", "slack://y"])),
    st.tuples(st.just("silence"), st.sampled_from(["cause", "team", "service", "root"]), st.sampled_from(["*", "team-*", "search", "group/*"])),
    st.tuples(st.just("lift"), st.none(), st.none()),
    st.tuples(st.just("state"), st.sampled_from(["breached", "at-risk", "fine", "unknown"]), st.sampled_from([SINK_GROUP, GROUP])),
    st.tuples(st.just("confidence"), st.sampled_from([0.5, 0.95]), st.none()),
    st.tuples(st.just("revise"), st.sampled_from(["sink-throttled", "slow-consumer", "broker-down", "gone-from-the-catalogue"]), st.integers(0, 3)),
    st.tuples(st.just("declare"), st.sampled_from(["maintenance", "replay"]), st.none()),
    st.tuples(st.just("policy"), st.sampled_from(["page", "notify"]), st.none()),
    st.tuples(st.just("escalate"), st.sampled_from(["team-leads", "team-pay"]), st.sampled_from(["page", "notify"])),
    st.tuples(st.just("flood"), st.sampled_from([0, 1, 2]), st.none()),
    st.tuples(st.just("ack"), st.integers(0, 3), st.none()),
    st.tuples(st.just("resolve"), st.integers(0, 3), st.none()),
    st.tuples(st.just("reopen"), st.integers(0, 3), st.none()),
    st.tuples(st.just("merge"), st.none(), st.none()),
    st.tuples(st.just("restart"), st.none(), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([1, 700, 15_000]), st.none()),
)  # fmt: skip


def act(w: World, what: str, a: object, b: object) -> None:
    ids = ["inc-0", "inc-1", "inc-2", "inc-3"]
    live = [i for i in ids if w.incidents[i].phase == "open"]
    if what == "own":
        kind, cluster, name = str(a).split("/", 2)
        w.own(kind=kind, cluster=cluster, name=name, owner=b, slo={"freshness_s": 300})
    elif what == "disown":
        w.disown(str(a))
    elif what == "move":
        w.own(kind="team", cluster="*", name=a, page=b)
    elif what == "silence":
        w.control("silence", "s1", matchers={a: b}, until_ms=w.now + 600_000)
    elif what == "lift":
        w.lift("silence", "s1")
    elif what == "state":
        w.meter.set(b, str(a))  # type: ignore[arg-type]
    elif what == "confidence":
        for i in live:
            w.incidents[i].confidence = float(str(a))
    elif what == "revise":
        inc = w.incidents[ids[int(str(b))]]
        if inc.phase == "open":
            inc.cause, inc.moment = str(a), "revised"
            inc.root = {"sink-throttled": SINK, "slow-consumer": GROUP}.get(inc.cause, SINK_GROUP)
    elif what == "declare":
        w.declare(str(a), "group/*", ident=str(a), ends_at_ms=w.now + 300_000)
    elif what == "policy":
        w.rule(version=f"p{w.now}", routes=[{"name": "r", str(a): "action, diagnosis"}])
    elif what == "escalate":
        w.own(kind="team", cluster="*", name="team-leads", page="pagerduty://leads")
        route = {"name": "e", "escalate": {"after": "10m", "to": a, "urgency": b}, "repeat": "10m"}
        w.rule(version=f"p{w.now}", routes=[route])
    elif what == "flood":
        w.rule(version=f"p{w.now}", defaults={"flood_pages": a})
    elif what == "ack":
        w.control("ack", f"a{w.now}", incident=ids[int(str(a))])
    elif what == "resolve" and w.incidents[ids[int(str(a))]].phase == "open":
        w.resolve(ids[int(str(a))])
    elif what == "reopen" and w.incidents[ids[int(str(a))]].phase == "resolved":
        inc = w.incidents[ids[int(str(a))]]
        inc.phase, inc.resolved_ms, inc.moment = "open", None, "reopened"
    elif what == "merge" and {"inc-0", "inc-1"} <= set(live):
        w.incidents["inc-1"].phase, w.incidents["inc-1"].moment = "superseded", "merged"
        w.incidents["inc-1"].superseded_by, w.incidents["inc-0"].supersedes = "inc-0", ("inc-1",)
    elif what == "restart":
        w.restart()
    w.tick(float(str(a)) if what == "wait" else 1)


QUIET = ("flood", "silenced", "maintenance", "resolved", "merged", "cause-revised")


def played(steps: list[tuple[str, object, object]], *, end: bool = True) -> World:
    w = World()
    w.meter.set(SINK_GROUP, "breached")
    if steps and steps[0][0] == "flood":
        w.rule(defaults={"flood_pages": steps[0][1]})  # from the first page on
    w.incident("inc-0")
    w.incident("inc-1", cause="slow-consumer", root=GROUP, affected=(GROUP,), symptom="lag-growing")
    w.incident("inc-2")
    w.incident("inc-3")
    w.tick()
    for what, a, b in steps:
        act(w, what, a, b)
    for i in sorted(w.incidents) if end else ():
        if w.incidents[i].phase == "open":
            w.resolve(i)
    w.tick()
    return w


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=14))
def test_every_destination_that_was_opened_is_closed_there_once(steps: list[tuple[str, object, object]]) -> None:
    w = played(steps)  # the notifier refuses a second open, an update or a close of what is not open, another destination
    assert w.notifier.open == {}
    count = Counter(do for do, _ in w.notifier.log)
    assert count["open"] == count["close"]


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_revisions_grow_by_one_and_name_the_record(steps: list[tuple[str, object, object]]) -> None:
    w = played(steps)
    for i in ("inc-0", "inc-1", "inc-2", "inc-3"):
        mine = [a for a in w.alerts if a.incident == i]
        assert [a.revision for a in mine] == list(range(1, len(mine) + 1))
        assert [a.id for a in mine] == [f"{i}-{a.revision}" for a in mine]
        for a in mine:
            assert all(r.delivery == delivery_id(i, r.destination) for r in a.routes)
            assert a.status == "firing" or not [r for r in a.routes if r.do not in ("close", "none")]
            assert a.suppressed is None or not [r for r in a.routes if r.do in ("open", "update")]


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=10))
def test_a_second_tick_with_nothing_new_says_nothing_and_writes_nothing(steps: list[tuple[str, object, object]]) -> None:
    w = played(steps)
    w.stored.changed.clear()
    assert w.tick(0.001) == []
    assert w.stored.changed == {}


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=10))
def test_a_restart_after_every_step_changes_no_byte(steps: list[tuple[str, object, object]]) -> None:
    plain = [s for s in steps if s[0] != "restart"]
    again = [s for step in plain for s in (step, ("restart", None, None))]
    once, often = played([s for step in plain for s in (step, ("wait", 1, None))]), played(again)
    assert [(a.key, a.value, a.headers) for a in once.raw] == [(a.key, a.value, a.headers) for a in often.raw]


@settings(max_examples=60, deadline=None)
@example([("disown", f"connector/{C}/connect-a/*", None), ("silence", "service", "*")], 1)
@given(st.lists(STEPS, max_size=10), st.sampled_from([1, 2]))
def test_a_page_is_held_back_by_a_flood_only_while_another_of_that_team_is_open(
    steps: list[tuple[str, object, object]], pages: int
) -> None:
    w = played([("flood", pages, None)], end=False)
    for what, a, b in steps:
        act(w, what, a, b)
        w.tick()
        w.tick()
        newest = {x.incident: x for x in w.alerts}
        firing = [x for x in newest.values() if x.status == "firing"]
        loud = {
            r.team
            for x in firing
            for r in x.routes
            if r.urgency == "page" and (r.do in ("open", "update") or r.reason not in QUIET)
        }
        # A silence of a team or a service holds the collapsed one too, which is told to nobody before and after.
        loud |= {r.team for x in firing for r in x.routes if x.suppressed is None and r.reason == "silenced"}
        held = {r.team for x in firing for r in x.routes if r.reason == "flood" and r.do == "none"}
        assert held <= loud
