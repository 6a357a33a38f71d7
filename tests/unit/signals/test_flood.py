"""Sources over their budget, rule S2: what ingest tells becomes an incident that names the source, and ends."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from kroute.contracts.alerts import Alert
from kroute.contracts.facts import Envelope, Flood
from kroute.diagnosis.load import shipped
from kroute.engine import Engine, PartitionState
from kroute.stream.forward import flood, progress

T0 = 1_800_000_000_000
CLUSTER = "prod"


def told(over: bool, since: int, source: str = "consumer-lag") -> Flood:
    return Flood(
        cluster=CLUSTER,
        source=source,
        over=over,
        since_ms=since,
        left_out=500,
        bytes_s=9_000_000,
        records_s=900.0,
        budget=2_097_152,
    )


class Run:
    """One partition fed by the second: progress, a poll each 30 s, and what ingest tells of floods."""

    def __init__(self) -> None:
        self.engine = Engine(shipped())
        self.state: PartitionState = self.engine.new_state(0)
        self.rows: dict[tuple[str, str], bytes] = {}
        self.offset = 0
        self.now = T0
        self.alerts: list[dict[str, Any]] = []

    def second(self, *facts: bytes) -> None:
        self.now += 1000
        items = list(facts)
        if self.now % 30_000 == 0:
            value = {
                "cluster": CLUSTER,
                "observed_at_ms": self.now,
                "interval_ms": 30_000,
                "group": "g",
                "state": "Stable",
                "partitions": [],
            }
            items.append(
                orjson.dumps(
                    {"topic": "consumer-lag", "src": "l", "p": 0, "o": self.now, "ts": self.now, "d": CLUSTER, "val": value}
                )
            )
        items.append(progress("l", 0, 0, self.now, 1))
        effects = self.state.step(self.offset, msgspec.json.decode(b'{"facts":[' + b",".join(items) + b"]}", type=Envelope))
        self.offset += 1
        for where, row in effects.rows.items():
            if row is None:
                self.rows.pop(where, None)
            else:
                self.rows[where] = row
        self.alerts += [orjson.loads(a.value) for a in effects.alerts if not is_heartbeat(a)]

    def seconds(self, n: int, *, floods: bool = False) -> None:
        since = self.now
        for i in range(n):
            self.second(*([flood(CLUSTER, told(True, since), self.now)] if floods and i % 10 == 0 else []))

    def restart(self) -> None:
        self.state = self.engine.new_state(0)
        for (table, key), row in self.rows.items():
            self.state.load(table, key, row)
        self.state.loaded()


def is_heartbeat(alert: Alert) -> bool:
    return alert.key.startswith("heartbeat/")


def test_a_flood_becomes_one_incident_that_names_the_source_and_resolves_when_it_is_over() -> None:
    run = Run()
    run.seconds(120)
    run.seconds(180, floods=True)
    (opened,) = [a for a in run.alerts if a["type"] == "opened"]
    assert opened["cause"]["id"] == "telemetry-flood"
    assert (opened["cause"]["root"]["kind"], opened["cause"]["root"]["name"]) == ("source", "consumer-lag")
    assert "consumer-lag floods kroute" in opened["summary"]
    assert "900 records" in opened["symptoms"][0]["why"]
    run.restart()
    run.second(flood(CLUSTER, told(False, run.now), run.now))
    run.seconds(900)
    assert [a["type"] for a in run.alerts if a["type"] in ("opened", "resolved")] == ["opened", "resolved"]
    run.seconds(3700)
    assert not [key for _, key in run.rows if "flood|" in key], "and it is forgotten"


def test_a_flood_of_which_nothing_is_told_any_more_is_over() -> None:
    run = Run()
    run.seconds(120)
    run.seconds(120, floods=True)
    run.seconds(900)
    assert [a["type"] for a in run.alerts if a["type"] in ("opened", "resolved")] == ["opened", "resolved"]


def test_what_ingest_tells_of_a_cluster_that_was_never_heard_or_cannot_be_read_is_left_alone() -> None:
    run = Run()
    run.seconds(60)
    run.second(flood("elsewhere", told(True, T0), T0))
    run.second(b'{"topic":"flood","src":"flood","p":0,"o":0,"ts":1,"d":"prod","val":{"v":2}}')
    run.seconds(120)
    assert run.alerts == []
    assert run.state.refused == 1


def test_a_state_reloaded_in_mid_flood_says_what_one_that_went_on_says() -> None:
    one, other = Run(), Run()
    for run in (one, other):
        run.seconds(120)
        run.seconds(60, floods=True)
    other.restart()
    for run in (one, other):
        run.seconds(120, floods=True)
        run.seconds(900)
    assert one.alerts == other.alerts
    floods = [{k: v for k, v in run.rows.items() if "|flood|" in k[1] or "|source|" in k[1]} for run in (one, other)]
    assert floods[0]
    assert floods[0] == floods[1]
