"""What ingest decides about one input record, without Kafka: validate, address, wrap. Pure.

An input record becomes a *fact* (JSON bytes of ``kroute.contracts.facts.Fact``) with the domain it concerns, or
raises BadMessage, or is nothing (kroute's own topics and groups never enter diagnosis). The validated value is
embedded as it came; only where entries about kroute itself are cut out is it encoded again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import orjson

from kroute.contracts.alerts import DeadLetter
from kroute.contracts.codec import decode
from kroute.contracts.facts import FLOOD, PROGRESS, Flood
from kroute.contracts.rows import Policy
from kroute.contracts.topics import STATES
from kroute.errors import BadMessage
from kroute.routing.policy import check
from kroute.settings import Settings
from kroute.stream.budget import Budget, peek, poll_of

MAX_ITEMS = 500
MAX_ENVELOPE = 512 * 1024
MAX_ITEM = 900_000
"""A larger fact would not fit a producer request of 1,000,000 bytes."""
MAX_KEY = 4096
PAYLOAD_BYTES = 64 * 1024
HEAD, TAIL = b'{"facts":[', b"]}"


class Record(NamedTuple):
    """One record of an input topic; ``ts`` is its append time (epoch ms)."""

    topic: str
    partition: int
    offset: int
    ts: int
    key: bytes | None
    value: bytes | None


class Addressed(NamedTuple):
    """A fact and the domain it concerns; None: every partition of facts. An empty fact: the poll was left out (thinned)."""

    domain: str | None
    fact: bytes


LEFT_OUT = Addressed(None, b"")


class Forwarder:
    """Turns input records into addressed facts for one installation.

    ``budget`` decides which polls are left out, none where it is None; ``behind`` tells whether facts of a domain are.
    """

    def __init__(self, settings: Settings, budget: Budget | None = None, behind: Callable[[str], bool] = lambda _: False) -> None:
        self._budget = budget
        self._behind = behind
        self._names = settings.names
        self._domains = settings.domains
        self._own = (settings.names.prefix, settings.app_id)
        self._own_bytes = tuple(o.encode() for o in self._own)

    def forward(self, record: Record) -> Addressed | None:
        """The fact of a record; None where it is about kroute itself.

        Raises:
            BadMessage: with the reason of its dead letter.
        """
        short = self._names.short(record.topic)
        assert short is not None
        if self._budget is not None and self._budget.any_over and record.value and short not in STATES:
            poll = peek(short, record.value)
            if poll is not None and self._budget.leaves_out(poll, len(record.value), record.ts):
                return LEFT_OUT
        message = decode(short, record.value, timestamp_ms=record.ts, max_bytes=MAX_ITEM)
        value = b"null" if record.value is None else record.value
        key = None
        if short in STATES:
            key = _key(short, record.key)
            if short != "changes":
                _check_key(short, key, message)
            if short == "policy" and message is not None:
                _check_policy(message)
        elif any(o in value for o in self._own_bytes):
            message, value = self._without_own(short, message, value)
            if message is None:
                return None
        domain = self._domain(short, key, message)
        if self._budget is not None and domain is not None and short not in STATES:
            pace = self._budget.admit(poll_of(message), len(value), record.ts, domain, behind=self._behind(domain))
            if pace is None:
                return LEFT_OUT
            if pace:
                value = msgspec.json.encode(msgspec.structs.replace(message, interval_ms=pace))
        item: dict[str, Any] = {"topic": short, "src": record.topic, "p": record.partition, "o": record.offset, "ts": record.ts}
        if key is not None:
            item["key"] = key
        realm = self._names.realm(record.topic)
        if realm is not None:
            item["realm"] = realm
        if domain is not None:
            item["d"] = domain
        item["val"] = orjson.Fragment(value)
        fact = orjson.dumps(item)
        if len(fact) > MAX_ITEM:
            raise BadMessage("too-large", f"{len(fact)} bytes as a fact; at most {MAX_ITEM} can be forwarded")
        return Addressed(domain, fact)

    def _domain(self, short: str, key: str | None, message: Any) -> str | None:
        if short in ("policy", "controls"):  # a control has no cluster: it names an incident or matches alerts
            return None
        if short == "ownership":
            assert key is not None
            kind, cluster, _ = key.split("/", 2)
            if kind == "team":
                return None
        else:
            cluster = message.cluster
        return None if any(c in cluster for c in "*?[") else self._domains.get(cluster, cluster)

    def _is_own(self, name: str | None) -> bool:
        return name is not None and (name.startswith(self._own) or name == self._names.alerts)

    def _without_own(self, short: str, message: Any, value: bytes) -> tuple[Any, bytes]:
        """The message without what it says about kroute's own topics and groups; (None, …) where nothing is left."""
        own = self._is_own
        kept: Any = message
        if short == "consumer-lag":
            if own(message.group):
                return None, value
            kept = _cut(message, "partitions", lambda p: own(p.topic))
        elif short == "topology":
            kept = _cut(message, "topics", lambda t: own(t.name))
            kept = _cut(kept, "transactions", lambda t: own(t.id) or (t.partitions and all(own(n) for n, _ in t.partitions)))
        elif short == "broker-metrics":
            kept = _cut(message, "samples", lambda s: s.labels and (own(s.labels.get("topic")) or own(s.labels.get("group"))))
        return kept, (value if kept is message else msgspec.json.encode(kept))


