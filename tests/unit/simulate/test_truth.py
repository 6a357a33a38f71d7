"""The truth of a recording: who suffers of a fault, by comparing with the same run without it."""

from __future__ import annotations

import msgspec

from kroute.score.truth import Truth
from kroute.simulate.estate import Size
from kroute.simulate.run import Scenario, simulate


def test_of_a_system_that_is_down_its_connectors_suffer_and_no_others() -> None:
    result = simulate(Scenario("x", 7, Size(3, 4), causes=("system-down",), minutes=27.0, interval_s=150.0))
    (fault,) = msgspec.convert(result.truth, Truth).faults
    mine = {c.entity for c in result.model.ix.estate.connectors if c.system == fault.root.name}
    assert {a.name for a in fault.affected if a.kind == "connector"} == mine
    assert {a.name for a in fault.affected if a.kind == "broker"} == set()
