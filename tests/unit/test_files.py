"""Files that people write: what is wrong is told with its line, and no file ends the process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kroute import files, yamlevents
from kroute.errors import BadFile

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "f.yaml:1: expected the node content, but found '<stream end>'"),
        ("a: &x [1]\nb: *x", "f.yaml:2: aliases (*name) are not allowed here"),
        ("a: 1\n---\nb: 2", "f.yaml:3: a second document (---) in one file"),
        ("a: 1\nb:\n  c: 1\n  c: 2", "f.yaml:4: b.c: stands here twice"),
        ("a: 2026-13-45", "f.yaml: not YAML: month must be in 1..12"),
        ("[" * 100_000, "f.yaml:1: nested deeper than 64"),
        ("- " * 100_000, "f.yaml:1: nested deeper than 64"),
        ("a: " + "[" * 70 + "]" * 70, "f.yaml:1: a" + "[0]" * 64 + ": nested deeper than 64"),
    ],
    ids=range(8),
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadFile) as e:
        files.read_yaml("f.yaml", text)
    assert str(e.value) == message
    monkeypatch.setattr(yamlevents, "AVAILABLE", False)  # the same where PyYAML has no libyaml
    with pytest.raises(BadFile) as slow:
        files.read_yaml("f.yaml", text)
    assert str(slow.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!int ''", "f.yaml: not YAML: string index out of range"),
        ("a: !!bool maybe", "f.yaml: not YAML: 'maybe'"),
        ('a: [1, {b: "\\ud800"}]', "f.yaml:1: a[1].b: half of a surrogate pair is no text"),
        ('x: 1\n"\\udfff": 2', "f.yaml:2: half of a surrogate pair is no text"),
    ],
)
def test_a_text_that_is_not_of_its_tag_or_half_a_character_is_a_mistake_like_any_other(text: str, message: str) -> None:
    with pytest.raises(BadFile) as e:
        files.read_yaml("f.yaml", text)
    assert str(e.value) == message


def test_a_nest_of_lists_is_refused_before_the_slow_reader_is_deep_in_it() -> None:
    began = time.process_time()
    with pytest.raises(BadFile, match="nested deeper than 64"):
        files.read_yaml("f.yaml", "kind:\n" + "- " * 500_000)
    assert time.process_time() - began < 5


def test_a_mistake_is_told_briefly_however_long_the_word_is() -> None:
    e = BadFile("f.yaml", 1, "a" * 100_000, "b" * 100_000)
    assert len(str(e)) < 5_000


CORPUS = sorted(p for d in ("tests", "kroute", "deploy") for p in (ROOT / d).rglob("*.yaml"))
ODD = {
    "all sorts": "a: {b: [1, 0x1f, 2.5, yes, No, null, ~, '*', 1_000, 1:30, .inf], c: 2026-01-05T10:00:00Z}\nd: |\n  x\n  y\ne:\n",
    "keys that are no texts": "3: x\ntrue: y\n2026-01-05: z\n? q\n: r\n",
    "quotes": "a: 'it''s'\nb: \"x\\ny\"\nc: '3'\n",
    "merge": "a: {<<: {b: 1}, c: 2}\n",
    "tags": "a: !!str 3\n",
    "an anchor alone": "a: &x [1]\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "one text": "hello\n",
    "nothing": "# only a comment\n",
}


@pytest.mark.parametrize(
    "text", [*ODD.values(), *(p.read_text(encoding="utf-8") for p in CORPUS)], ids=[*ODD, *(p.stem for p in CORPUS)]
)
def test_both_readers_read_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of the project too: values with their types, lines, and messages."""

    def read() -> object:
        try:
            found = files._documents("f", text)
        except BadFile as e:
            return str(e)
        return [(repr(v), lines) for v, lines in found]

    assert yamlevents.AVAILABLE, "the lock file's PyYAML has libyaml"
    fast = read()
    monkeypatch.setattr(yamlevents, "AVAILABLE", False)
    assert read() == fast


def test_what_people_write_is_read_by_events() -> None:
    """Else the speed would be lost unseen."""
    ordinary = [p for p in CORPUS if "/bad/" not in str(p)]
    unusual = []
    for p in ordinary:
        try:
            yamlevents.documents(p.read_text(encoding="utf-8"), files.MAX_DEPTH, files.MAX_NODES)
        except yamlevents.Unusual:
            unusual.append(p.name)
    assert unusual == []


def test_the_documents_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("---\na: 1\n---\n---\nb: 2\n")
    assert [(v, lines[f".{next(iter(v))}"]) for v, lines in files.read_documents(path)] == [({"a": 1}, 2), ({"b": 2}, 5)]
