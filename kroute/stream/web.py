"""``/metrics``, ``/health`` and ``/ready`` of a worker; ``kroute.web`` says who sees them."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kroute.settings import WebAccess
from kroute.web import ALLOWED, application, serve


class Web(Service):
    """Serves while the app runs, recovery included. ``not_ready`` gives the reason a worker is not ready, or None."""

    def __init__(self, host: str, port: int, access: WebAccess, not_ready: Callable[[], str | None]) -> None:
        super().__init__()
        self._host = host
        self._port = port
        self._access = access
        self._not_ready = not_ready
        self._runner: web.AppRunner | None = None

    async def on_start(self) -> None:
        """Bind and serve."""
        app = application(self._access)
        app.add_routes([
            web.get("/metrics", self._metrics),
            web.get("/health", self._health),
            web.get("/ready", self._ready),
        ])  # fmt: skip
        self._runner = await serve(app, self._host, self._port, self._access)
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

    async def _ready(self, request: web.Request) -> web.Response:
        why = self._not_ready()
        if why is None:
            return web.Response(text="ready\n")
        return web.Response(text=f"{why if request[ALLOWED] else 'not ready'}\n", status=503)
