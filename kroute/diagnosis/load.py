"""The catalogue: one YAML file per cause, shipped or the user's own, checked and compiled."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from kroute.contracts.common import ENTITY_KINDS
from kroute.diagnosis import paths
from kroute.diagnosis.durations import occupancy, seconds
from kroute.diagnosis.model import UNKNOWN, Cause, DeclaredChange, Expectation
from kroute.errors import BadFile
from kroute.files import convert, line_of, read_yaml
from kroute.signals.model import Symptom
from kroute.signals.table import BY_KIND, IMPACT_FAMILY

QUANTIFIER = re.compile(r"any|most|concentration|share >= (0?\.\d+|1(?:\.0+)?)")
CLAMP = 4.0
"""No term of one cause counts for or against it by more nats than this."""


class Term(NamedTuple):
    """One compiled expectation or contradiction. ``steps`` from the root; ``on``: the kind of entity at their end that
    can show the symptom; ``share``: see ``quantify``."""

    steps: tuple[str, ...]
    on: str
    kind: str
    family: str
    p: float
    within_ms: int
    quantify: str | None
    share: float
    required: bool
    detail: tuple[tuple[str, re.Pattern[str]], ...]
    because: str | None

    def matches(self, s: Symptom) -> bool:
        """True when the symptom's detail is of the sort that the term asks for."""
        return not self.detail or all(pattern.search(str(s.detail.get(name, ""))) for name, pattern in self.detail)


class ChangeTerm(NamedTuple):
    """One compiled declared change: the kinds, the paths to what they touch, and the nats they add when there or not."""

    kinds: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]
    there: float
    absent: float
    required: bool


class Compiled(NamedTuple):
    """A cause ready for inference. ``log_prior`` is the log odds of its occupancy."""

    cause: Cause
    log_prior: float
    expects: tuple[Term, ...]
    contradicts: tuple[Term, ...]
    impact: tuple[tuple[str, ...], ...]
    changes: tuple[ChangeTerm, ...]

    @property
    def needs_one(self) -> bool:
        """True when it is considered only while one of its required symptoms was seen."""
        return any(t.required for t in self.expects)


class Catalogue:
    """All causes, and an index from a symptom kind to the causes that expect it."""

    def __init__(self, compiled: Iterable[Compiled]) -> None:
        self.by_id: Mapping[str, Compiled] = MappingProxyType({c.cause.id: c for c in sorted(compiled, key=lambda c: c.cause.id)})
        self.causes: Mapping[str, Cause] = MappingProxyType({k: c.cause for k, c in self.by_id.items()})
        index: dict[str, list[tuple[Compiled, Term]]] = {}
        for c in self.by_id.values():
            for t in c.expects:
                # What a cluster's members show makes every entity of the root's kind a suspect: only the symptom
                # that defines the cause may.
                if t.required or "members" not in t.steps or not c.needs_one:
                    index.setdefault(t.kind, []).append((c, t))
        self.expecting: Mapping[str, list[tuple[Compiled, Term]]] = MappingProxyType(index)


def shipped() -> Catalogue:
    """The causes that come with kroute."""
    return load([])


def load(folders: Iterable[str | Path]) -> Catalogue:
    """The shipped causes, then those of each folder: a cause with a known id replaces the shipped one.

    Raises:
        BadFile: with file, line and field.
    """
    found: dict[str, Compiled] = {}
    home = resources.files("kroute.diagnosis") / "catalogue"
    for entry in sorted(home.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".yaml"):
            c = compile_file(f"catalogue/{entry.name}", entry.read_text(encoding="utf-8"))
            found[c.cause.id] = c
    for folder in folders:
        if not Path(folder).is_dir():
            raise BadFile(str(folder), None, None, "no such folder")
        for path in sorted(Path(folder).glob("*.yaml")):
            c = compile_file(str(path))
            found[c.cause.id] = c
    if UNKNOWN not in found:
        raise BadFile("catalogue", None, None, "has no cause 'unknown'")
    return Catalogue(found.values())


