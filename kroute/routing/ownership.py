"""Who owns what: ownership rows by ``kind/cluster/name``, found by the most specific pattern.

Specificity, from the contract: literal name, then longer name prefix, then literal cluster, then key order.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from kroute.contracts.common import Entity
from kroute.contracts.rows import Ownership
from kroute.routing.classes import Classes
from kroute.routing.links import links
from kroute.routing.patterns import Pattern, pattern, split_key
from kroute.signals.estate import Estate
from kroute.signals.model import Link, Rows

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Match(NamedTuple):
    """The row that answers. ``via`` is its ``kind/cluster/name``; ``exact``: neither cluster nor name is a pattern."""

    row: Ownership
    key: str
    via: str
    exact: bool
    width: int | None
    """Literal characters of the name's prefix where the name is a pattern, else None."""


class _Bucket:
    """Rows of one name pattern, by cluster: literal clusters, and cluster prefixes by length."""

    __slots__ = ("globs", "literal")

    def __init__(self) -> None:
        self.literal: dict[str, list[str]] = {}
        self.globs: dict[int, dict[str, list[str]]] = {}

    def add(self, cluster: Pattern, key: str) -> None:
        place = self.globs.setdefault(len(cluster.text), {}) if cluster.prefix else self.literal
        insort(place.setdefault(cluster.text, []), key)

    def remove(self, cluster: Pattern, key: str) -> None:
        place = self.globs[len(cluster.text)] if cluster.prefix else self.literal
        place[cluster.text].remove(key)
        if not place[cluster.text]:
            del place[cluster.text]
            if cluster.prefix and not place:
                del self.globs[len(cluster.text)]

    def find(self, cluster: str) -> str | None:
        keys = self.literal.get(cluster)
        if keys:
            return keys[0]
        best: str | None = None
        for length, prefixes in self.globs.items():
            keys = prefixes.get(cluster[:length])
            if keys and (best is None or keys[0] < best):
                best = keys[0]
        return best

    def all(self, cluster: str) -> list[str]:
        globs = [k for length, prefixes in self.globs.items() for k in prefixes.get(cluster[:length], ())]
        return [*self.literal.get(cluster, ()), *sorted(globs)]

    def empty(self) -> bool:
        return not self.literal and not self.globs


