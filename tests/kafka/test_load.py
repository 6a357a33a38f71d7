"""Ten times the planned rate, and a source that floods: the short form of ``tests/bench/bench_load.py``."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
import pytest

from tests.kafka.load import Estate, Load, Watch, begin, delivered, largest, opened, reference, until
from tests.kafka.worker import installation

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
INTERVAL_S = 3.0
"""A tenth of the 30 s that are planned."""


def test_ten_times_the_planned_rate_and_a_flood_lose_no_alert_and_cost_nobody_else(bootstrap: str, tmp_path: Path) -> None:
    estate = Estate(clusters=3, groups=20, partitions=20)
    with installation(bootstrap, tmp_path) as kroute:
        worker = begin(kroute, estate, KROUTE_SOURCE_BUDGET_KB="256")
        load, watch = Load(kroute, estate, INTERVAL_S), Watch(worker)
        load.start()
        watch.start()
        try:
            time.sleep(9)
            load.flood = 300  # some 1.5 MB a second of one source: its budget of a minute is gone in ten
            now = int(time.time() * 1000)
            estate.slow.update({("c0", "g0"): now, ("c1", "g15"): now})
            assert until(lambda: watch.now.urgent > 0, 60), "ingest is not told what is urgent"
            assert until(lambda: opened(delivered(kroute), "telemetry-flood") != {}, 60), worker.text()
            wanted = {("c0", "g0"), ("c1", "g15")}
            assert until(lambda: opened(delivered(kroute), "slow-consumer").keys() >= wanted, 60), worker.text()
        finally:
            load.done.set()
            load.join(60)
        topic = f'{{topic="{kroute.settings.names.full("consumer-lag")}"}}'

        def taken() -> float:
            return sum(worker.metric(f"kroute_ingest_{n}_total").get(topic, 0) for n in ("records", "left_out"))

        assert until(lambda: taken() >= load.sent + load.flooded, 60), taken()
        assert until(lambda: watch.now.lag_s < 5 and watch.now.ingest_lag_s < 5, 30), watch.moments[-3:]
        watch.done.set()
        watch.join(10)
        text = worker.get("/metrics")[1]
        assert worker.stop() == 0
        live = delivered(kroute)
        assert live == reference(kroute), "what came out is what the facts give"
        assert set(opened(live, "telemetry-flood")) == {("mad", "consumer-lag")}
        (first,) = [
            a for a in map(orjson.loads, live.values()) if a["type"] == "opened" and a["cause"]["id"] == "telemetry-flood"
        ]
        assert "consumer-lag floods kroute" in first["summary"]
        left_out = largest(text, "kroute_ingest_left_out_total")
        assert 0 < left_out < load.flooded, "of the flood"
        polls = [f for es in kroute.facts().values() for e in es for f in e.facts if f.topic == "consumer-lag"]
        assert sum(f.d != "mad" for f in polls) == load.sent, "and of nobody else"
        memory = [m.rss_mb for m in watch.moments]
        assert max(memory) < 400
