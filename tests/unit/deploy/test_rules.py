"""The Prometheus rules about kroute itself: what promtool says of them, and that each metric they ask for exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml

from kroute.stream import metrics

FOLDER = Path(__file__).parents[3] / "deploy" / "prometheus"
RULES = FOLDER / "kroute.rules.yaml"
CASES = FOLDER / "kroute.rules.test.yaml"
FOREIGN = {"process_start_time_seconds"}
"""What prometheus_client gives of every process."""


def rules() -> list[dict[str, Any]]:
    return [r for g in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for r in g["rules"]]


@pytest.mark.parametrize("command", [("check", "rules", RULES.name), ("test", "rules", CASES.name)], ids=["check", "test"])
def test_promtool_accepts_the_rules_and_their_cases(prometheus: str, command: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_that_a_rule_asks_for_is_one_of_a_worker() -> None:
    source = Path(metrics.__file__).read_text(encoding="utf-8")
    known = set(re.findall(r'"((?:kroute|faust)_\w+)"', source)) | FOREIGN
    known |= {n.removesuffix("_total") for n in known} | {f"{n}_total" for n in known}
    for rule in rules():
        asked = set(re.findall(r"\b(?:kroute|faust|process)_\w+", rule["expr"]))
        assert asked
        assert asked <= known, rule["alert"]
    assert "process_start_time_seconds" in prometheus_client.generate_latest().decode()


def test_every_rule_says_what_to_do_and_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires: dict[str, set[bool]] = {}
    for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]:
        for t in case["alert_rule_test"]:
            fires.setdefault(t["alertname"], set()).add(bool(t.get("exp_alerts")))
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "major", "minor")
        assert rule["annotations"].keys() == {"summary", "action"}
        assert fires.get(rule["alert"]) == {True, False}, rule["alert"]
