"""``collect.yaml``: which clusters, exporters and Connect workers are polled, and how often."""

# ruff: noqa: RUF012 - msgspec gives each struct its own empty default
from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from kroute.collect.access import HttpAccess, KafkaAccess, Strict, Url, check_urls, connection, context, find_secrets
from kroute.collect.http import Http
from kroute.contracts.common import Name
from kroute.errors import BadFile
from kroute.files import convert, line_of, read_yaml
from kroute.settings import Kafka

Interval = Annotated[str, Meta(pattern=r"^[1-9][0-9]*(ms|s|m|h)$")]
"""A duration as people write it: ``15s``, ``500ms``, ``2m``, ``1h``."""
_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"^([0-9]+)(ms|s|m|h)$")
MIN_MS, MAX_MS = 100, 3_600_000


class Groups(Strict, frozen=True, kw_only=True):
    """Consumer groups to poll, by globs. ``racks``: glob of a client's host → its rack, for clients that tell none."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    interval: Interval | None = None
    racks: dict[str, str] = {}


class TopologyPoll(Strict, frozen=True, kw_only=True):
    """Placement, quorum, log dirs, transactions. ``config_interval``: topic configuration changes seldom and costs most."""

    interval: Interval | None = None
    config_interval: Interval = "10m"


class Exposition(Strict, frozen=True, kw_only=True):
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


class ConnectCluster(Strict, frozen=True, kw_only=True):
    """One Connect cluster by the REST address of any worker. ``systems``: connector glob → the outside system it talks to."""

    name: Name
    url: Url
    systems: dict[str, str] = {}
    interval: Interval | None = None
    auth: HttpAccess | None = None


class Cluster(Strict, frozen=True, kw_only=True):
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


class CollectConfig(Strict, frozen=True, kw_only=True):
    """The whole file. ``metrics_port``: the collector's own Prometheus metrics, at ``KROUTE_WEB_HOST``."""

    clusters: Annotated[tuple[Cluster, ...], Meta(min_length=1)]
    interval: Interval = "15s"
    metrics_port: Annotated[int, Meta(ge=1, le=65_535)] | None = None


class Loaded(Struct, frozen=True):
    """A checked configuration with its folder (files it names are found from there) and its secrets by field path."""

    config: CollectConfig
    folder: Path
    secrets: Mapping[str, str]
    connections: Mapping[int, Kafka]
    contexts: Mapping[str, ssl.SSLContext]

    def __repr__(self) -> str:
        return f"Loaded({self.folder}, {len(self.config.clusters)} clusters, {len(self.secrets)} secrets)"

    def http(self, auth: HttpAccess | None, at: str, timeout_s: float) -> Http:
        """A client for the endpoint at a field path such as ``.clusters[0].connect[0]``."""
        return Http(
            timeout_s=timeout_s,
            username=auth.username if auth else None,
            password=self.secret(f"{at}.auth.password"),
            bearer=self.secret(f"{at}.auth.bearer"),
            tls=self.contexts.get(at),
        )

    def secret(self, at: str) -> str | None:
        """The secret named at a field path such as ``.clusters[0].kafka.password``."""
        return self.secrets.get(at)

    def interval_ms(self, own: str | None) -> int:
        """A source's own interval, else the file's, in ms."""
        return duration_ms(own or self.config.interval)

    def kafka(self, index: int) -> Kafka:
        """The connection of cluster ``index``."""
        return self.connections[index]


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
    check_urls(value, bad)
    folder = Path(path).resolve().parent
    secrets = find_secrets(value, environment, folder, bad)
    connections = {
        i: connection(c.kafka, f".clusters[{i}].kafka", folder, secrets, bad)
        for i, c in enumerate(config.clusters)
        if c.kafka is not None
    }
    contexts: dict[str, ssl.SSLContext] = {}
    for at, auth in _endpoints(config):
        try:
            made = context(auth, folder)
        except (OSError, ValueError) as e:
            raise bad(f"{at}.auth", f"its files hold no certificate or key in PEM that fits: {e}") from None
        if made is not None:
            contexts[at] = made
    return Loaded(config, folder, secrets, connections, contexts)


def _endpoints(config: CollectConfig) -> Iterator[tuple[str, HttpAccess | None]]:
    for i, c in enumerate(config.clusters):
        yield from ((f".clusters[{i}].metrics[{j}]", m.auth) for j, m in enumerate(c.metrics))
        yield from ((f".clusters[{i}].connect[{j}]", m.auth) for j, m in enumerate(c.connect))


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
