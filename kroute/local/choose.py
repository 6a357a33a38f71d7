"""One function that finds a Kafka to work with: a named one, one in Docker, or one from package registries alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kroute.local.artefacts import KAFKA_VERSION
from kroute.local.broker import LocalKafka, replication, wait_for_brokers
from kroute.local.process import free_ports

log = logging.getLogger(__name__)
IMAGE = f"apache/kafka:{KAFKA_VERSION}"
_DOCKER_ANSWER_S = 3
_DOCKER_START_S = 90.0


@dataclass(frozen=True)
class Chosen:
    """A Kafka that answers. ``how``: given | docker | local.

    ``local`` holds the processes where they are ours, so that a broker can be killed; ``metrics_urls`` are JMX exporters
    by broker id, where there are any.
    """

    bootstrap: str
    how: str
    stop: Callable[[], None]
    metrics_urls: Mapping[int, str] = field(default_factory=dict)
    local: LocalKafka | None = None


def choose(workdir: Path, *, brokers: int = 1, jmx: bool = False, ours: bool = False) -> Chosen:
    """``KROUTE_BOOTSTRAP`` if it is set, else a container where a Docker engine answers, else processes of our own.

    ``ours`` asks for processes of our own at once: three brokers, or brokers to kill, are only to be had there.

    Raises:
        LocalKafkaError: none of them can be had; says why.
    """
    given = os.environ.get("KROUTE_BOOTSTRAP")
    if given and not ours:
        wait_for_brokers(given, 1, 15.0)
        return Chosen(given, "given", lambda: None)
    if brokers == 1 and not jmx and not ours and docker_answers():
        try:
            return _in_docker()
        except Exception as e:  # an image that cannot be pulled, a port, a permission: the next way may work
            log.warning("Docker answers, but %s did not start there (%s); starting Kafka without it", IMAGE, e)
    kafka = LocalKafka(workdir, brokers=brokers, jmx=jmx).start()
    return Chosen(kafka.bootstrap, "local", lambda: kafka.stop(grace_s=3.0), kafka.metrics_urls, kafka)


def docker_answers() -> bool:
    """True where a Docker engine answers within some seconds and testcontainers is installed."""
    try:
        import docker  # type: ignore[import-untyped]  # noqa: PLC0415  (an optional extra)
        import testcontainers  # noqa: F401, PLC0415

        client = docker.from_env(timeout=_DOCKER_ANSWER_S)
    except Exception:  # not installed, or no engine configured: whatever the reason, there is none for us
        return False
    try:
        return bool(client.ping())
    except Exception:
        return False
    finally:
        with suppress(Exception):
            client.close()


def docker_environment(port: int) -> dict[str, str]:
    """Environment of the official image for one broker that clients reach at ``127.0.0.1:port``."""
    properties = {
        "node.id": "1",
        "process.roles": "broker,controller",
        "listeners": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": "1@127.0.0.1:9093",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "auto.create.topics.enable": "false",
        **replication(1),
    }
    return {"KAFKA_" + key.upper().replace(".", "_"): value for key, value in properties.items()}


def _in_docker() -> Chosen:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    (port,) = free_ports(1)
    container: Any = DockerContainer(IMAGE)
    container = container.with_bind_ports("9092/tcp", ("127.0.0.1", port))  # docker-py's form for one host address
    for key, value in docker_environment(port).items():
        container = container.with_env(key, value)
    container.start()
    try:
        wait_for_brokers(f"127.0.0.1:{port}", 1, _DOCKER_START_S)
    except BaseException:
        container.stop()
        raise
    return Chosen(f"127.0.0.1:{port}", "docker", container.stop)
