"""The estate: relations follow the newest report, and rows tell all of them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kroute.contracts.common import Entity
from kroute.contracts.inputs import (
    BrokerInfo,
    BrokerMetrics,
    ConnectorStatus,
    ConsumerLag,
    Member,
    PartitionLag,
    Source,
    Task,
    TopicInfo,
    Topology,
    Transaction,
)
from kroute.signals.coordinator import OFFSETS_TOPIC, offsets_partition
from kroute.signals.estate import RELATIONS, Estate
from kroute.signals.model import Rows
from tests.unit.signals.windowsbench import part

C = "c|1"


def ent(kind: str, name: str) -> Entity:
    return Entity(kind, C, name)


def names(found: list[Entity]) -> list[str]:
    return [e.name for e in found]


@pytest.fixture
def estate() -> Estate:
    return Estate(Rows("d"))


def reloaded(estate: Estate) -> Estate:
    other = Estate(Rows("d"))
    for (table, key), value in sorted(estate._rows.changed.items(), reverse=True):
        if value is not None:
            assert table == "topology"
            other._rows.changed[(table, key)] = value
            other.load(key.removeprefix("d|"), value)
    return other


def picture(e: Estate) -> Any:
    entities = sorted(x for found in e._all.values() for x in found)
    related = {(x, r): e.related(x, r) for x in entities for r in [*RELATIONS, *RELATIONS.values()] if r != "members"}
    return entities, related, e._leaders, e.brokers, e.platforms


def topo(
    at: int,
    brokers: tuple[Any, ...] = (1, 2),
    topics: dict[str, list[tuple[int | None, tuple[int, ...]]]] | None = None,
    **more: Any,
) -> Topology:
    infos = tuple(b if isinstance(b, BrokerInfo) else BrokerInfo(id=b, rack=f"r{b}") for b in brokers)
    told = tuple(
        TopicInfo(name=t, partitions=tuple(part(i, leader, r) for i, (leader, r) in enumerate(ps)))
        for t, ps in (topics or {}).items()
    )
    return Topology(cluster=C, observed_at_ms=at, brokers=infos, topics=told, **more)


def lag(at: int, topics: dict[str, int | None], group: str = "g", **more: Any) -> ConsumerLag:
    more.setdefault("state", "Stable")
    told = tuple(PartitionLag(topic=t, partition=0, end=1, leader=leader) for t, leader in topics.items())
    return ConsumerLag(cluster=C, observed_at_ms=at, group=group, partitions=told, **more)


def test_topology_tells_leaders_replicas_racks_and_brokers(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"t": [(1, (1, 2)), (2, (2, 1)), (None, (2,))]}))
    assert names(estate.related(ent("topic", "t"), "topic-leaders")) == ["1", "2"]
    assert names(estate.related(ent("broker", "2"), "hosted-topics")) == ["t"]
    assert names(estate.related(ent("broker", "1"), "rack")) == ["r1"]
    assert names(estate.related(ent("rack", "r2"), "brokers")) == ["2"]
    assert [estate.leader(C, "t", i) for i in range(4)] == [1, 2, -1, None]
    assert estate.brokers[C] == {1: "alive", 2: "alive"}


def test_a_broker_that_was_listed_and_is_absent_is_gone(estate: Estate) -> None:
    estate.observe_topology(topo(1))
    estate.observe_topology(topo(2, brokers=(BrokerInfo(id=2, state="fenced"),)))
    assert estate.brokers[C] == {1: "gone", 2: "fenced"}


def test_a_topic_that_is_no_longer_listed_is_forgotten(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"a": [(1, (1,))], "b": [(1, (1,))]}))
    estate.observe_topology(topo(2, topics={"a": [(1, (1,))]}))
    assert names(estate.of_kind("topic", C)) == ["a"]
    assert estate.leader(C, "b", 0) is None
    estate.observe_topology(topo(3, topics={"a": [(1, (1,))], "b": [(1, (1,))]}))
    assert names(estate.related(ent("broker", "1"), "led-topics")) == ["a", "b"]


def test_a_poll_without_topics_deletes_none(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"a": [(1, (1,))]}))
    estate.observe_topology(topo(2))
    assert estate.has(ent("topic", "a"))


def test_a_transaction_that_is_no_longer_listed_is_forgotten(estate: Estate) -> None:
    estate.observe_topology(topo(1, transactions=(Transaction(id="x", state="Ongoing", partitions=(("t", 0), ("t", 1))),)))
    assert names(estate.related(ent("topic", "t"), "transactions")) == ["x"]
    estate.observe_topology(topo(2))
    assert not estate.has(ent("transaction", "x"))


def test_a_long_transaction_is_known_for_half_an_hour_after_its_end(estate: Estate) -> None:
    x = Transaction(id="x", state="Ongoing", partitions=(("t", 0),))
    minute = 60_000
    for k in range(3):
        estate.observe_topology(topo(1 + k * minute, transactions=(x,)))
    estate.observe_topology(topo(1 + 3 * minute))
    estate.observe_topology(topo(1 + 30 * minute))
    assert names(estate.related(ent("transaction", "x"), "transaction-topics")) == ["t"]
    estate.observe_topology(topo(1 + 34 * minute))
    assert not estate.has(ent("transaction", "x"))


def test_parts_of_a_poll_delete_only_when_all_have_come(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"a": [(1, (1,))], "b": [(1, (1,))], "c": [(1, (1,))]}))
    estate.observe_topology(topo(2, brokers=(), topics={"b": [(1, (1,))]}, part=1, parts=2))
    assert names(estate.of_kind("topic", C)) == ["a", "b", "c"]
    estate = reloaded(estate)
    estate.observe_topology(topo(2, brokers=(1,), topics={"a": [(1, (1,))]}, part=0, parts=2))
    assert names(estate.of_kind("topic", C)) == ["a", "b"]
    assert estate.brokers[C] == {1: "alive", 2: "gone"}
    assert not [k for k, v in estate._rows.changed.items() if "|open|" in k[1] and v is not None]


def test_a_group_has_topics_leaders_coordinator_and_racks(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"t": [(2, (2,))]}))
    members = (Member(member_id="m", rack="r9"), Member(member_id="n"))
    estate.observe_lag(lag(1, {"t": None, "u": 7}, coordinator=1, members=members))
    g = ent("group", "g")
    assert names(estate.related(g, "topics")) == ["t", "u"]
    assert names(estate.related(g, "leaders")) == ["2", "7"]
    assert names(estate.related(g, "coordinator")) == ["1"]
    assert names(estate.related(g, "racks")) == ["r9"]
    assert names(estate.related(ent("topic", "t"), "consumers")) == ["g"]


JAVA_HASH = {"hello": 99162322, "\U0001f600": 1772899, "polygenelubricants": 0, "checkout": 1536904518}
"""What Java's hashCode gives, of its absolute value what Kafka takes; that of the smallest integer is taken for 0."""


