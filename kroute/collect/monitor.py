"""The collector's own Prometheus metrics: every name once, with what it counts."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kroute.settings import WebAccess
from kroute.web import application, serve


class Monitor:
    """Counters of the collector, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        source = ("source",)
        self.polls = Counter("kroute_collect_polls", "Polls begun.", source, registry=self.registry)
        self.failures = Counter(
            "kroute_collect_poll_failures", "Polls that gave no usable answer.", source, registry=self.registry
        )
        self.seconds = Histogram(
            "kroute_collect_poll_duration_seconds", "How long a poll took.", source, registry=self.registry,
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
        )  # fmt: skip
        self.missed = Counter(
            "kroute_collect_polls_missed", "Intervals that passed while a poll still ran.", source, registry=self.registry
        )
        self.up = Gauge("kroute_collect_source_up", "1 where the last poll was answered.", source, registry=self.registry)
        self.unread = Gauge(
            "kroute_collect_source_unread", "Groups, or parts of a topology, that the last poll could not read.", source,
            registry=self.registry,
        )  # fmt: skip
        self.messages = Counter("kroute_collect_messages", "Messages handed to the producer.", ("topic",), registry=self.registry)
        self.message_bytes = Counter(
            "kroute_collect_message_bytes", "Bytes handed to the producer.", ("topic",), registry=self.registry
        )
        self.undelivered = Counter(
            "kroute_collect_undelivered", "Messages Kafka did not take.", ("topic",), registry=self.registry
        )

    async def serve(self, host: str, port: int, access: WebAccess) -> web.AppRunner:
        """Serve ``/metrics``; raises ConfigError where that may not be, or the port is taken."""
        app = application(access)
        app.add_routes([web.get("/metrics", self._metrics)])
        return await serve(app, host, port, access)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
