"""Reads a policy: one file or a folder, cut however people like; the parts are put together, each with its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kroute.admin.ownership.folder import yaml_files
from kroute.admin.policy import zones
from kroute.contracts.rows import Policy
from kroute.errors import BadFile
from kroute.files import dates_as_text, line_of, read_yaml
from kroute.routing.policy import InForce, examine
from kroute.routing.rules import AutomationPolicy

MAPPINGS = ("defaults", "teams", "calendars", "realms")
HEADINGS = ("routes", "automation", *MAPPINGS)
_AUTOMATION = AutomationPolicy.__struct_fields__
DECISIVE = ("routes", "automation", "calendars", "realms")
"""Headings that only a policy has; ``teams`` and ``defaults`` stand in ownership files too."""


class Origin(NamedTuple):
    """Where a part of the policy stands: file, its lines, and the field path there."""

    file: str
    lines: dict[str, int]
    at: str


class Folder:
    """A policy as its files state it, without a version."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.value: dict[str, Any] = {}
        self.problems: list[BadFile] = []
        self.files: list[str] = []
        self._origins: dict[str, Origin] = {}

    def bad(self, field: str, problem: str) -> BadFile:
        """The error for a field of the whole policy (``routes[2].when``), told where it stands."""
        part = field
        while part:
            origin = self._origins.get(part)
            if origin is not None:
                at = origin.at + field[len(part) :]
                return BadFile(origin.file, line_of(origin.lines, at), at.lstrip("."), problem)
            cut = max(part.rfind("."), part.rfind("["))
            part = part[:cut] if cut > 0 else ""
        return BadFile(self.files[0] if len(self.files) == 1 else self.path, None, field or None, problem)

    def policy(self, version: str, year: int) -> tuple[Policy | None, InForce | None, list[BadFile]]:
        """The contract's policy with time zones spelled out, the same ready for use, and all that is wrong."""
        problems = list(self.problems)
        calendars, wrong = zones.spell_out(self.value.get("calendars", {}), year)
        problems += [self.bad(f"calendars.{at}", text) for at, text in wrong.items()]
        if problems:
            return None, None, problems
        try:
            policy = msgspec.convert({**self.value, "calendars": calendars, "version": version}, Policy)
        except msgspec.ValidationError as e:
            text, _, where = str(e).partition(" - at `$")
            field = where.rstrip("`").lstrip(".")
            return None, None, [self.bad(field, text.replace("Object ", "").replace("`", "'"))]
        ready, found = examine(policy)
        return policy, ready, [self.bad(p.field, p.text) for p in found]

    def add(self, file: str, value: Any, lines: dict[str, int]) -> None:
        """Take the parts of one file."""
        if value is None:
            return
        if not isinstance(value, dict):
            self.problems.append(BadFile(file, 1, None, f"not a mapping; a policy file has {', '.join(HEADINGS)}"))
            return
        for heading, part in value.items():
            origin = Origin(file, lines, f".{heading}")
            self._origins.setdefault(str(heading), origin)
            if heading not in HEADINGS:
                near = difflib.get_close_matches(str(heading), HEADINGS, 1)
                hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(HEADINGS)}"
                self.problems.append(BadFile(file, line_of(lines, origin.at), str(heading), f"no heading of a policy; {hint}"))
            elif heading == "routes":
                self._list("routes", self.value.setdefault("routes", []), part, origin)
            elif heading == "automation":
                self._automation(part, origin)
            else:
                self._mapping(heading, self.value.setdefault(heading, {}), part, origin)

    def _list(self, field: str, whole: list[Any], part: Any, origin: Origin) -> None:
        if not isinstance(part, list):
            self.problems.append(BadFile(origin.file, line_of(origin.lines, origin.at), origin.at.lstrip("."), "a list"))
            return
        for i, item in enumerate(part):
            self._origins[f"{field}[{len(whole)}]"] = origin._replace(at=f"{origin.at}[{i}]")
            whole.append(item)

    def _mapping(self, field: str, whole: dict[str, Any], part: Any, origin: Origin) -> None:
        if not isinstance(part, dict):
            problem = "a mapping from name to what it is"
            self.problems.append(BadFile(origin.file, line_of(origin.lines, origin.at), origin.at.lstrip("."), problem))
            return
        for key, item in part.items():
            name, at = str(key), f"{origin.at}.{key}"
            other = self._origins.get(f"{field}.{name}")
            if other is not None:
                where = f"{other.file}:{line_of(other.lines, other.at)}"
                self.problems.append(
                    BadFile(origin.file, line_of(origin.lines, at), at.lstrip("."), f"stands in {where} too")
                )  # fmt: skip
                continue
            self._origins[f"{field}.{name}"] = origin._replace(at=at)
            whole[name] = item

    def _automation(self, part: Any, origin: Origin) -> None:
        if not isinstance(part, dict):
            self._mapping("automation", {}, part, origin)
            return
        whole = self.value.setdefault("automation", {})
        for key, item in part.items():
            if key in _AUTOMATION and isinstance(item, list):
                self._list(f"automation.{key}", whole.setdefault(key, []), item, origin._replace(at=f".automation.{key}"))
            else:
                self._mapping("automation", whole, {key: item}, origin)


def read(path: str | Path) -> Folder:
    """The policy below a path; timeline cases (files with ``expect``) are left out."""
    out = Folder(str(path))
    try:
        return read_files(str(path), yaml_files(path))
    except BadFile as e:
        out.problems.append(e)
        return out


def read_files(path: str, files: Iterable[Path]) -> Folder:
    """The policy that these files make up; ``path``: what they are called together."""
    out = Folder(path)
    for file in files:
        try:
            value, lines = read_yaml(file)
        except BadFile as e:
            out.problems.append(e)
            continue
        if not is_case(value):
            out.files.append(str(file))
            out.add(str(file), dates_as_text(value), lines)
    if not out.files and not out.problems:
        out.problems.append(BadFile(path, None, None, "has no policy in it, only timeline cases"))
    return out


def is_case(value: Any) -> bool:
    """True for a timeline case, which ``kroute test`` runs."""
    return isinstance(value, dict) and "expect" in value


def is_policy(value: Mapping[Any, Any]) -> bool:
    """True when the top of a file can only be a policy's."""
    return any(k in value for k in DECISIVE)


def cases(path: str | Path) -> list[Path]:
    """The timeline cases beside a policy.

    Raises:
        BadFile: a file that cannot be read.
    """
    if not Path(path).is_dir():
        return []
    return [f for f in yaml_files(path) if is_case(read_yaml(f)[0])]
