"""An installation on the secured broker: worker, collector and commands as processes, each a principal of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
import yaml

from kroute.local.process import free_ports
from kroute.settings import load
from kroute.stream.topics import create_topics
from tests.kafka.connectstub import ConnectStub
from tests.kafka.helpers import unique
from tests.kafka.secured import Secured

PROCESSES = ("worker", "collector", "reader", "ownership", "policy", "changes", "notifier", "alice")
WEB_TOKEN = "web s3cret/+ token"
SECRETS = {p: f"s3cret/of+{p} %41" for p in PROCESSES}


class Site:
    """One installation on the secured broker, reached in one way; each process is a principal of its own."""

    def __init__(self, broker: Secured, how: str, folder: Path) -> None:
        self.broker, self.how, self.folder = broker, how, folder
        self.app = unique(how)
        self.names = {
            "KROUTE_PREFIX": f"{self.app}.", "KROUTE_ALERTS_TOPIC": f"{self.app}-alerts", "KROUTE_APP_ID": self.app,
            "KROUTE_FACTS_PARTITIONS": "1", "KROUTE_REALMS": "sre,executor", "KROUTE_HEARTBEAT_S": "1",
        }  # fmt: skip
        self.group = f"{self.app}-notifier"
        self.running: list[subprocess.Popen[bytes]] = []
        self.port = 0
        self.said: list[str] = []

    def env(self, who: str, **more: str) -> dict[str, str]:
        return {**os.environ, **self.broker.env(self.how, who), **self.names, **more}

    def run(self, who: str, *arguments: str, status: int = 0, **more: str) -> str:
        """What a command says (both streams), as this principal."""
        done = subprocess.run(
            [sys.executable, "-m", "kroute.cli.main", *arguments], env=self.env(who, **more), timeout=90, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said = done.stdout.decode()
        self.said.append(said)
        assert done.returncode == status, (arguments, done.returncode, said)
        assert "Traceback" not in said, said
        return said

    def rows(self, *processes: str) -> list[dict[str, str]]:
        """ACLs as ``kroute acls`` prints them."""
        named = [f"--principal={p}=User:{p}" for p in ("worker", "collector", "source", *PROCESSES[2:7])]
        named = [n.replace("User:source", "User:collector") for n in named]
        printed = self.run(
            "reader", "acls", *processes, *named, "--realm", "sre=User:alice", "--group", self.group, "--format", "json"
        )
        rows: list[dict[str, str]] = json.loads(printed)
        return rows

    def start(
        self, name: str, *arguments: str, who: str, program: str = "kroute.cli.main", **more: str
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", program, *arguments], env=self.env(who, **more), stdout=log, stderr=log
            )
        self.running.append(process)
        return process

    def create_topics(self) -> None:
        """As a worker does it at its start, so that a policy is in force when the worker begins."""
        with pytest.MonkeyPatch.context() as patch:
            for key, value in self.names.items():
                patch.setenv(key, value)
            create_topics(load(self.env("worker")))

    def start_worker(self) -> subprocess.Popen[bytes]:
        (self.port,) = free_ports(1)
        data = str(self.folder / unique("data"))
        # Faust's own program at debug level: Kafka's client then logs every request, the authentication among them.
        return self.start(
            "worker", "-A", "kroute.stream.app", "worker", "-l", "debug", "--without-web", program="faust", who="worker",
            KROUTE_DATADIR=data, KROUTE_WEB_PORT=str(self.port), KROUTE_WEB_BEARER=WEB_TOKEN,
        )  # fmt: skip

    def get(self, path: str, token: str | None = None) -> tuple[int, str]:
        """What the worker serves: status and body."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def collect_file(self, connect: ConnectStub) -> str:
        (self.folder / "rest-password").write_text(connect.password)
        config = {
            "interval": "1s",
            "clusters": [{
                "name": "prod",
                "kafka": self.broker.collect(self.how, "collector"),
                "groups": {"include": ["shop"]},
                "topology": {},
                "connect": [{
                    "name": "connect-a", "url": connect.url,
                    "auth": {"username": connect.username, "password_file": "rest-password", "cafile": str(self.broker.cafile)},
                }],
            }],
        }  # fmt: skip
        path = self.folder / "collect.yaml"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


class Notifier:
    """A consumer of alerts as a notifier has it: it joins its group."""

    def __init__(self, site: Site) -> None:
        client: dict[str, Any] = {
            **site.broker.client("scram", "notifier"), "group.id": site.group, "auto.offset.reset": "earliest",
        }  # fmt: skip
        self._consumer = confluent_kafka.Consumer(client)
        self._consumer.subscribe([f"{site.app}-alerts"])
        self.alerts: list[dict[str, Any]] = []

    def take(self) -> list[dict[str, Any]]:
        for message in self._consumer.consume(100, 0.3):
            if message.error() is None:
                self.alerts.append(json.loads(message.value() or b""))
        return self.alerts

    def incident(self, what: str = "opened") -> dict[str, Any] | None:
        return next((a for a in self.take() if a["type"] == what), None)

    def close(self) -> None:
        self._consumer.close()
