"""``kroute catalogue`` and ``kroute check`` as people use them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kroute.cli import catalogue, check
from tests.unit.diagnosis.test_load import GOOD
from tests.unit.diagnosis.world import SHIPPED


def run_catalogue(*args: str) -> Result:
    return CliRunner().invoke(catalogue.command, list(args), env={"COLUMNS": "120"})


def run_check(*paths: Path) -> Result:
    return CliRunner().invoke(check.command, [str(p) for p in paths])


def test_the_table_lists_every_cause() -> None:
    shown = run_catalogue().output
    assert [c for c in SHIPPED.by_id if f"\n{c} " not in shown] == []


def test_the_table_of_a_platform_leaves_out_what_it_does_not_have() -> None:
    shown = run_catalogue("--platform", "automq").output
    assert "wal-trouble" in shown
    assert "broker-storage-pressure" not in shown


def test_a_cause_can_be_read_in_full() -> None:
    result = run_catalogue("sink-throttled")
    assert result.exit_code == 0, result.output
    for part in ("put-latency-high at itself", "connectors of its system (most)", "Remedy pause-connector", "Runbook"):
        assert part in result.output


def test_every_cause_is_described_with_all_its_remedies() -> None:
    for cause in SHIPPED.causes.values():
        said = "\n".join(line.plain for line in catalogue.describe(cause))
        for remedy in cause.remedies:
            assert f"Remedy {remedy.id}" in said


def test_a_mistyped_cause_is_answered_with_the_nearest() -> None:
    result = run_catalogue("sink-throtled")
    assert result.exit_code == 2
    assert "did you mean sink-throttled?" in result.output


def test_good_files_pass(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    result = run_check(tmp_path)
    assert (result.exit_code, result.output) == (0, "1 file checked, nothing wrong\n")


def test_every_problem_of_every_file_is_listed(tmp_path: Path) -> None:
    one = GOOD.replace("root: group", "root: grupe").replace("lag-growing, p: 0.9", "lag-groving, p: 0.9")
    (tmp_path / "mine.yaml").write_text(one.replace("owners:", "  - {at: self, symptom: commits-slow, p: often}\nowners:"))
    (tmp_path / "yours.yaml").write_text(GOOD.replace("id: mine", "id: yours").replace("0.1/week", "often"))
    (tmp_path / "broken.yaml").write_text("id: [broken\n")
    (tmp_path / "other.yaml").write_text("colour: red\n")
    result = run_check(tmp_path)
    assert result.exit_code == 2
    for expected in (
        "mine.yaml:8: expects[1].p: Expected 'float', got 'str'",
        "yours.yaml:5: prior: 'often' is not a rate",
        "broken.yaml:2: ",
        "other.yaml:1: not a file that kroute knows",
        "in 4 of 4 files",
    ):
        assert expected in result.output, result.output


def test_what_is_wrong_with_values_is_listed_together(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    bad = GOOD.replace("root: group", "root: grupe").replace("lag-growing, p: 0.9", "lag-groving, p: 0.9")
    path.write_text(bad + "impact: [self/nowhere]\nchanges: {kinds: [deploy], at: self/tpics}\n")
    lines = run_check(path).output.splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == ["root", "expects[0]", "impact[0]", "changes[0]"]
    assert lines[-1] == "4 problems in 1 of 1 files"


def test_a_folder_without_files_is_a_mistake(tmp_path: Path) -> None:
    result = run_check(tmp_path)
    assert result.exit_code == 2
    assert "has no .yaml file in it" in result.output


@pytest.mark.parametrize(
    ("addition", "problem"),
    [
        ("changes: {kinds: [deploy], p: 1.0}", "changes[0]: p is 1.0"),
        ("changes: {kinds: []}", "changes[0]: names no kind of change"),
        ("contradicts: [{at: self, symptom: group-empty, detail: {trace: '('}}]", "not a regular expression"),
        (
            "remedies: [{id: x, does: y, success: {at: self/tpics, symptom: lag-growing}}]",
            "remedies[0].success: unknown relation",
        ),
        (
            "remedies: [{id: x, does: y, success: {at: self, symptom: lag-growing, cleared_within: soon}}]",
            "'soon' is not a duration",
        ),
    ],
)
def test_each_field_of_a_cause_is_checked(tmp_path: Path, addition: str, problem: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD + addition + "\n")
    assert problem in run_check(path).output
