"""Workers join and leave while incidents open: together they say what one alone would have said of the same facts."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from kroute.local.choose import Chosen
from kroute.stream.placement import first_choice
from tests.kafka.crashes import Estate, program
from tests.kafka.feeder import Feeder, worker_alone
from tests.kafka.helpers import wait_for
from tests.kafka.stack import CLUSTER, Stack, open_deliveries, root_of
from tests.kafka.test_kill import first_of_each, kroute
from tests.kafka.test_scenarios import row, team

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
OTHER = next(f"other-{n}" for n in range(100) if first_choice(f"other-{n}", 2) != first_choice(CLUSTER, 2))
"""A cluster whose domain lives in the other partition of facts: there is work for two."""
CLUSTERS = (CLUSTER, OTHER)
GROUPS = ("g1", "g2")


@pytest.fixture
def stack(kafka: Chosen, tmp_path: Path) -> Iterator[Stack]:
    slo = {"freshness_s": 600}
    rows = [
        *(team(t) for t in ("team-a", "team-platform")),
        *(row("cluster", c, c, owner="team-platform") for c in CLUSTERS),
        *(row("group", g, c, service=f"s-{g}") for c in CLUSTERS for g in GROUPS),
        *(
            row("service", f"s-{g}", c, owner="team-a", slo=slo, customer_function="people wait")
            for c in CLUSTERS for g in GROUPS
        ),
    ]  # fmt: skip
    with worker_alone(kafka, tmp_path, rows) as s:
        yield s


def leaves(stack: Stack, name: str) -> None:
    """A worker is stopped as a service manager does it, and ends by itself."""
    process = stack.processes.pop(name)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, stack.log(name)


def told_in_both(stack: Stack, kind: str, group: str) -> None:
    def found() -> bool:
        said = {a["cluster"] for a in list(stack.alerts) if a["type"] == kind and root_of(a) == f"group/{group}"}
        return said == set(CLUSTERS)

    wait_for(found, 180, f"{kind} at {group} in both clusters")


SLOW_SEEK = """
import asyncio, pathlib
from aiokafka import AIOKafkaConsumer
from kroute.stream import app
app.TICK_S = 3600.0  # nothing else is written: a fetch waits for a second
seek = AIOKafkaConsumer.seek_to_committed
async def slowly(self, *partitions):
    sought = await seek(self, *partitions)
    with pathlib.Path({path!r}).open("a") as told:
        told.write("sought ")
    await asyncio.sleep(0.7)
    return sought
AIOKafkaConsumer.seek_to_committed = slowly
"""
"""A worker that takes its time between the seek and the release of its inputs, as on a busy machine, and says when that is."""


def test_what_comes_between_the_seek_and_the_release_is_read(bootstrap: str, tmp_path: Path) -> None:
    """A fetch of before the rebalance takes nothing that comes after it. In Faust it goes on for up to a second."""
    estate, sought = Estate(bootstrap, tmp_path), tmp_path / "sought"
    sought.touch()
    try:
        estate.prepare()
        worker = estate.run(program(first=SLOW_SEEK.format(path=str(sought))), "w1").wait_ready()
        for n in range(4):
            times = len(sought.read_bytes())
            estate.evict(worker)  # it joins again at its next heartbeat
            wait_for(lambda: len(sought.read_bytes()) > times, 60, "a rebalance")  # noqa: B023  (called before it changes)
            rows = [{"kind": "topic", "cluster": "c1", "name": f"t{p}", "owner": f"team-{n}"} for p in range(8)]
            estate.produce("ownership", [(f"topic/c1/{r['name']}".encode(), orjson.dumps(r)) for r in rows])
            worker.wait_ready()
        produced = {(m.partition(), m.offset()) for m in estate.read(estate.settings.names.full("ownership"))}

        def forwarded() -> bool:
            facts = (f for es in estate.facts().values() for e in es for f in e.facts)
            return produced == {(f.p, f.o) for f in facts if f.topic == "ownership"}

        wait_for(forwarded, 20, "all that was produced to be in the facts")
    finally:
        estate.close()


def test_workers_that_come_and_go_say_what_one_alone_would_have_said(stack: Stack, tmp_path: Path) -> None:
    with Feeder(stack, GROUPS, CLUSTERS, patience_s=180) as feeder:
        stack.wait_for_heartbeat()
        feeder.wait_for_polls(15)
        feeder.slow["g1"] = True
        feeder.wait_for_polls(3)  # in mid-window: the slowness is seen, and not told yet
        stack.spawn_worker("second", "second")
        told_in_both(stack, "opened", "g1")
        stack.wait_ready("second")
        feeder.slow["g2"] = True
        feeder.wait_for_polls(3)
        leaves(stack, "worker")
        told_in_both(stack, "opened", "g2")
        stack.spawn_worker("third", "data")  # on the folder of the first, whose store is behind by now
        feeder.wait_for_polls(3)
        feeder.slow.update(g1=False, g2=False)
        stack.wait_ready("third")
        leaves(stack, "second")
        for g in GROUPS:
            told_in_both(stack, "resolved", g)
    stack.stop()
    found = stack.incidents()
    assert sorted((a[0]["cluster"], root_of(a[0])) for a in found.values()) == sorted(
        (c, f"group/{g}") for c in CLUSTERS for g in GROUPS
    )
    for alerts in found.values():
        assert [a["revision"] for a in alerts] == list(range(1, len(alerts) + 1)), "no revision is missing"
        assert open_deliveries(alerts) == {}
    live = first_of_each(stack.raw)
    assert all(live[orjson.loads(raw)["id"]] == raw for raw in stack.raw), "a repeat is the same bytes"
    recording, out = tmp_path / "facts.jsonl", tmp_path / "alerts.jsonl"
    kroute(stack, "record", "--from-beginning", "--until-end", "--out", str(recording))
    kroute(stack, "replay", str(recording), "--out", str(out))
    replayed = [orjson.dumps(orjson.loads(line)["value"]) for line in out.read_bytes().splitlines()]
    assert first_of_each(replayed) == live, "one engine over the same facts, without a rebalance"
