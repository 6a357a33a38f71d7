"""A worker killed while an incident opens: no alert is lost, repeats are the same bytes, and replay says the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kroute.local.choose import Chosen
from tests.kafka.feeder import Feeder, worker_alone
from tests.kafka.helpers import wait_for
from tests.kafka.stack import CLUSTER, Stack, open_deliveries, root_of
from tests.kafka.test_scenarios import row, team

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
GROUPS = ("g1", "g2", "g3")


@pytest.fixture
def stack(kafka: Chosen, tmp_path: Path) -> Iterator[Stack]:
    """A worker, and a feeder that stands in for the collector so that the test knows every signal."""
    rows = [
        *(team(t) for t in ("team-a", "team-platform")),
        row("cluster", CLUSTER, owner="team-platform"),
        *(row("group", g, service=f"s-{g}") for g in GROUPS),
        *(row("service", f"s-{g}", owner="team-a", slo={"freshness_s": 600}, customer_function="people wait") for g in GROUPS),
    ]
    with worker_alone(kafka, tmp_path, rows) as s:
        yield s


def test_a_worker_killed_while_incidents_open_loses_nothing(stack: Stack, tmp_path: Path) -> None:
    with Feeder(stack, GROUPS) as feeder:
        stack.wait_for_heartbeat()
        feeder.wait_for_polls(15)
        # Killed as the first incident opens; started again on the same machine.
        feeder.slow["g1"] = True
        stack.expect("opened", "slow-consumer", "group/g1")
        stack.kill("worker")
        feeder.slow["g2"] = True
        stack.spawn_worker("worker", "data")
        # Killed again when the second incident is stored and not told yet; started on another machine, with an empty disk.
        stack.wait_for_row("incidents", lambda key, value: b"|inc|" in key and b"g2" in (value or b""))
        stack.kill("worker")
        stack.spawn_worker("worker", "elsewhere")
        stack.expect("opened", "slow-consumer", "group/g2")
        feeder.wait_for_polls(5)
        mark, told = time.monotonic(), len(stack.raw)
        feeder.wait_for_polls(5)
        feeder.slow.update(g1=False, g2=False)
        stack.expect("resolved", "slow-consumer", "group/g1")
        stack.expect("resolved", "slow-consumer", "group/g2")
    stack.stop()
    by_root = {root_of(alerts[0]): alerts for alerts in stack.incidents().values()}
    assert sorted(by_root) == ["group/g1", "group/g2"], "one incident each, none for the healthy group"
    for alerts in by_root.values():
        assert [a["revision"] for a in alerts] == list(range(1, len(alerts) + 1)), "no revision is missing"
        assert open_deliveries(alerts) == {}
    live = first_of_each(stack.raw)
    assert all(live[json.loads(raw)["id"]] == raw for raw in stack.raw), "a repeat is the same bytes"
    # The record of the run replays to the run's own alerts, byte for byte, under two hash seeds.
    recording = tmp_path / "facts.jsonl"
    kroute(stack, "record", "--from-beginning", "--until-end", "--out", str(recording))
    replays = []
    for seed in ("1", "2"):
        out = tmp_path / f"alerts-{seed}.jsonl"
        kroute(stack, "replay", str(recording), "--out", str(out), PYTHONHASHSEED=seed)
        replays.append(out.read_bytes())
    assert replays[0] == replays[1]
    replayed = [orjson.dumps(orjson.loads(line)["value"]) for line in replays[0].splitlines()]
    assert first_of_each(replayed) == live
    # One that begins in mid-log begins with the rows as they were, and goes on as the run did.
    middle, out = tmp_path / "middle.jsonl", tmp_path / "alerts-middle.jsonl"
    kroute(stack, "record", "--since", f"{int(time.monotonic() - mark)}s", "--until-end", "--out", str(middle))
    with middle.open("rb") as lines:
        assert orjson.loads(lines.readline())["table"], "it begins with a snapshot"
    kroute(stack, "replay", str(middle), "--out", str(out))
    replayed = [orjson.dumps(orjson.loads(line)["value"]) for line in out.read_bytes().splitlines()]
    ends = {i: raw for i, raw in first_of_each(stack.raw[told:]).items() if json.loads(raw)["type"] == "resolved"}
    assert len(ends) == 2
    assert {i: first_of_each(replayed).get(i) for i in ends} == ends


def first_of_each(raw: list[bytes]) -> dict[str, bytes]:
    """Alerts by id, the first of each."""
    out: dict[str, bytes] = {}
    for r in raw:
        out.setdefault(json.loads(r)["id"], r)
    return out


def kroute(stack: Stack, *args: str, **env: Any) -> None:
    """Run a command of kroute to its end."""
    command = [sys.executable, "-m", "kroute.cli.main", *args]
    done = subprocess.run(command, env=stack.env | env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_a_second_worker_takes_over_what_the_first_held(stack: Stack) -> None:
    with Feeder(stack, GROUPS) as feeder:
        stack.wait_for_heartbeat()
        stack.spawn_worker("second", "second")
        stack.wait_ready("second")
        feeder.wait_for_polls(15)
        feeder.slow["g3"] = True
        stack.expect("opened", "slow-consumer", "group/g3")
        stack.kill("worker")
        feeder.slow["g3"] = False
        stack.expect("resolved", "slow-consumer", "group/g3")
    (alerts,) = stack.incidents(root="group/g3").values()
    assert open_deliveries(alerts) == {}
    wait_for(lambda: stack.processes["second"].poll() is None, 5, "the second worker to be alive")
