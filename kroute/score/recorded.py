"""A recording, decoded, as the baselines and the missing-signal share need it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from kroute.contracts.codec import decode
from kroute.contracts.common import Entity
from kroute.contracts.inputs import BrokerMetrics, ConnectorStatus
from kroute.contracts.rows import Ownership
from kroute.contracts.topics import Names
from kroute.diagnosis.model import Cause
from kroute.errors import BadMessage
from kroute.routing.ownership import OwnershipIndex
from kroute.signals.model import Rows
from kroute.signals.table import BY_KIND, CONNECT, METRICS
from kroute.stream.forward import Record

_TOPIC_OF = {"lag": "consumer-lag", "topology": "topology", "connect": "connector-status", "access": "access"}


class Message(NamedTuple):
    """One decoded input; ``ts`` is its append time (epoch ms)."""

    ts: int
    topic: str
    value: Any


class Recorded(NamedTuple):
    """Signals in order of time, the ownership rows as they stood at the end, and what was connected to what."""

    messages: list[Message]
    ownership: OwnershipIndex
    connectors: dict[Entity, list[Entity]]
    """Consumer group → its sink connectors."""


def decoded(records: Iterable[Record], names: Names) -> Recorded:
    """Decode; records that are refused are left out (the replay counts them)."""
    messages: list[Message] = []
    ownership = OwnershipIndex(Rows())
    connectors: dict[Entity, list[Entity]] = {}
    for r in records:
        topic = names.short(r.topic)
        if topic is None:
            continue
        try:
            value = decode(topic, r.value)
        except (BadMessage, KeyError):
            continue
        if topic == "ownership":
            ownership.put(_key(r, value), None, value)
        elif value is not None:
            messages.append(Message(r.ts, topic, value))
        if isinstance(value, ConnectorStatus) and value.group:
            known = connectors.setdefault(Entity("group", value.cluster, value.group), [])
            e = Entity("connector", value.cluster, f"{value.connect}/{value.connector}")
            if e not in known:
                known.append(e)
    return Recorded(messages, ownership, connectors)


def _key(r: Record, row: Ownership | None) -> str:
    if r.key is not None:
        return r.key.decode()
    return f"{row.kind}/{row.cluster}/{row.name}" if row is not None else ""


def collected(messages: Iterable[Message]) -> frozenset[tuple[str, str]]:
    """What the recording holds at all: ``(topic, signal)``, and ``(topic, "")`` for a topic."""
    seen: dict[tuple[str, str], None] = {}
    for m in messages:
        if not getattr(m.value, "up", True):
            continue
        seen[(m.topic, "")] = None
        for name in _signals(m.value):
            seen[(m.topic, name)] = None
    return frozenset(seen)


def missing_share(cause: Cause | None, held: frozenset[tuple[str, str]]) -> float:
    """Share (0–1) of the signals behind the symptoms that a cause expects which the recording does not hold at all.

    Fields of lag, topology and access messages are there when the topic is; a metric when some sample has its name.
    """
    wanted: dict[tuple[str, str], None] = {}
    for x in cause.expects if cause is not None else ():
        kind = BY_KIND.get(x.symptom)
        if kind is None:
            continue
        if kind.reporter == METRICS:
            wanted.update(dict.fromkeys(("broker-metrics", s) for s in kind.needs))
        elif kind.reporter == CONNECT and kind.kind in ("put-latency-high", "record-failures", "source-silent"):
            wanted.update(dict.fromkeys(("connector-status", s) for s in kind.needs))
        elif kind.reporter in _TOPIC_OF:
            wanted[(_TOPIC_OF[kind.reporter], "")] = None
    names = {name for _, name in held}
    lost = [w for w in wanted if w not in held and not (w[1] and w[1] in names)]  # a task's metric may be scraped too
    return len(lost) / len(wanted) if wanted else 0.0


def _signals(value: object) -> Iterator[str]:
    if isinstance(value, BrokerMetrics):
        yield from (s.signal for s in value.samples)
    elif isinstance(value, ConnectorStatus):
        for t in value.tasks:
            yield from t.metrics
