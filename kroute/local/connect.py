"""A Kafka Connect worker on this machine, with the file connectors as its only plugins."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kroute.errors import SourceUnreachable
from kroute.local.artefacts import resolve
from kroute.local.broker import write_properties
from kroute.local.process import Child, await_ready, free_ports

FILE_SINK = "org.apache.kafka.connect.file.FileStreamSinkConnector"
FILE_SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"
_HOST = "127.0.0.1"
_START_S = 120.0
_REQUEST_S = 30.0


class LocalConnect:
    """One distributed Connect worker on loopback; it ends with the process that started it.

    ``group``: the Connect cluster's group id, also the prefix of its three topics. ``jmx``: a JMX exporter with
    Strimzi's metric names at ``metrics_url``.

    Raises:
        LocalKafkaError: it could not be started; ends with its log's last lines.
    """

    def __init__(
        self,
        bootstrap: str,
        workdir: Path,
        *,
        group: str = "connect-local",
        replication_factor: int = 1,
        jmx: bool = False,
        heap_mb: int = 256,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self.workdir = workdir
        self.group = group
        self._bootstrap = bootstrap
        self._replication_factor = replication_factor
        self._jmx = jmx
        self._heap_mb = heap_mb
        self._overrides = dict(config or {})
        self._child: Child | None = None
        self.url = ""
        self.metrics_url: str | None = None

    def start(self) -> Self:
        """Start the worker; back when its REST API answers and it has joined its group."""
        artefacts = resolve()
        port, jmx_port = free_ports(2)
        self.url = f"http://{_HOST}:{port}"
        self.workdir.mkdir(parents=True, exist_ok=True)
        write_properties(self.workdir / "connect.properties", self._properties(port, artefacts.plugins))
        options = ["-Dkroute.log=info"]
        if self._jmx:
            rules = Path(__file__).with_name("jmx-connect.yaml")
            options.append(f"-javaagent:{artefacts.jmx_exporter}={_HOST}:{jmx_port}:{rules}")
            self.metrics_url = f"http://{_HOST}:{jmx_port}/metrics"
        argv = artefacts.command(
            "org.apache.kafka.connect.cli.ConnectDistributed",
            str(self.workdir / "connect.properties"),
            heap_mb=self._heap_mb,
            options=options,
        )
        self._child = Child("connect worker", argv, self.workdir / "connect.log")
        try:
            self._child.start()
            await_ready([self._child], self._ready, _START_S, "start")
        except BaseException:
            self._child.kill()
            raise
        return self

    def stop(self, *, grace_s: float = 10.0) -> None:
        """Stop the worker in order; by force after ``grace_s`` seconds."""
        if self._child is not None:
            self._child.stop(grace_s)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(grace_s=3.0)

    def put_connector(self, name: str, config: Mapping[str, str]) -> None:
        """Create a connector or change its configuration (a new configuration restarts its tasks)."""
        self.request("PUT", f"/connectors/{_quoted(name)}/config", dict(config))

    def delete_connector(self, name: str) -> None:
        """Delete a connector; one that does not exist is no error."""
        self.request("DELETE", f"/connectors/{_quoted(name)}", missing_ok=True)

    def restart_connector(self, name: str, *, only_failed: bool = False) -> None:
        """Restart a connector with its tasks (KIP-745)."""
        query = f"includeTasks=true&onlyFailed={str(only_failed).lower()}"
        self.request("POST", f"/connectors/{_quoted(name)}/restart?{query}")

    def status(self, name: str) -> dict[str, Any] | None:
        """The connector's status as the REST API tells it; None where it is not known (yet)."""
        found = self.request("GET", f"/connectors/{_quoted(name)}/status", missing_ok=True)
        assert found is None or isinstance(found, dict)
        return found

    def put_file_sink(self, name: str, topic: str, path: Path) -> None:
        """A sink that appends each record of ``topic`` to the file ``path`` as a line."""
        self.put_connector(name, {
            "connector.class": FILE_SINK, "tasks.max": "1", "topics": topic, "file": str(path),
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        })  # fmt: skip

    def request(self, method: str, path: str, body: Any = None, *, missing_ok: bool = False) -> Any:
        """One REST call; a 409 (the worker is rebalancing) is tried again for some seconds.

        Raises:
            SourceUnreachable: no answer, or an answer that is an error; says which and why.
        """
        deadline = time.monotonic() + _REQUEST_S
        while True:
            data = None if body is None else json.dumps(body).encode()
            call = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
            try:
                with urllib.request.urlopen(call, timeout=_REQUEST_S) as answer:  # noqa: S310  (our own loopback address)
                    text = answer.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as e:
                detail = e.read().decode(errors="replace")[:500]
                if e.code == 404 and missing_ok:
                    return None
                if e.code != 409 or time.monotonic() > deadline:
                    raise SourceUnreachable(f"Connect {self.url}: {method} {path}: status {e.code}: {detail}") from e
                time.sleep(0.25)
            except OSError as e:
                raise SourceUnreachable(f"Connect {self.url}: {method} {path}: {e}") from e

    def _ready(self) -> bool:
        try:
            # Answered by the herder itself, so only once it has joined its group and read its topics.
            return isinstance(self.request("GET", "/connectors"), list)
        except (SourceUnreachable, ValueError):
            return False

    def _properties(self, port: int, plugins: Path) -> dict[str, str]:
        copies = str(self._replication_factor)
        return {
            "bootstrap.servers": self._bootstrap,
            "group.id": self.group,
            "listeners": f"http://{_HOST}:{port}",
            "rest.advertised.host.name": _HOST,
            "rest.advertised.port": str(port),
            "plugin.path": str(plugins),
            "plugin.discovery": "service_load",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            **{f"{kind}.storage.topic": f"{self.group}-{kind}" for kind in ("config", "offset", "status")},
            **{f"{kind}.storage.replication.factor": copies for kind in ("config", "offset", "status")},
            "offset.storage.partitions": "1",
            "status.storage.partitions": "1",
            # Sinks commit this often; the default of a minute would make every demonstration wait for it.
            "offset.flush.interval.ms": "2000",
            "scheduled.rebalance.max.delay.ms": "0",
            "worker.sync.timeout.ms": "2000",
            **self._overrides,
        }


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
