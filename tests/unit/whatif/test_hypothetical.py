"""``kroute route``: an incident that did not happen is routed by the router itself, with the rows and rules it used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from kroute.cli.main import cli, main
from kroute.contracts.common import Entity
from kroute.diagnosis.load import shipped
from kroute.errors import StateError
from kroute.whatif.hypothetical import Answer, Question, ask
from kroute.whatif.known import Known, from_folder

C = "prod-eu"
ROWS = """
cluster: prod-eu
rows:
  - {kind: cluster, name: prod-eu, owner: team-platform, network: team-net}
  - {kind: connector, name: "connect-a/*", owner: team-data, service: search}
  - {kind: system, cluster: "*", name: es, owner: team-elastic}
  - {kind: system, cluster: "*", name: "e*", owner: team-other}
  - {kind: service, name: search, owner: team-search, slo: {freshness_s: 300}, labels: {tier: "1"}}
  - {kind: service, name: checkout, owner: team-pay, slo: {freshness_s: 60}}
  - {kind: group, name: "checkout*", service: checkout}
  - {kind: team, cluster: "*", name: team-search, page: "pagerduty://search", notify: "slack://search"}
"""
SINK = Entity("connector", C, "connect-a/orders-to-es")
ES = Entity("system", C, "es")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "all.yaml").write_text(ROWS)
    return tmp_path / "own"


@pytest.fixture
def known(rows: Path) -> Known:
    return from_folder(str(rows))


def routes(a: Answer) -> list[tuple[str, str, str, str]]:
    return [(r["role"], r["team"], r["urgency"], r["reason"]) for r in a.record["routes"]]


def put(known: Known, cause: str, root: Entity, **more: Any) -> Answer:
    return ask(known, shipped(), Question(cause=cause, root=root, now_ms=1_795_427_349_001, **more))


def test_a_breached_service_pages_its_owner_and_who_can_act(known: Known) -> None:
    a = put(known, "sink-throttled", SINK, impact={Entity("service", C, "search"): "breached"}, near=(ES,))
    assert routes(a) == [
        ("impact", "team-search", "page", "objective-breached"),
        ("diagnosis", "team-data", "notify", "informed"),
        ("action", "team-elastic", "page", "objective-breached"),
    ]
    assert (a.decision.rule, a.decision.severity, a.record["severity"]) == (3, "critical", "critical")
    assert a.record["routes"][0]["destination"] == "pagerduty://search"


def test_the_words_asked_and_the_rows_that_answer_are_told_the_winner_first(known: Known) -> None:
    a = put(known, "sink-throttled", SINK, impact={Entity("service", C, "search"): "breached"}, near=(ES,))
    assert [(x.role, x.word, x.team) for x in a.asked] == [
        ("diagnosis", "connector", "team-data"), ("action", "system", "team-elastic"), ("action", "connector", "team-data"),
    ]  # fmt: skip
    rows = {x.thing: x.rows for x in a.looked}
    assert rows[f"system/{C}/es"] == ("system/*/es", "system/*/e*")
    assert rows[f"team/{C}/team-elastic"] == ()


@pytest.mark.parametrize(
    ("cause", "root", "more", "rule", "severity"),
    [
        ("slow-consumer", Entity("group", C, "checkout"), {"state": "at-risk"}, 5, "major"),
        ("slow-consumer", Entity("group", C, "checkout"), {"state": "fine"}, 6, "minor"),
        ("slow-consumer", Entity("group", C, "checkout"), {"confidence": 0.2}, 3, "critical"),
        ("broker-down", Entity("broker", C, "3"), {"symptoms": ("under-min-isr",)}, 4, "critical"),
        ("broker-down", Entity("broker", C, "3"), {}, 6, "minor"),
        ("disk-full", Entity("broker", C, "3"), {}, 4, "critical"),
        ("cross-zone-reads", Entity("group", C, "checkout"), {"state": "fine"}, 6, "info"),
    ],
)
def test_the_rule_that_decides_is_told(known: Known, cause: str, root: Entity, more: Any, rule: int, severity: str) -> None:
    a = put(known, cause, root, **more)
    assert (a.decision.rule, a.record["severity"]) == (rule, severity)


def test_the_platform_is_the_cause_and_the_service_at_risk_is_told(known: Known) -> None:
    group = Entity("group", C, "checkout-eu")
    a = put(known, "broker-storage-pressure", Entity("broker", C, "3"), near=(group,), impact={group: "at-risk"})
    assert ("impact", "team-pay", "notify", "at-risk") in routes(a)
    assert ("action", "team-platform", "ticket", "at-risk") in routes(a)


def test_impact_follows_the_paths_of_the_cause_where_nothing_is_said(known: Known) -> None:
    a = put(known, "slow-consumer", Entity("group", C, "checkout"))
    assert [(i["service"], i["group"], i["state"], i["lag_s"]) for i in a.record["impact"]] == [
        ("checkout", "checkout", "breached", 120.0)
    ]


def test_the_example_of_the_design_reads_as_it_should(rows: Path) -> None:
    said = run(rows, "--cause", "sink-throttled", "--root", "connector/connect-a/orders-to-es",
               "--impact", "service/search=breached", "--near", "system/es")  # fmt: skip
    assert re.search(r"impact\s+team-search\s+page\s+objective breached\s+service/prod-eu/search", said)
    assert re.search(r"action\s+team-elastic\s+page\s+objective breached\s+system/\*/es", said)
    assert "before system/*/e*" in said


def test_a_policy_from_a_file_is_named_by_its_route(rows: Path, tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text("routes:\n  - {name: soft, when: {reason: [objective-breached]}, ticket: action}\n")
    out = orjson.loads(
        run(
            rows,
            "--cause",
            "sink-throttled",
            "--root",
            "connector/connect-a/orders-to-es",
            "--near",
            "system/es",
            "--policy",
            str(policy),
            "--json",
        )
    )
    assert out["record"]["policy_version"] not in ("default", "")
    assert [(r["role"], r["urgency"], r["reason"]) for r in out["record"]["routes"]][-1] == ("action", "ticket", "policy:soft")
    assert out["rule"] == 3


def test_a_recording_gives_rows_and_estate(tmp_path: Path) -> None:
    recording = tmp_path / "r.jsonl"
    case = Path(__file__).parents[2] / "cases" / "system-throttled-two-sinks.yaml"
    assert CliRunner().invoke(cli, ["test", str(case), "--write-recording", str(recording)]).exit_code == 0
    arguments = [
        "route",
        "--cause",
        "system-throttled",
        "--root",
        "system/warehouse",
        "--cluster",
        "test",
        "--from",
        str(recording),
    ]
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    out = orjson.loads(result.stdout)["record"]
    assert {(r["role"], r["team"]) for r in out["routes"]} == {
        ("impact", "team-bi"), ("impact", "team-fin"), ("diagnosis", "team-data"), ("action", "team-wh"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "root", "more", "problem"),
    [
        ("slow-consumr", Entity("group", C, "x"), {}, "no cause slow-consumr in the catalogue"),
        ("slow-consumer", Entity("broker", C, "1"), {}, "slow-consumer has its root at a group, not at a broker"),
        ("sink-throttled", SINK, {"near": (Entity("rack", C, "a"),)}, "a rack is not near a connector; connect-worker, group,"),
        ("slow-consumer", Entity("group", C, "x"), {"impact": {Entity("service", C, "nobody"): "breached"}}, "name a group:"),
    ],
)
def test_what_does_not_hang_together_is_said(known: Known, cause: str, root: Entity, more: Any, problem: str) -> None:
    with pytest.raises(StateError, match=re.escape(problem)):
        put(known, cause, root, **more)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--root", "checkout"], "--root checkout: write KIND/NAME"),
        (["--root", "group/x", "--impact", "group/x=bad"], "'bad' is none of fine, at-risk, breached, unknown"),
        (["--root", "group/x", "--impact", "broker/1=fine"], "a group, a topic or a service feels it"),
        (["--root", "group/x", "--symptom", "sad"], "--symptom sad: no such symptom"),
        (["--root", "group/x", "--at", "noon"], "--at noon: no time"),
        (["--root", "group/x", "--at", "2026-01-01T00:00:00"], "no offset from UTC"),
    ],
)
def test_a_slip_on_the_command_line_is_one_clear_line(rows: Path, arguments: list[str], problem: str) -> None:
    result = CliRunner().invoke(cli, ["route", "--cause", "slow-consumer", "--cluster", C, "--ownership", str(rows), *arguments])
    assert result.exit_code == 2
    assert problem in result.output


def test_a_bad_policy_names_its_line(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text("routes:\n  - name: a\n    page: boss\n")
    monkeypatch.setattr("sys.argv", ["kroute", "route", "--cause", "slow-consumer", "--root", "group/x", "--cluster", C,
                                     "--ownership", str(rows), "--policy", str(policy)])  # fmt: skip
    with pytest.raises(SystemExit) as e:
        main()
    assert e.value.code == 2
    assert f"{policy}:2: routes[0]: 'boss' is no role" in capsys.readouterr().err


def run(rows: Path, *arguments: str) -> str:
    result = CliRunner().invoke(cli, ["route", "--cluster", C, "--ownership", str(rows), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output
