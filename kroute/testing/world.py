"""The estate of a case with everything filled in that the file leaves out.

Filled in: brokers 1–3 in three racks; 6 partitions a topic, replicas in turn over the brokers; three members a group (no
more than partitions), coordinators in turn; a sink's group; a service per group (its name), owned by ``team-<service>`` with
freshness 5m; systems owned by ``team-<system>``, connectors by ``team-connect``, topics by ``team-<topic>``; the cluster by
``team-platform``; a row with destinations for every team that is named. ``owners`` overrides each of them, null removes it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kroute.contracts.common import ENTITY_KINDS
from kroute.contracts.rows import OWNERSHIP_KINDS, Ownership
from kroute.testing.case import BrokerSpec, Case, ConnectorSpec, GroupSpec, TopicSpec
from kroute.testing.series import span_ms
from kroute.testing.signals import Signals

DEFAULT_FRESHNESS_S = 300.0
Row = dict[str, Any]


class World:
    """What there is, by name, in the order of the file. Rows are by ``kind/cluster/name``."""

    def __init__(self, case: Case, signals: Signals) -> None:
        self.case = case
        spec = case.spec.estate
        self.cluster = case.spec.cluster
        racks = spec.racks or (None,)
        self.brokers: dict[int, str | None] = {}
        listed = spec.brokers if isinstance(spec.brokers, dict) else {str(i + 1): BrokerSpec() for i in range(spec.brokers)}
        for i, (name, b) in enumerate(listed.items()):
            if not name.isdecimal():
                raise case.place.bad(f".estate.brokers.{name}", "a broker's id is a number")
            self.brokers[int(name)] = b.rack or racks[i % len(racks)]
        if not 1 <= len(self.brokers) <= 100:
            raise case.place.bad(".estate.brokers", "between 1 and 100")
        self.connectors: dict[str, ConnectorSpec] = dict(spec.connectors)
        self.groups: dict[str, GroupSpec] = dict(spec.groups)
        for name, c in spec.connectors.items():
            if "/" not in name:
                raise case.place.bad(f".estate.connectors.{name}", "a connector is connect/name")
            self._sink(name, c)
        self.topics: dict[str, TopicSpec] = dict(spec.topics)
        read = [t for g in self.groups.values() for t in g.topics]
        for t in [*read, *(t for c in self.connectors.values() for t in c.topics)]:
            self.topics.setdefault(t, TopicSpec())
        self.replicas = {t: self._place(t, s, i) for i, (t, s) in enumerate(self.topics.items())}
        self.workers = sorted({(n.split("/")[0], w) for n, c in self.connectors.items() for w in c.workers})
        self._check(signals)
        self.principals = sorted({s.name for s in signals.lines if s.kind == "principal"})
        self.links = spec.links
        self.probes = [r for r in racks if r] if spec.probes or any(s.kind == "rack" for s in signals.lines) else []
        self.rows = self._rows()

    def _sink(self, name: str, c: ConnectorSpec) -> None:
        if c.type == "source":
            return
        short = name.split("/", 1)[1]
        group = c.group or f"connect-{short}"
        old = self.groups.get(group, GroupSpec())
        topics = old.topics or c.topics or (short,)
        members = c.tasks if old.members is None else old.members
        service = old.service or c.service
        self.groups[group] = msgspec.structs.replace(old, topics=topics, members=members, service=service)
        self.connectors[name] = msgspec.structs.replace(c, group=group, topics=c.topics or topics)

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return self.topics[topic].partitions or self.case.spec.estate.partitions

    def members(self, group: str) -> int:
        """How many members a group has where no series says so."""
        g = self.groups[group]
        most = sum(self.partitions(t) for t in g.topics)
        return min(3, most) if g.members is None else g.members

    def coordinator(self, group: str) -> int:
        """The broker that coordinates a group."""
        stated = self.groups[group].coordinator
        ids = list(self.brokers)
        return stated if stated is not None else ids[list(self.groups).index(group) % len(ids)]

    def _place(self, topic: str, s: TopicSpec, index: int) -> list[tuple[int, ...]]:
        ids = list(self.brokers)
        n = self.partitions(topic)
        copies = min(s.replication, len(ids))
        if s.leaders and len(s.leaders) != n:
            raise self.case.place.bad(f".estate.topics.{topic}.leaders", f"{len(s.leaders)} leaders for {n} partitions")
        out = []
        for p in range(n):
            first = ids.index(s.leaders[p]) if s.leaders and s.leaders[p] in ids else (p + index) % len(ids)
            out.append(tuple(ids[(first + k) % len(ids)] for k in range(copies)))
        return out

    def _check(self, signals: Signals) -> None:
        known = {
            "group": list(self.groups),
            "topic": list(self.topics),
            "broker": [str(b) for b in self.brokers],
            "connector": list(self.connectors),
            "connect-worker": [f"{c}/{w}" for c, w in self.workers],
            "rack": sorted({r for r in self.brokers.values() if r}),
            "link": list(self.case.spec.estate.links),
            "transaction": list(self.case.spec.estate.transactions),
        }
        for s in signals.lines:
            if s.kind in known and not any(s.covers(n) for n in known[s.kind]):
                names = ", ".join(known[s.kind]) or "none"
                raise self.case.place.bad(s.field, f"no {s.kind} {s.name!r} in the estate; there is {names}")

    # -- ownership -------------------------------------------------------------------------------------------

    def key(self, short: str) -> str:
        """``kind/name`` → ``kind/cluster/name``; teams hold in every cluster."""
        kind, _, name = short.partition("/")
        return f"{kind}/{'*' if kind == 'team' else self.cluster}/{name}"

    def _rows(self) -> dict[str, Row]:
        rows: dict[str, Row] = {"cluster/" + self.cluster: {"owner": "team-platform"}}
        for name, g in self.groups.items():
            service: str | None = g.service or name
            rows[f"group/{name}"] = {
                "service": service,
                **_some(owner=g.owner, isolation=g.isolation, schedule=g.schedule),
                **({} if g.freshness is None else {"slo": {"freshness_s": span_ms(g.freshness) / 1000}}),
            }
            rows.setdefault(f"service/{service}", {"owner": f"team-{service}", "slo": {"freshness_s": DEFAULT_FRESHNESS_S}})
        for name, c in self.connectors.items():
            service = c.service or (self.groups[c.group].service if c.group in self.groups else None)
            rows[f"connector/{name}"] = {"owner": "team-connect", **_some(service=service, system=c.system)}
            if c.system:
                rows[f"system/{c.system}"] = {"owner": f"team-{c.system}"}
        for name, t in self.topics.items():
            age = {} if t.data_age is None else {"slo": {"data_age_s": span_ms(t.data_age) / 1000}}
            rows[f"topic/{name}"] = {"owner": f"team-{name}", **_some(data_class=t.data_class), **age}
        rows |= {f"principal/{p}": {"owner": f"team-{p}"} for p in self.principals}
        stated = self.case.spec.estate.owners
        for short, value in stated.items():
            self._under_pattern(short, rows, stated)
            if value is None:
                rows.pop(short, None)
            else:
                rows[short] = merged(rows.get(short, {}), self.fields(value, f".estate.owners.{short}"))
        for row in list(rows.values()):
            self._teams(row, rows, stated)
        return {self.key(short): row for short, row in rows.items()}

    def _under_pattern(self, short: str, rows: dict[str, Row], stated: dict[str, Any]) -> None:
        """A stated pattern replaces the owners that were filled in under it: a literal row would always win."""
        if not short.endswith("*"):
            return
        for name in [n for n in rows if n.startswith(short[:-1]) and n not in stated and not n.startswith("group/")]:
            del rows[name]  # a connector's system stands in its status too; only a group's service stands nowhere else

    def _teams(self, row: Row, rows: dict[str, Row], stated: dict[str, Any]) -> None:
        for name in (row.get("owner"), row.get("governance"), row.get("network")):
            if name and f"team/{name}" not in stated:
                rows.setdefault(f"team/{name}", {u: f"{u}://{name}" for u in ("page", "ticket", "notify")})

    def fields(self, value: Any, field: str) -> Row:
        """The fields of an ownership row as a case states them: a team, or fields with ``freshness`` for its objective."""
        if isinstance(value, str):
            return {"owner": value}
        if not isinstance(value, dict):
            raise self.case.place.bad(field, "write a team, or fields of an ownership row, or null")
        row = dict(value)
        for short, name in (("freshness", "freshness_s"), ("data_age", "data_age_s")):
            if short in row:
                row["slo"] = {**row.get("slo", {}), name: self.case.ms(field, row.pop(short)) / 1000}
        unknown = sorted(set(row) - set(Ownership.__struct_fields__))
        if unknown:
            raise self.case.place.bad(field, f"{unknown[0]!r} is no field of an ownership row")
        return row

    def check_key(self, short: str, field: str) -> None:
        """Refuse what is not ``kind/name`` of a kind of row."""
        kind, slash, name = short.partition("/")
        if not slash or not name or kind not in OWNERSHIP_KINDS:
            raise self.case.place.bad(
                field, f"{short!r} is no row; write <kind>/<name>, kind one of {', '.join(OWNERSHIP_KINDS)}"
            )

    def rows_for(self, row: Row) -> dict[str, Row]:
        """Team rows that a new ownership row needs."""
        rows: dict[str, Row] = {}
        self._teams(row, rows, self.case.spec.estate.owners)
        return {k: v for s, v in rows.items() if (k := self.key(s)) not in self.rows}


def merged(old: Row, new: Row) -> Row:
    """New fields over old ones; objectives are merged, an owner of another row is replaced."""
    slo = {**old.get("slo", {}), **new.get("slo", {})}
    return {**old, **new, **({"slo": slo} if slo else {})}


def split_entity(text: str) -> tuple[str, str] | None:
    """``kind/name``, where the kind is one of the closed list."""
    kind, _, name = text.partition("/")
    return (kind, name) if name and kind in ENTITY_KINDS else None


def _some(**fields: Any) -> Row:
    return {k: v for k, v in fields.items() if v is not None}
