"""Every timeline case in ``tests/cases``: a new behaviour is a new file and no new test code."""

from __future__ import annotations

from pathlib import Path

import pytest

from kroute.engine import Engine, build
from kroute.testing.case import read_case
from kroute.testing.report import text
from kroute.testing.run import run_case, settings_for_cases

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build(settings_for_cases())


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_case(path: Path, engine: Engine) -> None:
    result = run_case(read_case(path), engine, settings_for_cases())
    if result.outcome == "known gap":
        pytest.xfail(result.case.spec.known_gap or "")
    if not result.ok:
        pytest.fail("\n".join(text(result, verbose=True)), pytrace=False)
