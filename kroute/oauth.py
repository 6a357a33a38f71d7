"""Access tokens for SASL/OAUTHBEARER: the client-credentials grant of RFC 6749, 4.4, at a token endpoint.

One token serves all clients of a process. It is asked for anew when three quarters of its life are over, and the one in
hand is used until it ends: a token endpoint that is down for a while disturbs nothing.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlencode, urlsplit

from kroute import redact
from kroute.errors import ConfigError, SourceUnreachable

TIMEOUT_S = 10.0
RENEW_AT = 0.75
"""Share of a token's life after which a new one is asked for; librdkafka asks at 0.8."""
AGAIN_S = 5.0
"""A token endpoint that refused or gave no answer is not asked again before this time, while a token is in hand."""
SHORTEST_S = 1.0
MAX_BYTES = 256 * 1024
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class OAuth:
    """A client at a token endpoint. ``cafile``: the authority of the endpoint's certificate, where it is a private one."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    cafile: str | None = None


class Token(NamedTuple):
    """An access token and when it ends, epoch seconds."""

    value: str
    ends_s: float

    def __repr__(self) -> str:
        return f"Token(ends_s={self.ends_s:.0f})"


class Tokens:
    """The token of one client, renewed before it ends; blocking, for any thread."""

    def __init__(self, oauth: OAuth, clock: Callable[[], float] = time.time) -> None:
        self.oauth = oauth
        self._clock = clock
        self._lock = Lock()
        self._token: Token | None = None
        self._renew_s = 0.0

    def get(self) -> Token:
        """A token that has not ended.

        Raises:
            SourceUnreachable: the endpoint gave none, and none is in hand; names the endpoint and its reason.
        """
        with self._lock:
            now = self._clock()
            if self._token is None or now >= self._renew_s:
                try:
                    self._token = fetch(self.oauth, now)
                except SourceUnreachable:
                    if self._token is None or now >= self._token.ends_s:
                        raise
                    self._renew_s = now + AGAIN_S
                else:
                    self._renew_s = now + RENEW_AT * (self._token.ends_s - now)
            return self._token


_shared: dict[OAuth, Tokens] = {}


def tokens(oauth: OAuth) -> Tokens:
    """The one source of tokens of this client in this process."""
    return _shared.setdefault(oauth, Tokens(oauth))


def check(oauth: OAuth, name: str) -> None:
    """Refuse an address that would show the secret to the network, or carries one; ``name``: of the setting.

    Raises:
        ConfigError: names the setting.
    """
    parts = urlsplit(oauth.token_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{name} is no address of a token endpoint; write https://…")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{name} holds credentials; an address stands in logs, the secret has a setting of its own")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ConfigError(f"{name} is {oauth.token_url}: the secret would cross the network in the clear; write https://…")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the secret to wherever it points."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fetch(oauth: OAuth, now_s: float) -> Token:
    """One token from the endpoint; blocks for at most some 10 s.

    Raises:
        SourceUnreachable: no answer, a refusal, or an answer without a token or its life.
    """
    where = f"token endpoint {oauth.token_url}"
    form = {"grant_type": "client_credentials", **({"scope": oauth.scope} if oauth.scope else {})}
    login = f"{quote_plus(oauth.client_id)}:{quote_plus(oauth.client_secret)}"  # RFC 6749, 2.3.1
    request = urllib.request.Request(  # noqa: S310  (https, or http on loopback: see check)
        oauth.token_url,
        data=urlencode(form).encode(),
        headers={
            "Authorization": "Basic " + b64encode(login.encode()).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        },
    )
    try:
        context = ssl.create_default_context(cafile=oauth.cafile)
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            body = answer.read(MAX_BYTES)
    except urllib.error.HTTPError as e:
        raise SourceUnreachable(f"{where}: HTTP {e.code}{_reason(e)}") from None
    except urllib.error.URLError as e:
        raise SourceUnreachable(f"{where}: {e.reason}") from None
    except (OSError, HTTPException, ValueError) as e:
        raise SourceUnreachable(f"{where}: {e or type(e).__name__}") from None
    return _token(where, body, now_s)


def _token(where: str, body: bytes, now_s: float) -> Token:
    try:
        told = json.loads(body)
        value, life_s = told["access_token"], float(told["expires_in"])
    except (ValueError, KeyError, TypeError):
        raise SourceUnreachable(f"{where}: its answer holds no access_token with expires_in") from None
    if not isinstance(value, str) or not value or not life_s >= SHORTEST_S:
        raise SourceUnreachable(f"{where}: its token is empty, or lives for less than {SHORTEST_S:g} s")
    redact.hide_token(value)
    return Token(value, now_s + life_s)


def _reason(error: urllib.error.HTTPError) -> str:
    """What RFC 6749, 5.2 lets an endpoint say: ``error`` and its description."""
    try:
        told = json.loads(error.read(MAX_BYTES))
        said = [str(told[k]) for k in ("error", "error_description") if told.get(k)]
    except (ValueError, OSError, AttributeError, TypeError):
        return ""
    return f": {redact.clean(': '.join(said))[:200]}" if said else ""
