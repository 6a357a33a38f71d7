"""Files that people write: what is wrong is told with its line, and no file ends the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from kroute import files
from kroute.errors import BadFile


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "f.yaml:1: expected the node content, but found '<stream end>'"),
        ("a: &x [1]\nb: *x", "f.yaml:2: aliases (*name) are not allowed here"),
        ("a: 1\n---\nb: 2", "f.yaml:3: a second document (---) in one file"),
        ("a: 1\nb:\n  c: 1\n  c: 2", "f.yaml:4: b.c: stands here twice"),
        ("a: 2026-13-45", "f.yaml: not YAML: month must be in 1..12"),
        ("[" * 100_000, "f.yaml: nested deeper than 64"),
        ("- " * 100_000, "f.yaml: nested deeper than 64"),
        ("a: " + "[" * 70 + "]" * 70, "f.yaml:1: a" + "[0]" * 64 + ": nested deeper than 64"),
    ],
    ids=range(8),
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadFile) as e:
        files.read_yaml("f.yaml", text)
    assert str(e.value) == message
    monkeypatch.setattr(files, "_Fast", None)  # the same where PyYAML has no libyaml
    with pytest.raises(BadFile) as slow:
        files.read_yaml("f.yaml", text)
    assert str(slow.value) == message


def test_both_parsers_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: {b: [1, 2.5, yes, null, '*'], c: 2026-01-05T10:00:00Z}\nd: |\n  x\n  y\n? e\n: ~\n"
    fast = files.read_yaml("f", text)
    assert files._Fast is not None, "the lock file's PyYAML has libyaml"
    monkeypatch.setattr(files, "_Fast", None)
    assert files.read_yaml("f", text) == fast
    assert fast[1][".a.b[1]"] == 1
    assert fast[1][".d"] == 2


def test_the_documents_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("---\na: 1\n---\n---\nb: 2\n")
    assert [(v, lines[f".{next(iter(v))}"]) for v, lines in files.read_documents(path)] == [({"a": 1}, 2), ({"b": 2}, 5)]
