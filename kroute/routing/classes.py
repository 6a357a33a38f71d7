"""Who may read a classed topic: the data classes and principals that ``service`` rows state.

Only what rows state is held against anybody: a service whose row states no ``classes`` may read anything, an empty list
nothing that is classed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kroute.contracts.rows import Ownership
from kroute.routing.patterns import pattern, split_key


class Classes:
    """Service rows by the principals they name. Kept beside the ownership rows, made anew when a service row changes."""

    def __init__(self) -> None:
        self.classed = 0
        """Rows of topics that state a class: while there are none, nothing is asked."""
        self._by_principal: dict[str, list[str]] | None = None

    def changed(self, old: Ownership | None, new: Ownership | None) -> None:
        """A row was replaced (None: there was none, or it went)."""
        self.classed += _classed(new) - _classed(old)
        if any(row is not None and row.kind == "service" for row in (old, new)):
            self._by_principal = None

    def stranger(self, rows: Mapping[str, Ownership], cluster: str, principals: Iterable[str], class_: str) -> str | None:
        """Why these principals (of a group whose service states nothing) may not read the class; None: they may, or
        nothing is stated.

        Outside are principals whose services all state their classes and leave this one out, and those of no service
        at all where some service does state that it reads the class.
        """
        named = sorted({plain(p) for p in principals})
        if not named:
            return None
        if self._by_principal is None:
            self._by_principal = _by_principal(rows)
        of_any = [
            rows[key] for p in named for key in self._by_principal.get(p, ()) if _holds(key, rows[key], cluster)
        ]  # fmt: skip
        who = ", ".join(named[:3])
        if of_any:
            if any(r.classes is None or class_ in r.classes for r in of_any):
                return None
            return f"no service of {who} reads class {class_}"
        stated = any(
            class_ in (rows[key].classes or ()) and _holds(key, rows[key], cluster)
            for keys in self._by_principal.values() for key in keys
        )  # fmt: skip
        return f"{who} is of no service that reads class {class_}" if stated else None


def plain(principal: str) -> str:
    """``User:search`` and ``search`` are one."""
    return principal.removeprefix("User:")


def _classed(row: Ownership | None) -> int:
    return int(row is not None and row.kind == "topic" and bool(row.data_class))


def _by_principal(rows: Mapping[str, Ownership]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for key in sorted(rows):
        if rows[key].kind == "service":
            for p in rows[key].principals:
                out.setdefault(plain(p), []).append(key)
    return out


def _holds(key: str, row: Ownership, cluster: str) -> bool:
    parts = split_key(key)
    return pattern(parts[1] if parts is not None else row.cluster).matches(cluster)
