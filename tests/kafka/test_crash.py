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
THIN = ((16, 1), (17, 2))
"""And of those with polls left out on purpose."""


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
    for outcome in _played(bootstrap, tmp_path, RANDOM):
        assert outcome.left_out == 0


def test_deaths_while_polls_are_left_out_lose_no_row_of_state_and_nothing_that_no_other_poll_shows(
    bootstrap: str, tmp_path: Path
) -> None:
    """What is in no fact was left out on purpose, is a poll, and another of the same entity was kept; alerts and rows are those
    of the facts as ever."""
    for outcome in _played(bootstrap, tmp_path, THIN, thin=True):
        assert outcome.left_out > outcome.fed // 20, str(outcome)
    logs = "".join(log.read_text() for log in tmp_path.glob("seed-*/*.log"))
    assert "that are behind: [" in logs, "facts were behind"
    assert " floods: " in logs, "and sources over their budget"


def _played(bootstrap: str, folder: Path, schedules: tuple[tuple[int, int], ...], *, thin: bool = False) -> list[Outcome]:
    """Outcomes of schedules (seed, workers) that were played side by side; nothing is wrong with them."""

    def one(schedule: tuple[int, int]) -> Outcome:
        seed, workers = schedule
        mine = folder / f"seed-{seed}"
        mine.mkdir()
        return play(bootstrap, mine, seed, workers, 3, thin=thin)

    with ThreadPoolExecutor(len(schedules)) as pool:
        outcomes = list(pool.map(one, schedules))
    for (seed, workers), outcome in zip(schedules, outcomes, strict=True):
        assert outcome.wrong == [], f"seed {seed}: {outcome}; {[str(s) for s in draw(seed, workers, 3)]}"
        assert outcome.alerts > 0
    return outcomes
