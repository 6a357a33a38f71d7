"""Changelogs that lost what the journal knows of."""

from __future__ import annotations

import pytest

from kroute.contracts.topics import TABLES
from kroute.errors import StateError
from kroute.stream import intact, journal
from kroute.stream.admin import Span
from kroute.stream.journal import Unit

UNIT = Unit(70, marks={"incidents": 41, "entities": 99})


def spans(**other: tuple[int, int]) -> dict[str, Span]:
    held = dict.fromkeys(TABLES, (0, 0)) | {"journal": (0, 50), "incidents": (0, 42), "entities": (0, 180)} | other
    return {table: Span(f"kroute-{table}-changelog", 3, *span) for table, span in held.items()}


def test_whole_changelogs_pass_and_so_do_tables_without_rows() -> None:
    intact.check(UNIT, spans(), "kroute")


def test_a_beginning_without_any_state_passes() -> None:
    intact.check(None, {t: s._replace(end=0) for t, s in spans().items()}, "kroute")
    # Parts of the first unit were written when the worker died, and the head that commits it was not.
    intact.check(None, {t: s._replace(end=3 if t == "journal" else 0) for t, s in spans().items()}, "kroute")


@pytest.mark.parametrize(
    ("unit", "lost", "why"),
    [
        (UNIT, {"incidents": (42, 42)}, "what was before 42 was deleted"),
        (UNIT, {"journal": (3, 50)}, "what was before 3 was deleted"),
        (UNIT, {"incidents": (0, 0)}, "the journal knows of offset 41"),
        (UNIT, {"incidents": (0, 41)}, "the journal knows of offset 41"),
        (None, {"journal": (0, 0)}, "has no unit of work"),
    ],
    ids=["emptied", "journal deleted from", "made again", "its end was lost", "journal made again"],
)
def test_a_changelog_that_lost_records_is_refused(unit: Unit | None, lost: dict[str, tuple[int, int]], why: str) -> None:
    with pytest.raises(StateError, match=why) as error:
        intact.check(unit, spans(**lost), "kroute")
    assert "kroute-" in str(error.value)
    assert "delete every topic kroute-*-changelog" in str(error.value)


def test_the_journal_keeps_the_marks_and_one_written_before_there_were_any_has_none() -> None:
    (where, head), *_ = journal.encode(7, {}, [], marks=UNIT.marks)
    unit = journal.decode({where: head})
    assert unit is not None
    assert unit.marks == UNIT.marks
    old = journal._encode(tuple(getattr(journal._head.decode(head), f) for f in ("v", "offset", "parts", "body")))
    unit = journal.decode({where: old})
    assert unit is not None
    assert unit.marks == {}
