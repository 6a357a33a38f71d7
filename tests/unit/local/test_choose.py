"""Which Kafka is taken: the one that is named, then a container, then processes of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kroute.errors import LocalKafkaError
from kroute.local import choose as chooser
from kroute.local.choose import Chosen, choose, docker_environment


class _Ours:
    bootstrap = "127.0.0.1:1"
    metrics_urls: dict[int, str] = {}  # noqa: RUF012

    def __init__(self, workdir: Path, **_: Any) -> None: ...

    def start(self) -> _Ours:
        return self


@pytest.fixture(autouse=True)
def nothing_real(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KROUTE_BOOTSTRAP", raising=False)
    monkeypatch.setattr(chooser, "LocalKafka", _Ours)
    monkeypatch.setattr(chooser, "docker_answers", lambda: False)
    monkeypatch.setattr(chooser, "wait_for_brokers", lambda *_: None)
    monkeypatch.setattr(chooser, "_in_docker", lambda: Chosen("127.0.0.1:2", "docker", lambda: None))


def test_a_named_broker_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KROUTE_BOOTSTRAP", "k:9092")
    monkeypatch.setattr(chooser, "docker_answers", lambda: True)
    assert choose(tmp_path).bootstrap == "k:9092"


def test_a_named_broker_that_does_not_answer_is_an_error_not_a_reason_to_take_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def silent(*_: Any) -> None:
        raise LocalKafkaError("no Kafka answers at k:9092")

    monkeypatch.setenv("KROUTE_BOOTSTRAP", "k:9092")
    monkeypatch.setattr(chooser, "wait_for_brokers", silent)
    with pytest.raises(LocalKafkaError, match="k:9092"):
        choose(tmp_path)


def test_a_docker_engine_is_used_where_one_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chooser, "docker_answers", lambda: True)
    assert choose(tmp_path).how == "docker"


def test_without_docker_processes_of_our_own_are_started(tmp_path: Path) -> None:
    assert choose(tmp_path).how == "local"


def test_an_image_that_does_not_start_is_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused() -> Chosen:
        raise OSError("pull access denied")

    monkeypatch.setattr(chooser, "docker_answers", lambda: True)
    monkeypatch.setattr(chooser, "_in_docker", refused)
    assert choose(tmp_path).how == "local"


def test_brokers_to_kill_are_always_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KROUTE_BOOTSTRAP", "k:9092")
    assert choose(tmp_path, brokers=3, ours=True).how == "local"


def test_the_container_is_told_the_address_that_clients_see() -> None:
    environment = docker_environment(19_092)
    assert environment["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:19092"
    assert environment["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"] == "1"
