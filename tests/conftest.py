"""What all tests share: a real Kafka and Connect, started when the first test asks for one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from kroute.errors import KrouteError
from kroute.local.broker import LocalKafka
from kroute.local.choose import Chosen, choose
from kroute.local.connect import LocalConnect

# How long an example takes says what else the machine does, not what the code does.
settings.register_profile("kroute", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kroute")


def _not_to_be_had(what: str, reason: object) -> NoReturn:
    """Without a broker, tests skip on a person's machine; in CI that would hide them, so they fail."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{what} could not be started: {reason}", pytrace=False)
    pytest.skip(f"{what} could not be started: {reason}")


@pytest.fixture(scope="session")
def prometheus() -> str:
    """The program ``prometheus``; ``promtool`` comes with it (Debian's package ``prometheus`` has both)."""
    found = shutil.which("prometheus")
    if found is None or shutil.which("promtool") is None:
        _not_to_be_had("Prometheus", "prometheus and promtool are not on the path; apt-get install prometheus")
    return found


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chosen]:
    """One broker for the whole run, shared: use topics and groups of your own (``helpers.unique``)."""
    try:
        chosen = choose(tmp_path_factory.mktemp("kafka"))
    except KrouteError as e:
        _not_to_be_had("Kafka", e)
    try:
        yield chosen
    finally:
        chosen.stop()


@pytest.fixture(scope="session")
def bootstrap(kafka: Chosen) -> str:
    """Where the shared broker answers: ``host:port``."""
    return kafka.bootstrap


@pytest.fixture(scope="session")
def connect(kafka: Chosen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalConnect]:
    """One Connect worker on the shared broker, with its JMX exporter; connectors of your own, please."""
    try:
        worker = LocalConnect(kafka.bootstrap, tmp_path_factory.mktemp("connect"), jmx=True).start()
    except KrouteError as e:
        _not_to_be_had("Kafka Connect", e)
    try:
        yield worker
    finally:
        worker.stop(grace_s=3.0)


@pytest.fixture(scope="module")
def kafka3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """Three brokers with JMX exporters for one module; whoever kills one restarts it."""
    three = LocalKafka(tmp_path_factory.mktemp("kafka3"), brokers=3, jmx=True, heap_mb=256)
    try:
        three.start()
    except KrouteError as e:
        _not_to_be_had("Kafka with three brokers", e)
    try:
        yield three
    finally:
        three.stop(grace_s=1.0)


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """A folder for one test's files."""
    return tmp_path
