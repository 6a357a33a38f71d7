"""``collect.yaml``: which clusters, exporters and Connect workers are polled, and how often."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from kroute.contracts.common import Name
from kroute.errors import BadFile
from kroute.files import convert, line_of, read_yaml
from kroute.settings import Kafka

Interval = Annotated[str, Meta(pattern=r"^[1-9][0-9]*(ms|s|m|h)$")]
"""A duration as people write it: ``15s``, ``500ms``, ``2m``, ``1h``."""
Url = Annotated[str, Meta(pattern=r"^https?://[^\s]+$")]
_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"^([0-9]+)(ms|s|m|h)$")
MIN_MS, MAX_MS = 100, 3_600_000


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are mistakes: a misspelt ``exclude`` must not silently include everything."""


class KafkaAccess(_Strict, frozen=True, kw_only=True):
    """How to reach one monitored cluster. Secrets are named (``password_env``, ``password_file``), never written here."""

    bootstrap: Name
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None


class HttpAccess(_Strict, frozen=True, kw_only=True):
    """Credentials of an HTTP endpoint; the same rule for secrets. ``bearer_*``: a token instead of a password."""

    username: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    bearer_env: str | None = None
    bearer_file: str | None = None
    cafile: str | None = None


class Groups(_Strict, frozen=True, kw_only=True):
    """Consumer groups to poll, by globs. ``racks``: glob of a client's host → its rack, for clients that tell none."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    interval: Interval | None = None
    racks: dict[str, str] = {}


class TopologyPoll(_Strict, frozen=True, kw_only=True):
    """Placement, quorum, log dirs, transactions. ``config_interval``: topic configuration changes seldom and costs most."""

    interval: Interval | None = None
    config_interval: Interval = "10m"


class Exposition(_Strict, frozen=True, kw_only=True):
    """One Prometheus endpoint. ``aliases``: shipped tables by name, or files ending in ``.yaml`` beside the config.

    ``cpus``: processors the process may use; turns CPU seconds into a ratio.
    """

    url: Url
    source: Literal["broker", "controller", "connect-worker", "probe", "link"]
    id: Name
    rack: str | None = None
    connect: str | None = None
    platform: str | None = None
    wal: str | None = None
    aliases: str | tuple[str, ...] = ("strimzi", "jvm")
    interval: Interval | None = None
    cpus: Annotated[float, Meta(gt=0)] | None = None
    auth: HttpAccess | None = None

    def __post_init__(self) -> None:
        if self.source == "connect-worker" and not self.connect:
            raise ValueError("a connect-worker needs 'connect', the name of its Connect cluster")


class ConnectCluster(_Strict, frozen=True, kw_only=True):
    """One Connect cluster by the REST address of any worker. ``systems``: connector glob → the outside system it talks to."""

    name: Name
    url: Url
    systems: dict[str, str] = {}
    interval: Interval | None = None
    auth: HttpAccess | None = None


class Cluster(_Strict, frozen=True, kw_only=True):
    """One monitored cluster. A part that is left out is not polled."""

    name: Name
    kafka: KafkaAccess | None = None
    groups: Groups | None = None
    topology: TopologyPoll | None = None
    metrics: tuple[Exposition, ...] = ()
    connect: tuple[ConnectCluster, ...] = ()

    def __post_init__(self) -> None:
        if self.kafka is None and (self.groups is not None or self.topology is not None):
            raise ValueError("'groups' and 'topology' need 'kafka', the cluster's address")


class CollectConfig(_Strict, frozen=True, kw_only=True):
    """The whole file. ``metrics_port``: the collector's own Prometheus metrics, on loopback."""

    clusters: Annotated[tuple[Cluster, ...], Meta(min_length=1)]
    interval: Interval = "15s"
    metrics_port: Annotated[int, Meta(ge=1, le=65_535)] | None = None


