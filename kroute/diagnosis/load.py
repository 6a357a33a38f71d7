"""The catalogue: one YAML file per cause, shipped or the user's own, checked and compiled."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from kroute.contracts.common import ENTITY_KINDS
from kroute.diagnosis import paths
from kroute.diagnosis.durations import occupancy, seconds
from kroute.diagnosis.model import UNKNOWN, Cause, Contradiction, DeclaredChange, Expectation, Remedy, Strain
from kroute.errors import BadFile
from kroute.files import convert, line_of, read_yaml
from kroute.signals.model import Symptom
from kroute.signals.table import BY_KIND, IMPACT_FAMILY

SHARES = {"any": 0.0, "most": 0.8, "majority": 0.8, "concentration": 0.6}
"""Quantifiers by name, and the share that each stands for."""
QUANTIFIER = re.compile("|".join(SHARES) + r"|share >= (0?\.\d+|1(?:\.0+)?)")
T = TypeVar("T")
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
    well: float
    """Nats that it counts against when observed healthy."""

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
    required: tuple[Term, ...]
    """It is considered only while one of these was seen."""
    at_root: bool
    """True when all that is required is seen at the root itself."""
    lasts_ms: int
    strains: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    """(steps from the root, kinds of entities at their end; empty: all)."""
    aftermath: tuple[tuple[str, ...], ...] = ()


class Leads(NamedTuple):
    """From one symptom, back along ``steps``, to entities of kind ``root``: the causes that expect the symptom there."""

    steps: tuple[str, ...]
    root: str
    causes: tuple[tuple[Compiled, Term], ...]


class Catalogue:
    """All causes, and indices from a symptom kind to the causes that expect it."""

    def __init__(self, compiled: Iterable[Compiled]) -> None:
        self.by_id: Mapping[str, Compiled] = MappingProxyType({c.cause.id: c for c in sorted(compiled, key=lambda c: c.cause.id)})
        self.causes: Mapping[str, Cause] = MappingProxyType({k: c.cause for k, c in self.by_id.items()})
        all_ = [(c, t) for c in self.by_id.values() for t in c.expects]
        self.seeds = _leads((c, t) for c, t in all_ if t.required or not c.required)
        """Without one of these symptoms a cause is not considered."""
        # What a cluster's members show makes every entity of the root's kind a suspect: only the symptom that defines
        # the cause may. A cause that is ruled out at its root is a rival only for what is near the root.
        near = [(c, t) for c, t in all_ if t.required or "members" not in t.steps or not c.required]
        self.suspects = _leads((c, t) for c, t in near if not c.at_root or len(t.steps) < 2)
        """Whoever may be asked why it is not this one."""
        wide = {c.cause.id: None for c, t in all_ if not t.required and "members" in t.steps}
        self.wide = _leads((c, t) for c, t in near if c.cause.id in wide)
        """Causes that would cover more than the symptoms that lead to them."""


def _leads(terms: Iterable[tuple[Compiled, Term]]) -> Mapping[str, tuple[Leads, ...]]:
    """Index by symptom kind, then by path and kind of root: each path is walked once for all its causes."""
    index: dict[str, dict[tuple[tuple[str, ...], str], list[tuple[Compiled, Term]]]] = {}
    for c, t in terms:
        index.setdefault(t.kind, {}).setdefault((t.steps, c.cause.root), []).append((c, t))
    return MappingProxyType({k: tuple(Leads(s, r, tuple(v)) for (s, r), v in by.items()) for k, by in index.items()})


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
        BadFile: the first problem, with file, line and field.
    """
    compiled, problems = examine(name, text)
    if compiled is None:
        raise problems[0]
    return compiled


def examine(name: str, text: str | None = None) -> tuple[Compiled | None, list[BadFile]]:
    """A cause and nothing else, or None and all that is wrong with its file, in the order of the lines."""
    try:
        value, lines = read_yaml(name, text)
    except BadFile as e:
        return None, [e]
    if not isinstance(value, dict):
        return None, [BadFile(name, 1, None, "a cause is a mapping with id, title, root, …")]
    _expand_at(value)
    problems = _Problems(name, lines)
    cause = problems.typed(value)
    compiled = _compile(cause, problems) if cause is not None else None
    problems.found.sort(key=lambda p: p.line or 0)
    return (None, problems.found) if problems.found else (compiled, [])


