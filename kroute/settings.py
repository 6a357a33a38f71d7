"""Settings of the processes: how to reach kroute's own Kafka, and names. From environment, then defaults.

Every setting is ``KROUTE_<NAME>`` in the environment. Secrets come from the environment or from a file named by
``KROUTE_<NAME>_FILE``; they are never logged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kroute import oauth as tokens_from
from kroute import redact
from kroute.contracts.topics import Names
from kroute.errors import ConfigError
from kroute.oauth import OAuth, Tokens

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")


@dataclass(frozen=True)
class Kafka:
    """How to reach one Kafka cluster. ``security_protocol`` is one of PROTOCOLS, ``sasl_mechanism`` of MECHANISMS.

    ``oauth``: where tokens come from, with OAUTHBEARER.
    """

    bootstrap: str = "127.0.0.1:9092"
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = field(default=None, repr=False)
    oauth: OAuth | None = None

    @property
    def tokens(self) -> Tokens | None:
        """Where access tokens come from; None without OAUTHBEARER."""
        return None if self.oauth is None else tokens_from.tokens(self.oauth)

    def librdkafka(self) -> dict[str, Any]:
        """Configuration for confluent-kafka.

        Raises:
            SourceUnreachable: the token endpoint gives none; said here, because librdkafka would only wait.
        """
        config = _present({
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol.lower(),
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.username,
            "sasl.password": self.password,
            "ssl.ca.location": self.ssl_cafile,
            "ssl.certificate.location": self.ssl_certfile,
            "ssl.key.location": self.ssl_keyfile,
        })  # fmt: skip
        source = self.tokens
        if source is not None:
            source.get()
            config["oauth_cb"] = lambda _: tuple(source.get())
        return config

    def kafka_python(self) -> dict[str, Any]:
        """Configuration for kafka-python; raises as ``librdkafka``."""
        config = _present({
            "bootstrap_servers": self.bootstrap.split(","),
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
        })  # fmt: skip
        source = self.tokens
        if source is not None:
            source.get()
            config["sasl_oauth_token_provider"] = _provider(source)
        return config


def _provider(source: Tokens) -> Any:
    from kafka.net.sasl.oauth import AbstractTokenProvider  # noqa: PLC0415  (kafka-python is the collector's and audit's)

    class Provider(AbstractTokenProvider):  # type: ignore[misc]
        def token(self) -> str:
            return source.get().value

    return Provider()


@dataclass(frozen=True)
class WebAccess:
    """Who may see what a process serves, and over what. A user with a password, a bearer token, or both."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    bearer: str | None = field(default=None, repr=False)
    certfile: str | None = None
    keyfile: str | None = field(default=None, repr=False)
    open: bool = False
    """Beyond loopback without authentication, on purpose."""

    @property
    def authenticates(self) -> bool:
        """True where requests must prove who they are."""
        return self.password is not None or self.bearer is not None


@dataclass(frozen=True)
class Settings:
    """One installation of kroute. Loaded by ``load``; the README's table describes each setting."""

    kafka: Kafka = field(default_factory=Kafka)
    names: Names = field(default_factory=Names)
    app_id: str = "kroute"
    facts_partitions: int = 4
    replication_factor: int = 1
    datadir: str = ".kroute/worker"
    web_host: str = "127.0.0.1"
    web_port: int = 6067
    web: WebAccess = field(default_factory=WebAccess)
    domains: Mapping[str, str] = field(default_factory=dict)
    """Cluster → domain, where it is not the cluster's own name."""
    catalogue_dir: str | None = None
    """A folder of the user's own causes; adds to or overrides the shipped ones."""
    heartbeat_s: int = 60
    source_budget_kb: int = 2048
    """KiB a second that one source of signals may send before its polls are thinned."""


