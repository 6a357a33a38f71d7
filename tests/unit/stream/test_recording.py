"""A snapshot of the tables, read from changelogs."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from kroute.contracts.topics import TABLES
from kroute.stream import journal
from kroute.stream.recording import Version, snapshot

Unit = dict[tuple[str, str], bytes | None]
units = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from(TABLES[:3]), st.sampled_from("abc")), st.none() | st.binary(max_size=5), max_size=4
    ),
    min_size=1,
    max_size=8,
)


def changelogs(history: list[Unit], written: int) -> tuple[list[Version], dict[str, list[Version]]]:
    """What a worker leaves after ``history``, its newest unit stopped after ``written`` rows; unit n is written at 1000·n."""
    journaled: list[Version] = []
    tables: dict[str, list[Version]] = {t: [] for t in TABLES}
    for n, unit in enumerate(history):
        journaled += [Version(key, value, n, 1000 * n) for key, value in journal.encode(n, unit, [], 8)]
        for i, ((table, key), value) in enumerate(unit.items()):
            if n + 1 < len(history) or i < written:
                tables[table].append(Version(key, value, n, 1000 * n))
    return journaled, tables


@given(units, st.integers(0, 4), st.integers(0, 8000))
def test_a_snapshot_is_the_state_after_the_unit_it_names_also_where_its_rows_were_half_written(
    history: list[Unit], written: int, at_ms: int
) -> None:
    journaled, tables = changelogs(history, written)

    def read(table: str) -> Iterator[Version]:
        return iter(tables[table])

    shot = snapshot(2, journaled, read, at_ms)
    assert shot is not None
    assert shot.offset == min(at_ms // 1000, len(history) - 1)
    rows: Unit = {}
    for unit in history[: shot.offset + 1]:
        rows.update(unit)
    assert shot.rows == {where: value for where, value in rows.items() if value is not None}


def test_nothing_applied_means_no_snapshot() -> None:
    assert snapshot(0, [], lambda _: iter(()), 0) is None


def test_the_oldest_unit_that_is_kept_is_taken_where_the_time_asked_for_is_gone() -> None:
    journaled = [Version(key, value, 7, 9000) for key, value in journal.encode(7, {}, [])]
    shot = snapshot(0, journaled, lambda _: iter(()), 10)
    assert shot is not None
    assert shot.offset == 7
