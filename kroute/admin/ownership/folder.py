"""Reads ownership files: one a team (or however they are cut), several rows in each, short words for what is common."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kroute.contracts.rows import OWNERSHIP_KINDS, Ownership
from kroute.diagnosis.durations import seconds
from kroute.errors import BadFile
from kroute.files import dates_as_text, line_of, read_yaml

PLURALS: Mapping[str, str] = {f"{k}s": k for k in OWNERSHIP_KINDS}
"""Heading of a file → kind of the rows under it."""
TEAM_FIELDS = ("page", "ticket", "notify", "runbook", "escalation", "labels")
"""Fields at the top of a file that belong to the row of its ``team``."""
HEADINGS = ("team", "cluster", "defaults", "rows", *TEAM_FIELDS, *PLURALS)
_FIELDS = tuple(f for f in Ownership.__struct_fields__ if f not in ("v", "kind", "name"))
_SPANS = {"freshness": "freshness_s", "data_age": "data_age_s"}
_WORDS = (*_FIELDS, *_SPANS, "tier")
_DEFAULTS = {f.name: f.default for f in msgspec.structs.fields(Ownership)}


class Stated(NamedTuple):
    """One row as a file states it. ``at``: its field path in the file, ``lines``: those of the whole file."""

    key: str
    row: Ownership
    file: str
    at: str
    lines: Mapping[str, int]

    @property
    def line(self) -> int | None:
        """Line of the row."""
        return line_of(dict_of(self.lines), self.at)

    def bad(self, field: str | None, problem: str) -> BadFile:
        """The error for a field of this row (None: the row)."""
        at = self.at if field is None else f"{self.at}.{field}"
        return BadFile(self.file, line_of(dict_of(self.lines), at), at.lstrip("."), problem)


def dict_of(lines: Mapping[str, int]) -> dict[str, int]:
    """Lines as ``kroute.files`` takes them."""
    return lines if isinstance(lines, dict) else dict(lines)


def yaml_files(path: str | Path) -> list[Path]:
    """A file itself, or the YAML files below a folder.

    Raises:
        BadFile: there is none.
    """
    p = Path(path)
    found = sorted(f for f in p.rglob("*") if f.suffix in (".yaml", ".yml") and f.is_file()) if p.is_dir() else [p]
    if not found:
        raise BadFile(str(path), None, None, "has no .yaml file in it")
    return found


def read(path: str | Path) -> tuple[list[Stated], list[BadFile]]:
    """All rows below a path, by key, and all that is wrong with single rows and with keys that stand twice."""
    try:
        return read_all(str(f) for f in yaml_files(path))
    except BadFile as e:
        return [], [e]


def read_all(files: Iterable[str]) -> tuple[list[Stated], list[BadFile]]:
    """The same of these files together."""
    rows: dict[str, Stated] = {}
    problems: list[BadFile] = []
    for file in files:
        found, wrong = read_file(file)
        problems += wrong
        for s in found:
            other = rows.setdefault(s.key, s)
            if other is not s:
                problems.append(s.bad(None, f"{s.key} stands in {other.file}:{other.line} too"))
    return [rows[k] for k in sorted(rows)], problems


def read_file(file: str, text: str | None = None) -> tuple[list[Stated], list[BadFile]]:
    """The rows of one file and what is wrong with it, in the order of its lines."""
    try:
        value, lines = read_yaml(file, text)
    except BadFile as e:
        return [], [e]
    if not isinstance(value, dict):
        return [], [BadFile(file, 1, None, "not a mapping; an ownership file has team, cluster, topics, groups, …")]
    reader = _Reader(file, lines)
    rows = list(reader.rows(value))
    return rows, sorted(reader.problems, key=lambda p: p.line or 0)


def is_ownership(value: Mapping[Any, Any]) -> bool:
    """True when the top of a file looks like ownership."""
    return any(k in value for k in (*PLURALS, "team", "rows"))


def plain(row: Ownership) -> dict[str, Any]:
    """A row without what it does not say."""
    out: dict[str, Any] = {}
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if value != _DEFAULTS[name] and value not in ((), {}):
            out[name] = msgspec.to_builtins(value)
    if row.slo is not None:
        out["slo"] = {k: v for k, v in out["slo"].items() if v is not None}
    return out


def encode(row: Ownership) -> bytes:
    """The value of a row on ``kroute.ownership``."""
    return msgspec.json.encode(plain(row))


class _Reader:
    """Reads one file; keeps what is wrong."""

    def __init__(self, file: str, lines: dict[str, int]) -> None:
        self.problems: list[BadFile] = []
        self._file = file
        self._lines = lines

    def say(self, at: str, problem: str) -> None:
        self.problems.append(BadFile(self._file, line_of(self._lines, at), at.lstrip(".") or None, problem))

    def rows(self, value: dict[Any, Any]) -> Iterator[Stated]:
        for key in value:
            if key not in HEADINGS:
                self.say(f".{key}", f"no heading of an ownership file{_near(str(key), HEADINGS)}")
        team = value.get("team")
        if team is not None and not isinstance(team, str):
            self.say(".team", "the name of a team")
            team = None
        clusters = self._clusters(".cluster", value.get("cluster"))
        defaults = self._mapping(".defaults", value.get("defaults"))
        own = {f: value[f] for f in TEAM_FIELDS if f in value}
        if team is not None and own:
            yield from self._entry("team", team, own, "", ["*"], {})
        elif own:
            self.say(f".{next(iter(own))}", "belongs to a team; give team: at the top of the file")
        for heading, kind in PLURALS.items():
            entries = self._mapping(f".{heading}", value.get(heading))
            for name, fields in entries.items():
                at = f".{heading}.{name}"
                where = ["*"] if kind == "team" else clusters
                base = {} if kind == "team" else {**({"owner": team} if team else {}), **defaults}
                if kind == "cluster" and not (isinstance(fields, dict) and "cluster" in fields):
                    where = [str(name)]
                yield from self._entry(kind, name, fields, at, where, base)
        raw = value.get("rows", [])
        if not isinstance(raw, list):
            self.say(".rows", "a list of rows as they stand on the topic")
            raw = []
        for i, fields in enumerate(raw):
            at = f".rows[{i}]"
            if not isinstance(fields, dict) or not isinstance(fields.get("kind"), str):
                self.say(at, "a row has kind, cluster and name")
                continue
            rest = {k: v for k, v in fields.items() if k not in ("kind", "name")}
            yield from self._entry(fields["kind"], fields.get("name"), rest, at, clusters, defaults)

    def _entry(self, kind: str, name: Any, fields: Any, at: str, clusters: list[str], base: dict[str, Any]) -> Iterator[Stated]:
        before = len(self.problems)
        if kind not in OWNERSHIP_KINDS:
            self.say(f"{at}.kind", f"{kind!r} is no kind of row{_near(kind, OWNERSHIP_KINDS)}")
        if isinstance(name, bool) or not isinstance(name, (str, int)) or name == "":
            self.say(at, f"{name!r} is no name; write it in quotes")
            return
        given = self._mapping(at, fields)
        for word in given:
            if word not in _WORDS:
                self.say(f"{at}.{word}", f"no field of an ownership row{_near(str(word), _WORDS)}")
        if "cluster" in given:
            clusters = self._clusters(f"{at}.cluster", given["cluster"])
        if not clusters:
            self.say(at, "no cluster; give cluster: here, or at the top of the file")
        laid = {**base, **{k: dates_as_text(v) for k, v in given.items() if k in _WORDS and k != "cluster"}}
        if isinstance(base.get("labels"), dict) and isinstance(given.get("labels"), dict):
            laid["labels"] = {**base["labels"], **given["labels"]}
        self._sugar(laid, at)
        if len(self.problems) > before:
            return
        for cluster in clusters:
            try:
                row = msgspec.convert({**laid, "kind": kind, "cluster": cluster, "name": str(name)}, Ownership)
            except msgspec.ValidationError as e:
                text, _, where = str(e).partition(" - at `$")
                self.say(at + where.rstrip("`"), text.replace("Object ", "").replace("`", "'"))
                return
            for field, raw in (("cluster", cluster), ("name", str(name))):
                if "*" in raw[:-1].replace("\\*", ""):
                    self.say(at, f"{field} is {raw!r}: only a last * stands for anything; write \\* for a star itself")
            yield Stated(f"{kind}/{cluster}/{name}", row, self._file, at, self._lines)

    def _sugar(self, laid: dict[str, Any], at: str) -> None:
        slo = dict(laid["slo"]) if isinstance(laid.get("slo"), dict) else None
        for word, field in _SPANS.items():
            if word in laid:
                text = laid.pop(word)
                try:
                    span = float(text) if isinstance(text, (int, float)) and not isinstance(text, bool) else seconds(str(text))
                except ValueError as e:
                    self.say(f"{at}.{word}", str(e))
                    continue
                slo = {**(slo or {}), field: span}
        if slo is not None:
            laid["slo"] = slo
        labels = laid.get("labels")
        if "tier" in laid:
            laid["labels"] = labels = {**(labels if isinstance(labels, dict) else {}), "tier": laid.pop("tier")}
        if isinstance(labels, dict):  # labels are texts; numbers and booleans of YAML are written as they read
            laid["labels"] = {
                str(k): str(v).lower() if isinstance(v, bool) else str(v) if isinstance(v, (int, float)) else v
                for k, v in labels.items()
            }

    def _clusters(self, at: str, value: Any) -> list[str]:
        if value is None:
            return []
        found = value if isinstance(value, list) else [value]
        if not found or not all(isinstance(c, str) and c for c in found):
            self.say(at, "the name of a cluster, or a list of names")
            return []
        return found

    def _mapping(self, at: str, value: Any) -> dict[Any, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.say(at, "a mapping from name to fields" if at.count(".") == 1 else "a mapping of fields, or nothing")
            return {}
        return value


def _near(word: str, words: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, words, 1)
    return f"; did you mean {near[0]}?" if near else f"; there is {', '.join(words)}"
