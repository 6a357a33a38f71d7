"""Ownership, policy and controls as commands give them, on a real broker and with alerts flowing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import orjson
import pytest
from click.testing import CliRunner

from kroute.admin import log
from kroute.cli import ack, action, change, ownership, policy, silence, verdict
from kroute.contracts.topics import Names
from kroute.local.choose import Chosen
from kroute.settings import Kafka, Settings
from kroute.stream.topics import create_topics
from tests.kafka.feeder import Feeder
from tests.kafka.helpers import unique, wait_for
from tests.kafka.stack import Stack, open_deliveries, root_of
from tests.kafka.test_kill import GROUPS

pytestmark = pytest.mark.kafka
FIRST = """
team: team-a
page: pagerduty://a
notify: slack://a
cluster: prod
services:
  checkout: {freshness: 60s, tier: 1}
  search: {freshness: 60s}
topics: {payments: {service: checkout}, clicks: {service: search}}
clusters: {prod: {owner: team-platform}}
teams: {team-platform: {page: "pagerduty://platform"}}
"""
ROUTES = "routes:\n  - {name: %s, when: {cause: [slow-consumer]}, %s: diagnosis}\ndefaults: {settle_s: 4, hold_s: 12}\n"


class Desk:
    """Commands as a person gives them, to topics that no other test uses."""

    def __init__(self, bootstrap: str, tmp_path: Path, names: Names | None = None) -> None:
        uid = unique("desk")
        self.names = names or Names(prefix=f"{uid}.", alerts=f"{uid}-alerts")
        self.settings = Settings(kafka=Kafka(bootstrap=bootstrap), names=self.names)
        self.env = {
            "KROUTE_BOOTSTRAP": bootstrap,
            "KROUTE_PREFIX": self.names.prefix,
            "KROUTE_ALERTS_TOPIC": self.names.alerts,
        }
        self.folder = tmp_path

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return str(path)

    def run(self, command: click.Command, *args: str, status: int = 0) -> str:
        """What a command prints; its exit status must be this."""
        result = CliRunner().invoke(command, list(args), env=self.env)
        said = result.output + (
            f"kroute: {result.exception}" if not isinstance(result.exception, (SystemExit, type(None))) else ""
        )
        code = 2 if result.exception is not None and not isinstance(result.exception, SystemExit) else result.exit_code
        assert code == status, said
        return said

    def standing(self, short: str) -> dict[str, dict[str, Any]]:
        """Key → value of what stands on a topic."""
        return {k: orjson.loads(r.value or b"") for k, r in log.compacted(self.settings, self.names.full(short)).items()}


@pytest.fixture
def desk(bootstrap: str, tmp_path: Path) -> Desk:
    return Desk(bootstrap, tmp_path)


def test_rows_are_applied_compared_changed_and_taken_back(desk: Desk) -> None:
    path = desk.file("own/a.yaml", FIRST)
    assert desk.run(ownership.command, "check", path) == "7 rows of 2 teams, nothing wrong\n"
    said = desk.run(ownership.command, "apply", path, "--dry-run", status=2)
    assert "does not exist" in said, "a dry run makes no topic"
    said = desk.run(ownership.command, "apply", path)
    assert "7 new, 0 changed, 0 deleted, 0 as they are; 7 written in" in said
    assert desk.standing("ownership")["service/prod/checkout"] == {
        "kind": "service", "cluster": "prod", "name": "checkout", "owner": "team-a", "slo": {"freshness_s": 60.0}, "labels": {"tier": "1"},
    }  # fmt: skip
    before = sorted(log.records(desk.settings, [desk.names.full("ownership")]))
    assert desk.run(ownership.command, "apply", path) == "0 new, 0 changed, 0 deleted, 7 as they are\n"
    assert sorted(log.records(desk.settings, [desk.names.full("ownership")])) == before, "nothing is written twice"

    desk.file("own/a.yaml", FIRST.replace("60s, tier: 1", "30s, tier: 1").replace(", clicks: {service: search}", ""))
    said = desk.run(ownership.command, "diff", path, "--exit-code", status=1)
    assert said.splitlines() == [
        "~ service/prod/checkout", '    slo: {"freshness_s":60.0} → {"freshness_s":30.0}',
        "- topic/prod/clicks  owner=team-a service=search", "0 new, 1 changed, 1 deleted, 5 as they are",
    ]  # fmt: skip
    assert "(dry run: nothing written)" in desk.run(ownership.command, "apply", path, "--dry-run")
    desk.run(ownership.command, "apply", path, "--quiet")
    assert "topic/prod/clicks" not in desk.standing("ownership")
    assert desk.run(ownership.command, "diff", path, "--exit-code") == "0 new, 0 changed, 0 deleted, 6 as they are\n"
    listed = desk.run(ownership.command, "list", "--kind", "topic", "--json")
    assert [(r["key"], r["set"]) for r in map(json.loads, listed.splitlines())] == [("topic/prod/payments", "main")]
    audited = desk.run(ownership.command, "audit", status=1)
    assert "no-customer-function (2)" in audited


def test_an_audit_finds_what_collectors_saw_and_no_row_covers(desk: Desk) -> None:
    create_topics(desk.settings)
    desk.run(ownership.command, "apply", desk.file("a.yaml", FIRST), "--quiet")
    at = int(time.time() * 1000)
    seen: dict[str, list[dict[str, Any]]] = {
        "consumer-lag": [{"group": g, "state": s, "partitions": []} for g, s in (("stray", "Stable"), ("gone", "Dead"))],
        "topology": [{"brokers": [], "topics": [{"name": n, "partitions": []} for n in ("payments", "nobodys", "__consumer_offsets")]}],
        "connector-status": [{"connect": "c", "connector": "es", "type": "sink", "state": "RUNNING", "system": "elastic", "tasks": []}],
        "access": [{"acls": [{"principal": "User:x", "resource": "topic:payments", "operation": "Read", "permission": "Allow"}]}],
    }  # fmt: skip
    for short, messages in seen.items():
        rows = [log.Row("k", orjson.dumps({"cluster": "prod", "observed_at_ms": at, **m})) for m in messages]
        log.produce(desk.settings, desk.names.full(short), [*rows, log.Row("k", b"no json")])
    said = desk.run(ownership.command, "audit", "--estate", "--json", status=1)
    found = [json.loads(line) for line in said.splitlines()]
    assert [f["about"] for f in found if f["rule"] == "not-covered"] == [
        "connector/prod/c/es", "group/prod/stray", "principal/prod/User:x", "system/prod/elastic", "topic/prod/nobodys",
    ]  # fmt: skip


def test_another_set_and_rows_of_nobody_are_left_alone_until_adopted(desk: Desk) -> None:
    topic = log.ensure(desk.settings, "ownership")
    log.produce(
        desk.settings, topic, [log.Row("topic/prod/byhand", b'{"kind":"topic","cluster":"prod","name":"byhand","owner":"x"}')]
    )
    desk.run(ownership.command, "apply", desk.file("a.yaml", FIRST), "--set", "one")
    other = desk.file("b.yaml", "cluster: prod\ntopics: {mine: {owner: team-a}}\n")
    desk.run(ownership.command, "apply", other, "--set", "two", "--partial")
    assert len(desk.standing("ownership")) == 9
    taken = desk.file("b.yaml", "cluster: prod\ntopics: {byhand: {owner: team-a}, payments: {owner: team-b}}\n")
    said = desk.run(ownership.command, "apply", taken, "--set", "two", "--partial", status=2)
    assert "2 rows that would change were not applied as set two (no set, set one)" in said
    desk.run(ownership.command, "apply", taken, "--set", "two", "--partial", "--adopt")
    rows = desk.standing("ownership")
    assert (rows["topic/prod/byhand"]["owner"], rows["topic/prod/payments"]["owner"]) == ("team-a", "team-b")
    assert "topic/prod/mine" not in rows, "gone from its own set"
    assert "service/prod/search" in rows


def test_a_large_delete_is_asked_about(desk: Desk) -> None:
    names = ", ".join(f"t{i}: {{owner: a}}" for i in range(30))
    desk.run(ownership.command, "apply", desk.file("a.yaml", f"cluster: c\ntopics: {{{names}}}\n"), "--partial", "--quiet")
    fewer = desk.file("a.yaml", "cluster: c\ntopics: {t0: {owner: a}}\n")
    said = desk.run(ownership.command, "apply", fewer, "--partial", "--quiet", status=2)
    assert "29 of the 30 rows of this set would be deleted; --allow-deletes 29 lets them go" in said
    assert len(desk.standing("ownership")) == 30
    desk.run(ownership.command, "apply", fewer, "--partial", "--quiet", "--allow-deletes", "29")
    assert len(desk.standing("ownership")) == 1


def test_a_policy_is_put_in_force_remembered_and_taken_back(desk: Desk) -> None:
    desk.run(ownership.command, "apply", desk.file("a.yaml", FIRST), "--quiet")
    path = desk.file("p/policy.yaml", ROUTES % ("first", "ticket"))
    why = ("--why", "because")
    assert "would replace the built-in default" in desk.run(policy.command, "apply", path, *why, "--version", "v1", "--dry-run")
    said = desk.run(policy.command, "apply", path, *why, "--version", "v1", "--expect", "none")
    assert said.endswith("policy v1 is in force; before it the built-in default\n")
    assert desk.run(policy.command, "apply", path, *why, "--version", "v1").endswith("policy v1 is in force already\n")
    desk.file("p/policy.yaml", ROUTES % ("second", "page"))
    said = desk.run(policy.command, "apply", path, *why, "--version", "v2", "--expect", "none", status=2)
    assert "v1 is in force, not none; nothing was changed" in said
    desk.run(policy.command, "apply", path, *why, "--version", "v2", "--by", "ann")
    assert desk.standing("policy")["policy"]["routes"][0]["name"] == "second"
    # What is wrong changes nothing: in form, with the rows that stand, or with the cases beside it.
    desk.file("p/policy.yaml", "routes: [{name: a, escalate: {after: 5m, to: team-nobody}}]\n")
    assert "no team 'team-nobody'" in desk.run(policy.command, "apply", path, *why, status=2)
    desk.file("p/policy.yaml", ROUTES % ("third", "page"))
    desk.file("p/case.yaml", "about: x\npolicy: .\nexpect: [{by: 1m, type: opened}]\n")
    assert "1 of 1 cases failed; nothing was put in force" in desk.run(
        policy.command, "apply", str(desk.folder / "p"), *why, status=1
    )
    assert desk.standing("policy")["policy"]["version"] == "v2"

    desk.run(policy.command, "rollback", *why, "--by", "bob")
    assert desk.standing("policy")["policy"]["version"] == "v1"
    lines = desk.run(policy.command, "history").splitlines()
    assert [(x[0], *x.split()[-4:]) for x in lines] == [
        (" ", "v1", "apply", lines[0].split()[-2], "because"), (" ", "v2", "apply", "ann:", "because"), ("→", "v1", "rollback", "bob:", "because"),
    ]  # fmt: skip
    assert "name: first" in desk.run(policy.command, "show")
    assert "name: second" in desk.run(policy.command, "show", "v2")
    desk.run(policy.command, "rollback", "v2", *why)
    assert desk.standing("policy")["policy"]["version"] == "v2"
    assert "no version 'v9' in the history" in desk.run(policy.command, "rollback", "v9", *why, status=2)
    # A bad one that was sent past the command is not what is in force; what is good replaces it.
    log.produce(desk.settings, desk.names.full("policy"), [log.Row("policy", b'{"version": "bad", "routes": [{"name": "x"}]}')])
    assert "a bad policy (bad) stands on the topic" in desk.run(policy.command, "history")
    desk.run(policy.command, "rollback", *why)
    assert desk.standing("policy")["policy"]["version"] == "v1"


def test_controls_and_changes_are_given_listed_and_ended(desk: Desk) -> None:
    why = ("--why", "load test", "--by", "ann")
    create_topics(desk.settings)
    said = desk.run(silence.command, "add", "--match", "service=checkout", "--for", "2h", "--id", "s1", *why)
    assert said.startswith("silence s1 until 2")
    assert "s1  until" in desk.run(silence.command, "list")
    desk.run(silence.command, "end", "s1", *why)
    assert desk.run(silence.command, "list") == ""
    stands = desk.standing("controls")["silence/s1"]
    assert stands["until_ms"] <= time.time() * 1000
    assert stands["why"] == "load test; ended by ann: load test"
    assert "no silence s9" in desk.run(silence.command, "end", "s9", *why, status=2)

    desk.run(change.command, "declare", "maintenance", "broker/3", "--cluster", "prod", "--for", "1h", "--id", "m1", *why)
    drill = ("--cause", "slow-consumer", "--remedy", "scale-consumers", "--result", "passed")
    desk.run(change.command, "declare", "drill", "group/checkout", "--cluster", "prod", "--id", "d1", *drill, *why)
    assert "a freeze says when it ends" in desk.run(
        change.command, "declare", "freeze", "cluster/prod", "--cluster", "prod", *why, status=2
    )
    assert [x.split()[:2] for x in desk.run(change.command, "list").splitlines()] == [["m1", "maintenance"], ["d1", "drill"]]
    desk.run(change.command, "end", "m1", *why)
    assert "m1" not in desk.run(change.command, "list", "--kind", "maintenance")
    assert desk.standing("changes")["d1"]["detail"] == {
        "cause": "slow-consumer", "remedy": "scale-consumers", "result": "passed", "entity": "group/checkout",
    }  # fmt: skip

    assert "no incident inc-1 among the alerts that are kept" in desk.run(ack.command, "inc-1", *why, status=2)
    alert = {"id": "inc-1-1", "incident": "inc-1", "revision": 1, "type": "opened", "status": "firing"}
    log.produce(desk.settings, desk.names.alerts, [log.Row("inc-1", orjson.dumps(alert))])
    assert desk.run(ack.command, "inc", *why) == "inc-1 acknowledged by ann\n"
    desk.run(verdict.command, "inc-1", "wrong-owner", "--should-be", "team-b", *why)
    desk.run(action.command, "inc-1", "scale-consumers", "started", *why)
    desk.run(action.command, "inc-1", "scale-consumers", "failed", *why)
    kinds = sorted(
        (v["kind"], v.get("state"), v.get("should_be")) for k, v in desk.standing("controls").items() if v["kind"] != "silence"
    )
    assert kinds == [("ack", None, None), ("action", "failed", None), ("verdict", None, "team-b")]

    # The policy says what a realm may do; a realm without a topic is read by nobody.
    path = desk.file("p.yaml", 'realms: {"": [ack], sre: [ack, silence]}\n')
    desk.run(policy.command, "apply", path, "--why", "authority")
    said = desk.run(silence.command, "add", "--match", "cause=x", "--for", "1h", *why, status=2)
    assert "does not let the topic without a realm give a silence; sre may" in said
    said = desk.run(silence.command, "add", "--match", "cause=x", "--for", "1h", "--realm", "sre", *why, status=2)
    assert "workers create and read those named in KROUTE_REALMS" in said
    log.ensure(desk.settings, "controls.sre")
    assert "silence" in desk.run(silence.command, "add", "--match", "cause=x", "--for", "1h", "--realm", "sre", *why)
    assert "[sre]" in desk.run(silence.command, "list")


# -- with alerts flowing -------------------------------------------------------------------------------------------

OWNERS = """
team: team-a
page: pagerduty://a
ticket: jira://a
notify: slack://a
cluster: prod
groups: {g1: {service: s-g1}, g2: {service: s-g2}, g3: {service: s-g3}}
services: {s-g1: {freshness: 10m}, s-g2: {freshness: 10m}, s-g3: {freshness: 10m}}
clusters: {prod: {owner: team-platform}}
teams: {team-platform: {page: "pagerduty://platform"}, team-b: {page: "pagerduty://b", ticket: "jira://b", notify: "slack://b"}}
"""
WHY = ("--why", "a test")


@pytest.fixture
def stack(kafka: Chosen, tmp_path: Path) -> Iterator[Stack]:
    """A worker, and a feeder that stands in for the collector."""
    s = Stack(kafka.bootstrap, tmp_path, {})
    s.env["KROUTE_REALMS"] = "sre"
    try:
        s.start([])
        s.processes.pop("collect").terminate()
        yield s
    finally:
        s.stop()


class Watch:
    """Waits for alerts of one group's incident."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def until(self, group: str, what: str, holds: Callable[[dict[str, Any]], bool], timeout_s: float = 60) -> dict[str, Any]:
        """The newest alert at the group's root, once it has what is asked."""

        def newest() -> dict[str, Any] | None:
            found = [a for a in list(self.stack.alerts) if a["type"] != "heartbeat" and root_of(a) == f"group/{group}"]
            return found[-1] if found and holds(found[-1]) else None

        try:
            got = wait_for(newest, timeout_s, f"{group}: {what}")
        except AssertionError as e:
            came = [
                (a["type"], root_of(a), a["policy_version"], [(r["role"], r["team"], r["urgency"], r["do"], r["reason"]) for r in a["routes"]])
                for a in self.stack.alerts
                if a["type"] != "heartbeat"
            ]  # fmt: skip
            lines = "\n".join(map(str, came))
            raise AssertionError(f"{e}\n{lines}\n{self.stack.log('worker')}") from None
        assert got is not None
        return got


