"""Where reports read from: recordings (alerts, or what a replay of them gives), or the topics of a running kroute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson

from kroute.admin import log
from kroute.contracts import codec
from kroute.contracts.alerts import RoutedAlert
from kroute.contracts.rows import Change, Control, Ownership, Policy
from kroute.contracts.topics import Names
from kroute.engine import build
from kroute.errors import BadFile, BadMessage, StateError
from kroute.replay import Recording, read, replay
from kroute.routing.policy import InForce, check
from kroute.settings import Settings
from kroute.stream import admin

STATES = ("controls", "changes", "ownership", "policy")


class Given(NamedTuple):
    """A control with its identity and the realm whose topic it came by."""

    ident: str
    realm: str | None
    control: Control


@dataclass
class Past:
    """What is known of a period. ``alerts``: incident → its records by revision, as delivered.

    ``controls`` hold every word that was given, also those that later ones replaced. ``policies``: version → policy.
    """

    alerts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    controls: list[Given] = field(default_factory=list)
    changes: dict[str, Change] = field(default_factory=dict)
    ownership: dict[str, Ownership] = field(default_factory=dict)
    policy: InForce | None = None
    policy_row: Policy | None = None
    raw: dict[str, bytes] = field(default_factory=dict)
    """Id of a record → its bytes as delivered."""
    missing: list[str] = field(default_factory=list)
    """What could not be read; what depends on it is not told."""

    def take_alert(self, value: bytes) -> None:
        """One record of ``routed-alerts``; heartbeats, repeats and what is no alert of the contract are left out."""
        try:
            told = msgspec.json.decode(value, type=RoutedAlert)
            alert = orjson.loads(value)
        except (msgspec.MsgspecError, ValueError):  # a heartbeat, or what another hand wrote there
            return
        if told.id in self.raw:
            return
        self.alerts[told.incident] = sorted([*self.alerts.get(told.incident, ()), alert], key=lambda a: int(a["revision"]))
        self.raw[told.id] = value

    def take_state(self, short: str, key: str, value: bytes | None, realm: str | None) -> None:
        """One record of a topic that people write; one that is not usable is left out, as the workers do."""
        try:
            row = codec.decode(short, value)
        except BadMessage:
            return
        if isinstance(row, Control):
            self.controls.append(Given(key.partition("/")[2] or row.id or key, realm, row))
        elif isinstance(row, Change):
            self.changes[row.id] = row
        elif short == "ownership":
            if isinstance(row, Ownership):
                self.ownership[key] = row
            else:
                self.ownership.pop(key, None)
        elif short == "policy" and row is None:
            self.policy = self.policy_row = None
        elif isinstance(row, Policy):
            ready, _ = check(row)
            if ready is not None:  # a bad policy never replaces a good one
                self.policy, self.policy_row = ready, row

    def incident(self, wanted: str) -> list[dict[str, Any]]:
        """Records of one incident, by its id, the beginning of it, or the id of a record.

        Raises:
            StateError: none or several are meant.
        """
        if wanted in self.alerts:
            return self.alerts[wanted]
        if wanted in self.raw:
            whole = next(r for r in self.alerts.values() if any(a["id"] == wanted for a in r))
            return [a for a in whole if int(a["revision"]) <= int(wanted.rpartition("-")[2])]
        found = [i for i in sorted(self.alerts) if i.startswith(wanted)]
        if len(found) == 1:
            return self.alerts[found[0]]
        if found:
            raise StateError(f"{wanted} may be {', '.join(found[:5])}; write more of it")
        newest = sorted(self.alerts, key=lambda i: str(self.alerts[i][-1]["updated_at"]), reverse=True)[:3]
        there = f"; the newest are {', '.join(newest)}" if newest else "; there is no incident at all"
        raise StateError(f"no incident {wanted} among {len(self.alerts)}{there}")


def from_files(paths: Iterable[str | Path], settings: Settings) -> Past:
    """From recordings: their ``routed-alerts`` lines, or, where there are none, what a replay of their inputs gives.

    Raises:
        BadFile: with file and line.
    """
    out = Past()
    for path in paths:
        recording = read(path, settings)
        alerts = list(_alerts(path, settings.names))
        if not alerts:
            alerts = [a.value for a in replay(recording, build(settings), settings).alerts]
        for value in alerts:
            out.take_alert(value)
        _states(recording, settings.names, out)
    return out


def _alerts(path: str | Path, names: Names) -> Iterable[bytes]:
    wanted = names.full("routed-alerts").encode()
    with Path(path).open("rb") as f:
        for number, line in enumerate(f, 1):
            if wanted not in line:
                continue
            try:
                item = orjson.loads(line)
            except ValueError as e:
                raise BadFile(str(path), number, None, str(e)) from None
            if item.get("topic") == names.full("routed-alerts") and item.get("value") is not None:
                yield orjson.dumps(item["value"])


def _states(recording: Recording, names: Names, out: Past) -> None:
    for r in recording.records:
        short = names.short(r.topic)
        if short in STATES:
            out.take_state(short, (r.key or b"").decode("utf-8", "replace"), r.value, names.realm(r.topic))
    for partition, _, envelope in recording.facts:
        for f in envelope.facts:
            if f.topic in STATES and partition == recording.facts[0][0]:  # each partition has all of them
                value = None if bytes(f.val) == b"null" else bytes(f.val)
                out.take_state(f.topic, f.key or "", value, f.realm)


def from_topics(settings: Settings, since_ms: int | None = None, *, alerts: bool = True, states: bool = True) -> Past:
    """From kroute's topics: ``alerts`` since a time (epoch ms), and the ``states`` that people wrote; blocks.

    Raises:
        StateError: there is no topic of alerts.
        SourceUnreachable: Kafka gave no answer.
    """
    out = Past()
    if alerts:
        for kept in log.records(settings, [settings.names.full("routed-alerts")], since_ms):
            if kept.value is not None:
                out.take_alert(kept.value)
    for short in STATES if states else ():
        for topic in _topics(settings, short):
            try:
                for kept in log.records(settings, [topic]):
                    out.take_state(short, kept.key, kept.value, settings.names.realm(topic))
            except StateError as e:
                out.missing.append(str(e))
    return out


def _topics(settings: Settings, short: str) -> list[str]:
    """A topic, and for controls those of the realms."""
    name = settings.names.full(short)
    if short != "controls":
        return [name]
    with admin.consumer(settings) as reader:
        there = reader.metadata().topics
    return [name, *sorted(t for t in there if t.startswith(f"{name}."))]
