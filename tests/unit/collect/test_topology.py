"""A broker that hangs: the poll tells what it has, and waits for one answer of it, not for each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from kafka.errors import ClusterAuthorizationFailedError, RequestTimedOutError, UnknownBrokerIdError

from kroute.collect import topology
from kroute.collect.message import Own
from kroute.collect.topology import TopologyPoller
from kroute.contracts.inputs import Topology
from kroute.contracts.topics import Names
from kroute.settings import Kafka

TIMEOUT_S = 5.0


class Cluster:
    """Brokers 1 to 3 behind both clients; ``hangs``: who lets each request time out; ``denies``: who tells no log dirs;
    ``unknown``: whom the client does not know."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[tuple[str, int | None]] = []
        self.hangs: tuple[int | None, ...] = ()
        self.denies: tuple[int, ...] = ()
        self.unknown: tuple[int, ...] = ()

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(brokers={i: SimpleNamespace(id=i, host="h") for i in (1, 2, 3)}, topics={})

    def describe_cluster(self) -> Any:
        self._ask("brokers", None)
        return {"brokers": [{"broker_id": i, "host": "h", "is_fenced": i == 2} for i in (1, 2, 3)]}

    def describe_metadata_quorum(self) -> Any:
        self._ask("quorum", None)
        return {"topics": []}

    def list_partition_reassignments(self) -> Any:
        self._ask("reassignments", None)
        return {}

    def describe_log_dirs(self, which: Any, brokers: list[int]) -> Any:
        self._ask("log dirs", brokers[0])
        if brokers[0] in self.denies:
            raise ClusterAuthorizationFailedError
        return [{"log_dirs": [{"log_dir": "/d", "error_code": 0, "topics": []}]}]

    def list_transactions(self, broker_ids: list[int], state_filters: Any) -> Any:
        self._ask("transactions", broker_ids[0])
        return {}

    def close(self) -> None:
        pass

    def _ask(self, what: str, broker: int | None) -> None:
        self.asked.append((what, broker))
        if broker in self.unknown:
            raise UnknownBrokerIdError
        if broker in self.hangs:
            self.now += TIMEOUT_S
            raise RequestTimedOutError


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(topology, "AdminClient", lambda _: made)
    monkeypatch.setattr(topology, "KafkaAdminClient", lambda **_: made)
    monkeypatch.setattr("kroute.collect.topology.time.monotonic", lambda: made.now)
    return made


def poll(cluster: Cluster) -> Topology:
    poller = TopologyPoller("c", Kafka("h:9092"), Own(Names(), "kroute"), interval_ms=10_000)
    return msgspec.json.decode(poller.poll()[0].value, type=Topology)


def test_who_gave_no_answer_is_not_asked_again_in_the_same_poll(cluster: Cluster) -> None:
    cluster.hangs = (2,)
    told = poll(cluster)
    assert [(b.id, b.state, len(b.log_dirs)) for b in told.brokers] == [(1, "alive", 1), (2, "fenced", 0), (3, "alive", 1)]
    assert ("log dirs", 2) in cluster.asked
    assert ("transactions", 2) not in cluster.asked
    assert {("transactions", 1), ("transactions", 3)} <= set(cluster.asked)


def test_who_only_denies_a_piece_is_asked_for_the_others(cluster: Cluster) -> None:
    cluster.denies = (2,)
    poll(cluster)
    assert ("transactions", 2) in cluster.asked


def test_where_nobody_answers_a_poll_tells_what_it_has_in_the_end(cluster: Cluster) -> None:
    cluster.hangs = (None, 1, 2, 3)
    began = cluster.now
    told = poll(cluster)
    assert [b.id for b in told.brokers] == [1, 2, 3], "as the metadata has them"
    assert cluster.now - began <= 4 * TIMEOUT_S
    assert len(cluster.asked) <= 4


def test_where_the_other_client_cannot_connect_metadata_is_told_with_the_racks_known(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    poller = TopologyPoller("c", Kafka("h:9092"), Own(Names(), "kroute"), interval_ms=10_000)
    racks = {"brokers": [{"broker_id": i, "rack": f"r{i}", "host": "h"} for i in (1, 2, 3)]}
    monkeypatch.setattr(cluster, "describe_cluster", lambda: racks)
    poller.poll()
    poller.close()

    def refused(**_: Any) -> Any:
        raise RequestTimedOutError

    monkeypatch.setattr(topology, "KafkaAdminClient", refused)
    told = msgspec.json.decode(poller.poll()[0].value, type=Topology)
    assert [(b.id, b.rack, b.state) for b in told.brokers] == [(i, f"r{i}", "alive") for i in (1, 2, 3)]
    assert "brokers" in poller.unable


def test_a_client_that_does_not_know_who_is_back_is_replaced_at_the_next_poll(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it learnt of the cluster it keeps for five minutes; so long the log dirs of a broker that had returned were not told."""
    made: list[Cluster] = []

    def client(**_: Any) -> Cluster:
        made.append(cluster)
        return cluster

    monkeypatch.setattr(topology, "KafkaAdminClient", client)
    poller = TopologyPoller("c", Kafka("h:9092"), Own(Names(), "kroute"), interval_ms=10_000)
    cluster.unknown = (2,)
    poller.poll()
    cluster.unknown = ()
    told = msgspec.json.decode(poller.poll()[0].value, type=Topology)
    poller.poll()
    assert (len(made), [len(b.log_dirs) for b in told.brokers]) == (2, [1, 1, 1])
