"""The series of a case, found by entity, signal and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from kroute.testing.case import Case
from kroute.testing.series import Value, at
from kroute.testing.vocabulary import BARE, OWN, SCRAPED, WITH_SCRAPED

_KEY = re.compile(r"(?P<entity>\S+)\s+(?P<signal>[a-z_]+)(?:\{(?P<labels>[^}]*)\})?")
_LABEL = re.compile(r"\s*([a-z_]+)\s*=\s*\"?([^,\"]*)\"?\s*")


class Line(NamedTuple):
    """One series: on which entities (``name`` may end in ``*``), which signal, under which labels."""

    kind: str
    name: str
    signal: str
    labels: tuple[tuple[str, str], ...]
    values: tuple[Value, ...]
    field: str

    def covers(self, name: str) -> bool:
        """True when it is written for this entity, or for a pattern that has it."""
        return name.startswith(self.name[:-1]) if self.name.endswith("*") else name == self.name


class Signals:
    """All series of a case. Of several that hold, the one with the longest literal name wins."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.lines: list[Line] = [self._read(key) for key in case.series]
        self._found: dict[tuple[str, str, str], list[Line]] = {}

    def _read(self, key: str) -> Line:
        place, field = self._case.place, f".series.{key}"
        m = _KEY.fullmatch(key.strip())
        if m is None:
            raise place.bad(field, "is no key of a series; write <kind>/<name> <signal>, with {label=value} where needed")
        kind, slash, name = m["entity"].partition("/")
        if not slash and kind not in BARE:
            raise place.bad(field, f"{m['entity']!r} is no entity; write {m['entity']}/<name>")
        signal = m["signal"]
        if kind not in OWN and kind not in WITH_SCRAPED:
            raise place.bad(field, f"no series can be written on a {kind!r}; on {', '.join(sorted({*OWN, *WITH_SCRAPED}))}")
        if signal not in OWN.get(kind, ()) and not (kind in WITH_SCRAPED and signal in SCRAPED):
            known = ", ".join(sorted(OWN.get(kind, ()))) or "those of the vocabulary"
            raise place.bad(field, f"a {kind} has no signal {signal!r}; it has {known}" + " and the vocabulary's" * (kind in OWN))
        labels: list[tuple[str, str]] = []
        for part in filter(None, (m["labels"] or "").split(",")):
            label = _LABEL.fullmatch(part)
            if label is None:
                raise place.bad(field, f"{part!r} is no label; write name=value")
            labels.append((label[1], label[2]))
        return Line(kind, name or "", signal, tuple(sorted(labels)), self._case.series[key], field)

    def of(self, kind: str, name: str, signal: str) -> list[Line]:
        """Series for one entity and signal, the most specific first."""
        key = (kind, name, signal)
        if key not in self._found:
            found = [s for s in self.lines if s.kind == kind and s.signal == signal and s.covers(name)]
            self._found[key] = sorted(found, key=lambda s: (s.name.endswith("*"), -len(s.name), -len(s.labels)))
        return self._found[key]

    def named(self, kind: str, name: str) -> list[str]:
        """Signals that any series writes for an entity, sorted."""
        return sorted({s.signal for s in self.lines if s.kind == kind and s.covers(name)})

    def value(
        self, kind: str, name: str, signal: str, step: int, default: Value, labels: Mapping[str, str] | None = None
    ) -> Value:
        """The value at a step; ``default`` where no series is written. A series' labels must be among ``labels``."""
        have = labels or {}
        best: Line | None = None
        for s in self.of(kind, name, signal):
            if all(have.get(k) == v for k, v in s.labels) and (best is None or len(s.labels) > len(best.labels)):
                best = s
        return default if best is None else at(best.values, step)

    def number(
        self, kind: str, name: str, signal: str, step: int, default: float | None, labels: Mapping[str, str] | None = None
    ) -> float | None:
        """The same for a number.

        Raises:
            BadFile: the series has a word there.
        """
        v = self.value(kind, name, signal, step, default, labels)
        if isinstance(v, str):
            s = self.of(kind, name, signal)[0]
            raise self._case.place.bad(s.field, f"{v!r} is a word; {signal} is a number")
        return v

    def word(self, kind: str, name: str, signal: str, step: int, default: str | None) -> str | None:
        """The same for a word.

        Raises:
            BadFile: the series has a number there.
        """
        v = self.value(kind, name, signal, step, default)
        if isinstance(v, float):
            s = self.of(kind, name, signal)[0]
            raise self._case.place.bad(s.field, f"{v:g} is a number; {signal} is a word")
        return v
