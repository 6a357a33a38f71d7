"""A case run from end to end: restarts, controls about incidents, determinism."""

from __future__ import annotations

import pytest

from kroute.engine import Engine, PartitionState, build
from kroute.testing.case import read_case
from kroute.testing.run import Result, run_case, settings_for_cases

FAILING = """
about: a task fails
estate: {connectors: {connect-a/orders: {system: elastic, trace: "ConfigException: bad"}}, groups: {connect-orders: {freshness: 9h}}}
series:
  connector/connect-a/orders task_state: RUNNINGx24 FAILEDx16
  group/connect-orders members: 1x24 0x16
  group/connect-orders lag_s: 1x24 16+15x16
expect: [{from: 6m, to: 9m, type: opened, cause: sink-failed}]
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build(settings_for_cases())


def run(engine: Engine, more: str = "") -> Result:
    return run_case(read_case("case.yaml", FAILING + more), engine, settings_for_cases())


def test_the_same_case_gives_the_same_bytes(engine: Engine) -> None:
    first = run(engine)
    assert first.outcome == "passed"
    assert first.alerts == run(engine).alerts


def test_a_restart_that_forgets_its_incidents_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    load = PartitionState.load

    def forgetful(self: PartitionState, table: str, key: str, value: bytes) -> None:
        if table != "incidents":
            load(self, table, key, value)

    monkeypatch.setattr(PartitionState, "load", forgetful)
    result = run(engine, "restart: [9m]\n")
    assert any("a restart changes" in p for p in result.problems)


def test_a_restart_that_forgets_nothing_is_not_seen(engine: Engine) -> None:
    assert run(engine, "restart: [3m, 6m20s, 9m]\n").problems == []


def test_a_control_finds_the_incident_it_is_about(engine: Engine) -> None:
    result = run(engine, "controls: [{at: 9m, kind: ack, incident: {cause: sink-failed}}]\n")
    assert result.outcome == "passed"
    assert any("acknowledged" in s.text for s in result.lines)


def test_a_control_about_an_incident_that_is_not_there_fails_the_case(engine: Engine) -> None:
    result = run(engine, "controls: [{at: 5m, kind: ack, incident: {cause: sink-failed}}]\n")
    assert result.problems == ["controls[0] at 5m: no incident has these fields by then"]
