"""A small estate on virtual time: one group, its partitions, what is produced and what is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kroute.contracts.common import Entity
from kroute.contracts.inputs import ConsumerLag, Member, PartitionLag
from kroute.signals.board import Board
from kroute.signals.estate import Estate
from kroute.signals.lag import LagWindows
from kroute.signals.model import NoKnowledge, Rows, Src, Status, Symptom

T0 = 1_700_000_000_000
CLUSTER, GROUP, TOPIC = "c", "g", "t"
THE_GROUP = Entity("group", CLUSTER, GROUP)
THE_TOPIC = Entity("topic", CLUSTER, TOPIC)


class Stated(NoKnowledge):
    """Knowledge as a test states it."""

    def __init__(
        self, objective: float | None = None, age: float | None = None, isolation: str | None = None, period: float | None = None
    ) -> None:
        self.objective, self.age, self.iso, self.period = objective, age, isolation, period

    def objective_s(self, cluster: str, group: str, topic: str | None) -> float | None:
        return self.objective

    def data_age_objective_s(self, cluster: str, topic: str) -> float | None:
        return self.age

    def isolation(self, cluster: str, group: str) -> str | None:
        return self.iso

    def schedule_period_s(self, cluster: str, group: str) -> float | None:
        return self.period


@dataclass
class Bench:
    """LagWindows with its board, the rows it wrote and every report, in order."""

    knowledge: Any = field(default_factory=NoKnowledge)

    def __post_init__(self) -> None:
        self.rows = Rows()
        self.estate = Estate(self.rows)
        self.board = Board(self.rows)
        self.table: dict[tuple[str, str], bytes] = {}
        self.reports: list[Any] = []
        inner = self.board.report

        def report(*a: Any, **k: Any) -> None:
            self.reports.append((*a[:4], a[4], tuple(a[5]) if len(a) > 5 else ()))
            inner(*a, **k)

        self.board.report = report  # type: ignore[method-assign]
        self.lag = LagWindows(self.estate, self.board, self.rows, self.knowledge)
        self.seen: list[tuple[int, tuple[str, ...]]] = []
        self.offset = 0

    def feed(self, m: ConsumerLag, now_ms: int | None = None) -> None:
        self.offset += 1
        now = m.observed_at_ms if now_ms is None else now_ms
        self.estate.observe_lag(m)
        self.lag.observe(Src("kroute.consumer-lag", 0, self.offset, now), m, now)
        self.lag.tick(now)
        self.commit()
        self.seen.append((m.observed_at_ms, self.active()))

    def commit(self) -> None:
        for key, value in self.rows.changed.items():
            if value is None:
                self.table.pop(key, None)
            else:
                self.table[key] = value
        self.rows.changed.clear()

    def restored(self) -> Bench:
        """A fresh instance that knows only the rows."""
        other = Bench(self.knowledge)
        other.table = dict(self.table)
        other.offset = self.offset
        for (table, key), value in sorted(self.table.items(), reverse=True):
            inner = key.partition("|")[2]
            if table == "entities":
                other.board.load(value)
            elif table == "topology":
                other.estate.load(inner, value)
            else:
                other.lag.load(table, inner, value)
        other.lag.loaded()
        return other

    def active(self, entity: Entity = THE_GROUP) -> tuple[str, ...]:
        return tuple(sorted(k for k in self.board.of(entity)))

    def symptom(self, kind: str, entity: Entity = THE_GROUP) -> Symptom:
        return self.board.of(entity)[kind]

    def status(self, kind: str, entity: Entity = THE_GROUP) -> Status:
        return self.board.status(entity, kind, self.seen[-1][0])

    def ever(self) -> set[str]:
        """Every kind that was active on the group at any poll."""
        return {k for _, ks in self.seen for k in ks}

    def symptom_gone(self, kind: str) -> int | None:
        """Index of the first message after the kind's first activity at which it was no longer active."""
        began = self.first(kind)
        if began is None:
            return None
        return next((i for i, (_, ks) in enumerate(self.seen) if i > began and kind not in ks), None)

    def first(self, kind: str, after: int = 0) -> int | None:
        """Index of the first message at which the kind was active."""
        return next((i for i, (_, ks) in enumerate(self.seen) if i >= after and kind in ks), None)


def poll(
    at_s: float,
    committed: Sequence[int | None],
    end: Sequence[int],
    *,
    stable: Sequence[int] | None = None,
    start: Sequence[int] | None = None,
    state: str = "Stable",
    members: tuple[Member, ...] | None = None,
    interval_s: float | None = 30,
    topic: str = TOPIC,
    leaders: Sequence[int] | None = None,
    **more: Any,
) -> ConsumerLag:
    parts = tuple(
        PartitionLag(
            topic, i, e, committed[i], None if stable is None else stable[i], 0 if start is None else start[i],
            i % 3 if leaders is None else leaders[i],
        )
        for i, e in enumerate(end)
    )  # fmt: skip
    return ConsumerLag(
        cluster=CLUSTER, observed_at_ms=T0 + int(at_s * 1000), group=GROUP, state=state, protocol="classic", members=members,
        interval_ms=None if interval_s is None else int(interval_s * 1000), partitions=parts, **more,
    )  # fmt: skip


def member(name: str, parts: Iterable[int], topic: str = TOPIC, rack: str | None = None) -> Member:
    return Member(member_id=name, assignment=((topic, tuple(parts)),), rack=rack)


Rate = Callable[[float], float]


def simulate(
    bench: Bench,
    polls: int,
    *,
    interval_s: float = 30,
    rate: float | Rate = 100,
    speed: float | Rate = 1e9,
    commit_s: float = 5,
    partitions: int = 4,
    phase_s: float = 0.0,
    **more: Any,
) -> Bench:
    """A steady producer and a consumer of some speed (records/s per partition) that commits every ``commit_s``."""
    produced = consumed = committed = 0.0
    now, tick = 0.0, 0.5
    next_commit = phase_s
    for k in range(polls):
        while now < k * interval_s:
            r = rate(now) if callable(rate) else rate
            v = speed(now) if callable(speed) else speed
            produced += r * tick
            consumed = min(produced, consumed + v * tick)
            now += tick
            if now >= next_commit:
                next_commit += commit_s
                committed = consumed
        bench.feed(
            poll(k * interval_s, [int(committed)] * partitions, [int(produced)] * partitions, interval_s=interval_s, **more)
        )
    return bench
