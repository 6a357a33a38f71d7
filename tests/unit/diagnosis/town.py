"""A town to diagnose: a small shared estate in which everything is observed and well, until a test says otherwise."""

from __future__ import annotations

from typing import Any

from kroute.contracts.common import Entity
from kroute.diagnosis.model import Hypothesis
from kroute.signals.table import KINDS
from tests.unit.diagnosis.world import C, World, entity

BROKERS = range(1, 7)
RACKS = {"a": (1, 2), "b": (3, 4), "c": (5, 6)}
TEN_MINUTES = 600_000
SOURCES = ("topology", "consumer-lag", "connector-status/c", *(f"broker-metrics/broker/{b}" for b in BROKERS))


class Town(World):
    """Six brokers in three racks, topics ``t1``–``t6`` each led by two of them, twelve groups (two per topic), five
    sinks of two systems on two workers, a source connector for ``t6``, three principals, a transaction and a link.
    """

    def __init__(self, platform: str = "kafka") -> None:
        super().__init__(platform=platform)
        for rack, brokers in RACKS.items():
            for b in brokers:
                self.link(f"broker/{b}", "rack", f"rack/{rack}")
        for t in BROKERS:
            self.link(f"topic/t{t}", "topic-leaders", f"broker/{t}", f"broker/{t % 6 + 1}")
        for i in range(1, 13):
            t = (i - 1) % 6 + 1
            self.group(f"g{i}", f"t{t}", leaders=(t, t % 6 + 1), coordinator=(i * 5) % 6 + 1)
            self.link(f"group/g{i}", "racks", f"rack/{'abc'[i % 3]}")
            self.link(f"group/g{i}", "services", f"service/svc{i}")
        for i in range(1, 6):
            self.sink(f"s{i}", "warehouse" if i < 5 else "lake", "w1" if i % 2 else "w2")
            self.group(f"connect-s{i}", f"t{i}", leaders=(i, i % 6 + 1), coordinator=i % 6 + 1)
            self.link(f"connector/c/s{i}", "connector-topics", f"topic/t{i}")
        self.link("connector/c/crm", "system", "system/crm")
        self.link("connector/c/crm", "worker", "connect-worker/c/w2")
        self.link("connector/c/crm", "connector-topics", "topic/t6")
        for i in (1, 2, 3):
            self.link(f"principal/p{i}", "principal-topics", f"topic/t{i}")
            self.link(f"principal/p{i}", "principal-groups", f"group/g{i}")
        self.link("transaction/tx", "transaction-topics", "topic/t2")
        self.link("link/mirror", "link-clusters", "cluster/prod")
        for kind, reporter in sorted({(k.entity, k.reporter) for k in KINDS}):
            for e in [entity(f"source/{s}") for s in SOURCES] if kind == "source" else self.estate.of_kind(kind, C):
                self.well(str(e), reporter)
        self.well("cluster/prod", "metrics")
        self.well("cluster/prod", "topology")

    def ill(self, what: str, *kinds: str, ago: int = TEN_MINUTES, detail: dict[str, Any] | None = None) -> None:
        """These symptoms have been there for ten minutes: everything that follows from a cause is due."""
        self.see(what, *kinds, since=self.now - ago, detail=detail)

    def all_ill(self, kind: str, *kinds: str, of: Any = None) -> None:
        """Every entity of a kind (or those named) shows the symptoms."""
        for e in self.estate.of_kind(kind, C):
            if of is None or e.name in of:
                self.ill(str(e), *kinds)

    def found(self) -> dict[tuple[str, str], Hypothesis]:
        """Hypotheses by cause and root."""
        return {(h.cause, str(h.root)): h for h in self.diagnose()}


def near(town: Town, what: str, relation: str) -> list[str]:
    """Names of related entities."""
    e: Entity = entity(what)
    return [o.name for o in town.estate.related(e, relation)]
