"""Policy files: one bad file per mistake, each with its message; what only ownership and policy together tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kroute.admin.policy import folder
from kroute.admin.policy.check import wider
from kroute.cli import check
from kroute.routing.rules import When

HERE = Path(__file__).parent
OWNERSHIP = HERE / "good" / "ownership.yaml"
BAD = sorted((HERE / "bad" / "policy").glob("*.yaml"))
OWNERS = sorted((HERE / "bad" / "owners").glob("*.yaml"))


def run(*args: object) -> Result:
    return CliRunner().invoke(check.command, [str(a) for a in args])


def test_the_ownership_that_bad_policies_are_checked_with_is_good() -> None:
    result = run(OWNERSHIP, "--strict")
    assert (result.exit_code, result.output) == (0, "1 file checked, nothing wrong\n")


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_each_mistake_of_a_policy_is_told_with_its_line_and_field(path: Path) -> None:
    result = run(path, OWNERSHIP)
    assert result.exit_code == 2
    told = result.output.replace(f"{path.parent}/", "").splitlines()
    expected = path.read_text().splitlines()[0].removeprefix("# ")
    assert told == [f"{path.name}:{expected}", "1 problem in 1 of 2 files"]


@pytest.mark.parametrize("path", OWNERS, ids=lambda p: p.stem)
def test_what_falls_back_is_warned_of(path: Path) -> None:
    line, _, message = path.read_text().splitlines()[0].removeprefix("# ").partition(": ")
    result = run(path)
    assert result.exit_code == 0, result.output
    where = f"{path}" if line == "?" else f"{path}:{line}"
    assert f"warning: {where}: {message}" in result.output.splitlines()
    strict = run(path, "--strict")
    assert strict.exit_code == 2
    assert f"{where}: {message}" in strict.output.splitlines()


def test_without_ownership_what_only_rows_tell_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text("routes: [{name: a, when: {service: [x], tier: 2}, page: action}, {name: b, escalate: {after: 5m, to: t}}]\n")
    assert run(path).output.splitlines() == [
        f"{path}:1: routes[1].escalate.to: no team 't': it stands neither under teams nor in a row team/*/t; no ownership files were given",
        "1 problem in 1 of 1 files",
    ]


def test_the_parts_of_a_policy_are_put_together_and_its_cases_left_to_themselves(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("routes: [{name: a, when: {outside: office}, page: action}]\nteams: {t: {page: 'p://t'}}\n")
    (tmp_path / "b.yml").write_text("calendars: {office: {days: [mon], from: '08:00', to: '18:00', tz: Europe/Berlin}}\n")
    (tmp_path / "c.yaml").write_text("defaults: {hold_s: 60}\n")
    (tmp_path / "d.yaml").write_text(
        "automation: {grants: [{name: g, remedy: scale-consumers}]}\nroutes: [{name: d, page: impact}]\n"
    )
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "one.yaml").write_text("about: x\npolicy: ..\nexpect: []\n")
    assert run(tmp_path).output == "5 files checked, nothing wrong\n"
    policy, ready, problems = folder.read(tmp_path).policy("v1", 2026)
    assert problems == []
    assert policy is not None
    assert ready is not None
    assert [r.name for r in ready.routes] == ["a", "d"]
    assert (ready.version, ready.numbers.hold_s, ready.automation.grants[0].name) == ("v1", 60, "g")
    offsets = policy.calendars["office"]["offsets"]
    assert offsets[0] == [1_704_067_200_000, "+01:00"]
    assert [1_774_746_000_000, "+02:00"] in offsets, "29 March 2026, 01:00 UTC"


def test_what_stands_in_two_files_and_problems_of_a_part_are_told_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("teams: {t: {page: 'p://t'}}\nroutes:\n  - {name: a, page: action}\n")
    (tmp_path / "b.yaml").write_text(
        "routes:\n  - {name: b,\n     when: {severity: [loud]},\n     page: impact}\nteams: {t: {}}\n"
    )
    result = run(tmp_path)
    assert f"{tmp_path}/b.yaml:5: teams.t: stands in {tmp_path}/a.yaml:1 too" in result.output
    (tmp_path / "b.yaml").write_text("routes:\n  - {name: b,\n     when: {severity: [loud]},\n     page: impact}\n")
    assert f"{tmp_path}/b.yaml:3: routes[0].when.severity: 'loud' is none of critical" in run(tmp_path).output


@pytest.mark.parametrize(
    ("a", "b", "is_wider"),
    [
        ({}, {"cause": ["x"]}, True),
        ({"cause": ["x"]}, {}, False),
        ({"cause": ["x*"]}, {"cause": ["xy", "xz*"]}, True),
        ({"cause": ["xy"]}, {"cause": ["x*"]}, False),
        ({}, {"reason": ["objective-breached"]}, False),  # without a reason it leaves rule 3 alone
        ({}, {"reason": ["at-risk"]}, True),
        ({"reason": ["at-risk", "cost"]}, {"reason": ["cost"]}, True),
        ({"confidence": 0.5}, {"confidence": 0.9}, True),
        ({"confidence": 0.9}, {"confidence": 0.5}, False),
        ({"confidence": 0.5}, {}, False),
        ({"inside": "night"}, {"inside": "night", "tier": "1"}, True),
        ({"inside": "night"}, {"tier": "1"}, False),
        ({"service_tier": ("1", "2")}, {"tier": "1"}, True),
        ({"objective": "fine"}, {"objective": ("fine", "at-risk")}, False),
    ],
)
def test_one_condition_is_wider_than_another(a: dict[str, object], b: dict[str, object], is_wider: bool) -> None:
    def when(fields: dict[str, object]) -> When:
        return When(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})  # type: ignore[arg-type]

    assert wider(when(a), when(b)) is is_wider