def test_the_partition_of_a_groups_offsets_is_the_one_that_kafka_takes() -> None:
    assert {g: offsets_partition(g, 1 << 40) for g in JAVA_HASH} == JAVA_HASH


def test_the_coordinator_that_a_poll_does_not_tell_leads_the_partition_of_its_offsets(estate: Estate) -> None:
    g, other = ent("group", "hello"), ent("group", "told")
    estate.observe_lag(lag(1, {"t": 1}, group="hello"))
    assert estate.related(g, "coordinator") == []
    offsets: dict[str, list[tuple[int | None, tuple[int, ...]]]] = {OFFSETS_TOPIC: [(1, (1, 2)), (2, (2, 1)), (None, (2, 1))]}
    estate.observe_topology(topo(2, topics=offsets))
    estate.observe_lag(lag(3, {"t": 1}, group="hello"))
    estate.observe_lag(lag(3, {"t": 1}, group="told", coordinator=2))
    assert offsets_partition("hello", 3) == 1
    assert (names(estate.related(g, "coordinator")), names(estate.related(other, "coordinator"))) == (["2"], ["2"])
    estate.observe_topology(topo(4, topics={OFFSETS_TOPIC: [(1, (1, 2)), (1, (2, 1)), (None, (2, 1))]}))
    estate.observe_lag(lag(5, {"t": 1}, group="hello"))
    assert "1" in names(estate.related(g, "coordinator"))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_groups_parts_add_up_in_any_order(estate: Estate, order: tuple[int, int]) -> None:
    estate.observe_lag(lag(1, {"old": 1}))
    parts = [lag(2, {"a": 1}, part=0, parts=2), lag(2, {"b": 2}, part=1, parts=2)]
    estate.observe_lag(parts[order[0]])
    assert names(estate.related(ent("group", "g"), "topics")) == ["old"]
    estate.observe_lag(parts[order[1]])
    assert names(estate.related(ent("group", "g"), "topics")) == ["a", "b"]


