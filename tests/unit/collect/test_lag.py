"""Rules of the lag poller that a healthy broker cannot show: partial lists, failed reads, partitions without a leader."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupState, ConsumerGroupType, IsolationLevel, KafkaError, KafkaException

from kroute.collect.lag import LagPoller, why
from kroute.collect.message import Own
from kroute.contracts.codec import decode
from kroute.contracts.inputs import ConsumerLag
from kroute.contracts.topics import Names
from kroute.errors import SourceUnreachable
from kroute.settings import Kafka

TIMED_OUT = KafkaException(KafkaError(KafkaError._TIMED_OUT))
MOVED = KafkaException(KafkaError(KafkaError.NOT_COORDINATOR, "ConsumerGroupDescribe: "))


def done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


def described(member: str | None = None) -> Any:
    assignment = SimpleNamespace(topic_partitions=[SimpleNamespace(topic="t", partition=0)])
    members = [SimpleNamespace(member_id=member, client_id="c", host="/10.0.3.7", group_instance_id=None, assignment=assignment)]
    return SimpleNamespace(
        state=ConsumerGroupState.STABLE, type=ConsumerGroupType.CLASSIC, partition_assignor="range",
        coordinator=SimpleNamespace(id=1), members=members if member else [],
    )  # fmt: skip


class Admin:
    """Answers as librdkafka's admin client would; every part can be made to fail."""

    def __init__(self) -> None:
        self.groups: dict[str, Any] = {"g": described("m-1")}
        self.list_errors: list[Exception] = []
        self.list_fails: Exception | None = None
        self.leaders = {0: 1}
        self.commits: Any = [SimpleNamespace(topic="t", partition=0, offset=5, error=None)]
        self.end, self.stable = 9, 7
        self.asked: list[str] = []
        self.closed = 0

    def __exit__(self, *_: object) -> None:
        self.closed += 1

    def list_topics(self, **_: Any) -> Any:
        partitions = {i: SimpleNamespace(leader=leader) for i, leader in self.leaders.items()}
        return SimpleNamespace(topics={"t": SimpleNamespace(error=None, partitions=partitions)})

    def list_consumer_groups(self, **_: Any) -> Any:
        listed = [SimpleNamespace(group_id=g) for g in self.groups]
        return done(self.list_fails or SimpleNamespace(valid=listed, errors=self.list_errors))

    def describe_consumer_groups(self, groups: list[str], **_: Any) -> Any:
        unknown = KafkaException(KafkaError(KafkaError.GROUP_ID_NOT_FOUND))
        return {g: done(self.groups.get(g, unknown)) for g in groups}

    def list_consumer_group_offsets(self, requests: Any, **_: Any) -> Any:
        self.asked.append("commits")
        answer = self.commits if isinstance(self.commits, Exception) else SimpleNamespace(topic_partitions=self.commits)
        return {requests[0].group_id: done(answer)}

    def list_offsets(self, request: Any, isolation_level: Any = None, **_: Any) -> Any:
        latest = next(iter(request.values()))._value == -1
        committed = isolation_level == IsolationLevel.READ_COMMITTED
        self.asked.append(("stable" if committed else "end") if latest else "start")
        offset = (self.stable if committed else self.end) if latest else 0
        return {tp: done(SimpleNamespace(offset=offset)) for tp in request}


@pytest.fixture
def admin() -> Admin:
    return Admin()


@pytest.fixture
def poller(admin: Admin) -> LagPoller:
    own = Own(Names(), "kroute")
    out = LagPoller("c", Kafka(), own, interval_ms=15_000, exclude=["console-*"], racks={"10.0.3.*": "eu-1a"})
    out._admin = admin
    return out


