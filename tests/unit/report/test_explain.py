"""``kroute explain``: what was delivered and why, with the record's own words and nothing decided anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

import kroute.routing
from kroute.cli.main import cli
from kroute.errors import StateError
from kroute.report import words
from kroute.report.export import markdown
from kroute.report.timeline import deliveries, timeline
from tests.unit.report.world import alert, given, past, route

IMPACT = {
    "service": "checkout", "topic": "orders", "group": "checkout", "role": "consumer", "lag": 9, "lag_s": 840.0,
    "lag_s_bound": "exact", "data_age_s": None, "objective_s": 60.0, "customer_function": "people can pay",
}  # fmt: skip
STORY = (
    alert("inc-1", 1, 1, "opened", [route("team-pay", "ticket", reason="at-risk")], severity="major",
          impact=[{**IMPACT, "state": "at-risk"}],
          symptoms=[{"kind": "lag-growing", "entity": {"kind": "group", "name": "checkout"}, "since": "2026-11-23T09:49:10.000Z",
                     "value": 4.0, "why": "lag grew 1,240/s"}]),
    alert("inc-1", 2, 4, "escalated",
          [route("team-pay", role="impact"), route("team-pay", "ticket", do="close", reason="escalated")],
          impact=[{**IMPACT, "state": "breached"}]),
    alert("inc-1", 3, 6, "revised",
          [route("team-pay", role="impact", do="update"), route("team-elastic", reason="policy:late", via="system/*/es")],
          cause="sink-throttled", why="sink-throttled explains it better", impact=[{**IMPACT, "state": "breached"}]),
    alert("inc-1", 4, 20, "resolved",
          [route("team-pay", role="impact", do="close", reason="resolved"), route("team-elastic", do="close", reason="resolved")],
          cause="sink-throttled", impact=[{**IMPACT, "state": "fine", "lag_s": 1.0}]),
)  # fmt: skip


def run(tmp_path: Path, *arguments: str, alerts: tuple[dict[str, Any], ...] = STORY) -> str:
    """The command on a recording of these records; its output."""
    recording = tmp_path / "alerts.jsonl"
    recording.write_bytes(b"".join(
        orjson.dumps({"topic": "routed-alerts", "key": a["incident"], "timestamp_ms": 1, "value": a}) + b"\n" for a in alerts
    ))  # fmt: skip
    result = CliRunner().invoke(cli, ["explain", *arguments, "--from", str(recording)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_route_that_was_delivered_is_shown_with_its_rule_and_row(tmp_path: Path) -> None:
    said = run(tmp_path, "inc-1", "--revision", "3")
    for r in STORY[2]["routes"]:
        assert re.search(rf"{r['role']}\s+{r['team']}\s+{r['urgency']}", said)
        assert r["via"] in said
    assert "rule 3: an objective is breached" in said
    assert "the policy's route late says so" in said
    assert "sink-throttled at group checkout, 94%" in said


def test_the_evidence_names_the_record_that_showed_it_and_what_is_left_out(tmp_path: Path) -> None:
    symptom = {"kind": "lag-growing", "entity": {"kind": "group", "name": "checkout"}, "since": "2026-11-23T09:49:10.000Z",
               "value": 4.0, "why": "w", "source": {"topic": "kroute.consumer-lag", "partition": 2, "offset": 812}}  # fmt: skip
    cleared = {**symptom, "kind": "commits-slow", "source": None, "active": False}
    only = alert("inc-1", 1, 1, "opened", [route("t")], symptoms=[symptom, cleared], symptoms_total=40)
    said = " ".join(run(tmp_path, "inc-1", alerts=(only,)).split())
    assert "lag-growing group/checkout 09:49:10 kroute.consumer-lag[2]@812" in said
    assert "commits-slow group/checkout 09:49:10, cleared" in said
    assert "and 38 more that the record does not carry" in said


def test_json_is_the_record_as_it_was_delivered_to_the_byte(tmp_path: Path) -> None:
    assert run(tmp_path, "inc-1", "--json").encode() == orjson.dumps(STORY[3]) + b"\n"
    assert run(tmp_path, "inc-1-2", "--json").encode() == orjson.dumps(STORY[1]) + b"\n"


def test_deliveries_run_from_open_to_close_with_the_reason() -> None:
    found = [(d.team, d.urgency, d.opened_at[14:16], (d.closed_at or "")[14:16], d.closed_why, d.said) for d in deliveries(STORY)]
    assert found == [
        ("team-pay", "ticket", "50", "53", "escalated", 2),
        ("team-pay", "page", "53", "09", "resolved", 3),
        ("team-elastic", "page", "55", "09", "resolved", 2),
    ]


def test_a_delivery_that_is_open_says_so_and_one_that_opens_again_is_another() -> None:
    a = alert("inc-1", 1, 0, "opened", [route("t")])
    b = alert("inc-1", 2, 1, "resolved", [route("t", do="close", reason="resolved")])
    c = alert("inc-1", 3, 2, "reopened", [route("t")])
    assert [(d.closed_why, d.said) for d in deliveries((a, b, c))] == [("resolved", 2), (None, 1)]


def test_the_timeline_tells_what_was_new_in_order() -> None:
    told = [(m.at[11:19], m.what, m.text) for m in timeline(STORY)]
    assert told == [
        ("09:49:10", "symptom", "group/checkout: lag grew 1,240/s"),
        ("09:50:00", "opened", "slow-consumer at group/checkout 94 %; checkout fine → at-risk; ticket to team-pay"),
        ("09:53:00", "escalated",
         "severity major → critical; checkout at-risk → breached; paged team-pay; closed at team-pay (escalated)"),
        ("09:55:00", "revised",
         "sink-throttled at group/checkout 94 %; paged team-elastic; sink-throttled explains it better"),
        ("10:09:00", "resolved", "checkout breached → fine; closed at team-pay (resolved); closed at team-elastic (resolved)"),
    ]  # fmt: skip


def test_the_export_has_the_worst_that_was_told_and_what_people_did() -> None:
    said = markdown(
        STORY, [given("ack", 5, "inc-1"), given("verdict", 30, "inc-1", verdict="wrong-owner", should_be="team-elastic")]
    )
    assert "# inc-1: checkout reads slower" in said
    assert "| status | resolved; at worst critical |" in said
    assert "- checkout: breached, 14 min behind (objective 60 s); people can pay" in said
    assert "- 2026-11-23T09:54:00.000Z ann acknowledged" in said
    assert "ann says wrong-owner, should be team-elastic" in said
    assert said.count("\n| 2026-11-23T") == 5  # the timeline's rows
    assert "| team-elastic | action | page |" in said


def test_the_export_takes_no_markup_from_names(tmp_path: Path) -> None:
    evil = alert("inc-1", 1, 0, "opened", [route("t|<b>x</b>")], summary="[click](http://x) | <script>")
    said = markdown((evil,))
    assert "<script>" not in said
    assert "[click]" not in said.replace("\\[", "")
    assert "t\\|\\<b\\>x" in said
    assert "Click" not in run(tmp_path, "inc-1", "--markdown")


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("inc-9", "no incident inc-9 among 2; the newest are inc-12, inc-1"),
        ("inc", "inc may be inc-1, inc-12; write more of it"),
    ],
)
def test_an_incident_that_is_not_there_or_not_the_only_one_is_said_in_one_line(wanted: str, problem: str) -> None:
    known = past(*STORY, alert("inc-12", 1, 30, "opened", [route("t")]))
    with pytest.raises(StateError, match=re.escape(problem)):
        known.incident(wanted)
    assert known.incident("inc-1")[-1]["revision"] == 4
    assert known.incident("inc-12-1")[-1]["incident"] == "inc-12"


def test_a_repeated_record_and_a_heartbeat_are_no_revisions() -> None:
    known = past(STORY[0], STORY[0], STORY[1])
    known.take_alert(b'{"type":"heartbeat","id":"h"}')
    known.take_alert(b"not json")
    known.take_alert(b'{"type":"opened","id":"inc-1-x","incident":"inc-1","revision":"many"}')
    known.take_alert(b'{"type":"opened","id":"inc-1-y","incident":"inc-1"}')
    known.take_alert(orjson.dumps({**STORY[1], "id": "inc-1-z", "revision": 9, "routes": 3}))
    assert [a["revision"] for a in known.alerts["inc-1"]] == [1, 2]


def test_every_reason_that_the_code_gives_has_a_sentence() -> None:
    """Reasons stand in the routing package as the second word of a Telling, or as what ``_leaving`` returns."""
    folder = Path(kroute.routing.__path__[0])
    source = "".join((folder / f).read_text() for f in ("urgency.py", "router.py", "wanted.py"))
    leaving = source[source.index("def _leaving") : source.index("def _why")]
    returned = " ".join(re.sub(r'== "[a-z-]+"', "", line) for line in leaving.splitlines() if line.lstrip().startswith("return"))
    found = {*re.findall(r'Telling\([^)]*?"([a-z-]+)"\)', source), *re.findall(r'"([a-z-]+)"', returned)}
    assert {"objective-breached", "at-risk", "owner-known", "cause-revised"} <= found
    for word in found:
        assert words.reason(word) != word, word


def test_incidents_from_a_recording_of_inputs_are_replayed(tmp_path: Path) -> None:
    recording = tmp_path / "inputs.jsonl"
    case = Path(__file__).parents[2] / "cases" / "slow-consumer.yaml"
    made = CliRunner().invoke(cli, ["test", str(case), "--write-recording", str(recording)])
    assert made.exit_code == 0, made.output
    result = CliRunner().invoke(cli, ["explain", "inc-", "--from", str(recording)], catch_exceptions=False)
    assert "slow-consumer at group" in result.output