def test_a_dead_group_is_gone_and_a_late_message_does_not_bring_it_back(estate: Estate) -> None:
    estate.observe_lag(lag(1, {"t": 1}))
    estate.observe_lag(lag(5, {}, state="Dead"))
    estate = reloaded(estate)
    estate.observe_lag(lag(4, {"t": 1}))
    assert not estate.has(ent("group", "g"))
    estate.observe_lag(lag(6, {"t": 1}))
    assert estate.has(ent("group", "g"))


def test_a_failed_poll_changes_nothing(estate: Estate) -> None:
    estate.observe_lag(lag(1, {"t": 1}))
    before = picture(estate)
    estate.observe_lag(ConsumerLag(cluster=C, observed_at_ms=2, group="g", up=False))
    estate.observe_topology(Topology(cluster=C, observed_at_ms=2, up=False))
    assert picture(estate) == before


def test_what_was_observed_before_a_change_does_not_undo_it(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"t": [(1, (1, 2))]}))
    estate.observe_topology(topo(5, topics={"t": [(2, (1, 2))], "new": [(2, (2,))]}))
    estate.observe_topology(topo(3, brokers=(1,), topics={"t": [(1, (1, 2))]}))
    assert estate.leader(C, "t", 0) == 2
    assert names(estate.related(ent("topic", "t"), "topic-leaders")) == ["2"]
    assert estate.has(ent("topic", "new"))
    estate.observe_topology(topo(6, topics={"t": [(1, (1, 2))]}))
    assert estate.leader(C, "t", 0) == 1


def status(at: int, **more: Any) -> ConnectorStatus:
    more.setdefault("state", "RUNNING")
    return ConnectorStatus(cluster=C, observed_at_ms=at, connect="ca", connector="es|1", type="sink", **more)


def test_a_connector_has_system_workers_group_and_topics(estate: Estate) -> None:
    tasks = (Task(id=0, state="RUNNING", worker="w1"), Task(id=1, state="RUNNING", worker="w2"))
    estate.observe_connector(status(1, worker="w1", tasks=tasks, topics=("t",), system="es"))
    c = ent("connector", "ca/es|1")
    assert names(estate.related(c, "worker")) == ["ca/w1", "ca/w2"]
    assert names(estate.related(c, "group")) == ["connect-es|1"]
    assert names(estate.related(c, "connector-topics")) == ["t"]
    assert names(estate.related(ent("system", "es"), "connectors")) == ["ca/es|1"]
    estate.observe_connector(status(2, state="DELETED"))
    assert not estate.has(c)
    assert not estate.has(ent("system", "es"))
    estate.observe_connector(status(1, system="es"))
    assert not estate.has(c)


def test_statements_of_people_hold_whatever_was_observed(estate: Estate) -> None:
    estate.observe_connector(status(100))
    c = ent("connector", "ca/es|1")
    estate.connect_system(c, "warehouse")
    estate.connect(ent("group", "g"), "services", [ent("service", "search")])
    assert names(estate.related(c, "system")) == ["warehouse"]
    assert names(estate.related(ent("service", "search"), "service-groups")) == ["g"]
    estate.connect(ent("group", "g"), "services", [])
    assert not estate.has(ent("service", "search"))


def test_the_platform_is_kafka_unless_a_source_says_otherwise(estate: Estate) -> None:
    assert estate.platform(C) == "kafka"
    estate.observe_metrics(
        BrokerMetrics(cluster=C, observed_at_ms=1, source=Source(kind="broker", id="4", rack="a", platform="automq"))
    )
    assert estate.platform(C) == "automq"
    assert names(estate.related(ent("broker", "4"), "rack")) == ["a"]


def test_any_entity_belongs_to_its_cluster(estate: Estate) -> None:
    estate.observe_topology(topo(1))
    assert estate.related(ent("broker", "1"), "cluster") == [Entity("cluster", C, C)]
    assert ent("broker", "2") in estate.related(Entity("cluster", C, C), "members")


def test_the_same_poll_again_writes_nothing(estate: Estate) -> None:
    m = topo(1, topics={"t": [(1, (1, 2))]})
    estate.observe_topology(m)
    estate.observe_lag(lag(1, {"t": 1}, coordinator=1))
    estate._rows.changed.clear()
    estate.observe_topology(m)
    estate.observe_topology(topo(2, topics={"t": [(1, (1, 2))]}))
    estate.observe_lag(lag(2, {"t": 1}, coordinator=1))
    assert estate._rows.changed == {}


