"""Throughput and memory of the lag windows: ``python -m tests.bench.bench_lag``.

Processor time, so a busy machine disturbs little. Goal: 200,000 partition samples a second on one core, rows included; 1 KiB per tracked partition.
"""

from __future__ import annotations

import time
import tracemalloc

from kroute.contracts.inputs import ConsumerLag, PartitionLag
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.lag import LagWindows
from kroute.signals.model import NoKnowledge, Rows, Src

T0 = 1_700_000_000_000


class Objective(NoKnowledge):
    """Every group has an objective, so freshness is computed at every poll."""

    def objective_s(self, cluster: str, group: str, topic: str | None) -> float | None:
        return 120.0


def message(group: int, k: int, partitions: int, topics: int) -> ConsumerLag:
    """Poll ``k`` of a group that keeps up, every 30 s."""
    per = partitions // topics
    parts = tuple(
        PartitionLag(f"t{group}-{i}", p, 1000 * k + p + 90, 1000 * k + (p * k) % 60, 1000 * k + p + 90, 0, p % 5)
        for i in range(topics)
        for p in range(per)
    )
    return ConsumerLag(
        cluster="c", observed_at_ms=T0 + 30_000 * k + group, group=f"g{group}", state="Stable", protocol="classic",
        interval_ms=30_000, partitions=parts,
    )  # fmt: skip


def run(
    groups: int, partitions: int, topics: int, polls: int = 120, warm: int = 70, objective: bool = True
) -> tuple[float, float, float]:
    """Microseconds per message, samples per second, row bytes per message, in steady state."""
    rows = Rows()
    lag = LagWindows(Estate(rows), Board(rows), rows, Objective() if objective else NoKnowledge())
    spent = size = 0.0
    for k in range(polls):
        for g in range(groups):
            m = message(g, k, partitions, topics)
            src = Src("kroute.consumer-lag", 0, k, m.observed_at_ms)
            began = time.process_time()
            lag.observe(src, m, m.observed_at_ms)
            took = time.process_time() - began
            if k >= warm:
                spent += took
                size += sum(len(v) for v in rows.changed.values() if v)
            rows.changed.clear()
    n = groups * (polls - warm)
    return spent / n * 1e6, partitions * n / spent, size / n


def memory(groups: int, partitions: int, polls: int = 80) -> float:
    """Bytes per tracked partition once all rings are full."""
    rows = Rows()
    lag = LagWindows(Estate(rows), Board(rows), rows, Objective())
    tracemalloc.start()
    for k in range(polls):
        for g in range(groups):
            m = message(g, k, partitions, 1)
            lag.observe(Src("kroute.consumer-lag", 0, k, m.observed_at_ms), m, m.observed_at_ms)
            rows.changed.clear()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used / (groups * partitions)


def main() -> None:
    """Print the table."""
    for groups, partitions, topics in ((20, 50, 1), (20, 50, 5), (20, 50, 50), (20, 6, 1), (2, 1000, 4), (1, 5000, 10)):
        us, per_s, size = run(groups, partitions, topics)
        print(
            f"{partitions:5d} partitions in {topics:2d} topics: {us:8.0f} µs/message {per_s:10,.0f} samples/s {size:9,.0f} row bytes"
        )
    for partitions in (50, 1000):
        print(f"{memory(4, partitions):,.0f} bytes per partition ({partitions} to a group)")


if __name__ == "__main__":
    main()
