"""kroute's own broker does not answer for some seconds, and is restarted: nothing is lost, doubled or out of order.

Minutes of it, and three brokers, are in the long tier (``make soak``).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kroute.local.broker import LocalKafka
from tests.kafka.compared import end
from tests.kafka.crashes import Estate, fed
from tests.kafka.outage import alerts_flow, outlasts

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def test_a_broker_that_freezes_and_one_that_restarts_lose_nothing(tmp_path: Path) -> None:
    with LocalKafka(tmp_path / "kafka") as kafka, fed(Estate(kafka.bootstrap, tmp_path), 5) as feed:
        feed.estate.ready()
        outlasts(feed.estate, kafka, 7)
        kafka.restart(1)
        alerts_flow(feed.estate)
        outcome = end(feed)
        assert outcome.wrong == [], str(outcome)
        assert outcome.alerts > 15
