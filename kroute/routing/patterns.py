"""Patterns of ownership keys and silences: a literal, or a prefix that ends in one ``*``; ``\\*`` is a star."""

from __future__ import annotations

from typing import NamedTuple


class Pattern(NamedTuple):
    """``text`` without its escapes; ``prefix`` tells that anything may follow it."""

    text: str
    prefix: bool

    def matches(self, word: str) -> bool:
        """True when the literal is ``word``, or ``word`` begins with the prefix."""
        return word.startswith(self.text) if self.prefix else word == self.text


def pattern(raw: str) -> Pattern:
    """Read a pattern: only a last, unescaped ``*`` is a wildcard; elsewhere a star is itself."""
    if raw.endswith("*") and not raw.endswith("\\*"):
        return Pattern(raw[:-1].replace("\\*", "*"), True)
    return Pattern(raw.replace("\\*", "*"), False)


def split_key(key: str) -> tuple[str, str, str] | None:
    """``kind/cluster/name``, split at the first two ``/``; None where that gives no three words."""
    kind, first, rest = key.partition("/")
    cluster, second, name = rest.partition("/")
    if not first or not second or not kind or not cluster or not name:
        return None
    return kind, cluster, name


def names(raw: str, entity: str) -> bool:
    """True when the pattern names ``kind/name``, or the name alone."""
    p = pattern(raw)
    return p.matches(entity) or p.matches(entity.partition("/")[2])