def test_relations_and_inverses_are_a_closed_list() -> None:
    every = [*RELATIONS, *RELATIONS.values()]
    assert len(every) == len(dict.fromkeys(every))


def feed(e: Estate, r: random.Random, at: int) -> None:
    at = max(0, at - r.choice([0, 0, 0, 1, 3]))
    kind = r.randint(0, 4)
    topics = {
        f"t{i}": [(r.choice([1, 2, 3, -1, None]), (1, 2, 3)[: r.randint(1, 3)])] for i in r.sample(range(4), r.randint(0, 3))
    }
    split = r.choice([{}, {}, {"part": 0, "parts": 2}, {"part": 1, "parts": 2}])
    if kind == 0:
        tx = (Transaction(id="x|y", state="Ongoing", partitions=(("t1", 0),)),) * r.randint(0, 1)
        e.observe_topology(
            topo(at, tuple(r.sample([1, 2, 3], r.randint(0, 3))), topics, transactions=tx, up=r.random() > 0.1, **split)
        )
    elif kind == 1:
        e.observe_lag(
            lag(
                at,
                {t: ps[0][0] for t, ps in topics.items()},
                f"g{r.randint(0, 2)}",
                coordinator=r.choice([None, 1, 2]),
                state=r.choice(["Stable", "Stable", "Dead"]),
                **split,
            )
        )
    elif kind == 2:
        e.observe_connector(
            status(
                at,
                state=r.choice(["RUNNING", "RUNNING", "DELETED"]),
                system=r.choice([None, "s1", "s2"]),
                worker=r.choice([None, "w"]),
                topics=tuple(topics),
            )
        )
    elif kind == 3:
        e.connect(
            ent("group", f"g{r.randint(0, 2)}"), "services", [ent("service", s) for s in r.sample(["a", "b"], r.randint(0, 2))]
        )
    else:
        e.forget(ent(r.choice(["topic", "group"]), r.choice(["t1", "g1"])))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), before=st.integers(0, 60), after=st.integers(0, 30))
def test_a_reload_is_exact_now_and_after(seed: int, before: int, after: int) -> None:
    one = Estate(Rows("d"))
    r = random.Random(seed)
    for i in range(before):
        feed(one, r, i)
    two = reloaded(one)
    assert picture(two) == picture(one)
    again = random.Random(seed + 1)
    for i in range(after):
        feed(one, again, before + i)
    again = random.Random(seed + 1)
    for i in range(after):
        feed(two, again, before + i)
    assert picture(two) == picture(one)
    live = {k: v for k, v in one._rows.changed.items() if v is not None}
    assert {k: v for k, v in two._rows.changed.items() if v is not None} == live


MINUTE = 60_000


def gone(i: int) -> BrokerInfo:
    return BrokerInfo(id=i, state="fenced")


@pytest.mark.parametrize("readers_first", [True, False])
def test_a_broker_that_goes_keeps_what_it_led_and_coordinated(estate: Estate, readers_first: bool) -> None:
    one, group = ent("broker", "1"), ent("group", "g")
    estate.observe_topology(topo(1, topics={"t": [(1, (1, 2))]}))
    estate.observe_lag(lag(2, {"t": 1}, coordinator=1))
    if readers_first:
        estate.observe_lag(lag(2 + MINUTE, {"t": 2}, coordinator=2))
    estate.observe_topology(topo(3 + MINUTE, brokers=(gone(1), 2), topics={"t": [(2, (1, 2))]}))
    if not readers_first:
        estate.observe_lag(lag(4 + MINUTE, {"t": 2}, coordinator=2))
    for e in (estate, reloaded(estate)):
        assert names(e.related(one, "led-groups")) == names(e.related(one, "coordinated")) == ["g"]
        assert names(e.related(one, "led-topics")) == ["t"]
        assert names(e.related(group, "leaders")) == ["1", "2"]
        assert names(e.related(ent("broker", "2"), "led-groups")) == ["g"]
        assert e.leader(C, "t", 0) == 2


@pytest.mark.parametrize(("goes", "after"), [(True, ["g"]), (False, [])])
def test_what_left_a_broker_since_it_was_told_last_hangs_on_it_until_it_is_told(
    estate: Estate, goes: bool, after: list[str]
) -> None:
    """Who reads from it is polled sooner than it is told gone; it may as well be there still, and have given it up."""
    one = ent("broker", "1")
    estate.observe_topology(topo(1, topics={"t": [(1, (1, 2))]}))
    estate.observe_lag(lag(2, {"t": 1}, coordinator=1))
    estate.observe_lag(lag(2 + MINUTE, {"t": 2}, coordinator=2))
    for e in (estate, reloaded(estate)):
        assert names(e.related(one, "led-groups")) == names(e.related(one, "coordinated")) == ["g"]
        e.observe_topology(topo(3 + MINUTE, brokers=(gone(1) if goes else 1, 2), topics={"t": [(2, (1, 2))]}))
        assert names(e.related(one, "led-groups")) == names(e.related(one, "coordinated")) == after


