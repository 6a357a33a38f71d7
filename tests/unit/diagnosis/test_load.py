"""A bad cause is explained by file, line and field; one bad file per mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from kroute.diagnosis.durations import occupancy, seconds
from kroute.diagnosis.load import compile_file, load, shipped
from kroute.errors import BadFile
from kroute.signals.table import BY_KIND

GOOD = """id: mine
title: A cause of my own
root: group
summary: "{root} is odd"
prior: {rate: 0.1/week, lasts: 1h}
expects:
  - {at: self, symptom: lag-growing, p: 0.9, within: 2m}
owners: {diagnosis: [service], action: [service]}
"""

MISTAKES = [
    ("root: group", "root: grupe", 3, "root", "unknown entity kind 'grupe'"),
    ("at: self, symptom: lag-growing", "at: self, symptom: lag-groving", 7, "expects[0]", "unknown symptom 'lag-groving'"),
    ("at: self,", "at: self/tpics,", 7, "expects[0]", "unknown relation 'tpics'"),
    ("p: 0.9", "p: 1.9", 7, "expects[0]", "p is 1.9"),
    ("within: 2m", "within: soon", 7, "expects[0]", "'soon' is not a duration"),
    ("0.1/week", "often", 5, "prior", "'often' is not a rate"),
    ("symptom: lag-growing", "symptom: objective-breached", 7, "expects[0]", "is impact, never evidence"),
    ("action: [service]", "action: [boss]", 8, "owners.action[0]", "Invalid enum value 'boss'"),
    ("title: A cause of my own\n", "", 1, None, "missing required field 'title'"),
    ("root: group", "root: group\ncolour: red", 1, None, "unknown field 'colour'"),
    ("id: mine", "id: yours", 1, "id", "it must be the file's name"),
    ("root: group", "root: [group", 4, None, "expected ',' or ']'"),
    ("root: group", "root: group\nroot: topic", 4, "root", "stands here twice"),
]


def test_a_good_file_loads(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    assert compile_file(str(path)).cause.title == "A cause of my own"
    assert "mine" in load([tmp_path]).by_id


def test_a_users_file_replaces_the_shipped_cause_of_the_same_id(tmp_path: Path) -> None:
    (tmp_path / "slow-consumer.yaml").write_text(GOOD.replace("id: mine", "id: slow-consumer"))
    assert load([tmp_path]).causes["slow-consumer"].title == "A cause of my own"


@pytest.mark.parametrize(("old", "new", "line", "field", "problem"), MISTAKES)
def test_a_mistake_names_file_line_and_field(
    tmp_path: Path, old: str, new: str, line: int, field: str | None, problem: str
) -> None:
    path = tmp_path / "mine.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(BadFile) as e:
        compile_file(str(path))
    assert e.value.file == str(path)
    assert e.value.line == line
    assert e.value.field == field
    assert problem in e.value.problem


@pytest.mark.parametrize(
    "text", ["a: &x [1]\nb: *x\n", "a: " + "[" * 200, "\x00", "- 1\n- 2\n", "", "a: !!python/object:os.system x"]
)
def test_hostile_yaml_is_refused_not_obeyed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadFile):
        compile_file(str(path))


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(BadFile, match="no such folder"):
        load(["nowhere-at-all"])


def test_the_shipped_catalogue_uses_only_known_symptoms_and_every_remedy_says_how_one_sees_that_it_worked() -> None:
    for c in shipped().by_id.values():
        for t in (*c.expects, *c.contradicts):
            assert t.kind in BY_KIND
        for r in c.cause.remedies:
            assert r.success is not None, (c.cause.id, r.id)
            if r.review == "auto":
                assert r.rollback is not None, (c.cause.id, r.id)
                assert r.failure is not None, (c.cause.id, r.id)


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("1h30m", 5400), ("500ms", 0.5), ("2d", 172_800), ("1w", 604_800)])
def test_durations_read_as_people_write_them(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "m5", "5m x", "-5m"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)


def test_an_occupancy_is_rate_times_duration() -> None:
    assert occupancy("1/week", "1h") == pytest.approx(1 / 168)
