"""A small estate with owners, one router over it, and a notifier that only knows ``delivery`` and ``do``."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from kroute.contracts.alerts import Alert, RoutedAlert
from kroute.contracts.common import Entity
from kroute.contracts.inputs import ConnectorStatus
from kroute.contracts.rows import Change, Control, Ownership, Policy
from kroute.diagnosis.model import Cause, Owners, Prior, Remedy, Signal
from kroute.incidents.model import Evidence, Incident
from kroute.routing.controls import Controls
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.policy import PolicyBook
from kroute.routing.router import Router
from kroute.signals.board import Board
from kroute.signals.changes import Changes
from kroute.signals.estate import Estate
from kroute.signals.model import Measure, Rows, Symptom

T0 = 1_795_427_349_001
C = "prod-eu"
SINK = Entity("connector", C, "connect-a/orders-to-es")
SINK_GROUP = Entity("group", C, "connect-orders-to-es")
GROUP = Entity("group", C, "checkout")

ROWS: tuple[dict[str, Any], ...] = (
    {"kind": "cluster", "cluster": C, "name": C, "owner": "team-platform", "governance": "team-gov"},
    {"kind": "connector", "cluster": C, "name": "connect-a/*", "owner": "team-data", "service": "search"},
    {"kind": "system", "cluster": "*", "name": "elasticsearch-prod", "owner": "team-elastic", "runbook": "https://run/es"},
    {"kind": "service", "cluster": C, "name": "search", "owner": "team-search", "slo": {"freshness_s": 300}, "labels": {"tier": "1"},
     "customer_function": "finding orders"},
    {"kind": "service", "cluster": C, "name": "checkout", "owner": "team-pay", "slo": {"freshness_s": 60}},
    {"kind": "group", "cluster": C, "name": "checkout", "service": "checkout"},
    {"kind": "team", "cluster": "*", "name": "team-search", "page": "pagerduty://search", "notify": "slack://search"},
    {"kind": "team", "cluster": "*", "name": "team-pay", "page": "pagerduty://pay", "ticket": "jira://pay", "notify": "slack://pay"},
    {"kind": "team", "cluster": "*", "name": "team-elastic", "page": "pagerduty://elastic", "ticket": "jira://elastic"},
    {"kind": "team", "cluster": "*", "name": "team-data", "notify": "slack://data"},
    {"kind": "team", "cluster": "*", "name": "team-platform", "page": "pagerduty://platform", "notify": "slack://platform"},
)  # fmt: skip

PAUSE = Remedy(
    id="pause-connector", does="PUT /connectors/{name}/pause", rollback="PUT /connectors/{name}/resume", rollback_owner="connector",
    success=Signal(at="self/group", symptom="lag-growing", cleared_within="10m"),
    failure=Signal(at="self/group", symptom="objective-breached", appears=True), review="auto",
)  # fmt: skip
PRIOR = Prior("0.02/week", "30m")
CATALOGUE = {
    c.id: c
    for c in (
        Cause(id="sink-throttled", title="t", root="connector", summary="{root} cannot write to {system}", prior=PRIOR,
              owners=Owners(diagnosis=("connector",), action=("system", "connector")), remedies=(PAUSE,)),
        Cause(id="slow-consumer", title="t", root="group", summary="{root} is slow", prior=PRIOR,
              owners=Owners(diagnosis=("service",), action=("service",))),
        Cause(id="planned-replay", title="t", root="group", summary="{root} reads again", prior=PRIOR, page="no-page",
              owners=Owners(diagnosis=("service",), action=("service",), also=("platform",))),
        Cause(id="broker-down", title="t", root="broker", summary="broker {name} is down", prior=PRIOR,
              owners=Owners(diagnosis=("platform",), action=("platform",))),
    )
}  # fmt: skip


class Meter:
    """Measures that a test sets."""

    def __init__(self) -> None:
        self.groups: dict[Entity, tuple[Measure, ...]] = {}

    def of_group(self, group: Entity, now_ms: int) -> tuple[Measure, ...]:
        return self.groups.get(group, ())

    def of_topic(self, topic: Entity, now_ms: int) -> Measure | None:
        return None

    def set(
        self, group: Entity, state: str, lag_s: float | None = 840.0, objective_s: float | None = 300.0, topic: str = "orders"
    ) -> None:
        self.groups[group] = (Measure(topic, group.name, 91_234, lag_s, "exact", None, objective_s, state),)


class Notifier:
    """Keeps a thread per delivery; a second open, or a close of nothing, is a mistake of the router's."""

    def __init__(self) -> None:
        self.open: dict[str, str] = {}
        self.owner: dict[str, str] = {}
        self.log: list[tuple[str, str]] = []

    def take(self, alert: RoutedAlert) -> None:
        acted: set[str] = set()
        for r in alert.routes:
            if r.do == "none":
                continue
            assert r.delivery not in acted, "one delivery is acted on once per record"
            acted.add(r.delivery)
            self.log.append((r.do, r.destination))
            if r.do == "open":
                assert r.delivery not in self.open
                self.open[r.delivery] = r.destination
                self.owner[r.delivery] = alert.incident
            else:
                assert self.open[r.delivery] == r.destination
                if r.do == "close":
                    del self.open[r.delivery]
        mine = {d for d, i in self.owner.items() if i == alert.incident and d in self.open}
        assert mine <= {r.delivery for r in alert.routes}, "a record lists what is open"


