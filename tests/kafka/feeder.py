"""What stands in for the collector where a test has to know every signal: polls of consumer groups, a second apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from kroute.local.choose import Chosen
from tests.kafka.helpers import wait_for
from tests.kafka.stack import CLUSTER, Stack

RATE = 1000
"""Records a second that are written to each group's partition."""


class Feeder(threading.Thread):
    """A poll a second of each group in each cluster; a group is slow while it is told to be. ``with`` starts and ends it."""

    def __init__(
        self, stack: Stack, groups: Iterable[str], clusters: Iterable[str] = (CLUSTER,), patience_s: float = 120
    ) -> None:  # fmt: skip
        super().__init__(daemon=True)
        self.stack = stack
        self.slow: dict[str, bool] = dict.fromkeys(groups, False)
        self.done = threading.Event()
        self.polls = 0
        self._clusters = tuple(clusters)
        self._patience_s = patience_s

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join(10)

    def wait_for_polls(self, more: int) -> None:
        """Wait until as many more polls are written: by then the groups' pace is known, or a change of it is seen."""
        wanted = self.polls + more
        wait_for(lambda: self.polls >= wanted, self._patience_s, f"{more} more polls")

    def run(self) -> None:
        """Feed until it is done."""
        end, committed = 0, {(c, g): 0 for c in self._clusters for g in self.slow}
        while not self.done.is_set():
            end += RATE
            now = int(time.time() * 1000)
            for (cluster, g), before in committed.items():
                at = committed[cluster, g] = min(end, before + (RATE // 20 if self.slow[g] else 8 * RATE))
                placed = self.partition(g)
                lag = {
                    "group": g, "state": "Stable",
                    "members": [{"member_id": "m", "assignment": [[placed["topic"], [placed["partition"]]]]}],
                    "partitions": [{**placed, "committed": at, "end": end}],
                }  # fmt: skip
                self.stack.put("consumer-lag", f"{cluster}/{g}", _head(cluster, now) | lag)
            for key, metrics in self.scrapes():
                self.stack.put("broker-metrics", key, _head(CLUSTER, now) | metrics)
            self.polls += 1
            self.done.wait(1.0)

    def partition(self, group: str) -> dict[str, Any]:
        """The partition that a group reads, without its offsets."""
        return {"topic": "t", "partition": 0, "start": 0}

    def scrapes(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Key and content of what brokers say beside each poll."""
        return ()


def _head(cluster: str, now: int) -> dict[str, Any]:
    return {"cluster": cluster, "observed_at_ms": now, "interval_ms": 1000}


@contextmanager
def worker_alone(kafka: Chosen, tmp_path: Path, rows: list[dict[str, Any]]) -> Iterator[Stack]:
    """A worker without a collector, and the ownership rows it knows."""
    s = Stack(kafka.bootstrap, tmp_path, {})
    try:
        s.start(rows, collect=False)
        yield s
    finally:
        s.stop()
