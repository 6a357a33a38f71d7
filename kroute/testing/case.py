"""A timeline case as people write it: a YAML file, checked, with the line of every mistake."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from kroute.errors import BadFile
from kroute.files import convert, line_of, read_yaml
from kroute.testing.series import Value, series, span_ms

T = TypeVar("T")
Span = str | float | int
"""``20m30s`` or seconds; since the start of the case where it is a moment."""
Many = str | tuple[str, ...]


class TopicSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A topic. ``rate``: records/s over all partitions. ``leaders``: leader by partition, else spread over the brokers."""

    partitions: int | None = None
    rate: float = 100.0
    replication: int = 3
    leaders: tuple[int, ...] = ()
    config: dict[str, str] = {}
    data_class: str | None = None
    data_age: Span | None = None


class GroupSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consumer group. ``assigned``: the topics its members read, where it is not all of ``topics``."""

    topics: tuple[str, ...] = ()
    service: str | None = None
    members: int | None = None
    protocol: str = "classic"
    coordinator: int | None = None
    freshness: Span | None = None
    isolation: str | None = None
    schedule: Any = None
    racks: tuple[str, ...] = ()
    assigned: tuple[str, ...] | None = None
    owner: str | None = None


class ConnectorSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """A connector, ``connect/name``. A sink without a ``group`` gets ``connect-<name>`` on its ``topics``."""

    system: str | None = None
    group: str | None = None
    type: Literal["sink", "source"] = "sink"
    topics: tuple[str, ...] = ()
    tasks: int = 1
    workers: tuple[str, ...] = ("w1:8083",)
    service: str | None = None
    class_: str | None = None
    trace: str | None = None


class BrokerSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A broker."""

    rack: str | None = None


class TransactionSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A transactional id and the topics it writes."""

    topics: tuple[str, ...] = ()


class EstateSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What there is. All that is left out is filled in: see ``kroute.testing.world``."""

    brokers: int | dict[str, BrokerSpec] = 3
    racks: tuple[str, ...] = ("rack-a", "rack-b", "rack-c")
    partitions: int = 6
    topics: dict[str, TopicSpec] = {}
    groups: dict[str, GroupSpec] = {}
    connectors: dict[str, ConnectorSpec] = {}
    transactions: dict[str, TransactionSpec] = {}
    links: tuple[str, ...] = ()
    probes: bool = False
    owners: dict[str, Any] = {}
    """``kind/name`` (or a pattern) → team, or fields of the ownership row; null: no row, where one would be filled in."""


class ChangeSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change: told ``at``, in force from ``starts`` (default: at) to ``ends``. ``target``: ``kind/name``."""

    at: Span
    kind: str
    target: str
    id: str | None = None
    starts: Span | None = None
    ends: Span | None = None
    by: str = "ci"
    why: str | None = None
    rollback: str | None = None
    detail: dict[str, Any] = {}


class ControlSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A control, given ``at``. ``incident``: fields of the alert of the incident it is about, as in ``expect``.

    ``delete``: takes the control of that ``id`` back.
    """

    at: Span
    kind: Literal["silence", "ack", "action", "verdict"]
    id: str | None = None
    by: str = "ann"
    why: str | None = None
    incident: dict[str, Any] | None = None
    matchers: dict[str, str] = {}
    until: Span | None = None
    remedy: str | None = None
    state: str | None = None
    verdict: str | None = None
    should_be: str | None = None
    cause: str | None = None
    realm: str | None = None
    delete: bool = False


class RowsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ownership rows that come ``at``; null deletes. Fields given are laid over the row that stands."""

    at: Span
    rows: dict[str, Any]


class PolicySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another policy that comes ``at``: written here, or the path of its file or folder from this file."""

    at: Span
    policy: dict[str, Any] | str


class MessageSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message as it is, for what series cannot say; with ``to``, at every step from ``at`` to there.

    ``cluster`` and ``observed_at_ms`` are filled in. ``key`` is needed on compacted topics.
    """

    at: Span
    topic: str
    value: Any
    to: Span | None = None
    key: str | None = None


class LateSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages of an entity (``kind/name``, patterns allowed) observed in the window arrive ``by`` later."""

    entity: str
    by: Span
    at: Span = 0
    to: Span | None = None


class DisturbSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delivery as it may be. ``shuffle``: seed of the order within a step; ``duplicate``: share sent twice (0–1);
    ``delay``: at most this much, by message."""

    shuffle: int = 1
    duplicate: float = 0.0
    delay: Span = 0


class Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of an alert, those that are given. See ``kroute.testing.match`` for what each means."""

    type: Many | None = None
    status: str | None = None
    cause: Many | None = None
    root: Many | None = None
    impact: Many | None = None
    diagnosis: Many | None = None
    action: Many | None = None
    impact_teams: Many | None = None
    urgency: dict[str, str] | None = None
    reason: dict[str, str] | None = None
    via: dict[str, str] | None = None
    do: dict[str, str] | None = None
    destinations: Many | None = None
    objective: dict[str, str] | None = None
    lag_s: dict[str, tuple[float, float]] | None = None
    bound: dict[str, str] | None = None
    verdict: str | None = None
    remedy: str | None = None
    severity: Many | None = None
    symptoms: Many | None = None
    ruled_out: Many | None = None
    missing: Many | None = None
    alternatives: Many | None = None
    considered: Many | None = None
    suppressed: str | bool | None = None
    late: bool | None = None
    flaps: int | None = None
    supersedes: int | None = None
    superseded: bool | None = None
    recovering: bool | None = None
    confidence: float | None = None
    summary: str | None = None
    why: str | None = None
    policy: str | None = None


