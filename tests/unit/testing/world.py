"""Small cases for these tests."""

from __future__ import annotations

from typing import Any

import orjson

from kroute.settings import Settings
from kroute.stream.forward import Record
from kroute.testing.case import Case, read_case
from kroute.testing.records import records


def case(text: str) -> Case:
    """A case from the YAML below ``about``; expects nothing unless it says so."""
    tail = "" if "expect:" in text else "\nexpect: []"
    return read_case("case.yaml", f"about: a test\n{text}{tail}\n")


def sent(text: str, topic: str | None = None) -> list[dict[str, Any]]:
    """Values of the records of a case, those of one topic where it is given."""
    return [orjson.loads(r.value or b"null") for r in raw(text) if topic is None or r.topic == f"kroute.{topic}"]


def raw(text: str) -> list[Record]:
    """The records of a case."""
    return records(case(text), Settings(), {})
