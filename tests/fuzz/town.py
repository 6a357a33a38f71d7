"""An engine with a small estate in trouble, to which bent messages come: what the decoders take must not stop it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from kroute.contracts.alerts import RoutedAlert
from kroute.contracts.codec import decode
from kroute.contracts.facts import Envelope
from kroute.engine import Engine, PartitionState
from kroute.errors import BadMessage
from kroute.settings import load
from kroute.signals.lag.store import CHUNK
from kroute.stream.forward import MAX_ITEM, Forwarder, Record, envelopes, progress
from tests.fuzz.target import sayable
from tests.unit.contracts.examples import AT

STEP_MS = 2_500
LIFE = 150
"""Messages after which an empty state takes over: a broken one must not hide what comes later."""
RELOAD = 25
MAX_ROW = 512 * 1024
TOPICS = ("pay", "orders")
_ENVELOPE = msgspec.json.Decoder(Envelope)
_ALERT = msgspec.json.Decoder(RoutedAlert)
CLUSTER = "prod-eu"


def stated() -> list[tuple[str, str, dict[str, Any]]]:
    """What people have stated: (topic, key, value)."""
    rows: list[dict[str, Any]] = [
        {"kind": "cluster", "cluster": CLUSTER, "name": CLUSTER, "owner": "team-platform"},
        {"kind": "team", "cluster": "*", "name": "team-platform", "page": "pagerduty://p", "notify": "slack://p"},
        {
            "kind": "service",
            "cluster": CLUSTER,
            "name": "checkout",
            "owner": "team-platform",
            "slo": {"freshness_s": 30},
            "classes": [],
        },
        {"kind": "group", "cluster": CLUSTER, "name": "checkout", "service": "checkout"},
        {
            "kind": "topic",
            "cluster": CLUSTER,
            "name": "pay*",
            "service": "checkout",
            "data_class": "pci",
            "slo": {"data_age_s": 60},
        },
    ]
    return [("ownership", f"{r['kind']}/{r['cluster']}/{r['name']}", r) for r in rows]


def background(now: int, n: int) -> tuple[str, dict[str, Any]]:
    """A good message at ``now``: a slow group, a slow sink, a broker under load, in turn."""
    polled: dict[str, Any] = {"cluster": CLUSTER, "observed_at_ms": now, "interval_ms": 4 * STEP_MS}
    if n % 4 == 0:
        end = n * 5000
        return "consumer-lag", {**polled, "group": "checkout", "state": "Stable", "coordinator": 3,
            "members": [{"member_id": "m-1", "rack": "a", "assignment": [[t, [0, 1]] for t in TOPICS]}],
            "partitions": [{"topic": t, "partition": p, "committed": n * 100, "end": end, "start": 0, "leader": 3} for t in TOPICS for p in (0, 1)]}  # fmt: skip
    if n % 4 == 1:
        return "topology", {**polled, "controller": {"leader": 1, "epoch": 4, "voters": [1, 3]},
            "brokers": [{"id": i, "rack": "a", "state": "alive" if n % 8 == 1 else "gone"} for i in (1, 3)],
            "topics": [{"name": t, "partitions": [{"id": p, "leader": 3, "replicas": [3, 1], "isr": [3]} for p in (0, 1)]} for t in TOPICS]}  # fmt: skip
    if n % 4 == 2:
        return "connector-status", {**polled, "connect": "a", "connector": "sink", "type": "sink", "state": "RUNNING", "group": "checkout",
            "system": "es", "topics": ["pay"], "tasks": [{"id": 0, "state": "FAILED", "trace": "refused", "metrics": {"put_batch_ms": 90 * n}}]}  # fmt: skip
    return "broker-metrics", {**polled, "source": {"kind": "broker", "id": "3"},
        "samples": [{"signal": "request_handler_idle_ratio", "value": 0.01}, {"signal": "log_flush_ms", "value": 5e3, "labels": {"quantile": "0.99"}}]}  # fmt: skip


class Town:
    """Takes messages as ingest and the engine would; a new state now and then, a recovery in between."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._forwarder = Forwarder(load({}))
        self._begin()

    def _begin(self) -> None:
        self.fed: list[tuple[str, bytes]] = []
        self.alerts = 0
        self._n = self._offset = 0
        self._rows: dict[tuple[str, str], bytes] = {}
        self._state: PartitionState = self._engine.new_state(0)
        for topic, key, value in stated():
            self._take(topic, key.encode(), json.dumps(value).encode())

    @property
    def now(self) -> int:
        """Event time of the town (epoch ms)."""
        return AT + self._n * STEP_MS

    def feed(self, topic: str, key: bytes | None, value: bytes) -> bool:
        """One bent message between good ones; true when it was taken.

        Raises whatever the engine does, with the messages that led there as a note.
        """
        if self._n >= LIFE:
            self._begin()
        self._n += 1
        good, message = background(self.now, self._n)
        try:
            self._take(good, None, json.dumps(message).encode())
            bent = value.replace(str(AT).encode(), str(self.now).encode())
            self.fed.append((topic, bent))
            taken = self._take(topic, key, bent)
            self._step([progress("fuzz", 0, 0, self.now, 1)])
            if self._n % RELOAD == 0:
                self._recover()
        except Exception as e:
            e.add_note(f"after {self._n} messages: {self.fed!r}")
            self._begin()
            raise
        return taken

    def _take(self, topic: str, key: bytes | None, value: bytes) -> bool:
        record = Record(f"kroute.{topic}", 0, self._offset, self.now, key, value)
        self._offset += 1
        try:
            addressed = self._forwarder.forward(record)
        except BadMessage:
            return False
        if addressed is not None:
            assert len(addressed.fact) <= MAX_ITEM
            self._step([addressed.fact])
        return True

    def _step(self, facts: list[bytes]) -> None:
        refused = self._state.refused
        for raw in envelopes(facts):
            effects = self._state.step(self._offset, _ENVELOPE.decode(raw))
            for key, row in effects.rows.items():
                if row is None:
                    self._rows.pop(key, None)
                    continue
                assert len(row) <= MAX_ROW, f"row {key} has {len(row)} bytes (chunks are {CHUNK})"
                self._rows[key] = row
            for alert in effects.alerts:
                assert len(alert.value) <= MAX_ROW
                if not alert.key.startswith("heartbeat/"):
                    self.alerts += 1
                    _harmless(alert.value)
        assert self._state.take_failures() == {}
        assert self._state.refused == refused, "what ingest took, the engine refused"

    def _recover(self) -> None:
        state = self._engine.new_state(0)
        for (table, key), row in self._rows.items():
            state.load(table, key, row)
        state.loaded()
        self._state = state


def _harmless(value: bytes) -> None:
    """Texts for people hold nothing that moves a cursor, breaks a line or hides a word."""
    a = _ALERT.decode(value)
    texts = [
        a.summary,
        a.why or "",
        *(s.why for s in a.symptoms),
        *(r.because for r in a.ruled_out),
        a.automation.does or "",
        a.automation.rollback or "",
    ]
    for text in texts:
        assert text.isprintable(), f"a text for people: {text!r}"


def decoded(topic: str, value: bytes) -> bool:
    """True when the border takes it, and what it took can be stored and told again."""
    try:
        got = decode(topic, value, timestamp_ms=AT, max_bytes=MAX_ITEM)
    except BadMessage as e:
        return sayable(e)
    msgspec.msgpack.encode(got)
    assert decode(topic, msgspec.json.encode(got)) == got
    return True
