"""What a process serves over HTTP is for loopback, or for those who prove who they are.

``/health`` and ``/ready`` answer everybody with one word: an orchestrator's probe has no credentials. Why a worker is not
ready, and everything else, is told only to who may see it.
"""

from __future__ import annotations

import hmac
import ipaddress
import ssl
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from kroute import tls
from kroute.errors import ConfigError
from kroute.settings import WebAccess

PROBES = ("/health", "/ready")
ALLOWED = web.RequestKey("kroute-allowed", bool)
"""True on requests whose sender may see everything."""


def is_loopback(host: str) -> bool:
    """True for addresses that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bind(host: str, access: WebAccess) -> None:
    """Refuse to serve beyond loopback without authentication.

    Raises:
        ConfigError: says which settings would do.
    """
    if is_loopback(host) or access.authenticates or access.open:
        return
    raise ConfigError(
        f"KROUTE_WEB_HOST is {host!r}, which others reach, and no authentication is set: give KROUTE_WEB_USERNAME and "
        "KROUTE_WEB_PASSWORD_FILE, or KROUTE_WEB_BEARER_FILE; or KROUTE_WEB_OPEN=yes where everybody who reaches that "
        "port may read the metrics"
    )


def context(access: WebAccess) -> ssl.SSLContext | None:
    """TLS of the server; None where no certificate is set.

    Raises:
        ConfigError: the files hold no certificate and key that fit.
    """
    if access.certfile is None:
        return None
    try:
        return tls.server(access.certfile, access.keyfile)
    except (OSError, ValueError) as e:
        problem = f"KROUTE_WEB_CERTFILE and KROUTE_WEB_KEYFILE hold no certificate and key in PEM that fit: {e}"
        raise ConfigError(problem) from None


def may(access: WebAccess, header: str | None) -> bool:
    """True when an ``Authorization`` header proves one of the two ways that are set; compared in constant time."""
    scheme, _, given = (header or "").partition(" ")
    given = given.strip()
    if scheme.lower() == "bearer" and access.bearer is not None:
        return hmac.compare_digest(given.encode(), access.bearer.encode())
    if scheme.lower() == "basic" and access.password is not None:
        try:
            login = b64decode(given, validate=True)
        except ValueError:
            return False
        return hmac.compare_digest(login, f"{access.username}:{access.password}".encode())
    return False


def application(access: WebAccess) -> web.Application:
    """An application that lets nobody see anything but the probes unproved, where authentication is set."""
    challenges = [s for s, on in (("Basic", access.password), ("Bearer", access.bearer)) if on is not None]
    challenge = ", ".join(f'{s} realm="kroute"' for s in challenges)

    @web.middleware
    async def guard(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        allowed = not access.authenticates or may(access, request.headers.get("Authorization"))
        if not allowed and request.path not in PROBES:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": challenge}, text="who are you?\n")
        request[ALLOWED] = allowed
        return await handler(request)

    return web.Application(middlewares=[guard])


async def serve(app: web.Application, host: str, port: int, access: WebAccess) -> web.AppRunner:
    """Bind and serve; ``cleanup`` of what is returned ends it.

    Raises:
        ConfigError: not to be served there in this way, or the address cannot be bound.
    """
    check_bind(host, access)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=context(access)).start()
    except OSError as e:
        await runner.cleanup()
        raise ConfigError(f"nothing can be served on {host}:{port}: {e.strerror or e}") from None
    return runner