def load(env: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises:
        ConfigError: a value that cannot be used; names the variable.
    """
    e = os.environ if env is None else env
    for name, value in e.items():
        if name.startswith("KROUTE_") and not _is_text(value):
            raise ConfigError(f"{name} is not UTF-8")
    kafka = _kafka(e)
    return Settings(
        kafka=kafka,
        names=Names(prefix=e.get("KROUTE_PREFIX", "kroute."), alerts=e.get("KROUTE_ALERTS_TOPIC", "routed-alerts")),
        app_id=e.get("KROUTE_APP_ID", "kroute"),
        facts_partitions=_int(e, "KROUTE_FACTS_PARTITIONS", 4, 1, 256),
        replication_factor=_int(e, "KROUTE_REPLICATION_FACTOR", 1, 1, 9),
        datadir=e.get("KROUTE_DATADIR", ".kroute/worker"),
        web_host=e.get("KROUTE_WEB_HOST", "127.0.0.1"),
        web_port=_int(e, "KROUTE_WEB_PORT", 6067, 0, 65_535),
        web=_web(e),
        domains=_pairs(e, "KROUTE_DOMAINS"),
        catalogue_dir=e.get("KROUTE_CATALOGUE_DIR"),
        heartbeat_s=_int(e, "KROUTE_HEARTBEAT_S", 60, 1, 3600),
        source_budget_kb=_int(e, "KROUTE_SOURCE_BUDGET_KB", 2048, 1, 1_000_000),
    )


def _is_text(value: str) -> bool:
    """False where bytes of the environment could not be decoded: they stand there as halves of surrogate pairs."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_kafka(kafka: Kafka, say: Callable[[str, str], Exception]) -> Kafka:
    """A cluster's access whose parts fit together. ``say`` gives the error for the field's name here and what is wrong.

    Raises:
        Exception: what ``say`` gave: a mechanism without its credentials, or credentials that would not be used.
    """
    sasl = kafka.security_protocol.startswith("SASL")
    named = kafka.sasl_mechanism is not None or kafka.username is not None or kafka.oauth is not None
    if not sasl:
        if named or kafka.password is not None:
            raise say("security_protocol", f"is {kafka.security_protocol}, which uses no credentials; write SASL_SSL")
        return kafka
    mechanism = kafka.sasl_mechanism or ("PLAIN" if kafka.oauth is None else "OAUTHBEARER")
    if mechanism == "OAUTHBEARER":
        if kafka.oauth is None:
            raise say("oauth_token_url", "is missing; OAUTHBEARER needs a token endpoint, a client id and its secret")
    elif kafka.username is None or kafka.password is None:
        raise say("username" if kafka.username is None else "password", f"is missing; {mechanism} needs a user and a password")
    return replace(kafka, sasl_mechanism=mechanism)


def _kafka(e: Mapping[str, str]) -> Kafka:
    access = None
    url = e.get("KROUTE_OAUTH_TOKEN_URL")
    if url is not None:
        client, secret = e.get("KROUTE_OAUTH_CLIENT_ID"), _secret(e, "KROUTE_OAUTH_CLIENT_SECRET")
        if not client or not secret:
            raise ConfigError(f"KROUTE_OAUTH_CLIENT_{'SECRET' if client else 'ID'} is missing; KROUTE_OAUTH_TOKEN_URL needs both")
        access = OAuth(url, client, secret, e.get("KROUTE_OAUTH_SCOPE"), e.get("KROUTE_OAUTH_CAFILE"))
        tokens_from.check(access, "KROUTE_OAUTH_TOKEN_URL")
        _file(e, "KROUTE_OAUTH_CAFILE")
    for name in ("KROUTE_SSL_CAFILE", "KROUTE_SSL_CERTFILE", "KROUTE_SSL_KEYFILE"):
        _file(e, name)
    mechanism = _one_of(e, "KROUTE_SASL_MECHANISM", "", ("", *MECHANISMS)) or None
    kafka = Kafka(
        bootstrap=e.get("KROUTE_BOOTSTRAP", Kafka.bootstrap),
        security_protocol=_one_of(e, "KROUTE_SECURITY_PROTOCOL", "PLAINTEXT", PROTOCOLS),
        sasl_mechanism=mechanism,
        username=e.get("KROUTE_USERNAME"),
        password=_secret(e, "KROUTE_PASSWORD"),
        ssl_cafile=e.get("KROUTE_SSL_CAFILE"),
        ssl_certfile=e.get("KROUTE_SSL_CERTFILE"),
        ssl_keyfile=e.get("KROUTE_SSL_KEYFILE"),
        oauth=access,
    )
    return check_kafka(kafka, lambda field, problem: ConfigError(f"KROUTE_{field.upper()} {problem}"))


def _web(e: Mapping[str, str]) -> WebAccess:
    user, password = e.get("KROUTE_WEB_USERNAME"), _secret(e, "KROUTE_WEB_PASSWORD")
    if (user is None) != (password is None):
        raise ConfigError(f"KROUTE_WEB_{'USERNAME' if user is None else 'PASSWORD'} is missing; basic authentication needs both")
    if user is not None and (not user or ":" in user):
        raise ConfigError("KROUTE_WEB_USERNAME is empty or has a colon, which ends a user's name in basic authentication")
    if password is not None:
        redact.hide(password, f"{user}:{password}")
    certfile, keyfile = _file(e, "KROUTE_WEB_CERTFILE"), _file(e, "KROUTE_WEB_KEYFILE")
    if keyfile is not None and certfile is None:
        raise ConfigError("KROUTE_WEB_CERTFILE is missing; KROUTE_WEB_KEYFILE is its key")
    is_open = _one_of(e, "KROUTE_WEB_OPEN", "no", ("no", "yes")) == "yes"
    return WebAccess(user, password, _secret(e, "KROUTE_WEB_BEARER"), certfile, keyfile, is_open)


def _file(env: Mapping[str, str], name: str) -> str | None:
    """The path of a file that can be read."""
    path = env.get(name)
    if path is not None:
        try:
            with Path(path).open("rb"):
                pass
        except OSError as e:
            raise ConfigError(f"{name} names {path}, which cannot be read: {e.strerror}") from None
    return path


def _present(config: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if v is not None}


def _int(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        raise ConfigError(f"{name} is {text[:200]!r}; it must be a whole number") from None
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}; it must lie between {low} and {high}")
    return value


def _one_of(env: Mapping[str, str], name: str, default: str, words: tuple[str, ...]) -> str:
    value = env.get(name, default)
    if value not in words:
        raise ConfigError(f"{name} is {value[:200]!r}; it must be one of {', '.join(words)}")
    return value


def _secret(env: Mapping[str, str], name: str) -> str | None:
    path = env.get(f"{name}_FILE")
    if path is None:
        value = env.get(name)
    else:
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as e:  # ValueError: not UTF-8, or a path that cannot be one
            why = e.strerror if isinstance(e, OSError) else "it is not UTF-8 text" if isinstance(e, UnicodeError) else e
            raise ConfigError(f"{name}_FILE names {path[:200]}, which cannot be read: {why}") from None
    if value == "":  # an empty password would let everybody in, or nobody
        raise ConfigError(f"{name} is empty" if path is None else f"{name}_FILE names {path}, which is empty")
    if value is not None:
        redact.hide(value)
    return value


def _pairs(env: Mapping[str, str], name: str) -> dict[str, str]:
    text = env.get(name, "").strip()
    out: dict[str, str] = {}
    for pair in filter(None, (p.strip() for p in text.split(","))):
        cluster, eq, domain = pair.partition("=")
        if not eq or not cluster or not domain:
            raise ConfigError(f"{name} has {pair[:200]!r}; write cluster=domain, separated by commas")
        out[cluster] = domain
    return out
