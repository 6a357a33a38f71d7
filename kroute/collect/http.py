"""HTTP as the collector needs it: GET with credentials, a size limit, and errors in one line."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from kroute import redact
from kroute.errors import SourceUnreachable

MAX_BYTES = 64 * 1024 * 1024
"""Larger answers are refused: a broker of 50,000 series answers with about 6 MB."""


class Http:
    """One endpoint's client. ``bearer`` or ``username`` and ``password``; ``tls`` where it is not the system's own."""

    def __init__(
        self, *, timeout_s: float, username: str | None = None, password: str | None = None, bearer: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._headers: dict[str, str] = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        if username is not None:
            login = f"{username}:{password or ''}"
            self._headers["Authorization"] = "Basic " + b64encode(login.encode()).decode()
            if password:
                redact.hide(password, login)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body.

        Raises:
            SourceUnreachable: no answer in time, or one that is too large.
        """
        session = self._open()
        try:
            async with session.get(url, headers=headers) as answer:
                body = await answer.content.read(MAX_BYTES + 1)
                while len(body) <= MAX_BYTES and (more := await answer.content.read(MAX_BYTES + 1 - len(body))):
                    body += more
                if len(body) > MAX_BYTES:
                    raise SourceUnreachable(f"{url}: its answer is larger than {MAX_BYTES} bytes")
                return answer.status, body
        except TimeoutError:
            raise SourceUnreachable(f"{url}: no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as e:
            raise SourceUnreachable(f"{url}: {e or type(e).__name__}") from None

    async def ok(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200.

        Raises:
            SourceUnreachable: as ``get``, or another status.
        """
        status, body = await self.get(url, headers)
        if status != 200:
            raise SourceUnreachable(f"{url}: HTTP {status}: {body[:200].decode('utf-8', 'replace').strip()}")
        return body

    async def json(self, url: str) -> Any:
        """A 200's JSON; raises as ``ok``."""
        return self.parse(url, await self.ok(url, {"Accept": "application/json"}))

    @staticmethod
    def parse(url: str, body: bytes) -> Any:
        """JSON of a body, or SourceUnreachable."""
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as e:
            raise SourceUnreachable(f"{url}: its answer is not JSON: {e}") from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            context: ssl.SSLContext | bool = True if self._tls is None else self._tls
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, headers=self._headers, connector=aiohttp.TCPConnector(limit=8, ssl=context)
            )
        return self._session
