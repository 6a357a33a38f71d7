"""Holds what came against what was expected.

Rules:
 1. An entry with ``from``/``to``/``by`` (or no time) asks for one alert in that window, each alert answers one entry.
 2. An entry with ``at`` asks for what stands then: the newest alert of some incident; ``firing`` counts incidents that fire.
 3. An entry with ``not`` asks that no alert of the window which has the other fields has these.
 4. ``incident: name``: entries of one name are one incident, of different names different ones.
 5. ``nothing_else`` (the default): no ``opened``, ``revised``, ``merged``, ``reopened`` or ``resolved`` that no entry asked for;
    ``strict``: no alert of any type. What only goes on telling of an expected incident (``updated``, …) is let pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kroute.testing.case import Case, Expect, Wish, given
from kroute.testing.match import differences, entity
from kroute.testing.series import clock

MOMENTS = frozenset({"opened", "revised", "merged", "reopened", "resolved"})
LIMIT = 200_000
"""Steps of the search for an assignment before the best so far is taken."""


@dataclass(frozen=True)
class Came:
    """An alert that came, ``ms`` after the start."""

    ms: int
    alert: dict[str, Any]

    def line(self) -> str:
        """In one line, without the time."""
        a = self.alert
        who = ", ".join(f"{r['role']} {r['team']} {r['urgency']}" + f" {r['do']}" * (r["do"] != "none") for r in a["routes"])
        hushed = f" [{a['suppressed']['by']}]" if a["suppressed"] else ""
        cause = a["cause"]
        return (
            f"{a['type']:<9} {short(a['incident'])}  {cause['id']} {entity(cause['root'])} {cause['confidence']:.2f} "
            f"{a['severity']}{hushed}  ({who or 'nobody'})"
        )


@dataclass
class Line:
    """One line of the verdict: ``ok`` | ``missing`` | ``extra`` | ``wrong`` | ``other``."""

    ms: int
    mark: str
    text: str
    details: list[str] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        """True when it makes the case fail."""
        return self.mark in ("missing", "extra", "wrong")


def short(incident: str) -> str:
    """An incident's id as it is shown."""
    return incident[:10]


def compare(case: Case, came: list[Came]) -> list[Line]:
    """The verdict, on the time axis."""
    return _Comparison(case, came).lines()


