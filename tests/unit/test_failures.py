"""A diagnosis that fails is a defect; what was known stands meanwhile, objectives still page, and it is told."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from prometheus_client import REGISTRY

from kroute import domain
from kroute.diagnosis.infer import diagnose
from kroute.engine import build
from kroute.stream.interface import State
from kroute.stream.told import Failures
from kroute.testing.case import read_case
from kroute.testing.run import Result, run_case, settings_for_cases

CASE = """
about: A consumer is slow and well again; while nothing can be diagnosed another one stops.
estate:
  groups: {checkout: {topics: [payments]}, bi: {topics: [clicks], freshness: 60s}}
policy: {defaults: {hold_s: 120}}
series:
  group/checkout lag_s: 1x40 9+8x40 329-100x3 1x57
  group/bi members:     3x60 0x40 3x40
  group/bi lag_s:       1x60 16+15x40 600-200x3 1x37
expect: [{at: 14m, firing: 1}]
"""
FROM_S, TO_S = 840, 1320


def run(monkeypatch: pytest.MonkeyPatch, *, fails: bool) -> Result:
    case = read_case("case.yaml", CASE)

    def broken(catalogue: Any, estate: Any, evidence: Any) -> Any:
        if fails and FROM_S <= (evidence.now_ms - case.start_ms) / 1000 < TO_S:
            raise ValueError("min() of nothing")
        return diagnose(catalogue, estate, evidence)

    monkeypatch.setattr(domain, "diagnose", broken)
    return run_case(case, build(settings_for_cases()), settings_for_cases())


def said(result: Result) -> list[tuple[str, str, str, str]]:
    """Moment, cause, root and incident of each alert that tells something new."""
    moments = ("opened", "revised", "merged", "reopened", "resolved")
    plain = [orjson.loads(a.value) for a in result.alerts]
    return [(a["type"], a["cause"]["id"], a["cause"]["root"]["name"], a["incident"]) for a in plain if a["type"] in moments]


def test_what_was_known_stands_and_a_breached_objective_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, fails=True)
    slow, other = dict.fromkeys(i for *_, i in said(result))
    assert [x[:3] for x in said(result) if x[3] == slow] == [
        ("opened", "slow-consumer", "checkout"), ("resolved", "slow-consumer", "checkout"),
    ]  # fmt: skip
    assert [x[:3] for x in said(result) if x[3] == other] == [
        ("opened", "unknown", "bi"), ("revised", "stopped-consumer", "bi"), ("resolved", "stopped-consumer", "bi"),
    ]  # fmt: skip
    assert len(result.problems) == 1
    assert "diagnoses failed, a defect of kroute: ValueError: min() of nothing (File " in result.problems[0]


def test_without_the_defect_nothing_is_told_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, fails=False)
    assert result.problems == []
    assert ("opened", "stopped-consumer", "bi") in [x[:3] for x in said(result)]


def test_a_defect_is_logged_once_and_counted_each_time(caplog: pytest.LogCaptureFixture) -> None:
    state = cast(State, SimpleNamespace(take_failures=lambda: {"Traceback …\nValueError: x": 3}))
    counter = "kroute_correlate_diagnosis_failures_total"
    before = REGISTRY.get_sample_value(counter) or 0
    failures = Failures()
    with caplog.at_level(logging.ERROR):
        failures.tell("kroute.facts[0] offset 7", state)
        failures.tell("kroute.facts[0] offset 8", state)
    assert [r.message.splitlines()[-1] for r in caplog.records] == ["ValueError: x"]
    assert "kroute.facts[0] offset 7" in caplog.text
    assert REGISTRY.get_sample_value(counter) == before + 6
