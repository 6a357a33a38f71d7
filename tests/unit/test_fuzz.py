"""Bad input, in bounded time: every way in takes it or refuses it with its documented error. The long tier is ``make fuzz``."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import run
from tests.fuzz.target import Target

TARGETS = {t.name: t for t in run.all_targets()}
BUDGET_S = 0.3
"""Seconds of processor for the seeded inputs of one target; there are some forty."""


@pytest.mark.parametrize("name", TARGETS)
def test_bent_documents_end_in_a_value_or_a_documented_error(name: str) -> None:
    target = TARGETS[name]
    for data in target.seeds():
        run.put(target, data)
    began = time.process_time()
    for n in range(1000):
        rng = random.Random(n)
        data = target.an_input(rng)
        try:
            run.put(target, data)
        except Exception as e:
            e.add_note(f"input {n}: {data[:2000]!r}")
            raise
        if time.process_time() - began > BUDGET_S and n >= 3:
            break


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([t for t in TARGETS if "check" not in t]),
    st.binary(max_size=80) | st.text(max_size=80).map(lambda t: t.encode("utf-8", "surrogatepass")),
)
def test_any_bytes_end_in_a_value_or_a_documented_error(name: str, data: bytes) -> None:
    run.put(TARGETS[name], data)


@pytest.mark.parametrize("name", [n for n in TARGETS if n not in ("settings", "keys", "kroute check")])
def test_the_documents_that_are_bent_are_valid_before(name: str) -> None:
    """Else all that is tried is the first line of a reader."""
    target = TARGETS[name]
    assert any(run.put(target, data) for data in target.seeds())


def test_what_takes_too_long_is_ended_and_what_raises_is_raised() -> None:
    def forever(_: bytes) -> bool:
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                continue

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run, "DEADLINE_S", 0.1)
        with pytest.raises(run.TooSlow):
            run.put(Target("x", "text", ("a",), forever), b"")
    with pytest.raises(ZeroDivisionError):
        run.put(Target("x", "text", ("a",), lambda d: 1 // len(d) > 0), b"")


def test_the_same_seed_and_number_give_the_same_input() -> None:
    targets = run.all_targets()
    assert [run.drawn(7, n, targets)[1] for n in range(50)] == [run.drawn(7, n, targets)[1] for n in range(50)]