class World:
    """Everything a router needs, with its rows kept so that it can be started again."""

    def __init__(self, rows: tuple[dict[str, Any], ...] = ROWS) -> None:
        self.stored = Rows("d")
        self.ownership = OwnershipIndex(self.stored)
        self.estate = Estate(self.stored)
        self.board = Board(self.stored)
        self.controls = Controls(self.stored)
        self.changes = Changes(self.stored)
        self.policy = PolicyBook(self.stored)
        self.meter = Meter()
        self.notifier = Notifier()
        self.incidents: dict[str, Incident] = {}
        self.now = T0
        self.alerts: list[RoutedAlert] = []
        self.raw: list[Alert] = []
        for r in rows:
            self.own(**r)
        self.estate.observe_connector(
            ConnectorStatus(cluster=C, observed_at_ms=T0, connect="connect-a", connector="orders-to-es", type="sink",
                            state="RUNNING", topics=("orders",), group="connect-orders-to-es", system="elasticsearch-prod")
        )  # fmt: skip
        self.router = self.new_router()

    def new_router(self) -> Router:
        return Router(
            C,
            self.stored,
            self.ownership,
            self.policy,
            self.controls,
            self.changes,
            CATALOGUE,
            self.estate,
            self.meter,
            self.board,
        )

    def restart(self) -> None:
        """The same rows in a new router."""
        self.router = self.new_router()
        for (table, key), value in self.stored.changed.items():
            if table == "incidents" and value is not None:
                self.router.load(key.partition("|")[2], value)

    def own(self, **fields: Any) -> None:
        row = msgspec.convert(fields, Ownership)
        self.ownership.put(f"{row.kind}/{row.cluster}/{row.name}", msgspec.json.encode(row), row)

    def disown(self, key: str) -> None:
        self.ownership.put(key, None, None)

    def control(self, kind: str, ident: str, realm: str | None = None, **fields: Any) -> None:
        fields = {"at_ms": self.now, "by": "ann", **fields}
        self.controls.put(f"{kind}/{ident}", Control(kind=kind, id=ident, **fields), realm)

    def lift(self, kind: str, ident: str) -> None:
        self.controls.put(f"{kind}/{ident}", None)

    def declare(self, kind: str, target: str, ident: str = "c1", **fields: Any) -> None:
        tkind, _, name = target.partition("/")
        raw = {
            "id": ident,
            "kind": kind,
            "cluster": C,
            "target": {"kind": tkind, "name": name},
            "starts_at_ms": self.now - 1000,
            **fields,
        }
        self.changes.put(msgspec.convert(raw, Change))

    def rule(self, **fields: Any) -> list[str]:
        policy = msgspec.convert({"version": "p1", **fields}, Policy)
        return self.policy.put(msgspec.json.encode(policy), policy)

    def incident(self, ident: str = "inc-1", cause: str = "sink-throttled", root: Entity = SINK, affected: tuple[Entity, ...] = (SINK_GROUP,),
                 confidence: float = 0.94, symptom: str = "put-latency-high") -> Incident:  # fmt: skip
        inc = Incident(
            id=ident, domain=C, cluster=C, platform="kafka", subject=root, cause=cause, root=root, confidence=confidence, phase="open",
            started_ms=self.now - 60_000, updated_ms=self.now, opened_ms=self.now, affected=affected, moment="opened",
        )  # fmt: skip
        s = Symptom(kind=symptom, entity=root, since_ms=self.now - 60_000, last_ms=self.now, value=4100.0, why="4.1 s to write",
                    topic_src="kroute.connector-status", offset_src=812)  # fmt: skip
        inc.evidence = {(root, symptom): Evidence(symptom=s)}
        self.incidents[ident] = inc
        return inc

    def tick(self, seconds: float = 1) -> list[RoutedAlert]:
        """One diagnosis tick later: what was sent. Moments last one tick."""
        self.now += int(seconds * 1000)
        raw = self.router.route(self.now, self.incidents)
        out = [msgspec.json.decode(a.value, type=RoutedAlert) for a in raw]
        for a in out:
            self.notifier.take(a)
        self.raw += raw
        self.alerts += out
        for inc in self.incidents.values():
            inc.moment = inc.why = None
        return out

    def resolve(self, ident: str = "inc-1") -> None:
        inc = self.incidents[ident]
        inc.phase, inc.resolved_ms, inc.moment = "resolved", self.now, "resolved"


def route_of(alert: RoutedAlert, role: str) -> Any:
    """The one route of a role."""
    found = [r for r in alert.routes if r.role == role]
    assert len(found) == 1, found
    return found[0]


def told(alert: RoutedAlert) -> list[tuple[str, str, str, str]]:
    """(role, team, urgency, do) of all routes."""
    return [(r.role, r.team, r.urgency, r.do) for r in alert.routes]


def plain(alert: Alert) -> Any:
    """The value as any consumer sees it."""
    return orjson.loads(alert.value)
