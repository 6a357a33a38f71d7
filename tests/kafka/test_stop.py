"""SIGTERM at bad moments: the worker ends in order, and what it left is right."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.kafka.compared import end
from tests.kafka.crashes import Estate, fed, program
from tests.kafka.helpers import wait_for
from tests.kafka.outage import alerts_flow
from tests.kafka.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
STAYS = """
import asyncio, sys
from kroute.stream import crash
async def stay(name, *of):
    if name == {name!r}:
        sys.stderr.write("it stays at {name}\\n")
        await asyncio.Event().wait()
crash.point = stay
"""
"""A worker that is in the middle of its recovery until it is stopped."""

MEETS = """
import asyncio, sys
from kroute.stream.app import App
from kroute.stream.correlate import Correlate
met = asyncio.Event()
settle, rebalance = Correlate.settle, App._on_rebalance_when_stopped
async def meet(self):
    sys.stderr.write("it stops\\n")
    await met.wait()
    await asyncio.sleep(0.5)  # what the rebalance has begun goes on meanwhile
    await settle(self)
def on_rebalance(self):
    rebalance(self)
    sys.stderr.write("it met a rebalance\\n")
    self.loop.call_soon_threadsafe(met.set)
Correlate.settle, App._on_rebalance_when_stopped = meet, on_rebalance
"""
"""A worker that has drained, and does not go on with its stop until the group rebalances."""


def says(worker: Worker, what: str) -> None:
    """Wait until its log has a text; it must not end before."""

    def said() -> bool:
        assert worker.process.poll() is None, worker.text()[-3000:]
        return what in worker.text()

    wait_for(said, 120, f"{what!r} in the log of a worker")


@pytest.mark.parametrize("point", ["recovery-begun", "recovery-written"])
def test_a_worker_stopped_while_it_recovers_ends_in_order_and_its_store_is_not_used_again(
    bootstrap: str, tmp_path: Path, point: str
) -> None:
    estate = Estate(bootstrap, tmp_path)
    with fed(estate, 21) as feed:
        worker = estate.ready()
        alerts_flow(estate)
        assert worker.stop() == 0
        assert not (tmp_path / "w1" / "unclean").exists()
        cut = estate.run(program(first=STAYS.format(name=point)), "w1")
        says(cut, f"it stays at {point}")
        assert cut.stop() == 0, cut.text()[-3000:]
        assert "CRITICAL" not in cut.text()
        assert (tmp_path / "w1" / "unclean").exists(), "what recovery wrote may be behind its own bookkeeping"
        after = estate.ready()
        assert after.metric("kroute_recovery_store_discarded")[""] == 1.0
        alerts_flow(estate)
        outcome = end(feed)
        assert outcome.wrong == [], str(outcome)
        assert outcome.alerts > 0


def test_a_stop_that_meets_a_rebalance_leaves_the_group_in_order(bootstrap: str, tmp_path: Path) -> None:
    estate = Estate(bootstrap, tmp_path)
    with fed(estate, 22) as feed:
        stopped = estate.run(program(first=MEETS), "w1").wait_ready()
        other = estate.ready("w2")
        stopped.wait_ready()
        alerts_flow(estate)
        stopped.process.send_signal(signal.SIGTERM)
        says(stopped, "it stops")
        assert other.stop() == 0, other.text()[-3000:]
        assert stopped.process.wait(60) == 0, stopped.text()[-3000:]
        assert "it met a rebalance" in stopped.text()
        assert "ERROR" not in stopped.text(), "its client was closed under it"
        estate.ready("w2")
        alerts_flow(estate)
        outcome = end(feed)
        assert outcome.wrong == [], str(outcome)