def compile_file(name: str, text: str | None = None) -> Compiled:
    """One cause from its file (or from ``text`` under that name).

    Raises:
        BadFile: with file, line and field.
    """
    value, lines = read_yaml(name, text)
    if not isinstance(value, dict):
        raise BadFile(name, 1, None, "a cause is a mapping with id, title, root, …")
    _expand_at(value)
    cause = convert(name, value, lines, Cause)

    def bad(field: str, problem: str) -> BadFile:
        return BadFile(name, line_of(lines, field), field.lstrip("."), problem)

    if cause.id != Path(name).stem:
        raise bad(".id", f"is {cause.id!r}; it must be the file's name, {Path(name).stem!r}")
    if cause.root not in ENTITY_KINDS:
        raise bad(".root", f"unknown entity kind {cause.root!r}; one of {', '.join(ENTITY_KINDS)}")
    for word in cause.platforms:
        if word not in ("kafka", "automq"):
            raise bad(".platforms", f"unknown platform {word!r}; kafka or automq")
    try:
        prior = occupancy(cause.prior.rate, cause.prior.lasts)
    except ValueError as e:
        raise bad(".prior", str(e)) from None
    terms: dict[str, list[Term]] = {"expects": [], "contradicts": []}
    for field, items in (("expects", cause.expects), ("contradicts", cause.contradicts)):
        for i, item in enumerate(items):
            try:
                terms[field].append(_term(item))
            except ValueError as e:
                raise bad(f".{field}[{i}]", str(e)) from None
    changes = []
    for i, declared in enumerate(cause.changes):
        try:
            changes.append(_change(declared))
        except ValueError as e:
            raise bad(f".changes[{i}]", str(e)) from None
    impact = []
    for i, path in enumerate(cause.impact):
        try:
            impact.append(paths.parse(path))
        except ValueError as e:
            raise bad(f".impact[{i}]", str(e)) from None
    for i, remedy in enumerate(cause.remedies):
        for word, signal in (("success", remedy.success), ("failure", remedy.failure)):
            if signal is None:
                continue
            if signal.symptom not in BY_KIND:
                raise bad(f".remedies[{i}].{word}.symptom", f"unknown symptom {signal.symptom!r}")
            try:
                paths.parse(signal.at)
                if signal.cleared_within is not None:
                    seconds(signal.cleared_within)
            except ValueError as e:
                raise bad(f".remedies[{i}].{word}", str(e)) from None
        if remedy.rollback is not None and remedy.rollback_owner is None:
            raise bad(f".remedies[{i}]", "has a rollback that nobody owns; add rollback_owner")
    return Compiled(
        cause, math.log(prior / (1 - prior)), tuple(terms["expects"]), tuple(terms["contradicts"]), tuple(impact), tuple(changes)
    )


def _expand_at(value: dict[str, Any]) -> None:
    """``changes`` may be one mapping; files stay short for the common case."""
    if isinstance(value.get("changes"), dict):
        value["changes"] = [value["changes"]]


def _change(declared: DeclaredChange) -> ChangeTerm:
    if not declared.kinds:
        raise ValueError("names no kind of change")
    for name, value in (("p", declared.p), ("leak", declared.leak)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}; it must lie between 0 and 1")
    at = (declared.at,) if isinstance(declared.at, str) else declared.at
    return ChangeTerm(
        kinds=declared.kinds,
        paths=tuple(paths.parse(p) for p in at),
        there=min(CLAMP, math.log(declared.p / declared.leak)),
        absent=max(-CLAMP, math.log((1 - declared.p) / (1 - declared.leak))),
        required=declared.required,
    )


def _patterns(detail: dict[str, str]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    out = []
    for field, text in sorted(detail.items()):
        try:
            out.append((field, re.compile(text)))
        except re.error as e:
            raise ValueError(f"detail.{field} is not a regular expression: {e}") from None
    return tuple(out)


def _term(item: Any) -> Term:
    kind = BY_KIND.get(item.symptom)
    if kind is None:
        raise ValueError(f"unknown symptom {item.symptom!r}")
    if kind.family == IMPACT_FAMILY:
        raise ValueError(f"{item.symptom!r} is impact, never evidence")
    if not 0 < item.p < 1:
        raise ValueError(f"p is {item.p}; it must lie between 0 and 1")
    share = 0.0
    if item.quantify is not None:
        m = QUANTIFIER.fullmatch(item.quantify)
        if m is None:
            raise ValueError(f"quantify is {item.quantify!r}; one of any, most, concentration, 'share >= 0.3'")
        share = float(m.group(1)) if m.group(1) else {"any": 0.0, "most": 0.8, "concentration": 0.6}[item.quantify]
    expects = isinstance(item, Expectation)
    return Term(
        steps=paths.parse(item.at),
        on=kind.entity,
        kind=item.symptom,
        family=kind.family,
        p=min(item.p, 1 - kind.miss / 2) if expects else item.p,
        within_ms=int(seconds(item.within) * 1000) if expects else 0,
        quantify=item.quantify,
        share=share,
        required=expects and item.required,
        detail=_patterns(item.detail),
        because=None if expects else item.because,
    )
