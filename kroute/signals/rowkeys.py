"""Row keys of several parts: joined by ``|``, with ``|`` and ``%`` inside a part escaped, so that any name fits."""

from __future__ import annotations


def join(*parts: str) -> str:
    """``join("edge", "a|b")`` → ``edge|a%7Cb``."""
    key = "|".join(parts)
    if "%" not in key and key.count("|") == len(parts) - 1:  # nearly all names
        return key
    return "|".join(p.replace("%", "%25").replace("|", "%7C") for p in parts)


def split(key: str) -> list[str]:
    """The inverse of ``join``."""
    return [p.replace("%7C", "|").replace("%25", "%") for p in key.split("|")]
