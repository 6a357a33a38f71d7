"""Rows of the table ``incidents``, keys ``inc|<id>``: written only when an incident changed."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from kroute.contracts.common import Entity
from kroute.incidents.model import Evidence, Incident
from kroute.signals.model import Rows, Symptom


class _Row(Struct):
    incident: Incident
    evidence: list[tuple[Symptom, int | None]]


class Store:
    """Remembers what it wrote last, so that an unchanged incident costs no write."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._last: dict[str, bytes] = {}

    def save(self, incident: Incident) -> None:
        """Write the incident's row when it differs from the last one."""
        evidence = [(e.symptom, e.cleared_ms) for _, e in sorted(incident.evidence.items(), key=lambda i: i[0])]
        bare = msgspec.structs.replace(incident, evidence={}, moment=None, why=None)
        value = msgspec.msgpack.encode(_Row(bare, evidence))
        if self._last.get(incident.id) != value:
            self._last[incident.id] = value
            self._rows.put("incidents", f"inc|{incident.id}", value)

    def drop(self, incident_id: str) -> None:
        """The incident is over and forgotten."""
        if self._last.pop(incident_id, None) is not None:
            self._rows.drop("incidents", f"inc|{incident_id}")

    def load(self, value: bytes) -> Incident:
        """An incident from its row."""
        row = msgspec.msgpack.decode(value, type=_Row)
        incident = row.incident
        incident.evidence = {}
        for symptom, cleared in row.evidence:
            entity = Entity(*symptom.entity)
            s = msgspec.structs.replace(symptom, entity=entity)
            incident.evidence[(entity, s.kind)] = Evidence(symptom=s, cleared_ms=cleared)
        self._last[incident.id] = value
        return incident
