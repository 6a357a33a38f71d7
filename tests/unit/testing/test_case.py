"""A mistake in a case file is told with file, line and field."""

from __future__ import annotations

import pytest

from kroute.errors import BadFile
from kroute.testing.case import read_case
from tests.unit.testing.world import raw


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about: x\nexpect: []\nserie: {}\n", "case.yaml:1: contains unknown field 'serie'"),
        ("about: x\nexpect: []\nevery: often\n", "case.yaml:3: every: 'often' is no span of time"),
        ("about: x\nexpect: []\nevery: 1ms\n", "case.yaml:3: every: between 1s and 1h"),
        ("about: x\nexpect:\n- {from: 1m, typ: opened}\n", "case.yaml:3: expect[0]: contains unknown field 'typ'"),
        ("about: x\nexpect:\n- {from: soon}\n", "case.yaml:3: expect[0].from: 'soon' is no span of time"),
        ("about: x\nexpect: []\nseries:\n  group/a lag_s: 1+1\n", "case.yaml:4: series.group/a lag_s: '1+1' changes"),
        ("about: x\nexpect: []\nstart: 2026-01-05T10:00:00\n", "has no time zone"),
        ("- a\n", "case.yaml:1: a case is a mapping"),
        ("about: x\nexpect: []\nuntil: 30d\n", "at most 20000"),
    ],
)
def test_the_file_is_checked(text: str, message: str) -> None:
    with pytest.raises(BadFile) as e:
        read_case("case.yaml", text)
    assert message in str(e.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("series:\n  group/chekout lag_s: 1", "case.yaml:3: series.group/chekout lag_s: no group 'chekout' in the estate"),
        (
            "estate: {groups: {a: {topics: [t]}}}\nseries:\n  group/a lags: 1",
            "case.yaml:4: series.group/a lags: a group has no signal 'lags'",
        ),
        ("series:\n  planet/x lag_s: 1", "no series can be written on a 'planet'"),
        ("series:\n  group lag_s: 1", "'group' is no entity"),
        ("series:\n  just-a-name: 1", "is no key of a series"),
        ("series:\n  broker/1 state: 5", "case.yaml:3: series.broker/1 state: 5 is a number; state is a word"),
        ("series:\n  broker/1 cpu_ratio: high", "'high' is a word; cpu_ratio is a number"),
        ("estate:\n  owners:\n    service/a: [x]", "case.yaml:4: estate.owners.service/a: write a team"),
        ("estate:\n  owners:\n    service/a: {ownr: x}", "'ownr' is no field of an ownership row"),
        ("estate: {connectors: {orders: {}}}", "a connector is connect/name"),
        ("estate: {topics: {t: {leaders: [1]}}}", "1 leaders for 6 partitions"),
        ("changes:\n- {at: 1m, kind: deploy, target: checkout}", "case.yaml:3: changes[0].target: 'checkout' is no entity"),
        ("ownership:\n- {at: 1m, rows: {nobody: x}}", "'nobody' is no row"),
    ],
)
def test_what_the_estate_does_not_have_is_told(text: str, message: str) -> None:
    with pytest.raises(BadFile) as e:
        raw(text)
    assert message in str(e.value)
