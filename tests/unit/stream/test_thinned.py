"""The account of polls that were left out: what the tests of deaths hold a worker to where it thins."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from kroute.contracts.topics import SIGNALS
from tests.kafka.thinned import PACE_MS, wrongly


class Fact(NamedTuple):
    """Where a fact is from, and when that was appended."""

    src: str
    p: int
    o: int
    ts: int


G = ("consumer-lag", "c1", "g")
ABOUT = {("lag", 0, 0): G, ("lag", 0, 1): G, ("lag", 0, 2): G, ("own", 0, 0): ("ownership", "c1", "group/c1/g")}
FACTS = [Fact("lag", 0, 0, 1000)]


@pytest.mark.parametrize(
    ("missing", "told", "says"),
    [
        ([], {}, None),
        ([("lag", 0, 1)], {("lag", 0, 1): 1000 + PACE_MS}, None),
        ([("lag", 0, 1)], {}, "nobody left them out"),
        ([("lag", 0, 1)], {("lag", 0, 1): 1001 + PACE_MS}, "no other poll of theirs"),
        ([("lag", 0, 1)], {("lag", 0, 1): 999}, "no other poll of theirs"),
        ([("own", 0, 0)], {("own", 0, 0): 1001}, "state inputs"),
        ([("own", 0, 0)], {}, "nobody left them out"),
    ],
)
def test_what_is_in_no_fact_must_be_a_poll_that_was_left_out_after_another(
    missing: list[tuple[str, int, int]], told: dict[tuple[str, int, int], int], says: str | None
) -> None:
    found = wrongly(missing, told, ABOUT, FACTS, SIGNALS)
    assert [says in f for f in found if says] == ([] if says is None else [True])
    assert (found == []) == (says is None)
