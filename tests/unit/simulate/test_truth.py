"""The truth of a recording: who suffers of a fault, by comparing with the same run without it."""

from __future__ import annotations

import msgspec
import numpy as np
import orjson
import pytest

from kroute.score.truth import Truth
from kroute.simulate.estate import Size
from kroute.simulate.placement import in_turn
from kroute.simulate.run import Scenario, encoded, simulate


def test_of_a_system_that_is_down_its_connectors_suffer_and_no_others() -> None:
    result = simulate(Scenario("x", 7, Size(3, 4), causes=("system-down",), minutes=27.0, interval_s=150.0))
    (fault,) = msgspec.convert(result.truth, Truth).faults
    mine = {c.entity for c in result.model.ix.estate.connectors if c.system == fault.root.name}
    assert {a.name for a in fault.affected if a.kind == "connector"} == mine
    assert {a.name for a in fault.affected if a.kind == "broker"} == set()


@pytest.mark.parametrize("hour", [3.0, 14.0])
def test_a_link_that_lags_falls_behind_at_any_hour(hour: float) -> None:
    """Seed 5 makes it slow; what it is left with is a part of what there is to copy at that hour."""
    scenario = Scenario("x", 5, Size(3, 4), causes=("migration-sync-lag",), minutes=40.0, interval_s=60.0, start_hour=hour)
    result = simulate(scenario)
    (fault,) = msgspec.convert(result.truth, Truth).faults
    lags = {}
    for line in encoded(result.lines):
        value = orjson.loads(line)["value"]
        for sample in value.get("samples", ()):
            if sample["signal"] == "link_lag":
                lags[value["observed_at_ms"]] = sample["value"]
    assert fault.to_ms is not None
    before = max(v for t, v in lags.items() if t < fault.from_ms)
    assert max(v for t, v in lags.items() if fault.from_ms < t <= fault.to_ms) > 10 * before


def test_a_replica_that_copies_its_whole_log_takes_nothing_from_those_that_follow_closely() -> None:
    """Fetches go round: where one partition has much to copy to a broker, the others there have their turn each time."""
    wanted = np.array([[1e12], [100.0], [40.0], [0.0]])
    got = in_turn(wanted, np.array([[0], [0], [0], [1]]), np.array([1000.0, 0.0]))
    assert got[1:, 0].tolist() == [100.0, 40.0, 0.0]
    assert got[0, 0] == pytest.approx(860.0)
    tight = in_turn(wanted, np.array([[0], [0], [0], [1]]), np.array([150.0, 0.0]))
    assert tight[:, 0].tolist() == pytest.approx([55.0, 55.0, 40.0, 0.0])