class Clients:
    """The admin clients that the poller makes for itself, and the clock it looks at."""

    def __init__(self) -> None:
        self.made: list[Admin] = []
        self.now = 0.0
        self.groups: dict[str, Any] = {"g": described("m-1")}

    def make(self, _: Any) -> Admin:
        self.made.append(Admin())
        self.made[-1].groups = dict(self.groups)
        return self.made[-1]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    out = Clients()
    monkeypatch.setattr("confluent_kafka.admin.AdminClient", out.make)
    monkeypatch.setattr("kroute.collect.lag.time", SimpleNamespace(monotonic=lambda: out.now, time_ns=time.time_ns))
    return out


def told(poller: LagPoller) -> dict[str, ConsumerLag]:
    return {v.group: v for m in poller.poll() for v in [decode(m.topic, m.value)]}


def test_commits_are_read_before_ends_and_ends_before_stable_ends(poller: LagPoller, admin: Admin) -> None:
    value = told(poller)["g"]
    assert admin.asked == ["commits", "end", "stable", "start"]
    assert [(p.committed, p.end, p.stable_end, p.start, p.leader, p.member_id) for p in value.partitions] == [
        (5, 9, 7, 0, 1, "m-1")
    ]


def test_a_stable_end_read_later_never_passes_the_end(poller: LagPoller, admin: Admin) -> None:
    admin.end, admin.stable = 9, 12
    assert told(poller)["g"].partitions[0].stable_end == 9


def test_a_members_rack_is_known_by_its_host(poller: LagPoller) -> None:
    members = told(poller)["g"].members
    assert members is not None
    assert (members[0].host, members[0].rack) == ("10.0.3.7", "eu-1a")


def test_a_group_missing_from_a_partial_list_is_a_gap_not_dead(poller: LagPoller, admin: Admin) -> None:
    told(poller)
    admin.groups.clear()
    admin.list_errors = [TIMED_OUT]
    value = told(poller)["g"]
    assert (value.up, value.state) == (False, None)
    admin.list_errors = []
    assert told(poller)["g"].state == "Dead"
    assert told(poller) == {}


def test_groups_known_from_before_are_read_though_the_list_failed(poller: LagPoller, admin: Admin) -> None:
    admin.list_fails = TIMED_OUT
    with pytest.raises(SourceUnreachable):
        poller.poll()
    admin.list_fails = None
    told(poller)
    admin.list_fails = TIMED_OUT
    value = told(poller)["g"]
    assert (value.up, value.state) == (True, "Stable")


def test_a_failed_describe_is_a_gap_with_its_reason(poller: LagPoller, admin: Admin) -> None:
    told(poller)
    admin.groups["g"] = KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS))
    value = told(poller)["g"]
    assert (value.up, value.state) == (False, None)
    assert value.error


@pytest.mark.parametrize("commits", [
    [SimpleNamespace(topic="t", partition=0, offset=-1001, error=KafkaError(KafkaError.NOT_COORDINATOR))], TIMED_OUT,
])  # fmt: skip
def test_commits_that_cannot_be_read_are_a_gap_not_never_committed(poller: LagPoller, admin: Admin, commits: Any) -> None:
    admin.commits = commits
    assert told(poller)["g"].up is False


def test_a_partition_without_a_leader_keeps_its_place_and_a_deleted_one_leaves(poller: LagPoller, admin: Admin) -> None:
    admin.leaders = {0: -1}
    (p,) = told(poller)["g"].partitions
    assert (p.committed, p.end, p.stable_end, p.leader) == (5, -1, None, -1)
    admin.leaders = {}
    assert told(poller)["g"].partitions == ()


def test_kroutes_own_groups_and_excluded_ones_are_not_told(poller: LagPoller, admin: Admin) -> None:
    admin.groups |= dict.fromkeys(["kroute", "kroute.x", "kroute-y", "console-1"], described())
    assert set(told(poller)) == {"g"}


def test_while_the_cluster_cannot_be_reached_every_known_group_is_a_gap(poller: LagPoller) -> None:
    told(poller)
    (message,) = poller.down("no route")
    value = decode(message.topic, message.value)
    assert (value.group, value.up, value.error, value.interval_ms) == ("g", False, "no route", 15_000)