class _Problems:
    """What is wrong with one file."""

    def __init__(self, name: str, lines: dict[str, int]) -> None:
        self.name = name
        self._lines = lines
        self.found: list[BadFile] = []

    def say(self, field: str, problem: str) -> None:
        self.found.append(BadFile(self.name, line_of(self._lines, field), field.lstrip("."), problem))

    def typed(self, value: dict[str, Any]) -> Cause | None:
        """The value as a cause; entries of its lists are tried one by one, so that one mistake does not hide another."""
        sound = dict(value)
        for field, type_ in _LISTS.items():
            items = value.get(field)
            if isinstance(items, list) and any(not self._fits(x, type_, f".{field}[{i}]") for i, x in enumerate(items)):
                sound[field] = []
        fits = self._fits(sound, Cause, "")
        return convert(self.name, value, self._lines, Cause) if fits and not self.found else None

    def _fits(self, value: Any, type_: Any, at: str) -> bool:
        try:
            convert(self.name, value, self._lines, type_, at)
        except BadFile as e:
            self.found.append(e)
            return False
        return True


_LISTS: dict[str, Any] = {
    "expects": Expectation, "contradicts": Contradiction, "changes": DeclaredChange, "remedies": Remedy, "strains": Strain,
}  # fmt: skip


def _compile(cause: Cause, problems: _Problems) -> Compiled:
    say = problems.say
    if cause.id != Path(problems.name).stem:
        say(".id", f"is {cause.id!r}; it must be the file's name, {Path(problems.name).stem!r}")
    if cause.root not in ENTITY_KINDS:
        say(".root", f"unknown entity kind {cause.root!r}; one of {', '.join(ENTITY_KINDS)}")
    for word in cause.platforms:
        if word not in ("kafka", "automq"):
            say(".platforms", f"unknown platform {word!r}; kafka or automq")
    if not cause.expects and cause.id != UNKNOWN:
        say(".expects", "expects no symptom, so it can never be found")
    prior, lasts_s = 0.5, 1.0
    try:
        prior, lasts_s = occupancy(cause.prior.rate, cause.prior.lasts), seconds(cause.prior.lasts)
    except ValueError as e:
        say(".prior", str(e))

    def each(field: str, items: Iterable[Any], make: Callable[[Any], T]) -> tuple[T, ...]:
        made = []
        for i, item in enumerate(items):
            try:
                made.append(make(item))
            except ValueError as e:
                say(f".{field}[{i}]", str(e))
        return tuple(made)

    for i, remedy in enumerate(cause.remedies):
        for word, signal in (("success", remedy.success), ("failure", remedy.failure)):
            if signal is None:
                continue
            if signal.symptom not in BY_KIND:
                say(f".remedies[{i}].{word}.symptom", f"unknown symptom {signal.symptom!r}")
            try:
                paths.parse(signal.at)
                if signal.cleared_within is not None:
                    seconds(signal.cleared_within)
            except ValueError as e:
                say(f".remedies[{i}].{word}", str(e))
        if remedy.rollback is not None and remedy.rollback_owner is None:
            say(f".remedies[{i}]", "has a rollback that nobody owns; add rollback_owner")
    expects = each("expects", cause.expects, _term)
    required = tuple(t for t in expects if t.required)
    return Compiled(
        cause,
        math.log(prior / (1 - prior)),
        expects=expects,
        contradicts=each("contradicts", cause.contradicts, _term),
        impact=each("impact", cause.impact, paths.parse),
        changes=each("changes", cause.changes, _change),
        required=required,
        at_root=bool(required) and all(not t.steps for t in required),
        lasts_ms=int(lasts_s * 1000),
        strains=each("strains", cause.strains, _strain),
        aftermath=each("aftermath", cause.aftermath, paths.parse),
    )


def _expand_at(value: dict[str, Any]) -> None:
    """``changes`` may be one mapping; files stay short for the common case."""
    if isinstance(value.get("changes"), dict):
        value["changes"] = [value["changes"]]


def _strain(strain: Strain) -> tuple[tuple[str, ...], tuple[str, ...]]:
    for kind in strain.kinds:
        if kind not in ENTITY_KINDS:
            raise ValueError(f"unknown entity kind {kind!r}; one of {', '.join(ENTITY_KINDS)}")
    return paths.parse(strain.at), strain.kinds


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
            raise ValueError(f"quantify is {item.quantify!r}; one of {', '.join(SHARES)}, 'share >= 0.3'")
        share = float(m.group(1)) if m.group(1) else SHARES[item.quantify]
    expects = isinstance(item, Expectation)
    p = min(item.p, 1 - kind.miss / 2) if expects else item.p
    return Term(
        steps=paths.parse(item.at),
        on=kind.entity,
        kind=item.symptom,
        family=kind.family,
        p=p,
        within_ms=int(seconds(item.within) * 1000) if expects else 0,
        quantify=item.quantify,
        share=share,
        required=expects and item.required,
        detail=_patterns(item.detail),
        because=None if expects else item.because,
        well=max(-CLAMP, math.log(1 - p)),
    )
