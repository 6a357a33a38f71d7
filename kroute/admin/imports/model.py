"""What an import gives: rows by key, and notes on what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

OWNER_KEYS = ("kroute.io/owner", "owner", "team")
"""Labels and annotations that name the owning team, the first that is there."""
DATA_CLASSES = ("pci", "pii", "phi", "public", "internal", "confidential", "restricted")

MAX_NOTE = 1000
"""Characters of one note: names in such files may be of any length."""


class Imported:
    """Rows by ``kind/cluster/name`` as plain fields, merged where several sources speak of one thing."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.notes: list[str] = []

    def add(self, kind: str, cluster: str, name: str, **fields: Any) -> None:
        """Add or complete a row: lists and labels are joined, the first word stays where two differ."""
        row = self.rows.setdefault(f"{kind}/{cluster}/{name}", {"kind": kind, "cluster": cluster, "name": name})
        for field, value in fields.items():
            if value is None or value in ((), [], {}):
                continue
            have = row.get(field)
            if have is None:
                row[field] = value
            elif isinstance(value, list):
                row[field] = sorted({*have, *value})
            elif isinstance(value, dict):
                row[field] = {**value, **have}
            elif have != value:
                self.note(f"{kind}/{cluster}/{name}: {field} is {have!r} in one place and {value!r} in another; kept {have!r}")

    def note(self, text: str) -> None:
        """Something that could not be mapped."""
        text = text if len(text) <= MAX_NOTE else text[: MAX_NOTE - 1] + "…"
        if text not in self.notes:
            self.notes.append(text)


class Metadata(NamedTuple):
    """What Kubernetes-style metadata says: name, and its labels and annotations together (annotations win)."""

    name: str
    words: Mapping[str, str]

    @property
    def owner(self) -> str | None:
        """The owning team, where one of ``OWNER_KEYS`` is there."""
        return next((self.words[k] for k in OWNER_KEYS if self.words.get(k)), None)

    def own(self, word: str) -> str | None:
        """``kroute.io/<word>``."""
        return self.words.get(f"kroute.io/{word}")


def metadata(document: Mapping[str, Any]) -> Metadata:
    """Metadata of a document; what is no text is left out."""
    meta = document.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    words: dict[str, str] = {}
    for part in ("labels", "annotations"):
        found = meta.get(part)
        if isinstance(found, dict):
            words.update({str(k): str(v) for k, v in found.items() if isinstance(v, (str, int, float, bool))})
    return Metadata(str(meta.get("name", "")), words)


def texts(value: Any) -> list[str]:
    """The texts of a list."""
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def mapping(value: Any) -> dict[str, Any]:
    """The value when it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The mappings of a list; a single mapping is a list of one (Terraform writes blocks both ways)."""
    if isinstance(value, dict):
        return [value]
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """The value when it is a text that is not empty."""
    return value if isinstance(value, str) and value else None