class OwnershipIndex:
    """All ownership rows of one facts partition, shared by its domains. Rows go to the table ``ownership``.

    It answers the first stage's questions too (``kroute.signals.model.Knowledge``): objectives, isolation, schedules.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._by_key: dict[str, Ownership] = {}
        self._names: dict[tuple[str, str], _Bucket] = {}
        self._prefixes: dict[str, dict[int, dict[str, _Bucket]]] = {}
        self._lengths: dict[str, list[int]] = {}
        self._classes = Classes()
        self._links: dict[str, tuple[Link, ...]] = {}
        self._related: tuple[list[tuple[str, Ownership]], list[tuple[str, Ownership]]] | None = None

    def __len__(self) -> int:
        return len(self._by_key)

    def rows(self) -> list[Ownership]:
        """Every row, by key."""
        return [self._by_key[k] for k in sorted(self._by_key)]

    def put(self, key: str, raw: bytes | None, row: Ownership | None) -> None:
        """Take a row under its key, or delete the key's row (None)."""
        self._set(key, row)
        if row is None or raw is None:
            self._rows.drop("ownership", key)
        else:
            self._rows.put("ownership", key, raw)

    def load(self, key: str, value: bytes) -> None:
        """One row of the table ``ownership`` at recovery."""
        self._set(key, msgspec.json.decode(value, type=Ownership))

    def get(self, key: str) -> Ownership | None:
        """The row that stands under exactly this key."""
        return self._by_key.get(key)

    def resolve(self, kind: str, cluster: str, name: str) -> Match | None:
        """The most specific row for one thing, or None."""
        bucket = self._names.get((kind, name))
        key = bucket.find(cluster) if bucket is not None else None
        width: int | None = None
        if key is None:
            by_length = self._prefixes.get(kind)
            if by_length is None:
                return None
            size = len(name)
            for length in self._lengths[kind]:  # longest first
                if length <= size:
                    bucket = by_length[length].get(name[:length])
                    key = bucket.find(cluster) if bucket is not None else None
                    if key is not None:
                        width = length
                        break
            if key is None:
                return None
        return self._match(key, width)

    def path(self, kind: str, cluster: str, name: str) -> list[Match]:
        """Every row that names one thing, the most specific first: the first is what ``resolve`` gives."""
        bucket = self._names.get((kind, name))
        out = [self._match(k, None) for k in bucket.all(cluster)] if bucket is not None else []
        for length in self._lengths.get(kind, ()):
            bucket = self._prefixes[kind][length].get(name[:length]) if length <= len(name) else None
            if bucket is not None:
                out += [self._match(k, length) for k in bucket.all(cluster)]
        return out

    def _match(self, key: str, width: int | None) -> Match:
        row = self._by_key[key]
        parts = _parts(key, row)
        return Match(row, key, "/".join(parts), width is None and not pattern(parts[1]).prefix, width)

    # -- what the first stage asks ---------------------------------------------------------------------------

    def objective_s(self, cluster: str, group: str, topic: str | None, connectors: Iterable[Entity] = ()) -> float | None:
        """Freshness objective in seconds: the group's row, else its service (by the connector, for a sink), else the topic."""
        m = self.resolve("group", cluster, group)
        if m is not None and m.row.slo is not None and m.row.slo.freshness_s is not None:
            return m.row.slo.freshness_s
        service = m.row.service if m is not None and m.row.service else self._service_by(connectors)
        s = self.resolve("service", cluster, service) if service else None
        if s is not None and s.row.slo is not None and s.row.slo.freshness_s is not None:
            return s.row.slo.freshness_s
        t = self.resolve("topic", cluster, topic) if topic else None
        return t.row.slo.freshness_s if t is not None and t.row.slo is not None else None

    def data_age_objective_s(self, cluster: str, topic: str) -> float | None:
        """Longest time without a record that the topic's row, else its service's, allows; seconds."""
        t = self.resolve("topic", cluster, topic)
        if t is None:
            return None
        if t.row.slo is not None and t.row.slo.data_age_s is not None:
            return t.row.slo.data_age_s
        s = self.resolve("service", cluster, t.row.service) if t.row.service else None
        return s.row.slo.data_age_s if s is not None and s.row.slo is not None else None

    def isolation(self, cluster: str, group: str) -> str | None:
        """``read_committed`` | ``read_uncommitted`` where the group's row states one of them."""
        m = self.resolve("group", cluster, group)
        word = m.row.isolation if m is not None else None
        return word if word in ("read_committed", "read_uncommitted") else None

    def schedule_period_s(self, cluster: str, group: str) -> float | None:
        """Period of a batch consumer: ``schedule`` of its row, seconds, ``"1h"`` or ``{"period_s": 3600}``."""
        m = self.resolve("group", cluster, group)
        return _period_s(m.row.schedule) if m is not None else None

    def topic_period_s(self, cluster: str, topic: str) -> float | None:
        """Longest time from one record of a topic to the next that is meant: ``schedule`` of its row, spelt alike."""
        m = self.resolve("topic", cluster, topic)
        return _period_s(m.row.schedule) if m is not None else None

    def links_from(self, cluster: str) -> tuple[Link, ...]:
        """Migration links that have this cluster as their source."""
        return self._links.get(cluster, ())

    def link(self, entity: Entity) -> Link | None:
        """One link, where a row states both of its clusters."""
        return next((x for found in self._links.values() for x in found if x.entity == entity), None)

    def classed(self) -> bool:
        """True when any topic's row states a data class."""
        return self._classes.classed > 0

    def data_class(self, cluster: str, topic: str) -> str | None:
        """Data class of a topic, where its row states one."""
        t = self.resolve("topic", cluster, topic)
        return t.row.data_class or None if t is not None else None

    def outside_class(
        self, cluster: str, group: str, topic: str, principals: Iterable[str], connectors: Iterable[Entity] = ()
    ) -> str | None:  # fmt: skip
        """Why the group has no right to the topic's data class; None: it has, or rows do not state it."""
        class_ = self.data_class(cluster, topic)
        if class_ is None:
            return None
        service = self.service_of(Entity("group", cluster, group), connectors)
        s = self.resolve("service", cluster, service) if service else None
        if s is not None and s.row.classes is not None:
            return None if class_ in s.row.classes else f"service {service} does not read class {class_}"
        return self._classes.stranger(self._by_key, cluster, principals, class_) if s is None else None

    # -- who lives on what -----------------------------------------------------------------------------------

    def service_of(self, entity: Entity, connectors: Iterable[Entity] = ()) -> str | None:
        """The service that a group, connector, topic or service entity belongs to.

        ``connectors``: the sink connectors whose group this is; their rows answer where the group has none.
        """
        if entity.kind == "service":
            return entity.name
        m = self.resolve(entity.kind, entity.cluster, entity.name)
        return m.row.service if m is not None and m.row.service else self._service_by(connectors)

    def _service_by(self, connectors: Iterable[Entity]) -> str | None:
        for c in connectors:
            m = self.resolve("connector", c.cluster, c.name)
            if m is not None and m.row.service:
                return m.row.service
        return None

    def downstream_services(self, entities: Iterable[Entity], estate: Estate) -> tuple[list[str], list[Entity]]:
        """Services of these groups and topics (sorted), and the entities that belong to none."""
        services: dict[str, None] = {}
        strays: list[Entity] = []
        for e in entities:
            name = self.service_of(e, sink_connectors(estate, e))
            if name is None:
                strays.append(e)
            else:
                services[name] = None
        return sorted(services), strays

    # -- relations that rows state ---------------------------------------------------------------------------

    def estate_edges(self, entity: Entity, estate: Estate) -> list[tuple[str, list[Entity]]]:
        """``(relation, others)`` that the entity's row states, for ``Estate.connect``.

        connector → ``system``, group → ``services``, principal → ``principal-topics`` and ``principal-groups`` (patterns
        are matched against the estate), link → ``link-clusters``. An empty list removes what an earlier row stated;
        a connector without a stated system is left to its status message.
        """
        m = self.resolve(entity.kind, entity.cluster, entity.name)
        row = m.row if m is not None else None
        c = entity.cluster
        if entity.kind == "connector":
            return [("system", [Entity("system", c, row.system)])] if row is not None and row.system else []
        if entity.kind == "group":
            service = self.service_of(entity, sink_connectors(estate, entity))
            return [("services", [Entity("service", c, service)] if service else [])]
        if entity.kind == "principal":
            topics, groups = (row.topics, row.groups) if row is not None else ((), ())
            return [
                ("principal-topics", _expand("topic", c, topics, estate)),
                ("principal-groups", _expand("group", c, groups, estate)),
            ]
        if entity.kind == "link":
            ends = [x for x in (row.source_cluster, row.target_cluster) if x] if row is not None else []
            return [("link-clusters", [Entity("cluster", x, x) for x in ends])]
        return []

    def concerned(self, key: str, row: Ownership | None, estate: Estate, clusters: Iterable[str]) -> list[Entity]:
        """Entities whose ``estate_edges`` a changed row may alter, in ``clusters``; a literal name need not be known yet."""
        parts = split_key(key) if row is None else _parts(key, row)
        if parts is None:
            return []
        kind, cluster, name = parts[0], pattern(parts[1]), pattern(parts[2])
        if kind not in ("connector", "group", "principal", "link"):
            return []
        out: dict[Entity, None] = {}
        for c in sorted(clusters):
            if not cluster.matches(c):
                continue
            if not name.prefix:
                out[Entity(kind, c, name.text)] = None
            else:
                out.update(dict.fromkeys(e for e in estate.of_kind(kind, c) if name.matches(e.name)))
        if kind == "connector":  # its group's service may come from it
            out.update(dict.fromkeys(g for e in list(out) for g in estate.related(e, "group")))
        return sorted(out)

    def related(self, *, patterns: bool) -> list[tuple[str, Ownership]]:
        """Rows of principals and links, whose relations hang on no message of theirs; ``patterns``: only those that name
        topics or groups by a pattern, which new ones may match."""
        if self._related is None:
            rows = [(k, r) for k, r in sorted(self._by_key.items()) if r.kind in ("principal", "link")]
            self._related = (rows, [x for x in rows if any(pattern(n).prefix for n in (*x[1].topics, *x[1].groups))])
        return self._related[patterns]

    def _set(self, key: str, row: Ownership | None) -> None:
        self._related = None
        old = self._by_key.pop(key, None)
        self._classes.changed(old, row)
        linked = "link" in [r.kind for r in (old, row) if r is not None]
        if old is not None:
            self._unlink(key, _parts(key, old))
        if row is not None:
            self._by_key[key] = row
            kind, cluster, name = _parts(key, row)
            p = pattern(name)
            if not p.prefix:
                bucket = self._names.setdefault((kind, p.text), _Bucket())
            else:
                by_length = self._prefixes.setdefault(kind, {})
                if len(p.text) not in by_length:
                    by_length[len(p.text)] = {}
                    self._lengths[kind] = sorted(by_length, reverse=True)
                bucket = by_length[len(p.text)].setdefault(p.text, _Bucket())
            bucket.add(pattern(cluster), key)
        if linked:
            self._links = links(self._by_key[k] for k in sorted(self._by_key))

    def _unlink(self, key: str, parts: tuple[str, str, str]) -> None:
        kind, cluster, name = parts
        p = pattern(name)
        if not p.prefix:
            bucket = self._names[(kind, p.text)]
            bucket.remove(pattern(cluster), key)
            if bucket.empty():
                del self._names[(kind, p.text)]
            return
        by_length = self._prefixes[kind]
        prefixes = by_length[len(p.text)]
        prefixes[p.text].remove(pattern(cluster), key)
        if prefixes[p.text].empty():
            del prefixes[p.text]
            if not prefixes:
                del by_length[len(p.text)]
                self._lengths[kind] = sorted(by_length, reverse=True)


def sink_connectors(estate: Estate, entity: Entity) -> list[Entity]:
    """Connectors whose consumer group this is; none for other kinds."""
    return estate.related(entity, "connector") if entity.kind == "group" else []


def _parts(key: str, row: Ownership) -> tuple[str, str, str]:
    return split_key(key) or (row.kind, row.cluster, row.name)


def _expand(kind: str, cluster: str, patterns: tuple[str, ...], estate: Estate) -> list[Entity]:
    out: dict[Entity, None] = {}
    for raw in patterns:
        p = pattern(raw)
        if p.prefix:
            out.update(dict.fromkeys(e for e in estate.of_kind(kind, cluster) if p.matches(e.name)))
        else:
            out[Entity(kind, cluster, p.text)] = None
    return sorted(out)


def _period_s(schedule: object) -> float | None:
    if isinstance(schedule, dict):
        schedule = schedule.get("period_s", schedule.get("every"))
    if isinstance(schedule, str) and schedule[-1:] in _SECONDS:
        try:
            schedule = float(schedule[:-1]) * _SECONDS[schedule[-1]]
        except ValueError:
            return None
    if isinstance(schedule, bool) or not isinstance(schedule, (int, float)):
        return None
    return float(schedule) if 0 < schedule < float("inf") else None
