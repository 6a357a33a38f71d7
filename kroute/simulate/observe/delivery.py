"""How what was polled arrives: jitter, latency, delay, reordering, and signals that nobody collects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Plain = dict[str, Any]
OPTIONAL = ("coordinator", "stable_end", "start", "members", "rack", "client_id", "controller", "transactions", "log_dirs",
            "worker", "system", "metrics")  # fmt: skip
"""Fields of messages that a collector may not be able to fill."""


class Line(NamedTuple):
    """One record of the recording; ``topic`` is the short input name, ``value`` None deletes."""

    at_ms: int
    topic: str
    key: str
    value: Plain | None


@dataclass(frozen=True)
class Disturbance:
    """``missing``: share (0–1) of signals, and of optional fields, that are lost for the run or now and then.
    ``delay_s``: some records come up to this late (and so out of order)."""

    missing: float = 0.0
    delay_s: float = 0.0
    jitter: float = 0.05
    """Jitter of a poll, as a share of its interval."""


class Delivery:
    """Takes polled values, drops and delays some, keeps the rest as lines."""

    def __init__(self, how: Disturbance, rng: np.random.Generator) -> None:
        self.how = how
        self.rng = rng
        self.lines: list[Line] = []
        self._share: dict[str, float] = {}

    def dropped(self, what: str) -> float:
        """Share of ``what`` (a signal's or a field's name) that is lost: decided once per run."""
        if what not in self._share:
            lost = self.rng.random() < self.how.missing
            self._share[what] = (1.0 if self.rng.random() < 0.5 else float(self.rng.uniform(0.1, 0.6))) if lost else 0.0
        return self._share[what]

    def _loses(self, what: str) -> bool:
        share = self.dropped(what)
        return share > 0 and bool(self.rng.random() < share)

    def say(self, topic: str, key: str, value: Plain | None, at_ms: int) -> None:
        """One record, observed (or stated) at ``at_ms``."""
        late = self.rng.uniform(15, 900)
        if self.how.delay_s > 0 and self.rng.random() < 0.15:
            late += self.rng.uniform(0, self.how.delay_s * 1000)
        self.lines.append(Line(int(at_ms + late), topic, key, value))

    def poll(self, topic: str, key: str, value: Plain) -> None:
        """One polled message; may lose samples, fields, or itself."""
        if self.how.missing > 0 and value.get("up", True):
            if self.rng.random() < self.how.missing * 0.1:
                return
            if "samples" in value:
                kept = [x for x in value["samples"] if not self._loses(str(x["signal"]))]
                value = {**value, "samples": kept}
            else:
                value = self._thin(value, topic)
        self.say(topic, key, value, value["observed_at_ms"])

    def _thin(self, value: Plain, topic: str) -> Plain:
        lost = [x for x in OPTIONAL if self._loses(f"{topic}.{x}")]
        return _without(value, frozenset(lost)) if lost else value


def _without(value: Any, lost: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, lost) for k, v in value.items() if k not in lost}
    if isinstance(value, list):
        return [_without(v, lost) for v in value]
    return value
