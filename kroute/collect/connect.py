"""Kafka Connect's REST API: one message per connector and poll.

``GET /connectors?expand=status&expand=info`` answers for all connectors at once. A connector that is missing there may
only have failed to expand, so its end is believed when ``GET /connectors/<name>`` says 404.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

import msgspec

from kroute.collect.http import Http
from kroute.collect.message import Message, split, whole
from kroute.contracts.inputs import ConnectorStatus, Task
from kroute.errors import SourceUnreachable

TOPIC = "connector-status"
MAX_TRACE = 4096
TOPICS_EVERY_S = 300.0
MAX_TOPICS = 1000
MAX_NAME = 1024
"""Characters of a name that the contract takes."""


class TaskMetrics:
    """Connector task signals that worker scrapes bring, by Connect cluster: the status messages carry them too."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, int], dict[str, tuple[float, float]]] = {}

    def put(self, connect: str, connector: str, task: int, signal: str, value: float) -> None:
        """Keep a value that a worker's exposition gave just now."""
        self._rows.setdefault((connect, connector, task), {})[signal] = (time.monotonic(), value)

    def of(self, connect: str, connector: str, task: int, max_age_s: float) -> dict[str, float]:
        """Signals of one task not older than ``max_age_s``; older ones are dropped: silence is not a value."""
        rows = self._rows.get((connect, connector, task), {})
        oldest = time.monotonic() - max_age_s
        for signal in [s for s, (at, _) in rows.items() if at < oldest]:
            del rows[signal]
        return {s: v for s, (_, v) in sorted(rows.items())}


class ConnectPoller:
    """Polls one Connect cluster; remembers its connectors, to tell the end of each once."""

    topic = TOPIC

    def __init__(
        self, cluster: str, connect: str, url: str, http: Http, *, interval_ms: int, systems: Mapping[str, str] | None = None,
        metrics: TaskMetrics | None = None,
    ) -> None:  # fmt: skip
        self.cluster = cluster
        self.connect = connect
        self.name = f"{cluster}/{connect}"
        self.interval_ms = interval_ms
        self._url = url.rstrip("/")
        self._http = http
        self._systems = dict(systems or {})
        self._metrics = metrics or TaskMetrics()
        self._known: dict[str, None] = {}
        self._active: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def poll(self) -> list[Message]:
        """One message per connector, and ``DELETED`` once for each that is gone.

        Raises:
            SourceUnreachable: the worker gave no list of connectors (down, or 409 while it rebalances).
        """
        now = time.time_ns() // 1_000_000
        answer = await self._http.json(f"{self._url}/connectors?expand=status&expand=info")
        if not isinstance(answer, dict):
            raise SourceUnreachable(f"{self._url}: its answer is not Connect's")
        out: list[Message] = []
        for name in sorted({*answer, *self._known}):
            entry = answer.get(name)
            if not 0 < len(name) <= MAX_NAME:
                continue  # no connector has such a name, and no message could carry it
            if isinstance(entry, dict) and isinstance(entry.get("status"), dict):
                self._known.setdefault(name)
                out += await self._told(name, entry, now)
            elif entry is None and await self._is_gone(name):
                del self._known[name]
                self._active.pop(name, None)
                out.append(self._say(name, now, state="DELETED"))
            else:
                self._known.setdefault(name)
                out.append(self._say(name, now, up=False, error="Connect gave no status for this connector"))
        return out

    def down(self, error: str) -> list[Message]:
        """``up: false`` for every connector that has been told of."""
        now = time.time_ns() // 1_000_000
        return [self._say(name, now, up=False, error=error[:1000]) for name in self._known]

    async def _is_gone(self, name: str) -> bool:
        status, _ = await self._http.get(f"{self._url}/connectors/{quote(name, safe='')}")
        return status == 404

    async def _told(self, name: str, entry: dict[str, Any], now: int) -> list[Message]:
        """The messages of one connector; what is not of the form that Connect's REST API documents is not observed."""
        try:
            status = await self._status(name, entry, now)
            status = msgspec.convert(msgspec.to_builtins(status), ConnectorStatus)
        except (AttributeError, LookupError, TypeError, ValueError) as e:
            return [self._say(name, now, up=False, error=f"Connect's status of it cannot be read: {e!r}"[:1000])]
        return split(TOPIC, self._key(name), status, "tasks")

    async def _status(self, name: str, entry: dict[str, Any], now: int) -> ConnectorStatus:
        status = entry["status"]
        info = entry.get("info") or {}
        config: dict[str, Any] = info.get("config") or {}
        kind = status.get("type") or info.get("type")
        own = status.get("connector") or {}
        group = (config.get("consumer.override.group.id") or f"connect-{name}") if kind == "sink" else None
        fresh_s = 2.5 * self.interval_ms / 1000
        return ConnectorStatus(
            cluster=self.cluster, observed_at_ms=now, interval_ms=self.interval_ms, connect=self.connect, connector=name,
            type=kind if kind in ("sink", "source") else None, class_=config.get("connector.class"),
            state=own.get("state") or "UNKNOWN", worker=own.get("worker_id"), trace=_trace(own.get("trace")),
            topics=await self._topics(name, config), group=group, system=self._system(name),
            tasks=tuple(
                Task(
                    id=t["id"], state=t.get("state") or "UNKNOWN", worker=t.get("worker_id"), trace=_trace(t.get("trace")),
                    metrics=self._metrics.of(self.connect, name, t["id"], fresh_s),
                )
                for t in sorted(status.get("tasks") or (), key=lambda t: int(t["id"]))
            ),
        )  # fmt: skip

    async def _topics(self, name: str, config: Mapping[str, Any]) -> tuple[str, ...]:
        """From the configuration; where that names none (a pattern, most sources), the topics Connect has seen it use."""
        written = config.get("topics")
        if written:
            return tuple(dict.fromkeys(t.strip() for t in str(written).split(",") if t.strip()))[:MAX_TOPICS]
        at, topics = self._active.get(name, (float("-inf"), ()))
        if time.monotonic() - at < TOPICS_EVERY_S and topics:
            return topics
        try:
            status, body = await self._http.get(f"{self._url}/connectors/{quote(name, safe='')}/topics")
            answer = Http.parse(self._url, body) if status == 200 else {}
            entry = answer.get(name) if isinstance(answer, dict) else None
            seen = entry.get("topics") if isinstance(entry, dict) else None
            topics = tuple(sorted(t for t in seen if isinstance(t, str)) if isinstance(seen, list) else ())[:MAX_TOPICS]
        except SourceUnreachable:
            return topics
        self._active[name] = (time.monotonic(), topics)
        return topics

    def _system(self, name: str) -> str | None:
        return next((system for glob, system in self._systems.items() if fnmatchcase(name, glob)), None)

    def _say(self, name: str, now: int, **more: Any) -> Message:
        return whole(TOPIC, self._key(name), ConnectorStatus(
            cluster=self.cluster, observed_at_ms=now, interval_ms=self.interval_ms, connect=self.connect, connector=name, **more,
        ))  # fmt: skip

    def _key(self, name: str) -> str:
        return f"{self.cluster}/{self.connect}/{name}"


def _trace(text: Any) -> str | None:
    """The head of a stack trace: it names the error; 4 KiB at most, cut between characters."""
    if not text:
        return None
    raw = str(text).encode("utf-8", "replace")
    return raw[:MAX_TRACE].decode("utf-8", "ignore")