def _cut(message: Any, name: str, drop: Any) -> Any:
    entries = getattr(message, name)
    kept = tuple(e for e in entries if not drop(e))
    return message if len(kept) == len(entries) else msgspec.structs.replace(message, **{name: kept})


def _key(short: str, key: bytes | None) -> str | None:
    """Key of a state row. Free on ``changes``: there one that cannot be used is left out."""
    if key is not None and len(key) <= MAX_KEY:
        try:
            return key.decode("utf-8")
        except UnicodeDecodeError:
            pass
    if short == "changes":
        return None
    raise BadMessage("bad-key", "no key" if key is None else f"a key is UTF-8 of at most {MAX_KEY} bytes")


def _check_key(short: str, key: str | None, message: Any) -> None:
    """A compacted row is found and deleted by its key alone, so the key must be the one the row has."""
    assert key is not None
    if short == "ownership":
        parts = key.split("/", 2)
        if len(parts) != 3 or not all(parts):
            raise BadMessage("bad-key", f"key is {key!r}; it must be kind/cluster/name")
        if message is not None and key != f"{message.kind}/{message.cluster}/{message.name}":
            raise BadMessage("bad-key", f"key is {key!r}; the row is {message.kind}/{message.cluster}/{message.name}")
    elif short == "policy":
        if key != "policy":
            raise BadMessage("bad-key", f"key is {key!r}; it must be policy")
    elif message is not None and message.id is not None and key != f"{message.kind}/{message.id}":
        raise BadMessage("bad-key", f"key is {key!r}; the row is {message.kind}/{message.id}")
    elif "/" not in key:
        raise BadMessage("bad-key", f"key is {key!r}; it must be kind/id")


def _check_policy(policy: Policy) -> None:
    """A bad policy never replaces a good one: workers would refuse it, so here it is told where people look."""
    _, problems = check(policy)
    if problems:
        raise BadMessage("bad-policy", f"version {policy.version}: {'; '.join(problems)}")


def progress(src: str, partition: int, offset: int, ts: int, of: int) -> bytes:
    """A progress fact: append time ``ts`` is reached on input ``src``/``partition``, one of ``of`` input partitions."""
    return orjson.dumps({"topic": PROGRESS, "src": src, "p": partition, "o": offset, "ts": ts, "of": of})


def flood(domain: str, told: Flood, ts: int) -> bytes:
    """A flood fact, at broker time ``ts`` (epoch ms)."""
    val = orjson.Fragment(msgspec.json.encode(told))
    return orjson.dumps({"topic": FLOOD, "src": FLOOD, "p": 0, "o": 0, "ts": ts, "d": domain, "val": val})


def envelopes(facts: Iterable[bytes]) -> Iterator[bytes]:
    """Values for ``kroute.facts`` in order: at most 500 facts and 512 KiB each; a larger fact goes alone."""
    batch: list[bytes] = []
    size = 0
    for fact in facts:
        if batch and (len(batch) >= MAX_ITEMS or size + len(fact) + 1 > MAX_ENVELOPE - len(HEAD) - len(TAIL)):
            yield HEAD + b",".join(batch) + TAIL
            batch, size = [], 0
        batch.append(fact)
        size += len(fact) + 1
    if batch:
        yield HEAD + b",".join(batch) + TAIL


def dead_letter(record: Record, error: BadMessage, now_ms: int) -> bytes:
    """Value for ``kroute.dead-letter``: where the record came from, why it cannot be used, and its first 64 KiB."""
    value = record.value or b""
    return msgspec.json.encode(
        DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.ts,
            reason=error.reason,
            detail=error.detail[:2000],
            size=len(value),
            sha256=hashlib.sha256(value).hexdigest(),
            payload_b64=base64.b64encode(value[:PAYLOAD_BYTES]).decode(),
            key_b64=None if record.key is None else base64.b64encode(record.key[:MAX_KEY]).decode(),
            rejected_at_ms=now_ms,
        )
    )
