"""``kroute report``: each figure where its value is known."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from click.testing import CliRunner
from rich.console import Console

from kroute.cli.main import cli
from kroute.contracts.rows import Change, Policy
from kroute.report.floods import spells_of
from kroute.report.measure import measure
from kroute.report.model import Report, Told
from kroute.report.page import page
from kroute.report.source import Past
from kroute.report.text import render
from kroute.routing.policy import check
from tests.unit.report.world import MIN, T0, alert, given, past, route

DAY_MS = 86_400_000


def incident(name: str, at: float = 0, end: float | None = 30, team: str = "team-a", **more: Any) -> list[dict[str, Any]]:
    """An incident that pages one team and ends."""
    first = {k: v for k, v in more.items() if k not in ("reason", "via")}
    r = {k: v for k, v in more.items() if k in ("reason", "via")}
    out = [alert(name, 1, at, "opened", [route(team, **r)], **first)]
    if end is not None:
        out.append(alert(name, 2, end, "resolved", [route(team, do="close", **{**r, "reason": "resolved"})], **first))
    return out


def told(rows: tuple[Told, ...], name: str) -> Told:
    return next(t for t in rows if t.name == name)


def test_a_page_is_counted_when_it_arrives_and_not_when_it_is_said_again() -> None:
    known = past(
        alert("i", 1, 0, "opened", [route("a", "ticket")]),
        alert("i", 2, 1, "escalated", [route("a"), route("a", "ticket", do="close")]),
        alert("i", 3, 2, "updated", [route("a", do="update")]),
        alert("i", 4, 3, "resolved", [route("a", do="close")]),
        alert("i", 5, 4, "reopened", [route("a")]),
    )
    r = measure(known)
    a = told(r.teams, "a")
    assert (a.pages, a.tickets, a.incidents, r.pages, r.reopened) == (2, 1, 1, 2, 1)


def test_one_destination_that_rises_to_a_page_is_a_page() -> None:
    shared = {"destination": "slack://a"}
    known = past(
        alert("i", 1, 0, "opened", [route("a", "notify", **shared)]),
        alert("i", 2, 1, "escalated", [route("a", "page", do="update", **shared)]),
        alert("i", 3, 2, "updated", [route("a", "page", do="update", **shared)]),
    )
    a = told(measure(known).teams, "a")
    assert (a.notes, a.pages) == (1, 1)


@pytest.mark.parametrize(
    ("control", "without"),
    [
        (None, 1),
        (given("ack", 5, "i"), 0),
        (given("action", 5, "i", remedy="r", state="started"), 0),
        (given("verdict", 50, "i", verdict="right-owner"), 0),
        (given("verdict", 50, "i", verdict="wrong-owner"), 1),
        (given("verdict", 50, "i", verdict="not-actionable"), 1),
        (given("ack", 5, "another"), 1),
    ],
)
def test_a_page_is_without_action_when_nobody_did_anything_about_its_incident(control: Any, without: int) -> None:
    known = past(*incident("i"))
    known.controls = [control] if control is not None else []
    r = measure(known)
    assert (r.pages_without_action, told(r.teams, "team-a").without_action) == (without, without)


def test_what_was_merged_counts_with_the_incident_it_went_into() -> None:
    known = past(
        *incident("i", end=None),
        alert("j", 1, 1, "opened", [route("b")]),
        alert("j", 2, 2, "merged", [route("b", do="close")], superseded_by="i"),
    )
    known.controls = [given("ack", 5, "i")]
    r = measure(known)
    assert (r.pages, r.pages_without_action, r.merged) == (2, 0, 1)


def test_wrong_owners_are_counted_by_cause_and_by_route_and_row() -> None:
    known = past(
        *incident("i", cause="slow-consumer", via="group/prod/x"),
        *incident("j", cause="slow-consumer", via="group/prod/x", reason="policy:late"),
        *incident("k", cause="broker-down", via="cluster/prod/prod"),
    )
    known.controls = [
        given("verdict", 40, "i", verdict="wrong-owner", should_be="b"),
        given("verdict", 40, "j", verdict="wrong-owner"),
        given("verdict", 41, "j", verdict="right-owner"),  # the last word counts
        given("verdict", 40, "k", verdict="right-owner"),
    ]
    r = measure(known)
    slow = next(c for c in r.causes if c.cause == "slow-consumer")
    assert (slow.wrong, slow.judged, slow.wrong_rate) == (1, 2, 0.5)
    assert told(r.routes, "objective-breached").wrong_rate == 0.5
    assert told(r.routes, "policy:late").wrong_rate == 0.0
    assert told(r.rows, "group/prod/x").wrong_rate == 0.5
    assert told(r.rows, "cluster/prod/prod").wrong_rate == 0.0
    assert r.corrected == 1


def test_times_are_from_the_first_page_to_the_first_acknowledgement_and_from_start_to_end() -> None:
    known = past(*incident("i", at=2, end=30), *incident("j", at=4, end=90), *incident("k", at=0, end=None))
    known.controls = [given("ack", 5, "i"), given("ack", 9, "i"), given("ack", 14, "j")]
    r = measure(known)
    assert r.times_to_acknowledge_s == (180.0, 600.0)
    assert (r.acknowledge.median_s, r.acknowledge.p90_s, r.never_acknowledged) == (180.0, 600.0, 1)
    assert r.times_to_resolve_s == (1800.0, 5400.0)


def test_an_acknowledgement_that_only_the_record_holds_counts_too() -> None:
    known = past(alert("i", 1, 0, "opened", [route("a")]), alert("i", 2, 3, "acknowledged", [route("a", do="update")]))
    r = measure(known)
    assert (r.times_to_acknowledge_s, r.pages_without_action) == ((180.0,), 0)


def test_an_owner_that_leaves_for_another_is_reassigned_and_one_that_joins_is_not() -> None:
    moved = past(
        alert("i", 1, 0, "opened", [route("a")]),
        alert("i", 2, 1, "revised", [route("b"), route("a", do="close", reason="cause-revised")]),
    )
    joined = past(
        alert("i", 1, 0, "opened", [route("a")]),
        alert("i", 2, 1, "escalated", [route("a", do="update"), route("b")]),
    )
    assert (measure(moved).reassigned, measure(joined).reassigned) == (1, 0)


@pytest.mark.parametrize(
    ("times", "spells"),
    [
        ([], []),
        ([float(i) for i in range(10)], []),  # ten are no flood
        ([float(i) for i in range(11)], [(10.0, 600.0)]),  # the eleventh is, until the first is 10 minutes old
        ([60.0 * i for i in range(11)], []),  # eleven over exactly 10 minutes
        ([59.0 * i for i in range(12)], [(590.0, 600.0), (649.0, 659.0)]),
        ([float(i) for i in range(12)], [(10.0, 601.0)]),  # one flood, not two
    ],
)
def test_a_flood_is_over_ten_alarms_in_ten_minutes(times: list[float], spells: list[tuple[float, float]]) -> None:
    assert spells_of(times) == spells


def test_flood_minutes_are_told_by_team_and_collapsed_pages_are_alarms_too() -> None:
    eight = [incident(f"i{n}", at=n / 60, end=None, team="busy") for n in range(8)]
    held = [
        [alert(f"h{n}", 1, 0.5 + n / 60, "opened", [route("busy", do="none", reason="flood")])] for n in range(4)
    ]  # fmt: skip
    calm = [incident("c", team="calm")]
    r = measure(past(*(a for x in (*eight, *held, *calm) for a in x)))
    assert [(f.team, f.most) for f in r.floods] == [("busy", 12)]
    assert r.flood_minutes == pytest.approx((601 - 32) / 60, abs=0.02)
    assert told(r.teams, "busy").pages == 8  # what was held back reached nobody


def policy(**fields: Any) -> Any:
    ready, problems = check(msgspec.convert({"version": "p", **fields}, Policy))
    assert problems == []
    return ready


def test_routes_to_retire_come_with_their_evidence() -> None:
    known = past(*(a for n in range(5) for a in incident(f"i{n}", at=n * 60, end=n * 60 + 9, reason="policy:noisy")))
    known.policy = policy(routes=[
        {"name": "noisy", "page": "action"}, {"name": "never", "ticket": "impact"}, {"name": "again", "repeat": "1h"},
    ])  # fmt: skip
    found = {f.about: f.evidence for f in measure(known).retire}
    assert found == {
        "policy:noisy": "5 of 5 paged incidents: nobody acknowledged, acted, or called the owner right",
        "policy:never": "taken by none of 5 incidents in 0.2 days",
    }
    known.controls = [given("verdict", 500, f"i{n}", verdict="false-alarm" if n else "right-owner") for n in range(4)]
    assert {f.about: f.evidence for f in measure(known).retire}["policy:noisy"] == (
        "3 of 4 verdicts say not-actionable or false-alarm"
    )


def test_a_rule_of_its_own_is_told_by_cause_and_one_loud_incident_is_no_evidence() -> None:
    quiet = past(*(a for n in range(5) for a in incident(f"i{n}", cause="slow-consumer")), *incident("j", cause="broker-down"))
    assert [f.about for f in measure(quiet).retire] == ["objective-breached of slow-consumer"]
    loud = past(alert("i", 1, 0, "opened", [route(f"team-{n}") for n in range(9)]))
    assert measure(loud).retire == ()


def test_a_route_that_is_acted_on_is_not_retired() -> None:
    known = past(*(a for n in range(9) for a in incident(f"i{n}", reason="policy:good")))
    known.controls = [given("ack", 5, f"i{n}") for n in range(9)]
    assert measure(known).retire == ()


def test_owners_missing_are_told_by_thing_with_how_often() -> None:
    gap: Any = {"automation": {"verdict": "human", "remedy": None, "valid_until": None, "proved": {},
                          "missing": ["group/x belongs to no service; service/y has no owner"]}}  # fmt: skip
    known = past(
        *incident("i", via="fallback:platform"), *incident("j", via="fallback:platform"), *incident("k", team="b", **gap)
    )
    found = [(f.about, f.evidence) for f in measure(known).owners_missing]
    assert found == [
        ("group/prod/checkout", "action owner of slow-consumer stood in for by team-a, 2 incidents"),
        ("group/prod/x", "belongs to no service, 1 incident"),
        ("service/prod/y", "has no owner, 1 incident"),
    ]


def drill(age_d: float, result: str = "passed") -> Change:
    return msgspec.convert({
        "id": f"d{age_d:g}", "kind": "drill", "cluster": "prod", "target": {"kind": "group", "name": "x"},
        "starts_at_ms": T0 - int(age_d * DAY_MS), "detail": {"cause": "slow-consumer", "remedy": "scale-consumers", "result": result},
    }, Change)  # fmt: skip


@pytest.mark.parametrize(
    ("drills", "evidence"),
    [
        ([], "granted, and never drilled, or longer ago than changes are kept"),
        ([drill(100)], "granted, and the last drill is 100 days old, of 30 allowed (d100)"),
        ([drill(20), drill(2, "failed")], "granted, and the last drill, 2 days ago, did not pass (d2)"),
        ([drill(20)], None),
    ],
)
def test_a_grant_without_a_young_drill_is_told(drills: list[Change], evidence: str | None) -> None:
    known = past(*incident("i"))
    known.changes = {d.id: d for d in drills}
    known.policy = policy(automation={"grants": [
        {"name": "g", "remedy": "scale-consumers", "when": {"cause": "slow-consumer"}, "drilled_within": "30d"},
    ]})  # fmt: skip
    assert [f.evidence for f in measure(known).drills_due] == ([evidence] if evidence else [])


def test_a_drill_that_incidents_asked_for_is_told_without_a_policy() -> None:
    lack: Any = {"automation": {"verdict": "propose", "remedy": "r", "valid_until": None, "proved": {},
                           "missing": ["no grant for r", "no drill of slow-consumer with r passed in 90 days"]}}  # fmt: skip
    found = measure(past(*incident("i", **lack), *incident("j", **lack))).drills_due
    assert [(f.about, f.evidence) for f in found] == [("slow-consumer with r", "2 incidents lacked it")]


def test_remedies_are_counted_by_what_came_of_them() -> None:
    run: Any = {"remedy": "pause", "reported": "started", "by": "bot", "started_at": "x", "outcome": "worked", "since": "x", "why": "",
           "roll_back": False, "rollback": None, "rollback_owner": None}  # fmt: skip
    known = past(*incident("i", remedies=[run]), *incident("j", remedies=[{**run, "outcome": "made-worse", "roll_back": True}]))
    [r] = measure(known).remedies
    assert (r.remedy, r.runs, r.outcomes) == ("pause", 2, {"made-worse": 1, "worked": 1})


def test_a_period_takes_the_pages_that_came_in_it() -> None:
    known = past(*incident("i", at=0, end=10), *incident("j", at=100, end=110))
    r = measure(known, T0 + 50 * MIN, T0 + 200 * MIN)
    assert (r.incidents, r.pages, r.since) == (1, 1, "2026-11-23T10:39:00.000Z")
    assert measure(known, None, T0 + 5 * MIN).pages == 1


def test_pages_by_hour_and_day_are_utc() -> None:
    r = measure(past(*incident("i")))
    assert r.hours[0][9] == 1  # Monday, 09:49
    assert sum(map(sum, r.hours)) == 1
    assert r.days == {"2026-11-23": (0, 1)}


def test_nothing_at_all_is_reported_as_nothing() -> None:
    r = measure(Past())
    assert (r.incidents, r.pages, r.acknowledge.median_s, r.teams) == (0, 0, None, ())
    assert "No pages." in page(r)
    Console(file=open("/dev/null", "w")).print(*render(r))  # noqa: SIM115, PTH123


class Outside(HTMLParser):
    """Everything that a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [
            f"{k}={v}" for k, v in attrs if k in ("src", "href", "action", "data", "srcset") or (k or "").startswith("on")
        ]


