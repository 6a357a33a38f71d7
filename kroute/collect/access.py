"""How the collector proves who it is: to a monitored cluster's Kafka, and to HTTP endpoints. Secrets are named, not written."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from kroute import oauth, redact, tls
from kroute.contracts.common import Name
from kroute.errors import BadFile, ConfigError
from kroute.settings import Kafka, check_kafka

Url = Annotated[str, Meta(pattern=r"^https?://[^\s]+$")]
"""An address without credentials: it stands in logs, metrics and messages. ``check_urls`` refuses others."""
Bad = Callable[[str, str], BadFile]
"""Field path and problem → the error that names file and line."""
SECRETS = ("password", "bearer", "oauth_client_secret")
FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "oauth_cafile", "cafile", "certfile", "keyfile")


class Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are mistakes: a misspelt ``exclude`` must not silently include everything."""


class KafkaAccess(Strict, frozen=True, kw_only=True):
    """How to reach one monitored cluster. Secrets are named (``…_env``, ``…_file``), never written here.

    ``oauth_*``: the token endpoint and the client that asks it, for OAUTHBEARER.
    """

    bootstrap: Name
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    username: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    oauth_token_url: Url | None = None
    oauth_client_id: str | None = None
    oauth_client_secret_env: str | None = None
    oauth_client_secret_file: str | None = None
    oauth_scope: str | None = None
    oauth_cafile: str | None = None


class HttpAccess(Strict, frozen=True, kw_only=True):
    """Credentials of an HTTP endpoint; the same rule for secrets. ``bearer_*``: a token instead of a password.

    ``cafile``: a private authority; ``certfile``, ``keyfile``: the collector's own certificate, where it is asked for.
    """

    username: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    bearer_env: str | None = None
    bearer_file: str | None = None
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


def connection(access: KafkaAccess, at: str, folder: Path, secrets: Mapping[str, str], bad: Bad) -> Kafka:
    """The connection of a monitored cluster whose access stands at field path ``at``.

    Raises:
        BadFile: its parts do not fit together.
    """

    def path(name: str | None) -> str | None:
        return None if name is None else str(folder / name)

    client = None
    if access.oauth_token_url is not None:
        secret = secrets.get(f"{at}.oauth_client_secret")
        if access.oauth_client_id is None or secret is None:
            raise bad(f"{at}.oauth_token_url", "needs oauth_client_id, and oauth_client_secret_env or oauth_client_secret_file")
        client = oauth.OAuth(
            access.oauth_token_url, access.oauth_client_id, secret, access.oauth_scope, path(access.oauth_cafile)
        )
        try:
            oauth.check(client, "oauth_token_url")
        except ConfigError as e:
            raise bad(f"{at}.oauth_token_url", str(e).removeprefix("oauth_token_url ")) from None
    kafka = Kafka(
        bootstrap=access.bootstrap,
        security_protocol=access.security_protocol,
        sasl_mechanism=access.sasl_mechanism,
        username=access.username,
        password=secrets.get(f"{at}.password"),
        ssl_cafile=path(access.ssl_cafile),
        ssl_certfile=path(access.ssl_certfile),
        ssl_keyfile=path(access.ssl_keyfile),
        oauth=client,
    )
    return check_kafka(kafka, lambda field, problem: bad(f"{at}.{field}", problem))


def context(access: HttpAccess | None, folder: Path) -> ssl.SSLContext | None:
    """The TLS of an HTTP endpoint; None: the system's own.

    Raises:
        OSError, ValueError: a file that holds no certificate or key in PEM, or one that does not fit.
    """
    if access is None or not (access.cafile or access.certfile):
        return None
    cafile, certfile, keyfile = (
        None if name is None else folder / name for name in (access.cafile, access.certfile, access.keyfile)
    )
    return tls.client(cafile, certfile, keyfile)


def find_secrets(value: Any, env: Mapping[str, str], folder: Path, bad: Bad) -> dict[str, str]:
    """The secrets that a file names, by field path (``.clusters[0].kafka.password``); masked in logs from now on.

    Raises:
        BadFile: a variable that is not set, a file that cannot be read, an empty secret, or a certificate's file that is
        not there.
    """
    out: dict[str, str] = {}
    for at, key, item in _texts(value, ""):
        field = f"{at}.{key}"
        stem, _, source = key.rpartition("_")
        if stem in SECRETS and source == "env":
            if item not in env:
                raise bad(field, f"{item} is not set in the environment")
            out[f"{at}.{stem}"] = env[item]
        elif stem in SECRETS and source == "file":
            try:
                out[f"{at}.{stem}"] = (folder / item).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as e:
                raise bad(field, f"{item} cannot be read: {e}") from None
        elif key in FILES:
            try:
                (folder / item).open("rb").close()
            except OSError as e:
                raise bad(field, f"{item} cannot be read: {e.strerror}") from None
            continue
        else:
            continue
        secret = out[f"{at}.{stem}"]
        if not secret:
            raise bad(field, f"{item} is empty")
        redact.hide(secret)
    return out


def check_urls(value: Any, bad: Bad) -> None:
    """Refuse addresses with credentials in them.

    Raises:
        BadFile: one that has a user or a password; the message does not repeat it.
    """
    for at, key, item in _texts(value, ""):
        if key in ("url", "oauth_token_url"):
            try:
                parts = urlsplit(item)
                if parts.username is None and parts.password is None:
                    continue
            except ValueError:
                raise bad(f"{at}.{key}", "is no address") from None
            raise bad(f"{at}.{key}", "holds credentials; an address stands in logs and messages: name them in 'auth'")


def _texts(value: Any, at: str) -> Iterator[tuple[str, str, str]]:
    """(path of the mapping, key, value) of every text in a file."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str):
                yield at, str(key), item
            else:
                yield from _texts(item, f"{at}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _texts(item, f"{at}[{i}]")
