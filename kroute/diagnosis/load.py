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
from kroute.diagnosis.model import UNKNOWN, Cause, Expectation
from kroute.errors import BadFile
from kroute.files import convert, line_of, read_yaml
from kroute.signals.table import BY_KIND, IMPACT_FAMILY

QUANTIFIER = re.compile(r"any|most|concentration|share >= (0?\.\d+|1(?:\.0+)?)")


class Term(NamedTuple):
    """One compiled expectation or contradiction. ``steps`` from the root; ``share``: see ``quantify``."""

    steps: tuple[str, ...]
    kind: str
    family: str
    p: float
    within_ms: int
    quantify: str | None
    share: float
    required: bool
    detail: tuple[tuple[str, re.Pattern[str]], ...]
    because: str | None


class Compiled(NamedTuple):
    """A cause ready for inference. ``log_prior`` is the log odds of its occupancy."""

    cause: Cause
    log_prior: float
    expects: tuple[Term, ...]
    contradicts: tuple[Term, ...]
    impact: tuple[tuple[str, ...], ...]


class Catalogue:
    """All causes, and an index from a symptom kind to the causes that expect it."""

    def __init__(self, compiled: Iterable[Compiled]) -> None:
        self.by_id: Mapping[str, Compiled] = MappingProxyType({c.cause.id: c for c in sorted(compiled, key=lambda c: c.cause.id)})
        self.causes: Mapping[str, Cause] = MappingProxyType({k: c.cause for k, c in self.by_id.items()})
        index: dict[str, list[tuple[Compiled, Term]]] = {}
        for c in self.by_id.values():
            for t in c.expects:
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
    impact = []
    for i, path in enumerate(cause.impact):
        try:
            impact.append(paths.parse(path))
        except ValueError as e:
            raise bad(f".impact[{i}]", str(e)) from None
    for i, remedy in enumerate(cause.remedies):
        for word, signal in (("success", remedy.success), ("failure", remedy.failure)):
            if signal is not None and signal.symptom not in BY_KIND:
                raise bad(f".remedies[{i}].{word}.symptom", f"unknown symptom {signal.symptom!r}")
        if remedy.rollback is not None and remedy.rollback_owner is None:
            raise bad(f".remedies[{i}]", "has a rollback that nobody owns; add rollback_owner")
    return Compiled(cause, math.log(prior / (1 - prior)), tuple(terms["expects"]), tuple(terms["contradicts"]), tuple(impact))


def _expand_at(value: dict[str, Any]) -> None:
    """``changes`` may be one mapping; files stay short for the common case."""
    if isinstance(value.get("changes"), dict):
        value["changes"] = [value["changes"]]


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
        kind=item.symptom,
        family=kind.family,
        p=min(item.p, 1 - kind.miss / 2) if expects else item.p,
        within_ms=int(seconds(item.within) * 1000) if expects else 0,
        quantify=item.quantify,
        share=share,
        required=expects and item.required,
        detail=tuple((k, re.compile(v)) for k, v in sorted(item.detail.items())),
        because=None if expects else item.because,
    )
