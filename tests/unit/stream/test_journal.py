"""The journal row of a unit of work."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kroute.contracts.alerts import Alert
from kroute.errors import StateError
from kroute.stream import journal

rows = st.dictionaries(
    st.tuples(st.sampled_from(["incidents", "entities"]), st.text(max_size=8)), st.none() | st.binary(max_size=300)
)
alerts = st.lists(
    st.builds(Alert, st.text(max_size=5), st.binary(max_size=300), st.just((("ce_id", b"1"),)), st.integers(0, 2**50)), max_size=4
)


@given(st.integers(0, 2**60), rows, alerts, st.integers(1, 200))
def test_a_unit_reads_back_as_written_whatever_its_parts(
    offset: int, changed: dict[tuple[str, str], bytes | None], told: list[Alert], part_bytes: int
) -> None:
    unit = journal.decode(dict(journal.encode(offset, changed, told, part_bytes)))
    assert unit is not None
    assert (unit.offset, unit.rows, unit.alerts) == (offset, changed, tuple(told))
    assert list(unit.rows) == list(changed)


def test_no_row_means_no_unit() -> None:
    assert journal.decode({}) is None


def test_the_head_is_written_last_and_no_row_is_larger_than_a_row_may_be() -> None:
    written = journal.encode(7, {("incidents", "a"): b"x" * 2_000_000}, [])
    assert [k for k, _ in written] == ["journal/1", "journal/2", "journal/3", "journal/4", "journal"]
    assert all(len(v) <= 512 * 1024 for _, v in written)


def test_a_head_whose_parts_belong_to_the_next_unit_was_applied_in_full() -> None:
    first = dict(journal.encode(7, {("incidents", "a"): b"x" * 100}, [], 40))
    second = journal.encode(8, {("incidents", "a"): b"y" * 100}, [], 40)
    stored = first | dict(second[:1])  # stopped before the second's head
    unit = journal.decode(stored)
    assert unit == journal.Unit(7)


def test_a_journal_of_a_newer_version_is_refused() -> None:
    head = msgspec.msgpack.encode(journal.Head(2, 7, 1, b""))
    with pytest.raises(StateError, match="version 2"):
        journal.decode({"journal": head})


def test_something_else_under_the_journals_key_is_refused() -> None:
    with pytest.raises(StateError, match="cannot be read"):
        journal.decode({"journal": b"\x00"})
