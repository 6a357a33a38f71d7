"""The notation of series and of spans of time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kroute.testing.series import at, clock, series, span_ms


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("90", (90.0,)),
        (5, (5.0,)),
        ("90x3", (90.0, 90.0, 90.0)),
        ("1+12x4", (1.0, 13.0, 25.0, 37.0)),
        ("960-60x3", (960.0, 900.0, 840.0)),
        ("-5+5x2", (-5.0, 0.0)),
        ("1.5e3", (1500.0,)),
        ("_", (None,)),
        ("1 _x2 2", (1.0, None, None, 2.0)),
        ("Stablex2 PreparingRebalance", ("Stable", "Stable", "PreparingRebalance")),
        ("0.1+0.1x3", (0.1, 0.2, 0.3)),
    ],
)
def test_segments_follow_each_other(text: str | int, values: tuple[object, ...]) -> None:
    assert series(text) == values


def test_the_example_of_the_design_has_as_many_steps_as_its_segments_say() -> None:
    values = series("1x80 1+12x80 960-60x16 1x24")
    assert len(values) == 200
    assert (values[80], values[159], values[160], values[175]) == (1.0, 949.0, 960.0, 60.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("1+2", "for how many steps"),
        ("1x0", "between 1 and"),
        ("1x99999999", "between 1 and"),
        ("1 ?", "is no segment"),
        ("--3", "is no segment"),
        ("1x20000 1", "more than"),
    ],
)
def test_a_bad_segment_is_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        series(text)


@given(st.lists(st.tuples(st.integers(-999, 999), st.integers(-99, 99), st.integers(1, 50)), min_size=1, max_size=8))
def test_steps_add_up_and_change_evenly(segments: list[tuple[int, int, int]]) -> None:
    values = series(" ".join(f"{a}{b:+d}x{n}" for a, b, n in segments))
    assert list(values) == [a + b * i for a, b, n in segments for i in range(n)]


def test_a_series_that_is_over_keeps_its_last_value() -> None:
    assert at(series("1 2"), 7) == 2.0
    assert at(series("1 _"), 7) is None


@pytest.mark.parametrize(
    ("text", "ms"), [("20m30s", 1_230_000), ("1h", 3_600_000), ("500ms", 500), (15, 15_000), (0, 0), ("1d", 86_400_000)]
)
def test_spans(text: str | int, ms: int) -> None:
    assert span_ms(text) == ms


@pytest.mark.parametrize("text", ["", "20", "m20", "1h 2m", -1, True])
def test_what_is_no_span(text: str | int) -> None:
    with pytest.raises(ValueError, match="no span of time"):
        span_ms(text)


@given(st.integers(1, 10**9))
def test_a_clock_reads_back(ms: int) -> None:
    assert span_ms(clock(ms)) == ms
