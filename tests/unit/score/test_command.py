"""``kroute score`` on a small corpus made of timeline cases, from files to page."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner

from kroute.cli.main import cli
from kroute.errors import BadFile
from kroute.score.truth import corpus
from kroute.testing.case import read_case
from kroute.testing.records import records
from kroute.testing.run import recording, settings_for_cases
from tests.unit.score.world import fault, truth

CASES = Path(__file__).parents[2] / "cases"
MINUTE = 60_000


def write(folder: Path, case: str, *faults: dict[str, Any]) -> None:
    """A case's records, and a truth with times in ms after its start."""
    c = read_case(CASES / f"{case}.yaml")
    (folder / f"{case}.jsonl").write_bytes(b"".join(recording(records(c, settings_for_cases(), {}))))
    timed = [{**f, "cluster": "test", "from_ms": c.start_ms + f["from_ms"], "to_ms": c.start_ms + f["to_ms"]} for f in faults]
    ends = c.start_ms + c.end_ms
    text = {"seed": 1, "platform": "kafka", "started_ms": c.start_ms, "ends_ms": ends, "faults": timed, "benign": []}
    (folder / f"{case}.truth.json").write_text(json.dumps(text), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    owners = {"diagnosis": "team-checkout", "action": "team-checkout", "impact": ["team-checkout"]}
    slow = {"cause": "slow-consumer", "root": {"kind": "group", "name": "checkout"}, "owners": owners}
    write(tmp_path, "slow-consumer", {**slow, "from_ms": 10 * MINUTE, "to_ms": 25 * MINUTE})
    write(tmp_path, "lag-constant-and-small")
    return tmp_path


def run(*args: str | Path) -> Any:
    return CliRunner().invoke(cli, ["score", *map(str, args)], catch_exceptions=True)


def test_a_corpus_is_scored_to_terminal_json_and_page(folder: Path, tmp_path: Path) -> None:
    out = run(folder, "--jobs", "1", "--json", tmp_path / "r.json", "--html", tmp_path / "r.html", "--label", "mine <1>")
    assert out.exit_code == 0, out.output
    assert "mine <1>: 2 recordings" in out.output
    report = json.loads((tmp_path / "r.json").read_bytes())
    assert report["overall"]["settled"]["top1"]["right"] == 1
    assert report["overall"]["settled"]["action"]["right"] == 1
    assert report["false"]["benign_recordings"] == 1
    assert report["false"]["pages_on_benign"] == 0
    assert 0 < report["times_to_right_s"][0] < 180
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "mine &lt;1&gt;" in page
    assert not re.search(r"(src|href)=|url\(|@import|<script", page)
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) == 3
    for svg in plots:
        ElementTree.fromstring(svg)


def test_processes_change_nothing_but_the_time(folder: Path, tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        assert run(folder, "--jobs", jobs, "--json", tmp_path / f"{jobs}.json").exit_code == 0
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()


def test_a_bad_recording_is_told_and_the_others_are_scored(folder: Path) -> None:
    (folder / "lag-constant-and-small.jsonl").unlink()
    (folder / "bad.jsonl").write_text('{"topic": "kroute.nothing"}\n', encoding="utf-8")
    (folder / "bad.truth.json").write_bytes(msgspec.json.encode(truth(fault("slow-consumer", "group/g"))))
    out = run(folder, "--jobs", "1")
    assert out.exit_code == 1
    assert "bad.jsonl:1: topic" in out.output
    assert "1 faults" in out.output


def test_a_file_whose_name_is_no_utf_8_or_holds_an_escape_is_scored_and_shown_as_text(folder: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff\x1b[31m<b>")
    for suffix in (".jsonl", ".truth.json"):
        (folder / f"slow-consumer{suffix}").rename(folder / f"{odd}{suffix}")
    asked = ("--jobs", "1", "--json", tmp_path / "r.json", "--html", tmp_path / "r.html", "--label", odd)
    out = run(folder, *asked)
    assert out.exit_code == 0, out.output
    assert json.loads((tmp_path / "r.json").read_bytes())["faults"][0]["recording"] == "\ufffd\x1b[31m<b>"
    shown = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<h1>\ufffd[31m&lt;b&gt;</h1>" in shown
    assert "\x1b" not in shown + out.output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no such file"),
        ("{", "not JSON"),
        ('{"platform": "kafka", "started_ms": 1}', "missing required field 'ends_ms'"),
        ('{"platform": "kafka", "started_ms": 1, "ends_ms": 2, "faults": [{"cause": 3}]}', "faults[0].cause"),
    ],
)
def test_a_truth_that_cannot_be_used_is_said_before_anything_runs(tmp_path: Path, content: str | None, says: str) -> None:
    (tmp_path / "x.jsonl").write_text("", encoding="utf-8")
    if content is not None:
        (tmp_path / "x.truth.json").write_text(content, encoding="utf-8")
    with pytest.raises(BadFile, match=r"x\.truth\.json") as e:
        corpus(tmp_path)
    assert says in str(e.value)


def test_a_fault_does_not_end_before_it_began(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "x.truth.json").write_bytes(msgspec.json.encode(truth(fault("slow-consumer", "group/g", 900, 600))))
    with pytest.raises(BadFile, match=r"faults\[0\]\.to_ms: lies before from_ms"):
        corpus(tmp_path)


def test_an_empty_folder_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no recording"):
        corpus(tmp_path)
