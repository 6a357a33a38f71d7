"""``kroute compare``: what another policy would have changed, as a gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from click.testing import CliRunner

from kroute.cli.main import cli
from kroute.contracts.facts import Envelope
from kroute.contracts.rows import Policy
from kroute.diagnosis.load import shipped
from kroute.engine import Engine
from kroute.whatif.candidate import Under
from kroute.whatif.compare import compare
from tests.unit.report.world import alert, route

CASES = Path(__file__).parents[2] / "cases"


def side(*alerts: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    out: dict[str, list[dict[str, Any]]] = {}
    for a in alerts:
        out.setdefault(a["incident"], []).append(a)
    return out


OLD = side(alert("inc-1", 1, 1, "opened", [route("team-a", role="impact"), route("team-b")]))


def auto(verdict: str) -> dict[str, Any]:
    return {"automation": {"verdict": verdict, "remedy": "r", "valid_until": None, "proved": {}, "missing": ["no grant"]}}


@pytest.mark.parametrize(
    ("new", "found"),
    [
        (OLD, []),
        ({}, [("vanishes", "told", "not told")]),
        ({**OLD, **side(alert("inc-2", 1, 1, "opened", []))}, [("appears", "not told", "told")]),
        (side(alert("inc-1", 1, 1, "opened", [route("team-a", role="impact"), route("team-c")])),
         [("team", "action: team-b", "action: team-c"), ("urgency", "action team-b: page", "action team-b: not told"),
          ("urgency", "action team-c: not told", "action team-c: page")]),
        (side(alert("inc-1", 1, 1, "opened", [route("team-a", role="impact"), route("team-b", "ticket", reason="policy:soft")])),
         [("urgency", "action team-b: page", "action team-b: ticket")]),
        (side(alert("inc-1", 1, 1, "opened", [route("team-a", role="impact"), route("team-b", destination="x://y")])),
         [("destination", "page://team-b", "x://y")]),
        (side(alert("inc-1", 1, 1, "opened", [route("team-a", role="impact"), route("team-b")], **auto("propose"))),
         [("verdict", "human", "propose")]),
        (side(alert("inc-1", 1, 1, "opened", [route("team-a", role="impact"), route("team-b")], severity="major")),
         [("severity", "critical", "major")]),
        (side(alert("inc-1", 1, 1, "opened", [route("team-a", role="impact"), route("team-b")],
                    suppressed={"by": "silence", "id": "s1", "who": None, "why": None, "until": None})),
         [("suppressed", "no", "silence s1")]),
        (side(alert("inc-1", 1, 1, "opened", [route("team-a", role="impact"), route("team-b")], supersedes=["inc-0"])),
         [("merge", "of its own", "has taken inc-0")]),
        (side(alert("inc-1", 1, 1, "opened", [route("team-a", role="impact"), route("team-b")], split_from="inc-0")),
         [("split", "of its own", "inc-0")]),
        (side(alert("inc-1", 1, 1, "opened", []),
              alert("inc-1", 2, 3, "escalated", [route("team-a", role="impact"), route("team-b")])),
         [("time", "first page at 09:50:00", "first page at 09:52:00, 120 s later")]),
    ],
)  # fmt: skip
def test_each_difference_has_its_name(new: Any, found: list[tuple[str, str, str]]) -> None:
    assert [(c.what, c.was, c.now) for c in compare(OLD, new).changes] == found


def test_pages_are_counted_by_team() -> None:
    new = side(alert("inc-1", 1, 1, "opened", [route("team-a", role="impact"), route("team-c")]))
    c = compare(OLD, new)
    assert (c.pages_was, c.pages_now) == (2, 2)
    assert c.pages_by_team == {"team-a": (1, 1), "team-b": (1, 0), "team-c": (0, 1)}
    assert (c.incidents, c.changed) == (1, 1)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compare") / "r.jsonl"
    made = CliRunner().invoke(cli, ["test", str(CASES / "slow-consumer.yaml"), "--write-recording", str(out)])
    assert made.exit_code == 0, made.output
    return out


def gate(recording: Path, policy: str, *more: str) -> Any:
    file = recording.parent / "policy.yaml"
    file.write_text(policy)
    return CliRunner().invoke(cli, ["compare", str(recording), "--policy", str(file), *more], catch_exceptions=False)


def test_the_same_policy_passes_the_gate(recording: Path) -> None:
    result = gate(recording, "defaults: {page_confidence: 0.7}\n")
    assert result.exit_code == 0
    assert "none would be routed otherwise" in result.output


QUIETER = "routes:\n  - {name: soft, when: {reason: [no-objective-at-risk, at-risk, objective-breached]}, notify: action}\n"


def test_a_policy_that_lowers_an_urgency_fails_it_and_may_be_allowed(recording: Path) -> None:
    result = gate(recording, QUIETER)
    assert result.exit_code == 1
    assert "the policy's route soft says so" in " ".join(result.output.split())
    assert gate(recording, QUIETER, "--allow", "urgency").exit_code == 0
    assert gate(recording, QUIETER, "--allow", "team").exit_code == 1
    assert gate(recording, QUIETER, "--allow", "all").exit_code == 0


def test_it_is_held_against_another_file(recording: Path) -> None:
    other = recording.parent / "other.yaml"
    other.write_text(QUIETER)
    assert gate(recording, QUIETER, "--against", str(other)).exit_code == 0
    assert gate(recording, "routes: []\n", "--against", str(other)).exit_code == 1


def test_all_differences_as_json(recording: Path) -> None:
    out = orjson.loads(gate(recording, QUIETER, "--json").stdout)
    assert {c["what"] for c in out["changes"]} == {"urgency"}
    assert out["changed"] == 1


def test_a_kind_of_difference_that_does_not_exist_is_refused(recording: Path) -> None:
    result = gate(recording, QUIETER, "--allow", "anything")
    assert result.exit_code == 2
    assert "--allow anything: no kind of difference; there is appears, vanishes, team" in result.output


def test_policies_that_a_recording_holds_do_not_replace_the_candidate() -> None:
    state = Under(Engine(shipped()), Policy(version="candidate")).new_state(0)
    state.load("controls", "|policy", b'{"version":"stored"}')
    state.loaded()
    fact = {"topic": "policy", "src": "kroute.policy", "p": 0, "o": 1, "ts": 1, "key": "policy", "val": {"version": "told"}}
    state.step(0, msgspec.json.decode(orjson.dumps({"facts": [fact]}), type=Envelope))
    assert state.policy.current.version == "candidate"
