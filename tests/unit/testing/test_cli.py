"""``kroute test`` as its user meets it."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from click.testing import CliRunner, Result

from kroute import settings as conf
from kroute.cli.test import command
from kroute.engine import build
from kroute.errors import BadFile
from kroute.replay import read, replay

QUIET = "about: nothing happens\nestate: {groups: {a: {topics: [t]}}}\nuntil: 1m\nexpect: []\n"
WRONG = "about: something should\nestate: {groups: {a: {topics: [t]}}}\nuntil: 1m\nexpect: [{by: 1m, type: opened}]\n"


def run(tmp_path: Path, text: str, *options: str) -> Result:
    (tmp_path / "case.yaml").write_text(text)
    return CliRunner().invoke(command, [str(tmp_path / "case.yaml"), *options])


def test_a_case_that_holds_passes(tmp_path: Path) -> None:
    r = run(tmp_path, QUIET)
    assert r.exit_code == 0
    assert r.output.splitlines()[-1] == "1 passed"


def test_a_case_that_does_not_hold_says_what_is_missing_and_ends_with_1(tmp_path: Path) -> None:
    r = run(tmp_path, WRONG)
    assert r.exit_code == 1
    assert "type opened  [0s to 1m; line 4]" in r.output


def test_a_known_gap_that_is_open_passes_and_one_that_is_closed_fails(tmp_path: Path) -> None:
    assert run(tmp_path, WRONG + "known_gap: not built yet\n").exit_code == 0
    closed = run(tmp_path, QUIET + "known_gap: not built yet\n")
    assert closed.exit_code == 1
    assert "take known_gap out" in closed.output


def test_junit_holds_the_failure(tmp_path: Path) -> None:
    run(tmp_path, WRONG, "--junit", str(tmp_path / "out.xml"))
    suite = fromstring((tmp_path / "out.xml").read_bytes())
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "type opened" in (failure.text or "")


def test_the_written_recording_replays_to_the_same_end(tmp_path: Path) -> None:
    run(tmp_path, QUIET, "--write-recording", str(tmp_path / "r.jsonl"))
    settings = conf.Settings()
    outcome = replay(read(tmp_path / "r.jsonl", settings), build(settings), settings)
    assert (outcome.alerts, outcome.refused) == ([], [])


def test_a_folder_stands_for_its_cases_and_an_empty_one_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yaml").write_text(QUIET)
    assert CliRunner().invoke(command, [str(tmp_path)]).exit_code == 0
    (tmp_path / "empty").mkdir()
    assert isinstance(CliRunner().invoke(command, [str(tmp_path / "empty")]).exception, BadFile)


def test_a_message_that_is_refused_fails_the_case(tmp_path: Path) -> None:
    r = run(tmp_path, QUIET + "messages: [{at: 15s, topic: consumer-lag, value: {group: a}}]\n")
    assert r.exit_code == 1
    assert "refused on kroute.consumer-lag: wrong-type" in r.output


@pytest.mark.parametrize("policy", ["{routes: [{name: x}]}", "{defaults: {hold_s: -1}}", "{calendars: {c: {from: x}}}"])
def test_a_policy_that_the_router_would_refuse_is_a_mistake_in_the_file(tmp_path: Path, policy: str) -> None:
    r = run(tmp_path, QUIET + f"policy: {policy}\n")
    assert isinstance(r.exception, BadFile)
    assert r.exception.line == 5
