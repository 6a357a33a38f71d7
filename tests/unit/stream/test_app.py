"""When work may begin: a worker's app without Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from kroute.settings import load
from kroute.stream.app import create_app


def test_a_recovery_that_another_rebalance_overtook_lets_no_work_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REGISTRY, "register", lambda _: None)
    app: Any = create_app(load({"KROUTE_DATADIR": str(tmp_path)}))

    class Consumer:
        def __init__(self) -> None:
            self._committed_offset: dict[object, int] = {}
            self.released = 0

        def assignment(self) -> set[object]:
            return set()

        def release(self) -> None:
            self.released += 1

    app._consumer = consumer = Consumer()
    for _ in range(2):
        app.on_rebalance_start()
    app.recovered = 1
    app.on_rebalance_end()
    assert not app.ingest.flow.is_open
    assert not app.correlate.flow.is_open
    assert app.rebalancing
    assert consumer.released == 0
    app.recovered = 2
    app.on_rebalance_end()
    assert app.ingest.flow.is_open
    assert app.correlate.flow.is_open
    assert not app.rebalancing
    assert consumer.released == 1
