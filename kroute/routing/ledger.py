"""What was said about each incident, and to whom: so that each destination that was opened is closed once, there."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

import msgspec
from msgspec import Struct

from kroute.routing.runs import Run
from kroute.signals.model import Rows

KEEP_MS = 24 * 3_600_000
"""A row stays this long after its incident ended: longer than any hold, so that a reopening finds it."""


class Opened(Struct, frozen=True):
    """A delivery that was opened and not closed yet, as it was told."""

    delivery: str
    destination: str
    team: str
    role: str
    urgency: str
    via: str
    reason: str


class Told(Struct, frozen=True):
    """How one role of one team was told last; while the incident stays open it is told no less."""

    role: str
    team: str
    urgency: str
    destination: str
    via: str
    reason: str


class Frozen(Struct, frozen=True):
    """The owner a role was given when the incident was told to it first.

    ``destinations``: urgency → where, filled when it is first used.
    """

    team: str
    via: str
    runbook: str | None = None
    escalation: str | None = None
    destinations: dict[str, str] = {}


class Entry(Struct, kw_only=True):
    """The ledger of one incident. Times are epoch ms. ``opened``: delivery → what is open; ``told``: ``role|team`` → how.
    ``frozen``: role (and service, where it is impact) → owner.

    ``news``: fingerprint of what was said last; ``severity`` and ``urgency`` (rank of the highest) as said then;
    ``supersedes``: the merged incidents that were told; ``heard``: acknowledgements and verdicts that were told.
    """

    incident: str
    root: str
    revision: int = 0
    opened: dict[str, Opened] = {}
    told: dict[str, Told] = {}
    frozen: dict[str, Frozen] = {}
    news: str = ""
    severity: str = "info"
    urgency: int = -1
    said_ms: int | None = None
    ended_ms: int | None = None
    supersedes: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    acked: bool = False
    paged_ms: int | None = None
    """Since when a page has been open; escalations count from here."""
    remedies: dict[str, Run] = {}

    @property
    def paging(self) -> bool:
        """True while a page is open."""
        return any(o.urgency == "page" for o in self.opened.values())


class Obligations(NamedTuple):
    """Deliveries that were opened and not closed: all, those of pages nobody acknowledged, and those whose incident is over
    or unknown (there should be none). ``oldest_ms``: when the oldest incident that has one began, epoch ms."""

    open: int = 0
    unacknowledged: int = 0
    orphaned: int = 0
    oldest_ms: int | None = None

    def __add__(self, other: object) -> Obligations:
        assert isinstance(other, Obligations)
        ages = [ms for ms in (self.oldest_ms, other.oldest_ms) if ms is not None]
        return Obligations(
            self.open + other.open, self.unacknowledged + other.unacknowledged, self.orphaned + other.orphaned,
            min(ages, default=None),
        )  # fmt: skip


class Ledger:
    """Entries of one domain; rows in the table ``incidents`` under ``out|<id>``."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._all: dict[str, Entry] = {}

    def get(self, incident: str) -> Entry | None:
        """The entry of an incident that was told of."""
        return self._all.get(incident)

    def save(self, entry: Entry) -> None:
        """Keep an entry and write its row."""
        self._all[entry.incident] = entry
        self._rows.put("incidents", f"out|{entry.incident}", msgspec.msgpack.encode(entry))

    def load(self, key: str, value: bytes) -> None:
        """One row of the table ``incidents`` whose key begins with ``out|``, at recovery."""
        entry = msgspec.msgpack.decode(value, type=Entry)
        self._all[entry.incident] = entry

    def expire(self, now_ms: int) -> None:
        """Drop what ended long ago and left nothing open."""
        for i in sorted(self._all):
            e = self._all[i]
            if e.ended_ms is not None and not e.opened and e.ended_ms + KEEP_MS < now_ms:
                del self._all[i]
                self._rows.drop("incidents", f"out|{i}")

    def obligations(self, began_ms: Mapping[str, int]) -> Obligations:
        """What is open; ``began_ms``: the incidents that are not over, and when each began."""
        owing = [e for e in self._all.values() if e.opened]
        return Obligations(
            sum(len(e.opened) for e in owing),
            sum(1 for e in owing if e.paging and not e.acked),
            sum(len(e.opened) for e in owing if e.incident not in began_ms),
            min((began_ms[e.incident] for e in owing if e.incident in began_ms), default=None),
        )

    def elsewhere(self, root: str) -> frozenset[str]:
        """Incidents that are known and have another root."""
        return frozenset(i for i, e in self._all.items() if e.root != root)


class Said(NamedTuple):
    """What was said last: its fingerprint, when (epoch ms; None: never), and whether the end was told."""

    news: str
    at_ms: int | None
    ended: bool = False


def needs_update(
    said: Said | None, *, news: str, firing: bool, moment: bool = False, repeats: bool = False, repeat_ms: int, now_ms: int
) -> str | None:
    """Why a record is due now, or None: ``first`` | ``moment`` | ``changed`` | ``ended`` | ``never-said`` | ``repeat``.

    ``news`` is a fingerprint of what is to be said, without values that merely move; ``moment``: something happened to the
    incident that has not been told; ``repeats``: a page is open that nobody acknowledged. Follows Alertmanager's
    ``needsUpdate`` (notify/dedup_stage.go).
    """
    if said is None:
        return "first" if firing else None  # no end without a beginning
    if said.at_ms is None:
        return "never-said"
    if not firing:
        if not said.ended:
            return "ended"
        return "moment" if moment else None  # a late symptom amends what is over
    if said.ended:
        return "moment" if moment else "changed"
    if moment:
        return "moment"
    if said.news != news:
        return "changed"
    if repeats and now_ms - said.at_ms >= repeat_ms:
        return "repeat"
    return None


def delivery_id(incident: str, destination: str) -> str:
    """The one thread of messages between an incident and a destination."""
    return "d-" + sha256(f"{incident}\0{destination}".encode()).hexdigest()[:16]
