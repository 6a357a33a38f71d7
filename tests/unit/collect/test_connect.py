"""Connect's REST API to connector-status, against a server that answers as Connect does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kroute.collect.connect import MAX_TRACE, ConnectPoller, TaskMetrics
from kroute.collect.http import Http
from kroute.contracts.codec import decode
from kroute.contracts.inputs import ConnectorStatus
from kroute.errors import SourceUnreachable


class Worker:
    """A Connect worker's REST interface over plain values."""

    def __init__(self) -> None:
        self.connectors: dict[str, Any] = {}
        self.hidden: set[str] = set()
        self.status = 200

    def add(self, name: str, config: dict[str, str], kind: str = "sink", tasks: list[dict[str, Any]] | None = None) -> None:
        status = {"name": name, "connector": {"state": "RUNNING", "worker_id": "w1:8083"}, "tasks": tasks or [], "type": kind}
        self.connectors[name] = {"status": status, "info": {"name": name, "config": config, "type": kind}}

    async def all(self, _: web.Request) -> web.Response:
        if self.status != 200:
            return web.json_response({"message": "rebalance in progress"}, status=self.status)
        return web.json_response({k: v for k, v in self.connectors.items() if k not in self.hidden})

    async def one(self, request: web.Request) -> web.Response:
        return web.json_response({}, status=200 if request.match_info["name"] in self.connectors else 404)

    async def topics(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response({name: {"topics": ["seen-2", "seen-1"]}})


@pytest.fixture
async def worker() -> Worker:
    return Worker()


@pytest.fixture
async def url(worker: Worker) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/connectors", worker.all)
    app.router.add_get("/connectors/{name}", worker.one)
    app.router.add_get("/connectors/{name}/topics", worker.topics)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield str(server.make_url("/"))
    await server.close()


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    client = Http(timeout_s=5)
    yield client
    await client.close()


def poller(url: str, http: Http, metrics: TaskMetrics | None = None) -> ConnectPoller:
    return ConnectPoller(
        "c", "connect-a", url, http, interval_ms=15_000, systems={"orders-*": "elasticsearch-prod"}, metrics=metrics
    )


async def told(p: ConnectPoller) -> dict[str, ConnectorStatus]:
    return {v.connector: v for m in await p.poll() for v in [decode(m.topic, m.value)]}


async def test_a_failed_task_is_told_with_the_head_of_its_trace(worker: Worker, url: str, http: Http) -> None:
    failed = {"id": 0, "state": "FAILED", "worker_id": "w1:8083", "trace": "é" * 9000}
    worker.add("orders-to-es", {"connector.class": "Es", "topics": "orders, returns"}, tasks=[failed])
    one = (await told(poller(url, http)))["orders-to-es"]
    assert (one.class_, one.type, one.state, one.worker) == ("Es", "sink", "RUNNING", "w1:8083")
    assert (one.topics, one.group, one.system) == (("orders", "returns"), "connect-orders-to-es", "elasticsearch-prod")
    (task,) = one.tasks
    assert task.state == "FAILED"
    assert task.trace is not None
    assert len(task.trace.encode()) == MAX_TRACE


async def test_a_sink_may_override_its_group_and_a_source_has_none(worker: Worker, url: str, http: Http) -> None:
    worker.add("s", {"topics": "t", "consumer.override.group.id": "mine"})
    worker.add("src", {"connector.class": "File"}, kind="source")
    got = await told(poller(url, http))
    assert (got["s"].group, got["src"].group) == ("mine", None)
    assert got["src"].topics == ("seen-1", "seen-2")


async def test_a_connector_that_is_gone_says_so_once(worker: Worker, url: str, http: Http) -> None:
    worker.add("s", {"topics": "t"})
    p = poller(url, http)
    await told(p)
    worker.connectors.clear()
    assert (await told(p))["s"].state == "DELETED"
    assert await told(p) == {}


async def test_a_connector_that_only_failed_to_expand_is_not_gone(worker: Worker, url: str, http: Http) -> None:
    worker.add("s", {"topics": "t"})
    p = poller(url, http)
    await told(p)
    worker.hidden.add("s")
    assert (await told(p))["s"].up is False
    worker.hidden.clear()
    assert (await told(p))["s"].state == "RUNNING"


async def test_a_rebalancing_worker_is_a_gap_for_every_known_connector(worker: Worker, url: str, http: Http) -> None:
    worker.add("s", {"topics": "t"})
    p = poller(url, http)
    await told(p)
    worker.status = 409
    with pytest.raises(SourceUnreachable, match="HTTP 409") as e:
        await p.poll()
    (message,) = p.down(str(e.value))
    value = decode(message.topic, message.value)
    assert (value.connector, value.up) == ("s", False)
    assert "409" in value.error


async def test_task_metrics_of_the_workers_scrape_are_carried_while_they_are_fresh(worker: Worker, url: str, http: Http) -> None:
    worker.add("s", {"topics": "t"}, tasks=[{"id": 0, "state": "RUNNING"}, {"id": 1, "state": "RUNNING"}])
    metrics = TaskMetrics()
    metrics.put("connect-a", "s", 1, "put_batch_ms", 4100.0)
    one = (await told(poller(url, http, metrics)))["s"]
    assert [t.metrics for t in one.tasks] == [{}, {"put_batch_ms": 4100.0}]
    assert metrics.of("connect-a", "s", 1, max_age_s=-1) == {}


async def test_a_worker_that_is_not_there_is_named_with_its_address(http: Http) -> None:
    with pytest.raises(SourceUnreachable, match=r"http://127.0.0.1:1/connectors"):
        await poller("http://127.0.0.1:1", http).poll()


@pytest.mark.parametrize(
    "broken",
    [
        {"status": {"connector": 7, "tasks": []}}, {"status": {"tasks": 3}}, {"status": {"tasks": ["x"]}}, {"status": {"tasks": [{}]}},
        {"status": {"tasks": [{"id": "one"}]}}, {"status": {"connector": {"state": 5}}}, {"status": {}, "info": {"config": "x"}},
        {"status": {"connector": {"state": "RUNNING"}, "tasks": [{"id": 1, "state": "RUNNING", "worker_id": [1]}]}},
        {"status": {"connector": {"state": "RUNNING"}, "type": "sink"}, "info": {"config": {"consumer.override.group.id": ["g"]}}},
    ],
)  # fmt: skip
async def test_a_status_of_another_form_is_a_failed_poll_of_that_connector_alone(
    broken: Any, worker: Worker, url: str, http: Http
) -> None:
    worker.add("good", {"topics": "t"})
    worker.connectors["bad"] = broken
    worker.connectors["x" * 2000] = broken
    said = await told(poller(url, http))
    assert sorted(said) == ["bad", "good"]
    assert (said["good"].up, said["bad"].up) == (True, False)
    assert said["bad"].error is not None
    assert said["bad"].error.startswith("Connect's status of it cannot be read")