def test_the_page_loads_nothing_and_takes_no_markup_from_names() -> None:
    html = page(measure(past(*incident("i", team="<script>alert(1)</script>"))))
    seen = Outside()
    seen.feed(html)
    assert seen.found == []
    assert "script" not in seen.tags
    assert "url(" not in html
    assert "@import" not in html
    assert seen.tags.count("svg") >= 4
    assert "&lt;script&gt;" in html


def test_the_command_writes_json_and_a_page_with_the_same_figures(tmp_path: Path) -> None:
    recording = tmp_path / "r.jsonl"
    lines = [{"topic": "routed-alerts", "key": "i", "timestamp_ms": 1, "value": a} for a in incident("i")]
    control = {"kind": "ack", "at_ms": T0 + 3 * MIN, "by": "ann", "incident": "i"}
    lines.append({"topic": "kroute.controls", "key": "ack/i", "timestamp_ms": 1, "value": control})
    recording.write_bytes(b"\n".join(orjson.dumps(x) for x in lines))
    out, html = tmp_path / "r.json", tmp_path / "r.html"
    arguments = ["report", "--from", str(recording), "--json", str(out), "--html", str(html)]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    r = msgspec.json.decode(out.read_bytes(), type=Report)
    assert (r.pages, r.pages_without_action, r.times_to_acknowledge_s) == (1, 0, (180.0,))
    assert "0 of 1 (0 %) without action" in result.output
    assert "0 of 1 (0 %) without action" in html.read_text()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--since", "soon"], "write minutes, hours, days or weeks"),
        (["--since", "1d", "--until", "2d"], "--until is before --since"),
        (["--json", "/nowhere/r.json"], "cannot write /nowhere/r.json"),
    ],
)
def test_a_slip_is_one_clear_line(tmp_path: Path, arguments: list[str], problem: str) -> None:
    recording = tmp_path / "r.jsonl"
    recording.write_bytes(orjson.dumps({"topic": "routed-alerts", "key": "i", "timestamp_ms": 1, "value": incident("i")[0]}))
    result = CliRunner().invoke(cli, ["report", "--from", str(recording), *arguments])
    assert result.exit_code != 0
    assert problem in result.output + str(result.exception)
