"""Settings of the processes: how to reach kroute's own Kafka, and names. From environment, then defaults.

Every setting is ``KROUTE_<NAME>`` in the environment. Secrets come from the environment or from a file named by
``KROUTE_<NAME>_FILE``; they are never logged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kroute.contracts.topics import Names
from kroute.errors import ConfigError


@dataclass(frozen=True)
class Kafka:
    """How to reach one Kafka cluster. ``security_protocol``: PLAINTEXT | SSL | SASL_PLAINTEXT | SASL_SSL."""

    bootstrap: str = "127.0.0.1:9092"
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = field(default=None, repr=False)

    def librdkafka(self) -> dict[str, Any]:
        """Configuration for confluent-kafka."""
        return _present({
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol.lower(),
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.username,
            "sasl.password": self.password,
            "ssl.ca.location": self.ssl_cafile,
            "ssl.certificate.location": self.ssl_certfile,
            "ssl.key.location": self.ssl_keyfile,
        })  # fmt: skip

    def kafka_python(self) -> dict[str, Any]:
        """Configuration for kafka-python."""
        return _present({
            "bootstrap_servers": self.bootstrap.split(","),
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
        })  # fmt: skip


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
    kafka = Kafka(
        bootstrap=e.get("KROUTE_BOOTSTRAP", Kafka.bootstrap),
        security_protocol=_one_of(e, "KROUTE_SECURITY_PROTOCOL", "PLAINTEXT", ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")),
        sasl_mechanism=e.get("KROUTE_SASL_MECHANISM"),
        username=e.get("KROUTE_USERNAME"),
        password=_secret(e, "KROUTE_PASSWORD"),
        ssl_cafile=e.get("KROUTE_SSL_CAFILE"),
        ssl_certfile=e.get("KROUTE_SSL_CERTFILE"),
        ssl_keyfile=e.get("KROUTE_SSL_KEYFILE"),
    )
    return Settings(
        kafka=kafka,
        names=Names(prefix=e.get("KROUTE_PREFIX", "kroute."), alerts=e.get("KROUTE_ALERTS_TOPIC", "routed-alerts")),
        app_id=e.get("KROUTE_APP_ID", "kroute"),
        facts_partitions=_int(e, "KROUTE_FACTS_PARTITIONS", 4, 1, 256),
        replication_factor=_int(e, "KROUTE_REPLICATION_FACTOR", 1, 1, 9),
        datadir=e.get("KROUTE_DATADIR", ".kroute/worker"),
        web_host=e.get("KROUTE_WEB_HOST", "127.0.0.1"),
        web_port=_int(e, "KROUTE_WEB_PORT", 6067, 0, 65_535),
        domains=_pairs(e, "KROUTE_DOMAINS"),
        catalogue_dir=e.get("KROUTE_CATALOGUE_DIR"),
        heartbeat_s=_int(e, "KROUTE_HEARTBEAT_S", 60, 1, 3600),
        source_budget_kb=_int(e, "KROUTE_SOURCE_BUDGET_KB", 2048, 1, 1_000_000),
    )


def _present(config: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if v is not None}


def _int(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        raise ConfigError(f"{name} is {text!r}; it must be a whole number") from None
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}; it must lie between {low} and {high}")
    return value


def _one_of(env: Mapping[str, str], name: str, default: str, words: tuple[str, ...]) -> str:
    value = env.get(name, default)
    if value not in words:
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(words)}")
    return value


def _secret(env: Mapping[str, str], name: str) -> str | None:
    path = env.get(f"{name}_FILE")
    if path is None:
        return env.get(name)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as e:
        raise ConfigError(f"{name}_FILE names {path}, which cannot be read: {e.strerror}") from None


def _pairs(env: Mapping[str, str], name: str) -> dict[str, str]:
    text = env.get(name, "").strip()
    out: dict[str, str] = {}
    for pair in filter(None, (p.strip() for p in text.split(","))):
        cluster, eq, domain = pair.partition("=")
        if not eq or not cluster or not domain:
            raise ConfigError(f"{name} has {pair!r}; write cluster=domain, separated by commas")
        out[cluster] = domain
    return out
