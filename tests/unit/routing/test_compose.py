"""What a record says to people: one line each, whatever the names in it are."""

from __future__ import annotations

import msgspec

from kroute.contracts.common import Entity, one_line
from kroute.incidents.model import Evidence
from tests.unit.routing.world import GROUP, World

HOSTILE = "pay\x1b[2J\x1b]0;owned\x07\u202e\r\n<!channel>\u2028\ufeff\x9b31m"


def test_names_of_strangers_move_no_cursor_and_break_no_line_in_what_is_said() -> None:
    w = World()
    root = Entity("group", GROUP.cluster, HOSTILE)
    w.incident("inc-1", cause="slow-consumer", root=root, affected=(root,), symptom="lag-growing")
    inc = w.incidents["inc-1"]
    for key, e in list(inc.evidence.items()):
        inc.evidence[key] = Evidence(symptom=msgspec.structs.replace(e.symptom, why=f"{HOSTILE} grew"))
    w.tick()
    (a,) = w.alerts
    assert a.summary == "pay[2J]0;owned  <!channel> 31m is slow"
    assert [s.why for s in a.symptoms] == ["pay[2J]0;owned  <!channel> 31m grew"]
    assert a.cause.root.name == HOSTILE, "a name is told exactly: receivers match by it"


def test_a_line_keeps_what_can_be_read() -> None:
    for text in ("naïve 漢字 😀 – “x”", "a b", ""):
        assert one_line(text) == text
    assert one_line("a\tb\nc\u00a0d") == "a b c d"
    assert one_line("a\ud800b\u200bc\x00") == "abc"
