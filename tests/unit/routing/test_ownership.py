"""The most specific row wins; rows answer the first stage's questions and state relations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kroute.contracts.common import Entity
from kroute.contracts.inputs import ConnectorStatus, PartitionInfo, TopicInfo, Topology
from kroute.contracts.rows import Ownership, Slo
from kroute.routing.knowledge import DomainKnowledge
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.patterns import pattern, split_key
from kroute.signals.estate import Estate
from kroute.signals.model import Rows
from tests.unit.effort import calls


def index(*keys: str, **fields: object) -> OwnershipIndex:
    ix = OwnershipIndex(Rows())
    for k in keys:
        put(ix, k, **fields)
    return ix


def put(ix: OwnershipIndex, key: str, **fields: object) -> None:
    kind, cluster, name = key.split("/", 2)
    row = Ownership(kind=kind, cluster=cluster, name=name, **{"owner": f"of {key}", **fields})  # type: ignore[arg-type]
    ix.put(key, b"{}", row)


@pytest.mark.parametrize(
    ("keys", "name", "winner"),
    [
        (["topic/c/pay", "topic/c/pay*"], "pay", "topic/c/pay"),
        (["topic/*/pay", "topic/c/pa*"], "pay", "topic/*/pay"),  # a literal name beats a literal cluster
        (["topic/c/p*", "topic/*/pay*"], "pay.eu", "topic/*/pay*"),  # so does a longer prefix
        (["topic/*/pay*", "topic/c/pay*"], "pay.eu", "topic/c/pay*"),
        (["topic/d*/pay", "topic/c*/pay", "topic/*/pay"], "pay", "topic/*/pay"),  # key order is last
        (["topic/c/*"], "anything/with/slashes", "topic/c/*"),
        (["topic/c/a\\*", "topic/c/*"], "a*", "topic/c/a\\*"),
        (["topic/c/a\\*"], "ab", None),
        (["topic/c/a*b"], "axb", None),  # a star inside is itself
        (["topic/c/a*b"], "a*b", "topic/c/a*b"),
        (["group/c/pay"], "pay", None),
        (["topic/other/pay"], "pay", None),
        (["topic/c/pay/1"], "pay/1", "topic/c/pay/1"),
    ],
)
def test_the_most_specific_row_wins(keys: list[str], name: str, winner: str | None) -> None:
    for order in (keys, keys[::-1]):
        m = index(*order).resolve("topic", "c", name)
        assert (m.key if m else None) == winner
        assert m is None or m.via == winner


def test_a_match_tells_how_wide_its_pattern_is() -> None:
    ix = index("topic/c/pay", "topic/c/pay.*", "topic/*/log")
    found = [ix.resolve("topic", "c", n) for n in ("pay", "pay.eu", "log")]
    assert [(m.exact, m.width) for m in found if m is not None] == [(True, None), (False, 4), (False, None)]


WORD = st.text("ab*\\/", min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WORD.filter(lambda w: "/" not in w), WORD), max_size=12), WORD, st.data())
def test_the_index_finds_what_a_scan_of_all_rows_finds(rows: list[tuple[str, str]], name: str, data: st.DataObject) -> None:
    keys = list(dict.fromkeys(f"topic/{c}/{n}" for c, n in rows))
    ix = index(*keys)
    for gone in data.draw(st.lists(st.sampled_from(keys), unique=True)) if keys else []:
        ix.put(gone, None, None)
        keys.remove(gone)
    fits = []
    for k in keys:
        _, c, n = split_key(k) or ("", "", "")
        cp, np = pattern(c), pattern(n)
        if cp.matches("a") and np.matches(name):
            fits.append((np.prefix, -len(np.text) if np.prefix else 0, cp.prefix, k))
    m = ix.resolve("topic", "a", name)
    assert (m.key if m else None) == (min(fits)[3] if fits else None)


def test_rows_loaded_again_answer_the_same() -> None:
    rows = Rows("")
    ix = OwnershipIndex(rows)
    ix.put(
        "topic/c/pay*",
        b'{"kind":"topic","cluster":"c","name":"pay*","owner":"t"}',
        Ownership(kind="topic", cluster="c", name="pay*", owner="t"),
    )
    put(ix, "topic/c/gone")
    ix.put("topic/c/gone", None, None)
    again = OwnershipIndex(Rows(""))
    for (table, key), value in rows.changed.items():
        assert table == "ownership"
        if value is not None:
            again.load(key.partition("|")[2], value)
    assert len(again) == 1
    assert again.resolve("topic", "c", "pay.x") == ix.resolve("topic", "c", "pay.x")


def test_a_row_among_a_hundred_thousand_is_found_as_soon_as_one_among_a_thousand() -> None:
    def effort(rows: int) -> float:
        ix = index(*(f"group/{'prod' if i % 2 else '*'}/team{i % 997}.app{i}{'*' if i % 3 else ''}" for i in range(rows)))
        names = [f"team{i % 997}.app{i}" for i in range(0, rows, 37)]
        return calls(lambda: [ix.resolve("group", "prod", n) for n in names]) / len(names)

    assert effort(100_000) < 1.5 * effort(1000)


def test_the_objective_is_of_the_group_else_its_service_else_the_topic() -> None:
    ix = index()
    assert ix.objective_s("c", "g", "t") is None
    put(ix, "topic/c/t", slo=Slo(freshness_s=3, data_age_s=9))
    assert ix.objective_s("c", "g", "t") == 3
    put(ix, "group/c/g", service="s")
    put(ix, "service/c/s", slo=Slo(freshness_s=2, data_age_s=8))
    assert ix.objective_s("c", "g", "t") == 2
    put(ix, "group/c/g", service="s", slo=Slo(freshness_s=1))
    assert ix.objective_s("c", "g", "t") == 1
    assert ix.data_age_objective_s("c", "t") == 9
    put(ix, "topic/c/t", service="s")
    assert ix.data_age_objective_s("c", "t") == 8


def test_a_sinks_group_finds_its_objective_by_the_connectors_row() -> None:
    ix, estate = index(), Estate(Rows())
    put(ix, "connector/c/k/es", service="search")
    put(ix, "service/c/search", slo=Slo(freshness_s=300))
    estate.observe_connector(
        ConnectorStatus(cluster="c", observed_at_ms=1, connect="k", connector="es", type="sink", state="RUNNING")
    )
    assert ix.objective_s("c", "connect-es", None) is None
    assert DomainKnowledge(ix, estate).objective_s("c", "connect-es", None) == 300
    assert ix.estate_edges(Entity("group", "c", "connect-es"), estate) == [("services", [Entity("service", "c", "search")])]
    assert ix.downstream_services([Entity("group", "c", "connect-es"), Entity("group", "c", "x")], estate) == (
        ["search"], [Entity("group", "c", "x")])  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [(3600, 3600.0), ("1h", 3600.0), ("5m", 300.0), ({"period_s": 60}, 60.0), ({"every": "1d"}, 86_400.0), ("hourly", None), (-1, None),
     (True, None), ({}, None), ("", None), ("infs", None), ("nand", None)],
)  # fmt: skip
def test_a_schedule_is_a_period(schedule: object, seconds: float | None) -> None:
    ix = index()
    put(ix, "group/c/g", schedule=schedule)
    assert ix.schedule_period_s("c", "g") == seconds


def test_rows_state_relations_and_a_changed_row_names_the_entities_it_concerns() -> None:
    ix, estate = index(), Estate(Rows())
    topics = tuple(TopicInfo(name=n, partitions=(PartitionInfo(id=0, leader=1),)) for n in ("pay.a", "pay.b", "log"))
    estate.observe_topology(Topology(cluster="c", observed_at_ms=1, topics=topics))
    put(ix, "principal/c/User:x", topics=("pay.*",), groups=("g",))
    x = Entity("principal", "c", "User:x")
    assert ix.estate_edges(x, estate) == [
        ("principal-topics", [Entity("topic", "c", "pay.a"), Entity("topic", "c", "pay.b")]),
        ("principal-groups", [Entity("group", "c", "g")]),
    ]
    put(ix, "link/*/l", source_cluster="a", target_cluster="b")
    assert ix.estate_edges(Entity("link", "b", "l"), estate) == [
        ("link-clusters", [Entity("cluster", "a", "a"), Entity("cluster", "b", "b")])
    ]
    assert ix.concerned("principal/*/User:x", ix.get("principal/*/User:x"), estate, ["d", "c"]) == [
        x,
        Entity("principal", "d", "User:x"),
    ]
    ix.put("principal/c/User:x", None, None)
    assert ix.estate_edges(x, estate) == [("principal-topics", []), ("principal-groups", [])]
