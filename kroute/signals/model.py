"""Values that the first stage works with and hands on: observations, symptoms, knowledge."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from kroute.contracts.common import Entity

DEFAULT_INTERVAL_MS = 30_000
STALE_POLLS = 3
"""An entity not heard of for this many polls is *not observed*."""
GRACE_MS = 5_000
"""Added to the polls above: delivery takes time too."""


class Status(IntEnum):
    """Three states of knowledge. Silence of a signal is never health."""

    UNOBSERVED = 0
    HEALTHY = 1
    ACTIVE = 2


class Src(NamedTuple):
    """The input record something was read from: full topic name, partition, offset, append time (ms)."""

    topic: str
    partition: int
    offset: int
    append_ms: int


class Symptom(Struct, frozen=True, kw_only=True):
    """Something wrong with one entity, as one numbered rule saw it.

    ``since_ms`` is the event time at which the condition began (the rule's best estimate), ``last_ms`` the event
    time of the newest observation that showed it. ``value`` is in the unit of ``why``. ``detail`` holds what
    diagnosis may need beyond the kind: ``topic``, ``partitions``, ``leaders``, ``trace``, ``member`` …; values are
    JSON-like. ``topic_src`` … ``offset_src`` name the input record.
    """

    kind: str
    entity: Entity
    since_ms: int
    last_ms: int
    value: float | None = None
    why: str = ""
    topic_src: str = ""
    partition_src: int = 0
    offset_src: int = -1
    detail: dict[str, Any] = {}


class SymptomKind(NamedTuple):
    """A row of the table of symptoms; see ``kroute.signals.table``.

    ``leak``: how often it is there for no modelled reason (probability at any moment). ``miss``: how often it stays
    hidden although its cause is there. ``reporter``: the one window type that judges it. ``family``: symptoms of one
    entity that are functions of the same numbers; only the strongest of a family counts as evidence. ``rule``: the
    number its detector carries. ``needs``: the signals without which it is not observed.
    """

    kind: str
    entity: str
    reporter: str
    family: str
    leak: float
    miss: float
    rule: str
    needs: tuple[str, ...]
    title: str


class Link(NamedTuple):
    """A migration link as rows state it. ``phase``: ``promoting`` | ``promoted``, or empty while clients stay on the source.

    ``dual_run_until_ms``: until then both sides may be in use on purpose.
    """

    entity: Entity
    source: str
    target: str
    groups: tuple[str, ...]
    phase: str
    dual_run_until_ms: int | None


class Knowledge(Protocol):
    """What people have stated and the first stage may use; the engine hands it in (from ownership rows)."""

    def objective_s(self, cluster: str, group: str, topic: str | None) -> float | None:
        """Freshness objective of a group (its row, its service, else the topic), in seconds."""
        ...

    def data_age_objective_s(self, cluster: str, topic: str) -> float | None:
        """Longest time without a record that the topic's row or service allows, in seconds."""
        ...

    def isolation(self, cluster: str, group: str) -> str | None:
        """``read_committed`` | ``read_uncommitted`` where a row states it."""
        ...

    def schedule_period_s(self, cluster: str, group: str) -> float | None:
        """Period in which a batch consumer is expected to commit, where a row states one."""
        ...

    def topic_period_s(self, cluster: str, topic: str) -> float | None:
        """Longest time from one record of a topic to the next that is meant, where its row states one."""
        ...

    def links_from(self, cluster: str) -> tuple[Link, ...]:
        """Migration links that have this cluster as their source."""
        ...

    def link(self, entity: Entity) -> Link | None:
        """One link, where a row states both of its clusters."""
        ...

    def classed(self) -> bool:
        """True when any topic's row states a data class."""
        ...

    def data_class(self, cluster: str, topic: str) -> str | None:
        """Data class of a topic, where its row states one."""
        ...

    def outside_class(self, cluster: str, group: str, topic: str, principals: tuple[str, ...]) -> str | None:
        """Why the group (with these principals, where they are told) has no right to the topic's data class; None: it
        has, or rows do not state it."""
        ...


class Measure(NamedTuple):
    """How far one group is behind on one topic (or how old a topic's data is), for the impact of an incident.

    ``lag`` in records, ``lag_s``, ``data_age_s``, ``objective_s``, ``breach_in_s`` in seconds; ``bound``: ``exact`` |
    ``at-least`` | ``estimate``; ``state``: ``fine`` | ``at-risk`` | ``breached`` | ``unknown``. ``group`` None: the
    measure is about the topic itself (its data age, for producers).
    """

    topic: str
    group: str | None
    lag: int | None
    lag_s: float | None
    bound: str | None
    data_age_s: float | None
    objective_s: float | None
    state: str
    breach_in_s: float | None = None


class Measures(Protocol):
    """What the lag windows tell to later stages."""

    def of_group(self, group: Entity, now_ms: int) -> tuple[Measure, ...]:
        """One measure per topic the group reads, sorted by topic; empty when nothing is known."""
        ...

    def of_topic(self, topic: Entity, now_ms: int) -> Measure | None:
        """The topic's own freshness (data age against its objective), None when nothing is known."""
        ...


class NoKnowledge:
    """Nothing stated; for tests."""

    def objective_s(self, cluster: str, group: str, topic: str | None) -> float | None:
        return None

    def data_age_objective_s(self, cluster: str, topic: str) -> float | None:
        return None

    def isolation(self, cluster: str, group: str) -> str | None:
        return None

    def schedule_period_s(self, cluster: str, group: str) -> float | None:
        return None

    def topic_period_s(self, cluster: str, topic: str) -> float | None:
        return None

    def links_from(self, cluster: str) -> tuple[Link, ...]:
        return ()

    def link(self, entity: Entity) -> Link | None:
        return None

    def classed(self) -> bool:
        return False

    def data_class(self, cluster: str, topic: str) -> str | None:
        return None

    def outside_class(self, cluster: str, group: str, topic: str, principals: tuple[str, ...]) -> str | None:
        return None


class Rows:
    """Changed rows of one unit of work, seen from one domain: ``(table, domain|key)`` → bytes, None deletes."""

    def __init__(self, domain: str = "", changed: dict[tuple[str, str], bytes | None] | None = None) -> None:
        self.prefix = domain + "|"
        self.changed: dict[tuple[str, str], bytes | None] = {} if changed is None else changed

    def put(self, table: str, key: str, value: bytes) -> None:
        """Set a row; ``key`` is the key inside the domain."""
        self.changed[(table, self.prefix + key)] = value

    def drop(self, table: str, key: str) -> None:
        """Delete a row."""
        self.changed[(table, self.prefix + key)] = None


def stale_after_ms(interval_ms: int) -> int:
    """How long after its last report an entity still counts as observed."""
    return STALE_POLLS * interval_ms + GRACE_MS
