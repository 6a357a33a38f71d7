"""Controls and changes as people write them: what is asked for, and what is refused before Kafka is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import pytest
from click.testing import CliRunner

from kroute.admin import controls, log
from kroute.admin.policy import versions
from kroute.cli import action, change, silence, verdict
from kroute.contracts.rows import Change, Control, Policy, PolicyChange, Target
from kroute.errors import ConfigError, NotAllowed
from kroute.settings import Settings

NOW = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp() * 1000)
H = 3_600_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [("2h", NOW + 2 * H), ("1h30m", NOW + H * 3 // 2), ("2026-11-24T13:00:00Z", NOW + H), ("2026-11-24T14:00:00+01:00", NOW + H),
     ("2026-11-24T13:00:00", NOW + H)],
)  # fmt: skip
def test_a_time_is_a_span_from_now_or_a_date(text: str, ms: int) -> None:
    assert controls.when(text, NOW) == ms


def test_what_is_no_time_is_told_how_to_write_one() -> None:
    with pytest.raises(ValueError, match="'tomorrow' is no time; write 2h"):
        controls.when("tomorrow", NOW)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["cause"], "'cause' is no matcher"),
        (["colour=red"], "field one of cause, team, service, cluster, root, entity"),
        (["cause=a", "cause=b"], "cause is matched twice"),
        (["cluster=*", "team=*"], "this would silence everything"),
    ],
)
def test_a_silence_names_what_it_silences(words: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        controls.matchers(words)
    assert controls.matchers(["cause=slow-*", "team=team-a"]) == {"cause": "slow-*", "team": "team-a"}


@pytest.mark.parametrize(
    ("command", "args", "problem"),
    [
        (silence.command, "add --match cause=x --why w", "a silence ends; give --for or --until"),
        (silence.command, "add --match cause=x --for 1h --until 2h --why w", "give --for or --until, not both"),
        (silence.command, "add --match cause=x --for 31d --why w", "at most 30 days"),
        (silence.command, "add --match cause=x --until 2020-01-01 --why w", "longer than nothing"),
        (silence.command, "add --match cause=x --for soon --why w", "'soon' is no time"),
        (silence.command, "add --match x --for 1h --why w", "'x' is no matcher"),
        (silence.command, "add --match cause=x --for 1h", "Missing option '--why'"),
        (verdict.command, "inc wrong-owner --why w", "wrong-owner says who should be"),
        (verdict.command, "inc right-owner --should-be t --why w", "the others do not"),
        (verdict.command, "inc fine --why w", "'fine' is not one of 'right-owner'"),
        (action.command, "inc r done --why w", "'done' is not one of 'started'"),
        (change.command, "declare deploy checkout --cluster c --why w", "'checkout' is no target; write kind/name"),
        (change.command, "declare deploy queue/x --cluster c --why w", "kind one of cluster, broker"),
        (change.command, "declare drill group/g --cluster c --why w --cause x", "give --remedy, --result"),
        (change.command, "declare replay group/g --cluster c --why w --cause x", "belong to a drill"),
        (change.command, "declare deploy group/g --cluster c --why w --detail x", "'x' is no detail"),
        (change.command, "declare replay group/g --cluster c --why w --for 1h --max-lag far", "'far' is not a duration"),
    ],
)
def test_a_mistake_is_told_before_kafka_is_asked(command: click.Command, args: str, problem: str) -> None:
    result = CliRunner().invoke(command, args.split(), env={"KROUTE_BOOTSTRAP": "127.0.0.1:1"})
    assert result.exit_code == 2
    assert problem in result.output


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kind": "party"}, "'party' is no kind of change"),
        ({"kind": "freeze"}, "a freeze says when it ends"),
        ({"kind": "deploy", "ends_at_ms": NOW - 1}, "it would end before it begins"),
    ],
)
def test_a_change_that_is_none(fields: dict[str, Any], problem: str) -> None:
    made = Change(id="c", cluster="c", target=Target(kind="group", name="g"), starts_at_ms=NOW, **fields)
    with pytest.raises(ConfigError, match=problem):
        controls.declare(Settings(), made)


def test_a_realm_may_do_what_the_policy_says_and_the_refusal_says_who_may(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(version="p7", realms={"": ("ack",), "sre": ("ack", "silence")})
    monkeypatch.setattr(versions, "in_force", lambda _: versions.Held(policy))
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(controls, "_topic", lambda _, realm: f"controls.{realm}" if realm else "controls")
    monkeypatch.setattr(log, "produce", lambda _, topic, rows: sent.extend((topic, r.key) for r in rows))
    hush = Control(kind="silence", id="s", at_ms=1, by="ann")
    with pytest.raises(NotAllowed, match="policy p7 does not let the topic without a realm give a silence; sre may"):
        controls.send(Settings(), hush, None)
    with pytest.raises(NotAllowed, match="does not let realm sre give a verdict; nobody may"):
        controls.send(Settings(), Control(kind="verdict", id="v", at_ms=1, by="ann"), "sre")
    assert controls.send(Settings(), hush, "sre") == "silence/s"
    assert controls.send(Settings(), Control(kind="ack", id="a", at_ms=1, by="ann"), None) == "ack/a"
    assert sent == [("controls.sre", "silence/s"), ("controls", "ack/a")]


def test_an_incident_is_named_by_the_beginning_of_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    alerts = {"inc-7f3a": [{"status": "firing"}], "inc-7f4b": [{"status": "resolved"}], "inc-7": [{"status": "firing"}]}
    monkeypatch.setattr(log, "routed_alerts", lambda _: alerts)
    assert controls.incident(Settings(), "inc-7f3") == "inc-7f3a"
    assert controls.incident(Settings(), "inc-7") == "inc-7"
    with pytest.raises(ConfigError, match="is the beginning of 2 incidents: inc-7f3a, inc-7f4b"):
        controls.incident(Settings(), "inc-7f")
    with pytest.raises(ConfigError, match="no incident inc-9 among the alerts that are kept; firing: inc-7f3a, inc-7"):
        controls.incident(Settings(), "inc-9")


def entry(at_ms: int, version: str) -> PolicyChange:
    return PolicyChange(at_ms=at_ms, by="ann", why="w", action="apply", policy=Policy(version=version))


def test_going_back_is_to_the_newest_that_is_another() -> None:
    past = [entry(1, "a"), entry(2, "b"), entry(3, "c"), entry(4, "c")]
    back = versions.earlier(past, "c", None)
    assert back is past[1]
    assert versions.earlier(past, "c", "a") is past[0]
    assert versions.earlier(past, "c", "z") is None
    assert versions.earlier(past[:1], "a", None) is None


def test_a_version_is_the_commit_and_tells_when_files_differ_from_it(tmp_path: Any) -> None:
    assert versions.version_of(tmp_path, {"routes": []}).startswith("content-")
    assert versions.version_of(tmp_path, {"routes": []}) != versions.version_of(tmp_path, {"routes": [1]})

    def git(*args: str) -> None:
        assert versions._git(tmp_path, "-c", "user.email=a@b.c", "-c", "user.name=a", *args) is not None

    git("init", "-q")
    (tmp_path / "p.yaml").write_text("routes: []\n")
    git("add", "-A")
    git("commit", "-q", "-m", "x")
    commit = versions._git(tmp_path, "rev-parse", "--short=10", "HEAD")
    assert versions.version_of(tmp_path, {}) == commit
    (tmp_path / "p.yaml").write_text("routes: [1]\n")
    assert versions.version_of(tmp_path, {}).startswith(f"{commit}-")
