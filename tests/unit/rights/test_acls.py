"""``kroute acls``: what is printed, for whom, and that nobody gets more than it needs."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner

from kroute.cli.acls import command
from kroute.contracts.topics import TABLES, TOPICS
from kroute.rights.check import missing
from kroute.rights.model import Right
from kroute.rights.processes import PROCESSES, SOURCE, rights
from kroute.settings import Settings
from kroute.stream.topics import wanted

SETTINGS = Settings()
REALMS = ("executor", "sre")


def run(*arguments: str, fails: bool = False, **env: str) -> str:
    done = CliRunner().invoke(command, list(arguments), env={"KROUTE_REALMS": "sre,executor", **env})
    assert done.exit_code == (2 if fails else 0), done.output
    return done.output


def rows(*arguments: str, **env: str) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = json.loads(run(*arguments, "--format", "json", fails=False, **env))
    return out


def test_the_worker_may_make_every_topic_it_would_make_and_touch_no_other() -> None:
    mine = [r for r in rights(SETTINGS, "worker", REALMS) if r.resource == "topic"]
    assert {r.name for r in mine if "Create" in r.operations} == {t.name for t in wanted(SETTINGS, REALMS)}
    assert {r.name for r in mine} == {t.name for t in wanted(SETTINGS, REALMS)}
    assert not any("Create" in r.operations for r in rights(SETTINGS, "worker", REALMS, create=False))


def test_only_the_worker_writes_facts_and_state_and_alerts() -> None:
    guarded = {"kroute.facts", "kroute.placement", "routed-alerts", "kroute.dead-letter"}
    guarded |= {f"kroute-{t}-changelog" for t in TABLES}
    for process in PROCESSES:
        given = rights(SETTINGS, process, REALMS, "sre")
        written = {r.name for r in given if r.resource == "topic" and "Write" in r.operations}
        assert (written & guarded == set()) is (process != "worker"), process


def test_who_speaks_for_a_realm_writes_that_topic_alone() -> None:
    for process in ("responder", "executor"):
        given = rights(SETTINGS, process, REALMS, "sre")
        assert [r.name for r in given if "Write" in r.operations] == ["kroute.controls.sre"]
    writers = {(r["process"], r["name"]) for r in rows() if r["operation"] == "Write" and ".controls" in r["name"]}
    assert writers == {("responder executor", "kroute.controls.executor"), ("responder sre", "kroute.controls.sre")}


def test_readers_and_the_polled_cluster_are_looked_at_only() -> None:
    assert {o for r in rights(SETTINGS, "reader", REALMS) for o in r.operations} == {"Read", "Describe"}
    assert {o for r in SOURCE for o in r.operations} == {"Describe", "DescribeConfigs"}
    assert {r["process"] for r in rows()} & {"source"} == set(), "a right on every topic is given only where it is asked for"


def test_no_right_is_on_everything_but_on_a_polled_cluster() -> None:
    for process in PROCESSES:
        if process != "source":
            given = rights(SETTINGS, process, REALMS, "sre")
            assert not any(r.name == "*" or r.prefixed or r.resource == "cluster" for r in given)


def test_the_reader_sees_every_topic() -> None:
    seen = {r.name for r in rights(SETTINGS, "reader") if r.resource == "topic"}
    assert {SETTINGS.names.full(t) for t in TOPICS} - seen == {"kroute.placement"}


def test_names_follow_the_settings() -> None:
    env = {"KROUTE_PREFIX": "k.", "KROUTE_APP_ID": "app", "KROUTE_ALERTS_TOPIC": "out"}
    named = {r["name"] for r in rows("worker", "notifier", **env)}
    assert {"k.facts", "app-journal-changelog", "out", "app", "app-reader", "k.controls.sre"} <= named
    assert not [n for n in named if n.startswith("kroute") and n != "kroute-notifier"]


def test_principals_realms_and_executors_are_whom_one_says() -> None:
    given = rows("worker", "responder", "executor", "--principal", "worker=User:CN=w", "--realm", "sre=User:a",
                 "--realm", "sre=User:b", "--executor", "executor")  # fmt: skip
    assert {(r["process"], r["principal"]) for r in given} == {
        ("worker", "User:CN=w"), ("responder sre", "User:a"), ("responder sre", "User:b"),
        ("executor executor", "User:kroute-executor"),
    }  # fmt: skip


def test_commands_say_what_the_list_says() -> None:
    lines = [shlex.split(x) for x in run("worker", "collector", "source").splitlines() if not x.startswith("#")]
    told = set()
    for words in lines:
        options = list(pairwise(words))
        who = next(b for a, b in options if a == "--allow-principal")
        names = [(a, b) for a, b in options if a in ("--topic", "--group", "--transactional-id")]
        names = names or [("--cluster", "kafka-cluster")]
        told |= {(who, a.lstrip("-"), b, op) for a, b in names for o, op in options if o == "--operation"}
        assert words[0] == "kafka-acls"
        assert ("--bootstrap-server", "127.0.0.1:9092") in options
    listed = rows("worker", "collector", "source")
    assert told == {(r["principal"], r["resource"], r["name"], r["operation"]) for r in listed}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["wroker"], "'wroker' is no process; there is worker, collector,"),
        (["--principal", "wroker=User:a"], "there is no such process"),
        (["--principal", "worker=alice"], "write name=User:principal"),
        (["--realm", "ops=User:a"], "realm ops is not in KROUTE_REALMS"),
        (["executor"], "give --executor REALM"),
    ],
)
def test_a_mistake_is_told(arguments: list[str], says: str) -> None:
    assert says in run(*arguments, fails=True)


class Told:
    """What Kafka says that one may do."""

    def topics(self, names: Any) -> dict[str, frozenset[str] | None]:
        held = {"a": frozenset({"READ"}), "b": frozenset[str](), "c": None, "d": frozenset({"READ", "WRITE", "DESCRIBE"})}
        return {n: held[n] for n in names}

    def groups(self, names: Any) -> dict[str, frozenset[str] | None]:
        return {n: frozenset({"DESCRIBE"}) for n in names}


def test_what_is_missing_is_reduced_to_what_is_missing() -> None:
    wanted = [
        Right("topic", "a", ("Read", "Describe"), ""), Right("topic", "a", ("Read", "Write", "Create"), ""),
        Right("topic", "b", ("Read", "Write"), ""), Right("topic", "c", ("Read",), ""), Right("topic", "d", ("Write",), ""),
        Right("group", "g", ("Read",), ""), Right("group", "g", ("Describe",), ""), Right("topic", "*", ("Read",), ""),
    ]  # fmt: skip
    lacking = missing(Told(), wanted)  # type: ignore[arg-type]
    assert [(r.resource, r.name, r.operations) for r in lacking] == [
        ("topic", "a", ("Write",)), ("topic", "b", ("Read", "Write")), ("group", "g", ("Read",)),
    ]  # fmt: skip