class Loaded(Struct, frozen=True):
    """A checked configuration with its folder (alias files are found from there) and its secrets by field path."""

    config: CollectConfig
    folder: Path
    secrets: Mapping[str, str]

    def secret(self, at: str) -> str | None:
        """The secret named at a field path such as ``.clusters[0].kafka.password``."""
        return self.secrets.get(at)

    def interval_ms(self, own: str | None) -> int:
        """A source's own interval, else the file's, in ms."""
        return duration_ms(own or self.config.interval)

    def kafka(self, index: int) -> Kafka:
        """The connection of cluster ``index``."""
        access = self.config.clusters[index].kafka
        assert access is not None
        return Kafka(
            bootstrap=access.bootstrap,
            security_protocol=access.security_protocol,
            sasl_mechanism=access.sasl_mechanism or ("PLAIN" if access.security_protocol.startswith("SASL") else None),
            username=access.username,
            password=self.secret(f".clusters[{index}].kafka.password"),
            ssl_cafile=access.ssl_cafile,
            ssl_certfile=access.ssl_certfile,
            ssl_keyfile=access.ssl_keyfile,
        )


def duration_ms(text: str) -> int:
    """``15s`` → 15000."""
    found = _DURATION.match(text)
    assert found is not None, text
    return int(found.group(1)) * _UNITS[found.group(2)]


def load_config(path: str | Path, env: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a collector's configuration.

    Raises:
        BadFile: with line and field: unknown keys, wrong types, names that stand twice, secrets that are not there.
    """
    environment = os.environ if env is None else env
    value, lines = read_yaml(path)
    config = convert(path, value, lines, CollectConfig)

    def bad(field: str, problem: str) -> BadFile:
        return BadFile(str(path), line_of(lines, field), field.lstrip("."), problem)

    for field, text in _intervals(config):
        if not MIN_MS <= duration_ms(text) <= MAX_MS:
            raise bad(field, f"{text} does not lie between 100ms and 1h")
    seen: set[str] = set()
    for field, name in _names(config):
        if name in seen:
            raise bad(field, f"{name.rpartition('|')[2]!r} stands here twice")
        seen.add(name)
    folder = Path(path).resolve().parent
    secrets: dict[str, str] = {}
    _find_secrets(value, "", environment, folder, secrets, bad)
    return Loaded(config, folder, secrets)


def _intervals(config: CollectConfig) -> list[tuple[str, str]]:
    out: list[tuple[str, str | None]] = [(".interval", config.interval)]
    for i, c in enumerate(config.clusters):
        at = f".clusters[{i}]"
        if c.groups:
            out.append((f"{at}.groups.interval", c.groups.interval))
        if c.topology:
            out += [
                (f"{at}.topology.interval", c.topology.interval),
                (f"{at}.topology.config_interval", c.topology.config_interval),
            ]
        out += [(f"{at}.metrics[{j}].interval", m.interval) for j, m in enumerate(c.metrics)]
        out += [(f"{at}.connect[{j}].interval", m.interval) for j, m in enumerate(c.connect)]
    return [(field, text) for field, text in out if text is not None]


def _names(config: CollectConfig) -> list[tuple[str, str]]:
    """Names that must be unique: two sources under one name would overwrite each other's history."""
    out: list[tuple[str, str]] = []
    for i, c in enumerate(config.clusters):
        at = f".clusters[{i}]"
        out.append((f"{at}.name", f"cluster|{c.name}"))
        out += [(f"{at}.metrics[{j}].url", f"url|{c.name}|{m.source}|{m.url}") for j, m in enumerate(c.metrics)]
        out += [(f"{at}.connect[{j}].name", f"connect|{c.name}|{m.name}") for j, m in enumerate(c.connect)]
    return out


def _find_secrets(value: Any, at: str, env: Mapping[str, str], folder: Path, out: dict[str, str], bad: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            field = f"{at}.{key}"
            name = str(key)
            if isinstance(item, str) and name in ("password_env", "bearer_env"):
                if item not in env:
                    raise bad(field, f"{item} is not set in the environment")
                out[f"{at}.{name.removesuffix('_env')}"] = env[item]
            elif isinstance(item, str) and name in ("password_file", "bearer_file"):
                try:
                    out[f"{at}.{name.removesuffix('_file')}"] = (folder / item).read_text(encoding="utf-8").strip()
                except (OSError, UnicodeDecodeError) as e:
                    raise bad(field, f"{item} cannot be read: {e}") from None
            else:
                _find_secrets(item, field, env, folder, out, bad)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _find_secrets(item, f"{at}[{i}]", env, folder, out, bad)
