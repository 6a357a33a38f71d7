"""An incident on a real cluster, from the first record to the report: explained, routed, acted on, reported, audited."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kroute.local.choose import Chosen
from kroute.routing.times import rfc3339
from tests.kafka.helpers import create_topic, produce, wait_for
from tests.kafka.stack import CLUSTER, Stack
from tests.kafka.test_scenarios import RATE, Flow, row, team
from tests.unit.report.world import alert, route

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
EXECUTOR = Path(__file__).parents[2] / "deploy" / "executor" / "scale_consumer.py"


class Live:
    """One flow that is slow, watched by a worker, with commands run as a user runs them."""

    def __init__(self, bootstrap: str, workdir: Path) -> None:
        self.workdir = workdir
        self.flow = Flow(bootstrap, "shop")
        collect = {"groups": {"include": [self.flow.group]}, "topology": {}}
        self.stack = Stack(bootstrap, workdir, collect).start([
            *(team(t) for t in ("team-a", "team-platform")),
            row("cluster", CLUSTER, owner="team-platform"),
            row("topic", self.flow.topic, owner="team-a"),
            *self.flow.rows("team-a"),
        ])  # fmt: skip
        self.root = f"group/{self.flow.group}"

    def run(self, *arguments: str, status: int = 0) -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "kroute.cli.main", *arguments],
            env=self.stack.env,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, (done.returncode, done.stdout.decode(), done.stderr.decode())
        return done.stdout

    def records(self) -> list[dict[str, Any]]:
        found = self.stack.incidents(root=self.root)
        return next(iter(found.values()), [])

    def wait(self, what: str, holds: Any, timeout_s: float = 90) -> dict[str, Any]:
        """The first record of the incident that holds."""
        found = wait_for(lambda: [a for a in self.records() if holds(a)], timeout_s, f"{what}\n{self.stack.log('worker')}")
        return found[0]


@pytest.fixture(scope="module")
def live(kafka: Chosen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    it = Live(kafka.bootstrap, tmp_path_factory.mktemp("explain"))
    try:
        it.stack.wait_for_heartbeat()
        time.sleep(20)  # a usual rate and pace have to be seen before anything can be unusual
        it.flow.consumer.rate = RATE / 10
        it.stack.expect("opened", "slow-consumer", it.root)
        it.wait("a breached objective", lambda a: any(i["state"] == "breached" for i in a["impact"]))
        yield it
    finally:
        it.stack.stop()
        it.flow.stop()


def routes(record: dict[str, Any]) -> set[tuple[str, ...]]:
    return {
        (r["role"], r["team"], r["urgency"], r["destination"], r["reason"], r["via"])
        for r in record["routes"]
        if r["do"] != "close"
    }


def test_explain_gives_the_bytes_that_were_delivered_and_says_each_route(live: Live) -> None:
    for record in live.records()[:3]:
        given = live.run("explain", record["incident"], "--revision", str(record["revision"]), "--json")
        assert given.rstrip(b"\n") in live.stack.raw
        assert orjson.loads(given)["id"] == record["id"]
    last = live.records()[-1]
    said = live.run("explain", last["id"]).decode()
    for r in last["routes"]:
        assert r["team"] in said
        assert r["via"] in said
    assert "rule 3: an objective is breached" in said
    assert "opened" in said


def test_route_says_before_what_was_delivered_after(live: Live) -> None:
    record = live.wait("a breached objective", lambda a: any(i["state"] == "breached" for i in a["impact"]))
    arguments = ["--impact", f"{live.root}=breached", "--confidence", str(record["cause"]["confidence"])]
    given = live.run("route", "--cause", "slow-consumer", "--root", live.root, "--cluster", CLUSTER, *arguments, "--json")
    answer = orjson.loads(given)
    assert answer["rule"] == 3
    assert routes(answer["record"]) == routes(record)
    assert answer["record"]["severity"] == record["severity"]


def test_a_remedy_is_watched_and_the_incident_records_that_it_worked(live: Live) -> None:
    incident = live.records()[-1]["incident"]
    live.run("ack", incident, "--by", "ann", "--why", "on it")
    live.run("action", incident, "scale-consumers", "started", "--by", "ann", "--why", "two more")
    watched = live.wait("a watched remedy", lambda a: any(r["outcome"] == "watching" for r in a.get("remedies", ())))
    assert "its signals are watched" in watched["why"]
    live.flow.consumer.rate = RATE * 20
    live.run("action", incident, "scale-consumers", "succeeded", "--by", "ann", "--why", "five run")
    worked = live.wait("a remedy that worked", lambda a: any(r["outcome"] == "worked" for r in a.get("remedies", ())), 120)
    [run] = worked["remedies"]
    assert (run["remedy"], run["by"], run["roll_back"]) == ("scale-consumers", "ann", False)
    assert run["why"].startswith("lag-growing at group/")
    live.wait("the end", lambda a: a["status"] == "resolved", 120)
    live.run("verdict", incident, "right-owner", "--by", "ann", "--why", "it was us")
    document = live.run("explain", incident, "--markdown").decode()
    assert "scale-consumers by ann" in document
    assert "ann acknowledged: on it" in document
    assert "ann says right-owner: it was us" in document


def test_report_counts_what_was_delivered_and_done(live: Live, tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    given = orjson.loads(live.run("report", "--since", "1h", "--html", str(html), "--json", "-"))
    opened = [r for a in live.records() for r in a["routes"] if r["do"] == "open" and r["urgency"] == "page"]
    assert opened
    assert (given["incidents"], given["pages"], given["pages_without_action"]) == (1, len(opened), 0)
    assert given["acknowledge"]["count"] == 1
    assert given["resolve"]["count"] == 1
    assert [(r["remedy"], r["outcomes"]) for r in given["remedies"]] == [("scale-consumers", {"worked": 1})]
    assert [(c["cause"], c["wrong"], c["judged"]) for c in given["causes"]] == [("slow-consumer", 0, 1)]
    assert given["missing"] == []
    assert b"<svg" in html.read_bytes()


def test_compare_is_a_gate_on_a_recording_of_the_live_log(live: Live, tmp_path: Path) -> None:
    recording, policy = tmp_path / "facts.jsonl", tmp_path / "policy.yaml"
    live.run("record", "--until-end", "--out", str(recording))
    numbers = "defaults: {settle_s: 4, hold_s: 12}\n"
    policy.write_text(numbers)
    assert b"none would be routed otherwise" in live.run("compare", str(recording), "--policy", str(policy))
    policy.write_text(numbers + "routes: [{name: soft, when: {reason: [objective-breached]}, notify: 'impact, action'}]\n")
    changed = live.run("compare", str(recording), "--policy", str(policy), "--json", status=1)
    found = {c["what"] for c in orjson.loads(changed)["changes"]}
    assert "urgency" in found
    assert orjson.loads(changed)["pages_now"] == 0


def test_audit_puts_the_matrix_to_the_live_cluster(live: Live) -> None:
    given = orjson.loads(live.run("audit", CLUSTER, "--config", str(live.stack.collect_file), "--json"))
    rows = {r["id"]: r for r in given["rows"]}
    assert rows["groups"]["state"] == "pass"
    assert rows["kafka-version"]["state"] == "pass"
    assert "metadata.version" in rows["kafka-version"]["evidence"]
    assert rows["platform-team"]["state"] == "pass"
    assert rows["platform-team"]["evidence"].startswith("team-platform, by cluster/")
    assert rows["replicas"]["state"] == "gap"  # one broker, one replica
    assert rows["access"]["state"] == "gap"  # no authorizer
    assert rows["policy-review"]["state"] == "gap"  # put on the topic by hand: in no history
    assert rows["connect"]["state"] == "unknown"  # collect.yaml names none
    assert all(r["evidence"] for r in given["rows"])
    live.run("audit", CLUSTER, "--config", str(live.stack.collect_file), "--strict", status=1)


def test_audit_of_a_cluster_that_does_not_answer_is_unknown_and_says_why(live: Live, tmp_path: Path) -> None:
    given = orjson.loads(live.run("audit", "gone", "--bootstrap", "127.0.0.1:9", "--json"))
    rows = {r["id"]: r for r in given["rows"]}
    assert (rows["groups"]["state"], rows["replicas"]["state"]) == ("unknown", "unknown")
    assert "127.0.0.1" in rows["replicas"]["evidence"] or "roker" in rows["replicas"]["evidence"]


def test_the_executor_scales_once_reports_and_says_only_what_it_would_do_in_a_dry_run(kafka: Chosen, tmp_path: Path) -> None:
    alerts, controls = create_topic(kafka.bootstrap, "alerts"), create_topic(kafka.bootstrap, "controls")
    now = time.time_ns() // 1_000_000
    automation = {
        "verdict": "auto",
        "remedy": "scale-consumers",
        "valid_until": rfc3339(now + 600_000),
        "proved": {},
        "missing": [],
    }
    record = alert("inc-1", 1, 0, "opened", [route("team-a")], automation=automation)
    produce(kafka.bootstrap, alerts, [orjson.dumps(record)], "inc-1")
    (tmp_path / "executor.yaml").write_text(
        "consumers: [{cluster: prod, group: checkout, namespace: pay, deployment: c, limit: 6, step: 2}]"
    )
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncase "$*" in *"get deployment"*) echo 3;; esac\n')
    kubectl.chmod(0o755)
    calls = tmp_path / "calls"

    def run(*more: str) -> str:
        command = [sys.executable, str(EXECUTOR), "--config", str(tmp_path / "executor.yaml"), "--bootstrap", kafka.bootstrap]
        topics = ["--alerts", alerts, "--controls", controls, "--once"]
        env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run([*command, *topics, *more], env=env, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    assert run() == "inc-1: dry run, would scale pay/c from 3 to 5"
    assert "scale" not in calls.read_text()
    assert run("--execute") == "inc-1: scale pay/c from 3 to 5"
    assert "scale deployment c --replicas=5" in calls.read_text()
    assert run("--execute") == ""  # once, also over a restart
    assert calls.read_text().count("scale deployment") == 1
