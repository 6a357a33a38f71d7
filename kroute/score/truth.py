"""The truth of a recording: what was wrong, from when to when, at what, and whose it is (``X.truth.json``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from kroute.contracts.common import Entity, EntityRef, Millis, Name
from kroute.errors import BadFile
from kroute.files import convert

SUFFIX = ".truth.json"
_KINDS = {"transactional-id": "transaction"}
"""Words of people for an entity kind → the contract's."""


class Owners(Struct, frozen=True, kw_only=True):
    """The three owners. ``impact``: every team whose objective suffers; null or empty: not judged."""

    diagnosis: str | None = None
    action: str | None = None
    impact: tuple[str, ...] = ()


class Fault(Struct, frozen=True, kw_only=True):
    """One fault. ``from_ms``: onset, ``to_ms``: end of the cause (its effects may last); epoch ms.

    ``affected``: every entity that may show symptoms of it, beside the root.
    """

    cause: Name
    root: EntityRef
    cluster: Name
    from_ms: Millis
    to_ms: Millis
    owners: Owners
    affected: tuple[EntityRef, ...] = ()

    def entity(self, ref: EntityRef | None = None) -> Entity:
        """The root, or one of the fault's other entities, as the engine names it."""
        r = self.root if ref is None else ref
        return Entity(_KINDS.get(r.kind, r.kind), r.cluster or self.cluster, r.name)


class Benign(Struct, frozen=True, kw_only=True):
    """Something that looks like trouble and is none: a deploy, a planned replay, a quiet hour."""

    what: Name
    from_ms: Millis
    to_ms: Millis
    entity: Any = None


class Truth(Struct, frozen=True, kw_only=True):
    """All of it. ``missing``: share (0–1) of signals that the recording lacks on purpose, where stated."""

    platform: str
    started_ms: Millis
    ends_ms: Millis
    seed: int | str | None = None
    faults: tuple[Fault, ...] = ()
    benign: tuple[Benign, ...] = ()
    missing: Annotated[float, Meta(ge=0, le=1)] | None = None


def name_of(path: str) -> str:
    """A file's name as text that can be written: bytes in it that are no UTF-8 are shown as such."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def load(path: Path) -> Truth:
    """Read one truth file.

    Raises:
        BadFile: it is not there, not JSON, or not of this form; names the field.
    """
    name = name_of(str(path))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadFile(name, None, None, "there is no such file; every recording X.jsonl needs its X.truth.json") from None
    except OSError as e:
        raise BadFile(name, None, None, e.strerror or str(e)) from None
    return read(name, data)


def read(name: str, data: bytes) -> Truth:
    """What a truth file of this name holds.

    Raises:
        BadFile: not JSON, or not of this form; names the field.
    """
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadFile(name, None, None, f"not JSON: {e}") from None
    truth = convert(name, value, {}, Truth)
    for i, f in enumerate(truth.faults):
        if f.to_ms < f.from_ms:
            raise BadFile(name, None, f"faults[{i}].to_ms", "lies before from_ms")
    return truth


def corpus(folder: Path) -> list[tuple[Path, Truth]]:
    """Every recording of a folder (sorted by name, folders below it included) with its truth.

    Raises:
        BadFile: no recording is there, or one has no usable truth.
    """
    found = sorted(folder.rglob("*.jsonl"))
    if not found:
        raise BadFile(name_of(str(folder)), None, None, "no recording (.jsonl) in it; kroute simulate writes some")
    return [(p, load(p.with_name(p.name.removesuffix(".jsonl") + SUFFIX))) for p in found]