class _Comparison:
    def __init__(self, case: Case, came: list[Came]) -> None:
        self._case = case
        self._came = came
        self._answers: dict[int, int] = {}
        """Entry → index of the alert that answers it."""

    def lines(self) -> list[Line]:
        """All lines by time."""
        spec = self._case.spec
        out: list[Line] = []
        asked = [i for i, e in enumerate(spec.expect) if e.at is None and e.not_ is None]
        self._answers = self._assign(asked)
        for i, e in enumerate(spec.expect):
            if e.not_ is not None:
                out.append(self._never(i, e))
            elif e.at is not None:
                out.append(self._stands(i, e))
            else:
                out.append(self._answered(i, e))
        answered = set(self._answers.values())
        for k, c in enumerate(self._came):
            if k in answered:
                continue
            strict = spec.nothing_else == "strict" or (spec.nothing_else is True and c.alert["type"] in MOMENTS)
            out.append(Line(c.ms, "extra" if strict else "other", c.line()))
        return sorted(out, key=lambda s: s.ms)

    def _window(self, i: int, e: Expect) -> tuple[int, int]:
        at = f".expect[{i}]"
        first = 0 if e.from_ is None else self._case.ms(f"{at}.from", e.from_)
        last = e.to if e.to is not None else e.by
        return first, self._case.end_ms + 10**9 if last is None else self._case.ms(f"{at}.to", last)

    def _text(self, i: int, e: Expect) -> str:
        first, last = self._window(i, e)
        when = f"{clock(first)} to {'the end' if last > self._case.end_ms else clock(last)}"
        fields = ", ".join(f"{k} {v}" for k, v in given(e).items())
        line = self._case.place.line(f".expect[{i}]")
        return f"{fields or 'anything'}  [{when}; line {line}]"

    # -- rule 1, 4 -------------------------------------------------------------------------------------------

    def _assign(self, asked: list[int]) -> dict[int, int]:
        fits = {i: self._candidates(i) for i in asked}
        order = sorted(asked, key=lambda i: (len(fits[i]) == 0, self._window(i, self._case.spec.expect[i])))
        best: dict[int, int] = {}
        for steps, found in enumerate(self._search(order, 0, fits, {}, {})):
            if len(found) > len(best):
                best = dict(found)
            if len(best) == len(asked) or steps > LIMIT:
                break
        return best

    def _candidates(self, i: int) -> list[int]:
        e = self._case.spec.expect[i]
        first, last = self._window(i, e)
        return [k for k, c in enumerate(self._came) if first <= c.ms <= last and not differences(e, c.alert)]

    def _search(
        self, order: list[int], at: int, fits: dict[int, list[int]], found: dict[int, int], names: dict[str, str]
    ) -> Iterator[dict[int, int]]:
        """Assignments, fullest first as far as the order of candidates allows."""
        yield found
        if at == len(order):
            return
        i = order[at]
        name = self._case.spec.expect[i].incident
        taken = found.values()
        for k in fits[i]:
            incident = self._came[k].alert["incident"]
            if k in taken:
                continue
            if name is not None and (names.get(name, incident) != incident or incident in _others(names, name)):
                continue
            bound = {**names, name: incident} if name is not None else names
            yield from self._search(order, at + 1, fits, {**found, i: k}, bound)
        yield from self._search(order, at + 1, fits, found, names)

    def _answered(self, i: int, e: Expect) -> Line:
        k = self._answers.get(i)
        if k is not None:
            c = self._came[k]
            return Line(c.ms, "ok", c.line())
        first, last = self._window(i, e)
        line = Line(min(last, self._case.end_ms), "missing", self._text(i, e))
        near = self._nearest(i, e)
        if near is not None:
            gaps = differences(e, near.alert)
            if not first <= near.ms <= last:
                gaps.insert(0, f"time: wanted {clock(first)} to {clock(min(last, self._case.end_ms))}, came {clock(near.ms)}")
            if not gaps:
                gaps = ["it answers another entry, or is of another incident than the entry's name"]
            line.details = [f"nearest at {clock(near.ms)}: {near.line()}", *gaps]
        return line

    def _nearest(self, i: int, e: Expect) -> Came | None:
        first, last = self._window(i, e)
        answered = set(self._answers.values())

        def distance(item: tuple[int, Came]) -> tuple[int, int, int]:
            k, c = item
            away = max(first - c.ms, c.ms - last, 0)
            return (k in answered, len(differences(e, c.alert)) * 2 + (1 if away else 0), away)

        items = list(enumerate(self._came))
        return min(items, key=distance)[1] if items else None

    # -- rules 2, 3 ------------------------------------------------------------------------------------------

    def _stands(self, i: int, e: Expect) -> Line:
        ms = self._case.ms(f".expect[{i}].at", e.at or 0)
        newest: dict[str, Came] = {}
        for c in self._came:
            if c.ms <= ms:
                newest[c.alert["incident"]] = c
        if e.firing is not None:
            fields = Wish(**given(e)) if given(e) else None
            n = sum(
                c.alert["status"] == "firing" and (fields is None or not differences(fields, c.alert)) for c in newest.values()
            )
            text = f"{e.firing} incidents fire at {clock(ms)}"
            if n == e.firing:
                return Line(ms, "ok", text)
            firing = [c.line() for c in newest.values() if c.alert["status"] == "firing"]
            return Line(ms, "wrong", f"{text}; came {n}  [line {self._case.place.line(f'.expect[{i}]')}]", firing)
        names = self._names()
        pool = {n: c for n, c in newest.items() if e.incident is None or names.get(e.incident, n) == n}
        if any(not differences(e, c.alert) for c in pool.values()):
            return Line(ms, "ok", f"stands at {clock(ms)}: {_fields(e)}")
        near = min(pool.values(), key=lambda c: len(differences(e, c.alert)), default=None)
        details = [] if near is None else [f"nearest: {near.line()}", *differences(e, near.alert)]
        where = f"[line {self._case.place.line(f'.expect[{i}]')}]"
        return Line(ms, "wrong", f"stands at {clock(ms)}: {_fields(e)}  {where}", details or ["nothing stands"])

    def _names(self) -> dict[str, str]:
        out: dict[str, str] = {}
        for i, k in self._answers.items():
            name = self._case.spec.expect[i].incident
            if name is not None:
                out[name] = self._came[k].alert["incident"]
        return out

    def _never(self, i: int, e: Expect) -> Line:
        first, last = self._window(i, e)
        assert e.not_ is not None
        names = self._names()
        for c in self._came:
            ours = e.incident is None or names.get(e.incident) == c.alert["incident"]
            if ours and first <= c.ms <= last and not differences(e, c.alert) and not differences(e.not_, c.alert):
                where = f"[line {self._case.place.line(f'.expect[{i}]')}]"
                return Line(c.ms, "wrong", f"must not be: {_fields(e.not_)}  {where}", [c.line()])
        return Line(min(last, self._case.end_ms), "ok", f"never: {_fields(e.not_)}")


def _others(names: dict[str, str], name: str) -> list[str]:
    return [i for n, i in names.items() if n != name]


def _fields(wish: Wish) -> str:
    return ", ".join(f"{k} {v}" for k, v in given(wish).items()) or "anything"
