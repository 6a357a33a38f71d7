"""Reaching Kafka from a command or at a start: a client that tells why there is no answer, and what may be done there.

librdkafka tells a wrong password or an unknown certificate only to a callback, and then goes on trying; a topic that one
may not see looks like a topic that is not there. Here both become one clear line.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import wait
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from kroute.errors import KrouteError, NotAuthorized, SourceUnreachable
from kroute.settings import Kafka

TIMEOUT_S = 30.0
STEP_S = 1.0
GROUPS_S = 3.0
"""The first question about a group that a cluster ever gets makes it create a topic, and librdkafka then waits in vain."""
_COORDINATOR = ("COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR")
PATIENCE_S = 3.0
"""A refusal is believed after this time: a broker that just started may not know its users yet."""
_SAID = ("_AUTHENTICATION", "_SSL")
_KINDS = {
    "TOPIC_AUTHORIZATION_FAILED": "topic",
    "GROUP_AUTHORIZATION_FAILED": "group",
    "CLUSTER_AUTHORIZATION_FAILED": "cluster",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": "transactional id",
}


def who(kafka: Kafka) -> str:
    """How a client of these settings is named to a person; Kafka alone knows its principal."""
    if kafka.oauth is not None:
        return f"OAuth client {kafka.oauth.client_id}"
    if kafka.username is not None:
        return f"user {kafka.username}"
    return f"the holder of {kafka.ssl_certfile}" if kafka.ssl_certfile else "a client without credentials"


def lacks(kafka: Kafka, rights: str, process: str = "") -> NotAuthorized:
    """The error for rights that are missing, such as ``Write on topic kroute.controls``; ``process``: whose they are."""
    advice = f"`kroute acls {process}`".replace(" `", "`")
    return NotAuthorized(f"Kafka at {kafka.bootstrap}: {who(kafka)} lacks {rights}. {advice} prints what to allow")


def failed(kafka: Kafka, error: Any, doing: str | None = None) -> KrouteError:
    """A client's error in the user's words. ``doing``: the right that was used, such as ``Write on topic kroute.controls``."""
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    name = inner.name() if hasattr(inner, "name") else ""
    if doing is None and isinstance(error, KafkaException) and len(error.args) > 1 and error.args[1]:
        doing = str(error.args[1])
    if name in _KINDS:
        return lacks(kafka, doing or f"a right on a {_KINDS[name]}")
    text = inner.str() if hasattr(inner, "str") else str(inner)
    return SourceUnreachable(f"Kafka at {kafka.bootstrap}: {text or type(inner).__name__}")


class Refusals:
    """Why a client was turned away; ``note`` is its ``error_cb``."""

    def __init__(self) -> None:
        self.last: str | None = None

    def note(self, error: Any) -> None:
        """Called by librdkafka from ``poll``."""
        if error.name() in _SAID:
            self.last = error.str().partition(" (after ")[0]


def metadata(client: Any, kafka: Kafka, refusals: Refusals, timeout_s: float = TIMEOUT_S) -> Any:
    """A cluster's metadata, of the topics that this client (admin or consumer) may see.

    Raises:
        SourceUnreachable: no answer in time, or none that would ever come: why stands in it.
    """
    began = time.monotonic()
    while True:
        try:
            return client.list_topics(timeout=STEP_S)
        except KafkaException as e:
            client.poll(0)
            past = time.monotonic() - began
            if refusals.last is not None and past > PATIENCE_S:
                raise SourceUnreachable(f"Kafka at {kafka.bootstrap} refuses {who(kafka)}: {refusals.last}") from None
            if past > timeout_s:
                raise SourceUnreachable(f"Kafka at {kafka.bootstrap} gave no answer: {e.args[0].str()}") from None


class Reach:
    """An admin client that remembers why it was turned away.

    Of several answers all are waited for before one is told as an error: librdkafka aborts the process where a client is
    destroyed from its own thread, as a garbage collection does that runs while further answers are handed over.
    """

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self._refusals = Refusals()
        try:
            config: dict[str, Any] = {**kafka.librdkafka(), "log_level": 0, "error_cb": self._refusals.note}
            self.client = AdminClient(config)
        except KafkaException as e:  # files that are no certificate or key
            raise failed(kafka, e) from None

    def metadata(self, timeout_s: float = TIMEOUT_S) -> Any:
        """The cluster's metadata; raises SourceUnreachable."""
        return metadata(self.client, self.kafka, self._refusals, timeout_s)

    def topics(self, names: Iterable[str]) -> dict[str, frozenset[str] | None]:
        """What this client may do on each topic, by Kafka's names (``READ``); None: there is no such topic.

        A topic that it may not even see has no rights, be it there or not.

        Raises:
            SourceUnreachable: no answer.
        """
        wanted = sorted(set(names))
        if not wanted:
            return {}
        asked = self.client.describe_topics(
            confluent_kafka.TopicCollection(wanted), include_authorized_operations=True, request_timeout=TIMEOUT_S
        )
        wait(asked.values())
        out: dict[str, frozenset[str] | None] = {}
        for name, future in asked.items():
            try:
                out[name] = _operations(future.result())
            except KafkaException as e:
                code = e.args[0].name()
                if code == "TOPIC_AUTHORIZATION_FAILED":
                    out[name] = frozenset()
                elif code == "UNKNOWN_TOPIC_OR_PART":
                    out[name] = None
                else:
                    raise failed(self.kafka, e) from None
        return out

    def groups(self, names: Iterable[str]) -> dict[str, frozenset[str] | None]:
        """The same of consumer groups, be they there or not; None: Kafka does not tell.

        Raises:
            SourceUnreachable: no answer.
        """
        until = time.monotonic() + TIMEOUT_S
        out: dict[str, frozenset[str] | None] = {}
        left = sorted(set(names))
        while left:
            asked = self.client.describe_consumer_groups(left, include_authorized_operations=True, request_timeout=GROUPS_S)
            wait(asked.values())
            for name, future in asked.items():
                try:
                    out[name] = _operations(future.result())
                except KafkaException as e:
                    code = e.args[0].name()
                    if code == "GROUP_AUTHORIZATION_FAILED":
                        out[name] = frozenset()
                    elif code == "GROUP_ID_NOT_FOUND":
                        out[name] = None
                    elif code not in ("_TIMED_OUT", *_COORDINATOR) or time.monotonic() > until:
                        raise failed(self.kafka, e) from None
            left = [n for n in left if n not in out]
        return out


def _operations(described: Any) -> frozenset[str]:
    told = described.authorized_operations
    return ALL if told is None else frozenset(o.name for o in told)


ALL = frozenset({"READ", "WRITE", "CREATE", "DESCRIBE", "DELETE", "ALTER", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"})
"""What is assumed where a broker does not tell (before Kafka 2.3)."""


def existing(metadata: Any) -> Mapping[str, int]:
    """Topic → partitions, of those without an error."""
    return {name: len(t.partitions) for name, t in metadata.topics.items() if t.error is None}
