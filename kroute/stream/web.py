"""``/metrics``, ``/health`` and ``/ready`` of a worker. Bound to loopback unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


class Web(Service):
    """Serves while the app runs, recovery included. ``not_ready`` gives the reason a worker is not ready, or None."""

    def __init__(self, host: str, port: int, not_ready: Callable[[], str | None]) -> None:
        super().__init__()
        self._host = host
        self._port = port
        self._not_ready = not_ready
        self._runner: web.AppRunner | None = None

    async def on_start(self) -> None:
        """Bind and serve."""
        app = web.Application()
        app.add_routes([
            web.get("/metrics", self._metrics),
            web.get("/health", self._health),
            web.get("/ready", self._ready),
        ])  # fmt: skip
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        for address in self._runner.addresses:
            self.log.info("serving /metrics, /health and /ready on %s:%s", address[0], address[1])

    async def on_stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def _ready(self, _: web.Request) -> web.Response:
        why = self._not_ready()
        return web.Response(text="ready\n" if why is None else f"{why}\n", status=200 if why is None else 503)
