"""YAML by libyaml's events, straight to values and lines: several times faster than nodes, for files of many rows.

It reads what people write in such files. Whatever is out of the ordinary (tags, anchors, merge keys, duplicates, depth, a
mistake) raises ``Unusual``: the slower reader then takes the file, or says what is wrong with it.
"""

from __future__ import annotations

from typing import Any

import yaml

_C: Any = getattr(yaml, "cyaml", None)
AVAILABLE = _C is not None
"""False where PyYAML was built without libyaml."""
_E: Any = yaml.events
_PLAIN = ("int", "float", "bool", "null", "timestamp")
_RESOLVERS: dict[Any, list[Any]] = yaml.SafeLoader.yaml_implicit_resolvers


class Unusual(Exception):
    """The file is not for this reader."""


def documents(text: str, max_depth: int, max_values: int) -> list[tuple[Any, dict[str, int]]]:
    """Value and lines of each document that is not empty; as ``kroute.files.read_documents``.

    Raises:
        Unusual: it must be read by the other reader.
    """
    parser = _C.CParser(text)
    constructor = yaml.constructor.SafeConstructor()
    try:
        reader = _Reader(parser, constructor, max_depth, max_values)
        out = []
        while not isinstance(event := parser.get_event(), _E.StreamEndEvent):
            if isinstance(event, _E.DocumentStartEvent):
                reader.lines = {}
                value = reader.value(parser.get_event(), "", 0)
                if value is not None:
                    out.append((value, reader.lines))
        return out
    except (yaml.YAMLError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as e:
        raise Unusual from e
    finally:
        parser.dispose()


class _Reader:
    """Builds one value from events; ``lines``: field path → line from 1."""

    def __init__(self, parser: Any, constructor: Any, max_depth: int, max_values: int) -> None:
        self.lines: dict[str, int] = {}
        self._next = parser.get_event
        self._constructor = constructor
        self._max_depth = max_depth
        self._max_values = max_values

    def value(self, event: Any, at: str, depth: int) -> Any:
        """The value that begins with an event, at a field path."""
        if depth > self._max_depth or len(self.lines) > self._max_values:
            raise Unusual
        kind = type(event)
        if kind is _E.AliasEvent or event.anchor is not None:
            raise Unusual
        self.lines.setdefault(at, event.start_mark.line + 1)
        if kind is _E.ScalarEvent:
            return self._scalar(event)
        if event.tag is not None:
            raise Unusual
        return self._mapping(at, depth) if kind is _E.MappingStartEvent else self._list(at, depth)

    def _mapping(self, at: str, depth: int) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        words: set[str] = set()
        while True:
            event: Any = self._next()
            if type(event) is _E.MappingEndEvent:
                return out
            if type(event) is not _E.ScalarEvent or event.anchor is not None or event.value in words:
                raise Unusual
            word = event.value
            words.add(word)
            path = f"{at}.{word}"
            self.lines[path] = event.start_mark.line + 1
            key = self._scalar(event)
            out[key] = self.value(self._next(), path, depth + 1)

    def _list(self, at: str, depth: int) -> list[Any]:
        out: list[Any] = []
        while type(event := self._next()) is not _E.SequenceEndEvent:
            out.append(self.value(event, f"{at}[{len(out)}]", depth + 1))
        return out

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is not None:
            raise Unusual
        if not event.implicit[0]:  # in quotes, or a block
            return text
        for tag, pattern in (*_RESOLVERS.get(text[:1], ()), *_RESOLVERS.get(None, ())):
            if pattern.match(text):
                if tag.rpartition(":")[2] not in _PLAIN:
                    raise Unusual
                node = yaml.ScalarNode(tag, text, event.start_mark, event.end_mark)
                return self._constructor.yaml_constructors[tag](self._constructor, node)
        return text
