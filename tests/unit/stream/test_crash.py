"""Crash points: named in one place, each in the code, and without effect unless they are armed."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kroute.contracts.topics import TABLES
from kroute.errors import ConfigError
from kroute.stream import crash

STREAM = Path(crash.__file__).parent


def _placed() -> list[tuple[str, bool]]:
    """The points in the code, and whether each is given a detail."""
    out = []
    for path in sorted(STREAM.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "crash.point":
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{path.name}:{node.lineno}: a point is named by a literal"
                out.append((str(name.value), len(node.args) > 1))
    return out


def test_each_point_has_one_place_in_the_code_and_each_place_a_name() -> None:
    assert sorted(name for name, _ in _placed()) == sorted(crash.POINTS)


def test_every_output_and_every_changelog_is_written_at_points_that_tell_which() -> None:
    detailed = ["output-acked", "output-sent", "row-sent", "rows-acked", "rows-stored"]
    assert sorted(name for name, has_detail in _placed() if has_detail) == detailed
    assert all(crash.parse(f"rows-acked/{table}") is not None for table in TABLES)


@pytest.mark.parametrize(
    ("text", "armed"),
    [
        ("", None),
        ("unit-durable", crash.Armed("unit-durable", "", 1, 0.0)),
        ("row-sent/incidents:3+250", crash.Armed("row-sent", "incidents", 3, 0.25)),
    ],
)
def test_what_arms_a_point(text: str, armed: crash.Armed | None) -> None:
    assert crash.parse(text) == armed


@pytest.mark.parametrize("text", ["nowhere", "row-sent:", "unit-durable+x", "row-sent/incidents/3"])
def test_a_name_that_is_no_point_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="KROUTE_CRASH_AT"):
        crash.parse(text)


PROGRAM = """
import asyncio
from kroute.stream import crash

async def main():
    for n in range(4):
        await crash.point("row-sent", "journal")
        await crash.point("row-sent", "incidents")
        print(n, flush=True)

asyncio.run(main())
"""


def _run(at: str) -> tuple[int, str]:
    env = {k: v for k, v in os.environ.items() if k != crash.VARIABLE} | ({crash.VARIABLE: at} if at else {})
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def test_a_point_that_is_not_armed_does_nothing() -> None:
    assert _run("") == (0, "0\n1\n2\n3\n")
    assert _run("output-sent") == (0, "0\n1\n2\n3\n")


def test_an_armed_point_ends_the_process_when_it_is_reached_that_many_times() -> None:
    assert _run("row-sent/incidents:3") == (-signal.SIGKILL, "0\n1\n")
    assert _run("row-sent:2+20") == (-signal.SIGKILL, "")


async def test_a_point_costs_nothing_that_could_be_measured_in_a_unit_of_work() -> None:
    began = time.process_time()
    for _ in range(100_000):
        await crash.point("row-sent", "incidents")
    assert (time.process_time() - began) / 100_000 < 10e-6, "a row takes some 60 µs"
