"""The examples that people copy are good, and their timeline cases pass."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from kroute.cli import check, ownership
from kroute.cli import test as cases

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"


def test_the_examples_are_checked_without_a_warning() -> None:
    result = CliRunner().invoke(check.command, ["--strict", str(EXAMPLES / "policy"), str(EXAMPLES / "ownership")])
    assert (result.exit_code, result.output) == (0, "8 files checked, nothing wrong\n")
    assert CliRunner().invoke(ownership.command, ["check", str(EXAMPLES / "ownership")]).exit_code == 0


def test_the_cases_beside_the_policy_pass() -> None:
    result = CliRunner().invoke(cases.command, [str(EXAMPLES / "policy")])
    assert result.exit_code == 0, result.output
    assert result.output.endswith("3 passed\n")


def test_a_case_fails_under_another_policy(tmp_path: Path) -> None:
    """The cases are about the policy: without its route they do not pass."""
    (tmp_path / "policy.yaml").write_text("routes: []\n")
    text = (EXAMPLES / "policy" / "tests" / "checkout-at-night.yaml").read_text()
    (tmp_path / "case.yaml").write_text(text.replace("policy: ..", "policy: ."))
    result = CliRunner().invoke(cases.command, [str(tmp_path)])
    assert result.exit_code == 1


def test_a_bad_policy_of_a_case_is_a_mistake_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("routes: [{name: a}]\n")
    (tmp_path / "case.yaml").write_text("about: x\npolicy: policy.yaml\nexpect: []\n")
    result = CliRunner().invoke(cases.command, [str(tmp_path / "case.yaml")])
    assert f"case.yaml:2: policy: {tmp_path}/policy.yaml:1: routes[0]: says nothing" in str(result.exception)
