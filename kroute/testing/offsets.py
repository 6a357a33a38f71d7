"""Offsets as a cluster would have them: log ends grow by the produce rate, commits follow by the lag that a case states."""

from __future__ import annotations

from kroute.testing.signals import Signals
from kroute.testing.world import World

BASE = 10_000_000.0
"""Log end of every partition before the case begins: old topics, so that any lag has room."""
HEALTHY_LAG_S = 1.0


def labels_of(topic: str, partition: int) -> dict[str, str]:
    """Labels by which a series is narrowed to one topic or partition."""
    return {"topic": topic, "partition": str(partition)}


class Log:
    """Log ends, last stable offsets and log starts of every partition, at every step and between."""

    def __init__(self, world: World, signals: Signals) -> None:
        self._every_s = world.case.every_ms / 1000.0
        self._first: dict[tuple[str, int], float] = {}
        self.ends: dict[tuple[str, int], list[float]] = {}
        self.stable: dict[tuple[str, int], list[int]] = {}
        self.starts: dict[tuple[str, int], list[int]] = {}
        for topic, spec in world.topics.items():
            n = world.partitions(topic)
            for p in range(n):
                labels = labels_of(topic, p)
                share = [
                    _rate(signals, topic, k, spec.rate, labels, n) for k in range(world.case.steps)
                ]  # fmt: skip
                at = (topic, p)
                self._first[at] = share[0]
                ends = [BASE]
                for r in share[:-1]:
                    ends.append(ends[-1] + r * self._every_s)
                self.ends[at] = ends
                self.stable[at] = self._stable(signals, topic, labels, ends)
                self.starts[at] = self._starts(signals, topic, at, labels)

    def _stable(self, signals: Signals, topic: str, labels: dict[str, str], ends: list[float]) -> list[int]:
        out: list[int] = []
        for k, end in enumerate(ends):
            held = bool(signals.number("topic", topic, "open_transaction", k, 0.0, labels))
            out.append(out[-1] if held and out else int(end))
        return out

    def _starts(self, signals: Signals, topic: str, at: tuple[str, int], labels: dict[str, str]) -> list[int]:
        out: list[int] = []
        for k in range(len(self.ends[at])):
            kept = signals.number("topic", topic, "retention_s", k, None, labels)
            out.append(0 if kept is None else max(out[-1] if out else 0, int(self.end(at, k, kept))))
        return out

    def end(self, at: tuple[str, int], step: int, ago_s: float = 0.0) -> float:
        """The log end ``ago_s`` seconds before a step; before the case, the first rate held."""
        ends = self.ends[at]
        where = step - ago_s / self._every_s
        if where <= 0:
            return max(0.0, ends[0] + where * self._every_s * self._first[at])
        low = int(where)
        if low >= len(ends) - 1:
            return ends[-1]
        return ends[low] + (where - low) * (ends[low + 1] - ends[low])


def _rate(signals: Signals, topic: str, step: int, rate: float, labels: dict[str, str], partitions: int) -> float:
    lines = signals.of("topic", topic, "produce_rate")
    narrow = any(s.labels and all(labels.get(k) == v for k, v in s.labels) for s in lines)
    value = signals.number("topic", topic, "produce_rate", step, rate, labels)
    total = rate if value is None else value
    return total if narrow else total / partitions


class Commits:
    """Committed offsets of one group. Stated by ``lag_s`` (age of what was read last), ``lag`` (records behind, spread over
    the partitions it is stated for) or ``commit_rate`` (records/s), whichever is written narrowest, in this order."""

    def __init__(self, world: World, signals: Signals, log: Log, group: str) -> None:
        self._signals = signals
        self._log = log
        self._group = group
        self._every_s = world.case.every_ms / 1000.0
        self._committed = world.groups[group].isolation == "read_committed"
        self.parts = [(t, p) for t in world.groups[group].topics for p in range(world.partitions(t))]
        self._last: dict[tuple[str, int], int] = {}

    def observed(self, step: int) -> bool:
        """False where a series of the whole group is not observed: its poll is missing."""
        signals = ("lag_s", "lag", "commit_rate", "members", "state")
        return all(
            not any(not s.labels for s in self._signals.of("group", self._group, n))
            or self._signals.value("group", self._group, n, step, 0.0) is not None
            for n in signals
        )

    def step(self, step: int) -> dict[tuple[str, int], int | None]:
        """Offsets at a step, in order; None: never committed. A partition whose own series is not observed is absent."""
        out: dict[tuple[str, int], int | None] = {}
        for i, at in enumerate(self.parts):
            labels = labels_of(*at)
            if self._signals.number("group", self._group, "committed", step, 1.0, labels) == 0.0:
                out[at] = None
                continue
            offset = self._offset(at, i, labels, step)
            if offset is None:
                continue
            top = self._log.stable[at][step] if self._committed else int(self._log.ends[at][step])
            self._last[at] = out[at] = max(0, min(offset, top))
        return out

    def _offset(self, at: tuple[str, int], index: int, labels: dict[str, str], step: int) -> int | None:
        name, width = self._narrowest(labels)
        end = int(self._log.ends[at][step])
        if name is None:
            return int(self._log.end(at, step, HEALTHY_LAG_S))
        value = self._signals.number("group", self._group, name, step, None, labels)
        if value is None:
            return None
        n = len(self.parts)
        if name == "lag_s":
            return int(self._log.end(at, step, value))
        if name == "lag":
            total = int(value)
            return end - (total if width == 2 else total // n + (1 if index < total % n else 0))
        before = self._last.get(at)
        if before is None:
            return int(self._log.end(at, step, HEALTHY_LAG_S))
        return min(end, before + int((value if width == 2 else value / n) * self._every_s))

    def _narrowest(self, labels: dict[str, str]) -> tuple[str | None, int]:
        best: tuple[str | None, int] = (None, -1)
        for name in ("lag_s", "lag", "commit_rate"):
            for s in self._signals.of("group", self._group, name):
                if all(labels.get(k) == v for k, v in s.labels) and len(s.labels) > best[1]:
                    best = (name, len(s.labels))
        return best