def told(alert: dict[str, Any], role: str) -> tuple[str, str, str]:
    """(team, urgency, reason) of the loud route of a role."""
    found = [(r["team"], r["urgency"], r["reason"]) for r in alert["routes"] if r["role"] == role and r["do"] != "close"]
    assert len(found) == 1, alert["routes"]
    return found[0]


@pytest.mark.slow
def test_owner_policy_silence_and_restart_change_while_alerts_flow_and_nothing_is_lost_doubled_or_left_open(
    stack: Stack, tmp_path: Path
) -> None:
    desk, watch = Desk(stack.bootstrap, tmp_path, stack.names), Watch(stack)
    owners = desk.file("own/owners.yaml", OWNERS)
    desk.run(ownership.command, "apply", owners, "--quiet")
    first = desk.file("v1/policy.yaml", ROUTES % ("read-as-a-ticket", "ticket"))
    second = desk.file("v2/policy.yaml", ROUTES % ("read-as-a-page", "page"))
    desk.run(policy.command, "apply", first, *WHY, "--version", "v1")
    with Feeder(stack, GROUPS) as feeder:
        stack.wait_for_heartbeat()
        time.sleep(15)
        feeder.slow["g1"] = True
        a = watch.until("g1", "opened under v1", lambda a: a["policy_version"] == "v1")
        assert told(a, "diagnosis") == ("team-a", "ticket", "policy:read-as-a-ticket")

        # Rolled out while it is open: the same incident, told by the new policy.
        desk.run(policy.command, "apply", second, *WHY, "--version", "v2")
        a = watch.until("g1", "told by v2", lambda a: a["policy_version"] == "v2", 20)
        assert told(a, "diagnosis") == ("team-a", "page", "policy:read-as-a-page")
        # A bad one, sent past the command, is a dead letter and replaces nothing.
        stack.put("policy", "policy", {"version": "bad", "routes": [{"name": "says-nothing"}]})
        letters = stack.names.full("dead-letter")
        wait_for(lambda: list(log.records(stack.settings, [letters])), 30, "a dead letter")
        [letter] = [orjson.loads(r.value or b"") for r in log.records(stack.settings, [letters])]
        assert (letter["reason"], letter["topic"]) == ("bad-policy", stack.names.full("policy"))

        # The owner moves: what is open stays where it is, what comes goes to the new one.
        desk.file("own/owners.yaml", OWNERS.replace("s-g1: {freshness: 10m}, s-g2: {freshness: 10m}",
                  "s-g1: {freshness: 10m, owner: team-b}, s-g2: {freshness: 10m, owner: team-b}"))  # fmt: skip
        desk.run(ownership.command, "apply", owners, "--quiet")
        feeder.slow["g2"] = True
        b = watch.until("g2", "opened at its new owner", lambda a: True)
        assert (told(b, "diagnosis")[0], b["policy_version"]) == ("team-b", "v2")
        desk.run(ack.command, b["incident"], *WHY, "--realm", "sre")
        watch.until("g2", "acknowledged", lambda a: a["type"] == "acknowledged", 20)

        # Silenced: what it had opened is closed; it stays on record.
        desk.run(silence.command, "add", "--match", "root=group/g1", "--for", "1h", "--id", "s1", *WHY)
        a = watch.until("g1", "silenced", lambda a: a["suppressed"] is not None, 20)
        assert {r["do"] for r in a["routes"]} == {"close"}, "every destination that was opened, and nothing more"
        assert a["suppressed"]["by"] == "silence"
        assert all(r["team"] == "team-a" for r in a["routes"] if r["do"] == "close")

        # Killed, and started again on another machine; meanwhile the policy goes back.
        stack.kill("worker")
        desk.run(policy.command, "rollback", *WHY)
        stack.spawn("worker", "worker", "--datadir", str(tmp_path / "elsewhere"), "--web-port", "0")
        watch.until("g1", "silent under v1", lambda a: a["suppressed"] is not None and a["policy_version"] == "v1", 90)
        desk.run(silence.command, "end", "s1", *WHY)
        a = watch.until("g1", "told again", lambda a: a["suppressed"] is None, 20)
        assert a["policy_version"] == "v1"
        assert told(a, "diagnosis")[1:] == ("ticket", "policy:read-as-a-ticket")
        feeder.slow.update(g1=False, g2=False)
        watch.until("g1", "resolved", lambda a: a["status"] == "resolved", 90)
        watch.until("g2", "resolved", lambda a: a["status"] == "resolved", 90)
    stack.stop()
    assert set(GROUPS) >= {root_of(alerts[0]).removeprefix("group/") for alerts in stack.incidents().values()}
    assert sorted(root_of(alerts[0]) for alerts in stack.incidents().values()) == ["group/g1", "group/g2"]
    for alerts in stack.incidents().values():
        assert [a["revision"] for a in alerts] == list(range(1, len(alerts) + 1)), "no revision is missing"
        assert open_deliveries(alerts) == {}, "a subscriber that knows only delivery and do has nothing open"
        assert {a["policy_version"] for a in alerts} <= {"v1", "v2"}, "each names the version that routed it"
    seen: dict[str, bytes] = {}
    for raw in stack.raw:
        assert seen.setdefault(json.loads(raw)["id"], raw) == raw, "a repeat is the same bytes"
