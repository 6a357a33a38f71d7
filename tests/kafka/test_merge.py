"""Two incidents that turn out to be one, on a real broker: the other is merged, and closes what it had opened."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kroute.local.choose import Chosen
from tests.kafka.feeder import Feeder, worker_alone
from tests.kafka.helpers import wait_for
from tests.kafka.stack import CLUSTER, Stack, open_deliveries, root_of
from tests.kafka.test_scenarios import row, team

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
LEADERS = {"g1": 2, "g2": 2, "g3": 1, "g4": 3}


class BrokerFeeder(Feeder):
    """Four groups, each on a topic of its own, and the scrape of broker 2 from the moment that it is heard."""

    local_ms: float | None = None

    def partition(self, group: str) -> dict[str, Any]:
        return {"topic": f"t-{group}", "partition": 0, "leader": LEADERS[group]}

    def scrapes(self) -> Iterable[tuple[str, dict[str, Any]]]:
        if self.local_ms is None:
            return
        samples = [
            {"signal": s, "value": self.local_ms, "labels": {"request": "Produce", "quantile": "0.99"}}
            for s in ("request_local_ms", "request_total_ms", "request_queue_ms")
        ]
        yield "2", {"source": {"kind": "broker", "id": "2"}, "samples": samples}


@pytest.fixture
def stack(kafka: Chosen, tmp_path: Path) -> Iterator[Stack]:
    """A worker alone; what it hears is fed."""
    rows = [
        *(team(t) for t in ("team-a", "team-b", "team-platform")),
        row("cluster", CLUSTER, owner="team-platform"),
        *(row("group", g, service=f"s-{g}") for g in LEADERS),
        row("service", "s-g1", owner="team-a", slo={"freshness_s": 600}, customer_function="people wait"),
        row("service", "s-g2", owner="team-b", slo={"freshness_s": 600}, customer_function="people wait"),
    ]
    with worker_alone(kafka, tmp_path, rows) as s:
        yield s


def test_a_merged_incident_closes_what_it_had_opened(stack: Stack) -> None:
    with BrokerFeeder(stack, LEADERS) as feeder:
        stack.wait_for_heartbeat()
        time.sleep(15)  # paces have to be learnt before anything is slow
        feeder.slow.update(g1=True, g2=True)
        stack.expect("opened", "slow-consumer", "group/g1", 90)
        stack.expect("opened", "slow-consumer", "group/g2", 90)
        feeder.local_ms = 900.0
        stack.expect("revised", "broker-storage-pressure", "broker/2", 90)
        merged = wait_for(lambda: [a for a in list(stack.alerts) if a.get("status") == "superseded"], 60, "a merge")
        feeder.slow.update(g1=False, g2=False)
        feeder.local_ms = 2.0
        stack.expect("resolved", "broker-storage-pressure", "broker/2", 120)
    incidents = stack.incidents()
    assert len(incidents) == 2
    (gone,) = {a["incident"] for a in merged or ()}
    (kept,) = set(incidents) - {gone}
    assert incidents[gone][-1]["superseded_by"] == kept
    assert root_of(incidents[kept][-1]) == "broker/2"
    assert any(gone in a["supersedes"] for a in incidents[kept])
    for alerts in incidents.values():
        assert [a["revision"] for a in alerts] == list(range(1, len(alerts) + 1))
        assert open_deliveries(alerts) == {}, "a subscriber that knows only delivery and do has nothing open"
