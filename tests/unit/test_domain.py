"""A domain knows what rows state of its relations, whichever came first: the row or the signal."""

from __future__ import annotations

import msgspec
import pytest

from kroute.contracts.common import Entity
from kroute.contracts.inputs import (
    BrokerInfo,
    BrokerMetrics,
    ConsumerLag,
    LogDir,
    PartitionInfo,
    PartitionLag,
    Sample,
    Source,
    TopicInfo,
    Topology,
)
from kroute.contracts.rows import Ownership
from kroute.diagnosis.load import shipped
from kroute.domain import Domain
from kroute.routing.controls import Controls
from kroute.routing.ownership import OwnershipIndex
from kroute.routing.policy import PolicyBook
from kroute.signals.changes import Changes
from kroute.signals.model import Rows, Src

C = "prod"
SRC = Src("kroute.x", 0, 0, 0)


class Town:
    """One domain and the rows it looks at."""

    def __init__(self) -> None:
        rows = Rows("d")
        self.ownership = OwnershipIndex(rows)
        self.domain = Domain(
            "d", rows, shipped(), self.ownership, PolicyBook(rows), Controls(rows), Changes(rows)
        )  # fmt: skip

    def state(self, **fields: object) -> None:
        row = msgspec.convert({"cluster": C, **fields}, Ownership)
        key = f"{row.kind}/{row.cluster}/{row.name}"
        self.ownership.put(key, msgspec.json.encode(row), row)
        self.domain.ownership_changed(key, row)

    def hear(self, *topics: str, group: str = "g", at: int = 1000) -> None:
        if C not in self.domain.clusters:
            self.domain.clusters.append(C)
            self.domain.meet(C)
        infos = tuple(TopicInfo(name=t, partitions=(PartitionInfo(id=0, leader=1, replicas=(1,), isr=(1,)),)) for t in topics)
        self.domain.observe("topology", SRC, Topology(cluster=C, observed_at_ms=at, topics=infos), at)
        parts = tuple(PartitionLag(t, 0, 10, 10) for t in topics)
        self.domain.observe(
            "consumer-lag", SRC, ConsumerLag(cluster=C, observed_at_ms=at, group=group, state="Empty", partitions=parts), at
        )

    def related(self, entity: Entity, relation: str) -> list[str]:
        return [e.name for e in self.domain.estate.related(entity, relation)]


PAY = Entity("principal", C, "svc-pay")


@pytest.mark.parametrize("rows_first", [True, False])
def test_principals_and_links_are_connected(rows_first: bool) -> None:
    t = Town()
    if not rows_first:
        t.hear("pay.orders")
    t.state(kind="principal", name="svc-pay", topics=["pay.orders"], groups=["g"])
    t.state(kind="link", name="move", source_cluster="old", target_cluster=C)
    if rows_first:
        t.hear("pay.orders")
    assert t.related(PAY, "principal-topics") == ["pay.orders"]
    assert t.related(PAY, "principal-groups") == ["g"]
    assert t.related(Entity("link", C, "move"), "link-clusters") == ["old", "prod"]


def test_a_pattern_of_a_row_means_topics_and_groups_that_come_later() -> None:
    t = Town()
    t.state(kind="principal", name="svc-pay", topics=["pay.*"], groups=["pay-*"])
    t.hear("pay.orders", "clicks", group="pay-1")
    t.hear("pay.orders", "pay.refunds", "clicks", group="pay-2", at=2000)
    assert t.related(PAY, "principal-topics") == ["pay.orders", "pay.refunds"]
    assert t.related(PAY, "principal-groups") == ["pay-1", "pay-2"]


def test_a_domain_knows_how_full_disks_are_by_the_log_directories_that_topology_lists() -> None:
    t = Town()
    for n in range(1, 8):
        dirs = (LogDir(path="/d", total_bytes=100, usable_bytes=60 if n < 4 else 1),)
        told = Topology(cluster=C, observed_at_ms=n * 30_000, interval_ms=30_000, brokers=(BrokerInfo(id=1, log_dirs=dirs),))
        t.domain.observe("topology", SRC, told, n * 30_000)
    assert (Entity("broker", C, "1"), "disk-full") in t.domain.board.active


def test_a_domain_without_topology_believes_the_gauges_of_its_brokers() -> None:
    t = Town()
    for n in range(1, 8):
        m = BrokerMetrics(
            cluster=C, observed_at_ms=n * 30_000, interval_ms=30_000, source=Source(kind="broker", id="1"),
            samples=(Sample("offline_partitions", 2.0),),
        )  # fmt: skip
        t.domain.observe("broker-metrics", SRC, m, n * 30_000)
    assert (Entity("cluster", C, C), "offline-partitions") in t.domain.board.active