def test_where_nobody_tells_how_brokers_are_what_left_one_has_left_it(estate: Estate) -> None:
    estate.observe_lag(lag(2, {"t": 1}, coordinator=1))
    estate.observe_lag(lag(3, {"t": 2}, coordinator=2))
    assert names(estate.related(ent("broker", "1"), "led-groups")) == []


def test_what_moved_long_before_a_broker_went_is_not_its_own(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"t": [(1, (1, 2))]}))
    estate.observe_topology(topo(2, topics={"t": [(2, (1, 2))]}))
    for k in range(1, 6):
        estate.observe_topology(topo(2 + k * MINUTE, topics={"t": [(2, (1, 2))]}))
    estate.observe_topology(topo(2 + 6 * MINUTE, brokers=(gone(1), 2), topics={"t": [(2, (1, 2))]}))
    assert names(estate.related(ent("broker", "1"), "led-topics")) == []


def test_a_broker_that_is_back_keeps_them_for_a_quarter_of_an_hour(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"t": [(1, (1, 2))]}))
    estate.observe_topology(topo(1 + MINUTE, brokers=(gone(1), 2), topics={"t": [(2, (1, 2))]}))
    found = []
    for k in range(2, 20):
        estate.observe_topology(topo(1 + k * MINUTE, topics={"t": [(2, (1, 2))]}))
        found.append(names(estate.related(ent("broker", "1"), "led-topics")))
    assert found == [["t"]] * 16 + [[]] * 2
    assert not any("former" in key or "went" in key for (_, key), v in estate._rows.changed.items() if v is not None)


def test_a_deleted_group_is_nobodys_former_reader(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"t": [(1, (1, 2))]}))
    estate.observe_lag(lag(2, {"t": 1}))
    estate.observe_topology(topo(3, brokers=(gone(1), 2), topics={"t": [(2, (1, 2))]}))
    estate.observe_lag(lag(4, {"t": 2}))
    estate.observe_lag(lag(5, {}, state="Dead"))
    assert names(estate.related(ent("broker", "1"), "led-groups")) == []


def test_who_led_a_partition_when_its_broker_went_is_known_until_it_is_long_back(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"t": [(1, (1, 2)), (2, (1, 2))]}))
    estate.observe_topology(topo(1 + MINUTE, brokers=(gone(1), 2), topics={"t": [(2, (1, 2)), (2, (1, 2))]}))
    assert estate.partitions.former(C, "t") == {0: 1}
    assert reloaded(estate).partitions.former(C, "t") == {0: 1}
    found = []
    for k in range(2, 20):
        estate.observe_topology(topo(1 + k * MINUTE, topics={"t": [(2, (1, 2)), (2, (1, 2))]}))
        found.append(estate.partitions.former(C, "t"))
    assert found == [{0: 1}] * 16 + [{}] * 2
    estate.observe_topology(topo(1 + 20 * MINUTE, topics={"other": [(2, (1, 2))]}))
    assert not any(v is not None and ("moved" in key or "hosts|c|1|t" in key) for (_, key), v in estate._rows.changed.items())


def test_leaders_that_were_moved_are_nobodys_former_ones(estate: Estate) -> None:
    estate.observe_topology(topo(1, topics={"t": [(1, (1, 2))]}))
    estate.observe_topology(topo(1 + MINUTE, topics={"t": [(2, (1, 2))]}))
    assert estate.partitions.former(C, "t") == {}


def test_replicas_of_each_partition_are_known_and_older_word_does_not_change_them(estate: Estate) -> None:
    estate.observe_topology(topo(10, topics={"t": [(1, (1, 2)), (2, (2, 3))]}))
    estate.observe_topology(topo(5, topics={"t": [(1, (1, 3)), (2, (2, 3))]}))
    assert estate.partitions.replicas(C, "t") == ((1, 2), (2, 3))
    assert reloaded(estate).partitions.replicas(C, "t") == ((1, 2), (2, 3))
    assert estate.partitions.replicas(C, "other") == ()
