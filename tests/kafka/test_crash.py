"""SIGKILL at every commit point and at random moments: what was delivered and stored is what the replay of the facts gives.

Some runs go side by side, each an installation of its own. The long tier is ``make soak``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kroute.stream.crash import POINTS
from tests.kafka.compared import Outcome
from tests.kafka.crashes import every_point
from tests.kafka.schedules import chain, draw, play

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
CHAINS = 4
TABLES = ("journal", "incidents")
"""The one whose row commits a unit, and one that alerts hang on; the long tier has deaths at every table."""
RANDOM = ((11, 2), (13, 1))
"""Seeds and workers of the random schedules."""


def test_a_worker_killed_at_every_commit_point_loses_and_doubles_nothing(bootstrap: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(CHAINS) as pool:
        points = every_point(TABLES)
        outcomes = list(pool.map(lambda n: chain(bootstrap, tmp_path / f"chain-{n}", n, points[n::CHAINS]), range(CHAINS)))
    assert {point.partition("/")[0].partition("+")[0].partition(":")[0] for point in points} == set(POINTS)
    for outcome in outcomes:
        assert outcome.wrong == [], str(outcome)
        assert outcome.alerts >= 20, "the comparison had something to compare"
        assert outcome.incidents > 0
    assert sum(outcome.refused for outcome in outcomes) > 0


def test_deaths_at_random_moments_and_rebalances_lose_and_double_nothing(bootstrap: str, tmp_path: Path) -> None:
    def one(schedule: tuple[int, int]) -> Outcome:
        seed, workers = schedule
        folder = tmp_path / f"seed-{seed}"
        folder.mkdir()
        return play(bootstrap, folder, seed, workers, 3)

    with ThreadPoolExecutor(len(RANDOM)) as pool:
        outcomes = list(pool.map(one, RANDOM))
    for (seed, workers), outcome in zip(RANDOM, outcomes, strict=True):
        assert outcome.wrong == [], f"seed {seed}: {outcome}; {[str(s) for s in draw(seed, workers, 3)]}"
        assert outcome.alerts > 0
