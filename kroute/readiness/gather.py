"""Reads everything the matrix asks about: the live cluster, its exporters and Connect, and kroute's own topics. Blocks.

Each piece fails alone; why it is missing is kept, and the rows that need it say ``unknown`` with that reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from confluent_kafka import KafkaException
from kafka.admin import (
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    KafkaAdminClient,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import KafkaError
from kafka.protocol.admin import DescribeClientQuotasRequest

from kroute.admin.policy import versions
from kroute.collect.access import HttpAccess
from kroute.collect.config import Loaded
from kroute.collect.connect import ConnectPoller
from kroute.collect.http import Http
from kroute.collect.lag import LagPoller, why
from kroute.collect.message import Message, Own
from kroute.collect.topology import TopologyPoller
from kroute.contracts import codec
from kroute.contracts.inputs import ConsumerLag, Topology
from kroute.errors import KrouteError, SourceUnreachable
from kroute.readiness.model import Gathered
from kroute.readiness.parse import client_versions
from kroute.report.source import Past, from_topics
from kroute.routing.ownership import OwnershipIndex
from kroute.settings import Kafka, Settings
from kroute.signals.model import Rows

INTERVAL_MS = 30_000
_TIMEOUT_MS = 12_000
T = TypeVar("T")


class Reader:
    """Reads one cluster into a ``Gathered``."""

    def __init__(self, cluster: str, kafka: Kafka, settings: Settings) -> None:
        self._kafka = kafka
        self._own = Own(settings.names, settings.app_id)
        self.out = Gathered(cluster=cluster, now_ms=time.time_ns() // 1_000_000, unable={})

    def cluster(self, racks: dict[str, str]) -> None:
        """Topology, groups, configuration, features, ACLs and quotas."""
        g = self.out
        poller = TopologyPoller(g.cluster, self._kafka, self._own, interval_ms=INTERVAL_MS)
        try:
            messages = self._try("topology", poller.poll)
            g.unable.update(poller.unable)
        finally:
            poller.close()
        g.topology = _joined(messages, Topology, "topics") if messages else None
        lags = LagPoller(g.cluster, self._kafka, self._own, interval_ms=INTERVAL_MS, racks=racks)
        found = self._try("groups", lags.poll)
        g.lags = None if found is None else _groups(found)
        admin = self._try("admin", self._client)
        if admin is None:
            return
        try:
            brokers = [b.id for b in g.topology.brokers if b.state == "alive"] if g.topology is not None else []
            g.broker_configs = self._try("broker configuration", lambda: _broker_configs(admin, brokers)) if brokers else None
            g.features = self._try("features", lambda: _features(admin))
            g.acls = self._try("acls", lambda: _acls(admin))
            g.quotas = self._try("quotas", lambda: _quotas(admin))
        finally:
            admin.close()

    def endpoints(self, loaded: Loaded, number: int) -> None:
        """Client versions from the exporters of a configured cluster's brokers, and the connectors of its Connect clusters."""
        asyncio.run(self._endpoints(loaded, number))

    def stated(self, settings: Settings) -> None:
        """Rows, policy, its history, and changes, from kroute's topics."""
        past = self._try("kroute", lambda: from_topics(settings, alerts=False))
        if past is None:
            for what in ("ownership", "policy", "changes"):
                self.out.unable[what] = self.out.unable["kroute"]
            return
        self.take(past)
        self.out.history = self._try("policy history", lambda: versions.history(settings))

    def take(self, past: Past) -> None:
        """What people state; a topic that does not exist leaves its part unknown, one that is empty does not."""
        g = self.out
        lacking = {
            short: m
            for short in ("ownership", "policy", "changes")
            for m in past.missing
            if f" {self._own.names.full(short)} " in m
        }
        g.unable.update(lacking)
        g.policy = past.policy
        g.changes = None if "changes" in lacking else past.changes
        g.ownership = None if "ownership" in lacking else index(past)

    def _client(self) -> Any:
        return KafkaAdminClient(
            **self._kafka.kafka_python(),
            client_id="kroute-audit",
            request_timeout_ms=_TIMEOUT_MS,
            bootstrap_timeout_ms=_TIMEOUT_MS,
        )

    async def _endpoints(self, loaded: Loaded, number: int) -> None:
        cluster, at = loaded.config.clusters[number], f".clusters[{number}]"
        for i, m in enumerate(cluster.metrics):
            if m.source == "broker":
                async with _http(loaded, m.auth, f"{at}.metrics[{i}]") as http:
                    await self._clients(http, m.url)
        for i, c in enumerate(cluster.connect):
            async with _http(loaded, c.auth, f"{at}.connect[{i}]") as http:
                await self._connectors(ConnectPoller(
                    self.out.cluster, c.name, c.url, http, interval_ms=INTERVAL_MS, systems=c.systems,
                ))  # fmt: skip

    async def _clients(self, http: Http, url: str) -> None:
        try:
            body = await http.ok(url)
        except SourceUnreachable as e:
            self.out.unable["clients"] = str(e)
            return
        clients = self.out.clients = self.out.clients or {}
        for name, count in client_versions(body.decode("utf-8", "replace")).items():
            clients[name] = clients.get(name, 0) + count

    async def _connectors(self, poller: ConnectPoller) -> None:
        try:
            messages = await poller.poll()
        except SourceUnreachable as e:
            self.out.unable["connect"] = str(e)
            return
        found = [codec.decode("connector-status", m.value) for m in messages]
        self.out.connectors = [*(self.out.connectors or []), *found]

    def _try(self, what: str, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except (KafkaError, KafkaException, KrouteError, OSError, KeyError, ValueError, RuntimeError) as e:
            self.out.unable[what] = why(e)
            return None


def index(past: Past) -> OwnershipIndex:
    """Ownership rows, ready to be asked."""
    out = OwnershipIndex(Rows())
    for key, row in past.ownership.items():
        out.put(key, msgspec.json.encode(row), row)
    return out


@asynccontextmanager
async def _http(loaded: Loaded, auth: HttpAccess | None, at: str) -> AsyncIterator[Http]:
    http = loaded.http(auth, at, _TIMEOUT_MS / 1000)
    try:
        yield http
    finally:
        await http.close()


def _joined(messages: list[Message], type_: type[Topology], field: str) -> Topology:
    parts = [msgspec.json.decode(m.value, type=type_) for m in messages]
    rows = tuple(x for p in parts for x in getattr(p, field))
    return msgspec.structs.replace(parts[0], **{field: rows})


def _groups(messages: list[Message]) -> list[ConsumerLag]:
    by_group: dict[str, ConsumerLag] = {}
    for m in messages:
        part = msgspec.json.decode(m.value, type=ConsumerLag)
        have = by_group.get(part.group)
        if have is not None:
            part = msgspec.structs.replace(have, partitions=(*have.partitions, *part.partitions))
        by_group[part.group] = part
    return [by_group[k] for k in sorted(by_group)]


def _broker_configs(admin: Any, brokers: list[int]) -> dict[int, dict[str, str]]:
    out: dict[int, dict[str, str]] = {}
    for b in brokers:
        answer = admin.describe_configs([ConfigResource("BROKER", str(b))], config_filter="all")
        for values in answer.get("broker", {}).values():
            out[b] = {k: str(v["value"]) for k, v in values.items() if v.get("value") is not None}
    return out


def _features(admin: Any) -> dict[str, int]:
    answer = admin.describe_features()
    return {name: int(told["finalized"][1]) for name, told in sorted(answer.items()) if "finalized" in told}


def _acls(admin: Any) -> list[dict[str, Any]]:
    everything = ACLFilter(
        principal=None, host=None, operation=ACLOperation.ANY, permission_type=ACLPermissionType.ANY,
        resource_pattern=ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
    )  # fmt: skip
    found, error = admin.describe_acls(everything)
    if getattr(error, "errno", 0):
        raise ValueError(f"{error.__name__ if isinstance(error, type) else type(error).__name__}")
    return [
        {
            "principal": a.principal, "operation": a.operation.name, "permission": a.permission_type.name,
            "resource": f"{a.resource_pattern.resource_type.name.lower()} {a.resource_pattern.resource_name}",
        }
        for a in found
    ]  # fmt: skip


def _quotas(admin: Any) -> list[dict[str, Any]]:
    answer = admin._manager.run(admin._manager.send, DescribeClientQuotasRequest(components=[], strict=False))
    if answer.error_code:
        raise ValueError(answer.error_message or f"error {answer.error_code}")
    out = []
    for entry in answer.entries or ():
        entity = {e.entity_type: e.entity_name for e in entry.entity}
        name = ", ".join(f"{k} {v or 'default'}" for k, v in sorted(entity.items()))
        out += [{"entity": name, "user": entity.get("user"), "key": v.key, "value": v.value} for v in entry.values]
    return out