class Expect(Wish, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from", "not_": "not"}):
    """One thing that must be so. See ``kroute.testing.compare``.

    ``from``/``to``/``by``: an alert in that window. ``at``: what stands at that moment. ``not``: no alert in the window
    that has the other fields has these. ``incident``: a name; the same name is the same incident, another another.
    ``firing``: with ``at``, how many incidents fire.
    """

    from_: Span | None = None
    to: Span | None = None
    by: Span | None = None
    at: Span | None = None
    incident: str | None = None
    firing: int | None = None
    not_: Wish | None = None


class CaseSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    about: str
    platform: Literal["kafka", "automq"] = "kafka"
    cluster: str = "test"
    start: str = "2026-01-05T10:00:00Z"
    known_gap: str | None = None
    estate: EstateSpec = EstateSpec()
    every: Span = "15s"
    until: Span | None = None
    policy: dict[str, Any] | str | None = None
    policies: tuple[PolicySpec, ...] = ()
    traces: dict[str, str] = {}
    series: dict[str, str | int | float] = {}
    changes: tuple[ChangeSpec, ...] = ()
    controls: tuple[ControlSpec, ...] = ()
    ownership: tuple[RowsSpec, ...] = ()
    messages: tuple[MessageSpec, ...] = ()
    late: tuple[LateSpec, ...] = ()
    disturb: DisturbSpec | None = None
    restart: tuple[Span, ...] = ()
    expect: tuple[Expect, ...]
    nothing_else: bool | Literal["strict"] = True


class Place:
    """Where things stand in the file, for messages about them."""

    def __init__(self, file: str, lines: dict[str, int]) -> None:
        self.file = file
        self._lines = lines

    def bad(self, field: str, problem: str) -> BadFile:
        """The error for a field (``.expect[0].from``)."""
        return BadFile(self.file, line_of(self._lines, field), field.lstrip(".") or None, problem)

    def read(self, field: str, how: Callable[[Any], T], value: Any) -> T:
        """``how(value)``, its ValueError told with the field."""
        try:
            return how(value)
        except ValueError as e:
            raise self.bad(field, str(e)) from None

    def line(self, field: str) -> int | None:
        """The line of a field."""
        return line_of(self._lines, field)


class Case(Struct, frozen=True, kw_only=True):
    """A case ready to run. Times are ms since ``start_ms`` (epoch ms); ``series`` by its key as written."""

    spec: CaseSpec
    place: Any  # Place; not a type msgspec knows
    start_ms: int
    every_ms: int
    steps: int
    series: dict[str, tuple[Value, ...]]

    @property
    def end_ms(self) -> int:
        """The moment up to which time moves on, since the start."""
        return (self.steps - 1) * self.every_ms

    def ms(self, field: str, value: Span) -> int:
        """A moment or span of the file in ms."""
        out: int = self.place.read(field, span_ms, value)
        return out


def read_case(path: str | Path, text: str | None = None) -> Case:
    """Read and check a case file; ``text`` stands for the file's content where given.

    Raises:
        BadFile: with file, line and field.
    """
    value, lines = read_yaml(path, text)
    if not isinstance(value, dict):
        raise BadFile(str(path), 1, None, "a case is a mapping with about, series and expect")
    spec = convert(path, _keys_as_text(value), lines, CaseSpec)
    place = Place(str(path), lines)
    every = place.read(".every", span_ms, spec.every)
    if not 1000 <= every <= 3_600_000:
        raise place.bad(".every", "between 1s and 1h")
    found = {key: place.read(f".series.{key}", series, text) for key, text in spec.series.items()}
    steps = max((len(v) for v in found.values()), default=1)
    if spec.until is not None:
        steps = place.read(".until", span_ms, spec.until) // every + 1
    for i, e in enumerate(spec.expect):
        for name in ("from", "to", "by", "at"):
            moment = getattr(e, "from_" if name == "from" else name)
            if moment is not None:
                ms = place.read(f".expect[{i}].{name}", span_ms, moment)
                if spec.until is None:
                    steps = max(steps, -(-ms // every) + 1)
    if steps > 20_000:
        raise place.bad(".until", f"{steps} steps; at most 20000")
    start = place.read(".start", _epoch_ms, spec.start)
    return Case(spec=spec, place=place, start_ms=start, every_ms=every, steps=steps, series=found)


def _epoch_ms(text: str) -> int:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; end it with Z")
    return round(at.timestamp() * 1000)


def _keys_as_text(value: Any) -> Any:
    """Broker ids and flow-style numbers are keys that YAML reads as numbers; dates are read as dates."""
    if isinstance(value, dict):
        return {str(k): _keys_as_text(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_keys_as_text(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def given(wish: Wish) -> dict[str, Any]:
    """The fields of a wish that were given."""
    names = Wish.__struct_fields__
    return {n: v for n in names if (v := getattr(wish, n)) is not None}


def wish_of(place: Place, field: str, value: dict[str, Any]) -> Wish:
    """Fields of an alert from plain values."""
    try:
        return msgspec.convert(value, Wish)
    except msgspec.ValidationError as e:
        raise place.bad(field, str(e).replace("`", "'")) from None
