"""What people did on purpose about incidents: silences, acknowledgements, reports of remedies, verdicts."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from kroute.contracts.rows import Control
from kroute.routing.patterns import names, pattern
from kroute.signals.model import Rows

KEEP_MS = 30 * 86_400_000
"""A control is forgotten this long after it was given, or after its silence ended."""
MATCHERS = ("cause", "team", "service", "cluster", "root", "entity")


class Stamped(Struct, frozen=True):
    """A control with its identity and the realm whose topic it came by (None: the topic without a realm)."""

    kind: str
    id: str
    realm: str | None
    control: Control


class Subject(Struct, frozen=True):
    """What a silence is held against: texts of one incident (``root`` and entities as ``kind/name``)."""

    cause: str
    cluster: str
    root: str
    entities: tuple[str, ...]


class Controls:
    """Controls of one domain; rows in the table ``controls`` under ``control|kind|id`` (and ``|realm``, where it has one)."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._all: dict[str, Stamped] = {}
        self._index: dict[tuple[str, str | None], dict[str, Stamped]] = {}

    def put(self, key: str, control: Control | None, realm: str | None = None) -> None:
        """Take a control under its key ``kind/id``, or take it back (None). Realms cannot touch each other's."""
        kind, _, ident = key.partition("/")
        if control is not None and not ident:
            kind, ident = control.kind, control.id or key
        row = f"control|{kind}|{ident}" + (f"|{realm}" if realm else "")
        if control is None:
            if row in self._all:
                self._forget(row)
            return
        self._set(row, Stamped(control.kind, ident, realm, control))
        self._rows.put("controls", row, msgspec.json.encode(self._all[row]))

    def load(self, key: str, value: bytes) -> None:
        """One row of the table ``controls`` whose key begins with ``control|``, at recovery."""
        self._set(key, msgspec.json.decode(value, type=Stamped))

    def expire(self, now_ms: int) -> None:
        """Forget what is long over."""
        for row in sorted(self._all):
            c = self._all[row].control
            if max(c.at_ms, c.until_ms or 0) + KEEP_MS < now_ms:
                self._forget(row)

    def silences(self, now_ms: int) -> list[Stamped]:
        """Silences in force: begun, with an end that has not come, with matchers that are all known. Oldest first."""
        return [s for s in self._of("silence") if s.control.at_ms <= now_ms < (s.control.until_ms or 0) and _sound(s.control)]

    def acks(self, incident: str) -> list[Stamped]:
        """Acknowledgements of an incident, oldest first."""
        return self._about("ack", incident)

    def verdicts(self, incident: str) -> list[Stamped]:
        """Verdicts on an incident, oldest first."""
        return self._about("verdict", incident)

    def actions(self, remedy: str) -> list[Stamped]:
        """Reports about a remedy on any incident, oldest first."""
        return [s for s in self._of("action") if s.control.remedy == remedy]

    def actions_on(self, incident: str) -> list[Stamped]:
        """Reports about remedies on an incident, oldest first."""
        return self._about("action", incident)

    def _about(self, kind: str, incident: str) -> list[Stamped]:
        return _ordered(self._index.get((kind, incident), {}))

    def _of(self, kind: str) -> list[Stamped]:
        return _ordered(self._index.get((kind, None), {}))

    def _set(self, row: str, stamped: Stamped) -> None:
        if row in self._all:
            self._unlink(row)
        self._all[row] = stamped
        self._index.setdefault((stamped.kind, None), {})[row] = stamped
        if stamped.control.incident is not None:
            self._index.setdefault((stamped.kind, stamped.control.incident), {})[row] = stamped

    def _unlink(self, row: str) -> None:
        old = self._all.pop(row)
        for key in ((old.kind, None), (old.kind, old.control.incident)):
            place = self._index.get(key, {})
            place.pop(row, None)
            if not place:
                self._index.pop(key, None)

    def _forget(self, row: str) -> None:
        self._unlink(row)
        self._rows.drop("controls", row)


def _ordered(place: dict[str, Stamped]) -> list[Stamped]:
    return [place[row] for _, row in sorted((s.control.at_ms, row) for row, s in place.items())]


def silences_incident(control: Control, subject: Subject) -> bool:
    """True when the matchers about the incident itself hold; those about a team or service are left open.

    ``entity`` matches when the root matches, or every entity that shows symptoms does.
    """
    for field, raw in sorted(control.matchers.items()):
        if field in ("cause", "cluster") and not pattern(raw).matches(subject.cause if field == "cause" else subject.cluster):
            return False
        if field == "root" and not names(raw, subject.root):
            return False
        if field == "entity" and not (
            names(raw, subject.root) or (subject.entities and all(names(raw, e) for e in subject.entities))
        ):
            return False
    return True


def silences_route(control: Control, team: str, services: tuple[str, ...]) -> bool:
    """True when the matchers about a team and a service hold for a route that serves these services."""
    team_raw, service_raw = control.matchers.get("team"), control.matchers.get("service")
    if team_raw is not None and not pattern(team_raw).matches(team):
        return False
    return service_raw is None or (bool(services) and all(pattern(service_raw).matches(s) for s in services))


def _sound(control: Control) -> bool:
    """A silence without matchers, or with one that is not known, silences nothing: a slip must not silence all."""
    return bool(control.matchers) and all(k in MATCHERS for k in control.matchers)