@pytest.mark.parametrize("code", ["NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "_TIMED_OUT", "_TRANSPORT"])
def test_a_client_that_lost_a_coordinator_is_closed_and_the_next_poll_has_another(
    poller: LagPoller, admin: Admin, clients: Clients, code: str
) -> None:
    admin.groups["lost"] = KafkaException(KafkaError(getattr(KafkaError, code)))
    values = told(poller)
    assert (values["g"].up, values["lost"].up, admin.closed) == (True, False, 1)
    clients.groups["lost"] = described()
    assert told(poller)["lost"].up
    assert told(poller)["lost"].up
    assert (len(clients.made), clients.made[0].closed, admin.closed) == (1, 0, 1)


def test_so_is_one_that_lost_it_between_members_and_commits(poller: LagPoller, admin: Admin, clients: Clients) -> None:
    admin.commits = [SimpleNamespace(topic="t", partition=0, offset=-1001, error=KafkaError(KafkaError.NOT_COORDINATOR))]
    assert told(poller)["g"].up is False
    assert told(poller)["g"].up is True
    assert (admin.closed, len(clients.made)) == (1, 1)


@pytest.mark.parametrize("code", ["COORDINATOR_LOAD_IN_PROGRESS", "GROUP_AUTHORIZATION_FAILED", "GROUP_ID_NOT_FOUND"])
def test_other_errors_of_a_group_cost_no_client(poller: LagPoller, admin: Admin, clients: Clients, code: str) -> None:
    admin.groups["lost"] = KafkaException(KafkaError(getattr(KafkaError, code)))
    for _ in range(3):
        assert told(poller)["g"].up
    assert (admin.closed, clients.made) == (0, [])


def test_a_coordinator_that_stays_lost_costs_one_client_in_the_patience_with_one_request(
    poller: LagPoller, admin: Admin, clients: Clients
) -> None:
    admin.groups["lost"] = clients.groups["lost"] = MOVED
    for clients.now in range(61):  # once a second; interval 15 s, patience 6 s
        assert told(poller)["g"].up
        assert list(poller.unable) == ["lost"]
    assert len(clients.made) == 9  # it is made at the poll after: each 7 s
    assert [c.closed for c in (admin, *clients.made)] == [1] * 9 + [0]


@pytest.mark.parametrize(("error", "said"), [
    (MOVED, "ConsumerGroupDescribe: Broker: Not coordinator (NOT_COORDINATOR)"),
    (KafkaException(KafkaError(KafkaError.NOT_COORDINATOR, "")), "Broker: Not coordinator (NOT_COORDINATOR)"),
    (TIMED_OUT, "Local: Timed out (_TIMED_OUT)"),
    (KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, "not for you"), "not for you (GROUP_AUTHORIZATION_FAILED)"),
    (OSError(), "OSError"),
    (ValueError("no such thing"), "no such thing"),
])  # fmt: skip
def test_an_error_has_a_reason_always(error: Exception, said: str) -> None:
    assert why(error) == said


def test_groups_that_cannot_be_read_are_logged_when_that_changes(
    poller: LagPoller, admin: Admin, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    load = KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS))
    admin.groups |= {"a": load, "b": load}
    with caplog.at_level(logging.INFO, "kroute.collect.lag"):
        told(poller)
        told(poller)
        assert poller.unable.keys() == {"a", "b"}
        admin.groups["a"] = described()
        told(poller)
        admin.groups |= {f"c{i}": MOVED for i in range(6)}
        told(poller)
    assert caplog.messages == [
        "c/groups: 2 groups (a, b) cannot be read: Broker: Coordinator load in progress (COORDINATOR_LOAD_IN_PROGRESS)",
        "c/groups: 1 group (a) can be read again",
        f"c/groups: 6 groups (c0, c1, c2, c3, c4, …) cannot be read: {why(MOVED)}",
    ]
