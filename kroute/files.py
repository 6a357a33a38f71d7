"""Files people write: YAML in, a checked value out, or a BadFile that names file, line and field."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from kroute import yamlevents
from kroute.errors import BadFile

T = TypeVar("T")
MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 200_000
MAX_DEPTH = 64
NOT_OF_ITS_TAG = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
"""What PyYAML raises for a text that is not of its tag (``!!int ''``, ``!!bool x``, a date of no calendar)."""
_FIELD = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


class _Loader(yaml.SafeLoader):
    """Without anchors: a file of a few lines must not expand to gigabytes. Stops where it gets too deep or too many."""

    nodes = depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if isinstance(event, yaml.events.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not allowed here", mark)
        self.nodes += 1
        self.depth += 1
        if self.depth > 2 * MAX_DEPTH:  # which of its values it is, _walk says of all but the worst
            raise yaml.constructor.ConstructorError(None, None, f"nested deeper than {MAX_DEPTH}", mark)
        if self.nodes > 2 * MAX_NODES:
            raise yaml.constructor.ConstructorError(None, None, f"more than {MAX_NODES} values", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def load_yaml(path: str | Path, type_: type[T], text: str | None = None) -> T:
    """Read ``path`` (or ``text`` under that name) and convert it to ``type_``; unknown keys follow the type.

    Raises:
        BadFile: unreadable, not YAML, or not of the type; with line and field where known.
    """
    value, lines = read_yaml(path, text)
    return convert(path, value, lines, type_)


def convert(path: str | Path, value: Any, lines: dict[str, int], type_: type[T], at: str = "") -> T:
    """Convert part of a file; ``at`` is the path of ``value`` inside it (``.routes[0]``)."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as e:
        text = str(e)
        found = _FIELD.search(text)
        field = at + (found.group(1) if found else "")
        problem = text[: found.start()] if found else text
        raise BadFile(str(path), line_of(lines, field), field.lstrip(".") or None, _human(problem)) from None


def read_yaml(path: str | Path, text: str | None = None) -> tuple[Any, dict[str, int]]:
    """The plain value of a YAML file, and the line (from 1) of each field path (``.a.b[0]``).

    Raises:
        BadFile: unreadable, too large or too deep, duplicate keys, or not YAML.
    """
    name = str(path)
    if text is None:
        text = _text(name, path)
    docs = _documents(name, text)
    if len(docs) > 1:
        raise BadFile(name, docs[1][1][""], None, "a second document (---) in one file")
    return docs[0] if docs else (None, {})


def read_documents(path: str | Path) -> list[tuple[Any, dict[str, int]]]:
    """All documents of a file, divided by ``---``; empty ones are left out.

    Raises:
        BadFile: as ``read_yaml``.
    """
    return _documents(str(path), _text(str(path), path))


def _text(name: str, path: str | Path) -> str:
    try:
        raw = Path(path).read_bytes()
    except OSError as e:
        raise BadFile(name, None, None, e.strerror or str(e)) from None
    if len(raw) > MAX_BYTES:
        raise BadFile(name, None, None, f"{len(raw)} bytes; at most {MAX_BYTES} are read")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as e:
        raise BadFile(name, raw[: e.start].count(b"\n") + 1, None, "not UTF-8") from None


def _documents(name: str, text: str) -> list[tuple[Any, dict[str, int]]]:
    if yamlevents.AVAILABLE:
        try:
            return yamlevents.documents(text, MAX_DEPTH, MAX_NODES)
        except yamlevents.Unusual:
            pass  # read again, for what it is or for the message
    try:
        return _load(name, text)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        raise BadFile(name, mark.line + 1 if mark else None, None, e.problem or str(e)) from None
    except (yaml.YAMLError, *NOT_OF_ITS_TAG) as e:
        raise BadFile(name, None, None, f"not YAML: {e}"[:1000]) from None
    except RecursionError:
        raise BadFile(name, None, None, f"nested deeper than {MAX_DEPTH}") from None


def _load(name: str, text: str) -> list[tuple[Any, dict[str, int]]]:
    loader: Any = _Loader(text)
    try:
        out: list[tuple[Any, dict[str, int]]] = []
        while loader.check_node():
            node = loader.get_node()
            lines: dict[str, int] = {}
            _walk(name, node, "", 0, lines)
            value = loader.construct_document(node)
            if value is not None:
                out.append((value, lines))
        return out
    finally:
        loader.dispose()


def _walk(name: str, node: Any, at: str, depth: int, lines: dict[str, int]) -> None:
    if depth > MAX_DEPTH:
        raise BadFile(name, node.start_mark.line + 1, at.lstrip("."), f"nested deeper than {MAX_DEPTH}")
    if len(lines) > MAX_NODES:
        raise BadFile(name, node.start_mark.line + 1, None, f"more than {MAX_NODES} values")
    lines.setdefault(at, node.start_mark.line + 1)
    _is_text(name, node, at)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            _is_text(name, key, at)
            word = str(key.value)
            if word in seen:
                raise BadFile(name, key.start_mark.line + 1, f"{at}.{word}".lstrip("."), "stands here twice")
            seen.add(word)
            path = f"{at}.{word}"
            lines[path] = key.start_mark.line + 1
            _walk(name, value, path, depth + 1, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _walk(name, value, f"{at}[{i}]", depth + 1, lines)


def _is_text(name: str, node: Any, at: str) -> None:
    """``"\\ud800"`` is half a character: nothing could encode it again."""
    if isinstance(node, yaml.ScalarNode) and node.style == '"':
        try:
            node.value.encode()
        except UnicodeEncodeError:
            raise BadFile(name, node.start_mark.line + 1, at.lstrip(".") or None, "half of a surrogate pair is no text") from None


def dates_as_text(value: Any) -> Any:
    """YAML reads ``2026-12-31`` as a date; rows and policies hold texts."""
    if isinstance(value, dict):
        return {k: dates_as_text(v) for k, v in value.items()}
    if isinstance(value, list):
        return [dates_as_text(v) for v in value]
    return value.isoformat() if isinstance(value, date) else value


def line_of(lines: dict[str, int], field: str) -> int | None:
    """The line of a field path, or of the nearest part of it that the file has."""
    while field:
        if field in lines:
            return lines[field]
        steps = list(_STEP.finditer(field))
        if not steps:
            break
        field = field[: steps[-1].start()]
    return lines.get("")


def _human(problem: str) -> str:
    return problem.replace("Object ", "").replace("`", "'")
